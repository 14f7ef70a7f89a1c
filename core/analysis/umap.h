/* UMAP layout in two dimensions (McInnes, Healy and Melville 2018; umap-learn 0.5's objective, schedule
 * and start). Parallel and deterministic: in each epoch every cell moves itself, reading where the
 * others were at the epoch's beginning, so that nothing depends on who comes first. Up to 250 cells move in turn, on one
 * thread. */
#ifndef SCMM_ANALYSIS_UMAP_H
#define SCMM_ANALYSIS_UMAP_H
#include "core/base/job.h"
#include "core/data/csr.h"
#include "core/device/device.h"
#include <stdbool.h>

typedef struct UmapParams {
    double min_dist, spread; /* 0.5, 1 as scanpy */
    double a, b;             /* 0: fitted from min_dist and spread */
    int epochs;              /* 0: 500 up to 10,000 cells, 200 above */
    int negatives;           /* 5 repelling samples for each attracting one; at most 7 */
    uint64_t seed;
    /* For layouts that go on another time, in umap_layout: where the epochs begin (0: at the start; else xy is what
     * `reached` was given with this number), and who hears of it (NULL ok; as in Layout). */
    int first;
    void (*reached)(void *user, int epoch, const float *xy);
    void *user;
} UmapParams;
UmapParams umap_params_default(void);

/* a and b of 1 / (1 + a x^2b), the least-squares fit to 1 below min_dist, exp(-(x - min_dist) / spread)
 * above, at 300 points up to 3 spread. */
CHECKED Err umap_fit_ab(double min_dist, double spread, double *a, double *b);

/* Spectral start: the second and third eigenvectors of the normalised graph, each component laid out for
 * itself around its place among the others (by its mean in the first two columns of pca[n, k]).
 * xy[n, 2], largest coordinate 10. */
CHECKED Err umap_spectral_start(const Csr *g, const float *pca, size_t k, uint64_t seed, JobCtl *ctl,
                                float *xy);
/* PCA start: the first two columns, largest coordinate 10. */
void umap_pca_start(const float *pca, size_t n, size_t k, uint64_t seed, float *xy);

/* Lays out g (connectivities) from the start in xy[n, 2], in place. d NULL: on the CPU. */
CHECKED Err umap_layout(Device *d, const Csr *g, const UmapParams *p, JobCtl *ctl, float *xy);
/* Places m new cells among n fixed ones: weights[m, k] to the fixed cells neighbours[m, k], as umap's
 * transform: a weighted mean, then p->epochs (0: 100 up to 10,000 cells, 30 above; < 0: none) epochs in which only
 * new cells move. out[m, 2]. */
CHECKED Err umap_place(Device *d, const float *fixed, size_t n, const int32_t *neighbours, const float *weights,
                       size_t m, size_t k, const UmapParams *p, JobCtl *ctl, float *out);
#endif
