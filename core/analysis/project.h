/* New cells (generated ones, another sample) onto an existing map: neighbours among the reference
 * cells in a common space (PCA scores, a model embedding), then umap's transform. */
#ifndef SCMM_ANALYSIS_PROJECT_H
#define SCMM_ANALYSIS_PROJECT_H
#include "core/base/job.h"
#include "core/device/device.h"
#include <stddef.h>
#include <stdint.h>

typedef struct ProjectParams {
    int neighbors; /* 15 */
    int epochs;    /* of the layout; 0: umap's choice (100 up to 10,000 cells, 30 above); < 0: the weighted mean only */
    double min_dist, spread;
    uint64_t seed;
} ProjectParams;
ProjectParams project_params_default(void);

/* reference[n, dim] and its map ref_xy[n, 2] (cells with NaN are left out); cells[m, dim] in the same
 * space; d NULL: on the CPU. xy[m, 2]. ERR_FEW_GENES when no reference cell has a place. */
CHECKED Err project_cells(Device *d, const float *reference, size_t n, const float *ref_xy, const float *cells,
                          size_t m, size_t dim, const ProjectParams *p, JobCtl *ctl, float *xy);
#endif
