/* MT19937, and the shuffle of numpy's RandomState: from the last place down, each with a place up to it drawn by masking
 * bits and rejecting. */
#include "core/analysis/numpy_draw.h"

enum { SHIFT = 397 };

void numpy_seed(NumpyDraw *d, uint32_t seed)
{
    d->state[0] = seed;
    for (uint32_t i = 1; i < NUMPY_STATE; i++)
        d->state[i] = 1812433253u * (d->state[i - 1] ^ d->state[i - 1] >> 30) + i;
    d->at = NUMPY_STATE;
}

static void renew(NumpyDraw *d)
{
    uint32_t *s = d->state;
    for (size_t i = 0; i < NUMPY_STATE; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % NUMPY_STATE] & 0x7fffffffu);
        s[i] = s[(i + SHIFT) % NUMPY_STATE] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    d->at = 0;
}

static uint32_t next_word(NumpyDraw *d)
{
    if (d->at == NUMPY_STATE)
        renew(d);
    uint32_t y = d->state[d->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* 0..most, each as likely. */
static uint32_t up_to(NumpyDraw *d, uint32_t most)
{
    uint32_t mask = most, value;
    for (int bits = 1; bits < 32; bits *= 2)
        mask |= mask >> bits;
    do
        value = next_word(d) & mask;
    while (value > most);
    return value;
}

void numpy_permutation(NumpyDraw *d, size_t n, size_t *order)
{
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i-- > 1;) {
        size_t j = up_to(d, (uint32_t)i), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}
