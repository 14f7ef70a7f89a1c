/* Prompts with the cell types they ask for, and which cells answer them. */
#ifndef SCMM_EVAL_RETRIEVAL_H
#define SCMM_EVAL_RETRIEVAL_H
#include "core/model/celltypes.h"

typedef struct EvalPrompt {
    char *text;
    char **ids; /* [n_ids] Cell Ontology ids expected */
    size_t n_ids;
} EvalPrompt;
typedef struct EvalPrompts {
    EvalPrompt *v;
    size_t n;
} EvalPrompts;
/* Lines "prompt TAB ids [TAB anything]"; ids separated by blanks, commas or semicolons,
 * "CL:0000236" or "CL_0000236". Lines that begin with # and a first line "prompt TAB ..." are left
 * out. ERR_INPUT names the line. */
CHECKED Err eval_prompts_read(const char *path, EvalPrompts *out);
void eval_prompts_done(EvalPrompts *p); /* zeroed ok */

/* Which classes (CL ids, "" unknown) answer a prompt, relevant[k]: those that are an expected type
 * or a kind of it; when there is none, those that an expected type is a kind of (the file's labels
 * are then coarser than the question). Returns how many. */
size_t eval_relevant(const CellTypes *types, const EvalPrompt *p, const char *const *class_ids,
                     size_t k, uint8_t *relevant);
#endif
