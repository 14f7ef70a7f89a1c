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
#include "core/base/err.h"

/* Fails the test with the message when expr is not OK. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        Err assert_ok_err_ = (expr);                                                               \
        if (assert_ok_err_ != OK)                                                                  \
            fail_msg("%s: error %d: %s", #expr, assert_ok_err_, err_message());                    \
    } while (0)
#define assert_err(expr, code) assert_int_equal((expr), (code))
#define TEST(f) cmocka_unit_test(f)
#define RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)
#endif
