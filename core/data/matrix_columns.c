/* One gene for all cells. Rows-first files need a pass over the indices; small matrices are
 * transposed once and kept, large ones are scanned, or have a copy by genes in the cache
 * (sidecar.h). */
#include "core/data/dataset_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/data/sidecar.h"

/* A transpose of this many values (64 MB) is kept in memory without asking. */
enum { SMALL_NNZ = 1 << 23 };

static void spread(const Csr *by_gene, size_t col, float *out)
{
    for (int64_t k = by_gene->indptr[col]; k < by_gene->indptr[col + 1]; k++)
        out[by_gene->indices[k]] += by_gene->values[k];
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

static size_t file_column(const Matrix *m, size_t col)
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
    size_t g = file_column(m, col);
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
    size_t g = file_column(m, col);
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

/* ---- a pass over the indices ---- */

enum { SCAN = 1 << 20 }; /* entries at a time: 4 MB of indices */

typedef struct Scan {
    Matrix *m;
    int32_t gene;    /* column in the file */
    int fd, data_fd; /* >= 0: values lie plainly in the file (same process, page cache) */
    uint64_t offset, data_offset;
    int32_t *indices; /* [SCAN] */
    float *values;    /* [SCAN] */
    size_t row;       /* of the last hit */
    float *out;
} Scan;

static Err read_indices(Scan *s, int64_t at, size_t n)
{
    size_t done = 0, bytes = n * sizeof *s->indices;
    while (s->fd >= 0 && done < bytes) {
        ssize_t got = pread(s->fd, (char *)s->indices + done, bytes - done,
                            (off_t)(s->offset + (uint64_t)at * sizeof *s->indices + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    if (s->fd >= 0 && done == bytes)
        return OK;
    return array_read_1d(s->m->indices, (uint64_t)at, n, MEM_I32, s->indices);
}

/* Values [at, at+n) of the data; few single ones are fetched plainly, runs through the store. */
static Err add_hits(Scan *s, int64_t at, const uint32_t *hit, size_t n_hits)
{
    const Matrix *m = s->m;
    bool plain = s->data_fd >= 0;
    int64_t first = at + hit[0];
    if (!plain)
        TRY(array_read_1d(m->data, (uint64_t)first, hit[n_hits - 1] - hit[0] + 1, MEM_F32,
                          s->values));
    for (size_t i = 0; i < n_hits; i++) {
        int64_t k = at + hit[i];
        float v;
        if (plain && pread(s->data_fd, &v, sizeof v,
                           (off_t)(s->data_offset + (uint64_t)k * sizeof v)) != sizeof v)
            FAIL(ERR_INPUT, "%s: is cut short", m->data->path);
        if (!plain)
            v = s->values[k - first];
        while (s->row + 1 < m->info.rows && m->indptr[s->row + 1] <= k) /* rows only go up */
            s->row++;
        s->out[s->row] += v;
    }
    return OK;
}

/* Positions of the gene among n indices. Groups without it, nearly all, are passed over in a loop
 * that compilers turn into vector instructions. */
static size_t find_hits(const int32_t *indices, size_t n, int32_t gene, uint32_t *hit)
{
    enum { GROUP = 256 };
    size_t n_hits = 0;
    for (size_t at = 0; at < n; at += GROUP) {
        size_t end = at + GROUP < n ? at + GROUP : n;
        int any = 0;
        for (size_t k = at; k < end; k++)
            any |= indices[k] == gene;
        for (size_t k = at; any && k < end; k++)
            if (indices[k] == gene)
                hit[n_hits++] = (uint32_t)k;
    }
    return n_hits;
}

Err matrix_scan_gene(Matrix *m, size_t col, JobCtl *ctl, float *out)
{
    Scan s = {.m = m, .gene = (int32_t)file_column(m, col), .fd = -1, .data_fd = -1, .out = out};
    uint32_t *hit = NULL;
    Err err = OK;
    TRY(matrix_load_indptr(m));
    if (strcmp(m->indices->info.dtype, "int32") == 0)
        s.fd = array_raw_fd(m->indices, &s.offset);
    if (strcmp(m->data->info.dtype, "float32") == 0)
        s.data_fd = array_raw_fd(m->data, &s.data_offset);
    TRY_GOTO(NEW(s.indices, SCAN));
    TRY_GOTO(NEW(s.values, SCAN));
    TRY_GOTO(NEW(hit, SCAN));
    int64_t end = m->indptr[m->info.rows];
    job_stage(ctl, "looking for the gene", (size_t)end);
    for (int64_t at = m->indptr[0]; at < end; at += SCAN) {
        size_t n = end - at < SCAN ? (size_t)(end - at) : SCAN;
        TRY_GOTO(read_indices(&s, at, n));
        size_t n_hits = find_hits(s.indices, n, s.gene, hit);
        if (n_hits)
            TRY_GOTO(add_hits(&s, at, hit, n_hits));
        TRY_GOTO(job_progress(ctl, (size_t)at + n));
    }
done:
    free(s.indices);
    free(s.values);
    free(hit);
    return err;
}

/* ---- */

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
    if (m->kind == MATRIX_MTX)
        TRY(mtx_load(d, m, ctl));
    if (m->kind == MATRIX_DENSE)
        return gene_of_dense(m, col, ctl, out);
    if (m->kind == MATRIX_SPARSE && !m->by_cells)
        return gene_of_csc(m, col, out);
    if (m->info.nnz <= SMALL_NNZ || m->kind == MATRIX_MEMORY) {
        TRY(load_by_gene(d, m, ctl));
        spread(&m->by_gene, col, out);
        return OK;
    }
    if (sidecar(d, m) && sidecar_read_gene(m->sidecar, col, out) == OK)
        return OK;
    memset(out, 0, m->info.rows * sizeof *out);
    return matrix_scan_gene(m, col, ctl, out);
}
