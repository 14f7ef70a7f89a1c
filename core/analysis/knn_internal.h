/* What the exact and the approximate neighbour search share. */
#ifndef SCMM_ANALYSIS_KNN_INTERNAL_H
#define SCMM_ANALYSIS_KNN_INTERNAL_H
#include "core/analysis/knn.h"

/* Allocates out (n = s->m) and runs the search (s without indices, distances and watch); out is only
 * set on OK. */
CHECKED Err knn_run(Device *d, Nearest *s, JobCtl *ctl, Knn *out);
CHECKED Err knn_check(const float *x, size_t n, size_t dim, size_t k);
#endif
