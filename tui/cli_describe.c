/* `scmmgpt describe`: cells or groups in words. JSON, a table, or, on a terminal, text as it is
 * written. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

typedef struct Describing {
    CliArgs *a;
    Session *s;
    DescribeParams p;
    const char *by;
    bool live;        /* a person watches */
    bool streaming;   /* some text of the current description is on the screen */
    const char *name; /* of what is being described */
    void (*progress)(void *user, const char *stage, size_t done, size_t total);
    cJSON *list;
    Table *table;
    size_t done, empty;
} Describing;

/* ---- options ---- */

static Err take_decoding(CliArgs *a, DescribeParams *p)
{
    size_t beams = 0;
    double t = 0;
    bool greedy = cli_take_flag(a, "--greedy");
    TRY(cli_take_size(a, "--beams", 1, 16, &beams));
    TRY(cli_take_number(a, "--temperature", 1e-6, 100, &t));
    if ((int)greedy + (beams > 0) + (t > 0) > 1)
        FAIL(ERR_USAGE, "--greedy, --beams, --temperature: only one of them makes sense");
    p->seed = a->g->seed;
    if (beams > 1) {
        p->decoding = DECODE_BEAM;
        p->beams = (int)beams;
    } else if (t > 0) {
        p->decoding = DECODE_SAMPLE;
        p->temperature = t;
    }
    return OK;
}

/* ---- output ---- */

static void add_json(Describing *w, const Description *d)
{
    cJSON *o = cJSON_CreateObject(), *named, *expressed;
    cJSON_AddStringToObject(o, w->by ? "group" : "cell", d->subject);
    cJSON_AddStringToObject(o, "text", d->text);
    cJSON_AddStringToObject(o, "label", d->label);
    cJSON_AddStringToObject(o, "label_id", d->label_id);
    cJSON_AddNumberToObject(o, "probability", (double)d->probability);
    cJSON_AddStringToObject(o, "second", d->second);
    cJSON_AddNumberToObject(o, "second_probability", (double)d->second_probability);
    cJSON_AddBoolToObject(o, "unknown", d->unknown);
    named = cJSON_AddArrayToObject(o, "markers_named");
    expressed = cJSON_AddArrayToObject(o, "markers_expressed");
    for (size_t i = 0; i < d->n_markers; i++) {
        cJSON_AddItemToArray(named, cJSON_CreateString(d->markers_named[i]));
        if (d->markers_expressed[i])
            cJSON_AddItemToArray(expressed, cJSON_CreateString(d->markers_named[i]));
    }
    cJSON_AddStringToObject(o, "evidence", d->evidence);
    cJSON_AddStringToObject(o, "missing_markers", d->missing_markers);
    cJSON_AddBoolToObject(o, "corrected", d->corrected);
    cJSON_AddStringToObject(o, "decoding", d->decoding);
    cJSON_AddNumberToObject(o, "tokens", (double)d->tokens);
    cJSON_AddNumberToObject(o, "seed", (double)d->seed);
    cJSON_AddItemToArray(w->list, o);
}

static char *joined(const Description *d, bool expressed)
{
    Str s = {0};
    for (size_t i = 0; i < d->n_markers; i++)
        if (!expressed || d->markers_expressed[i])
            str_addf(&s, "%s%s", s.len ? "," : "", d->markers_named[i]);
    return str_take(&s);
}

static Err add_row(Describing *w, const Description *d)
{
    if (!w->table) {
        CliProvenance from;
        TRY(cli_provenance(w->a, w->s, NULL, &from));
        TRY(cli_open_table(w->a, &from, &w->table));
        table_row(w->table, w->by ? "group" : "cell", "label", "probability", "second",
                  "second_probability", "unknown", "text", "markers_named", "markers_expressed",
                  "decoding", "tokens", "seed", NULL);
    }
    Table *t = w->table;
    char *named = joined(d, false), *expressed = joined(d, true);
    table_text(t, d->subject);
    table_text(t, d->label);
    table_number(t, (double)d->probability);
    table_text(t, d->second);
    table_number(t, (double)d->second_probability);
    table_int(t, d->unknown);
    table_text(t, d->text);
    table_text(t, named);
    table_text(t, expressed);
    table_text(t, d->decoding);
    table_int(t, (int64_t)d->tokens);
    table_int(t, (int64_t)d->seed);
    table_end_row(t);
    free(named);
    free(expressed);
    return OK;
}

static void show_piece(void *user, const char *utf8)
{
    Describing *w = user;
    if (!w->streaming) {
        if (isatty(STDERR_FILENO))
            fputs("\r\033[K", stderr); /* the bar */
        fprintf(w->a->out, "%s\n  ", w->name);
        w->streaming = true;
    }
    fputs(utf8, w->a->out);
    fflush(w->a->out);
}

/* The bar would write over the text: it rests while text comes. */
static void show_progress(void *user, const char *stage, size_t done, size_t total)
{
    Describing *w = user;
    if (!w->streaming && w->progress)
        w->progress(NULL, stage, done, total);
}

static void show_end(const Describing *w, const Description *d)
{
    FILE *f = w->a->out;
    fprintf(f, "\n  %s %.2f%s", d->label, (double)d->probability, d->unknown ? " (unknown)" : "");
    if (d->second[0])
        fprintf(f, ", next best %s %.2f", d->second, (double)d->second_probability);
    fprintf(f, "\n  expressed:");
    for (size_t i = 0; i < d->n_markers; i++)
        fprintf(f, " %s%s", d->markers_named[i], d->markers_expressed[i] ? "" : " (no)");
    fprintf(f, "   %s, %zu tokens\n\n", d->decoding, d->tokens);
}

/* One cell (set NULL) or group. A cell without counts is left out with a warning, not the end of
 * all. */
static Err describe_one(Describing *w, size_t cell, const Selection *set, const char *name)
{
    Description *d;
    w->name = name;
    w->streaming = false;
    Err err = set ? session_describe_set(w->s, set, name, &w->p, w->a->ctl, &d)
                  : session_describe_cell(w->s, cell, &w->p, w->a->ctl, &d);
    if (err == ERR_FEW_GENES && session_is_embedded(w->s)) {
        log_warn("%s: left out: %s", w->a->file, err_message());
        w->empty++;
        return OK;
    }
    TRY(err);
    bool stopped = d->cancelled;
    if (w->live)
        show_end(w, d);
    else if (w->list)
        add_json(w, d);
    else
        err = add_row(w, d);
    description_free(d);
    w->done++;
    if (err == OK && stopped)
        err = err_set(ERR_CANCELLED, "stopped");
    return err;
}

/* ---- what is described ---- */

static Err describe_cells(Describing *w, const Selection *cells, size_t most)
{
    const char *const *names;
    TRY(dataset_cell_names(session_dataset(w->s), &names));
    for (size_t i = 0, k = 0; i < cells->n_cells && k < most; i++)
        if (cells->in[i]) {
            TRY(describe_one(w, i, NULL, names[i]));
            k++;
        }
    return OK;
}

static Err describe_groups(Describing *w, const Selection *cells, size_t most)
{
    Groups *g;
    Selection one = *cells;
    uint8_t *in = NULL;
    size_t k = 0;
    TRY(session_groups(w->s, w->by, w->a->ctl, &g));
    Err err = NEW(in, cells->n_cells);
    one.in = in;
    for (size_t j = 0; err == OK && j < g->n_groups && k < most; j++) {
        one.n = 0;
        for (size_t i = 0; i < cells->n_cells; i++)
            one.n += in[i] = cells->in[i] && g->codes[i] == (int32_t)j;
        if (!one.n)
            continue;
        err = describe_one(w, 0, &one, g->names[j]);
        k++;
    }
    free(in);
    groups_free(g);
    return err;
}

static Err finish(Describing *w)
{
    if (!w->done)
        FAIL(w->empty ? ERR_FEW_GENES : ERR_NOT_FOUND,
             w->empty ? "no cell of the selection has counts in genes that the model knows"
                      : "no cell is selected; nothing to describe");
    if (w->table) {
        Err err = table_close(w->table);
        w->table = NULL;
        return err;
    }
    if (!w->list)
        return OK;
    CliProvenance from;
    TRY(cli_provenance(w->a, w->s, NULL, &from));
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "provenance", provenance_to_json(&from.p));
    cJSON_AddItemToObject(o, "descriptions", w->list);
    w->list = NULL;
    char *text = cJSON_Print(o);
    fprintf(w->a->out, "%s\n", text);
    free(text);
    cJSON_Delete(o);
    return OK;
}

Err cli_describe(CliArgs *a)
{
    static const char usage[] =
        "FILE --cells RULE [--by KEY] [-n MAX] [--greedy|--beams 5|--temperature T] [--json]";
    Describing w = {.a = a, .p = describe_params_default()};
    const char *rule = NULL;
    size_t most = SIZE_MAX;
    Selection *cells = NULL;
    Err err = OK;
    TRY(cli_take_string(a, "--cells", &rule));
    TRY(cli_take_string(a, "--by", &w.by));
    TRY(cli_take_size(a, "-n", 1, SIZE_MAX / 2, &most));
    TRY(take_decoding(a, &w.p));
    TRY(cli_finish(a, 1, 1, usage));
    if (!rule && !w.by)
        FAIL(ERR_USAGE, "--cells: a rule that selects cells is missing ('all' for every cell); "
                        "usage: scmmgpt describe %s", usage);
    w.live = !a->g->json && !a->g->output && isatty(fileno(a->out));
    if (a->g->json)
        w.list = cJSON_CreateArray();
    if (w.live) {
        w.progress = a->ctl->on_progress;
        a->ctl->on_text = show_piece;
        a->ctl->on_progress = show_progress;
        a->ctl->user = &w;
    }
    TRY_GOTO(cli_open(a, a->argv[1], &w.s));
    TRY_GOTO(session_select(w.s, rule ? rule : "all", a->ctl, &cells));
    TRY_GOTO(w.by ? describe_groups(&w, cells, most) : describe_cells(&w, cells, most));
    err = finish(&w);
done:
    if (w.live) {
        a->ctl->on_text = NULL;
        a->ctl->on_progress = w.progress;
        a->ctl->user = NULL;
    }
    table_abort(w.table);
    cJSON_Delete(w.list);
    selection_free(cells);
    session_close(w.s);
    return err;
}
