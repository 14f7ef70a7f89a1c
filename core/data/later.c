/* Formats whose readers are not in yet say so. */
#include "core/data/dataset_impl.h"

Err loom_read(Dataset *d, const DatasetOptions *opt)
{
    FAIL(ERR_INPUT, "is a loom file, which this version does not read yet");
}

Err mtx_read(Dataset *d, const DatasetOptions *opt)
{
    FAIL(ERR_INPUT, "is a folder; matrix.mtx folders are not read yet");
}

Err mtx_load(Dataset *d, Matrix *m, JobCtl *ctl)
{
    FAIL(ERR_INPUT, "matrix.mtx is not read yet");
}

Err store_open_zarr(const char *path, Store **out)
{
    FAIL(ERR_INPUT, "is Zarr, which this version does not read yet");
}
