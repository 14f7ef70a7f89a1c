/* Binning: each point votes for its group in its character (Boyer and Moore 1981: one counter finds
 * a majority). Selected cells hide the others in their character, so that a small selection stays
 * visible in a dense map. */
#include "views/map_raster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "views/facts.h"

enum { LABEL_BINS_X = 28, LABEL_BINS_Y = 16, SAMPLE = 20000 };

void map_raster_free(MapRaster *r)
{
    if (!r)
        return;
    free(r->dots);
    free(r->top);
    free(r->value);
    free(r->selected);
    free(r->votes);
    free(r->labels);
    free(r);
}

void map_to_dots(const MapRaster *r, double x, double y, double *px, double *py)
{
    *px = x * r->scale_x + r->ox;
    *py = r->oy - y * r->scale_y;
}

void map_from_dots(const MapRaster *r, double px, double py, double *x, double *y)
{
    *x = (px - r->ox) / r->scale_x;
    *y = (r->oy - py) / r->scale_y;
}

static bool is_point(const Map *m, size_t i)
{
    return isfinite(m->xy[2 * i]) && isfinite(m->xy[2 * i + 1]);
}

static void find_extent(MapRaster *r, const Map *m)
{
    double lo[2] = {INFINITY, INFINITY}, hi[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < m->n; i++)
        for (int k = 0; k < 2 && is_point(m, i); k++) {
            lo[k] = fmin(lo[k], m->xy[2 * i + (size_t)k]);
            hi[k] = fmax(hi[k], m->xy[2 * i + (size_t)k]);
        }
    bool any = lo[0] <= hi[0];
    r->mid_x = any ? (lo[0] + hi[0]) / 2 : 0;
    r->mid_y = any ? (lo[1] + hi[1]) / 2 : 0;
    r->span_x = any && hi[0] > lo[0] ? hi[0] - lo[0] : 1;
    r->span_y = any && hi[1] > lo[1] ? hi[1] - lo[1] : 1;
}

/* The densest spot of each group: the mean of its cells in its fullest bin. */
static void find_labels(MapRaster *r, const Map *m, const Groups *g)
{
    enum { BINS = LABEL_BINS_X * LABEL_BINS_Y };
    free(r->labels);
    r->labels = NULL;
    r->n_labels = 0;
    if (!g || g->n_groups > 500 || g->n_cells != m->n)
        return;
    typedef struct Bin {
        double x, y;
        size_t n;
    } Bin;
    Bin *bins = mem_must((g->n_groups * BINS + 1) * sizeof *bins);
    for (size_t i = 0; i < m->n; i++) {
        if (g->codes[i] < 0 || !is_point(m, i))
            continue;
        double x = m->xy[2 * i], y = m->xy[2 * i + 1];
        int bx = (int)(((x - r->mid_x) / r->span_x + 0.5) * (LABEL_BINS_X - 1) + 0.5);
        int by = (int)(((y - r->mid_y) / r->span_y + 0.5) * (LABEL_BINS_Y - 1) + 0.5);
        Bin *b = &bins[(size_t)g->codes[i] * BINS + (size_t)(by * LABEL_BINS_X + bx)];
        *b = (Bin){b->x + x, b->y + y, b->n + 1};
    }
    r->n_labels = g->n_groups;
    r->labels = mem_must((g->n_groups + 1) * sizeof *r->labels);
    for (size_t k = 0; k < g->n_groups; k++) {
        const Bin *best = &bins[k * BINS];
        for (size_t b = 1; b < BINS; b++)
            if (bins[k * BINS + b].n > best->n)
                best = &bins[k * BINS + b];
        r->labels[k][0] = best->n ? best->x / (double)best->n : NAN;
        r->labels[k][1] = best->n ? best->y / (double)best->n : NAN;
    }
    free(bins);
}

static int by_value(const void *x, const void *y)
{
    float a = *(const float *)x, b = *(const float *)y;
    return (a > b) - (a < b);
}

/* The scale runs from the smallest value (0 for genes) to the 99th percentile of those above it. */
static void find_scale(MapRaster *r, const Values *v)
{
    float *s = mem_must((SAMPLE + 1) * sizeof *s);
    size_t n = 0, step = v->n / SAMPLE + 1;
    double lo = INFINITY;
    for (size_t i = 0; i < v->n; i++)
        if (isfinite(v->v[i]))
            lo = fmin(lo, v->v[i]);
    for (size_t i = 0; i < v->n && n < SAMPLE; i += step)
        if (isfinite(v->v[i]) && v->v[i] > lo)
            s[n++] = v->v[i];
    qsort(s, n, sizeof *s, by_value);
    r->lo = isfinite(lo) ? lo : 0;
    r->hi = n ? s[(size_t)((double)(n - 1) * 0.99)] : r->lo + 1;
    if (r->hi <= r->lo)
        r->hi = r->lo + 1;
    free(s);
}

static void add_point(MapRaster *r, size_t at, uint8_t dot, int32_t group, float value,
                      bool selected)
{
    if (selected && !r->selected[at]) { /* what was not selected gives way */
        r->selected[at] = 1;
        r->dots[at] = 0;
        r->top[at] = -2;
        r->votes[at] = 0;
        r->value[at] = NAN;
    } else if (!selected && r->selected[at]) {
        return;
    }
    r->dots[at] |= dot;
    if (r->top[at] == group) {
        r->votes[at]++;
    } else if (r->votes[at] == 0) {
        r->top[at] = group;
        r->votes[at] = 1;
    } else {
        r->votes[at]--;
    }
    if (isfinite(value) && !(r->value[at] >= value))
        r->value[at] = value;
}

static void bin_points(App *a, MapRaster *r, const Map *m)
{
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    if (g && g->n_cells != m->n)
        g = NULL;
    if (v && v->n != m->n)
        v = NULL;
    size_t n = (size_t)r->w * (size_t)r->rows;
    memset(r->dots, 0, n);
    memset(r->selected, 0, n);
    memset(r->votes, 0, n * sizeof *r->votes);
    for (size_t i = 0; i < n; i++) {
        r->top[i] = -2;
        r->value[i] = NAN;
    }
    int down = r->rows == r->h ? 4 : 2; /* dots a row */
    for (size_t i = 0; i < m->n; i++) {
        double px, py;
        if (!is_point(m, i))
            continue;
        map_to_dots(r, m->xy[2 * i], m->xy[2 * i + 1], &px, &py);
        if (!(px >= 0 && py >= 0 && px < 2 * r->w && py < 4 * r->h))
            continue;
        int x = (int)px, y = (int)py;
        size_t at = (size_t)(y / down) * (size_t)r->w + (size_t)(x / 2);
        uint8_t dot = (uint8_t)(1u << (2 * (y % 4) + x % 2));
        add_point(r, at, dot, g ? g->codes[i] : -1, v ? v->v[i] : NAN,
                  a->selected && a->selected[i]);
    }
}

MapRaster *map_raster(App *a, int w, int h, GlyphTier tier)
{
    const Map *m = app_map(a);
    const Groups *g = app_groups(a);
    const Values *v = app_color_values(a);
    const MapState *view = &a->map_view;
    if (!m || w < 1 || h < 1)
        return NULL;
    MapRaster *r = a->raster;
    bool letters =
        tier == GLYPHS_ASCII ||
        (v ? a->opt.colors == 0 : theme_needs_letters(a->opt.colors, g ? g->n_groups : 1));
    int rows = tier == GLYPHS_BLOCK && !letters ? 2 * h : h;
    if (r && r->version == a->version && r->w == w && r->h == h && r->rows == rows &&
        r->letters == letters && r->cx == view->cx && r->cy == view->cy && r->zoom == view->zoom)
        return r;
    bool fresh = !r || r->version != a->version;
    if (!r || r->w != w || r->rows != rows) {
        map_raster_free(r);
        r = a->raster = mem_must(sizeof *r);
        size_t n = (size_t)w * (size_t)rows;
        r->dots = mem_must(n);
        r->selected = mem_must(n);
        r->top = mem_must(n * sizeof *r->top);
        r->value = mem_must(n * sizeof *r->value);
        r->votes = mem_must(n * sizeof *r->votes);
        fresh = true;
    }
    r->version = a->version;
    r->w = w, r->h = h, r->rows = rows, r->letters = letters;
    r->cx = view->cx, r->cy = view->cy, r->zoom = view->zoom;
    if (fresh && (r->places != a->places || !r->places)) {
        find_extent(r, m);
        find_labels(r, m, g);
        r->places = a->places;
    }
    if (fresh && v)
        find_scale(r, v);
    enum { MAX_STRETCH = 2 }; /* the axes of a map mean little; a wide pane may be filled */
    double fit_x = 2 * w / r->span_x * 0.97, fit_y = 4 * h / r->span_y * 0.97;
    r->scale_x = fmin(fit_x, fit_y * MAX_STRETCH) * view->zoom;
    r->scale_y = fmin(fit_y, fit_x * MAX_STRETCH) * view->zoom;
    r->ox = w - (r->mid_x + view->cx) * r->scale_x;
    r->oy = 2 * h + (r->mid_y + view->cy) * r->scale_y;
    bin_points(a, r, m);
    return r;
}
