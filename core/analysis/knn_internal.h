/* What the exact and the approximate neighbour search share. */
#ifndef SCMM_ANALYSIS_KNN_INTERNAL_H
#define SCMM_ANALYSIS_KNN_INTERNAL_H
#include "core/analysis/knn.h"
#include <stdbool.h>

typedef struct KnnRange { /* rows of x */
    size_t first, count;
} KnnRange;

/* Up to KNN_QUERIES queries against some ranges of references; by one thread. */
enum { KNN_QUERIES = 256, KNN_REFS = 1024 };
typedef struct KnnTile {
    KnnRange queries;
    const KnnRange *refs;
    size_t n_refs;
} KnnTile;

typedef struct KnnSearch {
    const float *x, *queries;
    size_t n, m, d, k;
    bool self;            /* queries are x: the cell itself comes first */
    const int32_t *order; /* the cell that row i of x (and of the queries) is; NULL: i */
    Knn *out;             /* rows by cell */
    /* filled by knn_search: */
    float *norms;
    size_t heap;
} KnnSearch;

/* All tiles; out has its arrays. Queries with fewer than k references fill up with the cell itself. */
CHECKED Err knn_search(KnnSearch *s, const KnnTile *tiles, size_t n_tiles, JobCtl *ctl);
/* Allocates out (n = s->m) and runs the search; out is only set on OK. */
CHECKED Err knn_run(KnnSearch *s, const KnnTile *tiles, size_t n_tiles, JobCtl *ctl, Knn *out);
/* Tiles of the m queries, each against refs; *tiles is freed by the caller. */
CHECKED Err knn_all_tiles(size_t m, const KnnRange *refs, KnnTile **tiles, size_t *n_tiles);
CHECKED Err knn_check(const float *x, size_t n, size_t d, size_t k);
#endif
