/* ARI and NMI from the contingency table, silhouettes by blocks of cells. */
#include "core/eval/cluster.h"

#include <math.h>

#include "core/base/mem.h"

typedef struct Contingency {
    double *cell, *row, *col, total; /* cell [k_truth, k_found] */
    size_t rows, cols;
} Contingency;

static bool contingency(const Partition *p, const uint32_t *weight, Contingency *c)
{
    double *block = calloc(p->k_truth * p->k_found + p->k_truth + p->k_found + 1, sizeof *block);
    if (!block)
        return false;
    *c = (Contingency){block,
                       block + p->k_truth * p->k_found,
                       block + p->k_truth * p->k_found + p->k_truth,
                       0,
                       p->k_truth,
                       p->k_found};
    for (size_t i = 0; i < p->n; i++) {
        int32_t t = p->truth[i], f = p->found[i];
        if (t < 0 || f < 0)
            continue;
        double w = weight ? weight[i] : 1;
        c->cell[(size_t)t * c->cols + (size_t)f] += w;
        c->row[t] += w;
        c->col[f] += w;
        c->total += w;
    }
    return true;
}

static double pairs(double n)
{
    return n * (n - 1) / 2;
}

double cluster_ari(const void *partition, const uint32_t *weight)
{
    Contingency c;
    if (!contingency(partition, weight, &c))
        return NAN;
    double both = 0, rows = 0, cols = 0;
    for (size_t i = 0; i < c.rows * c.cols; i++)
        both += pairs(c.cell[i]);
    for (size_t i = 0; i < c.rows; i++)
        rows += pairs(c.row[i]);
    for (size_t i = 0; i < c.cols; i++)
        cols += pairs(c.col[i]);
    double all = pairs(c.total);
    free(c.cell);
    if (all <= 0)
        return NAN;
    double expected = rows * cols / all, best = (rows + cols) / 2;
    return best == expected ? 1 : (both - expected) / (best - expected);
}

static double entropy(const double *count, size_t n, double total)
{
    double h = 0;
    for (size_t i = 0; i < n; i++)
        if (count[i] > 0)
            h -= count[i] / total * log(count[i] / total);
    return h;
}

double cluster_nmi(const void *partition, const uint32_t *weight)
{
    Contingency c;
    if (!contingency(partition, weight, &c))
        return NAN;
    double mutual = 0;
    for (size_t t = 0; t < c.rows; t++)
        for (size_t f = 0; f < c.cols; f++) {
            double v = c.cell[t * c.cols + f];
            if (v > 0)
                mutual += v / c.total * log(v * c.total / (c.row[t] * c.col[f]));
        }
    double h = (entropy(c.row, c.rows, c.total) + entropy(c.col, c.cols, c.total)) / 2;
    double total = c.total;
    free(c.cell);
    if (total <= 0)
        return NAN;
    if (h <= 0)
        return 1;
    return mutual > 0 ? mutual / h : 0;
}

/* Sum of distances from cell i to the cells of each class. */
static void distance_sums(const float *x, size_t n, size_t d, const int32_t *label, size_t i,
                          double *sums)
{
    const float *a = x + i * d;
    for (size_t j = 0; j < n; j++) {
        if (label[j] < 0)
            continue;
        const float *b = x + j * d;
        double s = 0;
        for (size_t f = 0; f < d; f++) {
            double t = (double)a[f] - (double)b[f];
            s += t * t;
        }
        sums[label[j]] += sqrt(s);
    }
}

static double width_of(const double *sums, const size_t *size, size_t k, int32_t own)
{
    if (size[own] < 2)
        return 0;
    double a = sums[own] / (double)(size[own] - 1), b = INFINITY;
    for (size_t c = 0; c < k; c++)
        if ((int32_t)c != own && size[c] > 0 && sums[c] / (double)size[c] < b)
            b = sums[c] / (double)size[c];
    double m = a > b ? a : b;
    return m > 0 ? (b - a) / m : 0;
}

Err cluster_silhouette(const float *x, size_t n, size_t d, const int32_t *label, size_t k,
                       JobCtl *ctl, double *width)
{
    size_t *size, classes = 0;
    TRY(NEW0(size, k));
    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0)
            classes += size[label[i]]++ == 0;
    Err err = OK;
    if (classes < 2)
        FAIL_GOTO(ERR_INPUT, "silhouette: the cells have fewer than two classes");
    enum { BLOCK = 128 };
    job_stage(ctl, "silhouettes", n);
    bool failed = false;
    for (size_t i0 = 0; i0 < n; i0 += BLOCK) {
        size_t end = i0 + BLOCK < n ? i0 + BLOCK : n;
#pragma omp parallel for schedule(dynamic, 4)
        for (size_t i = i0; i < end; i++) {
            double *sums = label[i] < 0 ? NULL : calloc(k, sizeof *sums);
            width[i] = NAN;
            if (sums) {
                distance_sums(x, n, d, label, i, sums);
                width[i] = width_of(sums, size, k, label[i]);
            } else if (label[i] >= 0) {
#pragma omp atomic write
                failed = true;
            }
            free(sums);
        }
        TRY_GOTO(job_progress(ctl, end));
    }
    if (failed)
        FAIL_GOTO(ERR_NOMEM, "silhouette: no memory for sums over %zu classes", k);
done:
    free(size);
    return err;
}

typedef struct BioData {
    const Partition *p;
    const double *width;
} BioData;

static double asw_statistic(const void *user, const uint32_t *weight)
{
    const BioData *d = user;
    double sum = 0, total = 0;
    for (size_t i = 0; i < d->p->n; i++) {
        double w = weight ? weight[i] : 1;
        if (isnan(d->width[i]) || w == 0)
            continue;
        sum += w * (d->width[i] + 1) / 2;
        total += w;
    }
    return total > 0 ? sum / total : NAN;
}

static double avgbio_statistic(const void *user, const uint32_t *weight)
{
    const BioData *d = user;
    return (cluster_ari(d->p, weight) + cluster_nmi(d->p, weight) + asw_statistic(d, weight)) / 3;
}

Err cluster_bio(const Partition *p, const double *silhouette, uint64_t seed, BioScores *out)
{
    BioData d = {p, silhouette};
    BioScores s;
    const size_t b = BOOTSTRAP_RESAMPLES;
    TRY(bootstrap(p->n, NULL, 0, cluster_ari, p, b, seed, &s.ari));
    TRY(bootstrap(p->n, NULL, 0, cluster_nmi, p, b, seed, &s.nmi));
    TRY(bootstrap(p->n, NULL, 0, asw_statistic, &d, b, seed, &s.asw));
    TRY(bootstrap(p->n, NULL, 0, avgbio_statistic, &d, b, seed, &s.avgbio));
    *out = s;
    return OK;
}
