/* Block Lanczos. The basis q[n, m] and the projected matrix t[m, m] satisfy A q = q t + next r E',
 * where `next` is the block that will be added: so the residual of a Ritz vector q s is |r s_last|. */
#include "core/analysis/eigs.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/linalg.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

enum { WIDTH = EIGS_WIDTH };
#define KERNEL __attribute__((target_clones("avx512f", "avx2", "default"), noinline))

typedef struct Lanczos {
    const EigsParams *p;
    size_t m, max;     /* basis vectors; room for them */
    size_t b;          /* columns of the block `next` */
    size_t last;       /* columns of the block that was added last */
    double scale;      /* the largest entry of t there ever was: what is far below it is rounding */
    double *q;         /* [max, n]: each basis vector contiguous */
    double *next, *w;  /* [n, WIDTH] row-major blocks */
    double *h;         /* [max, WIDTH] projections on the basis */
    double *chunks;    /* [n / CHUNK + 1, WIDTH] parts of a sum over rows */
    double *t;         /* [max, max] */
    double r[WIDTH][WIDTH]; /* next * r = what was left of A last */
    size_t found;      /* eigenpairs of t in s, theta: the largest, best first */
    double *s, *theta; /* [found, m], [found] */
    double *scratch;   /* [max, max] */
    Rng rng;
    JobCtl *ctl;
} Lanczos;

/* ---- orthogonalising a block against the basis ---- */

/* h[i] += q_i' w for basis vectors i .. i+3 (rows of length n, `stride` apart). */
KERNEL static void project_four(const double *q, size_t stride, const double *w, size_t n, double *h)
{
    EigsRow a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t x = 0; x < n; x++) {
        EigsRow row = *(const EigsRow *)(w + x * WIDTH);
        a += q[x] * row;
        b += q[stride + x] * row;
        c += q[2 * stride + x] * row;
        d += q[3 * stride + x] * row;
    }
    memcpy(h, &a, sizeof a);
    memcpy(h + WIDTH, &b, sizeof b);
    memcpy(h + 2 * WIDTH, &c, sizeof c);
    memcpy(h + 3 * WIDTH, &d, sizeof d);
}

KERNEL static void project_one(const double *q, const double *w, size_t n, double *h)
{
    EigsRow a = {0};
    for (size_t x = 0; x < n; x++)
        a += q[x] * *(const EigsRow *)(w + x * WIDTH);
    memcpy(h, &a, sizeof a);
}

/* w -= q' h for rows first .. end-1 of w. */
KERNEL static void subtract_rows(const double *q, size_t stride, size_t m, const double *h, double *w,
                                 size_t first, size_t end)
{
    for (size_t x = first; x + 4 <= end; x += 4, first = x) {
        EigsRow *row = (EigsRow *)(w + x * WIDTH), a = row[0], b = row[1], c = row[2], d = row[3];
        for (size_t i = 0; i < m; i++) {
            EigsRow f = *(const EigsRow *)(h + i * WIDTH);
            const double *v = q + i * stride + x;
            a -= v[0] * f;
            b -= v[1] * f;
            c -= v[2] * f;
            d -= v[3] * f;
        }
        row[0] = a, row[1] = b, row[2] = c, row[3] = d;
    }
    for (; first < end; first++) {
        EigsRow a = *(EigsRow *)(w + first * WIDTH);
        for (size_t i = 0; i < m; i++)
            a -= q[i * stride + first] * *(const EigsRow *)(h + i * WIDTH);
        *(EigsRow *)(w + first * WIDTH) = a;
    }
}

/* w -= q q' w, twice; sums the coefficients into total[m, WIDTH] when it is given. */
static Err orthogonalize(Lanczos *l, double *w, double *total)
{
    size_t n = l->p->n, m = l->m;
    for (int pass = 0; pass < 2 && m; pass++) {
        TRY(job_look(l->ctl));
#pragma omp parallel for schedule(static) if (n * m > 50000)
        for (size_t i = 0; i < m; i += 4) {
            if (i + 4 <= m)
                project_four(l->q + i * n, n, w, n, l->h + i * WIDTH);
            for (size_t j = i + 4 <= m ? m : i; j < m; j++)
                project_one(l->q + j * n, w, n, l->h + j * WIDTH);
        }
        TRY(job_look(l->ctl));
#pragma omp parallel for schedule(static) if (n * m > 50000)
        for (size_t x = 0; x < n; x += 256)
            subtract_rows(l->q, n, m, l->h, w, x, x + 256 < n ? x + 256 : n);
        for (size_t i = 0; total && i < m * WIDTH; i++)
            total[i] += l->h[i];
    }
    return job_look(l->ctl);
}

/* Sums over rows go by chunks, added in order: the same at any number of threads. */
enum { CHUNK = 4096 };

/* f += w' (column j of w) for rows first .. end-1. */
KERNEL static void project_column(const double *w, size_t first, size_t end, size_t j, double *f)
{
    EigsRow a = {0}, b = {0};
    size_t x = first;
    for (; x + 2 <= end; x += 2) {
        a += w[x * WIDTH + j] * *(const EigsRow *)(w + x * WIDTH);
        b += w[x * WIDTH + WIDTH + j] * *(const EigsRow *)(w + x * WIDTH + WIDTH);
    }
    if (x < end)
        a += w[x * WIDTH + j] * *(const EigsRow *)(w + x * WIDTH);
    a += b;
    memcpy(f, &a, sizeof a);
}

/* f[WIDTH] = w' (column j of w); chunks: scratch. */
static void project_on_columns(const double *w, size_t n, size_t j, double *chunks, double *f)
{
#pragma omp parallel for schedule(static) if (n > 8 * CHUNK)
    for (size_t x = 0; x < n; x += CHUNK)
        project_column(w, x, x + CHUNK < n ? x + CHUNK : n, j, chunks + x / CHUNK * WIDTH);
    memset(f, 0, WIDTH * sizeof *f);
    for (size_t x = 0; x < n; x += CHUNK)
        for (size_t i = 0; i < WIDTH; i++)
            f[i] += chunks[x / CHUNK * WIDTH + i];
}

/* Column j of w: takes out columns 0 .. j-1 twice, adding the coefficients to r; returns what is left. */
static double clean_column(double *w, size_t n, size_t j, double *chunks, double r[WIDTH][WIDTH])
{
    double f[WIDTH];
    for (int pass = 0; pass < 2 && j > 0; pass++) {
        project_on_columns(w, n, j, chunks, f);
#pragma omp parallel for schedule(static) if (n > 8 * CHUNK)
        for (size_t x = 0; x < n; x++) {
            double sum = 0;
            for (size_t i = 0; i < j; i++)
                sum += f[i] * w[x * WIDTH + i];
            w[x * WIDTH + j] -= sum;
        }
        for (size_t i = 0; r && i < j; i++)
            r[i][j] += f[i];
    }
    project_on_columns(w, n, j, chunks, f);
    return sqrt(f[j]);
}

/* Makes column j of w, of length `norm`, orthogonal to the basis once more at unit length; norm 0: a random one in its
 * place. *left: the length of what stayed. */
static Err settle_column(Lanczos *l, double *w, size_t j, double norm, double *left)
{
    size_t n = l->p->n;
    double *one = l->w == w ? l->next : l->w; /* the other block is free now */
    memset(one, 0, n * WIDTH * sizeof *one);
    for (size_t x = 0; x < n; x++)
        one[x * WIDTH] = norm > 0 ? w[x * WIDTH + j] / norm : rng_normal(&l->rng);
    TRY(orthogonalize(l, one, NULL));
    for (size_t x = 0; x < n; x++)
        w[x * WIDTH + j] = one[x * WIDTH];
    *left = clean_column(w, n, j, l->chunks, NULL);
    return OK;
}

/* Orthonormalises the b columns of w (orthogonal to the basis already); r takes the factors. A column of little more than
 * rounding would, made long again, lie in the basis' own directions and bring their values a second time. */
static Err factor_block(Lanczos *l, double *w, size_t b)
{
    size_t n = l->p->n;
    memset(l->r, 0, sizeof l->r);
    for (size_t j = 0; j < b; j++) {
        TRY(job_look(l->ctl));
        double norm = clean_column(w, n, j, l->chunks, l->r);
        l->r[j][j] = norm;
        if (norm <= 1e-6 * l->scale) {
            double left = 0;
            if (norm > 1e-13 * l->scale)
                TRY(settle_column(l, w, j, norm, &left));
            if (left < 0.5) { /* it held nothing new */
                l->r[j][j] = 0;
                TRY(settle_column(l, w, j, 0, &left));
            }
            norm = left;
        }
        for (size_t x = 0; x < n; x++)
            w[x * WIDTH + j] /= norm;
    }
    for (size_t x = 0; x < n; x++)
        for (size_t j = b; j < WIDTH; j++)
            w[x * WIDTH + j] = 0;
    return OK;
}

/* ---- the iteration ---- */

/* Adds `next` to the basis, applies the operator to it, and makes the block after it. */
static Err grow(Lanczos *l, EigsApply *apply, void *user, JobCtl *ctl, double *h)
{
    size_t n = l->p->n, b = l->b, m = l->m;
    TRY(apply(user, l->next, l->w, ctl));
    for (size_t j = 0; j < b; j++)
        for (size_t x = 0; x < n; x++)
            l->q[(m + j) * n + x] = l->next[x * WIDTH + j];
    l->m = m + b;
    memset(h, 0, l->max * WIDTH * sizeof *h);
    TRY(orthogonalize(l, l->w, h));
    for (size_t j = 0; j < b; j++)
        for (size_t i = 0; i < l->m; i++) {
            l->t[i * l->max + m + j] = l->t[(m + j) * l->max + i] = h[i * WIDTH + j];
            l->scale = fmax(l->scale, fabs(h[i * WIDTH + j]));
        }
    l->last = b;
    size_t left = n - l->m;
    l->b = left < b ? left : b;
    if (l->b)
        TRY(factor_block(l, l->w, l->b));
    double *swap = l->next;
    l->next = l->w;
    l->w = swap;
    return OK;
}

/* Residual of Ritz pair i: the larger of its rounding error and |r s_last|. */
static double residual(const Lanczos *l, size_t i)
{
    const double *s = l->s + i * l->m + (l->m - l->last);
    double sum = 0;
    for (size_t a = 0; a < l->b; a++) {
        double x = 0;
        for (size_t c = 0; c < l->last; c++)
            x += l->r[a][c] * s[c];
        sum += x * x;
    }
    return sqrt(sum);
}

/* The largest residual of the wanted pairs over the tolerance: at most 1 when converged. Where the last pair is zero, as
 * of fewer cells than components, there is nothing to be exact to but the first. */
static double misfit(const Lanczos *l)
{
    double worst = 0, limit = l->p->tol * fmax(fabs(l->theta[l->p->k - 1]), 1e-6 * fabs(l->theta[0]));
    for (size_t i = 0; i < l->p->k; i++)
        worst = fmax(worst, residual(l, i));
    return worst == 0 ? 0 : worst / limit;
}

static Err solve_projected(Lanczos *l, size_t count)
{
    l->found = count < l->m ? count : l->m;
    TRY(job_look(l->ctl));
    for (size_t j = 0; j < l->m; j++)
        memcpy(l->scratch + j * l->m, l->t + j * l->max, l->m * sizeof *l->t);
    return linalg_eigh_top(l->m, l->scratch, l->found, l->theta, l->s);
}

/* out[n, count] column-major: the best Ritz vectors. */
static Err ritz_vectors(const Lanczos *l, size_t count, double *out)
{
    enum { ROWS = 4096 };
    size_t n = l->p->n;
    for (size_t x = 0; x < n; x += ROWS) {
        TRY(job_look(l->ctl));
        linalg_dgemm(0, n - x < ROWS ? n - x : ROWS, count, l->m, 1, l->q + x, n, l->s, l->m, 0, out + x, n);
    }
    return OK;
}

static Err restart(Lanczos *l, size_t keep)
{
    double *kept;
    size_t n = l->p->n;
    TRY(NEW(kept, n * keep));
    Err err = ritz_vectors(l, keep, kept);
    if (!err)
        memcpy(l->q, kept, n * keep * sizeof *l->q);
    free(kept);
    TRY(err);
    memset(l->t, 0, l->max * l->max * sizeof *l->t);
    for (size_t i = 0; i < keep; i++)
        l->t[i * l->max + i] = l->theta[i];
    l->m = keep;
    return OK;
}

/* When to look again: where the residual will have fallen far enough if it goes on as it did. */
static size_t next_check(size_t m, double fit, size_t m_before, double fit_before)
{
    double step = (double)m / 4;
    if (m_before && fit < fit_before)
        step = fmin(step, 1.1 * log(fit) / (log(fit_before) - log(fit)) * (double)(m - m_before));
    return m + (step > WIDTH ? (size_t)step : WIDTH);
}

/* The operator leads nowhere out of the basis: its pairs are exact. */
static bool closed(const Lanczos *l)
{
    for (size_t j = 0; j < l->b; j++)
        if (l->r[j][j] != 0)
            return false;
    return true;
}

static Err run(Lanczos *l, EigsApply *apply, void *user, JobCtl *ctl, double *h)
{
    const EigsParams *p = l->p;
    size_t check = 3 * p->k + WIDTH, checked = 0;
    double fit_before = 0;
    for (int applies = 1;; applies++) {
        TRY(grow(l, apply, user, ctl, h));
        int end = l->b == 0 || applies >= p->max_applies, full = l->m + l->b > l->max;
        if (l->m < p->k || (!end && !full && l->m < check && !closed(l)))
            continue;
        size_t keep = p->k + (l->max - p->k) / 3;
        TRY(solve_projected(l, full && !end ? keep : p->k));
        TRY(job_look(l->ctl));
        double fit = misfit(l);
        if (end || fit <= 1)
            return OK;
        check = next_check(l->m, fit, checked, fit_before);
        checked = l->m;
        fit_before = fit;
        if (full) {
            TRY(restart(l, l->found));
            checked = 0;
            check = l->max;
        }
    }
}

Err eigs_largest(const EigsParams *p, EigsApply *apply, void *user, JobCtl *ctl, double *values,
                 double *vectors)
{
    Err err = OK;
    size_t n = p->n;
    Lanczos l = {.p = p, .b = WIDTH < n ? WIDTH : n, .rng = rng_make(p->seed, 0xe165), .ctl = ctl};
    double *h = NULL;
    l.max = p->max_dim < n ? p->max_dim : n;
    TRY_GOTO(NEW(l.q, n * (l.max + WIDTH)));
    TRY_GOTO(NEW(l.next, n * WIDTH));
    TRY_GOTO(NEW(l.w, n * WIDTH));
    TRY_GOTO(NEW(l.h, l.max * WIDTH));
    TRY_GOTO(NEW(l.chunks, (n / CHUNK + 1) * WIDTH));
    TRY_GOTO(NEW(h, l.max * WIDTH));
    TRY_GOTO(NEW0(l.t, l.max * l.max));
    TRY_GOTO(NEW(l.s, l.max * l.max));
    TRY_GOTO(NEW(l.theta, l.max));
    TRY_GOTO(NEW(l.scratch, l.max * l.max));
    for (size_t i = 0; i < n * WIDTH; i++)
        l.next[i] = rng_normal(&l.rng);
    TRY_GOTO(factor_block(&l, l.next, l.b));
    TRY_GOTO(run(&l, apply, user, ctl, h));
    memcpy(values, l.theta, p->k * sizeof *values);
    TRY_GOTO(ritz_vectors(&l, p->k, vectors));
done:
    free(l.q);
    free(l.next);
    free(l.w);
    free(l.h);
    free(l.chunks);
    free(h);
    free(l.t);
    free(l.s);
    free(l.theta);
    free(l.scratch);
    return err;
}
