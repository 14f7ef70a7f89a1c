/* See util_slow.h. */
#include "tests/util_slow.h"

#include <stdlib.h>

#include "core/base/rng.h"

float *host_random(uint64_t seed, int64_t n)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    Rng r = rng_make(seed, 3);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(&r);
    return x;
}

void near_slow(const float *got, const double *want, int64_t n, double tol, const char *what)
{
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
    }
    if (!(diff <= tol * norm) || norm == 0)
        fail_msg("%s: normalised error %.3g", what, diff / norm);
}
