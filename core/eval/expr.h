/* Generated cells against real ones. All comparisons are in one space fitted on real cells alone:
 * log1p of counts per 10,000, their most variable genes, principal components. */
#ifndef SCMM_EVAL_EXPR_H
#define SCMM_EVAL_EXPR_H
#include "core/analysis/pca.h"
#include "core/base/job.h"
#include "core/data/csr.h"
#include "core/eval/bootstrap.h"

typedef struct ExprSpace {
    size_t genes;  /* columns of the matrices it takes */
    size_t n_cols; /* variable genes used */
    int32_t *cols; /* [n_cols] ascending */
    Pca pca;
} ExprSpace;
enum { EXPR_GENES = 1500, EXPR_PCS = 30 };
/* counts of real cells. Fewer genes or components when the data have no more. */
CHECKED Err expr_space_fit(const Csr *counts, size_t genes, size_t pcs, uint64_t seed, JobCtl *ctl,
                           ExprSpace *out);
void expr_space_done(ExprSpace *s); /* zeroed ok */
/* x[counts->rows, pca.k] of cells in the same gene columns. */
CHECKED Err expr_space_project(const ExprSpace *s, const Csr *counts, JobCtl *ctl, float *x);

/* k-nearest-neighbour vote among ref[n, d] with label[n] in 0..classes-1 (Euclidean, equal votes;
 * ties go to the smallest label): vote[n_k, m] for each k of ks[n_k]. */
CHECKED Err expr_knn_vote(const float *ref, const int32_t *label, size_t n, size_t classes,
                          const float *x, size_t m, size_t d, const size_t *ks, size_t n_k,
                          JobCtl *ctl, int32_t *vote);

/* Median Euclidean distance between different rows of x[n, d]; at most 1,000 rows, drawn by seed.
 */
CHECKED Err expr_median_distance(const float *x, size_t n, size_t d, uint64_t seed, double *out);
/* Squared maximum mean discrepancy, unbiased (Gretton et al. 2012, eq. 3), kernel
 * exp(-|a-b|^2 / (2 bandwidth^2)). Near 0 for equal distributions (may be below), at most 2. NaN
 * when a side has fewer than two rows. O((n+m)^2 d). */
double expr_mmd(const float *a, size_t n, const float *b, size_t m, size_t d, double bandwidth);
/* Sliced earth mover's distance: the mean over random directions of the 1-Wasserstein distance
 * between the projections (d = 1: that distance itself). In units of the space. */
enum { EXPR_DIRECTIONS = 128 };
CHECKED Err expr_emd(const float *a, size_t n, const float *b, size_t m, size_t d,
                     size_t directions, uint64_t seed, double *out);
/* Root mean squared distance of the rows from their centre, the n - 1 way; NaN for n < 2. */
double expr_spread(const float *x, size_t n, size_t d);

typedef struct ExprSummary {
    size_t cells;
    double counts_median, genes_median; /* of a cell's total and of its genes above 0 */
    double sparsity;                    /* share of zeros */
    bool integer;                       /* all values are whole and >= 0 */
} ExprSummary;
CHECKED Err expr_summary(const Csr *counts, ExprSummary *out);

/* Share of the n genes highest in a that are among the n highest in b, [genes] each; equal values
 * go by gene number. */
CHECKED Err expr_top_overlap(const double *a, const double *b, size_t genes, size_t n,
                             double *share);
/* Mean of each gene's log1p CP10k over rows picked by rows[n] (NULL: all). mean[counts->cols]. */
CHECKED Err expr_mean_log(const Csr *counts, const size_t *rows, size_t n, double *mean);

/* How many rows of a equal some row of b in every gene that maps (to[a->cols]: b's column or -1),
 * empty rows left out. */
CHECKED Err expr_copies(const Csr *a, const Csr *b, const int32_t *to, size_t *copies);
#endif
