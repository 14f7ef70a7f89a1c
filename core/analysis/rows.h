/* Where the analysis reads cells from: a matrix in memory or in a file, all cells or some, as stored
 * or log-normalised. Rows stream in blocks, so that a file larger than memory goes through. */
#ifndef SCMM_ANALYSIS_ROWS_H
#define SCMM_ANALYSIS_ROWS_H
#include "core/data/csr.h"
#include "core/data/dataset.h"
#include <stdbool.h>

typedef struct Rows { /* all borrowed */
    size_t n, genes;
    const Csr *memory;  /* else: */
    Dataset *dataset;
    int matrix;
    const size_t *pick; /* [n] ascending row numbers of the matrix; NULL: all rows */
    bool normalize;     /* counts: scale each row to 10,000 and take log(1 + x) while reading */
} Rows;

Rows rows_of_csr(const Csr *m, bool normalize);
Rows rows_of_dataset(Dataset *d, int matrix, bool normalize);
/* Rows that fit one block: a few million values. */
size_t rows_block(const Rows *r);
/* Rows row0 .. row0+n-1 (n clipped by the caller); *out is initialised on OK. */
CHECKED Err rows_read(const Rows *r, size_t row0, size_t n, JobCtl *ctl, Csr *out);
/* All rows, restricted to the ascending columns cols[n_cols] (NULL: all), as one matrix. Reports the
 * rows done to ctl; fails with ERR_NOMEM before growing past the memory budget. */
CHECKED Err rows_gather(const Rows *r, const int32_t *cols, size_t n_cols, JobCtl *ctl, Csr *out);

/* csr_transpose by several threads, with a look at ctl every few million values; the same at any number of threads. */
CHECKED Err rows_transpose(const Csr *m, JobCtl *ctl, Csr *out);

/* In place: each row divided by its sum over 10,000, then log1p. Rows without counts stay zero. As
 * scanpy's normalize_total(target_sum=1e4) and log1p (1.11). */
void normalize_log1p(Csr *m);

/* How work over cells is cut so that sums come out the same at any number of threads: cell i belongs
 * to lane (i / LANE_CELLS) % LANES whatever the block it arrives in; each lane sums in order, then
 * lanes are added in order. */
enum { LANES = 16, LANE_CELLS = 64 };
#endif
