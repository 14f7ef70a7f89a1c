/* `scmmgpt plot`: the embedding as a figure. */
#include "tui/cli_commands.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"


/* --color may be repeated. */
static Err take_colors(CliArgs *a, const char **out, size_t cap, size_t *n)
{
    *n = 0;
    for (int i = 1; i < a->argc;) {
        CliArgs one = {.argc = a->argc - i + 1, .argv = a->argv + i - 1};
        if (one.argc < 2 || (strncmp(one.argv[1], "--color", 7) != 0 && strncmp(one.argv[1], "--colour", 8) != 0)) {
            i++;
            continue;
        }
        const char *value = strchr(one.argv[1], '=');
        int used = value ? 1 : 2;
        if (!value && one.argc < 3)
            FAIL(ERR_USAGE, "--color: a value is missing after it");
        if (*n == cap)
            FAIL(ERR_USAGE, "--color: %zu panels are the most", cap);
        out[(*n)++] = value ? value + 1 : one.argv[2];
        memmove(a->argv + i, a->argv + i + used, (size_t)(a->argc - i - used) * sizeof *a->argv);
        a->argc -= used;
    }
    return OK;
}

/* Cells that `generate --like` placed on a map: their coordinates, prompt and seed. */
static Err read_generated(CliArgs *a, const char *path, Generated *g)
{
    Session *s = NULL;
    Map *map = NULL;
    Err err = OK;
    SessionParams p = cli_session_params(a);
    const Column *c;
    TRY(session_open(&p, path, a->ctl, &s));
    Dataset *d = session_dataset(s);
    int prompt = dataset_find_obs(d, "prompt"), seed = dataset_find_obs(d, "seed");
    if (prompt < 0 || dataset_find_obs(d, "generated") < 0)
        FAIL_GOTO(ERR_INPUT, "%s: obs/prompt, obs/generated: missing; this is no file of 'generate'", path);
    TRY_GOTO(session_map(s, "X_umap", a->ctl, &map));
    TRY_GOTO(dataset_obs(d, (size_t)prompt, &c));
    const char *text = c->strings ? c->strings[0] : c->categories && c->n && c->codes[0] >= 0 ? c->categories[c->codes[0]] : NULL;
    g->prompt = mem_strdup(text ? text : "");
    if (seed >= 0) {
        TRY_GOTO(dataset_obs(d, (size_t)seed, &c));
        g->seed = c->numbers && c->n ? (uint64_t)c->numbers[0] : 0;
    }
    g->counts.rows = map->n;
    g->xy = map->xy;
    map->xy = NULL;
done:
    map_free(map);
    session_close(s);
    return err_context(err, "--generated");
}

Err cli_plot(CliArgs *a)
{
    static const char usage[] = "FILE --color KEY_OR_GENE [--color ...] -o FIG.png|.svg|.pdf [--basis umap] [--split-by KEY] "
                                "[--highlight A,B] [--generated CELLS.h5ad] [--size 85mm|170mm|slide|square] [--dpi 300] "
                                "[--view X0,Y0,X1,Y1]";
    enum { MAX_COLORS = 64 };
    const char *colors[MAX_COLORS];
    PlotParams p = plot_params_default();
    double columns = 0;
    p.colors = colors;
    TRY(take_colors(a, colors, MAX_COLORS, &p.n_colors));
    TRY(cli_take_string(a, "--basis", &p.basis));
    TRY(cli_take_string(a, "--split-by", &p.split_by));
    TRY(cli_take_string(a, "--highlight", &p.highlight));
    TRY(cli_take_string(a, "--size", &p.size));
    TRY(cli_take_string(a, "--legend", &p.legend));
    TRY(cli_take_string(a, "--cmap", &p.cmap));
    TRY(cli_take_string(a, "--vmin", &p.vmin));
    TRY(cli_take_string(a, "--vmax", &p.vmax));
    TRY(cli_take_string(a, "--vector-points", &p.vector_points));
    TRY(cli_take_number(a, "--dpi", 20, 2400, &p.dpi));
    TRY(cli_take_number(a, "--size-scale", 0.01, 100, &p.point_scale));
    TRY(cli_take_number(a, "--ncols", 1, 16, &columns));
    p.columns = (int)columns;
    p.sidecar = cli_take_flag(a, "--sidecar");
    p.transparent = cli_take_flag(a, "--transparent");
    p.strip_metadata = cli_take_flag(a, "--strip-metadata");
    const char *generated = NULL, *view = NULL;
    TRY(cli_take_string(a, "--generated", &generated));
    TRY(cli_take_string(a, "--view", &view));
    double *v = p.view;
    if (view && (sscanf(view, "%lf,%lf,%lf,%lf", &v[0], &v[1], &v[2], &v[3]) != 4 || !(v[0] < v[2]) || !(v[1] < v[3])))
        FAIL(ERR_USAGE, "--view: '%s' is not X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1", view);
    p.force = a->g->force;
    p.output = a->g->output;
    TRY(cli_finish(a, 1, 1, usage));
    if (!p.output)
        FAIL(ERR_USAGE, "-o: a figure's name is missing; usage: scmmgpt plot %s", usage);
    Session *s;
    TRY(cli_open(a, a->argv[1], &s));
    Generated made = {0};
    Err err = generated ? read_generated(a, generated, &made) : OK;
    if (err == OK) {
        p.generated = generated ? &made : NULL;
        err = session_plot(s, &p, a->ctl);
    }
    free(made.prompt);
    free(made.xy);
    session_close(s);
    return err;
}
