/* What a published cell encoder eats: a cell's values as its pre-training or fine-tuning saw them.
 *   raw      stored counts, at most the `most` largest (scMMGPT)
 *   binned   quantile bins 1..n_bins-1 of the cell's own non-zero values, then a random choice of
 *            `most` of them (scGPT)
 *   lognorm  log1p of counts per 10,000, chosen likewise
 *   valrank  a function of the value's rank in the cell (stage 2 of scMMGPT)
 * Random numbers come from the cell's content, so that a cell gives the same tokens in any file,
 * order and at any number of threads. */
#ifndef SCMM_MODEL_PIPELINE_H
#define SCMM_MODEL_PIPELINE_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CellValues { VALUES_RAW, VALUES_BINNED, VALUES_LOGNORM, VALUES_RANK } CellValues;
typedef struct Pipeline {
    CellValues kind;
    size_t most; /* gene tokens of a cell */
    int n_bins;  /* 51: edges are 50 quantiles */
} Pipeline;
/* "raw", "binned", "lognorm", "valrank"; false: none of them. */
bool pipeline_kind(const char *name, CellValues *out);
/* One cell: n stored values of mapped genes (gene -1: unknown, dropped) in column order; total: sum
 * of the row, unknown genes included; log: values are log1p of normalised counts. gene and value
 * are changed in place. Returns how many tokens stay. `room`: 2 n floats. */
size_t pipeline_apply(const Pipeline *p, int32_t *gene, float *value, size_t n, double total,
                      bool log, float *room);
/* The value at <cls> of a cell with n tokens. */
float pipeline_cls(const Pipeline *p, size_t n);
/* Bins of n positive values, as numpy's quantile and digitize give them; r[n] in [0,1) spreads ties
 * over the bins they span (NULL: the upper one). sorted: room for n. */
void pipeline_bin(const float *x, size_t n, int n_bins, const double *r, float *sorted,
                  float *code);
#endif
