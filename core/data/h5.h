/* The few things that h5_*.c files share: quiet error handling, types, and the open file. Included
 * by h5_*.c only, which alone include <hdf5.h>. */
#ifndef SCMM_DATA_H5_H
#define SCMM_DATA_H5_H
#include <hdf5.h>

#include "core/data/chunked.h"
#include "core/data/h5_write.h"
#include "core/data/store.h"

typedef struct H5Store {
    Store base;
    hid_t file;
    hid_t lapl;  /* refuses external links unless follow */
    bool follow; /* values in other files are read */
} H5Store;

enum { H5_MOST_FILTERS = 6, H5_MOST_CD = 16 };

typedef struct H5ChunkFilter {
    int id;
    size_t n_cd;
    unsigned cd[H5_MOST_CD];
    H5Z_func_t unpack; /* ours, NULL for those of libhdf5 */
} H5ChunkFilter;

typedef struct H5Array {
    Array base;
    hid_t id, type;
    bool own_chunks; /* read by h5_chunks.c */
    bool plain;      /* numbers as h5_chunks.c knows them; `chunked` says how to convert them */
    int fd;          /* of the file, once asked for; borrowed */
    ArrayPart place; /* the chunk that was looked up last */
    Chunked chunked;
    H5ChunkFilter filters[H5_MOST_FILTERS];
    int n_filters;
} H5Array;

/* Silences HDF5 on this thread and registers our filters; cheap after the first call. Every entry
 * calls it. */
void h5_quiet(void);
/* The innermost message of the HDF5 error stack of the call that just failed; valid until the next
 * call. */
const char *h5_reason(void);
/* ELEM_*, numpy name. */
void h5_describe_type(hid_t type, ArrayInfo *info);
hid_t h5_mem_type(MemType t);
/* Fails naming the filter, and what brings it, when the array cannot be unpacked here. */
CHECKED Err h5_check_filters(hid_t dcpl, const char *path, double *ratio);
void h5_register_filters(void);
/* ---- h5_outside.c ---- */
/* External storage or a virtual dataset. */
bool h5_lies_outside(hid_t dcpl);
/* Size of the files that the values are in. */
double h5_bytes_behind(hid_t dataset, hid_t dcpl);
/* Unpacked bytes of the chunks that come next: the bound for our filters. */
void h5_expect_chunk(size_t bytes);
/* Our function that unpacks this filter, NULL when it is none of ours. */
H5Z_func_t h5_own_filter(int id);
/* Prepares a->chunked and a->plain; false: the chunks, if any, must be read by H5Dread. */
bool h5_chunks_setup(H5Array *a, hid_t dcpl);
/* As in StoreOps. */
bool h5_part(Array *base, uint64_t at, ArrayPart *out);
bool h5_part_read(const Array *base, const ArrayPart *p, uint64_t first, uint64_t n, MemType type,
                  void *out);

/* ---- h5_attr.c ---- */
/* The path, "/" for the root. */
const char *h5_path(const char *path);
/* Opens a group or dataset without following links out of the file; less than 0 when it cannot be.
 */
hid_t h5_object(Store *base, const char *path);
/* The memory type for texts of this file type; *size: bytes of one, 0 for variable length. */
hid_t h5_string_type(hid_t file_type, size_t *size);
/* n fixed-size texts to allocated ones; texts that HDF5 allocated made clean. */
CHECKED Err h5_split_fixed(const char *block, size_t size, size_t n, char **out);
void h5_adopt_texts(char **out, size_t n);
/* As in StoreOps. */
CHECKED Err h5_attr_texts(Store *base, const char *path, const char *attr, char ***texts,
                          size_t *n);
CHECKED Err h5_attr_ints(Store *base, const char *path, const char *attr, int64_t *out, size_t cap,
                         size_t *n);
char *h5_attr_target(Store *base, const char *path, const char *attr);

/* A transfer list with which variable-length texts take no more than *left bytes (h5_store.c); closed
 * by the caller. */
hid_t h5_text_transfer(uint64_t *left);

extern const StoreOps h5_store_ops;

/* ---- h5_write.c, for h5_copy.c ---- */
struct H5Writer {
    hid_t file;
    int fd;          /* of the same file; -1: none */
    uint64_t synced; /* bytes on their way to the disk */
    JobCtl *ctl;
};
/* On the way through large arrays: sends what was written to the disk and looks at the job. */
CHECKED Err h5w_look(H5Writer *w);
/* ERR_GENERAL with HDF5's reason; the same when status is less than 0. */
CHECKED Err h5w_failed(const char *path);
CHECKED Err h5w_check(herr_t status, const char *path);
/* encoding-type (NULL: none) and encoding-version. */
CHECKED Err h5w_encode(H5Writer *w, const char *path, const char *type, const char *version);
hid_t h5w_text_type(void);       /* UTF-8 of any length; closed by the caller */
hid_t h5w_disk_type(DiskType t); /* closed by the caller for DISK_BOOL only */
hid_t h5w_create_dataset(H5Writer *w, const char *path, hid_t type, hid_t space, hid_t dcpl);
#endif
