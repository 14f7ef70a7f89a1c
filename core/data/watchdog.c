/* fork, limits, a pipe for the answer. */
#include "core/data/watchdog.h"

#include <errno.h>
#include <omp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* IDLE_TICKS of TICK_MS without any work: a lock that another thread held at the fork. */
enum { CPU_SECONDS = 10, MESSAGE = 600, TICK_MS = 50, IDLE_TICKS = 40 };

typedef struct Answer {
    int err;
    char message[MESSAGE];
} Answer;

static void child(Err (*fn)(void *), void *arg, int fd)
{
    struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS}, none = {0, 0};
    int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGXCPU, SIGALRM}, parents[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL); /* the parent's handlers would restore its terminal */
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++)
        signal(parents[i], SIG_IGN); /* Ctrl-C comes to both, and is no fault of the file */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &none);
    sigset_t set;
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    omp_set_num_threads(1); /* the parent's threads are not here: waiting for them would never end */
    Answer a = {0};
    a.err = fn(arg);
    snprintf(a.message, sizeof a.message, "%s", err_message());
    ssize_t n = write(fd, &a, sizeof a);
    _exit(n == (ssize_t)sizeof a ? 0 : 1);
}

/* What a sleeping process has done so far, in a number that grows with processor time and with bytes read; for one that
 * runs or waits for a disk another number than the one before. */
static unsigned long long work_of(pid_t pid, unsigned long long before)
{
    char path[48], state = 'R';
    unsigned long long user = 0, sys = 0, bytes = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f) {
        int found = fscanf(f, "%*d %*[^)]) %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &state, &user, &sys);
        fclose(f);
        if (found < 3)
            state = 'R';
    }
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    f = fopen(path, "r");
    if (f) {
        if (fscanf(f, "rchar: %llu", &bytes) < 1)
            bytes = 0;
        fclose(f);
    }
    return state == 'S' ? 1 + user + sys + bytes : before + 1;
}

/* Waits for the answer; the person may cancel meanwhile. *idle: the child sleeps and will not wake. */
static Err await(int fd, pid_t pid, JobCtl *ctl, Answer *a, size_t *got, bool *idle)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned long long work = 0;
    int ticks = 0;
    *got = 0;
    for (;;) {
        int ready = poll(&p, 1, TICK_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0) {
            unsigned long long now = work_of(pid, work);
            ticks = now == work ? ticks + 1 : 0;
            work = now;
            *idle = ticks >= IDLE_TICKS;
            if (*idle)
                return OK;
            TRY(job_progress(ctl, 0));
            continue;
        }
        ssize_t n = read(fd, (char *)a + *got, sizeof *a - *got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return OK;
        *got += (size_t)n;
        if (*got == sizeof *a)
            return OK;
    }
}

/* The address sanitizer's allocator may be locked by another thread at the moment of a fork, and its child then waits
 * for ever: sanitized builds watch only while they have one thread. */
static bool can_fork(void)
{
#ifdef __SANITIZE_ADDRESS__
    struct stat st;
    return stat("/proc/self/task", &st) != 0 || st.st_nlink <= 3; /* ., .., one thread */
#else
    return true;
#endif
}

Err watchdog_run(Err (*fn)(void *), void *arg, JobCtl *ctl)
{
    int fd[2];
    if (!can_fork() || pipe(fd))
        return OK; /* or out of descriptors: go on unwatched */
    pid_t pid = fork();
    if (pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return OK;
    }
    if (pid == 0) {
        close(fd[0]);
        child(fn, arg, fd[1]);
    }
    close(fd[1]);
    Answer a = {0};
    size_t got;
    bool idle = false;
    Err err = await(fd[0], pid, ctl, &a, &got, &idle);
    close(fd[0]);
    if (err || got < sizeof a)
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (err || idle) /* not the file's fault: go on unwatched */
        return err;
    if (got < sizeof a)
        FAIL(ERR_INPUT, "the HDF5 library crashes or never ends on it; the file is damaged, copy "
                        "or write it again");
    a.message[MESSAGE - 1] = 0;
    return a.err ? err_set((Err)a.err, "%s", a.message) : OK;
}

/* ---- one call ---- */
static void set_timer(unsigned seconds)
{
    static _Thread_local timer_t timer;
    static _Thread_local enum { NEW_THREAD, HAS_TIMER, NO_TIMER } have;
    if (have == NEW_THREAD) {
        struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGBUS};
        e._sigev_un._tid = (pid_t)syscall(SYS_gettid);
        have = timer_create(CLOCK_THREAD_CPUTIME_ID, &e, &timer) == 0 ? HAS_TIMER : NO_TIMER;
    }
    struct itimerspec t = {.it_value = {.tv_sec = (time_t)seconds}};
    if (have == HAS_TIMER)
        timer_settime(timer, 0, &t, NULL);
}

void watchdog_begin(unsigned seconds)
{
    set_timer(seconds);
}
void watchdog_end(void)
{
    set_timer(0);
}
