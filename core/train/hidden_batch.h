/* Cells of which some genes are hidden, laid out for the encoder. Masked: hidden genes stay among
 * the known ones with the value -1. Apart: they are rows of their own, without a value. Rows are
 * padded to the longest cell. */
#ifndef SCMM_TRAIN_HIDDEN_BATCH_H
#define SCMM_TRAIN_HIDDEN_BATCH_H
#include "core/train/cell_stream.h"

typedef struct BatchSide {
    size_t width;
    int32_t *gene;  /* [b,width] -1 padding */
    float *value;   /* [b,width] what the encoder sees */
    float *target;  /* [b,width] */
    float *weight;  /* [b,width] 1 where the value is to be predicted */
    uint8_t *there; /* [b,width] */
} BatchSide;

typedef struct HiddenBatch {
    size_t b, most, tokens; /* cells, room for cells, tokens of a cell with <cls> */
    bool apart;
    BatchSide known;   /* <cls> first */
    BatchSide unknown; /* width 0 unless apart */
    uint8_t *visible;  /* [b, known.width + unknown.width] */
    int32_t *choice;   /* scratch */
} HiddenBatch;
CHECKED Err hidden_batch_init(size_t cells, size_t tokens, bool apart, HiddenBatch *b);
void hidden_batch_done(HiddenBatch *b);
/* Hides `ratio` of each cell's genes; of a cell with too many genes a random choice is taken. cls:
 * id of <cls>. Random numbers of cell i depend on (key, first + i). */
void hidden_batch_fill(HiddenBatch *b, const StreamCells *cells, int32_t cls, double ratio,
                       uint64_t key, uint64_t first);
/* The side whose values are predicted. */
const BatchSide *hidden_batch_side(const HiddenBatch *b);
/* How many values are predicted. */
double hidden_batch_count(const HiddenBatch *b);
#endif
