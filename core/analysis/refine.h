/* Smoothing per-cell answers over the neighbour graph: P = (I + lambda L)^-1 P0 with L the normalised
 * Laplacian I - D^-1/2 W D^-1/2 (graph regularisation; GRIT, arXiv 2508.04747). */
#ifndef SCMM_ANALYSIS_REFINE_H
#define SCMM_ANALYSIS_REFINE_H
#include "core/base/job.h"
#include "core/data/csr.h"

/* g: symmetric weights [n, n]. p[n, labels] row-major: P0 in, P out (rows no longer sum to exactly 1
 * when degrees differ; unchanged where a cell has no neighbours or lambda is 0). Conjugate gradients to
 * a relative residual of 1e-6, all labels at once; lambda >= 0. */
CHECKED Err graph_smooth(const Csr *g, double lambda, size_t labels, JobCtl *ctl, float *p);
#endif
