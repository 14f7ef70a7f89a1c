/* Writing HDF5 elements with the encodings of current anndata. Private to core/data; h5ad_write.c
 * decides what goes where. Paths as in store.h; groups on the way must have been made. */
#ifndef SCMM_DATA_H5_WRITE_H
#define SCMM_DATA_H5_WRITE_H
#include "core/base/job.h"
#include "core/data/store.h"

typedef struct H5Writer H5Writer; /* h5.h */
/* Truncates the file at path (a temporary one). Large arrays, and what is left for the disk at the end, look at ctl. */
CHECKED Err h5w_create(const char *path, JobCtl *ctl, H5Writer **out);
/* Flushes and closes; the first place where a full disk may show. Frees w in any case. */
CHECKED Err h5w_close(H5Writer *w);
void h5w_abort(H5Writer *w); /* NULL ok */

/* A group with encoding-type and encoding-version ("" and NULL: none). path "" is the root. */
CHECKED Err h5w_group(H5Writer *w, const char *path, const char *type, const char *version);
CHECKED Err h5w_attr_text(H5Writer *w, const char *path, const char *name, const char *text);
CHECKED Err h5w_attr_bool(H5Writer *w, const char *path, const char *name, bool value);
CHECKED Err h5w_attr_ints(H5Writer *w, const char *path, const char *name, const int64_t *v,
                          size_t n);
/* An empty list is written as anndata does, as float64 of length 0. */
CHECKED Err h5w_attr_texts(H5Writer *w, const char *path, const char *name, const char *const *v,
                           size_t n);

typedef enum DiskType {
    DISK_I8,
    DISK_I16,
    DISK_I32,
    DISK_I64,
    DISK_U8,
    DISK_U16,
    DISK_U32,
    DISK_U64,
    DISK_F16,
    DISK_F32,
    DISK_F64,
    DISK_BOOL
} DiskType;
/* From numpy's name; what is not among them (float16, "") gives `otherwise`. */
DiskType disk_type_of(const char *dtype, DiskType otherwise);
/* An array of rank 0 to 2 stored as `disk`, given as `mem`. type: its encoding-type, NULL for none.
 */
CHECKED Err h5w_array(H5Writer *w, const char *path, const char *type, DiskType disk, int rank,
                      const uint64_t *shape, MemType mem, const void *values);
/* An array of numbers of any rank from another file, in slabs. */
CHECKED Err h5w_array_from(H5Writer *w, const char *path, const char *type, DiskType disk, Array *a,
                           JobCtl *ctl);
CHECKED Err h5w_texts(H5Writer *w, const char *path, const char *const *texts, size_t n);
CHECKED Err h5w_text(H5Writer *w, const char *path, const char *text);

/* The array at `from` byte for byte, attributes included; of other stores than HDF5 only records.
 * First in a child when it is not large: the library may crash on damaged ones. */
CHECKED Err h5w_copy_raw(H5Writer *w, Store *s, const char *from, const char *to, JobCtl *ctl);
/* Removes what is at the path; nothing there is fine. */
CHECKED Err h5w_remove(H5Writer *w, const char *path);

/* A one-dimensional array that grows. */
typedef struct H5Stream H5Stream;
/* hint: about how many values will come. */
CHECKED Err h5w_stream_open(H5Writer *w, const char *path, DiskType disk, uint64_t hint,
                            H5Stream **out);
CHECKED Err h5w_stream_add(H5Stream *s, MemType mem, const void *values, size_t n);
CHECKED Err h5w_stream_close(H5Stream *s); /* NULL ok */
#endif
