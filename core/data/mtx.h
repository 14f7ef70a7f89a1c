/* The text of a matrix.mtx, entry by entry, and matrices that are larger than the memory they may
 * take: those are sorted into rows in a file in the cache folder that has no name. Private to
 * core/data. */
#ifndef SCMM_DATA_MTX_H
#define SCMM_DATA_MTX_H
#include "core/data/dataset_impl.h"
#include "core/data/textfile.h"

typedef struct MtxEntry {
    uint64_t row, col; /* from 0 */
    float value;
} MtxEntry;

typedef struct MtxHead {
    uint64_t rows, cols, nnz; /* nnz: lines with an entry */
    uint64_t room;            /* the most entries that mtx_next gives: symmetric ones count twice */
    bool integer, pattern, dense, symmetric, skew;
    bool sample;       /* set by the caller: too few or too many lines are no error yet */
    uint64_t seen;     /* lines so far */
    MtxEntry mirrored; /* comes next, if is_mirrored */
    bool is_mirrored;
} MtxHead;

/* ---- mtx_text.c ---- */
/* The lines up to the first entry; sizes that cannot be true of the file fail. */
CHECKED Err mtx_head(const char *path, TextFile *t, MtxHead *h);
/* The next entry; *more is false at the end, which must come when the head says. */
CHECKED Err mtx_next(const char *path, TextFile *t, MtxHead *h, MtxEntry *e, bool *more);

/* ---- mtx.c ---- */
/* Cell and column (-1: filtered out) of an entry, checked against the matrix. */
CHECKED Err mtx_place(const Matrix *m, const MtxEntry *e, int32_t *cell, int32_t *col);
/* Triplets of rows row0..row1 to rows, tidied. */
CHECKED Err mtx_rows(size_t row0, size_t row1, size_t cols, const int32_t *cell, const int32_t *col,
                     const float *value, size_t n, JobCtl *ctl, Csr *out);

/* ---- mtx_spill.c ---- */
/* Sorts the matrix into a file, with at most `memory` bytes for entries; then m->kind is
 * MATRIX_SPILLED. */
CHECKED Err mtx_spill(Matrix *m, uint64_t memory, JobCtl *ctl);
CHECKED Err spill_read_rows(const Matrix *m, size_t row0, size_t n, Csr *out);
/* One column; adds to out. */
CHECKED Err spill_read_gene(const Matrix *m, size_t col, JobCtl *ctl, float *out);
#endif
