/* Counts behind a log-normalised matrix. Files often keep only log(1 + count x factor) with a
 * factor of its own for each cell; when every value of a cell is a whole multiple of one number
 * before the logarithm, its counts are known exactly. Private to core/data; the public part is in
 * dataset.h. */
#ifndef SCMM_DATA_RECOVER_H
#define SCMM_DATA_RECOVER_H
#include "core/data/dataset_impl.h"

/* Looks at some cells of the working matrix (called when everything is settled) and says in
 * d->recovery what was found; adds the hidden matrix of counts when it looks possible. */
CHECKED Err recovery_sample(Dataset *d);
/* Rows and genes of the hidden matrix, once recovered. */
CHECKED Err recovery_read_rows(Dataset *d, Matrix *m, size_t row0, size_t n, JobCtl *ctl, Csr *out);
CHECKED Err recovery_read_gene(Dataset *d, Matrix *m, size_t col, JobCtl *ctl, float *out);
void recovery_done(Recovery *r);

/* The number that all of a cell's values are multiples of before the logarithm: 0 when there is
 * none; when all values are the same, so that nothing tells it, minus that value (as if each were a
 * count of 1). eps: rounding of the stored type; ln_base: natural logarithm of the base, 0 when
 * there was none (counts per million); *why (a constant text) on 0 and below. A cell without values has unit 1. */
double recovery_unit(const float *x, size_t n, double ln_base, double eps, const char **why);
#endif
