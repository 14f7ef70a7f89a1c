/* How well a partition or an embedding agrees with known classes: adjusted Rand index (Hubert and
 * Arabie 1985), normalised mutual information (arithmetic mean, scikit-learn's default), average
 * silhouette width scaled to 0..1 as scib does ((s + 1) / 2), and avgbio, the mean of the three
 * (scGPT, Cui et al. 2024). */
#ifndef SCMM_EVAL_CLUSTER_H
#define SCMM_EVAL_CLUSTER_H
#include "core/base/job.h"
#include "core/eval/bootstrap.h"

typedef struct Partition { /* borrowed; -1 in either leaves the cell out */
    size_t n, k_truth, k_found;
    const int32_t *truth, *found; /* [n] */
} Partition;
/* Both are Statistics. Two partitions of one group each agree fully (1). */
double cluster_ari(const void *partition, const uint32_t *weight);
double cluster_nmi(const void *partition, const uint32_t *weight);

/* Silhouette of each cell, width[n] (Rousseeuw 1987; Euclidean): 0 for a class of one cell; NaN for
 * label -1. x[n, d]. O(n^2 d). ERR_INPUT with fewer than two classes. */
CHECKED Err cluster_silhouette(const float *x, size_t n, size_t d, const int32_t *label, size_t k,
                               JobCtl *ctl, double *width);

typedef struct BioScores {
    Estimate ari, nmi, asw, avgbio;
} BioScores;
/* All four of an embedding and a clustering made from it, with intervals. silhouette[n] from above.
 */
CHECKED Err cluster_bio(const Partition *p, const double *silhouette, uint64_t seed,
                        BioScores *out);
#endif
