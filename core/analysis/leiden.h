/* Leiden communities of a weighted graph (Traag, Waltman and van Eck 2019) by igraph; the only place
 * that sees <igraph.h>. */
#ifndef SCMM_ANALYSIS_LEIDEN_H
#define SCMM_ANALYSIS_LEIDEN_H
#include "core/base/job.h"
#include "core/data/csr.h"

typedef struct LeidenParams {
    double resolution; /* 1 */
    int iterations;    /* 5: a little better than the 2 of scanpy's igraph flavour, for little time */
    uint64_t seed;
} LeidenParams;
LeidenParams leiden_params_default(void);

/* g: symmetric with positive weights. label[n] in 0..*n_groups-1 by falling size (ties: the group with
 * the first cell first). *modularity (resolution 1; NULL ok) is 0 for a graph without edges.
 * Not thread-safe (igraph's generator and handlers are global). Large graphs are clustered in a child process. */
CHECKED Err leiden(const Csr *g, const LeidenParams *p, JobCtl *ctl, int32_t *label, size_t *n_groups,
                   double *modularity);

/* The same in two steps, with other work between them: a large graph's child runs beside it. g stays as it is until the
 * end. Either leiden_end or leiden_stop (NULL ok) releases the run. */
typedef struct LeidenRun LeidenRun;
CHECKED Err leiden_begin(const Csr *g, const LeidenParams *p, LeidenRun **out);
CHECKED Err leiden_end(LeidenRun *r, JobCtl *ctl, int32_t *label, size_t *n_groups, double *modularity);
void leiden_stop(LeidenRun *r);

/* Newman's modularity of a labelling, weights counted, at a resolution. */
double graph_modularity(const Csr *g, const int32_t *label, size_t n_groups, double resolution);
#endif
