/* Prompts on half-precision and bfloat16 weights with AVX-512 FP16, whose products of
 * half-precision numbers run at twice the rate of float32. A lane adds up at most CHAIN products in
 * half precision, every second number of k, before the sum moves on to float32; tokens are scaled
 * to a largest number of TOP, so that nothing overflows while weights stay below LIMIT (a block
 * with a larger one is computed in float32). The error is a third of that of products of bfloat16.
 */
#include "gpu/cpu/prompt.h"

#ifdef __x86_64__
#include <immintrin.h>
#define THALF                                                                                      \
    __attribute__((                                                                                \
        target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512fp16,avx2,fma,f16c")))
enum { ROWS = 8, CHAIN = 64 };
static const float TOP = 8, LIMIT = 100;

static bool runs_here(void)
{
    return __builtin_cpu_supports("avx512fp16") && quant_tier_named("vnni");
}
static int64_t bytes(int64_t m, int64_t k)
{
    return panel_count(m) * PANEL * (k * 2 + 4) + 64;
}
static void places(PromptTokens *p, void *memory)
{
    p->x = memory;
    p->scale = (float *)(void *)((char *)memory + panel_count(p->m) * PANEL * p->k * 2);
}

THALF static void lay_out(const PromptTokens *p, StoredType type, const float *x, int64_t panel)
{
    int64_t k = p->k, v = panel_vectors(p->m, panel);
    char *out = (char *)p->x + panel * PANEL * k * 2;
    (void)type;
    for (int64_t t = 0; t < v * LANES; t++) {
        const float *row = x + (panel * PANEL + t) * k;
        bool there = panel * PANEL + t < p->m;
        float top = 0;
        for (int64_t c = 0; there && c < k; c++)
            top = fabsf(row[c]) > top ? fabsf(row[c]) : top;
        float s = top > 0 ? TOP / top : 0;
        p->scale[panel * PANEL + t] = top / TOP;
        for (int64_t c = 0; c < k; c += 2) {
            __m128 two = there ? _mm_set_ps(0, 0, row[c + 1] * s, row[c] * s) : _mm_setzero_ps();
            int32_t h = _mm_cvtsi128_si32(_mm_cvtps_ph(two, _MM_FROUND_TO_NEAREST_INT));
            memcpy(out + ((c / 2) * v * LANES + t) * 4, &h, 4);
        }
    }
}

THALF static bool ready(const StoredWeight *w, int64_t from, int64_t rows, void *out)
{
    const char *p = (const char *)w->data + from * w->k * 2;
    char *to = out;
    __m512 most = _mm512_setzero_ps();
    for (int64_t i = 0; i < rows * w->k; i += 16) {
        __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)(p + i * 2));
        __m512 f;
        _mm_prefetch(p + i * 2 + PREFETCH, _MM_HINT_T0);
        if (w->type == STORED_F16) {
            f = _mm512_cvtph_ps(h);
        } else {
            f = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
            h = _mm512_cvtps_ph(f, _MM_FROUND_TO_NEAREST_INT);
        }
        most = _mm512_max_ps(most, _mm512_abs_ps(f));
        _mm256_storeu_si256((__m256i *)(void *)(to + i * 2), h);
    }
    return _mm512_reduce_max_ps(most) < LIMIT;
}

/* Sixteen tokens' float32 sums of two lanes each. */
THALF INLINE __m512 pairs(__m512h a)
{
    __m512i i = _mm512_castph_si512(a);
    __m512 even = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(i));
    __m512 odd = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(i, 16)));
    return _mm512_add_ps(even, odd);
}

/* ROWS rows, `v` vectors of tokens, numbers c0..c1-1, added to tile. */
THALF INLINE void kernel(int v, int64_t k, const char *w, const char *x, int64_t c0, int64_t c1,
                         float *tile)
{
    for (int64_t c = c0; c < c1; c += 2 * CHAIN) {
        int64_t end = c + 2 * CHAIN < c1 ? c + 2 * CHAIN : c1;
        __m512h a[ROWS][3];
        for (int r = 0; r < ROWS; r++)
            for (int t = 0; t < v; t++)
                a[r][t] = _mm512_setzero_ph();
        for (int64_t i = c; i < end; i += 2) {
            __m512h b[3];
            for (int t = 0; t < v; t++)
                b[t] = _mm512_castsi512_ph(_mm512_loadu_si512(x + ((i / 2) * v + t) * 64));
            for (int r = 0; r < ROWS; r++) {
                int32_t two;
                memcpy(&two, w + (r * k + i) * 2, 4);
                __m512h u = _mm512_castsi512_ph(_mm512_set1_epi32(two));
                for (int t = 0; t < v; t++)
                    a[r][t] = _mm512_fmadd_ph(u, b[t], a[r][t]);
            }
        }
        for (int r = 0; r < ROWS; r++)
            for (int t = 0; t < v; t++) {
                float *to = tile + r * PANEL + t * LANES;
                _mm512_store_ps(to, _mm512_add_ps(_mm512_load_ps(to), pairs(a[r][t])));
            }
    }
}

THALF static void multiply(const StoredWeight *w, int64_t from, int64_t rows, const void *ready_w,
                           const PromptTokens *p, int64_t panel, float *tile)
{
    int64_t k = p->k, v = panel_vectors(p->m, panel);
    const char *x = (const char *)p->x + panel * PANEL * k * 2;
    const float *scale = p->scale + panel * PANEL;
    (void)w, (void)from;
    memset(tile, 0, BLOCK * PANEL * sizeof *tile);
    for (int64_t c = 0; c < k; c += PART / 2) {
        int64_t end = c + PART / 2 < k ? c + PART / 2 : k;
        for (int64_t r = 0; r < rows; r += ROWS) {
            const char *wr = (const char *)ready_w + r * k * 2;
            float *to = tile + r * PANEL;
            if (v == 3)
                kernel(3, k, wr, x, c, end, to);
            else if (v == 2)
                kernel(2, k, wr, x, c, end, to);
            else
                kernel(1, k, wr, x, c, end, to);
        }
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t t = 0; t < v * LANES; t++)
            tile[r * PANEL + t] *= scale[t];
}

const PromptKernel prompt_half = {.name = "half",
                                  .runs_here = runs_here,
                                  .bytes = bytes,
                                  .places = places,
                                  .lay_out = lay_out,
                                  .ready_bytes = 2,
                                  .ready = ready,
                                  .multiply = multiply};
#else
static bool runs_here(void)
{
    return false;
}
const PromptKernel prompt_half = {.runs_here = runs_here};
#endif
