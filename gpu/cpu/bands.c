/* Weights in the layout oneDNN's matmul likes best, packed once: bands of up to 512 rows of W,
 * multiplied by tiles of up to 64 rows of x, one single-threaded call each, so that the numbers do
 * not depend on the number of threads. For bf16 (float32 has panels.c), which pays only where the
 * processor has AMX tiles (a processor with AVX-512 bf16 alone is slower than in float32), and then
 * also serves float32 split in two bf16 numbers: x w = xh wh + xh wl + xl wh, one product with
 * three times the inner dimension. */
#include "gpu/cpu/cpu.h"
#include "gpu/cpu/onednn.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

enum { BAND = 512, TILE = 64, STEP = 16, CACHE_MAX = 512 };

/* One compiled product of m x k by k x n. */
typedef struct Matmul {
    int64_t m, n, k;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t run;
} Matmul;

struct MatmulCache {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    Matmul entry[CACHE_MAX];
    int count;
};

struct Bands {
    WeightForm form;
    int64_t n, k, inner; /* inner: k, or 3k for BF16X3 */
    int64_t count;
    void **band; /* count packed weights */
};

/* ---- compiled products ---- */
static struct MatmulCache *cache_of(Device *d)
{
    CpuState *s = d->impl;
    if (s->matmul)
        return s->matmul;
    struct MatmulCache *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    if (dnnl_engine_create(&c->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags) != dnnl_success) {
        bands_cache_free(c);
        return NULL;
    }
    return s->matmul = c;
}
static void drop(Matmul *m)
{
    if (m->run)
        dnnl_primitive_destroy(m->run);
    if (m->desc)
        dnnl_primitive_desc_destroy(m->desc);
}
void bands_cache_free(struct MatmulCache *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->count; i++)
        drop(&c->entry[i]);
    if (c->stream)
        dnnl_stream_destroy(c->stream);
    if (c->engine)
        dnnl_engine_destroy(c->engine);
    free(c);
}

/* w NULL: oneDNN chooses the layout of the weights; only its block kernels ("brg") are accepted. */
static bool compile(struct MatmulCache *c, Matmul *m, MatrixLayout w)
{
    const char *kind = "";
    bool ok = onednn_product(c->engine, m->m, m->n, m->k, w, &m->desc) &&
              dnnl_primitive_desc_query(m->desc, dnnl_query_impl_info_str, 0, (void *)&kind) == dnnl_success &&
              strncmp(kind, "brg", 3) == 0 && dnnl_primitive_create(&m->run, m->desc) == dnnl_success;
    if (!ok)
        drop(m);
    return ok;
}
/* The layout of the weights is the one chosen for a full tile, whatever m is. */
static const Matmul *find(struct MatmulCache *c, int64_t m, int64_t n, int64_t k)
{
    for (int i = 0; i < c->count; i++) {
        const Matmul *e = &c->entry[i];
        if (e->m == m && e->n == n && e->k == k)
            return e;
    }
    const Matmul *full = m == TILE ? NULL : find(c, TILE, n, k);
    if (c->count == CACHE_MAX || (m != TILE && !full))
        return NULL;
    Matmul *e = &c->entry[c->count];
    *e = (Matmul){.m = m, .n = n, .k = k};
    if (!compile(c, e, full ? onednn_layout(full->desc, DNNL_ARG_WEIGHTS) : NULL))
        return NULL;
    c->count++;
    return e;
}

/* ---- packing ---- */
CLONES void cpu_to_bf16(int64_t n, const float *x, uint16_t *y)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
    {
        union {
            float f;
            uint32_t u;
        } v = {x[i]};
        uint32_t rounded = (v.u + 0x7fffu + (v.u >> 16 & 1)) >> 16, nan = v.u >> 16 | 64;
        y[i] = (uint16_t)((v.u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
}
/* What bf16 rounding left over, again as bf16. */
CLONES static void low_part(int64_t n, const float *x, const uint16_t *high, float *rest,
                            uint16_t *low)
{
    for (int64_t i = 0; i < n; i++) {
        union {
            uint32_t u;
            float f;
        } v = {(uint32_t)high[i] << 16};
        rest[i] = x[i] - v.f;
    }
    cpu_to_bf16(n, rest, low);
}
/* One row of k numbers as [high,high,low] (x) or [high,low,high] (weights); plain bf16 is [high].
 */
static void split_row(WeightForm form, bool weights, int64_t k, const float *x, uint16_t *y)
{
    enum { PART = 256 };
    float rest[PART];
    cpu_to_bf16(k, x, y);
    if (form != WEIGHT_BF16X3)
        return;
    uint16_t *low = y + (weights ? k : 2 * k), *copy = y + (weights ? 2 * k : k);
    memcpy(copy, y, (size_t)k * sizeof *y);
    for (int64_t i = 0; i < k; i += PART)
        low_part(k - i < PART ? k - i : PART, x + i, y + i, rest, low + i);
}

static int64_t band_rows(const Bands *b, int64_t i)
{
    return b->n - i * BAND < BAND ? b->n - i * BAND : BAND;
}
static bool pack_band(struct MatmulCache *c, Bands *b, int64_t i, const float *w, uint16_t *half)
{
    int64_t rows = band_rows(b, i);
    const Matmul *m = find(c, TILE, rows, b->inner);
    const float *from = w + i * BAND * b->k;
    if (!m)
        return false;
    size_t size = onednn_bytes(m->desc, DNNL_ARG_WEIGHTS);
    b->band[i] = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (!b->band[i])
        return false;
    for (int64_t r = 0; r < rows; r++)
        split_row(b->form, true, b->k, from + r * b->k, half + r * b->inner);
    return onednn_pack(c->engine, c->stream, m->desc, m->n, m->k, half, b->band[i]);
}

Bands *bands_pack(Device *d, WeightForm form, int64_t n, int64_t k, const float *w)
{
    struct MatmulCache *c = onednn_pays() && n > 0 && k > 0 ? cache_of(d) : NULL;
    Bands *b = c ? calloc(1, sizeof *b) : NULL;
    if (!b)
        return NULL;
    *b = (Bands){.form = form,
                 .n = n,
                 .k = k,
                 .inner = form == WEIGHT_BF16X3 ? 3 * k : k,
                 .count = (n + BAND - 1) / BAND};
    b->band = calloc((size_t)b->count, sizeof *b->band);
    uint16_t *half = malloc((size_t)(BAND * b->inner) * sizeof *half);
    bool ok = b->band != NULL && half != NULL;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    for (int64_t i = 0; ok && i < b->count; i++)
        ok = pack_band(c, b, i, w, half);
    omp_set_num_threads(threads);
    free(half);
    if (ok)
        return b;
    bands_free(b);
    return NULL;
}
void bands_free(Bands *b)
{
    if (!b)
        return;
    for (int64_t i = 0; b->band && i < b->count; i++)
        free(b->band[i]);
    free(b->band);
    free(b);
}

/* ---- multiplying ---- */
typedef struct Run {
    const Bands *b;
    struct MatmulCache *c;
    const float *x, *bias;
    uint16_t *half; /* x as bf16, [m,inner] */
    float *y;
    int64_t m;
    Act act;
    bool failed;
} Run;

static void split_range(void *ctx, int64_t lo, int64_t hi)
{
    const Run *r = ctx;
    for (int64_t i = lo; i < hi; i++)
        split_row(r->b->form, false, r->b->k, r->x + i * r->b->k, r->half + i * r->b->inner);
}

/* Tile t of m rows: full tiles, then steps of 16, then what is left. Returns its rows and where it
 * begins. */
static int64_t tile_rows(int64_t m, int64_t t, int64_t *from)
{
    int64_t full = m / TILE, steps = m % TILE / STEP;
    if (t < full) {
        *from = t * TILE;
        return TILE;
    }
    *from = full * TILE + (t - full) * STEP;
    return t < full + steps ? STEP : m - *from;
}
static int64_t tile_count(int64_t m)
{
    return m / TILE + m % TILE / STEP + (m % STEP != 0);
}

static bool execute(struct MatmulCache *c, const Matmul *m, const void *x, void *w, float *y)
{
    _Alignas(64) char scratch[8192];
    return onednn_bytes(m->desc, DNNL_ARG_SCRATCHPAD) <= sizeof scratch &&
           onednn_run(c->engine, c->stream, m->desc, m->run, x, w, y, scratch);
}

static void run_one(Run *r, int64_t tile, int64_t band)
{
    _Alignas(64) float part[TILE * BAND];
    const Bands *b = r->b;
    int64_t from, rows = tile_rows(r->m, tile, &from), n = band_rows(b, band), at = band * BAND;
    bool direct = b->count == 1;
    float *out = direct ? r->y + from * b->n : part;
    const void *x = r->half + from * b->inner;
    const Matmul *m = find(r->c, rows, n, b->inner); /* compiled before the threads start */
    if (!m || !execute(r->c, m, x, b->band[band], out)) {
        r->failed = true;
        return;
    }
    for (int64_t i = 0; (!direct || r->bias || r->act != ACT_NONE) && i < rows; i++)
        cpu_bias_act_row(n, r->bias ? r->bias + at : NULL, r->act, out + i * n,
                         r->y + (from + i) * b->n + at);
}

/* Every size that will be needed, so that threads only look up. */
static bool compile_all(Run *r, int64_t tiles)
{
    const Bands *b = r->b;
    for (int64_t t = 0, from; t < tiles; t = t + 1 < r->m / TILE ? r->m / TILE : t + 1) {
        int64_t rows = tile_rows(r->m, t, &from);
        if (!find(r->c, rows, band_rows(b, 0), b->inner) ||
            !find(r->c, rows, band_rows(b, b->count - 1), b->inner))
            return false;
    }
    return true;
}

void bands_linear(Device *d, int64_t m, const float *x, const Bands *b, const float *bias, Act act,
                  float *y)
{
    Run r = {.b = b, .c = cache_of(d), .x = x, .bias = bias, .y = y, .m = m, .act = act};
    int64_t tiles = tile_count(m), n = tiles * b->count;
    r.half = cpu_scratch(d, (size_t)(m * b->inner) * sizeof *r.half);
    if (!r.half)
        return;
    cpu_ranges(m, cpu_grain(b->k), split_range, &r);
    if (!compile_all(&r, tiles)) {
        cpu_fail(d, ERR_GENERAL, "oneDNN has no product for %lld rows", (long long)m);
        return;
    }
    int threads = omp_get_max_threads();
    bool alone = threads == 1 || n == 1 || m * b->n * b->inner < 100000;
    if (alone)
        omp_set_num_threads(1);
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
    for (int64_t i = 0; i < n; i++)
        run_one(&r, i / b->count, i % b->count);
    if (alone)
        omp_set_num_threads(threads);
    if (r.failed)
        cpu_fail(d, ERR_GENERAL, "oneDNN failed in a matrix product");
}
