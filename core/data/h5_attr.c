/* Attributes of HDF5 objects, and texts as HDF5 gives them. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/h5.h"
#include "core/data/watchdog.h"

const char *h5_path(const char *path)
{
    return *path ? path : "/";
}

hid_t h5_object(Store *base, const char *path)
{
    h5_quiet();
    H5Store *s = (H5Store *)base;
    return H5Oopen(s->file, h5_path(path), s->lapl);
}

/* Opens the attribute; count of its elements into *n. Less than 0 when there is none, or its size
 * is a lie. */
static hid_t open_attr(Store *base, const char *path, const char *attr, size_t *n)
{
    hid_t object = h5_object(base, path), id = -1;
    if (object < 0)
        return -1;
    if (H5Aexists(object, attr) > 0)
        id = H5Aopen(object, attr, H5P_DEFAULT);
    H5Oclose(object);
    if (id < 0)
        return -1;
    hid_t space = H5Aget_space(id), type = H5Aget_type(id);
    hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    size_t size = type < 0 ? 0 : H5Tget_size(type);
    H5Sclose(space);
    H5Tclose(type);
    if (count < 0 || !size || (uint64_t)count > base->bytes / size) {
        H5Aclose(id);
        return -1;
    }
    *n = (size_t)count;
    return id;
}

hid_t h5_string_type(hid_t file_type, size_t *size)
{
    hid_t t = H5Tcopy(H5T_C_S1);
    bool variable = H5Tis_variable_str(file_type) > 0;
    *size = variable ? 0 : H5Tget_size(file_type) + 1;
    H5Tset_size(t, variable ? H5T_VARIABLE : *size);
    H5Tset_cset(t, H5Tget_cset(file_type));
    return t;
}

/* Splits n fixed-size strings into allocated ones. */
Err h5_split_fixed(const char *block, size_t size, size_t n, char **out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = text_clean_utf8(mem_strndup(block + i * size, size));
    return OK;
}

void h5_adopt_texts(char **out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = text_clean_utf8(out[i] ? out[i] : mem_strdup(""));
}

Err h5_attr_texts(Store *base, const char *path, const char *attr, char ***texts, size_t *n)
{
    Err err = OK;
    size_t count = 0, size;
    *n = 0;
    *texts = NULL;
    hid_t id = open_attr(base, path, attr, &count);
    if (id < 0)
        return OK;
    char **out = NULL, *block = NULL;
    hid_t type = H5Aget_type(id), mem = -1;
    if (H5Tget_class(type) != H5T_STRING)
        goto done;
    mem = h5_string_type(type, &size);
    TRY_GOTO(NEW0(out, count));
    if (size)
        TRY_GOTO(NEW0(block, count * size));
    watchdog_begin(WATCHDOG_CALL);
    herr_t status = count ? H5Aread(id, mem, size ? (void *)block : (void *)out) : 0;
    watchdog_end();
    if (status < 0) {
        memset(out, 0, count * sizeof *out);
        FAIL_GOTO(ERR_INPUT,
                  "%s: attribute %s cannot be read (%s); the file is damaged, write it again",
                  h5_path(path), attr, h5_reason());
    }
    if (size)
        TRY_GOTO(h5_split_fixed(block, size, count, out));
    else
        h5_adopt_texts(out, count);
    *texts = out;
    *n = count;
    out = NULL;
done:
    free(out);
    free(block);
    if (mem >= 0)
        H5Tclose(mem);
    H5Tclose(type);
    H5Aclose(id);
    return err;
}

Err h5_attr_ints(Store *base, const char *path, const char *attr, int64_t *out, size_t cap,
                 size_t *n)
{
    size_t count = 0;
    *n = 0;
    hid_t id = open_attr(base, path, attr, &count);
    if (id < 0)
        return OK;
    hid_t type = H5Aget_type(id);
    H5T_class_t cls = H5Tget_class(type);
    H5Tclose(type);
    Err err = OK;
    int64_t *all = NULL;
    if ((cls == H5T_INTEGER || cls == H5T_ENUM || cls == H5T_FLOAT) && count > 0) {
        TRY_GOTO(NEW(all, count));
        if (H5Aread(id, H5T_NATIVE_INT64, all) >= 0) {
            *n = count < cap ? count : cap;
            memcpy(out, all, *n * sizeof *out);
        }
    }
done:
    free(all);
    H5Aclose(id);
    return err;
}

char *h5_attr_target(Store *base, const char *path, const char *attr)
{
    size_t count = 0;
    hid_t id = open_attr(base, path, attr, &count);
    if (id < 0)
        return NULL;
    char *name = NULL;
    hid_t type = H5Aget_type(id);
    if (count == 1 && H5Tget_class(type) == H5T_REFERENCE && H5Tequal(type, H5T_STD_REF_OBJ) > 0) {
        hobj_ref_t ref;
        if (H5Aread(id, H5T_STD_REF_OBJ, &ref) >= 0) {
            char buffer[1024];
            ssize_t len = H5Rget_name(id, H5R_OBJECT, &ref, buffer, sizeof buffer);
            if (len > 0 && (size_t)len < sizeof buffer)
                name = mem_strdup(buffer[0] == '/' ? buffer + 1 : buffer);
        }
    }
    H5Tclose(type);
    H5Aclose(id);
    return name;
}
