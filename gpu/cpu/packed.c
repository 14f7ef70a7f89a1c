/* Weights prepared once for inference. Few rows (decoding) are bound by reading the weights: dot
 * products straight from the stored form, shared over the output rows. Many rows: the weights are
 * widened to float32 a band at a time and multiplied by sgemm. bf16 keeps 8 bits of mantissa; int8
 * keeps one float32 scale for each 32 weights of a row. */
#include "gpu/cpu/cpu.h"
#include <stdlib.h>

enum { GROUP = 32, FEW = 4, BAND = 64 };

struct PackedWeight {
    WeightForm form;
    int64_t n, k, groups; /* groups: scales per row */
    float *f32;
    uint16_t *bf16;
    int8_t *i8;
    float *scale;
};

void cpu_pack_free(Device *d, PackedWeight *w)
{
    (void)d;
    if (!w)
        return;
    free(w->f32);
    free(w->bf16);
    free(w->i8);
    free(w->scale);
    free(w);
}

static uint16_t to_bf16(float x)
{
    union {
        float f;
        uint32_t u;
    } v = {x};
    if ((v.u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(v.u >> 16 | 64); /* NaN stays NaN */
    return (uint16_t)((v.u + 0x7fffu + (v.u >> 16 & 1)) >> 16);
}
static void quantize_group(int64_t n, const float *w, int8_t *q, float *scale)
{
    float top = 0;
    for (int64_t i = 0; i < n; i++)
        top = fabsf(w[i]) > top ? fabsf(w[i]) : top;
    *scale = top / 127.0f;
    for (int64_t i = 0; i < n; i++)
        q[i] = top > 0 ? (int8_t)lrintf(w[i] / *scale) : 0;
}
static bool pack_values(PackedWeight *p, const float *w)
{
    size_t n = (size_t)(p->n * p->k);
    if (p->form == WEIGHT_F32) {
        p->f32 = malloc(n * sizeof *p->f32);
        if (p->f32)
            memcpy(p->f32, w, n * sizeof *w);
        return p->f32 != NULL;
    }
    if (p->form == WEIGHT_BF16) {
        p->bf16 = malloc(n * sizeof *p->bf16);
        for (size_t i = 0; p->bf16 && i < n; i++)
            p->bf16[i] = to_bf16(w[i]);
        return p->bf16 != NULL;
    }
    p->i8 = malloc(n);
    p->scale = malloc((size_t)(p->n * p->groups) * sizeof *p->scale);
    if (!p->i8 || !p->scale)
        return false;
    for (int64_t r = 0; r < p->n; r++)
        for (int64_t g = 0; g < p->groups; g++) {
            int64_t from = r * p->k + g * GROUP,
                    len = p->k - g * GROUP < GROUP ? p->k - g * GROUP : GROUP;
            quantize_group(len, w + from, p->i8 + from, p->scale + r * p->groups + g);
        }
    return true;
}

PackedWeight *cpu_pack(Device *d, WeightForm form, int64_t n, int64_t k, const float *w)
{
    PackedWeight *p = calloc(1, sizeof *p);
    if (p) {
        p->form = form;
        p->n = n;
        p->k = k;
        p->groups = (k + GROUP - 1) / GROUP;
        if (pack_values(p, w))
            return p;
    }
    cpu_pack_free(d, p);
    cpu_fail(d, ERR_NOMEM, "no memory for a packed weight of %lld x %lld", (long long)n,
             (long long)k);
    return NULL;
}

/* ---- dot products from each form ---- */
static inline float widen(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)h << 16};
    return v.f;
}
CLONES static float dot_f32(int64_t n, const float *x, const float *w)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i] * w[i];
    return s;
}
CLONES static float dot_bf16(int64_t n, const float *x, const uint16_t *w)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i] * widen(w[i]);
    return s;
}
CLONES static float dot_int8(int64_t n, const float *x, const int8_t *w, const float *scale)
{
    float s = 0;
    for (int64_t g = 0; g * GROUP < n; g++) {
        int64_t from = g * GROUP, len = n - from < GROUP ? n - from : GROUP;
        float part = 0;
        _Pragma("omp simd reduction(+ : part)") for (int64_t i = 0; i < len; i++) part +=
            x[from + i] * (float)w[from + i];
        s += part * scale[g];
    }
    return s;
}
static float dot_row(const PackedWeight *p, int64_t r, const float *x)
{
    if (p->form == WEIGHT_F32)
        return dot_f32(p->k, x, p->f32 + r * p->k);
    if (p->form == WEIGHT_BF16)
        return dot_bf16(p->k, x, p->bf16 + r * p->k);
    return dot_int8(p->k, x, p->i8 + r * p->k, p->scale + r * p->groups);
}

typedef struct Pk {
    const PackedWeight *p;
    int64_t m, from;
    const float *x;
    float *y, *band;
} Pk;

static void few_range(void *ctx, int64_t lo, int64_t hi)
{
    const Pk *c = ctx;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t i = 0; i < c->m; i++)
            c->y[i * c->p->n + r] = dot_row(c->p, r, c->x + i * c->p->k);
}

/* ---- a band of rows as float32 ---- */
CLONES static void widen_row(int64_t n, const uint16_t *h, float *y)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = widen(h[i]);
}
CLONES static void dequantize_row(int64_t n, const int8_t *q, const float *scale, float *y)
{
    for (int64_t g = 0; g * GROUP < n; g++) {
        int64_t from = g * GROUP, len = n - from < GROUP ? n - from : GROUP;
        _Pragma("omp simd") for (int64_t i = 0; i < len; i++) y[from + i] =
            scale[g] * (float)q[from + i];
    }
}
static void band_range(void *ctx, int64_t lo, int64_t hi)
{
    const Pk *c = ctx;
    const PackedWeight *p = c->p;
    for (int64_t i = lo; i < hi; i++) {
        int64_t r = c->from + i;
        if (p->form == WEIGHT_BF16)
            widen_row(p->k, p->bf16 + r * p->k, c->band + i * p->k);
        else
            dequantize_row(p->k, p->i8 + r * p->k, p->scale + r * p->groups, c->band + i * p->k);
    }
}

void cpu_linear_packed(Device *d, int64_t m, const float *x, const PackedWeight *p,
                       const float *bias, Act act, float *y)
{
    Gemm g = {.tb = true,
              .m = m,
              .k = p->k,
              .batch = 1,
              .a = x,
              .lda = p->k,
              .ldb = p->k,
              .ldc = p->n,
              .alpha = 1};
    if (m <= FEW) {
        int64_t grain = 65536 / (p->k * m + 1) + 1;
        cpu_ranges(p->n, grain, few_range, &(Pk){.p = p, .m = m, .x = x, .y = y});
    } else if (p->form == WEIGHT_F32) {
        g.n = p->n;
        g.b = p->f32;
        g.c = y;
        cpu_gemm(d, &g);
    } else {
        int64_t rows = BAND * 16 < p->n ? BAND * 16 : p->n;
        float *band = malloc((size_t)(rows * p->k) * sizeof *band);
        if (!band) {
            cpu_fail(d, ERR_NOMEM, "no memory for a band of weights");
            return;
        }
        for (int64_t from = 0; from < p->n; from += rows) {
            int64_t n = p->n - from < rows ? p->n - from : rows;
            cpu_ranges(n, cpu_grain(p->k), band_range, &(Pk){.p = p, .from = from, .band = band});
            g.n = n;
            g.b = band;
            g.c = y + from;
            cpu_gemm(d, &g);
        }
        free(band);
    }
    if (bias || act != ACT_NONE)
        cpu_bias_act(d, m, p->n, bias, act, y, y);
}
