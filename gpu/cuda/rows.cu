/* Moving rows: embedding tables, strided copies, maxima, rotary positions. */
#include "gpu/cuda/cuda.cuh"

struct Gather {
    int64_t cols;
    const float *table;
    const int32_t *index;
    float *y;
    BODY
    {
        int32_t r = index[i / cols];
        y[i] = r < 0 ? 0.0f : table[r * cols + i % cols];
    }
};
static void cuda_gather(Device *d, int64_t n, int64_t cols, const float *table,
                        const int32_t *index, float *y)
{
    each(d, n * cols, Gather{cols, table, index, y}, "gather");
}
/* Block i does the row of the table that index[i] names if i is the first to name it, and adds all
 * that follow. */
__global__ void scatter_kernel(int64_t n, int64_t cols, const int32_t *index, const float *dy,
                               float *dtable)
{
    ROWS(i, n)
    {
        int32_t row = index[i];
        int seen = row < 0;
        for (int64_t j = threadIdx.x; j < i && !seen; j += blockDim.x)
            seen = index[j] == row;
        if (__syncthreads_or(seen))
            continue;
        COLS(c, cols)
        {
            float s = 0;
            for (int64_t j = i; j < n; j++)
                if (index[j] == row)
                    s += dy[j * cols + c];
            dtable[row * cols + c] += s;
        }
    }
}
static void cuda_gather_backward(Device *d, int64_t n, int64_t cols, const int32_t *index,
                                 const float *dy, int64_t table_rows, float *dtable)
{
    (void)table_rows;
    if (n <= 0)
        return;
    LAUNCH(d, scatter_kernel, row_blocks(n), row_threads(cols), 0, n, cols, index, dy, dtable);
    launched(d, "gather backward");
}

struct CopyBlock {
    int64_t inner, src_stride, dst_stride;
    const float *src;
    float *dst;
    bool add;
    BODY
    {
        int64_t o = i / inner, c = i % inner;
        float v = src[o * src_stride + c], *to = dst + o * dst_stride + c;
        *to = add ? *to + v : v;
    }
};
static void cuda_copy_block(Device *d, int64_t outer, int64_t inner, const float *src,
                            int64_t src_stride, float *dst, int64_t dst_stride, bool add)
{
    each(d, outer * inner, CopyBlock{inner, src_stride, dst_stride, src, dst, add}, "copy");
}

struct MaxMiddle {
    int64_t q, t;
    const float *x;
    float *y;
    int32_t *arg;
    BODY
    {
        const float *p = x + i / t * q * t + i % t;
        float best = p[0];
        int32_t at = 0;
        for (int64_t k = 1; k < q; k++)
            if (p[k * t] > best) {
                best = p[k * t];
                at = (int32_t)k;
            }
        y[i] = best;
        arg[i] = at;
    }
};
struct MaxMiddleBack {
    int64_t q, t;
    const int32_t *arg;
    const float *dy;
    float *dx;
    BODY
    {
        dx[(i / t * q + arg[i]) * t + i % t] += dy[i];
    }
};
static void cuda_max_middle(Device *d, int64_t b, int64_t q, int64_t t, const float *x, float *y,
                            int32_t *arg)
{
    each(d, b * t, MaxMiddle{q, t, x, y, arg}, "maximum");
}
static void cuda_max_middle_backward(Device *d, int64_t b, int64_t q, int64_t t, const int32_t *arg,
                                     const float *dy, float *dx)
{
    each(d, b * t, MaxMiddleBack{q, t, arg, dy, dx}, "maximum backward");
}

/* The lowest index among the largest values: indices are compared where values tie. */
__global__ void argmax_kernel(int64_t rows, int64_t cols, const float *x, int32_t *arg)
{
    __shared__ float best[256];
    __shared__ int64_t at[256];
    ROWS(r, rows)
    {
        float v = -INFINITY;
        int64_t k = cols;
        COLS(c, cols) if (x[r * cols + c] > v || k == cols)
        {
            v = x[r * cols + c];
            k = c;
        }
        best[threadIdx.x] = v;
        at[threadIdx.x] = k;
        __syncthreads();
        if (threadIdx.x == 0) {
            for (unsigned i = 1; i < blockDim.x; i++)
                if (at[i] < cols && (best[i] > v || (best[i] == v && at[i] < k))) {
                    v = best[i];
                    k = at[i];
                }
            arg[r] = (int32_t)k;
        }
        __syncthreads();
    }
}
static void cuda_argmax(Device *d, int64_t rows, int64_t cols, const float *x, int32_t *arg)
{
    if (rows <= 0)
        return;
    LAUNCH(d, argmax_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, x, arg);
    launched(d, "argmax");
}

struct RopeBody {
    int64_t heads, half, ldx, ldy;
    const float *x;
    const int32_t *pos;
    const float *freq;
    float sign, *y;
    bool add;
    BODY
    {
        int64_t j = i % half, h = i / half % heads, r = i / half / heads;
        float angle = (float)pos[r] * freq[j], c = cosf(angle), s = sign * sinf(angle);
        const float *from = x + r * ldx + h * 2 * half + j;
        float *to = y + r * ldy + h * 2 * half + j, a = from[0], b = from[half];
        float u = a * c - b * s, v = b * c + a * s;
        to[0] = add ? to[0] + u : u;
        to[half] = add ? to[half] + v : v;
    }
};
static void cuda_rope(Device *d, int64_t n, int64_t heads, int64_t dim, const float *x, int64_t ldx,
                      const int32_t *pos, const float *freq, float sign, float *y, int64_t ldy,
                      bool add)
{
    each(d, n * heads * (dim / 2), RopeBody{heads, dim / 2, ldx, ldy, x, pos, freq, sign, y, add},
         "rotary positions");
}

void rows_fill(DeviceOps *o)
{
    o->gather = cuda_gather;
    o->gather_backward = cuda_gather_backward;
    o->copy_block = cuda_copy_block;
    o->max_middle = cuda_max_middle;
    o->max_middle_backward = cuda_max_middle_backward;
    o->argmax = cuda_argmax;
    o->rope = cuda_rope;
}
