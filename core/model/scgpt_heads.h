/* What scGPT's encoder is pre-trained with: two decoders of expression values and the way of
 * attending in which some genes of a cell are unknown ("generative", Cui et al. 2024). Names of
 * tensors as in the published checkpoint. */
#ifndef SCMM_MODEL_SCGPT_HEADS_H
#define SCMM_MODEL_SCGPT_HEADS_H
#include "core/model/scgpt.h"

typedef struct ScgptHeads {
    Linear gene0, gene2, gene4; /* decoder.fc: value from a gene's row */
    Linear query, inner;        /* mvc_decoder: value from the cell's row and the gene's name */
    Param *flag; /* [2,C] row 1 stands for the value of a gene that is to be predicted */
} ScgptHeads;
CHECKED Err scgpt_heads_init(ParamSet *ps, const char *prefix, const ScgptConfig *c, uint64_t seed,
                             ScgptHeads *h);

/* What the encoder knows of a gene by its name: gene i32 [B,T] -> [B,T,C]. */
Tensor *scgpt_gene_rows(Tape *t, const Scgpt *s, const Tensor *gene);
/* rows [B,T,C] -> values [B,T]. */
Tensor *scgpt_decode_rows(Tape *t, const ScgptHeads *h, Tensor *rows);
/* cell [B,C], genes [B,T,C] as scgpt_gene_rows gives them -> values [B,T]. */
Tensor *scgpt_decode_cell(Tape *t, const ScgptHeads *h, Tensor *cell, Tensor *genes);

typedef struct ScgptHidden {
    Tensor *known;   /* [B,P,C] */
    Tensor *unknown; /* [B,G,C] */
} ScgptHidden;
/* Genes with values (known_gene i32 [B,P], value f32 [B,P], <cls> first) and genes without
 * (unknown_gene i32 [B,G]). Known rows see known rows; an unknown row sees these and itself.
 * visible u8 [B,P+G]: 0 at padding. cell [B,C] or NULL: takes the place of the first row. */
ScgptHidden scgpt_forward_generative(Tape *t, const Scgpt *s, const ScgptHeads *h,
                                     const Tensor *known_gene, Tensor *value,
                                     const Tensor *unknown_gene, const Tensor *visible,
                                     Tensor *cell);
#endif
