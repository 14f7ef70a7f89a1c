/* A copy of a matrix by genes, in the cache folder: afterwards any gene's values are one short
 * read. Private to core/data but for dataset_sidecar_* in dataset.h. */
#ifndef SCMM_DATA_SIDECAR_H
#define SCMM_DATA_SIDECAR_H
#include "core/data/dataset_impl.h"

#define SIDECAR_SUFFIX ".by-gene"

typedef struct Sidecar Sidecar;
/* The sidecar of this matrix in this state of its file; NULL when there is none. */
Sidecar *sidecar_open(Dataset *d, const Matrix *m);
void sidecar_close(Sidecar *s); /* NULL ok */
CHECKED Err sidecar_read_gene(Sidecar *s, size_t gene, float *out /* zeroed, [cells] */);
/* The sums of the cells, out[cells]; false: damaged. */
bool sidecar_read_sums(Sidecar *s, double *out);
/* Reads the matrix twice and writes the sidecar; at most 256 MB of memory. A failure leaves nothing
 * behind. */
CHECKED Err sidecar_build(Dataset *d, Matrix *m, JobCtl *ctl);
/* Path of the dataset that a sidecar file belongs to (caller frees); "" when it is none. */
char *sidecar_describe(const char *path);
#endif
