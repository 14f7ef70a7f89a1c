/* The CUDA backend: opening a GPU, memory, and the table. One stream, one cuBLAS handle; kernels
 * run in issue order. Without a usable GPU open() says so in one line and the program goes on with
 * the CPU. */
#include "gpu/cuda/cuda.cuh"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cuda_fail(Device *d, int code, const char *what, const char *why)
{
    if (d->err)
        return;
    snprintf(d->message, sizeof d->message, "%s: %s", what, why);
    d->err = code;
}

CudaState *state(const Device *d)
{
    static thread_local int current = -1;
    CudaState *s = (CudaState *)d->impl;
    if (current != s->index && cudaSetDevice(s->index) == cudaSuccess)
        current = s->index;
    return s;
}

bool cuda_ok(Device *d, cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return true;
    cudaGetLastError(); /* the runtime would tell the next launch of it again */
    if (e == cudaErrorMemoryAllocation)
        cuda_fail(d, ERROR_NOMEM, what, "no GPU memory; use smaller batches or --device cpu");
    else
        cuda_fail(d, ERROR_GENERAL, what, cudaGetErrorString(e));
    return false;
}

void *cuda_scratch(Device *d, size_t bytes)
{
    CudaState *s = state(d);
    if (bytes <= s->scratch_size)
        return s->scratch;
    /* Kernels may still use the old one: cudaFree waits for them. */
    cudaFree(s->scratch);
    s->scratch = NULL;
    s->scratch_size = 0;
    if (!cuda_ok(d, cudaMalloc(&s->scratch, bytes), "working space"))
        return NULL;
    s->scratch_size = bytes;
    return s->scratch;
}

/* ---- life ---- */
static void cuda_close(Device *d)
{
    if (!d->impl)
        return;
    CudaState *s = state(d);
    if (s->blas)
        cublasDestroy(s->blas);
    cudaFree(s->scratch);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    free(s);
    d->impl = NULL;
}

static bool refuse(Device *d, const char *why)
{
    snprintf(d->message, sizeof d->message, "%s", why);
    return false;
}

static bool start(Device *d, CudaState *s)
{
    cudaDeviceProp prop;
    size_t avail = 0, total = 0;
    if (!cuda_ok(d, cudaSetDevice(s->index), "selecting the GPU") ||
        !cuda_ok(d, cudaGetDeviceProperties(&prop, s->index), "asking the GPU"))
        return false;
    if (prop.major < 8) {
        snprintf(d->message, sizeof d->message,
                 "%.80s is too old (compute capability %d.%d, 8.0 is needed)", prop.name,
                 prop.major, prop.minor);
        return false;
    }
    if (!cuda_ok(d, cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking),
                 "opening a stream") ||
        !cuda_ok(d, cudaMemGetInfo(&avail, &total), "asking for memory"))
        return false;
    if (cublasCreate(&s->blas) != CUBLAS_STATUS_SUCCESS ||
        cublasSetStream(s->blas, s->stream) != CUBLAS_STATUS_SUCCESS)
        return refuse(d, "cuBLAS does not start on this GPU");
    snprintf(d->name, sizeof d->name, "cuda:%d %.80s (%.0f GiB)", s->index, prop.name,
             (double)total / (1 << 30));
    d->memory = avail;
    return true;
}

static bool cuda_open(Device *d, int index)
{
    int count = 0;
    cudaError_t e = cudaGetDeviceCount(&count);
    if (e != cudaSuccess || count == 0) {
        snprintf(d->message, sizeof d->message, "no usable NVIDIA GPU (%s)",
                 e != cudaSuccess ? cudaGetErrorString(e) : "none found");
        return false;
    }
    if (index >= count) {
        snprintf(d->message, sizeof d->message, "there is no GPU %d; this machine has %d", index,
                 count);
        return false;
    }
    CudaState *s = (CudaState *)calloc(1, sizeof *s);
    if (!s)
        return refuse(d, "no memory");
    s->index = index;
    d->impl = s;
    if (start(d, s))
        return true;
    cuda_close(d);
    d->err = 0;
    return false;
}

/* ---- memory ---- */
static void *cuda_alloc(Device *d, size_t bytes)
{
    void *p = NULL;
    state(d);
    if (cudaMalloc(&p, bytes ? bytes : 1) == cudaSuccess)
        return p;
    cudaGetLastError(); /* not sticky: forget it */
    char why[96];
    snprintf(why, sizeof why, "no GPU memory for %zu bytes; use smaller batches or --device cpu",
             bytes);
    cuda_fail(d, ERROR_NOMEM, "memory", why);
    return NULL;
}
static void cuda_free(Device *d, void *p)
{
    state(d);
    cudaFree(p);
}
static void cuda_upload(Device *d, void *dst, const void *src, size_t bytes)
{
    /* From pageable memory the call returns when src was read into a staging buffer, or waits. */
    cuda_ok(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, stream(d)), "upload");
    cuda_ok(d, cudaStreamSynchronize(stream(d)), "upload");
}
static void cuda_download(Device *d, void *dst, const void *src, size_t bytes)
{
    cuda_ok(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, stream(d)), "download");
    cuda_ok(d, cudaStreamSynchronize(stream(d)), "computing");
}
static void cuda_copy(Device *d, void *dst, const void *src, size_t bytes)
{
    cuda_ok(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, stream(d)), "copy");
}
static void cuda_zero(Device *d, void *p, size_t bytes)
{
    cuda_ok(d, cudaMemsetAsync(p, 0, bytes, stream(d)), "clear");
}
static void cuda_sync(Device *d)
{
    cuda_ok(d, cudaStreamSynchronize(stream(d)), "computing");
}

extern "C" __attribute__((visibility("default"))) const DeviceOps *scmmgpt_device_ops(void)
{
    static DeviceOps o;
    o.abi = DEVICE_ABI;
    o.size = sizeof o;
    o.kind = "cuda";
    o.open = cuda_open;
    o.close = cuda_close;
    o.alloc = cuda_alloc;
    o.free = cuda_free;
    o.upload = cuda_upload;
    o.download = cuda_download;
    o.copy = cuda_copy;
    o.zero = cuda_zero;
    o.sync = cuda_sync;
    elementwise_fill(&o);
    norm_fill(&o);
    rows_fill(&o);
    gemm_fill(&o);
    attention_fill(&o);
    packed_fill(&o);
    loss_fill(&o);
    nearest_fill(&o);
    covariance_fill(&o);
    layout_fill(&o);
    return &o;
}
