/* `scmmgpt query`: the cells that a prompt means, best first. */
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "core/base/log.h"

static Err write_table(CliArgs *a, Session *s, const QueryResult *q, size_t top)
{
    CliProvenance from;
    Table *t;
    const char *const *cells;
    TRY(dataset_cell_names(session_dataset(s), &cells));
    TRY(cli_provenance(a, s, q->text, &from));
    TRY(cli_open_table(a, &from, &t));
    if (!a->g->no_header_comments)
        table_comment(t, "understood", q->understood);
    table_row(t, "cell", "rank", "score", "percentile", NULL);
    for (size_t r = 0; r < top; r++) {
        size_t i = q->order[r];
        table_text(t, cells[i]);
        table_int(t, (int64_t)r + 1);
        table_number(t, q->scores->v[i]);
        table_number(t, q->percentile[i]);
        table_end_row(t);
    }
    return table_close(t);
}

static Err write_json(CliArgs *a, Session *s, const QueryResult *q, size_t top)
{
    CliProvenance from;
    const char *const *cells;
    TRY(dataset_cell_names(session_dataset(s), &cells));
    TRY(cli_provenance(a, s, q->text, &from));
    cJSON *j = cJSON_CreateObject();
    cJSON_AddItemToObject(j, "provenance", provenance_to_json(&from.p));
    cJSON_AddStringToObject(j, "understood", q->understood);
    cJSON_AddStringToObject(j, "warning", q->warning);
    cJSON *list = cJSON_AddArrayToObject(j, "cells");
    for (size_t r = 0; r < top; r++) {
        size_t i = q->order[r];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "cell", cells[i]);
        cJSON_AddNumberToObject(o, "rank", (double)r + 1);
        cJSON_AddNumberToObject(o, "score", q->scores->v[i]);
        cJSON_AddNumberToObject(o, "percentile", q->percentile[i]);
        cJSON_AddItemToArray(list, o);
    }
    char *text = cJSON_Print(j);
    fprintf(a->out, "%s\n", text);
    free(text);
    cJSON_Delete(j);
    return OK;
}

Err cli_query(CliArgs *a)
{
    Session *s = NULL;
    QueryResult *q = NULL;
    size_t top = 0;
    Err err = OK;
    TRY(cli_take_size(a, "--top", 1, SIZE_MAX / 2, &top));
    TRY(cli_finish(a, 2, 2, "FILE \"TEXT\" [--top N] [-o T.tsv]"));
    TRY_GOTO(cli_open(a, a->argv[1], &s));
    TRY_GOTO(session_query(s, a->argv[2], a->ctl, &q));
    if (q->warning[0])
        log_warn("%s: %s", a->file, q->warning);
    log_info("understood as: %s", q->understood);
    size_t n = top && top < q->scores->n ? top : q->scores->n;
    if (a->g->json)
        TRY_GOTO(write_json(a, s, q, n));
    if (!a->g->json || a->g->output)
        TRY_GOTO(write_table(a, s, q, n));
done:
    query_result_free(q);
    session_close(s);
    return err;
}
