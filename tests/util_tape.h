/* A device, a tape and random numbers for tests of operations. */
#ifndef SCMM_TESTS_UTIL_TAPE_H
#define SCMM_TESTS_UTIL_TAPE_H
#include "core/nn/tape.h"
#include "tests/util.h"

extern Device *dev; /* the CPU's, with the tape open between tape_open and tape_close */
extern Tape *tape;

/* Set-up and tear-down of a group. */
int tape_open(void **state);
int tape_close(void **state);

/* n normal numbers; one seed gives one list. */
void random_floats(uint64_t seed, int64_t n, float *x);
void read_floats(const Tensor *x, float *out);
/* Fails where a differs from b by more than tol (1 + |b|). */
void assert_close(const float *a, const float *b, int64_t n, double tol);

/* The tensor has these values and no others. */
#define EXPECT(x, ...)                                                                             \
    do {                                                                                           \
        const float want_[] = {__VA_ARGS__};                                                       \
        float got_[sizeof want_ / sizeof *want_];                                                  \
        assert_int_equal(tensor_size(x), (int64_t)(sizeof want_ / sizeof *want_));                 \
        read_floats(x, got_);                                                                      \
        assert_close(got_, want_, tensor_size(x), 2e-6);                                           \
    } while (0)
#define F32(...) ((const float[]){__VA_ARGS__})
#endif
