/* A post-norm transformer layer as scGPT and BERT have it:
 * h = LN1(x + out(attention(x))), y = LN2(h + ff2(act(ff1(h)))). */
#ifndef SCMM_NN_ENCODER_H
#define SCMM_NN_ENCODER_H
#include "core/nn/layers.h"

typedef struct Encoder {
    const Linear *q, *k, *v; /* k, v NULL: q gives all three */
    const Linear *out, *ff1, *ff2;
    const Norm *norm1, *norm2; /* LayerNorm with one eps */
    Act act;
    float drop; /* of both sub-layers' results, while the tape records */
} Encoder;
/* n layers, one after the other: x[B,T,C] -> [B,T,C]; rows at padding (from spec->len on) are
 * unspecified. spec->heads is used. */
Tensor *encoder_forward(Tape *t, const Encoder *layer, int64_t n, Tensor *x, const AttnSpec *spec);
#endif
