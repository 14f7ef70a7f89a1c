/* The cell encoder: scGPT (Cui et al. 2024). A cell is a set of (gene, value) tokens behind <cls>;
 * no positions, post-norm transformer layers, value encoder on continuous values. */
#ifndef SCMM_MODEL_SCGPT_H
#define SCMM_MODEL_SCGPT_H
#include "core/nn/encoder.h"

typedef struct ScgptConfig {
    int64_t vocab; /* rows of the gene table, special tokens included */
    int64_t width, layers, heads, ffn;
} ScgptConfig;

typedef struct ScgptLayer {
    Linear qkv, out, ff1, ff2;
    Norm norm1, norm2;
} ScgptLayer;

typedef struct Scgpt {
    ScgptConfig c;
    Param *embedding; /* [vocab,width] */
    Norm enc_norm, value_norm;
    Linear value1, value2;
    ScgptLayer *layer;
    Param *bn_scale, *bn_shift; /* [width] batch norm of old checkpoints, folded; NULL: none */
    float drop; /* dropout while a tape records; 0 unless set */
} Scgpt;

/* Parameter names as in scGPT's checkpoints behind PREFIX. */
CHECKED Err scgpt_init(ParamSet *ps, const char *prefix, const ScgptConfig *c, uint64_t seed,
                       Scgpt *s);
void scgpt_done(Scgpt *s);
/* What enters the first layer: gene i32 [B,T], value f32 [B,T] -> [B,T,C]. */
Tensor *scgpt_input(Tape *t, const Scgpt *s, const Tensor *gene, Tensor *value);
/* gene i32 [B,T] (negative: padding), value f32 [B,T], len i32 [B] tokens in use, <cls> first ->
 * [B,T,C]. */
/* The same with a mask of one's own (spec->heads is set here). */
Tensor *scgpt_forward_masked(Tape *t, const Scgpt *s, const Tensor *gene, Tensor *value,
                             const AttnSpec *mask);
Tensor *scgpt_forward(Tape *t, const Scgpt *s, const Tensor *gene, Tensor *value,
                      const Tensor *len);
#endif
