/* Weights prepared once for inference. float32 goes to panels.c, bf16 where AMX makes it fast
 * to bands.c. Otherwise rows stay rows: bf16 (8 bits of mantissa) or int8 with one float32 scale
 * for each 32 weights of a row; x is never rounded. Few rows of x (decoding) are bound by reading
 * the weights: dot products straight from the stored form, several at a time. Many: the weights are
 * widened to float32 some thousand rows at a time and multiplied by sgemm. */
#include "gpu/cpu/cpu.h"
#include <stdlib.h>

enum { GROUP = 32, FEW = 8, WIDE = 1024 };

struct PackedWeight {
    WeightForm form;
    int64_t n, k, groups; /* groups: scales per row */
    Panels *panels;       /* float32 */
    Bands *bands;
    uint16_t *bf16;
    int8_t *i8;
    float *scale;
    bool borrowed;
    StoredWeight stored;
};

void cpu_pack_free(Device *d, PackedWeight *w)
{
    (void)d;
    if (!w)
        return;
    panels_free(w->panels);
    bands_free(w->bands);
    free(w->bf16);
    free(w->i8);
    free(w->scale);
    free(w);
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
static bool pack_int8(PackedWeight *p, const float *w)
{
    p->i8 = malloc((size_t)(p->n * p->k));
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
static bool pack_values(Device *d, PackedWeight *p, const float *w)
{
    size_t n = (size_t)(p->n * p->k);
    if (p->form == WEIGHT_INT8)
        return pack_int8(p, w);
    if (p->form != WEIGHT_F32)
        p->bands = bands_pack(d, p->form, p->n, p->k, w);
    if (p->bands || d->err != OK)
        return p->bands != NULL;
    p->panels = p->form == WEIGHT_BF16 ? halves_pack(p->n, p->k, w) : NULL;
    if (p->panels)
        return true;
    if (p->form != WEIGHT_BF16) {
        p->form = WEIGHT_F32;
        p->panels = panels_pack(p->n, p->k, w);
        return p->panels != NULL;
    }
    p->bf16 = malloc((n + 1) * sizeof *p->bf16);
    if (p->bf16)
        cpu_to_bf16((int64_t)n, w, p->bf16);
    return p->bf16 != NULL;
}

PackedWeight *cpu_pack(Device *d, WeightForm form, int64_t n, int64_t k, const float *w)
{
    PackedWeight *p = calloc(1, sizeof *p);
    if (p) {
        p->form = form;
        p->n = n;
        p->k = k;
        p->groups = (k + GROUP - 1) / GROUP;
        if (pack_values(d, p, w))
            return p;
    }
    cpu_pack_free(d, p);
    cpu_fail(d, ERR_NOMEM, "no memory for a packed weight of %lld x %lld", (long long)n,
             (long long)k);
    return NULL;
}

PackedWeight *cpu_borrow(Device *d, const StoredWeight *w)
{
    PackedWeight *p = calloc(1, sizeof *p);
    if (!p) {
        cpu_fail(d, ERR_NOMEM, "no memory for a weight");
        return NULL;
    }
    p->n = w->n;
    p->k = w->k;
    p->borrowed = true;
    p->stored = *w;
    return p;
}

void cpu_linear_stored(Device *d, StoredMode mode, int64_t m, const float *x, int count,
                       const PackedWeight *const *w, float *const *y)
{
    enum { MOST = 8 };
    const StoredWeight *s[MOST];
    for (int at = 0; at < count; at += MOST) {
        int n = count - at < MOST ? count - at : MOST;
        for (int i = 0; i < n; i++)
            s[i] = &w[at + i]->stored;
        stored_linear(d, mode, m, x, n, s, y + at);
    }
}

void cpu_gather_stored(Device *d, int64_t n, const PackedWeight *w, const int32_t *index, float *y)
{
    (void)d;
    for (int64_t i = 0; i < n; i++)
        stored_widen(&w->stored, index[i], 1, y + i * w->k);
}

/* ---- few rows of x ---- */
typedef struct Pk {
    DotKernel kernel;
    const PackedWeight *p;
    int64_t m, from;
    const float *x;
    float *y, *wide;
} Pk;

static void few_range(void *ctx, int64_t lo, int64_t hi)
{
    const Pk *c = ctx;
    const PackedWeight *p = c->p;
    for (int64_t i = 0; i < c->m; i += 4) {
        int64_t m = c->m - i < 4 ? c->m - i : 4;
        const float *x = c->x + i * p->k;
        float *y = c->y + i * p->n + lo;
        if (p->i8)
            cpu_dots_int8(c->kernel, hi - lo, p->k, p->i8 + lo * p->k, p->scale + lo * p->groups, m,
                          x, y, p->n);
        else
            cpu_dots_bf16(c->kernel, hi - lo, p->k, p->bf16 + lo * p->k, m, x, y, p->n);
    }
}

/* ---- some rows as float32 ---- */
static inline float widen(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)h << 16};
    return v.f;
}
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
static void wide_range(void *ctx, int64_t lo, int64_t hi)
{
    const Pk *c = ctx;
    const PackedWeight *p = c->p;
    for (int64_t i = lo; i < hi; i++) {
        int64_t r = c->from + i;
        if (p->bf16)
            widen_row(p->k, p->bf16 + r * p->k, c->wide + i * p->k);
        else
            dequantize_row(p->k, p->i8 + r * p->k, p->scale + r * p->groups, c->wide + i * p->k);
    }
}
static void linear_widened(Device *d, const PackedWeight *p, Gemm *g)
{
    int64_t rows = p->n < WIDE ? p->n : WIDE;
    float *wide = malloc((size_t)(rows * p->k + 1) * sizeof *wide), *y = g->c;
    if (!wide) {
        cpu_fail(d, ERR_NOMEM, "no memory for %lld rows of weights", (long long)rows);
        return;
    }
    for (int64_t from = 0; from < p->n; from += rows) {
        g->n = p->n - from < rows ? p->n - from : rows;
        cpu_ranges(g->n, cpu_grain(p->k), wide_range, &(Pk){.p = p, .from = from, .wide = wide});
        g->b = wide;
        g->c = y + from;
        cpu_gemm(d, g);
    }
    free(wide);
}

const Panels *cpu_packed_panels(const PackedWeight *p)
{
    return p->panels;
}

void cpu_linear_packed(Device *d, int64_t m, const float *x, const PackedWeight *p,
                       const float *bias, Act act, float *y)
{
    Gemm g = {.tb = true,
              .m = m,
              .n = p->n,
              .k = p->k,
              .batch = 1,
              .a = x,
              .c = y,
              .lda = p->k,
              .ldb = p->k,
              .ldc = p->n,
              .alpha = 1};
    if (m <= 0 || p->n <= 0)
        return;
    if (p->borrowed) {
        stored_linear(d, STORED_FAST, m, x, 1, (const StoredWeight *[]){&p->stored}, &y);
        if (bias || act != ACT_NONE)
            cpu_bias_act(d, m, p->n, bias, act, y, y);
        return;
    }
    if (p->panels) {
        panels_linear(d, m, x, p->panels, bias, act, y);
        return;
    }
    if (p->bands) {
        bands_linear(d, m, x, p->bands, bias, act, y);
        return;
    }
    if (m <= FEW) {
        int64_t grain = 65536 / (p->k * m + 1) + 1;
        cpu_ranges(p->n, grain, few_range,
                   &(Pk){.kernel = cpu_dot_kernel_best(), .p = p, .m = m, .x = x, .y = y});
    } else {
        linear_widened(d, p, &g);
    }
    if (bias || act != ACT_NONE)
        cpu_bias_act(d, m, p->n, bias, act, y, y);
}
