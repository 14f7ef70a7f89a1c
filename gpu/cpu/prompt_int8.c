/* Prompts on Q8 and Q4 weights with AVX-512 VNNI: x in int8 with a scale for each group of 32, as
 * in decoding, so a prompt and single tokens agree up to the order of float32 sums. Weights become
 * unsigned bytes (Q8 + 128, Q4's code); the offset times the sum of x is where a group's sum
 * starts. */
#include "gpu/cpu/prompt.h"

static bool runs_here(void)
{
#ifdef __x86_64__
    return quant_tier_named("vnni") != NULL;
#else
    return false;
#endif
}

#ifdef __x86_64__
#include <immintrin.h>
#define TVNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
enum { ROWS = 4, STEPS = GROUP / 4 };

static int64_t bytes(int64_t m, int64_t k)
{
    int64_t per = PANEL * k + 2 * PANEL * (k / GROUP) * 4;
    return panel_count(m) * per + 192;
}

static void places(PromptTokens *p, void *memory)
{
    char *at = memory;
    p->x = at;
    at += panel_count(p->m) * PANEL * p->k;
    p->scale = (float *)(void *)at;
    p->start = (int32_t *)(void *)(p->scale + panel_count(p->m) * PANEL * (p->k / GROUP));
}

static void lay_out(const PromptTokens *p, StoredType type, const float *x, int64_t panel)
{
    int64_t k = p->k, groups = k / GROUP, v = panel_vectors(p->m, panel);
    int8_t *out = (int8_t *)p->x + panel * PANEL * k;
    float *scale = p->scale + panel * PANEL * groups;
    int32_t *start = p->start + panel * PANEL * groups;
    for (int64_t t = 0; t < v * LANES; t++) {
        int64_t token = panel * PANEL + t;
        int8_t q[GROUP];
        float s, sum;
        for (int64_t g = 0; g < groups; g++) {
            if (token < p->m)
                quant_row(GROUP, x + token * k + g * GROUP, q, &s, &sum);
            else
                memset(q, 0, sizeof q), s = sum = 0;
            for (int i = 0; i < STEPS; i++)
                memcpy(out + ((g * STEPS + i) * v * LANES + t) * 4, q + 4 * i, 4);
            scale[g * v * LANES + t] = s;
            start[g * v * LANES + t] = (type == STORED_Q4 ? -8 : -128) * (int32_t)sum;
        }
    }
}

TVNNI static bool ready(const StoredWeight *w, int64_t from, int64_t rows, void *out)
{
    const __m128i low = _mm_set1_epi8(15);
    char *to = out;
    int64_t n = rows * w->k;
    const char *p = (const char *)w->data + from * stored_row_bytes(w->type, w->k);
    if (w->type == STORED_Q8) {
        for (int64_t i = 0; i < n; i += 32) {
            _mm_prefetch(p + i + PREFETCH, _MM_HINT_T0);
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
            _mm256_storeu_si256((__m256i *)(void *)(to + i),
                                _mm256_xor_si256(v, _mm256_set1_epi8(-128)));
        }
        return true;
    }
    for (int64_t i = 0; i < n; i += 32) {
        _mm_prefetch(p + i / 2 + PREFETCH, _MM_HINT_T0);
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i / 2));
        _mm_storeu_si128((__m128i *)(void *)(to + i), _mm_and_si128(v, low));
        _mm_storeu_si128((__m128i *)(void *)(to + i + 16),
                         _mm_and_si128(_mm_srli_epi16(v, 4), low));
    }
    return true;
}

/* ROWS rows, `v` vectors of tokens, groups g0..g1-1, added to tile; ws: the first of these groups'
 * scales, rows `ld` apart. */
TVNNI INLINE void kernel(int v, int64_t k, const uint8_t *w, const uint16_t *ws, int64_t ld,
                         const int8_t *x, const float *xs, const int32_t *start, int64_t g0,
                         int64_t g1, float *tile)
{
    __m512 sum[ROWS][3];
    for (int r = 0; r < ROWS; r++)
        for (int t = 0; t < v; t++)
            sum[r][t] = _mm512_load_ps(tile + r * PANEL + t * LANES);
    for (int64_t g = g0; g < g1; g++) {
        __m512i a[ROWS][3];
        for (int r = 0; r < ROWS; r++)
            for (int t = 0; t < v; t++)
                a[r][t] = _mm512_loadu_si512(start + (g * v + t) * LANES);
        for (int i = 0; i < STEPS; i++) {
            __m512i b[3];
            for (int t = 0; t < v; t++)
                b[t] = _mm512_loadu_si512(x + ((g * STEPS + i) * v + t) * 64);
            for (int r = 0; r < ROWS; r++) {
                int32_t four;
                memcpy(&four, w + r * k + g * GROUP + 4 * i, 4);
                __m512i u = _mm512_set1_epi32(four);
                for (int t = 0; t < v; t++)
                    a[r][t] = _mm512_dpbusd_epi32(a[r][t], u, b[t]);
            }
        }
        for (int r = 0; r < ROWS; r++) {
            __m512 s = _mm512_set1_ps(dot_scale(ws + r * ld + g - g0));
            for (int t = 0; t < v; t++) {
                __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(a[r][t]), s);
                sum[r][t] =
                    _mm512_fmadd_ps(f, _mm512_loadu_ps(xs + (g * v + t) * LANES), sum[r][t]);
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int t = 0; t < v; t++)
            _mm512_store_ps(tile + r * PANEL + t * LANES, sum[r][t]);
}

TVNNI static void multiply(const StoredWeight *w, int64_t from, int64_t rows, const void *ready_w,
                           const PromptTokens *p, int64_t panel, float *tile)
{
    enum { PART_GROUPS = PART / GROUP };
    int64_t k = p->k, groups = k / GROUP, v = panel_vectors(p->m, panel);
    const int8_t *x = (const int8_t *)p->x + panel * PANEL * k;
    const float *xs = p->scale + panel * PANEL * groups;
    const int32_t *start = p->start + panel * PANEL * groups;
    uint16_t last[ROWS * PART_GROUPS] = {0};
    memset(tile, 0, BLOCK * PANEL * sizeof *tile);
    for (int64_t g = 0; g < groups; g += PART_GROUPS) {
        int64_t end = g + PART_GROUPS < groups ? g + PART_GROUPS : groups;
        for (int64_t r = 0; r < rows; r += ROWS) {
            const uint8_t *wr = (const uint8_t *)ready_w + r * k;
            const uint16_t *s = w->scale + (from + r) * groups + g;
            int64_t ld = groups;
            float *to = tile + r * PANEL;
            if (rows - r < ROWS) { /* rows that are not there have scale 0 */
                for (int64_t i = 0; i < rows - r; i++)
                    memcpy(last + i * PART_GROUPS, s + i * groups, (size_t)(end - g) * 2);
                s = last;
                ld = PART_GROUPS;
            }
            if (v == 3)
                kernel(3, k, wr, s, ld, x, xs, start, g, end, to);
            else if (v == 2)
                kernel(2, k, wr, s, ld, x, xs, start, g, end, to);
            else
                kernel(1, k, wr, s, ld, x, xs, start, g, end, to);
        }
    }
}

const PromptKernel prompt_int8 = {.name = "int8",
                                  .runs_here = runs_here,
                                  .bytes = bytes,
                                  .places = places,
                                  .lay_out = lay_out,
                                  .ready_bytes = 1,
                                  .ready = ready,
                                  .multiply = multiply};
#else
const PromptKernel prompt_int8 = {.runs_here = runs_here};
#endif
