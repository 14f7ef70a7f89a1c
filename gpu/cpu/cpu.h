/* Shared inside the CPU backend: the table's functions, work sharing, and the scalar mathematics
 * that the compiler turns into vector code. Work is cut into pieces whose size depends on the
 * problem only, never on the number of threads, and partial sums are added in piece order: one
 * thread and many give the same numbers. */
#ifndef SCMM_GPU_CPU_H
#define SCMM_GPU_CPU_H
#pragma GCC optimize("O3,no-math-errno,no-trapping-math,fp-contract=fast")
#include "core/base/err.h"
#include "core/base/half.h"
#include "core/device/device.h"
#include "gpu/cpu/pool.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Hot loops are compiled three times and chosen at start by the processor; sanitizers do not stand
 * that. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
#define CLONES
#else
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif

/* fn(ctx, lo, hi) for consecutive pieces of `grain` items of 0..n-1, in parallel. */
typedef void CpuRange(void *ctx, int64_t lo, int64_t hi);
void cpu_ranges(int64_t n, int64_t grain, CpuRange *fn, void *ctx);
/* Items per piece so that a piece is about 16 k elements. */
int64_t cpu_grain(int64_t cols);
/* Memory valid until the next call on this device; NULL and a latched error when there is none. */
void *cpu_scratch(Device *d, size_t bytes);
void cpu_fail(Device *d, Err code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The backend's own state. */
typedef struct CpuState {
    void *scratch;
    size_t scratch_size;
    struct MatmulCache *matmul; /* bands.c */
} CpuState;

/* y[j] += a * sum_r x[r*cols+j] * (z ? z[r*cols+j] : 1). */
void cpu_column_sum(Device *d, int64_t rows, int64_t cols, float a, const float *x, const float *z,
                    float *y);
/* sum of x (times z) in double, in a fixed order. */
double cpu_dot(Device *d, int64_t n, const float *x, const float *z);
/* One product on the calling thread: dnnl_sgemm with row-major arguments. */
void cpu_sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* exp to 1e-7 relative, saturating instead of overflowing (Cephes expf's reduction and polynomial).
 */
static inline float vexp(float x)
{
    x = x < -87.3f ? -87.3f : x;
    x = x > 88.37f ? 88.37f : x;
    union {
        float f;
        int32_t i;
    } n = {x * 1.44269504f + 12582912.0f}, p2;
    float k = n.f - 12582912.0f;
    float r = x - k * 0.693359375f;
    r -= k * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 0.5f;
    p = p * r * r + r + 1.0f;
    p2.i = (int32_t)((uint32_t)(n.i + 127) << 23);
    return p * p2.f;
}
static inline float vsigmoid(float x)
{
    return 1.0f / (1.0f + vexp(-x));
}
static inline float vtanh(float x)
{
    float e = vexp(2.0f * x), x2 = x * x;
    float small =
        x +
        x * x2 * (-0.333333333f + x2 * (0.133333333f - x2 * (0.0539682540f - x2 * 0.0218694885f)));
    float big = (e - 1.0f) / (e + 1.0f);
    return x2 < 0.06f ? small : big;
}
/* Normal distribution function and density at x; erf by Abramowitz and Stegun 7.1.26 (absolute
 * error 1.5e-7). */
static inline float vphi(float x, float *density)
{
    float z = (x < 0 ? -x : x) * 0.70710678f;
    float e = vexp(-z * z);
    float t = 1.0f / (1.0f + 0.3275911f * z);
    float q = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t +
               0.254829592f) *
              t;
    float tail = 0.5f * q * e;
    *density = 0.39894228f * e;
    return x < 0 ? tail : 1.0f - tail;
}

/* ---- the table's entries, by file ---- */
/* elementwise.c */
void cpu_fill(Device *d, int64_t n, float value, float *y);
void cpu_axpy(Device *d, int64_t n, float a, const float *x, float *y);
void cpu_scale(Device *d, int64_t n, float a, const float *x, float *y);
void cpu_act(Device *d, Act act, int64_t n, const float *x, float *y);
void cpu_act_backward(Device *d, Act act, int64_t n, const float *x, const float *y,
                      const float *dy, float *dx, bool add);
void cpu_add(Device *d, int64_t n, int64_t m, const float *x, float a, const float *b, float *y);
void cpu_mul(Device *d, int64_t n, int64_t m, const float *x, const float *b, float *y);
void cpu_mul_backward(Device *d, int64_t n, int64_t m, const float *x, const float *b,
                      const float *dy, float *dx, float *db);
void cpu_reduce_period(Device *d, int64_t n, int64_t m, float a, const float *x, float *y);
void cpu_mul_rows(Device *d, int64_t rows, int64_t cols, const float *x, const float *s, float *y);
void cpu_mul_rows_backward(Device *d, int64_t rows, int64_t cols, const float *x, const float *s,
                           const float *dy, float *dx, float *ds);
void cpu_bias_act(Device *d, int64_t rows, int64_t cols, const float *bias, Act act, float *pre,
                  float *y);
void cpu_swiglu(Device *d, int64_t n, const float *a, const float *b, float *y);
void cpu_swiglu_backward(Device *d, int64_t n, const float *a, const float *b, const float *dy,
                         float *da, float *db);
void cpu_dropout(Device *d, int64_t n, float p, uint64_t seed, const float *x, float *y, bool add);
void cpu_fill_normal(Device *d, int64_t n, uint64_t seed, float *y);
/* norm.c */
void cpu_layernorm(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                   const float *gamma, const float *beta, float *y, float *stats);
/* out = LN(x + y) for one row; stats are not kept. */
void cpu_add_norm_row(int64_t n, float eps, const float *x, const float *y, const float *gamma,
                      const float *beta, float *out);
void cpu_layernorm_backward(Device *d, int64_t rows, int64_t cols, const float *x,
                            const float *gamma, const float *stats, const float *dy, float *dx,
                            float *dgamma, float *dbeta);
void cpu_rmsnorm(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                 const float *gamma, float *y, float *stats);
void cpu_rmsnorm_backward(Device *d, int64_t rows, int64_t cols, const float *x, const float *gamma,
                          const float *stats, const float *dy, float *dx, float *dgamma);
void cpu_l2norm(Device *d, int64_t rows, int64_t cols, const float *x, float *y, float *norms);
void cpu_l2norm_backward(Device *d, int64_t rows, int64_t cols, const float *y, const float *norms,
                         const float *dy, float *dx);
void cpu_softmax(Device *d, int64_t rows, int64_t cols, const float *x, float *y);
void cpu_softmax_backward(Device *d, int64_t rows, int64_t cols, const float *y, const float *dy,
                          float *dx);
/* rows.c */
void cpu_gather(Device *d, int64_t n, int64_t cols, const float *table, const int32_t *index,
                float *y);
void cpu_gather_backward(Device *d, int64_t n, int64_t cols, const int32_t *index, const float *dy,
                         int64_t table_rows, float *dtable);
void cpu_copy_block(Device *d, int64_t outer, int64_t inner, const float *src, int64_t src_stride,
                    float *dst, int64_t dst_stride, bool add);
void cpu_max_middle(Device *d, int64_t b, int64_t q, int64_t t, const float *x, float *y,
                    int32_t *arg);
void cpu_max_middle_backward(Device *d, int64_t b, int64_t q, int64_t t, const int32_t *arg,
                             const float *dy, float *dx);
void cpu_argmax(Device *d, int64_t rows, int64_t cols, const float *x, int32_t *arg);
void cpu_rope(Device *d, int64_t n, int64_t heads, int64_t dim, const float *x, int64_t ldx,
              const int32_t *pos, const float *freq, float sign, float *y, int64_t ldy, bool add);
/* gemm.c */
void cpu_gemm(Device *d, const Gemm *g);
/* quant.c: the best instructions that hand-written kernels may use: 0 plain, 1 AVX2, 2 AVX-512, 3 AVX-512 with VNNI and
 * what comes later. SCMMGPT_CPU_TIER=plain|avx2|avx512|vnni lowers it. */
int cpu_tier(void);
/* tile.c: c[i,j] = relu(start + sum_k a[i*lda+k] b[k*ldb+j]) for rows <= TILE_ROWS, cols <=
 * kernel->cols; start is c (add), bias[j], or 0. */
enum { TILE_ROWS = 6 };
typedef struct Tile {
    int rows, cols;
    int64_t k;
    const float *a, *b, *bias;
    float *c;
    int64_t lda, ldb, ldc;
    bool add, relu;
} Tile;
typedef struct TileKernel {
    int cols;
    void (*run)(const Tile *t);
} TileKernel;
const TileKernel *cpu_tile_kernel(void); /* the best this processor has */
const TileKernel *cpu_tile_kernel_at(int i); /* those that run here, 0 the plain one; then NULL */
/* The same for any number of rows and columns of row-major b. */
void cpu_rows_times(const TileKernel *kernel, int64_t rows, int64_t cols, Tile t);
/* panels.c: float32 weights as strips of kernel->cols columns, so that a tile reads straight on. */
typedef struct Panels Panels;
Panels *panels_pack(int64_t n, int64_t k, const float *w); /* w [n,k]; NULL: no memory */
/* The same in half precision (halves.c); NULL where the processor has no fast products of it, a
 * weight is not finite, or there is no memory. */
Panels *halves_pack(int64_t n, int64_t k, const float *w);
void panels_free(Panels *p);
/* Some runs of up to TILE_ROWS rows that follow one another in memory. */
typedef struct Strip {
    int64_t row;
    int rows;
} Strip;
/* y = act(x W^T + bias) for the rows of the strips. With packed_x (packed_y) the strip number s has
 * its rows at s*TILE_ROWS in x (y) instead of at strip.row. One thread. */
typedef struct PanelRun {
    const Strip *strip;
    int64_t strips;
    const float *x, *bias;
    float *y;
    int64_t ldx, ldy;
    bool packed_x, packed_y;
    Act act;
} PanelRun;
void panels_run(const Panels *p, const PanelRun *r);
void panels_linear(Device *d, int64_t m, const float *x, const Panels *p, const float *bias,
                   Act act, float *y);
/* attention.c */
void cpu_attention(Device *d, const Attention *a);
int64_t cpu_attention_units(const Attention *a);           /* independent parts of a forward pass */
void cpu_attention_unit(const Attention *a, int64_t unit); /* one thread */
void cpu_attention_backward(Device *d, const Attention *a);
/* bands.c: weights in oneDNN's own layout. bands_pack gives NULL where this processor has no good
 * kernel for the form (or memory is short: latched), and the caller keeps plain rows. */
typedef struct Bands Bands;
Bands *bands_pack(Device *d, WeightForm form, int64_t n, int64_t k, const float *w);
void bands_free(Bands *b);
void bands_linear(Device *d, int64_t m, const float *x, const Bands *b, const float *bias, Act act,
                  float *y);
void bands_cache_free(struct MatmulCache *c);
/* bf16 and back, rounding to nearest even. */
void cpu_to_bf16(int64_t n, const float *x, uint16_t *y);
/* y = act(pre + bias) for one row; bias NULL ok. */
void cpu_bias_act_row(int64_t n, const float *bias, Act act, const float *pre, float *y);
/* dots.c: y[i*ldy + r] = <w_r, x_i> for r < rows, i < m <= 4; rows of w and x are k long. int8 has
 * one scale for each 32 weights of a row. */
typedef enum DotKernel { DOT_PLAIN, DOT_AVX2, DOT_AVX512 } DotKernel;
DotKernel cpu_dot_kernel_best(void);
void cpu_dots_int8(DotKernel kernel, int64_t rows, int64_t k, const int8_t *w, const float *scale,
                   int64_t m, const float *x, float *y, int64_t ldy);
void cpu_dots_bf16(DotKernel kernel, int64_t rows, int64_t k, const uint16_t *w, int64_t m,
                   const float *x, float *y, int64_t ldy);
/* quant.c: products with stored weights; up to STORED_FEW rows of x go straight through the
 * weights, more go through prompt.c or, exactly, through float32 blocks. */
enum { STORED_FEW = 12 };
void stored_linear(Device *d, StoredMode mode, int64_t m, const float *x, int count,
                   const StoredWeight *const *w, float *const *y);
/* Rows from..from+rows-1 as float32 [rows,k]. */
void stored_widen(const StoredWeight *w, int64_t from, int64_t rows, float *out);
/* paged.c */
void cpu_attention_paged(Device *d, const PagedAttention *a);
/* packed.c */
PackedWeight *cpu_borrow(Device *d, const StoredWeight *w);
void cpu_linear_stored(Device *d, StoredMode mode, int64_t m, const float *x, int count,
                       const PackedWeight *const *w, float *const *y);
void cpu_gather_stored(Device *d, int64_t n, const PackedWeight *w, const int32_t *index, float *y);
PackedWeight *cpu_pack(Device *d, WeightForm form, int64_t n, int64_t k, const float *w);
void cpu_pack_free(Device *d, PackedWeight *w);
const Panels *cpu_packed_panels(const PackedWeight *p); /* NULL when it is held in another form */
void cpu_linear_packed(Device *d, int64_t m, const float *x, const PackedWeight *w,
                       const float *bias, Act act, float *y);
/* layer.c */
void cpu_encoder_layer(Device *d, const EncoderLayer *e);
/* loss.c */
void cpu_sum(Device *d, int64_t n, float a, const float *x, float *y);
void cpu_add_scalar(Device *d, int64_t n, float a, const float *s, float *y);
void cpu_sumsq(Device *d, int64_t n, const float *x, double *acc);
void cpu_cross_entropy(Device *d, const CrossEntropy *c);
void cpu_cross_entropy_backward(Device *d, const CrossEntropy *c);
void cpu_mse(Device *d, int64_t n, const float *x, const float *t, const float *w, float *loss,
             float *norm);
void cpu_mse_backward(Device *d, int64_t n, const float *x, const float *t, const float *w,
                      const float *norm, const float *dloss, float *dx, float *dt);
void cpu_reparam(Device *d, int64_t n, const float *mu, const float *logvar, const float *noise,
                 float *z);
void cpu_reparam_backward(Device *d, int64_t n, const float *logvar, const float *noise,
                          const float *dz, float *dmu, float *dlogvar);
void cpu_kl(Device *d, int64_t n, float a, const float *mu, const float *logvar, float *loss);
void cpu_kl_backward(Device *d, int64_t n, float a, const float *mu, const float *logvar,
                     const float *dloss, float *dmu, float *dlogvar);
void cpu_adamw(Device *d, const AdamStep *s);
#endif
