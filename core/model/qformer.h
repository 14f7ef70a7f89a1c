/* The Q-Former (Li et al. 2023): learned queries and text tokens share BERT layers; in every
 * `cross_every`-th layer the queries read the gene rows of the cell encoder through
 * cross-attention. */
#ifndef SCMM_MODEL_QFORMER_H
#define SCMM_MODEL_QFORMER_H
#include "core/model/bert.h"

typedef struct QformerConfig {
    int64_t width, layers, heads, ffn;
    int64_t cell_width;       /* of the gene rows */
    int64_t cross_every;      /* 2: layers 0, 2, 4, ... */
    int64_t vocab, positions; /* of the text embeddings; 0: no text tokens of its own */
    bool text_ffn;            /* text rows pass (needed for matching) */
    float eps;
} QformerConfig;

typedef struct QformerLayer {
    BertAttn self, cross;
    BertFfn query, text;
    bool has_cross;
} QformerLayer;

typedef struct Qformer {
    QformerConfig c;
    Param *word, *position;
    Norm norm;
    QformerLayer *layer;
} Qformer;

CHECKED Err qformer_init(ParamSet *ps, const char *prefix, const QformerConfig *c, uint64_t seed,
                         Qformer *q);
void qformer_done(Qformer *q);
/* Word and position embeddings of ids [B,T] (host) -> [B,T,C], before the first norm. */
Tensor *qformer_embed(Tape *t, const Qformer *q, const int32_t *ids, int64_t batch, int64_t tokens);
typedef struct QformerInput {
    Tensor *query;           /* [B,Q,C] or NULL */
    Tensor *text;            /* [B,T,C] or NULL */
    const int32_t *text_len; /* host [B]; NULL: all T */
    Tensor *genes;           /* [B,L,cell_width], with query */
    const Tensor *gene_len;  /* i32 [B] */
    const Tensor *gene_mask; /* u8 [B,L], 1 = visible; NULL: all within gene_len */
    const Tensor *self_mask; /* u8 [B,Q+T] likewise, of queries and text together; NULL */
    bool caption;            /* queries see queries only, text sees queries and older text */
} QformerInput;
/* Rows of both parts see each other. *query, *text receive the last hidden rows of the parts given.
 */
void qformer_forward(Tape *t, const Qformer *q, const QformerInput *in, Tensor **query,
                     Tensor **text);
#endif
