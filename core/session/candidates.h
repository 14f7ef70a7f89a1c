/* The labels that cells may get, and what stands behind each: a type of the library, texts as vectors, marker genes. */
#ifndef SCMM_SESSION_CANDIDATES_H
#define SCMM_SESSION_CANDIDATES_H
#include "core/session/model_state.h"

typedef struct Candidates {
    size_t n, d;
    char **labels;      /* [n] as given, without repeats */
    char **texts;       /* [n] descriptions, "" */
    int32_t *type;      /* [n] library type or -1 */
    float *vec;         /* [2 n, d]: label alone, label's texts */
    size_t n_vec;       /* 2 n */
    float *raw;         /* [n, W] text tower's vector of the label */
    MarkerSet *markers; /* [n] */
    bool all_types;     /* the whole library */
} Candidates;
void candidates_done(Candidates *c);

/* Lists alone (no model): labels one a line with an optional description after a tab; blank lines and repeats are left
 * out. ERR_INPUT for an unreadable file, ERR_USAGE for an empty one. */
CHECKED Err candidates_read_labels(const char *path, Candidates *out);
CHECKED Err candidates_from_list(const char *const *labels, size_t n, Candidates *out);
/* Types, vectors and markers for listed labels; the file's markers must be there (model_state_evidence). */
CHECKED Err candidates_resolve(const ModelState *m, JobCtl *ctl, Candidates *c);
/* Every type of the library. */
CHECKED Err candidates_of_library(const ModelState *m, JobCtl *ctl, Candidates *out);
/* "CL:0000236" or "". */
const char *candidates_id(const ModelState *m, const Candidates *c, size_t i);
#endif
