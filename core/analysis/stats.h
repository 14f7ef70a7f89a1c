/* Tail probabilities and the correction for many tests. */
#ifndef SCMM_ANALYSIS_STATS_H
#define SCMM_ANALYSIS_STATS_H
#include "core/base/err.h"
#include <stddef.h>

/* P(|Z| >= |z|), Z standard normal. */
double stats_normal_two_sided(double z);
/* P(|T| >= |t|), T Student with df > 0 degrees of freedom (not necessarily whole); relative error
 * below 1e-9 down to the smallest double. */
double stats_student_two_sided(double t, double df);
/* Benjamini and Hochberg (1995): adjusted[i] for pvals[i], i < n, elements `stride` apart in both. */
CHECKED Err stats_adjust_bh(const double *pvals, size_t n, size_t stride, double *adjusted);
#endif
