/* Writes float32 tensors as torch.save does: a zip of stored records, a pickle that makes an
 * OrderedDict of names and tensors. Sizes below 4 GiB. */
#ifndef SCMM_MODEL_TORCH_WRITE_H
#define SCMM_MODEL_TORCH_WRITE_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct TorchTensor {
    const char *name;
    int ndim;
    const int64_t *dim;
} TorchTensor;
/* Fills out[elements] with tensor i; called in order, once. */
typedef Err TorchFill(void *user, size_t i, float *out);
/* Into a temporary file beside path, renamed when whole. */
CHECKED Err torch_write(const char *path, const TorchTensor *t, size_t n, TorchFill *fill,
                        void *user);
#endif
