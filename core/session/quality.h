/* How good generated cells are, measured against the real cells of the session's file: the panel of
 * the explorer and uns/scmmgpt/quality. For session_*.c only. */
#ifndef SCMM_SESSION_QUALITY_H
#define SCMM_SESSION_QUALITY_H
#include "core/session/reference.h"

typedef struct QualityInput {
    const Reference *real;
    const int32_t *types; /* what the prompt means */
    size_t n_types;
    const Csr *cells[2]; /* generated, in the file's columns; [1] of the shuffled prompt, NULL: none */
    uint64_t seed;
} QualityInput;
/* prompt and shuffled_prompt are left NULL for the caller. Figures that cannot be had (no real cell
 * of the types, no counts) are NaN. */
CHECKED Err quality_measure(const ModelState *m, const QualityInput *in, JobCtl *ctl,
                            Quality **out);
#endif
