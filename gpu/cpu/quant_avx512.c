/* Products with stored weights for AVX-512, without and with VNNI (sums of four products of bytes
 * in one instruction). */
#include "gpu/cpu/quant.h"

#ifdef __x86_64__
#include <immintrin.h>
#define T512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))
#define TVNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))

INLINE void ahead(const char *p)
{
    _mm_prefetch(p + PREFETCH, _MM_HINT_T0);
}

/* ---- floats ---- */
T512 INLINE __m512 sixteen(StoredType type, const char *w)
{
    if (type == STORED_F32)
        return _mm512_loadu_ps(w);
    __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)w);
    if (type == STORED_F16)
        return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
/* The last k - c < 16 of a row. */
T512 INLINE __m512 rest(StoredType type, __mmask16 mask, const char *w)
{
    if (type == STORED_F32)
        return _mm512_maskz_loadu_ps(mask, w);
    __m256i h = _mm256_maskz_loadu_epi16(mask, w);
    if (type == STORED_F16)
        return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
T512 INLINE void float_row(int m, StoredType type, int64_t k, const char *w, const float *x,
                           float *y, int64_t ldy)
{
    int64_t size = type == STORED_F32 ? 4 : 2, c = 0;
    __m512 a[DOT_ROWS], b[DOT_ROWS];
    for (int i = 0; i < m; i++)
        a[i] = b[i] = _mm512_setzero_ps();
    for (; c + 32 <= k; c += 32) {
        const char *p = w + c * size;
        __m512 u = sixteen(type, p), v = sixteen(type, p + 16 * size);
        ahead(p);
        if (type == STORED_F32)
            ahead(p + 64);
        for (int i = 0; i < m; i++) {
            a[i] = _mm512_fmadd_ps(u, _mm512_loadu_ps(x + i * k + c), a[i]);
            b[i] = _mm512_fmadd_ps(v, _mm512_loadu_ps(x + i * k + c + 16), b[i]);
        }
    }
    for (; c < k; c += 16) {
        __mmask16 mask = k - c < 16 ? (__mmask16)((1u << (k - c)) - 1) : (__mmask16)0xffff;
        __m512 u = rest(type, mask, w + c * size);
        for (int i = 0; i < m; i++)
            a[i] = _mm512_fmadd_ps(u, _mm512_maskz_loadu_ps(mask, x + i * k + c), a[i]);
    }
    for (int i = 0; i < m; i++)
        y[i * ldy] = _mm512_reduce_add_ps(_mm512_add_ps(a[i], b[i]));
}
#define FLOATS(name, type, size)                                                                   \
    T512 static void name(const Dots *d)                                                           \
    {                                                                                              \
        for (int64_t r = 0; r < d->rows; r++)                                                      \
            BY_ROWS(float_row, d->x.m, type, d->k, (const char *)d->w + r * d->k * (size), d->x.x, \
                    d->y + r, d->ldy);                                                             \
    }
FLOATS(f32_512, STORED_F32, 4)
FLOATS(f16_512, STORED_F16, 2)
FLOATS(bf16_512, STORED_BF16, 2)

/* ---- whole numbers: four groups, 128 weights, at a time ---- */
/* s + sums of four products of unsigned u and signed x. */
T512 INLINE __m512i dot_bw(__m512i s, __m512i u, __m512i x)
{
    return _mm512_add_epi32(s, _mm512_madd_epi16(_mm512_maddubs_epi16(u, x), _mm512_set1_epi16(1)));
}
/* The scales of groups g..g+3, weights' times x's; zeros where there are fewer than four. */
T512 INLINE __m128 scales(int64_t n, const uint16_t *w, const float *x)
{
    __mmask8 mask = (__mmask8)((1u << n) - 1);
    __m128i h =
        n == 4 ? _mm_loadl_epi64((const __m128i *)(const void *)w) : _mm_maskz_loadu_epi16(mask, w);
    __m128 v = n == 4 ? _mm_loadu_ps(x) : _mm_maskz_loadu_ps(mask, x);
    return _mm_mul_ps(_mm_cvtph_ps(h), v);
}
T512 INLINE __m128 sums(int64_t n, const float *x)
{
    return n == 4 ? _mm_loadu_ps(x) : _mm_maskz_loadu_ps((__mmask8)((1u << n) - 1), x);
}
T512 INLINE __m512i bytes(int64_t n, const void *p)
{
    if (n >= 64)
        return _mm512_loadu_si512(p);
    return n <= 0 ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p);
}

/* Groups g..g+n-1 (n <= 4) of one row. DOT adds products of bytes; without VNNI the unsigned side
 * is kept at 127 or below, so that pairs do not saturate. */
#define Q4_STEP(n, DOT)                                                                            \
    __m512i codes = bytes((n)*16, w + g * 16);                                                     \
    __m512i low = _mm512_and_si512(codes, mask15);                                                 \
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), mask15);                          \
    ahead(w + g * 16);                                                                             \
    for (int i = 0; i < m; i++) {                                                                  \
        const int8_t *q = x->q + i * k + g * GROUP;                                                \
        __m512i p = bytes((n)*32, q), r = bytes((n)*32 - 64, q + 64);                              \
        __m512i t = DOT(_mm512_setzero_si512(), low, _mm512_shuffle_i64x2(p, r, 0x88));            \
        t = DOT(t, high, _mm512_shuffle_i64x2(p, r, 0xDD));                                        \
        __m128 s = scales(n, ws + g, x->scale + i * groups + g);                                   \
        __m512 wide = _mm512_permutexvar_ps(by_fours, _mm512_castps128_ps512(s));                  \
        a[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(t), wide, a[i]);                                 \
        o[i] = _mm_fmadd_ps(s, sums(n, x->sum + i * groups + g), o[i]);                            \
    }

#define Q4_ROW(name, TARGET, DOT)                                                                  \
    TARGET INLINE void name(int m, int64_t k, const char *w, const uint16_t *ws, const Rows *x,    \
                            float *y, int64_t ldy)                                                 \
    {                                                                                              \
        const __m512i mask15 = _mm512_set1_epi8(15);                                               \
        const __m512i by_fours = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0); \
        int64_t groups = k / GROUP, g = 0;                                                         \
        __m512 a[DOT_ROWS];                                                                        \
        __m128 o[DOT_ROWS];                                                                        \
        for (int i = 0; i < m; i++) {                                                              \
            a[i] = _mm512_setzero_ps();                                                            \
            o[i] = _mm_setzero_ps();                                                               \
        }                                                                                          \
        for (; g + 4 <= groups; g += 4) {                                                          \
            Q4_STEP(4, DOT)                                                                        \
        }                                                                                          \
        if (g < groups) {                                                                          \
            int64_t n = groups - g;                                                                \
            Q4_STEP(n, DOT)                                                                        \
        }                                                                                          \
        for (int i = 0; i < m; i++)                                                                \
            y[i * ldy] = _mm512_reduce_add_ps(a[i]) -                                              \
                         8.0f * _mm512_reduce_add_ps(_mm512_zextps128_ps512(o[i]));                \
    }

/* Two groups a half; FOLD prepares the weights, and DOT the product. */
#define Q8_STEP(n, HALF)                                                                           \
    __m512i u = bytes((n)*32, w + g * 32), v = bytes((n)*32 - 64, w + g * 32 + 64);                \
    ahead(w + g * 32);                                                                             \
    ahead(w + g * 32 + 64);                                                                        \
    for (int i = 0; i < m; i++) {                                                                  \
        const int8_t *q = x->q + i * k + g * GROUP;                                                \
        __m512i p = bytes((n)*32, q), r = bytes((n)*32 - 64, q + 64);                              \
        __m128 s = scales(n, ws + g, x->scale + i * groups + g);                                   \
        __m512 wide = _mm512_castps128_ps512(s);                                                   \
        a[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(HALF(u, p)), _mm512_permutexvar_ps(first, wide), \
                               a[i]);                                                              \
        b[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(HALF(v, r)),                                     \
                               _mm512_permutexvar_ps(second, wide), b[i]);                         \
        o[i] = _mm_fmadd_ps(s, sums(n, x->sum + i * groups + g), o[i]);                            \
    }

#define Q8_ROW(name, TARGET, HALF, OFFSET)                                                         \
    TARGET INLINE void name(int m, int64_t k, const char *w, const uint16_t *ws, const Rows *x,    \
                            float *y, int64_t ldy)                                                 \
    {                                                                                              \
        const __m512i first = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);    \
        const __m512i second = _mm512_set_epi32(3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2);   \
        int64_t groups = k / GROUP, g = 0;                                                         \
        __m512 a[DOT_ROWS], b[DOT_ROWS];                                                           \
        __m128 o[DOT_ROWS];                                                                        \
        for (int i = 0; i < m; i++) {                                                              \
            a[i] = b[i] = _mm512_setzero_ps();                                                     \
            o[i] = _mm_setzero_ps();                                                               \
        }                                                                                          \
        for (; g + 4 <= groups; g += 4) {                                                          \
            Q8_STEP(4, HALF)                                                                       \
        }                                                                                          \
        if (g < groups) {                                                                          \
            int64_t n = groups - g;                                                                \
            Q8_STEP(n, HALF)                                                                       \
        }                                                                                          \
        for (int i = 0; i < m; i++)                                                                \
            y[i * ldy] = _mm512_reduce_add_ps(_mm512_add_ps(a[i], b[i])) -                         \
                         (OFFSET)*_mm512_reduce_add_ps(_mm512_zextps128_ps512(o[i]));              \
    }

/* |w| times x with w's sign. */
T512 INLINE __m512i half_bw(__m512i w, __m512i x)
{
    __m512i signed_x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
    return dot_bw(_mm512_setzero_si512(), _mm512_abs_epi8(w), signed_x);
}
/* w + 128, which is w with its first bit turned, is unsigned; 128 times the sum of x is taken off
 * at the end. */
TVNNI INLINE __m512i half_vnni(__m512i w, __m512i x)
{
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_xor_si512(w, _mm512_set1_epi8(-128)),
                               x);
}

Q4_ROW(q4_row_bw, T512, dot_bw)
Q4_ROW(q4_row_vnni, TVNNI, _mm512_dpbusd_epi32)
Q8_ROW(q8_row_bw, T512, half_bw, 0.0f)
Q8_ROW(q8_row_vnni, TVNNI, half_vnni, 128.0f)

#define WHOLE(name, TARGET, row, bits)                                                             \
    TARGET static void name(const Dots *d)                                                         \
    {                                                                                              \
        for (int64_t r = 0; r < d->rows; r++)                                                      \
            BY_ROWS(row, d->x.m, d->k, (const char *)d->w + r * d->k * (bits) / 8,                 \
                    d->scale + r * (d->k / GROUP), &d->x, d->y + r, d->ldy);                       \
    }
WHOLE(q8_bw, T512, q8_row_bw, 8)
WHOLE(q4_bw, T512, q4_row_bw, 4)
WHOLE(q8_vnni, TVNNI, q8_row_vnni, 8)
WHOLE(q4_vnni, TVNNI, q4_row_vnni, 4)

const QuantTier quant_avx512 = {
    .name = "avx512",
    .dots = {f32_512, f16_512, bf16_512, q8_bw, q4_bw},
};
const QuantTier quant_vnni = {
    .name = "vnni",
    .dots = {f32_512, f16_512, bf16_512, q8_vnni, q4_vnni},
};
#else
const QuantTier quant_avx512 = {0}, quant_vnni = {0};
#endif
