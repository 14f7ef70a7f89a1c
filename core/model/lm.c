/* The decoder's parameters and its forward pass. */
#include "core/model/lm.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/quantize.h"
#include <stdio.h>
#include <string.h>

/* A weight that the device reads from the mapped file. */
typedef struct Matrix {
    PackedWeight *w;
    int64_t out, in;
    Param *bias;             /* NULL: none */
    struct Adapter *adapter; /* NULL: none */
} Matrix;

/* What an adapter that was not merged adds: y = gain (W x + B (A x)) + bias; B has the scale. */
typedef struct Adapter {
    Matrix a, b;
    Param *gain; /* [out]; NULL: 1 */
} Adapter;

typedef struct Layer {
    Norm norm1, norm2;
    Matrix q, k, v, o, gate, up, down;
} Layer;

struct Lm {
    LmConfig c;
    Device *d;    /* borrowed */
    StFile *f;    /* mapped as long as the model is */
    ParamSet *ps; /* vectors: norms and biases */
    Tape *tape;
    Matrix embed, head; /* tied: head.w is embed.w */
    Norm norm;
    Layer *layer;
    float *freq, **own; /* own: weights of a type that had to be converted */
    size_t n_own;
    size_t bytes;
    StoredMode mode;
    LmSoft soft; /* n 0: none */
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
    JobCtl *ctl;
    size_t n;
} Loading;

static Matrix *find_matrix(Lm *m, const char *name, char suffix[16])
{
    static const struct {
        const char *name;
        size_t at;
    } part[] = {{"self_attn.q_proj", offsetof(Layer, q)}, {"self_attn.k_proj", offsetof(Layer, k)},
                {"self_attn.v_proj", offsetof(Layer, v)}, {"self_attn.o_proj", offsetof(Layer, o)},
                {"mlp.gate_proj", offsetof(Layer, gate)}, {"mlp.up_proj", offsetof(Layer, up)},
                {"mlp.down_proj", offsetof(Layer, down)}};
    char inner[64];
    int i;
    suffix[0] = '\0';
    if (strcmp(name, "model.embed_tokens.weight") == 0)
        return &m->embed;
    if (strcmp(name, "lm_head.weight") == 0)
        return &m->head;
    if (sscanf(name, "model.layers.%d.%63s", &i, inner) != 2)
        return NULL;
    char *dot = strrchr(inner, '.');
    *dot = '\0';
    snprintf(suffix, 16, "%s", dot + 1);
    for (size_t k = 0; k < sizeof part / sizeof *part; k++)
        if (strcmp(inner, part[k].name) == 0)
            return (Matrix *)(void *)((char *)&m->layer[i] + part[k].at);
    return NULL;
}

/* A matrix stays in the file, in its own width; a type without kernels is converted once. */
static Err load_matrix(Lm *m, const StTensor *t, const int64_t *dim, Matrix *out)
{
    StoredWeight w;
    if (!stored_from_file(m->f, t, dim, &w)) {
        float *v;
        TRY(mem_check_budget(t->elements * sizeof *v, "a weight"));
        TRY(mem_realloc(&m->own, m->n_own + 1, sizeof *m->own));
        TRY(NEW(v, t->elements));
        m->own[m->n_own++] = v;
        TRY(st_read_f32(m->f, t, v));
        w = (StoredWeight){.type = STORED_F32, .n = dim[0], .k = dim[1], .data = v};
    }
    m->bytes += t->bytes;
    out->out = dim[0];
    out->in = dim[1];
    out->w = m->d->ops->borrow(m->d, &w);
    return out->w ? OK : device_check(m->d);
}

static Err load_vector(Lm *m, const StTensor *t, const char *name, const int64_t *dim, Param **out)
{
    float *v;
    TRY(params_add(m->ps, name, (int64_t[]){1, dim[0]}, out));
    TRY(NEW(v, t->elements));
    Err err = st_read_f32(m->f, t, v);
    if (err == OK)
        err = param_write(m->ps, *out, v);
    free(v);
    return err;
}

/* MODULE.lora_A [rank,in], .lora_B [out,rank] and perhaps .lora_gain [out] beside a matrix. */
static Err load_adapter(Lm *m, const char *weight, const int64_t *dim, Matrix *w)
{
    char name[160];
    int stem = (int)(strlen(weight) - strlen("weight"));
    snprintf(name, sizeof name, "%.*slora_A", stem, weight);
    const StTensor *a = st_find(m->f, name);
    snprintf(name, sizeof name, "%.*slora_B", stem, weight);
    const StTensor *b = st_find(m->f, name);
    snprintf(name, sizeof name, "%.*slora_gain", stem, weight);
    const StTensor *gain = st_find(m->f, name);
    if (!a && !b && !gain)
        return OK;
    int64_t rank = a && a->ndim == 2 ? a->dim[0] : 0;
    int64_t da[2] = {rank, dim[1]}, db[2] = {dim[0], rank};
    if (w == &m->embed || rank < 1 || !b || !stored_fits(m->f, a, 2, da) ||
        !stored_fits(m->f, b, 2, db) || (gain && !stored_fits(m->f, gain, 1, dim)))
        FAIL(ERR_MODEL, "%s: tensor %s: its adapter does not fit it", st_path(m->f), weight);
    TRY(NEW0(w->adapter, 1));
    TRY(load_matrix(m, a, da, &w->adapter->a));
    TRY(load_matrix(m, b, db, &w->adapter->b));
    return gain ? load_vector(m, gain, name, dim, &w->adapter->gain) : OK;
}

static Err load_one(void *user, const char *name, int ndim, const int64_t *dim)
{
    Loading *l = user;
    Lm *m = l->m;
    Param *p;
    char suffix[16];
    char *stored = str_format("%s%s", m->c.prefix, name);
    const StTensor *t = st_find(m->f, stored);
    free(stored);
    if (!t)
        FAIL(ERR_MODEL, "%s: tensor %s: is missing", st_path(m->f), name);
    if (!stored_fits(m->f, t, ndim, dim))
        FAIL(ERR_MODEL, "%s: tensor %s: another shape than the configuration says", st_path(m->f),
             name);
    Matrix *w = find_matrix(m, name, suffix);
    if (ndim == 2) {
        TRY(load_matrix(m, t, dim, w));
        TRY(load_adapter(m, name, dim, w));
    } else {
        TRY(load_vector(m, t, name, dim, &p));
        if (w)
            w->bias = p;
    }
    return job_progress(l->ctl, l->n++);
}

static void bind_norms(Lm *m)
{
    char name[128];
    float eps = (float)m->c.eps;
    m->norm = (Norm){.gamma = params_find(m->ps, "model.norm.weight"), .eps = eps};
    for (int64_t i = 0; i < m->c.layers; i++) {
        Layer *l = &m->layer[i];
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", (int)i);
        l->norm1 = (Norm){.gamma = params_find(m->ps, name), .eps = eps};
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", (int)i);
        l->norm2 = (Norm){.gamma = params_find(m->ps, name), .eps = eps};
    }
}

/* Below this size float32 costs nobody anything, and answers are those of a float32 program. */
enum { EXACT_BYTES = 64 << 20 };

static Err load(Lm *m, JobCtl *ctl)
{
    Loading l = {.m = m, .ctl = ctl};
    TRY(params_new(m->d, &m->ps));
    TRY(NEW0(m->layer, (size_t)m->c.layers));
    TRY(NEW(m->freq, (size_t)(m->c.head_dim / 2)));
    job_stage(ctl, "loading the language model", (size_t)m->c.layers * N_PARTS);
    TRY(lm_each_parameter(&m->c, load_one, &l));
    if (m->c.tied)
        m->head = m->embed;
    bind_norms(m);
    m->mode = m->bytes < EXACT_BYTES ? STORED_EXACT : STORED_FAST;
    return tape_new(m->d, false, &m->tape);
}

Err lm_open(const LmConfig *c, StFile *f, Device *d, JobCtl *ctl, Lm **out)
{
    Lm *m = mem_must(sizeof *m);
    m->c = *c;
    m->d = d;
    m->f = f;
    Err err = load(m, ctl);
    if (err != OK)
        lm_free(m);
    else
        *out = m;
    return err;
}

static void free_matrix(Lm *m, Matrix *w)
{
    m->d->ops->pack_free(m->d, w->w);
    if (!w->adapter)
        return;
    m->d->ops->pack_free(m->d, w->adapter->a.w);
    m->d->ops->pack_free(m->d, w->adapter->b.w);
    free(w->adapter);
}

void lm_free(Lm *m)
{
    if (!m)
        return;
    tape_free(m->tape);
    params_free(m->ps);
    for (int64_t i = 0; m->layer && i < m->c.layers; i++) {
        Layer *l = &m->layer[i];
        Matrix *const all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        for (int k = 0; k < 7; k++)
            free_matrix(m, all[k]);
    }
    if (!m->c.tied)
        free_matrix(m, &m->head);
    free_matrix(m, &m->embed);
    for (size_t i = 0; i < m->n_own; i++)
        free(m->own[i]);
    free(m->own);
    free(m->layer);
    free(m->freq);
    st_close(m->f);
    free(m);
}

const LmConfig *lm_config(const Lm *m)
{
    return &m->c;
}

bool lm_set_exact(Lm *m, bool exact)
{
    bool before = m->mode == STORED_EXACT;
    m->mode = exact ? STORED_EXACT : STORED_FAST;
    return before;
}

size_t lm_bytes(const Lm *m)
{
    return m->bytes;
}

Device *lm_device(const Lm *m)
{
    return m->d;
}

/* ---- forward ---- */

enum { PROMPT_MIN = 16 }; /* tokens at once that take a while */

typedef struct Pass {
    Tensor *position, *freq;
    AttnSpec spec;
    KvCache *cache;
    StoredMode mode;
} Pass;

static Tensor *adapted(Tape *t, StoredMode mode, Tensor *x, Tensor *y, const Adapter *a)
{
    Tensor *low, *add;
    op_linear_stored(t, mode, x, 1, (const PackedWeight *[]){a->a.w}, &a->a.out, &low);
    op_linear_stored(t, mode, low, 1, (const PackedWeight *[]){a->b.w}, &a->b.out, &add);
    y = op_add(t, y, add);
    return a->gain ? op_mul(t, y, &a->gain->t) : y;
}

/* y[i] = x W_i^T + b_i for weights that share x. */
static void products(Tape *t, StoredMode mode, Tensor *x, int n, const Matrix *const *w, Tensor **y)
{
    const PackedWeight *packed[3];
    int64_t out[3];
    for (int i = 0; i < n; i++) {
        packed[i] = w[i]->w;
        out[i] = w[i]->out;
    }
    op_linear_stored(t, mode, x, n, packed, out, y);
    for (int i = 0; i < n; i++) {
        if (w[i]->adapter)
            y[i] = adapted(t, mode, x, y[i], w[i]->adapter);
        if (w[i]->bias)
            y[i] = op_add(t, y[i], &w[i]->bias->t);
    }
}
static Tensor *product(Tape *t, StoredMode mode, Tensor *x, const Matrix *w)
{
    Tensor *y;
    products(t, mode, x, 1, &w, &y);
    return y;
}

static Tensor *layer_forward(Tape *t, const Lm *m, int64_t i, Tensor *x, const Pass *p)
{
    const Layer *l = &m->layer[i];
    Tensor *h = norm_forward(t, &l->norm1, x), *y[3];
    products(t, p->mode, h, 3, (const Matrix *[]){&l->q, &l->k, &l->v}, y);
    Tensor *q = op_rope(t, y[0], m->c.heads, p->position, p->freq);
    Tensor *k = op_rope(t, y[1], m->c.kv_heads, p->position, p->freq);
    Tensor *a = p->cache ? kvcache_attend(t, p->cache, i, q, k, y[2], &p->spec, NULL)
                         : op_attention(t, q, k, y[2], &p->spec);
    x = op_add(t, x, product(t, p->mode, a, &l->o));
    h = norm_forward(t, &l->norm2, x);
    products(t, p->mode, h, 2, (const Matrix *[]){&l->gate, &l->up}, y);
    return op_add(t, x, product(t, p->mode, op_swiglu(t, y[0], y[1]), &l->down));
}

void lm_set_soft(Lm *m, const LmSoft *soft)
{
    m->soft = soft ? *soft : (LmSoft){0};
}

/* Embeddings of tokens ids[b,n] at position `from`, soft rows in their places. */
static Tensor *embed(Lm *m, const int32_t *ids, int64_t b, int64_t n, int64_t from)
{
    Tape *t = m->tape;
    Tensor *x = op_gather_stored(t, m->embed.w, m->c.width, tape_input_i32(t, ids, 2, b, n));
    const LmSoft *s = &m->soft;
    int64_t end = s->at + s->n;
    if (!s->n || from || b != 1 || n < end)
        return x;
    Tensor *rows = tape_input_f32(t, s->rows, 3, (int64_t)1, s->n, m->c.width);
    if (s->at)
        rows = op_concat2(t, 1, op_slice(t, x, 1, 0, s->at), rows);
    return n > end ? op_concat2(t, 1, rows, op_slice(t, x, 1, end, n - end)) : rows;
}

/* Rows behind the last layer, *out [b,n,width]. */
static Err layers(Lm *m, StoredMode mode, const int32_t *ids, int64_t b, int64_t n, KvCache *cache,
                  JobCtl *ctl, Tensor **out)
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
              .cache = cache,
              .mode = mode};
    free(pos);
    Tensor *x = embed(m, ids, b, n, from);
    TapeMark mark = tape_mark(t);
    for (int64_t i = 0; i < m->c.layers; i++) {
        x = tape_rewind(t, mark, layer_forward(t, m, i, x, &p));
        if (b * n > PROMPT_MIN)
            TRY(job_progress(ctl, ctl ? atomic_load(&ctl->done) : 0));
    }
    if (cache)
        kvcache_advance(cache, n);
    *out = x;
    return OK;
}

Err lm_hidden(Lm *m, const int32_t *ids, int64_t n, JobCtl *ctl, float *hidden)
{
    Tensor *x;
    TRY(layers(m, m->mode, ids, 1, n, NULL, ctl, &x));
    return tensor_read(m->tape, norm_forward(m->tape, &m->norm, x), hidden);
}

static Err step(Lm *m, StoredMode mode, const int32_t *ids, int64_t b, int64_t n, KvCache *cache,
                bool all, JobCtl *ctl, float *logits)
{
    Tape *t = m->tape;
    Tensor *x;
    TRY(layers(m, mode, ids, b, n, cache, ctl, &x));
    if (!all)
        x = op_take(t, x, n - 1);
    x = product(t, mode, norm_forward(t, &m->norm, x), &m->head);
    return tensor_read(t, x, logits);
}

Err lm_step(Lm *m, const int32_t *ids, int64_t b, int64_t n, KvCache *cache, bool all, JobCtl *ctl,
            float *logits)
{
    return step(m, m->mode, ids, b, n, cache, all, ctl, logits);
}

Err lm_logits(Lm *m, const int32_t *ids, int64_t n, float *logits)
{
    return step(m, STORED_EXACT, ids, 1, n, NULL, true, NULL, logits);
}
