/* Exact neighbours: tiles of -2 q.r by oneDNN, a vectorised scan against each query's worst candidate,
 * candidates in a heap, then exact distances. A thread owns its queries: no order to race for. */
#include "core/analysis/knn_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/linalg.h"
#include "core/base/mem.h"

enum { QUERIES = KNN_QUERIES, REFS = KNN_REFS, SCAN = 32 };

void knn_done(Knn *k)
{
    free(k->indices);
    free(k->distances);
    *k = (Knn){0};
}

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

/* Exact distances of the candidates of query row q, sorted, the best k kept. */
static void finish_query(const KnnSearch *s, size_t q, const Candidate *heap, Exact *exact)
{
    const float *a = s->queries + q * s->d;
    size_t count = 0, row = s->order && s->self ? (size_t)s->order[q] : q;
    for (size_t c = 0; c < s->heap; c++) {
        if (heap[c].index < 0)
            continue;
        const float *b = s->x + (size_t)heap[c].index * s->d;
        double sum = 0;
        for (size_t i = 0; i < s->d; i++) {
            double diff = (double)a[i] - (double)b[i];
            sum += diff * diff;
        }
        if (s->self && heap[c].index == (int32_t)q)
            sum = -1; /* first whatever its twins */
        exact[count++] = (Exact){sum, s->order ? s->order[heap[c].index] : heap[c].index};
    }
    qsort(exact, count, sizeof *exact, nearer);
    for (size_t j = 0; j < s->k; j++) {
        Exact e = j < count ? exact[j] : (Exact){0, (int32_t)row};
        s->out->indices[row * s->k + j] = e.index;
        s->out->distances[row * s->k + j] = e.distance > 0 ? (float)sqrt(e.distance) : 0;
    }
}

/* Scratch of one thread. */
typedef struct Bench {
    float *product;   /* [QUERIES, REFS] */
    Candidate *heaps; /* [QUERIES, heap] */
    Exact *exact;     /* [heap] */
} Bench;

/* Queries against rows first .. end-1 of x. */
static void search_range(const KnnSearch *s, KnnRange queries, size_t first, size_t end, Bench *w)
{
    for (size_t r = first; r < end; r += REFS) {
        size_t n = end - r < REFS ? end - r : REFS;
        linalg_sgemm_nt(queries.count, n, s->d, -2.0f, s->queries + queries.first * s->d, s->d,
                        s->x + r * s->d, s->d, w->product, REFS);
        for (size_t i = 0; i < queries.count; i++) {
            size_t q = queries.first + i;
            if (s->self && q >= r && q < r + n)
                w->product[i * REFS + q - r] = INFINITY; /* already there */
            offer_row(w->heaps + i * s->heap, s->heap, w->product + i * REFS, s->norms + r, r, n);
        }
    }
}

static void search_tile(const KnnSearch *s, const KnnTile *t, Bench *w, const JobCtl *ctl)
{
    size_t count = t->queries.count, first = t->queries.first;
    for (size_t i = 0; i < count * s->heap; i++)
        w->heaps[i] = (Candidate){INFINITY, -1};
    for (size_t i = 0; s->self && i < count; i++) /* the cell itself takes a place for certain */
        w->heaps[i * s->heap + s->heap - 1] = (Candidate){-INFINITY, (int32_t)(first + i)};
    for (size_t r = 0; r < t->n_refs; r++)
        for (size_t begin = 0; begin < t->refs[r].count && !job_cancelled(ctl); begin += 8 * REFS) {
            size_t end = begin + 8 * REFS < t->refs[r].count ? begin + 8 * REFS : t->refs[r].count;
            search_range(s, t->queries, t->refs[r].first + begin, t->refs[r].first + end, w);
        }
    for (size_t i = 0; i < count && !job_cancelled(ctl); i++)
        finish_query(s, first + i, w->heaps + i * s->heap, w->exact);
}

/* Tiles first .. end-1, each by one thread. */
static Err search_tiles(const KnnSearch *s, const KnnTile *tiles, size_t first, size_t end,
                        const JobCtl *ctl)
{
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        Bench w = {0};
        failed = NEW0(w.product, QUERIES * REFS) || NEW(w.heaps, QUERIES * s->heap) ||
                 NEW(w.exact, s->heap);
#pragma omp for schedule(dynamic, 1)
        for (size_t t = first; t < end; t++)
            if (!failed && !job_cancelled(ctl))
                search_tile(s, &tiles[t], &w, ctl);
        free(w.product);
        free(w.heaps);
        free(w.exact);
    }
    if (failed)
        FAIL(ERR_NOMEM, "out of memory in the neighbour search");
    return OK;
}

static double tile_work(const KnnSearch *s, const KnnTile *t)
{
    double refs = 0;
    for (size_t r = 0; r < t->n_refs; r++)
        refs += (double)t->refs[r].count;
    return refs * (double)t->queries.count * (double)(2 * s->d + 10);
}

Err knn_search(KnnSearch *s, const KnnTile *tiles, size_t n_tiles, JobCtl *ctl)
{
    Err err = OK;
    size_t done = 0;
    /* Spare candidates: float32 products may swap neighbours of nearly equal distance. */
    s->heap = s->k + 8 < s->n ? s->k + 8 : s->n;
    TRY(NEW0(s->norms, s->n + REFS));
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = 0; j < s->d; j++)
            s->norms[i] += s->x[i * s->d + j] * s->x[i * s->d + j];
    for (size_t t = 0, end; t < n_tiles; t = end) {
        double work = 0; /* about 50 ms on two slow cores between two looks at the clock */
        for (end = t; end < n_tiles && (work < 5e9 || end == t); end++) {
            work += tile_work(s, &tiles[end]);
            done += tiles[end].queries.count;
        }
        TRY_GOTO(search_tiles(s, tiles, t, end, ctl));
        TRY_GOTO(job_progress(ctl, done));
    }
done:
    free(s->norms);
    s->norms = NULL;
    return err;
}

Err knn_run(KnnSearch *s, const KnnTile *tiles, size_t n_tiles, JobCtl *ctl, Knn *out)
{
    Err err = OK;
    Knn result = {.n = s->m, .k = s->k, .recall = 1};
    s->out = &result;
    TRY_GOTO(NEW(result.indices, s->m * s->k));
    TRY_GOTO(NEW(result.distances, s->m * s->k));
    TRY_GOTO(knn_search(s, tiles, n_tiles, ctl));
    *out = result;
    result = (Knn){0};
done:
    knn_done(&result);
    return err;
}

Err knn_all_tiles(size_t m, const KnnRange *refs, KnnTile **tiles, size_t *n_tiles)
{
    *n_tiles = (m + QUERIES - 1) / QUERIES;
    TRY(mem_alloc(tiles, *n_tiles, sizeof **tiles));
    for (size_t t = 0; t < *n_tiles; t++) {
        size_t q = t * QUERIES;
        (*tiles)[t] = (KnnTile){{q, m - q < QUERIES ? m - q : QUERIES}, refs, 1};
    }
    return OK;
}

static Err run_exact(KnnSearch *s, JobCtl *ctl, Knn *out)
{
    KnnRange all = {0, s->n};
    KnnTile *tiles;
    size_t n_tiles;
    TRY(knn_all_tiles(s->m, &all, &tiles, &n_tiles));
    Err err = knn_run(s, tiles, n_tiles, ctl, out);
    free(tiles);
    return err;
}

Err knn_check(const float *x, size_t n, size_t d, size_t k)
{
    if (n == 0 || d == 0 || k == 0 || n > INT32_MAX)
        FAIL(ERR_FEW_GENES, "%zu cells in %zu dimensions: no neighbours to find", n, d);
    for (size_t i = 0; i < n * d; i++)
        if (!isfinite(x[i]))
            FAIL(ERR_INPUT, "the coordinates of cell %zu are not finite; neighbours need all of them", i / d);
    return OK;
}

Err knn_exact(const float *x, size_t n, size_t d, size_t k, JobCtl *ctl, Knn *out)
{
    TRY(knn_check(x, n, d, k));
    if (k > n)
        k = 1 + n / 2;
    KnnSearch s = {.x = x, .queries = x, .n = n, .m = n, .d = d, .k = k, .self = true};
    job_stage(ctl, "neighbours", n);
    return run_exact(&s, ctl, out);
}

Err knn_query(const float *x, size_t n, const float *queries, size_t m, size_t d, size_t k, JobCtl *ctl,
              Knn *out)
{
    TRY(knn_check(x, n, d, k));
    if (m)
        TRY(knn_check(queries, m, d, k));
    KnnSearch s = {.x = x, .queries = queries, .n = n, .m = m, .d = d, .k = k < n ? k : n};
    return run_exact(&s, ctl, out);
}

Err knn_build(const float *x, size_t n, size_t d, size_t k, uint64_t seed, JobCtl *ctl, Knn *out)
{
    if (n <= KNN_EXACT_CELLS)
        return knn_exact(x, n, d, k, ctl, out);
    return knn_approximate(x, n, d, k, 0.99, seed, ctl, out);
}
