/* Half precision for the emulated GPU. */
#pragma once
#include <cmath>
#include <cstdint>
struct __half {
    uint16_t bits;
};
static inline __half __ushort_as_half(uint16_t u)
{
    return {u};
}
static inline float __half2float(__half h)
{
    int e = h.bits >> 10 & 31, m = h.bits & 1023;
    float v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexpf((float)(m | 1024), e - 25) : ldexpf((float)m, -24);
    return h.bits & 0x8000 ? -v : v;
}
