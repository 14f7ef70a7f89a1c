/* The fuzzy neighbour graph of UMAP (McInnes et al. 2018) as umap-learn 0.5 builds it and scanpy stores
 * it in obsp/connectivities, and the matrix of distances of obsp/distances. */
#ifndef SCMM_ANALYSIS_GRAPH_H
#define SCMM_ANALYSIS_GRAPH_H
#include "core/analysis/knn.h"
#include "core/data/csr.h"

/* knn: first column the cell itself. Symmetric [n, n], weights in (0, 1], columns ascending. */
CHECKED Err graph_connectivities(const Knn *knn, JobCtl *ctl, Csr *out);
/* k - 1 entries a row (self left out), columns ascending. */
CHECKED Err graph_distances(const Knn *knn, JobCtl *ctl, Csr *out);
/* Membership strengths alone, weights[n, k], before the union of both directions. With self: the first column is the cell
 * itself and gets 0. Without: new cells among others, whose strengths fall from the cell itself on (UMAP's transform). */
CHECKED Err graph_memberships(const Knn *knn, bool self, JobCtl *ctl, float *weights);
/* Connected components: label[n] in 0..*count-1, by first cell. */
CHECKED Err graph_components(const Csr *g, JobCtl *ctl, int32_t *label, size_t *count);
#endif
