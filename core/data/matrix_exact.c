/* Values as float64, where float32 would round them: of a block of rows for copies, of one gene for
 * tables. */
#include "core/data/dataset_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* Can the stored type hold what float32 cannot? */
static bool is_wide(const Matrix *m)
{
    const char *t = m->info.dtype;
    return strcmp(t, "float64") == 0 || strstr(t, "int32") || strstr(t, "int64");
}

/* Does float32 hold these values exactly? Whole numbers below 2^24 it does. */
static bool all_exact(const float *v, size_t n)
{
    for (size_t k = 0; k < n; k++)
        if (v[k] != floorf(v[k]) || fabsf(v[k]) >= 16777216.0f)
            return false;
    return true;
}

static Err sparse_values(Matrix *m, size_t row0, const Csr *block, double *out, bool *found)
{
    int64_t from = m->indptr[row0], to = m->indptr[row0 + block->rows];
    size_t n = (size_t)(to - from);
    int32_t *indices;
    *found = n == csr_nnz(block);
    if (!*found)
        return OK; /* duplicates were summed */
    TRY(NEW(indices, n));
    Err err = array_read_1d(m->indices, (uint64_t)from, n, MEM_I32, indices);
    *found = !err &&
             memcmp(indices, block->indices, n * sizeof *indices) == 0; /* else they were sorted */
    if (*found)
        err = array_read_1d(m->data, (uint64_t)from, n, MEM_F64, out);
    free(indices);
    return err;
}

/* rows x genes values of a dense matrix from this place on; the file may have genes x rows. */
static Err read_box(Matrix *m, size_t row0, size_t rows, size_t gene0, size_t genes, double *out)
{
    uint64_t start[2] = {row0, gene0}, count[2] = {rows, genes};
    if (!m->by_cells) {
        start[0] = gene0, start[1] = row0;
        count[0] = genes, count[1] = rows;
    }
    return array_read(m->data, start, count, MEM_F64, out);
}

static Err dense_values(Matrix *m, size_t row0, const Csr *block, double *out)
{
    double *box;
    size_t rows = block->rows, genes = m->file_genes;
    TRY(mem_check_budget((uint64_t)rows * genes * sizeof *box, m->info.name));
    TRY(NEW(box, rows * genes));
    Err err = read_box(m, row0, rows, 0, genes, box);
    for (size_t r = 0; r < rows && !err; r++)
        for (int64_t k = block->indptr[r]; k < block->indptr[r + 1]; k++) {
            size_t g = (size_t)block->indices[k];
            out[k] = box[m->by_cells ? r * genes + g : g * rows + r];
        }
    free(box);
    return err;
}

Err matrix_exact_values(Matrix *m, size_t row0, const Csr *block, double **out, bool *rounded)
{
    *out = NULL;
    *rounded = is_wide(m) && !all_exact(block->values, csr_nnz(block));
    bool known = (m->kind == MATRIX_DENSE || (m->kind == MATRIX_SPARSE && m->by_cells)) && !m->keep;
    if (!known || !*rounded)
        return OK;
    double *values;
    bool found = true;
    TRY(NEW(values, csr_nnz(block)));
    Err err = m->kind == MATRIX_DENSE ? dense_values(m, row0, block, values)
                                      : sparse_values(m, row0, block, values, &found);
    *rounded = !found;
    if (err || !found)
        free(values);
    else
        *out = values;
    return err;
}

/* ---- one gene ---- */

/* Entries from..to of a sparse matrix: by cells (row0 is the first) those of gene g are added to
 * out, by genes all of them. */
static Err add_entries(Matrix *m, int64_t from, int64_t to, size_t g, size_t row0, double *out)
{
    size_t n = (size_t)(to - from), row = row0;
    int32_t *indices = NULL;
    double *values = NULL;
    Err err = OK;
    TRY(mem_check_budget((uint64_t)n * 12, m->info.name));
    TRY_GOTO(NEW(indices, n));
    TRY_GOTO(NEW(values, n));
    TRY_GOTO(array_read_1d(m->indices, (uint64_t)from, n, MEM_I32, indices));
    TRY_GOTO(array_read_1d(m->data, (uint64_t)from, n, MEM_F64, values));
    for (size_t k = 0; k < n; k++) {
        while (m->by_cells && (int64_t)k + from >= m->indptr[row + 1])
            row++;
        if (!m->by_cells && (uint32_t)indices[k] < m->info.rows)
            out[indices[k]] += values[k];
        if (m->by_cells && indices[k] == (int32_t)g)
            out[row] += values[k];
    }
done:
    free(indices);
    free(values);
    return err;
}

static Err gene_of_sparse(Matrix *m, size_t g, JobCtl *ctl, double *out)
{
    TRY(matrix_load_indptr(m));
    if (!m->by_cells)
        return add_entries(m, m->indptr[g], m->indptr[g + 1], g, 0, out);
    size_t step = matrix_block_rows(m);
    for (size_t r = 0; r < m->info.rows; r += step) {
        size_t n = m->info.rows - r < step ? m->info.rows - r : step;
        TRY(add_entries(m, m->indptr[r], m->indptr[r + n], g, r, out));
        if (ctl)
            TRY(job_progress(ctl, atomic_load(&ctl->done)));
    }
    return OK;
}

Err dataset_read_gene_exact(Dataset *d, int matrix, size_t col, JobCtl *ctl, double *out)
{
    Matrix *m = &d->matrices[matrix];
    TRY(matrix_check(m)); /* before its size is believed */
    size_t rows = m->info.rows;
    float *v;
    TRY(NEW(v, rows));
    Err err = dataset_read_gene(d, matrix, col, ctl, v); /* finds what is damaged as well */
    bool exact = !err && all_exact(v, rows);
    for (size_t i = 0; i < rows && !err; i++)
        out[i] = v[i];
    free(v);
    if (err || exact || !is_wide(m))
        return err;
    size_t g = matrix_file_column(m, col);
    if (m->kind == MATRIX_DENSE)
        return read_box(m, 0, rows, g, 1, out);
    if (m->kind != MATRIX_SPARSE)
        return OK;
    memset(out, 0, rows * sizeof *out);
    return gene_of_sparse(m, g, ctl, out);
}
