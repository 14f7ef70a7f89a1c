/* The Store operations over HDF5: nodes, arrays, strings, compound fields (attributes: h5_attr.c).
 */
#include "core/data/h5.h"
#include "core/data/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

static void h5_close(Store *base)
{
    H5Store *s = (H5Store *)base;
    h5_quiet();
    H5Pclose(s->lapl);
    H5Fclose(s->file);
    free(s);
}

static NodeKind h5_kind(Store *base, const char *path)
{
    H5Store *s = (H5Store *)base;
    hid_t id = h5_object(base, path);
    if (id < 0) {
        H5L_info_t link;
        if (!*path || H5Lget_info(s->file, path, &link, s->lapl) < 0)
            return NODE_NONE;
        /* An object that is there but cannot be opened: opening it as an array says why. */
        return link.type == H5L_TYPE_HARD ? NODE_ARRAY : NODE_OUTSIDE;
    }
    H5I_type_t type = H5Iget_type(id);
    H5Oclose(id);
    return type == H5I_GROUP ? NODE_GROUP : type == H5I_DATASET ? NODE_ARRAY : NODE_NONE;
}

typedef struct NameList {
    char **names;
    size_t n, cap;
} NameList;

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *user)
{
    NameList *l = user;
    if (l->n == 1000000) /* no honest group is larger */
        return 1;
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 32;
        if (mem_realloc(&l->names, l->cap, sizeof *l->names))
            return -1;
    }
    l->names[l->n++] = text_clean_utf8(mem_strdup(name));
    return 0;
}

static Err h5_list(Store *base, const char *path, char ***names, size_t *n)
{
    NameList l = {0};
    hid_t id = h5_object(base, path);
    herr_t status = id < 0 ? -1 : H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, NULL, add_name, &l);
    if (status < 0) {
        err_set(ERR_INPUT, "%s: members cannot be listed (%s); the file is damaged, write it again",
                h5_path(path), h5_reason());
        strings_free(l.names, l.n);
        if (id >= 0)
            H5Oclose(id);
        return ERR_INPUT;
    }
    H5Oclose(id);
    *names = l.names;
    *n = l.n;
    return OK;
}

/* ---- arrays ---- */

static void h5_array_close(Array *base)
{
    H5Array *a = (H5Array *)base;
    h5_quiet();
    chunked_done(&a->chunked);
    if (a->type >= 0)
        H5Tclose(a->type);
    if (a->id >= 0)
        H5Dclose(a->id);
    free(a->base.path);
    free(a);
}

/* Shape, chunks, and whether the declared size can be true of this file. */
static Err describe(H5Array *a)
{
    ArrayInfo *info = &a->base.info;
    const char *path = a->base.path;
    hid_t space = H5Dget_space(a->id), dcpl = H5Dget_create_plist(a->id);
    Err err = OK;
    hsize_t dims[H5S_MAX_RANK];
    double ratio = 1;
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > STORE_MAX_RANK)
        FAIL_GOTO(ERR_INPUT, "%s: its shape cannot be read; the file is damaged, write it again",
                  path);
    bool follow = ((const H5Store *)a->base.store)->follow;
    if (h5_lies_outside(dcpl) && !follow)
        FAIL_GOTO(ERR_INPUT,
                  "%s: its values lie in another file, which is not followed; if you trust this "
                  "file, add --allow-external",
                  path);
    H5Sget_simple_extent_dims(space, dims, NULL);
    info->rank = rank;
    info->count = H5Sget_simple_extent_type(space) == H5S_NULL ? 0 : 1;
    for (int i = 0; i < rank; i++) {
        info->shape[i] = dims[i];
        if (__builtin_mul_overflow(info->count, dims[i], &info->count))
            FAIL_GOTO(ERR_INPUT, "%s: the declared size is impossible; the file is damaged", path);
    }
    h5_describe_type(a->type, info);
    if (H5Pget_layout(dcpl) == H5D_CHUNKED) {
        H5Pget_chunk(dcpl, rank, dims);
        for (int i = 0; i < rank; i++)
            info->chunk[i] = dims[i];
        TRY_GOTO(h5_check_filters(dcpl, path, &ratio));
    }
    a->own_chunks = h5_chunks_setup(a, dcpl);
    double declared = (double)info->count * (double)info->size,
           file = follow ? h5_bytes_behind(a->id, dcpl) : (double)a->base.store->bytes;
    bool lie = declared > (1 << 20) && declared > file * ratio;
    if (!lie && declared > 64e6 && declared > 20 * file &&
        !follow) /* rare, so the walk over the chunks may cost */
        lie = declared > ((double)H5Dget_storage_size(a->id) + 4096) * ratio;
    if (lie)
        FAIL_GOTO(ERR_INPUT,
                  "%s: %llu values are declared, more than this file of %llu bytes can hold; the "
                  "file is damaged or cut short",
                  path, (unsigned long long)info->count, (unsigned long long)file);
done:
    H5Sclose(space);
    H5Pclose(dcpl);
    return err;
}

/* HDF5 keeps 1 MB of unpacked chunks; larger chunks would be unpacked again for every block of
 * rows. */
static hid_t reopen_with_cache(H5Store *s, H5Array *a)
{
    uint64_t bytes = a->base.info.size;
    for (int i = 0; i < a->base.info.rank; i++)
        bytes *= a->base.info.chunk[i] ? a->base.info.chunk[i] : 1;
    if (!a->base.info.rank || !a->base.info.chunk[0] || bytes < (1 << 19) || bytes > (1 << 28))
        return a->id;
    hid_t dapl = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(dapl, 521, bytes < (1 << 24) ? 1 << 25 : (size_t)bytes * 2, 1.0);
    hid_t again = H5Dopen2(s->file, a->base.path, dapl);
    H5Pclose(dapl);
    if (again < 0)
        return a->id;
    H5Dclose(a->id);
    return again;
}

/* External storage is looked for beside the file, as links are; the folder one happens to be in
 * says nothing. */
static hid_t reopen_beside(H5Store *s, hid_t id, const char *path)
{
    hid_t dcpl = H5Dget_create_plist(id);
    bool external = H5Pget_external_count(dcpl) > 0;
    H5Pclose(dcpl);
    if (!external || !s->follow)
        return id;
    hid_t dapl = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_efile_prefix(dapl, "${ORIGIN}");
    hid_t again = H5Dopen2(s->file, path, dapl);
    H5Pclose(dapl);
    if (again < 0)
        return id;
    H5Dclose(id);
    return again;
}

static Err h5_open(Store *base, const char *path, Array **out)
{
    hid_t id = h5_object(base, path);
    if (id < 0 || H5Iget_type(id) != H5I_DATASET) {
        const char *reason = id < 0 ? h5_reason() : "it is a group";
        if (id >= 0)
            H5Oclose(id);
        if (strstr(reason, "version"))
            FAIL(ERR_INPUT,
                 "%s: was written by a newer HDF5 in a form that version %d.%d.%d does not read "
                 "(%s); write the file again with h5py's libver=\"v110\"",
                 path, H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE, reason);
        FAIL(ERR_INPUT, "%s: no readable array (%s)", path, reason);
    }
    H5Array *a = mem_must(sizeof *a);
    a->base.store = base;
    a->base.path = mem_strdup(path);
    a->id = reopen_beside((H5Store *)base, id, path);
    a->type = H5Dget_type(a->id);
    a->fd = -1;
    Err err = a->type < 0
                  ? err_set(ERR_INPUT, "%s: its type cannot be read; the file is damaged", path)
                  : describe(a);
    if (err) {
        h5_array_close(&a->base);
        return err;
    }
    if (!a->own_chunks)
        a->id = reopen_with_cache((H5Store *)base, a);
    *out = &a->base;
    return OK;
}

static Err unreadable(const Array *a)
{
    FAIL(ERR_INPUT,
         "%s: values cannot be read (%s); the file is damaged or cut short, copy or write it again",
         a->path, h5_reason());
}

/* A bound for what a chunk unpacks to: variable-length texts take 16 bytes in the file, 8 here. */
static size_t chunk_bytes(const ArrayInfo *i)
{
    size_t n = i->cls >= ELEM_STRING ? i->size * 2 : i->size;
    for (int k = 0; k < i->rank; k++)
        n *= i->chunk[k] ? (size_t)i->chunk[k] : 1;
    return n;
}

/* Selects the box in a fresh file space; *mem is the matching memory space. */
static void select_box(H5Array *a, const uint64_t *start, const uint64_t *count, hid_t *file,
                       hid_t *mem)
{
    hsize_t from[STORE_MAX_RANK], n[STORE_MAX_RANK];
    h5_expect_chunk(chunk_bytes(&a->base.info));
    *file = H5Dget_space(a->id);
    if (!a->base.info.rank) {
        *mem = H5Screate(H5S_SCALAR);
        return;
    }
    for (int i = 0; i < a->base.info.rank; i++) {
        from[i] = start[i];
        n[i] = count[i];
    }
    H5Sselect_hyperslab(*file, H5S_SELECT_SET, from, NULL, n, NULL);
    *mem = H5Screate_simple(a->base.info.rank, n, NULL);
}

static Err h5_read(Array *base, const uint64_t *start, const uint64_t *count, MemType type,
                   void *out)
{
    H5Array *a = (H5Array *)base;
    h5_quiet();
    hid_t file, mem;
    if (a->own_chunks)
        return chunked_read(&a->chunked, start, count, type, out);
    select_box(a, start, count, &file, &mem);
    watchdog_begin(WATCHDOG_CALL);
    herr_t status = H5Dread(a->id, h5_mem_type(type), mem, file, H5P_DEFAULT, out);
    watchdog_end();
    Err err = status < 0 ? unreadable(base) : OK;
    H5Sclose(file);
    H5Sclose(mem);
    return err;
}

/* Variable-length strings are allocated here, so that a lying length cannot take all memory. */
static void *string_alloc(size_t size, void *user)
{
    uint64_t *left = user;
    if (size > *left)
        return NULL;
    *left -= size;
    return malloc(size);
}

static void string_release(void *p, void *user)
{
    free(p);
}

hid_t h5_text_transfer(uint64_t *left)
{
    hid_t dxpl = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_buffer(dxpl, 1 << 16, NULL, NULL); /* 1 MB otherwise, kept: a tenth of what a small file needs */
    H5Pset_vlen_mem_manager(dxpl, string_alloc, left, string_release, left);
    return dxpl;
}

/* Most text that n strings of this file may unpack to. */
static uint64_t text_bound(const Array *a, uint64_t n)
{
    return a->store->bytes * 1100 + n * 64 + 4096;
}

/* Rows of `size` bytes that are read at a time: about 4 MB, whole chunks. */
static uint64_t slab_rows(const ArrayInfo *info, size_t size)
{
    uint64_t rows = ((uint64_t)1 << 22) / (size + 1) + 1, chunk = info->rank ? info->chunk[0] : 0;
    return chunk > 1 ? (rows + chunk - 1) / chunk * chunk : rows;
}

/* `type` into out: texts of `size` bytes, or (0) pointers to texts that HDF5 allocates. */
static Err read_slab(H5Array *a, uint64_t start, uint64_t count, hid_t type, hid_t dxpl, void *out)
{
    hid_t file, mem;
    select_box(a, &start, &count, &file, &mem);
    watchdog_begin(WATCHDOG_CALL);
    herr_t status = H5Dread(a->id, type, mem, file, dxpl, out);
    watchdog_end();
    H5Sclose(file);
    H5Sclose(mem);
    return status < 0 ? unreadable(&a->base) : OK;
}

/* Texts of fixed size, a slab at a time through one block. */
static Err read_fixed(H5Array *a, uint64_t start, uint64_t count, hid_t type, size_t size,
                      char **out)
{
    uint64_t step = slab_rows(&a->base.info, size);
    char *block;
    step = step < count ? step : count;
    TRY(mem_check_budget(step * size, a->base.path));
    TRY(NEW0(block, step * size));
    Err err = OK;
    for (uint64_t at = 0; at < count && !err; at += step) {
        uint64_t n = count - at < step ? count - at : step;
        err = read_slab(a, start + at, n, type, H5P_DEFAULT, block);
        if (!err)
            err = h5_split_fixed(block, size, n, out + at);
    }
    free(block);
    return err;
}

static Err texts_failed(char **out, uint64_t count, Err err)
{
    for (uint64_t i = 0; i < count; i++) {
        free(out[i]);
        out[i] = NULL;
    }
    return err;
}

/* Texts of this type (of the array, or of one field alone). */
static Err read_texts(H5Array *a, uint64_t start, uint64_t count, hid_t type, size_t size,
                      char **out)
{
    memset(out, 0, count * sizeof *out);
    uint64_t left = text_bound(&a->base, count);
    hid_t dxpl = h5_text_transfer(&left);
    Err err = size ? read_fixed(a, start, count, type, size, out)
                   : read_slab(a, start, count, type, dxpl, out);
    H5Pclose(dxpl);
    if (err)
        return texts_failed(out, count, err);
    if (!size)
        h5_adopt_texts(out, count);
    return OK;
}

static Err h5_read_text(Array *base, uint64_t start, uint64_t count, char **out)
{
    H5Array *a = (H5Array *)base;
    size_t size;
    h5_quiet();
    hid_t type = h5_string_type(a->type, &size);
    Err err = read_texts(a, start, count, type, size, out);
    H5Tclose(type);
    return err;
}

/* ---- compound arrays ---- */

static Err h5_fields(Array *base, FieldInfo **out, size_t *n)
{
    H5Array *a = (H5Array *)base;
    h5_quiet();
    int count = H5Tget_class(a->type) == H5T_COMPOUND ? H5Tget_nmembers(a->type) : 0;
    FieldInfo *f = mem_must((size_t)(count + 1) * sizeof *f);
    for (int i = 0; i < count; i++) {
        hid_t type = H5Tget_member_type(a->type, (unsigned)i);
        char *name = H5Tget_member_name(a->type, (unsigned)i);
        f[i].name = text_clean_utf8(mem_strdup(name ? name : ""));
        f[i].width = 1;
        H5free_memory(name);
        if (H5Tget_class(type) == H5T_ARRAY) {
            hsize_t dims[H5S_MAX_RANK];
            f[i].width =
                H5Tget_array_ndims(type) == 1 && H5Tget_array_dims2(type, dims) >= 0 ? dims[0] : 0;
            hid_t element = H5Tget_super(type);
            H5Tclose(type);
            type = element;
        }
        ArrayInfo info = {0};
        h5_describe_type(type, &info);
        f[i].cls = info.cls;
        snprintf(f[i].dtype, sizeof f[i].dtype, "%s", info.dtype);
        H5Tclose(type);
    }
    *out = f;
    *n = (size_t)count;
    return OK;
}

static hid_t field_type(H5Array *a, const char *field)
{
    int i = H5Tget_member_index(a->type, field);
    return i < 0 ? -1 : H5Tget_member_type(a->type, (unsigned)i);
}

/* A compound type in memory with this field alone. */
static hid_t field_alone(const char *field, hid_t member)
{
    hid_t mem = H5Tcreate(H5T_COMPOUND, H5Tget_size(member));
    H5Tinsert(mem, field, 0, member);
    return mem;
}

static Err h5_read_field(Array *base, const char *field, MemType type, void *out)
{
    H5Array *a = (H5Array *)base;
    h5_quiet();
    hid_t stored = field_type(a, field), mem = H5Tcopy(h5_mem_type(type));
    if (stored >= 0 && H5Tget_class(stored) == H5T_ARRAY) {
        hsize_t dims[H5S_MAX_RANK];
        H5Tget_array_dims2(stored, dims);
        hid_t element = mem;
        mem = H5Tarray_create2(element, 1, dims);
        H5Tclose(element);
    }
    hid_t alone = field_alone(field, mem);
    uint64_t n = base->info.count, step = slab_rows(&base->info, base->info.size);
    size_t width = H5Tget_size(mem);
    Err err = OK;
    for (uint64_t at = 0; at < n && !err; at += step)
        err = read_slab(a, at, n - at < step ? n - at : step, alone, H5P_DEFAULT,
                        (char *)out + at * width);
    H5Tclose(alone);
    H5Tclose(mem);
    H5Tclose(stored);
    return err;
}

static Err h5_read_field_text(Array *base, const char *field, char **out)
{
    H5Array *a = (H5Array *)base;
    h5_quiet();
    size_t size = 0;
    hid_t stored = field_type(a, field);
    if (stored < 0 || H5Tget_class(stored) != H5T_STRING) {
        H5Tclose(stored);
        FAIL(ERR_INPUT, "%s: field %s is no text", base->path, field);
    }
    hid_t type = h5_string_type(stored, &size), alone = field_alone(field, type);
    Err err = read_texts(a, 0, base->info.count, alone, size, out);
    H5Tclose(alone);
    H5Tclose(type);
    H5Tclose(stored);
    return err;
}

const StoreOps h5_store_ops = {
    .close = h5_close,
    .kind = h5_kind,
    .list = h5_list,
    .attr_texts = h5_attr_texts,
    .attr_ints = h5_attr_ints,
    .attr_target = h5_attr_target,
    .open = h5_open,
    .array_close = h5_array_close,
    .read = h5_read,
    .read_text = h5_read_text,
    .fields = h5_fields,
    .read_field = h5_read_field,
    .read_field_text = h5_read_field_text,
    .part = h5_part,
    .part_read = h5_part_read,
};
