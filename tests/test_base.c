/* core/base: errors, strings, numbers, hashes, jobs. */
#include "tests/util.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/job.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/sort.h"
#include "core/base/str.h"

static Err fails(void)
{
    FAIL(ERR_INPUT, "codes: value %d", 7);
}

static void context_is_added_in_front(void **state)
{
    assert_err(err_context(fails(), "obs/%s", "type"), ERR_INPUT);
    assert_string_equal(err_message(), "obs/type: codes: value 7");
}

static void allocation_refuses_overflow(void **state)
{
    double *p = (double *)1;
    assert_err(mem_alloc(&p, SIZE_MAX / 4, sizeof *p), ERR_NOMEM);
    assert_null(p);
}

static void tsv_fields_are_escaped(void **state)
{
    Str s = {0};
    str_add_tsv(&s, "a\tb\nc\\d\x01");
    assert_string_equal(str_text(&s), "a\\tb\\nc\\\\d\\x01");
    str_free(&s);
}

static void sha256_of_abc_is_the_published_one(void **state)
{
    char hex[65];
    hash_sha256("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void map_keeps_first_value_and_grows(void **state)
{
    StrMap *m = strmap_new(0);
    char key[16];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "gene%d", i);
        assert_int_equal(strmap_put(m, key, i), 1);
    }
    assert_int_equal(strmap_put(m, "gene7", 99), 0);
    assert_int_equal(strmap_get(m, "gene7", -1), 7);
    assert_int_equal(strmap_get(m, "gene4999", -1), 4999);
    assert_int_equal(strmap_get(m, "gene5000", -1), -1);
    assert_int_equal(strmap_get_n(m, "gene77", 5, -1), 7);
    strmap_free(m);
}

/* Known answers of Random123 for philox4x32-10 with all-zero counter and key. */
static void philox_gives_the_published_numbers(void **state)
{
    Rng r = rng_make(0, 0);
    assert_int_equal(rng_u32(&r), 0x6627e8d5);
    assert_int_equal(rng_u32(&r), 0xe169c58d);
    assert_int_equal(rng_u32(&r), 0xbc57ac4c);
    assert_int_equal(rng_u32(&r), 0x9b00dbd8);
}

static void check_moments(double mean, double var, double want_mean, double want_var, size_t n)
{
    double tolerance = 6.0 * sqrt(want_var / (double)n);
    assert_true(fabs(mean - want_mean) < tolerance);
    assert_true(fabs(var / want_var - 1.0) < 0.1);
}

static void distributions_have_their_moments(void **state)
{
    enum { N = 20000 };
    const double means[] = {0.3, 5, 40, 1000};
    for (int m = 0; m < 4; m++) {
        Rng r = rng_make(3, (uint64_t)m);
        double s = 0, ss = 0;
        for (int i = 0; i < N; i++) {
            double x = (double)rng_poisson(&r, means[m]);
            s += x;
            ss += x * x;
        }
        check_moments(s / N, ss / N - s / N * s / N, means[m], means[m], N);
    }
    Rng r = rng_make(4, 0);
    double s = 0, ss = 0;
    for (int i = 0; i < N; i++) {
        double x = rng_gamma(&r, 0.7);
        s += x;
        ss += x * x;
    }
    check_moments(s / N, ss / N - s / N * s / N, 0.7, 0.7, N);
}

static void permutation_has_every_number_once(void **state)
{
    size_t order[100];
    int seen[100] = {0};
    Rng r = rng_make(1, 1);
    rng_permutation(&r, 100, order);
    for (int i = 0; i < 100; i++)
        seen[order[i]]++;
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
}

enum { MANY = 70000 };
typedef struct Probe {
    int started, ended, text;
    Err err;
} Probe;

static int clock_tick;

static Err quick(JobCtl *ctl, void *arg)
{
    ((Probe *)arg)->started = ++clock_tick;
    job_text(ctl, "hello");
    return OK;
}

static Err slow(JobCtl *ctl, void *arg)
{
    job_stage(ctl, "counting", 1000000);
    for (size_t i = 0;; i++) {
        usleep(1000);
        TRY(job_progress(ctl, i));
    }
}

static void ended(Err err, const char *message, void *arg)
{
    Probe *p = arg;
    p->err = err;
    p->ended = ++clock_tick;
}

static void got_text(const char *utf8, void *arg)
{
    ((Probe *)arg)->text += (int)strlen(utf8);
}

/* What the first job of the list does. */
static const char *stage_of(JobQueue *q)
{
    JobInfo info[4];
    assert_int_equal(job_queue_list(q, info, 4), 1);
    return info[0].stage;
}

static void interactive_job_runs_inside_a_long_one(void **state)
{
    JobQueue *q = job_queue_new();
    Probe a = {0}, b = {0};
    job_queue_submit(q, &(JobSpec){.name = "embed", .run = slow, .done = ended, .arg = &a});
    WAIT_UNTIL(strcmp(stage_of(q), "counting") == 0, );
    job_queue_submit(q, &(JobSpec){.name = "ask", .interactive = true, .run = quick, .done = ended,
                                   .text = got_text, .arg = &b});
    struct pollfd p = {.fd = job_queue_fd(q), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 60000), 1);
    WAIT_UNTIL(b.ended, job_queue_poll(q));
    assert_int_equal(b.text, 5);
    assert_int_equal(a.ended, 0);
    assert_string_equal(stage_of(q), "counting");
    job_queue_cancel(q, 0, ERR_CANCELLED);
    WAIT_UNTIL(a.ended, job_queue_poll(q));
    assert_int_equal(a.err, ERR_CANCELLED);
    job_queue_free(q);
}

static Err talkative(JobCtl *ctl, void *arg)
{
    for (int i = 0; i < MANY; i++)
        job_text(ctl, "a");
    return OK;
}

/* More events than a pipe holds bytes. */
static void a_job_that_nobody_looks_at_ends_and_loses_no_text(void **state)
{
    JobQueue *q = job_queue_new();
    Probe a = {0};
    job_queue_submit(q, &(JobSpec){.name = "a", .run = talkative, .done = ended, .text = got_text, .arg = &a});
    WAIT_UNTIL(job_queue_list(q, NULL, 0) == 0, );
    assert_int_equal(job_queue_poll(q), MANY + 1);
    assert_int_equal(a.text, MANY);
    assert_int_equal(a.err, OK);
    assert_int_equal(job_queue_poll(q), 0);
    job_queue_free(q);
}

static Err slow_in_steps(JobCtl *ctl, void *arg)
{
    for (size_t i = 0;; i++) {
        usleep(1000);
        TRY(job_yield(ctl, i));
    }
}

/* What shares nothing with a long job runs between its steps, but in no other work. */
static void a_job_beside_runs_where_the_long_one_yields(void **state)
{
    JobQueue *q = job_queue_new();
    Probe a = {0}, plain = {0}, beside = {0}, ask = {0};
    job_queue_submit(q, &(JobSpec){.name = "embed", .run = slow_in_steps, .done = ended, .arg = &a});
    job_queue_submit(q, &(JobSpec){.name = "annotate", .run = quick, .done = ended, .arg = &plain});
    job_queue_submit(q, &(JobSpec){.name = "cluster", .beside = true, .run = quick, .done = ended, .arg = &beside});
    WAIT_UNTIL(beside.ended, job_queue_poll(q));
    assert_int_equal(a.ended + plain.ended, 0);
    job_queue_cancel(q, 0, ERR_CANCELLED);
    WAIT_UNTIL(plain.ended, job_queue_poll(q));
    a = beside = (Probe){0};
    job_queue_submit(q, &(JobSpec){.name = "cluster", .run = slow, .done = ended, .arg = &a});
    job_queue_submit(q, &(JobSpec){.name = "markers", .beside = true, .run = quick, .done = ended, .arg = &beside});
    job_queue_submit(q, &(JobSpec){.name = "ask", .interactive = true, .run = quick, .done = ended, .arg = &ask});
    WAIT_UNTIL(ask.ended, job_queue_poll(q));
    assert_int_equal(a.ended + beside.ended, 0);
    job_queue_free(q);
}

static void freeing_the_queue_ends_every_job(void **state)
{
    JobQueue *q = job_queue_new();
    Probe a = {0}, b = {0};
    job_queue_submit(q, &(JobSpec){.name = "a", .run = slow, .done = ended, .arg = &a});
    job_queue_submit(q, &(JobSpec){.name = "b", .run = slow, .done = ended, .arg = &b});
    job_queue_free(q);
    assert_int_equal(a.err, ERR_CANCELLED);
    assert_int_equal(b.err, ERR_CANCELLED);
}

static void the_budget_counts_what_is_in_use(void **state)
{
    mem_set_budget((uint64_t)1 << 50);
    uint64_t before = mem_budget(), size = (uint64_t)64 << 20;
    char *p;
    assert_ok(mem_alloc(&p, size, 1));
    memset(p, 1, size);
    assert_true(before - mem_budget() > size / 2);
    mem_set_budget(((uint64_t)1 << 50) - mem_budget() + (32 << 20)); /* 32 MB more than in use */
    assert_ok(mem_check_budget(16 << 20, "little"));
    assert_err(mem_check_budget(48 << 20, "much"), ERR_NOMEM);
    JobCtl ctl = {0};
    assert_ok(job_progress(&ctl, 1));
    mem_set_budget(16 << 20);
    usleep(20000);
    assert_err(job_progress(&ctl, 2), ERR_NOMEM); /* work that has gone beyond it stops */
    mem_set_budget(0);
    assert_ok(job_progress(&ctl, 3));
    free(p);
}

static void keys_sort_as_their_numbers_and_ties_by_place(void **state)
{
    const double v[] = {2, -1e300, 0.5, INFINITY, 2, -0.0, 1e-310, -2, 0.0, 0.5 + 1e-16};
    enum { N = sizeof v / sizeof *v };
    const uint32_t want[N] = {1, 7, 5, 8, 6, 2, 9, 0, 4, 3};
    uint64_t keys[N];
    uint32_t order[N], scratch[N];
    for (int i = 0; i < N; i++)
        keys[i] = sort_key(v[i]);
    sort_order(keys, N, order, scratch);
    assert_memory_equal(order, want, sizeof want);
    sort_order(keys, 0, order, scratch);
}

static void long_lists_sort_completely(void **state)
{
    enum { N = 5000 };
    static uint64_t keys[N];
    static uint32_t order[N], scratch[N];
    for (size_t i = 0; i < N; i++)
        keys[i] = (i * 0x9e3779b97f4a7c15ull) >> (i % 3 * 20);
    sort_order(keys, N, order, scratch);
    for (size_t i = 1; i < N; i++) {
        uint64_t a = keys[order[i - 1]], b = keys[order[i]];
        assert_true(a < b || (a == b && order[i - 1] < order[i]));
    }
}

static void keep_stage(void *user, const char *stage, size_t done, size_t total)
{
    (void)done;
    (void)total;
    *(const char **)user = stage;
}

static void progress_before_the_first_stage_has_a_name(void **state)
{
    (void)state;
    const char *stage = NULL;
    JobCtl ctl = {.on_progress = keep_stage, .user = &stage};
    assert_ok(job_look(&ctl));
    assert_string_equal(stage, "starting");
    job_stage(&ctl, "reading", 3);
    assert_ok(job_progress(&ctl, 1));
    assert_string_equal(stage, "reading");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(context_is_added_in_front),
        TEST(allocation_refuses_overflow),
        TEST(tsv_fields_are_escaped),
        TEST(sha256_of_abc_is_the_published_one),
        TEST(map_keeps_first_value_and_grows),
        TEST(philox_gives_the_published_numbers),
        TEST(distributions_have_their_moments),
        TEST(permutation_has_every_number_once),
        TEST(interactive_job_runs_inside_a_long_one),
        TEST(a_job_that_nobody_looks_at_ends_and_loses_no_text),
        TEST(a_job_beside_runs_where_the_long_one_yields),
        TEST(freeing_the_queue_ends_every_job),
        TEST(the_budget_counts_what_is_in_use),
        TEST(keys_sort_as_their_numbers_and_ties_by_place),
        TEST(long_lists_sort_completely),
        TEST(progress_before_the_first_stage_has_a_name),
    };
    return RUN(tests);
}
