/* Checkpoints as others publish them: safetensors (one file or shards with an index), PyTorch zip
 * and legacy pickle files. Files are mapped, tensors point into them; a tensor may be strided (a
 * transposed view) and may share its bytes with another (tied weights). */
#ifndef SCMM_MODEL_CKPT_H
#define SCMM_MODEL_CKPT_H
#include "core/model/safetensors.h"
#include <stdbool.h>

typedef struct CkTensor {
    const char *name; /* owned by the checkpoint */
    StType type;
    int ndim;
    int64_t dim[ST_MAX_DIMS], stride[ST_MAX_DIMS]; /* elements */
    size_t elements;
    bool contiguous;
    const void *data; /* first element, inside a mapping */
    const char *file; /* it came from */
} CkTensor;

typedef struct Ckpt Ckpt;
Ckpt *ckpt_new(void);
void ckpt_free(Ckpt *c); /* NULL ok */
/* Adds the tensors of a file; the format is told from its content. A name that is there already is
 * replaced. ERR_MODEL names the file and what is wrong. Nested dictionaries: "state_dict" (a
 * Lightning file), else the tensors at the top. */
CHECKED Err ckpt_add_file(Ckpt *c, const char *path);
/* Adds STEM.safetensors, or its shards by STEM.safetensors.index.json, or BIN.bin,
 * BIN.bin.index.json, the first that DIR has. */
CHECKED Err ckpt_add_folder(Ckpt *c, const char *dir, const char *stem, const char *bin);
size_t ckpt_count(const Ckpt *c);
const CkTensor *ckpt_at(const Ckpt *c, size_t i);
const CkTensor *ckpt_find(const Ckpt *c, const char *name); /* NULL */
/* Row-major float32 [elements]; the same without conversion (st_type_size each). */
void ckpt_read_f32(const CkTensor *t, float *out);
void ckpt_read_raw(const CkTensor *t, void *out);
/* "[512,1]" into buf. */
const char *ckpt_shape(const CkTensor *t, char *buf, size_t n);

/* For ckpt_*.c: keeps a mapping, adds a tensor (name copied, dims/strides/type/data set). */
typedef struct CkMap {
    uint8_t *data;
    size_t size;
} CkMap;
CHECKED Err ckpt_map(Ckpt *c, const char *path, CkMap *out);
CHECKED Err ckpt_put(Ckpt *c, const char *name, const CkTensor *t);
CHECKED Err ckpt_add_torch(Ckpt *c, const char *path, CkMap m);
#endif
