/* Leiden through igraph 0.10. igraph's own error handler would abort the program, so ours comes first. Its Leiden never
 * looks at the interruption handler, and a pass over a large graph takes seconds: so large graphs are clustered in a child
 * process, which can be ended at any moment and gives its memory back at once. Small ones stop where igraph draws a random
 * number: ours come from a generator that, on cancellation, frees what igraph holds and jumps out. */
#include "core/analysis/leiden.h"

#include <errno.h>
#include <igraph.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"

LeidenParams leiden_params_default(void)
{
    return (LeidenParams){.resolution = 1, .iterations = 5};
}

static struct Running { /* igraph is single-threaded, so is this */
    Rng rng;
    const JobCtl *ctl;
    jmp_buf out;
} running;

static void ignore_error(const char *reason, const char *file, int line, igraph_error_t code)
{
    IGRAPH_FINALLY_FREE();
}

static void ignore_warning(const char *reason, const char *file, int line)
{
}

static igraph_error_t rng_init_state(void **state)
{
    *state = &running;
    return IGRAPH_SUCCESS;
}

static void rng_destroy_state(void *state)
{
}

static igraph_error_t rng_seed_state(void *state, igraph_uint_t seed)
{
    return IGRAPH_SUCCESS;
}

static igraph_uint_t rng_draw(void *state)
{
    if (job_cancelled(running.ctl)) {
        IGRAPH_FINALLY_FREE();
        longjmp(running.out, 1);
    }
    return rng_u32(&running.rng);
}

static const igraph_rng_type_t rng_type = {.name = "philox",
                                           .bits = 32,
                                           .init = rng_init_state,
                                           .destroy = rng_destroy_state,
                                           .seed = rng_seed_state,
                                           .get = rng_draw};

static Err failed(igraph_error_t code)
{
    if (code == IGRAPH_ENOMEM)
        FAIL(ERR_NOMEM, "out of memory while clustering");
    FAIL(ERR_GENERAL, "clustering failed: %s", igraph_strerror(code));
}

typedef struct Work {
    igraph_vector_int_t edges, membership;
    igraph_vector_t weights, strength;
    igraph_t graph;
    bool has_graph;
    double total; /* sum of the weights of all edges, each once */
} Work;

static igraph_error_t build(const Csr *g, Work *w)
{
    igraph_integer_t n = (igraph_integer_t)g->rows, m = 0;
    for (size_t i = 0; i < g->rows; i++)
        for (int64_t j = g->indptr[i]; j < g->indptr[i + 1]; j++)
            m += g->indices[j] > (int32_t)i;
    IGRAPH_CHECK(igraph_vector_int_resize(&w->edges, 2 * m));
    IGRAPH_CHECK(igraph_vector_resize(&w->weights, m));
    IGRAPH_CHECK(igraph_vector_resize(&w->strength, n));
    igraph_vector_null(&w->strength);
    igraph_integer_t at = 0;
    for (size_t i = 0; i < g->rows; i++)
        for (int64_t j = g->indptr[i]; j < g->indptr[i + 1]; j++) {
            int32_t to = g->indices[j];
            double weight = g->values[j];
            if (to <= (int32_t)i)
                continue;
            VECTOR(w->edges)[2 * at] = (igraph_integer_t)i;
            VECTOR(w->edges)[2 * at + 1] = to;
            VECTOR(w->weights)[at++] = weight;
            VECTOR(w->strength)[i] += weight;
            VECTOR(w->strength)[to] += weight;
            w->total += weight;
        }
    IGRAPH_CHECK(igraph_create(&w->graph, &w->edges, n, IGRAPH_UNDIRECTED));
    w->has_graph = true;
    return IGRAPH_SUCCESS;
}

static Err cluster(Work *w, const LeidenParams *p)
{
    igraph_integer_t clusters;
    double resolution = w->total > 0 ? p->resolution / (2 * w->total) : 0;
    igraph_error_t code =
        igraph_community_leiden(&w->graph, &w->weights, &w->strength, resolution, 0.01, false,
                                p->iterations, &w->membership, &clusters, NULL);
    return code == IGRAPH_SUCCESS ? OK : failed(code);
}

typedef struct Group {
    size_t size;
    int32_t first, old;
} Group;

static int larger_first(const void *a, const void *b)
{
    const Group *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Renumbers label[n] (any numbers below n) by falling size. */
static Err by_size(int32_t *label, size_t n, size_t *n_groups)
{
    Err err = OK;
    Group *groups = NULL;
    int32_t *rank = NULL;
    size_t count = 0;
    TRY_GOTO(NEW0(groups, n));
    TRY_GOTO(NEW(rank, n));
    for (size_t i = 0; i < n; i++) {
        Group *g = &groups[label[i]];
        if (g->size++ == 0)
            *g = (Group){1, (int32_t)i, label[i]};
    }
    qsort(groups, n, sizeof *groups, larger_first);
    while (count < n && groups[count].size) {
        rank[groups[count].old] = (int32_t)count;
        count++;
    }
    for (size_t i = 0; i < n; i++)
        label[i] = rank[label[i]];
    *n_groups = count;
done:
    free(groups);
    free(rank);
    return err;
}

double graph_modularity(const Csr *g, const int32_t *label, size_t n_groups, double resolution)
{
    double *strength, inside = 0, total = 0, expected = 0;
    if (NEW0(strength, n_groups))
        return NAN;
    for (size_t i = 0; i < g->rows; i++)
        for (int64_t j = g->indptr[i]; j < g->indptr[i + 1]; j++) {
            double w = g->values[j];
            total += w;
            strength[label[i]] += w;
            if (label[i] == label[g->indices[j]])
                inside += w;
        }
    for (size_t c = 0; total > 0 && c < n_groups; c++)
        expected += strength[c] / total * (strength[c] / total);
    free(strength);
    return total > 0 ? inside / total - resolution * expected : 0;
}

static Err run(const Csr *g, const LeidenParams *p, JobCtl *ctl, Work *w)
{
    igraph_error_t code = build(g, w);
    if (code != IGRAPH_SUCCESS)
        return failed(code);
    TRY(job_progress(ctl, 0));
    if (setjmp(running.out)) {
        TRY(job_progress(ctl, 0)); /* says that it was cancelled */
        FAIL(ERR_CANCELLED, "cancelled");
    }
    return cluster(w, p);
}

static Err leiden_here(const Csr *g, const LeidenParams *p, JobCtl *ctl, int32_t *label, size_t *n_groups,
                       double *modularity)
{
    igraph_set_error_handler(ignore_error);
    igraph_set_warning_handler(ignore_warning);
    Work w = {0};
    if (igraph_vector_int_init(&w.edges, 0) || igraph_vector_int_init(&w.membership, 0) ||
        igraph_vector_init(&w.weights, 0) || igraph_vector_init(&w.strength, 0))
        FAIL(ERR_NOMEM, "out of memory while clustering");
    running.rng = rng_make(p->seed, 0x1e1de);
    running.ctl = ctl;
    static igraph_rng_t before, rng; /* igraph copies or points to them, depending on the version */
    before = *igraph_rng_default();
    igraph_rng_init(&rng, &rng_type);
    rng.is_seeded = true;
    igraph_rng_set_default(&rng);
    Err err = run(g, p, ctl, &w);
    igraph_rng_set_default(&before);
    igraph_rng_destroy(&rng);
    for (size_t i = 0; !err && i < g->rows; i++)
        label[i] = (int32_t)VECTOR(w.membership)[i];
    if (!err)
        err = by_size(label, g->rows, n_groups);
    if (!err)
        *modularity = graph_modularity(g, label, *n_groups, 1);
    if (w.has_graph)
        igraph_destroy(&w.graph);
    igraph_vector_int_destroy(&w.edges);
    igraph_vector_int_destroy(&w.membership);
    igraph_vector_destroy(&w.weights);
    igraph_vector_destroy(&w.strength);
    return err;
}

/* ---- in a child process ---- */

#ifdef __SANITIZE_ADDRESS__
enum { CHILD_EDGES = INT32_MAX }; /* a forked child of the sanitizer's allocator may never end */
#else
enum { CHILD_EDGES = 50000 }; /* below, a pass takes a few milliseconds */
#endif

/* What the child leaves in shared memory, the labels behind it. */
typedef struct Answer {
    int err;
    size_t n_groups;
    double modularity;
    char message[256];
    int32_t label[];
} Answer;

static void run_child(const Csr *g, const LeidenParams *p, pid_t parent, Answer *a)
{
    int mine[] = {SIGALRM, SIGSEGV, SIGABRT, SIGWINCH}, parents[] = {SIGINT, SIGTERM, SIGHUP};
    struct rlimit none = {0, 0};
    sigset_t set;
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        signal(mine[i], SIG_DFL); /* the parent's handlers would write to its pipes and terminal */
    for (size_t i = 0; i < sizeof parents / sizeof *parents; i++)
        signal(parents[i], SIG_IGN); /* Ctrl-C comes to both: the parent says what it means */
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    a->err = leiden_here(g, p, NULL, a->label, &a->n_groups, &a->modularity);
    snprintf(a->message, sizeof a->message, "%s", err_message());
    _exit(0);
}

/* Waits for the child; ends it when the work must stop. */
static Err await_child(pid_t pid, JobCtl *ctl, int *status)
{
    Err err = OK;
    while (!err) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid)
            return OK;
        if (got < 0 && errno != EINTR)
            FAIL(ERR_GENERAL, "clustering failed: its process is gone");
        poll(NULL, 0, 5);
        err = job_progress(ctl, 0);
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return err;
}

static Err take_answer(const Answer *a, int status, size_t n, int32_t *label, size_t *n_groups, double *modularity)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        FAIL(ERR_NOMEM, "clustering was ended by the system: too little memory");
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        FAIL(ERR_GENERAL, "clustering failed: its process ended early");
    if (a->err)
        FAIL((Err)a->err, "%s", a->message);
    memcpy(label, a->label, n * sizeof *label);
    *n_groups = a->n_groups;
    *modularity = a->modularity;
    return OK;
}

struct LeidenRun {
    const Csr *g;
    LeidenParams p;
    pid_t pid; /* of the child; 0: none */
    size_t bytes;
    Answer *answer; /* shared with the child */
};

Err leiden_begin(const Csr *g, const LeidenParams *p, LeidenRun **out)
{
    LeidenRun *r;
    TRY(NEW0(r, 1));
    r->g = g;
    r->p = *p;
    *out = r;
    if (csr_nnz(g) < CHILD_EDGES)
        return OK;
    r->bytes = sizeof(Answer) + g->rows * sizeof *r->answer->label;
    r->answer = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r->answer == MAP_FAILED) {
        r->answer = NULL;
        return OK;
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        run_child(g, p, parent, r->answer);
    r->pid = pid > 0 ? pid : 0;
    return OK;
}

Err leiden_end(LeidenRun *r, JobCtl *ctl, int32_t *label, size_t *n_groups, double *modularity)
{
    int status = 0;
    double quality;
    job_stage(ctl, "clusters", 0);
    if (!modularity)
        modularity = &quality;
    Err err = job_progress(ctl, 0);
    if (!err && !r->pid) {
        err = leiden_here(r->g, &r->p, ctl, label, n_groups, modularity);
    } else if (!err) {
        err = await_child(r->pid, ctl, &status);
        r->pid = 0;
        if (!err)
            err = take_answer(r->answer, status, r->g->rows, label, n_groups, modularity);
    }
    leiden_stop(r);
    return err;
}

void leiden_stop(LeidenRun *r)
{
    if (!r)
        return;
    if (r->pid) {
        kill(r->pid, SIGKILL);
        while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (r->answer)
        munmap(r->answer, r->bytes);
    free(r);
}

Err leiden(const Csr *g, const LeidenParams *p, JobCtl *ctl, int32_t *label, size_t *n_groups,
           double *modularity)
{
    LeidenRun *r;
    job_stage(ctl, "clusters", 0);
    TRY(job_progress(ctl, 0));
    TRY(leiden_begin(g, p, &r));
    return leiden_end(r, ctl, label, n_groups, modularity);
}
