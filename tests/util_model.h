/* What tests of the model and its training share: tensors of golden files, runs of training. */
#ifndef SCMM_TESTS_UTIL_MODEL_H
#define SCMM_TESTS_UTIL_MODEL_H
#include "core/base/err.h"
#include "core/base/job.h"
#include "core/model/safetensors.h"

/* The tensor of that name; fails the test when there is none. */
const StTensor *need(const StFile *f, const char *name);
/* Its elements as float32; to be freed. */
float *floats(const StFile *f, const char *name);
/* Trains by the configuration of that name in the folder of util_folder.h, which holds the data too, into `out` there;
 * resume: NULL, or where the checkpoint lies. */
CHECKED Err train(const char *config, const char *out, const char *resume, JobCtl *ctl);
#endif
