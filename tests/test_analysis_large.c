/* The analysis at a size where several threads work. One seed gives one answer at any number of threads. Every stage looks
 * at the clock at least every 100 ms: so long may a cancelled stage go on; measured in processor time of the working
 * thread between two looks, so that a busy machine does not fail it. With the argument FILE.h5ad the same is measured on
 * that file, in wall time too, and printed. */
#include "tests/util.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <omp.h>

#include "core/analysis/knn.h"
#include "core/analysis/leiden.h"
#include "core/analysis/rows.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/session/session_internal.h"

#ifdef __SANITIZE_ADDRESS__
enum { CELLS = 1200, GENES = 400, SLOWER = 20 };
#else
enum { CELLS = 2000, GENES = 1500, SLOWER = 1 };
#endif
enum { TYPES = 8 };

static double clock_of(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The longest time without a look, stage by stage. */
typedef struct Gap {
    const char *stage;
    double cpu, wall;
} Gap;

typedef struct Watch {
    JobCtl ctl;
    double cpu, wall;
    const char *stage;
    Gap gaps[32];
    size_t n;
} Watch;

static void look(void *user, const char *stage, size_t done, size_t total)
{
    Watch *w = user;
    double cpu = clock_of(CLOCK_THREAD_CPUTIME_ID), wall = clock_of(CLOCK_MONOTONIC);
    size_t i = 0;
    while (i < w->n && strcmp(w->gaps[i].stage, w->stage) != 0)
        i++;
    if (i == w->n && w->n < 32)
        w->gaps[w->n++] = (Gap){w->stage, 0, 0};
    if (i < 32) {
        w->gaps[i].cpu = fmax(w->gaps[i].cpu, cpu - w->cpu);
        w->gaps[i].wall = fmax(w->gaps[i].wall, wall - w->wall);
    }
    w->stage = stage;
    w->cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
    w->wall = clock_of(CLOCK_MONOTONIC);
}

static void start(Watch *w)
{
    *w = (Watch){.ctl = {.on_progress = look}, .stage = "start"};
    w->ctl.user = w;
    w->cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
    w->wall = clock_of(CLOCK_MONOTONIC);
}

static bool print;

/* Leiden looks elsewhere: it is tested below. */
static void check(Watch *w, const char *what)
{
    look(w, "end", 0, 0);
    for (size_t i = 0; i < w->n; i++) {
        const Gap *g = &w->gaps[i];
        if (print)
            printf("%-12s %-24s %6.0f ms cpu %6.0f ms wall\n", what, g->stage, g->cpu * 1e3, g->wall * 1e3);
        else if (strcmp(g->stage, "clusters") != 0 && g->cpu > 0.1 * SLOWER)
            fail_msg("%s, %s: %.0f ms without a look", what, g->stage, g->cpu * 1e3);
    }
}

static Session *make_session(void)
{
    Csr m;
    size_t at = 0;
    Session *s;
    SessionParams p = session_params_default();
    static char names[GENES][8];
    const char *genes[GENES];
    assert_ok(csr_init(&m, CELLS, GENES, (size_t)CELLS * GENES / 4));
    for (size_t i = 0; i < CELLS; i++) {
        Rng rng = rng_make(5, i);
        size_t own = i % TYPES * (GENES / TYPES);
        for (size_t g = 0; g < GENES; g++) {
            bool mine = g >= own && g < own + GENES / TYPES;
            uint32_t u = rng_u32(&rng);
            if (u >> 24 >= (mine ? 110u : 25u))
                continue;
            m.indices[at] = (int32_t)g;
            m.values[at++] = (float)(1 + (u & 3));
        }
        m.indptr[i + 1] = (int64_t)at;
    }
    for (size_t g = 0; g < GENES; g++) {
        snprintf(names[g], sizeof names[g], "G%zu", g);
        genes[g] = names[g];
    }
    assert_ok(session_open_empty(&p, &s));
    assert_ok(dataset_from_memory("synthetic", &m, genes, NULL, &s->dataset));
    return s;
}

static void all_stages(Session *s)
{
    ClusterParams p = cluster_params_default();
    Clustering *c, *sub;
    Watch w;
    start(&w);
    assert_ok(session_cluster(s, &p, &w.ctl, &c));
    check(&w, "cluster");
    for (int m = 0; m < 2; m++) {
        MarkerTable *t;
        start(&w);
        assert_ok(session_markers(s, c->groups, m ? MARKERS_TTEST : MARKERS_WILCOXON, 10, &w.ctl, &t));
        check(&w, m ? "t-test" : "wilcoxon");
        marker_table_free(t);
    }
    Selection half = {.rule = NULL, .n_cells = c->n, .in = mem_must(c->n)};
    for (size_t i = 0; i < c->n; i++)
        half.n += half.in[i] = i % 2;
    start(&w);
    assert_ok(session_subcluster(s, &half, &p, &w.ctl, &sub));
    check(&w, "subcluster");
    clustering_free(sub);
    Qc *q;
    start(&w);
    assert_ok(session_qc(s, &w.ctl, &q));
    check(&w, "qc");
    qc_free(q);
    const char *const *names;
    size_t n;
    Values *v;
    assert_ok(dataset_gene_names(s->dataset, dataset_working_matrix(s->dataset), &names, &n));
    start(&w);
    assert_ok(session_score_genes(s, names + n / 2, 5, "score", &w.ctl, &v));
    check(&w, "score");
    values_free(v);
    free(half.in);
    clustering_free(c);
}

static void every_stage_looks_at_the_clock_in_time(void **state)
{
    Session *s = make_session();
    all_stages(s);
    session_close(s);
}

/* ---- threads ---- */

static uint64_t sum_of(uint64_t sum, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ p[i]) * 0x100000001b3u;
    return sum;
}

static uint64_t sum_of_csr(uint64_t sum, const Csr *m)
{
    sum = sum_of(sum, m->indptr, (m->rows + 1) * sizeof *m->indptr);
    sum = sum_of(sum, m->indices, csr_nnz(m) * sizeof *m->indices);
    return sum_of(sum, m->values, csr_nnz(m) * sizeof *m->values);
}

enum { RESULTS = 8 };

/* Sums of components, graph, distances, map, clusters, both tests, approximate neighbours. */
static void results(uint64_t sums[RESULTS])
{
    Session *s = make_session();
    ClusterParams p = cluster_params_default();
    Clustering *c;
    Knn k;
    for (int i = 0; i < RESULTS; i++)
        sums[i] = 7;
    assert_ok(session_cluster(s, &p, NULL, &c));
    sums[0] = sum_of(7, c->pca, c->n * c->pcs * sizeof *c->pca);
    sums[1] = sum_of_csr(7, &c->connectivities);
    sums[2] = sum_of_csr(7, &c->distances);
    sums[3] = sum_of(7, c->map->xy, 2 * c->n * sizeof *c->map->xy);
    sums[4] = sum_of(7, c->groups->codes, c->n * sizeof *c->groups->codes);
    for (int m = 0; m < 2; m++) {
        MarkerTable *t;
        assert_ok(session_markers(s, c->groups, m ? MARKERS_TTEST : MARKERS_WILCOXON, 20, NULL, &t));
        for (size_t i = 0; i < t->n; i++) {
            sums[5 + m] = sum_of(sums[5 + m], &t->rows[i].col, sizeof t->rows[i].col);
            sums[5 + m] = sum_of(sums[5 + m], &t->rows[i].score, sizeof t->rows[i].score);
            sums[5 + m] = sum_of(sums[5 + m], &t->rows[i].pval_adj, sizeof t->rows[i].pval_adj);
        }
        marker_table_free(t);
    }
    assert_ok(knn_approximate(NULL, c->pca, c->n, c->pcs, 10, 0.95, 1, NULL, &k));
    sums[7] = sum_of(sum_of(7, k.indices, k.n * k.k * sizeof *k.indices), k.distances, k.n * k.k * sizeof *k.distances);
    knn_done(&k);
    clustering_free(c);
    session_close(s);
}

static void one_seed_gives_one_answer_at_any_number_of_threads(void **state)
{
    uint64_t want[RESULTS], got[RESULTS];
    int before = omp_get_max_threads();
    omp_set_num_threads(1);
    results(want);
    for (int threads = 2; threads <= 4; threads++) {
        omp_set_num_threads(threads);
        results(got);
        for (int i = 0; i < RESULTS; i++)
            if (got[i] != want[i])
                fail_msg("%d threads: result %d is another", threads, i);
    }
    omp_set_num_threads(before);
}

static void a_transpose_is_the_same_at_any_number_of_threads(void **state)
{
    Csr m, want, got;
    size_t at = 0;
    int before = omp_get_max_threads();
    assert_ok(csr_init(&m, 500, 40, 500 * 40));
    for (size_t i = 0; i < 500; i++) {
        Rng rng = rng_make(2, i);
        for (int32_t g = 0; g < 40; g++)
            if (i % 7 && rng_below(&rng, 3) == 0) {
                m.indices[at] = g;
                m.values[at++] = (float)(i + 1);
            }
        m.indptr[i + 1] = (int64_t)at;
    }
    assert_ok(csr_transpose(&m, &want));
    for (int threads = 1; threads <= 4; threads++) {
        omp_set_num_threads(threads);
        assert_ok(rows_transpose(&m, NULL, &got));
        assert_true(sum_of_csr(7, &got) == sum_of_csr(7, &want));
        assert_int_equal(got.rows, 40);
        assert_int_equal(got.cols, 500);
        csr_done(&got);
    }
    omp_set_num_threads(before);
    csr_done(&want);
    csr_done(&m);
}

/* ---- Leiden: cancelled from outside at several moments ---- */

typedef struct Canceller {
    JobCtl *ctl;
    clockid_t clock; /* of the working thread */
    useconds_t after;
    double asked;
} Canceller;

static void *cancel_later(void *arg)
{
    Canceller *c = arg;
    usleep(c->after);
    atomic_store(&c->ctl->cancel, ERR_CANCELLED);
    c->asked = clock_of(c->clock);
    return NULL;
}

/* A ring of n cells with random chords: long work for Leiden. */
static Csr chords(size_t n)
{
    enum { EACH = 8 };
    Csr g, t;
    int64_t at = 0;
    assert_ok(csr_init(&g, n, n, n * EACH * 2));
    int32_t *to = mem_must(n * EACH * sizeof *to);
    for (size_t i = 0; i < n; i++) {
        Rng rng = rng_make(9, i);
        for (size_t e = 0; e < EACH; e++)
            to[i * EACH + e] = (int32_t)((i + 1 + rng_below(&rng, e < 6 ? 200 : n - 1)) % n);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t e = 0; e < EACH; e++, at++) {
            g.indices[at] = to[i * EACH + e];
            g.values[at] = 1;
        }
        g.indptr[i + 1] = at;
    }
    assert_ok(csr_tidy(&g));
    assert_ok(csr_transpose(&g, &t));
    Csr sum;
    assert_ok(csr_init(&sum, n, n, csr_nnz(&g) + csr_nnz(&t)));
    at = 0;
    for (size_t i = 0; i < n; i++) {
        for (int64_t e = g.indptr[i]; e < g.indptr[i + 1]; e++, at++) {
            sum.indices[at] = g.indices[e];
            sum.values[at] = g.values[e];
        }
        for (int64_t e = t.indptr[i]; e < t.indptr[i + 1]; e++, at++) {
            sum.indices[at] = t.indices[e];
            sum.values[at] = t.values[e];
        }
        sum.indptr[i + 1] = at;
    }
    assert_ok(csr_tidy(&sum));
    csr_done(&g);
    csr_done(&t);
    free(to);
    return sum;
}

static void a_clustering_stops_soon_after_it_is_told(void **state)
{
    enum { N = SLOWER > 1 ? 1500 : 12000 };
    Csr g = chords(N);
    int32_t *label = mem_must(N * sizeof *label);
    size_t groups;
    LeidenParams p = leiden_params_default();
    for (int i = 0; i < 6; i++) {
        JobCtl ctl = {0};
        Canceller c = {.ctl = &ctl, .after = (useconds_t)(1000 + 20000 * i)};
        pthread_t thread;
        pthread_getcpuclockid(pthread_self(), &c.clock);
        assert_int_equal(pthread_create(&thread, NULL, cancel_later, &c), 0);
        Err err = leiden(&g, &p, &ctl, label, &groups, NULL);
        double ended = clock_of(CLOCK_THREAD_CPUTIME_ID);
        pthread_join(thread, NULL);
        if (err == ERR_CANCELLED && ended - c.asked > 0.1 * SLOWER)
            fail_msg("clusters: went on for %.0f ms", (ended - c.asked) * 1e3);
        assert_true(err == OK || err == ERR_CANCELLED);
    }
    free(label);
    csr_done(&g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(one_seed_gives_one_answer_at_any_number_of_threads),
        TEST(a_transpose_is_the_same_at_any_number_of_threads),
        TEST(every_stage_looks_at_the_clock_in_time),
        TEST(a_clustering_stops_soon_after_it_is_told),
    };
    setenv("SCMMGPT_CACHE_AFTER", "1e9", 1);
    if (argc > 1) {
        SessionParams p = session_params_default();
        Session *s;
        print = true;
        if (session_open(&p, argv[1], NULL, &s) == OK)
            all_stages(s);
        return 0;
    }
    return RUN(tests);
}
