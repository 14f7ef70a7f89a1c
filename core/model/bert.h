/* BERT layers and the text tower (a BERT encoder with mean pooling: MiniLM). The Q-Former
 * (qformer.h) is made of the same pieces. */
#ifndef SCMM_MODEL_BERT_H
#define SCMM_MODEL_BERT_H
#include "core/base/job.h"
#include "core/model/safetensors.h"
#include "core/model/wordpiece.h"
#include "core/nn/encoder.h"

typedef struct BertAttn { /* LN(x + out(attention(x -> kv))) */
    Linear q, k, v, out;
    Norm norm;
} BertAttn;
/* Names PREFIX.self.{query,key,value}, PREFIX.output.{dense,LayerNorm}. */
CHECKED Err bert_attn_init(ParamSet *ps, const char *prefix, int64_t width, int64_t kv_width,
                           float eps, uint64_t seed, BertAttn *a);
Tensor *bert_attn_forward(Tape *t, const BertAttn *a, Tensor *x, Tensor *kv, const AttnSpec *spec);

typedef struct BertFfn { /* LN(x + out(gelu(in(x)))) */
    Linear in, out;
    Norm norm;
} BertFfn;
/* Names PREFIX + in_name + ".dense", PREFIX + out_name + ".{dense,LayerNorm}". */
CHECKED Err bert_ffn_init(ParamSet *ps, const char *prefix, const char *in_name,
                          const char *out_name, int64_t width, int64_t ffn, float eps,
                          uint64_t seed, BertFfn *f);
Tensor *bert_ffn_forward(Tape *t, const BertFfn *f, Tensor *x);

typedef struct BertConfig {
    int64_t width, layers, heads, ffn, vocab, positions;
    int64_t types; /* token types that are kept; 0: none */
    float eps;
} BertConfig;

typedef struct Bert Bert;
/* Parameters PREFIX.embeddings.{word_embeddings,position_embeddings}.weight, .LayerNorm,
 * .encoder.layer.i.* */
CHECKED Err bert_new(ParamSet *ps, const char *prefix, const BertConfig *c, uint64_t seed,
                     Bert **out);
void bert_free(Bert *b); /* NULL ok; not its parameters */
/* ids [B,T] host, len[B] tokens in use -> hidden [B,T,W]. ids < vocab, T <= positions. */
Tensor *bert_forward(Tape *t, const Bert *b, const int32_t *ids, const int32_t *len, int64_t batch,
                     int64_t tokens);
/* The same with a mask of one's own (spec->heads is set here); typed: every token is of the first
 * type, where types are kept. */
Tensor *bert_forward_masked(Tape *t, const Bert *b, const int32_t *ids, const AttnSpec *mask,
                            bool typed, int64_t batch, int64_t tokens);

/* The text tower: tokenizer and encoder, sentences -> unit vectors. */
typedef struct TextTower TextTower;
/* Reads DIR/text.json, text.safetensors, vocab.txt. */
CHECKED Err text_tower_open(const char *dir, Device *d, TextTower **out);
void text_tower_free(TextTower *t); /* NULL ok */
const BertConfig *text_tower_config(const TextTower *t);
const WordPiece *text_tower_words(const TextTower *t);
Bert *text_tower_bert(const TextTower *t);
size_t text_tower_parameters(const TextTower *t);
/* out[n,W]: mean of the last hidden rows, normalised. */
CHECKED Err text_tower_embed(TextTower *t, const char *const *texts, size_t n, JobCtl *ctl,
                             float *out);
#endif
