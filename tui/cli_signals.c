/* Signal handlers of a headless command. They only touch atomics and call what may be called there. */
#include "tui/cli_signals.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/leftover.h"

/* A look at the job follows in less than this almost everywhere; one large chunk that is being unpacked, or a slow disk that
 * is waited for, takes longer. With what the system needs to take the process down it stays below 100 ms. */
enum { PATIENCE_MS = 50 };

static const CliArgs *the_args;
static bool is_patient;
static atomic_bool finished; /* somebody says the last line */

/* ---- stopping ---- */

static void end_now(int why)
{
    if (atomic_exchange(&finished, true))
        return; /* the command is at its end */
    leftover_remove_all();
    const char *file = the_args->file ? the_args->file : "";
    const char *text[] = {isatty(STDERR_FILENO) ? "\r\033[K" : "", "scmmgpt: ", file, *file ? ": " : "",
                          why == ERR_TERMINATED ? "terminated\n" : "cancelled\n"};
    struct iovec line[5];
    for (int i = 0; i < 5; i++)
        line[i] = (struct iovec){(void *)text[i], strlen(text[i])};
    ssize_t ignored = writev(STDERR_FILENO, line, 5);
    (void)ignored;
    _exit(why);
}

static void on_signal(int sig)
{
    int why = sig == SIGINT ? ERR_CANCELLED : ERR_TERMINATED;
    if (atomic_exchange(&the_args->ctl->cancel, why))
        end_now(why);
    else if (!is_patient)
        setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = PATIENCE_MS * 1000}, NULL);
}

static void on_alarm(int sig)
{
    end_now(atomic_load(&the_args->ctl->cancel));
}

void cli_signals_begin(const CliArgs *a, bool patient)
{
    the_args = a;
    is_patient = patient;
    struct sigaction ask = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction end = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &end, NULL);
    sigaction(SIGINT, &ask, NULL);
    sigaction(SIGTERM, &ask, NULL);
    sigaction(SIGHUP, &ask, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, not a death */
}

void cli_signals_end(void)
{
    atomic_store(&finished, true);
}

/* ---- crashes ---- */

/* libhdf5 may crash on a damaged file in spite of the rehearsal (core/data/watchdog.h): then this line is all that can
 * be said. Only for commands on an HDF5 file; SCMMGPT_CRASH leaves the crash to a debugger. */
static char crash_line[512];

static void on_crash(int sig)
{
    ssize_t written = write(STDERR_FILENO, crash_line, strlen(crash_line));
    (void)written;
    _exit(ERR_INPUT);
}

void cli_expect_crashes(const char *path)
{
    static char stack[65536]; /* the usual one may be what overflowed */
    char head[4] = "";
    int fd = path && !getenv("SCMMGPT_CRASH") ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    bool h5 = fd >= 0 && pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, "\x89HDF", 4) == 0;
    if (fd >= 0)
        close(fd);
    if (!h5)
        return;
    snprintf(crash_line, sizeof crash_line,
             "scmmgpt: %.300s: reading it crashed; the file is damaged (copy or write it again), or this is a defect\n", path);
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alt, NULL);
    struct sigaction sa = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_RESETHAND};
    (void)sa;
#ifndef __SANITIZE_ADDRESS__ /* it says more */
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    sigaction(SIGFPE, &sa, NULL);
#endif
}
