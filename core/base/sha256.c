/* Blocks of 64 bytes through 64 rounds; two ways that give the same. */
#include "core/base/sha256.h"

#include <stdio.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int by)
{
    return x >> by | x << (32 - by);
}

static void blocks_plain(uint32_t h[8], const uint8_t *p, size_t n)
{
    for (; n; n--, p += 64) {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
        for (int i = 16; i < 64; i++) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
        }
        memcpy(v, h, sizeof v);
#pragma GCC unroll 64
        for (int i = 0; i < 64; i++) {
            const uint32_t a = v[-i & 7], b = v[(1 - i) & 7], c = v[(2 - i) & 7]; /* the names turn, not the values */
            const uint32_t e = v[(4 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
            uint32_t *d = &v[(3 - i) & 7], *last = &v[(7 - i) & 7];
            *last += (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i];
            *d += *last;
            *last += (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        }
        for (int i = 0; i < 8; i++)
            h[i] += v[i];
    }
}

#ifdef __x86_64__
static bool has_instructions(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

/* The instructions want the state as ABEF and CDGH, highest word first, and do two rounds each. */
__attribute__((target("sha,sse4.1"))) static void blocks_fast(uint32_t h[8], const uint8_t *p, size_t n)
{
    const __m128i big = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const void *)h), 0xB1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const void *)(h + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);
    for (; n; n--, p += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            if (i < 4) {
                w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(p + 16 * i)), big);
            } else {
                __m128i t = _mm_add_epi32(_mm_sha256msg1_epu32(w[i - 4], w[i - 3]), _mm_alignr_epi8(w[i - 1], w[i - 2], 4));
                w[i] = _mm_sha256msg2_epu32(t, w[i - 1]);
            }
            __m128i k = _mm_add_epi32(w[i], _mm_loadu_si128((const void *)(K + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1B);
    high = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((void *)h, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128((void *)(h + 4), _mm_alignr_epi8(high, low, 8));
}
#endif

static _Atomic int fast = -1; /* not known yet */

void sha256_use_instructions(bool yes)
{
    fast = yes ? -1 : 0;
}

static void blocks(uint32_t h[8], const uint8_t *p, size_t n)
{
#ifdef __x86_64__
    if (fast < 0)
        fast = has_instructions(); /* every thread finds the same */
    if (fast) {
        blocks_fast(h, p, n);
        return;
    }
#endif
    blocks_plain(h, p, n);
}

void sha256_begin(Sha256 *s)
{
    *s = (Sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(Sha256 *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    if (n == 0)
        return;
    size_t have = s->n % 64, take = n < 64 - have ? n : 64 - have;
    s->n += n;
    if (have) {
        memcpy(s->rest + have, p, take);
        if (have + take < 64)
            return;
        blocks(s->h, s->rest, 1);
        p += take;
        n -= take;
    }
    blocks(s->h, p, n / 64);
    memcpy(s->rest, p + n / 64 * 64, n % 64);
}

void sha256_end(Sha256 *s, char hex[65])
{
    uint8_t end[72] = {0x80};
    uint64_t bits = s->n * 8;
    size_t pad = 64 - (s->n + 8) % 64; /* at least the 0x80 */
    for (int i = 0; i < 8; i++)
        end[pad + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(s, end, pad + 8);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", s->h[i]);
}
