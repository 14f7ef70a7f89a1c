/* A few largest eigenpairs of a large symmetric operator: block Lanczos with full orthogonalisation
 * and thick restarts (Wu and Simon 2000), started from random vectors. Serves PCA (the covariance,
 * never formed) and the spectral start of UMAP (the normalised graph). */
#ifndef SCMM_ANALYSIS_EIGS_H
#define SCMM_ANALYSIS_EIGS_H
#include "core/base/err.h"
#include "core/base/job.h"
#include <stddef.h>
#include <stdint.h>

/* Vectors travel in blocks of EIGS_WIDTH: row-major [n, EIGS_WIDTH], one AVX-512 register a row. */
enum { EIGS_WIDTH = 8 };
typedef double EigsRow __attribute__((vector_size(EIGS_WIDTH * sizeof(double)), aligned(8)));

/* y = A x for one block. */
typedef Err EigsApply(void *user, const double *x, double *y, JobCtl *ctl);

typedef struct EigsParams {
    size_t n, k;     /* order of the operator, pairs wanted; k <= n */
    size_t max_dim;  /* basis vectors kept before a restart; at least k + 2 EIGS_WIDTH */
    double tol;      /* |A v - w v| <= tol * w_k for all k pairs */
    int max_applies; /* give the best there is after so many; never an error */
    uint64_t seed;
} EigsParams;

/* values[k] falling; vectors[n * k] column-major, unit length. */
CHECKED Err eigs_largest(const EigsParams *p, EigsApply *apply, void *user, JobCtl *ctl,
                         double *values, double *vectors);
#endif
