/* Projection: knn, memberships, weighted mean, a few epochs. */
#include "core/analysis/project.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/graph.h"
#include "core/analysis/umap.h"
#include "core/base/mem.h"

ProjectParams project_params_default(void)
{
    return (ProjectParams){.neighbors = 15, .min_dist = 0.5, .spread = 1};
}

/* The reference cells that have a place, packed. */
static Err placed_cells(const float *reference, size_t n, const float *ref_xy, size_t d, float **x,
                        float **xy, size_t *count)
{
    *count = 0;
    TRY(NEW(*x, n * d));
    TRY(NEW(*xy, 2 * n));
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(ref_xy[2 * i]) || !isfinite(ref_xy[2 * i + 1]))
            continue;
        memcpy(*x + *count * d, reference + i * d, d * sizeof **x);
        memcpy(*xy + 2 * *count, ref_xy + 2 * i, 2 * sizeof **xy);
        ++*count;
    }
    if (*count == 0)
        FAIL(ERR_FEW_GENES, "no cell of the reference has a place on the map");
    return OK;
}

/* umap-learn's transform normalises each new cell's weights to at most 1 but not to a sum: the layout
 * only needs their ratio; the mean divides by the sum itself. */
Err project_cells(Device *d, const float *reference, size_t n, const float *ref_xy, const float *cells,
                  size_t m, size_t dim, const ProjectParams *p, JobCtl *ctl, float *xy)
{
    Err err = OK;
    float *x = NULL, *places = NULL, *weights = NULL;
    size_t count;
    Knn knn = {0};
    UmapParams u = umap_params_default();
    if (m == 0)
        return OK;
    TRY_GOTO(placed_cells(reference, n, ref_xy, dim, &x, &places, &count));
    job_stage(ctl, "neighbours", m);
    TRY_GOTO(knn_query(d, x, count, cells, m, dim, p->neighbors > 0 ? (size_t)p->neighbors : 15, ctl, &knn));
    TRY_GOTO(NEW(weights, knn.n * knn.k));
    TRY_GOTO(graph_memberships(&knn, false, ctl, weights));
    u.min_dist = p->min_dist;
    u.spread = p->spread;
    u.seed = p->seed;
    u.epochs = p->epochs;
    TRY_GOTO(umap_place(d, places, count, knn.indices, weights, m, knn.k, &u, ctl, xy));
done:
    free(x);
    free(places);
    free(weights);
    knn_done(&knn);
    return err;
}
