/* From a request ("marker genes of leiden as a dot plot") to one of core/figure's plots of groups. */
#include "core/session/session_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/chart.h"
#include "core/figure/scatter.h"
#include "core/session/figure_file.h"

static const char *const kind_names[] = {"map", "dotplot", "matrix", "heatmap", "violin", "composition"};

Err figure_kind_find(const char *name, FigureKind *out)
{
    for (int i = 0; i < 6; i++)
        if (strcmp(name, kind_names[i]) == 0 || (i == 0 && strcmp(name, "scatter") == 0)) {
            *out = (FigureKind)i;
            return OK;
        }
    FAIL(ERR_USAGE, "--kind: '%s'; use map, dotplot, matrix, heatmap, violin or composition", name);
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
    char *unit;
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
    groups_free(d->groups);
    groups_free(d->parts);
    selection_free(d->chosen);
}

static const uint8_t *chosen(const ChartData *d)
{
    return d->chosen ? d->chosen->in : NULL;
}

static Err read_groups(Session *s, const ChartParams *c, JobCtl *ctl, ChartData *d)
{
    if (c->groups && c->kind != FIGURE_COMPOSITION)
        TRY(groups_copy(c->groups, &d->groups));
    else
        TRY(session_groups(s, c->groupby, ctl, &d->groups));
    if (c->rule)
        TRY(session_select(s, c->rule, ctl, &d->chosen));
    const Groups *g = d->groups;
    TRY(NEW0(d->sizes, g->n_groups));
    for (size_t i = 0; i < g->n_cells; i++)
        if (g->codes[i] >= 0 && (!d->chosen || d->chosen->in[i]))
            d->sizes[g->codes[i]]++;
    return OK;
}

static ChartGroups chart_groups(const Groups *g, const size_t *sizes)
{
    return (ChartGroups){.key = g->key, .n = g->n_groups, .names = g->names, .sizes = sizes, .colors = g->colors};
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

static Err genes_of(Session *s, const ChartParams *c, const PlotParams *pp, JobCtl *ctl, ChartData *d)
{
    if (!pp->n_colors && c->kind != FIGURE_COMPOSITION)
        TRY(marker_genes(s, c->markers ? c->markers : c->kind == FIGURE_VIOLIN ? 1 : 3, ctl, d));
    return read_values(s, pp, c->kind == FIGURE_VIOLIN, ctl, d);
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
                  .width_mm = d->width_mm, .height_mm = d->height_mm};
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
                  .width_mm = d->width_mm, .height_mm = d->height_mm};
    TRY_GOTO(cells_render(&p, pp->output, r, ctl));
done:
    free(values);
    free(codes);
    return err;
}

static Err draw_violins(Session *s, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    Err err = OK;
    const Groups *g = d->groups;
    bool *italic = NULL;
    const char **units = NULL, *shared = d->values[0]->unit;
    char *caption = NULL;
    TRY_GOTO(NEW0(d->spread, d->n));
    TRY_GOTO(NEW0(italic, d->n));
    TRY_GOTO(NEW0(units, d->n));
    for (size_t i = 0; i < d->n; i++) {
        units[i] = d->values[i]->unit;
        italic[i] = dataset_find_obs(session_dataset(s), d->names[i]) < 0 && !color_is_computed(d->names[i]);
        shared = shared && italic[i] && strcmp(shared, units[i]) == 0 ? shared : NULL;
        TRY_GOTO(distribution_of(d->values[i]->v, g->codes, chosen(d), g->n_cells, g->n_groups, &d->spread[i]));
        TRY_GOTO(job_progress(ctl, i));
    }
    if (shared && shared[0])
        caption = str_format("%s; bar: quartiles, dot: median", shared);
    ViolinPlot v = {.groups = chart_groups(g, d->sizes), .n_rows = d->n, .titles = d->names, .units = units, .italic = italic,
                    .values = d->spread, .width_mm = d->width_mm, .height_mm = d->height_mm,
                    .caption = caption ? caption : "bar: quartiles, dot: median"};
    TRY_GOTO(violin_render(&v, pp->output, r, ctl));
done:
    free(italic);
    free(units);
    free(caption);
    return err;
}

static Err draw_bars(Session *s, const ChartParams *c, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    if (!c->groupby || (pp->n_colors == 1) == (c->groups != NULL))
        FAIL(ERR_USAGE, "--kind composition: --groupby names the bars (a sample), one --color their parts (a cell type)");
    if (c->groups)
        TRY(groups_copy(c->groups, &d->parts));
    else
        TRY(session_groups(s, pp->colors[0], ctl, &d->parts));
    size_t *counts;
    const Groups *g = d->groups, *parts = d->parts;
    TRY(NEW(counts, g->n_groups * parts->n_groups));
    composition_of(g->codes, g->n_groups, parts->codes, parts->n_groups, chosen(d), g->n_cells, counts);
    BarPlot b = {.rows = chart_groups(g, d->sizes), .parts = chart_groups(parts, parts->sizes), .counts = counts,
                 .absolute = c->absolute, .width_mm = d->width_mm, .height_mm = d->height_mm};
    Err err = bar_render(&b, pp->output, r, ctl);
    free(counts);
    return err;
}

static Err draw(Session *s, const ChartParams *c, const PlotParams *pp, ChartData *d, const RenderParams *r, JobCtl *ctl)
{
    switch (c->kind) {
    case FIGURE_VIOLIN:
        return draw_violins(s, pp, d, r, ctl);
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
    TRY_GOTO(read_groups(s, c, ctl, &d));
    if (c->kind != FIGURE_COMPOSITION)
        TRY_GOTO(genes_of(s, c, pp, ctl, &d));
    TRY_GOTO(figure_file_begin(s, pp, false, session_params(s)->seed, ctl, &file));
    TRY_GOTO(draw(s, c, pp, &d, &file.render, ctl));
    if (pp->sidecar)
        TRY_GOTO(figure_file_sidecar(pp, &file, kind_names[c->kind],
                                     &(FigureFacts){.groupby = d.groups->key, .cells = d.groups->n_cells, .width_mm = d.width_mm,
                                                    .panels = {(const char **)d.names, d.n}}));
done:
    chart_data_free(&d);
    return err;
}
