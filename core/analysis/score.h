/* Scores of gene sets, and what quality control looks at, over streamed rows. */
#ifndef SCMM_ANALYSIS_SCORE_H
#define SCMM_ANALYSIS_SCORE_H
#include "core/analysis/rows.h"

/* score[rows->n] = mean of the columns set[n] less the mean of the controls: for each of 25 bins of mean expression
 * that holds a gene of the set, 50 genes of the bin drawn by `seed` (all, when there are no more), without those of the
 * set: scanpy's score_genes, whose random_state gives the same draws. rows: log-normalised. ERR_FEW_GENES when there are no controls. */
CHECKED Err score_genes(const Rows *rows, const int32_t *set, size_t n, uint64_t seed, JobCtl *ctl,
                        float *score);

/* Per cell, of the values as stored: total, genes above 0, and the share of the total (per cent, NaN when the total is 0)
 * in genes with in_a[genes] and in_b[genes] set. */
CHECKED Err qc_measure(const Rows *rows, const bool *in_a, const bool *in_b, JobCtl *ctl, float *total,
                       float *n_genes, float *share_a, float *share_b);
#endif
