/* BERT layers: post-norm attention and feed-forward with the erf GELU (Devlin et al. 2019). */
#include "core/model/bert.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/nn/cross.h"
#include <stdio.h>

enum { NAME = 256 };

Err bert_attn_init(ParamSet *ps, const char *prefix, int64_t width, int64_t kv_width, float eps,
                   uint64_t seed, BertAttn *a)
{
    char name[NAME];
    snprintf(name, NAME, "%s.self.query", prefix);
    TRY(linear_init(ps, name, width, width, true, seed, &a->q));
    snprintf(name, NAME, "%s.self.key", prefix);
    TRY(linear_init(ps, name, kv_width, width, true, seed, &a->k));
    snprintf(name, NAME, "%s.self.value", prefix);
    TRY(linear_init(ps, name, kv_width, width, true, seed, &a->v));
    snprintf(name, NAME, "%s.output.dense", prefix);
    TRY(linear_init(ps, name, width, width, true, seed, &a->out));
    snprintf(name, NAME, "%s.output.LayerNorm", prefix);
    return layernorm_init(ps, name, width, eps, &a->norm);
}

Tensor *bert_attn_forward(Tape *t, const BertAttn *a, Tensor *x, Tensor *kv, const AttnSpec *spec)
{
    Tensor *q = linear_forward(t, &a->q, x, ACT_NONE);
    Tensor *y = cross_attention(t, &a->k, &a->v, q, kv, spec);
    y = linear_forward(t, &a->out, y, ACT_NONE);
    return norm_forward(t, &a->norm, op_add(t, x, y));
}

Err bert_ffn_init(ParamSet *ps, const char *prefix, const char *in_name, const char *out_name,
                  int64_t width, int64_t ffn, float eps, uint64_t seed, BertFfn *f)
{
    char name[NAME];
    snprintf(name, NAME, "%s%s.dense", prefix, in_name);
    TRY(linear_init(ps, name, width, ffn, true, seed, &f->in));
    snprintf(name, NAME, "%s%s.dense", prefix, out_name);
    TRY(linear_init(ps, name, ffn, width, true, seed, &f->out));
    snprintf(name, NAME, "%s%s.LayerNorm", prefix, out_name);
    return layernorm_init(ps, name, width, eps, &f->norm);
}

Tensor *bert_ffn_forward(Tape *t, const BertFfn *f, Tensor *x)
{
    Tensor *h = linear_forward(t, &f->in, x, ACT_GELU);
    return norm_forward(t, &f->norm, op_add(t, x, linear_forward(t, &f->out, h, ACT_NONE)));
}

struct Bert {
    BertConfig c;
    Param *word, *position, *type; /* type NULL: none */
    Norm norm;
    BertAttn *attn; /* [layers] */
    BertFfn *ffn;
};

static Err init_parts(ParamSet *ps, const char *prefix, uint64_t seed, Bert *b)
{
    const BertConfig *c = &b->c;
    char name[NAME];
    TRY(NEW0(b->attn, (size_t)c->layers));
    TRY(NEW0(b->ffn, (size_t)c->layers));
    snprintf(name, NAME, "%s.embeddings.word_embeddings", prefix);
    TRY(embedding_init(ps, name, c->vocab, c->width, 0.02f, seed, &b->word));
    snprintf(name, NAME, "%s.embeddings.position_embeddings", prefix);
    TRY(embedding_init(ps, name, c->positions, c->width, 0.02f, seed, &b->position));
    snprintf(name, NAME, "%s.embeddings.token_type_embeddings", prefix);
    if (c->types)
        TRY(embedding_init(ps, name, c->types, c->width, 0.02f, seed, &b->type));
    snprintf(name, NAME, "%s.embeddings.LayerNorm", prefix);
    TRY(layernorm_init(ps, name, c->width, c->eps, &b->norm));
    for (int64_t i = 0; i < c->layers; i++) {
        snprintf(name, NAME, "%s.encoder.layer.%d.attention", prefix, (int)i);
        TRY(bert_attn_init(ps, name, c->width, c->width, c->eps, seed, &b->attn[i]));
        snprintf(name, NAME, "%s.encoder.layer.%d.", prefix, (int)i);
        TRY(bert_ffn_init(ps, name, "intermediate", "output", c->width, c->ffn, c->eps, seed,
                          &b->ffn[i]));
    }
    return OK;
}

Err bert_new(ParamSet *ps, const char *prefix, const BertConfig *c, uint64_t seed, Bert **out)
{
    Bert *b = mem_must(sizeof *b);
    b->c = *c;
    Err err = init_parts(ps, prefix, seed, b);
    if (err != OK)
        bert_free(b);
    else
        *out = b;
    return err;
}

void bert_free(Bert *b)
{
    if (!b)
        return;
    free(b->attn);
    free(b->ffn);
    free(b);
}

Tensor *bert_forward_masked(Tape *t, const Bert *b, const int32_t *ids, const AttnSpec *mask,
                            bool typed, int64_t batch, int64_t tokens)
{
    Tensor *index = tape_input_i32(t, ids, 2, batch, tokens);
    Tensor *x = op_gather(t, &b->word->t, index);
    x = op_add(t, x, op_slice(t, &b->position->t, 0, 0, tokens));
    if (typed && b->type)
        x = op_add(t, x, op_slice(t, &b->type->t, 0, 0, 1));
    x = norm_forward(t, &b->norm, x);
    AttnSpec spec = *mask;
    spec.heads = b->c.heads;
    Encoder *layer = mem_must((size_t)b->c.layers * sizeof *layer);
    for (int64_t i = 0; i < b->c.layers; i++) {
        const BertAttn *a = &b->attn[i];
        const BertFfn *f = &b->ffn[i];
        layer[i] = (Encoder){&a->q,   &a->k,    &a->v,    &a->out, &f->in,
                             &f->out, &a->norm, &f->norm, ACT_GELU, 0};
    }
    x = encoder_forward(t, layer, b->c.layers, x, &spec);
    free(layer);
    return x;
}

Tensor *bert_forward(Tape *t, const Bert *b, const int32_t *ids, const int32_t *len, int64_t batch,
                     int64_t tokens)
{
    AttnSpec mask = {.len = tape_input_i32(t, len, 1, batch)};
    return bert_forward_masked(t, b, ids, &mask, false, batch, tokens);
}
