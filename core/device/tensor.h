/* Tensor: a dense row-major array of up to four dimensions on a device. It owns nothing: its memory
 * belongs to the Tape (until tape_reset) or to a Param. Dimensions that are not used are 1. */
#ifndef SCMM_DEVICE_TENSOR_H
#define SCMM_DEVICE_TENSOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum DType { DTYPE_F32, DTYPE_I32, DTYPE_U8 } DType;

typedef struct Tensor {
    DType dtype;
    int ndim;
    int64_t dim[4];
    void *data;  /* device memory */
    float *grad; /* device memory, same shape; NULL until something flows back */
    bool needs_grad;
    struct Tensor *view_of; /* same memory and gradient under other dimensions, or NULL */
    struct Param *param;    /* the parameter this is, or NULL */
} Tensor;

static inline int64_t tensor_size(const Tensor *x)
{
    return x->dim[0] * x->dim[1] * x->dim[2] * x->dim[3];
}
/* Length of the last dimension, and the number of such rows. */
static inline int64_t tensor_cols(const Tensor *x)
{
    return x->ndim ? x->dim[x->ndim - 1] : 1;
}
static inline int64_t tensor_rows(const Tensor *x)
{
    int64_t c = tensor_cols(x);
    return c ? tensor_size(x) / c : 0;
}
static inline float *tensor_f32(const Tensor *x)
{
    return (float *)x->data;
}
static inline const int32_t *tensor_i32(const Tensor *x)
{
    return (const int32_t *)x->data;
}
static inline const uint8_t *tensor_u8(const Tensor *x)
{
    return (const uint8_t *)x->data;
}
#endif
