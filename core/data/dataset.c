/* The Dataset that everything above core/data sees: getters, first-use reading, datasets in memory.
 */
#include "core/data/dataset_impl.h"
#include "core/data/recover.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/orthologs.h"

const char *matrix_state_name(MatrixState s)
{
    static const char *const names[] = {"counts", "lognorm", "scaled", "unknown"};
    return names[s];
}

const char *column_kind_name(ColumnKind k)
{
    static const char *const names[] = {"categorical", "numeric", "string", "bool"};
    return names[k];
}

Dataset *dataset_make(const char *path, const char *format, const char *encoding)
{
    Dataset *d = mem_must(sizeof *d);
    d->path = mem_strdup(path);
    d->format = format;
    d->encoding = mem_strdup(encoding);
    d->model_matrix = d->working_matrix = d->var_name_slot = -1;
    d->reason = mem_strdup("");
    d->gene_names_from = mem_strdup("index");
    return d;
}

static void obsm_done(Obsm *o)
{
    free(o->info.name);
    free(o->path);
    free(o->field);
    free(o->mem);
}

void dataset_close(Dataset *d)
{
    if (!d)
        return;
    dataset_sha256_wait(d);
    for (size_t i = 0; i < d->n_matrices; i++)
        matrix_done(&d->matrices[i]);
    for (size_t i = 0; i < d->n_obsm; i++)
        obsm_done(&d->obsm[i]);
    free(d->matrices);
    free(d->obsm);
    frame_done(&d->obs);
    frame_done(&d->var);
    frame_done(&d->raw_var);
    strings_free(d->warnings, d->n_warnings);
    strings_free(d->genomes, d->n_genomes);
    strings_free(d->parts, d->n_parts);
    free(d->identity);
    free(d->path);
    free(d->encoding);
    free(d->reason);
    free(d->gene_names_from);
    free(d->var_gene_names);
    recovery_done(&d->recovery);
    store_close(d->store);
    free(d);
}

void dataset_warn(Dataset *d, const char *fmt, ...)
{
    enum { MOST = 500 }; /* a damaged file can have one for each of a hundred thousand elements */
    char text[512];
    va_list ap;
    if (d->n_warnings >= MOST)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char **grown = mem_must((d->n_warnings + 1) * sizeof *grown);
    if (d->n_warnings)
        memcpy(grown, d->warnings, d->n_warnings * sizeof *grown);
    free(d->warnings);
    d->warnings = grown;
    bool last = d->n_warnings == MOST - 1;
    d->warnings[d->n_warnings++] = mem_strdup(last ? "uns: further warnings are left out" : text);
}

Matrix *dataset_new_matrix(Dataset *d, const char *name)
{
    Matrix *grown = mem_must((d->n_matrices + 1) * sizeof *grown);
    if (d->n_matrices)
        memcpy(grown, d->matrices, d->n_matrices * sizeof *grown);
    free(d->matrices);
    d->matrices = grown;
    Matrix *m = &d->matrices[d->n_matrices++];
    m->info.name = mem_strdup(name);
    m->info.storage = "none";
    m->info.state = STATE_UNKNOWN;
    m->name_slot = -1;
    m->var = &d->var;
    return m;
}

Obsm *dataset_new_obsm(Dataset *d, const char *name, ObsmKind kind, size_t n, size_t dim)
{
    Obsm *grown = mem_must((d->n_obsm + 1) * sizeof *grown);
    if (d->n_obsm)
        memcpy(grown, d->obsm, d->n_obsm * sizeof *grown);
    free(d->obsm);
    d->obsm = grown;
    Obsm *o = &d->obsm[d->n_obsm++];
    *o = (Obsm){.info = {mem_strdup(name), n, dim}, .kind = kind};
    return o;
}

/* ---- getters ---- */

const char *dataset_path(const Dataset *d)
{
    return d->path;
}

const char *dataset_format(const Dataset *d)
{
    return d->format;
}

const char *dataset_encoding(const Dataset *d)
{
    return d->encoding;
}

size_t dataset_cells(const Dataset *d)
{
    return d->obs.n;
}

size_t dataset_genes(const Dataset *d)
{
    return d->var.n;
}

size_t dataset_n_matrices(const Dataset *d)
{
    return d->n_matrices - d->n_hidden;
}

const MatrixInfo *dataset_matrix(const Dataset *d, size_t i)
{
    assert(i < d->n_matrices);
    return &d->matrices[i].info;
}

Err dataset_check_matrix(const Dataset *d, size_t i)
{
    assert(i < d->n_matrices);
    return matrix_check(&d->matrices[i]);
}

int dataset_model_matrix(const Dataset *d)
{
    return d->model_matrix;
}

const char *dataset_model_matrix_reason(const Dataset *d)
{
    return d->reason;
}

int dataset_working_matrix(const Dataset *d)
{
    return d->working_matrix;
}

size_t dataset_n_warnings(const Dataset *d)
{
    return d->n_warnings;
}

const char *dataset_warning(const Dataset *d, size_t i)
{
    assert(i < d->n_warnings);
    return d->warnings[i];
}

const char *dataset_gene_names_from(const Dataset *d)
{
    return d->gene_names_from;
}

size_t dataset_n_genomes(const Dataset *d)
{
    return d->n_genomes;
}

const char *dataset_genome(const Dataset *d, size_t i)
{
    assert(i < d->n_genomes);
    return d->genomes[i];
}

/* ---- names and columns ---- */

static Matrix *matrix_at(Dataset *d, int i)
{
    assert(i >= 0 && (size_t)i < d->n_matrices);
    return &d->matrices[i];
}

static Frame *var_frame(Dataset *d, int matrix)
{
    return matrix < 0 ? &d->var : matrix_at(d, matrix)->var;
}

static Err load_gene_names(Dataset *d, Frame *var, int slot, const char ***out)
{
    char **index;
    const Column *c = NULL;
    char b[32];
    TRY(frame_names(d, var, &index));
    if (slot >= 0)
        TRY(slot_read(d, var, &var->slots[slot], &c));
    const char **names;
    TRY(NEW(names, var->n));
    for (size_t i = 0; i < var->n; i++) {
        const char *text = c ? column_text(c, i, b) : "";
        names[i] = *text && text != b ? text : index[i]; /* an empty symbol: the id serves */
    }
    size_t mapped = 0;
    for (size_t i = 0; d->map_orthologs && i < var->n; i++) {
        const char *human;
        TRY(ortholog_human(names[i], &human));
        if (human) {
            names[i] = human;
            mapped++;
        }
    }
    if (d->map_orthologs)
        dataset_warn(d, "%s: %zu of %zu mouse gene names are replaced by their human counterparts",
                     var->path, mapped, var->n);
    *out = names;
    return OK;
}

Err dataset_gene_names(Dataset *d, int matrix, const char *const **names, size_t *n)
{
    Matrix *m = matrix < 0 ? NULL : matrix_at(d, matrix);
    Frame *var = m ? m->var : &d->var;
    const char ***kept = m ? &m->gene_names : &d->var_gene_names;
    if (!*kept)
        TRY(load_gene_names(d, var, m ? m->name_slot : d->var_name_slot, kept));
    *names = *kept;
    *n = var->n;
    return OK;
}

Err dataset_var_index(Dataset *d, int matrix, const char *const **names)
{
    char **index;
    TRY(frame_names(d, var_frame(d, matrix), &index));
    *names = (const char *const *)index;
    return OK;
}

size_t dataset_n_var(const Dataset *d, int matrix)
{
    return matrix < 0 ? d->var.n_slots : d->matrices[matrix].var->n_slots;
}

ColumnKind dataset_var_kind(const Dataset *d, int matrix, size_t i)
{
    return var_frame((Dataset *)d, matrix)->slots[i].kind;
}

Err dataset_var(Dataset *d, int matrix, size_t i, const Column **out)
{
    Frame *f = var_frame(d, matrix);
    return slot_read(d, f, &f->slots[i], out);
}

Err dataset_cell_names(Dataset *d, const char *const **names)
{
    char **index;
    TRY(frame_names(d, &d->obs, &index));
    *names = (const char *const *)index;
    return OK;
}

Err dataset_cell_names_block(Dataset *d, size_t row0, size_t n, char **out)
{
    assert(row0 <= d->obs.n && n <= d->obs.n - row0);
    return frame_names_block(d, &d->obs, row0, n, out);
}

size_t dataset_n_obs(const Dataset *d)
{
    return d->obs.n_slots;
}

const char *dataset_obs_name(const Dataset *d, size_t i)
{
    return d->obs.slots[i].name;
}

ColumnKind dataset_obs_kind(const Dataset *d, size_t i)
{
    return d->obs.slots[i].kind;
}

int dataset_find_obs(const Dataset *d, const char *name)
{
    for (size_t i = 0; i < d->obs.n_slots; i++)
        if (strcmp(d->obs.slots[i].name, name) == 0)
            return (int)i;
    return -1;
}

Err dataset_obs(Dataset *d, size_t i, const Column **out)
{
    assert(i < d->obs.n_slots);
    return slot_read(d, &d->obs, &d->obs.slots[i], out);
}

/* ---- values ---- */

Err dataset_read_rows(Dataset *d, int matrix, size_t row0, size_t n, JobCtl *ctl, Csr *out)
{
    Matrix *m = matrix_at(d, matrix);
    TRY(matrix_check(m));
    assert(row0 <= m->info.rows && n <= m->info.rows - row0);
    return matrix_read_rows(d, m, row0, n, ctl, out);
}

Err dataset_read_gene(Dataset *d, int matrix, size_t col, JobCtl *ctl, float *out)
{
    Matrix *m = matrix_at(d, matrix);
    TRY(matrix_check(m));
    assert(col < m->info.cols);
    return matrix_read_gene(d, m, col, ctl, out);
}

Err dataset_row_sums(Dataset *d, int matrix, JobCtl *ctl, double *out)
{
    Matrix *m = matrix_at(d, matrix);
    TRY(matrix_check(m));
    if (!m->row_sums) {
        double *sums;
        size_t step = matrix_block_rows(m);
        TRY(NEW0(sums, m->info.rows));
        job_stage(ctl, "library sizes", m->info.rows);
        bool cached = matrix_cached_sums(d, m, sums), quick = cached || matrix_can_sum(m);
        Err err = quick && !cached ? matrix_sum_rows(m, ctl, sums) : OK;
        for (size_t r = 0; r < m->info.rows && !quick && !err; r += step) {
            Csr c;
            size_t n = m->info.rows - r < step ? m->info.rows - r : step;
            err = matrix_read_rows(d, m, r, n, ctl, &c);
            if (!err) {
                csr_row_sums(&c, sums + r);
                csr_done(&c);
                err = job_progress(ctl, r + n);
            }
        }
        if (err) {
            free(sums);
            return err;
        }
        m->row_sums = sums;
    }
    memcpy(out, m->row_sums, m->info.rows * sizeof *out);
    return OK;
}

/* ---- datasets in memory ---- */

Err dataset_from_memory(const char *label, Csr *counts, const char *const *genes,
                        const char *const *cells, Dataset **out)
{
    Dataset *d = dataset_make(label, "memory", "memory");
    d->obs.n = counts->rows;
    d->var.n = counts->cols;
    d->obs.path = mem_strdup("obs");
    d->var.path = mem_strdup("var");
    d->obs.index = (Slot){.name = mem_strdup("index"), .form = SLOT_LOADED, .kind = COLUMN_STRING};
    d->var.index = (Slot){.name = mem_strdup("index"), .form = SLOT_LOADED, .kind = COLUMN_STRING};
    d->obs.names = mem_must(d->obs.n * sizeof *d->obs.names);
    d->var.names = mem_must(d->var.n * sizeof *d->var.names);
    for (size_t i = 0; i < d->obs.n; i++)
        d->obs.names[i] = cells ? mem_strdup(cells[i]) : str_format("cell%zu", i);
    for (size_t i = 0; i < d->var.n; i++)
        d->var.names[i] = mem_strdup(genes[i]);
    Matrix *m = dataset_new_matrix(d, "X");
    m->kind = MATRIX_MEMORY;
    m->by_cells = true;
    m->mem = *counts;
    m->file_genes = counts->cols;
    m->info.storage = "csr";
    m->info.rows = counts->rows;
    m->info.cols = counts->cols;
    m->info.nnz = csr_nnz(counts);
    m->info.readable = true;
    snprintf(m->info.dtype, sizeof m->info.dtype, "float32");
    *counts = (Csr){0};
    Err err = dataset_settle(d, NULL);
    if (err) {
        dataset_close(d);
        return err;
    }
    *out = d;
    return OK;
}

Err dataset_add_obs(Dataset *d, Column *take)
{
    if (take->n != d->obs.n) {
        err_set(ERR_GENERAL, "obs/%s: has %zu values for %zu cells", take->name, take->n, d->obs.n);
        column_free(take);
        return ERR_GENERAL;
    }
    int old = dataset_find_obs(d, take->name);
    if (old < 0) {
        frame_add_column(&d->obs, take);
        return OK;
    }
    Slot *s = &d->obs.slots[old]; /* replaces the column of that name */
    column_free(s->column);
    s->column = take;
    s->kind = take->kind;
    s->form = SLOT_LOADED;
    return OK;
}

Err dataset_add_obsm(Dataset *d, const char *name, size_t dim, float *take)
{
    Obsm *o = NULL;
    for (size_t i = 0; i < d->n_obsm; i++)
        if (strcmp(d->obsm[i].info.name, name) == 0)
            o = &d->obsm[i];
    if (!o)
        o = dataset_new_obsm(d, name, OBSM_MEMORY, d->obs.n, dim);
    free(o->mem);
    o->kind = OBSM_MEMORY;
    o->info.d = dim;
    o->mem = take;
    return OK;
}
