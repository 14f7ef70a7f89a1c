/* Comparing kernels with slow loops in double. */
#ifndef SCMM_TESTS_UTIL_SLOW_H
#define SCMM_TESTS_UTIL_SLOW_H
#include "tests/util.h"

/* n normal numbers in memory of the caller's; one seed gives one list. */
float *host_random(uint64_t seed, int64_t n);
/* Fails when the squared error is more than tol of the squares wanted, or nothing is wanted. */
void near_slow(const float *got, const double *want, int64_t n, double tol, const char *what);
#endif
