/* What rounding costs: the answers of a model beside those of the same model stored otherwise. */
#ifndef SCMM_MODEL_LM_COMPARE_H
#define SCMM_MODEL_LM_COMPARE_H
#include "core/model/lm.h"

typedef struct LmDifference {
    double logits;            /* rms difference over the rms spread of the reference's logits */
    double worst;             /* largest difference over the same */
    double divergence;        /* mean Kullback-Leibler divergence from the reference, nats */
    double agreement;         /* share of positions with the same most likely token */
    double perplexity, exact; /* of the tokens, by the model and by the reference */
} LmDifference;
/* m as it decodes (its own mode, read through the cache in stretches) against ref in float32, on
 * ids[n], n >= 2, below both vocabularies, which must be equal. */
CHECKED Err lm_compare(Lm *m, Lm *ref, const int32_t *ids, int64_t n, JobCtl *ctl,
                       LmDifference *out);
#endif
