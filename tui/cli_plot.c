/* `scmmgpt plot`: the embedding as a figure. */
#include "tui/cli_commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/figure/scatter.h"

enum { MAX_COLORS = 200 };

/* --color may be repeated. */
static Err take_colors(CliArgs *a, const char **out, size_t cap, size_t *n)
{
    static const char *const spellings[] = {"--color", "--colour"};
    *n = 0;
    for (int i = 1; i < a->argc;) {
        const char *at = a->argv[i], *value = NULL;
        int used = 0;
        if (strcmp(at, "--") == 0)
            break;
        for (int k = 0; k < 2; k++) {
            size_t length = strlen(spellings[k]);
            if (strncmp(at, spellings[k], length) == 0 && (at[length] == '=' || !at[length])) {
                used = at[length] ? 1 : 2;
                value = at[length] ? at + length + 1 : i + 1 < a->argc ? a->argv[i + 1] : NULL;
            }
        }
        if (!used) {
            i++;
            continue;
        }
        if (!value || !value[0])
            FAIL(ERR_USAGE, "--color: a value is missing after it");
        if (*n == cap)
            FAIL(ERR_USAGE, "--color: %zu are the most", cap);
        out[(*n)++] = value;
        memmove(a->argv + i, a->argv + i + used, (size_t)(a->argc - i - used) * sizeof *a->argv);
        a->argc -= used;
    }
    return OK;
}

/* --genes A,B,C: the same as --color for each. *copy holds the names. */
static Err take_genes(CliArgs *a, const char **out, size_t cap, size_t *n, char **copy)
{
    const char *list = NULL;
    TRY(cli_take_string(a, "--genes", &list));
    if (!list)
        return OK;
    char *save = NULL;
    *copy = mem_strdup(list);
    for (char *name = strtok_r(*copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        if (*n == cap)
            FAIL(ERR_USAGE, "--genes: %zu are the most", cap);
        out[(*n)++] = name;
    }
    if (*n == 0)
        FAIL(ERR_USAGE, "--genes: '%s' names no gene", list);
    return OK;
}

Err cli_read_groups(Session *s, const char *table, Groups **out)
{
    const char *colon = strrchr(table, ':');
    bool whole = !colon || access(table, R_OK) == 0;
    char *path = whole ? mem_strdup(table) : mem_strndup(table, (size_t)(colon - table));
    Err err = groups_read(s, path, whole ? NULL : colon + 1, out);
    free(path);
    return err_context(err, "--groups");
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
    size_t n, seed;        /* cells to generate, and the seed of them */
    bool cluster;          /* the map is computed, and so are clusters where nothing else colours it */
    ClusterParams params;
    Clustering *computed;
    const char *generated; /* a file of cells made before */
    Groups *types;
    QueryResult *answer;
    Generated *made;
    Map *map;
} Asked;

static Err take_clustering(CliArgs *a, const PlotParams *p, Asked *k)
{
    k->params = cluster_params_default();
    size_t neighbors = 0;
    double resolution = 0;
    k->cluster = cli_take_flag(a, "--cluster");
    TRY(cli_take_size(a, "--neighbors", 2, 1000, &neighbors));
    TRY(cli_take_number(a, "--resolution", 0, 1e6, &resolution));
    if ((neighbors || resolution > 0) && !k->cluster)
        FAIL(ERR_USAGE, "--neighbors, --resolution: --cluster is missing, which they are of");
    if (k->cluster && p->basis)
        FAIL(ERR_USAGE, "--cluster, --basis: one of them gives the map");
    k->params.neighbors = neighbors ? (int)neighbors : k->params.neighbors;
    k->params.resolution = resolution > 0 ? resolution : k->params.resolution;
    return OK;
}

static Err take_asked(CliArgs *a, const PlotParams *p, Asked *k)
{
    TRY(cli_take_string(a, "--query", &k->query));
    TRY(cli_take_string(a, "--generate", &k->generate));
    TRY(cli_take_string(a, "--generated", &k->generated));
    TRY(cli_take_string(a, "--groups", &k->table));
    TRY(cli_take_size(a, "-n", 1, 10000000, &k->n));
    k->annotate = cli_take_flag(a, "--annotate");
    k->seed = (size_t)a->g->seed;
    TRY(cli_take_size(a, "--generate-seed", 0, SIZE_MAX, &k->seed));
    TRY(take_clustering(a, p, k));
    if ((k->query != NULL) + k->annotate + (k->table != NULL) > 1)
        FAIL(ERR_USAGE, "--query, --annotate, --groups: one of them, in the first panel");
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

static Err ask_query(CliArgs *a, Session *s, const char *text, PlotParams *p, QueryResult **answer)
{
    TRY(session_query(s, text, a->ctl, answer));
    if ((*answer)->warning[0])
        log_warn("%s: %s", a->file, (*answer)->warning);
    log_info("--query: understood as: %s", (*answer)->understood);
    p->values = (*answer)->scores;
    p->query = (*answer)->text;
    return OK;
}

static Err find_map(CliArgs *a, Session *s, PlotParams *p, Asked *k)
{
    if (!k->cluster) {
        TRY(session_map(s, p->basis, a->ctl, &k->map));
        p->map = k->map;
        return OK;
    }
    TRY(session_cluster(s, &k->params, a->ctl, &k->computed));
    p->map = k->computed->map;
    if (!p->n_colors && !k->table && !k->annotate && !k->query)
        p->groups = k->computed->groups;
    return OK;
}

/* The map first: without one there is no figure, and the model need not be asked. */
static Err ask(CliArgs *a, Session *s, PlotParams *p, Asked *k)
{
    enum { CELLS = 200 };
    TRY(find_map(a, s, p, k));
    if (k->table) {
        TRY(cli_read_groups(s, k->table, &k->types));
        p->groups = k->types;
    }
    if (k->annotate) {
        TRY(types_of_cells(a, s, &k->types));
        p->groups = k->types;
    }
    if (k->query)
        TRY(ask_query(a, s, k->query, p, &k->answer));
    if (k->generate) {
        GenerateParams g = {.prompt = k->generate, .n = k->n ? k->n : CELLS, .seed = k->seed, .place_only = true};
        TRY(session_generate(s, &g, p->map, a->ctl, &k->made));
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

static Err take_looks(CliArgs *a, PlotParams *p)
{
    double columns = 0;
    TRY(cli_take_string(a, "--size", &p->size));
    TRY(cli_take_string(a, "--style", &p->style));
    TRY(cli_take_string(a, "--legend", &p->legend));
    TRY(cli_take_string(a, "--frame", &p->frame));
    TRY(cli_take_string(a, "--cmap", &p->cmap));
    TRY(cli_take_string(a, "--vmin", &p->vmin));
    TRY(cli_take_string(a, "--vmax", &p->vmax));
    TRY(cli_take_string(a, "--vcenter", &p->vcenter));
    TRY(cli_take_string(a, "--simulate", &p->simulate));
    TRY(cli_take_string(a, "--vector-points", &p->vector_points));
    TRY(cli_take_number(a, "--dpi", 20, 2400, &p->dpi));
    TRY(cli_take_number(a, "--size-scale", 0.01, 100, &p->point_scale));
    TRY(cli_take_number(a, "--ncols", 1, 16, &columns));
    p->columns = (int)columns;
    p->sidecar = cli_take_flag(a, "--sidecar");
    p->transparent = cli_take_flag(a, "--transparent");
    p->strip_metadata = cli_take_flag(a, "--strip-metadata");
    p->letters = cli_take_flag(a, "--letters");
    p->glyphs = cli_take_flag(a, "--glyphs");
    p->zero_grey = cli_take_flag(a, "--zero-grey");
    p->free_scales = cli_take_flag(a, "--free-scales");
    p->force = a->g->force;
    p->output = a->g->output;
    return OK;
}

/* What can be checked before the file is read. */
static Err check_looks(const PlotParams *p, const char *usage)
{
    double w, h;
    int kind;
    if (!p->output)
        FAIL(ERR_USAGE, "-o: a figure's name is missing; usage: scmmgpt plot %s", usage);
    TRY(err_context(draw_check_name(p->output), "-o"));
    TRY(scatter_size(p->size, &w, &h));
    return p->simulate ? color_simulate_find(p->simulate, &kind) : OK;
}

typedef struct ChartAsked {
    const char *table, *query;
    Groups *groups;
    QueryResult *answer;
} ChartAsked;

/* Dot plots, violins and the like. */
static Err draw_chart(CliArgs *a, Session *s, ChartParams *c, PlotParams *p, ChartAsked *k)
{
    if (k->table)
        TRY(cli_read_groups(s, k->table, &k->groups));
    c->groups = k->groups;
    if (k->query)
        TRY(ask_query(a, s, k->query, p, &k->answer));
    return session_chart(s, c, p, a->ctl);
}

static const char chart_usage[] =
    "FILE --kind dotplot|matrix|heatmap|violin|histogram|composition --groupby KEY | --groups T.tsv[:COLUMN] "
    "[--genes A,B,C | --markers 3 | --query \"TEXT\"] [--color PARTS] [--cells RULE] [--scale-genes] [--absolute] -o FIG.png|.svg|.pdf";

static Err plot_chart(CliArgs *a, ChartParams *c, PlotParams *p, const char **colors, char **copy)
{
    ChartAsked k = {0};
    Session *s;
    bool numbers = c->kind == FIGURE_VIOLIN || c->kind == FIGURE_HISTOGRAM;
    TRY(take_genes(a, colors, MAX_COLORS, &p->n_colors, copy));
    TRY(cli_take_string(a, "--groupby", &c->groupby));
    TRY(cli_take_string(a, "--cells", &c->rule));
    TRY(cli_take_string(a, "--groups", &k.table));
    TRY(cli_take_size(a, "--markers", 1, 50, &c->markers));
    if (numbers)
        TRY(cli_take_string(a, "--query", &k.query));
    if (c->kind == FIGURE_HISTOGRAM)
        TRY(cli_take_string(a, "--highlight", &p->highlight));
    c->scale_genes = cli_take_flag(a, "--scale-genes");
    c->absolute = cli_take_flag(a, "--absolute");
    TRY(cli_finish(a, 1, 1, chart_usage));
    if ((c->markers > 0) + (p->n_colors > 0) + (k.query != NULL) > 1)
        FAIL(ERR_USAGE, "--markers, --genes, --query: one of them says what is drawn");
    TRY(check_looks(p, chart_usage));
    TRY(cli_open(a, a->argv[1], &s));
    session_plot_begin(s, p);
    Err err = draw_chart(a, s, c, p, &k);
    groups_free(k.groups);
    query_result_free(k.answer);
    session_close(s);
    return err;
}

static Err plot_map(CliArgs *a, PlotParams *p)
{
    static const char usage[] = "FILE [--cluster] [--query \"TEXT\" | --annotate | --groups T.tsv[:COLUMN]] [--color KEY_OR_GENE] [--color ...] "
                                "-o FIG.png|.svg|.pdf [--basis umap] [--split-by KEY] [--highlight A,B] [--cells RULE] "
                                "[--generate \"TEXT\" [-n N] | --generated CELLS.h5ad] [--size 85mm|170mm|slide|square] [--dpi 300] "
                                "[--view X0,Y0,X1,Y1] [--simulate deuteranopia]; --kind dotplot|matrix|heatmap|violin|histogram|composition: other plots";
    Asked asked = {0};
    const char *view = NULL;
    TRY(cli_take_string(a, "--basis", &p->basis));
    TRY(cli_take_string(a, "--split-by", &p->split_by));
    TRY(cli_take_string(a, "--highlight", &p->highlight));
    TRY(cli_take_string(a, "--cells", &p->rule));
    TRY(take_asked(a, p, &asked));
    TRY(cli_take_string(a, "--view", &view));
    double *v = p->view;
    if (view && (sscanf(view, "%lf,%lf,%lf,%lf", &v[0], &v[1], &v[2], &v[3]) != 4 || !(v[0] < v[2]) || !(v[1] < v[3])))
        FAIL(ERR_USAGE, "--view: '%s' is not X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1", view);
    TRY(cli_finish(a, 1, 1, usage));
    TRY(check_looks(p, usage));
    Session *s;
    TRY(cli_open(a, a->argv[1], &s));
    session_plot_begin(s, p);
    Err err = ask(a, s, p, &asked);
    if (err == OK)
        err = session_plot(s, p, a->ctl);
    groups_free(asked.types);
    query_result_free(asked.answer);
    generated_free(asked.made);
    map_free(asked.map);
    clustering_free(asked.computed);
    session_close(s);
    return err;
}

Err cli_plot(CliArgs *a)
{
    const char *colors[MAX_COLORS], *kind = NULL;
    PlotParams p = plot_params_default();
    ChartParams c = {.kind = FIGURE_MAP};
    char *copy = NULL;
    p.colors = colors;
    TRY(take_colors(a, colors, MAX_COLORS, &p.n_colors));
    TRY(cli_take_string(a, "--kind", &kind));
    if (kind)
        TRY(figure_kind_find(kind, &c.kind));
    TRY(take_looks(a, &p));
    Err err = c.kind == FIGURE_MAP ? plot_map(a, &p) : plot_chart(a, &c, &p, colors, &copy);
    free(copy);
    return err;
}
