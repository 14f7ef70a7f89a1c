/* `scmmgpt generate`: pseudo-cells from words as an h5ad, with the quality report. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/session/generated_file.h"
#include "tui/cli_commands.h"
#include "tui/cli_model.h"

static const size_t ks[4] = {3, 5, 10, 25};

/* ---- the quality report ---- */

static void add_number(cJSON *o, const char *name, double v)
{
    if (isfinite(v))
        cJSON_AddNumberToObject(o, name, v);
    else
        cJSON_AddNullToObject(o, name);
}

static void knn_to_json(const double acc[4], cJSON *o)
{
    cJSON *k = cJSON_AddObjectToObject(o, "knn_acc");
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "%zu", ks[i]);
        add_number(k, name, acc[i]);
    }
}

static cJSON *quality_to_json(const Quality *q)
{
    cJSON *o = cJSON_CreateObject();
    QualityFigure f[QUALITY_FIGURES];
    quality_figures(q, f);
    cJSON_AddNumberToObject(o, "n", (double)q->n);
    knn_to_json(q->knn_acc[0], o);
    for (int i = 0; i < QUALITY_FIGURES; i++)
        add_number(o, f[i].name, f[i].v);
    cJSON_AddStringToObject(o, "nearest_types", q->nearest_types[0]);
    cJSON_AddStringToObject(o, "high_as_they_should", q->high);
    cJSON_AddStringToObject(o, "low_as_they_should", q->low);
    cJSON *s = cJSON_AddObjectToObject(o, "shuffled");
    cJSON_AddStringToObject(s, "prompt", q->shuffled_prompt);
    knn_to_json(q->knn_acc[1], s);
    add_number(s, "mmd", q->mmd[1]);
    add_number(s, "emd", q->emd[1]);
    cJSON_AddStringToObject(s, "nearest_types", q->nearest_types[1]);
    return o;
}

static void print_json(CliArgs *a, const Generated *g, const Provenance *from)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "provenance", provenance_to_json(from));
    cJSON_AddStringToObject(o, "prompt", g->prompt);
    cJSON_AddStringToObject(o, "understood", g->understood);
    cJSON_AddNumberToObject(o, "cells", (double)g->counts.rows);
    cJSON_AddNumberToObject(o, "genes", (double)g->n_genes);
    if (a->g->output)
        cJSON_AddStringToObject(o, "output", a->g->output);
    if (g->quality)
        cJSON_AddItemToObject(o, "quality", quality_to_json(g->quality));
    else
        cJSON_AddNullToObject(o, "quality");
    char *text = cJSON_Print(o);
    fprintf(a->out, "%s\n", text);
    free(text);
    cJSON_Delete(o);
}

/* ---- the command ---- */

/* The map of the file, computed when it has none. */
static Err find_map(CliArgs *a, Session *s, Map **out)
{
    Err err = session_map(s, NULL, a->ctl, out);
    if (err != ERR_NOT_FOUND)
        return err;
    ClusterParams p = cluster_params_default();
    Clustering *c;
    err = session_cluster(s, &p, a->ctl, &c);
    if (err != OK && err != ERR_CANCELLED && err != ERR_TERMINATED && err != ERR_NOMEM) {
        log_warn("%s: the new cells get no place on a map: %s", a->file, err_message());
        return OK;
    }
    TRY(err);
    *out = c->map;
    c->map = NULL;
    clustering_free(c);
    return OK;
}

static Err open_session(CliArgs *a, const char *like, Session **out)
{
    if (like)
        return cli_open(a, like, out);
    SessionParams p = cli_session_params(a);
    return session_open_empty(&p, out);
}

Err cli_generate(CliArgs *a)
{
    static const char usage[] = "\"TEXT\" [-n N] [--genes-from FILE] [--like FILE] [--label-key KEY] -o OUT.h5ad";
    const char *like = NULL;
    GenerateParams p = {.n = 200, .seed = a->g->seed};
    Session *s = NULL;
    Map *map = NULL;
    Generated *g = NULL;
    CliProvenance from;
    Err err = OK;
    TRY(cli_take_string(a, "--genes-from", &p.genes_from));
    TRY(cli_take_string(a, "--like", &like));
    TRY(cli_take_string(a, "--label-key", &p.label_key));
    TRY(cli_take_size(a, "-n", 1, 10000000, &p.n));
    TRY(cli_finish(a, 1, 1, usage));
    p.prompt = a->argv[1];
    if (!a->g->output && !a->g->json)
        FAIL(ERR_USAGE, "-o: the file for the new cells is missing; usage: scmmgpt generate %s", usage);
    if (a->g->output && strcmp(a->g->output, "-") == 0)
        FAIL(ERR_USAGE, "-o: an h5ad cannot go to standard output; name a file");
    TRY_GOTO(open_session(a, like, &s));
    if (like)
        TRY_GOTO(find_map(a, s, &map));
    TRY_GOTO(session_generate(s, &p, map, a->ctl, &g));
    log_info("understood as: %s", g->understood);
    TRY_GOTO(cli_provenance(a, s, p.prompt, &from));
    if (a->g->output)
        TRY_GOTO(generated_write(g, &from.p, a->g->output, a->g->force, a->ctl));
    if (a->g->json)
        print_json(a, g, &from.p);
done:
    generated_free(g);
    map_free(map);
    session_close(s);
    return err;
}
