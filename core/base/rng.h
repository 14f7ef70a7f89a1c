/* Counter-based random numbers (Philox4x32-10, Salmon et al., SC 2011): the n-th number of a stream depends
 * on (seed, stream, n) alone, so a result is the same at any number of threads. */
#ifndef SCMM_BASE_RNG_H
#define SCMM_BASE_RNG_H
#include <stddef.h>
#include <stdint.h>

typedef struct Rng {
    uint64_t seed, stream, counter;
    uint32_t block[4];
    int left; /* unused words of block */
} Rng;

/* An independent stream: give each cell, epoch or worker item its own `stream`. */
Rng rng_make(uint64_t seed, uint64_t stream);
uint32_t rng_u32(Rng *r);
double rng_uniform(Rng *r);               /* [0, 1), 53 bits */
double rng_normal(Rng *r);                /* mean 0, variance 1 */
uint64_t rng_below(Rng *r, uint64_t n);   /* uniform in 0..n-1, unbiased; n > 0 */
double rng_gamma(Rng *r, double shape);   /* scale 1; Marsaglia and Tsang 2000 */
uint64_t rng_poisson(Rng *r, double mean); /* exact; any mean */
/* Fisher-Yates shuffle of 0..n-1 written to order. */
void rng_permutation(Rng *r, size_t n, size_t *order);
#endif
