/* Normalisation of rows: LayerNorm, RMSNorm, length 1, softmax; forward and backward. */
#include "gpu/cpu/cpu.h"

typedef struct Nm {
    int64_t rows, cols, block;
    float eps;
    const float *x, *gamma, *beta, *stats, *dy;
    float *y, *out, *dx,
        *part; /* out: stats or norms written; part: per-block sums for gamma and beta */
    bool want_beta;
} Nm;

#define SIMD_SUM(s) _Pragma("omp simd reduction(+ : s)")
#define SIMD _Pragma("omp simd")

CLONES static void layernorm_row(int64_t n, float eps, const float *x, const float *g,
                                 const float *b, float *y, float *stats)
{
    float sum = 0, var = 0;
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++) sum += x[i];
    float mean = sum / (float)n;
    _Pragma("omp simd reduction(+ : var)") for (int64_t i = 0; i < n; i++) var +=
        (x[i] - mean) * (x[i] - mean);
    float inv = 1.0f / sqrtf(var / (float)n + eps);
    SIMD for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inv * g[i] + b[i];
    if (stats) {
        stats[0] = mean;
        stats[1] = inv;
    }
}
CLONES void cpu_add_norm_row(int64_t n, float eps, const float *x, const float *y,
                             const float *gamma, const float *beta, float *out)
{
    float sum = 0, var = 0;
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++)
    {
        out[i] = x[i] + y[i];
        sum += out[i];
    }
    float mean = sum / (float)n;
    _Pragma("omp simd reduction(+ : var)") for (int64_t i = 0; i < n; i++) var +=
        (out[i] - mean) * (out[i] - mean);
    float inv = 1.0f / sqrtf(var / (float)n + eps);
    SIMD for (int64_t i = 0; i < n; i++) out[i] = (out[i] - mean) * inv * gamma[i] + beta[i];
}
static void layernorm_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    for (int64_t r = lo; r < hi; r++)
        layernorm_row(c->cols, c->eps, c->x + r * c->cols, c->gamma, c->beta, c->y + r * c->cols,
                      c->out ? c->out + 2 * r : NULL);
}
void cpu_layernorm(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                   const float *gamma, const float *beta, float *y, float *stats)
{
    (void)d;
    cpu_ranges(
        rows, cpu_grain(cols), layernorm_range,
        &(Nm){
            .cols = cols, .eps = eps, .x = x, .gamma = gamma, .beta = beta, .y = y, .out = stats});
}

/* dx += inv*(dy*g - mean(dy*g) - xhat*mean(dy*g*xhat)); dgamma, dbeta of the row are added to part.
 */
CLONES static void layernorm_back_row(int64_t n, const float *x, const float *g, float mean,
                                      float inv, const float *dy, float *dx, float *dgamma,
                                      float *dbeta)
{
    if (dx) {
        float a = 0, b = 0;
        _Pragma("omp simd reduction(+ : a, b)") for (int64_t i = 0; i < n; i++)
        {
            float v = dy[i] * g[i];
            a += v;
            b += v * (x[i] - mean);
        }
        a /= (float)n;
        b *= inv * inv / (float)n;
        SIMD for (int64_t i = 0; i < n; i++) dx[i] += inv * (dy[i] * g[i] - a - (x[i] - mean) * b);
    }
    if (dgamma)
        SIMD for (int64_t i = 0; i < n; i++)
        {
            dgamma[i] += dy[i] * (x[i] - mean) * inv;
            dbeta[i] += dy[i];
        }
}
static void layernorm_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    int64_t n = c->cols;
    float *part = c->part ? c->part + lo / c->block * 2 * n : NULL;
    if (part)
        memset(part, 0, (size_t)(2 * n) * sizeof *part);
    for (int64_t r = lo; r < hi; r++)
        layernorm_back_row(n, c->x + r * n, c->gamma, c->stats[2 * r], c->stats[2 * r + 1],
                           c->dy + r * n, c->dx ? c->dx + r * n : NULL, part,
                           part ? part + n : NULL);
}
CLONES static void add_to(int64_t n, const float *x, float *y)
{
    SIMD for (int64_t i = 0; i < n; i++) y[i] += x[i];
}
/* Rows per block such that there are at most 64 blocks of at least 16 rows. */
static int64_t block_rows(int64_t rows)
{
    int64_t b = (rows + 63) / 64;
    return b < 16 ? 16 : b;
}
void cpu_layernorm_backward(Device *d, int64_t rows, int64_t cols, const float *x,
                            const float *gamma, const float *stats, const float *dy, float *dx,
                            float *dgamma, float *dbeta)
{
    Nm c = {.cols = cols,
            .block = block_rows(rows),
            .x = x,
            .gamma = gamma,
            .stats = stats,
            .dy = dy,
            .dx = dx};
    int64_t blocks = (rows + c.block - 1) / c.block;
    if (dgamma || dbeta) {
        c.part = cpu_scratch(d, (size_t)(blocks + 1) * 2 * (size_t)cols * sizeof(float));
        if (!c.part)
            return;
    }
    cpu_ranges(rows, c.block, layernorm_back_range, &c);
    for (int64_t b = 0; c.part && b < blocks; b++) {
        if (dgamma)
            add_to(cols, c.part + b * 2 * cols, dgamma);
        if (dbeta)
            add_to(cols, c.part + b * 2 * cols + cols, dbeta);
    }
}

CLONES static float rms_inv(int64_t n, float eps, const float *x)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i] * x[i];
    return 1.0f / sqrtf(s / (float)n + eps);
}
CLONES static void scale2(int64_t n, const float *x, float a, const float *g, float *y)
{
    SIMD for (int64_t i = 0; i < n; i++) y[i] = x[i] * a * g[i];
}
static void rmsnorm_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    for (int64_t r = lo; r < hi; r++) {
        float inv = rms_inv(c->cols, c->eps, c->x + r * c->cols);
        scale2(c->cols, c->x + r * c->cols, inv, c->gamma, c->y + r * c->cols);
        if (c->out)
            c->out[r] = inv;
    }
}
void cpu_rmsnorm(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                 const float *gamma, float *y, float *stats)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), rmsnorm_range,
               &(Nm){.cols = cols, .eps = eps, .x = x, .gamma = gamma, .y = y, .out = stats});
}
CLONES static void rmsnorm_back_row(int64_t n, const float *x, const float *g, float inv,
                                    const float *dy, float *dx, float *dgamma)
{
    if (dx) {
        float a = 0;
        _Pragma("omp simd reduction(+ : a)") for (int64_t i = 0; i < n; i++) a +=
            dy[i] * g[i] * x[i];
        a *= inv * inv * inv / (float)n;
        SIMD for (int64_t i = 0; i < n; i++) dx[i] += inv * dy[i] * g[i] - a * x[i];
    }
    if (dgamma)
        SIMD for (int64_t i = 0; i < n; i++) dgamma[i] += dy[i] * x[i] * inv;
}
static void rmsnorm_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    int64_t n = c->cols;
    float *part = c->part ? c->part + lo / c->block * n : NULL;
    if (part)
        memset(part, 0, (size_t)n * sizeof *part);
    for (int64_t r = lo; r < hi; r++)
        rmsnorm_back_row(n, c->x + r * n, c->gamma, c->stats[r], c->dy + r * n,
                         c->dx ? c->dx + r * n : NULL, part);
}
void cpu_rmsnorm_backward(Device *d, int64_t rows, int64_t cols, const float *x, const float *gamma,
                          const float *stats, const float *dy, float *dx, float *dgamma)
{
    Nm c = {.cols = cols,
            .block = block_rows(rows),
            .x = x,
            .gamma = gamma,
            .stats = stats,
            .dy = dy,
            .dx = dx};
    int64_t blocks = (rows + c.block - 1) / c.block;
    if (dgamma) {
        c.part = cpu_scratch(d, (size_t)(blocks + 1) * (size_t)cols * sizeof(float));
        if (!c.part)
            return;
    }
    cpu_ranges(rows, c.block, rmsnorm_back_range, &c);
    for (int64_t b = 0; dgamma && b < blocks; b++)
        add_to(cols, c.part + b * cols, dgamma);
}

CLONES static float dot(int64_t n, const float *x, const float *y)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i] * y[i];
    return s;
}
CLONES static void scale_to(int64_t n, float a, const float *x, float *y)
{
    SIMD for (int64_t i = 0; i < n; i++) y[i] = a * x[i];
}
static void l2norm_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    for (int64_t r = lo; r < hi; r++) {
        const float *x = c->x + r * c->cols;
        float norm = sqrtf(dot(c->cols, x, x));
        norm = norm > 1e-12f ? norm : 1e-12f;
        scale_to(c->cols, 1.0f / norm, x, c->y + r * c->cols);
        if (c->out)
            c->out[r] = norm;
    }
}
void cpu_l2norm(Device *d, int64_t rows, int64_t cols, const float *x, float *y, float *norms)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), l2norm_range,
               &(Nm){.cols = cols, .x = x, .y = y, .out = norms});
}
/* dx += (dy - y*<y,dy>)*a for unit rows, and y*(dy - <y,dy>) for softmax rows. */
CLONES static void l2norm_back_row(int64_t n, const float *y, float a, float yd, const float *dy,
                                   float *dx)
{
    SIMD for (int64_t i = 0; i < n; i++) dx[i] += (dy[i] - y[i] * yd) * a;
}
static void l2norm_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    for (int64_t r = lo, n = c->cols; r < hi; r++) {
        const float *y = c->x + r * n, *dy = c->dy + r * n;
        l2norm_back_row(n, y, 1.0f / c->stats[r], dot(n, y, dy), dy, c->dx + r * n);
    }
}
void cpu_l2norm_backward(Device *d, int64_t rows, int64_t cols, const float *y, const float *norms,
                         const float *dy, float *dx)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), l2norm_back_range,
               &(Nm){.cols = cols, .x = y, .stats = norms, .dy = dy, .dx = dx});
}

CLONES static void softmax_row(int64_t n, const float *x, float *y)
{
    float max = x[0], sum = 0;
    _Pragma("omp simd reduction(max : max)") for (int64_t i = 0; i < n; i++) max =
        x[i] > max ? x[i] : max;
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++)
    {
        float e = vexp(x[i] - max);
        y[i] = e;
        sum += e;
    }
    float inv = 1.0f / sum;
    SIMD for (int64_t i = 0; i < n; i++) y[i] *= inv;
}
static void softmax_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    for (int64_t r = lo; r < hi; r++)
        softmax_row(c->cols, c->x + r * c->cols, c->y + r * c->cols);
}
void cpu_softmax(Device *d, int64_t rows, int64_t cols, const float *x, float *y)
{
    (void)d;
    if (cols > 0)
        cpu_ranges(rows, cpu_grain(cols), softmax_range, &(Nm){.cols = cols, .x = x, .y = y});
}
CLONES static void softmax_back_row(int64_t n, const float *y, float yd, const float *dy, float *dx)
{
    SIMD for (int64_t i = 0; i < n; i++) dx[i] += y[i] * (dy[i] - yd);
}
static void softmax_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Nm *c = ctx;
    for (int64_t r = lo, n = c->cols; r < hi; r++) {
        const float *y = c->x + r * n, *dy = c->dy + r * n;
        softmax_back_row(n, y, dot(n, y, dy), dy, c->dx + r * n);
    }
}
void cpu_softmax_backward(Device *d, int64_t rows, int64_t cols, const float *y, const float *dy,
                          float *dx)
{
    (void)d;
    cpu_ranges(rows, cpu_grain(cols), softmax_back_range,
               &(Nm){.cols = cols, .x = y, .dy = dy, .dx = dx});
}
