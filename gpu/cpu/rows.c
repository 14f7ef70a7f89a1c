/* Moving rows: embedding tables, strided copies, maxima, rotary positions. */
#include "gpu/cpu/cpu.h"

typedef struct Rw {
    int64_t n, cols, q, stride, dst_stride, heads, dim;
    const float *x, *freq;
    const int32_t *index;
    float *y;
    int32_t *arg;
    float sign;
    bool add;
} Rw;

#define SIMD _Pragma("omp simd")

CLONES static void add_row(int64_t n, const float *x, float *y)
{
    SIMD for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static void gather_range(void *ctx, int64_t lo, int64_t hi)
{
    const Rw *c = ctx;
    for (int64_t i = lo; i < hi; i++) {
        float *y = c->y + i * c->cols;
        if (c->index[i] < 0)
            memset(y, 0, (size_t)c->cols * sizeof *y);
        else
            memcpy(y, c->x + c->index[i] * c->cols, (size_t)c->cols * sizeof *y);
    }
}
void cpu_gather(Device *d, int64_t n, int64_t cols, const float *table, const int32_t *index,
                float *y)
{
    (void)d;
    cpu_ranges(n, cpu_grain(cols), gather_range,
               &(Rw){.cols = cols, .x = table, .index = index, .y = y});
}
/* A piece is a band of columns: every row of the table is summed in index order whoever does it. */
static void scatter_range(void *ctx, int64_t lo, int64_t hi)
{
    const Rw *c = ctx;
    for (int64_t i = 0; i < c->n; i++)
        if (c->index[i] >= 0)
            add_row(hi - lo, c->x + i * c->cols + lo, c->y + c->index[i] * c->cols + lo);
}
void cpu_gather_backward(Device *d, int64_t n, int64_t cols, const int32_t *index, const float *dy,
                         int64_t table_rows, float *dtable)
{
    (void)d;
    (void)table_rows;
    cpu_ranges(cols, n < 64 ? cols : 32, scatter_range,
               &(Rw){.n = n, .cols = cols, .index = index, .x = dy, .y = dtable});
}

static void copy_range(void *ctx, int64_t lo, int64_t hi)
{
    const Rw *c = ctx;
    for (int64_t o = lo; o < hi; o++) {
        const float *src = c->x + o * c->stride;
        float *dst = c->y + o * c->dst_stride;
        if (c->add)
            add_row(c->cols, src, dst);
        else
            memcpy(dst, src, (size_t)c->cols * sizeof *dst);
    }
}
void cpu_copy_block(Device *d, int64_t outer, int64_t inner, const float *src, int64_t src_stride,
                    float *dst, int64_t dst_stride, bool add)
{
    (void)d;
    cpu_ranges(outer, cpu_grain(inner), copy_range,
               &(Rw){.cols = inner,
                     .x = src,
                     .stride = src_stride,
                     .y = dst,
                     .dst_stride = dst_stride,
                     .add = add});
}

CLONES static void max_rows(int64_t q, int64_t t, const float *x, float *y, int32_t *arg)
{
    memcpy(y, x, (size_t)t * sizeof *y);
    memset(arg, 0, (size_t)t * sizeof *arg);
    for (int64_t k = 1; k < q; k++) {
        const float *row = x + k * t;
        SIMD for (int64_t i = 0; i < t; i++)
        {
            bool better = row[i] > y[i];
            y[i] = better ? row[i] : y[i];
            arg[i] = better ? (int32_t)k : arg[i];
        }
    }
}
static void max_range(void *ctx, int64_t lo, int64_t hi)
{
    const Rw *c = ctx;
    for (int64_t b = lo; b < hi; b++)
        max_rows(c->q, c->cols, c->x + b * c->q * c->cols, c->y + b * c->cols,
                 c->arg + b * c->cols);
}
void cpu_max_middle(Device *d, int64_t b, int64_t q, int64_t t, const float *x, float *y,
                    int32_t *arg)
{
    (void)d;
    cpu_ranges(b, cpu_grain(q * t), max_range,
               &(Rw){.q = q, .cols = t, .x = x, .y = y, .arg = arg});
}
static void max_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Rw *c = ctx;
    for (int64_t b = lo, t = c->cols; b < hi; b++)
        for (int64_t i = 0; i < t; i++)
            c->y[(b * c->q + c->index[b * t + i]) * t + i] += c->x[b * t + i];
}
void cpu_max_middle_backward(Device *d, int64_t b, int64_t q, int64_t t, const int32_t *arg,
                             const float *dy, float *dx)
{
    (void)d;
    cpu_ranges(b, cpu_grain(t), max_back_range,
               &(Rw){.q = q, .cols = t, .index = arg, .x = dy, .y = dx});
}

static void argmax_range(void *ctx, int64_t lo, int64_t hi)
{
    const Rw *c = ctx;
    for (int64_t r = lo; r < hi; r++) {
        const float *x = c->x + r * c->cols;
        int64_t best = 0;
        for (int64_t i = 1; i < c->cols; i++)
            if (x[i] > x[best])
                best = i;
        c->arg[r] = (int32_t)best;
    }
}
void cpu_argmax(Device *d, int64_t rows, int64_t cols, const float *x, int32_t *arg)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), argmax_range, &(Rw){.cols = cols, .x = x, .arg = arg});
}

/* ---- rotary positions ---- */
enum { ROPE_HALF = 128 }; /* angles computed at a time */

CLONES static void rotate(int64_t n, const float *c, const float *s, const float *x0,
                          const float *x1, float *y0, float *y1, bool add)
{
    if (add)
        SIMD for (int64_t j = 0; j < n; j++)
        {
            float a = x0[j], b = x1[j];
            y0[j] += a * c[j] - b * s[j];
            y1[j] += b * c[j] + a * s[j];
        }
    else
        SIMD for (int64_t j = 0; j < n; j++)
        {
            float a = x0[j], b = x1[j];
            y0[j] = a * c[j] - b * s[j];
            y1[j] = b * c[j] + a * s[j];
        }
}
static void rope_range(void *ctx, int64_t lo, int64_t hi)
{
    const Rw *c = ctx;
    int64_t half = c->dim / 2;
    float cs[ROPE_HALF], sn[ROPE_HALF];
    for (int64_t r = lo; r < hi; r++)
        for (int64_t from = 0; from < half; from += ROPE_HALF) {
            int64_t len = half - from < ROPE_HALF ? half - from : ROPE_HALF;
            for (int64_t j = 0; j < len; j++) {
                float angle = (float)c->index[r] * c->freq[from + j];
                cs[j] = cosf(angle);
                sn[j] = c->sign * sinf(angle);
            }
            for (int64_t h = 0; h < c->heads; h++) {
                const float *x = c->x + r * c->stride + h * c->dim + from;
                float *y = c->y + r * c->dst_stride + h * c->dim + from;
                rotate(len, cs, sn, x, x + half, y, y + half, c->add);
            }
        }
}
void cpu_rope(Device *d, int64_t n, int64_t heads, int64_t dim, const float *x, int64_t ldx,
              const int32_t *pos, const float *freq, float sign, float *y, int64_t ldy, bool add)
{
    (void)d;
    cpu_ranges(n, cpu_grain(heads * dim), rope_range,
               &(Rw){.heads = heads,
                     .dim = dim,
                     .x = x,
                     .stride = ldx,
                     .index = pos,
                     .freq = freq,
                     .sign = sign,
                     .y = y,
                     .dst_stride = ldy,
                     .add = add});
}
