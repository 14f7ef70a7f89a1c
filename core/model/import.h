/* Builds a bundle (parts.h) from public checkpoints. */
#ifndef SCMM_MODEL_IMPORT_H
#define SCMM_MODEL_IMPORT_H
#include "core/base/job.h"
#include "core/base/str.h"
#include "core/device/device.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IMPORT_LIGHTNING_MAX = 4 };
typedef struct ImportSpec {
    const char *scgpt, *bert, *llama, *adapter;  /* folders; NULL: none */
    const char *lightning[IMPORT_LIGHTNING_MAX]; /* files */
    int n_lightning;
    bool token_types;        /* a BERT alone keeps its first token type, as its publisher runs it */
    bool keep_adapter;       /* the adapter stays beside the weights it changes */
    bool from_parts;         /* a Q-Former that nobody trained is drawn from the seed */
    const char *cell_values; /* binned, raw, lognorm; NULL: by the rule */
    StoredType
        quantize; /* STORED_Q8, STORED_Q4: the language model's matrices; else as published */
    uint64_t seed;
    const char *out; /* the bundle's folder */
    bool force;
} ImportSpec;

typedef struct ImportRow {
    const char *status; /* matched, drawn, missing, unused */
    char *name, *shape, *source;
    const char *type;
} ImportRow;
typedef struct ImportReport {
    ImportRow *row;
    size_t n, cap;
} ImportReport;
/* ERR_MODEL names the file and the tensor that is missing or has another shape; the report then
 * holds what was found so far, and there is no output. */
CHECKED Err import_bundle(const ImportSpec *s, JobCtl *ctl, ImportReport *report);
void import_report_done(ImportReport *r);
#endif
