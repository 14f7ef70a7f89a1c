/* Measuring the program on a labelled file, each task beside what is reached without the model.
 * Nothing is tuned here: every answer comes from the same functions that the explorer calls, with
 * their defaults. */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/session/eval_internal.h"

EvalParams eval_params_default(void)
{
    return (EvalParams){.tasks = EVAL_ALL, .generate_cells = 40, .describe_cells = 100};
}

/* ---- the truth ---- */

static Err add_class(EvalWork *w, StrMap *classes, const char *name, int64_t *class)
{
    *class = strmap_get(classes, name, -1);
    if (*class >= 0)
        return OK;
    TRY(mem_realloc(&w->name, w->k + 1, sizeof *w->name));
    w->name[w->k] = mem_strdup(name);
    *class = (int64_t)w->k++;
    strmap_put(classes, name, *class);
    return OK;
}

/* "stored label TAB plain name" a line. */
static Err read_label_map(EvalWork *w, StrMap *map)
{
    char *text, *next;
    size_t line = 0;
    Err err = OK;
    TRY(str_read_file(w->p->labels, 1 << 20, ERR_INPUT, &text, NULL));
    StrMap *classes = strmap_new(64);
    for (next = text; next;) {
        char *l = next, *tab;
        int64_t class;
        next = strchr(l, '\n');
        if (next)
            *next++ = 0;
        l[strcspn(l, "\r")] = 0;
        line++;
        if (!l[0] || l[0] == '#')
            continue;
        if (!(tab = strchr(l, '\t')) || !tab[1])
            FAIL_GOTO(ERR_INPUT, "%s: line %zu: not of the form 'stored label TAB plain name'",
                      w->p->labels, line);
        *tab = 0;
        tab[1 + strcspn(tab + 1, "\t")] = 0;
        TRY_GOTO(add_class(w, classes, tab + 1, &class));
        strmap_put(map, l, class);
    }
    if (w->k == 0)
        FAIL_GOTO(ERR_INPUT, "%s: no label in it", w->p->labels);
done:
    strmap_free(classes);
    free(text);
    return err;
}

static Err find_truth(EvalWork *w)
{
    Groups *g;
    StrMap *map = strmap_new(64), *classes = strmap_new(64);
    Err err = session_groups(w->s, w->p->label_key, w->ctl, &g);
    if (err != OK) {
        strmap_free(map);
        strmap_free(classes);
        return err;
    }
    int64_t class;
    if (w->p->labels)
        TRY_GOTO(read_label_map(w, map));
    for (size_t i = 0; !w->p->labels && i < g->n_groups; i++)
        if (g->sizes[i]) {
            TRY_GOTO(add_class(w, classes, g->names[i], &class));
            strmap_put(map, g->names[i], class);
        }
    w->n = g->n_cells;
    TRY_GOTO(NEW(w->truth, w->n));
    for (size_t i = 0; i < w->n; i++) {
        const char *stored = g->codes[i] < 0 ? NULL : g->names[g->codes[i]];
        w->truth[i] = stored ? (int32_t)strmap_get(map, stored, -1) : -1;
        w->labelled += w->truth[i] >= 0;
    }
    if (w->labelled == 0)
        FAIL_GOTO(ERR_NOT_FOUND, "%s: none of its values is a label of %s", w->p->label_key,
                  w->p->labels ? w->p->labels : "the file");
done:
    strmap_free(map);
    strmap_free(classes);
    groups_free(g);
    return err;
}

/* Names that no cell has are left out, or they would be absent types unasked. */
static Err drop_empty_classes(EvalWork *w)
{
    size_t *size, kept = 0;
    int32_t *to = NULL;
    Err err = OK;
    TRY(NEW0(size, w->k));
    TRY_GOTO(NEW(to, w->k));
    for (size_t i = 0; i < w->n; i++)
        if (w->truth[i] >= 0)
            size[w->truth[i]]++;
    for (size_t c = 0; c < w->k; c++) {
        to[c] = size[c] ? (int32_t)kept : -1;
        if (size[c])
            w->name[kept++] = w->name[c];
        else
            free(w->name[c]);
    }
    w->k = kept;
    for (size_t i = 0; i < w->n; i++)
        w->truth[i] = w->truth[i] < 0 ? -1 : to[w->truth[i]];
done:
    free(size);
    free(to);
    return err;
}

static Err find_types(EvalWork *w)
{
    TRY(NEW(w->type, w->k));
    TRY(NEW(w->id, w->k));
    for (size_t c = 0; c < w->k; c++) {
        w->type[c] = label_find(w->m->labels, w->name[c]);
        w->id[c] = w->type[c] < 0 ? "" : celltypes_at(w->types, (size_t)w->type[c])->id;
        if (w->type[c] < 0)
            report_note(w->r, "data", "label '%s' is no type of the library", w->name[c]);
    }
    return OK;
}

/* ---- the values ---- */

Err eval_counts(EvalWork *w)
{
    if (w->has_counts)
        return OK;
    Dataset *d = session_dataset(w->s);
    int matrix;
    size_t genes;
    TRY(session_working_matrix(w->s, &matrix));
    const MatrixInfo *info = dataset_matrix(d, (size_t)matrix);
    TRY(mem_check_budget((uint64_t)info->nnz * 24, "the file's values for measuring"));
    TRY(dataset_gene_names(d, matrix, &w->genes, &genes));
    TRY(dataset_read_rows(d, matrix, 0, info->rows, w->ctl, &w->counts));
    w->lognorm = info->state != STATE_COUNTS;
    w->has_counts = true;
    return OK;
}

/* ---- the door ---- */

static void work_done(EvalWork *w)
{
    eval_references_done(w);
    for (size_t c = 0; c < w->k; c++)
        free(w->name[c]);
    free(w->name);
    free(w->type);
    free(w->id);
    free(w->truth);
    csr_done(&w->counts);
    report_free(w->r);
}

static Err describe_data(EvalWork *w)
{
    Str s = {0};
    size_t *size;
    TRY(NEW0(size, w->k));
    for (size_t i = 0; i < w->n; i++)
        if (w->truth[i] >= 0)
            size[w->truth[i]]++;
    for (size_t c = 0; c < w->k; c++)
        str_addf(&s, "%s%s (%s) %zu", c ? ", " : "", w->name[c], w->id[c][0] ? w->id[c] : "no id",
                 size[c]);
    report_note(w->r, "data", "%zu of %zu cells have a label by %s: %s", w->labelled, w->n,
                w->p->label_key, str_text(&s));
    report_note(w->r, "data", "intervals: 95 %%, percentile bootstrap, %d resamples, seed %llu",
                BOOTSTRAP_RESAMPLES, (unsigned long long)w->p->seed);
    str_free(&s);
    free(size);
    return OK;
}

typedef Err EvalTask(EvalWork *w);

/* A part that the bundle lacks ends its task only. */
static Err run_task(EvalWork *w, const char *name, EvalTask *task)
{
    Err err = task(w);
    if (err == OK || err == ERR_CANCELLED || err == ERR_TERMINATED || err == ERR_NOMEM ||
        err == ERR_USAGE || err == ERR_INPUT)
        return err;
    report_note(w->r, name, "not measured: %s", err_message());
    w->missed = err;
    return OK;
}

/* Nothing at all could be measured: that is a failure, and its reason is known. */
static Err any_figure(const EvalWork *w)
{
    if (report_count(w->r) || w->missed == OK)
        return OK;
    return err_context(w->missed, "no task could be measured");
}

Err session_eval(Session *s, const EvalParams *p, JobCtl *ctl, Report **out)
{
    static const struct {
        unsigned bit;
        const char *name;
        EvalTask *run;
    } tasks[] = {{EVAL_ANNOTATE, "annotate", eval_annotate},
                 {EVAL_RETRIEVE, "retrieve", eval_retrieve},
                 {EVAL_CLUSTER, "cluster", eval_cluster},
                 {EVAL_DESCRIBE, "describe", eval_describe},
                 {EVAL_GENERATE, "generate", eval_generate}};
    EvalWork w = {.s = s, .p = p, .ctl = ctl, .r = report_new()};
    Err err = OK;
    TRY_GOTO(find_truth(&w));
    TRY_GOTO(drop_empty_classes(&w));
    TRY_GOTO(model_state(s, ctl, &w.m));
    w.types = model_celltypes(w.m->model);
    TRY_GOTO(find_types(&w));
    TRY_GOTO(describe_data(&w));
    TRY_GOTO(eval_references(&w)); /* a file that cannot be read is told before the long work */
    TRY_GOTO(model_state_embedded(s, ctl, &w.m));
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (p->tasks & tasks[i].bit)
            TRY_GOTO(run_task(&w, tasks[i].name, tasks[i].run));
    TRY_GOTO(any_figure(&w));
    *out = w.r;
    w.r = NULL;
done:
    work_done(&w);
    return err;
}
