/* The cells of a plot: their order, and onto an image or the page. */
#include "core/figure/scatter_page.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/figure/points.h"

enum { BINNED_FROM = 50000 };
static const double GENERATED_STROKE = 0.5;

typedef struct Dot {
    uint32_t cell;
    uint32_t color;
    uint32_t key; /* drawing order: layer, then value or random */
    uint8_t glyph;
} Dot;

static int compare_dots(const void *a, const void *b)
{
    const Dot *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->cell > y->cell) - (x->cell < y->cell);
}

/* A stateless hash: the drawing order of a cell does not depend on which others are drawn. */
static uint32_t shuffle_key(uint64_t seed, uint64_t cell)
{
    uint64_t z = seed * 0x9E3779B97F4A7C15u + cell + 0x632BE59BD9B4E019u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 34);
}

static Dot dot_of(const Page *g, const ScatterPanel *p, size_t i, double lo, double hi)
{
    Dot d = {.cell = (uint32_t)i, .color = COLOR_PLAIN, .key = 0x80000000u | shuffle_key(g->s->seed, i)};
    bool outside = p->in && !p->in[i];
    bool missing = p->codes ? p->codes[i] < 0 : p->values && !isfinite(p->values[i]);
    if (outside || (p->codes && p->highlight && !missing && !p->highlight[p->codes[i]])) {
        d.color = COLOR_BACKGROUND_CELLS;
        d.key = 0;
    } else if (missing) {
        d.color = COLOR_MISSING;
        d.key = 1;
    } else if (p->codes) {
        d.color = p->colors[p->codes[i]];
        d.glyph = (uint8_t)palette_glyph((size_t)p->codes[i], p->n_groups);
    } else if (p->values && p->zero_grey && p->values[i] == 0) {
        d.color = COLOR_ZERO;
        d.key = 2;
    } else if (p->values) {
        double t = (p->values[i] - lo) / (hi - lo);
        t = fmin(1, fmax(0, t));
        d.color = color_map(p->map, t);
        d.key = 0x80000000u | (uint32_t)(t * 0x7FFFFFFF);
    }
    return d;
}

void scatter_place(const Page *g, const float *xy, size_t i, double *x, double *y)
{
    *x = (xy[2 * i] - g->x0) * g->scale;
    *y = g->side - (xy[2 * i + 1] - g->y0) * g->scale;
}

bool scatter_inside(const Page *g, double x, double y)
{
    return x >= 0 && y >= 0 && x <= g->side && y <= g->side;
}

/* Of many points only those are worth drawing that end on top of their pixel. */
static Err top_of_pixels(const Page *g, const ScatterPanel *p, double lo, double hi, Dot **out, size_t *n)
{
    const Scatter *s = g->s;
    double k = g->p->dpi / 72 * (g->p->zoom > 0 ? g->p->zoom : 1);
    size_t w = (size_t)ceil(g->side * k) + 1, m = 0;
    uint32_t *top; /* [w, w] cell + 1 */
    TRY(NEW0(top, w * w));
    for (size_t i = 0; i < s->n; i++) {
        double x, y;
        if (!scatter_finite(s->xy, i))
            continue;
        scatter_place(g, s->xy, i, &x, &y);
        if (!scatter_inside(g, x, y))
            continue;
        uint32_t *t = &top[(size_t)(y * k) * w + (size_t)(x * k)];
        m += !*t;
        if (!*t || dot_of(g, p, *t - 1, lo, hi).key <= dot_of(g, p, i, lo, hi).key)
            *t = (uint32_t)i + 1;
    }
    Err err = NEW(*out, m);
    *n = 0;
    for (size_t i = 0; i < w * w && !err; i++)
        if (top[i])
            (*out)[(*n)++] = dot_of(g, p, top[i] - 1, lo, hi);
    free(top);
    return err;
}

static Err collect_dots(const Page *g, const ScatterPanel *p, Dot **out, size_t *n)
{
    const Scatter *s = g->s;
    double lo = 0, hi = 1;
    if (p->values && !p->codes)
        scatter_range(s, p, &lo, &hi);
    if (g->raster && s->n > BINNED_FROM) {
        TRY(top_of_pixels(g, p, lo, hi, out, n));
    } else {
        size_t m = 0;
        TRY(NEW(*out, s->n));
        for (size_t i = 0; i < s->n; i++)
            if (scatter_finite(s->xy, i))
                (*out)[m++] = dot_of(g, p, i, lo, hi);
        *n = m;
    }
    qsort(*out, *n, sizeof **out, compare_dots);
    return OK;
}

/* Generated cells stay visible among large points and do not cover small ones. */
double scatter_generated_diameter(const Page *g)
{
    return fmin(4.5, fmax(2.4, g->point * 0.8));
}

static Err raster_points(const Page *g, const Dot *dots, size_t n, double left, double top, JobCtl *ctl)
{
    Err err = OK;
    double k = g->p->dpi / 72 * (g->p->zoom > 0 ? g->p->zoom : 1);
    int pixels = (int)ceil(g->side * k);
    PointImage image;
    Stamps *glyphs[N_GLYPHS] = {NULL}, *made = NULL;
    TRY(point_image_init(&image, pixels, pixels));
    for (int i = 0; i < N_GLYPHS; i++)
        TRY_GOTO(stamps_new(i, g->point * k, i == 1 ? fmax(1, g->point * k / 5) : 0, &glyphs[i]));
    TRY_GOTO(stamps_new(1, scatter_generated_diameter(g) * k, GENERATED_STROKE * k, &made));
    for (size_t i = 0; i < n; i++) {
        double x, y;
        scatter_place(g, g->s->xy, dots[i].cell, &x, &y);
        point_image_stamp(&image, glyphs[dots[i].glyph], x * k, y * k, dots[i].color);
        if (i % 65536 == 0)
            TRY_GOTO(job_progress(ctl, i));
    }
    for (size_t i = 0; i < g->s->n_generated; i++) {
        double x, y;
        if (!scatter_finite(g->s->generated_xy, i))
            continue;
        scatter_place(g, g->s->generated_xy, i, &x, &y);
        point_image_stamp(&image, made, x * k, y * k, FIGURE_INK);
    }
    draw_image(g->d, left, top, pixels / k, pixels / k, image.argb, pixels, pixels);
done:
    for (int i = 0; i < N_GLYPHS; i++)
        stamps_free(glyphs[i]);
    stamps_free(made);
    point_image_done(&image);
    return err;
}

static void vector_points(const Page *g, const Dot *dots, size_t n, double left, double top)
{
    double x, y;
    for (size_t i = 0; i < n; i++) {
        scatter_place(g, g->s->xy, dots[i].cell, &x, &y);
        if (scatter_inside(g, x, y))
            draw_glyph(g->d, dots[i].glyph, left + x, top + y, g->point, dots[i].color);
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
    Dot *dots = NULL;
    size_t n;
    Err err = collect_dots(g, p, &dots, &n);
    if (err == OK && g->raster)
        err = raster_points(g, dots, n, left, top, ctl);
    else if (err == OK)
        vector_points(g, dots, n, left, top);
    free(dots);
    return err;
}
