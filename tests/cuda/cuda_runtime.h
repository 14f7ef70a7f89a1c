/* The part of the CUDA runtime that gpu/cuda uses, for a machine without a GPU: kernels run block by
 * block on the CPU, each thread of a block as a fiber that stops at barriers. It is made for finding
 * defects, not for speed:
 *   - threads and blocks run in another order (rising, falling, mixed) with every launch: results
 *     that differ when the same work is done again are races;
 *   - barriers are checked: different places, lanes that are missing or have left, lanes read from
 *     outside the mask stop the program with a message;
 *   - device memory is out of the host's reach outside kernels and copies, starts as NaN, ends at a
 *     page that nobody may touch, and is never given out again: host code that reads it, kernels that
 *     read what nobody wrote or write past its end are seen;
 *   - launches beyond the limits of compute capability 8.0 fail as they do there.
 * What it cannot see: kernels that read host memory, and whether copies would wait. */
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct float2 {
    float x, y;
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

void emulated_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &kernel);
void *emulated_shared();
#define LAUNCH(d, kernel, grid, threads, shared, ...)                                              \
    emulated_launch(grid, threads, shared, [=] { kernel(__VA_ARGS__); })
#define DYNAMIC_SHARED(type, name) type *name = (type *)emulated_shared()

/* ---- meeting points: of a block, of the lanes of a warp ---- */
#define SITE int line = __builtin_LINE(), const char *file = __builtin_FILE()
int emulated_block_meet(int value, int line, const char *file);
enum EmulatedOp { OP_SYNC, OP_SHUFFLE, OP_BALLOT };
uint64_t emulated_warp_meet(EmulatedOp op, unsigned mask, uint64_t value, int source, int line,
                            const char *file);
int emulated_lane();

static inline void __syncthreads(SITE)
{
    emulated_block_meet(0, line, file);
}
static inline int __syncthreads_or(int p, SITE)
{
    return emulated_block_meet(p != 0, line, file);
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, SITE)
{
    emulated_warp_meet(OP_SYNC, mask, 0, 0, line, file);
}
static inline unsigned __ballot_sync(unsigned mask, int p, SITE)
{
    return (unsigned)emulated_warp_meet(OP_BALLOT, mask, p != 0, 0, line, file);
}
static inline int __any_sync(unsigned mask, int p, SITE)
{
    return __ballot_sync(mask, p, line, file) != 0;
}
template <class T> static inline T emulated_shuffle(unsigned mask, T v, int source, int line, const char *file)
{
    uint64_t bits = 0;
    static_assert(sizeof v <= sizeof bits, "a word or two");
    memcpy(&bits, &v, sizeof v);
    bits = emulated_warp_meet(OP_SHUFFLE, mask, bits, source, line, file);
    memcpy(&v, &bits, sizeof v);
    return v;
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int o, int width = 32, SITE)
{
    (void)width; /* o < width */
    return emulated_shuffle(mask, v, emulated_lane() ^ o, line, file);
}
template <class T> static inline T __shfl_sync(unsigned mask, T v, int s, int width = 32, SITE)
{
    int lane = emulated_lane();
    return emulated_shuffle(mask, v, lane - lane % width + s % width, line, file);
}

/* ---- arithmetic ---- */
static inline float normcdff(float x)
{
    return (float)(0.5 * erfc(-(double)x / 1.4142135623730951));
}
static inline int __ffs(unsigned x)
{
    return __builtin_ffs((int)x);
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __float_as_int(float x)
{
    int i;
    memcpy(&i, &x, 4);
    return i;
}
static inline float __uint_as_float(unsigned i)
{
    float x;
    memcpy(&x, &i, 4);
    return x;
}
static inline float __int_as_float(int i)
{
    return __uint_as_float((unsigned)i);
}
static inline double __dmul_rn(double a, double b)
{
    return a * b;
}
static inline double __dadd_rn(double a, double b)
{
    return a + b;
}

/* ---- runtime ---- */
enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9
};
typedef struct EmulatedStream *cudaStream_t;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaDeviceProp {
    char name[256];
    int major, minor;
};
const char *cudaGetErrorString(cudaError_t e);
cudaError_t cudaGetLastError();
cudaError_t emulated_malloc(void **p, size_t bytes);
template <class T> static inline cudaError_t cudaMalloc(T **p, size_t bytes)
{
    return emulated_malloc((void **)p, bytes);
}
cudaError_t cudaFree(void *p);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t s);
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t s);
cudaError_t cudaMemGetInfo(size_t *available, size_t *total);
cudaError_t emulated_allow_shared(int bytes);
template <class K> static inline cudaError_t cudaFuncSetAttribute(K, int, int bytes)
{
    return emulated_allow_shared(bytes);
}
void emulated_open_memory();  /* for products: what a kernel may touch */
void emulated_close_memory();
static inline cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return cudaSuccess;
}
static inline cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}
static inline cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}
static inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
    strcpy(p->name, "emulated GPU");
    p->major = 8;
    p->minor = 0;
    return cudaSuccess;
}
static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    *s = (cudaStream_t)1;
    return cudaSuccess;
}
static inline cudaError_t cudaStreamDestroy(cudaStream_t)
{
    return cudaSuccess;
}
