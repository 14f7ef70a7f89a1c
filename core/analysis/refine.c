/* Conjugate gradients on (1 + lambda) P - lambda S P = P0, S the normalised graph; in blocks of labels
 * that share each look at the graph. */
#include "core/analysis/refine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { WIDTH = 16 };

typedef struct System {
    const Csr *g;
    double lambda;
    float *root;            /* [n] 1 / sqrt(degree), 0 without neighbours */
    float *x, *r, *d, *ad;  /* [n, WIDTH] */
} System;

/* ad = A d. A cell without neighbours keeps its value: its row is the identity. */
static void apply(const System *s)
{
    const Csr *g = s->g;
#pragma omp parallel for schedule(dynamic, 512)
    for (size_t i = 0; i < g->rows; i++) {
        float sum[WIDTH] = {0};
        for (int64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++) {
            float w = g->values[e] * s->root[g->indices[e]];
            const float *d = s->d + (size_t)g->indices[e] * WIDTH;
            for (int j = 0; j < WIDTH; j++)
                sum[j] += w * d[j];
        }
        float self = s->root[i] > 0 ? 1 + (float)s->lambda : 1, other = (float)s->lambda * s->root[i];
        for (int j = 0; j < WIDTH; j++)
            s->ad[i * WIDTH + j] = self * s->d[i * WIDTH + j] - other * sum[j];
    }
}

/* out[j] = sum over cells of a * b, in fixed blocks so that the threads do not matter. */
static Err dots(const float *a, const float *b, size_t n, double out[WIDTH])
{
    enum { CELLS = 1024 };
    size_t blocks = (n + CELLS - 1) / CELLS;
    double *part;
    TRY(NEW0(part, blocks * WIDTH));
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < blocks; k++) {
        size_t end = (k + 1) * CELLS < n ? (k + 1) * CELLS : n;
        for (size_t i = k * CELLS; i < end; i++)
            for (int j = 0; j < WIDTH; j++)
                part[k * WIDTH + j] += (double)a[i * WIDTH + j] * b[i * WIDTH + j];
    }
    memset(out, 0, WIDTH * sizeof *out);
    for (size_t k = 0; k < blocks; k++)
        for (int j = 0; j < WIDTH; j++)
            out[j] += part[k * WIDTH + j];
    free(part);
    return OK;
}

/* x[i] += f[j] y[i] per column (sign 1), or x = y + f x (sign 0: the new direction). */
static void combine(float *x, const float *y, const double f[WIDTH], size_t n, int direction)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < WIDTH; j++) {
            size_t at = i * WIDTH + (size_t)j;
            x[at] = direction ? y[at] + (float)f[j] * x[at] : x[at] + (float)f[j] * y[at];
        }
}

/* Solves for the WIDTH columns in s->x, which hold P0 and the start at once. */
static Err solve(System *s, JobCtl *ctl)
{
    size_t n = s->g->rows, bytes = n * WIDTH * sizeof(float);
    double rr[WIDTH], start[WIDTH], dad[WIDTH], f[WIDTH];
    memcpy(s->d, s->x, bytes);
    apply(s);
    for (size_t i = 0; i < n * WIDTH; i++)
        s->r[i] = s->x[i] - s->ad[i];
    TRY(dots(s->x, s->x, n, start));
    memcpy(s->d, s->r, bytes);
    TRY(dots(s->r, s->r, n, rr));
    for (int iteration = 0; iteration < 200; iteration++) {
        int open = 0;
        for (int j = 0; j < WIDTH; j++)
            open |= rr[j] > 1e-12 * start[j];
        if (!open)
            break;
        TRY(job_progress(ctl, 0));
        apply(s);
        TRY(dots(s->d, s->ad, n, dad));
        for (int j = 0; j < WIDTH; j++)
            f[j] = dad[j] > 0 && rr[j] > 1e-14 * start[j] ? rr[j] / dad[j] : 0;
        combine(s->x, s->d, f, n, 0);
        for (int j = 0; j < WIDTH; j++)
            dad[j] = -f[j];
        combine(s->r, s->ad, dad, n, 0);
        double before[WIDTH];
        memcpy(before, rr, sizeof rr);
        TRY(dots(s->r, s->r, n, rr));
        for (int j = 0; j < WIDTH; j++)
            f[j] = before[j] > 0 ? rr[j] / before[j] : 0;
        combine(s->d, s->r, f, n, 1);
    }
    return OK;
}

Err graph_smooth(const Csr *g, double lambda, size_t labels, JobCtl *ctl, float *p)
{
    Err err = OK;
    size_t n = g->rows;
    System s = {.g = g, .lambda = lambda};
    if (!(lambda >= 0) || isinf(lambda))
        FAIL(ERR_USAGE, "the smoothing weight %g must be a number from 0", lambda);
    if (lambda == 0 || n == 0)
        return OK;
    TRY_GOTO(NEW(s.root, n));
    TRY_GOTO(NEW(s.x, n * WIDTH));
    TRY_GOTO(NEW(s.r, n * WIDTH));
    TRY_GOTO(NEW(s.d, n * WIDTH));
    TRY_GOTO(NEW(s.ad, n * WIDTH));
    for (size_t i = 0; i < n; i++) {
        double degree = 0;
        for (int64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++)
            degree += g->values[e];
        s.root[i] = degree > 0 ? (float)(1 / sqrt(degree)) : 0;
    }
    for (size_t first = 0; first < labels; first += WIDTH) {
        size_t count = labels - first < WIDTH ? labels - first : WIDTH;
        memset(s.x, 0, n * WIDTH * sizeof *s.x);
        for (size_t i = 0; i < n; i++)
            memcpy(s.x + i * WIDTH, p + i * labels + first, count * sizeof *p);
        TRY_GOTO(solve(&s, ctl));
        for (size_t i = 0; i < n; i++)
            memcpy(p + i * labels + first, s.x + i * WIDTH, count * sizeof *p);
    }
done:
    free(s.root);
    free(s.x);
    free(s.r);
    free(s.d);
    free(s.ad);
    return err;
}
