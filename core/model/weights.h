/* Parameters to and from safetensors files. */
#ifndef SCMM_MODEL_WEIGHTS_H
#define SCMM_MODEL_WEIGHTS_H
#include "core/model/safetensors.h"
#include "core/nn/params.h"

/* Fills every parameter of ps from the tensor PREFIX+name; ERR_MODEL naming the first that is
 * missing or of another shape. */
CHECKED Err weights_load(ParamSet *ps, const StFile *f, const char *prefix);
/* exact: float32. Otherwise small: matrices as int8 rows with a scale each, vectors float32. */
CHECKED Err weights_save(ParamSet *ps, StWriter *w, const char *prefix, bool exact);
/* The optimiser's moments, as PREFIX+name with ".m" and ".v"; parameters that have none are left
 * out. */
CHECKED Err weights_save_moments(ParamSet *ps, StWriter *w, const char *prefix);
CHECKED Err weights_load_moments(ParamSet *ps, const StFile *f, const char *prefix);
/* One float tensor of a file as a host array of `n` numbers (caller frees). */
CHECKED Err weights_read_array(const StFile *f, const char *name, size_t n, float **out);
#endif
