/* Filters that unpack chunks. HDF5 brings deflate, shuffle, fletcher32 and szip; others come as plugins. LZF, which h5py
 * writes and no distribution packages, is unpacked here. A filter that is missing is named with what brings it. */
#include "core/data/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILTER_LZF = 32000 };

/* Marc Lehmann's LZF: a control byte below 32 starts a run of literals, else a copy of 3 to 264 bytes from at most
 * 8192 bytes back. Returns the unpacked size, 0 when the data are damaged or do not fit. */
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
static size_t lzf_filter(unsigned flags, size_t n_cd, const unsigned cd[], size_t n, size_t *size, void **buffer)
{
    if (!(flags & H5Z_FLAG_REVERSE))
        return 0; /* never written here */
    size_t cap = n_cd >= 3 && cd[2] ? cd[2] : n * 4;
    unsigned char *out = malloc(cap);
    size_t got = out ? lzf_unpack(*buffer, n, out, cap) : 0;
    while (out && !got && n_cd < 3 && cap < n * 300) { /* old files without the chunk size */
        free(out);
        cap *= 2;
        out = malloc(cap);
        got = out ? lzf_unpack(*buffer, n, out, cap) : 0;
    }
    if (!got) {
        free(out);
        return 0;
    }
    free(*buffer);
    *buffer = out;
    *size = cap;
    return got;
}

static const H5Z_class2_t lzf_class = {
    .version = H5Z_CLASS_T_VERS,
    .id = FILTER_LZF,
    .encoder_present = 0,
    .decoder_present = 1,
    .name = "lzf",
    .filter = lzf_filter,
};

void h5_register_filters(void)
{
    if (H5Zfilter_avail(FILTER_LZF) <= 0)
        H5Zregister(&lzf_class);
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
    {32001, "blosc", "Debian package hdf5-filter-plugin-blosc-serial", 1e5},
    {32004, "lz4", "Debian package hdf5-filter-plugin", 256},
    {32008, "bitshuffle", "Debian package bitshuffle", 1e5},
    {32013, "zfp", "Debian package hdf5-filter-plugin-zfp-serial", 1e5},
    {32015, "zstd", "Debian package hdf5-filter-plugin", 1e5},
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
        int id = (int)H5Pget_filter2(dcpl, (unsigned)i, &flags, &n_cd, NULL, sizeof stored, stored, &config);
        const KnownFilter *k = NULL;
        for (size_t j = 0; j < sizeof known / sizeof *known; j++)
            if (known[j].id == id)
                k = &known[j];
        *ratio *= k ? k->ratio : 1e5;
        if (H5Zfilter_avail((H5Z_filter_t)id) <= 0)
            FAIL(ERR_INPUT, "%s: is packed with the filter %s (id %d), which is not installed; it comes with: %s; "
                            "or write the file again with gzip (h5repack -f GZIP=4)",
                 path, k ? k->name : stored[0] ? stored : "unknown", id,
                 k ? k->package : "PyPI package hdf5plugin, HDF5_PLUGIN_PATH");
    }
    return OK;
}
