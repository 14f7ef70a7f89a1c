/* Wrappers of oneDNN, CBLAS and LAPACKE; see linalg.h for why they are single-threaded. */
#include "core/analysis/linalg.h"

#include <cblas.h>
#include <dnnl.h>
#include <lapacke.h>
#include <omp.h>
#include <stdlib.h>

#include "core/base/mem.h"

/* One thread for the call. OpenBLAS has a number of its own, and setting that sets OpenMP's too: it stays at one, OpenMP's,
 * which the caller may have chosen, is put back. */
static int single_thread(void)
{
    int before = omp_get_max_threads();
    if (openblas_get_num_threads() != 1)
        openblas_set_num_threads(1);
    omp_set_num_threads(1);
    return before;
}

static void threads_back(int before)
{
    omp_set_num_threads(before);
}

void linalg_sgemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a, size_t lda,
                     const float *b, size_t ldb, float *c, size_t ldc)
{
    dnnl_sgemm('N', 'T', (dnnl_dim_t)m, (dnnl_dim_t)n, (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)lda, b,
               (dnnl_dim_t)ldb, 0.0f, c, (dnnl_dim_t)ldc);
}

void linalg_dgemm(int trans_a, size_t m, size_t n, size_t k, double alpha, const double *a,
                  size_t lda, const double *b, size_t ldb, double beta, double *c, size_t ldc)
{
    int before = single_thread();
    cblas_dgemm(CblasColMajor, trans_a ? CblasTrans : CblasNoTrans, CblasNoTrans, (blasint)m,
                (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c,
                (blasint)ldc);
    threads_back(before);
}

Err linalg_eigh_top(size_t n, double *a, size_t count, double *values, double *vectors)
{
    Err err = OK;
    lapack_int found = 0, info, *support = NULL;
    double *w = NULL;
    TRY_GOTO(NEW(w, n));
    TRY_GOTO(NEW(support, 2 * n));
    int before = single_thread();
    info = LAPACKE_dsyevr(LAPACK_COL_MAJOR, 'V', 'I', 'U', (lapack_int)n, a, (lapack_int)n, 0, 0,
                          (lapack_int)(n - count + 1), (lapack_int)n, 0, &found, w, vectors,
                          (lapack_int)n, support);
    threads_back(before);
    if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR)
        FAIL_GOTO(ERR_NOMEM, "out of memory: eigenvalues of a %zu x %zu matrix", n, n);
    if (info != 0 || (size_t)found != count)
        FAIL_GOTO(ERR_GENERAL, "the eigenvalues of a %zu x %zu matrix were not found (LAPACK %d)", n, n,
                  (int)info);
    for (size_t i = 0; i < count; i++) /* LAPACK's order rises */
        values[i] = w[count - 1 - i];
    for (size_t i = 0; i < count / 2; i++)
        for (size_t x = 0; x < n; x++) {
            double t = vectors[i * n + x];
            vectors[i * n + x] = vectors[(count - 1 - i) * n + x];
            vectors[(count - 1 - i) * n + x] = t;
        }
done:
    free(w);
    free(support);
    return err;
}

Err linalg_solve_spd(size_t n, double *a, double *b)
{
    int before = single_thread();
    lapack_int info = LAPACKE_dposv(LAPACK_COL_MAJOR, 'U', (lapack_int)n, 1, a, (lapack_int)n, b,
                                    (lapack_int)n);
    threads_back(before);
    if (info != 0)
        FAIL(ERR_GENERAL, "a system of %zu equations has no unique solution", n);
    return OK;
}
