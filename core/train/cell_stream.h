/* Unlabelled cells from many files, for pre-training: never more than one window of blocks is in
 * memory, so a corpus may be as large as the disk. An epoch visits the blocks of all files in a
 * random order; cells are shuffled within a window of blocks. What stands at a position depends on
 * the seed and the position alone: a run goes on anywhere. */
#ifndef SCMM_TRAIN_CELL_STREAM_H
#define SCMM_TRAIN_CELL_STREAM_H
#include "core/base/job.h"
#include "core/model/genespace.h"
#include "core/model/pipeline.h"

typedef struct CellStreamSpec {
    char *const *file; /* [n_files] any format that the program reads */
    size_t n_files;
    const char *vocabulary; /* vocab.json; NULL: all genes of the files, sorted */
    Pipeline values;        /* `most` is not used: all known genes of a cell are given */
    double held_out;        /* share of the cells that never appear in the stream */
    uint64_t seed;
} CellStreamSpec;

typedef struct CellStream CellStream;
/* Opens every file once. ERR_INPUT names one without usable values, ERR_FEW_GENES one whose names
 * are not known. */
CHECKED Err cell_stream_open(const CellStreamSpec *spec, JobCtl *ctl, CellStream **out);
void cell_stream_close(CellStream *s); /* NULL ok */
const GeneSpace *cell_stream_genes(const CellStream *s);
size_t cell_stream_cells(const CellStream *s); /* in an epoch */
size_t cell_stream_held_out(const CellStream *s);
/* Names the data for a checkpoint: paths, sizes of the matrices. */
const char *cell_stream_identity(const CellStream *s);

typedef struct StreamCells { /* genes and values of cell i: first[i] .. first[i+1]-1 */
    size_t n, cap, nnz_cap;
    int64_t *first;
    int32_t *gene;
    float *value;
} StreamCells;
void stream_cells_done(StreamCells *c);
/* The cells at position .. position+n-1 of the endless stream, in place of what *out held. */
CHECKED Err cell_stream_read(CellStream *s, uint64_t position, size_t n, JobCtl *ctl,
                             StreamCells *out);
/* The first n (or fewer) of the cells kept apart. */
CHECKED Err cell_stream_read_held_out(CellStream *s, size_t n, JobCtl *ctl, StreamCells *out);
#endif
