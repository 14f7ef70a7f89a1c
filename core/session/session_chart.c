/* From a request ("marker genes of leiden as a dot plot") to one of core/figure's plots of groups. */
#include "core/session/session_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/chart.h"
#include "core/figure/scatter.h"
#include "core/session/figure_file.h"

static const char *const kind_names[] = {"map", "dotplot", "matrix", "heatmap", "violin", "composition", "histogram"};
enum { N_KINDS = sizeof kind_names / sizeof *kind_names };

Err figure_kind_find(const char *name, FigureKind *out)
{
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(name, kind_names[i]) == 0 || (i == 0 && strcmp(name, "scatter") == 0)) {
            *out = (FigureKind)i;
            return OK;
        }
    FAIL(ERR_USAGE, "--kind: '%s'; use map, dotplot, matrix, heatmap, violin, composition or histogram", name);
}

/* What a plot borrows from. */
typedef struct ChartData {
    Groups *groups, *parts;
    Selection *chosen;
    size_t *sizes;        /* [groups] of the chosen cells */
    size_t n;             /* genes or columns */
    char **names;         /* [n] owned */
    Values **values;      /* [n] */
    float *fraction, *mean; /* [n, groups] */
    Distribution *spread; /* [n] */
    Bracket *brackets;
    size_t n_brackets;
    char *unit, *cells_text; /* "; cells: RULE (n)", "" for all */
    double width_mm, height_mm, lo, hi;
    ColorMap map;
} ChartData;

static void chart_data_free(ChartData *d)
{
    for (size_t i = 0; i < d->n; i++) {
        values_free(d->values ? d->values[i] : NULL);
        free(d->names ? d->names[i] : NULL);
        if (d->spread)
            distribution_done(&d->spread[i]);
    }
    free(d->values);
    free(d->names);
    free(d->spread);
    free(d->fraction);
    free(d->mean);
    free(d->brackets);
    free(d->sizes);
    free(d->unit);
    free(d->cells_text);
    groups_free(d->groups);
    groups_free(d->parts);
    selection_free(d->chosen);
}

static const uint8_t *chosen(const ChartData *d)
{
    return d->chosen ? d->chosen->in : NULL;
}

/* A group of all cells. */
static Err one_group(size_t n_cells, Groups **out)
{
    Groups *g = mem_must(sizeof *g);
    g->key = mem_strdup("");
    g->n_groups = 1;
    g->n_cells = n_cells;
    g->names = mem_must(sizeof *g->names);
    g->names[0] = mem_strdup("all cells");
    g->colors = mem_must(sizeof *g->colors);
    g->colors[0] = COLOR_PLAIN;
    g->sizes = mem_must(sizeof *g->sizes);
    g->sizes[0] = n_cells;
    Err err = NEW0(g->codes, n_cells);
    if (err)
        groups_free(g);
    else
        *out = g;
    return err;
}

/* Cells of the groups that are not named stay out. */
static Err keep_named(const PlotParams *pp, Groups *g)
{
    uint8_t *named;
    if (!pp->highlight)
        return OK;
    TRY(figure_highlight(g, pp->highlight, &named));
    for (size_t i = 0; i < g->n_cells; i++)
        if (g->codes[i] >= 0 && !named[g->codes[i]])
            g->codes[i] = -1;
    free(named);
    return OK;
}

static bool is_histogram_of_all(const ChartParams *c)
{
    return c->kind == FIGURE_HISTOGRAM && !c->groups && !c->groupby;
}

static Err read_groups(Session *s, const ChartParams *c, const PlotParams *pp, JobCtl *ctl, ChartData *d)
{
    if (is_histogram_of_all(c))
        TRY(one_group(dataset_cells(session_dataset(s)), &d->groups));
    else if (c->groups && !(c->kind == FIGURE_COMPOSITION && c->groupby))
        TRY(groups_copy(c->groups, &d->groups));
    else
        TRY(session_groups(s, c->groupby, ctl, &d->groups));
    if (c->rule)
        TRY(session_select(s, c->rule, ctl, &d->chosen));
    d->cells_text = d->chosen ? figure_cells_text("; cells", c->rule, d->chosen->n) : mem_strdup("");
    if (c->kind == FIGURE_HISTOGRAM)
        TRY(keep_named(pp, d->groups));
    const Groups *g = d->groups;
    TRY(NEW0(d->sizes, g->n_groups));
    for (size_t i = 0; i < g->n_cells; i++)
        if (g->codes[i] >= 0 && (!d->chosen || d->chosen->in[i]))
            d->sizes[g->codes[i]]++;
    size_t cells = 0;
    for (size_t i = 0; i < g->n_groups; i++)
        cells += d->sizes[i];
    if (!cells && c->rule)
        FAIL(ERR_NOT_FOUND, "--cells %s: no cell of %s is like that; there is nothing to draw", c->rule, g->key);
    if (!cells)
        FAIL(ERR_NOT_FOUND, "obs/%s: no cell has a value; there is nothing to draw", g->key);
    return OK;
}

static ChartGroups chart_groups(const Groups *g, const size_t *sizes)
{
    return (ChartGroups){.key = g->key, .n = g->n_groups, .names = g->names, .sizes = sizes, .colors = g->colors};
}

static const char *cells_caption(const ChartData *d)
{
    return d->cells_text[0] ? d->cells_text + 2 : NULL;
}

/* ---- genes ---- */

/* The best genes of each group that no earlier group has, in brackets named after it. */
static Err marker_genes(Session *s, size_t per_group, JobCtl *ctl, ChartData *d)
{
    Err err = OK;
    MarkerTable *t = NULL;
    const Groups *g = d->groups;
    TRY(session_markers(s, g, MARKERS_WILCOXON, 4 * per_group + 8, ctl, &t));
    TRY_GOTO(NEW0(d->names, g->n_groups * per_group));
    TRY_GOTO(NEW0(d->brackets, g->n_groups));
    for (size_t k = 0; k < g->n_groups; k++) {
        Bracket *b = &d->brackets[d->n_brackets];
        *b = (Bracket){.name = g->names[k], .first = d->n};
        for (size_t i = 0; i < t->n && b->n < per_group && d->sizes[k]; i++) {
            bool taken = false;
            for (size_t j = 0; j < d->n; j++)
                taken |= strcmp(d->names[j], t->rows[i].gene) == 0;
            if (t->rows[i].group != (int32_t)k || taken || !(t->rows[i].score > 0))
                continue;
            d->names[d->n++] = mem_strdup(t->rows[i].gene);
            b->n++;
        }
        d->n_brackets += b->n > 0;
    }
    if (d->n == 0)
        FAIL_GOTO(ERR_NOT_FOUND, "obs/%s: no group has a marker gene; name genes with --color", g->key);
done:
    marker_table_free(t);
    return err;
}

static Err read_values(Session *s, const PlotParams *pp, bool columns_too, JobCtl *ctl, ChartData *d)
{
    if (pp->n_colors) {
        TRY(NEW0(d->names, pp->n_colors));
        for (size_t i = 0; i < pp->n_colors; i++)
            d->names[d->n++] = mem_strdup(pp->colors[i]);
    }
    TRY(NEW0(d->values, d->n));
    job_stage(ctl, "reading genes", d->n);
    for (size_t i = 0; i < d->n; i++) {
        TRY(columns_too ? session_color_values(s, d->names[i], ctl, &d->values[i])
                        : session_gene(s, d->names[i], true, ctl, &d->values[i]));
        free(d->names[i]);
        d->names[i] = mem_strdup(d->values[i]->name);
        TRY(job_progress(ctl, i));
    }
    return OK;
}

static bool shows_numbers(FigureKind k)
{
    return k == FIGURE_VIOLIN || k == FIGURE_HISTOGRAM;
}

/* One given number, such as the scores of a question. */
static Err take_values(const Values *v, ChartData *d)
{
    TRY(NEW0(d->names, 1));
    TRY(NEW0(d->values, 1));
    Values *copy = mem_must(sizeof *copy);
    d->values[0] = copy;
    d->names[d->n++] = mem_strdup(v->name);
    *copy = (Values){.name = mem_strdup(v->name), .unit = mem_strdup(v->unit), .n = v->n};
    TRY(NEW(copy->v, v->n));
    memcpy(copy->v, v->v, v->n * sizeof *v->v);
    return OK;
}

static Err genes_of(Session *s, const ChartParams *c, const PlotParams *pp, JobCtl *ctl, ChartData *d)
{
    if (pp->values && shows_numbers(c->kind))
        return take_values(pp->values, d);
    if (!pp->n_colors && c->kind == FIGURE_HISTOGRAM)
        FAIL(ERR_USAGE, "--kind histogram: --color names the gene or column");
    if (!pp->n_colors && c->kind != FIGURE_COMPOSITION)
        TRY(marker_genes(s, c->markers ? c->markers : c->kind == FIGURE_VIOLIN ? 1 : 3, ctl, d));
    return read_values(s, pp, shows_numbers(c->kind), ctl, d);
}

static Err summarise(const ChartParams *c, const PlotParams *pp, ChartData *d)
{
    const Groups *g = d->groups;
    size_t m = g->n_groups;
    TRY(NEW0(d->fraction, d->n * m));
    TRY(NEW0(d->mean, d->n * m));
    for (size_t i = 0; i < d->n; i++)
        summary_gene(d->values[i]->v, g->codes, chosen(d), g->n_cells, m, d->fraction + i * m, d->mean + i * m);
    if (c->scale_genes)
        summary_scale_rows(d->mean, d->n, m);
    d->unit = str_format("%s%s", c->scale_genes ? "mean, 0\xe2\x80\x93" "1 a gene" : "mean ", c->scale_genes ? "" : d->values[0]->unit);
    return figure_limits(d->mean, d->n * m, pp, &d->lo, &d->hi);
}

/* ---- the kinds ---- */

static Err draw_grid(const ChartParams *c, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    TRY(summarise(c, pp, d));
    TRY(figure_map(pp, c->kind == FIGURE_DOTS ? "reds" : "viridis", &d->map));
    GridPlot g = {.kind = c->kind == FIGURE_DOTS ? GRID_DOTS : GRID_TILES, .groups = chart_groups(d->groups, d->sizes),
                  .n_genes = d->n, .genes = d->names, .fraction = d->fraction, .mean = d->mean, .unit = d->unit, .map = d->map,
                  .vmin = d->lo, .vmax = d->hi, .n_brackets = d->n_brackets, .brackets = d->brackets,
                  .width_mm = d->width_mm, .height_mm = d->height_mm, .caption = cells_caption(d)};
    return grid_render(&g, pp->output, r, ctl);
}

static Err draw_cells(const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    Err err = OK;
    const Groups *g = d->groups;
    const float **values = NULL;
    int32_t *codes = NULL;
    TRY(figure_map(pp, "viridis", &d->map));
    TRY_GOTO(NEW(values, d->n));
    TRY_GOTO(NEW(codes, g->n_cells));
    for (size_t i = 0; i < d->n; i++) {
        double lo = 0, hi = 0;
        values[i] = d->values[i]->v;
        TRY_GOTO(figure_limits(d->values[i]->v, g->n_cells, pp, &lo, &hi));
        d->lo = i ? fmin(d->lo, lo) : lo;
        d->hi = i ? fmax(d->hi, hi) : hi;
    }
    for (size_t i = 0; i < g->n_cells; i++)
        codes[i] = d->chosen && !d->chosen->in[i] ? -1 : g->codes[i];
    CellPlot p = {.groups = chart_groups(g, d->sizes), .codes = codes, .n = g->n_cells, .n_genes = d->n, .genes = d->names,
                  .values = values, .unit = d->values[0]->unit, .map = d->map, .vmin = d->lo, .vmax = d->hi,
                  .width_mm = d->width_mm, .height_mm = d->height_mm, .caption = cells_caption(d)};
    TRY_GOTO(cells_render(&p, pp->output, r, ctl));
done:
    free(values);
    free(codes);
    return err;
}

/* How numbers are titled, and their distributions. */
typedef struct Spreads {
    bool *italic;        /* [n] genes */
    const char **units;  /* [n] */
    const char *shared;  /* the unit of all, when they are genes; NULL */
    double left_out;     /* histogram: share of cells without the gene, of a single one */
} Spreads;

static bool is_gene(Session *s, const char *name, const Values *given)
{
    return !given && dataset_find_obs(session_dataset(s), name) < 0 && !color_is_computed(name);
}

/* In a histogram of a gene the cells without it would hide the others. */
static Err spread(const ChartParams *c, ChartData *d, size_t i, Spreads *o)
{
    const Groups *g = d->groups;
    const float *v = d->values[i]->v;
    float *positive = NULL;
    Err err = OK;
    if (c->kind == FIGURE_HISTOGRAM && o->italic[i]) {
        size_t cells = 0, zeros = 0;
        TRY(NEW(positive, g->n_cells));
        for (size_t k = 0; k < g->n_cells; k++) {
            bool in = g->codes[k] >= 0 && (!d->chosen || d->chosen->in[k]);
            cells += in;
            zeros += in && !(v[k] > 0);
            positive[k] = v[k] > 0 ? v[k] : NAN;
        }
        o->left_out = cells ? (double)zeros / (double)cells : 0;
        v = positive;
    }
    err = distribution_of(v, g->codes, chosen(d), g->n_cells, g->n_groups, &d->spread[i]);
    free(positive);
    return err;
}

static Err spreads_of(Session *s, const ChartParams *c, const PlotParams *pp, ChartData *d, JobCtl *ctl, Spreads *o)
{
    TRY(NEW0(d->spread, d->n));
    TRY(NEW0(o->italic, d->n));
    TRY(NEW0(o->units, d->n));
    o->shared = d->values[0]->unit;
    for (size_t i = 0; i < d->n; i++) {
        o->units[i] = d->values[i]->unit;
        o->italic[i] = is_gene(s, d->names[i], pp->values);
        o->shared = o->shared && o->italic[i] && strcmp(o->shared, o->units[i]) == 0 ? o->shared : NULL;
        TRY(spread(c, d, i, o));
        TRY(job_progress(ctl, i));
    }
    return OK;
}

static Err draw_violins(Session *s, const ChartParams *c, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    Err err = OK;
    Spreads o = {0};
    char *caption = NULL;
    TRY_GOTO(spreads_of(s, c, pp, d, ctl, &o));
    caption = str_format("%s%sbar: quartiles, dot: median%s", o.shared ? o.shared : "", o.shared && o.shared[0] ? "; " : "", d->cells_text);
    ViolinPlot v = {.groups = chart_groups(d->groups, d->sizes), .n_rows = d->n, .titles = d->names, .units = o.units, .italic = o.italic,
                    .values = d->spread, .width_mm = d->width_mm, .height_mm = d->height_mm, .caption = caption};
    TRY_GOTO(violin_render(&v, pp->output, r, ctl));
done:
    free(o.italic);
    free(o.units);
    free(caption);
    return err;
}

static Err draw_histograms(Session *s, const ChartParams *c, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    Err err = OK;
    Spreads o = {0};
    char *caption = NULL, zeros[80] = "";
    TRY_GOTO(spreads_of(s, c, pp, d, ctl, &o));
    if (d->n == 1 && o.left_out > 0)
        snprintf(zeros, sizeof zeros, "; cells without the gene (%.0f %%) are left out", 100 * o.left_out);
    else if (o.left_out > 0)
        snprintf(zeros, sizeof zeros, "; cells without a gene are left out");
    caption = str_format("line: median%s%s", zeros, d->cells_text);
    HistogramPlot h = {.groups = chart_groups(d->groups, d->sizes), .alone = is_histogram_of_all(c), .n_values = d->n, .titles = d->names,
                       .units = o.units, .italic = o.italic, .values = d->spread, .width_mm = d->width_mm, .height_mm = d->height_mm,
                       .caption = caption};
    TRY_GOTO(histogram_render(&h, pp->output, r, ctl));
done:
    free(o.italic);
    free(o.units);
    free(caption);
    return err;
}

static Err draw_bars(Session *s, const ChartParams *c, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    bool sizes = !pp->n_colors && (c->groupby != NULL) != (c->groups != NULL);
    if (!sizes && (!c->groupby || (pp->n_colors == 1) == (c->groups != NULL)))
        FAIL(ERR_USAGE, "--kind composition: --groupby names the bars (a sample), one --color their parts (a cell type); "
                        "--groupby alone gives the sizes of its groups");
    if (sizes)
        TRY(groups_copy(d->groups, &d->parts));
    else if (c->groups)
        TRY(groups_copy(c->groups, &d->parts));
    else
        TRY(session_groups(s, pp->colors[0], ctl, &d->parts));
    size_t *counts;
    const Groups *g = d->groups, *parts = d->parts;
    TRY(NEW(counts, g->n_groups * parts->n_groups));
    composition_of(g->codes, g->n_groups, parts->codes, parts->n_groups, chosen(d), g->n_cells, counts);
    BarPlot b = {.rows = chart_groups(g, d->sizes), .parts = chart_groups(parts, parts->sizes), .counts = counts,
                 .absolute = c->absolute || sizes, .width_mm = d->width_mm, .height_mm = d->height_mm, .caption = cells_caption(d)};
    if (sizes)
        b.parts.key = NULL; /* the bars are named already */
    Err err = bar_render(&b, pp->output, r, ctl);
    free(counts);
    return err;
}

static Err draw(Session *s, const ChartParams *c, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    switch (c->kind) {
    case FIGURE_VIOLIN:
        return draw_violins(s, c, pp, d, r, ctl);
    case FIGURE_HISTOGRAM:
        return draw_histograms(s, c, pp, d, r, ctl);
    case FIGURE_COMPOSITION:
        return draw_bars(s, c, pp, d, r, ctl);
    case FIGURE_CELLS:
        return draw_cells(pp, d, r, ctl);
    default:
        return draw_grid(c, pp, d, r, ctl);
    }
}

Err session_chart(Session *s, const ChartParams *c, const PlotParams *pp, JobCtl *ctl)
{
    Err err = OK;
    ChartData d = {0};
    FigureFile file;
    TRY(scatter_size(pp->size ? pp->size : "85mm", &d.width_mm, &d.height_mm));
    TRY_GOTO(read_groups(s, c, pp, ctl, &d));
    if (c->kind != FIGURE_COMPOSITION)
        TRY_GOTO(genes_of(s, c, pp, ctl, &d));
    PlotParams about = *pp;
    about.groups = c->groups;
    about.rule = c->rule;
    TRY_GOTO(figure_file_begin(s, &about, false, session_params(s)->seed, ctl, &file));
    TRY_GOTO(draw(s, c, pp, &d, &file.render, ctl));
    if (pp->sidecar)
        TRY_GOTO(figure_file_sidecar(pp, &file, kind_names[c->kind],
                                     &(FigureFacts){.groupby = d.groups->key, .cells = d.groups->n_cells, .width_mm = d.width_mm,
                                                    .panels = {(const char **)d.names, d.n}}));
done:
    chart_data_free(&d);
    return err;
}
