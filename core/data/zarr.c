/* The Store operations over Zarr. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/zarr_impl.h"

static ZarrStore *zarr(Store *s)
{
    return (ZarrStore *)s;
}

static void zarr_close(Store *base)
{
    ZarrStore *s = zarr(base);
    cJSON_Delete(s->last);
    cJSON_Delete(s->last_attrs);
    free(s->last_path);
    zarr_files_close(s->files);
    free(s);
}

static NodeKind zarr_kind(Store *s, const char *path)
{
    NodeKind kind;
    return zarr_node(zarr(s), path, &kind, NULL, NULL) == OK ? kind : NODE_NONE;
}

/* Folders that are nodes. */
static Err zarr_list(Store *s, const char *path, char ***names, size_t *n)
{
    char **all;
    size_t n_all, kept = 0;
    TRY(zarr_files_list(zarr(s)->files, path, &all, &n_all));
    for (size_t i = 0; i < n_all; i++) {
        char *p = path_join(path, all[i]);
        bool node =
            all[i][0] != '.' && strcmp(all[i], "zarr.json") != 0 && zarr_kind(s, p) != NODE_NONE;
        free(p);
        if (node)
            all[kept++] = all[i];
        else
            free(all[i]);
    }
    *names = all;
    *n = kept;
    return OK;
}

static const cJSON *attribute(Store *s, const char *path, const char *name)
{
    NodeKind kind;
    const cJSON *attrs = NULL;
    if (zarr_node(zarr(s), path, &kind, NULL, &attrs))
        return NULL;
    return cJSON_GetObjectItemCaseSensitive(attrs, name);
}

static Err zarr_attr_texts(Store *s, const char *path, const char *attr, char ***texts, size_t *n)
{
    const cJSON *v = attribute(s, path, attr), *item;
    int count = cJSON_IsString(v) ? 1 : cJSON_IsArray(v) ? cJSON_GetArraySize(v) : 0;
    *texts = NULL;
    *n = 0;
    cJSON_ArrayForEach(item, v) if (!cJSON_IsString(item)) return OK;
    if (!count)
        return OK;
    *texts = mem_must((size_t)count * sizeof **texts);
    if (cJSON_IsString(v)) {
        (*texts)[(*n)++] = mem_strdup(v->valuestring);
        return OK;
    }
    cJSON_ArrayForEach(item, v)(*texts)[(*n)++] = mem_strdup(item->valuestring);
    return OK;
}

static void add_int(const cJSON *v, int64_t *out, size_t cap, size_t *n)
{
    double d = cJSON_IsNumber(v) ? v->valuedouble : cJSON_IsTrue(v);
    if (*n < cap && (cJSON_IsNumber(v) || cJSON_IsBool(v)))
        out[(*n)++] = d >= -9.2e18 && d <= 9.2e18 ? (int64_t)d : INT64_MIN; /* no size is that */
}

static Err zarr_attr_ints(Store *s, const char *path, const char *attr, int64_t *out, size_t cap,
                          size_t *n)
{
    const cJSON *v = attribute(s, path, attr), *item;
    *n = 0;
    if (cJSON_IsArray(v))
        cJSON_ArrayForEach(item, v) add_int(item, out, cap, n);
    else
        add_int(v, out, cap, n);
    return OK;
}

/* anndata 0.7 wrote the path of the categories as a text. */
static char *zarr_attr_target(Store *s, const char *path, const char *attr)
{
    const char *target = cJSON_GetStringValue(attribute(s, path, attr));
    if (!target)
        return NULL;
    char *copy = mem_strdup(*target == '/' ? target + 1 : target);
    if (zarr_kind(s, copy) == NODE_ARRAY)
        return copy;
    const char *slash = strrchr(path, '/');
    char *beside = str_format("%.*s%s", slash ? (int)(slash - path + 1) : 0, path, copy);
    free(copy);
    return beside;
}

/* A large array of which neither the first nor the last chunk exists was never written, whatever it
 * declares. */
static Err check_written(ZarrArray *a)
{
    uint64_t zero = 0, one = 1;
    const ArrayInfo *i = &a->base.info;
    if (i->rank != 1 || i->count < (1 << 22))
        return OK;
    char *names[2];
    char *prefix = a->version == 3 && a->key_prefix
                       ? str_format("%s/c%c", a->base.path, a->separator)
                       : str_format("%s/", a->base.path);
    names[0] = str_format("%s%llu", prefix, (unsigned long long)zero);
    names[1] = str_format("%s%llu", prefix, (unsigned long long)((i->count - one) / i->chunk[0]));
    bool there = zarr_files_has(zarr(a->base.store)->files, names[0]) ||
                 zarr_files_has(zarr(a->base.store)->files, names[1]);
    free(prefix);
    free(names[0]);
    free(names[1]);
    if (!there)
        FAIL(ERR_INPUT,
             "%s: %llu values are declared, but none are stored; the data are incomplete",
             a->base.path, (unsigned long long)i->count);
    return OK;
}

static Err zarr_open(Store *s, const char *path, Array **out)
{
    NodeKind kind;
    const cJSON *meta = NULL;
    TRY(zarr_node(zarr(s), path, &kind, &meta, NULL));
    if (kind != NODE_ARRAY)
        FAIL(ERR_INPUT, "%s: no readable array", path);
    ZarrArray *a = mem_must(sizeof *a);
    a->base.store = s;
    a->base.path = mem_strdup(path);
    Err err = zarr_describe(a, meta);
    if (!err)
        err = check_written(a);
    a->chunked = (Chunked){.rank = a->base.info.rank,
                           .chunk = a->sharded ? a->inner : a->base.info.chunk,
                           .element = a->base.info.size,
                           .cls = a->base.info.cls,
                           .is_unsigned = a->is_unsigned,
                           .big_endian = a->big_endian,
                           .fortran = a->fortran,
                           .fill = a->fill,
                           .load = zarr_load_unit,
                           .array = a};
    if (err) {
        zarr_array_close(&a->base);
        return err;
    }
    *out = &a->base;
    return OK;
}

static const StoreOps zarr_ops = {
    .close = zarr_close,
    .kind = zarr_kind,
    .list = zarr_list,
    .attr_texts = zarr_attr_texts,
    .attr_ints = zarr_attr_ints,
    .attr_target = zarr_attr_target,
    .open = zarr_open,
    .array_close = zarr_array_close,
    .read = zarr_array_read,
    .read_text = zarr_array_read_text,
    .fields = zarr_fields,
    .read_field = zarr_read_field,
    .read_field_text = zarr_read_field_text,
};

Err store_open_zarr(const char *path, Store **out)
{
    ZarrStore *s = mem_must(sizeof *s);
    Err err = zarr_files_open(path, &s->files);
    if (err) {
        free(s);
        return err;
    }
    s->base.ops = &zarr_ops;
    s->base.bytes = UINT64_MAX;
    *out = &s->base;
    return OK;
}
