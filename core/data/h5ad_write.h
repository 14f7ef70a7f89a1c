/* Writing h5ad files as current anndata writes them (encodings of 0.8 and later), through a
 * temporary file that is renamed when it is complete and on the disk. */
#ifndef SCMM_DATA_H5AD_WRITE_H
#define SCMM_DATA_H5AD_WRITE_H
#include "core/base/job.h"
#include "core/data/csr.h"
#include "core/data/dataset.h"
#include "core/data/tree.h"

typedef struct H5adMatrix {
    const char *name;
    const Csr *m;
    bool integer; /* stored as int32, else float32 */
} H5adMatrix;

typedef struct H5adArray {
    const char *name;
    size_t d;
    const float *values; /* [cells, d] row-major */
} H5adArray;

typedef struct H5adBytes { /* the same, stored as int8 */
    const char *name;
    size_t d;
    const int8_t *values;
} H5adBytes;

/* Everything is borrowed; zeros mean there is none. */
typedef struct H5adContent {
    size_t cells, genes;
    const Csr *x; /* NULL: no X */
    bool x_integer;
    const char *const *cell_names, *const *gene_names;
    const Column *const *obs;
    size_t n_obs;
    const Column *const *var;
    size_t n_var;
    const H5adArray *obsm;
    size_t n_obsm;
    const H5adBytes *obsm_bytes;
    size_t n_obsm_bytes;
    const H5adMatrix *obsp; /* cells x cells, stored as float32 */
    size_t n_obsp;
    const H5adMatrix *layers;
    size_t n_layers;
    const Tree *uns;
} H5adContent;

/* ERR_GENERAL when it cannot be written (full disk, permission, exists without force), and no file
 * is left. */
CHECKED Err h5ad_write(const char *path, const H5adContent *c, bool force, JobCtl *ctl);

typedef enum H5adCopy {
    H5AD_AS_IT_IS,  /* X, raw and layers where the input has them */
    H5AD_MODEL_IN_X /* the model (else working) matrix with its own genes in X; layers of the same
                       shape; no raw */
} H5adCopy;
/* The readable content of d, streamed, with obs, var (where var stays the file's), obsm, obsp and uns of `add` on top
 * (same names replace; its x, names and layers are not used; NULL: nothing to add). What is left out becomes a
 * warning of d. */
CHECKED Err h5ad_write_copy(Dataset *d, const char *path, H5adCopy how, const H5adContent *add,
                            bool force, JobCtl *ctl);
#endif
