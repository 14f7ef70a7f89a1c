/* Products of stored weights with many rows of x (prompts): x is laid out once for the kernel, the
 * weights are read once, in blocks of rows. */
#ifndef SCMM_GPU_CPU_PROMPT_H
#define SCMM_GPU_CPU_PROMPT_H
#include "gpu/cpu/cpu.h"

/* y[m,n] = x W^T with x rounded (STORED_FAST). False when no kernel of this processor gains by it,
 * and nothing was done. */
bool prompt_linear(Device *d, int64_t m, const float *x, const StoredWeight *w, float *y);
#endif
