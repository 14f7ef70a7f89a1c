/* Weights prepared once: float32 as it is, bf16 for the tensor cores (inputs rounded to bf16, sums
 * in float32), and int8 with one scale for each 32 weights, widened to float32 before the product
 * (it saves memory, not time). */
#include "gpu/cuda/cuda.cuh"
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdlib.h>

enum { GROUP = 32 };

struct PackedWeight {
    WeightForm form;
    int64_t n, k, groups;
    void *data;   /* float, bf16 or int8 [n,k] */
    float *scale; /* [n,groups] */
};

struct ToBf16 {
    const float *x;
    __nv_bfloat16 *y;
    BODY
    {
        y[i] = __float2bfloat16(x[i]);
    }
};
struct Quantize { /* group i */
    int64_t k, groups;
    const float *w;
    int8_t *q;
    float *scale;
    BODY
    {
        int64_t r = i / groups, from = i % groups * GROUP,
                end = from + GROUP < k ? from + GROUP : k;
        float top = 0;
        for (int64_t c = from; c < end; c++)
            top = fmaxf(top, fabsf(w[r * k + c]));
        scale[i] = top / 127.0f;
        for (int64_t c = from; c < end; c++)
            q[r * k + c] = top > 0 ? (int8_t)rintf(w[r * k + c] / scale[i]) : (int8_t)0;
    }
};
struct Dequantize {
    int64_t k, groups;
    const int8_t *q;
    const float *scale;
    float *w;
    BODY
    {
        w[i] = scale[i / k * groups + i % k / GROUP] * (float)q[i];
    }
};

static void cuda_pack_free(Device *d, PackedWeight *w)
{
    if (!w)
        return;
    state(d);
    cudaFree(w->data);
    cudaFree(w->scale);
    free(w);
}
static PackedWeight *cuda_pack(Device *d, WeightForm form, int64_t n, int64_t k, const float *w)
{
    PackedWeight *p = (PackedWeight *)calloc(1, sizeof *p);
    size_t each_size = form == WEIGHT_BF16 ? 2 : form == WEIGHT_INT8 ? 1 : 4;
    if (!p) {
        cuda_fail(d, ERROR_NOMEM, "packing", "no memory");
        return NULL;
    }
    state(d);
    p->form = form;
    p->n = n;
    p->k = k;
    p->groups = (k + GROUP - 1) / GROUP;
    if (!cuda_ok(d, cudaMalloc(&p->data, (size_t)(n * k) * each_size), "packing") ||
        !cuda_ok(d, cudaMalloc((void **)&p->scale, (size_t)(n * p->groups) * sizeof(float)),
                 "packing")) {
        cuda_pack_free(d, p);
        return NULL;
    }
    if (each_size == 4)
        d->ops->copy(d, p->data, w, (size_t)(n * k) * sizeof(float));
    else if (form == WEIGHT_BF16)
        each(d, n * k, ToBf16{w, (__nv_bfloat16 *)p->data}, "packing");
    else
        each(d, n * p->groups, Quantize{k, p->groups, w, (int8_t *)p->data, p->scale}, "packing");
    return p;
}

static void linear_bf16(Device *d, int64_t m, const float *x, const PackedWeight *w, float *y)
{
    __nv_bfloat16 *xb = (__nv_bfloat16 *)cuda_scratch(d, (size_t)(m * w->k) * sizeof *xb);
    const float one = 1, zero = 0;
    if (!xb)
        return;
    each(d, m * w->k, ToBf16{x, xb}, "rounding");
    cublasStatus_t s =
        cublasGemmEx(state(d)->blas, CUBLAS_OP_T, CUBLAS_OP_N, (int)w->n, (int)m, (int)w->k, &one,
                     w->data, CUDA_R_16BF, (int)w->k, xb, CUDA_R_16BF, (int)w->k, &zero, y,
                     CUDA_R_32F, (int)w->n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
    if (s != CUBLAS_STATUS_SUCCESS)
        cuda_fail(d, ERROR_GENERAL, "bf16 product", cublasGetStatusString(s));
}
static void cuda_linear_packed(Device *d, int64_t m, const float *x, const PackedWeight *w,
                               const float *bias, Act act, float *y)
{
    const float *wf = (const float *)w->data;
    if (m <= 0)
        return;
    if (w->form == WEIGHT_INT8) {
        float *wide = (float *)cuda_scratch(d, (size_t)(w->n * w->k) * sizeof *wide);
        if (!wide)
            return;
        each(d, w->n * w->k, Dequantize{w->k, w->groups, (const int8_t *)w->data, w->scale, wide},
             "widening");
        wf = wide;
    }
    if (w->form == WEIGHT_BF16) {
        linear_bf16(d, m, x, w, y);
    } else {
        Gemm g = {};
        g.tb = true;
        g.m = m, g.n = w->n, g.k = w->k, g.batch = 1;
        g.a = x, g.b = wf, g.c = y;
        g.lda = g.ldb = w->k, g.ldc = w->n;
        g.alpha = 1;
        cuda_gemm(d, &g);
    }
    if (bias || act != ACT_NONE)
        cuda_bias_act(d, m, w->n, bias, act, y, y);
}

/* ---- stored weights: widened to float32 once, so a GPU needs four bytes a weight ---- */
struct Widen {
    StoredType type;
    int64_t k;
    const uint8_t *data; /* as in the file */
    const uint8_t *scale;
    float *w;
    static __device__ float half_at(const uint8_t *p)
    {
        uint16_t h = (uint16_t)(p[0] | p[1] << 8);
        return __half2float(__ushort_as_half(h));
    }
    BODY
    {
        int64_t group = i / k * (k / STORED_GROUP) + i % k / STORED_GROUP;
        int j = (int)(i % k % STORED_GROUP), half = STORED_GROUP / 2;
        switch (type) {
        case STORED_F16:
            w[i] = half_at(data + 2 * i);
            break;
        case STORED_BF16:
            w[i] = __uint_as_float((uint32_t)(data[2 * i] | data[2 * i + 1] << 8) << 16);
            break;
        case STORED_Q8:
            w[i] = half_at(scale + 2 * group) * (float)(int8_t)data[i];
            break;
        case STORED_Q4:
            w[i] = half_at(scale + 2 * group) *
                   (float)((data[group * half + j % half] >> (j < half ? 0 : 4) & 15) - 8);
            break;
        default:
            break;
        }
    }
};

static PackedWeight *cuda_borrow(Device *d, const StoredWeight *w)
{
    static const int bits[STORED_TYPES] = {32, 16, 16, 8, 4};
    size_t bytes = (size_t)(w->n * w->k) * bits[w->type] / 8;
    size_t scales = w->scale ? (size_t)(w->n * (w->k / STORED_GROUP)) * 2 : 0;
    PackedWeight *p = (PackedWeight *)calloc(1, sizeof *p);
    if (!p) {
        cuda_fail(d, ERROR_NOMEM, "weights", "no memory");
        return NULL;
    }
    state(d);
    p->form = WEIGHT_F32;
    p->n = w->n;
    p->k = w->k;
    if (!cuda_ok(d, cudaMalloc(&p->data, (size_t)(w->n * w->k) * sizeof(float)), "weights")) {
        cuda_pack_free(d, p);
        return NULL;
    }
    if (w->type == STORED_F32) {
        d->ops->upload(d, p->data, w->data, bytes);
        return p;
    }
    uint8_t *raw = (uint8_t *)cuda_scratch(d, bytes + scales);
    if (!raw) {
        cuda_pack_free(d, p);
        return NULL;
    }
    d->ops->upload(d, raw, w->data, bytes);
    if (scales)
        d->ops->upload(d, raw + bytes, w->scale, scales);
    each(d, w->n * w->k, Widen{w->type, w->k, raw, raw + bytes, (float *)p->data}, "widening");
    return p;
}
static void cuda_linear_stored(Device *d, StoredMode mode, int64_t m, const float *x, int count,
                               const PackedWeight *const *w, float *const *y)
{
    (void)mode;
    for (int i = 0; i < count; i++)
        cuda_linear_packed(d, m, x, w[i], NULL, ACT_NONE, y[i]);
}
static void cuda_gather_stored(Device *d, int64_t n, const PackedWeight *w, const int32_t *index,
                               float *y)
{
    d->ops->gather(d, n, w->k, (const float *)w->data, index, y);
}

void packed_fill(DeviceOps *o)
{
    o->borrow = cuda_borrow;
    o->linear_stored = cuda_linear_stored;
    o->gather_stored = cuda_gather_stored;
    o->pack = cuda_pack;
    o->pack_free = cuda_pack_free;
    o->linear_packed = cuda_linear_packed;
}
