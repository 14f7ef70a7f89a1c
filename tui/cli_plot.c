/* `scmmgpt plot`: the embedding as a figure. */
#include "tui/cli_commands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
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

/* What a plot asks of the model. */
typedef struct Asked {
    bool annotate; /* colour by the type of every cell */
    const char *query, *generate;
    const char *table;     /* "T.tsv" or "T.tsv:COLUMN": groups of the cells */
    size_t n;              /* cells to generate */
    const char *generated; /* a file of cells made before */
    Groups *types;
    QueryResult *answer;
    Generated *made;
    Map *map;
} Asked;

static Err take_asked(CliArgs *a, const PlotParams *p, Asked *k)
{
    TRY(cli_take_string(a, "--query", &k->query));
    TRY(cli_take_string(a, "--generate", &k->generate));
    TRY(cli_take_string(a, "--generated", &k->generated));
    TRY(cli_take_string(a, "--groups", &k->table));
    TRY(cli_take_size(a, "-n", 1, 10000000, &k->n));
    k->annotate = cli_take_flag(a, "--annotate");
    if ((k->query != NULL) + (p->n_colors > 0) + k->annotate + (k->table != NULL) > 1)
        FAIL(ERR_USAGE, "--query, --annotate, --groups, --color: one of them colours the figure");
    if (k->query && p->highlight)
        FAIL(ERR_USAGE, "--query, --highlight: scores have no groups to highlight");
    if (k->generate && k->generated)
        FAIL(ERR_USAGE, "--generate, --generated: one of them gives the cells");
    if (k->n && !k->generate)
        FAIL(ERR_USAGE, "-n: --generate is missing, it says what the cells are");
    return OK;
}

/* The type of every cell, as annotate finds it by itself. */
static Err types_of_cells(CliArgs *a, Session *s, Groups **out)
{
    AnnotateParams p = annotate_params_default();
    Annotation *an;
    TRY(session_annotate(s, &p, NULL, a->ctl, &an));
    *out = annotation_groups(an);
    annotation_free(an);
    return OK;
}

/* "T.tsv:COLUMN", or T.tsv alone: its second column. */
static Err read_groups(Session *s, const char *table, Groups **out)
{
    const char *colon = strrchr(table, ':');
    bool whole = !colon || access(table, R_OK) == 0;
    char *path = whole ? mem_strdup(table) : mem_strndup(table, (size_t)(colon - table));
    Err err = groups_read(s, path, whole ? NULL : colon + 1, out);
    free(path);
    return err_context(err, "--groups");
}

/* The map first: without one there is no figure, and the model need not be asked. */
static Err ask(CliArgs *a, Session *s, PlotParams *p, Asked *k)
{
    enum { CELLS = 200 };
    TRY(session_map(s, p->basis, a->ctl, &k->map));
    p->map = k->map;
    if (k->table) {
        TRY(read_groups(s, k->table, &k->types));
        p->groups = k->types;
    }
    if (k->annotate) {
        TRY(types_of_cells(a, s, &k->types));
        p->groups = k->types;
    }
    if (k->query) {
        TRY(session_query(s, k->query, a->ctl, &k->answer));
        if (k->answer->warning[0])
            log_warn("%s: %s", a->file, k->answer->warning);
        log_info("--query: understood as: %s", k->answer->understood);
        p->values = k->answer->scores;
        p->query = k->answer->text;
    }
    if (k->generate) {
        GenerateParams g = {.prompt = k->generate, .n = k->n ? k->n : CELLS, .seed = a->g->seed};
        TRY(session_generate(s, &g, k->map, a->ctl, &k->made));
        log_info("--generate: understood as: %s", k->made->understood);
        if (!k->made->xy)
            FAIL(ERR_INPUT, "--generate: the new cells get no place on the map: the file has no "
                            "counts to compare them with");
    }
    if (k->generated) {
        k->made = mem_must(sizeof *k->made);
        TRY(read_generated(a, k->generated, k->made));
    }
    p->generated = k->made;
    return OK;
}

Err cli_plot(CliArgs *a)
{
    static const char usage[] = "FILE --color KEY_OR_GENE [--color ...] | --query \"TEXT\" | --annotate | --groups T.tsv[:COLUMN] "
                                "-o FIG.png|.svg|.pdf [--basis umap] [--split-by KEY] [--highlight A,B] "
                                "[--generate \"TEXT\" [-n N] | --generated CELLS.h5ad] [--size 85mm|170mm|slide|square] [--dpi 300] "
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
    Asked asked = {0};
    const char *view = NULL;
    TRY(take_asked(a, &p, &asked));
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
    Err err = ask(a, s, &p, &asked);
    if (err == OK)
        err = session_plot(s, &p, a->ctl);
    groups_free(asked.types);
    query_result_free(asked.answer);
    generated_free(asked.made);
    map_free(asked.map);
    session_close(s);
    return err;
}
