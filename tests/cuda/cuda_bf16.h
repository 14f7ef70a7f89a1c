/* bfloat16 for the emulated GPU. */
#pragma once
#include <cstdint>
#include <cstring>
struct __nv_bfloat16 {
    uint16_t bits;
};
static inline __nv_bfloat16 __float2bfloat16(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return {(uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}
