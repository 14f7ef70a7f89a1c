/* The draws of numpy's legacy generator (numpy.random.seed, permutation), a Mersenne twister (Matsumoto and Nishimura
 * 1998): what scanpy chooses control genes by. Nothing else uses it; random numbers of our own are core/base/rng.h's. */
#ifndef SCMM_ANALYSIS_NUMPY_DRAW_H
#define SCMM_ANALYSIS_NUMPY_DRAW_H
#include <stddef.h>
#include <stdint.h>

enum { NUMPY_STATE = 624 };
typedef struct NumpyDraw {
    uint32_t state[NUMPY_STATE];
    size_t at; /* of the next word */
} NumpyDraw;

void numpy_seed(NumpyDraw *d, uint32_t seed);
/* Shuffles 0..n-1 into order; n up to 2^32. */
void numpy_permutation(NumpyDraw *d, size_t n, size_t *order);
#endif
