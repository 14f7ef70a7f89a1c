/* The cells of a plot: their order, and onto an image or the page. */
#include "core/figure/scatter_page.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/figure/points.h"

enum { BINNED_FROM = 50000 };
static const double GENERATED_STROKE = 0.5;

typedef enum DotKind { DOT_OUTSIDE, DOT_MISSING, DOT_ZERO, DOT_PLAIN, DOT_GROUP, DOT_VALUE } DotKind;

/* The cells to draw, each as key << 32 | cell, in drawing order. */
typedef struct Dots {
    uint64_t *v;
    size_t n;
    double lo, hi; /* of the values */
} Dots;

/* A stateless hash: the drawing order of a cell does not depend on which others are drawn. */
static uint32_t shuffle_key(uint64_t seed, uint64_t cell)
{
    uint64_t z = seed * 0x9E3779B97F4A7C15u + cell + 0x632BE59BD9B4E019u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 34);
}

static DotKind kind_of(const ScatterPanel *p, size_t i)
{
    bool missing = p->codes ? p->codes[i] < 0 : p->values && !isfinite(p->values[i]);
    if ((p->in && !p->in[i]) || (p->codes && p->highlight && !missing && !p->highlight[p->codes[i]]))
        return DOT_OUTSIDE;
    if (missing)
        return DOT_MISSING;
    if (p->codes)
        return DOT_GROUP;
    return !p->values ? DOT_PLAIN : p->zero_grey && p->values[i] == 0 ? DOT_ZERO : DOT_VALUE;
}

/* Where a value lies on its scale, 0 to 1. */
static double share_of(const ScatterPanel *p, size_t i, const Dots *o)
{
    double t = (p->values[i] - o->lo) / (o->hi - o->lo);
    return fmin(1, fmax(0, t));
}

/* Drawing order: what is not asked for below, then by value, or at random where no cell is more than another. */
static uint32_t key_of(const Page *g, const ScatterPanel *p, size_t i, const Dots *o)
{
    DotKind kind = kind_of(p, i);
    if (kind <= DOT_ZERO)
        return kind;
    return 0x80000000u | (kind == DOT_VALUE ? (uint32_t)(share_of(p, i, o) * 0x7FFFFFFF) : shuffle_key(g->s->seed, i));
}

static uint32_t color_of(const ScatterPanel *p, size_t i, const Dots *o)
{
    switch (kind_of(p, i)) {
    case DOT_OUTSIDE:
        return COLOR_BACKGROUND_CELLS;
    case DOT_MISSING:
        return COLOR_MISSING;
    case DOT_ZERO:
        return COLOR_ZERO;
    case DOT_GROUP:
        return p->colors[p->codes[i]];
    case DOT_VALUE:
        return color_map(p->map, share_of(p, i, o));
    default:
        return COLOR_PLAIN;
    }
}

static int glyph_of(const Page *g, const ScatterPanel *p, size_t i)
{
    return kind_of(p, i) == DOT_GROUP ? scatter_glyph(g, p, (size_t)p->codes[i]) : 0;
}

static uint64_t place_in_order(const Page *g, const ScatterPanel *p, size_t i, const Dots *o)
{
    return (uint64_t)key_of(g, p, i, o) << 32 | i;
}

/* Of many points only those are worth drawing that end on top of their pixel: top [w, w] is 0 or the cell + 1. */
static size_t find_tops(const Page *g, const ScatterPanel *p, const Dots *o, uint32_t *top, size_t w, double k)
{
    const Scatter *s = g->s;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        double x, y;
        if (!scatter_finite(s->xy, i))
            continue;
        scatter_place(g, s->xy, i, &x, &y);
        if (!scatter_inside(g, x, y))
            continue;
        uint32_t *t = &top[(size_t)(y * k) * w + (size_t)(x * k)];
        n += !*t;
        if (!*t || key_of(g, p, *t - 1, o) <= key_of(g, p, i, o))
            *t = (uint32_t)i + 1;
    }
    return n;
}

static Err collect_tops(const Page *g, const ScatterPanel *p, Dots *o)
{
    double k = g->p->dpi / 72 * (g->p->zoom > 0 ? g->p->zoom : 1);
    size_t w = (size_t)ceil(g->side * k) + 1;
    uint32_t *top;
    TRY(NEW0(top, w * w));
    Err err = NEW(o->v, find_tops(g, p, o, top, w, k));
    for (size_t i = 0; i < w * w && !err; i++)
        if (top[i])
            o->v[o->n++] = place_in_order(g, p, top[i] - 1, o);
    free(top);
    return err;
}

/* By key, stable: 11 bits at a time from the lowest. */
static Err sort_by_key(Dots *o)
{
    enum { BITS = 11, BUCKETS = 1 << BITS };
    uint64_t *from = o->v, *to;
    TRY(NEW(to, o->n));
    for (int shift = 32; shift < 64; shift += BITS) {
        size_t start[BUCKETS + 1] = {0};
        for (size_t i = 0; i < o->n; i++)
            start[(from[i] >> shift & (BUCKETS - 1)) + 1]++;
        for (int b = 0; b < BUCKETS; b++)
            start[b + 1] += start[b];
        for (size_t i = 0; i < o->n; i++)
            to[start[from[i] >> shift & (BUCKETS - 1)]++] = from[i];
        o->v = to;
        to = from;
        from = o->v;
    }
    free(to);
    return OK;
}

static Err collect_dots(const Page *g, const ScatterPanel *p, Dots *o)
{
    const Scatter *s = g->s;
    o->hi = 1;
    if (p->values && !p->codes) {
        o->lo = g->ranges[p - s->panels].lo;
        o->hi = g->ranges[p - s->panels].hi;
    }
    if (g->raster && s->n > BINNED_FROM) {
        TRY(collect_tops(g, p, o));
    } else {
        TRY(NEW(o->v, s->n));
        for (size_t i = 0; i < s->n; i++)
            if (scatter_finite(s->xy, i))
                o->v[o->n++] = place_in_order(g, p, i, o);
    }
    return sort_by_key(o);
}

/* Generated cells stay visible among large points and do not cover small ones. */
double scatter_generated_diameter(const Page *g)
{
    return fmin(4.5, fmax(2.4, g->point * 0.8));
}

/* A part of the page itself where that has pixels, which spares a copy of the plot; else an image of its own. *x, *y: of its
 * corner in pixels of the page. */
static Err open_image(const Page *g, double left, double top, double k, PointImage *out, double *x, double *y)
{
    int w, h, side = (int)ceil(g->side * k);
    uint32_t *page = draw_pixels(g->d, &w, &h);
    *x = *y = 0;
    if (!page)
        return point_image_init(out, side, side);
    int x0 = (int)floor(left * k), y0 = (int)floor(top * k);
    x0 = x0 < 0 ? 0 : x0 > w ? w : x0;
    y0 = y0 < 0 ? 0 : y0 > h ? h : y0;
    *x = left * k - x0;
    *y = top * k - y0;
    *out = (PointImage){.w = side + 1 < w - x0 ? side + 1 : w - x0, .h = side + 1 < h - y0 ? side + 1 : h - y0, .stride = (size_t)w,
                        .argb = page + (size_t)y0 * (size_t)w + (size_t)x0};
    return OK;
}

static void close_image(const Page *g, double left, double top, double k, PointImage *image)
{
    if (!draw_is_vector(g->d))
        return;
    draw_image(g->d, left, top, image->w / k, image->h / k, image->argb, image->w, image->h);
    point_image_done(image);
}

static Err raster_points(const Page *g, const ScatterPanel *p, const Dots *o, double left, double top, JobCtl *ctl)
{
    Err err = OK;
    double k = g->p->dpi / 72 * (g->p->zoom > 0 ? g->p->zoom : 1);
    double dx, dy;
    bool vector = draw_is_vector(g->d); /* whose image is seen as a whole */
    PointImage image;
    Stamps *glyphs[N_GLYPHS] = {NULL}, *made = NULL;
    TRY(open_image(g, left, top, k, &image, &dx, &dy));
    for (int i = 0; i < N_GLYPHS; i++)
        TRY_GOTO(stamps_new(i, g->point * k, i == 1 ? fmax(1, g->point * k / 5) : 0, &glyphs[i]));
    TRY_GOTO(stamps_new(1, scatter_generated_diameter(g) * k, GENERATED_STROKE * k, &made));
    for (size_t i = 0; i < o->n; i++) {
        double x, y;
        size_t cell = (uint32_t)o->v[i];
        scatter_place(g, g->s->xy, cell, &x, &y);
        uint32_t color = color_of(p, cell, o);
        point_image_stamp(&image, glyphs[glyph_of(g, p, cell)], x * k + dx, y * k + dy, vector ? color : draw_seen(g->d, color));
        if (i % 65536 == 0)
            TRY_GOTO(job_progress(ctl, i));
    }
    for (size_t i = 0; i < g->s->n_generated; i++) {
        double x, y;
        if (!scatter_finite(g->s->generated_xy, i))
            continue;
        scatter_place(g, g->s->generated_xy, i, &x, &y);
        point_image_stamp(&image, made, x * k + dx, y * k + dy, vector ? FIGURE_INK : draw_seen(g->d, FIGURE_INK));
    }
done:
    close_image(g, left, top, k, &image);
    for (int i = 0; i < N_GLYPHS; i++)
        stamps_free(glyphs[i]);
    stamps_free(made);
    return err;
}

static void vector_points(const Page *g, const ScatterPanel *p, const Dots *o, double left, double top)
{
    double x, y;
    for (size_t i = 0; i < o->n; i++) {
        size_t cell = (uint32_t)o->v[i];
        scatter_place(g, g->s->xy, cell, &x, &y);
        if (scatter_inside(g, x, y))
            draw_glyph(g->d, glyph_of(g, p, cell), left + x, top + y, g->point, color_of(p, cell, o));
    }
    for (size_t i = 0; i < g->s->n_generated; i++) {
        if (!scatter_finite(g->s->generated_xy, i))
            continue;
        scatter_place(g, g->s->generated_xy, i, &x, &y);
        if (scatter_inside(g, x, y))
            draw_ring(g->d, left + x, top + y, scatter_generated_diameter(g), GENERATED_STROKE, FIGURE_INK);
    }
}

Err scatter_draw_points(const Page *g, const ScatterPanel *p, double left, double top, JobCtl *ctl)
{
    Dots o = {0};
    Err err = collect_dots(g, p, &o);
    if (err == OK && g->raster)
        err = raster_points(g, p, &o, left, top, ctl);
    else if (err == OK)
        vector_points(g, p, &o, left, top);
    free(o.v);
    return err;
}
