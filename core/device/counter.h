/* Random numbers inside kernels: a 64-bit mix of (seed, index), the same on every device and in any
 * order. For dropout and noise; sampling in the program itself uses core/base/rng.h. The finaliser
 * is that of SplitMix64 (Steele, Lea and Flood 2014). */
#ifndef SCMM_DEVICE_COUNTER_H
#define SCMM_DEVICE_COUNTER_H
#include <stdint.h>

#ifdef __CUDACC__
#define COUNTER_FN static __host__ __device__ __forceinline__
#else
#define COUNTER_FN static inline
#endif

COUNTER_FN uint64_t counter_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}
/* Spread a seed once, before a loop over indices. */
COUNTER_FN uint64_t counter_key(uint64_t seed)
{
    return counter_mix(seed + 0x9E3779B97F4A7C15ull);
}
COUNTER_FN uint32_t counter_u32(uint64_t key, uint64_t index)
{
    return (uint32_t)(counter_mix(key + (index + 1) * 0x9E3779B97F4A7C15ull) >> 32);
}
/* The threshold t such that counter_u32 < t with probability p, 0 <= p < 1. */
COUNTER_FN uint32_t counter_threshold(float p)
{
    return (uint32_t)((double)p * 4294967296.0);
}
/* (0, 1], never 0: safe under a logarithm. */
COUNTER_FN float counter_open(uint32_t u)
{
    return ((float)(u >> 8) + 1.0f) * (1.0f / 16777216.0f);
}
#endif
