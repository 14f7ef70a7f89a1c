/* The layout's epochs. A cell's fired edges are taken in turn; the neighbour that attracts and the
 * random cells that repel are evaluated together, two edges (sixteen places) at a time. gpu/cuda/layout.cu does the same
 * arithmetic in the same order, one place a lane: what changes here changes there. */
#include "gpu/cpu/analysis.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/device/counter.h"

/* ---- sixteen gradients at a time ---- */

enum { W = 16, SLOTS = 4 };
#define INLINE static inline __attribute__((always_inline)) /* into each processor's version */
typedef float FW __attribute__((vector_size(W * 4)));
typedef int32_t IW __attribute__((vector_size(W * 4)));
/* a where the mask is -1, b where it is 0. */
#define PICK(mask, a, b) ((FW)(((IW)(a) & (mask)) | ((IW)(b) & ~(mask))))

/* A step of one cell is a chain of some fifty operations, each waiting for the one before. The same operation of several
 * cells follows one another here, which fills that wait. */
#define EACH_SLOT _Pragma("GCC unroll 8") for (int k = 0; k < SLOTS; k++)

/* base^y for base >= 0 and |y| <= 1, to 2e-5 (0 counts as 2^-127): polynomials for log2 on [1, 2) and exp2 on [0, 1). */
INLINE void power(const FW *base, float y, FW *out)
{
    FW e[SLOTS], m[SLOTS], l[SLOTS];
    IW whole[SLOTS];
    EACH_SLOT e[k] = __builtin_convertvector(((IW)base[k] >> 23) - 127, FW);
    EACH_SLOT m[k] = (FW)(((IW)base[k] & 0x7fffff) | 0x3f800000) - 1.0f;
    EACH_SLOT l[k] = 0.04638531f * m[k] - 0.196269528f;
    EACH_SLOT l[k] = l[k] * m[k] + 0.417595704f;
    EACH_SLOT l[k] = l[k] * m[k] - 0.709662799f;
    EACH_SLOT l[k] = l[k] * m[k] + 1.44196561f;
    EACH_SLOT l[k] = (l[k] * m[k] + e[k]) * y;
    EACH_SLOT whole[k] = __builtin_convertvector(l[k], IW);
    /* floor: comparisons give -1 */
    EACH_SLOT whole[k] += (IW)(__builtin_convertvector(whole[k], FW) > l[k]);
    EACH_SLOT m[k] = l[k] - __builtin_convertvector(whole[k], FW);
    EACH_SLOT l[k] = 0.0136976645f * m[k] + 0.0516903599f;
    EACH_SLOT l[k] = l[k] * m[k] + 0.241638443f;
    EACH_SLOT l[k] = l[k] * m[k] + 0.692966124f;
    EACH_SLOT l[k] = l[k] * m[k] + 1.0000037f;
    EACH_SLOT out[k] = l[k] * (FW)((whole[k] + 127) << 23);
}

/* 1/x for x > 0, to 1e-5: a first guess from the bits, then Newton. A division takes as long as all the rest. */
INLINE void reciprocal(const FW *x, FW *out)
{
    FW y[SLOTS];
    EACH_SLOT y[k] = (FW)(0x7ef311c3 - (IW)x[k]);
    EACH_SLOT y[k] = y[k] * (2.0f - x[k] * y[k]);
    EACH_SLOT y[k] = y[k] * (2.0f - x[k] * y[k]);
    EACH_SLOT out[k] = y[k] * (2.0f - x[k] * y[k]);
}

INLINE void clip(FW *v)
{
    EACH_SLOT v[k] = PICK(v[k] > 4.0f, (FW){0} + 4.0f, v[k]);
    EACH_SLOT v[k] = PICK(v[k] < -4.0f, (FW){0} - 4.0f, v[k]);
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

/* The force between a cell and the one of a lane is (up1 p1 + up0) / ((down0 + down1 d) (1 + a d p1)) times their
 * difference, with d their squared distance and p1 = d^(b-1): attraction -2ab p1 / (1 + a d^b), repulsion
 * 2b / ((0.001 + d) (1 + a d^b)). An edge takes a lane that attracts and those of its samples behind it. */
typedef struct Force {
    FW up1, up0, down0, down1, factor; /* factor: after clipping */
    float a, y;                        /* y = b - 1 */
    int stride;                        /* lanes of an edge */
} Force;

static void force_init(Force *f, const Layout *l, int negatives)
{
    *f = (Force){.a = (float)l->a, .y = (float)(l->b - 1), .stride = 1 + negatives};
    for (int i = 0; i < W; i++) {
        bool attracts = i % f->stride == 0;
        f->up1[i] = attracts ? (float)(-2 * l->a * l->b) : 0;
        f->up0[i] = attracts ? 0 : (float)(2 * l->b);
        f->down0[i] = attracts ? 1 : 0.001f;
        f->down1[i] = attracts ? 0 : 1;
        f->factor[i] = attracts ? l->pull : 1;
    }
}

/* Places collected for a step of a cell at x, y; lanes that nobody fills stay there and do nothing. */
typedef struct Lanes {
    FW ox, oy;
    float x, y;
} Lanes;

/* A step of the cells of all slots. */
INLINE void move(const Force *f, Lanes *s, float alpha)
{
    FW dx[SLOTS], dy[SLOTS], d[SLOTS], p1[SLOTS], c[SLOTS];
    EACH_SLOT dx[k] = s[k].x - s[k].ox;
    EACH_SLOT dy[k] = s[k].y - s[k].oy;
    EACH_SLOT d[k] = dx[k] * dx[k] + dy[k] * dy[k];
    power(d, f->y, p1);
    EACH_SLOT c[k] = (f->a * (p1[k] * d[k]) + 1.0f) * (f->down1 * d[k] + f->down0);
    reciprocal(c, c);
    EACH_SLOT c[k] *= f->up1 * p1[k] + f->up0;
    EACH_SLOT dx[k] *= c[k];
    EACH_SLOT dy[k] *= c[k];
    clip(dx);
    clip(dy);
    EACH_SLOT dx[k] *= f->factor;
    EACH_SLOT dy[k] *= f->factor;
    EACH_SLOT s[k].x += sum(&dx[k]) * alpha;
    EACH_SLOT s[k].y += sum(&dy[k]) * alpha;
}

/* ---- epochs ---- */

typedef struct Run { /* a Layout at work */
    Force force[2]; /* of even and odd epochs */
    const Layout *l;
    float *next; /* epoch of each edge's next firing */
    size_t n_others;
    uint64_t key;
} Run;

enum { FIRED = 64 };

/* The cell of a slot on its way through an epoch. */
typedef struct Walk {
    size_t i;
    int64_t e, end; /* its edges that were not looked at */
    uint64_t state;
    int at, n;           /* of fired: those that were taken, all */
    int32_t fired[FIRED]; /* ends of fired edges */
} Walk;

typedef struct Epoch {
    const Force *force;
    int number;
    float alpha;
    const float *mine, *old; /* places before, of these cells and of those that act on them */
    float *out;
} Epoch;

INLINE void start_cell(const Run *r, const Epoch *p, size_t i, Walk *w, Lanes *s)
{
    w->i = i;
    w->e = r->l->indptr[i];
    w->end = r->l->indptr[i + 1];
    w->state = counter_key(r->key ^ counter_key((uint64_t)p->number << 40 ^ i));
    w->at = w->n = 0;
    s->x = p->mine[2 * i];
    s->y = p->mine[2 * i + 1];
}

/* Looks for more fired edges. Which ones fire cannot be foreseen, so nothing branches on it. */
INLINE bool find_fired(const Run *r, const Epoch *p, Walk *w)
{
    float now = (float)p->number, *next = r->next;
    const float *period = r->l->period;
    const int32_t *to = r->l->to;
    int n = 0;
    for (; w->e + W <= w->end && n + W <= FIRED; w->e += W) {
        FW t, step;
        memcpy(&t, next + w->e, sizeof t);
        memcpy(&step, period + w->e, sizeof step);
        IW fires = t <= now;
        t += (FW)(fires & (IW)step);
        memcpy(next + w->e, &t, sizeof t);
        for (int j = 0; j < W; j++) {
            w->fired[n] = to[w->e + j];
            n -= fires[j];
        }
    }
    for (; w->e < w->end && n < FIRED; w->e++) {
        int fires = next[w->e] <= now;
        w->fired[n] = to[w->e];
        n += fires;
        next[w->e] += (float)fires * period[w->e];
    }
    w->at = 0;
    w->n = n;
    return n > 0;
}

/* Collects the cell's next fired edges, as many as a step takes. False: none is left. */
INLINE bool fill_lanes(const Run *r, const Epoch *p, Walk *w, Lanes *s)
{
    int stride = p->force->stride, n = 0;
    uint64_t state = w->state, others = r->n_others;
    float *x = (float *)&s->ox, *y = (float *)&s->oy;
    const float *old = p->old;
    s->ox = (FW){0} + s->x;
    s->oy = (FW){0} + s->y;
    for (; n + stride <= W && (w->at < w->n || find_fired(r, p, w)); n += stride) {
        const float *place = old + 2 * (size_t)w->fired[w->at++];
        x[n] = place[0];
        y[n] = place[1];
        for (int k = 1; k < stride; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            place = old + 2 * ((state >> 32) * others >> 32);
            x[n + k] = place[0];
            y[n + k] = place[1];
        }
    }
    w->state = state;
    return n > 0;
}

/* Cells first .. end-1: each reads everyone from `old` and writes its own new place. */
KERNEL static void move_cells(const Run *r, size_t first, size_t end, const Epoch *p)
{
    Walk walk[SLOTS];
    Lanes slot[SLOTS] = {0};
    int busy = 0; /* the first slots have a cell */
    for (; busy < SLOTS && first < end; busy++)
        start_cell(r, p, first++, &walk[busy], &slot[busy]);
    while (busy > 0) {
        for (int k = 0; k < busy; k++)
            while (k < busy && !fill_lanes(r, p, &walk[k], &slot[k])) {
                p->out[2 * walk[k].i] = slot[k].x;
                p->out[2 * walk[k].i + 1] = slot[k].y;
                if (first < end) {
                    start_cell(r, p, first++, &walk[k], &slot[k]);
                } else {
                    walk[k] = walk[--busy];
                    slot[k] = slot[busy];
                }
            }
        move(p->force, slot, p->alpha);
    }
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
    if (first_thread) {
        t->go_on = device_go_on(&l->watch, (uint64_t)epoch);
        t->end = first + t->batch < t->n ? first + t->batch : t->n;
        atomic_store(&t->next, t->go_on ? first : t->end);
    }
    pthread_barrier_wait(&t->meet);
    bool go_on = t->go_on;
    Epoch p = {&t->r->force[epoch & 1], epoch, (l->fixed ? 0.25f : 1.0f) * (1.0f - (float)epoch / (float)l->epochs), t->now,
               l->fixed ? l->fixed : t->now, t->then};
    for (size_t i; (i = atomic_fetch_add(&t->next, CELLS)) < t->end;)
        move_cells(t->r, i, i + CELLS < t->end ? i + CELLS : t->end, &p);
    pthread_barrier_wait(&t->meet);
    return go_on;
}

static void work_epochs(Team *t, bool first_thread)
{
    const Layout *l = t->r->l;
    for (int epoch = l->first; epoch < l->epochs; epoch++) {
        if (first_thread && l->reached)
            l->reached(l->user, epoch, t->now);
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
    for (int odd = 0; odd < 2; odd++)
        force_init(&r.force[odd], l, l->negatives[odd]);
    if (l->n == 0)
        return;
    if (NEW(r.next, edges) || NEW(other, 2 * (size_t)l->n)) {
        cpu_no_memory(d, "the map's layout");
    } else {
        for (size_t e = 0; e < edges; e++)
            r.next[e] = layout_next(l->period[e], l->first);
        run_epochs(&r, other);
    }
    free(r.next);
    free(other);
}
