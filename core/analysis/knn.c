/* Exact neighbours: every query against every cell. */
#include "core/analysis/knn_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/on_device.h"
#include "core/base/mem.h"

void knn_done(Knn *k)
{
    free(k->indices);
    free(k->distances);
    *k = (Knn){0};
}

Err knn_run(Device *d, Nearest *s, JobCtl *ctl, Knn *out)
{
    Err err = OK;
    OnDevice on;
    Knn result = {.n = (size_t)s->m, .k = (size_t)s->k, .recall = 1};
    on_device(&on, d, ctl);
    TRY_GOTO(NEW(result.indices, result.n * result.k));
    TRY_GOTO(NEW(result.distances, result.n * result.k));
    s->indices = result.indices;
    s->distances = result.distances;
    s->watch = on_device_watch(&on);
    on.d->ops->nearest(on.d, s);
    TRY_GOTO(on_device_result(&on));
    *out = result;
    result = (Knn){0};
done:
    knn_done(&result);
    return err;
}

static Err run_exact(Device *d, Nearest *s, JobCtl *ctl, Knn *out)
{
    RowRange all = {0, s->n};
    NearestTile *tiles;
    s->n_tiles = (s->m + NEAREST_QUERIES - 1) / NEAREST_QUERIES;
    TRY(NEW(tiles, (size_t)s->n_tiles));
    for (int64_t t = 0; t < s->n_tiles; t++) {
        int64_t q = t * NEAREST_QUERIES, left = s->m - q;
        tiles[t] = (NearestTile){{q, left < NEAREST_QUERIES ? left : NEAREST_QUERIES}, &all, 1};
    }
    s->tiles = tiles;
    Err err = knn_run(d, s, ctl, out);
    free(tiles);
    return err;
}

Err knn_check(const float *x, size_t n, size_t dim, size_t k)
{
    if (n == 0 || dim == 0 || k == 0 || n > INT32_MAX)
        FAIL(ERR_FEW_GENES, "%zu cells in %zu dimensions: no neighbours to find", n, dim);
    for (size_t i = 0; i < n * dim; i++)
        if (!isfinite(x[i]))
            FAIL(ERR_INPUT, "the coordinates of cell %zu are not finite; neighbours need all of them", i / dim);
    return OK;
}

Err knn_exact(Device *d, const float *x, size_t n, size_t dim, size_t k, JobCtl *ctl, Knn *out)
{
    TRY(knn_check(x, n, dim, k));
    if (k > n)
        k = 1 + n / 2;
    Nearest s = {.x = x, .queries = x, .n = (int64_t)n, .m = (int64_t)n, .dim = (int64_t)dim, .k = (int64_t)k,
                 .self = true};
    job_stage(ctl, "neighbours", n);
    return run_exact(d, &s, ctl, out);
}

Err knn_query(Device *d, const float *x, size_t n, const float *queries, size_t m, size_t dim, size_t k,
              JobCtl *ctl, Knn *out)
{
    TRY(knn_check(x, n, dim, k));
    if (m)
        TRY(knn_check(queries, m, dim, k));
    Nearest s = {.x = x, .queries = queries, .n = (int64_t)n, .m = (int64_t)m, .dim = (int64_t)dim,
                 .k = (int64_t)(k < n ? k : n)};
    return run_exact(d, &s, ctl, out);
}

Err knn_build(Device *d, const float *x, size_t n, size_t dim, size_t k, uint64_t seed, JobCtl *ctl, Knn *out)
{
    bool gpu = d && strcmp(d->ops->kind, "cpu") != 0;
    if (n <= (gpu ? KNN_EXACT_CELLS_GPU : KNN_EXACT_CELLS))
        return knn_exact(d, x, n, dim, k, ctl, out);
    return knn_approximate(d, x, n, dim, k, 0.99, seed, ctl, out);
}
