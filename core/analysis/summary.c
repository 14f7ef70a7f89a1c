/* Sums, quartiles and kernel densities of groups. The density is a histogram of fine bins (each value shared between its
 * two neighbours) smoothed with the kernel: one pass over the cells, whatever their number. */
#include "core/analysis/summary.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

static int32_t group_of(const int32_t *codes, const uint8_t *in, size_t i, size_t n_groups)
{
    int32_t g = in && !in[i] ? -1 : codes ? codes[i] : 0;
    return g >= 0 && (size_t)g < n_groups ? g : -1;
}

typedef struct GeneSum {
    size_t n, above;
    double total;
} GeneSum;

void summary_gene(const float *v, const int32_t *codes, const uint8_t *in, size_t n, size_t n_groups, float *fraction,
                  float *mean)
{
    GeneSum *sums = mem_must((n_groups + 1) * sizeof *sums);
    for (size_t i = 0; i < n; i++) {
        int32_t g = group_of(codes, in, i, n_groups);
        if (g < 0 || !isfinite(v[i]))
            continue;
        sums[g].n++;
        sums[g].above += v[i] > 0;
        sums[g].total += v[i];
    }
    for (size_t g = 0; g < n_groups; g++) {
        fraction[g] = sums[g].n ? (float)((double)sums[g].above / (double)sums[g].n) : NAN;
        mean[g] = sums[g].n ? (float)(sums[g].total / (double)sums[g].n) : NAN;
    }
    free(sums);
}

void summary_scale_rows(float *mean, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, mean += n) {
        float lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < n; i++)
            if (!isnan(mean[i])) {
                lo = fminf(lo, mean[i]);
                hi = fmaxf(hi, mean[i]);
            }
        for (size_t i = 0; i < n; i++)
            if (!isnan(mean[i]))
                mean[i] = hi > lo ? (mean[i] - lo) / (hi - lo) : 0;
    }
}

/* ---- distributions ---- */

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(const float *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    double f = at - (double)i;
    return i + 1 < n ? sorted[i] * (1 - f) + sorted[i + 1] * f : sorted[n - 1];
}

enum { FINE = 1024 };

/* Values spread over FINE bins between min and max, each by its distance to the two nearest knots. */
static void fine_bins(const float *v, size_t n, double min, double step, double *bins)
{
    memset(bins, 0, FINE * sizeof *bins);
    for (size_t i = 0; i < n; i++) {
        double at = (v[i] - min) / step;
        int k = (int)at < FINE - 1 ? (int)at : FINE - 2;
        bins[k] += 1 - (at - k);
        bins[k + 1] += at - k;
    }
}

static void smooth(const float *v, Spread *s, double deviation)
{
    double bins[FINE], d[DENSITY_POINTS], top = 0, step = (s->max - s->min) / (FINE - 1);
    double width = deviation * pow((double)s->n, -0.2);
    for (int k = 0; k < DENSITY_POINTS; k++)
        s->density[k] = 1;
    if (!(step > 0) || !(width > 0))
        return;
    fine_bins(v, s->n, s->min, step, bins);
    for (int k = 0; k < DENSITY_POINTS; k++) {
        double x = k * (FINE - 1.0) / (DENSITY_POINTS - 1); /* in fine bins */
        d[k] = 0;
        for (int b = 0; b < FINE; b++) {
            double z = (b - x) * step / width;
            if (bins[b] > 0 && fabs(z) < 8)
                d[k] += bins[b] * exp(-0.5 * z * z);
        }
        top = fmax(top, d[k]);
    }
    for (int k = 0; k < DENSITY_POINTS; k++)
        s->density[k] = (float)(d[k] / top);
}

/* v[n] in the order of the cells; sorted here. */
static void describe(float *v, size_t n, Spread *s)
{
    double sum = 0, squares = 0;
    size_t zeros = 0;
    for (size_t i = 0; i < n; i++) {
        sum += v[i];
        zeros += v[i] == 0;
    }
    s->n = n;
    s->mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (v[i] - s->mean) * (v[i] - s->mean);
    qsort(v, n, sizeof *v, compare_floats);
    s->min = v[0];
    s->q1 = quantile(v, n, 0.25);
    s->median = quantile(v, n, 0.5);
    s->q3 = quantile(v, n, 0.75);
    s->max = v[n - 1];
    s->zeros = (double)zeros / (double)n;
    smooth(v, s, n > 1 ? sqrt(squares / (double)(n - 1)) : 0);
}

static void fill_bins(const float *v, size_t n, double lo, double hi, uint32_t *bins)
{
    for (size_t i = 0; i < n; i++) {
        int b = hi > lo ? (int)((v[i] - lo) / (hi - lo) * HISTOGRAM_BINS) : 0;
        bins[b < HISTOGRAM_BINS ? b : HISTOGRAM_BINS - 1]++;
    }
}

/* The finite values of each group one after the other; at[g] .. at[g + 1]. */
static Err sort_by_group(const float *v, const int32_t *codes, const uint8_t *in, size_t n, size_t n_groups, float *pool,
                         size_t *at)
{
    size_t *cursor;
    TRY(NEW0(cursor, n_groups + 1));
    memset(at, 0, (n_groups + 1) * sizeof *at);
    for (size_t i = 0; i < n; i++) {
        int32_t g = group_of(codes, in, i, n_groups);
        if (g >= 0 && isfinite(v[i]))
            at[g + 1]++;
    }
    for (size_t g = 0; g < n_groups; g++)
        at[g + 1] += at[g];
    memcpy(cursor, at, n_groups * sizeof *at);
    for (size_t i = 0; i < n; i++) {
        int32_t g = group_of(codes, in, i, n_groups);
        if (g >= 0 && isfinite(v[i]))
            pool[cursor[g]++] = v[i];
    }
    free(cursor);
    return OK;
}

Err distribution_of(const float *v, const int32_t *codes, const uint8_t *in, size_t n, size_t n_groups, Distribution *out)
{
    Err err = OK;
    Distribution d = {.n_groups = codes ? n_groups : 1, .lo = INFINITY, .hi = -INFINITY};
    float *pool = NULL;
    size_t *at = NULL;
    TRY_GOTO(NEW0(d.groups, d.n_groups));
    TRY_GOTO(NEW(at, d.n_groups + 1));
    TRY_GOTO(NEW(pool, n));
    TRY_GOTO(sort_by_group(v, codes, in, n, d.n_groups, pool, at));
    for (size_t g = 0; g < d.n_groups; g++) {
        Spread *s = &d.groups[g];
        s->mean = s->min = s->q1 = s->median = s->q3 = s->max = s->zeros = NAN;
        if (at[g + 1] == at[g])
            continue;
        describe(pool + at[g], at[g + 1] - at[g], s);
        d.lo = fmin(d.lo, s->min);
        d.hi = fmax(d.hi, s->max);
    }
    if (!(d.lo <= d.hi)) {
        d.lo = 0;
        d.hi = 1;
    }
    for (size_t g = 0; g < d.n_groups; g++)
        fill_bins(pool + at[g], at[g + 1] - at[g], d.lo, d.hi, d.groups[g].bins);
    *out = d;
    d = (Distribution){0};
done:
    distribution_done(&d);
    free(pool);
    free(at);
    return err;
}

void distribution_done(Distribution *d)
{
    free(d->groups);
    *d = (Distribution){0};
}

void composition_of(const int32_t *rows, size_t n_rows, const int32_t *parts, size_t n_parts, const uint8_t *in, size_t n,
                    size_t *counts)
{
    memset(counts, 0, n_rows * n_parts * sizeof *counts);
    for (size_t i = 0; i < n; i++) {
        int32_t r = group_of(rows, in, i, n_rows), p = group_of(parts, in, i, n_parts);
        if (r >= 0 && p >= 0)
            counts[(size_t)r * n_parts + (size_t)p]++;
    }
}
