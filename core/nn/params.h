/* Parameters: named, persistent tensors on a device, their gradients and optimiser moments. A
 * Param's tensor goes straight into ops. Names are those of the checkpoint
 * ("encoder.layers.0.norm1.weight"). */
#ifndef SCMM_NN_PARAMS_H
#define SCMM_NN_PARAMS_H
#include "core/base/err.h"
#include "core/device/device.h"
#include "core/device/tensor.h"

typedef struct Param {
    Tensor t; /* &p->t is what ops take; t.grad is the gradient, NULL until the first backward */
    char *name;
    bool trainable;
    float decay;  /* multiplies the optimiser's weight decay; 0 for norms, biases, embeddings by
                     choice */
    float *m, *v; /* moments, made at the first optimiser step */
    PackedWeight *packed; /* made by params_pack(); dropped when the values change */
} Param;

typedef struct ParamSet ParamSet;

CHECKED Err params_new(Device *d, ParamSet **out);
void params_free(ParamSet *ps); /* NULL ok */
/* Parameters added from now on are not zeroed: every one will be loaded (zeroing touches all memory once more). */
void params_blank(ParamSet *ps);
Device *params_device(const ParamSet *ps);
/* Adds a float32 parameter of zeros; dims as in tape.h: TAPE_DIMS(ndim, ...). ERR_MODEL when the
 * name is taken. 1-D parameters start with decay 0, others with 1; trainable. The Param lives as
 * long as the set. */
CHECKED Err params_add(ParamSet *ps, const char *name, const int64_t *dims, Param **out);
/* NULL when there is none. */
Param *params_find(const ParamSet *ps, const char *name);
size_t params_count(const ParamSet *ps);
Param *params_at(const ParamSet *ps, size_t i); /* in order of addition */
int64_t params_elements(const ParamSet *ps, bool trainable_only);
/* Values from / to host float32 arrays of the parameter's size. */
CHECKED Err param_write(ParamSet *ps, Param *p, const float *values);
CHECKED Err param_read(ParamSet *ps, const Param *p, float *values);
CHECKED Err param_read_grad(ParamSet *ps, const Param *p,
                            float *values); /* zeros without a gradient */
CHECKED Err param_write_grad(ParamSet *ps, Param *p, const float *values);
/* Fills with the value / N(mean 0, sd) / U(-bound, bound), by (seed, name): independent of the
 * order of addition. */
CHECKED Err param_init_const(ParamSet *ps, Param *p, float value);
/* seed PARAMS_BLANK: stays as it is, for parameters that will be loaded (drawing ten million numbers takes a second). */
#define PARAMS_BLANK UINT64_MAX
CHECKED Err param_init_normal(ParamSet *ps, Param *p, float sd, uint64_t seed);
CHECKED Err param_init_uniform(ParamSet *ps, Param *p, float bound, uint64_t seed);
/* Sets trainable for every parameter whose name starts with prefix; returns how many. */
size_t params_set_trainable(ParamSet *ps, const char *prefix, bool trainable);
CHECKED Err params_zero_grad(ParamSet *ps);
/* Norm of all gradients of trainable parameters. */
CHECKED Err params_grad_norm(ParamSet *ps, double *norm);
/* Inference: prepares the 2-D parameters whose name starts with prefix for fast products (op_linear
 * uses the prepared form when the tape does not record). WEIGHT_F32 gives the same numbers up to
 * rounding; WEIGHT_BF16 and WEIGHT_INT8 are smaller and faster and stay near (stated in
 * gpu/README.md). On a device opened as "cpu:16" WEIGHT_F32 means WEIGHT_BF16. */
CHECKED Err params_pack(ParamSet *ps, const char *prefix, WeightForm form);
void params_unpack(ParamSet *ps);
#endif
