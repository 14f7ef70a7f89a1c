/* Attention of projected queries q[B,Tq,W] into rows kv[B,Tk,C] through the key and value layers
 * (C -> W): op_attention(q, k(kv), v(kv)), computed the cheaper way. */
#ifndef SCMM_NN_CROSS_H
#define SCMM_NN_CROSS_H
#include "core/nn/layers.h"

Tensor *cross_attention(Tape *t, const Linear *k, const Linear *v, Tensor *q, Tensor *kv,
                        const AttnSpec *spec);
#endif
