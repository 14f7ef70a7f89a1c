/* Products with stored weights (device.h, StoredWeight), inside the CPU backend: what quant.c and
 * the kernels of each instruction set share. Few rows of x are bound by reading the weights, so the
 * kernels read each weight once, straight from where it lies, and prefetch ahead (the processor's
 * own prefetching stops at page borders). */
#ifndef SCMM_GPU_CPU_QUANT_H
#define SCMM_GPU_CPU_QUANT_H
#include "gpu/cpu/cpu.h"

enum { GROUP = STORED_GROUP, DOT_ROWS = 4, PREFETCH = 2048 };

/* x made ready for products: the rows, and for Q8 and Q4 the same in int8 with a scale for each
 * GROUP. sum: of a group's int8 numbers. */
typedef struct Rows {
    int64_t m, k;
    const float *x;     /* [m,k] */
    const int8_t *q;    /* [m,k] */
    const float *scale; /* [m,k/GROUP] */
    const float *sum;   /* [m,k/GROUP] */
} Rows;

/* y[i*ldy + r] = <w_r, x_i> for r < rows, i < x.m <= DOT_ROWS. */
typedef struct Dots {
    int64_t rows, k;
    const void *w;         /* first row */
    const uint16_t *scale; /* its scales */
    Rows x;
    float *y;
    int64_t ldy;
} Dots;
typedef void DotsFn(const Dots *d);

typedef struct QuantTier {
    const char *name;
    DotsFn *dots[STORED_TYPES];
} QuantTier;
extern const QuantTier quant_plain, quant_avx2, quant_avx512, quant_vnni;
/* The best of this processor, or the one that SCMMGPT_CPU_TIER names (plain, avx2, avx512, vnni)
 * when the processor has it. */
const QuantTier *quant_tier(void);
/* "plain" ... or NULL when this processor cannot run it; for tests. */
const QuantTier *quant_tier_named(const char *name);
void quant_force_tier(const QuantTier *t); /* NULL: back to the best; for tests */

/* Bytes of one row. */
int64_t stored_row_bytes(StoredType type, int64_t k);
/* One row of x in int8. */
void quant_row(int64_t k, const float *x, int8_t *q, float *scale, float *sum);

/* ---- for the kernels ---- */
#define INLINE static inline __attribute__((always_inline))
/* Calls kernel(m, ...) with a constant m, so that its loops unroll into registers. */
#define BY_ROWS(kernel, m, ...)                                                                    \
    do {                                                                                           \
        if ((m) == 1)                                                                              \
            kernel(1, __VA_ARGS__);                                                                \
        else if ((m) == 2)                                                                         \
            kernel(2, __VA_ARGS__);                                                                \
        else if ((m) == 3)                                                                         \
            kernel(3, __VA_ARGS__);                                                                \
        else                                                                                       \
            kernel(4, __VA_ARGS__);                                                                \
    } while (0)

static inline float dot_scale(const uint16_t *s)
{
    uint16_t h;
    memcpy(&h, s, 2); /* a foreign file may leave it unaligned */
    return half_to_float(h);
}
#endif
