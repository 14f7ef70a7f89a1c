/* Metadata of Zarr nodes, versions 2 and 3: kind, attributes, shape, type, chunks, codecs. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/zarr_impl.h"

enum { MOST_JSON = 64 << 20 };

static Err read_json(ZarrStore *s, const char *path, const char *file, cJSON **out)
{
    char *key = path_join(path, file), *text = NULL;
    uint64_t size;
    bool found;
    *out = NULL;
    Err err = zarr_files_size(s->files, key, &size, &found);
    if (!err && found && size > MOST_JSON)
        err = err_set(ERR_INPUT, "%s: is too large for metadata", key);
    if (!err && found) {
        text = mem_must((size_t)size + 1);
        err = zarr_files_read(s->files, key, 0, (size_t)size, text);
        if (!err && !(*out = cJSON_ParseWithLength(text, (size_t)size)))
            err = err_set(ERR_INPUT, "%s: is no JSON; the file is damaged", key);
    }
    free(text);
    free(key);
    return err;
}

static void forget(ZarrStore *s)
{
    cJSON_Delete(s->last);
    cJSON_Delete(s->last_attrs);
    free(s->last_path);
    s->last = s->last_attrs = NULL;
    s->last_path = NULL;
}

static Err load_node(ZarrStore *s, const char *path)
{
    const cJSON *type;
    s->last_kind = NODE_NONE;
    TRY(read_json(s, path, "zarr.json", &s->last));
    if (s->last) {
        type = cJSON_GetObjectItemCaseSensitive(s->last, "node_type");
        const char *t = cJSON_GetStringValue(type);
        s->last_kind = t && strcmp(t, "array") == 0 ? NODE_ARRAY : NODE_GROUP;
        s->last_attrs = cJSON_DetachItemFromObjectCaseSensitive(s->last, "attributes");
        return OK;
    }
    TRY(read_json(s, path, ".zarray", &s->last));
    if (s->last) {
        s->last_kind = NODE_ARRAY;
    } else {
        TRY(read_json(s, path, ".zgroup", &s->last));
        s->last_kind = s->last ? NODE_GROUP : NODE_NONE;
    }
    TRY(read_json(s, path, ".zattrs", &s->last_attrs));
    if (s->last_kind == NODE_NONE && (s->last_attrs || !*path))
        s->last_kind = NODE_GROUP;
    return OK;
}

Err zarr_node(ZarrStore *s, const char *path, NodeKind *kind, const cJSON **meta,
              const cJSON **attrs)
{
    if (!s->last_path || strcmp(s->last_path, path) != 0) {
        forget(s);
        Err err = load_node(s, path);
        if (err) {
            forget(s);
            return err;
        }
        s->last_path = mem_strdup(path);
    }
    *kind = s->last_kind;
    if (*kind == NODE_NONE && zarr_files_outside(s->files, path))
        *kind = NODE_OUTSIDE;
    if (meta)
        *meta = s->last;
    if (attrs)
        *attrs = s->last_attrs;
    return OK;
}

/* ---- arrays ---- */

static const cJSON *get(const cJSON *j, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(j, key);
}

static const char *text(const cJSON *j, const char *key)
{
    const char *s = cJSON_GetStringValue(get(j, key));
    return s ? s : "";
}

static Err bad(const ZarrArray *a, const char *what)
{
    FAIL(ERR_INPUT, "%s: %s; the metadata is damaged or of an unknown kind", a->base.path, what);
}

/* A list of at most STORE_MAX_RANK sizes. */
static bool take_sizes(const cJSON *list, uint64_t *out, int *rank)
{
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1;
    if (n < 0 || n > STORE_MAX_RANK)
        return false;
    for (int i = 0; i < n; i++) {
        double v = cJSON_GetNumberValue(cJSON_GetArrayItem(list, i));
        if (!(v >= 0 && v <= 9e15 && v == floor(v)))
            return false;
        out[i] = (uint64_t)v;
    }
    *rank = n;
    return true;
}

static Err take_shape(ZarrArray *a, const cJSON *shape, const cJSON *chunks)
{
    ArrayInfo *i = &a->base.info;
    int rank;
    if (!take_sizes(shape, i->shape, &i->rank))
        return bad(a, "no shape");
    if (!take_sizes(chunks, i->chunk, &rank) || rank != i->rank)
        return bad(a, "no chunk shape");
    i->count = 1;
    for (int k = 0; k < rank; k++) {
        if (!i->chunk[k])
            i->chunk[k] = 1; /* an empty dimension */
        if (__builtin_mul_overflow(i->count, i->shape[k], &i->count))
            return bad(a, "an impossible size");
    }
    return OK;
}

static void set_type(ZarrArray *a, ElemClass cls, size_t size, bool is_unsigned)
{
    ArrayInfo *i = &a->base.info;
    static const char *const names[] = {"int", "float", "bool", "object", "compound"};
    i->cls = cls;
    i->size = size;
    a->is_unsigned = is_unsigned;
    if (cls == ELEM_INT || cls == ELEM_FLOAT)
        snprintf(i->dtype, sizeof i->dtype, "%s%s%zu", is_unsigned ? "u" : "", names[cls],
                 size * 8);
    else
        snprintf(i->dtype, sizeof i->dtype, "%s", cls <= ELEM_COMPOUND ? names[cls] : "other");
}

static bool good_size(ElemClass cls, size_t size)
{
    return cls == ELEM_FLOAT ? size == 2 || size == 4 || size == 8
                             : size == 1 || size == 2 || size == 4 || size == 8;
}

static Err take_record(ZarrArray *a, const cJSON *fields);

/* numpy's "<f4", "|b1", "|O", "<U12", "|S5"; a list of names and types for records. */
static Err take_numpy_type(ZarrArray *a, const cJSON *dtype, bool vlen)
{
    const char *t = cJSON_GetStringValue(dtype);
    if (cJSON_IsArray(dtype))
        return take_record(a, dtype);
    if (!t || strlen(t) < 2)
        return bad(a, "a compound or unknown type");
    size_t size = strtoul(t + 2, NULL, 10);
    a->big_endian = t[0] == '>';
    ElemClass cls = t[1] == 'f' ? ELEM_FLOAT : t[1] == 'b' ? ELEM_BOOL : ELEM_INT;
    if (t[1] == 'O' && vlen) {
        a->text = ZARR_TEXT_VLEN;
        set_type(a, ELEM_STRING, 8, false);
    } else if ((t[1] == 'U' || t[1] == 'S') && size > 0 && size < (1 << 20)) {
        a->text = t[1] == 'U' ? ZARR_TEXT_UTF32 : ZARR_TEXT_BYTES;
        set_type(a, ELEM_STRING, t[1] == 'U' ? size * 4 : size, false);
    } else if (strchr("fiub", t[1]) && good_size(cls, size)) {
        set_type(a, cls, size, t[1] == 'u');
    } else {
        set_type(a, ELEM_OTHER, 1, false);
    }
    return OK;
}

static double fill_value(const cJSON *v)
{
    if (cJSON_IsNumber(v))
        return v->valuedouble;
    const char *s = cJSON_GetStringValue(v);
    if (!s)
        return cJSON_IsTrue(v) ? 1 : 0;
    return strcmp(s, "NaN") == 0         ? NAN
           : strcmp(s, "Infinity") == 0  ? INFINITY
           : strcmp(s, "-Infinity") == 0 ? -INFINITY
                                         : 0;
}

static Err describe_v2(ZarrArray *a, const cJSON *m)
{
    const cJSON *filter, *filters = get(m, "filters"), *compressor = get(m, "compressor");
    const char *separator = text(m, "dimension_separator");
    bool vlen = false;
    a->version = 2;
    a->separator = *separator ? *separator : '.';
    a->fortran = strcmp(text(m, "order"), "F") == 0;
    a->fill = fill_value(get(m, "fill_value"));
    TRY(take_shape(a, get(m, "shape"), get(m, "chunks")));
    if (cJSON_IsObject(compressor))
        TRY(zarr_codecs_add(&a->codecs, text(compressor, "id"), compressor, a->base.path));
    for (int i = cJSON_IsArray(filters) ? cJSON_GetArraySize(filters) : 0;
         i-- > 0;) { /* undone last to first */
        filter = cJSON_GetArrayItem(filters, i);
        if (strcmp(text(filter, "id"), "vlen-utf8") == 0)
            vlen = true;
        else
            TRY(zarr_codecs_add(&a->codecs, text(filter, "id"), filter, a->base.path));
    }
    return take_numpy_type(a, get(m, "dtype"), vlen);
}

static Err take_v3_type(ZarrArray *a, const cJSON *type)
{
    const cJSON *length, *fields = get(get(type, "configuration"), "fields");
    const char *t = cJSON_IsObject(type) ? text(type, "name") : cJSON_GetStringValue(type);
    static const struct {
        const char *name;
        ElemClass cls;
        size_t size;
        bool is_unsigned;
    } known[] = {{"float32", ELEM_FLOAT, 4, false}, {"float64", ELEM_FLOAT, 8, false},
                 {"float16", ELEM_FLOAT, 2, false}, {"int8", ELEM_INT, 1, false},
                 {"int16", ELEM_INT, 2, false},     {"int32", ELEM_INT, 4, false},
                 {"int64", ELEM_INT, 8, false},     {"uint8", ELEM_INT, 1, true},
                 {"uint16", ELEM_INT, 2, true},     {"uint32", ELEM_INT, 4, true},
                 {"uint64", ELEM_INT, 8, true},     {"bool", ELEM_BOOL, 1, false}};
    if (cJSON_IsArray(fields))
        return take_record(a, fields);
    for (size_t i = 0; t && i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, t) == 0) {
            set_type(a, known[i].cls, known[i].size, known[i].is_unsigned);
            return OK;
        }
    length = get(get(type, "configuration"), "length_bytes");
    size_t bytes =
        cJSON_IsNumber(length) && length->valuedouble >= 1 && length->valuedouble < (1 << 22)
            ? (size_t)length->valuedouble
            : 0;
    if (t && (strcmp(t, "string") == 0 || strcmp(t, "variable_length_utf8") == 0)) {
        a->text = ZARR_TEXT_VLEN;
        set_type(a, ELEM_STRING, 8, false);
    } else if (t && bytes &&
               (strcmp(t, "fixed_length_utf32") == 0 || strcmp(t, "null_terminated_bytes") == 0)) {
        a->text = t[0] == 'f' ? ZARR_TEXT_UTF32 : ZARR_TEXT_BYTES;
        set_type(a, ELEM_STRING, bytes, false);
    } else {
        set_type(a, ELEM_OTHER, 1, false);
    }
    return OK;
}

/* Fields of records, ["name", type] each (or, in version 3, {"name", "data_type"}). What has fields
 * of unknown types is unknown as a whole. */
static Err take_record(ZarrArray *a, const cJSON *fields)
{
    enum { MOST_FIELDS = 4096, MOST_BYTES = 1 << 20 };
    int n = cJSON_GetArraySize(fields);
    size_t at = 0;
    bool good = n > 0 && n <= MOST_FIELDS && !a->fields;
    if (good)
        a->fields = mem_must((size_t)n * sizeof *a->fields);
    for (int i = 0; i < n && good; i++) {
        const cJSON *f = cJSON_GetArrayItem(fields, i), *type = cJSON_GetArrayItem(f, 1);
        const char *name = cJSON_IsObject(f) ? text(f, "name")
                                             : cJSON_GetStringValue(cJSON_GetArrayItem(f, 0));
        if (cJSON_IsObject(f))
            type = get(f, "data_type");
        ZarrArray one = {.base = {.path = a->base.path}};
        Err err = a->version == 2 ? take_numpy_type(&one, type, false) : take_v3_type(&one, type);
        zarr_record_done(&one); /* records within records are unknown */
        TRY(err);
        const ArrayInfo *info = &one.base.info;
        for (size_t k = 0; name && k < a->n_fields; k++)
            if (strcmp(a->fields[k].name, name) == 0)
                name = NULL;
        good = name && info->cls <= ELEM_STRING && one.text != ZARR_TEXT_VLEN &&
               cJSON_GetArraySize(f) == 2 && at + info->size < MOST_BYTES;
        if (!good)
            break;
        a->fields[a->n_fields++] = (ZarrField){.name = mem_strdup(name),
                                               .offset = at,
                                               .info = *info,
                                               .is_unsigned = one.is_unsigned,
                                               .big_endian = one.big_endian,
                                               .text = one.text};
        at += info->size;
    }
    if (!good)
        zarr_record_done(a);
    set_type(a, good ? ELEM_COMPOUND : ELEM_OTHER, good ? at : 1, false);
    return OK;
}

/* A v3 codec chain: array-to-bytes codecs set properties of the array, the others are undone last
 * to first. */
static Err take_chain(ZarrArray *a, const cJSON *list, ZarrCodecs *out, bool top)
{
    for (int i = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0; i-- > 0;) {
        const cJSON *codec = cJSON_GetArrayItem(list, i), *c = get(codec, "configuration");
        const char *name = text(codec, "name");
        if (strcmp(name, "bytes") == 0) {
            a->big_endian = strcmp(text(c, "endian"), "big") == 0;
        } else if (strcmp(name, "transpose") == 0) {
            const cJSON *order = get(c, "order");
            for (int k = 0; k < a->base.info.rank; k++)
                if (cJSON_GetNumberValue(cJSON_GetArrayItem(order, k)) != a->base.info.rank - 1 - k)
                    return bad(a, "a transpose that is neither C nor F order");
            a->fortran = a->base.info.rank > 1;
        } else if (strcmp(name, "vlen-utf8") == 0 || strcmp(name, "vlen-bytes") == 0) {
            a->text = ZARR_TEXT_VLEN;
        } else if (strcmp(name, "sharding_indexed") == 0 && top) {
            int rank;
            a->sharded = true;
            a->outer_codecs = *out;
            *out = (ZarrCodecs){0};
            a->index_at_start = strcmp(text(c, "index_location"), "start") == 0;
            if (!take_sizes(get(c, "chunk_shape"), a->inner, &rank) || rank != a->base.info.rank)
                return bad(a, "shards without chunk shape");
            for (int k = 0; k < rank; k++)
                if (!a->inner[k] || a->base.info.chunk[k] % a->inner[k])
                    return bad(a, "shards that are no multiple of their chunks");
            TRY(take_chain(a, get(c, "index_codecs"), &a->index_codecs, false));
            TRY(take_chain(a, get(c, "codecs"), out, false));
        } else {
            TRY(zarr_codecs_add(out, name, c, a->base.path));
        }
    }
    return OK;
}

static Err describe_v3(ZarrArray *a, const cJSON *m)
{
    const cJSON *grid = get(m, "chunk_grid"), *keys = get(m, "chunk_key_encoding");
    const char *separator = text(get(keys, "configuration"), "separator");
    a->version = 3;
    if (strcmp(text(grid, "name"), "regular") != 0)
        return bad(a, "a chunk grid that is not regular");
    a->key_prefix = strcmp(text(keys, "name"), "v2") != 0;
    a->separator = *separator ? *separator : a->key_prefix ? '/' : '.';
    a->fill = fill_value(get(m, "fill_value"));
    TRY(take_shape(a, get(m, "shape"), get(get(grid, "configuration"), "chunk_shape")));
    TRY(take_v3_type(a, get(m, "data_type")));
    return take_chain(a, get(m, "codecs"), &a->codecs, true);
}

Err zarr_describe(ZarrArray *a, const cJSON *meta)
{
    enum { MOST_CHUNK = 1 << 30 };
    TRY(get(meta, "zarr_format") && cJSON_GetNumberValue(get(meta, "zarr_format")) == 3
            ? describe_v3(a, meta)
            : describe_v2(a, meta));
    const ArrayInfo *i = &a->base.info;
    uint64_t bytes = i->size;
    for (int k = 0; k < i->rank; k++)
        if (__builtin_mul_overflow(bytes, a->sharded ? a->inner[k] : i->chunk[k], &bytes) ||
            bytes > MOST_CHUNK)
            FAIL(ERR_INPUT,
                 "%s: chunks above 1 GB are not read here; write it again with smaller ones",
                 a->base.path);
    return OK;
}
