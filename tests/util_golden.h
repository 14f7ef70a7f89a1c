/* Golden files: text written by the scripts in tests/ref. Lines beginning with # are remarks. */
#ifndef SCMM_TESTS_UTIL_GOLDEN_H
#define SCMM_TESTS_UTIL_GOLDEN_H
#include <stddef.h>

typedef struct Golden Golden;
/* tests/golden/NAME; fails the test when it is missing. */
Golden *golden_open(const char *name);
void golden_close(Golden *g);
size_t golden_lines(const Golden *g); /* without remarks */
/* Field `field` (split at tabs) of a line. */
const char *golden_field(const Golden *g, size_t line, size_t field);
/* The numbers after the line's first word `key` (split at blanks); *n how many. Borrowed. */
const double *golden_numbers(Golden *g, const char *key, size_t *n);
double golden_number(Golden *g, const char *key);

/* |a - b| <= tol; fails naming both (this cmocka has no such check for doubles). */
#define assert_near(a, b, tol)                                                                     \
    do {                                                                                           \
        double near_a_ = (a), near_b_ = (b);                                                       \
        double near_d_ = near_a_ > near_b_ ? near_a_ - near_b_ : near_b_ - near_a_;                \
        if (!(near_d_ <= (tol)))                                                                   \
            fail_msg("%s is %.9g, not %.9g (%s)", #a, near_a_, near_b_, #b);                       \
    } while (0)
#endif
