/* What the pickle machine knows of torch: the globals that may be named, and what calling them
 * gives. For pickle*.c only. */
#ifndef SCMM_MODEL_PICKLE_TORCH_H
#define SCMM_MODEL_PICKLE_TORCH_H
#include "core/model/pickle.h"

struct Pickle {
    PkValue *v;
    size_t n, cap;
    uint32_t root;
};

CHECKED Err pk_new(Pickle *o, PkKind kind, uint32_t *out);
CHECKED Err pk_append(Pickle *o, uint32_t container, uint32_t item);
/* The number of an allowed global; ERR_MODEL naming any other. */
CHECKED Err pk_global(const char *module, size_t n_module, const char *name, size_t n_name,
                      uint8_t *out);
/* Global(args). */
CHECKED Err pk_call(Pickle *o, uint8_t global, uint32_t args, uint32_t *out);
/* A persistent id. */
CHECKED Err pk_storage(Pickle *o, uint32_t id, uint32_t *out);
#endif
