/* What goes where in an h5ad file: from arrays in memory, or copied from another dataset. */
#include "core/data/h5ad_write.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"
#include "core/data/h5ad_layout.h"
#include "core/data/outfile.h"

typedef Err Fill(H5Writer *w, void *user, JobCtl *ctl);

/* Temporary file, the given content, rename. */
static Err write_file(const char *path, bool force, Fill *fill, void *user, JobCtl *ctl)
{
    OutFile file;
    H5Writer *w = NULL;
    TRY(outfile_begin(path, force, &file));
    Err err = h5w_create(file.temp, &w);
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
    TRY(layout_frame(w, "obs", NULL, c->cell_names, c->cells, c->obs, c->n_obs));
    TRY(layout_frame(w, "var", NULL, c->gene_names, c->genes, c->var, c->n_var));
    TRY(empty_dicts(w, dicts, 5));
    TRY(job_progress(ctl, 0));
    for (size_t i = 0; i < c->n_layers; i++)
        TRY(write_named_csr(w, "layers", &c->layers[i]));
    for (size_t i = 0; i < c->n_obsm; i++)
        TRY(write_obsm(w, c->obsm[i].name, c->cells, c->obsm[i].d, c->obsm[i].values));
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
} Copy;

/* One matrix in blocks of rows. */
static Err copy_matrix(Copy *c, Matrix *m, const char *path)
{
    RowSink *s;
    size_t step = matrix_block_rows(m);
    DiskType type = disk_type_of(m->info.dtype, DISK_F32);
    TRY(row_sink_open(c->w, path, m->info.rows, m->info.cols, m->info.nnz,
                      type == DISK_BOOL ? DISK_I32 : type, &s));
    job_stage(c->ctl, "copying the matrix", m->info.rows);
    for (size_t r = 0; r < m->info.rows; r += step) {
        Csr block = {0};
        size_t n = m->info.rows - r < step ? m->info.rows - r : step;
        Err err = matrix_read_rows(c->d, m, r, n, c->ctl, &block);
        double *exact = NULL;
        if (!err)
            err = matrix_exact_values(m, r, &block, &exact);
        if (!err)
            err = row_sink_add(s, &block, exact);
        free(exact);
        csr_done(&block);
        if (!err)
            err = job_progress(c->ctl, r + n);
        if (err) {
            row_sink_abort(s);
            return err;
        }
    }
    return row_sink_close(s);
}

static const Column *replaced(const H5adContent *add, const char *name)
{
    for (size_t i = 0; add && i < add->n_obs; i++)
        if (strcmp(add->obs[i]->name, name) == 0)
            return add->obs[i];
    return NULL;
}

static bool writable_name(Dataset *d, const char *frame, const char *name)
{
    bool good = *name && *name != '/' && strcmp(name, ".") != 0 && !str_ends(name, "/");
    if (!good)
        dataset_warn(d, "%s/%s: such a name cannot be written; left out", frame, name);
    return good;
}

/* obs or var with its readable columns; `add` (obs only) replaces and appends. */
static Err copy_frame(Copy *c, Frame *f, const char *path, const H5adContent *add)
{
    char **names;
    size_t n = 0;
    TRY(frame_names(c->d, f, &names));
    const Column **columns = mem_must((f->n_slots + (add ? add->n_obs : 0) + 1) * sizeof *columns);
    for (size_t i = 0; i < f->n_slots; i++) {
        const Column *k = replaced(add, f->slots[i].name);
        if (k || !writable_name(c->d, path, f->slots[i].name))
            continue;
        if (slot_read(c->d, f, &f->slots[i], &k))
            dataset_warn(c->d, "%s; left out", err_message());
        else
            columns[n++] = k;
    }
    for (size_t i = 0; add && i < add->n_obs; i++)
        columns[n++] = add->obs[i];
    Err err = layout_frame(c->w, path, f->index.name, (const char *const *)names, f->n, columns, n);
    free(columns);
    return err;
}

/* An embedding as it is stored, when that is an array of float64 or integers that float32 would
 * round. */
static Err copy_wide_obsm(Copy *c, const Obsm *o, bool *done)
{
    Array *a;
    double *values = NULL;
    *done = false;
    if (o->kind != OBSM_DENSE || store_open_array(c->d->store, o->path, &a))
        return OK;
    DiskType type = disk_type_of(a->info.dtype, DISK_F32);
    Err err = OK;
    if (type != DISK_F32 && type != DISK_BOOL &&
        array_read_all(a, o->info.n * o->info.d, MEM_F64, &values) == OK) {
        uint64_t shape[2] = {o->info.n, o->info.d};
        char *p = path_join("obsm", o->info.name);
        err = h5w_array(c->w, p, "array", type, 2, shape, MEM_F64, values);
        free(p);
        free(values);
        *done = true;
    }
    array_close(a);
    return err;
}

static Err copy_obsm(Copy *c)
{
    const H5adContent *add = c->add;
    for (size_t i = 0; i < c->d->n_obsm; i++) {
        const ObsmInfo *o = &c->d->obsm[i].info;
        bool skip = false;
        for (size_t j = 0; add && j < add->n_obsm; j++)
            skip |= strcmp(add->obsm[j].name, o->name) == 0;
        float *values = NULL;
        bool done = false;
        if (!skip)
            TRY(copy_wide_obsm(c, &c->d->obsm[i], &done));
        if (skip || done)
            continue;
        if (dataset_obsm(c->d, i, &values)) {
            dataset_warn(c->d, "%s; left out", err_message());
            continue;
        }
        Err err = write_obsm(c->w, o->name, o->n, o->d, values);
        free(values);
        TRY(err);
    }
    for (size_t j = 0; add && j < add->n_obsm; j++)
        TRY(write_obsm(c->w, add->obsm[j].name, c->d->obs.n, add->obsm[j].d, add->obsm[j].values));
    return OK;
}

static Err copy_obsp(Copy *c)
{
    char **names;
    size_t n;
    Err err = OK;
    TRY(dataset_obsp_names(c->d, &names, &n));
    for (size_t i = 0; i < n && !err; i++) {
        bool skip = false;
        for (size_t j = 0; c->add && j < c->add->n_obsp; j++)
            skip |= strcmp(c->add->obsp[j].name, names[i]) == 0;
        Csr m = {0};
        if (skip)
            continue;
        if (dataset_obsp(c->d, names[i], c->ctl, &m)) {
            dataset_warn(c->d, "%s; left out", err_message());
            continue;
        }
        H5adMatrix named = {names[i], &m, false};
        err = write_named_csr(c->w, "obsp", &named);
        csr_done(&m);
    }
    strings_free(names, n);
    for (size_t j = 0; !err && c->add && j < c->add->n_obsp; j++)
        err = write_named_csr(c->w, "obsp", &c->add->obsp[j]);
    return err;
}

static Err copy_uns(Copy *c)
{
    Tree *t;
    TRY(dataset_uns(c->d, &t));
    for (size_t i = 0; i < c->d->obs.n_slots; i++) /* before 0.7 the categories were here */
        if (c->d->obs.slots[i].form == SLOT_FIELD && c->d->obs.slots[i].categories)
            tree_remove(t, c->d->obs.slots[i].categories + strlen("uns/"));
    if (c->add && c->add->uns)
        tree_merge(t, c->add->uns);
    Err err = layout_tree(c->w, "uns", t);
    tree_free(t);
    return err;
}

static Matrix *named_matrix(Dataset *d, const char *name)
{
    for (size_t i = 0; i < d->n_matrices; i++)
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
    for (size_t i = 0; i < d->n_matrices; i++) {
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
        if (layer && x && x->var != m->var) {
            dataset_warn(d, "%s: has the genes of var, X those of raw; left out", m->info.name);
            continue;
        }
        if (raw) {
            TRY(h5w_group(c->w, "raw", "raw", "0.1.0"));
            TRY(copy_frame(c, m->var, "raw/var", NULL));
            TRY(layout_dict(c->w, "raw/varm"));
        }
        TRY(copy_matrix(c, m, m->info.name));
    }
    return OK;
}

static Err fill_copy(H5Writer *w, void *user, JobCtl *ctl)
{
    Copy *c = user;
    static const char *const dicts[] = {"layers", "obsm", "obsp", "varm", "varp"};
    c->w = w;
    Matrix *x = chosen_x(c);
    TRY(copy_frame(c, &c->d->obs, "obs", c->add));
    TRY(copy_frame(c, x ? x->var : &c->d->var, "var", NULL));
    TRY(empty_dicts(w, dicts, 5));
    TRY(copy_matrices(c, x));
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
