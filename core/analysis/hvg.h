/* Highly variable genes as scanpy 1.11 defines them (seurat: Satija et al. 2015; seurat_v3: Stuart et
 * al. 2019). Genes stream past once (seurat) or twice (seurat_v3). */
#ifndef SCMM_ANALYSIS_HVG_H
#define SCMM_ANALYSIS_HVG_H
#include "core/analysis/rows.h"

typedef struct Hvg {
    size_t genes;       /* columns looked at */
    size_t n;           /* selected */
    int32_t *selected;  /* [n] ascending columns */
    double *means;      /* [genes] seurat: log1p of the mean; seurat_v3: mean count */
    double *dispersion; /* [genes] seurat: normalised dispersion, NaN where undefined; seurat_v3:
                           variance of the standardised, clipped counts */
} Hvg;
void hvg_done(Hvg *h); /* zeroed ok */

/* rows: log-normalised (or counts with rows->normalize). The `top` genes by normalised dispersion in
 * 20 bins of mean expression; genes tied with the last are kept too, as scanpy does. */
CHECKED Err hvg_seurat(const Rows *rows, size_t top, JobCtl *ctl, Hvg *out);
/* rows: counts, not normalised. span: of the loess fit, 0.3 in scanpy. */
CHECKED Err hvg_seurat_v3(const Rows *rows, size_t top, double span, JobCtl *ctl, Hvg *out);

/* Local regression of y on x (degree 2, tricube weights, nearest span*n points) evaluated at x, with
 * the interpolation of Cleveland's dloess, which seurat_v3 is defined by: exact fits at the vertices
 * of a k-d tree, cubic blending between them. n >= 4; ERR_INPUT when a window has too few different x. */
CHECKED Err loess_fit(size_t n, const double *x, const double *y, double span, double *fitted);
#endif
