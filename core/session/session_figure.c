/* From a request ("colour by CD3E, split by donor") to a Scatter and its file. */
#include "core/session/session_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/legend.h"
#include "core/figure/scatter.h"
#include "core/session/figure_file.h"

PlotParams plot_params_default(void)
{
    return (PlotParams){.size = "85mm", .dpi = 300, .legend = "right", .vector_points = "auto"};
}

/* The panels of a split: its groups that have cells here, and last the cells without a group. */
typedef struct Parts {
    size_t n, *group, *cells; /* [n]; group n_groups: without one */
    uint8_t *in;              /* [n, cells] */
} Parts;

static void parts_done(Parts *p)
{
    free(p->group);
    free(p->cells);
    free(p->in);
}

static size_t part_of(const Groups *g, size_t i)
{
    return g->codes[i] >= 0 ? (size_t)g->codes[i] : g->n_groups;
}

static Err make_parts(const Groups *g, const Selection *chosen, Parts *out)
{
    Err err = OK;
    size_t *sizes = NULL, *place = NULL;
    *out = (Parts){0};
    TRY_GOTO(NEW0(sizes, g->n_groups + 1));
    TRY_GOTO(NEW(place, g->n_groups + 1));
    TRY_GOTO(NEW(out->group, g->n_groups + 1));
    TRY_GOTO(NEW(out->cells, g->n_groups + 1));
    for (size_t i = 0; i < g->n_cells; i++)
        sizes[part_of(g, i)] += !chosen || chosen->in[i];
    for (size_t j = 0; j <= g->n_groups; j++)
        if (sizes[j]) {
            place[j] = out->n;
            out->group[out->n] = j;
            out->cells[out->n++] = sizes[j];
        }
    TRY_GOTO(NEW0(out->in, out->n * g->n_cells));
    for (size_t i = 0; i < g->n_cells; i++)
        if (!chosen || chosen->in[i])
            out->in[place[part_of(g, i)] * g->n_cells + i] = 1;
done:
    free(sizes);
    free(place);
    if (err)
        parts_done(out);
    return err;
}

/* What the panels borrow from, freed together. */
typedef struct Sources {
    size_t n, n_panels;
    Groups **groups; /* [n] or NULL each */
    Values **values;
    uint8_t **highlight;
    Selection *chosen;
    Groups *split;
    Parts parts;
    char **titles;     /* [n_panels + 1] of a split, and of its colour bar */
    ScatterPanel *panels;
} Sources;

static void sources_free(Sources *o)
{
    for (size_t i = 0; i < o->n; i++) {
        groups_free(o->groups[i]);
        values_free(o->values[i]);
        free(o->highlight[i]);
    }
    for (size_t i = 0; o->titles && i <= o->n_panels; i++)
        free(o->titles[i]);
    free(o->titles);
    selection_free(o->chosen);
    groups_free(o->split);
    parts_done(&o->parts);
    free(o->groups);
    free(o->values);
    free(o->highlight);
    free(o->panels);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

Err figure_limit(const float *v, size_t n, const char *text, double *out)
{
    char *end;
    bool percentile = text[0] == 'p';
    double x = strtod(text + percentile, &end);
    if (end == text + percentile || *end || (percentile && !(x >= 0 && x <= 100)))
        FAIL(ERR_USAGE, "'%s' is no limit of a colour scale; use a number or a percentile such as p99", text);
    if (!percentile) {
        *out = x;
        return OK;
    }
    float *sorted;
    size_t m = 0;
    TRY(NEW(sorted, n));
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i]))
            sorted[m++] = v[i];
    qsort(sorted, m, sizeof *sorted, compare_floats);
    *out = m ? sorted[(size_t)(x / 100 * (double)(m - 1) + 0.5)] : 0;
    free(sorted);
    return OK;
}

static Err no_such_group(const Groups *g, const char *name)
{
    Str s = {0};
    for (size_t i = 0; i < g->n_groups && i < 12; i++)
        str_addf(&s, "%s%s", i ? ", " : "", g->names[i]);
    Err err = err_set(ERR_NOT_FOUND, "--highlight: %s has no group '%s'; it has %s%s", g->key, name, str_text(&s),
                      g->n_groups > 12 ? ", ..." : "");
    str_free(&s);
    return err;
}

/* A name on its own may hold a comma. */
static bool mark_named(const Groups *g, const char *name, uint8_t *marks)
{
    bool found = false;
    for (size_t i = 0; i < g->n_groups; i++)
        if (strcmp(g->names[i], name) == 0)
            marks[i] = found = true;
    return found;
}

Err figure_highlight(const Groups *g, const char *list, uint8_t **out)
{
    uint8_t *marks;
    TRY(NEW0(marks, g->n_groups));
    char *copy = mem_strdup(list), *save = NULL;
    bool whole = mark_named(g, list, marks);
    Err err = OK;
    for (char *name = strtok_r(copy, ",", &save); name && !whole && err == OK; name = strtok_r(NULL, ",", &save))
        if (!mark_named(g, name, marks))
            err = no_such_group(g, name);
    free(copy);
    if (err)
        free(marks);
    else
        *out = marks;
    return err;
}

static void panel_of_groups(const Groups *g, const uint8_t *highlight, ScatterPanel *p)
{
    *p = (ScatterPanel){.title = g->key, .codes = g->codes, .n_groups = g->n_groups, .names = g->names,
                        .colors = g->colors, .highlight = highlight};
}

Err figure_limits(const float *v, size_t n, const PlotParams *pp, double *lo, double *hi)
{
    if (!pp->vmin && !pp->vmax && !pp->vcenter)
        return OK;
    TRY(figure_limit(v, n, pp->vmin ? pp->vmin : "p0", lo));
    TRY(figure_limit(v, n, pp->vmax ? pp->vmax : "p100", hi));
    if (pp->vmin && pp->vmax && *hi < *lo)
        FAIL(ERR_USAGE, "--vmin %s, --vmax %s: the lower limit is above the upper one (%g, %g)", pp->vmin, pp->vmax, *lo, *hi);
    if (pp->vcenter) {
        double middle, half;
        TRY(figure_limit(v, n, pp->vcenter, &middle));
        half = fmax(fabs(*lo - middle), fabs(*hi - middle));
        *lo = middle - half;
        *hi = middle + half;
    }
    if (*hi <= *lo)
        *hi = *lo + 1e-6;
    return OK;
}

Err figure_map(const PlotParams *pp, const char *usual, ColorMap *out)
{
    return color_map_find(pp->cmap ? pp->cmap : pp->vcenter ? "rdbu" : usual, out);
}

static Err panel_of_values(const Values *v, const PlotParams *pp, bool gene, ScatterPanel *p)
{
    *p = (ScatterPanel){.title = v->name, .values = v->v, .unit = v->unit, .italic_title = gene, .zero_grey = pp->zero_grey};
    TRY(figure_map(pp, "viridis", &p->map));
    figure_warn_values(v, pp);
    return figure_limits(v->v, v->n, pp, &p->vmin, &p->vmax);
}

/* The limits of each panel alone. */
static void own_limits(ScatterPanel *p, size_t n)
{
    double lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (isfinite(p->values[i])) {
            lo = fmin(lo, p->values[i]);
            hi = fmax(hi, p->values[i]);
        }
    if (!(p->vmin < p->vmax) && lo <= hi) {
        p->vmin = lo;
        p->vmax = hi > lo ? hi : lo + 1;
    }
}

/* An obs column with names colours by group, one with numbers by value; anything else is computed, or a gene. */
static Err make_panel(Session *s, const PlotParams *pp, const char *key, size_t i, Sources *o, JobCtl *ctl)
{
    Dataset *d = session_dataset(s);
    int obs = dataset_find_obs(d, key);
    ScatterPanel *p = &o->panels[i];
    if (obs >= 0 && (dataset_obs_kind(d, (size_t)obs) != COLUMN_NUMERIC)) {
        TRY(session_groups(s, key, ctl, &o->groups[i]));
        if (pp->highlight)
            TRY(figure_highlight(o->groups[i], pp->highlight, &o->highlight[i]));
        panel_of_groups(o->groups[i], o->highlight[i], p);
        return OK;
    }
    TRY(session_color_values(s, key, ctl, &o->values[i]));
    return panel_of_values(o->values[i], pp, obs < 0 && !color_is_computed(key), p);
}

/* Given groups or numbers first, then a panel for each colour; without either the file's own groups. */
static Err make_panels(Session *s, const PlotParams *pp, Sources *o, JobCtl *ctl)
{
    size_t given = pp->groups || pp->values;
    o->n = given + pp->n_colors ? given + pp->n_colors : 1;
    o->groups = mem_must(o->n * sizeof *o->groups);
    o->values = mem_must(o->n * sizeof *o->values);
    o->highlight = mem_must(o->n * sizeof *o->highlight);
    o->panels = mem_must(o->n * sizeof *o->panels);
    o->n_panels = o->n;
    if (pp->groups) {
        if (pp->highlight)
            TRY(figure_highlight(pp->groups, pp->highlight, &o->highlight[0]));
        panel_of_groups(pp->groups, o->highlight[0], &o->panels[0]);
    } else if (pp->values) {
        TRY(panel_of_values(pp->values, pp, false, &o->panels[0]));
    }
    for (size_t i = 0; i < pp->n_colors; i++)
        TRY(make_panel(s, pp, pp->colors[i], given + i, o, ctl));
    if (given || pp->n_colors)
        return OK;
    Err err = session_groups(s, NULL, ctl, &o->groups[0]);
    if (err == OK)
        panel_of_groups(o->groups[0], NULL, &o->panels[0]);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* "ctrl (1,431)"; with several colourings "CD3D, ctrl (1,431)". */
static char *split_title(const ScatterPanel *p, const char *name, size_t cells, bool several)
{
    char *count = count_text(cells);
    char *title = several && p->title ? str_format("%s, %s (%s)", p->title, name, count) : str_format("%s (%s)", name, count);
    free(count);
    return title;
}

/* One panel for each value of the split column, for each colouring; the scale of numbers stays shared. What is coloured
 * is named at the legend then. */
static Err split_panels(Session *s, const PlotParams *pp, Sources *o, JobCtl *ctl)
{
    enum { MOST = 64 };
    TRY(session_groups(s, pp->split_by, ctl, &o->split));
    const Groups *g = o->split;
    Parts *p = &o->parts;
    if (g->n_groups > MOST)
        FAIL(ERR_USAGE, "--split-by %s: %zu panels are too many (%d at most)", pp->split_by, g->n_groups * o->n, MOST);
    TRY(make_parts(g, o->chosen, p));
    if (p->n * o->n > MOST)
        FAIL(ERR_USAGE, "--split-by %s: %zu panels are too many (%d at most)", pp->split_by, p->n * o->n, MOST);
    ScatterPanel *split = mem_must(p->n * o->n * sizeof *split);
    o->titles = mem_must((p->n * o->n + 1) * sizeof *o->titles);
    size_t k = 0;
    for (size_t i = 0; i < o->n; i++)
        for (size_t j = 0; j < p->n; j++, k++) {
            const char *name = p->group[j] < g->n_groups ? g->names[p->group[j]] : "NA";
            split[k] = o->panels[i];
            split[k].in = p->in + j * g->n_cells;
            split[k].title = o->titles[k] = split_title(&o->panels[i], name, p->cells[j], o->n > 1);
            split[k].italic_title = false;
            split[k].legend_title = o->panels[i].codes ? o->panels[i].title : NULL;
        }
    if (o->n == 1 && o->panels[0].values && o->panels[0].title) {
        const char *unit = o->panels[0].unit;
        o->titles[k] = unit && unit[0] ? str_format("%s, %s", o->panels[0].title, unit) : mem_strdup(o->panels[0].title);
        for (size_t j = 0; j < k; j++)
            split[j].unit = o->titles[k];
    }
    free(o->panels);
    o->panels = split;
    o->n_panels = k;
    return OK;
}

static Err choose_cells(Session *s, const PlotParams *pp, Sources *o, JobCtl *ctl)
{
    TRY(session_select(s, pp->rule, ctl, &o->chosen));
    if (!o->chosen->n)
        FAIL(ERR_NOT_FOUND, "--cells %s: no cell is like that; there is nothing to draw", pp->rule);
    for (size_t i = 0; i < o->n_panels; i++)
        o->panels[i].in = o->chosen->in;
    return OK;
}

/* What is coloured, and what was generated. */
static char *make_caption(const PlotParams *pp, const Sources *o, bool placed)
{
    char *cells = o->chosen ? figure_cells_text("coloured", pp->rule, o->chosen->n) : mem_strdup("");
    char *made = placed ? str_format("generated cells: \"%s\"", pp->generated->prompt) : mem_strdup("");
    char *text = str_format("%s%s%s", cells, cells[0] && made[0] ? "; " : "", made);
    free(cells);
    free(made);
    return text;
}

static Err find_legend(const char *name, LegendPlace *out)
{
    static const char *const names[] = {"right", "data", "both", "none"};
    for (int i = 0; i < 4; i++)
        if (!name || strcmp(name, names[i]) == 0) {
            *out = (LegendPlace)i;
            return OK;
        }
    FAIL(ERR_USAGE, "--legend: '%s'; use right, data, both or none", name);
}

/* Numbers on one scale: the widest limits of all panels with the same unit. */
static void share_limits(ScatterPanel *panels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            ScatterPanel *a = &panels[i], *b = &panels[k];
            if (a->values && b->values && scatter_one_scale(a, b) && b->vmin < b->vmax && a->vmin < a->vmax) {
                a->vmin = b->vmin = fmin(a->vmin, b->vmin);
                a->vmax = b->vmax = fmax(a->vmax, b->vmax);
            }
        }
}

static Err find_frame(const char *name, FrameKind *out)
{
    static const char *const names[] = {"arrows", "full", "none"};
    for (int i = 0; i < 3; i++)
        if (!name || strcmp(name, names[i]) == 0) {
            *out = (FrameKind)i;
            return OK;
        }
    FAIL(ERR_USAGE, "--frame: '%s'; use arrows, full or none", name);
}

static Err write_sidecar(const PlotParams *pp, const FigureFile *file, const Scatter *f)
{
    Strings titles = {mem_must((f->n_panels + 1) * sizeof(char *)), f->n_panels};
    for (size_t i = 0; i < f->n_panels; i++)
        titles.text[i] = f->panels[i].title ? f->panels[i].title : "";
    Err err = figure_file_sidecar(pp, file, "map",
                                  &(FigureFacts){.basis = f->basis, .cells = f->n, .width_mm = f->width_mm, .view = f->view,
                                                 .panels = titles, .generated = f->n_generated ? f->generated_label : NULL});
    free(titles.text);
    return err;
}

/* A figure without a cell would be mistaken for one. */
static Err check_map(const Map *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (isfinite(m->xy[2 * i]) && isfinite(m->xy[2 * i + 1]))
            return OK;
    if (!m->n)
        FAIL(ERR_NOT_FOUND, "the file has no cells; there is nothing to draw");
    FAIL(ERR_NOT_FOUND, "obsm/%s: no cell has finite coordinates; there is nothing to draw", m->name);
}

Err session_plot(Session *s, const PlotParams *pp, JobCtl *ctl)
{
    enum { ROW_OF_SPLIT = 5 };
    Err err = OK;
    Map *map = NULL;
    Sources o = {0};
    char *basis = NULL, *generated_label = NULL, *caption = NULL;
    Scatter f = {.columns = pp->columns, .point_scale = pp->point_scale, .seed = session_params(s)->seed};
    TRY(scatter_size(pp->size ? pp->size : "85mm", &f.width_mm, &f.height_mm));
    TRY(find_legend(pp->legend, &f.legend));
    TRY(find_frame(pp->frame, &f.frame));
    f.letters = pp->letters;
    f.glyphs = pp->glyphs;
    if (!pp->map)
        TRY_GOTO(session_map(s, pp->basis, ctl, &map));
    const Map *m = pp->map ? pp->map : map;
    TRY_GOTO(check_map(m));
    figure_warn_map(m, pp);
    TRY_GOTO(make_panels(s, pp, &o, ctl));
    for (size_t i = 0; pp->free_scales && i < o.n; i++)
        if (o.panels[i].values)
            own_limits(&o.panels[i], m->n);
    if (!pp->free_scales)
        share_limits(o.panels, o.n);
    for (size_t i = 0; i < o.n; i++)
        if (o.groups[i])
            figure_warn_colors(o.groups[i]);
    if (pp->rule)
        TRY_GOTO(choose_cells(s, pp, &o, ctl));
    if (pp->split_by) {
        size_t colorings = o.n;
        TRY_GOTO(split_panels(s, pp, &o, ctl));
        if (colorings > 1 && !f.columns && o.n_panels / colorings <= ROW_OF_SPLIT)
            f.columns = (int)(o.n_panels / colorings); /* a row a colouring */
    }
    f.n = m->n;
    f.xy = m->xy;
    f.basis = basis = scatter_basis_name(m->name);
    f.panels = o.panels;
    f.n_panels = o.n_panels;
    memcpy(f.view, pp->view, sizeof f.view);
    if (pp->generated && pp->generated->xy) {
        const Generated *g = pp->generated;
        f.n_generated = g->counts.rows;
        f.generated_xy = g->xy;
        f.seed = g->seed; /* one seed makes the cells and the order of drawing again */
        f.generated_label = generated_label = str_format("generated (n=%zu, seed=%llu)", g->counts.rows, (unsigned long long)g->seed);
    }
    f.caption = caption = make_caption(pp, &o, f.n_generated > 0);
    FigureFile file;
    TRY_GOTO(figure_file_begin(s, pp, f.n_generated > 0, f.seed, ctl, &file));
    figure_warn_size(pp, &file.render, f.n * f.n_panels);
    TRY_GOTO(scatter_render(&f, pp->output, &file.render, ctl));
    if (pp->sidecar)
        TRY_GOTO(write_sidecar(pp, &file, &f));
done:
    map_free(map);
    sources_free(&o);
    free(basis);
    free(generated_label);
    free(caption);
    return err;
}
