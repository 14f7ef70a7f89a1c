/* Local regression in one dimension, degree 2, interpolated as Cleveland and Grosse's dloess does:
 * the range is cut at medians until a cell holds few points; value and slope are fitted at the cuts
 * (the vertices) and blended by cubics in between. */
#include <math.h>
#include <stdlib.h>

#include "core/analysis/hvg.h"
#include "core/analysis/linalg.h"
#include "core/base/mem.h"

/* dloess's defaults: a cell is not cut further with fewer than span * CELL * n points; the outermost
 * vertices lie MARGIN of the range outside. */
#define CELL 0.2
#define MARGIN 0.005

typedef struct Loess {
    size_t n, near;       /* points; points in a window */
    double span;
    const double *x, *y;  /* ascending x */
    double *vertex, *value, *slope;
    size_t n_vertices;
} Loess;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Cuts the points first..last (inclusive) of the cell lo..hi at their median, a point itself; the cut
 * steps outwards, after and before in turn, past equal points. */
static void cut_cell(Loess *l, size_t first, size_t last, double lo, double hi, size_t few)
{
    if (last - first + 1 <= few)
        return;
    /* dloess numbers points from 1: (l + u) / 2 of those, taken back to 0-based. */
    long m = (long)((first + 1 + last + 1) / 2) - 1, offset = 0;
    while (m + offset < (long)last && m + offset >= (long)first) {
        if (l->x[m + offset] != l->x[m + offset + 1])
            break;
        offset = -offset;
        if (offset >= 0)
            offset++;
    }
    if (m + offset >= (long)last || m + offset < (long)first)
        return;
    m += offset;
    double at = l->x[m];
    if (at == lo || at == hi)
        return;
    l->vertex[l->n_vertices++] = at;
    cut_cell(l, first, (size_t)m, lo, at, few);
    cut_cell(l, (size_t)m + 1, last, at, hi, few);
}

/* The window of `near` points closest to v: their first index. */
static size_t window(const Loess *l, double v)
{
    size_t lo = 0, hi = l->n - l->near;
    while (lo < hi) { /* the first window whose left end is not further than the point after it */
        size_t mid = (lo + hi) / 2;
        if (v - l->x[mid] > l->x[mid + l->near] - v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Weighted quadratic at v: its value and slope there. */
static Err fit_vertex(const Loess *l, double v, double *value, double *slope)
{
    size_t first = window(l, v), last = first + l->near - 1;
    double h = fmax(v - l->x[first], l->x[last] - v);
    if (l->span > 1)
        h *= l->span;
    if (!(h > 0))
        FAIL(ERR_INPUT, "too many genes with the same mean for the variance trend");
    double a[9] = {0}, b[3] = {0};
    for (size_t i = first; i <= last; i++) {
        double u = (l->x[i] - v) / h, d = fabs(u), w = 0;
        if (d <= 0.001)
            w = 1;
        else if (d < 0.999)
            w = pow(1 - d * d * d, 3);
        double p[3] = {1, u, u * u};
        for (int r = 0; r < 3; r++) {
            b[r] += w * p[r] * l->y[i];
            for (int c = 0; c < 3; c++)
                a[3 * c + r] += w * p[r] * p[c];
        }
    }
    if (linalg_solve_spd(3, a, b))
        FAIL(ERR_INPUT, "too few different gene means for the variance trend");
    *value = b[0];
    *slope = b[1] / h;
    return OK;
}

static double interpolate(const Loess *l, double x, size_t *cell)
{
    while (*cell + 2 < l->n_vertices && x > l->vertex[*cell + 1])
        ++*cell;
    size_t i = *cell;
    double width = l->vertex[i + 1] - l->vertex[i], h = (x - l->vertex[i]) / width, g = 1 - h;
    return g * g * (1 + 2 * h) * l->value[i] + h * h * (3 - 2 * h) * l->value[i + 1] +
           width * (h * g * g * l->slope[i] - h * h * g * l->slope[i + 1]);
}

static Err fit(Loess *l, double *fitted)
{
    double lo = l->x[0], hi = l->x[l->n - 1];
    double margin = MARGIN * fmax(hi - lo, fmax(fabs(lo), fabs(hi)) * 1e-10 + 1e-30);
    size_t few = (size_t)floor((double)l->n * l->span * CELL), cell = 0;
    l->vertex[l->n_vertices++] = lo - margin;
    l->vertex[l->n_vertices++] = hi + margin;
    cut_cell(l, 0, l->n - 1, lo - margin, hi + margin, few ? few : 1);
    qsort(l->vertex, l->n_vertices, sizeof *l->vertex, ascending);
    for (size_t i = 0; i < l->n_vertices; i++)
        TRY(fit_vertex(l, l->vertex[i], &l->value[i], &l->slope[i]));
    for (size_t i = 0; i < l->n; i++)
        fitted[i] = interpolate(l, l->x[i], &cell);
    return OK;
}

typedef struct Point {
    double x, y;
    size_t at;
} Point;

static int by_x(const void *a, const void *b)
{
    const Point *p = a, *q = b;
    if (p->x != q->x)
        return p->x < q->x ? -1 : 1;
    return p->at < q->at ? -1 : p->at > q->at;
}

Err loess_fit(size_t n, const double *x, const double *y, double span, double *fitted)
{
    Err err = OK;
    Loess l = {.n = n, .span = span, .near = (size_t)floor((double)n * span + 1e-5)};
    Point *points = NULL;
    double *xs = NULL, *ys = NULL, *fs = NULL;
    if (l.near > n)
        l.near = n;
    if (n < 4 || l.near < 3)
        FAIL(ERR_FEW_GENES, "%zu variable genes are too few for the variance trend", n);
    TRY_GOTO(NEW(points, n));
    TRY_GOTO(NEW(xs, n));
    TRY_GOTO(NEW(ys, n));
    TRY_GOTO(NEW(fs, n));
    TRY_GOTO(NEW(l.vertex, n + 2));
    TRY_GOTO(NEW(l.value, n + 2));
    TRY_GOTO(NEW(l.slope, n + 2));
    for (size_t i = 0; i < n; i++)
        points[i] = (Point){x[i], y[i], i};
    qsort(points, n, sizeof *points, by_x);
    for (size_t i = 0; i < n; i++) {
        xs[i] = points[i].x;
        ys[i] = points[i].y;
    }
    l.x = xs;
    l.y = ys;
    TRY_GOTO(fit(&l, fs));
    for (size_t i = 0; i < n; i++)
        fitted[points[i].at] = fs[i];
done:
    free(points);
    free(xs);
    free(ys);
    free(fs);
    free(l.vertex);
    free(l.value);
    free(l.slope);
    return err;
}
