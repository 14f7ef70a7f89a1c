/* Matrix products by cuBLAS in float32 (no TF32). cuBLAS is column-major: C^T = op(B)^T op(A)^T. */
#include "gpu/cuda/cuda.cuh"

void cuda_gemm(Device *d, const Gemm *g)
{
    if (g->m <= 0 || g->n <= 0 || g->batch <= 0)
        return;
    if (g->m > INT32_MAX || g->n > INT32_MAX || g->k > INT32_MAX || g->batch > INT32_MAX) {
        cuda_fail(d, ERROR_GENERAL, "matrix product", "more than 2^31 rows; use smaller batches");
        return;
    }
    int64_t lda = g->lda > 0 ? g->lda : 1,
            ldb = g->ldb > 0 ? g->ldb : 1; /* k = 0: nothing is read */
    cublasStatus_t s = cublasSgemmStridedBatched(
        state(d)->blas, g->tb ? CUBLAS_OP_T : CUBLAS_OP_N, g->ta ? CUBLAS_OP_T : CUBLAS_OP_N,
        (int)g->n, (int)g->m, (int)g->k, &g->alpha, g->b, (int)ldb, g->stride_b, g->a, (int)lda,
        g->stride_a, &g->beta, g->c, (int)g->ldc, g->stride_c, (int)g->batch);
    if (s != CUBLAS_STATUS_SUCCESS)
        cuda_fail(d, s == CUBLAS_STATUS_ALLOC_FAILED ? ERROR_NOMEM : ERROR_GENERAL,
                  "matrix product", cublasGetStatusString(s));
}

void gemm_fill(DeviceOps *o)
{
    o->gemm = cuda_gemm;
}
