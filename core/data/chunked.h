/* Arrays stored in chunks, put together here: a box of values from unpacked chunks, converted on
 * the way. Used by Zarr, and by HDF5 for the common types and filters (libhdf5 1.10 trusts that a
 * chunk unpacks to its full size). Private to core/data. */
#ifndef SCMM_DATA_CHUNKED_H
#define SCMM_DATA_CHUNKED_H
#include "core/data/store.h"

typedef struct Chunk {
    uint64_t at[STORE_MAX_RANK]; /* in chunks */
    unsigned char *data;         /* NULL: not stored, all fill */
    size_t n;
    bool valid;
    uint64_t used;
} Chunk;

enum { CHUNKS_KEPT = 8 };

/* Unpacks the chunk with these coordinates into malloc'ed *data of *n bytes, NULL when it is not
 * stored. For numbers it must have all its bytes. */
typedef Err ChunkLoad(void *array, const uint64_t *at, unsigned char **data, size_t *n);

typedef struct Chunked {
    int rank;
    const uint64_t *chunk; /* [rank] its shape */
    size_t element;        /* bytes of a value */
    ElemClass cls;
    bool is_unsigned, big_endian, fortran;
    double fill;
    ChunkLoad *load;
    void *array;
    Chunk kept[CHUNKS_KEPT]; /* blocks of rows rarely end where chunks do */
    uint64_t tick;
} Chunked;

/* Frees the chunks kept. */
void chunked_done(Chunked *c);
/* Bytes of one chunk. */
size_t chunked_bytes(const Chunked *c);
/* n values at p, as stored, to `type`. */
void chunked_convert(const Chunked *c, const unsigned char *p, size_t n, MemType type, void *out);
/* Whether values are stored just as `type` is. */
bool chunked_as_stored(const Chunked *c, MemType type);
/* n fill values. */
void chunked_fill(const Chunked *c, size_t n, MemType type, void *out);
/* As StoreOps.read. */
CHECKED Err chunked_read(Chunked *c, const uint64_t *start, const uint64_t *count, MemType type,
                         void *out);
/* The unpacked chunk, borrowed until the next call. */
CHECKED Err chunked_get(Chunked *c, const uint64_t *at, const Chunk **out);
#endif
