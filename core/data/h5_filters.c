/* Filters that unpack chunks. HDF5 brings deflate, shuffle, fletcher32 and szip. LZF (h5py), zstd,
 * blosc, lz4 and bitshuffle (hdf5plugin) are unpacked here, by their libraries, unless a plugin is
 * installed; others come as plugins. A filter that is missing is named with what brings it. All are
 * read-only. */
#include "core/data/h5.h"

#include <blosc.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum {
    FILTER_LZF = 32000,
    FILTER_BLOSC = 32001,
    FILTER_LZ4 = 32004,
    FILTER_BITSHUFFLE = 32008,
    FILTER_ZSTD = 32015
};

/* What the chunk at hand has when unpacked; a header that says more is damaged (a few bytes of
 * checksum aside). */
static _Thread_local size_t chunk_bytes;

void h5_expect_chunk(size_t bytes)
{
    chunk_bytes = bytes;
}

static size_t most(void)
{
    return chunk_bytes ? chunk_bytes + 64 : (size_t)1 << 32;
}

/* Puts the unpacked block in place of the packed one. A block that is too short is lengthened with
 * zeros: libhdf5 1.10 reads a whole chunk from it, whatever length it is told. */
static size_t give(void *out, size_t n, size_t *size, void **buffer)
{
    if (n < chunk_bytes) {
        char *longer = realloc(out, chunk_bytes);
        if (!longer) {
            free(out);
            return 0;
        }
        memset(longer + n, 0, chunk_bytes - n);
        out = longer;
    }
    free(*buffer);
    *buffer = out;
    *size = n;
    return n;
}

/* Marc Lehmann's LZF: a control byte below 32 starts a run of literals, else a copy of 3 to 264
 * bytes from at most 8192 bytes back. Returns the unpacked size, 0 when the data are damaged or do
 * not fit. */
static size_t lzf_unpack(const unsigned char *in, size_t n, unsigned char *out, size_t cap)
{
    size_t i = 0, o = 0;
    while (i < n) {
        unsigned ctrl = in[i++];
        if (ctrl < 32) {
            size_t run = ctrl + 1;
            if (run > n - i || run > cap - o)
                return 0;
            memcpy(out + o, in + i, run);
            i += run;
            o += run;
            continue;
        }
        size_t len = ctrl >> 5;
        if (i + 1 + (len == 7) > n)
            return 0;
        if (len == 7)
            len += in[i++];
        size_t back = ((size_t)(ctrl & 31) << 8 | in[i++]) + 1;
        len += 2;
        if (back > o || len > cap - o)
            return 0;
        for (size_t k = 0; k < len; k++, o++)
            out[o] = out[o - back];
    }
    return o;
}

/* cd_values: filter revision, LZF version, bytes of a chunk. */
static size_t lzf_filter(unsigned flags, size_t n_cd, const unsigned cd[], size_t n, size_t *size,
                         void **buffer)
{
    if (!(flags & H5Z_FLAG_REVERSE))
        return 0; /* never written here */
    size_t cap = n_cd >= 3 && cd[2] ? cd[2] : n * 4;
    if (cap > most())
        cap = most();
    unsigned char *out = malloc(cap);
    size_t got = out ? lzf_unpack(*buffer, n, out, cap) : 0;
    while (out && !got && n_cd < 3 && cap < n * 300 &&
           cap < most()) { /* old files without the chunk size */
        free(out);
        cap *= 2;
        out = malloc(cap);
        got = out ? lzf_unpack(*buffer, n, out, cap) : 0;
    }
    if (!got) {
        free(out);
        return 0;
    }
    give(out, got, size, buffer);
    return got;
}

static size_t zstd_filter(unsigned flags, size_t n_cd, const unsigned cd[], size_t n, size_t *size,
                          void **buffer)
{
    if (!(flags & H5Z_FLAG_REVERSE))
        return 0;
    unsigned long long want = ZSTD_getFrameContentSize(*buffer, n);
    if (want == 0 || want > most()) /* also the error codes */
        return 0;
    void *out = malloc((size_t)want);
    if (!out || ZSTD_decompress(out, (size_t)want, *buffer, n) != want) {
        free(out);
        return 0;
    }
    return give(out, (size_t)want, size, buffer);
}

static size_t blosc_filter(unsigned flags, size_t n_cd, const unsigned cd[], size_t n, size_t *size,
                           void **buffer)
{
    size_t want = 0;
    if (!(flags & H5Z_FLAG_REVERSE) || n < BLOSC_MIN_HEADER_LENGTH ||
        blosc_cbuffer_validate(*buffer, n, &want) < 0 || !want || want > most())
        return 0;
    void *out = malloc(want);
    if (!out || blosc_decompress_ctx(*buffer, out, want, 1) != (int)want) {
        free(out);
        return 0;
    }
    return give(out, want, size, buffer);
}

static uint64_t big_endian(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

/* 8 bytes total size, 4 bytes block size, then per block 4 bytes packed size and the block; all
 * big-endian. A block of its full size is not packed. */
static size_t lz4_filter(unsigned flags, size_t n_cd, const unsigned cd[], size_t n, size_t *size,
                         void **buffer)
{
    const unsigned char *in = *buffer;
    if (!(flags & H5Z_FLAG_REVERSE) || n < 12)
        return 0;
    uint64_t want = big_endian(in, 8), block = big_endian(in + 8, 4);
    if (!want || want > most() || !block || want > (uint64_t)n * 256)
        return 0;
    char *out = malloc(want);
    size_t at = 12, done = 0;
    while (out && done < want) {
        size_t len = want - done < block ? want - done : block;
        size_t packed = n - at >= 4 ? big_endian(in + at, 4) : SIZE_MAX;
        at += 4;
        if (packed > n - at || at > n)
            break;
        if (packed == len)
            memcpy(out + done, in + at, len);
        else if (len > INT32_MAX || packed > INT32_MAX ||
                 LZ4_decompress_safe((const char *)in + at, out + done, (int)packed, (int)len) !=
                     (int)len)
            break;
        at += packed;
        done += len;
    }
    if (done < want) {
        free(out);
        return 0;
    }
    return give(out, want, size, buffer);
}

/* Undoes the bit transpose of `n` elements (a multiple of 8) of `size` bytes: bit k of byte b of
 * all elements lies in one row of n/8 bytes. */
static void bit_unshuffle(const unsigned char *in, unsigned char *out, size_t n, size_t size)
{
    size_t row = n / 8;
    memset(out, 0, n * size);
    for (size_t b = 0; b < size; b++)
        for (unsigned k = 0; k < 8; k++) {
            const unsigned char *bits = in + (b * 8 + k) * row;
            for (size_t j = 0; j < row; j++)
                for (unsigned i = 0; i < 8; i++)
                    out[(j * 8 + i) * size + b] |= (unsigned char)((bits[j] >> i & 1) << k);
        }
}

typedef struct Bitshuffle {
    const unsigned char *in;
    size_t n, at;          /* packed bytes, and where we are */
    size_t element, codec; /* codec: 0 none, 2 lz4, 3 zstd */
    unsigned char *scratch;
} Bitshuffle;

/* One block of `count` elements. */
static bool unshuffle_block(Bitshuffle *x, unsigned char *out, size_t count)
{
    size_t bytes = count * x->element;
    const unsigned char *bits = x->in + x->at;
    if (!x->codec) {
        if (bytes > x->n - x->at)
            return false;
        x->at += bytes;
    } else {
        size_t packed = x->n - x->at >= 4 ? big_endian(bits, 4) : SIZE_MAX;
        x->at += 4;
        if (x->at > x->n || packed > x->n - x->at || packed > INT32_MAX || bytes > INT32_MAX)
            return false;
        bits += 4;
        bool fine = x->codec == 2 ? LZ4_decompress_safe((const char *)bits, (char *)x->scratch,
                                                        (int)packed, (int)bytes) == (int)bytes
                                  : ZSTD_decompress(x->scratch, bytes, bits, packed) == bytes;
        if (!fine)
            return false;
        bits = x->scratch;
        x->at += packed;
    }
    bit_unshuffle(bits, out, count, x->element);
    return true;
}

/* cd_values: version (2), element size, block size in elements (0: by default), codec. Packed data
 * begin with 8 bytes of total size and 4 of block size in bytes; a tail below 8 elements follows as
 * it is. */
static size_t bitshuffle_filter(unsigned flags, size_t n_cd, const unsigned cd[], size_t n,
                                size_t *size, void **buffer)
{
    if (!(flags & H5Z_FLAG_REVERSE) || n_cd < 3 || !cd[2] || cd[2] > 64)
        return 0;
    Bitshuffle x = {.in = *buffer, .n = n, .element = cd[2], .codec = n_cd > 4 ? cd[4] : 0};
    uint64_t want = n, block = n_cd > 3 ? cd[3] : 0;
    if (x.codec) {
        if (n < 12 || (x.codec != 2 && x.codec != 3))
            return 0;
        want = big_endian(x.in, 8);
        block = big_endian(x.in + 8, 4) / x.element;
        x.at = 12;
    } else if (!block) { /* the library's default: 8 kB, rounded down to 8 elements, at least 128 */
        block = 8192 / x.element / 8 * 8;
        block = block < 128 ? 128 : block;
    }
    if (!want || want > most() || want % x.element || block < 8 || block % 8 ||
        block > want / x.element + 65536)
        return 0;
    unsigned char *out = malloc(want);
    x.scratch = malloc(block * x.element);
    size_t elements = want / x.element, done = 0;
    bool fine = out && x.scratch;
    while (fine && elements - done >= 8) {
        size_t count = elements - done >= block ? block : (elements - done) / 8 * 8;
        fine = unshuffle_block(&x, out + done * x.element, count);
        done += count;
    }
    size_t tail = (elements - done) * x.element;
    fine = fine && tail <= x.n - x.at;
    if (fine && tail)
        memcpy(out + done * x.element, x.in + x.at, tail);
    free(x.scratch);
    if (!fine) {
        free(out);
        return 0;
    }
    return give(out, want, size, buffer);
}

static const H5Z_class2_t ours[] = {
    {H5Z_CLASS_T_VERS, FILTER_LZF, 0, 1, "lzf", NULL, NULL, lzf_filter},
    {H5Z_CLASS_T_VERS, FILTER_ZSTD, 0, 1, "zstd", NULL, NULL, zstd_filter},
    {H5Z_CLASS_T_VERS, FILTER_BLOSC, 0, 1, "blosc", NULL, NULL, blosc_filter},
    {H5Z_CLASS_T_VERS, FILTER_LZ4, 0, 1, "lz4", NULL, NULL, lz4_filter},
    {H5Z_CLASS_T_VERS, FILTER_BITSHUFFLE, 0, 1, "bitshuffle", NULL, NULL, bitshuffle_filter},
};

void h5_register_filters(void)
{
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        H5Zregister(&ours[i]);
}

H5Z_func_t h5_own_filter(int id)
{
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (ours[i].id == id)
            return ours[i].filter;
    return NULL;
}

typedef struct KnownFilter {
    int id;
    const char *name, *package;
    double ratio; /* how much smaller it can make data at most */
} KnownFilter;

static const KnownFilter known[] = {
    {H5Z_FILTER_DEFLATE, "gzip", "libhdf5 with zlib", 1032},
    {H5Z_FILTER_SHUFFLE, "shuffle", "libhdf5", 1},
    {H5Z_FILTER_FLETCHER32, "fletcher32", "libhdf5", 1},
    {H5Z_FILTER_SZIP, "szip", "libhdf5 with szip (Debian: libaec0)", 300},
    {H5Z_FILTER_NBIT, "nbit", "libhdf5", 64},
    {H5Z_FILTER_SCALEOFFSET, "scaleoffset", "libhdf5", 1e5},
    {307, "bzip2", "Debian package hdf5-filter-plugin", 1e5},
    {FILTER_LZF, "lzf", "scmmgpt", 90},
    {FILTER_BLOSC, "blosc", "scmmgpt", 1e5},
    {FILTER_LZ4, "lz4", "scmmgpt", 256},
    {FILTER_BITSHUFFLE, "bitshuffle", "scmmgpt", 1e5},
    {32013, "zfp", "Debian package hdf5-filter-plugin-zfp-serial", 1e5},
    {FILTER_ZSTD, "zstd", "scmmgpt", 1e5},
    {32026, "blosc2", "PyPI package hdf5plugin, HDF5_PLUGIN_PATH", 1e5},
};

Err h5_check_filters(hid_t dcpl, const char *path, double *ratio)
{
    int n = H5Pget_nfilters(dcpl);
    *ratio = 1;
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t n_cd = 0;
        char stored[64] = "";
        int id = (int)H5Pget_filter2(dcpl, (unsigned)i, &flags, &n_cd, NULL, sizeof stored, stored,
                                     &config);
        const KnownFilter *k = NULL;
        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            if (known[j].id == id)
                k = &known[j];
        *ratio *= k ? k->ratio : 1e5;
        if (H5Zfilter_avail((H5Z_filter_t)id) <= 0)
            FAIL(ERR_INPUT,
                 "%s: is packed with the filter %s (id %d), which is not installed; it comes with: "
                 "%s; "
                 "or write the file again with gzip (h5repack -f GZIP=4)",
                 path,
                 k           ? k->name
                 : stored[0] ? stored
                             : "unknown",
                 id, k ? k->package : "PyPI package hdf5plugin, HDF5_PLUGIN_PATH");
    }
    return OK;
}
