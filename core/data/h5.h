/* The few things that h5_*.c files share: quiet error handling, types, and the open file. Included by h5_*.c only,
 * which alone include <hdf5.h>. */
#ifndef SCMM_DATA_H5_H
#define SCMM_DATA_H5_H
#include <hdf5.h>

#include "core/data/store.h"

typedef struct H5Store {
    Store base;
    hid_t file;
    hid_t lapl; /* refuses external links */
} H5Store;

typedef struct H5Array {
    Array base;
    hid_t id, type;
} H5Array;

/* Silences HDF5 on this thread and registers our filters; cheap after the first call. Every entry calls it. */
void h5_quiet(void);
/* The innermost message of the HDF5 error stack of the call that just failed; valid until the next call. */
const char *h5_reason(void);
/* ELEM_*, numpy name. */
void h5_describe_type(hid_t type, ArrayInfo *info);
hid_t h5_mem_type(MemType t);
/* Fails naming the filter, and what brings it, when the array cannot be unpacked here. */
CHECKED Err h5_check_filters(hid_t dcpl, const char *path, double *ratio);
void h5_register_filters(void);

extern const StoreOps h5_store_ops;
#endif
