/* Variable genes. The moments of each gene are summed in lanes (rows.h), so that a tie in scanpy is a
 * tie here and the list does not depend on the number of threads. */
#include "core/analysis/hvg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

void hvg_done(Hvg *h)
{
    free(h->selected);
    free(h->means);
    free(h->dispersion);
    *h = (Hvg){0};
}

/* ---- sums over cells ---- */

typedef struct Sums {
    size_t genes;
    double *s1, *s2; /* [LANES * genes] */
    bool expm1;      /* undo the logarithm first */
    const double *clip; /* [genes] upper limit of a value, or NULL */
} Sums;

/* expm1 of equal values in a row (equal counts) is computed once: a tiny direct-mapped table. */
enum { SLOTS = 64 };
static inline float unlog(float v, float *keys, float *values)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    unsigned slot = (bits * 2654435761u) >> 26;
    if (keys[slot] != v) {
        keys[slot] = v;
        values[slot] = expm1f(v);
    }
    return values[slot];
}

static void add_row(const Sums *s, const Csr *m, size_t i, double *s1, double *s2)
{
    float keys[SLOTS] = {0}, values[SLOTS] = {0};
    for (int64_t j = m->indptr[i]; j < m->indptr[i + 1]; j++) {
        int32_t g = m->indices[j];
        float v = s->expm1 ? unlog(m->values[j], keys, values) : m->values[j];
        if (s->clip && v > s->clip[g]) {
            s1[g] += s->clip[g];
            s2[g] += s->clip[g] * s->clip[g];
        } else {
            s1[g] += v;
            s2[g] += (double)(v * v); /* squared in float32, as scanpy does: lists must agree */
        }
    }
}

static void add_block(const Sums *s, const Csr *m, size_t row0)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t lane = 0; lane < LANES; lane++)
        for (size_t i = 0; i < m->rows; i += LANE_CELLS) {
            if ((row0 + i) / LANE_CELLS % LANES != lane)
                continue;
            size_t end = i + LANE_CELLS < m->rows ? i + LANE_CELLS : m->rows;
            for (size_t r = i; r < end; r++)
                add_row(s, m, r, s->s1 + lane * s->genes, s->s2 + lane * s->genes);
        }
}

/* Sum and sum of squares of each gene into s1[genes], s2[genes]. */
static Err sum_genes(const Rows *rows, bool expm1_first, const double *clip, JobCtl *ctl, double *s1,
                     double *s2)
{
    Err err = OK;
    Sums s = {.genes = rows->genes, .expm1 = expm1_first, .clip = clip};
    Csr block = {0};
    size_t step = rows_block(rows); /* a multiple of LANE_CELLS: lanes do not depend on it */
    TRY_GOTO(NEW0(s.s1, LANES * rows->genes));
    TRY_GOTO(NEW0(s.s2, LANES * rows->genes));
    for (size_t row = 0; row < rows->n; row += step) {
        TRY_GOTO(job_progress(ctl, row));
        size_t n = rows->n - row < step ? rows->n - row : step;
        TRY_GOTO(rows_read(rows, row, n, ctl, &block));
        add_block(&s, &block, row);
        csr_done(&block);
    }
    TRY_GOTO(job_progress(ctl, rows->n));
    for (size_t g = 0; g < rows->genes; g++) {
        s1[g] = s2[g] = 0;
        for (size_t lane = 0; lane < LANES; lane++) {
            s1[g] += s.s1[lane * rows->genes + g];
            s2[g] += s.s2[lane * rows->genes + g];
        }
    }
done:
    csr_done(&block);
    free(s.s1);
    free(s.s2);
    return err;
}

static double variance(double s1, double s2, double n)
{
    double mean = s1 / n, v = s2 / n - mean * mean;
    return n > 1 ? v * n / (n - 1) : v;
}

/* ---- choosing ---- */

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Selects every gene at least as large as the top-th largest; NaN never. */
static Err select_top(Hvg *h, size_t top)
{
    double *sorted;
    size_t n = 0;
    TRY(NEW(sorted, h->genes));
    for (size_t g = 0; g < h->genes; g++)
        if (!isnan(h->dispersion[g]))
            sorted[n++] = h->dispersion[g];
    qsort(sorted, n, sizeof *sorted, descending);
    if (top > n)
        top = n;
    double limit = top ? sorted[top - 1] : INFINITY;
    free(sorted);
    TRY(NEW(h->selected, h->genes));
    for (size_t g = 0; g < h->genes; g++)
        if (h->dispersion[g] >= limit)
            h->selected[h->n++] = (int32_t)g;
    return OK;
}

/* ---- seurat ---- */

enum { BINS = 20 };

/* Bin of each mean: equal widths between the extremes, closed on the right (pandas.cut). */
static void find_bins(const double *means, size_t n, int *bin)
{
    double lo = INFINITY, hi = -INFINITY, edge[BINS + 1];
    for (size_t g = 0; g < n; g++) {
        lo = means[g] < lo ? means[g] : lo;
        hi = means[g] > hi ? means[g] : hi;
    }
    double range = hi - lo;
    if (range == 0) {
        double pad = lo != 0 ? 0.001 * fabs(lo) : 0.001;
        lo -= pad;
        hi += pad;
    }
    for (int b = 0; b <= BINS; b++) /* numpy.linspace */
        edge[b] = b == BINS ? hi : lo + (double)b * ((hi - lo) / BINS);
    if (range != 0)
        edge[0] -= range * 0.001;
    for (size_t g = 0; g < n; g++) {
        int b = 0;
        while (b < BINS - 1 && means[g] > edge[b + 1])
            b++;
        bin[g] = b;
    }
}

/* Dispersions become z-scores within their bin; a bin with one gene gives it 1. */
static void normalize_dispersions(double *d, const int *bin, size_t n)
{
    double sum[BINS] = {0}, ss[BINS] = {0};
    size_t count[BINS] = {0};
    for (size_t g = 0; g < n; g++)
        if (!isnan(d[g])) {
            sum[bin[g]] += d[g];
            count[bin[g]]++;
        }
    for (size_t g = 0; g < n; g++)
        if (!isnan(d[g])) {
            double x = d[g] - sum[bin[g]] / (double)count[bin[g]];
            ss[bin[g]] += x * x;
        }
    for (size_t g = 0; g < n; g++) {
        int b = bin[g];
        double mean = sum[b] / (double)count[b], sd = sqrt(ss[b] / ((double)count[b] - 1));
        d[g] = count[b] == 1 ? d[g] / mean : (d[g] - mean) / sd;
    }
}

Err hvg_seurat(const Rows *rows, size_t top, JobCtl *ctl, Hvg *out)
{
    Err err = OK;
    Hvg h = {.genes = rows->genes};
    double *s2 = NULL;
    int *bin = NULL;
    if (rows->n == 0 || rows->genes == 0)
        FAIL(ERR_FEW_GENES, "the matrix is empty: nothing to choose variable genes from");
    job_stage(ctl, "variable genes", rows->n);
    TRY_GOTO(NEW(h.means, h.genes));
    TRY_GOTO(NEW(h.dispersion, h.genes));
    TRY_GOTO(NEW(s2, h.genes));
    TRY_GOTO(NEW(bin, h.genes));
    TRY_GOTO(sum_genes(rows, true, NULL, ctl, h.means, s2));
    for (size_t g = 0; g < h.genes; g++) {
        double mean = h.means[g] / (double)rows->n, var = variance(h.means[g], s2[g], (double)rows->n);
        if (mean == 0)
            mean = 1e-12;
        double d = var / mean;
        h.dispersion[g] = d == 0 ? NAN : log(d);
        h.means[g] = log1p(mean);
    }
    find_bins(h.means, h.genes, bin);
    normalize_dispersions(h.dispersion, bin, h.genes);
    TRY_GOTO(select_top(&h, top));
    *out = h;
    h = (Hvg){0};
done:
    hvg_done(&h);
    free(s2);
    free(bin);
    return err;
}

/* ---- seurat_v3 ---- */

/* Expected standard deviation of each gene from the fit of log10 variance on log10 mean. */
static Err expected_sd(const double *mean, const double *var, size_t n, double span, double *sd)
{
    Err err = OK;
    double *x = NULL, *y = NULL, *fit = NULL;
    size_t m = 0;
    TRY_GOTO(NEW(x, n));
    TRY_GOTO(NEW(y, n));
    TRY_GOTO(NEW(fit, n));
    for (size_t g = 0; g < n; g++)
        if (var[g] > 0) {
            x[m] = log10(mean[g]);
            y[m++] = log10(var[g]);
        }
    TRY_GOTO(loess_fit(m, x, y, span, fit));
    m = 0;
    for (size_t g = 0; g < n; g++)
        sd[g] = var[g] > 0 ? sqrt(pow(10.0, fit[m++])) : 1.0;
done:
    free(x);
    free(y);
    free(fit);
    return err;
}

typedef struct Ranked {
    double value;
    int32_t gene;
} Ranked;

static int by_value(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return x->gene < y->gene ? -1 : x->gene > y->gene;
}

static int by_gene(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* Exactly `top` genes; equal ones in column order. */
static Err select_ranked(Hvg *h, size_t top)
{
    Ranked *r;
    TRY(NEW(r, h->genes));
    for (size_t g = 0; g < h->genes; g++)
        r[g] = (Ranked){h->dispersion[g], (int32_t)g};
    qsort(r, h->genes, sizeof *r, by_value);
    h->n = top < h->genes ? top : h->genes;
    Err err = NEW(h->selected, h->n);
    for (size_t i = 0; !err && i < h->n; i++)
        h->selected[i] = r[i].gene;
    free(r);
    if (!err)
        qsort(h->selected, h->n, sizeof *h->selected, by_gene);
    return err;
}

Err hvg_seurat_v3(const Rows *rows, size_t top, double span, JobCtl *ctl, Hvg *out)
{
    Err err = OK;
    Hvg h = {.genes = rows->genes};
    size_t n = rows->genes;
    double cells = (double)rows->n, *s1 = NULL, *s2 = NULL, *sd = NULL, *clip = NULL;
    if (rows->n < 2 || n == 0)
        FAIL(ERR_FEW_GENES, "too few cells or genes to choose variable genes from");
    job_stage(ctl, "variable genes", rows->n);
    TRY_GOTO(NEW(h.means, n));
    TRY_GOTO(NEW(h.dispersion, n));
    TRY_GOTO(NEW(s1, n));
    TRY_GOTO(NEW(s2, n));
    TRY_GOTO(NEW(sd, n));
    TRY_GOTO(NEW(clip, n));
    TRY_GOTO(sum_genes(rows, false, NULL, ctl, s1, s2));
    for (size_t g = 0; g < n; g++) {
        h.means[g] = s1[g] / cells;
        h.dispersion[g] = variance(s1[g], s2[g], cells);
    }
    TRY_GOTO(expected_sd(h.means, h.dispersion, n, span, sd));
    for (size_t g = 0; g < n; g++)
        clip[g] = sd[g] * sqrt(cells) + h.means[g];
    TRY_GOTO(sum_genes(rows, false, clip, ctl, s1, s2));
    for (size_t g = 0; g < n; g++) {
        double m = h.means[g];
        h.dispersion[g] = (cells * m * m + s2[g] - 2 * s1[g] * m) / ((cells - 1) * sd[g] * sd[g]);
    }
    TRY_GOTO(select_ranked(&h, top));
    *out = h;
    h = (Hvg){0};
done:
    hvg_done(&h);
    free(s1);
    free(s2);
    free(sd);
    free(clip);
    return err;
}
