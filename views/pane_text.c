/* Pane 4: what is known of the thing chosen last: the file, a group, a selection, one cell, a
 * question, generated cells, the log. Model output stands beside its evidence and is called model
 * output. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/pane.h"

static void title(const App *a, char *out, size_t cap)
{
    static const char *const names[] = {"Text",           "Text",           "Text  selection",
                                        "Text  one cell", "Text  question", "Text  generated cells",
                                        "Text  log"};
    snprintf(out, cap, "%s", names[a->subject]);
}

/* ---- parts ---- */
static void add_streamed(App *a, Doc *d, const char *text)
{
    char *quoted = str_format("\"%s", text);
    doc_add(d, theme_style(ROLE_TEXT), 1, quoted);
    free(quoted);
}

static void add_description(Doc *d, const Description *e)
{
    char *quoted = str_format("\"%s\"", e->text);
    doc_add(d, theme_style(ROLE_TEXT), 1, quoted);
    free(quoted);
    Str on = {0}, off = {0};
    for (size_t i = 0; i < e->n_markers; i++) {
        Str *s = e->markers_expressed[i] ? &on : &off;
        str_addf(s, "%s%s", s->len ? " " : "", e->markers_named[i]);
    }
    doc_pair(d, 18, "named, expressed", theme_style(ROLE_GOOD), on.len ? str_text(&on) : "none");
    doc_pair(d, 18, "named but absent", theme_style(off.len ? ROLE_WARN : ROLE_TEXT),
             off.len ? str_text(&off) : "none");
    str_free(&on);
    str_free(&off);
    if (e->corrected)
        doc_add(d, theme_style(ROLE_WARN), 0,
                "the model began to speak of another type: its text was led back to this one");
    char seed[32] = "";
    if (!str_starts(e->decoding, "greedy"))
        snprintf(seed, sizeof seed, ", seed %llu", (unsigned long long)e->seed);
    doc_addf(d, theme_style(ROLE_DIM), 0,
             "%s%s, %zu tokens%s   model output: check it against the markers", e->decoding, seed,
             e->tokens, e->cancelled ? ", stopped" : "");
}

/* The description of what is chosen, as far as it has come, or how to get one. */
static void add_told(App *a, Doc *d)
{
    char key[256];
    app_description_key(a, key, sizeof key);
    const Description *told = app_description(a, key);
    const Work *w = &a->work[WORK_DESCRIBE];
    doc_blank(d);
    if (told)
        add_description(d, told);
    else if (w->state == WORK_BUSY && !strcmp(w->subject, key) && w->text && *w->text)
        add_streamed(a, d, w->text);
    else if ((w->state == WORK_BUSY && !strcmp(w->subject, key)) || a->describe_at > 0)
        doc_add(d, theme_style(ROLE_DIM), 0, "describing ...   Ctrl-C stops");
    else if (w->state == WORK_FAILED && !strcmp(w->subject, key))
        doc_addf(d, theme_style(ROLE_ERROR), 0, "no description: %s", w->message);
    else if (w->state == WORK_STOPPED && !strcmp(w->subject, key))
        doc_add(d, theme_style(ROLE_WARN), 0, "stopped; D describes it");
    else if (a->work[WORK_MODEL].state == WORK_FAILED)
        doc_addf(d, theme_style(ROLE_DIM), 0, "no description without a model: %s",
                 a->work[WORK_MODEL].message);
    else if (a->embedded)
        doc_add(d, theme_style(ROLE_DIM), 0, "D describes it in words");
    else
        doc_add(d, theme_style(ROLE_DIM), 0,
                "a description follows when the model has read the cells");
}

/* Comma-separated names as words. */
static void add_genes(Doc *d, const char *key, Role role, const char *genes)
{
    if (!genes || !*genes)
        return;
    char *words = mem_strdup(genes);
    for (char *p = words; *p; p++)
        if (*p == ',')
            *p = ' ';
    doc_pair(d, 18, key, theme_style(role), words);
    free(words);
}

static void add_annotation(Doc *d, const Annotation *an, size_t row, size_t cells)
{
    const char *label = an->label[row] >= 0 ? an->labels[an->label[row]] : "nothing known";
    const char *id = an->label[row] >= 0 ? an->label_ids[an->label[row]] : "";
    char n[32], count[48] = "", second[160] = "";
    if (cells > 1)
        snprintf(count, sizeof count, "%s cells, ", thousands(cells, n));
    if (an->second[row] >= 0)
        snprintf(second, sizeof second, ", next best: %.100s %.2f", an->labels[an->second[row]],
                 (double)an->second_probability[row]);
    if (an->unknown[row])
        doc_addf(d, theme_style(ROLE_WARN), 0,
                 "unknown: %slike nothing the model knows well; best guess %s%s%s%s %.2f%s", count,
                 label, *id ? " (" : "", id, *id ? ")" : "", (double)an->probability[row], second);
    else
        doc_addf(d, theme_style(ROLE_TITLE), 0, "%s%s%s%s, %sprobability %.2f%s", label,
                 *id ? " (" : "", id, *id ? ")" : "", count, (double)an->probability[row], second);
    add_genes(d, "evidence", ROLE_GOOD, an->evidence[row]);
    add_genes(d, "expected, absent", ROLE_WARN, an->missing_markers[row]);
}

/* ---- subjects ---- */
static void add_model_state(App *a, Doc *d)
{
    const Work *w = &a->work[WORK_MODEL];
    char m[32], n[32];
    if (a->has_model && !a->model.genes_in_file)
        doc_addf(d, theme_style(ROLE_TEXT), 0, "model %s on %s", a->model.name, a->model.device);
    else if (a->has_model)
        doc_addf(d, theme_style(ROLE_TEXT), 0, "model %s on %s: %s of %s genes known",
                 a->model.name, a->model.device, thousands(a->model.genes_matched, m),
                 thousands(a->model.genes_in_file, n));
    else if (w->state == WORK_FAILED)
        doc_addf(d, theme_style(ROLE_ERROR), 0, "no model: %s", w->message);
    const Work *failed[] = {&a->work[WORK_EMBED], &a->work[WORK_ANNOTATE], &a->work[WORK_CLUSTER]};
    const char *said = "";
    for (size_t i = 0; i < 3; i++)
        if (failed[i]->state == WORK_FAILED && strcmp(said, failed[i]->message)) {
            said = failed[i]->message;
            doc_addf(d, theme_style(ROLE_ERROR), 0, "%s", said);
        }
    if (a->work[WORK_EMBED].state == WORK_STOPPED)
        doc_add(d, theme_style(ROLE_WARN), 0, "reading the cells was stopped; A goes on");
}

static void add_file(App *a, Doc *d)
{
    const FileFacts *f = a->facts;
    char n[32], g[32];
    doc_addf(d, theme_style(ROLE_TITLE), 0, "%s: %s cells, %s genes, %s", f->name,
             thousands(f->cells, n), thousands(f->genes, g), f->encoding);
    if (*f->matrix_reason)
        doc_add(d, theme_style(f->matrix_ok ? ROLE_TEXT : ROLE_WARN), 0, f->matrix_reason);
    add_model_state(a, d);
    Str obs = {0};
    for (size_t i = 0; i < f->n_obs; i++)
        str_addf(&obs, "%s%s", i ? "  " : "", f->obs[i]);
    if (obs.len)
        doc_pair(d, 9, "columns", theme_style(ROLE_TEXT), str_text(&obs));
    str_free(&obs);
    for (size_t i = 0; i < f->n_warnings; i++)
        doc_addf(d, theme_style(ROLE_WARN), 2, "! %s", f->warnings[i]);
    doc_blank(d);
    doc_add(d, theme_style(ROLE_DIM), 0,
            "Down chooses a cluster   t asks for cells in words   c colours by a gene or column   "
            "? shows all keys");
}

static void add_group(App *a, Doc *d)
{
    const Groups *g = app_groups(a);
    const Annotation *an = app_annotation(a);
    if (!g || a->group < 0)
        return;
    size_t k = (size_t)a->group;
    char n[32];
    if (!an || app_group_name(a, k) == g->names[k])
        doc_addf(d, theme_style(ROLE_TITLE), 0, "%s = %s, %s cells", g->key, g->names[k],
                 thousands(g->sizes[k], n));
    if (an && k < an->n)
        add_annotation(d, an, k, g->sizes[k]);
    else if (a->work[WORK_ANNOTATE].state == WORK_BUSY)
        doc_add(d, theme_style(ROLE_DIM), 0, "naming the clusters ...");
    else if (a->work[WORK_ANNOTATE].state == WORK_FAILED)
        doc_addf(d, theme_style(ROLE_ERROR), 0, "no name: %s", a->work[WORK_ANNOTATE].message);
    add_told(a, d);
}

static void add_selection(App *a, Doc *d)
{
    const Groups *g = app_groups(a);
    char n[32];
    if (!a->selected)
        return;
    doc_addf(d, theme_style(ROLE_TITLE), 0, "%s cells: %s", thousands(a->n_selected, n),
             a->rule ? a->rule : "");
    Str parts = {0};
    size_t *count = mem_must(((g ? g->n_groups : 0) + 1) * sizeof *count);
    for (size_t cell = 0; g && cell < g->n_cells; cell++)
        if (g->codes[cell] >= 0 && a->selected[cell])
            count[g->codes[cell]]++;
    for (size_t i = 0; g && i < a->n_cluster_rows && parts.len < 400; i++) {
        size_t k = a->cluster_rows[i];
        if (count[k])
            str_addf(&parts, "%s%s: %zu", parts.len ? ", " : "", app_group_name(a, k), count[k]);
    }
    free(count);
    if (parts.len)
        doc_pair(d, 10, "of these", theme_style(ROLE_TEXT), str_text(&parts));
    str_free(&parts);
    doc_add(d, theme_style(ROLE_DIM), 0, "a keeps it as A, b as B, d compares them");
    add_told(a, d);
}

static void add_cell(App *a, Doc *d)
{
    const Groups *g = app_groups(a);
    const QueryResult *q = app_query(a);
    const Values *v = app_color_values(a);
    const Annotation *an = shared_get(a->cell_annotation);
    size_t i = a->subject_cell;
    const char *name = a->facts->cell_names ? a->facts->cell_names[i] : "";
    doc_addf(d, theme_style(ROLE_TITLE), 0, "cell %zu  %s", i, name);
    if (g && i < g->n_cells)
        doc_pair(d, 18, g->key, theme_style(ROLE_TEXT),
                 g->codes[i] < 0 ? "NA" : app_group_name(a, (size_t)g->codes[i]));
    if (v && i < v->n) {
        char text[48];
        snprintf(text, sizeof text, "%.4g %.20s", (double)v->v[i], v->unit);
        doc_pair(d, 18, v->name, theme_style(ROLE_TEXT), text);
    }
    if (q && i < q->scores->n)
        doc_addf(d, theme_style(ROLE_TEXT), 0,
                 "question \"%s\": score %.3f, higher than %.1f%% of the cells", q->text,
                 (double)q->scores->v[i], (double)q->percentile[i]);
    if (an && i < an->n)
        add_annotation(d, an, i, 1);
    add_told(a, d);
}

static void add_query(App *a, Doc *d)
{
    const QueryResult *q = app_query(a);
    const Groups *g = app_groups(a);
    doc_addf(d, theme_style(ROLE_TITLE), 0, "\"%s\"", q->text);
    if (q->understood && *q->understood)
        doc_pair(d, 14, "understood as", theme_style(ROLE_TEXT), q->understood);
    if (q->warning && *q->warning)
        doc_add(d, theme_style(ROLE_WARN), 0, q->warning);
    Str best = {0};
    for (size_t i = 0; g && a->query_means && i < a->n_cluster_rows && i < 5; i++)
        str_addf(&best, "%s%s %.2f", i ? ", " : "", app_group_name(a, a->cluster_rows[i]),
                 (double)a->query_means[a->cluster_rows[i]]);
    if (best.len)
        doc_pair(d, 14, "best clusters", theme_style(ROLE_TEXT), str_text(&best));
    str_free(&best);
    Str cells = {0};
    for (size_t i = 0; i < 6 && i < q->scores->n; i++)
        if (a->facts->cell_names)
            str_addf(&cells, "%s%s %.2f", i ? ", " : "", a->facts->cell_names[q->order[i]],
                     (double)q->scores->v[q->order[i]]);
    if (cells.len)
        doc_pair(d, 14, "best cells", theme_style(ROLE_TEXT), str_text(&cells));
    str_free(&cells);
    doc_blank(d);
    doc_add(d, theme_style(ROLE_DIM), 0,
            "5 lists the cells, best first   T generates such cells   c colours by something else");
}

static void add_generating(App *a, Doc *d)
{
    const Work *w = &a->work[WORK_GENERATE];
    if (w->state == WORK_BUSY)
        doc_addf(d, theme_style(ROLE_GENERATED), 0, "generating %zu cells: %s ...   Ctrl-C stops",
                 a->n_to_generate, w->subject);
    if (w->state == WORK_FAILED)
        doc_addf(d, theme_style(ROLE_ERROR), 0, "nothing generated: %s", w->message);
    const Work *q = &a->work[WORK_QUERY];
    if (q->state == WORK_BUSY)
        doc_addf(d, theme_style(ROLE_ACCENT), 0, "asking: %s ...%s", q->subject,
                 a->embedded ? "" : " (after the model has read the cells)");
    if (q->state == WORK_FAILED)
        doc_addf(d, theme_style(ROLE_ERROR), 0, "%s: %s", q->subject, q->message);
}

static void add_log(App *a, Doc *d)
{
    for (size_t i = a->n_messages; i-- > 0;)
        doc_add(d, theme_style(a->messages[i].role), 2, a->messages[i].text);
    if (!a->n_messages)
        doc_add(d, theme_style(ROLE_DIM), 0, "no messages so far");
}

void doc_text_pane(App *a, Doc *d)
{
    if (a->subject != SUBJECT_LOG)
        add_generating(a, d);
    switch (a->subject) {
    case SUBJECT_FILE:
        add_file(a, d);
        break;
    case SUBJECT_GROUP:
        add_group(a, d);
        break;
    case SUBJECT_SELECTION:
        add_selection(a, d);
        break;
    case SUBJECT_CELL:
        add_cell(a, d);
        break;
    case SUBJECT_QUERY:
        if (app_query(a))
            add_query(a, d);
        else
            add_file(a, d);
        break;
    case SUBJECT_GENERATED:
        if (a->subject_generated < a->n_generated) {
            char how[100];
            snprintf(how, sizeof how, "%s  %.1f s", a->model.name,
                     a->generated_seconds[a->subject_generated]);
            doc_quality(d, app_generated(a, a->subject_generated), how);
        }
        break;
    case SUBJECT_LOG:
        add_log(a, d);
        break;
    }
}

static void draw(App *a, Canvas *c, Rect r)
{
    if (!a->facts)
        return;
    Doc d = {.width = r.w};
    doc_text_pane(a, &d);
    int max = (int)d.n > r.h ? (int)d.n - r.h : 0;
    a->text_top = a->text_top > max ? max : a->text_top < 0 ? 0 : a->text_top;
    a->text_lines = (int)d.n;
    a->text_height = r.h;
    doc_draw(&d, c, r, a->text_top);
    doc_free(&d);
}

static bool act(App *a, Action act_)
{
    int page = a->text_height > 2 ? a->text_height - 1 : 1;
    switch (act_) {
    case ACT_UP:
        a->text_top--;
        break;
    case ACT_DOWN:
        a->text_top++;
        break;
    case ACT_PAGE_UP:
        a->text_top -= page;
        break;
    case ACT_PAGE_DOWN:
        a->text_top += page;
        break;
    case ACT_TOP:
        a->text_top = 0;
        break;
    case ACT_BOTTOM:
        a->text_top = a->text_lines;
        break;
    default:
        return false;
    }
    return true;
}

static void mouse(App *a, MouseKind kind, int x, int y)
{
    if (kind == MOUSE_WHEEL_UP || kind == MOUSE_WHEEL_DOWN)
        a->text_top += kind == MOUSE_WHEEL_UP ? -1 : 1;
}

const PaneOps pane_text = {"Text", title, draw, act, mouse};
