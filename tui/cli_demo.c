/* `scmmgpt demo` without a terminal: the explorer's tour as a list of the same commands a person would type. */
#include "tui/cli_commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/assets.h"
#include "core/base/mem.h"
#include "core/base/str.h"

/* A step: words of the command, "%D" the data, "%O" the output folder; its stdout goes to `to`, NULL: shown. */
typedef struct Step {
    const char *what, *to;
    const char *words[20];
} Step;

static const Step steps[] = {
    {"What is in the file", "info.txt", {"info", "%D"}},
    {"A map and clusters of cells that had neither", NULL, {"cluster", "%D", "-o", "%O/clustered.h5ad"}},
    {"What the clusters are", NULL, {"annotate", "%O/clustered.h5ad", "--by", "leiden", "-o", "%O/cluster_types.tsv"}},
    {"What each cell is", NULL, {"annotate", "%O/clustered.h5ad", "-o", "%O/cell_types.tsv"}},
    {"The clusters in words", "descriptions.json",
     {"describe", "%O/clustered.h5ad", "--cells", "all", "--by", "leiden", "--json"}},
    {"The map as a figure", NULL,
     {"plot", "%O/clustered.h5ad", "--color", "leiden", "--color", "MS4A1", "--size", "170mm", "--legend", "both", "-o",
      "%O/map.png"}},
    {"Which cells make antibodies?", NULL,
     {"query", "%O/clustered.h5ad", "cells that make antibodies", "-o", "%O/antibody_makers.tsv"}},
    {"New cells from words, with their quality", "helper_t_cells_quality.json",
     {"generate", "helper T cells", "-n", "200", "--like", "%O/clustered.h5ad", "--json", "-o", "%O/helper_t_cells.h5ad"}},
    {"The new cells on the map", NULL,
     {"plot", "%O/clustered.h5ad", "--color", "leiden", "--generated", "%O/helper_t_cells.h5ad", "-o", "%O/generated.png"}},
    {"The same figure for a paper", NULL,
     {"plot", "%O/clustered.h5ad", "--color", "leiden", "--generated", "%O/helper_t_cells.h5ad", "-o", "%O/generated.pdf"}},
};

static char *expand(const char *word, const char *data, const char *out)
{
    if (strcmp(word, "%D") == 0)
        return mem_strdup(data);
    return str_starts(word, "%O") ? str_format("%s%s", out, word + 2) : mem_strdup(word);
}

static Err run_step(CliArgs *a, const Step *step, const char *data, const char *out)
{
    char *argv[22] = {NULL}, *path = NULL;
    int n = 0;
    Err err = OK;
    FILE *to = a->out;
    for (; step->words[n]; n++)
        argv[n] = expand(step->words[n], data, out);
    argv[n] = mem_strdup("--force"); /* a demo may be repeated; it writes nowhere but in its folder */
    fprintf(a->out, "\n%s\n  $ scmmgpt", step->what);
    for (int i = 0; i < n; i++)
        fprintf(a->out, strchr(argv[i], ' ') ? " \"%s\"" : " %s", argv[i]);
    if (step->to) {
        path = str_format("%s/%s", out, step->to);
        fprintf(a->out, " > %s", path);
        to = fopen(path, "w");
        if (!to)
            err = err_set(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    }
    fputc('\n', a->out);
    fflush(a->out);
    if (err == OK) {
        const char *file = NULL;
        err = cli_call(a, to, (const char *const *)argv, &file);
        if (err && file)
            err = err_context(err, "%s", file);
    }
    if (path && to && fclose(to) != 0 && err == OK)
        err = err_set(ERR_GENERAL, "%s: cannot be written", path);
    for (int i = 0; argv[i]; i++)
        free(argv[i]);
    free(path);
    return err;
}

Err cli_demo(CliArgs *a)
{
    const char *out = "demo-output";
    Str data = {0};
    TRY(cli_take_string(a, "--out", &out));
    TRY(cli_finish(a, 0, 0, "[--out DIR]"));
    TRY(assets_path("demo/immune_559.h5ad", &data));
    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        FAIL(ERR_GENERAL, "%s: cannot be made: %s", out, strerror(errno));
    Err err = OK;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && err == OK; i++)
        err = run_step(a, &steps[i], str_text(&data), out);
    if (err == OK)
        fprintf(a->out, "\nEverything is in %s/. In a terminal, 'scmmgpt demo' opens the same data in the explorer.\n", out);
    str_free(&data);
    return err;
}
