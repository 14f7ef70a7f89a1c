/* The layout's epochs. A cell's fired edges are taken in turn; the neighbour that attracts and the
 * random cells that repel are evaluated together, two edges (sixteen places) at a time. */
#include "core/analysis/umap.h"

#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/linalg.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

UmapParams umap_params_default(void)
{
    return (UmapParams){.min_dist = 0.5, .spread = 1, .negatives = 5};
}

/* ---- a and b ---- */

enum { CURVE_POINTS = 300 };

static double curve_error(const double *x, const double *y, double a, double b)
{
    double sum = 0;
    for (int i = 0; i < CURVE_POINTS; i++) {
        double r = y[i] - 1 / (1 + a * pow(x[i], 2 * b));
        sum += r * r;
    }
    return sum;
}

/* Normal equations of one Gauss-Newton step, the diagonal raised by the factor 1 + damping. */
static Err curve_step(const double *x, const double *y, double a, double b, double damping, double *step)
{
    double h[4] = {0};
    step[0] = step[1] = 0;
    for (int i = 1; i < CURVE_POINTS; i++) { /* x = 0: no slope */
        double p = pow(x[i], 2 * b), f = 1 / (1 + a * p), r = y[i] - f;
        double da = -f * f * p, db = -f * f * a * p * 2 * log(x[i]);
        h[0] += da * da;
        h[1] += da * db;
        h[3] += db * db;
        step[0] += da * r;
        step[1] += db * r;
    }
    h[0] *= 1 + damping;
    h[3] *= 1 + damping;
    h[2] = h[1];
    return linalg_solve_spd(2, h, step);
}

Err umap_fit_ab(double min_dist, double spread, double *a_out, double *b_out)
{
    double x[CURVE_POINTS], y[CURVE_POINTS], a = 1, b = 1, damping = 1e-3;
    if (!(spread > 0) || !(min_dist >= 0) || min_dist > 3 * spread)
        FAIL(ERR_USAGE, "min_dist %g and spread %g: need spread > 0 and 0 <= min_dist <= 3 spread",
             min_dist, spread);
    for (int i = 0; i < CURVE_POINTS; i++) {
        x[i] = 3 * spread * i / (CURVE_POINTS - 1);
        y[i] = x[i] < min_dist ? 1 : exp(-(x[i] - min_dist) / spread);
    }
    double error = curve_error(x, y, a, b);
    for (int i = 0; i < 500; i++) {
        double step[2];
        TRY(curve_step(x, y, a, b, damping, step));
        double next = a + step[0] > 0 && b + step[1] > 0 ? curve_error(x, y, a + step[0], b + step[1])
                                                         : INFINITY;
        if (next > error) {
            damping = damping * 10 + 1e-12;
            continue;
        }
        a += step[0];
        b += step[1];
        damping /= 10;
        error = next;
        if (fabs(step[0]) < 1e-12 * a && fabs(step[1]) < 1e-12 * b)
            break;
    }
    *a_out = a;
    *b_out = b;
    return OK;
}

/* ---- sixteen gradients at a time ---- */

enum { W = 16 };
#define INLINE static inline __attribute__((always_inline)) /* into each processor's version */
typedef float FW __attribute__((vector_size(W * 4)));
typedef int32_t IW __attribute__((vector_size(W * 4)));
#define ALL(x) ((x) - (FW){0}) /* a number in every lane */
/* a where the mask is -1, b where it is 0. */
#define PICK(mask, a, b) ((FW)(((IW)(a) & (mask)) | ((IW)(b) & ~(mask))))

/* base^y for base > 0, to about 1e-6 y log2(base): polynomials for log2 on [1, 2) and exp2 on [0, 1). */
INLINE void power(const FW *base, float y, FW *out)
{
    IW bits = (IW)*base;
    FW e = __builtin_convertvector((bits >> 23) - 127, FW);
    FW m = (FW)((bits & 0x7fffff) | 0x3f800000) - 1.0f;
    FW l = 0.02001665f * m - 0.09462681f;
    l = l * m + 0.21394321f;
    l = l * m - 0.3383772f;
    l = l * m + 0.47749636f;
    l = l * m - 0.72114409f;
    l = l * m + 1.44269298f;
    FW z = (l * m + e) * y;
    z = PICK(z < -126.0f, ALL(-126.0f), z);
    z = PICK(z > 126.0f, ALL(126.0f), z);
    IW whole = __builtin_convertvector(z, IW);
    whole += (IW)(__builtin_convertvector(whole, FW) > z); /* floor: comparisons give -1 */
    FW f = z - __builtin_convertvector(whole, FW);
    FW p = 0.00189375f * f + 0.00894959f;
    p = p * f + 0.05586034f;
    p = p * f + 0.24014182f;
    p = p * f + 0.69315449f;
    p = p * f + 0.9999999f;
    *out = p * (FW)((whole + 127) << 23);
}

typedef struct Force {
    float a, b;
    float attract, repel; /* 2ab and 2b */
} Force;

INLINE void clip(FW *v)
{
    *v = PICK(*v > 4.0f, ALL(4.0f), *v);
    *v = PICK(*v < -4.0f, ALL(-4.0f), *v);
}

INLINE float sum(const FW *v)
{
    typedef float F8 __attribute__((vector_size(32)));
    typedef float F4 __attribute__((vector_size(16)));
    F8 a, b;
    memcpy(&a, v, sizeof a);
    memcpy(&b, (const char *)v + sizeof a, sizeof b);
    a += b;
    F4 c, d;
    memcpy(&c, &a, sizeof c);
    memcpy(&d, (const char *)&a + sizeof c, sizeof d);
    c += d;
    return (c[0] + c[2]) + (c[1] + c[3]);
}

/* Moves one cell at `me` by places (ox, oy): lanes where pull is not 0 attract (times pull), the others
 * repel. A lane at `me` itself does nothing. */
INLINE void move(const Force *f, float *me, const FW *ox, const FW *oy, const FW *pull, float alpha)
{
    FW dx = me[0] - *ox, dy = me[1] - *oy, d = dx * dx + dy * dy, p1, p;
    IW zero = d <= 0.0f;
    d = PICK(zero, ALL(1.0f), d);
    power(&d, f->b - 1, &p1); /* d is squared: distance^(2(b-1)), distance^2b */
    p = p1 * d;
    FW bottom = f->a * p + 1.0f;
    IW attracts = *pull > 0.0f;
    FW top = PICK(attracts, f->attract * p1, ALL(f->repel));
    FW c = top / (PICK(attracts, ALL(1.0f), 0.001f + d) * bottom);
    c = PICK(zero, ALL(0.0f), c);
    FW gx = c * dx, gy = c * dy, way = PICK(attracts, -*pull, ALL(1.0f));
    clip(&gx);
    clip(&gy);
    gx *= way;
    gy *= way;
    me[0] += sum(&gx) * alpha;
    me[1] += sum(&gy) * alpha;
}

/* ---- epochs ---- */

typedef struct Layout {
    Force force;
    size_t n;              /* cells that move */
    const int64_t *indptr; /* [n + 1] edges of each */
    const int32_t *to;     /* rows of `others` */
    float *period, *next;  /* epochs between two firings; epoch of the next */
    size_t n_others;
    bool halves;           /* few cells: steps half as large, twice as many */
    float pull;            /* 2 when both ends move by each edge, 1 when only this one does, or by halves */
    int negatives[2];      /* of a firing in even and odd epochs */
    uint64_t seed;
} Layout;

INLINE uint64_t mix(uint64_t z) /* splitmix64's finaliser */
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Places collected for one step. */
typedef struct Lanes {
    float x[W] __attribute__((aligned(64))), y[W] __attribute__((aligned(64)));
    float pull[W] __attribute__((aligned(64)));
    int n;
} Lanes;

INLINE void take_step(const Layout *l, Lanes *lanes, float *me, float alpha)
{
    for (int t = lanes->n; t < W; t++) {
        lanes->x[t] = me[0];
        lanes->y[t] = me[1];
        lanes->pull[t] = 0;
    }
    move(&l->force, me, (const FW *)lanes->x, (const FW *)lanes->y, (const FW *)lanes->pull, alpha);
    lanes->n = 0;
}

INLINE void add_lane(Lanes *lanes, const float *place, float pull)
{
    lanes->x[lanes->n] = place[0];
    lanes->y[lanes->n] = place[1];
    lanes->pull[lanes->n++] = pull;
}

/* Cell i: reads everyone from `old`, writes its own new place. */
INLINE void move_cell(const Layout *l, size_t i, int epoch, float alpha, const float *mine,
                      const float *old, float *out)
{
    float me[2] = {mine[2 * i], mine[2 * i + 1]};
    uint64_t state = mix(l->seed ^ mix((uint64_t)epoch << 40 ^ i));
    int negatives = l->negatives[epoch & 1];
    Lanes lanes = {.n = 0};
    for (int64_t e = l->indptr[i]; e < l->indptr[i + 1]; e++) {
        if (l->next[e] > (float)epoch)
            continue;
        l->next[e] += l->period[e];
        if (lanes.n + 1 + negatives > W)
            take_step(l, &lanes, me, alpha);
        add_lane(&lanes, old + 2 * (size_t)l->to[e], l->pull);
        for (int s = 0; s < negatives; s++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            add_lane(&lanes, old + 2 * ((state >> 32) * (uint64_t)l->n_others >> 32), 0);
        }
    }
    if (lanes.n)
        take_step(l, &lanes, me, alpha);
    out[2 * i] = me[0];
    out[2 * i + 1] = me[1];
}

__attribute__((target_clones("avx512f", "avx2", "default"), noinline)) static void
move_cells(const Layout *l, size_t first, size_t end, int epoch, float alpha, const float *mine,
           const float *old, float *out)
{
    for (size_t i = first; i < end; i++)
        move_cell(l, i, epoch, alpha, mine, old, out);
}

/* What the threads of a layout share. They wait for each other asleep, not spinning: an epoch is short,
 * and on a machine that others use too a spinning wait costs more than the work. */
typedef struct Team {
    const Layout *l;
    int epochs;
    const float *fixed;
    float *now, *then;
    size_t batch; /* cells between two looks at the clock */
    int threads;
    pthread_barrier_t meet;
    atomic_size_t next; /* first cell nobody has taken */
    size_t end;
    Err err;
} Team;

enum { CELLS = 128, CELLS_PER_THREAD = 512 };

/* One batch of an epoch, by every thread; the first one looks after cancellation. False: stop. Whether to stop is read
 * between the two meetings: after the second the first thread may be in the next batch already. */
static bool work_batch(Team *t, bool first_thread, JobCtl *ctl, int epoch, size_t first)
{
    const Layout *l = t->l;
    float alpha = 1.0f - (float)epoch / (float)t->epochs;
    if (first_thread) {
        t->err = job_progress(ctl, (size_t)epoch);
        t->end = first + t->batch < l->n ? first + t->batch : l->n;
        atomic_store(&t->next, t->err ? t->end : first);
    }
    pthread_barrier_wait(&t->meet);
    bool go_on = t->err == OK;
    for (size_t i; (i = atomic_fetch_add(&t->next, CELLS)) < t->end;)
        move_cells(l, i, i + CELLS < t->end ? i + CELLS : t->end, epoch, alpha, t->now,
                   t->fixed ? t->fixed : t->now, t->then);
    pthread_barrier_wait(&t->meet);
    return go_on;
}

static void work_epochs(Team *t, bool first_thread, JobCtl *ctl)
{
    for (int epoch = 0; epoch < t->epochs; epoch++) {
        for (size_t first = 0; first < t->l->n; first += t->batch)
            if (!work_batch(t, first_thread, ctl, epoch, first))
                return;
        if (first_thread) { /* the others read these after the next meeting only */
            float *swap = t->now;
            t->now = t->then;
            t->then = swap;
        }
    }
}

/* Runs all epochs; the moving cells are in a[n, 2] at the end. `fixed` NULL: they move among themselves. */
static Err run_epochs(const Layout *l, int epochs, const float *fixed, JobCtl *ctl, float *a, float *b)
{
    size_t edges = (size_t)l->indptr[l->n] + 1, wanted = l->n / CELLS_PER_THREAD + 1;
    Team t = {.l = l, .epochs = epochs, .fixed = fixed, .now = a, .then = b, .batch = l->n};
    if (edges > 2000000)
        t.batch = (size_t)(2e6 / (double)edges * (double)l->n) + CELLS;
    if (l->n == 0)
        return OK;
    job_stage(ctl, "map", (size_t)epochs);
    t.threads = omp_get_max_threads();
    if ((size_t)t.threads > wanted)
        t.threads = (int)wanted;
#pragma omp parallel num_threads(t.threads)
    {
#pragma omp single
        pthread_barrier_init(&t.meet, NULL, (unsigned)omp_get_num_threads());
        work_epochs(&t, omp_get_thread_num() == 0, ctl);
    }
    pthread_barrier_destroy(&t.meet);
    if (!t.err && t.now != a)
        memcpy(a, t.now, 2 * l->n * sizeof *a);
    return t.err;
}

/* Moving everybody at the same time, each by both pulls of an edge, costs maps of few cells with hubs up to 0.005 of
 * trustworthiness: there the pulls come one by one. */
enum { HALVES_CELLS = 2000 };

static int default_epochs(size_t n)
{
    return n <= 10000 ? 500 : 200;
}

/* Fills period and next from weights w; edges that would never fire get period 0 and are
 * dropped by the caller before. */
static void schedule_edges(Layout *l, const float *w, size_t n_edges, float w_max)
{
    for (size_t e = 0; e < n_edges; e++) {
        l->period[e] = w_max / w[e];
        l->next[e] = l->period[e];
    }
}

static Err prepare(Layout *l, const UmapParams *p, size_t n_edges)
{
    double a = p->a, b = p->b;
    if (a == 0 || b == 0)
        TRY(umap_fit_ab(p->min_dist, p->spread, &a, &b));
    l->force = (Force){(float)a, (float)b, (float)(2 * a * b), (float)(2 * b)};
    int negatives = p->negatives < 1 ? 1 : p->negatives > W / 2 - 1 ? W / 2 - 1 : p->negatives;
    l->negatives[0] = l->halves ? negatives / 2 : negatives;
    l->negatives[1] = negatives - (l->halves ? negatives / 2 : 0);
    l->seed = mix(p->seed);
    TRY(NEW(l->period, n_edges));
    return NEW(l->next, n_edges);
}

static void release(Layout *l)
{
    free(l->period);
    free(l->next);
}

/* Each axis to 0..10, as umap-learn does before the epochs. */
static void to_ten(float *xy, size_t n)
{
    for (int d = 0; d < 2; d++) {
        float lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            lo = fminf(lo, xy[2 * i + d]);
            hi = fmaxf(hi, xy[2 * i + d]);
        }
        for (size_t i = 0; i < n; i++)
            xy[2 * i + d] = hi > lo ? 10 * (xy[2 * i + d] - lo) / (hi - lo) : 5;
    }
}

Err umap_layout(const Csr *g, const UmapParams *p, JobCtl *ctl, float *xy)
{
    Err err = OK;
    size_t n = g->rows, kept = 0;
    int epochs = p->epochs > 0 ? p->epochs : default_epochs(n);
    float w_max = 0, *w = NULL, *other = NULL;
    int64_t *indptr = NULL;
    int32_t *to = NULL;
    bool halves = n <= HALVES_CELLS;
    Layout l = {.n = n, .n_others = n, .halves = halves, .pull = halves ? 1 : 2};
    for (size_t e = 0; e < csr_nnz(g); e++)
        w_max = fmaxf(w_max, g->values[e]);
    TRY_GOTO(NEW(w, csr_nnz(g)));
    TRY_GOTO(NEW(to, csr_nnz(g)));
    TRY_GOTO(NEW0(indptr, n + 1));
    TRY_GOTO(NEW(other, 2 * n));
    for (size_t i = 0; i < n; i++) {
        for (int64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++)
            if (g->values[e] > 0 && g->values[e] >= w_max / (float)(epochs > 10 ? epochs : 500)) {
                w[kept] = g->values[e];
                to[kept++] = g->indices[e];
            }
        indptr[i + 1] = (int64_t)kept;
        if (i % 100000 == 0)
            TRY_GOTO(job_look(ctl));
    }
    l.indptr = indptr;
    l.to = to;
    if (l.halves)
        epochs *= 2;
    TRY_GOTO(prepare(&l, p, kept));
    schedule_edges(&l, w, kept, w_max);
    TRY_GOTO(job_look(ctl));
    to_ten(xy, n);
    TRY_GOTO(run_epochs(&l, epochs, NULL, ctl, xy, other));
done:
    release(&l);
    free(w);
    free(to);
    free(indptr);
    free(other);
    return err;
}

Err umap_place(const float *fixed, size_t n, const int32_t *neighbours, const float *weights, size_t m,
               size_t k, const UmapParams *p, JobCtl *ctl, float *out)
{
    Err err = OK;
    int epochs = p->epochs ? p->epochs : default_epochs(m) / 3;
    float w_max = 0, *w = NULL, *other = NULL;
    int64_t *indptr = NULL;
    int32_t *to = NULL;
    size_t kept = 0;
    Layout l = {.n = m, .n_others = n, .pull = 1};
    for (size_t e = 0; e < m * k; e++)
        w_max = fmaxf(w_max, weights[e]);
    TRY_GOTO(NEW(w, m * k));
    TRY_GOTO(NEW(to, m * k));
    TRY_GOTO(NEW0(indptr, m + 1));
    TRY_GOTO(NEW(other, 2 * m));
    for (size_t i = 0; i < m; i++) {
        double sum = 0, x = 0, y = 0;
        for (size_t j = 0; j < k; j++) {
            float v = weights[i * k + j];
            size_t at = (size_t)neighbours[i * k + j];
            if (!isfinite(fixed[2 * at]) || !isfinite(fixed[2 * at + 1]))
                continue; /* a reference cell without a place */
            sum += v;
            x += v * fixed[2 * at];
            y += v * fixed[2 * at + 1];
            if (epochs > 0 && v > 0 && v >= w_max / (float)epochs) {
                w[kept] = v;
                to[kept++] = (int32_t)at;
            }
        }
        indptr[i + 1] = (int64_t)kept;
        out[2 * i] = sum > 0 ? (float)(x / sum) : NAN;
        out[2 * i + 1] = sum > 0 ? (float)(y / sum) : NAN;
    }
    if (epochs <= 0)
        goto done;
    l.indptr = indptr;
    l.to = to;
    TRY_GOTO(prepare(&l, p, kept));
    schedule_edges(&l, w, kept, w_max);
    TRY_GOTO(run_epochs(&l, epochs, fixed, ctl, out, other));
done:
    release(&l);
    free(w);
    free(to);
    free(indptr);
    free(other);
    return err;
}
