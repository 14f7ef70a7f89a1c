/* The Llama decoder. */
#include "core/model/llama.h"
#include "core/base/mem.h"
#include <stdio.h>

enum { NAME = 256 };

static Err init_linear(ParamSet *ps, const char *base, const char *part, int64_t in, int64_t out,
                       uint64_t seed, Linear *l)
{
    char name[NAME];
    snprintf(name, NAME, "%s.%s", base, part);
    return linear_init(ps, name, in, out, false, seed, l);
}

static Err init_layer(ParamSet *ps, const char *prefix, int i, const LlamaConfig *c, uint64_t seed,
                      LlamaLayer *l)
{
    char base[NAME - 64], name[NAME];
    int64_t kv = c->width / c->heads * c->kv_heads;
    snprintf(base, sizeof base, "%smodel.layers.%d", prefix, i);
    snprintf(name, NAME, "%s.input_layernorm", base);
    TRY(rmsnorm_init(ps, name, c->width, c->eps, &l->norm1));
    snprintf(name, NAME, "%s.post_attention_layernorm", base);
    TRY(rmsnorm_init(ps, name, c->width, c->eps, &l->norm2));
    TRY(init_linear(ps, base, "self_attn.q_proj", c->width, c->width, seed, &l->q));
    TRY(init_linear(ps, base, "self_attn.k_proj", c->width, kv, seed, &l->k));
    TRY(init_linear(ps, base, "self_attn.v_proj", c->width, kv, seed, &l->v));
    TRY(init_linear(ps, base, "self_attn.o_proj", c->width, c->width, seed, &l->o));
    TRY(init_linear(ps, base, "mlp.gate_proj", c->width, c->ffn, seed, &l->gate));
    TRY(init_linear(ps, base, "mlp.up_proj", c->width, c->ffn, seed, &l->up));
    return init_linear(ps, base, "mlp.down_proj", c->ffn, c->width, seed, &l->down);
}

Err llama_init(ParamSet *ps, const char *prefix, const LlamaConfig *c, uint64_t seed, Llama *l)
{
    char name[NAME];
    *l = (Llama){.c = *c};
    TRY(NEW0(l->layer, (size_t)c->layers));
    TRY(NEW(l->freq, (size_t)(c->width / c->heads / 2)));
    rope_frequencies(c->width / c->heads, c->theta, NULL, l->freq);
    snprintf(name, NAME, "%smodel.embed_tokens", prefix);
    TRY(embedding_init(ps, name, c->vocab, c->width, 0.05f, seed, &l->embed));
    for (int i = 0; i < c->layers; i++)
        TRY(init_layer(ps, prefix, i, c, seed, &l->layer[i]));
    snprintf(name, NAME, "%smodel.norm", prefix);
    return rmsnorm_init(ps, name, c->width, c->eps, &l->norm);
}

void llama_done(Llama *l)
{
    free(l->layer);
    free(l->freq);
    *l = (Llama){0};
}

typedef struct Pass {
    const Tensor *position, *freq;
    AttnSpec spec;
    KvCache *cache;
} Pass;

static Tensor *layer_forward(Tape *t, const LlamaLayer *l, const LlamaConfig *c, int64_t i,
                             Tensor *x, const Pass *p)
{
    Tensor *h = norm_forward(t, &l->norm1, x);
    Tensor *q = op_rope(t, linear_forward(t, &l->q, h, ACT_NONE), c->heads, p->position, p->freq);
    Tensor *k =
        op_rope(t, linear_forward(t, &l->k, h, ACT_NONE), c->kv_heads, p->position, p->freq);
    Tensor *v = linear_forward(t, &l->v, h, ACT_NONE);
    Tensor *a = p->cache ? kvcache_attend(t, p->cache, i, q, k, v, &p->spec, NULL)
                         : op_attention(t, q, k, v, &p->spec);
    x = op_add(t, x, linear_forward(t, &l->o, a, ACT_NONE));
    h = norm_forward(t, &l->norm2, x);
    Tensor *f = op_swiglu(t, linear_forward(t, &l->gate, h, ACT_NONE),
                          linear_forward(t, &l->up, h, ACT_NONE));
    return op_add(t, x, linear_forward(t, &l->down, f, ACT_NONE));
}

Tensor *llama_forward(Tape *t, const Llama *l, Tensor *x, const int32_t *len, KvCache *cache)
{
    int64_t b = x->dim[0], n = x->dim[1], from = cache ? kvcache_length(cache) : 0;
    int32_t *pos = mem_must((size_t)n * sizeof *pos);
    for (int64_t i = 0; i < n; i++)
        pos[i] = (int32_t)(from + i);
    Pass p = {.position = tape_input_i32(t, pos, 1, n),
              .freq = tape_input_f32(t, l->freq, 1, l->c.width / l->c.heads / 2),
              .spec = {.heads = l->c.heads, .kv_heads = l->c.kv_heads, .causal = true},
              .cache = cache};
    free(pos);
    if (len && !cache)
        p.spec.len = tape_input_i32(t, len, 1, b);
    for (int64_t i = 0; i < l->c.layers; i++)
        x = layer_forward(t, &l->layer[i], &l->c, i, x, &p);
    return norm_forward(t, &l->norm, x);
}
