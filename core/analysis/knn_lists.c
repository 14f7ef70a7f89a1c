/* Approximate neighbours: the cells are cut into lists by k-means and stored list by list; each list is
 * compared with the lists whose centres are nearest to its own, by the same products as the exact
 * search. How many lists that takes is not guessed: the true neighbours of some sampled cells say. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/knn_internal.h"
#include "core/analysis/linalg.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

enum { ROUNDS = 8, SAMPLE_PER_LIST = 64, PROBES = 1000 };

typedef struct Lists {
    size_t n, d, count;
    float *centres;   /* [count, d] */
    int32_t *list;    /* [n] of each cell */
    size_t *begin;    /* [count + 1] rows of each list in x */
    int32_t *order;   /* [n] the cell that row i is */
    float *x;         /* [n, d] list by list */
    int32_t *near;    /* [count, count] lists by distance of their centres, itself first */
} Lists;

static void lists_done(Lists *l)
{
    free(l->centres);
    free(l->list);
    free(l->begin);
    free(l->order);
    free(l->x);
    free(l->near);
}

/* The nearest centre of each row of x[n, d] into list[n]. */
static Err assign(const float *x, size_t n, size_t d, const float *centres, size_t count, JobCtl *ctl,
                  int32_t *list)
{
    enum { TILE = 256, TILES = 16 };
    int failed = 0;
    float *norms;
    TRY(NEW0(norms, count));
    for (size_t c = 0; c < count; c++)
        for (size_t j = 0; j < d; j++)
            norms[c] += centres[c * d + j] * centres[c * d + j];
    Err err = OK;
    for (size_t first = 0; first < n && !err && !failed; first += TILE * TILES) {
        size_t stop = first + TILE * TILES < n ? first + TILE * TILES : n;
#pragma omp parallel reduction(| : failed)
        {
            float *product = NULL;
            failed = NEW(product, TILE * count);
#pragma omp for schedule(dynamic, 1)
            for (size_t q = first; q < stop; q += TILE) {
                size_t m = stop - q < TILE ? stop - q : TILE;
                if (failed)
                    continue;
                linalg_sgemm_nt(m, count, d, -2.0f, x + q * d, d, centres, d, product, count);
                for (size_t i = 0; i < m; i++) {
                    const float *p = product + i * count;
                    size_t best = 0;
                    for (size_t c = 1; c < count; c++)
                        if (p[c] + norms[c] < p[best] + norms[best])
                            best = c;
                    list[q + i] = (int32_t)best;
                }
            }
            free(product);
        }
        err = job_progress(ctl, 0);
    }
    free(norms);
    if (failed)
        FAIL(ERR_NOMEM, "out of memory in the neighbour search");
    return err;
}

/* Cells by list: order[n], list c from begin[c]. */
static void sort_by_list(const int32_t *list, size_t n, size_t count, size_t *begin, int32_t *order)
{
    memset(begin, 0, (count + 1) * sizeof *begin);
    for (size_t i = 0; i < n; i++)
        begin[list[i] + 1]++;
    for (size_t c = 0; c < count; c++)
        begin[c + 1] += begin[c];
    for (size_t i = 0; i < n; i++)
        order[begin[list[i]]++] = (int32_t)i;
    memmove(begin + 1, begin, count * sizeof *begin);
    begin[0] = 0;
}

/* Centres become the means of their rows; a list without any keeps its centre. */
static void move_centres(const float *x, size_t d, const size_t *begin, const int32_t *order, size_t count,
                         float *centres)
{
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t c = 0; c < count; c++) {
        size_t n = begin[c + 1] - begin[c];
        for (size_t j = 0; n && j < d; j++) {
            double sum = 0;
            for (size_t i = begin[c]; i < begin[c + 1]; i++)
                sum += x[(size_t)order[i] * d + j];
            centres[c * d + j] = (float)(sum / (double)n);
        }
    }
}

/* k-means on a sample, from random cells. */
static Err find_centres(Lists *l, const float *x, uint64_t seed, JobCtl *ctl)
{
    Err err = OK;
    size_t d = l->d, m = l->count * SAMPLE_PER_LIST < l->n ? l->count * SAMPLE_PER_LIST : l->n;
    size_t *chosen = NULL;
    float *sample = NULL;
    Rng rng = rng_make(seed, 0x11575);
    TRY_GOTO(NEW(chosen, l->n));
    TRY_GOTO(NEW(sample, m * d));
    rng_permutation(&rng, l->n, chosen);
    for (size_t i = 0; i < m; i++)
        memcpy(sample + i * d, x + chosen[i] * d, d * sizeof *sample);
    memcpy(l->centres, sample, l->count * d * sizeof *sample);
    for (int round = 0; round < ROUNDS; round++) {
        TRY_GOTO(assign(sample, m, d, l->centres, l->count, ctl, l->list));
        sort_by_list(l->list, m, l->count, l->begin, l->order);
        move_centres(sample, d, l->begin, l->order, l->count, l->centres);
    }
done:
    free(chosen);
    free(sample);
    return err;
}

typedef struct Far {
    float distance;
    int32_t list;
} Far;

static int nearer(const void *a, const void *b)
{
    const Far *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->list < y->list ? -1 : x->list > y->list;
}

static Err rank_lists(Lists *l, JobCtl *ctl)
{
    size_t c = l->count;
    Err err = OK;
    Far *row;
    TRY(NEW(row, c));
    for (size_t a = 0; a < c && !err; a++) {
        for (size_t b = 0; b < c; b++) {
            float sum = 0;
            for (size_t j = 0; j < l->d; j++) {
                float diff = l->centres[a * l->d + j] - l->centres[b * l->d + j];
                sum += diff * diff;
            }
            row[b] = (Far){a == b ? -1 : sum, (int32_t)b};
        }
        qsort(row, c, sizeof *row, nearer);
        for (size_t b = 0; b < c; b++)
            l->near[a * c + b] = row[b].list;
        if (a % 32 == 0)
            err = job_look(ctl);
    }
    free(row);
    return err;
}

static Err make_lists(Lists *l, const float *x, uint64_t seed, JobCtl *ctl)
{
    size_t n = l->n, d = l->d;
    TRY(NEW(l->centres, l->count * d));
    TRY(NEW(l->list, n));
    TRY(NEW(l->begin, l->count + 2));
    TRY(NEW(l->order, n));
    TRY(NEW(l->x, n * d));
    TRY(NEW(l->near, l->count * l->count));
    TRY(find_centres(l, x, seed, ctl));
    TRY(assign(x, n, d, l->centres, l->count, ctl, l->list));
    sort_by_list(l->list, n, l->count, l->begin, l->order);
    for (size_t i = 0; i < n; i++) {
        memcpy(l->x + i * d, x + (size_t)l->order[i] * d, d * sizeof *x);
        if (i % 100000 == 0)
            TRY(job_look(ctl));
    }
    return rank_lists(l, ctl);
}

/* How many of the nearest lists hold the share `recall` of the true neighbours of sampled cells; *reached is
 * the share that those hold. */
static Err choose_lists(Device *dev, const Lists *l, const float *x, size_t k, double recall, uint64_t seed, JobCtl *ctl,
                        size_t *probe, double *reached)
{
    Err err = OK;
    Knn truth = {0};
    float *sample = NULL;
    size_t m = PROBES < l->n ? PROBES : l->n, *at_rank = NULL, found = 0, *cells = NULL;
    int32_t *rank = NULL;
    Rng rng = rng_make(seed, 0x9e0be);
    TRY_GOTO(NEW(sample, m * l->d));
    TRY_GOTO(NEW(cells, m));
    TRY_GOTO(NEW0(at_rank, l->count));
    TRY_GOTO(NEW(rank, l->count));
    for (size_t i = 0; i < m; i++) {
        cells[i] = (size_t)rng_below(&rng, l->n);
        memcpy(sample + i * l->d, x + cells[i] * l->d, l->d * sizeof *x);
    }
    TRY_GOTO(knn_query(dev, x, l->n, sample, m, l->d, k, ctl, &truth));
    for (size_t i = 0; i < m; i++) {
        for (size_t r = 0; r < l->count; r++)
            rank[l->near[(size_t)l->list[cells[i]] * l->count + r]] = (int32_t)r;
        for (size_t j = 0; j < truth.k; j++)
            at_rank[rank[l->list[truth.indices[i * truth.k + j]]]]++;
    }
    *probe = 0;
    while (*probe < l->count && (double)found < recall * (double)(m * truth.k))
        found += at_rank[(*probe)++];
    *reached = (double)found / (double)(m * truth.k);
done:
    knn_done(&truth);
    free(sample);
    free(cells);
    free(at_rank);
    free(rank);
    return err;
}

/* Tiles: the rows of each list, at most NEAREST_QUERIES at a time, against `probe` lists. */
static Err make_tiles(const Lists *l, size_t probe, RowRange **refs, NearestTile **tiles, int64_t *n_tiles)
{
    size_t count = 0;
    for (size_t c = 0; c < l->count; c++)
        count += (l->begin[c + 1] - l->begin[c] + NEAREST_QUERIES - 1) / NEAREST_QUERIES;
    TRY(mem_alloc(refs, l->count * probe, sizeof **refs));
    TRY(mem_alloc(tiles, count, sizeof **tiles));
    *n_tiles = 0;
    for (size_t c = 0; c < l->count; c++) {
        RowRange *r = *refs + c * probe;
        for (size_t p = 0; p < probe; p++) {
            size_t other = (size_t)l->near[c * l->count + p];
            r[p] = (RowRange){(int64_t)l->begin[other], (int64_t)(l->begin[other + 1] - l->begin[other])};
        }
        for (size_t q = l->begin[c]; q < l->begin[c + 1]; q += NEAREST_QUERIES) {
            size_t n = l->begin[c + 1] - q < NEAREST_QUERIES ? l->begin[c + 1] - q : NEAREST_QUERIES;
            (*tiles)[(*n_tiles)++] = (NearestTile){{(int64_t)q, (int64_t)n}, r, (int64_t)probe};
        }
    }
    return OK;
}

Err knn_approximate(Device *dev, const float *x, size_t n, size_t dim, size_t k, double recall, uint64_t seed,
                    JobCtl *ctl, Knn *out)
{
    Err err = OK;
    Lists l = {.n = n, .d = dim};
    RowRange *refs = NULL;
    NearestTile *tiles = NULL;
    size_t probe = 0;
    int64_t n_tiles = 0;
    double reached = 0;
    TRY(knn_check(x, n, dim, k));
    if (k > n)
        k = 1 + n / 2;
    l.count = (size_t)(2 * sqrt((double)n)) + 1;
    if (l.count > n)
        l.count = n;
    job_stage(ctl, "neighbours", n);
    TRY_GOTO(make_lists(&l, x, seed, ctl));
    TRY_GOTO(choose_lists(dev, &l, x, k, recall, seed, ctl, &probe, &reached));
    TRY_GOTO(make_tiles(&l, probe, &refs, &tiles, &n_tiles));
    Nearest s = {.x = l.x, .queries = l.x, .n = (int64_t)n, .m = (int64_t)n, .dim = (int64_t)dim,
                 .k = (int64_t)k, .self = true, .order = l.order, .tiles = tiles, .n_tiles = n_tiles};
    TRY_GOTO(knn_run(dev, &s, ctl, out));
    out->recall = probe == l.count ? 1 : reached;
done:
    lists_done(&l);
    free(refs);
    free(tiles);
    return err;
}
