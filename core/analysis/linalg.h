/* Small dense linear algebra of the analysis, and the only place in core/analysis that sees oneDNN,
 * CBLAS and LAPACKE. The factorisations run on one thread, because threaded BLAS sums in an order
 * that depends on the number of threads; large products are cut into tiles by their callers, one
 * tile a thread, so that an answer never depends on how many threads there are. */
#ifndef SCMM_ANALYSIS_LINALG_H
#define SCMM_ANALYSIS_LINALG_H
#include "core/base/err.h"
#include <stddef.h>

/* C[m,n] (row length ldc) = alpha * A[m,k] B[n,k]^T, row-major floats, on the calling thread when
 * called inside a parallel region. */
void linalg_sgemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                     const float *b, size_t ldb, float *c, size_t ldc);
/* C[m,n] = A[m,k] B[k,n], column-major doubles, one thread. trans_a: A is stored [k,m]. */
void linalg_dgemm(int trans_a, size_t m, size_t n, size_t k, double alpha, const double *a,
                  size_t lda, const double *b, size_t ldb, double beta, double *c, size_t ldc);
/* The `count` largest eigenvalues (falling) of the symmetric a[n, n], which is destroyed, and their
 * unit vectors, vectors[count, n]. One thread. */
CHECKED Err linalg_eigh_top(size_t n, double *a, size_t count, double *values, double *vectors);
/* Solves the symmetric positive definite a x = b for one right side, both overwritten (n small).
 * ERR_GENERAL when a is not positive definite. */
CHECKED Err linalg_solve_spd(size_t n, double *a, double *b);
#endif
