/* The layout's epochs. Sixteen lanes own a cell: they look through its edges sixteen at a time, and
 * evaluate the fired neighbours and their repelling samples, one place a lane, in the order and
 * with the arithmetic of gpu/cpu/layout.c (this file is compiled without fused multiply-add), so
 * that CPU and GPU draw the same map. A cell reads where the others were before the epoch and
 * writes only its own place and its own edges. */
#include "gpu/cuda/cuda.cuh"

#include <vector>

enum { PLACES = 16 };

struct Epoch {
    int64_t n, n_others;
    const int64_t *indptr;
    const int32_t *to;
    const float *period;
    float *next;                /* epoch of each edge's next firing */
    const float *now, *others;  /* places of the cells, of those they meet */
    float *then;                /* where the cells go */
    float a, y, attract, repel; /* of the curve; b - 1; -2ab, 2b */
    float pull, alpha;
    int epoch, negatives;
    uint64_t key;
};

/* base^y for base >= 0 and |y| <= 1: polynomials for log2 on [1, 2) and exp2 on [0, 1), as on the
 * CPU. */
static __device__ float power(float base, float y)
{
    int bits = __float_as_int(base);
    float e = (float)((bits >> 23) - 127);
    float m = __int_as_float((bits & 0x7fffff) | 0x3f800000) - 1.0f;
    float l = 0.04638531f * m - 0.196269528f;
    l = l * m + 0.417595704f;
    l = l * m - 0.709662799f;
    l = l * m + 1.44196561f;
    l = (l * m + e) * y;
    int whole = (int)l;
    whole -= (float)whole > l;
    m = l - (float)whole;
    l = 0.0136976645f * m + 0.0516903599f;
    l = l * m + 0.241638443f;
    l = l * m + 0.692966124f;
    l = l * m + 1.0000037f;
    return l * __int_as_float((whole + 127) << 23);
}
/* 1/x for x > 0: a first guess from the bits, then Newton, as on the CPU. */
static __device__ float reciprocal(float x)
{
    float y = __int_as_float(0x7ef311c3 - __float_as_int(x));
    y = y * (2.0f - x * y);
    y = y * (2.0f - x * y);
    return y * (2.0f - x * y);
}
static __device__ float clip(float v)
{
    v = v > 4.0f ? 4.0f : v;
    return v < -4.0f ? -4.0f : v;
}
/* Over the sixteen lanes, pairs as the CPU adds them. */
static __device__ float sum_places(unsigned mask, float v)
{
    for (int o = PLACES / 2; o > 0; o >>= 1)
        v += __shfl_xor_sync(mask, v, o, PLACES);
    return v;
}

/* Where a lane's sample stands in the cell's sequence of random numbers: state -> mul*state + add.
 */
struct Jump {
    uint64_t mul, add;
};
static __device__ Jump jump(int steps)
{
    Jump j = {1, 0};
    for (int s = 0; s < steps; s++) {
        j.mul *= 6364136223846793005u;
        j.add = j.add * 6364136223846793005u + 1442695040888963407u;
    }
    return j;
}

/* Moves the cell at (x, y) by the place of this lane, which attracts or repels, and those of the
 * fifteen others. A lane at the cell itself does nothing. */
static __device__ void move(const Epoch &s, unsigned mask, float ox, float oy, bool attracts,
                            float *x, float *y)
{
    float dx = *x - ox, dy = *y - oy, d = dx * dx + dy * dy, p1 = power(d, s.y);
    float c = reciprocal((s.a * (p1 * d) + 1.0f) * (attracts ? 1.0f : d + 0.001f));
    c *= attracts ? s.attract * p1 : s.repel;
    float factor = attracts ? s.pull : 1.0f;
    *x += sum_places(mask, clip(dx * c) * factor) * s.alpha;
    *y += sum_places(mask, clip(dy * c) * factor) * s.alpha;
}

__global__ void epoch_kernel(Epoch s)
{
    int lane = threadIdx.x % PLACES, shift = threadIdx.x % 32 / PLACES * PLACES;
    unsigned mask = 0xffffu << shift;
    int group = 1 + s.negatives, most = PLACES / group; /* places of an edge; edges at a time */
    int edge = lane / group, sample = lane % group;     /* sample 0: the neighbour itself */
    Jump mine = jump(edge * s.negatives + sample), all = jump(most * s.negatives);
    int64_t step = (int64_t)gridDim.x * blockDim.x / PLACES;
    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / PLACES; i < s.n;
         i += step) {
        float x = s.now[2 * i], y = s.now[2 * i + 1];
        uint64_t state = counter_key(s.key ^ counter_key((uint64_t)s.epoch << 40 ^ (uint64_t)i));
        int64_t begin = s.indptr[i], end = s.indptr[i + 1];
        int waiting = 0;       /* fired edges that have not moved the cell yet, */
        int32_t neighbour = 0; /* one in each of the first lanes */
        for (int64_t e0 = begin; e0 < end; e0 += PLACES) {
            int64_t e = e0 + lane;
            bool fires = e < end && !(s.next[e] > (float)s.epoch);
            int32_t to = fires ? s.to[e] : 0;
            if (fires)
                s.next[e] += s.period[e];
            unsigned hits = __ballot_sync(mask, fires) >> shift & 0xffffu;
            bool last = e0 + PLACES >= end;
            while (hits || (last && waiting)) {
                for (; hits && waiting < most; hits &= hits - 1, waiting++) {
                    int32_t t = __shfl_sync(mask, to, __ffs(hits) - 1, PLACES);
                    neighbour = lane == waiting ? t : neighbour;
                }
                if (waiting < most && !last)
                    break;
                int32_t t = __shfl_sync(mask, neighbour, edge, PLACES);
                float ox = x, oy = y;
                if (edge < waiting) {
                    int64_t o = sample ? (int64_t)(((mine.mul * state + mine.add) >> 32) *
                                                       (uint64_t)s.n_others >>
                                                   32)
                                       : t;
                    ox = s.others[2 * o];
                    oy = s.others[2 * o + 1];
                }
                move(s, mask, ox, oy, sample == 0, &x, &y);
                state = all.mul * state + all.add;
                waiting = 0;
            }
        }
        if (lane == 0) {
            s.then[2 * i] = x;
            s.then[2 * i + 1] = y;
        }
    }
}

/* Epochs between two looks at the clock: some tens of milliseconds. */
static int epochs_at_once(int64_t edges)
{
    int64_t epochs = (int64_t)100000000 / (edges + 100000);
    return epochs < 1 ? 1 : epochs > 32 ? 32 : (int)epochs;
}

static void run_epochs(Device *d, const Layout *l, Epoch s, float *now, float *then)
{
    int64_t lanes = l->n * PLACES, blocks = (lanes + 255) / 256;
    int at_once = epochs_at_once(l->indptr[l->n]);
    for (int epoch = l->first; epoch < l->epochs && !d->err; epoch++) {
        s.epoch = epoch;
        s.negatives = l->negatives[epoch & 1];
        s.alpha = (l->fixed ? 0.25f : 1.0f) * (1.0f - (float)epoch / (float)l->epochs);
        s.now = now;
        s.others = l->fixed ? s.others : now;
        s.then = then;
        LAUNCH(d, epoch_kernel, (unsigned)(blocks < 1 << 20 ? blocks : 1 << 20), 256, 0, s);
        launched(d, "map");
        float *swap = now;
        now = then;
        then = swap;
        if (epoch % at_once == at_once - 1) {
            d->ops->sync(d);
            if (!device_go_on(&l->watch, (uint64_t)epoch + 1))
                return;
        }
    }
    d->ops->download(d, l->xy, now, (size_t)(2 * l->n) * sizeof(float));
}

/* A device copy of host memory; NULL and a latched error when there is no room. */
static void *copy_in(Device *d, const void *from, size_t bytes)
{
    void *p = cuda_room(d, bytes);
    if (p)
        d->ops->upload(d, p, from, bytes);
    return p;
}

static float *next_firings(Device *d, const Layout *l, size_t edges)
{
    if (l->first <= 0)
        return (float *)copy_in(d, l->period, edges * sizeof(float));
    std::vector<float> next(edges);
    for (size_t e = 0; e < edges; e++)
        next[e] = layout_next(l->period[e], l->first);
    return (float *)copy_in(d, next.data(), edges * sizeof(float));
}

static void cuda_layout(Device *d, const Layout *l)
{
    if (l->n <= 0)
        return;
    size_t n = (size_t)l->n, edges = (size_t)l->indptr[n], places = 2 * n * sizeof(float);
    Epoch s = {};
    s.n = l->n;
    s.n_others = l->fixed ? l->n_others : l->n;
    s.a = (float)l->a, s.y = (float)(l->b - 1);
    s.attract = (float)(-2 * l->a * l->b), s.repel = (float)(2 * l->b);
    s.pull = l->pull;
    s.key = counter_key(l->seed);
    float *now = (float *)copy_in(d, l->xy, places), *then = (float *)copy_in(d, l->xy, places);
    float *fixed = NULL;
    if (l->fixed)
        s.others = fixed = (float *)copy_in(d, l->fixed, 2 * (size_t)l->n_others * sizeof(float));
    s.indptr = (int64_t *)copy_in(d, l->indptr, (n + 1) * sizeof(int64_t));
    s.to = (int32_t *)copy_in(d, l->to, edges * sizeof(int32_t));
    s.period = (float *)copy_in(d, l->period, edges * sizeof(float));
    s.next = next_firings(d, l, edges);
    if (!d->err)
        run_epochs(d, l, s, now, then);
    cuda_free_all(d, now, then, fixed, s.indptr, s.to, s.period, s.next);
}

void layout_fill(DeviceOps *o)
{
    o->layout = cuda_layout;
}
