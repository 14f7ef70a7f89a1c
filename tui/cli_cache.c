/* `scmmgpt cache`: what is kept in the cache folder, making it, throwing it away. */
#include "tui/cli_commands.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/cache.h"
#include "core/data/table.h"

static Err list_cache(CliArgs *a)
{
    CacheEntry *e;
    size_t n;
    Table *t;
    TRY(cache_list(&e, &n));
    if (a->g->json) {
        cJSON *j = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(j, "entries");
        for (size_t i = 0; i < n; i++) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "name", e[i].name);
            cJSON_AddStringToObject(item, "dataset", e[i].what);
            cJSON_AddNumberToObject(item, "bytes", (double)e[i].bytes);
            cJSON_AddItemToArray(list, item);
        }
        char *text = cJSON_Print(j);
        fprintf(a->out, "%s\n", text);
        free(text);
        cJSON_Delete(j);
        cache_entries_free(e, n);
        return OK;
    }
    Err err = table_open(NULL, a->out, false, &t);
    if (!err) {
        table_row(t, "name", "bytes", "dataset", NULL);
        for (size_t i = 0; i < n; i++) {
            table_text(t, e[i].name);
            table_int(t, (int64_t)e[i].bytes);
            table_text(t, e[i].what);
            table_end_row(t);
        }
        err = table_close(t);
    }
    cache_entries_free(e, n);
    return err;
}

static Err clear_cache(CliArgs *a)
{
    uint64_t bytes;
    TRY(cache_clear(&bytes));
    if (!a->g->quiet)
        fprintf(stderr, "%.1f MB freed\n", (double)bytes / 1e6);
    return OK;
}

static Err build_cache(CliArgs *a)
{
    Dataset *d;
    a->file = a->argv[2];
    DatasetOptions opt = cli_session_params(a).dataset;
    TRY(dataset_open(a->file, &opt, a->ctl, &d));
    Err err = OK;
    int m = dataset_working_matrix(d);
    if (m < 0)
        err = err_set(ERR_INPUT, "%s", dataset_model_matrix_reason(d));
    else if (dataset_sidecar_wanted(d, m))
        err = dataset_sidecar_build(d, m, a->ctl);
    else if (!a->g->quiet)
        fprintf(stderr, "nothing to do: genes of this file are read quickly already\n");
    dataset_close(d);
    return err;
}

Err cli_cache(CliArgs *a)
{
    TRY(cli_finish(a, 0, 2, "[clear | build FILE]"));
    const char *what = a->argc > 1 ? a->argv[1] : "";
    if (a->argc == 1)
        return list_cache(a);
    if (strcmp(what, "clear") == 0 && a->argc == 2)
        return clear_cache(a);
    if (strcmp(what, "build") == 0 && a->argc == 3)
        return build_cache(a);
    FAIL(ERR_USAGE, "usage: scmmgpt cache [clear | build FILE]");
}
