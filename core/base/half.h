/* Numbers of two bytes: IEEE half precision and bfloat16. */
#ifndef SCMM_BASE_HALF_H
#define SCMM_BASE_HALF_H
#include <stdint.h>
#include <string.h>

static inline float half_from_bits(uint32_t b)
{
    float v;
    memcpy(&v, &b, 4);
    return v;
}
static inline float bf16_to_float(uint16_t h)
{
    return half_from_bits((uint32_t)h << 16);
}
/* Exact, subnormals, infinities and NaN included. */
static inline float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, frac = h & 1023u;
    if (exp == 0) {
        float v = (float)frac * half_from_bits(0x33800000); /* 2^-24 */
        return sign ? -v : v;
    }
    return half_from_bits(sign | (exp == 31 ? 0x7F800000u : (exp + 112) << 23) | frac << 13);
}
#endif
