/* Element by element: sums, products, activations, dropout, noise. Each entry splits its work with
 * cpu_ranges and hands contiguous pieces to a loop that is compiled for several processors
 * (CLONES). */
#include "gpu/cpu/cpu.h"
#include "core/device/counter.h"

typedef struct El {
    int64_t n, m, cols;
    float a;
    Act act;
    bool add;
    uint64_t key;
    uint32_t threshold;
    const float *x, *z, *b, *dy;
    float *y, *dx, *db;
} El;

#define GRAIN 16384
#define FOR(i, n) _Pragma("omp simd") for (int64_t i = 0; i < (n); i++)

/* ---- plain ---- */
static void fill_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    for (int64_t i = lo; i < hi; i++)
        e->y[i] = e->a;
}
void cpu_fill(Device *d, int64_t n, float value, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, fill_range, &(El){.a = value, .y = y});
}

CLONES static void axpy_loop(int64_t n, float a, const float *x, float *y)
{
    FOR(i, n) y[i] += a * x[i];
}
static void axpy_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    axpy_loop(hi - lo, e->a, e->x + lo, e->y + lo);
}
void cpu_axpy(Device *d, int64_t n, float a, const float *x, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, axpy_range, &(El){.a = a, .x = x, .y = y});
}

CLONES static void scale_loop(int64_t n, float a, const float *x, float *y)
{
    FOR(i, n) y[i] = a * x[i];
}
static void scale_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    scale_loop(hi - lo, e->a, e->x + lo, e->y + lo);
}
void cpu_scale(Device *d, int64_t n, float a, const float *x, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, scale_range, &(El){.a = a, .x = x, .y = y});
}

/* ---- activations ---- */
CLONES static void act_loop(Act act, int64_t n, const float *x, float *y)
{
    float pdf;
    switch (act) {
    case ACT_NONE:
        if (x != y)
            memcpy(y, x, (size_t)n * sizeof *y);
        break;
    case ACT_RELU:
        FOR(i, n) y[i] = x[i] > 0 ? x[i] : 0;
        break;
    case ACT_GELU:
#pragma omp simd private(pdf)
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * vphi(x[i], &pdf);
        break;
    case ACT_SILU:
        FOR(i, n) y[i] = x[i] * vsigmoid(x[i]);
        break;
    case ACT_TANH:
        FOR(i, n) y[i] = vtanh(x[i]);
        break;
    case ACT_SIGMOID:
        FOR(i, n) y[i] = vsigmoid(x[i]);
        break;
    case ACT_LEAKY:
        FOR(i, n) y[i] = x[i] > 0 ? x[i] : 0.01f * x[i];
        break;
    case ACT_EXP:
        FOR(i, n) y[i] = vexp(x[i]);
        break;
    case ACT_LOG:
        for (int64_t i = 0; i < n; i++)
            y[i] = logf(x[i]);
        break;
    case ACT_SQUARE:
        FOR(i, n) y[i] = x[i] * x[i];
        break;
    case ACT_SOFTPLUS:
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] > 20 ? x[i] : log1pf(expf(x[i]));
        break;
    case ACT_COUNT:
        break;
    }
}
static void act_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    act_loop(e->act, hi - lo, e->x + lo, e->y + lo);
}
void cpu_act(Device *d, Act act, int64_t n, const float *x, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, act_range, &(El){.act = act, .x = x, .y = y});
}

/* BACK(v): dx[i] gets v, added or not. */
#define BACK(v)                                                                                    \
    do {                                                                                           \
        if (add)                                                                                   \
            FOR(i, n) dx[i] += (v);                                                                \
        else                                                                                       \
            FOR(i, n) dx[i] = (v);                                                                 \
    } while (0)
static inline float gelu_slope(float x)
{
    float pdf, cdf = vphi(x, &pdf);
    return cdf + x * pdf;
}
static inline float silu_slope(float x)
{
    float s = vsigmoid(x);
    return s * (1.0f + x * (1.0f - s));
}
CLONES static void act_backward_loop(Act act, int64_t n, const float *x, const float *y,
                                     const float *dy, float *dx, bool add)
{
    switch (act) {
    case ACT_NONE:
        BACK(dy[i]);
        break;
    case ACT_RELU:
        BACK(y[i] > 0 ? dy[i] : 0);
        break;
    case ACT_GELU:
        BACK(dy[i] * gelu_slope(x[i]));
        break;
    case ACT_SILU:
        BACK(dy[i] * silu_slope(x[i]));
        break;
    case ACT_TANH:
        BACK(dy[i] * (1.0f - y[i] * y[i]));
        break;
    case ACT_SIGMOID:
        BACK(dy[i] * y[i] * (1.0f - y[i]));
        break;
    case ACT_LEAKY:
        BACK(y[i] > 0 ? dy[i] : 0.01f * dy[i]);
        break;
    case ACT_EXP:
        BACK(dy[i] * y[i]);
        break;
    case ACT_LOG:
        BACK(dy[i] / x[i]);
        break;
    case ACT_SQUARE:
        BACK(2.0f * dy[i] * x[i]);
        break;
    case ACT_SOFTPLUS:
        BACK(dy[i] * vsigmoid(x[i]));
        break;
    case ACT_COUNT:
        break;
    }
}
static void act_backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    act_backward_loop(e->act, hi - lo, e->x ? e->x + lo : NULL, e->z ? e->z + lo : NULL, e->dy + lo,
                      e->dx + lo, e->add);
}
void cpu_act_backward(Device *d, Act act, int64_t n, const float *x, const float *y,
                      const float *dy, float *dx, bool add)
{
    (void)d;
    cpu_ranges(n, GRAIN, act_backward_range,
               &(El){.act = act, .x = x, .z = y, .dy = dy, .dx = dx, .add = add});
}

/* ---- with a repeated operand: run(offset in x, offset in b, length) over the stretches of [lo,hi)
 * ---- */
CLONES static void add_loop(int64_t n, const float *x, float a, const float *b, float *y)
{
    FOR(i, n) y[i] = x[i] + a * b[i];
}
CLONES static void mul_loop(int64_t n, const float *x, const float *b, float *y)
{
    FOR(i, n) y[i] = x[i] * b[i];
}
CLONES static void madd_loop(int64_t n, const float *x, const float *b, float *y)
{
    FOR(i, n) y[i] += x[i] * b[i];
}
static int64_t stretch(int64_t lo, int64_t hi, int64_t m, int64_t *from)
{
    *from = lo % m;
    return m - *from < hi - lo ? m - *from : hi - lo;
}
static void add_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    for (int64_t j, len; lo < hi; lo += len) {
        len = stretch(lo, hi, e->m, &j);
        add_loop(len, e->x + lo, e->a, e->b + j, e->y + lo);
    }
}
void cpu_add(Device *d, int64_t n, int64_t m, const float *x, float a, const float *b, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, add_range, &(El){.m = m, .a = a, .x = x, .b = b, .y = y});
}
static void mul_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    for (int64_t j, len; lo < hi; lo += len) {
        len = stretch(lo, hi, e->m, &j);
        if (e->add)
            madd_loop(len, e->x + lo, e->b + j, e->y + lo);
        else
            mul_loop(len, e->x + lo, e->b + j, e->y + lo);
    }
}
void cpu_mul(Device *d, int64_t n, int64_t m, const float *x, const float *b, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, mul_range, &(El){.m = m, .x = x, .b = b, .y = y});
}
void cpu_mul_backward(Device *d, int64_t n, int64_t m, const float *x, const float *b,
                      const float *dy, float *dx, float *db)
{
    if (dx)
        cpu_ranges(n, GRAIN, mul_range, &(El){.m = m, .x = dy, .b = b, .y = dx, .add = true});
    if (db)
        cpu_column_sum(d, n / m, m, 1.0f, dy, x, db);
}

/* ---- sums over repetitions: blocks of rows give partial sums that are added in block order ----
 */
CLONES static void column_block(int64_t rows, int64_t cols, int64_t ld, const float *x,
                                const float *z, float *y)
{
    for (int64_t r = 0; r < rows; r++, x += ld, z += z ? ld : 0) {
        if (z)
            FOR(j, cols) y[j] += x[j] * z[j];
        else
            FOR(j, cols) y[j] += x[j];
    }
}
static void columns_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx; /* n rows, a block of columns [lo,hi) */
    column_block(e->n, hi - lo, e->m, e->x + lo, e->z ? e->z + lo : NULL, e->y + lo);
}
static void rows_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    float *part = e->y + lo / e->cols * e->m; /* cols: rows per block */
    memset(part, 0, (size_t)e->m * sizeof *part);
    column_block(hi - lo, e->m, e->m, e->x + lo * e->m, e->z ? e->z + lo * e->m : NULL, part);
}
void cpu_column_sum(Device *d, int64_t rows, int64_t cols, float a, const float *x, const float *z,
                    float *y)
{
    int64_t block = rows <= 64 ? rows : (rows + 63) / 64 < 32 ? 32 : (rows + 63) / 64;
    int64_t blocks = block ? (rows + block - 1) / block : 0;
    if (cols * rows < 8192)
        block = rows, blocks = rows > 0;
    float *part = cpu_scratch(d, (size_t)(blocks > 0 ? blocks : 1) * (size_t)cols * sizeof(float));
    if (!part || blocks == 0)
        return;
    if (blocks == 1) {
        memset(part, 0, (size_t)cols * sizeof *part);
        cpu_ranges(cols, 4096, columns_range,
                   &(El){.n = rows, .m = cols, .x = x, .z = z, .y = part});
    } else {
        cpu_ranges(rows, block, rows_range,
                   &(El){.cols = block, .m = cols, .x = x, .z = z, .y = part});
    }
    for (int64_t b = 0; b < blocks; b++)
        axpy_loop(cols, a, part + b * cols, y);
}
void cpu_reduce_period(Device *d, int64_t n, int64_t m, float a, const float *x, float *y)
{
    if (n == m)
        cpu_axpy(d, n, a, x, y);
    else
        cpu_column_sum(d, n / m, m, a, x, NULL, y);
}

/* ---- one factor per row ---- */
CLONES static float row_dot(int64_t n, const float *x, const float *y)
{
    float s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++)
        s += x[i] * y[i];
    return s;
}
static void mul_rows_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    for (int64_t r = lo, c = e->cols; r < hi; r++) {
        if (e->y)
            scale_loop(c, e->b[r], e->x + r * c, e->y + r * c);
        if (e->dx)
            axpy_loop(c, e->b[r], e->dy + r * c, e->dx + r * c);
        if (e->db)
            e->db[r] += row_dot(c, e->dy + r * c, e->x + r * c);
    }
}
void cpu_mul_rows(Device *d, int64_t rows, int64_t cols, const float *x, const float *s, float *y)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), mul_rows_range, &(El){.cols = cols, .x = x, .b = s, .y = y});
}
void cpu_mul_rows_backward(Device *d, int64_t rows, int64_t cols, const float *x, const float *s,
                           const float *dy, float *dx, float *ds)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), mul_rows_range,
               &(El){.cols = cols, .x = x, .b = s, .dy = dy, .dx = dx, .db = ds});
}

CLONES static void bias_relu_loop(int64_t n, const float *b, float *pre, float *y)
{
    FOR(i, n)
    {
        float v = pre[i] + b[i];
        pre[i] = v;
        y[i] = v > 0 ? v : 0;
    }
}
static void bias_act_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    for (int64_t r = lo, c = e->cols; r < hi; r++) {
        float *pre = e->dx + r * c, *y = e->y + r * c;
        if (e->b && e->act == ACT_RELU) {
            bias_relu_loop(c, e->b, pre, y);
            continue;
        }
        if (e->b)
            add_loop(c, pre, 1.0f, e->b, pre);
        act_loop(e->act, c, pre, y);
    }
}
void cpu_bias_act_row(int64_t n, const float *bias, Act act, const float *pre, float *y)
{
    if (bias)
        add_loop(n, pre, 1.0f, bias, y);
    act_loop(act, n, bias ? y : pre, y);
}
void cpu_bias_act(Device *d, int64_t rows, int64_t cols, const float *bias, Act act, float *pre,
                  float *y)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), bias_act_range,
               &(El){.cols = cols, .b = bias, .act = act, .dx = pre, .y = y});
}

/* ---- gated unit ---- */
CLONES static void swiglu_loop(int64_t n, const float *a, const float *b, float *y)
{
    FOR(i, n) y[i] = a[i] * vsigmoid(a[i]) * b[i];
}
static void swiglu_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    swiglu_loop(hi - lo, e->x + lo, e->b + lo, e->y + lo);
}
void cpu_swiglu(Device *d, int64_t n, const float *a, const float *b, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, swiglu_range, &(El){.x = a, .b = b, .y = y});
}
CLONES static void swiglu_da_loop(int64_t n, const float *a, const float *b, const float *dy,
                                  float *da)
{
    FOR(i, n)
    {
        float s = vsigmoid(a[i]);
        da[i] += dy[i] * b[i] * s * (1.0f + a[i] * (1.0f - s));
    }
}
CLONES static void swiglu_db_loop(int64_t n, const float *a, const float *dy, float *db)
{
    FOR(i, n) db[i] += dy[i] * a[i] * vsigmoid(a[i]);
}
static void swiglu_backward_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    if (e->dx)
        swiglu_da_loop(hi - lo, e->x + lo, e->b + lo, e->dy + lo, e->dx + lo);
    if (e->db)
        swiglu_db_loop(hi - lo, e->x + lo, e->dy + lo, e->db + lo);
}
void cpu_swiglu_backward(Device *d, int64_t n, const float *a, const float *b, const float *dy,
                         float *da, float *db)
{
    (void)d;
    cpu_ranges(n, GRAIN, swiglu_backward_range,
               &(El){.x = a, .b = b, .dy = dy, .dx = da, .db = db});
}

/* ---- by (seed, index) ---- */
CLONES static void dropout_loop(int64_t from, int64_t n, const El *e)
{
    const float *x = e->x + from;
    float *y = e->y + from, a = e->a, keep = e->add ? 1.0f : 0.0f;
    uint64_t key = e->key;
    uint32_t threshold = e->threshold;
    FOR(i, n)
    {
        float v = counter_u32(key, (uint64_t)(from + i)) < threshold ? 0.0f : a * x[i];
        y[i] = keep > 0 ? y[i] + v : v;
    }
}
static void dropout_range(void *ctx, int64_t lo, int64_t hi)
{
    dropout_loop(lo, hi - lo, ctx);
}
void cpu_dropout(Device *d, int64_t n, float p, uint64_t seed, const float *x, float *y, bool add)
{
    (void)d;
    cpu_ranges(n, GRAIN, dropout_range,
               &(El){.a = 1.0f / (1.0f - p),
                     .add = add,
                     .key = counter_key(seed),
                     .threshold = counter_threshold(p),
                     .x = x,
                     .y = y});
}
/* Box and Muller: elements 2i and 2i+1 come from one pair of uniforms. */
static void normal_range(void *ctx, int64_t lo, int64_t hi)
{
    const El *e = ctx;
    for (int64_t i = lo; i < hi; i += 2) {
        float radius = sqrtf(-2.0f * logf(counter_open(counter_u32(e->key, (uint64_t)i))));
        float angle = 6.28318531f * counter_open(counter_u32(e->key, (uint64_t)i + 1));
        e->y[i] = radius * cosf(angle);
        if (i + 1 < hi)
            e->y[i + 1] = radius * sinf(angle);
    }
}
void cpu_fill_normal(Device *d, int64_t n, uint64_t seed, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, normal_range, &(El){.key = counter_key(seed), .y = y});
}
