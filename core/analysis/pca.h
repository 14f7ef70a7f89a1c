/* Principal components of a sparse matrix, centred without ever being dense. The covariance is applied
 * to blocks of vectors (eigs.h), so that one pass over the rows gives X'(X V) and no Gram matrix is
 * formed; the result is exact to a subspace angle far below 1e-3. Signs as scikit-learn's svd_flip:
 * the loading of largest magnitude is positive. */
#ifndef SCMM_ANALYSIS_PCA_H
#define SCMM_ANALYSIS_PCA_H
#include "core/base/job.h"
#include "core/data/csr.h"
#include "core/device/device.h"

typedef struct Pca {
    size_t n, genes, k;
    float *scores;     /* [n, k] row-major */
    float *loadings;   /* [genes, k] row-major */
    double *mean;      /* [genes] */
    double *variance;  /* [k] explained variance (n - 1) */
    double *ratio;     /* [k] of the total variance */
} Pca;
void pca_done(Pca *p); /* zeroed ok */

/* k is cut to min(cells, genes) - 1. At least 2 cells and 2 genes. d NULL: on the CPU. */
CHECKED Err pca_fit(Device *d, const Csr *x, size_t k, uint64_t seed, JobCtl *ctl, Pca *out);
/* Scores of other rows in the same gene columns: out[x->rows, k]. */
CHECKED Err pca_transform(const Pca *p, const Csr *x, JobCtl *ctl, float *out);
#endif
