/* HDF5 elements with anndata's encodings. */
#include "core/data/h5_write.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/data/h5.h"

enum { PIECE = 8 << 20 }; /* bytes that are written or sent to the disk between two looks at the job */

struct H5Stream {
    H5Writer *w;
    hid_t id;
    hsize_t length;
    char *path;
};

static const char *or_root(const char *path)
{
    return *path ? path : "/";
}

Err h5w_failed(const char *path)
{
    FAIL(ERR_GENERAL, "%s: cannot be written (%s); is the disk full?", or_root(path), h5_reason());
}

Err h5w_check(herr_t status, const char *path)
{
    return status < 0 ? h5w_failed(path) : OK;
}

Err h5w_create(const char *path, JobCtl *ctl, H5Writer **out)
{
    h5_quiet();
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(fapl, false, true);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
    H5Pclose(fapl);
    if (file < 0)
        return h5w_failed(path);
    H5Writer *w = mem_must(sizeof *w);
    w->file = file;
    w->fd = open(path, O_RDONLY | O_CLOEXEC);
    w->ctl = ctl;
    *out = w;
    return OK;
}

/* The fsync at the end waits for all that is not on the disk, and nothing stops it: so it must be little. A piece is
 * sent off when it is full, and the one before waited for. */
Err h5w_look(H5Writer *w)
{
    struct stat st;
    uint64_t size = w->fd >= 0 && fstat(w->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    for (; size - w->synced >= PIECE && size > w->synced; w->synced += PIECE) {
        sync_file_range(w->fd, (off_t)w->synced, PIECE, SYNC_FILE_RANGE_WRITE);
        if (w->synced)
            sync_file_range(w->fd, (off_t)(w->synced - PIECE), PIECE,
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
        TRY(job_look(w->ctl));
    }
    return job_look(w->ctl);
}

static Err end(H5Writer *w, bool whole)
{
    Err err = OK;
    h5_quiet();
    if (whole)
        err = h5w_check(H5Fflush(w->file, H5F_SCOPE_GLOBAL), "");
    if (whole && !err)
        err = h5w_look(w);
    if (H5Fclose(w->file) < 0 && whole && !err)
        err = h5w_failed("");
    if (w->fd >= 0)
        close(w->fd);
    free(w);
    return err;
}

Err h5w_close(H5Writer *w)
{
    return end(w, true);
}

void h5w_abort(H5Writer *w)
{
    Err ignored = w ? end(w, false) : OK;
    (void)ignored;
}

/* Values first .. first+count-1 of the outermost dimension. */
static herr_t write_slab(hid_t id, hid_t type, int rank, const hsize_t *dims, hsize_t first, hsize_t count,
                         const void *values)
{
    hsize_t start[STORE_MAX_RANK] = {first}, box[STORE_MAX_RANK];
    memcpy(box, dims, (size_t)rank * sizeof *box);
    box[0] = count;
    hid_t file = H5Dget_space(id), memory = H5Screate_simple(rank, box, NULL);
    herr_t status = H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, box, NULL);
    if (status >= 0)
        status = H5Dwrite(id, type, memory, file, H5P_DEFAULT, values);
    H5Sclose(file);
    H5Sclose(memory);
    return status;
}

/* An array of rank 1 or more in slabs of some megabytes. */
static Err write_slabs(H5Writer *w, hid_t id, MemType mem, int rank, const hsize_t *dims, const void *values,
                       const char *path)
{
    size_t line = mem_type_size(mem), step;
    for (int i = 1; i < rank; i++)
        line *= dims[i];
    step = line < PIECE ? PIECE / line : 1;
    for (hsize_t at = 0; at < dims[0]; at += step) {
        hsize_t n = dims[0] - at < step ? dims[0] - at : step;
        TRY(h5w_check(write_slab(id, h5_mem_type(mem), rank, dims, at, n, (const char *)values + at * line), path));
        TRY(h5w_look(w));
    }
    return OK;
}

/* ---- attributes ---- */

hid_t h5w_text_type(void)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, H5T_VARIABLE);
    H5Tset_cset(t, H5T_CSET_UTF8);
    return t;
}

static hid_t bool_type(void)
{
    hid_t t = H5Tenum_create(H5T_STD_I8LE);
    signed char v = 0;
    H5Tenum_insert(t, "FALSE", &v);
    v = 1;
    H5Tenum_insert(t, "TRUE", &v);
    return t;
}

static Err write_attr(H5Writer *w, const char *path, const char *name, hid_t disk, hid_t mem,
                      hid_t space, const void *value)
{
    hid_t object = H5Oopen(w->file, or_root(path), H5P_DEFAULT);
    hid_t attr = object < 0 ? -1 : H5Acreate2(object, name, disk, space, H5P_DEFAULT, H5P_DEFAULT);
    Err err = h5w_check(attr < 0 ? -1 : value ? H5Awrite(attr, mem, value) : 0, path);
    if (attr >= 0)
        H5Aclose(attr);
    if (object >= 0)
        H5Oclose(object);
    H5Sclose(space);
    return err;
}

Err h5w_attr_text(H5Writer *w, const char *path, const char *name, const char *text)
{
    hid_t type = h5w_text_type();
    Err err = write_attr(w, path, name, type, type, H5Screate(H5S_SCALAR), &text);
    H5Tclose(type);
    return err;
}

Err h5w_attr_bool(H5Writer *w, const char *path, const char *name, bool value)
{
    hid_t type = bool_type();
    signed char v = value;
    Err err = write_attr(w, path, name, type, type, H5Screate(H5S_SCALAR), &v);
    H5Tclose(type);
    return err;
}

Err h5w_attr_ints(H5Writer *w, const char *path, const char *name, const int64_t *v, size_t n)
{
    hsize_t dims = n;
    return write_attr(w, path, name, H5T_STD_I64LE, H5T_NATIVE_INT64,
                      H5Screate_simple(1, &dims, NULL), v);
}

Err h5w_attr_texts(H5Writer *w, const char *path, const char *name, const char *const *v, size_t n)
{
    hsize_t dims = n;
    hid_t space = H5Screate_simple(1, &dims, NULL);
    if (!n)
        return write_attr(w, path, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, space, NULL);
    /* Attributes above 64 kB do not fit the object header of the old file format; the texts
     * themselves lie in the global heap, 16 bytes each here, which is enough for 4,000 columns. */
    hid_t type = h5w_text_type();
    Err err = write_attr(w, path, name, type, type, space, v);
    H5Tclose(type);
    return err;
}

Err h5w_encode(H5Writer *w, const char *path, const char *type, const char *version)
{
    if (!type)
        return OK;
    TRY(h5w_attr_text(w, path, "encoding-type", type));
    return h5w_attr_text(w, path, "encoding-version", version);
}

Err h5w_group(H5Writer *w, const char *path, const char *type, const char *version)
{
    h5_quiet();
    if (*path && H5Lexists(w->file, path, H5P_DEFAULT) <= 0) { /* a member may have made it */
        hid_t lcpl = H5Pcreate(H5P_LINK_CREATE);
        H5Pset_create_intermediate_group(lcpl, 1);
        H5Pset_char_encoding(lcpl, H5T_CSET_UTF8);
        hid_t id = H5Gcreate2(w->file, path, lcpl, H5P_DEFAULT, H5P_DEFAULT);
        H5Pclose(lcpl);
        if (id < 0)
            return h5w_failed(path);
        H5Gclose(id);
    }
    return h5w_encode(w, path, type, version);
}

/* ---- arrays ---- */

/* IEEE binary16, which HDF5 1.10 has no name for; made once. */
static hid_t half_type(void)
{
    static _Thread_local hid_t t;
    if (t <= 0) {
        t = H5Tcopy(H5T_IEEE_F32LE);
        H5Tset_fields(t, 15, 10, 5, 0, 10);
        H5Tset_ebias(t, 15);
        H5Tset_precision(t, 16);
        H5Tset_size(t, 2);
    }
    return t;
}

hid_t h5w_disk_type(DiskType t)
{
    switch (t) {
    case DISK_I8:
        return H5T_STD_I8LE;
    case DISK_I16:
        return H5T_STD_I16LE;
    case DISK_I32:
        return H5T_STD_I32LE;
    case DISK_I64:
        return H5T_STD_I64LE;
    case DISK_U8:
        return H5T_STD_U8LE;
    case DISK_U16:
        return H5T_STD_U16LE;
    case DISK_U32:
        return H5T_STD_U32LE;
    case DISK_U64:
        return H5T_STD_U64LE;
    case DISK_F16:
        return half_type();
    case DISK_F32:
        return H5T_IEEE_F32LE;
    case DISK_F64:
        return H5T_IEEE_F64LE;
    case DISK_BOOL:
        break;
    }
    return bool_type();
}

DiskType disk_type_of(const char *dtype, DiskType otherwise)
{
    static const char *const names[] = {"int8",    "int16",   "int32",   "int64",
                                        "uint8",   "uint16",  "uint32",  "uint64",
                                        "float16", "float32", "float64", "bool"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], dtype) == 0)
            return (DiskType)i;
    return otherwise;
}

hid_t h5w_create_dataset(H5Writer *w, const char *path, hid_t type, hid_t space, hid_t dcpl)
{
    hid_t lcpl = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(lcpl, 1);
    H5Pset_char_encoding(lcpl, H5T_CSET_UTF8);
    hid_t id = H5Dcreate2(w->file, path, type, space, lcpl, dcpl, H5P_DEFAULT);
    H5Pclose(lcpl);
    return id;
}

Err h5w_array(H5Writer *w, const char *path, const char *type, DiskType disk, int rank,
              const uint64_t *shape, MemType mem, const void *values)
{
    h5_quiet();
    hsize_t dims[STORE_MAX_RANK];
    uint64_t count = 1;
    for (int i = 0; i < rank; i++) {
        dims[i] = shape[i];
        count *= shape[i];
    }
    hid_t space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR),
          stored = h5w_disk_type(disk);
    hid_t id = h5w_create_dataset(w, path, stored, space, H5P_DEFAULT);
    herr_t status = id < 0 ? -1 : 0;
    Err err = OK;
    if (status >= 0 && count && disk == DISK_BOOL) {
        signed char *b = malloc(count);
        const int32_t *v = values; /* bools are given as MEM_I32 */
        for (uint64_t i = 0; b && i < count; i++)
            b[i] = v[i] != 0;
        status = b ? H5Dwrite(id, stored, H5S_ALL, H5S_ALL, H5P_DEFAULT, b) : -1;
        free(b);
    } else if (status >= 0 && count && rank) {
        err = write_slabs(w, id, mem, rank, dims, values, path);
    } else if (status >= 0 && count) {
        status = H5Dwrite(id, h5_mem_type(mem), H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    }
    if (!err)
        err = h5w_check(status, path);
    if (id >= 0 && H5Dclose(id) < 0 && !err)
        err = h5w_failed(path);
    H5Sclose(space);
    if (disk == DISK_BOOL)
        H5Tclose(stored);
    TRY(err);
    return h5w_encode(w, path, type, "0.2.0");
}

static Err write_texts(H5Writer *w, const char *path, hid_t space, size_t n,
                       const char *const *texts)
{
    h5_quiet();
    hid_t type = h5w_text_type(), id = h5w_create_dataset(w, path, type, space, H5P_DEFAULT);
    herr_t status = id < 0 ? -1 : n ? H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) : 0;
    Err err = h5w_check(status, path);
    if (id >= 0 && H5Dclose(id) < 0 && !err)
        err = h5w_failed(path);
    H5Tclose(type);
    H5Sclose(space);
    return err;
}

Err h5w_texts(H5Writer *w, const char *path, const char *const *texts, size_t n)
{
    hsize_t dims = n;
    TRY(write_texts(w, path, H5Screate_simple(1, &dims, NULL), n, texts));
    return h5w_encode(w, path, "string-array", "0.2.0");
}

Err h5w_text(H5Writer *w, const char *path, const char *text)
{
    TRY(write_texts(w, path, H5Screate(H5S_SCALAR), 1, &text));
    return h5w_encode(w, path, "string", "0.2.0");
}

/* ---- streams ---- */

Err h5w_stream_open(H5Writer *w, const char *path, DiskType disk, uint64_t hint, H5Stream **out)
{
    h5_quiet();
    hsize_t zero = 0, unlimited = H5S_UNLIMITED,
            chunk = hint < 256       ? 256
                    : hint > 1 << 17 ? 1 << 17
                                     : hint;
    hid_t space = H5Screate_simple(1, &zero, &unlimited), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 1, &chunk);
    hid_t id = h5w_create_dataset(w, path, h5w_disk_type(disk), space, dcpl);
    H5Pclose(dcpl);
    H5Sclose(space);
    if (id < 0)
        return h5w_failed(path);
    H5Stream *s = mem_must(sizeof *s);
    s->w = w;
    s->id = id;
    s->path = mem_strdup(path);
    *out = s;
    return OK;
}

Err h5w_stream_add(H5Stream *s, MemType mem, const void *values, size_t n)
{
    h5_quiet();
    if (!n)
        return OK;
    hsize_t start = s->length, step = PIECE / mem_type_size(mem);
    s->length += n;
    if (H5Dset_extent(s->id, &s->length) < 0)
        return h5w_failed(s->path);
    for (hsize_t at = 0; at < n; at += step) {
        hsize_t count = n - at < step ? n - at : step;
        const char *piece = (const char *)values + at * mem_type_size(mem);
        TRY(h5w_check(write_slab(s->id, h5_mem_type(mem), 1, &count, start + at, count, piece), s->path));
        TRY(h5w_look(s->w));
    }
    return OK;
}

Err h5w_stream_close(H5Stream *s)
{
    if (!s)
        return OK;
    Err err = H5Dclose(s->id) < 0 ? h5w_failed(s->path) : OK;
    free(s->path);
    free(s);
    return err;
}
