/* See util_tape.h. */
#include "tests/util_tape.h"

#include <math.h>

#include "core/base/rng.h"

Device *dev;
Tape *tape;

int tape_open(void **state)
{
    (void)state;
    assert_ok(device_open("cpu", &dev));
    assert_ok(tape_new(dev, true, &tape));
    return 0;
}

int tape_close(void **state)
{
    (void)state;
    tape_free(tape);
    device_close(dev);
    return 0;
}

void random_floats(uint64_t seed, int64_t n, float *x)
{
    Rng r = rng_make(seed, 7);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(&r);
}

void read_floats(const Tensor *x, float *out)
{
    assert_ok(tensor_read(tape, x, out));
}

void assert_close(const float *a, const float *b, int64_t n, double tol)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= tol * (1 + fabs((double)b[i]))))
            fail_msg("element %lld: %.8g, expected %.8g", (long long)i, (double)a[i], (double)b[i]);
}
