/* Philox4x32-10 and the distributions built on it. */
#include "core/base/rng.h"

#include <math.h>

static void philox(const uint32_t counter[4], uint64_t key, uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)p1;
        c2 = n2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

Rng rng_make(uint64_t seed, uint64_t stream)
{
    return (Rng){.seed = seed, .stream = stream};
}

uint32_t rng_u32(Rng *r)
{
    if (r->left == 0) {
        uint32_t c[4] = {(uint32_t)r->counter, (uint32_t)(r->counter >> 32), (uint32_t)r->stream,
                         (uint32_t)(r->stream >> 32)};
        philox(c, r->seed, r->block);
        r->counter++;
        r->left = 4;
    }
    return r->block[4 - r->left--];
}

double rng_uniform(Rng *r)
{
    uint64_t hi = rng_u32(r), lo = rng_u32(r);
    return (double)(((hi << 32) | lo) >> 11) * 0x1.0p-53;
}

double rng_normal(Rng *r)
{
    double u = 1.0 - rng_uniform(r), v = rng_uniform(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

uint64_t rng_below(Rng *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    for (;;) {
        uint64_t hi = rng_u32(r), lo = rng_u32(r), x = (hi << 32) | lo;
        if (x < limit)
            return x % n;
    }
}

double rng_gamma(Rng *r, double shape)
{
    if (shape < 1.0) {
        double u = 1.0 - rng_uniform(r);
        return rng_gamma(r, shape + 1.0) * pow(u, 1.0 / shape);
    }
    double d = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        double x = rng_normal(r), v = 1.0 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        double u = 1.0 - rng_uniform(r);
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return d * v;
    }
}

/* Splits large means (Poisson sums are Poisson), so that multiplication never underflows. */
uint64_t rng_poisson(Rng *r, double mean)
{
    uint64_t total = 0;
    while (mean > 16.0) {
        /* The m-th arrival of a unit-rate process is Gamma(m): Ahrens and Dieter 1974. */
        uint64_t m = (uint64_t)(mean * 7.0 / 8.0);
        double arrival = rng_gamma(r, (double)m);
        if (arrival > mean) {
            /* Binomial(m - 1, mean / arrival) events lie before `mean`. */
            double p = mean / arrival;
            uint64_t hits = 0;
            for (uint64_t i = 0; i + 1 < m; i++)
                hits += rng_uniform(r) < p;
            return total + hits;
        }
        total += m;
        mean -= arrival;
    }
    double limit = exp(-mean), product = 1.0 - rng_uniform(r);
    while (product > limit) {
        total++;
        product *= 1.0 - rng_uniform(r);
    }
    return total;
}

void rng_permutation(Rng *r, size_t n, size_t *order)
{
    for (size_t i = 0; i < n; i++) {
        size_t j = (size_t)rng_below(r, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}
