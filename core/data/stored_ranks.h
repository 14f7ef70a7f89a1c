/* Marker genes that a file already has: scanpy's uns/rank_genes_groups, whatever the version that wrote it. */
#ifndef SCMM_DATA_STORED_RANKS_H
#define SCMM_DATA_STORED_RANKS_H
#include "core/data/dataset.h"

typedef struct StoredRanks {
    char *key;       /* element of uns: "rank_genes_groups", or what its writer called it */
    char *groupby;   /* obs column; "" when the file does not say */
    char *method;    /* "wilcoxon", "t-test"; "" when the file does not say */
    char *reference; /* "rest", or the group that all others were compared with */
    size_t n_groups, n; /* groups; genes of each, best first */
    char **groups;   /* [n_groups] as in the obs column */
    char **genes;    /* [n_groups * n] var names; "" where a filter took the gene out */
    /* [n_groups * n], NaN where missing; NULL when the file has none of them: */
    double *scores, *logfoldchanges, *pvals, *pvals_adj;
    double *frac_in, *frac_out; /* share of cells with a value other than 0 (`pts`, `pts_rest`) */
} StoredRanks;
void stored_ranks_free(StoredRanks *r); /* NULL ok */

/* The ranking of obs column `groupby` (NULL: any); of several, "rank_genes_groups" first. ERR_NOT_FOUND when there is
 * none; parts that cannot be read become warnings of the dataset. */
CHECKED Err dataset_stored_ranks(Dataset *d, const char *groupby, JobCtl *ctl, StoredRanks **out);
#endif
