/* `scmmgpt bench`: how fast each part is here, on the shipped demo data (or FILE) and the shipped
 * model. Each figure is the median of a few runs; what was not possible says why. */
#include "tui/cli_bench_lm.h"
#include "tui/cli_model.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assets.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/kept.h"
#include "core/eval/bootstrap.h"

typedef struct Bench {
    CliArgs *a;
    const char *path;
    Session *s;
    size_t cells;
    double spent; /* seconds of the last run, where a part measures itself */
    double work;  /* what the part did in that time: cells, tokens, prompts */
} Bench;

/* A session of its own, so that nothing is kept from the run before. */
static Err fresh(Bench *b, Session **out)
{
    SessionParams p = cli_session_params(b->a);
    return session_open(&p, b->path, b->a->ctl, out);
}

static Err bench_open(Bench *b)
{
    Session *s;
    double t = clock_seconds();
    TRY(fresh(b, &s));
    b->spent = clock_seconds() - t;
    session_close(s);
    return OK;
}

/* Another gene each time, in a session of its own: from the file, or from its copy by genes where there is one. */
static Err bench_gene(Bench *b)
{
    static size_t turn;
    Session *s;
    Values *v = NULL;
    const char *const *names;
    size_t n;
    TRY(fresh(b, &s));
    Dataset *d = session_dataset(s);
    Err err = dataset_gene_names(d, dataset_working_matrix(d), &names, &n);
    if (err == OK && n == 0)
        err = err_set(ERR_NOT_FOUND, "the file has no genes");
    double t = clock_seconds();
    if (err == OK)
        err = session_gene(s, names[++turn * 977 % n], false, b->a->ctl, &v);
    b->spent = clock_seconds() - t;
    values_free(v);
    session_close(s);
    return err;
}

static Err bench_load(Bench *b)
{
    SessionParams p = cli_session_params(b->a);
    Session *s;
    TRY(session_open_empty(&p, &s));
    double t = clock_seconds();
    Err err = session_load_model(s, b->a->ctl);
    b->spent = clock_seconds() - t;
    session_close(s);
    return err;
}

static Err bench_cluster(Bench *b)
{
    kept_off(); /* what an earlier run left would be measured */
    Session *s;
    Clustering *c = NULL;
    ClusterParams p = cluster_params_default();
    TRY(fresh(b, &s));
    double t = clock_seconds();
    Err err = session_cluster(s, &p, b->a->ctl, &c);
    b->spent = clock_seconds() - t;
    b->work = (double)b->cells;
    clustering_free(c);
    session_close(s);
    return err;
}

static Err bench_embed(Bench *b)
{
    Session *s;
    TRY(fresh(b, &s));
    Err err = session_load_model(s, b->a->ctl);
    double t = clock_seconds();
    if (err == OK)
        err = session_embed(s, b->a->ctl);
    b->spent = clock_seconds() - t;
    b->work = (double)b->cells;
    session_close(s);
    return err;
}

/* From an opened file to a label for every cell, the model being loaded. */
static Err bench_annotate(Bench *b)
{
    Session *s;
    Annotation *an = NULL;
    AnnotateParams p = annotate_params_default();
    TRY(fresh(b, &s));
    Err err = session_load_model(s, b->a->ctl);
    double t = clock_seconds();
    if (err == OK)
        err = session_annotate(s, &p, NULL, b->a->ctl, &an);
    b->spent = clock_seconds() - t;
    b->work = (double)b->cells;
    annotation_free(an);
    session_close(s);
    return err;
}

/* After the cells are embedded: the session is kept between runs. */
static Err bench_query(Bench *b)
{
    static const char *const prompts[] = {"cells that make antibodies", "killer lymphocytes",
                                          "cells that engulf bacteria"};
    static unsigned turn;
    QueryResult *q = NULL;
    TRY(session_embed(b->s, b->a->ctl));
    if (turn == 0) { /* what a first prompt sets up is not a prompt's time */
        TRY(session_query(b->s, prompts[0], b->a->ctl, &q));
        query_result_free(q);
        turn++;
    }
    double t = clock_seconds();
    TRY(session_query(b->s, prompts[turn++ % 3], b->a->ctl, &q));
    b->spent = clock_seconds() - t;
    query_result_free(q);
    return OK;
}

static Err bench_describe(Bench *b)
{
    static size_t cell;
    Description *d;
    DescribeParams p = describe_params_default();
    if (cell == 0) {
        TRY(session_describe_cell(b->s, cell++, &p, NULL, &d)); /* sets up what later ones find */
        description_free(d);
    }
    double t = clock_seconds();
    TRY(session_describe_cell(b->s, cell++ % b->cells, &p, NULL, &d));
    b->spent = clock_seconds() - t;
    b->work = (double)d->tokens;
    description_free(d);
    return OK;
}

static Err bench_generate(Bench *b)
{
    GenerateParams p = {.prompt = "B cell", .n = 200, .seed = b->a->g->seed};
    SessionParams sp = cli_session_params(b->a);
    Generated *g = NULL;
    Session *s;
    TRY(session_open_empty(&sp, &s));
    Err err = session_load_model(s, b->a->ctl);
    double t = clock_seconds();
    if (err == OK)
        err = session_generate(s, &p, NULL, b->a->ctl, &g);
    b->spent = clock_seconds() - t;
    b->work = (double)p.n;
    generated_free(g);
    session_close(s);
    return err;
}

typedef struct Part {
    const char *name, *unit; /* unit "s": the time itself; else work per second */
    Err (*run)(Bench *b);
    const char *what;
} Part;

static const Part parts[] = {
    {"open", "s", bench_open, "opening the file"},
    {"gene", "s", bench_gene, "a gene's column, the file being open"},
    {"load", "s", bench_load, "loading the model"},
    {"cluster", "cells/s", bench_cluster, "normalise, PCA, neighbours, UMAP, Leiden"},
    {"embed", "cells/s", bench_embed, "cells to vectors"},
    {"annotate", "cells/s", bench_annotate, "opened file to labels, all types of the library"},
    {"query", "s", bench_query, "a prompt, the cells being embedded"},
    {"describe", "tokens/s", bench_describe, "one cell in words, greedy"},
    {"generate", "cells/s", bench_generate, "200 cells from a prompt, no real cells beside them"},
};
enum { N_PARTS = sizeof parts / sizeof *parts };

/* Median over runs; *runs how many there were. A part that takes long is run less often. */
static Err measure(Bench *b, const Part *p, size_t most, double *value, double *seconds,
                   size_t *runs)
{
    double v[64], t[64], total = 0;
    *runs = 0;
    while (*runs < most && (*runs == 0 || total < 10)) {
        b->work = 1;
        TRY(p->run(b));
        total += b->spent;
        t[*runs] = b->spent;
        v[*runs] = strcmp(p->unit, "s") == 0 ? b->spent : b->work / b->spent;
        ++*runs;
    }
    *value = median_of(v, *runs);
    *seconds = median_of(t, *runs);
    return OK;
}

static cJSON *part_json(const Part *p, double value, double seconds, size_t runs)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "value", value);
    cJSON_AddStringToObject(o, "unit", p->unit);
    cJSON_AddNumberToObject(o, "seconds", seconds);
    cJSON_AddNumberToObject(o, "runs", (double)runs);
    cJSON_AddStringToObject(o, "what", p->what);
    return o;
}

static bool asked(const char *only, const char *name)
{
    if (!only)
        return true;
    size_t n = strlen(name);
    for (const char *p = strstr(only, name); p; p = strstr(p + 1, name))
        if ((p == only || p[-1] == ',') && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

/* One part; a missing part of the model is told, not fatal. */
static Err run_part(Bench *b, const Part *p, size_t most, cJSON *list)
{
    double value, seconds;
    size_t runs;
    Err err = measure(b, p, most, &value, &seconds, &runs);
    if (err == ERR_CANCELLED || err == ERR_TERMINATED)
        return err;
    if (err != OK) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNullToObject(o, "value");
        cJSON_AddStringToObject(o, "why", err_message());
        cJSON_AddItemToObject(list, p->name, o);
        if (!b->a->g->json)
            fprintf(b->a->out, "%s\t\t%s\t\t%s\n", p->name, p->unit, err_message());
        return OK;
    }
    cJSON_AddItemToObject(list, p->name, part_json(p, value, seconds, runs));
    if (!b->a->g->json)
        fprintf(b->a->out, "%s\t%.6g\t%s\t%zu\t%s\n", p->name, value, p->unit, runs, p->what);
    return OK;
}

static Err finish(Bench *b, cJSON *out)
{
    CliProvenance from;
    if (!b->a->g->json)
        return OK;
    TRY(cli_provenance(b->a, b->s, NULL, &from));
    cJSON_AddItemToObject(out, "provenance", provenance_to_json(&from.p));
    cJSON_AddNumberToObject(out, "cells", (double)b->cells);
    cJSON_AddNumberToObject(out, "threads", omp_get_max_threads());
    return cli_print_json(b->a, out);
}

Err cli_bench(CliArgs *a)
{
    Bench b = {.a = a};
    Str demo = {0};
    const char *only = NULL;
    size_t most = 5;
    LmBenchSpec lm = {.prompt = 256, .new = 32};
    cJSON *out = cJSON_CreateObject(), *list = cJSON_AddObjectToObject(out, "parts");
    Err err = OK;
    TRY_GOTO(cli_take_string(a, "--parts", &only));
    TRY_GOTO(cli_take_size(a, "--runs", 1, 64, &most));
    TRY_GOTO(cli_take_size(a, "--prompt-tokens", 2, 1 << 20, &lm.prompt));
    TRY_GOTO(cli_take_size(a, "--new-tokens", 2, 1 << 20, &lm.new));
    TRY_GOTO(cli_take_string(a, "--against", &lm.against));
    TRY_GOTO(cli_take_string(a, "--text", &lm.text));
    TRY_GOTO(cli_finish(a, 0, 1,
                        "[FILE] [--parts LIST] [--runs N] [--json]; with --model BUNDLE of a "
                        "language model: [--prompt-tokens 256 --new-tokens 32] "
                        "[--against BUNDLE [--text FILE]]"));
    if (cli_bench_lm_wanted(a->g->model)) {
        lm.runs = most;
        TRY_GOTO(cli_bench_lm(a, a->g->model, &lm));
        goto done;
    }
    if (lm.against || lm.text)
        FAIL_GOTO(ERR_USAGE, "--against, --text: need --model BUNDLE with a language model");
    if (a->argc < 2)
        TRY_GOTO(assets_path("demo/immune_559.h5ad", &demo));
    b.path = a->argc < 2 ? str_text(&demo) : a->argv[1];
    TRY_GOTO(cli_open(a, b.path, &b.s));
    b.cells = dataset_cells(session_dataset(b.s));
    if (!a->g->json)
        fprintf(a->out, "part\tvalue\tunit\truns\twhat\n");
    for (size_t i = 0; i < N_PARTS; i++)
        if (asked(only, parts[i].name))
            TRY_GOTO(run_part(&b, &parts[i], most, list));
    TRY_GOTO(finish(&b, out));
done:
    session_close(b.s);
    str_free(&demo);
    cJSON_Delete(out);
    return err;
}
