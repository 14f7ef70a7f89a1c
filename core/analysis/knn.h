/* k nearest neighbours by Euclidean distance. Exact: blocked matrix products find a few more than k
 * candidates in float32, whose distances are computed again in double, so that the order is right.
 * Equal distances go by cell number. The device does the search (d NULL: the CPU). */
#ifndef SCMM_ANALYSIS_KNN_H
#define SCMM_ANALYSIS_KNN_H
#include "core/base/job.h"
#include "core/device/device.h"
#include <stddef.h>
#include <stdint.h>

typedef struct Knn {
    size_t n, k;
    int32_t *indices; /* [n, k] nearest first */
    float *distances; /* [n, k] */
    double recall;    /* 1 when exact, else measured on a sample */
} Knn;
void knn_done(Knn *k); /* zeroed ok */

/* Neighbours within x[n, dim]. The first of each row is the cell itself, as scanpy counts: k includes
 * it. k is cut as scanpy does when n < k: to 1 + n / 2. */
CHECKED Err knn_exact(Device *d, const float *x, size_t n, size_t dim, size_t k, JobCtl *ctl, Knn *out);
/* Neighbours of queries[m, dim] among x[n, dim]; k is cut to n. */
CHECKED Err knn_query(Device *d, const float *x, size_t n, const float *queries, size_t m, size_t dim, size_t k,
                      JobCtl *ctl, Knn *out);
/* As knn_exact, looking only into lists of cells (k-means) near the cell's own: as many as it takes to find the
 * share `recall` of the true neighbours of 1,000 sampled cells. out->recall is what was measured. */
CHECKED Err knn_approximate(Device *d, const float *x, size_t n, size_t dim, size_t k, double recall, uint64_t seed,
                            JobCtl *ctl, Knn *out);
/* Exact up to KNN_EXACT_CELLS cells (on a GPU, to which products are cheap, KNN_EXACT_CELLS_GPU); above, approximate with recall 0.99. */
CHECKED Err knn_build(Device *d, const float *x, size_t n, size_t dim, size_t k, uint64_t seed, JobCtl *ctl, Knn *out);
enum { KNN_EXACT_CELLS = 120000, KNN_EXACT_CELLS_GPU = 1500000 };
#endif
