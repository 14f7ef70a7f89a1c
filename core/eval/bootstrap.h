/* A measured figure with its 95 % interval: percentile bootstrap (Efron 1979) over cells, or over
 * whole groups of them (prompts, whose cells are not independent). Each resample is a vector of
 * weights (how often each item was drawn), so that a measure is written once, for weights. */
#ifndef SCMM_EVAL_BOOTSTRAP_H
#define SCMM_EVAL_BOOTSTRAP_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Estimate {
    double value;  /* NaN: undefined on these data */
    double lo, hi; /* 2.5th and 97.5th percentile over resamples; NaN when there is no interval */
    size_t n;      /* items (cells, prompts, types) */
} Estimate;

enum { BOOTSTRAP_RESAMPLES = 1000 };

/* A measure of n items, item i counted weight[i] times (NULL: once). Called from several threads at
 * once; NaN where it is undefined, such resamples are left out of the interval. */
typedef double Statistic(const void *user, const uint32_t *weight);

/* cluster[n] (NULL: each item is its own): items with one number are drawn together, numbers
 * 0..n_clusters-1. Resample b uses random stream b of seed: the same interval at any thread count.
 */
CHECKED Err bootstrap(size_t n, const int32_t *cluster, size_t n_clusters, Statistic *f,
                      const void *user, size_t resamples, uint64_t seed, Estimate *out);
/* The mean of v[n]; NaN items are left out (and not counted in n). */
CHECKED Err bootstrap_mean(const double *v, size_t n, const int32_t *cluster, size_t n_clusters,
                           uint64_t seed, Estimate *out);
/* A figure without an interval. */
Estimate estimate_plain(double value, size_t n);
/* q in 0..1 of the sorted v[n], linear between neighbours (numpy's default). */
double sorted_quantile(const double *v, size_t n, double q);
/* Median of v[n], which is sorted in place. */
double median_of(double *v, size_t n);
#endif
