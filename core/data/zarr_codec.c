/* Undoing the compressors of Zarr chunks. Every output size is bounded by what the chunk may hold.
 */
#include <blosc.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "core/base/mem.h"
#include "core/data/zarr_impl.h"

Err zarr_codecs_add(ZarrCodecs *c, const char *name, const cJSON *configuration, const char *path)
{
    static const struct {
        const char *name;
        ZarrCodec id;
    } known[] = {{"gzip", ZARR_GZIP},
                 {"zlib", ZARR_GZIP},
                 {"zstd", ZARR_ZSTD},
                 {"lz4", ZARR_LZ4},
                 {"blosc", ZARR_BLOSC},
                 {"crc32c", ZARR_CRC32C},
                 {"numcodecs.shuffle", ZARR_SHUFFLE},
                 {"shuffle", ZARR_SHUFFLE},
                 {"delta", ZARR_DELTA},
                 {"numcodecs.zlib", ZARR_GZIP},
                 {"numcodecs.lz4", ZARR_LZ4},
                 {"numcodecs.zstd", ZARR_ZSTD},
                 {"numcodecs.blosc", ZARR_BLOSC}};
    const cJSON *size = cJSON_GetObjectItem(configuration, "elementsize");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        if (c->n == ZARR_CODECS)
            FAIL(ERR_INPUT, "%s: has more than %d codecs", path, ZARR_CODECS);
        c->element[c->n] = cJSON_IsNumber(size) && size->valuedouble >= 1 && size->valuedouble <= 64
                               ? (size_t)size->valuedouble
                               : 4;
        c->id[c->n++] = known[i].id;
        return known[i].id == ZARR_DELTA
                   ? err_set(ERR_INPUT,
                             "%s: the filter delta is not read here; write it again "
                             "without filters",
                             path)
                   : OK;
    }
    FAIL(ERR_INPUT,
         "%s: the codec \"%s\" is not read here; write it again with blosc, zstd, lz4 or gzip",
         path, name);
}

static Err damaged(const char *path, const char *codec)
{
    FAIL(ERR_INPUT, "%s: %s data are damaged; copy or write it again", path, codec);
}

/* zlib or gzip by its header; the output grows up to `most`. */
static Err inflate_all(const unsigned char *in, size_t n, size_t most, unsigned char **out,
                       size_t *size, const char *path)
{
    z_stream z = {.next_in = (unsigned char *)in, .avail_in = (unsigned)n};
    size_t cap = n * 4 + 1024 < most ? n * 4 + 1024 : most + 1;
    unsigned char *o;
    if (n > UINT32_MAX || inflateInit2(&z, 15 + 32) != Z_OK)
        return damaged(path, "gzip");
    Err err = mem_alloc(&o, cap, 1);
    int code = Z_OK;
    while (!err && code == Z_OK) {
        if (z.total_out == cap) {
            size_t grown = cap * 2 < most ? cap * 2 : most + 1;
            if (grown <= cap) {
                err = damaged(path, "gzip");
                break;
            }
            err = mem_realloc(&o, grown, 1);
            cap = err ? cap : grown;
        }
        size_t room = cap - z.total_out;
        z.next_out = o + z.total_out;
        z.avail_out = room > UINT32_MAX ? UINT32_MAX : (unsigned)room;
        if (!err)
            code = inflate(&z, Z_NO_FLUSH);
    }
    *size = z.total_out;
    inflateEnd(&z);
    if (!err && code != Z_STREAM_END)
        err = damaged(path, "gzip");
    if (err)
        free(o);
    else
        *out = o;
    return err;
}

static Err undo_zstd(const unsigned char *in, size_t n, size_t most, unsigned char **out,
                     size_t *size, const char *path)
{
    unsigned long long want = ZSTD_getFrameContentSize(in, n);
    if (want == ZSTD_CONTENTSIZE_UNKNOWN)
        want = most; /* streamed frames do not say */
    if (want == ZSTD_CONTENTSIZE_ERROR || want > most)
        return damaged(path, "zstd");
    TRY(mem_alloc(out, (size_t)want, 1));
    size_t got = ZSTD_decompress(*out, (size_t)want, in, n);
    if (ZSTD_isError(got)) {
        free(*out);
        return damaged(path, "zstd");
    }
    *size = got;
    return OK;
}

/* numcodecs: 4 bytes of size, then one LZ4 block. */
static Err undo_lz4(const unsigned char *in, size_t n, size_t most, unsigned char **out,
                    size_t *size, const char *path)
{
    uint32_t want = 0;
    if (n >= 4)
        memcpy(&want, in, 4);
    if (n < 4 || want > most || n > INT32_MAX || want > INT32_MAX)
        return damaged(path, "lz4");
    TRY(mem_alloc(out, want, 1));
    if (LZ4_decompress_safe((const char *)in + 4, (char *)*out, (int)n - 4, (int)want) !=
        (int)want) {
        free(*out);
        return damaged(path, "lz4");
    }
    *size = want;
    return OK;
}

static Err undo_blosc(const unsigned char *in, size_t n, size_t most, unsigned char **out,
                      size_t *size, const char *path)
{
    size_t want = 0;
    if (n < BLOSC_MIN_HEADER_LENGTH || blosc_cbuffer_validate(in, n, &want) < 0 || want > most)
        return damaged(path, "blosc");
    TRY(mem_alloc(out, want, 1));
    if (want && blosc_decompress_ctx(in, *out, want, 1) != (int)want) {
        free(*out);
        return damaged(path, "blosc");
    }
    *size = want;
    return OK;
}

/* The four last bytes are the sum of the others. Castagnoli polynomial, bit by bit over a small
 * table. */
static uint32_t crc32c(const unsigned char *p, size_t n)
{
    uint32_t c = ~0u;
    for (; n--; p++) {
        c ^= *p;
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (0x82F63B78u & -(c & 1));
    }
    return ~c;
}

static Err undo_shuffle(const unsigned char *in, size_t n, size_t element, unsigned char **out,
                        size_t *size)
{
    TRY(mem_alloc(out, n, 1));
    size_t count = n / element;
    for (size_t b = 0; b < element; b++)
        for (size_t i = 0; i < count; i++)
            (*out)[i * element + b] = in[b * count + i];
    memcpy(*out + count * element, in + count * element, n - count * element);
    *size = n;
    return OK;
}

Err zarr_codecs_undo(const ZarrCodecs *c, unsigned char **data, size_t *n, size_t most,
                     const char *path)
{
    for (size_t i = 0; i < c->n; i++) {
        unsigned char *out = NULL;
        size_t size = 0;
        uint32_t sum;
        size_t bound = most + 64 * (c->n - i); /* inner codecs may add a little */
        switch (c->id[i]) {
        case ZARR_GZIP:
            TRY(inflate_all(*data, *n, bound, &out, &size, path));
            break;
        case ZARR_ZSTD:
            TRY(undo_zstd(*data, *n, bound, &out, &size, path));
            break;
        case ZARR_LZ4:
            TRY(undo_lz4(*data, *n, bound, &out, &size, path));
            break;
        case ZARR_BLOSC:
            TRY(undo_blosc(*data, *n, bound, &out, &size, path));
            break;
        case ZARR_SHUFFLE:
            TRY(undo_shuffle(*data, *n, c->element[i], &out, &size));
            break;
        default: /* crc32c */
            if (*n < 4)
                return damaged(path, "crc32c");
            *n -= 4;
            memcpy(&sum, *data + *n, 4);
            if (sum != crc32c(*data, *n))
                FAIL(ERR_INPUT, "%s: the checksum of a chunk is wrong; copy the data again", path);
            continue;
        }
        free(*data);
        *data = out;
        *n = size;
    }
    return OK;
}
