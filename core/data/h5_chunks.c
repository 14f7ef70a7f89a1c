/* Reading chunked HDF5 arrays ourselves: libhdf5 finds the packed chunk, the filters are undone
 * here, and what they give is measured before it is used. Types and filters that are not known here
 * go through H5Dread (h5_store.c). */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/mem.h"
#include "core/data/h5.h"

/* Little-endian numbers of 1 to 8 bytes. */
static bool plain_type(const H5Array *a)
{
    const ArrayInfo *i = &a->base.info;
    bool size = i->size == 1 || i->size == 2 || i->size == 4 || i->size == 8;
    if (i->cls == ELEM_BOOL)
        return i->size == 1;
    if (i->cls == ELEM_INT)
        return size && H5Tget_precision(a->type) == i->size * 8 &&
               H5Tget_order(a->type) == H5T_ORDER_LE;
    return (i->cls == ELEM_FLOAT) &&
           (H5Tequal(a->type, H5T_IEEE_F32LE) > 0 || H5Tequal(a->type, H5T_IEEE_F64LE) > 0);
}

/* Undoing one filter: *data (malloc'ed, *n bytes) is replaced; want: the bytes of the unpacked
 * chunk. */
static bool undo_deflate(unsigned char **data, size_t *n, size_t want)
{
    z_stream z = {.next_in = *data, .avail_in = (unsigned)*n};
    unsigned char *out = malloc(want);
    if (!out || *n > UINT32_MAX || want > UINT32_MAX || inflateInit(&z) != Z_OK) {
        free(out);
        return false;
    }
    z.next_out = out;
    z.avail_out = (unsigned)want;
    int code = inflate(&z, Z_FINISH);
    size_t got = z.total_out;
    inflateEnd(&z);
    if (code != Z_STREAM_END) {
        free(out);
        return false;
    }
    free(*data);
    *data = out;
    *n = got;
    return true;
}

static bool undo_shuffle(unsigned char **data, size_t n, size_t element)
{
    size_t count = element ? n / element : 0;
    if (element < 2 || !count)
        return true;
    unsigned char *out = malloc(n), *in = *data;
    if (!out)
        return false;
    for (size_t b = 0; b < element; b++)
        for (size_t i = 0; i < count; i++)
            out[i * element + b] = in[b * count + i];
    memcpy(out + count * element, in + count * element, n - count * element);
    free(in);
    *data = out;
    return true;
}

static bool undo(const H5ChunkFilter *f, unsigned char **data, size_t *n, size_t want)
{
    size_t size = *n;
    switch (f->id) {
    case H5Z_FILTER_DEFLATE:
        return undo_deflate(data, n, want + 4); /* a checksum may have been packed along */
    case H5Z_FILTER_SHUFFLE:
        return undo_shuffle(data, *n, f->n_cd ? f->cd[0] : 1);
    case H5Z_FILTER_FLETCHER32:
        *n -= *n < 4 ? *n : 4;
        return true;
    default:
        *n = f->unpack(H5Z_FLAG_REVERSE, f->n_cd, f->cd, *n, &size, (void **)data);
        return *n > 0;
    }
}

static Err load(void *array, const uint64_t *at, unsigned char **data, size_t *n)
{
    H5Array *a = array;
    const ArrayInfo *i = &a->base.info;
    hsize_t offset[STORE_MAX_RANK], stored = 0;
    uint32_t mask = 0;
    unsigned char *p;
    size_t want = chunked_bytes(&a->chunked);
    for (int k = 0; k < i->rank; k++)
        offset[k] = at[k] * i->chunk[k];
    h5_quiet();
    *data = NULL;
    *n = 0;
    if (H5Dget_chunk_storage_size(a->id, offset, &stored) < 0 || !stored)
        return OK; /* never written: fill value */
    if (stored > a->base.store->bytes)
        FAIL(ERR_INPUT, "%s: a chunk is larger than the file; the file is damaged", a->base.path);
    TRY(mem_alloc(&p, stored, 1));
    h5_expect_chunk(want);
    bool good = H5Dread_chunk(a->id, H5P_DEFAULT, offset, &mask, p) >= 0;
    size_t size = stored;
    for (int f = a->n_filters; good && f-- > 0;)
        if (!(mask >> f & 1))
            good = undo(&a->filters[f], &p, &size, want);
    if (!good || size < want) {
        free(p);
        FAIL(ERR_INPUT,
             "%s: a chunk cannot be unpacked; the file is damaged or cut short, copy or write it "
             "again",
             a->base.path);
    }
    *data = p;
    *n = size;
    return OK;
}

bool h5_chunks_setup(H5Array *a, hid_t dcpl)
{
    ArrayInfo *i = &a->base.info;
    unsigned options = 0;
    int n = H5Pget_nfilters(dcpl);
    if (!i->rank || !i->chunk[0] || n < 0 || n > H5_MOST_FILTERS || !plain_type(a) ||
        H5Pget_chunk_opts(dcpl, &options) < 0 || options)
        return false;
    for (int f = 0; f < n; f++) {
        H5ChunkFilter *x = &a->filters[f];
        unsigned flags, config;
        x->n_cd = H5_MOST_CD;
        x->id = (int)H5Pget_filter2(dcpl, (unsigned)f, &flags, &x->n_cd, x->cd, 0, NULL, &config);
        x->unpack = h5_own_filter(x->id);
        if (x->n_cd > H5_MOST_CD || (!x->unpack && x->id != H5Z_FILTER_DEFLATE &&
                                     x->id != H5Z_FILTER_SHUFFLE && x->id != H5Z_FILTER_FLETCHER32))
            return false;
    }
    a->n_filters = n;
    double fill = 0;
    H5D_fill_value_t defined;
    if (H5Pfill_value_defined(dcpl, &defined) >= 0 && defined != H5D_FILL_VALUE_UNDEFINED)
        H5Pget_fill_value(dcpl, H5T_NATIVE_DOUBLE, &fill);
    a->chunked = (Chunked){.rank = i->rank,
                           .chunk = i->chunk,
                           .element = i->size,
                           .cls = i->cls,
                           .is_unsigned = i->dtype[0] == 'u',
                           .fill = fill,
                           .load = load,
                           .array = a};
    return true;
}
