/* Layers: groups of parameters with the usual names, and the calls that use them. A layer borrows
 * its Params from the set. `prefix` is what stands before ".weight" and ".bias". */
#ifndef SCMM_NN_LAYERS_H
#define SCMM_NN_LAYERS_H
#include "core/nn/ops.h"
#include "core/nn/params.h"

typedef struct Linear {
    Param *w, *b; /* [out,in], [out]; b NULL without bias */
} Linear;
/* Adds PREFIX.weight (and PREFIX.bias); weights U(+-1/sqrt(in)) by (seed, name), bias 0. */
CHECKED Err linear_init(ParamSet *ps, const char *prefix, int64_t in, int64_t out, bool bias,
                        uint64_t seed, Linear *l);
Tensor *linear_forward(Tape *t, const Linear *l, Tensor *x, Act act);

typedef struct Norm {
    Param *gamma, *beta; /* beta NULL: RMSNorm */
    float eps;
} Norm;
CHECKED Err layernorm_init(ParamSet *ps, const char *prefix, int64_t width, float eps, Norm *n);
CHECKED Err rmsnorm_init(ParamSet *ps, const char *prefix, int64_t width, float eps, Norm *n);
Tensor *norm_forward(Tape *t, const Norm *n, Tensor *x);

/* PREFIX.weight [rows,width], N(0,sd). */
CHECKED Err embedding_init(ParamSet *ps, const char *prefix, int64_t rows, int64_t width, float sd,
                           uint64_t seed, Param **out);

/* ---- rotary positions (Llama) ---- */
typedef struct RopeScaling {
    enum { ROPE_PLAIN, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_LLAMA3 } kind;
    double factor, low_freq_factor, high_freq_factor;
    int64_t original_max, max_positions, length; /* length: of the whole sequence, for DYNAMIC */
} RopeScaling;
/* freq[dim/2] (host) = theta^(-2j/dim), scaled; scaling NULL: plain. */
void rope_frequencies(int64_t dim, double theta, const RopeScaling *scaling, float *freq);
#endif
