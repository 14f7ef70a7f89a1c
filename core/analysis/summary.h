/* What a dot plot, a matrix plot, violins, histograms and composition bars show: a few numbers a group. Each takes plain
 * arrays: codes[n] in 0..n_groups-1, or -1 (counted nowhere), and in[n] (1: counted; NULL: all). The results hold no
 * reference to them. Sums run in the order of the cells: the same answer at any number of threads. */
#ifndef SCMM_ANALYSIS_SUMMARY_H
#define SCMM_ANALYSIS_SUMMARY_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

/* One gene in each group: share of cells above 0, and the mean over all its cells, zeros included: scanpy's dot plot
 * (1.11). fraction, mean [n_groups]; NaN for a group without a cell that has a value. */
void summary_gene(const float *v, const int32_t *codes, const uint8_t *in, size_t n, size_t n_groups, float *fraction,
                  float *mean);
/* In place, for each row of mean[rows, n]: less its smallest, over its largest (scanpy's standard_scale="var"); NaN stay. */
void summary_scale_rows(float *mean, size_t rows, size_t n);

enum { DENSITY_POINTS = 100, HISTOGRAM_BINS = 40 };
typedef struct Spread {  /* one group of numbers; NaN are left out */
    size_t n;            /* values counted; 0: the rest is NaN or 0 */
    double mean, min, q1, median, q3, max; /* quartiles linear between values, as numpy's percentile */
    double zeros;        /* share of values that are 0 */
    float density[DENSITY_POINTS]; /* at equal steps from min to max; the largest is 1. Gaussian kernel, Scott's width, as a
                                      violin plot of scipy (linear binning: within 1 % of it). All 1 when min = max */
    uint32_t bins[HISTOGRAM_BINS]; /* over lo..hi of the Distribution */
} Spread;
typedef struct Distribution {
    size_t n_groups;
    double lo, hi;       /* over all groups; 0, 1 without a value */
    Spread *groups;      /* [n_groups] */
} Distribution;
/* codes NULL: one group of all cells. */
CHECKED Err distribution_of(const float *v, const int32_t *codes, const uint8_t *in, size_t n, size_t n_groups,
                            Distribution *out);
void distribution_done(Distribution *d);

/* counts[n_rows, n_parts]: cells that are in row r (a sample) and part p (a cell type). */
void composition_of(const int32_t *rows, size_t n_rows, const int32_t *parts, size_t n_parts, const uint8_t *in, size_t n,
                    size_t *counts);
#endif
