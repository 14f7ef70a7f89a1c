/* Shared inside the CUDA backend: state, error latching, reductions, and the table's functions.
 * Every sum is taken in an order that depends on sizes only (no atomics), so that a run repeats bit
 * for bit on one machine. */
#ifndef SCMM_GPU_CUDA_CUH
#define SCMM_GPU_CUDA_CUH
#include "core/device/counter.h"
#include "core/device/device.h"
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <math.h>

struct CudaState {
    int index;
    cudaStream_t stream;
    cublasHandle_t blas;
    void *scratch;
    size_t scratch_size;
};

enum { ERROR_GENERAL = 1, ERROR_NOMEM = 5 };
void cuda_fail(Device *d, int code, const char *what, const char *why);
bool cuda_ok(Device *d, cudaError_t e, const char *what);
/* Device memory valid until the next call; NULL and a latched error when there is none. */
void *cuda_scratch(Device *d, size_t bytes);
/* The device's state; what the calling thread does next goes to its GPU (CUDA keeps a current one
 * for each thread, 0 at first). Every use of the runtime asks for it before. */
CudaState *state(const Device *d);
static inline cudaStream_t stream(const Device *d)
{
    return state(d)->stream;
}
/* Device memory; NULL when an error is latched already, or latches that there is no room. */
static inline void *cuda_room(Device *d, size_t bytes)
{
    return d->err ? NULL : d->ops->alloc(d, bytes);
}
template <class... P> static void cuda_free_all(Device *d, P... pointers)
{
    (d->ops->free(d, (void *)pointers), ...);
}
/* After a launch. */
static inline void launched(Device *d, const char *what)
{
    cuda_ok(d, cudaGetLastError(), what);
}

/* Launches go through one macro, so that tests/cuda can run the same kernels without a GPU. */
#ifdef __CUDACC__
#define LAUNCH(d, kernel, grid, threads, shared, ...)                                              \
    kernel<<<grid, threads, shared, stream(d)>>>(__VA_ARGS__)
#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif

/* ---- element by element: f(i) for i < n ---- */
/* A kernel body is a struct whose operator() does element i. */
#define BODY __device__ void operator()(int64_t i) const
template <class F> __global__ void each_kernel(int64_t n, F f)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        f(i);
}
template <class F> static void each(Device *d, int64_t n, F f, const char *what)
{
    if (n <= 0)
        return;
    int64_t blocks = (n + 255) / 256;
    LAUNCH(d, each_kernel, (unsigned)(blocks < 16384 ? blocks : 16384), 256, 0, n, f);
    launched(d, what);
}

/* ---- sums and maxima of a block; every thread gets the result ---- */
static __device__ inline float warp_sum(float v)
{
    for (int o = 16; o > 0; o >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
static __device__ inline float warp_max(float v)
{
    for (int o = 16; o > 0; o >>= 1)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    return v;
}
static __device__ inline double warp_sum(double v)
{
    for (int o = 16; o > 0; o >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}
template <class T> static __device__ inline T block_sum(T v)
{
    __shared__ T part[32];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = (blockDim.x + 31) / 32;
    v = warp_sum(v);
    __syncthreads();
    if (lane == 0)
        part[warp] = v;
    __syncthreads();
    T s = 0;
    for (int i = 0; i < warps; i++)
        s += part[i];
    return s;
}
static __device__ inline float block_max(float v)
{
    __shared__ float part[32];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = (blockDim.x + 31) / 32;
    v = warp_max(v);
    __syncthreads();
    if (lane == 0)
        part[warp] = v;
    __syncthreads();
    float s = part[0];
    for (int i = 1; i < warps; i++)
        s = fmaxf(s, part[i]);
    return s;
}
/* Threads for a row of `cols` elements, and blocks for rows. */
static inline unsigned row_threads(int64_t cols)
{
    return cols <= 64 ? 64 : cols <= 128 ? 128 : 256;
}
static inline unsigned row_blocks(int64_t rows)
{
    return (unsigned)(rows < 65535 ? rows : 65535);
}
#define ROWS(r, rows) for (int64_t r = blockIdx.x; r < (rows); r += gridDim.x)
#define COLS(c, cols) for (int64_t c = threadIdx.x; c < (cols); c += blockDim.x)

/* y[j] += a * sum_r x[r,j] * (z ? z[r,j] : 1), rows in fixed blocks. */
void cuda_column_sum(Device *d, int64_t rows, int64_t cols, float a, const float *x, const float *z,
                     float *y);
/* Adds the columns of parts [blocks, cols] to y. */
void cuda_add_parts(Device *d, int64_t blocks, int64_t cols, float a, const float *part, int64_t ld,
                    float *y);

/* ---- the table's entries, by file: each fills its part ---- */
void elementwise_fill(DeviceOps *o);
void norm_fill(DeviceOps *o);
void rows_fill(DeviceOps *o);
void gemm_fill(DeviceOps *o);
void attention_fill(DeviceOps *o);
void packed_fill(DeviceOps *o);
void loss_fill(DeviceOps *o);
void nearest_fill(DeviceOps *o);
void covariance_fill(DeviceOps *o);
void layout_fill(DeviceOps *o);
/* Used by others. */
void cuda_gemm(Device *d, const Gemm *g);
void cuda_bias_act(Device *d, int64_t rows, int64_t cols, const float *bias, Act act, float *pre,
                   float *y);
#endif
