/* Differential expression of groups of cells against the rest, as scanpy's rank_genes_groups defines
 * it: Wilcoxon rank sums with tie correction, Welch's t, and the t that takes the rest to be as small as the group, which
 * over-estimates its variance (scanpy's t-test_overestim_var). Only stored values are looked at; zeros are
 * counted. */
#ifndef SCMM_ANALYSIS_MARKERS_H
#define SCMM_ANALYSIS_MARKERS_H
#include "core/analysis/rows.h"

typedef enum MarkerTest { TEST_WILCOXON, TEST_WELCH, TEST_OVERESTIMATED } MarkerTest;

typedef struct MarkerStat {
    double score; /* z, or t; above 0: higher in the group */
    double pval, pval_adj;
    float logfoldchange; /* log2 of the ratio of expm1(mean) + 1e-9 */
    float frac_in, frac_out; /* share of cells with a value other than 0 */
} MarkerStat;

/* rows: log-normalised. codes[rows->n]: 0..n_groups-1, or -1 (belongs to the rest of every group).
 * stats[n_groups, genes]. Groups with fewer than two cells, or whose rest has, get score 0 and p 1.
 * Welch takes one pass over the rows and 24 bytes a gene and group (16 times a gene if those are few); Wilcoxon works
 * through the genes in as many passes as the memory budget makes necessary. */
CHECKED Err markers_test(const Rows *rows, const int32_t *codes, size_t n_groups, MarkerTest test,
                         JobCtl *ctl, MarkerStat *stats);
#endif
