/* Dot products of stored weight rows (bf16, int8 with scales) with up to four rows of x, for
 * decoding. Compilers do not vectorise these widenings well, so there are kernels by hand for
 * AVX-512 and AVX2, chosen at run time, beside the plain one. Each weight is widened once for all
 * rows of x; a result does not depend on how rows are grouped. */
#include "gpu/cpu/cpu.h"

enum { GROUP = 32 };

static inline float widen(uint16_t h)
{
    union {
        uint32_t u;
        float f;
    } v = {(uint32_t)h << 16};
    return v.f;
}

/* ---- plain ---- */
static float plain_bf16(int64_t k, const uint16_t *w, const float *x)
{
    float s = 0;
    for (int64_t i = 0; i < k; i++)
        s += x[i] * widen(w[i]);
    return s;
}
static float plain_int8(int64_t k, const int8_t *w, const float *scale, const float *x)
{
    float s = 0;
    for (int64_t g = 0; g * GROUP < k; g++) {
        float part = 0;
        for (int64_t i = g * GROUP; i < k && i < (g + 1) * GROUP; i++)
            part += x[i] * (float)w[i];
        s += part * scale[g];
    }
    return s;
}

#ifdef __x86_64__
#include <immintrin.h>
#define INLINE static inline __attribute__((always_inline))
#define T512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define T256 __attribute__((target("avx2,fma")))
/* Calls kernel(rows, m, ...) with constant rows and m, so that the loops inside unroll into
 * registers. */
#define BY_COUNT(kernel, rows, m, ...)                                                             \
    do {                                                                                           \
        if ((m) == 1)                                                                              \
            kernel(rows, 1, __VA_ARGS__);                                                          \
        else if ((m) == 2)                                                                         \
            kernel(rows, 2, __VA_ARGS__);                                                          \
        else if ((m) == 3)                                                                         \
            kernel(rows, 3, __VA_ARGS__);                                                          \
        else                                                                                       \
            kernel(rows, 4, __VA_ARGS__);                                                          \
    } while (0)

T512 INLINE void int8_512(int rows, int m, int64_t k, int64_t groups, const int8_t *w,
                          const float *scale, const float *x, float *y, int64_t ldy)
{
    __m512 acc[2][4];
    int64_t whole = k / GROUP;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < m; i++)
            acc[r][i] = _mm512_setzero_ps();
    for (int64_t g = 0; g < whole; g++)
        for (int r = 0; r < rows; r++) {
            const __m128i *q = (const __m128i *)(const void *)(w + r * k + g * GROUP);
            __m512 w0 = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(q)));
            __m512 w1 = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(q + 1)));
            __m512 s = _mm512_set1_ps(scale[r * groups + g]);
            for (int i = 0; i < m; i++) {
                const float *xi = x + i * k + g * GROUP;
                __m512 t = _mm512_mul_ps(w0, _mm512_loadu_ps(xi));
                t = _mm512_fmadd_ps(w1, _mm512_loadu_ps(xi + 16), t);
                acc[r][i] = _mm512_fmadd_ps(t, s, acc[r][i]);
            }
        }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < m; i++)
            y[i * ldy + r] =
                _mm512_reduce_add_ps(acc[r][i]) +
                (k % GROUP ? plain_int8(k % GROUP, w + r * k + whole * GROUP,
                                        scale + r * groups + whole, x + i * k + whole * GROUP)
                           : 0.0f);
}
T512 INLINE void bf16_512(int rows, int m, int64_t k, const uint16_t *w, const float *x, float *y,
                          int64_t ldy)
{
    __m512 acc[2][4];
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < m; i++)
            acc[r][i] = _mm512_setzero_ps();
    int64_t c = 0;
    for (; c + 16 <= k; c += 16)
        for (int r = 0; r < rows; r++) {
            __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)(w + r * k + c));
            __m512 wide = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
            for (int i = 0; i < m; i++)
                acc[r][i] = _mm512_fmadd_ps(wide, _mm512_loadu_ps(x + i * k + c), acc[r][i]);
        }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < m; i++)
            y[i * ldy + r] =
                _mm512_reduce_add_ps(acc[r][i]) + plain_bf16(k - c, w + r * k + c, x + i * k + c);
}
T512 static void int8_rows_512(int64_t rows, int64_t k, int64_t groups, const int8_t *w,
                               const float *scale, int64_t m, const float *x, float *y, int64_t ldy)
{
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2)
        BY_COUNT(int8_512, 2, m, k, groups, w + r * k, scale + r * groups, x, y + r, ldy);
    if (r < rows)
        BY_COUNT(int8_512, 1, m, k, groups, w + r * k, scale + r * groups, x, y + r, ldy);
}
T512 static void bf16_rows_512(int64_t rows, int64_t k, const uint16_t *w, int64_t m,
                               const float *x, float *y, int64_t ldy)
{
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2)
        BY_COUNT(bf16_512, 2, m, k, w + r * k, x, y + r, ldy);
    if (r < rows)
        BY_COUNT(bf16_512, 1, m, k, w + r * k, x, y + r, ldy);
}

T256 INLINE float sum_256(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
T256 INLINE __m256 int8_to_ps(const int8_t *q)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)q)));
}
T256 INLINE void int8_256(int rows, int m, int64_t k, int64_t groups, const int8_t *w,
                          const float *scale, const float *x, float *y, int64_t ldy)
{
    __m256 acc[4];
    int64_t whole = k / GROUP;
    (void)rows;
    (void)groups;
    for (int i = 0; i < m; i++)
        acc[i] = _mm256_setzero_ps();
    for (int64_t g = 0; g < whole; g++) {
        const int8_t *q = w + g * GROUP;
        __m256 w0 = int8_to_ps(q), w1 = int8_to_ps(q + 8), w2 = int8_to_ps(q + 16),
               w3 = int8_to_ps(q + 24);
        __m256 s = _mm256_set1_ps(scale[g]);
        for (int i = 0; i < m; i++) {
            const float *xi = x + i * k + g * GROUP;
            __m256 t = _mm256_mul_ps(w0, _mm256_loadu_ps(xi)),
                   u = _mm256_mul_ps(w1, _mm256_loadu_ps(xi + 8));
            t = _mm256_fmadd_ps(w2, _mm256_loadu_ps(xi + 16), t);
            u = _mm256_fmadd_ps(w3, _mm256_loadu_ps(xi + 24), u);
            acc[i] = _mm256_fmadd_ps(_mm256_add_ps(t, u), s, acc[i]);
        }
    }
    for (int i = 0; i < m; i++)
        y[i * ldy] =
            sum_256(acc[i]) + (k % GROUP ? plain_int8(k % GROUP, w + whole * GROUP, scale + whole,
                                                      x + i * k + whole * GROUP)
                                         : 0.0f);
}
T256 INLINE void bf16_256(int rows, int m, int64_t k, const uint16_t *w, const float *x, float *y,
                          int64_t ldy)
{
    __m256 acc[4];
    (void)rows;
    for (int i = 0; i < m; i++)
        acc[i] = _mm256_setzero_ps();
    int64_t c = 0;
    for (; c + 8 <= k; c += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(w + c));
        __m256 wide = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
        for (int i = 0; i < m; i++)
            acc[i] = _mm256_fmadd_ps(wide, _mm256_loadu_ps(x + i * k + c), acc[i]);
    }
    for (int i = 0; i < m; i++)
        y[i * ldy] = sum_256(acc[i]) + plain_bf16(k - c, w + c, x + i * k + c);
}
T256 static void int8_rows_256(int64_t rows, int64_t k, int64_t groups, const int8_t *w,
                               const float *scale, int64_t m, const float *x, float *y, int64_t ldy)
{
    for (int64_t r = 0; r < rows; r++)
        BY_COUNT(int8_256, 1, m, k, groups, w + r * k, scale + r * groups, x, y + r, ldy);
}
T256 static void bf16_rows_256(int64_t rows, int64_t k, const uint16_t *w, int64_t m,
                               const float *x, float *y, int64_t ldy)
{
    for (int64_t r = 0; r < rows; r++)
        BY_COUNT(bf16_256, 1, m, k, w + r * k, x, y + r, ldy);
}
#endif

DotKernel cpu_dot_kernel_best(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && cpu_tier() >= 2)
        return DOT_AVX512;
    if (cpu_tier() >= 1)
        return DOT_AVX2;
#endif
    return DOT_PLAIN;
}

void cpu_dots_int8(DotKernel kernel, int64_t rows, int64_t k, const int8_t *w, const float *scale,
                   int64_t m, const float *x, float *y, int64_t ldy)
{
    int64_t groups = (k + GROUP - 1) / GROUP;
#ifdef __x86_64__
    if (kernel != DOT_PLAIN) {
        (kernel == DOT_AVX512 ? int8_rows_512 : int8_rows_256)(rows, k, groups, w, scale, m, x, y,
                                                               ldy);
        return;
    }
#endif
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < m; i++)
            y[i * ldy + r] = plain_int8(k, w + r * k, scale + r * groups, x + i * k);
}
void cpu_dots_bf16(DotKernel kernel, int64_t rows, int64_t k, const uint16_t *w, int64_t m,
                   const float *x, float *y, int64_t ldy)
{
#ifdef __x86_64__
    if (kernel != DOT_PLAIN) {
        (kernel == DOT_AVX512 ? bf16_rows_512 : bf16_rows_256)(rows, k, w, m, x, y, ldy);
        return;
    }
#endif
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < m; i++)
            y[i * ldy + r] = plain_bf16(k, w + r * k, x + i * k);
}
