/* loom (HDF5): /matrix is genes x cells, row_attrs describe genes, col_attrs cells, layers have the
 * shape of the matrix. The names of the attributes with cell and gene names differ between writers.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"
#include "core/data/mtx.h"

/* The first of the names (case ignored) that is a one-dimensional array of n texts; else any that
 * is unique enough. */
static char *find_names(Dataset *d, const char *group, size_t n, const char *const *names)
{
    char **members = NULL, *found = NULL;
    size_t count = 0;
    if (store_list(d->store, group, &members, &count))
        return NULL;
    for (; *names && !found; names++)
        for (size_t i = 0; i < count && !found; i++) {
            Array *a;
            char *p = path_join(group, members[i]);
            if (strcasecmp(members[i], *names) == 0 && store_kind(d->store, p) == NODE_ARRAY &&
                store_open_array(d->store, p, &a) == OK) {
                if (a->info.rank == 1 && a->info.count == n &&
                    (a->info.cls == ELEM_STRING || a->info.cls == ELEM_INT))
                    found = mem_strdup(members[i]);
                array_close(a);
            }
            free(p);
        }
    strings_free(members, count);
    return found;
}

static bool column_kind(const ArrayInfo *i, ColumnKind *kind)
{
    *kind = i->cls == ELEM_STRING ? COLUMN_STRING
            : i->cls == ELEM_BOOL ? COLUMN_BOOL
                                  : COLUMN_NUMERIC;
    return i->cls == ELEM_STRING || i->cls == ELEM_BOOL || i->cls == ELEM_INT ||
           i->cls == ELEM_FLOAT;
}

/* Attributes become columns; cell attributes with two dimensions become obsm. */
static Err read_attrs(Dataset *d, const char *group, size_t n, const char *index, Frame *f,
                      bool cells)
{
    char **members = NULL;
    size_t count = 0;
    f->n = n;
    f->path = mem_strdup(group);
    f->index = (Slot){
        .name = mem_strdup(index ? index : "index"), .form = SLOT_LOADED, .kind = COLUMN_STRING};
    if (index) {
        f->index.form = SLOT_ARRAY;
        f->index.path = path_join(group, index);
    } else {
        dataset_warn(d, "%s: no attribute names the %s; they are numbered", group,
                     cells ? "cells" : "genes");
    }
    if (store_kind(d->store, group) != NODE_GROUP)
        return OK;
    TRY(store_list(d->store, group, &members, &count));
    for (size_t i = 0; i < count; i++) {
        Array *a = NULL;
        ColumnKind kind;
        char *p = path_join(group, members[i]);
        if (index && strcmp(members[i], index) == 0) {
            free(p);
            continue;
        }
        if (store_kind(d->store, p) != NODE_ARRAY || store_open_array(d->store, p, &a)) {
            dataset_warn(d, "%s: is no readable array; left out", p);
        } else if (cells && a->info.rank == 2 && a->info.shape[0] == n &&
                   a->info.cls != ELEM_STRING && column_kind(&a->info, &kind)) {
            dataset_new_obsm(d, members[i], OBSM_DENSE, n, (size_t)a->info.shape[1])->path =
                mem_strdup(p);
        } else if (a->info.rank != 1 || a->info.count != n || !column_kind(&a->info, &kind)) {
            dataset_warn(d, "%s: has %llu values of the type %s where %zu are expected; left out",
                         p, (unsigned long long)a->info.count, a->info.dtype, n);
        } else {
            frame_add_slot(f, members[i], kind, SLOT_ARRAY, p);
        }
        array_close(a);
        free(p);
    }
    strings_free(members, count);
    return OK;
}

static Err describe(Dataset *d, const char *name, const char *path, uint64_t genes, uint64_t cells)
{
    Matrix *m = dataset_new_matrix(d, name);
    Err err = store_open_array(d->store, path, &m->data);
    if (!err && (m->data->info.rank != 2 || m->data->info.shape[0] != genes ||
                 m->data->info.shape[1] != cells ||
                 (m->data->info.cls != ELEM_INT && m->data->info.cls != ELEM_FLOAT)))
        err = err_set(ERR_INPUT, "%s: is no matrix of %llu genes x %llu cells", path,
                      (unsigned long long)genes, (unsigned long long)cells);
    if (err) {
        m->error = mem_strdup(err_message());
        dataset_warn(d, "%s; it cannot be used", err_message());
        return err;
    }
    m->kind = MATRIX_DENSE;
    m->by_cells = false;
    m->file_genes = (size_t)genes;
    m->info.storage = "dense";
    m->info.rows = (size_t)cells;
    m->info.cols = (size_t)genes;
    m->info.nnz = (size_t)(genes * cells);
    m->info.readable = true;
    memcpy(m->info.dtype, m->data->info.dtype, sizeof m->info.dtype);
    return OK;
}

static void read_layers(Dataset *d, uint64_t genes, uint64_t cells)
{
    char **names = NULL;
    size_t n = 0;
    if (store_kind(d->store, "layers") != NODE_GROUP || store_list(d->store, "layers", &names, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        char *path = path_join("layers", names[i]);
        Err ignored =
            *names[i] ? describe(d, path, path, genes, cells) : OK; /* its warning is there */
        (void)ignored;
        free(path);
    }
    strings_free(names, n);
}

/* An attribute of the root in version 2, an array in version 3. */
static char *spec_version(Dataset *d)
{
    char *version = store_attr_text(d->store, "", "LOOM_SPEC_VERSION");
    Array *a;
    if (version || store_kind(d->store, "attrs/LOOM_SPEC_VERSION") != NODE_ARRAY ||
        store_open_array(d->store, "attrs/LOOM_SPEC_VERSION", &a))
        return version;
    if (a->info.count == 1 && array_read_text(a, 0, 1, &version))
        version = NULL;
    array_close(a);
    return version;
}

Err loom_read(Dataset *d, const DatasetOptions *opt)
{
    static const char *const cell_names[] = {"CellID",
                                             "cell_names",
                                             "obs_names",
                                             "cell_id",
                                             "barcode",
                                             "barcodes",
                                             "cellid",
                                             "cell",
                                             "cells",
                                             "cell_barcode",
                                             "cell_suspension_id",
                                             "index",
                                             NULL};
    static const char *const gene_names[] = {
        "Gene",         "gene_names",   "var_names", "gene_name", "genes",
        "gene_symbol",  "gene_symbols", "symbol",    "name",      "featurename",
        "feature_name", "ensembl_ids",  "accession", "index",     NULL};
    Array *a;
    TRY(store_open_array(d->store, "matrix", &a));
    ArrayInfo shape = a->info;
    array_close(a);
    if (shape.rank != 2 || shape.shape[0] >= INT32_MAX || shape.shape[1] >= INT32_MAX)
        FAIL(ERR_INPUT, "matrix: has %d dimensions, or too many rows", shape.rank);
    size_t genes = (size_t)shape.shape[0], cells = (size_t)shape.shape[1];
    char *version = spec_version(d);
    free(d->encoding);
    d->encoding = str_format("loom %s", version ? version : "(attributes)");
    free(version);
    char *cell = find_names(d, "col_attrs", cells, cell_names),
         *gene = find_names(d, "row_attrs", genes, gene_names);
    Err err = read_attrs(d, "col_attrs", cells, cell, &d->obs, true);
    if (!err)
        err = read_attrs(d, "row_attrs", genes, gene, &d->var, false);
    free(cell);
    free(gene);
    TRY(err);
    Err ignored = describe(d, "X", "matrix", shape.shape[0], shape.shape[1]);
    (void)ignored;
    read_layers(d, shape.shape[0], shape.shape[1]);
    return dataset_settle(d, opt);
}

/* Values of one member, as many as there are edges (*n SIZE_MAX: not known yet). */
static Err read_ends(Dataset *d, const char *path, const char *member, MemType type, size_t *n, void *out)
{
    Array *a;
    char *p = path_join(path, member);
    Err err = store_open_array(d->store, p, &a);
    free(p);
    TRY(err);
    if (*n == SIZE_MAX)
        *n = (size_t)a->info.count;
    err = array_read_all(a, *n, type, out);
    array_close(a);
    return err;
}

Err loom_graph(Dataset *d, const char *path, JobCtl *ctl, Csr *out)
{
    Err err = OK;
    int32_t *from = NULL, *to = NULL;
    float *weight = NULL;
    size_t n = SIZE_MAX, cells = d->obs.n;
    TRY_GOTO(read_ends(d, path, "a", MEM_I32, &n, &from));
    TRY_GOTO(read_ends(d, path, "b", MEM_I32, &n, &to));
    TRY_GOTO(read_ends(d, path, "w", MEM_F32, &n, &weight));
    TRY_GOTO(job_look(ctl));
    for (size_t i = 0; i < n; i++)
        if (from[i] < 0 || to[i] < 0 || (size_t)from[i] >= cells || (size_t)to[i] >= cells)
            FAIL_GOTO(ERR_INPUT, "%s: edge %zu joins cells %d and %d of %zu; the file is damaged", path, i, (int)from[i],
                      (int)to[i], cells);
    TRY_GOTO(mtx_rows(0, cells, cells, from, to, weight, n, ctl, out));
done:
    free(from);
    free(to);
    free(weight);
    return err;
}
