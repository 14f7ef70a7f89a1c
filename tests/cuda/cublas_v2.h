/* The two products of cuBLAS that gpu/cuda uses, by slow loops; column-major, as there. */
#pragma once
#include "cuda_runtime.h"
typedef struct EmulatedBlas *cublasHandle_t;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_ALLOC_FAILED = 3, CUBLAS_STATUS_INVALID_VALUE = 7 };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasMath_t { CUBLAS_PEDANTIC_MATH = 2 };
enum { CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT };
static inline const char *cublasGetStatusString(cublasStatus_t)
{
    return "invalid value";
}
static inline cublasStatus_t cublasCreate(cublasHandle_t *h)
{
    *h = (cublasHandle_t)1;
    return CUBLAS_STATUS_SUCCESS;
}
static inline cublasStatus_t cublasDestroy(cublasHandle_t)
{
    return CUBLAS_STATUS_SUCCESS;
}
static inline cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t)
{
    return CUBLAS_STATUS_SUCCESS;
}
static inline cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t)
{
    return CUBLAS_STATUS_SUCCESS;
}
/* c[i,j] = alpha * sum a(i,l) b(l,j) + beta c, all column-major; at() reads an element as float. */
template <class A>
static inline void emulated_product(int m, int n, int k, float alpha, A a, A b, float beta, float *c, int ldc)
{
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            float s = 0, *to = c + (int64_t)j * ldc + i;
            for (int l = 0; l < k; l++)
                s += a(i, l) * b(l, j);
            *to = beta == 0 ? alpha * s : alpha * s + beta * *to;
        }
}
template <class T> struct EmulatedMatrix { /* op(x) */
    const T *x;
    int64_t ld;
    bool t;
    static float value(float v)
    {
        return v;
    }
    static float value(uint16_t v)
    {
        return __uint_as_float((unsigned)v << 16);
    }
    float operator()(int i, int j) const
    {
        return value(t ? x[i * ld + j] : x[j * ld + i]);
    }
};
static inline cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb,
                                                       int m, int n, int k, const float *alpha, const float *a,
                                                       int lda, long long sa, const float *b, int ldb,
                                                       long long sb, const float *beta, float *c, int ldc,
                                                       long long sc, int batch)
{
    if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m || lda < 1 || ldb < 1 || ldc < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    emulated_open_memory();
    for (int z = 0; z < batch; z++)
        emulated_product(m, n, k, *alpha, EmulatedMatrix<float>{a + z * sa, lda, ta == CUBLAS_OP_T},
                         EmulatedMatrix<float>{b + z * sb, ldb, tb == CUBLAS_OP_T}, *beta, c + z * sc, ldc);
    emulated_close_memory();
    return CUBLAS_STATUS_SUCCESS;
}
static inline cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                          int k, const float *alpha, const void *a, int, int lda, const void *b,
                                          int, int ldb, const float *beta, void *c, int, int ldc, int, int)
{
    if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m)
        return CUBLAS_STATUS_INVALID_VALUE;
    emulated_open_memory();
    emulated_product(m, n, k, *alpha, EmulatedMatrix<uint16_t>{(const uint16_t *)a, lda, ta == CUBLAS_OP_T},
                     EmulatedMatrix<uint16_t>{(const uint16_t *)b, ldb, tb == CUBLAS_OP_T}, *beta, (float *)c, ldc);
    emulated_close_memory();
    return CUBLAS_STATUS_SUCCESS;
}
