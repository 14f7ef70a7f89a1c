/* Products with stored weights for AVX2 with FMA and F16C. */
#include "gpu/cpu/quant.h"

#ifdef __x86_64__
#include <immintrin.h>
#define T256 __attribute__((target("avx2,fma,f16c")))

T256 INLINE float sum_of(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
INLINE const __m128i *at128(const void *p)
{
    return p;
}
INLINE const __m256i *at256(const void *p)
{
    return p;
}
INLINE void ahead(const char *p)
{
    _mm_prefetch(p + PREFETCH, _MM_HINT_T0);
}

/* ---- floats ---- */
T256 INLINE __m256 eight(StoredType type, const char *w)
{
    if (type == STORED_F32)
        return _mm256_loadu_ps((const float *)(const void *)w);
    __m128i h = _mm_loadu_si128(at128(w));
    if (type == STORED_F16)
        return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
T256 INLINE float one(StoredType type, const char *w)
{
    float v;
    uint16_t h;
    memcpy(&h, w, 2);
    if (type == STORED_F16)
        return half_to_float(h);
    if (type == STORED_BF16)
        return bf16_to_float(h);
    memcpy(&v, w, 4);
    return v;
}
T256 INLINE void float_row(int m, StoredType type, int64_t k, const char *w, const float *x,
                           float *y, int64_t ldy)
{
    int64_t size = type == STORED_F32 ? 4 : 2, c = 0;
    __m256 a[DOT_ROWS], b[DOT_ROWS];
    for (int i = 0; i < m; i++)
        a[i] = b[i] = _mm256_setzero_ps();
    for (; c + 16 <= k; c += 16) {
        const char *p = w + c * size;
        __m256 u = eight(type, p), v = eight(type, p + 8 * size);
        ahead(p);
        for (int i = 0; i < m; i++) {
            a[i] = _mm256_fmadd_ps(u, _mm256_loadu_ps(x + i * k + c), a[i]);
            b[i] = _mm256_fmadd_ps(v, _mm256_loadu_ps(x + i * k + c + 8), b[i]);
        }
    }
    for (int i = 0; i < m; i++) {
        float s = sum_of(_mm256_add_ps(a[i], b[i]));
        for (int64_t t = c; t < k; t++)
            s += one(type, w + t * size) * x[i * k + t];
        y[i * ldy] = s;
    }
}
#define FLOATS(name, type, size)                                                                   \
    T256 static void name(const Dots *d)                                                           \
    {                                                                                              \
        for (int64_t r = 0; r < d->rows; r++)                                                      \
            BY_ROWS(float_row, d->x.m, type, d->k, (const char *)d->w + r * d->k * (size), d->x.x, \
                    d->y + r, d->ldy);                                                             \
    }
FLOATS(f32_256, STORED_F32, 4)
FLOATS(f16_256, STORED_F16, 2)
FLOATS(bf16_256, STORED_BF16, 2)

/* ---- whole numbers ---- */
/* Scales of up to eight groups, weights' times x's. */
T256 INLINE void scales(int64_t n, const uint16_t *w, const float *x, float *out)
{
    if (n == 8) {
        _mm256_storeu_ps(
            out, _mm256_mul_ps(_mm256_cvtph_ps(_mm_loadu_si128(at128(w))), _mm256_loadu_ps(x)));
        return;
    }
    for (int64_t g = 0; g < n; g++)
        out[g] = dot_scale(w + g) * x[g];
}
/* Sums of four products each, exact. */
T256 INLINE __m256i dot_q8(__m256i w, __m256i x)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
T256 INLINE __m256i dot_q4(const uint8_t *w, __m256i x)
{
    __m128i b = _mm_loadu_si128(at128(w));
    __m256i q = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(b, 4), b), _mm256_set1_epi8(15));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(q, x), _mm256_set1_epi16(1));
}
T256 INLINE void whole_row(int m, StoredType type, int64_t k, const char *w, const uint16_t *ws,
                           const Rows *x, float *y, int64_t ldy)
{
    int64_t groups = k / GROUP, bytes = type == STORED_Q8 ? GROUP : GROUP / 2;
    __m256 a[DOT_ROWS];
    float offset[DOT_ROWS] = {0}, s[8];
    for (int i = 0; i < m; i++)
        a[i] = _mm256_setzero_ps();
    for (int64_t g = 0; g < groups; g += 8) {
        int64_t n = groups - g < 8 ? groups - g : 8;
        for (int i = 0; i < m; i++) {
            scales(n, ws + g, x->scale + i * groups + g, s);
            for (int64_t j = 0; j < n; j++) {
                const char *p = w + (g + j) * bytes;
                __m256i v = _mm256_loadu_si256(at256(x->q + i * k + (g + j) * GROUP));
                __m256i t = type == STORED_Q8 ? dot_q8(_mm256_loadu_si256(at256(p)), v)
                                              : dot_q4((const uint8_t *)p, v);
                if (i == 0 && (j & 1) == 0)
                    ahead(p);
                a[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(t), _mm256_set1_ps(s[j]), a[i]);
                offset[i] += s[j] * x->sum[i * groups + g + j];
            }
        }
    }
    for (int i = 0; i < m; i++)
        y[i * ldy] = sum_of(a[i]) - (type == STORED_Q4 ? 8.0f * offset[i] : 0.0f);
}
#define WHOLE(name, type, bits)                                                                    \
    T256 static void name(const Dots *d)                                                           \
    {                                                                                              \
        for (int64_t r = 0; r < d->rows; r++)                                                      \
            BY_ROWS(whole_row, d->x.m, type, d->k, (const char *)d->w + r * d->k * (bits) / 8,     \
                    d->scale + r * (d->k / GROUP), &d->x, d->y + r, d->ldy);                       \
    }
WHOLE(q8_256, STORED_Q8, 8)
WHOLE(q4_256, STORED_Q4, 4)

const QuantTier quant_avx2 = {
    .name = "avx2",
    .dots = {f32_256, f16_256, bf16_256, q8_256, q4_256},
};
#else
const QuantTier quant_avx2 = {0};
#endif
