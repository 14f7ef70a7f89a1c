/* Formats whose readers are not in yet say so. */
#include "core/data/dataset_impl.h"

Err store_open_zarr(const char *path, Store **out)
{
    FAIL(ERR_INPUT, "is Zarr, which this version does not read yet");
}
