/* A bundle of imported parts behind model.h: its vocabulary, values, tokenizers and language model.
 * For model_*.c only. */
#ifndef SCMM_MODEL_IMPORTED_H
#define SCMM_MODEL_IMPORTED_H
#include "core/model/model_impl.h"
#include "core/model/parts.h"
#include "core/model/pipeline.h"
#include "core/model/tokenizer.h"

typedef struct Imported {
    Parts p;
    Pipeline pipe;
    int32_t *row; /* [genes] of the encoder's table */
    Tokenizer *words, *lm_words; /* lm_words: with the language model, when first needed */
} Imported;

bool imported_kind(const cJSON *config);
/* m->device and m->config are there; genes, shape and the one member are filled in. ERR_MODEL names
 * the part that cells and texts cannot do without. */
CHECKED Err imported_load(Model *m, const char *dir, JobCtl *ctl);
void imported_free(Imported *x); /* NULL ok */
size_t imported_parameters(const Imported *x);
/* ERR_MODEL when the bundle has a cell encoder alone: nothing can be compared with texts. */
CHECKED Err imported_need_texts(const Model *m);
/* Token ids of texts for the Q-Former, cut to `most`: *ids [n,*width] padded with 0, *len [n]. */
CHECKED Err imported_words(const Imported *x, const char *const *texts, size_t n, size_t most,
                           int32_t **ids, int32_t **len, size_t *width);
/* Genes as rows of the encoder's table, values, lengths of a batch into `in`. */
void imported_batch(const Imported *x, const CellTokens *cells, const size_t *pick, size_t at,
                    CellInput *in);
CHECKED Err imported_describe(Model *m, const DescribeSpec *s, JobCtl *ctl, DescribeResult *out);
CHECKED Err imported_generate(Model *m, const GenerateSpec *s, JobCtl *ctl, Csr *counts);
#endif
