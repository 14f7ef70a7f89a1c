/* Reading chunked HDF5 arrays ourselves: libhdf5 finds the packed chunk, the filters are undone
 * here, and what they give is measured before it is used. Types and filters that are not known here
 * go through H5Dread (h5_store.c). */
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fd.h"
#include "core/base/mem.h"
#include "core/data/h5.h"
#include "core/data/watchdog.h"

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
    unsigned char *out = malloc(want);
    struct libdeflate_decompressor *z = libdeflate_alloc_decompressor();
    bool good = out && z &&
                libdeflate_zlib_decompress(z, *data, *n, out, want, n) == LIBDEFLATE_SUCCESS;
    if (z)
        libdeflate_free_decompressor(z);
    if (!good) {
        free(out);
        return false;
    }
    free(*data);
    *data = out;
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

/* Undoes all filters of a chunk of `want` bytes; *p is replaced. Any thread. */
static bool unpack(const H5Array *a, uint32_t mask, size_t want, unsigned char **p, size_t *size)
{
    bool good = true;
    h5_expect_chunk(want);
    for (int f = a->n_filters; good && f-- > 0;)
        if (!(mask >> f & 1))
            good = undo(&a->filters[f], p, size, want);
    return good && *size >= want;
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
    watchdog_begin(WATCHDOG_CALL);
    bool there = H5Dget_chunk_storage_size(a->id, offset, &stored) >= 0 && stored;
    watchdog_end();
    if (!there)
        return OK; /* never written: fill value */
    if (stored > a->base.store->bytes)
        FAIL(ERR_INPUT, "%s: a chunk is larger than the file; the file is damaged", a->base.path);
    TRY(mem_alloc(&p, stored, 1));
    size_t size = stored;
    watchdog_begin(WATCHDOG_CALL);
    herr_t status = H5Dread_chunk(a->id, H5P_DEFAULT, offset, &mask, p);
    watchdog_end();
    if (status < 0 || !unpack(a, mask, want, &p, &size)) {
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

/* Filters of the array, all known here. */
static bool take_filters(H5Array *a, hid_t dcpl)
{
    unsigned options = 0;
    int n = H5Pget_nfilters(dcpl);
    if (n < 0 || n > H5_MOST_FILTERS || H5Pget_chunk_opts(dcpl, &options) < 0 || options)
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
    return true;
}

bool h5_chunks_setup(H5Array *a, hid_t dcpl)
{
    ArrayInfo *i = &a->base.info;
    a->plain = plain_type(a);
    bool chunks = i->rank && i->chunk[0];
    if (!a->plain || (chunks && !take_filters(a, dcpl)))
        return a->plain = false;
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
    return chunks;
}

/* ---- parts: libhdf5 says where they are, and several threads read them ---- */

enum { PART_VALUES = 1 << 16, PART_CHUNK = 1 << 23 }; /* at most; the latter in bytes */

/* The descriptor of a file that begins where its HDF5 addresses do; -1: there is none. */
static int raw_fd(H5Array *a)
{
    int *fd = NULL;
    hsize_t before = 1;
    hid_t file = ((H5Store *)a->base.store)->file, fcpl = H5Fget_create_plist(file);
    if (H5Pget_userblock(fcpl, &before) < 0 || before ||
        H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&fd) < 0)
        fd = NULL;
    H5Pclose(fcpl);
    return fd ? *fd : -1;
}

/* libhdf5 1.10 passes all chunks to find one (some 6 ns each): worth it while that is little beside reading a chunk. */
static bool quickly_found(const H5Array *a, size_t bytes)
{
    const ArrayInfo *i = &a->base.info;
    return i->count / i->chunk[0] <= (a->n_filters ? bytes / 2 : bytes / 64);
}

static bool place_of(H5Array *a, uint64_t at, ArrayPart *out)
{
    const ArrayInfo *i = &a->base.info;
    if (!a->own_chunks) {
        haddr_t offset = H5Dget_offset(a->id);
        if (offset == HADDR_UNDEF)
            return false;
        *out = (ArrayPart){.n = i->count, .offset = offset, .bytes = i->count * i->size};
        return true;
    }
    size_t want = chunked_bytes(&a->chunked);
    hsize_t first = at / i->chunk[0] * i->chunk[0], bytes = 0;
    haddr_t where = HADDR_UNDEF;
    unsigned mask = 0;
    *out = a->place; /* most questions are about the same chunk */
    if (out->n && at >= out->first && at - out->first < out->n)
        return true;
    if (want > PART_CHUNK || !quickly_found(a, want) ||
        H5Dget_chunk_info_by_coord(a->id, &first, &mask, &where, &bytes) < 0)
        return false;
    uint64_t left = i->count - first;
    *out = (ArrayPart){.first = first, .n = left < i->chunk[0] ? left : i->chunk[0], .mask = mask};
    if (where != HADDR_UNDEF) {
        out->offset = where;
        out->bytes = bytes;
        out->packed = a->n_filters > 0;
        if (!out->packed && bytes < want)
            return false;
    }
    a->place = *out;
    return true;
}

bool h5_part(Array *base, uint64_t at, ArrayPart *out)
{
    H5Array *a = (H5Array *)base;
    h5_quiet();
    if (((H5Store *)base->store)->follow) /* it may lie in another file */
        return false;
    if (!a->plain || (a->fd < 0 && (a->fd = raw_fd(a)) < 0) || !place_of(a, at, out) ||
        out->offset > base->store->bytes || out->bytes > base->store->bytes - out->offset)
        return false;
    if (out->bytes && !out->packed) { /* pieces that stay in the processor's cache */
        uint64_t skip = (at - out->first) / PART_VALUES * PART_VALUES, left = out->n - skip;
        out->first += skip;
        out->n = left < PART_VALUES ? left : PART_VALUES;
        out->offset += skip * base->info.size;
        out->bytes = out->n * base->info.size;
    }
    return true;
}

bool h5_part_read(const Array *base, const ArrayPart *p, uint64_t first, uint64_t n, MemType type,
                  void *out)
{
    const H5Array *a = (const H5Array *)base;
    size_t skip = (size_t)(first - p->first), element = base->info.size;
    if (!p->bytes) {
        chunked_fill(&a->chunked, n, type, out);
        return true;
    }
    if (!p->packed && chunked_as_stored(&a->chunked, type))
        return fd_read_at(a->fd, out, n * element, p->offset + skip * element);
    size_t size = p->packed ? p->bytes : n * element, want = chunked_bytes(&a->chunked);
    unsigned char *data = malloc(size ? size : 1);
    bool good = data && fd_read_at(a->fd, data, size, p->offset + (p->packed ? 0 : skip * element)) &&
                (!p->packed || unpack(a, p->mask, want, &data, &size));
    if (good)
        chunked_convert(&a->chunked, data + (p->packed ? skip * element : 0), n, type, out);
    free(data);
    return good;
}
