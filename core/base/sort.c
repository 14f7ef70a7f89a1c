/* Radix sort from the lowest digit up; digits in which all keys agree cost nothing but a look. */
#include "core/base/sort.h"

enum { BITS = 11, DIGITS = 6, SIZE = 1 << BITS };

static size_t digit(uint64_t key, int d)
{
    return (size_t)(key >> (d * BITS)) & (SIZE - 1);
}

void sort_order(const uint64_t *keys, size_t n, uint32_t *order, uint32_t *scratch)
{
    uint32_t count[DIGITS][SIZE];
    uint32_t *from = order, *to = scratch;
    memset(count, 0, sizeof count);
    for (size_t i = 0; i < n; i++) {
        order[i] = (uint32_t)i;
        for (int d = 0; d < DIGITS; d++)
            count[d][digit(keys[i], d)]++;
    }
    for (int d = 0; d < DIGITS && n; d++) {
        uint32_t at = 0;
        if (count[d][digit(keys[0], d)] == n)
            continue;
        for (size_t v = 0; v < SIZE; v++) {
            uint32_t c = count[d][v];
            count[d][v] = at;
            at += c;
        }
        for (size_t i = 0; i < n; i++)
            to[count[d][digit(keys[from[i]], d)]++] = from[i];
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != order)
        memcpy(order, from, n * sizeof *order);
}
