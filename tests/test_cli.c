/* tui: options of commands. */
#include "tests/util.h"

#include <stdint.h>
#include <string.h>

#include "tui/cli.h"

enum { MOST = 16 };

/* Arguments of a command, ended by NULL. */
static CliArgs args_of(char **argv)
{
    CliArgs a = {.argv = argv};
    while (argv[a.argc])
        a.argc++;
    return a;
}
#define ARGS(...) args_of((char *[MOST]){(char[]){"cmd"}, __VA_ARGS__})
#define A(text) ((char[]){text})

static void options_stand_anywhere_and_the_last_one_wins(void **state)
{
    const char *out = "none", *other = "none";
    CliArgs a = ARGS(A("--out"), A("x"), A("file"), A("--out=y=z"), A("-f"));
    assert_ok(cli_take_string(&a, "--out", &out));
    assert_ok(cli_take_string(&a, "--ou", &other));
    assert_true(cli_take_flag(&a, "-f"));
    assert_false(cli_take_flag(&a, "-f"));
    assert_string_equal(out, "y=z");
    assert_string_equal(other, "none");
    assert_ok(cli_finish(&a, 1, 1, "FILE"));
    assert_string_equal(a.argv[1], "file");
}

static void a_value_may_be_missing(void **state)
{
    const char *out;
    CliArgs a = ARGS(A("file"), A("--out")), b = ARGS(A("--out"), A("--"), A("file"));
    assert_err(cli_take_string(&a, "--out", &out), ERR_USAGE);
    assert_err(cli_take_string(&b, "--out", &out), ERR_USAGE);
}

static void two_dashes_end_the_options(void **state)
{
    const char *out = "none";
    CliArgs a = ARGS(A("--"), A("--out"), A("-5 cells"));
    assert_ok(cli_take_string(&a, "--out", &out));
    assert_string_equal(out, "none");
    assert_ok(cli_finish(&a, 2, 2, "A B"));
    assert_string_equal(a.argv[2], "-5 cells");
    a = ARGS(A("--no-such"), A("file"));
    assert_err(cli_finish(&a, 1, 1, "FILE"), ERR_USAGE);
    a = ARGS(A("-"));
    assert_ok(cli_finish(&a, 1, 1, "FILE"));
    assert_err(cli_finish(&a, 2, 2, "FILE FILE"), ERR_USAGE);
    assert_err(cli_finish(&a, 0, 0, ""), ERR_USAGE);
}

static void numbers_outside_their_range_are_refused(void **state)
{
    static const char *const bad[] = {"", "1", "11", "-3", "3x", "3.5", "99999999999999999999999"};
    static const char *const unreal[] = {"", "nan", "0.9", "10.1", "2,5", "1e400"};
    size_t n = 7;
    double x = 7;
    char text[32];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CliArgs a = ARGS(A("-n"), strcpy(text, bad[i]));
        assert_err(cli_take_size(&a, "-n", 2, 10, &n), ERR_USAGE);
    }
    for (size_t i = 0; i < sizeof unreal / sizeof *unreal; i++) {
        CliArgs a = ARGS(A("-x"), strcpy(text, unreal[i]));
        assert_err(cli_take_number(&a, "-x", 1, 10, &x), ERR_USAGE);
    }
    CliArgs a = ARGS(A("-n"), A("-1"));
    assert_err(cli_take_size(&a, "-n", 0, SIZE_MAX, &n), ERR_USAGE);
    assert_true(n == 7 && x == 7);
    a = ARGS(A("-n"), A("10"), A("-x"), A("1"));
    assert_ok(cli_take_size(&a, "-n", 2, 10, &n));
    assert_ok(cli_take_number(&a, "-x", 1, 10, &x));
    assert_true(n == 10 && x == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_stand_anywhere_and_the_last_one_wins),
        TEST(a_value_may_be_missing),
        TEST(two_dashes_end_the_options),
        TEST(numbers_outside_their_range_are_refused),
    };
    return RUN(tests);
}
