/* Elements of a dataset's file copied into an h5ad file as they are stored, whatever they are: what
 * this program has no use for must not be lost. Private to core/data. */
#ifndef SCMM_DATA_H5AD_COPY_H
#define SCMM_DATA_H5AD_COPY_H
#include "core/data/dataset_impl.h"
#include "core/data/h5_write.h"
#include "core/data/h5ad_write.h"

/* The element at `from` (a path in d's store) to `to`, values and types unchanged, in encodings that
 * anndata 0.8 and later read. What cannot be copied becomes a warning of d that names it; *copied
 * (NULL ok) says which. Fails only when the output cannot be written, or on cancellation. */
CHECKED Err element_copy(Dataset *d, H5Writer *w, const char *from, const char *to, JobCtl *ctl,
                         bool *copied);
/* The members of group `from` whose first axis has `rows` entries (`square`: the second one too).
 * skip(user, name) leaves out members; NULL: none. The group `to` must be there. */
CHECKED Err elements_copy(Dataset *d, H5Writer *w, const char *from, const char *to, size_t rows,
                          bool square, bool (*skip)(void *, const char *), void *user, JobCtl *ctl);
/* obs or var with its readable columns; columns of `add` (its obs; NULL: none) replace and append. */
CHECKED Err frame_copy(Dataset *d, H5Writer *w, Frame *f, const char *to, const H5adContent *add,
                       JobCtl *ctl);
#endif
