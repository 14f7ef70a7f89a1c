/* Weights as strips, for panels.c (float32) and halves.c (half precision). */
#ifndef SCMM_GPU_CPU_PANELS_H
#define SCMM_GPU_CPU_PANELS_H
#include "gpu/cpu/cpu.h"

/* Strips that pass over the weights together, so that these are read from the second cache rarely. */
enum { STRIPS = 16, STRIP_ROWS = STRIPS * TILE_ROWS };

struct Panels {
    const TileKernel *kernel;
    int64_t n, k, piece; /* piece: of k */
    float *w;            /* [strips][k][kernel->cols], or NULL and */
    uint32_t *half;      /* [strips][k/2][HALF_COLS], two numbers of k at a time, ... */
    float scale;         /* ... this times them the weights */
};

/* Row i of strip s, in x (packed) or y. */
static inline int64_t strip_row(const PanelRun *r, bool packed, int64_t s)
{
    return packed ? s * TILE_ROWS : r->strip[s].row;
}

/* halves.c: columns [from, to) of the result, from at the beginning of a strip; r->act ACT_RELU is
 * applied, others are not. */
void halves_columns(const Panels *p, const PanelRun *r, int64_t from, int64_t to);
#endif
