/* Nearest rows: tiles of -2 q.r by oneDNN, a vectorised scan against each query's worst candidate,
 * candidates in a heap, then exact distances. A thread owns its queries: no order to race for. */
#include "gpu/cpu/analysis.h"

#include <dnnl.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"

enum { QUERIES = NEAREST_QUERIES, REFS = 1024, SCAN = 32 };

typedef struct Candidate {
    float distance; /* squared, without the query's own norm */
    int32_t index;
} Candidate;

/* Max-heap of `size` candidates: the root is the worst. */
static void heap_replace_root(Candidate *h, size_t size, Candidate c)
{
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= size)
            break;
        if (child + 1 < size && h[child + 1].distance > h[child].distance)
            child++;
        if (h[child].distance <= c.distance)
            break;
        h[i] = h[child];
        i = child;
    }
    h[i] = c;
}

/* Adds norms to a row of products and reports, for each run of SCAN, whether any is below limit. */
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3"), noinline)) static unsigned
scan_row(float *product, const float *norms, size_t n, float limit)
{
    unsigned hits = 0;
    for (size_t j = 0; j < n; j += SCAN) {
        int any = 0;
        for (size_t t = 0; t < SCAN; t++) {
            product[j + t] += norms[j + t];
            any |= product[j + t] < limit;
        }
        hits |= (unsigned)(any != 0) << (j / SCAN);
    }
    return hits;
}

static void offer_row(Candidate *heap, size_t size, float *product, const float *norms, size_t first,
                      size_t n)
{
    unsigned hits = scan_row(product, norms, (n + SCAN - 1) / SCAN * SCAN, heap[0].distance);
    for (; hits; hits &= hits - 1) {
        size_t j = (size_t)__builtin_ctz(hits) * SCAN, end = j + SCAN < n ? j + SCAN : n;
        for (; j < end; j++)
            if (product[j] < heap[0].distance)
                heap_replace_root(heap, size, (Candidate){product[j], (int32_t)(first + j)});
    }
}

typedef struct Exact {
    double distance;
    int32_t index;
} Exact;

static int nearer(const void *a, const void *b)
{
    const Exact *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

typedef struct Search {
    const Nearest *s;
    float *norms; /* [n + REFS] squared, of x */
    size_t heap;  /* candidates kept for a query */
} Search;

/* Exact distances of the candidates of query row q, sorted, the best k kept. */
static void finish_query(const Search *f, int64_t q, const Candidate *heap, Exact *exact)
{
    const Nearest *s = f->s;
    const float *a = s->queries + q * s->dim;
    int64_t row = s->order && s->self ? s->order[q] : q, count = 0;
    for (size_t c = 0; c < f->heap; c++) {
        if (heap[c].index < 0)
            continue;
        const float *b = s->x + heap[c].index * s->dim;
        double sum = 0;
        for (int64_t i = 0; i < s->dim; i++) {
            double diff = (double)a[i] - (double)b[i];
            sum += diff * diff;
        }
        if (s->self && heap[c].index == (int32_t)q)
            sum = -1; /* first whatever its twins */
        exact[count++] = (Exact){sum, s->order ? s->order[heap[c].index] : heap[c].index};
    }
    qsort(exact, (size_t)count, sizeof *exact, nearer);
    for (int64_t j = 0; j < s->k; j++) {
        Exact e = j < count ? exact[j] : (Exact){0, (int32_t)row};
        s->indices[row * s->k + j] = e.index;
        s->distances[row * s->k + j] = e.distance > 0 ? sqrtf((float)e.distance) : 0; /* scikit-learn's rounding */
    }
}

/* Scratch of one thread. */
typedef struct Bench {
    float *product;   /* [QUERIES, REFS] */
    Candidate *heaps; /* [QUERIES, heap] */
    Exact *exact;     /* [heap] */
} Bench;

/* Queries against rows first .. end-1 of x. */
static void search_range(const Search *f, RowRange queries, int64_t first, int64_t end, Bench *w)
{
    const Nearest *s = f->s;
    for (int64_t r = first; r < end; r += REFS) {
        int64_t n = end - r < REFS ? end - r : REFS;
        dnnl_sgemm('N', 'T', queries.count, n, s->dim, -2.0f, s->queries + queries.first * s->dim, s->dim,
                   s->x + r * s->dim, s->dim, 0.0f, w->product, REFS);
        for (int64_t i = 0; i < queries.count; i++) {
            int64_t q = queries.first + i;
            if (s->self && q >= r && q < r + n)
                w->product[i * REFS + q - r] = INFINITY; /* already there */
            offer_row(w->heaps + (size_t)i * f->heap, f->heap, w->product + i * REFS, f->norms + r,
                      (size_t)r, (size_t)n);
        }
    }
}

static void search_tile(const Search *f, const NearestTile *t, Bench *w)
{
    const DeviceWatch *watch = &f->s->watch;
    size_t count = (size_t)t->queries.count;
    for (size_t i = 0; i < count * f->heap; i++)
        w->heaps[i] = (Candidate){INFINITY, -1};
    for (size_t i = 0; f->s->self && i < count; i++) /* the row itself takes a place for certain */
        w->heaps[i * f->heap + f->heap - 1] = (Candidate){-INFINITY, (int32_t)(t->queries.first + (int64_t)i)};
    for (int64_t r = 0; r < t->n_refs; r++)
        for (int64_t begin = 0; begin < t->refs[r].count && !device_stopped(watch); begin += 8 * REFS) {
            int64_t end = begin + 8 * REFS < t->refs[r].count ? begin + 8 * REFS : t->refs[r].count;
            search_range(f, t->queries, t->refs[r].first + begin, t->refs[r].first + end, w);
        }
    for (size_t i = 0; i < count && !device_stopped(watch); i++)
        finish_query(f, t->queries.first + (int64_t)i, w->heaps + i * f->heap, w->exact);
}

/* Tiles first .. end-1, each by one thread. False: no memory. */
static bool search_tiles(const Search *f, int64_t first, int64_t end)
{
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        Bench w = {0};
        failed = NEW0(w.product, QUERIES * REFS) || NEW(w.heaps, QUERIES * f->heap) ||
                 NEW(w.exact, f->heap);
#pragma omp for schedule(dynamic, 1)
        for (int64_t t = first; t < end; t++)
            if (!failed && !device_stopped(&f->s->watch))
                search_tile(f, &f->s->tiles[t], &w);
        free(w.product);
        free(w.heaps);
        free(w.exact);
    }
    return !failed;
}

static double tile_work(const Nearest *s, const NearestTile *t)
{
    double refs = 0;
    for (int64_t r = 0; r < t->n_refs; r++)
        refs += (double)t->refs[r].count;
    return refs * (double)t->queries.count * (double)(2 * s->dim + 10);
}

void cpu_nearest(Device *d, const Nearest *s)
{
    int64_t done = 0;
    /* Spare candidates: float32 products may swap neighbours of nearly equal distance. */
    Search f = {.s = s, .heap = (size_t)(s->k + 8 < s->n ? s->k + 8 : s->n)};
    bool go_on = !NEW0(f.norms, (size_t)s->n + REFS);
    if (!go_on)
        cpu_no_memory(d, "the neighbour search");
    for (int64_t i = 0; go_on && i < s->n; i++)
        for (int64_t j = 0; j < s->dim; j++)
            f.norms[i] += s->x[i * s->dim + j] * s->x[i * s->dim + j];
    for (int64_t t = 0, end; go_on && t < s->n_tiles; t = end) {
        double work = 0; /* about 30 ms on two slow cores between two looks at the clock */
        for (end = t; end < s->n_tiles && (work < 3e9 || end == t); end++) {
            work += tile_work(s, &s->tiles[end]);
            done += s->tiles[end].queries.count;
        }
        if (!search_tiles(&f, t, end)) {
            cpu_no_memory(d, "the neighbour search");
            break;
        }
        go_on = device_go_on(&s->watch, (uint64_t)done);
    }
    free(f.norms);
}
