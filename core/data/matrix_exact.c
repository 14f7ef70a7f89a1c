/* Values of a block of rows as float64, for copies of matrices that float32 would round. */
#include "core/data/dataset_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* Does float32 hold these values exactly? Whole numbers below 2^24 it does. */
static bool single_is_exact(const Matrix *m, const Csr *block)
{
    const char *t = m->info.dtype;
    bool wide = strcmp(t, "float64") == 0 || strstr(t, "int32") || strstr(t, "int64");
    size_t nnz = csr_nnz(block);
    if (!wide)
        return true;
    for (size_t k = 0; k < nnz; k++)
        if (block->values[k] != floorf(block->values[k]) || fabsf(block->values[k]) >= 16777216.0f)
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

static Err dense_values(Matrix *m, size_t row0, const Csr *block, double *out)
{
    double *box;
    uint64_t start[2] = {row0, 0}, count[2] = {block->rows, m->file_genes};
    TRY(mem_check_budget(count[0] * count[1] * sizeof *box, m->info.name));
    TRY(NEW(box, count[0] * count[1]));
    Err err = array_read(m->data, start, count, MEM_F64, box);
    for (size_t r = 0; r < block->rows && !err; r++)
        for (int64_t k = block->indptr[r]; k < block->indptr[r + 1]; k++)
            out[k] = box[r * m->file_genes + (size_t)block->indices[k]];
    free(box);
    return err;
}

Err matrix_exact_values(Matrix *m, size_t row0, const Csr *block, double **out)
{
    *out = NULL;
    bool known = (m->kind == MATRIX_SPARSE || m->kind == MATRIX_DENSE) && m->by_cells && !m->keep;
    if (!known || single_is_exact(m, block))
        return OK;
    double *values;
    bool found = true;
    TRY(NEW(values, csr_nnz(block)));
    Err err = m->kind == MATRIX_DENSE ? dense_values(m, row0, block, values)
                                      : sparse_values(m, row0, block, values, &found);
    if (err || !found)
        free(values);
    else
        *out = values;
    return err;
}
