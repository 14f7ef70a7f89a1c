/* Sparse rows: the form in which expression values travel through the program. */
#ifndef SCMM_DATA_CSR_H
#define SCMM_DATA_CSR_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* rows x cols; row i holds values[indptr[i] .. indptr[i+1]) at columns indices[...]; indptr[0] = 0.
 * As read by core/data: indices ascending and unique within a row, explicit zeros kept. */
typedef struct Csr {
    size_t rows, cols;
    int64_t *indptr;  /* [rows + 1] */
    int32_t *indices; /* [nnz] */
    float *values;    /* [nnz] */
} Csr;

/* Arrays of the given sizes; indptr zeroed. */
CHECKED Err csr_init(Csr *m, size_t rows, size_t cols, size_t nnz);
void csr_done(Csr *m); /* frees the arrays, zeroes *m; zeroed m ok */
static inline size_t csr_nnz(const Csr *m)
{
    return m->rows ? (size_t)m->indptr[m->rows] : 0;
}
/* The transpose (a counting pass; O(nnz + rows + cols)); *out is initialised. */
CHECKED Err csr_transpose(const Csr *m, Csr *out);
/* Rows picked in the given order (repeats allowed). */
CHECKED Err csr_take_rows(const Csr *m, const size_t *rows, size_t n, Csr *out);
/* Sum of each row's values, [rows]. */
void csr_row_sums(const Csr *m, double *sums);
/* Sorts each row by column and sums duplicate entries, in place; rows that are in order are only
 * looked at. */
CHECKED Err csr_tidy(Csr *m);
#endif
