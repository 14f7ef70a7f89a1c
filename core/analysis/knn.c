/* Exact neighbours: tiles of -2 q.r by oneDNN, a vectorised scan against each query's worst candidate,
 * candidates in a heap, then exact distances. A thread owns its queries: no order to race for. */
#include "core/analysis/knn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/linalg.h"
#include "core/base/mem.h"

enum { QUERIES = 256, REFS = 1024, SCAN = 32 };

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

typedef struct Search {
    const float *x, *queries, *norms; /* norms [n padded] */
    size_t n, m, d, k, heap;
    bool self; /* queries are x: the cell itself comes first */
    Knn *out;
} Search;

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

/* Exact distances of the candidates, sorted, the best k kept. */
static void finish_query(const Search *s, size_t q, const Candidate *heap, Exact *exact)
{
    const float *a = s->queries + q * s->d;
    size_t count = 0;
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
        exact[count++] = (Exact){sum, heap[c].index};
    }
    qsort(exact, count, sizeof *exact, nearer);
    for (size_t j = 0; j < s->k; j++) {
        s->out->indices[q * s->k + j] = exact[j].index;
        s->out->distances[q * s->k + j] = exact[j].distance > 0 ? (float)sqrt(exact[j].distance) : 0;
    }
}

/* Queries first .. first+count-1 against all references. */
static void search_tile(const Search *s, size_t first, size_t count, float *product, Candidate *heaps,
                        Exact *exact, const JobCtl *ctl)
{
    for (size_t i = 0; i < count * s->heap; i++)
        heaps[i] = (Candidate){INFINITY, -1};
    for (size_t i = 0; s->self && i < count; i++) /* the cell itself takes a place for certain */
        heaps[i * s->heap + s->heap - 1] = (Candidate){-INFINITY, (int32_t)(first + i)};
    for (size_t r = 0; r < s->n && !job_cancelled(ctl); r += REFS) {
        size_t n = s->n - r < REFS ? s->n - r : REFS;
        linalg_sgemm_nt(count, n, s->d, -2.0f, s->queries + first * s->d, s->d, s->x + r * s->d, s->d,
                        product, REFS);
        for (size_t i = 0; i < count; i++) {
            if (s->self && first + i >= r && first + i < r + n)
                product[i * REFS + first + i - r] = INFINITY; /* already there */
            offer_row(heaps + i * s->heap, s->heap, product + i * REFS, s->norms + r, r, n);
        }
    }
    for (size_t i = 0; i < count && !job_cancelled(ctl); i++)
        finish_query(s, first + i, heaps + i * s->heap, exact);
}

static Err allocation_failed(void)
{
    return err_set(ERR_NOMEM, "out of memory in the neighbour search");
}

/* Tiles first .. end-1, each by one thread. */
static Err search_tiles(const Search *s, size_t first, size_t end, const JobCtl *ctl)
{
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *product = NULL;
        Candidate *heaps = NULL;
        Exact *exact = NULL;
        failed = NEW0(product, QUERIES * REFS) || NEW(heaps, QUERIES * s->heap) || NEW(exact, s->heap);
#pragma omp for schedule(dynamic, 1)
        for (size_t t = first; t < end; t++) {
            size_t q = t * QUERIES, count = s->m - q < QUERIES ? s->m - q : QUERIES;
            if (!failed && !job_cancelled(ctl))
                search_tile(s, q, count, product, heaps, exact, ctl);
        }
        free(product);
        free(heaps);
        free(exact);
    }
    return failed ? allocation_failed() : OK;
}

static Err search(Search *s, JobCtl *ctl)
{
    Err err = OK;
    float *norms = NULL;
    size_t tiles = (s->m + QUERIES - 1) / QUERIES;
    TRY_GOTO(NEW0(norms, s->n + REFS));
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = 0; j < s->d; j++)
            norms[i] += s->x[i * s->d + j] * s->x[i * s->d + j];
    s->norms = norms;
    /* Between two progress calls about 50 ms on two slow cores, but enough tiles for many cores. */
    size_t step = (size_t)(5e9 / ((double)s->n * (double)s->d * 2 * QUERIES)) + 1;
    for (size_t t = 0; t < tiles; t += step) {
        TRY_GOTO(job_progress(ctl, t * QUERIES));
        TRY_GOTO(search_tiles(s, t, t + step < tiles ? t + step : tiles, ctl));
    }
    TRY_GOTO(job_progress(ctl, s->m));
done:
    free(norms);
    return err;
}

static Err run_search(Search *s, JobCtl *ctl, Knn *out)
{
    Err err = OK;
    Knn result = {.n = s->m, .k = s->k, .recall = 1};
    /* Spare candidates: float32 products may swap neighbours of nearly equal distance. */
    s->heap = s->k + 8 < s->n ? s->k + 8 : s->n;
    s->out = &result;
    TRY_GOTO(NEW(result.indices, s->m * s->k));
    TRY_GOTO(NEW(result.distances, s->m * s->k));
    TRY_GOTO(search(s, ctl));
    *out = result;
    result = (Knn){0};
done:
    knn_done(&result);
    return err;
}

static Err check_input(const float *x, size_t n, size_t d, size_t k)
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
    TRY(check_input(x, n, d, k));
    if (k > n)
        k = 1 + n / 2;
    Search s = {.x = x, .queries = x, .n = n, .m = n, .d = d, .k = k, .self = true};
    job_stage(ctl, "neighbours", n);
    return run_search(&s, ctl, out);
}

Err knn_query(const float *x, size_t n, const float *queries, size_t m, size_t d, size_t k, JobCtl *ctl,
              Knn *out)
{
    TRY(check_input(x, n, d, k));
    if (m)
        TRY(check_input(queries, m, d, k));
    Search s = {.x = x, .queries = queries, .n = n, .m = m, .d = d, .k = k < n ? k : n};
    return run_search(&s, ctl, out);
}

Err knn_build(const float *x, size_t n, size_t d, size_t k, uint64_t seed, JobCtl *ctl, Knn *out)
{
    return knn_exact(x, n, d, k, ctl, out);
}
