/* AdamW with warm-up, cosine schedule and clipping of the global gradient norm. */
#ifndef SCMM_NN_ADAMW_H
#define SCMM_NN_ADAMW_H
#include "core/nn/params.h"

typedef struct AdamwParams {
    float lr, beta1, beta2, eps, decay; /* 2e-3, .9, .98, 1e-8, .01 */
    float clip_norm;                    /* 1.0; 0: off */
    int64_t warmup,
        total;   /* steps; lr rises linearly, then falls as a cosine to final*lr at total */
    float final; /* 0.03 */
} AdamwParams;
AdamwParams adamw_params_default(void);
/* The learning rate of step (from 1): lr*step/warmup, then cosine; total 0: constant after the
 * warm-up. */
float adamw_rate(const AdamwParams *p, int64_t step);
/* One step over all trainable parameters that have a gradient, then gradients are zeroed. step
 * counts from 1. norm (NULL ok) receives the norm before clipping. A norm that is not finite leaves
 * the parameters alone: ERR_GENERAL. */
CHECKED Err adamw_step(ParamSet *ps, const AdamwParams *p, int64_t step, double *norm);
#endif
