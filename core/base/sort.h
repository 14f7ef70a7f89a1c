/* Sorting numbers by their bits: the same time whatever their order, ties by position. */
#ifndef SCMM_BASE_SORT_H
#define SCMM_BASE_SORT_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bits that sort as the numbers do (-0 before 0; NaN with the sign bit first, others last). */
static inline uint64_t sort_key(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

/* Positions of n keys in ascending order of the keys, into order[n]; scratch: [n]. n < 2^32. */
void sort_order(const uint64_t *keys, size_t n, uint32_t *order, uint32_t *scratch);

#endif
