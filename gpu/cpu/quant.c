/* Stored weights: the choice of instruction set, x in int8, and the division of a product into
 * blocks of rows. Rows are always computed alone and in one order, so the numbers depend neither on
 * the threads nor on the blocks. */
#include "gpu/cpu/quant.h"
#include "gpu/cpu/prompt.h"
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { BLOCK_BYTES = 96 << 10 }; /* of weights: small enough to share, long enough to stream */

/* ---- instruction sets ---- */
static bool runs_here(const QuantTier *t)
{
    if (t == &quant_plain)
        return true;
#ifdef __x86_64__
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                __builtin_cpu_supports("f16c");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (t == &quant_avx2)
        return avx2;
    return avx512 && (t == &quant_avx512 || __builtin_cpu_supports("avx512vnni"));
#else
    return false;
#endif
}

const QuantTier *quant_tier_named(const char *name)
{
    static const QuantTier *const all[] = {&quant_vnni, &quant_avx512, &quant_avx2, &quant_plain};
    for (int i = 0; i < 4; i++)
        if (runs_here(all[i]) && (!name || strcmp(all[i]->name, name) == 0))
            return all[i];
    return NULL;
}

static _Atomic(const QuantTier *) forced;

const QuantTier *quant_tier(void)
{
    static _Atomic(const QuantTier *) best;
    const QuantTier *t = atomic_load(&forced);
    if (t)
        return t;
    t = atomic_load(&best);
    if (!t) {
        const char *name = getenv("SCMMGPT_CPU_TIER");
        t = name && *name ? quant_tier_named(name) : NULL;
        t = t ? t : quant_tier_named(NULL);
        atomic_store(&best, t);
    }
    return t;
}

int cpu_tier(void)
{
    const QuantTier *t = quant_tier();
    return t == &quant_vnni ? 3 : t == &quant_avx512 ? 2 : t == &quant_avx2 ? 1 : 0;
}

void quant_force_tier(const QuantTier *t)
{
    atomic_store(&forced, t);
}

/* ---- rows ---- */
int64_t stored_row_bytes(StoredType type, int64_t k)
{
    static const int bits[STORED_TYPES] = {32, 16, 16, 8, 4};
    return k * bits[type] / 8;
}

CLONES void quant_row(int64_t k, const float *x, int8_t *q, float *scale, float *sum)
{
    for (int64_t g = 0; g < k / GROUP; g++) {
        const float *v = x + g * GROUP;
        float top = 0;
        int32_t n[GROUP], total = 0;
        for (int i = 0; i < GROUP; i++) {
            float a = v[i] < 0 ? -v[i] : v[i];
            top = a > top ? a : top;
        }
        float one = top > 0 ? 127.0f / top : 0.0f;
        for (int i = 0; i < GROUP; i++) {
            n[i] = (int32_t)(v[i] * one + (v[i] < 0 ? -0.5f : 0.5f));
            total += n[i];
        }
        for (int i = 0; i < GROUP; i++)
            q[g * GROUP + i] = (int8_t)n[i];
        scale[g] = top / 127.0f;
        sum[g] = (float)total;
    }
}

CLONES static void widen_bf16(int64_t n, const char *w, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, w + i * 2, 2);
        out[i] = bf16_to_float(h);
    }
}
#ifdef __x86_64__
__attribute__((target("avx2,f16c"))) static int64_t widen_f16c(int64_t n, const char *w, float *out)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(
            out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(w + i * 2))));
    return i;
}
#endif
static void widen_f16(int64_t n, const char *w, float *out)
{
    int64_t i = 0;
#ifdef __x86_64__
    if (quant_tier() != &quant_plain)
        i = widen_f16c(n, w, out);
#endif
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, w + i * 2, 2);
        out[i] = half_to_float(h);
    }
}
CLONES static void widen_q8(int64_t groups, const int8_t *w, const uint16_t *scale, float *out)
{
    for (int64_t g = 0; g < groups; g++) {
        float s = dot_scale(scale + g);
        for (int i = 0; i < GROUP; i++)
            out[g * GROUP + i] = s * (float)w[g * GROUP + i];
    }
}
CLONES static void widen_q4(int64_t groups, const uint8_t *w, const uint16_t *scale, float *out)
{
    for (int64_t g = 0; g < groups; g++, w += GROUP / 2, out += GROUP) {
        float s = dot_scale(scale + g);
        for (int i = 0; i < GROUP / 2; i++) {
            out[i] = s * (float)((w[i] & 15) - 8);
            out[i + GROUP / 2] = s * (float)((w[i] >> 4) - 8);
        }
    }
}

void stored_widen(const StoredWeight *w, int64_t from, int64_t rows, float *out)
{
    const char *p = (const char *)w->data + from * stored_row_bytes(w->type, w->k);
    int64_t n = rows * w->k, groups = n / GROUP, g = from * (w->k / GROUP);
    switch (w->type) {
    case STORED_F32:
        memcpy(out, p, (size_t)n * 4);
        break;
    case STORED_F16:
        widen_f16(n, p, out);
        break;
    case STORED_BF16:
        widen_bf16(n, p, out);
        break;
    case STORED_Q8:
        widen_q8(groups, (const int8_t *)p, w->scale + g, out);
        break;
    case STORED_Q4:
        widen_q4(groups, (const uint8_t *)p, w->scale + g, out);
        break;
    case STORED_TYPES:
        break;
    }
}

/* ---- products with few rows of x ---- */
typedef struct Few {
    const QuantTier *tier;
    Rows x;
    int count;
    const StoredWeight *const *w;
    float *const *y;
} Few;

static int64_t block_rows(const StoredWeight *w)
{
    int64_t rows = BLOCK_BYTES / stored_row_bytes(w->type, w->k);
    return rows < 4 ? 4 : rows;
}
static int64_t block_count(const StoredWeight *w)
{
    return (w->n + block_rows(w) - 1) / block_rows(w);
}

static void few_block(void *ctx, int64_t block)
{
    const Few *f = ctx;
    int j = 0;
    for (; block >= block_count(f->w[j]); j++)
        block -= block_count(f->w[j]);
    const StoredWeight *w = f->w[j];
    int64_t rows = block_rows(w), from = block * rows, groups = w->k / GROUP;
    Dots d = {.rows = w->n - from < rows ? w->n - from : rows,
              .k = w->k,
              .w = (const char *)w->data + from * stored_row_bytes(w->type, w->k),
              .scale = w->scale ? w->scale + from * groups : NULL,
              .ldy = w->n};
    for (int64_t i = 0; i < f->x.m; i += DOT_ROWS) {
        d.x = (Rows){
            .m = f->x.m - i < DOT_ROWS ? f->x.m - i : DOT_ROWS, .k = w->k, .x = f->x.x + i * w->k};
        if (f->x.q) {
            d.x.q = f->x.q + i * w->k;
            d.x.scale = f->x.scale + i * groups;
            d.x.sum = f->x.sum + i * groups;
        }
        d.y = f->y[j] + i * w->n + from;
        f->tier->dots[w->type](&d);
    }
}

/* x in int8 in the device's working memory. */
static bool prepare(Device *d, Rows *x)
{
    int64_t groups = x->k / GROUP;
    size_t floats = (size_t)(x->m * groups) * sizeof(float);
    char *mem = cpu_scratch(d, 2 * floats + (size_t)(x->m * x->k) + 64);
    if (!mem)
        return false;
    float *scale = (float *)(void *)mem, *sum = scale + x->m * groups;
    int8_t *q = (int8_t *)(sum + x->m * groups);
    for (int64_t i = 0; i < x->m; i++)
        quant_row(x->k, x->x + i * x->k, q + i * x->k, scale + i * groups, sum + i * groups);
    x->q = q;
    x->scale = scale;
    x->sum = sum;
    return true;
}

static bool whole(StoredType t)
{
    return t == STORED_Q8 || t == STORED_Q4;
}

static void stored_few(Device *d, int64_t m, const float *x, int count,
                       const StoredWeight *const *w, float *const *y)
{
    Few f = {.tier = quant_tier(), .x = {.m = m, .k = w[0]->k, .x = x}, .count = count, .w = w};
    int64_t blocks = 0;
    bool any = false;
    f.y = y;
    for (int j = 0; j < count; j++) {
        blocks += block_count(w[j]);
        any = any || whole(w[j]->type);
    }
    if (any && !prepare(d, &f.x))
        return;
    cpu_share(blocks, few_block, &f);
}

/* ---- many rows, in float32: blocks of weights are widened and multiplied where they lie in the
 * cache ---- */
enum { WIDE_FLOATS = 1 << 17 };

typedef struct Exact {
    int64_t m;
    const float *x;
    const StoredWeight *w;
    float *y;
    int64_t rows;
    atomic_bool failed;
} Exact;

bool stored_exact_rows(const StoredWeight *w, int64_t from, int64_t rows, int64_t m, const float *x,
                       float *y)
{
    float *wide = aligned_alloc(64, (size_t)((rows * w->k * 4 + 63) / 64 * 64));
    if (!wide)
        return false;
    stored_widen(w, from, rows, wide);
    cpu_sgemm(false, true, m, rows, w->k, 1.0f, x, w->k, wide, w->k, 0.0f, y, w->n);
    free(wide);
    return true;
}

static void exact_block(void *ctx, int64_t block)
{
    Exact *e = ctx;
    int64_t from = block * e->rows, rows = e->w->n - from < e->rows ? e->w->n - from : e->rows;
    if (!stored_exact_rows(e->w, from, rows, e->m, e->x, e->y + from))
        atomic_store(&e->failed, true);
}

static void stored_exact(Device *d, int64_t m, const float *x, const StoredWeight *w, float *y)
{
    int64_t rows = WIDE_FLOATS / w->k / 16 * 16;
    Exact e = {.m = m, .x = x, .w = w, .y = y, .rows = rows < 16 ? 16 : rows};
    int64_t n = (w->n + e.rows - 1) / e.rows;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1); /* a single block runs here, and oneDNN would start its own threads */
    if (n == 1)
        exact_block(&e, 0);
    omp_set_num_threads(threads);
    if (n > 1)
        cpu_share(n, exact_block, &e);
    if (atomic_load(&e.failed))
        cpu_fail(d, ERR_NOMEM, "no memory for a block of weights");
}

/* ---- the table's entries ---- */
void stored_linear(Device *d, StoredMode mode, int64_t m, const float *x, int count,
                   const StoredWeight *const *w, float *const *y)
{
    bool any = false;
    for (int j = 0; j < count; j++)
        any = any || whole(w[j]->type);
    if (m <= 0)
        return;
    if (m <= STORED_FEW && !(any && mode == STORED_EXACT)) {
        stored_few(d, m, x, count, w, y);
        return;
    }
    for (int j = 0; j < count; j++)
        if (mode != STORED_FAST || !prompt_linear(d, m, x, w[j], y[j]))
            stored_exact(d, m, x, w[j], y[j]);
}
