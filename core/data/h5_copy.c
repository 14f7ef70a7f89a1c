/* Arrays copied from one file into another: numbers in slabs through the store, records of Zarr
 * field by field, anything else by HDF5 itself. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/h5.h"
#include "core/data/h5_write.h"
#include "core/data/watchdog.h"

/* One slab of a->info.shape from row `at` on, converted, to the same place. */
static Err put_slab(Array *a, hid_t id, MemType mem, uint64_t at, uint64_t rows, void *buffer)
{
    hsize_t start[STORE_MAX_RANK] = {at}, count[STORE_MAX_RANK];
    uint64_t from[STORE_MAX_RANK] = {at}, n[STORE_MAX_RANK], total = 1;
    int rank = a->info.rank;
    for (int i = 0; i < rank; i++) {
        count[i] = n[i] = i ? a->info.shape[i] : rows;
        total *= n[i];
    }
    TRY(array_read(a, from, n, mem, buffer));
    hid_t type = h5_mem_type(mem), stored = H5Dget_type(id);
    if (H5Tget_class(stored) == H5T_ENUM) { /* bools are stored as bytes */
        const int32_t *v = buffer;
        signed char *b = buffer;
        for (uint64_t i = 0; i < total; i++)
            b[i] = v[i] != 0;
        type = stored;
    }
    hid_t file = H5Dget_space(id),
          memory = rank ? H5Screate_simple(rank, count, NULL) : H5Screate(H5S_SCALAR);
    if (rank)
        H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL);
    Err err = h5w_check(H5Dwrite(id, type, memory, file, H5P_DEFAULT, buffer), a->path);
    H5Tclose(stored);
    H5Sclose(file);
    H5Sclose(memory);
    return err;
}

Err h5w_array_from(H5Writer *w, const char *path, const char *type, DiskType disk, Array *a,
                   JobCtl *ctl)
{
    h5_quiet();
    const ArrayInfo *i = &a->info;
    hsize_t dims[STORE_MAX_RANK];
    uint64_t per_row = 1, rows = i->rank ? i->shape[0] : 1;
    for (int k = 0; k < i->rank; k++) {
        dims[k] = i->shape[k];
        per_row *= k ? i->shape[k] : 1;
    }
    MemType mem = i->cls == ELEM_BOOL  ? MEM_I32
                  : i->cls == ELEM_INT ? disk == DISK_U64 ? MEM_U64 : MEM_I64
                  : i->size > 4        ? MEM_F64
                                       : MEM_F32;
    uint64_t bytes = per_row * mem_type_size(mem), step = bytes ? ((uint64_t)1 << 22) / bytes : 1;
    step = step < 1 ? 1 : step > rows && rows ? rows : step;
    char *buffer;
    TRY(mem_check_budget(step * bytes, a->path));
    TRY(NEW(buffer, step * bytes + 8));
    hid_t space = i->rank ? H5Screate_simple(i->rank, dims, NULL) : H5Screate(H5S_SCALAR),
          stored = h5w_disk_type(disk),
          id = h5w_create_dataset(w, path, stored, space, H5P_DEFAULT);
    Err err = id < 0 ? h5w_failed(path) : OK;
    for (uint64_t at = 0; at < rows && i->count && !err; at += step) {
        err = put_slab(a, id, mem, at, rows - at < step ? rows - at : step, buffer);
        if (!err)
            err = job_progress(ctl, ctl ? atomic_load(&ctl->done) : 0);
    }
    if (id >= 0 && H5Dclose(id) < 0 && !err)
        err = h5w_failed(path);
    H5Sclose(space);
    if (disk == DISK_BOOL)
        H5Tclose(stored);
    free(buffer);
    TRY(err);
    return h5w_encode(w, path, type, "0.2.0");
}

/* ---- records from another kind of file ---- */

/* In memory every field takes 8 bytes: the widest number of its class, or a text. */
typedef struct Records {
    FieldInfo *fields;
    size_t n_fields, rows;
    unsigned char *cells; /* [rows][n_fields][8] */
    char **texts;         /* all texts, for freeing */
    size_t n_texts;
} Records;

static MemType field_mem(const FieldInfo *f)
{
    return f->cls == ELEM_FLOAT                   ? MEM_F64
           : f->cls == ELEM_BOOL                  ? MEM_I8
           : strcmp(f->dtype, "uint64") == 0 ? MEM_U64
                                                  : MEM_I64;
}

/* The compound type in memory, or packed as in the file. */
static hid_t records_type(const Records *r, bool disk)
{
    hid_t types[2] = {h5w_text_type(), h5w_disk_type(DISK_BOOL)};
    size_t size = 0;
    hid_t all = H5Tcreate(H5T_COMPOUND, r->n_fields * 8);
    for (size_t i = 0; i < r->n_fields; i++) {
        const FieldInfo *f = &r->fields[i];
        hid_t t = f->cls == ELEM_STRING ? types[0]
                  : f->cls == ELEM_BOOL ? types[1]
                  : disk                ? h5w_disk_type(disk_type_of(f->dtype, DISK_F64))
                                        : h5_mem_type(field_mem(f));
        H5Tinsert(all, f->name, disk ? size : i * 8, t);
        size += H5Tget_size(t);
    }
    if (disk)
        H5Tset_size(all, size);
    H5Tclose(types[0]);
    H5Tclose(types[1]);
    return all;
}

static Err read_records(Array *a, Records *r)
{
    size_t rows = r->rows = (size_t)a->info.count;
    void *column;
    TRY(array_fields(a, &r->fields, &r->n_fields));
    TRY(mem_check_budget((uint64_t)rows * (r->n_fields + 1) * 16, a->path));
    TRY(NEW0(r->cells, (rows + 1) * r->n_fields * 8));
    TRY(NEW0(r->texts, (rows + 1) * r->n_fields));
    TRY(mem_alloc(&column, rows + 1, 8));
    Err err = OK;
    for (size_t k = 0; k < r->n_fields && !err; k++) {
        const FieldInfo *f = &r->fields[k];
        bool text = f->cls == ELEM_STRING;
        size_t width = text ? 8 : mem_type_size(field_mem(f));
        err = text ? array_read_field_text(a, f->name, column)
                   : array_read_field(a, f->name, field_mem(f), column);
        for (size_t i = 0; i < rows && !err; i++) {
            memcpy(r->cells + (i * r->n_fields + k) * 8, (char *)column + i * width, width);
            if (text)
                memcpy(&r->texts[r->n_texts++], (char *)column + i * 8, 8);
        }
    }
    free(column);
    return err;
}

static Err records_from(H5Writer *w, const char *path, Array *a)
{
    Records r = {0};
    h5_quiet();
    Err err = read_records(a, &r);
    if (!err && !r.n_fields)
        err = err_set(ERR_INPUT, "%s: values of this type are not copied from this format", a->path);
    if (!err) {
        hsize_t dims = r.rows;
        hid_t disk = records_type(&r, true), mem = records_type(&r, false),
              space = a->info.rank ? H5Screate_simple(1, &dims, NULL) : H5Screate(H5S_SCALAR),
              id = h5w_create_dataset(w, path, disk, space, H5P_DEFAULT);
        err = id < 0 ? h5w_failed(path)
                     : h5w_check(H5Dwrite(id, mem, H5S_ALL, H5S_ALL, H5P_DEFAULT, r.cells), path);
        if (id >= 0 && H5Dclose(id) < 0 && !err)
            err = h5w_failed(path);
        H5Sclose(space);
        H5Tclose(disk);
        H5Tclose(mem);
    }
    for (size_t i = 0; i < r.n_texts; i++)
        free(r.texts[i]);
    free(r.texts);
    free(r.cells);
    fields_free(r.fields, r.n_fields);
    TRY(err);
    return h5w_encode(w, path, "rec-array", "0.2.0");
}

/* ---- byte for byte ---- */

typedef struct RawCopy {
    const char *file, *from;
    bool follow;
    size_t chunk; /* bytes of an unpacked chunk; 0: in one piece */
} RawCopy;

static herr_t copy_object(H5Store *s, const char *from, hid_t file, const char *to)
{
    hid_t lcpl = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(lcpl, 1);
    H5Pset_char_encoding(lcpl, H5T_CSET_UTF8);
    hid_t id = h5_object(&s->base, from); /* opened the careful way, then copied as "." */
    herr_t status = id < 0 ? -1 : H5Ocopy(id, ".", file, to, H5P_DEFAULT, lcpl);
    if (id >= 0)
        H5Oclose(id);
    H5Pclose(lcpl);
    return status;
}

/* Read and written anew: libhdf5 1.10 crashes when it copies packed chunks of variable-length
 * texts. */
static herr_t rewrite_object(H5Store *s, const char *from, hid_t file, const char *to)
{
    uint64_t left = s->base.bytes * 1100 + 4096;
    hid_t id = h5_object(&s->base, from), dxpl = h5_text_transfer(&left), out = -1;
    if (id < 0) {
        H5Pclose(dxpl);
        return -1;
    }
    hid_t stored = H5Dget_type(id), mem = H5Tget_native_type(stored, H5T_DIR_ASCEND),
          space = H5Dget_space(id), lcpl = H5Pcreate(H5P_LINK_CREATE);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    size_t size = mem < 0 ? 0 : H5Tget_size(mem);
    void *buffer = n >= 0 && size ? calloc((size_t)n + 1, size) : NULL;
    H5Pset_create_intermediate_group(lcpl, 1);
    H5Pset_char_encoding(lcpl, H5T_CSET_UTF8);
    watchdog_begin(WATCHDOG_CALL);
    herr_t status = buffer ? H5Dread(id, mem, H5S_ALL, H5S_ALL, dxpl, buffer) : -1;
    watchdog_end();
    if (status >= 0)
        out = H5Dcreate2(file, to, stored, space, lcpl, H5P_DEFAULT, H5P_DEFAULT);
    status = out < 0 ? -1 : H5Dwrite(out, mem, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer);
    if (out >= 0) {
        H5Dvlen_reclaim(mem, space, dxpl, buffer);
        H5Dclose(out);
    }
    free(buffer);
    H5Tclose(stored);
    H5Tclose(mem);
    H5Sclose(space);
    H5Pclose(lcpl);
    H5Pclose(dxpl);
    H5Oclose(id);
    return status;
}

static herr_t copy_or_rewrite(H5Store *s, const RawCopy *r, hid_t file, const char *to)
{
    if (!r->chunk)
        return copy_object(s, r->from, file, to);
    h5_expect_chunk(r->chunk);
    return rewrite_object(s, r->from, file, to);
}

/* In a child, into memory. */
static Err rehearse_copy(void *arg)
{
    const RawCopy *r = arg;
    Store *s;
    TRY(store_open_h5_follow(r->file, r->follow, &s));
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(fapl, 1 << 20, false);
    hid_t file = H5Fcreate("rehearsal", H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
    if (file < 0 || copy_or_rewrite((H5Store *)s, r, file, "x") < 0)
        FAIL(ERR_INPUT, "%s: cannot be copied (%s)", r->from, h5_reason());
    return OK;
}

Err h5w_copy_raw(H5Writer *w, Store *s, const char *from, const char *to, JobCtl *ctl)
{
    enum { REHEARSED = 1 << 26 };
    char name[4096];
    Array *a;
    h5_quiet();
    TRY(store_open_array(s, from, &a)); /* checks its declared size, filters, and where it lies */
    if (s->ops != &h5_store_ops) {
        Err copied = a->info.rank > 1 ? err_set(ERR_INPUT, "%s: has too many dimensions", from)
                                      : records_from(w, to, a);
        array_close(a);
        return copied;
    }
    H5Store *h = (H5Store *)s;
    bool small = a->info.count * a->info.size < REHEARSED;
    RawCopy r = {name, from, h->follow, 0};
    if (a->info.chunk[0])
        r.chunk = a->info.size * 2;
    for (int i = 0; i < a->info.rank && r.chunk; i++)
        r.chunk *= (size_t)a->info.chunk[i];
    Err err = mem_check_budget(a->info.count * a->info.size, from);
    array_close(a);
    TRY(err);
    ssize_t len = H5Fget_name(h->file, name, sizeof name);
    if (small && len > 0 && (size_t)len < sizeof name) {
        TRY(watchdog_run(rehearse_copy, &r, ctl));
    }
    if (copy_or_rewrite(h, &r, w->file, to) < 0)
        FAIL(ERR_INPUT, "%s: cannot be copied (%s)", from, h5_reason());
    if (!r.chunk)
        return OK;
    char *type =
             store_attr_text(s, from, "encoding-type"), /* the others say nothing of the values */
        *version = store_attr_text(s, from, "encoding-version");
    if (type && version)
        err = h5w_encode(w, to, type, version);
    free(type);
    free(version);
    return err;
}

Err h5w_remove(H5Writer *w, const char *path)
{
    h5_quiet();
    if (H5Lexists(w->file, path, H5P_DEFAULT) <= 0)
        return OK;
    return h5w_check(H5Ldelete(w->file, path, H5P_DEFAULT), path);
}
