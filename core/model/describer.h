/* Cell to text, the networks: the projected queries of a cell and the names of its telling genes
 * stand before the words in a small Llama. Gene words are whole genes: their vectors are a
 * projection of the cell encoder's gene table, and the choice at each step is among all word tokens
 * and the genes of a given list (of the cell), so that no gene outside the list can be named. */
#ifndef SCMM_MODEL_DESCRIBER_H
#define SCMM_MODEL_DESCRIBER_H
#include "core/model/bpe.h"
#include "core/model/llama.h"
#include "core/model/stage1.h"

typedef struct DescriberConfig {
    LlamaConfig lm;
    int64_t queries, query_width, cell_width; /* of stage 1 */
    int64_t project;                          /* hidden width of llm_proj */
    int64_t prefix_genes;                     /* 12 */
} DescriberConfig;
CHECKED Err describer_config_read(const cJSON *o, DescriberConfig *c);
cJSON *describer_config_write(const DescriberConfig *c);
/* Its Llama as a config.json of transformers. */
cJSON *describer_lm_config(const DescriberConfig *c);

typedef struct Describer {
    DescriberConfig c;
    ParamSet *ps; /* owned */
    Llama lm;
    Linear fc1, fc2, gene;
} Describer;
CHECKED Err describer_init(Device *d, const DescriberConfig *c, uint64_t seed, Describer *x);
void describer_done(Describer *x);

/* query[B,Q,Dq] -> [B,Q,H]; gene vectors table rows [.., C] by index i32 (any shape) -> [..,H]. */
Tensor *describer_cell(Tape *t, const Describer *x, Tensor *query);
Tensor *describer_genes(Tape *t, const Describer *x, const Param *table, const Tensor *index);
/* Logits of hidden rows h[B,T,H] over words and genes[B,K,H]: [B,T,V+K]. */
Tensor *describer_logits(Tape *t, const Describer *x, Tensor *h, Tensor *genes);
#endif
