/* The inside of the Zarr store: the files of a folder or zip, codecs, arrays. Private to zarr*.c.
 */
#ifndef SCMM_DATA_ZARR_IMPL_H
#define SCMM_DATA_ZARR_IMPL_H
#include <cjson/cJSON.h>

#include "core/data/chunked.h"
#include "core/data/store.h"

enum { ZARR_CODECS = 8 };

/* ---- zarr_files.c: bytes by key ---- */
typedef struct ZarrFiles ZarrFiles;
CHECKED Err zarr_files_open(const char *path, ZarrFiles **out);
void zarr_files_close(ZarrFiles *f); /* NULL ok */
bool zarr_files_has(ZarrFiles *f, const char *key);
/* Bytes of the value; 0 and found = false when there is none. */
CHECKED Err zarr_files_size(ZarrFiles *f, const char *key, uint64_t *size, bool *found);
/* `len` bytes from `offset` on; the caller has checked them against the size. */
CHECKED Err zarr_files_read(ZarrFiles *f, const char *key, uint64_t offset, size_t len, void *out);
/* Names directly below a key, folders and files alike. */
CHECKED Err zarr_files_list(ZarrFiles *f, const char *key, char ***names, size_t *n);
/* A symbolic link or special file, which is not followed. */
bool zarr_files_outside(ZarrFiles *f, const char *key);

/* ---- zarr_codec.c: packed bytes to raw ones ---- */
typedef enum ZarrCodec {
    ZARR_GZIP, /* also zlib */
    ZARR_ZSTD,
    ZARR_LZ4,
    ZARR_BLOSC,
    ZARR_CRC32C,
    ZARR_SHUFFLE,
    ZARR_DELTA
} ZarrCodec;
typedef struct ZarrCodecs { /* in the order they are undone */
    ZarrCodec id[ZARR_CODECS];
    size_t element[ZARR_CODECS]; /* SHUFFLE, DELTA */
    size_t n;
} ZarrCodecs;
/* Adds the codec of this name ("zstd"); ERR_INPUT naming it when it is unknown. */
CHECKED Err zarr_codecs_add(ZarrCodecs *c, const char *name, const cJSON *configuration,
                            const char *path);
/* Undoes them all. *data (malloc'ed, n bytes) is replaced. `most`: the most bytes the result may
 * have. */
CHECKED Err zarr_codecs_undo(const ZarrCodecs *c, unsigned char **data, size_t *n, size_t most,
                             const char *path);

/* ---- zarr_meta.c ---- */
typedef enum ZarrText { ZARR_TEXT_NONE, ZARR_TEXT_VLEN, ZARR_TEXT_UTF32, ZARR_TEXT_BYTES } ZarrText;

/* One field of an array of records. */
typedef struct ZarrField {
    char *name;
    size_t offset; /* within a record */
    ArrayInfo info; /* cls, size, dtype */
    bool is_unsigned, big_endian;
    ZarrText text;
} ZarrField;

typedef struct ZarrArray {
    Array base;
    int version; /* 2 or 3 */
    bool big_endian, is_unsigned, fortran;
    char separator;
    bool key_prefix; /* v3 default keys begin with c */
    ZarrText text;
    ZarrField *fields; /* ELEM_COMPOUND */
    size_t n_fields;
    double fill; /* numbers */
    bool sharded;
    uint64_t inner[STORE_MAX_RANK]; /* chunk shape within a shard */
    bool index_at_start;
    ZarrCodecs codecs; /* of a chunk (inner one when sharded) */
    ZarrCodecs index_codecs, outer_codecs;
    Chunked chunked;
} ZarrArray;

typedef struct ZarrStore {
    Store base;
    ZarrFiles *files;
    cJSON *last; /* the node read last, by last_path: attributes are asked one after the other */
    char *last_path;
    NodeKind last_kind;
    cJSON *last_attrs;
} ZarrStore;

/* Kind of the node and (borrowed until the next call) its metadata and attributes, NULL when there
 * are none. */
CHECKED Err zarr_node(ZarrStore *s, const char *path, NodeKind *kind, const cJSON **meta,
                      const cJSON **attrs);
/* Shape, type, chunks, codecs from the metadata. */
CHECKED Err zarr_describe(ZarrArray *a, const cJSON *meta);

/* ---- zarr_array.c ---- */
void zarr_array_close(Array *a);
ChunkLoad zarr_load_unit;
CHECKED Err zarr_array_read(Array *a, const uint64_t *start, const uint64_t *count, MemType type,
                            void *out);
CHECKED Err zarr_array_read_text(Array *a, uint64_t start, uint64_t count, char **out);
/* A text of fixed size. */
char *zarr_fixed_text(ZarrText text, bool big_endian, const unsigned char *p, size_t size);

/* ---- zarr_record.c: as in StoreOps ---- */
void zarr_record_done(ZarrArray *a);
CHECKED Err zarr_fields(Array *a, FieldInfo **out, size_t *n);
CHECKED Err zarr_read_field(Array *a, const char *field, MemType type, void *out);
CHECKED Err zarr_read_field_text(Array *a, const char *field, char **out);
#endif
