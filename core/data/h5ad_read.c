/* The anndata layout, in every generation, from an opened store (HDF5 or Zarr): obs, var, X, raw,
 * layers, obsm. What cannot be read is named in a warning and left out; only obs and var must be
 * there. */
#include "core/data/dataset_impl.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

void dataset_warn_error(Dataset *d, const char *element)
{
    const char *m = err_message();
    bool named = str_starts(m, element);
    dataset_warn(d, "%s%s%s; left out", named ? "" : element, named ? "" : ": ", m);
}

static void add_matrix(Dataset *d, const char *name, const char *path, Frame *var)
{
    Matrix *m = dataset_new_matrix(d, name);
    m->var = var;
    if (matrix_describe(d, path, m)) {
        m->info.readable = false;
        m->error = mem_strdup(err_message());
        dataset_warn(d, "%s; it cannot be used", err_message());
    }
}

/* "null" is how anndata 0.12 and later say that there is nothing. */
static bool is_stored(const Dataset *d, const char *path)
{
    char *type = store_attr_text(d->store, path, "encoding-type");
    bool null = type && strcmp(type, "null") == 0;
    free(type);
    return !null && store_kind(d->store, path) != NODE_NONE;
}

static void read_raw(Dataset *d)
{
    bool grouped = store_kind(d->store, "raw") == NODE_GROUP;
    const char *x = grouped ? "raw/X" : "raw.X", *var = grouped ? "raw/var" : "raw.var";
    if (!is_stored(d, x))
        return;
    if (frame_open(d, var, &d->raw_var)) {
        dataset_warn_error(d, "raw/X");
        return;
    }
    add_matrix(d, "raw/X", x, &d->raw_var);
}

static void read_layers(Dataset *d)
{
    char **names = NULL;
    size_t n = 0;
    if (store_kind(d->store, "layers") != NODE_GROUP)
        return;
    if (store_list(d->store, "layers", &names, &n)) {
        dataset_warn_error(d, "layers");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char *path = path_join("layers", names[i]);
        if (is_stored(d, path))
            add_matrix(d, path, path, &d->var);
        free(path);
    }
    strings_free(names, n);
}

static Err describe_obsm(Dataset *d, const char *name, const char *path)
{
    size_t cells = d->obs.n, dim = 0, rows = 0;
    ObsmKind kind = OBSM_DENSE;
    NodeKind node = store_kind(d->store, path);
    if (node == NODE_OUTSIDE)
        FAIL(ERR_INPUT,
             "%s: is a link to another file, which is not followed "
             "without --allow-external, or to nothing",
             path);
    if (node == NODE_ARRAY) {
        Array *a;
        TRY(store_open_array(d->store, path, &a));
        ArrayInfo info = a->info;
        array_close(a);
        if (info.rank < 1 || info.rank > 2 || info.cls == ELEM_STRING || info.cls >= ELEM_COMPOUND)
            FAIL(ERR_INPUT, "%s: is no matrix of numbers (%d dimensions, %s)", path, info.rank,
                 info.dtype);
        rows = (size_t)info.shape[0];
        dim = info.rank == 2 ? (size_t)info.shape[1] : 1;
    } else {
        char *type = store_attr_text(d->store, path, "encoding-type");
        if (!type)
            type = store_attr_text(d->store, path, "h5sparse_format");
        bool frame = type && strcmp(type, "dataframe") == 0;
        bool sparse = type && (str_starts(type, "csr") || str_starts(type, "csc"));
        Err err = frame || sparse ? OK
                                  : err_set(ERR_INPUT, "%s: the encoding \"%s\" is not known here",
                                            path, type ? type : "none");
        free(type);
        TRY(err);
        kind = frame ? OBSM_FRAME : OBSM_SPARSE;
        int64_t shape[2] = {0, 0};
        size_t got = 0;
        if (sparse) {
            TRY(store_attr_ints(d->store, path, "shape", shape, 2, &got));
            if (got != 2)
                TRY(store_attr_ints(d->store, path, "h5sparse_shape", shape, 2, &got));
            if (shape[0] < 0 || shape[1] < 0 || shape[1] > INT32_MAX)
                FAIL(ERR_INPUT, "%s: its shape is impossible", path);
        } else {
            Frame f;
            TRY(frame_open(d, path, &f));
            shape[0] = (int64_t)f.n;
            shape[1] = (int64_t)f.n_slots;
            frame_done(&f);
        }
        rows = (size_t)shape[0];
        dim = (size_t)shape[1];
    }
    if (rows != cells)
        FAIL(ERR_INPUT, "%s: has %zu rows for %zu cells", path, rows, cells);
    dataset_new_obsm(d, name, kind, cells, dim)->path = mem_strdup(path);
    return OK;
}

/* Before 0.7: one compound array with a vector field for each embedding. */
static Err compound_obsm(Dataset *d)
{
    Array *a;
    FieldInfo *f = NULL;
    size_t n = 0;
    TRY(store_open_array(d->store, "obsm", &a));
    Err err = array_fields(a, &f, &n);
    if (!err && n && a->info.count != d->obs.n)
        err = err_set(ERR_INPUT, "obsm: has %llu rows for %zu cells",
                      (unsigned long long)a->info.count, d->obs.n);
    for (size_t i = 0; i < n && !err; i++) {
        if ((f[i].cls != ELEM_FLOAT && f[i].cls != ELEM_INT) || !f[i].width ||
            f[i].width > INT32_MAX) {
            dataset_warn(d, "obsm/%s: is no matrix of numbers; left out", f[i].name);
            continue;
        }
        Obsm *o = dataset_new_obsm(d, f[i].name, OBSM_FIELD, d->obs.n, (size_t)f[i].width);
        o->path = mem_strdup("obsm");
        o->field = mem_strdup(f[i].name);
    }
    fields_free(f, n);
    array_close(a);
    return err;
}

static void read_obsm(Dataset *d)
{
    NodeKind kind = store_kind(d->store, "obsm");
    if (kind == NODE_ARRAY && compound_obsm(d))
        dataset_warn_error(d, "obsm");
    if (kind != NODE_GROUP)
        return;
    char **names = NULL;
    size_t n = 0;
    if (store_list(d->store, "obsm", &names, &n)) {
        dataset_warn_error(d, "obsm");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char *path = path_join("obsm", names[i]);
        if (describe_obsm(d, names[i], path)) /* a copy of the file may keep it, and says when not */
            dataset_warn(d, "%s; not shown", err_message());
        free(path);
    }
    strings_free(names, n);
}

static void name_generation(Dataset *d)
{
    char *root = store_attr_text(d->store, "", "encoding-type");
    const char *g = root                                        ? "anndata 0.8+"
                    : store_kind(d->store, "obs") == NODE_ARRAY ? "anndata 0.6 or older"
                                                                : "anndata 0.7";
    free(d->encoding);
    d->encoding = mem_strdup(g);
    free(root);
}

/* A frame without index and columns is as long as X says. */
static void borrow_length(Dataset *d, Frame *f, int axis)
{
    int64_t shape[2] = {0, 0};
    size_t n = 0;
    if (f->n || f->n_slots || f->index.path)
        return;
    if (store_kind(d->store, "X") == NODE_ARRAY) {
        Array *a;
        if (store_open_array(d->store, "X", &a))
            return;
        for (int i = 0; i < 2 && i < a->info.rank; i++)
            shape[i] = (int64_t)a->info.shape[i];
        array_close(a);
    } else if (store_attr_ints(d->store, "X", "shape", shape, 2, &n)) {
        return;
    }
    if (shape[axis] > 0 && shape[axis] < INT32_MAX)
        f->n = (size_t)shape[axis];
}

Err h5ad_read(Dataset *d, const DatasetOptions *opt)
{
    name_generation(d);
    TRY(frame_open(d, "obs", &d->obs));
    TRY(frame_open(d, "var", &d->var));
    borrow_length(d, &d->obs, 0);
    borrow_length(d, &d->var, 1);
    if (d->obs.n > INT32_MAX || d->var.n >= INT32_MAX)
        FAIL(ERR_INPUT, "obs: has %zu rows; more than %d cells are not supported", d->obs.n,
             INT32_MAX);
    if (is_stored(d, "X"))
        add_matrix(d, "X", "X", &d->var);
    read_raw(d);
    read_layers(d);
    read_obsm(d);
    return dataset_settle(d, opt);
}
