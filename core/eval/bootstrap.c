/* Percentile bootstrap with weights; resamples run in parallel, each on its own random stream. */
#include "core/eval/bootstrap.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sorted_quantile(const double *v, size_t n, double q)
{
    if (n == 0)
        return NAN;
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    if (i + 1 >= n)
        return v[n - 1];
    return v[i] + (at - (double)i) * (v[i + 1] - v[i]);
}

double median_of(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return sorted_quantile(v, n, 0.5);
}

Estimate estimate_plain(double value, size_t n)
{
    return (Estimate){.value = value, .lo = NAN, .hi = NAN, .n = n};
}

/* Draws as many clusters as there are, with replacement, and spreads each draw over its items. */
static void draw_weights(Rng *r, size_t n, const int32_t *cluster, size_t n_clusters,
                         uint32_t *drawn, uint32_t *weight)
{
    uint32_t *into = cluster ? drawn : weight;
    size_t units = cluster ? n_clusters : n;
    memset(into, 0, units * sizeof *into);
    for (size_t i = 0; i < units; i++)
        into[rng_below(r, units)]++;
    for (size_t i = 0; cluster && i < n; i++)
        weight[i] = cluster[i] < 0 ? 0 : drawn[cluster[i]];
}

Err bootstrap(size_t n, const int32_t *cluster, size_t n_clusters, Statistic *f, const void *user,
              size_t resamples, uint64_t seed, Estimate *out)
{
    Estimate e = estimate_plain(f(user, NULL), n);
    double *values;
    TRY(NEW(values, resamples));
    bool failed = false;
    size_t kept = 0;
#pragma omp parallel if (n > 64)
    {
        uint32_t *weight = malloc((n + 1) * sizeof *weight);
        uint32_t *drawn = malloc((n_clusters + 1) * sizeof *drawn);
        if (!weight || !drawn) {
#pragma omp atomic write
            failed = true;
        }
#pragma omp for schedule(dynamic, 4)
        for (size_t b = 0; b < resamples; b++) {
            values[b] = NAN;
            if (!weight || !drawn || n == 0 || (cluster && n_clusters == 0))
                continue;
            Rng r = rng_make(seed, b);
            draw_weights(&r, n, cluster, n_clusters, drawn, weight);
            values[b] = f(user, weight);
        }
        free(weight);
        free(drawn);
    }
    for (size_t b = 0; b < resamples; b++)
        if (!isnan(values[b]))
            values[kept++] = values[b];
    if (kept >= 20 && !isnan(e.value)) { /* fewer say nothing about the 2.5th percentile */
        qsort(values, kept, sizeof *values, by_value);
        e.lo = sorted_quantile(values, kept, 0.025);
        e.hi = sorted_quantile(values, kept, 0.975);
    }
    free(values);
    if (failed)
        FAIL(ERR_NOMEM, "bootstrap: no memory for the weights of %zu items", n);
    *out = e;
    return OK;
}

typedef struct MeanData {
    const double *v;
    size_t n;
} MeanData;

static double mean_statistic(const void *user, const uint32_t *w)
{
    const MeanData *d = user;
    double sum = 0, total = 0;
    for (size_t i = 0; i < d->n; i++) {
        double k = w ? w[i] : 1;
        if (k == 0 || isnan(d->v[i]))
            continue;
        sum += k * d->v[i];
        total += k;
    }
    return total > 0 ? sum / total : NAN;
}

Err bootstrap_mean(const double *v, size_t n, const int32_t *cluster, size_t n_clusters,
                   uint64_t seed, Estimate *out)
{
    MeanData d = {v, n};
    TRY(bootstrap(n, cluster, n_clusters, mean_statistic, &d, BOOTSTRAP_RESAMPLES, seed, out));
    size_t missing = 0;
    for (size_t i = 0; i < n; i++)
        missing += isnan(v[i]) != 0;
    out->n -= missing;
    return OK;
}
