/* Reading rows in blocks, and normalising them on the way; columns as rows. */
#include "core/analysis/rows.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

Rows rows_of_csr(const Csr *m, bool normalize)
{
    return (Rows){.n = m->rows, .genes = m->cols, .memory = m, .normalize = normalize};
}

Rows rows_of_dataset(Dataset *d, int matrix, bool normalize)
{
    const MatrixInfo *info = dataset_matrix(d, (size_t)matrix);
    return (Rows){.n = info->rows, .genes = info->cols, .dataset = d, .matrix = matrix,
                  .normalize = normalize};
}

size_t rows_block(const Rows *r)
{
    /* About two million values: 50 ms of reading, whatever the density. */
    double per_row = (double)r->genes * 0.05;
    if (r->memory && r->memory->rows)
        per_row = (double)csr_nnz(r->memory) / (double)r->memory->rows;
    else if (r->dataset) {
        const MatrixInfo *info = dataset_matrix(r->dataset, (size_t)r->matrix);
        per_row = (double)info->nnz / (double)(info->rows ? info->rows : 1);
    }
    size_t lanes = (size_t)(2e6 / (per_row + 1.0)) / LANE_CELLS;
    if (lanes < 1)
        lanes = 1;
    if (lanes > 1024)
        lanes = 1024;
    return lanes * LANE_CELLS;
}

/* log1p(c * 10000 / total) for the small counts that make up most of a row is computed once. */
enum { SMALL_COUNTS = 32 };

/* Four sums side by side: a single one would wait for each addition. */
static double sum_of(const float *v, int64_t n)
{
    double a = 0, b = 0, c = 0, d = 0;
    int64_t k = 0;
    for (; k + 4 <= n; k += 4) {
        a += v[k];
        b += v[k + 1];
        c += v[k + 2];
        d += v[k + 3];
    }
    for (; k < n; k++)
        a += v[k];
    return (a + b) + (c + d);
}

static void normalize_row(float *v, int64_t n)
{
    double total = sum_of(v, n);
    if (!(total > 0))
        return;
    float factor = (float)(total / 1e4), table[SMALL_COUNTS];
    for (int c = 0; c < SMALL_COUNTS; c++)
        table[c] = -1;
    for (int64_t i = 0; i < n; i++) {
        int c = v[i] >= 0 && v[i] < SMALL_COUNTS ? (int)v[i] : -1;
        if (c < 0 || (float)c != v[i]) {
            v[i] = log1pf(v[i] / factor);
            continue;
        }
        if (table[c] < 0)
            table[c] = log1pf((float)c / factor);
        v[i] = table[c];
    }
}

void normalize_log1p(Csr *m)
{
#pragma omp parallel for schedule(dynamic, 64)
    for (size_t i = 0; i < m->rows; i++)
        normalize_row(m->values + m->indptr[i], m->indptr[i + 1] - m->indptr[i]);
}

/* Rows first .. first+n-1 of the matrix itself. */
static Err read_range(const Rows *r, size_t first, size_t n, JobCtl *ctl, Csr *out)
{
    if (r->dataset)
        return dataset_read_rows(r->dataset, r->matrix, first, n, ctl, out);
    const Csr *m = r->memory;
    int64_t begin = m->indptr[first], nnz = m->indptr[first + n] - begin;
    TRY(csr_init(out, n, m->cols, (size_t)nnz));
    for (size_t i = 0; i <= n; i++)
        out->indptr[i] = m->indptr[first + i] - begin;
    memcpy(out->indices, m->indices + begin, (size_t)nnz * sizeof *out->indices);
    memcpy(out->values, m->values + begin, (size_t)nnz * sizeof *out->values);
    return OK;
}

/* Appends the rows of b to a (same columns). */
static Err append(Csr *a, const Csr *b)
{
    size_t na = csr_nnz(a), nb = csr_nnz(b);
    TRY(mem_realloc(&a->indptr, a->rows + b->rows + 1, sizeof *a->indptr));
    TRY(mem_realloc(&a->indices, na + nb, sizeof *a->indices));
    TRY(mem_realloc(&a->values, na + nb, sizeof *a->values));
    for (size_t i = 0; i <= b->rows; i++)
        a->indptr[a->rows + i] = (int64_t)na + b->indptr[i];
    memcpy(a->indices + na, b->indices, nb * sizeof *a->indices);
    memcpy(a->values + na, b->values, nb * sizeof *a->values);
    a->rows += b->rows;
    return OK;
}

/* Picked rows: runs of near neighbours are read together and the wanted ones taken. */
static Err read_picked(const Rows *r, size_t row0, size_t n, JobCtl *ctl, Csr *out)
{
    Err err = OK;
    Csr all = {0}, run = {0}, taken = {0};
    size_t *local = NULL;
    TRY_GOTO(csr_init(&all, 0, r->genes, 0));
    TRY_GOTO(NEW(local, n ? n : 1));
    for (size_t i = 0; i < n;) {
        size_t first = r->pick[row0 + i], j = i;
        while (j < n && r->pick[row0 + j] - first < 4 * (j - i + 16))
            local[j - i] = r->pick[row0 + j] - first, j++;
        TRY_GOTO(read_range(r, first, local[j - i - 1] + 1, ctl, &run));
        TRY_GOTO(csr_take_rows(&run, local, j - i, &taken));
        TRY_GOTO(append(&all, &taken));
        csr_done(&run);
        csr_done(&taken);
        i = j;
    }
    *out = all;
    all = (Csr){0};
done:
    csr_done(&all);
    csr_done(&run);
    csr_done(&taken);
    free(local);
    return err;
}

Err rows_read(const Rows *r, size_t row0, size_t n, JobCtl *ctl, Csr *out)
{
    Csr m;
    TRY(r->pick ? read_picked(r, row0, n, ctl, &m) : read_range(r, row0, n, ctl, &m));
    if (r->normalize)
        normalize_log1p(&m);
    *out = m;
    return OK;
}

/* Keeps the entries whose column has map[col] >= 0, renumbered, in place. */
static void keep_columns(Csr *m, const int32_t *map, size_t n_cols)
{
    int64_t k = 0, begin = 0;
    for (size_t i = 0; i < m->rows; i++) {
        int64_t end = m->indptr[i + 1];
        for (int64_t j = begin; j < end; j++)
            if (map[m->indices[j]] >= 0) {
                m->indices[k] = map[m->indices[j]];
                m->values[k++] = m->values[j];
            }
        begin = end;
        m->indptr[i + 1] = k;
    }
    m->cols = n_cols;
}

/* Room for `more` values: grows by half, or to the size expected from the rows so far. */
static Err make_room(Csr *m, size_t more, size_t rows_total, size_t *capacity)
{
    size_t used = csr_nnz(m);
    if (used + more <= *capacity)
        return OK;
    size_t want = used + more;
    if (m->rows)
        want = (size_t)(1.05 * (double)used / (double)m->rows * (double)rows_total) + more;
    if (want < used + more)
        want = used + more;
    TRY(mem_check_budget((want - *capacity) * 8, "the matrix of variable genes"));
    TRY(mem_realloc(&m->indices, want, sizeof *m->indices));
    TRY(mem_realloc(&m->values, want, sizeof *m->values));
    *capacity = want;
    return OK;
}

Err rows_gather(const Rows *r, const int32_t *cols, size_t n_cols, JobCtl *ctl, Csr *out)
{
    Err err = OK;
    Csr all = {0}, block = {0};
    int32_t *map = NULL;
    size_t capacity = 0, step = rows_block(r);
    if (cols) {
        TRY_GOTO(NEW(map, r->genes));
        memset(map, 0xff, r->genes * sizeof *map);
        for (size_t i = 0; i < n_cols; i++)
            map[cols[i]] = (int32_t)i;
    }
    TRY_GOTO(csr_init(&all, r->n, cols ? n_cols : r->genes, 0));
    all.rows = 0;
    for (size_t row = 0; row < r->n; row += step) {
        size_t n = r->n - row < step ? r->n - row : step;
        TRY_GOTO(job_progress(ctl, row));
        TRY_GOTO(rows_read(r, row, n, ctl, &block));
        if (map)
            keep_columns(&block, map, n_cols);
        size_t have = csr_nnz(&all), more = csr_nnz(&block);
        TRY_GOTO(make_room(&all, more, r->n, &capacity));
        memcpy(all.indices + have, block.indices, more * sizeof *all.indices);
        memcpy(all.values + have, block.values, more * sizeof *all.values);
        for (size_t i = 0; i <= n; i++)
            all.indptr[row + i] = (int64_t)have + block.indptr[i];
        all.rows = row + n;
        csr_done(&block);
    }
    TRY_GOTO(job_progress(ctl, r->n));
    *out = all;
    all = (Csr){0};
done:
    csr_done(&all);
    csr_done(&block);
    free(map);
    return err;
}

/* ---- transposing ---- */

enum { TRANSPOSE_VALUES = 1 << 20 }; /* in a block of rows: some 10 ms, into fresh memory 60 */

typedef struct Transpose {
    const Csr *m;
    Csr t;
    int threads;
    int64_t *at; /* [threads, columns]: where each thread's next value of a column goes */
} Transpose;

/* Rows of thread i of a block. */
static size_t share(size_t first, size_t end, int i, int threads)
{
    return first + (end - first) * (size_t)i / (size_t)threads;
}

/* Counts the values of each column in the block by thread, then turns the counts into places. */
static void place_block(Transpose *x, size_t first, size_t end)
{
    size_t cols = x->m->cols;
#pragma omp parallel for schedule(static, 1) num_threads(x->threads)
    for (int i = 0; i < x->threads; i++) {
        int64_t *at = x->at + (size_t)i * cols;
        memset(at, 0, cols * sizeof *at);
        for (int64_t k = x->m->indptr[share(first, end, i, x->threads)];
             k < x->m->indptr[share(first, end, i + 1, x->threads)]; k++)
            at[x->m->indices[k]]++;
    }
#pragma omp parallel for schedule(static) num_threads(x->threads)
    for (size_t c = 0; c < cols; c++)
        for (int i = 0; i < x->threads; i++) {
            int64_t count = x->at[(size_t)i * cols + c];
            x->at[(size_t)i * cols + c] = x->t.indptr[c];
            x->t.indptr[c] += count;
        }
}

static void fill_block(Transpose *x, size_t first, size_t end)
{
    const Csr *m = x->m;
#pragma omp parallel for schedule(static, 1) num_threads(x->threads)
    for (int i = 0; i < x->threads; i++) {
        int64_t *at = x->at + (size_t)i * m->cols;
        for (size_t r = share(first, end, i, x->threads); r < share(first, end, i + 1, x->threads); r++)
            for (int64_t k = m->indptr[r]; k < m->indptr[r + 1]; k++) {
                int64_t to = at[m->indices[k]]++;
                x->t.indices[to] = (int32_t)r;
                x->t.values[to] = m->values[k];
            }
    }
}

/* The block of rows that begins at `first`. */
static size_t block_end(const Csr *m, size_t first)
{
    size_t end = first;
    while (end < m->rows && m->indptr[end] - m->indptr[first] < TRANSPOSE_VALUES)
        end++;
    return end;
}

Err rows_transpose(const Csr *m, JobCtl *ctl, Csr *out)
{
    Err err = OK;
    Transpose x = {.m = m, .threads = omp_get_max_threads()};
    while (x.threads > 1 && (size_t)x.threads * m->cols > csr_nnz(m) + 1)
        x.threads--;
    TRY(csr_init(&x.t, m->cols, m->rows, csr_nnz(m)));
    TRY_GOTO(NEW(x.at, (size_t)x.threads * m->cols));
    for (size_t first = 0, end; first < m->rows; first = end) { /* first how many, then where */
        end = block_end(m, first);
        place_block(&x, first, end);
        TRY_GOTO(job_look(ctl));
    }
    for (size_t c = 0, before = 0; c < m->cols; c++) {
        size_t count = (size_t)x.t.indptr[c];
        x.t.indptr[c] = (int64_t)before;
        before += count;
    }
    for (size_t first = 0, end; first < m->rows; first = end) {
        end = block_end(m, first);
        place_block(&x, first, end);
        fill_block(&x, first, end);
        TRY_GOTO(job_look(ctl));
    }
    memmove(x.t.indptr + 1, x.t.indptr, m->cols * sizeof *x.t.indptr); /* ends become beginnings */
    x.t.indptr[0] = 0;
    *out = x.t;
    x.t = (Csr){0};
done:
    csr_done(&x.t);
    free(x.at);
    return err;
}
