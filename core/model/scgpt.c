/* scGPT's encoder: x0 = LN(Emb[gene]) + LN(W2 relu(W1 min(v,512) + b1) + b2), then post-norm layers
 * with ReLU. */
#include "core/model/scgpt.h"
#include "core/base/mem.h"
#include <stdio.h>

enum { NAME = 256 };
static const float EPS = 1e-5f;

static Err init_layer(ParamSet *ps, const char *prefix, int i, const ScgptConfig *c, uint64_t seed,
                      ScgptLayer *l)
{
    char base[NAME - 64], name[NAME];
    snprintf(base, sizeof base, "%stransformer_encoder.layers.%d", prefix, i);
    snprintf(name, NAME, "%s.self_attn.Wqkv", base);
    TRY(linear_init(ps, name, c->width, 3 * c->width, true, seed, &l->qkv));
    snprintf(name, NAME, "%s.self_attn.out_proj", base);
    TRY(linear_init(ps, name, c->width, c->width, true, seed, &l->out));
    snprintf(name, NAME, "%s.linear1", base);
    TRY(linear_init(ps, name, c->width, c->ffn, true, seed, &l->ff1));
    snprintf(name, NAME, "%s.linear2", base);
    TRY(linear_init(ps, name, c->ffn, c->width, true, seed, &l->ff2));
    snprintf(name, NAME, "%s.norm1", base);
    TRY(layernorm_init(ps, name, c->width, EPS, &l->norm1));
    snprintf(name, NAME, "%s.norm2", base);
    return layernorm_init(ps, name, c->width, EPS, &l->norm2);
}

Err scgpt_init(ParamSet *ps, const char *prefix, const ScgptConfig *c, uint64_t seed, Scgpt *s)
{
    char name[NAME];
    s->c = *c;
    TRY(NEW0(s->layer, (size_t)c->layers));
    snprintf(name, NAME, "%sencoder.embedding", prefix);
    TRY(embedding_init(ps, name, c->vocab, c->width, 0.02f, seed, &s->embedding));
    snprintf(name, NAME, "%sencoder.enc_norm", prefix);
    TRY(layernorm_init(ps, name, c->width, EPS, &s->enc_norm));
    snprintf(name, NAME, "%svalue_encoder.linear1", prefix);
    TRY(linear_init(ps, name, 1, c->width, true, seed, &s->value1));
    snprintf(name, NAME, "%svalue_encoder.linear2", prefix);
    TRY(linear_init(ps, name, c->width, c->width, true, seed, &s->value2));
    snprintf(name, NAME, "%svalue_encoder.norm", prefix);
    TRY(layernorm_init(ps, name, c->width, EPS, &s->value_norm));
    for (int i = 0; i < c->layers; i++)
        TRY(init_layer(ps, prefix, i, c, seed, &s->layer[i]));
    return OK;
}

void scgpt_done(Scgpt *s)
{
    free(s->layer);
    s->layer = NULL;
}

static Encoder layer_of(const ScgptLayer *l, float drop)
{
    return (Encoder){.q = &l->qkv,
                     .out = &l->out,
                     .ff1 = &l->ff1,
                     .ff2 = &l->ff2,
                     .norm1 = &l->norm1,
                     .norm2 = &l->norm2,
                     .act = ACT_RELU,
                     .drop = drop};
}

Tensor *scgpt_input(Tape *t, const Scgpt *s, const Tensor *gene, Tensor *value)
{
    int64_t b = gene->dim[0], n = gene->dim[1];
    Tensor *e = norm_forward(t, &s->enc_norm, op_gather(t, &s->embedding->t, gene));
    Tensor *u =
        linear_forward(t, &s->value1, op_reshape(t, value, TAPE_DIMS(3, b, n, 1)), ACT_RELU);
    u = norm_forward(t, &s->value_norm, linear_forward(t, &s->value2, u, ACT_NONE));
    Tensor *x = op_add(t, e, op_dropout(t, u, s->drop));
    if (s->bn_scale)
        x = op_add(t, op_mul(t, x, &s->bn_scale->t), &s->bn_shift->t);
    return x;
}

Tensor *scgpt_forward_masked(Tape *t, const Scgpt *s, const Tensor *gene, Tensor *value,
                             const AttnSpec *mask)
{
    Tensor *x = scgpt_input(t, s, gene, value);
    AttnSpec spec = *mask;
    spec.heads = s->c.heads;
    spec.drop = s->drop;
    Encoder *layer = mem_must((size_t)s->c.layers * sizeof *layer);
    for (int64_t i = 0; i < s->c.layers; i++)
        layer[i] = layer_of(&s->layer[i], s->drop);
    x = encoder_forward(t, layer, s->c.layers, x, &spec);
    free(layer);
    return x;
}

Tensor *scgpt_forward(Tape *t, const Scgpt *s, const Tensor *gene, Tensor *value, const Tensor *len)
{
    return scgpt_forward_masked(t, s, gene, value, &(AttnSpec){.len = len});
}
