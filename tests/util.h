/* What every test file includes: cmocka with what it needs, in the order it needs it. */
#ifndef SCMM_TESTS_UTIL_H
#define SCMM_TESTS_UTIL_H
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/err.h"

/* Fails the test with the message when expr is not OK. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        Err assert_ok_err_ = (expr);                                                               \
        if (assert_ok_err_ != OK)                                                                  \
            fail_msg("%s: error %d: %s", #expr, assert_ok_err_, err_message());                    \
    } while (0)
#define assert_err(expr, code) assert_int_equal((expr), (code))
/* Does `step` until `cond` holds, for at most a minute: what another thread does may take long on a busy machine. */
#define WAIT_UNTIL(cond, step)                                                                     \
    do {                                                                                           \
        double wait_end_ = clock_seconds() + 60;                                                   \
        while (!(cond)) {                                                                          \
            if (clock_seconds() > wait_end_)                                                       \
                fail_msg("a minute without %s", #cond);                                            \
            step;                                                                                  \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)
#define TEST(f) cmocka_unit_test(f)
#define RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)
#endif
