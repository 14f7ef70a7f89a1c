/* A bundle imported from public parts: any of cell encoder, Q-Former with its heads, BERT, language
 * model with projector and expression decoder. Every part keeps the names and shapes of the public
 * checkpoints and is computed as published, in float32. Files: config.json ("kind": "parts"),
 * model.safetensors, lm.safetensors, vocab.json, tokenizer files, MODEL_CARD.md, SHA256SUMS. */
#ifndef SCMM_MODEL_PARTS_H
#define SCMM_MODEL_PARTS_H
#include "core/model/bert.h"
#include "core/model/lm.h"
#include "core/model/qformer.h"
#include "core/model/scgpt.h"
#include <cjson/cJSON.h>

typedef enum SentencePool { SENTENCE_NONE, SENTENCE_MEAN, SENTENCE_FIRST } SentencePool;
typedef struct PartsConfig {
    bool cell, cell_bn, query, text, heads, match, caption, projector, expr, lm;
    bool untied; /* while importing: an adapter parted a table that both ends of lm shared */
    ScgptConfig c;
    int64_t pad, cls; /* gene ids */
    QformerConfig q;
    int64_t queries, proj; /* query rows; width of the shared space */
    BertConfig t;
    SentencePool text_pool; /* how t makes a vector of a text; NONE: nobody said */
    bool text_unit;         /* ... to unit length */
    int64_t text_tokens;    /* ... of at most so many tokens */
    int64_t llm_hidden, llm_width; /* projector: q.width -> hidden -> width */
    int64_t expr_genes, expr_width;
    LmConfig l;
    char cell_values[16]; /* binned, raw, lognorm */
} PartsConfig;
CHECKED Err parts_config_read(const cJSON *o, PartsConfig *c);
/* Without "lm", which the caller adds as it was published. */
cJSON *parts_config_write(const PartsConfig *c);

typedef struct Parts {
    PartsConfig c;
    Device *d;    /* borrowed */
    ParamSet *ps; /* everything but the language model; names are those of model.safetensors */
    Scgpt cell;
    Qformer qf;
    Param *query_tokens;
    Norm ln_gene, caption_norm;
    Linear cell_proj, text_proj, gtm_head, caption_dense, caption_out, fc1, fc2;
    Param *gene_embed, *expr_in_w, *expr_in_b;
    Linear expr_cell, expr_out, mlp0, mlp2;
    Bert *bert;
    Lm *lm; /* NULL until parts_open */
    struct PartsOwn *own; /* of a bundle of this project; NULL: imported (parts_own.h) */
} Parts;
/* Parameters only, drawn from the seed. */
CHECKED Err parts_init(Device *d, const PartsConfig *c, uint64_t seed, Parts *p);
/* DIR/config.json and its weights; with_lm: the language model too. A bundle of this project is
 * read as parts too. */
CHECKED Err parts_open(const char *dir, Device *d, bool with_parts, bool with_lm, JobCtl *ctl,
                       Parts *p);
void parts_done(Parts *p);
/* The language model of a bundle opened without it; nothing when it is there already. */
CHECKED Err parts_open_lm(const char *dir, JobCtl *ctl, Parts *p);
/* Projected queries [B,Q,W] -> what the language model reads, [B,Q,H]. */
Tensor *parts_project(Tape *t, const Parts *p, Tensor *query);
/* Expression decoder: token [B,H], gene rows ids[B,L] (host) -> [B,L,1]. */
Tensor *parts_expression(Tape *t, const Parts *p, Tensor *token, const int32_t *ids, int64_t b,
                         int64_t l);

/* Input and output of the forward command; missing ones are NULL. Row-major host arrays. */
typedef struct PartsInput {
    int64_t b, l, tokens, s;
    int32_t *gene_ids;  /* [b,l] */
    float *values;      /* [b,l] */
    int32_t *text_ids;  /* [b,tokens] */
    int32_t *text_mask; /* [b,tokens]; NULL: ones */
    int32_t *lm_ids;    /* [b,s]; -1: padding at the end */
} PartsInput;
typedef Err PartsEmit(void *user, const char *name, int rank, const uint64_t *shape,
                      const float *values);
/* Checks the input (ERR_INPUT, message begins with the dataset's name) and hands every output that
 * the parts allow to `emit`. */
CHECKED Err parts_forward(const Parts *p, const PartsInput *in, JobCtl *ctl, PartsEmit *emit,
                          void *user);
#endif
