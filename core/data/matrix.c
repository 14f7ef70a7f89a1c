/* Expression matrices in files: what they are (describe), what their values look like (state), and
 * rows of them. The state comes from at most 64 places spread evenly over the stored values, 256
 * values each (dense: 32 rows): counts   all are whole numbers >= 0, and not all are 0 scaled some
 * are negative lognorm  not whole, largest below 25 (log1p of counts per 10,000 ends at 9.3, log2
 * of anything real below 25) unknown  anything else: counts per million, NaN or infinite values,
 * only zeros, nothing at all */
#include "core/data/dataset_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/mtx.h"
#include "core/data/parts.h"
#include "core/data/recover.h"
#include "core/data/sidecar.h"

void matrix_done(Matrix *m)
{
    free(m->info.name);
    free(m->error);
    sidecar_close(m->sidecar);
    array_close(m->data);
    array_close(m->indices);
    array_close(m->indptr_array);
    free(m->indptr);
    free(m->keep);
    free(m->mtx_path);
    if (m->kind == MATRIX_SPILLED)
        close(m->spill_fd);
    csr_done(&m->mem);
    free(m->gene_names);
    free(m->row_sums);
    csr_done(&m->window);
    csr_done(&m->by_gene);
}

Err matrix_check(const Matrix *m)
{
    if (!m->info.readable)
        FAIL(ERR_INPUT, "%s%s", m->error ? "" : m->info.name,
             m->error ? m->error : ": cannot be read");
    return OK;
}

/* ---- description ---- */

static Err open_part(Dataset *d, const char *path, const char *part, Array **out)
{
    char *p = path_join(path, part);
    Err err = store_open_array(d->store, p, out);
    free(p);
    if (!err && (*out)->info.rank != 1)
        err = err_set(ERR_INPUT, "%s/%s: has %d dimensions where one is expected", path, part,
                      (*out)->info.rank);
    return err;
}

static Err sparse_shape(Dataset *d, const char *path, Matrix *m, int64_t shape[2])
{
    size_t n = 0;
    TRY(store_attr_ints(d->store, path, "shape", shape, 2, &n));
    if (n != 2)
        TRY(store_attr_ints(d->store, path, "h5sparse_shape", shape, 2, &n));
    if (n != 2) { /* some writers leave it out */
        shape[0] = (int64_t)d->obs.n;
        shape[1] = (int64_t)m->var->n;
        dataset_warn(d, "%s: has no shape attribute; the lengths of obs and var are used", path);
    }
    if (shape[0] < 0 || shape[1] < 0 || shape[1] >= INT32_MAX)
        FAIL(ERR_INPUT, "%s: the shape %lld x %lld is impossible; the file is damaged", path,
             (long long)shape[0], (long long)shape[1]);
    return OK;
}

static Err describe_sparse(Dataset *d, const char *path, const char *format, Matrix *m)
{
    int64_t shape[2];
    TRY(sparse_shape(d, path, m, shape));
    TRY(open_part(d, path, "data", &m->data));
    TRY(open_part(d, path, "indices", &m->indices));
    TRY(open_part(d, path, "indptr", &m->indptr_array));
    m->kind = MATRIX_SPARSE;
    m->by_cells = strcmp(format, "csr") == 0;
    m->info.storage = m->by_cells ? "csr" : "csc";
    m->info.rows = (size_t)shape[0];
    m->info.cols = m->file_genes = (size_t)shape[1];
    m->info.nnz = (size_t)m->data->info.count;
    memcpy(m->info.dtype, m->data->info.dtype, sizeof m->info.dtype);
    if (m->indices->info.count != m->data->info.count)
        FAIL(ERR_INPUT, "%s: %llu indices but %llu values; the file is damaged or incomplete", path,
             (unsigned long long)m->indices->info.count, (unsigned long long)m->data->info.count);
    size_t major = m->by_cells ? m->info.rows : m->info.cols;
    if (m->indptr_array->info.count != major + 1)
        FAIL(ERR_INPUT,
             "%s/indptr: has %llu entries, %zu are expected; the file is damaged or incomplete",
             path, (unsigned long long)m->indptr_array->info.count, major + 1);
    return OK;
}

static Err describe_dense(Dataset *d, const char *path, Matrix *m)
{
    TRY(store_open_array(d->store, path, &m->data));
    const ArrayInfo *a = &m->data->info;
    if (a->rank != 2 || (a->cls != ELEM_INT && a->cls != ELEM_FLOAT && a->cls != ELEM_BOOL))
        FAIL(ERR_INPUT, "%s: is no matrix of numbers (%d dimensions, %s)", path, a->rank, a->dtype);
    m->kind = MATRIX_DENSE;
    m->by_cells = true;
    m->info.storage = "dense";
    m->info.rows = (size_t)a->shape[0];
    m->info.cols = m->file_genes = (size_t)a->shape[1];
    m->info.nnz = (size_t)a->count;
    memcpy(m->info.dtype, a->dtype, sizeof m->info.dtype);
    if (a->shape[1] >= INT32_MAX)
        FAIL(ERR_INPUT, "%s: has too many columns", path);
    return OK;
}

Err matrix_describe(Dataset *d, const char *path, Matrix *m)
{
    NodeKind kind = store_kind(d->store, path);
    if (kind == NODE_ARRAY) {
        TRY(describe_dense(d, path, m));
    } else if (kind == NODE_GROUP) {
        char *type = store_attr_text(d->store, path, "encoding-type");
        if (!type)
            type = store_attr_text(d->store, path, "h5sparse_format");
        bool csr = type && str_starts(type, "csr"), csc = type && str_starts(type, "csc");
        Err err = csr || csc ? describe_sparse(d, path, csr ? "csr" : "csc", m)
                             : err_set(ERR_INPUT, "%s: the encoding \"%s\" is not known here", path,
                                       type ? type : "none");
        free(type);
        TRY(err);
    } else if (kind == NODE_OUTSIDE) {
        FAIL(ERR_INPUT,
             "%s: is a link to another file, which is not followed "
             "without --allow-external, or to nothing",
             path);
    } else {
        FAIL(ERR_INPUT, "%s: is missing or unreadable", path);
    }
    if (m->info.rows != d->obs.n || m->info.cols != m->var->n)
        FAIL(ERR_INPUT, "%s: is %zu x %zu, but obs and var have %zu and %zu rows", path,
             m->info.rows, m->info.cols, d->obs.n, m->var->n);
    m->info.readable = true;
    return OK;
}

/* ---- state ---- */

void state_sample_add(StateSample *s, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double v = values[i];
        s->n++;
        if (!isfinite(v)) {
            s->bad = true;
            continue;
        }
        s->nonzero += v != 0;
        s->negative |= v < 0;
        s->fractional |= fabs(v - round(v)) >= 1e-6;
        if (v > s->max)
            s->max = v;
    }
}

MatrixState state_of_sample(const StateSample *s)
{
    if (s->negative)
        return STATE_SCALED;
    if (!s->nonzero || s->bad)
        return STATE_UNKNOWN;
    if (!s->fractional)
        return STATE_COUNTS;
    return s->max < 25 ? STATE_LOGNORM : STATE_UNKNOWN;
}

/* A few values; of chunks that are not packed only these. */
static Err read_few(Array *a, uint64_t at, uint64_t n, float *out)
{
    ArrayPart p;
    if (array_part(a, at, &p) && !p.packed && at - p.first + n <= p.n &&
        array_part_read(a, &p, at, n, MEM_F32, out))
        return OK;
    return array_read_1d(a, at, n, MEM_F32, out);
}

static Err sample_sparse(Matrix *m, StateSample *s)
{
    enum { PLACES = 64, RUN = 256 };
    float buffer[RUN];
    size_t nnz = (size_t)m->data->info.count;
    size_t places = m->data->info.chunk[0] ? 16 : PLACES; /* each place may unpack a chunk */
    if (nnz <= places * RUN) {
        for (size_t at = 0; at < nnz; at += RUN) {
            size_t n = nnz - at < RUN ? nnz - at : RUN;
            TRY(array_read_1d(m->data, at, n, MEM_F32, buffer));
            state_sample_add(s, buffer, n);
        }
        return OK;
    }
    for (size_t p = 0; p < places; p++) {
        TRY(read_few(m->data, (nnz - RUN) / (places - 1) * p, RUN, buffer));
        state_sample_add(s, buffer, RUN);
    }
    return OK;
}

static Err sample_dense(Matrix *m, StateSample *s)
{
    enum { PLACES = 32 };
    const uint64_t *shape = m->data->info.shape;
    uint64_t lines = shape[0], width = shape[1] < 4096 ? shape[1] : 4096;
    uint64_t places = lines < PLACES ? lines : PLACES;
    float *buffer;
    Err err = OK;
    TRY(NEW(buffer, width));
    for (uint64_t p = 0; p < places && !err; p++) {
        uint64_t start[2] = {places > 1 ? (lines - 1) * p / (places - 1) : 0, 0},
                 count[2] = {1, width};
        err = array_read(m->data, start, count, MEM_F32, buffer);
        if (!err)
            state_sample_add(s, buffer, width);
    }
    free(buffer);
    return err;
}

Err matrix_sample_state(Dataset *d, Matrix *m)
{
    StateSample s = {0};
    if (m->kind == MATRIX_SPARSE)
        TRY(sample_sparse(m, &s));
    else if (m->kind == MATRIX_DENSE)
        TRY(sample_dense(m, &s));
    else
        state_sample_add(&s, m->mem.values, csr_nnz(&m->mem));
    m->info.state = m->info.cols ? state_of_sample(&s) : STATE_UNKNOWN; /* all filtered out */
    if (s.bad)
        dataset_warn(d, "%s: holds NaN or infinite values", m->info.name);
    return OK;
}

/* ---- rows ---- */

size_t matrix_block_rows(const Matrix *m)
{
    size_t per_row = m->kind == MATRIX_DENSE ? m->file_genes * 4
                     : m->info.rows          ? m->info.nnz / m->info.rows * 8
                                             : 0;
    size_t rows = ((size_t)1 << 24) / (per_row + 64);
    return rows < 1 ? 1 : rows > 65536 ? 65536 : rows;
}

/* Reads and checks indptr once: ascending, within the data. A slice of a larger file may start
 * above 0. */
Err matrix_load_indptr(Matrix *m)
{
    if (m->indptr)
        return OK;
    size_t n = (size_t)m->indptr_array->info.count;
    const char *path = m->indptr_array->path;
    int64_t *p, nnz = (int64_t)m->data->info.count;
    TRY(array_read_all(m->indptr_array, n, MEM_I64, &p));
    int64_t base = p[0] > 0 && p[n - 1] - p[0] == nnz ? p[0] : 0;
    Err err = OK;
    for (size_t i = 0; i < n && !err; i++) {
        p[i] -= base;
        if (i && p[i] < p[i - 1])
            err =
                err_set(ERR_INPUT, "%s: decreasing at row %zu; the file is damaged, write it again",
                        path, i - 1);
        else if (p[i] < 0 || p[i] > nnz)
            err = err_set(ERR_INPUT,
                          "%s: entry %zu is %lld, but there are %lld values; the file is damaged",
                          path, i, (long long)p[i], (long long)nnz);
    }
    if (err) {
        free(p);
        return err;
    }
    m->indptr = p;
    return OK;
}

static Err check_index(const Matrix *m, int32_t index, size_t limit, size_t line)
{
    if (index >= 0 && (size_t)index < limit)
        return OK;
    FAIL(ERR_INPUT, "%s: %s %zu names %s %d of %zu; the file is damaged, write it again",
         m->indices->path, m->by_cells ? "row" : "column", line, m->by_cells ? "column" : "row",
         (int)index, limit);
}

/* Drops the columns that the feature filter leaves out. */
static void filter_columns(const Matrix *m, Csr *c)
{
    int64_t at = 0;
    for (size_t r = 0; r < c->rows; r++) {
        int64_t from = c->indptr[r], to = c->indptr[r + 1];
        c->indptr[r] = at;
        for (int64_t k = from; k < to; k++)
            if (m->keep[c->indices[k]] >= 0) {
                c->indices[at] = m->keep[c->indices[k]];
                c->values[at++] = c->values[k];
            }
    }
    c->indptr[c->rows] = at;
    c->cols = m->info.cols;
}

/* Indices of one row: 0 in order, 1 not in order, 2 some beyond the table. */
__attribute__((target_clones("avx2", "default"))) static int look_at_row(const int32_t *indices, int64_t n, int32_t limit)
{
    int beyond = n > 0 && (indices[0] < 0 || indices[0] >= limit), order = 0;
#pragma omp simd reduction(| : beyond, order)
    for (int64_t k = 1; k < n; k++) {
        beyond |= indices[k] < 0 || indices[k] >= limit;
        order |= indices[k] <= indices[k - 1];
    }
    return beyond ? 2 : order;
}

/* All indices within the table; *tidy: ascending in each row, none twice. */
static Err check_rows(const Matrix *m, const Csr *c, size_t row0, bool *tidy)
{
    int worst = 0;
#pragma omp parallel for schedule(static) reduction(max : worst)
    for (size_t r = 0; r < c->rows; r++) {
        int look = look_at_row(c->indices + c->indptr[r], c->indptr[r + 1] - c->indptr[r], (int32_t)m->file_genes);
        worst = look > worst ? look : worst;
    }
    *tidy = worst == 0;
    for (size_t r = 0; r < c->rows && worst == 2; r++)
        for (int64_t k = c->indptr[r]; k < c->indptr[r + 1]; k++)
            TRY(check_index(m, c->indices[k], m->file_genes, row0 + r));
    return OK;
}

static Err rows_of_csr(Matrix *m, size_t row0, size_t n, JobCtl *ctl, Csr *out)
{
    TRY(matrix_load_indptr(m));
    Csr c;
    Err err = OK;
    int64_t from = m->indptr[row0], to = m->indptr[row0 + n];
    TRY(mem_check_budget((uint64_t)(to - from) * 8, m->info.name));
    TRY(csr_init(&c, n, m->file_genes, (size_t)(to - from)));
    for (size_t r = 0; r <= n; r++)
        c.indptr[r] = m->indptr[row0 + r] - from;
    enum { STEP = 1 << 22 };
    for (int64_t at = from; at < to; at += STEP) {
        uint64_t len = (uint64_t)(to - at < STEP ? to - at : STEP);
        TRY_GOTO(array_read_parts(m->indices, (uint64_t)at, len, MEM_I32, c.indices + (at - from)));
        TRY_GOTO(job_look(ctl)); /* packed values take longest */
        TRY_GOTO(array_read_parts(m->data, (uint64_t)at, len, MEM_F32, c.values + (at - from)));
        if (ctl && to - from > STEP)
            TRY_GOTO(job_progress(ctl, atomic_load(&ctl->done)));
    }
    bool tidy = true;
    TRY_GOTO(check_rows(m, &c, row0, &tidy));
    if (m->keep)
        filter_columns(m, &c);
    if (!tidy)
        TRY_GOTO(csr_tidy(&c));
    *out = c;
    return OK;
done:
    csr_done(&c);
    return err;
}

/* Rows of a window kept from an earlier pass, or of a matrix in memory. */
static Err copy_rows(const Csr *m, size_t row0, size_t n, Csr *out)
{
    Csr c;
    int64_t from = m->indptr[row0];
    size_t nnz = (size_t)(m->indptr[row0 + n] - from);
    TRY(csr_init(&c, n, m->cols, nnz));
    for (size_t r = 0; r <= n; r++)
        c.indptr[r] = m->indptr[row0 + r] - from;
    if (nnz) {
        memcpy(c.indices, m->indices + from, nnz * sizeof *c.indices);
        memcpy(c.values, m->values + from, nnz * sizeof *c.values);
    }
    *out = c;
    return OK;
}

typedef struct ColumnBlock { /* stored columns col0..col1 of a CSC matrix */
    int32_t *rows;
    float *values;
    int64_t from;
    size_t col0, col1;
} ColumnBlock;

/* Calls visit for blocks of stored columns, in order; values are read only when asked. */
static Err each_column_block(Matrix *m, bool with_values, JobCtl *ctl,
                             Err (*visit)(Matrix *, const ColumnBlock *, void *), void *user)
{
    enum { STEP = 1 << 21 };
    Err err = OK;
    ColumnBlock b = {0};
    size_t cap = 0;
    for (size_t c0 = 0; c0 < m->file_genes; c0 = b.col1) {
        size_t c1 = c0 + 1;
        while (c1 < m->file_genes && m->indptr[c1 + 1] - m->indptr[c0] <= STEP)
            c1++;
        b.col0 = c0;
        b.col1 = c1;
        b.from = m->indptr[c0];
        size_t n = (size_t)(m->indptr[c1] - b.from);
        if (n > cap) {
            cap = n;
            TRY_GOTO(mem_realloc(&b.rows, cap, sizeof *b.rows));
            TRY_GOTO(mem_realloc(&b.values, cap, sizeof *b.values));
        }
        if (n)
            TRY_GOTO(array_read_1d(m->indices, (uint64_t)b.from, n, MEM_I32, b.rows));
        TRY_GOTO(job_look(ctl));
        if (n && with_values)
            TRY_GOTO(array_read_1d(m->data, (uint64_t)b.from, n, MEM_F32, b.values));
        TRY_GOTO(visit(m, &b, user));
        if (ctl)
            TRY_GOTO(job_progress(ctl, atomic_load(&ctl->done)));
    }
done:
    free(b.rows);
    free(b.values);
    return err;
}

static Err count_rows(Matrix *m, const ColumnBlock *b, void *user)
{
    int64_t *per_row = user;
    for (size_t c = b->col0; c < b->col1; c++)
        for (int64_t k = m->indptr[c] - b->from; k < m->indptr[c + 1] - b->from; k++) {
            if ((uint32_t)b->rows[k] >= m->info.rows)
                return check_index(m, b->rows[k], m->info.rows, c);
            if (!m->keep || m->keep[c] >= 0)
                per_row[b->rows[k]]++;
        }
    return OK;
}

static Err fill_rows(Matrix *m, const ColumnBlock *b, void *user)
{
    Csr *w = user; /* m->window: indptr[r] is the write cursor of row r */
    for (size_t c = b->col0; c < b->col1; c++) {
        int32_t col = m->keep ? m->keep[c] : (int32_t)c;
        for (int64_t k = m->indptr[c] - b->from; col >= 0 && k < m->indptr[c + 1] - b->from; k++) {
            size_t r = (size_t)b->rows[k] - m->window0;
            if ((size_t)b->rows[k] < m->window0 || r >= w->rows)
                continue;
            int64_t at = w->indptr[r]++;
            w->indices[at] = col;
            w->values[at] = b->values[k];
        }
    }
    return OK;
}

/* Transposes as many rows from row0 on as half of the memory budget holds (at least n) into
 * m->window. */
static Err load_window(Matrix *m, size_t row0, size_t n, JobCtl *ctl)
{
    TRY(matrix_load_indptr(m));
    Err err = OK;
    int64_t *per_row = NULL;
    Csr w = {0};
    csr_done(&m->window);
    TRY_GOTO(NEW0(per_row, m->info.rows + 1));
    TRY_GOTO(each_column_block(m, false, ctl, count_rows, per_row));
    uint64_t bound = mem_budget() / 2, bytes = 0;
    size_t rows = 0;
    if (m->info.nnz * 8 < bound)
        row0 = 0, n = m->info.rows;
    while (row0 + rows < m->info.rows &&
           (rows < n || bytes + (uint64_t)per_row[row0 + rows] * 8 < bound))
        bytes += (uint64_t)per_row[row0 + rows++] * 8;
    TRY_GOTO(mem_check_budget(bytes, m->info.name));
    TRY_GOTO(csr_init(&w, rows, m->info.cols, (size_t)bytes / 8));
    for (size_t r = 0; r + 1 < rows; r++)
        w.indptr[r + 1] = w.indptr[r] + per_row[row0 + r];
    m->window0 = row0;
    TRY_GOTO(each_column_block(m, true, ctl, fill_rows, &w));
    memmove(w.indptr + 1, w.indptr, rows * sizeof *w.indptr);
    w.indptr[0] = 0;
    TRY_GOTO(csr_tidy(&w));
    m->window = w;
    w = (Csr){0};
done:
    csr_done(&w);
    free(per_row);
    return err;
}

static Err rows_of_csc(Matrix *m, size_t row0, size_t n, JobCtl *ctl, Csr *out)
{
    if (!m->window.indptr || row0 < m->window0 || row0 + n > m->window0 + m->window.rows)
        TRY(load_window(m, row0, n, ctl));
    return copy_rows(&m->window, row0 - m->window0, n, out);
}

static Err rows_of_dense(Matrix *m, size_t row0, size_t n, Csr *out)
{
    size_t genes = m->file_genes, nnz = 0;
    uint64_t start[2] = {row0, 0}, count[2] = {n, genes};
    if (!m->by_cells) {
        start[0] = 0, start[1] = row0;
        count[0] = genes, count[1] = n;
    }
    size_t row_step = m->by_cells ? genes : 1, col_step = m->by_cells ? 1 : n;
    float *box = NULL;
    Csr c = {0};
    Err err = OK;
    TRY(mem_check_budget((uint64_t)n * genes * 12, m->info.name));
    TRY(NEW(box, n * genes));
    TRY_GOTO(array_read(m->data, start, count, MEM_F32, box));
    for (size_t i = 0; i < n * genes; i++)
        nnz += box[i] != 0;
    TRY_GOTO(csr_init(&c, n, m->info.cols, nnz));
    int64_t at = 0;
    for (size_t r = 0; r < n; r++) {
        for (size_t g = 0; g < genes; g++) {
            float v = box[r * row_step + g * col_step];
            int32_t col = m->keep ? m->keep[g] : (int32_t)g;
            if (v != 0 && col >= 0) {
                c.indices[at] = col;
                c.values[at++] = v;
            }
        }
        c.indptr[r + 1] = at;
    }
    *out = c;
    c = (Csr){0};
done:
    free(box);
    csr_done(&c);
    return err;
}

Err matrix_read_rows(Dataset *d, Matrix *m, size_t row0, size_t n, JobCtl *ctl, Csr *out)
{
    if (m->kind == MATRIX_MTX)
        TRY(mtx_load(d, m, ctl));
    if (m->kind == MATRIX_RECOVERED)
        return recovery_read_rows(d, m, row0, n, ctl, out);
    if (m->kind == MATRIX_SPILLED)
        return spill_read_rows(m, row0, n, out);
    if (m->kind == MATRIX_MEMORY)
        return copy_rows(&m->mem, row0, n, out);
    if (m->kind == MATRIX_DENSE)
        return rows_of_dense(m, row0, n, out);
    return m->by_cells ? rows_of_csr(m, row0, n, ctl, out) : rows_of_csc(m, row0, n, ctl, out);
}
