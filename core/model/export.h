/* A bundle's parts under the names and in the files of the public programs.
 *   scgpt  best_model.pt, vocab.json, args.json: the cell encoder as scGPT loads it
 *   hf     the text encoder as a BERT folder of transformers, the language model as a Llama folder
 *          (lm/, or the folder itself where there is no BERT), all of stage 1 as torch tensors
 *          under the names of its Lightning files (stage1.safetensors) */
#ifndef SCMM_MODEL_EXPORT_H
#define SCMM_MODEL_EXPORT_H
#include "core/base/job.h"

typedef struct ExportSpec {
    const char *bundle;
    bool to_scgpt; /* else hf */
    int member;    /* of a bundle with several, 0-based */
    const char *out; /* a folder that does not exist, or is empty */
} ExportSpec;
/* ERR_MODEL names the part that the bundle does not have. */
CHECKED Err export_bundle(const ExportSpec *s, JobCtl *ctl);
#endif
