/* A tree of groups and arrays with attributes: what HDF5 files and Zarr folders have in common. The
 * readers of anndata layouts (frame.c, h5ad_read.c) work over this and know neither library. Two
 * implementations: h5_store.c, zarr.c. Paths are relative to the root, without a leading slash
 * ("obs/cell_type"); "" is the root. Links that lead out of the file are never followed: such nodes
 * are NODE_OUTSIDE. One thread at a time. */
#ifndef SCMM_DATA_STORE_H
#define SCMM_DATA_STORE_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_MAX_RANK = 8 };

typedef enum NodeKind {
    NODE_NONE,
    NODE_GROUP,
    NODE_ARRAY,
    NODE_OUTSIDE /* an external link, left alone; or a link to nothing */
} NodeKind;

typedef enum ElemClass {
    ELEM_INT, /* signed or unsigned */
    ELEM_FLOAT,
    ELEM_BOOL,
    ELEM_STRING,
    ELEM_COMPOUND,
    ELEM_OTHER
} ElemClass;

typedef struct ArrayInfo {
    ElemClass cls;
    size_t size;    /* bytes of one element as stored (a pointer's for variable-length strings) */
    char dtype[16]; /* as numpy writes it: "float32", "object" for strings */
    int rank;       /* 0: scalar */
    uint64_t shape[STORE_MAX_RANK];
    uint64_t chunk[STORE_MAX_RANK]; /* zeros: in one piece */
    uint64_t count;                 /* product of the shape */
} ArrayInfo;

/* The type values are converted to while reading. */
typedef enum MemType { MEM_I32, MEM_I64, MEM_U64, MEM_F32, MEM_F64, MEM_I8 } MemType;
static inline size_t mem_type_size(MemType t)
{
    return t == MEM_I8 ? 1 : t == MEM_I32 || t == MEM_F32 ? 4 : 8;
}

typedef struct Store Store;
typedef struct Array Array; /* an opened array; closed before its store */

/* One field of a compound array. */
typedef struct FieldInfo {
    char *name;
    ElemClass cls;
    char dtype[16];
    uint64_t width; /* elements per row: 1, or the length of a vector field */
} FieldInfo;

/* A stretch of a one-dimensional array of numbers as it lies in the file. */
typedef struct ArrayPart {
    uint64_t first, n;      /* values */
    uint64_t offset, bytes; /* in the file; bytes 0: never stored, fill values */
    uint32_t mask;          /* filters that were left out */
    bool packed;            /* reading any of it means unpacking all of it */
} ArrayPart;

typedef struct StoreOps {
    void (*close)(Store *s);
    NodeKind (*kind)(Store *s, const char *path);
    Err (*list)(Store *s, const char *path, char ***names, size_t *n);
    Err (*attr_texts)(Store *s, const char *path, const char *attr, char ***texts, size_t *n);
    Err (*attr_ints)(Store *s, const char *path, const char *attr, int64_t *out, size_t cap,
                     size_t *n);
    char *(*attr_target)(Store *s, const char *path, const char *attr);
    Err (*open)(Store *s, const char *path, Array **out);
    void (*array_close)(Array *a);
    Err (*read)(Array *a, const uint64_t *start, const uint64_t *count, MemType type, void *out);
    Err (*read_text)(Array *a, uint64_t start, uint64_t count, char **out);
    Err (*fields)(Array *a, FieldInfo **out, size_t *n);
    Err (*read_field)(Array *a, const char *field, MemType type, void *out);
    Err (*read_field_text)(Array *a, const char *field, char **out);
    bool (*part)(Array *a, uint64_t at, ArrayPart *out);
    bool (*part_read)(const Array *a, const ArrayPart *p, uint64_t first, uint64_t n, MemType type,
                      void *out);
} StoreOps;

struct Store {
    const StoreOps *ops;
    uint64_t bytes; /* size of the file(s), the measure for declared sizes */
};

struct Array {
    Store *store;
    char *path;
    ArrayInfo info;
};

void store_close(Store *s); /* NULL ok */
NodeKind store_kind(Store *s, const char *path);
/* Members in the order of their names; the caller frees with strings_free. */
CHECKED Err store_list(Store *s, const char *path, char ***names, size_t *n);
/* A text attribute into *out (caller frees); NULL when there is none or it is no text. */
char *store_attr_text(Store *s, const char *path, const char *attr);
/* *n = 0 when there is none or it is no list of texts. */
CHECKED Err store_attr_texts(Store *s, const char *path, const char *attr, char ***texts,
                             size_t *n);
/* Up to cap integers of an attribute (booleans as 0/1); *n = 0 when there is none. */
CHECKED Err store_attr_ints(Store *s, const char *path, const char *attr, int64_t *out, size_t cap,
                            size_t *n);
/* Path of the object that a reference attribute points to (caller frees), NULL when it is none. */
char *store_attr_target(Store *s, const char *path, const char *attr);

/* Checks that the declared size can be true of the file before anything is read. */
CHECKED Err store_open_array(Store *s, const char *path, Array **out);
void array_close(Array *a); /* NULL ok */
/* The box start..start+count (rank numbers each; rank 0: NULL ok) converted to `type`, row-major
 * into out. */
CHECKED Err array_read(Array *a, const uint64_t *start, const uint64_t *count, MemType type,
                       void *out);
/* One-dimensional shorthand. */
CHECKED Err array_read_1d(Array *a, uint64_t start, uint64_t count, MemType type, void *out);
/* A whole numeric array into *out (caller frees); fails when it has another count than `expect`
 * (SIZE_MAX: any). */
CHECKED Err array_read_all(Array *a, size_t expect, MemType type, void *out);
/* Strings start..start+count of a one-dimensional (or scalar) array; each is allocated, bytes that
 * are no UTF-8 replaced by U+FFFD. */
CHECKED Err array_read_text(Array *a, uint64_t start, uint64_t count, char **out);
/* Fields of a compound array; the caller frees with fields_free. */
CHECKED Err array_fields(Array *a, FieldInfo **out, size_t *n);
void fields_free(FieldInfo *f, size_t n);
/* All rows of one field: count * width numbers, or count strings. */
CHECKED Err array_read_field(Array *a, const char *field, MemType type, void *out);
CHECKED Err array_read_field_text(Array *a, const char *field, char **out);
/* The part of a one-dimensional array that holds value `at`; false: read it by array_read. Only the
 * store's own thread may ask. */
bool array_part(Array *a, uint64_t at, ArrayPart *out);
/* Values first..first+n of a part, converted; any number of threads at once. false: damaged. */
CHECKED bool array_part_read(const Array *a, const ArrayPart *p, uint64_t first, uint64_t n,
                             MemType type, void *out);

/* path + "/" + name (no slash after ""); caller frees. */
char *path_join(const char *path, const char *name);
/* Replaces bytes that are no UTF-8, in place where possible; takes s, returns the text to keep. */
char *text_clean_utf8(char *s);

/* Opens an HDF5 file read-only, without locks. `follow`: external links, external storage and
 * virtual datasets are read as well. */
CHECKED Err store_open_h5_follow(const char *path, bool follow, Store **out);
CHECKED Err store_open_h5(const char *path, Store **out); /* without following anything */
/* Opens a Zarr folder or zip. */
CHECKED Err store_open_zarr(const char *path, Store **out);
#endif
