/* The layout's epochs. A cell's fired edges are taken in turn; the neighbour that attracts and the
 * random cells that repel are evaluated together, two edges (sixteen places) at a time. */
#include "gpu/cpu/analysis.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/device/counter.h"

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

typedef struct Run { /* a Layout at work */
    const Layout *l;
    Force force;
    float *next; /* epoch of each edge's next firing */
    size_t n_others;
    uint64_t key;
} Run;

/* Places collected for one step. */
typedef struct Lanes {
    float x[W] __attribute__((aligned(64))), y[W] __attribute__((aligned(64)));
    float pull[W] __attribute__((aligned(64)));
    int n;
} Lanes;

INLINE void take_step(const Run *r, Lanes *lanes, float *me, float alpha)
{
    for (int t = lanes->n; t < W; t++) {
        lanes->x[t] = me[0];
        lanes->y[t] = me[1];
        lanes->pull[t] = 0;
    }
    move(&r->force, me, (const FW *)lanes->x, (const FW *)lanes->y, (const FW *)lanes->pull, alpha);
    lanes->n = 0;
}

INLINE void add_lane(Lanes *lanes, const float *place, float pull)
{
    lanes->x[lanes->n] = place[0];
    lanes->y[lanes->n] = place[1];
    lanes->pull[lanes->n++] = pull;
}

/* Cell i: reads everyone from `old`, writes its own new place. */
INLINE void move_cell(const Run *r, size_t i, int epoch, float alpha, const float *mine, const float *old,
                      float *out)
{
    const Layout *l = r->l;
    float me[2] = {mine[2 * i], mine[2 * i + 1]};
    uint64_t state = counter_key(r->key ^ counter_key((uint64_t)epoch << 40 ^ i));
    int negatives = l->negatives[epoch & 1];
    Lanes lanes = {.n = 0};
    for (int64_t e = l->indptr[i]; e < l->indptr[i + 1]; e++) {
        if (r->next[e] > (float)epoch)
            continue;
        r->next[e] += l->period[e];
        if (lanes.n + 1 + negatives > W)
            take_step(r, &lanes, me, alpha);
        add_lane(&lanes, old + 2 * (size_t)l->to[e], l->pull);
        for (int s = 0; s < negatives; s++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            add_lane(&lanes, old + 2 * ((state >> 32) * (uint64_t)r->n_others >> 32), 0);
        }
    }
    if (lanes.n)
        take_step(r, &lanes, me, alpha);
    out[2 * i] = me[0];
    out[2 * i + 1] = me[1];
}

KERNEL static void move_cells(const Run *r, size_t first, size_t end, int epoch, float alpha,
                              const float *mine, const float *old, float *out)
{
    for (size_t i = first; i < end; i++)
        move_cell(r, i, epoch, alpha, mine, old, out);
}

/* What the threads of a layout share. They wait for each other asleep, not spinning: an epoch is short,
 * and on a machine that others use too a spinning wait costs more than the work. */
typedef struct Team {
    const Run *r;
    float *now, *then;
    size_t n, batch; /* cells; cells between two looks at the clock */
    int threads;
    pthread_barrier_t meet;
    atomic_size_t next; /* first cell nobody has taken */
    size_t end;
    bool go_on;
} Team;

enum { CELLS = 128, CELLS_PER_THREAD = 512 };

/* One batch of an epoch, by every thread; the first one, which is the caller's, asks whether to go on. False: stop.
 * That is read between the two meetings: after the second the first thread may be in the next batch already. */
static bool work_batch(Team *t, bool first_thread, int epoch, size_t first)
{
    const Layout *l = t->r->l;
    float alpha = 1.0f - (float)epoch / (float)l->epochs;
    if (first_thread) {
        t->go_on = device_go_on(&l->watch, (uint64_t)epoch);
        t->end = first + t->batch < t->n ? first + t->batch : t->n;
        atomic_store(&t->next, t->go_on ? first : t->end);
    }
    pthread_barrier_wait(&t->meet);
    bool go_on = t->go_on;
    for (size_t i; (i = atomic_fetch_add(&t->next, CELLS)) < t->end;)
        move_cells(t->r, i, i + CELLS < t->end ? i + CELLS : t->end, epoch, alpha, t->now,
                   l->fixed ? l->fixed : t->now, t->then);
    pthread_barrier_wait(&t->meet);
    return go_on;
}

static void work_epochs(Team *t, bool first_thread)
{
    for (int epoch = 0; epoch < t->r->l->epochs; epoch++) {
        for (size_t first = 0; first < t->n; first += t->batch)
            if (!work_batch(t, first_thread, epoch, first))
                return;
        if (first_thread) { /* the others read these after the next meeting only */
            float *swap = t->now;
            t->now = t->then;
            t->then = swap;
        }
    }
}

static void run_epochs(const Run *r, float *other)
{
    const Layout *l = r->l;
    size_t n = (size_t)l->n, edges = (size_t)l->indptr[n] + 1, wanted = n / CELLS_PER_THREAD + 1;
    Team t = {.r = r, .now = l->xy, .then = other, .n = n, .batch = n};
    if (edges > 2000000)
        t.batch = (size_t)(2e6 / (double)edges * (double)n) + CELLS;
    t.threads = omp_get_max_threads();
    if ((size_t)t.threads > wanted)
        t.threads = (int)wanted;
#pragma omp parallel num_threads(t.threads)
    {
#pragma omp single
        pthread_barrier_init(&t.meet, NULL, (unsigned)omp_get_num_threads());
        work_epochs(&t, omp_get_thread_num() == 0);
    }
    pthread_barrier_destroy(&t.meet);
    if (t.go_on && t.now != l->xy)
        memcpy(l->xy, t.now, 2 * n * sizeof *l->xy);
}

void cpu_layout(Device *d, const Layout *l)
{
    Run r = {.l = l, .key = counter_key(l->seed), .n_others = (size_t)(l->fixed ? l->n_others : l->n)};
    size_t edges = (size_t)l->indptr[l->n];
    float *other = NULL;
    r.force = (Force){(float)l->a, (float)l->b, (float)(2 * l->a * l->b), (float)(2 * l->b)};
    if (l->n == 0)
        return;
    if (NEW(r.next, edges) || NEW(other, 2 * (size_t)l->n)) {
        cpu_no_memory(d, "the map's layout");
    } else {
        memcpy(r.next, l->period, edges * sizeof *r.next);
        run_epochs(&r, other);
    }
    free(r.next);
    free(other);
}
