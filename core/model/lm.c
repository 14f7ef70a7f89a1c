/* The decoder's parameters and its forward pass. */
#include "core/model/lm.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <stdio.h>
#include <string.h>

typedef struct Layer {
    Norm norm1, norm2;
    Linear q, k, v, o, gate, up, down;
} Layer;

struct Lm {
    LmConfig c;
    Device *d; /* borrowed */
    ParamSet *ps;
    Tape *tape;
    Param *embed, *head;
    Norm norm;
    Layer *layer;
    float *freq;
};

/* ---- parameters ---- */

typedef struct Part {
    const char *name;
    int64_t out, in; /* in 0: a vector */
    bool bias;
} Part;

enum { N_PARTS = 9 };
static void layer_parts(const LmConfig *c, Part p[N_PARTS])
{
    int64_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    bool ab = c->attention_bias, mb = c->mlp_bias;
    const Part all[N_PARTS] = {
        {"input_layernorm", c->width, 0, false}, {"self_attn.q_proj", q, c->width, ab},
        {"self_attn.k_proj", kv, c->width, ab},  {"self_attn.v_proj", kv, c->width, ab},
        {"self_attn.o_proj", c->width, q, ab},   {"post_attention_layernorm", c->width, 0, false},
        {"mlp.gate_proj", c->ffn, c->width, mb}, {"mlp.up_proj", c->ffn, c->width, mb},
        {"mlp.down_proj", c->width, c->ffn, mb},
    };
    memcpy(p, all, sizeof all);
}

Err lm_each_parameter(const LmConfig *c, LmEach *each, void *user)
{
    char name[128];
    Part p[N_PARTS];
    layer_parts(c, p);
    TRY(each(user, "model.embed_tokens.weight", 2, (int64_t[]){c->vocab, c->width}));
    for (int64_t i = 0; i < c->layers; i++)
        for (int k = 0; k < N_PARTS; k++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", (int)i, p[k].name);
            TRY(each(user, name, p[k].in ? 2 : 1, (int64_t[]){p[k].out, p[k].in}));
            snprintf(name, sizeof name, "model.layers.%d.%s.bias", (int)i, p[k].name);
            if (p[k].bias)
                TRY(each(user, name, 1, &p[k].out));
        }
    TRY(each(user, "model.norm.weight", 1, &c->width));
    if (!c->tied)
        TRY(each(user, "lm_head.weight", 2, (int64_t[]){c->vocab, c->width}));
    return OK;
}

typedef struct Loading {
    Lm *m;
    const StFile *f;
    JobCtl *ctl;
    size_t n;
} Loading;

static Err load_one(void *user, const char *name, int ndim, const int64_t *dim)
{
    Loading *l = user;
    Param *p;
    float *v;
    const StTensor *t = st_find(l->f, name);
    if (!t)
        FAIL(ERR_MODEL, "%s: tensor %s: is missing", st_path(l->f), name);
    bool same = t->ndim == ndim;
    for (int d = 0; same && d < ndim; d++)
        same = t->dim[d] == dim[d];
    if (!same)
        FAIL(ERR_MODEL, "%s: tensor %s: another shape than the configuration says", st_path(l->f),
             name);
    TRY(params_add(l->m->ps, name, (int64_t[]){ndim, dim[0], ndim > 1 ? dim[1] : 1}, &p));
    TRY(NEW(v, t->elements));
    Err err = st_read_f32(l->f, t, v);
    if (err == OK)
        err = param_write(l->m->ps, p, v);
    free(v);
    TRY(err);
    return job_progress(l->ctl, l->n++);
}

static void bind_linear(const Lm *m, int64_t i, const char *part, Linear *l)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", (int)i, part);
    l->w = params_find(m->ps, name);
    snprintf(name, sizeof name, "model.layers.%d.%s.bias", (int)i, part);
    l->b = params_find(m->ps, name);
}

static void bind(Lm *m)
{
    char name[128];
    float eps = (float)m->c.eps;
    m->embed = params_find(m->ps, "model.embed_tokens.weight");
    m->head = m->c.tied ? m->embed : params_find(m->ps, "lm_head.weight");
    m->norm = (Norm){.gamma = params_find(m->ps, "model.norm.weight"), .eps = eps};
    for (int64_t i = 0; i < m->c.layers; i++) {
        Layer *l = &m->layer[i];
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", (int)i);
        l->norm1 = (Norm){.gamma = params_find(m->ps, name), .eps = eps};
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", (int)i);
        l->norm2 = (Norm){.gamma = params_find(m->ps, name), .eps = eps};
        bind_linear(m, i, "self_attn.q_proj", &l->q);
        bind_linear(m, i, "self_attn.k_proj", &l->k);
        bind_linear(m, i, "self_attn.v_proj", &l->v);
        bind_linear(m, i, "self_attn.o_proj", &l->o);
        bind_linear(m, i, "mlp.gate_proj", &l->gate);
        bind_linear(m, i, "mlp.up_proj", &l->up);
        bind_linear(m, i, "mlp.down_proj", &l->down);
    }
}

static Err load(Lm *m, const StFile *f, JobCtl *ctl)
{
    Loading l = {.m = m, .f = f, .ctl = ctl};
    TRY(params_new(m->d, &m->ps));
    TRY(NEW0(m->layer, (size_t)m->c.layers));
    TRY(NEW(m->freq, (size_t)(m->c.head_dim / 2)));
    job_stage(ctl, "loading the language model", (size_t)m->c.layers * N_PARTS);
    TRY(lm_each_parameter(&m->c, load_one, &l));
    bind(m);
    return tape_new(m->d, false, &m->tape);
}

Err lm_open(const LmConfig *c, const StFile *f, Device *d, JobCtl *ctl, Lm **out)
{
    Lm *m = mem_must(sizeof *m);
    m->c = *c;
    m->d = d;
    Err err = load(m, f, ctl);
    if (err != OK)
        lm_free(m);
    else
        *out = m;
    return err;
}

void lm_free(Lm *m)
{
    if (!m)
        return;
    tape_free(m->tape);
    params_free(m->ps);
    free(m->layer);
    free(m->freq);
    free(m);
}

const LmConfig *lm_config(const Lm *m)
{
    return &m->c;
}

Device *lm_device(const Lm *m)
{
    return m->d;
}

/* ---- forward ---- */

typedef struct Pass {
    Tensor *position, *freq;
    AttnSpec spec;
    KvCache *cache;
} Pass;

static Tensor *layer_forward(Tape *t, const Lm *m, int64_t i, Tensor *x, const Pass *p)
{
    const Layer *l = &m->layer[i];
    Tensor *h = norm_forward(t, &l->norm1, x);
    Tensor *q = linear_forward(t, &l->q, h, ACT_NONE), *k = linear_forward(t, &l->k, h, ACT_NONE);
    Tensor *v = linear_forward(t, &l->v, h, ACT_NONE);
    q = op_rope(t, q, m->c.heads, p->position, p->freq);
    k = op_rope(t, k, m->c.kv_heads, p->position, p->freq);
    Tensor *a = p->cache ? kvcache_attend(t, p->cache, i, q, k, v, &p->spec, NULL)
                         : op_attention(t, q, k, v, &p->spec);
    x = op_add(t, x, linear_forward(t, &l->o, a, ACT_NONE));
    h = norm_forward(t, &l->norm2, x);
    Tensor *f = op_swiglu(t, linear_forward(t, &l->gate, h, ACT_NONE),
                          linear_forward(t, &l->up, h, ACT_NONE));
    return op_add(t, x, linear_forward(t, &l->down, f, ACT_NONE));
}

Err lm_step(Lm *m, const int32_t *ids, int64_t b, int64_t n, KvCache *cache, bool all,
            float *logits)
{
    Tape *t = m->tape;
    int64_t from = cache ? kvcache_length(cache) : 0;
    int32_t *pos;
    TRY(NEW(pos, (size_t)n));
    for (int64_t i = 0; i < n; i++)
        pos[i] = (int32_t)(from + i);
    RopeScaling s = m->c.scaling;
    s.length = from + n;
    rope_frequencies(m->c.head_dim, m->c.theta, &s, m->freq);
    tape_reset(t);
    Pass p = {.position = tape_input_i32(t, pos, 1, n),
              .freq = tape_input_f32(t, m->freq, 1, m->c.head_dim / 2),
              .spec = {.heads = m->c.heads, .kv_heads = m->c.kv_heads, .causal = true},
              .cache = cache};
    free(pos);
    Tensor *x = op_gather(t, &m->embed->t, tape_input_i32(t, ids, 2, b, n));
    TapeMark mark = tape_mark(t);
    for (int64_t i = 0; i < m->c.layers; i++)
        x = tape_rewind(t, mark, layer_forward(t, m, i, x, &p));
    if (cache)
        kvcache_advance(cache, n);
    if (!all)
        x = op_take(t, x, n - 1);
    x = op_linear(t, norm_forward(t, &m->norm, x), &m->head->t, NULL, ACT_NONE);
    return tensor_read(t, x, logits);
}

Err lm_logits(Lm *m, const int32_t *ids, int64_t n, float *logits)
{
    return lm_step(m, ids, 1, n, NULL, true, logits);
}
