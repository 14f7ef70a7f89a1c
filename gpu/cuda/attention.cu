/* Attention without a stored score matrix. A block of four warps owns 16 rows of one head (queries
 * forward and for dq, keys for dk and dv), a warp four of them; the other side passes through
 * shared memory in tiles of 32, one element a lane. Sums over lanes and tiles have a fixed order.
 * Loops through a thread's own arrays are unrolled, else these would not lie in registers. */
#include "core/device/encoder.h"
#include "gpu/cuda/cuda.cuh"

enum {
    TILE = 32,
    ROWS_WARP = 4,
    WARPS = 4,
    OWN = ROWS_WARP * WARPS,
    PARTS = 8 /* head width up to 256 */
};

static __device__ bool visible(const Attention &a, int64_t b, int64_t i, int64_t j)
{
    if (i >= a.tq || j >= a.tk)
        return false;
    if ((a.first && j < a.first[b]) || (a.len && j >= a.len[b]) ||
        (a.key_mask && !a.key_mask[b * a.tk + j]))
        return false;
    if (a.causal && j > i + a.tk - a.tq)
        return false;
    return a.prefix <= 0 || j < a.prefix || j == i;
}
static __device__ float drop_factor(const Attention &a, int64_t b, int64_t h, int64_t i, int64_t j)
{
    if (a.drop <= 0)
        return 1.0f;
    uint64_t index = (uint64_t)(((b * a.heads + h) * a.tq + i) * a.tk + j);
    bool zero = counter_u32(counter_key(a.seed), index) < counter_threshold(a.drop);
    return zero ? 0.0f : 1.0f / (1.0f - a.drop);
}
static __device__ int64_t kv_base(const Attention &a, int64_t b)
{
    return b * (a.kv_rows ? a.kv_rows : a.tk);
}
/* rows [from, from+count) of x (row length ld, head offset off) to shared memory, zeros past `end`.
 */
static __device__ void load(float *to, const float *x, int64_t ld, int64_t off, int64_t from,
                            int count, int64_t end, int64_t base, int dim)
{
    for (int e = threadIdx.x; e < count * dim; e += blockDim.x) {
        int r = e / dim, c = e % dim;
        to[r * (dim + 1) + c] = from + r < end ? x[(base + from + r) * ld + off + c] : 0.0f;
    }
}
static __device__ float dot(const float *x, const float *y, int dim)
{
    float s = 0;
    for (int c = 0; c < dim; c++)
        s += x[c] * y[c];
    return s;
}
/* acc[p] += weight of lane j * row j of the tile at column lane + 32p, for all 32 lanes in order.
 */
static __device__ void weigh(float *acc, float weight, const float *tile, int dim, int lane)
{
    for (int j = 0; j < TILE; j++) {
        float w = __shfl_sync(0xffffffffu, weight, j);
#pragma unroll
        for (int p = 0; p < PARTS; p++)
            if (lane + 32 * p < dim)
                acc[p] += w * tile[j * (dim + 1) + lane + 32 * p];
    }
}

__global__ void attention_kernel(Attention a)
{
    DYNAMIC_SHARED(float, shared);
    int dim = (int)a.dim, pitch = dim + 1, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *qs = shared, *ks = qs + OWN * pitch, *vs = ks + TILE * pitch;
    int64_t b = blockIdx.z, h = blockIdx.y, i0 = (int64_t)blockIdx.x * OWN,
            kvh = h / (a.heads / a.kv_heads);
    float acc[ROWS_WARP][PARTS] = {}, max[ROWS_WARP], sum[ROWS_WARP] = {};
#pragma unroll
    for (int r = 0; r < ROWS_WARP; r++)
        max[r] = -INFINITY;
    load(qs, a.q, a.ldq, h * dim, i0, OWN, a.tq, b * a.tq, dim);
    for (int64_t j0 = 0; j0 < a.tk; j0 += TILE) {
        __syncthreads();
        load(ks, a.k, a.ldk, kvh * dim, j0, TILE, a.tk, kv_base(a, b), dim);
        load(vs, a.v, a.ldv, kvh * dim, j0, TILE, a.tk, kv_base(a, b), dim);
        __syncthreads();
#pragma unroll
        for (int r = 0; r < ROWS_WARP; r++) {
            int64_t i = i0 + warp * ROWS_WARP + r;
            bool see = visible(a, b, i, j0 + lane);
            float s =
                see ? a.scale * dot(qs + (warp * ROWS_WARP + r) * pitch, ks + lane * pitch, dim)
                    : -INFINITY;
            float top = fmaxf(max[r], warp_max(s));
            if (top == -INFINITY)
                continue;
            float carry = max[r] == -INFINITY ? 0.0f : expf(max[r] - top),
                  p = see ? expf(s - top) : 0.0f;
            sum[r] = sum[r] * carry + warp_sum(p);
            max[r] = top;
#pragma unroll
            for (int k = 0; k < PARTS; k++)
                acc[r][k] *= carry;
            weigh(acc[r], p * drop_factor(a, b, h, i, j0 + lane), vs, dim, lane);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS_WARP; r++) {
        int64_t i = i0 + warp * ROWS_WARP + r;
        if (i >= a.tq)
            continue;
        float inv = sum[r] > 0 ? 1.0f / sum[r] : 0.0f;
#pragma unroll
        for (int p = 0; p < PARTS; p++)
            if (lane + 32 * p < dim)
                a.out[(b * a.tq + i) * a.ldo + h * dim + lane + 32 * p] = acc[r][p] * inv;
        if (a.lse && lane == 0)
            a.lse[(b * a.heads + h) * a.tq + i] = sum[r] > 0 ? max[r] + logf(sum[r]) : INFINITY;
    }
}

/* delta = <dout, out> for each query and head. */
__global__ void delta_kernel(Attention a)
{
    int64_t n = a.batch * a.heads * a.tq;
    for (int64_t w = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32; w < n;
         w += (int64_t)gridDim.x * blockDim.x / 32) {
        int64_t i = w % a.tq, h = w / a.tq % a.heads, b = w / a.tq / a.heads,
                at = (b * a.tq + i) * a.ldo + h * a.dim;
        float s = 0;
        for (int64_t c = threadIdx.x % 32; c < a.dim; c += 32)
            s += a.dout[at + c] * a.out[at + c];
        s = warp_sum(s);
        if (threadIdx.x % 32 == 0)
            a.delta[w] = s;
    }
}

/* Weight and score gradient of (query i, key j), given q.k and dout.v. */
static __device__ void pair(const Attention &a, int64_t b, int64_t h, int64_t i, int64_t j,
                            float qk, float dv, float *weight, float *ds)
{
    *weight = *ds = 0;
    if (!visible(a, b, i, j))
        return;
    int64_t row = (b * a.heads + h) * a.tq + i;
    float p = expf(a.scale * qk - a.lse[row]), f = drop_factor(a, b, h, i, j);
    *weight = p * f;
    *ds = a.scale * p * (dv * f - a.delta[row]);
}

__global__ void attention_dq_kernel(Attention a)
{
    DYNAMIC_SHARED(float, shared);
    int dim = (int)a.dim, pitch = dim + 1, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *qs = shared, *os = qs + OWN * pitch, *ks = os + OWN * pitch, *vs = ks + TILE * pitch;
    int64_t b = blockIdx.z, h = blockIdx.y, i0 = (int64_t)blockIdx.x * OWN,
            kvh = h / (a.heads / a.kv_heads);
    float acc[ROWS_WARP][PARTS] = {};
    load(qs, a.q, a.ldq, h * dim, i0, OWN, a.tq, b * a.tq, dim);
    load(os, a.dout, a.ldo, h * dim, i0, OWN, a.tq, b * a.tq, dim);
    for (int64_t j0 = 0; j0 < a.tk; j0 += TILE) {
        __syncthreads();
        load(ks, a.k, a.ldk, kvh * dim, j0, TILE, a.tk, kv_base(a, b), dim);
        load(vs, a.v, a.ldv, kvh * dim, j0, TILE, a.tk, kv_base(a, b), dim);
        __syncthreads();
#pragma unroll
        for (int r = 0; r < ROWS_WARP; r++) {
            int own = warp * ROWS_WARP + r;
            float qk = dot(qs + own * pitch, ks + lane * pitch, dim),
                  dv = dot(os + own * pitch, vs + lane * pitch, dim);
            float w, ds;
            pair(a, b, h, i0 + own, j0 + lane, qk, dv, &w, &ds);
            weigh(acc[r], ds, ks, dim, lane);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS_WARP; r++) {
        int64_t i = i0 + warp * ROWS_WARP + r;
#pragma unroll
        for (int p = 0; p < PARTS; p++)
            if (i < a.tq && lane + 32 * p < dim)
                a.dq[(b * a.tq + i) * a.ldq + h * dim + lane + 32 * p] += acc[r][p];
    }
}

__global__ void attention_dkv_kernel(Attention a)
{
    DYNAMIC_SHARED(float, shared);
    int dim = (int)a.dim, pitch = dim + 1, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *ks = shared, *vs = ks + OWN * pitch, *qs = vs + OWN * pitch, *os = qs + TILE * pitch;
    int64_t b = blockIdx.z, kvh = blockIdx.y, j0 = (int64_t)blockIdx.x * OWN,
            group = a.heads / a.kv_heads;
    float dk[ROWS_WARP][PARTS] = {}, dv[ROWS_WARP][PARTS] = {};
    load(ks, a.k, a.ldk, kvh * dim, j0, OWN, a.tk, kv_base(a, b), dim);
    load(vs, a.v, a.ldv, kvh * dim, j0, OWN, a.tk, kv_base(a, b), dim);
    for (int64_t h = kvh * group; h < (kvh + 1) * group; h++)
        for (int64_t i0 = 0; i0 < a.tq; i0 += TILE) {
            __syncthreads();
            load(qs, a.q, a.ldq, h * dim, i0, TILE, a.tq, b * a.tq, dim);
            load(os, a.dout, a.ldo, h * dim, i0, TILE, a.tq, b * a.tq, dim);
            __syncthreads();
#pragma unroll
            for (int r = 0; r < ROWS_WARP; r++) {
                int own = warp * ROWS_WARP + r;
                float qk = dot(ks + own * pitch, qs + lane * pitch, dim);
                float ov = dot(vs + own * pitch, os + lane * pitch, dim), w, ds;
                pair(a, b, h, i0 + lane, j0 + own, qk, ov, &w, &ds);
                weigh(dv[r], w, os, dim, lane);
                weigh(dk[r], ds, qs, dim, lane);
            }
        }
#pragma unroll
    for (int r = 0; r < ROWS_WARP; r++) {
        int64_t j = j0 + warp * ROWS_WARP + r;
#pragma unroll
        for (int p = 0; p < PARTS; p++)
            if (j < a.tk && lane + 32 * p < dim) {
                int64_t c = kvh * dim + lane + 32 * p, row = kv_base(a, b) + j;
                if (a.dk)
                    a.dk[row * a.ldk + c] += dk[r][p];
                if (a.dv)
                    a.dv[row * a.ldv + c] += dv[r][p];
            }
    }
}

/* ---- launches ---- */
static bool suits(Device *d, const Attention *a)
{
    if (a->dim > 32 * PARTS)
        cuda_fail(d, ERROR_GENERAL, "attention", "heads wider than 256 are not supported");
    else if (a->batch > 65535 || a->heads > 65535)
        cuda_fail(d, ERROR_GENERAL, "attention",
                  "more than 65535 sequences at once; use smaller batches");
    return !d->err && a->batch > 0 && a->tq > 0;
}
template <class K>
static void launch(Device *d, K kernel, const Attention *a, int64_t rows, int64_t heads, int held)
{
    state(d);
    size_t bytes = (size_t)held * (size_t)(a->dim + 1) * sizeof(float);
    if (!cuda_ok(
            d,
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
            "attention"))
        return;
    dim3 grid((unsigned)((rows + OWN - 1) / OWN), (unsigned)heads, (unsigned)a->batch);
    LAUNCH(d, kernel, grid, WARPS * 32, bytes, *a);
    launched(d, "attention");
}
static void cuda_attention(Device *d, const Attention *a)
{
    if (suits(d, a))
        launch(d, attention_kernel, a, a->tq, a->heads, OWN + 2 * TILE);
}
static void cuda_attention_backward(Device *d, const Attention *a)
{
    if (!suits(d, a))
        return;
    LAUNCH(d, delta_kernel, 1024, 256, 0, *a);
    launched(d, "attention backward");
    if (a->dq)
        launch(d, attention_dq_kernel, a, a->tq, a->heads, 2 * OWN + 2 * TILE);
    if ((a->dk || a->dv) && a->tk > 0)
        launch(d, attention_dkv_kernel, a, a->tk, a->kv_heads, 2 * OWN + 2 * TILE);
}

/* The pages laid one behind another, then the usual attention. */
static void cuda_attention_paged(Device *d, const PagedAttention *a)
{
    int64_t width = a->kv_heads * a->dim, rows = a->batch * a->tk;
    float *k = (float *)cuda_scratch(d, (size_t)(2 * rows * width) * sizeof *k),
          *v = k + rows * width;
    if (!k)
        return;
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t t = 0; t < a->tk; t += a->page_rows) {
            const float *page = a->page[b * a->pages + t / a->page_rows];
            int64_t n = a->tk - t < a->page_rows ? a->tk - t : a->page_rows;
            size_t bytes = (size_t)(n * width) * sizeof *k;
            d->ops->copy(d, k + (b * a->tk + t) * width, page + a->k_at, bytes);
            d->ops->copy(d, v + (b * a->tk + t) * width, page + a->v_at, bytes);
        }
    Attention f = {};
    f.batch = a->batch, f.heads = a->heads, f.kv_heads = a->kv_heads;
    f.tq = a->tq, f.tk = a->tk, f.dim = a->dim;
    f.q = a->q, f.k = k, f.v = v, f.out = a->out;
    f.ldq = f.ldo = a->heads * a->dim, f.ldk = f.ldv = width;
    f.scale = a->scale;
    f.causal = true;
    cuda_attention(d, &f);
}

void attention_fill(DeviceOps *o)
{
    o->encoder_layer =
        encoder_layer_by_parts; /* launches overlap; nothing is won by one more kernel */
    o->attention_paged = cuda_attention_paged;
    o->attention = cuda_attention;
    o->attention_backward = cuda_attention_backward;
}
