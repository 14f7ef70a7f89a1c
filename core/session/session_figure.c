/* From a request ("colour by CD3E, split by donor") to a Scatter and its file. */
#include "core/session/session_internal.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/scatter.h"

enum { HASHED_ANYWAY = 64 << 20 };

PlotParams plot_params_default(void)
{
    return (PlotParams){.size = "85mm", .dpi = 300, .legend = "right", .cmap = "viridis", .vector_points = "auto"};
}

/* What the panels borrow from, freed together. */
typedef struct Sources {
    size_t n, n_panels;
    Groups **groups; /* [n] or NULL each */
    Values **values;
    uint8_t **highlight;
    Groups *split;
    uint8_t *split_in; /* [split groups, cells] */
    char **titles;     /* [n_panels] of a split */
    ScatterPanel *panels;
} Sources;

static void sources_free(Sources *o)
{
    for (size_t i = 0; i < o->n; i++) {
        groups_free(o->groups[i]);
        values_free(o->values[i]);
        free(o->highlight[i]);
    }
    for (size_t i = 0; o->titles && i < o->n_panels; i++)
        free(o->titles[i]);
    free(o->titles);
    groups_free(o->split);
    free(o->split_in);
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

static Err percentile_limit(const Values *v, const char *text, double *out)
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
    size_t n = 0;
    TRY(NEW(sorted, v->n));
    for (size_t i = 0; i < v->n; i++)
        if (isfinite(v->v[i]))
            sorted[n++] = v->v[i];
    qsort(sorted, n, sizeof *sorted, compare_floats);
    *out = n ? sorted[(size_t)(x / 100 * (double)(n - 1) + 0.5)] : 0;
    free(sorted);
    return OK;
}

static Err mark_highlight(const Groups *g, const char *list, uint8_t **out)
{
    TRY(NEW0(*out, g->n_groups));
    char *copy = mem_strdup(list), *save = NULL;
    Err err = OK;
    for (char *name = strtok_r(copy, ",", &save); name && err == OK; name = strtok_r(NULL, ",", &save)) {
        bool found = false;
        for (size_t i = 0; i < g->n_groups; i++)
            if (strcmp(g->names[i], name) == 0)
                (*out)[i] = found = true;
        if (!found)
            err = err_set(ERR_NOT_FOUND, "--highlight: %s has no group '%s'", g->key, name);
    }
    free(copy);
    return err;
}

static void panel_of_groups(const Groups *g, const uint8_t *highlight, ScatterPanel *p)
{
    *p = (ScatterPanel){.title = g->key, .codes = g->codes, .n_groups = g->n_groups, .names = g->names,
                        .colors = g->colors, .highlight = highlight};
}

static Err panel_of_values(const Values *v, const PlotParams *pp, bool gene, ScatterPanel *p)
{
    *p = (ScatterPanel){.title = v->name, .values = v->v, .unit = v->unit, .italic_title = gene};
    TRY(color_map_find(pp->cmap ? pp->cmap : "viridis", &p->map));
    if (!pp->vmin && !pp->vmax)
        return OK;
    TRY(percentile_limit(v, pp->vmin ? pp->vmin : "p0", &p->vmin));
    TRY(percentile_limit(v, pp->vmax ? pp->vmax : "p100", &p->vmax));
    if (p->vmax <= p->vmin)
        p->vmax = p->vmin + 1e-6;
    return OK;
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
            TRY(mark_highlight(o->groups[i], pp->highlight, &o->highlight[i]));
        panel_of_groups(o->groups[i], o->highlight[i], p);
        return OK;
    }
    TRY(session_color_values(s, key, ctl, &o->values[i]));
    return panel_of_values(o->values[i], pp, obs < 0 && !color_is_computed(key), p);
}

static Err make_panels(Session *s, const PlotParams *pp, Sources *o, JobCtl *ctl)
{
    bool given = pp->groups || pp->values;
    o->n = given ? 1 : pp->n_colors ? pp->n_colors : 1;
    o->groups = mem_must(o->n * sizeof *o->groups);
    o->values = mem_must(o->n * sizeof *o->values);
    o->highlight = mem_must(o->n * sizeof *o->highlight);
    o->panels = mem_must(o->n * sizeof *o->panels);
    o->n_panels = o->n;
    if (pp->groups) {
        if (pp->highlight)
            TRY(mark_highlight(pp->groups, pp->highlight, &o->highlight[0]));
        panel_of_groups(pp->groups, o->highlight[0], &o->panels[0]);
    } else if (pp->values) {
        TRY(panel_of_values(pp->values, pp, false, &o->panels[0]));
    } else if (pp->n_colors) {
        for (size_t i = 0; i < pp->n_colors; i++)
            TRY(make_panel(s, pp, pp->colors[i], i, o, ctl));
    } else {
        Err err = session_groups(s, NULL, ctl, &o->groups[0]);
        if (err == OK)
            panel_of_groups(o->groups[0], NULL, &o->panels[0]);
        else if (err != ERR_NOT_FOUND)
            return err;
    }
    return OK;
}

/* One panel for each value of the split column, for each colouring; the scale of numbers stays shared. */
static Err split_panels(Session *s, const PlotParams *pp, Sources *o, JobCtl *ctl)
{
    TRY(session_groups(s, pp->split_by, ctl, &o->split));
    const Groups *g = o->split;
    if (g->n_groups * o->n > 64)
        FAIL(ERR_USAGE, "--split-by %s: %zu panels are too many (64 at most)", pp->split_by, g->n_groups * o->n);
    TRY(NEW0(o->split_in, g->n_groups * g->n_cells));
    for (size_t i = 0; i < g->n_cells; i++)
        if (g->codes[i] >= 0)
            o->split_in[(size_t)g->codes[i] * g->n_cells + i] = 1;
    ScatterPanel *split = mem_must(g->n_groups * o->n * sizeof *split);
    o->titles = mem_must(g->n_groups * o->n * sizeof *o->titles);
    size_t k = 0;
    for (size_t i = 0; i < o->n; i++)
        for (size_t j = 0; j < g->n_groups; j++, k++) {
            split[k] = o->panels[i];
            split[k].in = o->split_in + j * g->n_cells;
            o->titles[k] = o->panels[i].title ? str_format("%s, %s", o->panels[i].title, g->names[j]) : mem_strdup(g->names[j]);
            split[k].title = o->titles[k];
        }
    free(o->panels);
    o->panels = split;
    o->n_panels = k;
    return OK;
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

static Err find_vector_points(const char *name, int *out)
{
    static const char *const names[] = {"auto", "never", "always"};
    for (int i = 0; i < 3; i++)
        if (!name || strcmp(name, names[i]) == 0) {
            *out = i - 1;
            return OK;
        }
    FAIL(ERR_USAGE, "--vector-points: '%s'; use auto, always or never", name);
}

static Err write_sidecar(const PlotParams *pp, const MetaPair *meta, size_t n_meta, const Scatter *f)
{
    cJSON *json = cJSON_CreateObject(), *panels = cJSON_AddArrayToObject(json, "panels");
    cJSON *provenance = cJSON_AddObjectToObject(json, "provenance");
    for (size_t i = 0; i < n_meta; i++)
        cJSON_AddStringToObject(provenance, meta[i].key, meta[i].value);
    cJSON_AddStringToObject(json, "basis", f->basis);
    cJSON_AddNumberToObject(json, "cells", (double)f->n);
    cJSON_AddNumberToObject(json, "width_mm", f->width_mm);
    cJSON_AddItemToObject(json, "view", cJSON_CreateDoubleArray(f->view, 4));
    for (size_t i = 0; i < f->n_panels; i++)
        cJSON_AddItemToArray(panels, cJSON_CreateString(f->panels[i].title ? f->panels[i].title : ""));
    if (f->n_generated)
        cJSON_AddStringToObject(json, "generated", f->generated_label);
    char *text = cJSON_Print(json);
    char *path = str_format("%.*s.json", (int)(strrchr(pp->output, '.') - pp->output), pp->output);
    FILE *out = fopen(path, "w");
    bool ok = out && fputs(text, out) >= 0;
    ok = out && fputc('\n', out) >= 0 && ok;
    ok = out && fclose(out) == 0 && ok;
    Err err = ok ? OK : err_set(ERR_GENERAL, "%s: cannot be written", path);
    free(path);
    cJSON_free(text);
    cJSON_Delete(json);
    return err;
}

/* Hashing a large file takes longer than everything else about a figure: only where the figure may hold what a model
 * said, or the file is small. */
static Err hash_for_figure(Session *s, const PlotParams *pp, JobCtl *ctl, char hash[65])
{
    struct stat st;
    bool may_hold_model_output = pp->generated || pp->groups || pp->values;
    const char *path = dataset_path(session_dataset(s));
    hash[0] = 0;
    if (may_hold_model_output || (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= HASHED_ANYWAY))
        return dataset_sha256(session_dataset(s), ctl, hash);
    return OK;
}

static Err render(Session *s, const PlotParams *pp, Scatter *f, JobCtl *ctl)
{
    char hash[65] = "";
    MetaPair meta[8];
    size_t n = 0;
    bool placed = f->n_generated > 0, modelled = placed || pp->query;
    char seed[32];
    RenderParams r = {.dpi = pp->dpi > 0 ? pp->dpi : 300, .force = pp->force, .transparent = pp->transparent};
    TRY(find_vector_points(pp->vector_points, &r.vector_points));
    if (!pp->strip_metadata) {
        TRY(hash_for_figure(s, pp, ctl, hash));
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)f->seed);
        meta[n++] = (MetaPair){"Software", "scmmgpt"};
        if (session_params(s)->command)
            meta[n++] = (MetaPair){"command", session_params(s)->command};
        if (hash[0])
            meta[n++] = (MetaPair){"dataset_sha256", hash};
        meta[n++] = (MetaPair){"seed", seed};
        if (pp->query)
            meta[n++] = (MetaPair){"query", pp->query};
        if (placed)
            meta[n++] = (MetaPair){"prompt", pp->generated->prompt};
        if (modelled && session_model(s))
            meta[n++] = (MetaPair){"model_sha256", session_model(s)->sha256};
    }
    r.meta = meta;
    r.n_meta = n;
    TRY(scatter_render(f, pp->output, &r, ctl));
    return pp->sidecar ? write_sidecar(pp, meta, n, f) : OK;
}

Err session_plot(Session *s, const PlotParams *pp, JobCtl *ctl)
{
    Err err = OK;
    Map *map = NULL;
    Sources o = {0};
    char *basis = NULL, *generated_label = NULL, *caption = NULL;
    Scatter f = {.columns = pp->columns, .point_scale = pp->point_scale, .seed = session_params(s)->seed};
    TRY(scatter_size(pp->size ? pp->size : "85mm", &f.width_mm, &f.height_mm));
    TRY(find_legend(pp->legend, &f.legend));
    if (!pp->map)
        TRY_GOTO(session_map(s, pp->basis, ctl, &map));
    const Map *m = pp->map ? pp->map : map;
    TRY_GOTO(make_panels(s, pp, &o, ctl));
    if (pp->split_by)
        TRY_GOTO(split_panels(s, pp, &o, ctl));
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
        f.caption = caption = str_format("generated cells: \"%s\"", g->prompt);
    }
    TRY_GOTO(render(s, pp, &f, ctl));
done:
    map_free(map);
    sources_free(&o);
    free(basis);
    free(generated_label);
    free(caption);
    return err;
}
