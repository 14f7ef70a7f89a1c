/* What goes where in an h5ad file: from arrays in memory, or copied from another dataset. */
#include "core/data/h5ad_write.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"
#include "core/data/h5ad_copy.h"
#include "core/data/h5ad_layout.h"
#include "core/data/outfile.h"

typedef Err Fill(H5Writer *w, void *user, JobCtl *ctl);

/* Temporary file, the given content, rename. */
static Err write_file(const char *path, bool force, Fill *fill, void *user, JobCtl *ctl)
{
    OutFile file;
    H5Writer *w = NULL;
    TRY(outfile_begin(path, force, &file));
    Err err = h5w_create(file.temp, ctl, &w);
    if (!err)
        err = h5w_group(w, "", "anndata", "0.1.0");
    if (!err)
        err = fill(w, user, ctl);
    if (err)
        h5w_abort(w);
    else
        err = h5w_close(w);
    if (!err)
        return outfile_commit(&file);
    outfile_abort(&file);
    return err == ERR_GENERAL ? err_context(err, "%s", path) : err; /* others are about the input */
}

static Err write_obsm(H5Writer *w, const char *name, size_t cells, size_t d, const float *values)
{
    uint64_t shape[2] = {cells, d};
    char *p = path_join("obsm", name);
    Err err = h5w_array(w, p, "array", DISK_F32, 2, shape, MEM_F32, values);
    free(p);
    return err;
}

static Err write_added_obsm(H5Writer *w, const H5adContent *c, size_t cells)
{
    for (size_t i = 0; i < c->n_obsm; i++)
        TRY(write_obsm(w, c->obsm[i].name, cells, c->obsm[i].d, c->obsm[i].values));
    for (size_t i = 0; i < c->n_obsm_bytes; i++) {
        const H5adBytes *b = &c->obsm_bytes[i];
        char *p = path_join("obsm", b->name);
        Err err = h5w_array(w, p, "array", DISK_I8, 2, (const uint64_t[]){cells, b->d}, MEM_I8,
                            b->values);
        free(p);
        TRY(err);
    }
    return OK;
}

static Err write_named_csr(H5Writer *w, const char *group, const H5adMatrix *m)
{
    char *p = path_join(group, m->name);
    Err err = layout_csr(w, p, m->m, m->integer ? DISK_I32 : DISK_F32);
    free(p);
    return err;
}

static Err empty_dicts(H5Writer *w, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        TRY(layout_dict(w, names[i]));
    return OK;
}

static Err fill_content(H5Writer *w, void *user, JobCtl *ctl)
{
    const H5adContent *c = user;
    static const char *const dicts[] = {"layers", "obsm", "obsp", "varm", "varp"};
    if (c->x)
        TRY(layout_csr(w, "X", c->x, c->x_integer ? DISK_I32 : DISK_F32));
    TRY(layout_frame(w, "obs", NULL, c->cell_names, c->cells, c->obs, c->n_obs, NULL));
    TRY(layout_frame(w, "var", NULL, c->gene_names, c->genes, c->var, c->n_var, NULL));
    TRY(empty_dicts(w, dicts, 5));
    TRY(job_progress(ctl, 0));
    for (size_t i = 0; i < c->n_layers; i++)
        TRY(write_named_csr(w, "layers", &c->layers[i]));
    TRY(write_added_obsm(w, c, c->cells));
    for (size_t i = 0; i < c->n_obsp; i++)
        TRY(write_named_csr(w, "obsp", &c->obsp[i]));
    if (c->uns)
        return layout_tree(w, "uns", c->uns);
    return layout_dict(w, "uns");
}

Err h5ad_write(const char *path, const H5adContent *c, bool force, JobCtl *ctl)
{
    return write_file(path, force, fill_content, (void *)c, ctl);
}

/* ---- copies ---- */

typedef struct Copy {
    Dataset *d;
    H5adCopy how;
    const H5adContent *add;
    H5Writer *w;
    JobCtl *ctl;
    bool same_genes; /* those of X are those of var, in their order */
} Copy;

/* Is the file laid out as anndata does? */
static bool is_anndata(const Dataset *d)
{
    return d->store && (strcmp(d->format, "h5ad") == 0 || strcmp(d->format, "zarr") == 0);
}

/* Blocks of rows from row r on: into the sink, or (NULL) only read, which checks them. *rounded:
 * stopped, since float32 would round the values of the block at *r. */
static Err copy_blocks(Copy *c, Matrix *m, RowSink *s, size_t *r, bool *rounded)
{
    size_t step = matrix_block_rows(m);
    for (*rounded = false; *r < m->info.rows; *r += step) {
        Csr block = {0};
        size_t n = m->info.rows - *r < step ? m->info.rows - *r : step;
        double *exact = NULL;
        Err err = matrix_read_rows(c->d, m, *r, n, c->ctl, &block);
        if (!err && s)
            err = matrix_exact_values(m, *r, &block, &exact, rounded);
        *rounded = *rounded && m->kind == MATRIX_SPARSE && is_anndata(c->d);
        if (!err && s && !*rounded)
            err = row_sink_add(s, &block, exact);
        free(exact);
        csr_done(&block);
        if (!err)
            err = job_progress(c->ctl, *r + n);
        if (err || *rounded)
            return err;
    }
    return OK;
}

/* One matrix in blocks of rows; a sparse one that float32 would round (float64 by genes, or with
 * unsorted indices) as it is stored. */
static Err copy_matrix(Copy *c, Matrix *m, const char *path)
{
    RowSink *s;
    size_t r = 0;
    bool rounded, copied = false;
    DiskType type = disk_type_of(m->info.dtype, DISK_F32);
    if (type == DISK_F16) /* scipy has no sparse matrices of halves */
        type = DISK_F32;
    TRY(row_sink_open(c->w, path, m->info.rows, m->info.cols, m->info.nnz,
                      type == DISK_BOOL ? DISK_I32 : type, &s));
    job_stage(c->ctl, "copying the matrix", m->info.rows);
    Err err = copy_blocks(c, m, s, &r, &rounded);
    if (!err && !rounded)
        return row_sink_close(s);
    row_sink_abort(s);
    TRY(err);
    TRY(h5w_remove(c->w, path));
    TRY(copy_blocks(c, m, NULL, &r, &rounded));
    char *from = mem_strndup(m->data->path, strlen(m->data->path) - strlen("/data"));
    err = element_copy(c->d, c->w, from, path, c->ctl, &copied);
    free(from);
    return err || copied ? err : err_set(ERR_INPUT, "%s: cannot be copied", m->info.name);
}

/* ---- obsm, obsp, varm, varp: members of groups as they are stored ---- */

static bool added_obsm(void *user, const char *name)
{
    const H5adContent *add = user;
    for (size_t j = 0; add && j < add->n_obsm; j++)
        if (strcmp(add->obsm[j].name, name) == 0)
            return true;
    for (size_t j = 0; add && j < add->n_obsm_bytes; j++)
        if (strcmp(add->obsm_bytes[j].name, name) == 0)
            return true;
    return false;
}

static bool added_obsp(void *user, const char *name)
{
    const H5adContent *add = user;
    for (size_t j = 0; add && j < add->n_obsp; j++)
        if (strcmp(add->obsp[j].name, name) == 0)
            return true;
    return false;
}

/* A vector field of a compound array (before 0.7) with its own precision. */
static Err copy_field(Copy *c, const char *from, const FieldInfo *f, const char *to, size_t rows)
{
    Array *a;
    double *values;
    uint64_t shape[2] = {rows, f->width};
    DiskType type = disk_type_of(f->dtype, DISK_F32);
    if (store_open_array(c->d->store, from, &a)) {
        dataset_warn_error(c->d, from);
        return OK;
    }
    Err err = a->info.count == rows ? mem_check_budget(rows * f->width * sizeof *values, from)
                                    : err_set(ERR_INPUT, "%s: has another length", from);
    bool read = false;
    if (!err)
        err = NEW(values, rows * f->width);
    if (!err) {
        err = array_read_field(a, f->name, MEM_F64, values);
        read = !err;
        if (read)
            err = h5w_array(c->w, to, "array", type, 2, shape, MEM_F64, values);
        free(values);
    }
    array_close(a);
    if (!err || read)
        return err;
    dataset_warn_error(c->d, from);
    return OK;
}

static Err copy_fields(Copy *c, const char *from, const char *to, size_t rows,
                       const H5adContent *add)
{
    Array *a;
    FieldInfo *f = NULL;
    size_t n = 0;
    if (store_open_array(c->d->store, from, &a)) {
        dataset_warn_error(c->d, from);
        return OK;
    }
    Err err = array_fields(a, &f, &n);
    array_close(a);
    for (size_t i = 0; i < n && !err; i++) {
        bool number = f[i].cls == ELEM_FLOAT || f[i].cls == ELEM_INT;
        if (added_obsm((void *)add, f[i].name))
            continue;
        if (!number || !f[i].width || f[i].width > INT32_MAX) {
            dataset_warn(c->d, "%s/%s: is no matrix of numbers; left out", from, f[i].name);
            continue;
        }
        char *p = path_join(to, f[i].name);
        err = copy_field(c, from, &f[i], p, rows);
        free(p);
    }
    fields_free(f, n);
    return err;
}

/* obsm or varm: a group, or before 0.7 one compound array. */
static Err copy_axis(Copy *c, const char *from, const char *to, size_t rows, const H5adContent *add)
{
    if (store_kind(c->d->store, from) == NODE_ARRAY)
        return copy_fields(c, from, to, rows, add);
    return elements_copy(c->d, c->w, from, to, rows, false, added_obsm, (void *)add, c->ctl);
}

/* Embeddings that lie elsewhere: loom attributes, arrays in memory. */
static Err copy_other_obsm(Copy *c)
{
    for (size_t i = 0; i < c->d->n_obsm; i++) {
        const Obsm *o = &c->d->obsm[i];
        float *values = NULL;
        if (added_obsm((void *)c->add, o->info.name) ||
            (o->kind != OBSM_MEMORY && is_anndata(c->d)))
            continue;
        if (o->kind == OBSM_DENSE) {
            char *p = path_join("obsm", o->info.name);
            Err err = element_copy(c->d, c->w, o->path, p, c->ctl, NULL);
            free(p);
            TRY(err);
            continue;
        }
        if (dataset_obsm(c->d, i, &values)) {
            dataset_warn(c->d, "%s; left out", err_message());
            continue;
        }
        Err err = write_obsm(c->w, o->info.name, o->info.n, o->info.d, values);
        free(values);
        TRY(err);
    }
    return OK;
}

static Err copy_obsm(Copy *c)
{
    const H5adContent *add = c->add;
    if (is_anndata(c->d))
        TRY(copy_axis(c, "obsm", "obsm", c->d->obs.n, add));
    TRY(copy_other_obsm(c));
    return add ? write_added_obsm(c->w, add, c->d->obs.n) : OK;
}

static Err copy_obsp(Copy *c)
{
    if (is_anndata(c->d))
        TRY(elements_copy(c->d, c->w, "obsp", "obsp", c->d->obs.n, true, added_obsp, (void *)c->add,
                          c->ctl));
    for (size_t j = 0; c->add && j < c->add->n_obsp; j++)
        TRY(write_named_csr(c->w, "obsp", &c->add->obsp[j]));
    return OK;
}

/* What is said of the genes that X now has. */
static Err copy_genes(Copy *c, const Frame *var)
{
    Dataset *d = c->d;
    if (!is_anndata(d))
        return OK;
    if (c->same_genes) {
        TRY(copy_axis(c, "varm", "varm", var->n, NULL));
        return elements_copy(d, c->w, "varp", "varp", var->n, true, NULL, NULL, c->ctl);
    }
    static const char *const lost[] = {"varm", "varp"};
    for (int i = 0; i < 2; i++) {
        char **names = NULL;
        size_t n = 0;
        if (store_kind(d->store, lost[i]) == NODE_GROUP &&
            store_list(d->store, lost[i], &names, &n) == OK && n)
            dataset_warn(d, "%s: has the genes of var, X those of raw; left out", lost[i]);
        strings_free(names, n);
    }
    const char *from = store_kind(d->store, "raw/varm") == NODE_GROUP ? "raw/varm" : "raw.varm";
    return copy_axis(c, from, "varm", var->n, NULL);
}

/* ---- uns ---- */

/* Before 0.7 the categories of obs were here. */
static bool is_categories(const Dataset *d, const char *name)
{
    for (size_t i = 0; i < d->obs.n_slots; i++) {
        const Slot *s = &d->obs.slots[i];
        if (s->form == SLOT_FIELD && s->categories &&
            strcmp(s->categories + strlen("uns/"), name) == 0)
            return true;
    }
    return false;
}

static Err copy_uns(Copy *c)
{
    const Tree *add = c->add ? c->add->uns : NULL;
    Tree *mixed = tree_new(); /* items that the file and `add` both have */
    char **names = NULL;
    size_t n = 0;
    Err err = OK;
    if (is_anndata(c->d) && store_kind(c->d->store, "uns") == NODE_GROUP)
        if (store_list(c->d->store, "uns", &names, &n))
            dataset_warn_error(c->d, "uns");
    TRY_GOTO(layout_dict(c->w, "uns"));
    for (size_t i = 0; i < n; i++) {
        if (is_categories(c->d, names[i]))
            continue;
        if (add && tree_has(add, names[i])) {
            uns_read_item(c->d, names[i], mixed);
            continue;
        }
        char *p = path_join("uns", names[i]);
        err = element_copy(c->d, c->w, p, p, c->ctl, NULL);
        free(p);
        TRY_GOTO(err);
    }
    if (add)
        tree_merge(mixed, add);
    err = layout_items(c->w, "uns", mixed);
done:
    tree_free(mixed);
    strings_free(names, n);
    return err;
}

static Matrix *named_matrix(Dataset *d, const char *name)
{
    for (size_t i = 0; i < dataset_n_matrices(d); i++)
        if (strcmp(d->matrices[i].info.name, name) == 0)
            return &d->matrices[i];
    return NULL;
}

/* The matrix that becomes X, or NULL. */
static Matrix *chosen_x(const Copy *c)
{
    Dataset *d = c->d;
    Matrix *x = named_matrix(d, "X");
    if (c->how == H5AD_MODEL_IN_X && d->working_matrix >= 0 &&
        (d->model_matrix >= 0 || !x || !x->info.readable))
        x = &d->matrices[d->working_matrix];
    return x;
}

static Err copy_matrices(Copy *c, Matrix *x)
{
    Dataset *d = c->d;
    if (x)
        TRY(matrix_check(x));
    if (x)
        TRY(copy_matrix(c, x, "X"));
    for (size_t i = 0; i < dataset_n_matrices(d); i++) {
        Matrix *m = &d->matrices[i];
        bool layer = str_starts(m->info.name, "layers/"), raw = strcmp(m->info.name, "raw/X") == 0;
        if (m == x && !layer) /* a layer stays one: people look for it there */
            continue;
        if (!layer && !raw) {
            dataset_warn(d, "%s: left out, since X now holds %s", m->info.name,
                         x ? x->info.name : "nothing");
            continue;
        }
        if (!m->info.readable || (raw && c->how == H5AD_MODEL_IN_X)) {
            if (m->info.readable)
                dataset_warn(d, "raw/X: the output has no raw; left out");
            continue;
        }
        if (layer && !c->same_genes) {
            dataset_warn(d, "%s: has the genes of var, X those of raw; left out", m->info.name);
            continue;
        }
        if (raw) {
            TRY(h5w_group(c->w, "raw", "raw", "0.1.0"));
            TRY(frame_copy(d, c->w, m->var, "raw/var", NULL, c->ctl));
            TRY(layout_dict(c->w, "raw/varm"));
            if (is_anndata(d))
                TRY(copy_axis(
                    c, store_kind(d->store, "raw/varm") == NODE_GROUP ? "raw/varm" : "raw.varm",
                    "raw/varm", m->var->n, NULL));
        }
        TRY(copy_matrix(c, m, m->info.name));
    }
    return OK;
}

static Err same_names(Dataset *d, Frame *a, Frame *b, bool *same)
{
    char **p, **q;
    *same = a->n == b->n;
    if (a == b || !*same)
        return OK;
    TRY(frame_names(d, a, &p));
    TRY(frame_names(d, b, &q));
    for (size_t i = 0; i < a->n && *same; i++)
        *same = strcmp(p[i], q[i]) == 0;
    return OK;
}

/* The genes of X; when X comes from raw and has the genes of var, the columns of both. */
static Err copy_var(Copy *c, Frame *var)
{
    Dataset *d = c->d;
    H5adContent more = {0}, added = {0};
    if (var == &d->var && c->add) {
        added.obs = c->add->var;
        added.n_obs = c->add->n_var;
    }
    if (var == &d->var || !c->same_genes)
        return frame_copy(d, c->w, var, "var", added.n_obs ? &added : NULL, c->ctl);
    const Column **columns = mem_must((d->var.n_slots + 1) * sizeof *columns);
    for (size_t i = 0; i < d->var.n_slots; i++) {
        Slot *s = &d->var.slots[i];
        bool had = false;
        for (size_t k = 0; k < var->n_slots; k++)
            had |= strcmp(var->slots[k].name, s->name) == 0;
        if (!had && slot_read(d, &d->var, s, &columns[more.n_obs]))
            dataset_warn(d, "%s; left out", err_message());
        else
            more.n_obs += !had;
    }
    more.obs = columns;
    Err err = frame_copy(d, c->w, var, "var", &more, c->ctl);
    free(columns);
    return err;
}

static Err fill_copy(H5Writer *w, void *user, JobCtl *ctl)
{
    Copy *c = user;
    static const char *const dicts[] = {"layers", "obsm", "obsp", "varm", "varp"};
    c->w = w;
    Matrix *x = chosen_x(c);
    Frame *var = x ? x->var : &c->d->var;
    TRY(frame_copy(c->d, w, &c->d->obs, "obs", c->add, ctl));
    TRY(same_names(c->d, var, &c->d->var, &c->same_genes));
    TRY(copy_var(c, var));
    TRY(empty_dicts(w, dicts, 5));
    TRY(copy_matrices(c, x));
    TRY(copy_genes(c, var));
    TRY(copy_obsm(c));
    TRY(copy_obsp(c));
    return copy_uns(c);
}

Err h5ad_write_copy(Dataset *d, const char *path, H5adCopy how, const H5adContent *add, bool force,
                    JobCtl *ctl)
{
    Copy c = {.d = d, .how = how, .add = add, .ctl = ctl};
    return write_file(path, force, fill_copy, &c, ctl);
}
