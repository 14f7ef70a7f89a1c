/* Chunks of Zarr arrays, or the inner chunks of shards, found and unpacked; texts. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/zarr_impl.h"

void zarr_array_close(Array *base)
{
    ZarrArray *a = (ZarrArray *)base;
    chunked_done(&a->chunked);
    zarr_record_done(a);
    free(a->base.path);
    free(a);
}

/* Shape of the unit that is unpacked at once. */
static const uint64_t *unit(const ZarrArray *a)
{
    return a->sharded ? a->inner : a->base.info.chunk;
}

static size_t unit_count(const ZarrArray *a)
{
    size_t n = 1;
    for (int i = 0; i < a->base.info.rank; i++)
        n *= (size_t)unit(a)[i];
    return n;
}

/* Key of the stored chunk with these coordinates. */
static char *chunk_key(const ZarrArray *a, const uint64_t *at)
{
    Str s = {0};
    str_addf(&s, "%s/", a->base.path);
    if (a->version == 3 && a->key_prefix)
        str_add(&s, "c");
    for (int i = 0; i < a->base.info.rank; i++) {
        if (i || (a->version == 3 && a->key_prefix))
            str_add_char(&s, a->separator);
        str_addf(&s, "%llu", (unsigned long long)at[i]);
    }
    if (!a->base.info.rank && !(a->version == 3 && a->key_prefix))
        str_add_char(&s, '0');
    return str_take(&s);
}

static ZarrFiles *files_of(const ZarrArray *a)
{
    return ((ZarrStore *)a->base.store)->files;
}

static size_t unpacked_bound(const ZarrArray *a)
{
    size_t n = unit_count(a);
    return a->text == ZARR_TEXT_VLEN
               ? n * 4096 + 65536 < ((size_t)1 << 30) ? n * 4096 + 65536 : (size_t)1 << 30
               : n * a->base.info.size;
}

/* Reads [offset, offset+len) of a key and undoes the codecs. */
static Err load(const ZarrArray *a, const char *key, uint64_t offset, uint64_t len,
                const ZarrCodecs *codecs, size_t most, unsigned char **data, size_t *n)
{
    unsigned char *p;
    TRY(mem_check_budget(len, key));
    TRY(NEW(p, len));
    Err err = zarr_files_read(files_of(a), key, offset, (size_t)len, p);
    *n = (size_t)len;
    if (!err)
        err = zarr_codecs_undo(codecs, &p, n, most, key);
    if (err) {
        free(p);
        return err;
    }
    *data = p;
    return OK;
}

/* Where inner chunk `inner` of a shard lies; found = false when it is not stored. */
static Err find_inner(const ZarrArray *a, const char *key, uint64_t size, const uint64_t *at,
                      uint64_t *offset, uint64_t *len, bool *found)
{
    uint64_t per[STORE_MAX_RANK], chunks = 1, linear = 0, entry[2];
    unsigned char *index;
    size_t n;
    for (int i = 0; i < a->base.info.rank; i++) {
        per[i] = a->base.info.chunk[i] / a->inner[i];
        linear = linear * per[i] + at[i] % per[i];
        if (__builtin_mul_overflow(chunks, per[i], &chunks) || chunks > size / 16 + 1)
            FAIL(ERR_INPUT, "%s: is shorter than its index; the data are damaged", key);
    }
    uint64_t bytes = chunks * 16 + 4 * a->index_codecs.n;
    if (bytes > size)
        FAIL(ERR_INPUT, "%s: is shorter than its index; the data are damaged", key);
    TRY(load(a, key, a->index_at_start ? 0 : size - bytes, bytes, &a->index_codecs, (size_t)bytes,
             &index, &n));
    bool whole = n == chunks * 16;
    if (whole)
        memcpy(entry, index + linear * 16, 16);
    free(index);
    if (!whole)
        FAIL(ERR_INPUT, "%s: its index is damaged", key);
    *found = entry[0] != UINT64_MAX || entry[1] != UINT64_MAX;
    *offset = entry[0];
    *len = entry[1];
    if (*found && (entry[0] > size || entry[1] > size - entry[0]))
        FAIL(ERR_INPUT, "%s: its index points outside of it; the data are damaged", key);
    return OK;
}

/* Unpacks the unit with these coordinates (in units); data NULL when it is not stored. */
static Err load_unit(const ZarrArray *a, const uint64_t *at, unsigned char **data, size_t *n)
{
    uint64_t outer[STORE_MAX_RANK], size, offset = 0;
    bool found;
    for (int i = 0; i < a->base.info.rank; i++)
        outer[i] = a->sharded ? at[i] / (a->base.info.chunk[i] / a->inner[i]) : at[i];
    char *key = chunk_key(a, outer);
    *data = NULL;
    *n = 0;
    Err err = zarr_files_size(files_of(a), key, &size, &found);
    if (!err && !found && zarr_files_outside(files_of(a), key))
        err = err_set(ERR_INPUT, "%s: is a link or no file, which is not followed", key);
    if (!err && found && a->sharded && a->outer_codecs.n)
        err = err_set(ERR_INPUT, "%s: shards inside other codecs are not read here", a->base.path);
    if (!err && found && a->sharded)
        err = find_inner(a, key, size, at, &offset, &size, &found);
    if (!err && found)
        err = load(a, key, offset, size, &a->codecs, unpacked_bound(a), data, n);
    if (!err && found && a->text != ZARR_TEXT_VLEN && *n < unit_count(a) * a->base.info.size) {
        free(*data);
        *data = NULL;
        err = err_set(ERR_INPUT,
                      "%s: unpacks to %zu bytes where %zu are expected; the data are damaged", key,
                      *n, unit_count(a) * a->base.info.size);
    }
    free(key);
    return err;
}

Err zarr_load_unit(void *array, const uint64_t *at, unsigned char **data, size_t *n)
{
    return load_unit(array, at, data, n);
}

Err zarr_array_read(Array *base, const uint64_t *start, const uint64_t *count, MemType type,
                    void *out)
{
    return chunked_read(&((ZarrArray *)base)->chunked, start, count, type, out);
}

/* ---- texts ---- */

static void add_utf8(Str *s, uint32_t c)
{
    char b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n == 1) {
        str_add_char(s, (char)c);
        return;
    }
    for (size_t i = n; i-- > 1; c >>= 6)
        b[i] = (char)(0x80 | (c & 63));
    b[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    str_add_n(s, b, n);
}

char *zarr_fixed_text(ZarrText text, bool big_endian, const unsigned char *p, size_t size)
{
    if (text == ZARR_TEXT_BYTES)
        return text_clean_utf8(mem_strndup((const char *)p, size));
    Str s = {0};
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t c = big_endian ? (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 |
                                         (uint32_t)p[i + 2] << 8 | p[i + 3]
                                   : (uint32_t)p[i + 3] << 24 | (uint32_t)p[i + 2] << 16 |
                                         (uint32_t)p[i + 1] << 8 | p[i];
        if (!c)
            break;
        add_utf8(&s, c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0xFFFD : c);
    }
    return str_take(&s);
}

/* 4 bytes count, then per text 4 bytes length and the bytes. */
static Err vlen_texts(const ZarrArray *a, const Chunk *c, size_t from, size_t n, char **out)
{
    uint32_t count = 0, len;
    size_t at = 4;
    if (c->n >= 4)
        memcpy(&count, c->data, 4);
    if (count < from + n)
        FAIL(ERR_INPUT, "%s: a chunk holds %u texts where %zu are expected; the data are damaged",
             a->base.path, count, from + n);
    for (size_t i = 0; i < from + n; i++) {
        if (c->n - at < 4)
            FAIL(ERR_INPUT, "%s: a chunk of texts is cut short; the data are damaged",
                 a->base.path);
        memcpy(&len, c->data + at, 4);
        at += 4;
        if (len > c->n - at)
            FAIL(ERR_INPUT, "%s: a chunk of texts is cut short; the data are damaged",
                 a->base.path);
        if (i >= from)
            out[i - from] = text_clean_utf8(mem_strndup((const char *)c->data + at, len));
        at += len;
    }
    return OK;
}

static Err texts_of_unit(ZarrArray *a, const uint64_t *at, size_t from, size_t n, char **out)
{
    const Chunk *c;
    TRY(chunked_get(&a->chunked, at, &c));
    if (c->data && a->text == ZARR_TEXT_VLEN)
        return vlen_texts(a, c, from, n, out);
    size_t size = a->base.info.size;
    for (size_t i = 0; i < n; i++)
        out[i] = c->data ? zarr_fixed_text(a->text, a->big_endian, c->data + (from + i) * size, size)
                         : mem_strdup("");
    return OK;
}

Err zarr_array_read_text(Array *base, uint64_t start, uint64_t count, char **out)
{
    ZarrArray *a = (ZarrArray *)base;
    Err err = OK;
    memset(out, 0, count * sizeof *out);
    uint64_t u = base->info.rank ? unit(a)[0] : 1;
    for (uint64_t done = 0; done < count && !err;) {
        uint64_t at = (start + done) / u, from = (start + done) % u;
        uint64_t n = u - from < count - done ? u - from : count - done;
        err = texts_of_unit(a, &at, (size_t)from, (size_t)n, out + done);
        done += n;
    }
    for (uint64_t i = 0; err && i < count; i++) {
        free(out[i]);
        out[i] = NULL;
    }
    return err;
}
