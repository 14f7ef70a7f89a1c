/* What export*.c share. */
#ifndef SCMM_MODEL_EXPORT_IMPL_H
#define SCMM_MODEL_EXPORT_IMPL_H
#include "core/model/safetensors.h"
#include <cjson/cJSON.h>
#include <stdbool.h>

/* A tensor that says how another one is stored is none of its own. */
bool export_is_scale(const StFile *f, const StTensor *t);
/* BUNDLE/lm.safetensors to the file `to`; config, its config.json, is told the type. */
CHECKED Err export_lm_weights(const char *bundle, const char *to, cJSON *config);
#endif
