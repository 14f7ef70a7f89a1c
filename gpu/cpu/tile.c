/* The smallest product: up to six rows of A times a strip of B a few vectors wide, the result held
 * in registers from the first k to the last. Kernels by hand for AVX-512 (6 x 64) and AVX2 (6 x 16)
 * and a plain one (6 x 16), chosen at run time; everything that multiplies at inference is made of
 * them (panels.c, attention.c). An element's sum runs over k in order whatever the tile's shape, so
 * rows may be grouped freely without changing a number. */
#include "gpu/cpu/cpu.h"
#include <dnnl.h>

/* ---- plain ---- */
static void plain_tile(const Tile *t)
{
    float acc[TILE_ROWS][16];
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j++)
            acc[i][j] = t->add ? t->c[i * t->ldc + j] : t->bias ? t->bias[j] : 0.0f;
    for (int64_t k = 0; k < t->k; k++)
        for (int i = 0; i < t->rows; i++)
            for (int j = 0; j < t->cols; j++)
                acc[i][j] += t->a[i * t->lda + k] * t->b[k * t->ldb + j];
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j++)
            t->c[i * t->ldc + j] = t->relu && acc[i][j] < 0 ? 0.0f : acc[i][j];
}

#ifdef __x86_64__
#include <immintrin.h>
#define UNROLL _Pragma("GCC unroll 6")
#define INLINE static inline __attribute__((always_inline))
#define T512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define T256 __attribute__((target("avx2,fma")))

/* rows and vectors are constants where this is called, so that acc stays in registers. */
T512 INLINE void run_512(int rows, int vectors, const Tile *t, __mmask16 last)
{
    __m512 acc[TILE_ROWS][4];
#define MASK(v) ((v) == vectors - 1 ? last : (__mmask16)0xffff)
    UNROLL for (int v = 0; v < vectors; v++) UNROLL for (int i = 0; i < rows; i++) acc[i][v] =
        t->add    ? _mm512_maskz_loadu_ps(MASK(v), t->c + i * t->ldc + 16 * v)
        : t->bias ? _mm512_maskz_loadu_ps(MASK(v), t->bias + 16 * v)
                  : _mm512_setzero_ps();
    const float *a = t->a, *b = t->b;
    int64_t lda = t->lda, ldb = t->ldb;
    for (int64_t k = t->k; k > 0; k--, a++, b += ldb) {
        __m512 w[4];
        UNROLL for (int v = 0; v < vectors; v++) w[v] = _mm512_maskz_loadu_ps(MASK(v), b + 16 * v);
        UNROLL for (int i = 0; i < rows; i++)
        {
            __m512 x = _mm512_set1_ps(a[i * lda]);
            UNROLL for (int v = 0; v < vectors; v++) acc[i][v] =
                _mm512_fmadd_ps(x, w[v], acc[i][v]);
        }
    }
    UNROLL for (int v = 0; v < vectors; v++) UNROLL for (int i = 0; i < rows; i++)
    {
        __m512 y = t->relu ? _mm512_max_ps(acc[i][v], _mm512_setzero_ps()) : acc[i][v];
        _mm512_mask_storeu_ps(t->c + i * t->ldc + 16 * v, MASK(v), y);
    }
#undef MASK
}
T256 INLINE __m256 load_256(const float *p, bool part, __m256i mask)
{
    return part ? _mm256_maskload_ps(p, mask) : _mm256_loadu_ps(p);
}
T256 INLINE void run_256(int rows, int vectors, bool part, const Tile *t, __m256i last)
{
    __m256 acc[TILE_ROWS][2];
#define PART(v) (part && (v) == vectors - 1)
    UNROLL for (int v = 0; v < vectors; v++) UNROLL for (int i = 0; i < rows; i++) acc[i][v] =
        t->add    ? load_256(t->c + i * t->ldc + 8 * v, PART(v), last)
        : t->bias ? load_256(t->bias + 8 * v, PART(v), last)
                  : _mm256_setzero_ps();
    const float *a = t->a, *b = t->b;
    int64_t lda = t->lda, ldb = t->ldb;
    for (int64_t k = t->k; k > 0; k--, a++, b += ldb) {
        __m256 w[2];
        UNROLL for (int v = 0; v < vectors; v++) w[v] = load_256(b + 8 * v, PART(v), last);
        UNROLL for (int i = 0; i < rows; i++)
        {
            __m256 x = _mm256_broadcast_ss(a + i * lda);
            UNROLL for (int v = 0; v < vectors; v++) acc[i][v] =
                _mm256_fmadd_ps(x, w[v], acc[i][v]);
        }
    }
    UNROLL for (int v = 0; v < vectors; v++) UNROLL for (int i = 0; i < rows; i++)
    {
        __m256 y = t->relu ? _mm256_max_ps(acc[i][v], _mm256_setzero_ps()) : acc[i][v];
        if (PART(v))
            _mm256_maskstore_ps(t->c + i * t->ldc + 8 * v, last, y);
        else
            _mm256_storeu_ps(t->c + i * t->ldc + 8 * v, y);
    }
#undef PART
}

#define BY_ROWS(run, ...)                                                                          \
    do {                                                                                           \
        switch (t->rows) {                                                                         \
        case 1:                                                                                    \
            run(1, __VA_ARGS__);                                                                   \
            break;                                                                                 \
        case 2:                                                                                    \
            run(2, __VA_ARGS__);                                                                   \
            break;                                                                                 \
        case 3:                                                                                    \
            run(3, __VA_ARGS__);                                                                   \
            break;                                                                                 \
        case 4:                                                                                    \
            run(4, __VA_ARGS__);                                                                   \
            break;                                                                                 \
        case 5:                                                                                    \
            run(5, __VA_ARGS__);                                                                   \
            break;                                                                                 \
        default:                                                                                   \
            run(6, __VA_ARGS__);                                                                   \
        }                                                                                          \
    } while (0)

T512 static void tile_512(const Tile *t)
{
    __mmask16 last = (__mmask16)(0xffffu >> (15 - (t->cols - 1) % 16));
    switch ((t->cols + 15) / 16) {
    case 1:
        BY_ROWS(run_512, 1, t, last);
        break;
    case 2:
        BY_ROWS(run_512, 2, t, last);
        break;
    case 3:
        BY_ROWS(run_512, 3, t, last);
        break;
    default:
        BY_ROWS(run_512, 4, t, last);
    }
}
T256 static void tile_256(const Tile *t)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    int rest = t->cols % 8;
    __m256i last =
        _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - (rest ? rest : 8)));
    if (t->cols == 16)
        BY_ROWS(run_256, 2, false, t, last);
    else if (t->cols > 8)
        BY_ROWS(run_256, 2, true, t, last);
    else
        BY_ROWS(run_256, 1, true, t, last);
}
#endif

static const TileKernel kernels[] = {
    {16, plain_tile},
#ifdef __x86_64__
    {16, tile_256},
    {64, tile_512},
#endif
};

/* oneDNN knows the processor, and its ONEDNN_MAX_CPU_ISA then holds here too. */
static int kernels_here(void)
{
#ifdef __x86_64__
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core && cpu_tier() >= 2)
        return 3;
    if ((isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2 && cpu_tier() >= 1)
        return 2;
#endif
    return 1;
}
const TileKernel *cpu_tile_kernel_at(int i)
{
    return i < kernels_here() ? &kernels[i] : NULL;
}
const TileKernel *cpu_tile_kernel(void)
{
    static const TileKernel *volatile best; /* every thread would find the same */
    if (!best)
        best = &kernels[kernels_here() - 1];
    return best;
}

void cpu_rows_times(const TileKernel *kernel, int64_t rows, int64_t cols, Tile t)
{
    const float *a = t.a, *b = t.b, *bias = t.bias;
    float *c = t.c;
    for (int64_t j = 0; j < cols; j += kernel->cols) {
        t.cols = (int)(cols - j < kernel->cols ? cols - j : kernel->cols);
        t.b = b + j;
        t.bias = bias ? bias + j : NULL;
        for (int64_t i = 0; i < rows; i += TILE_ROWS) {
            t.rows = (int)(rows - i < TILE_ROWS ? rows - i : TILE_ROWS);
            t.a = a + i * t.lda;
            t.c = c + i * t.ldc + j;
            kernel->run(&t);
        }
    }
}
