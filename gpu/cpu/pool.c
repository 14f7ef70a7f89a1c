/* The pool. A job is a function and a count of blocks; `claim` holds the job's number and how many
 * of its blocks are left, so one compare-and-swap takes a block and fails when the job is over.
 * Whoever holds a block keeps its job alive, hence function and context may be read after the
 * claim. Workers that find nothing sleep on `bell`. */
#include "gpu/cpu/pool.h"
#include <limits.h>
#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPIN = 1200, WORKERS_MAX = 1023 }; /* SPIN pauses are some 50 microseconds */

static struct {
    pthread_mutex_t busy; /* held by the thread whose job runs */
    int workers;          /* started; under busy */
    _Atomic uint64_t claim;
    atomic_uint bell, left, sleepers; /* left: blocks not finished; the owner sleeps on it */
    atomic_int wanted;                /* workers that may help */
    atomic_bool waiting;              /* the owner sleeps, or is about to */
    int64_t n;
    CpuBlock *fn;
    void *ctx;
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool inside;

static void sleep_on(atomic_uint *word, unsigned seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}
static void wake(atomic_uint *word, int threads)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}
static void pause_a_little(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* Takes and runs blocks until none is left to take. */
static bool work(void)
{
    bool any = false;
    uint64_t c = atomic_load(&pool.claim);
    while ((uint32_t)c) {
        if (!atomic_compare_exchange_weak(&pool.claim, &c, c - 1))
            continue;
        any = true;
        pool.fn(pool.ctx, pool.n - (int64_t)(uint32_t)c);
        if (atomic_fetch_sub(&pool.left, 1) == 1 && atomic_load(&pool.waiting))
            wake(&pool.left, 1);
        c = atomic_load(&pool.claim);
    }
    return any;
}

static void *worker(void *arg)
{
    int id = (int)(intptr_t)arg, idle = 0;
    inside = true;
    omp_set_num_threads(1); /* libraries called in a block stay on this thread */
    for (;;) {
        unsigned seen = atomic_load(&pool.bell);
        bool mine = id < atomic_load(&pool.wanted);
        if (mine && work()) {
            idle = 0;
        } else if (mine && idle < SPIN) {
            idle++;
            pause_a_little();
        } else {
            atomic_fetch_add(&pool.sleepers, 1);
            if (!(mine && (uint32_t)atomic_load(&pool.claim)))
                sleep_on(&pool.bell, seen);
            atomic_fetch_sub(&pool.sleepers, 1);
            idle = 0;
        }
    }
    return NULL;
}

/* A forked child has no workers. */
static void forget(void)
{
    pool.workers = 0;
    pthread_mutex_init(&pool.busy, NULL);
    atomic_store(&pool.claim, 0);
    atomic_store(&pool.sleepers, 0);
}

static void start(int workers)
{
    static bool watched;
    sigset_t all, old;
    pthread_attr_t attr;
    if (!watched)
        watched = pthread_atfork(NULL, NULL, forget) == 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals belong to the program's own threads */
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    while (pool.workers < workers) {
        pthread_t t;
        if (pthread_create(&t, &attr, worker, (void *)(intptr_t)pool.workers) != 0)
            break;
        pool.workers++;
    }
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void run(int64_t n, CpuBlock *fn, void *ctx)
{
    pool.n = n;
    pool.fn = fn;
    pool.ctx = ctx;
    atomic_store(&pool.left, (unsigned)n);
    uint64_t job = atomic_load(&pool.claim) >> 32;
    atomic_store(&pool.claim, (job + 1) << 32 | (uint64_t)n);
    atomic_fetch_add(&pool.bell, 1);
    if (atomic_load(&pool.sleepers))
        wake(&pool.bell, INT_MAX);
    inside = true;
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    work();
    omp_set_num_threads(threads);
    inside = false;
    for (int idle = 0; atomic_load(&pool.left) && idle < SPIN; idle++)
        pause_a_little();
    atomic_store(&pool.waiting, true);
    for (unsigned left; (left = atomic_load(&pool.left));)
        sleep_on(&pool.left, left);
    atomic_store(&pool.waiting, false);
}

void cpu_share(int64_t n, CpuBlock *fn, void *ctx)
{
    int threads = omp_get_max_threads() - 1;
    threads = threads > WORKERS_MAX ? WORKERS_MAX : threads;
    if (n <= 1 || threads < 1 || n > INT_MAX || inside || omp_in_parallel() ||
        pthread_mutex_trylock(&pool.busy) != 0) {
        for (int64_t i = 0; i < n; i++)
            fn(ctx, i);
        return;
    }
    if (pool.workers < threads)
        start(threads);
    atomic_store(&pool.wanted, threads);
    run(n, fn, ctx);
    pthread_mutex_unlock(&pool.busy);
}
