/* From what a prompt means to what the generator is told: a weight for each anchor, an emphasis for
 * each gene, the library size. For session_*.c only. */
#ifndef SCMM_SESSION_AIM_H
#define SCMM_SESSION_AIM_H
#include "core/session/prompt.h"
#include "core/session/reference.h"

typedef struct Aim {
    size_t n_anchors;
    float *weights;  /* [anchors] sum 1 */
    float *emphasis; /* [model genes] */
    size_t n_types;
    int32_t *types; /* what the cells should be: the prompt's types of some weight */
} Aim;
/* ERR_NOT_FOUND when the prompt means nothing that the generator can write. */
CHECKED Err aim_new(ModelState *m, const PromptMatch *p, JobCtl *ctl, Aim *out);
void aim_done(Aim *a);
/* Median and spread of the logarithm of the library size of the real cells aimed at (of all where
 * they are few); both 0: unknown. */
void aim_size(const Aim *a, const Reference *r, const CellTypes *t, double *mean, double *sd);
#endif
