/* core/data: the rehearsal in a child process. */
#include "tests/util.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/data/watchdog.h"

static Err fine(void *arg)
{
    *(int *)arg = 1;
    return OK;
}

static Err refuses(void *arg)
{
    FAIL(ERR_INPUT, "obs: is a teapot");
}

static Err crashes(void *arg)
{
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would print */
    raise(SIGSEGV);
    return OK;
}

static Err sleeps(void *arg)
{
    for (;;)
        pause();
    return OK;
}

static void nothing_of_the_child_is_kept(void **state)
{
    int kept = 0;
    assert_ok(watchdog_run(fine, &kept, NULL));
    assert_int_equal(kept, 0);
}

static void the_refusal_comes_with_its_message(void **state)
{
    assert_err(watchdog_run(refuses, NULL, NULL), ERR_INPUT);
    assert_string_equal(err_message(), "obs: is a teapot");
}

static void a_crash_is_a_damaged_file(void **state)
{
    assert_err(watchdog_run(crashes, NULL, NULL), ERR_INPUT);
}

static void a_child_that_sleeps_for_ever_is_given_up(void **state)
{
    time_t from = time(NULL);
    assert_ok(watchdog_run(sleeps, NULL, NULL));
    assert_true(time(NULL) - from < 30);
}

static void cancelling_does_not_wait(void **state)
{
    JobCtl ctl = {0};
    atomic_store(&ctl.cancel, ERR_CANCELLED);
    assert_err(watchdog_run(sleeps, NULL, &ctl), ERR_CANCELLED);
}

/* How a child ends that computes, watched, for about `seconds` of its own time. */
static int end_of_call(unsigned limit, double seconds)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGBUS, SIG_DFL);
        watchdog_begin(limit);
        clock_t from = clock();
        while ((double)(clock() - from) < seconds * CLOCKS_PER_SEC)
            ;
        watchdog_end();
        watchdog_begin(limit); /* each call has its own limit */
        watchdog_end();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_call_without_end_is_a_crash(void **state)
{
    int status = end_of_call(1, 20);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    assert_int_equal(end_of_call(20, 0.1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_of_the_child_is_kept),
        TEST(the_refusal_comes_with_its_message),
        TEST(a_crash_is_a_damaged_file),
        TEST(a_child_that_sleeps_for_ever_is_given_up),
        TEST(cancelling_does_not_wait),
        TEST(a_call_without_end_is_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
