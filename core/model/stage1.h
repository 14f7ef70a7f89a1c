/* Stage 1 of the model, one member: cell encoder, Q-Former, projections to the space shared with
 * text, matching head. Used by training (recording tape) and by inference. */
#ifndef SCMM_MODEL_STAGE1_H
#define SCMM_MODEL_STAGE1_H
#include "core/model/qformer.h"
#include "core/model/scgpt.h"
#include <cjson/cJSON.h>

typedef struct Stage1Config {
    ScgptConfig cell;
    QformerConfig query; /* cell_width = cell.width */
    int64_t queries, proj;
    int64_t text_width;           /* of the text tower; 0 when text goes through the Q-Former */
    bool bag;                     /* bag-of-genes shortcut into the queries */
    bool match;                   /* matching head */
    bool caption;                 /* captioning head; text inside, the last word number is [DEC] */
    int64_t tokens, train_tokens; /* gene tokens of a cell */
} Stage1Config;
/* The small model of the recipe; `genes` genes. */
Stage1Config stage1_config_default(int64_t genes, int64_t text_width);
/* Members of a JSON object (names as written by stage1_config_write); missing ones keep their
 * value. */
CHECKED Err stage1_config_read(const cJSON *o, Stage1Config *c);
cJSON *stage1_config_write(const Stage1Config *c);

typedef struct Stage1 {
    Stage1Config c;
    ParamSet *ps; /* owned */
    Scgpt cell;
    Qformer qf;
    Param *query_tokens; /* [1,Q,C] */
    Norm ln_gene, bag_norm;
    Linear bag_proj, cell_proj, text_proj, gene_proj, match_text, match_head;
    Linear caption_dense; /* words come from the word embeddings, tied */
    Norm caption_norm;
    Param *caption_bias; /* [vocab] */
} Stage1;
CHECKED Err stage1_init(Device *d, const Stage1Config *c, uint64_t seed, Stage1 *s);
void stage1_done(Stage1 *s);

/* Host arrays of one batch: <cls> first. */
typedef struct CellInput {
    int64_t b, t;  /* cells, tokens with <cls> */
    int32_t *gene; /* [b,t], <cls> = vocab-1, padding -1 */
    float *value;  /* [b,t], <cls> -2, padding 0 */
    float *bag;    /* [b,t] (x - mean)/sqrt(tokens); 0 for <cls> and padding */
    int32_t *len;  /* [b] with <cls> */
} CellInput;
CHECKED Err cell_input_init(CellInput *in, int64_t b, int64_t t);
void cell_input_done(CellInput *in);
/* Fills row i with n tokens (gene numbers, x); mean [G] is the corpus mean of x. */
void cell_input_set(CellInput *in, int64_t i, const int32_t *gene, const float *x, size_t n,
                    const float *mean, int64_t vocab);

typedef struct CellOutput {
    Tensor *hidden; /* [B,T,C] last rows of the cell encoder */
    Tensor *cls;    /* [B,C] */
    Tensor *genes;  /* [B,T,C] what cross-attention reads: LN(hidden) */
    const Tensor *len;
    Tensor *start; /* [B,Q,C] query tokens with the bag */
    Tensor *query; /* [B,Q,C] last rows of the queries */
    Tensor *feat;  /* [B,Q,P] unit rows */
} CellOutput;
/* Query rows [B,Q,W] before the first layer: gene i32 [B,T], bag [B,T] as in CellInput (NULL where
 * the shape has none). */
Tensor *stage1_start(Tape *t, const Stage1 *s, const Tensor *gene, Tensor *bag);
CellOutput stage1_cells(Tape *t, const Stage1 *s, const CellInput *in);
/* raw[N,text_width] (text tower vectors) -> [N,P] unit rows. */
Tensor *stage1_texts(Tape *t, const Stage1 *s, Tensor *raw);
/* The paper's way: ids through the Q-Former's own layers, first token -> [B,P] unit rows. */
Tensor *stage1_texts_inside(Tape *t, const Stage1 *s, const int32_t *ids, const int32_t *len,
                            int64_t b, int64_t n);
/* Mean embedding of gene sets [N,K] (i32, negative: none) -> [N,P] unit rows. */
Tensor *stage1_gene_words(Tape *t, const Stage1 *s, const int32_t *genes, int64_t n, int64_t k);
/* What the matching head reads of a text: raw[B,text_width] as one token [B,1,W]. */
Tensor *stage1_text_token(Tape *t, const Stage1 *s, Tensor *raw);
/* Matching logits [B,2] of cell b with text b; class 1 = belongs together. raw[B,text_width], or
 * ids as above. */
Tensor *stage1_match(Tape *t, const Stage1 *s, const CellOutput *cells, Tensor *raw);
Tensor *stage1_match_inside(Tape *t, const Stage1 *s, const CellOutput *cells, const int32_t *ids,
                            const int32_t *len, int64_t n);
/* What comes next in the text of cell b: ids [B,n] (host, [DEC] first) -> logits [B,n,vocab].
 * Queries read the cell alone; a word sees the queries and the words up to itself. */
Tensor *stage1_caption(Tape *t, const Stage1 *s, const CellOutput *cells, const int32_t *ids,
                       const int32_t *len, int64_t n);
#endif
