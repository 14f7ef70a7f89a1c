/* One gene for all cells. Rows-first files need a pass over the indices (scan.c); from the second
 * gene on small matrices are transposed and kept, large ones may have a copy by genes in the cache
 * (sidecar.h). */
#include "core/data/dataset_impl.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/mtx.h"
#include "core/data/recover.h"
#include "core/data/sidecar.h"

/* A transpose of this many values (64 MB) is kept in memory without asking. */
enum { SMALL_NNZ = 1 << 23 };

static void spread(const Csr *by_gene, size_t col, float *out)
{
    for (int64_t k = by_gene->indptr[col]; k < by_gene->indptr[col + 1]; k++)
        out[by_gene->indices[k]] += by_gene->values[k];
}

/* One pass over the values: less than a transpose, where one gene is all that is wanted. */
static void scan_memory(const Csr *c, size_t col, float *out)
{
    for (size_t r = 0; r < c->rows; r++)
        for (int64_t k = c->indptr[r]; k < c->indptr[r + 1]; k++)
            if ((size_t)c->indices[k] == col)
                out[r] += c->values[k];
}

static Err load_by_gene(Dataset *d, Matrix *m, JobCtl *ctl)
{
    if (m->by_gene.indptr)
        return OK;
    Csr all;
    TRY(matrix_read_rows(d, m, 0, m->info.rows, ctl, &all));
    Err err = csr_transpose(&all, &m->by_gene);
    csr_done(&all);
    return err;
}

size_t matrix_file_column(const Matrix *m, size_t col)
{
    size_t g = col;
    if (m->keep)
        for (g = 0; g < m->file_genes && m->keep[g] != (int32_t)col;)
            g++;
    return g;
}

static Err gene_of_dense(Matrix *m, size_t col, JobCtl *ctl, float *out)
{
    enum { STEP = 1 << 16 };
    size_t g = matrix_file_column(m, col);
    for (size_t r = 0; r < m->info.rows; r += STEP) {
        size_t n = m->info.rows - r < STEP ? m->info.rows - r : STEP;
        uint64_t start[2] = {r, g}, count[2] = {n, 1};
        if (!m->by_cells) {
            start[0] = g, start[1] = r;
            count[0] = 1, count[1] = n;
        }
        TRY(array_read(m->data, start, count, MEM_F32, out + r));
        if (ctl)
            TRY(job_progress(ctl, atomic_load(&ctl->done)));
    }
    return OK;
}

/* Stored by genes: the column is one run of the file. indptr is small, so only two entries are
 * read. */
static Err gene_of_csc(Matrix *m, size_t col, float *out)
{
    size_t g = matrix_file_column(m, col);
    int64_t ends[2], nnz = (int64_t)m->data->info.count;
    Err err = OK;
    int32_t *rows = NULL;
    float *values = NULL;
    TRY(array_read_1d(m->indptr_array, g, 2, MEM_I64, ends));
    if (ends[0] < 0 || ends[1] < ends[0] || ends[1] > nnz)
        FAIL(ERR_INPUT, "%s: column %zu runs from %lld to %lld of %lld; the file is damaged",
             m->indptr_array->path, g, (long long)ends[0], (long long)ends[1], (long long)nnz);
    size_t n = (size_t)(ends[1] - ends[0]);
    TRY(mem_check_budget((uint64_t)n * 8, m->info.name));
    TRY_GOTO(NEW(rows, n));
    TRY_GOTO(NEW(values, n));
    TRY_GOTO(array_read_1d(m->indices, (uint64_t)ends[0], n, MEM_I32, rows));
    TRY_GOTO(array_read_1d(m->data, (uint64_t)ends[0], n, MEM_F32, values));
    for (size_t k = 0; k < n; k++) {
        if ((uint32_t)rows[k] >= m->info.rows)
            FAIL_GOTO(ERR_INPUT, "%s: column %zu names row %d of %zu; the file is damaged",
                      m->indices->path, g, (int)rows[k], m->info.rows);
        out[rows[k]] += values[k];
    }
done:
    free(rows);
    free(values);
    return err;
}

static bool large(const Matrix *m)
{
    return m->kind == MATRIX_SPARSE && m->by_cells && m->info.nnz > SMALL_NNZ;
}

static Sidecar *sidecar(Dataset *d, Matrix *m)
{
    if (!m->sidecar_tried && large(m)) {
        m->sidecar_tried = true;
        m->sidecar = sidecar_open(d, m);
    }
    return m->sidecar;
}

bool matrix_cached_sums(Dataset *d, Matrix *m, double *out)
{
    return sidecar(d, m) && sidecar_read_sums(m->sidecar, out);
}

bool dataset_sidecar_wanted(Dataset *d, int matrix)
{
    Matrix *m = &d->matrices[matrix];
    return m->info.readable && large(m) && !sidecar(d, m);
}

Err dataset_sidecar_build(Dataset *d, int matrix, JobCtl *ctl)
{
    Matrix *m = &d->matrices[matrix];
    TRY(matrix_check(m));
    if (!large(m) || sidecar(d, m))
        return OK;
    TRY(sidecar_build(d, m, ctl));
    m->sidecar_tried = false;
    return OK;
}

Err matrix_read_gene(Dataset *d, Matrix *m, size_t col, JobCtl *ctl, float *out)
{
    memset(out, 0, m->info.rows * sizeof *out);
    if (m->kind == MATRIX_RECOVERED)
        return recovery_read_gene(d, m, col, ctl, out);
    if (m->kind == MATRIX_MTX)
        TRY(mtx_load(d, m, ctl));
    if (m->kind == MATRIX_SPILLED)
        return spill_read_gene(m, col, ctl, out);
    if (m->kind == MATRIX_DENSE)
        return gene_of_dense(m, col, ctl, out);
    if (m->kind == MATRIX_SPARSE && !m->by_cells)
        return gene_of_csc(m, col, out);
    if (m->kind == MATRIX_MEMORY && !m->gene_was_read) {
        m->gene_was_read = true;
        scan_memory(&m->mem, col, out);
        return OK;
    }
    if (m->gene_was_read && (m->kind == MATRIX_MEMORY || m->info.nnz <= SMALL_NNZ)) {
        TRY(load_by_gene(d, m, ctl));
        spread(&m->by_gene, col, out);
        return OK;
    }
    if (sidecar(d, m) && sidecar_read_gene(m->sidecar, col, out) == OK)
        return OK;
    memset(out, 0, m->info.rows * sizeof *out);
    m->gene_was_read = true;
    return matrix_scan_gene(m, matrix_file_column(m, col), ctl, out);
}
