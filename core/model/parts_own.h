/* A bundle of this project as parts (parts.h): of several members the first, its text tower as the BERT, its
 * decoder's Llama as the language model. For parts*.c. */
#ifndef SCMM_MODEL_PARTS_OWN_H
#define SCMM_MODEL_PARTS_OWN_H
#include "core/model/describer.h"
#include "core/model/parts.h"

/* What the public layout has no place for. */
struct PartsOwn {
    Stage1 s; /* with the bag of genes and the text as one token of the matching head */
    TextTower *tower;
    Describer x;
    float *mean; /* [gene rows] of the corpus, 0 for the special ones */
};
/* config is DIR/config.json; p->d is there. */
CHECKED Err parts_own_open(const char *dir, const cJSON *config, bool with_parts, Parts *p);
void parts_own_done(struct PartsOwn *o); /* NULL ok */
/* Query rows [B,Q,W] before the first layer, for gene ids[B,L] and values (host); `used` [B,L]. */
Tensor *parts_own_start(Tape *t, const Parts *p, const PartsInput *in, const uint8_t *used);
#endif
