/* Sparse rows: allocation, transpose, row picking, and the repair of unsorted or duplicate entries.
 */
#include "core/data/csr.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

Err csr_init(Csr *m, size_t rows, size_t cols, size_t nnz)
{
    Csr made = {.rows = rows, .cols = cols};
    Err err = OK;
    TRY_GOTO(NEW0(made.indptr, rows + 1));
    TRY_GOTO(NEW(made.indices, nnz));
    TRY_GOTO(NEW(made.values, nnz));
    *m = made;
    return OK;
done:
    csr_done(&made);
    return err;
}

void csr_done(Csr *m)
{
    free(m->indptr);
    free(m->indices);
    free(m->values);
    *m = (Csr){0};
}

Err csr_transpose(const Csr *m, Csr *out)
{
    Csr t;
    assert(m->rows <= INT32_MAX);
    TRY(csr_init(&t, m->cols, m->rows, csr_nnz(m)));
    size_t nnz = csr_nnz(m);
    for (size_t k = 0; k < nnz; k++)
        t.indptr[m->indices[k] + 1]++;
    for (size_t c = 0; c < t.rows; c++)
        t.indptr[c + 1] += t.indptr[c];
    /* indptr[c] serves as the write cursor of column c, and is shifted back afterwards. */
    for (size_t r = 0; r < m->rows; r++)
        for (int64_t k = m->indptr[r]; k < m->indptr[r + 1]; k++) {
            int64_t at = t.indptr[m->indices[k]]++;
            t.indices[at] = (int32_t)r;
            t.values[at] = m->values[k];
        }
    memmove(t.indptr + 1, t.indptr, t.rows * sizeof *t.indptr);
    t.indptr[0] = 0;
    *out = t;
    return OK;
}

Err csr_take_rows(const Csr *m, const size_t *rows, size_t n, Csr *out)
{
    Csr t;
    size_t nnz = 0;
    for (size_t i = 0; i < n; i++) {
        assert(rows[i] < m->rows);
        nnz += (size_t)(m->indptr[rows[i] + 1] - m->indptr[rows[i]]);
    }
    TRY(csr_init(&t, n, m->cols, nnz));
    for (size_t i = 0; i < n; i++) {
        int64_t from = m->indptr[rows[i]], len = m->indptr[rows[i] + 1] - from, at = t.indptr[i];
        memcpy(t.indices + at, m->indices + from, (size_t)len * sizeof *t.indices);
        memcpy(t.values + at, m->values + from, (size_t)len * sizeof *t.values);
        t.indptr[i + 1] = at + len;
    }
    *out = t;
    return OK;
}

void csr_row_sums(const Csr *m, double *sums)
{
    for (size_t r = 0; r < m->rows; r++) {
        double s = 0;
        for (int64_t k = m->indptr[r]; k < m->indptr[r + 1]; k++)
            s += m->values[k];
        sums[r] = s;
    }
}

typedef struct Entry {
    int32_t col;
    int32_t order; /* keeps equal columns in file order, so that sums are the same everywhere */
    float value;
} Entry;

static int by_column(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    if (x->col != y->col)
        return x->col < y->col ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Sorts entries [from, to) of one row and writes them, duplicates summed, at `at`; returns the new
 * end. */
static Err tidy_row(Csr *m, int64_t from, int64_t to, int64_t at, int64_t *end)
{
    Entry *e;
    size_t n = (size_t)(to - from);
    TRY(NEW(e, n));
    for (size_t k = 0; k < n; k++)
        e[k] = (Entry){m->indices[from + (int64_t)k], (int32_t)k, m->values[from + (int64_t)k]};
    qsort(e, n, sizeof *e, by_column);
    for (size_t k = 0; k < n; k++) {
        if (k && e[k].col == e[k - 1].col) {
            m->values[at - 1] += e[k].value;
            continue;
        }
        m->indices[at] = e[k].col;
        m->values[at++] = e[k].value;
    }
    free(e);
    *end = at;
    return OK;
}

Err csr_tidy(Csr *m)
{
    int64_t at = 0;
    for (size_t r = 0; r < m->rows; r++) {
        int64_t from = m->indptr[r], to = m->indptr[r + 1];
        bool ascending = true;
        for (int64_t k = from + 1; k < to && ascending; k++)
            ascending = m->indices[k] > m->indices[k - 1];
        m->indptr[r] = at;
        if (!ascending) {
            TRY(tidy_row(m, from, to, at, &at));
            continue;
        }
        if (at != from) {
            memmove(m->indices + at, m->indices + from, (size_t)(to - from) * sizeof *m->indices);
            memmove(m->values + at, m->values + from, (size_t)(to - from) * sizeof *m->values);
        }
        at += to - from;
    }
    m->indptr[m->rows] = at;
    return OK;
}
