/* Products with weights in half precision on AVX-512 FP16, whose products run at twice the rate of
 * float32. A lane adds up at most CHAIN products in half precision, every second number of k, before
 * the sum moves on to float32; rows of x and the weights are scaled so that nothing overflows.
 * Numbers of half precision have three more bits than bfloat16, so that the error, most of it of the
 * sums, stays below that of products of bfloat16. */
#include "gpu/cpu/panels.h"
#include <stdlib.h>

#ifdef __x86_64__
#include <immintrin.h>
#define UNROLL _Pragma("GCC unroll 6")
#define INLINE static inline __attribute__((always_inline))
#define THALF                                                                                      \
    __attribute__((                                                                                \
        target("avx512f,avx512bw,avx512vl,avx512dq,avx512fp16,avx2,fma,f16c")))

/* CHAIN * TOP * WEIGHT_TOP < 65504, the largest number of half precision. */
enum { HALF_COLS = 64, CHAIN = 128, TOP = 8, WEIGHT_TOP = 60 };

typedef struct HalfTile {
    int rows, cols;
    int64_t pairs; /* of k, at most CHAIN */
    const uint32_t *a, *b;
    const float *scale, *bias;
    float *c;
    int64_t ldc;
    bool add, relu;
} HalfTile;

/* Sixteen columns' sums in float32, each of two lanes: the bits moved to the places of float32 are
 * the number times 2^-112. */
THALF INLINE __m512 pairs(__m512h a)
{
    __m512i i = _mm512_castph_si512(a), places = _mm512_set1_epi32((int32_t)0x8fffe000u);
    __m512i odd = _mm512_and_si512(_mm512_srai_epi32(i, 3), places);
    __m512i even = _mm512_and_si512(_mm512_srai_epi32(_mm512_slli_epi32(i, 16), 3), places);
    __m512 sum = _mm512_add_ps(_mm512_castsi512_ps(odd), _mm512_castsi512_ps(even));
    return _mm512_mul_ps(sum, _mm512_set1_ps(0x1p112f));
}

/* rows and vectors are constants where this is called, so that acc stays in registers. */
THALF INLINE void run(int rows, int vectors, const HalfTile *t, __mmask16 last)
{
    __m512h acc[TILE_ROWS][4];
    UNROLL for (int v = 0; v < vectors; v++) UNROLL for (int i = 0; i < rows; i++) acc[i][v] =
        _mm512_setzero_ph();
    const uint32_t *a = t->a, *b = t->b;
    for (int64_t k = t->pairs; k > 0; k--, a++, b += HALF_COLS) {
        __m512h w[4];
        UNROLL for (int v = 0; v < vectors; v++) w[v] =
            _mm512_castsi512_ph(_mm512_load_si512(b + 16 * v));
        UNROLL for (int i = 0; i < rows; i++)
        {
            __m512h x = _mm512_castsi512_ph(_mm512_set1_epi32((int32_t)a[i * CHAIN]));
            UNROLL for (int v = 0; v < vectors; v++) acc[i][v] =
                _mm512_fmadd_ph(x, w[v], acc[i][v]);
        }
    }
    UNROLL for (int v = 0; v < vectors; v++)
    {
        __mmask16 mask = v == vectors - 1 ? last : (__mmask16)0xffff;
        __m512 bias = t->bias ? _mm512_maskz_loadu_ps(mask, t->bias + 16 * v) : _mm512_setzero_ps();
        UNROLL for (int i = 0; i < rows; i++)
        {
            float *c = t->c + i * t->ldc + 16 * v;
            __m512 y = t->add ? _mm512_maskz_loadu_ps(mask, c) : bias;
            y = _mm512_fmadd_ps(pairs(acc[i][v]), _mm512_set1_ps(t->scale[i]), y);
            y = t->relu ? _mm512_max_ps(y, _mm512_setzero_ps()) : y;
            _mm512_mask_storeu_ps(c, mask, y);
        }
    }
}
#define BY_VECTORS(rows)                                                                           \
    case rows:                                                                                     \
        if (t->cols > 48)                                                                          \
            run(rows, 4, t, last);                                                                 \
        else if (t->cols > 32)                                                                     \
            run(rows, 3, t, last);                                                                 \
        else if (t->cols > 16)                                                                     \
            run(rows, 2, t, last);                                                                 \
        else                                                                                       \
            run(rows, 1, t, last);                                                                 \
        break
THALF static void run_tile(const HalfTile *t)
{
    __mmask16 last = (__mmask16)(0xffffu >> (15 - (t->cols - 1) % 16));
    switch (t->rows) {
        BY_VECTORS(1);
        BY_VECTORS(2);
        BY_VECTORS(3);
        BY_VECTORS(4);
        BY_VECTORS(5);
        BY_VECTORS(6);
    }
}

/* ---- rows of x ---- */
/* What a row has to be divided by; not a number where the row holds one or infinity. */
THALF static float row_scale(int64_t k, const float *x)
{
    __m512 top = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    for (int64_t i = 0; i < k; i += 16) {
        __mmask16 m = k - i < 16 ? (__mmask16)((1u << (k - i)) - 1) : (__mmask16)0xffff;
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        top = _mm512_max_ps(top, _mm512_abs_ps(v));
        odd = _mm512_fmadd_ps(v, _mm512_setzero_ps(), odd);
    }
    return _mm512_reduce_max_ps(top) / TOP + _mm512_reduce_add_ps(odd);
}
/* k numbers, at most 2 * CHAIN; up to 15 halves beyond them become zero. */
THALF static void row_halves(int64_t k, const float *x, float scale, uint32_t *out)
{
    __m512 by = _mm512_set1_ps(scale > 0 ? 1 / scale : 0);
    for (int64_t i = 0; i < k; i += 16) {
        __mmask16 m = k - i < 16 ? (__mmask16)((1u << (k - i)) - 1) : (__mmask16)0xffff;
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), by);
        _mm256_store_si256((__m256i *)(void *)(out + i / 2),
                           _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
}

/* ---- weights ---- */
static bool runs_here(void)
{
    return __builtin_cpu_supports("avx512fp16") && cpu_tier() >= 3 && cpu_tile_kernel()->cols == HALF_COLS;
}
THALF static uint32_t half_of(float x)
{
    return (uint16_t)_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
}
static void pack_strip(const Panels *p, int64_t strip, const float *w)
{
    int64_t pairs = (p->k + 1) / 2;
    uint32_t *out = p->half + strip * pairs * HALF_COLS;
    for (int64_t j = 0; j < HALF_COLS; j++) {
        const float *row = strip * HALF_COLS + j < p->n ? w + (strip * HALF_COLS + j) * p->k : NULL;
        for (int64_t i = 0; i < pairs; i++) {
            float low = row ? row[2 * i] : 0, high = row && 2 * i + 1 < p->k ? row[2 * i + 1] : 0;
            out[i * HALF_COLS + j] = half_of(low / p->scale) | half_of(high / p->scale) << 16;
        }
    }
}
Panels *halves_pack(int64_t n, int64_t k, const float *w)
{
    float top = 0, sum = 0;
    for (int64_t i = 0; i < n * k; i++) {
        top = fabsf(w[i]) > top ? fabsf(w[i]) : top;
        sum += w[i] * 0;
    }
    Panels *p = sum == 0 && runs_here() ? malloc(sizeof *p) : NULL;
    if (!p)
        return NULL;
    int64_t strips = (n + HALF_COLS - 1) / HALF_COLS, pairs = (k + 1) / 2;
    *p = (Panels){.kernel = cpu_tile_kernel(), .n = n, .k = k, .piece = 2 * CHAIN};
    p->scale = top > 0 ? top / WEIGHT_TOP : 1;
    p->half = aligned_alloc(64, (size_t)(strips * pairs + 1) * HALF_COLS * sizeof *p->half);
    if (!p->half) {
        free(p);
        return NULL;
    }
    for (int64_t s = 0; s < strips; s++)
        pack_strip(p, s, w);
    return p;
}

/* ---- the product ---- */
/* Numbers k.. of the rows of some strips, made ready in x, times columns [from, to). */
static void run_piece(const Panels *p, const PanelRun *r, int64_t from, int64_t to, int64_t k,
                      const uint32_t *x, const float *scale)
{
    int64_t left = p->k - k < p->piece ? p->k - k : p->piece, pairs = (p->k + 1) / 2;
    HalfTile t = {.pairs = (left + 1) / 2, .ldc = r->ldy, .add = k > 0};
    t.relu = r->act == ACT_RELU && k + left == p->k;
    for (int64_t j = from; j < to; j += HALF_COLS) {
        t.cols = (int)(p->n - j < HALF_COLS ? p->n - j : HALF_COLS);
        t.bias = r->bias ? r->bias + j : NULL;
        t.b = p->half + j * pairs + k / 2 * HALF_COLS;
        for (int64_t s = 0; s < r->strips; s++) {
            t.rows = r->strip[s].rows;
            t.a = x + s * TILE_ROWS * CHAIN;
            t.scale = scale + s * TILE_ROWS;
            t.c = r->y + strip_row(r, r->packed_y, s) * r->ldy + j;
            run_tile(&t);
        }
    }
}
/* At most STRIPS strips. */
static void run_strips(const Panels *p, const PanelRun *r, int64_t from, int64_t to)
{
    _Alignas(64) uint32_t x[STRIP_ROWS * CHAIN];
    float divide[STRIP_ROWS], scale[STRIP_ROWS];
    for (int64_t k = 0; k < p->k || k == 0; k += p->piece) {
        int64_t left = p->k - k < p->piece ? p->k - k : p->piece;
        for (int64_t s = 0; s < r->strips; s++)
            for (int64_t i = 0, at = s * TILE_ROWS; i < r->strip[s].rows; i++, at++) {
                const float *row = r->x + (strip_row(r, r->packed_x, s) + i) * r->ldx;
                if (k == 0) {
                    divide[at] = row_scale(p->k, row);
                    scale[at] = divide[at] * p->scale;
                }
                row_halves(left, row + k, divide[at], x + at * CHAIN);
            }
        run_piece(p, r, from, to, k, x, scale);
    }
}
void halves_columns(const Panels *p, const PanelRun *r, int64_t from, int64_t to)
{
    for (int64_t s = 0; s < r->strips; s += STRIPS) {
        PanelRun part = *r;
        int64_t step = s * TILE_ROWS;
        part.strip += s;
        part.strips = r->strips - s < STRIPS ? r->strips - s : STRIPS;
        part.x += r->packed_x ? step * r->ldx : 0;
        part.y += r->packed_y ? step * r->ldy : 0;
        run_strips(p, &part, from, to);
    }
}
#else
Panels *halves_pack(int64_t n, int64_t k, const float *w)
{
    (void)n, (void)k, (void)w;
    return NULL;
}
void halves_columns(const Panels *p, const PanelRun *r, int64_t from, int64_t to)
{
    (void)p, (void)r, (void)from, (void)to;
}
#endif
