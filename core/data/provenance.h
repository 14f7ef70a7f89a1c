/* Where a result comes from, written the same way into every kind of file. */
#ifndef SCMM_DATA_PROVENANCE_H
#define SCMM_DATA_PROVENANCE_H
#include "core/data/table.h"
#include "core/data/tree.h"
#include <cjson/cJSON.h>

/* Borrowed texts; NULL where it does not apply (empty in TSV and h5ad, null in JSON). */
typedef struct Provenance {
    const char *command, *version;
    const char *dataset_sha256, *model_sha256;
    uint64_t seed;
    const char *prompt;
    const char *genes_matched; /* "12,034 of 13,714" is for people; here: "12034" */
    const char *device;
    const char *matrix; /* what the model read and why: "X: the first ..." */
} Provenance;

/* The dict uns/scmmgpt. */
void provenance_to_tree(const Provenance *p, Tree *uns);
/* "# key: value" lines; call before the header. */
void provenance_to_table(const Provenance *p, Table *t);
cJSON *provenance_to_json(const Provenance *p); /* caller deletes */
#endif
