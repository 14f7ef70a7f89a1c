/* A sparse matrix and its transpose applied to eight vectors in one pass over the rows. Sums over rows
 * go through lanes: row i belongs to lane (i / LANE_ROWS) % LANES whatever the number of threads, lanes
 * are added in order. */
#include "gpu/cpu/analysis.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum { WIDTH = COVARIANCE_WIDTH, LANES = 16, LANE_ROWS = 64 };
typedef double Row __attribute__((vector_size(WIDTH * sizeof(double)), aligned(8)));

struct HeldRows {
    SparseRows x;
    double *w;     /* [LANES, cols, WIDTH] */
    int64_t chunk; /* rows between two looks at the clock */
};

HeldRows *cpu_hold_rows(Device *d, const SparseRows *x, const DeviceWatch *watch)
{
    (void)watch;
    HeldRows *h = calloc(1, sizeof *h);
    if (h) {
        double per_row = x->rows ? (double)x->indptr[x->rows] / (double)x->rows : 0;
        int64_t per_chunk = (int64_t)(1e6 / (per_row + 1)) / (LANES * LANE_ROWS);
        h->x = *x;
        h->chunk = (per_chunk ? per_chunk : 1) * LANES * LANE_ROWS;
        h->w = malloc((size_t)(LANES * x->cols * WIDTH) * sizeof *h->w);
    }
    if (h && h->w)
        return h;
    free(h);
    cpu_no_memory(d, "the principal components");
    return NULL;
}

void cpu_release_rows(Device *d, HeldRows *h)
{
    (void)d;
    if (h)
        free(h->w);
    free(h);
}

/* w += x' (x v - shift) for rows first .. end-1. */
KERNEL static void cross_rows(const SparseRows *x, int64_t first, int64_t end, const double *v,
                              const double *shift, double *w)
{
    for (int64_t r = first; r < end; r++) {
        Row y = -*(const Row *)shift;
        for (int64_t j = x->indptr[r]; j < x->indptr[r + 1]; j++)
            y += (double)x->values[j] * *(const Row *)(v + (size_t)x->indices[j] * WIDTH);
        for (int64_t j = x->indptr[r]; j < x->indptr[r + 1]; j++)
            *(Row *)(w + (size_t)x->indices[j] * WIDTH) += (double)x->values[j] * y;
    }
}

void cpu_covariance(Device *d, const HeldRows *h, const double *v, const double *shift, double *w,
                    const DeviceWatch *watch)
{
    (void)d;
    int64_t size = h->x.cols * WIDTH;
    memset(h->w, 0, (size_t)(LANES * size) * sizeof *h->w);
    for (int64_t row = 0; row < h->x.rows; row += h->chunk) {
        int64_t stop = row + h->chunk < h->x.rows ? row + h->chunk : h->x.rows;
#pragma omp parallel for schedule(dynamic, 1)
        for (int64_t lane = 0; lane < LANES; lane++)
            for (int64_t i = row + lane * LANE_ROWS; i < stop; i += LANES * LANE_ROWS)
                cross_rows(&h->x, i, i + LANE_ROWS < stop ? i + LANE_ROWS : stop, v, shift,
                           h->w + lane * size);
        if (!device_go_on(watch, 0))
            return;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < size; i++) {
        w[i] = 0;
        for (int64_t lane = 0; lane < LANES; lane++)
            w[i] += h->w[lane * size + i];
    }
}
