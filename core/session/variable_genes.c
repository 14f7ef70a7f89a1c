/* Which matrix holds counts, and the variable genes of cells in either flavour: of the whole matrix or of some cells. */
#include "core/session/session_analysis.h"

Err analysis_counts(Session *s, const char *what, JobCtl *ctl, Rows *rows)
{
    int matrix, counts = -1;
    TRY(session_working_matrix(s, &matrix));
    const MatrixInfo *info = dataset_matrix(s->dataset, (size_t)matrix);
    if (info->state == STATE_COUNTS)
        counts = matrix;
    else if (info->state == STATE_LOGNORM)
        TRY(dataset_recover_counts(s->dataset, ctl, &counts));
    if (counts < 0)
        FAIL(ERR_FEW_GENES, "%s: holds no counts; %s them", info->name, what);
    *rows = rows_of_dataset(s->dataset, counts, false);
    return OK;
}

Err analysis_variable_genes(Session *s, const Rows *rows, const ClusterParams *p, JobCtl *ctl, Hvg *out)
{
    Rows counts;
    if (!p->seurat_v3)
        return hvg_seurat(rows, (size_t)p->hvg, ctl, out);
    TRY(analysis_counts(s, "seurat_v3 chooses genes by", ctl, &counts));
    counts.pick = rows->pick;
    counts.n = rows->n;
    return hvg_seurat_v3(&counts, (size_t)p->hvg, 0.3, ctl, out);
}
