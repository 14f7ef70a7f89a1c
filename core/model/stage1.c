/* Stage 1: S = max over queries of the cosine of projected query and text. The bag shortcut adds
 * W LN(sum_t (x_t - mean_t) emb_t / sqrt(T)) to every query before the first layer: the linear part
 * of a cell's expression reaches the queries without having to pass attention first. */
#include "core/model/stage1.h"
#include "core/base/mem.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const float CLS_VALUE = -2.0f, VALUE_MAX = 512.0f;

Stage1Config stage1_config_default(int64_t genes, int64_t text_width)
{
    return (Stage1Config){
        .cell = {.vocab = genes + 2, .width = 128, .layers = 2, .heads = 4, .ffn = 256},
        .query = {.width = 128,
                  .layers = 2,
                  .heads = 4,
                  .ffn = 256,
                  .cell_width = 128,
                  .cross_every = 1,
                  .text_ffn = true,
                  .eps = 1e-12f},
        .queries = 8,
        .proj = 128,
        .text_width = text_width,
        .bag = true,
        .match = true,
        .tokens = 112,
        .train_tokens = 96,
    };
}

typedef struct Field {
    const char *name;
    int64_t *v;
    int64_t lo, hi;
} Field;

enum { N_FIELDS = 17 };
static void fields(Stage1Config *c, Field f[N_FIELDS])
{
    Field all[N_FIELDS] = {
        {"gene_rows", &c->cell.vocab, 3, 1 << 22},
        {"cell_width", &c->cell.width, 1, 8192},
        {"cell_layers", &c->cell.layers, 0, 256},
        {"cell_heads", &c->cell.heads, 1, 256},
        {"cell_ffn", &c->cell.ffn, 1, 1 << 16},
        {"query_width", &c->query.width, 1, 8192},
        {"query_layers", &c->query.layers, 1, 256},
        {"query_heads", &c->query.heads, 1, 256},
        {"query_ffn", &c->query.ffn, 1, 1 << 16},
        {"cross_every", &c->query.cross_every, 1, 256},
        {"text_vocab", &c->query.vocab, 0, 1 << 24},
        {"text_positions", &c->query.positions, 0, 1 << 20},
        {"queries", &c->queries, 1, 4096},
        {"proj", &c->proj, 1, 8192},
        {"text_width", &c->text_width, 0, 65536},
        {"tokens", &c->tokens, 1, 4096},
        {"train_tokens", &c->train_tokens, 1, 4096},
    };
    memcpy(f, all, sizeof all);
}

static Err read_flag(const cJSON *o, const char *name, bool *v)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, name);
    if (x && !cJSON_IsBool(x))
        FAIL(ERR_MODEL, "\"%s\" is neither true nor false", name);
    if (x)
        *v = cJSON_IsTrue(x);
    return OK;
}

Err stage1_config_read(const cJSON *o, Stage1Config *c)
{
    Field f[N_FIELDS];
    fields(c, f);
    for (int i = 0; i < N_FIELDS; i++) {
        const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, f[i].name);
        if (!x)
            continue;
        if (!cJSON_IsNumber(x) ||
            !(x->valuedouble >= (double)f[i].lo && x->valuedouble <= (double)f[i].hi))
            FAIL(ERR_MODEL, "\"%s\" is not a number from %lld to %lld", f[i].name,
                 (long long)f[i].lo, (long long)f[i].hi);
        *f[i].v = (int64_t)x->valuedouble;
    }
    TRY(read_flag(o, "bag", &c->bag));
    TRY(read_flag(o, "match", &c->match));
    TRY(read_flag(o, "caption", &c->caption));
    const cJSON *eps = cJSON_GetObjectItemCaseSensitive(o, "query_eps");
    if (cJSON_IsNumber(eps))
        c->query.eps = (float)eps->valuedouble;
    c->query.cell_width = c->cell.width;
    c->query.text_ffn = c->match || c->query.vocab > 0;
    if (c->cell.width % c->cell.heads || c->query.width % c->query.heads)
        FAIL(ERR_MODEL, "a width is no multiple of its number of heads");
    if (c->query.vocab == 0 && c->text_width == 0)
        FAIL(ERR_MODEL, "neither a text tower nor text embeddings");
    if (c->caption && c->query.vocab == 0)
        FAIL(ERR_MODEL, "\"caption\" needs text embeddings");
    return OK;
}

cJSON *stage1_config_write(const Stage1Config *c)
{
    Stage1Config copy = *c;
    Field f[N_FIELDS];
    fields(&copy, f);
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; i < N_FIELDS; i++)
        cJSON_AddNumberToObject(o, f[i].name, (double)*f[i].v);
    cJSON_AddBoolToObject(o, "bag", c->bag);
    cJSON_AddBoolToObject(o, "match", c->match);
    if (c->caption)
        cJSON_AddBoolToObject(o, "caption", true);
    cJSON_AddNumberToObject(o, "query_eps", (double)c->query.eps);
    return o;
}

static Err init_parts(const Stage1Config *c, uint64_t seed, Stage1 *s)
{
    ParamSet *ps = s->ps;
    int64_t w = c->query.width;
    TRY(scgpt_init(ps, "cell_encoder.model.", &c->cell, seed, &s->cell));
    TRY(qformer_init(ps, "Qformer.", &c->query, seed, &s->qf));
    TRY(params_add(ps, "query_tokens", TAPE_DIMS(3, 1, c->queries, w), &s->query_tokens));
    TRY(param_init_normal(ps, s->query_tokens, c->bag ? 1.0f : 0.02f, seed));
    TRY(layernorm_init(ps, "ln_gene", c->cell.width, 1e-5f, &s->ln_gene));
    TRY(linear_init(ps, "cell_proj", w, c->proj, true, seed, &s->cell_proj));
    TRY(linear_init(ps, "text_proj", c->text_width ? c->text_width : w, c->proj, true, seed,
                    &s->text_proj));
    TRY(linear_init(ps, "gene_proj", c->cell.width, c->proj, true, seed, &s->gene_proj));
    if (c->bag) {
        TRY(layernorm_init(ps, "bag_norm", c->cell.width, 1e-5f, &s->bag_norm));
        TRY(linear_init(ps, "bag_proj", c->cell.width, w, false, seed, &s->bag_proj));
    }
    if (c->match) {
        if (c->text_width)
            TRY(linear_init(ps, "gtm_text", c->text_width, w, true, seed, &s->match_text));
        TRY(linear_init(ps, "gtm_head", w, 2, true, seed, &s->match_head));
    }
    if (!c->caption)
        return OK;
    TRY(linear_init(ps, "Qformer.cls.predictions.transform.dense", w, w, true, seed,
                    &s->caption_dense));
    TRY(layernorm_init(ps, "Qformer.cls.predictions.transform.LayerNorm", w, c->query.eps,
                       &s->caption_norm));
    return params_add(ps, "Qformer.cls.predictions.decoder.bias", TAPE_DIMS(1, c->query.vocab),
                      &s->caption_bias);
}

Err stage1_init(Device *d, const Stage1Config *c, uint64_t seed, Stage1 *s)
{
    *s = (Stage1){.c = *c};
    TRY(params_new(d, &s->ps));
    if (seed == PARAMS_BLANK)
        params_blank(s->ps);
    Err err = init_parts(c, seed, s);
    if (err != OK)
        stage1_done(s);
    return err;
}

void stage1_done(Stage1 *s)
{
    scgpt_done(&s->cell);
    qformer_done(&s->qf);
    params_free(s->ps);
    *s = (Stage1){0};
}

Err cell_input_init(CellInput *in, int64_t b, int64_t t)
{
    *in = (CellInput){.b = b, .t = t};
    Err err = NEW(in->gene, (size_t)(b * t));
    if (err == OK)
        err = NEW(in->value, (size_t)(b * t));
    if (err == OK)
        err = NEW(in->bag, (size_t)(b * t));
    if (err == OK)
        err = NEW(in->len, (size_t)b);
    if (err != OK)
        cell_input_done(in);
    return err;
}

void cell_input_done(CellInput *in)
{
    free(in->gene);
    free(in->value);
    free(in->bag);
    free(in->len);
    *in = (CellInput){0};
}

void cell_input_set(CellInput *in, int64_t i, const int32_t *gene, const float *x, size_t n,
                    const float *mean, int64_t vocab)
{
    int32_t *g = in->gene + i * in->t;
    float *v = in->value + i * in->t, *bag = in->bag + i * in->t;
    size_t room = (size_t)in->t - 1;
    n = n < room ? n : room;
    float scale = n ? 1 / sqrtf((float)n) : 0;
    g[0] = (int32_t)vocab - 1;
    v[0] = CLS_VALUE;
    bag[0] = 0;
    for (size_t k = 0; k < room; k++) {
        bool used = k < n;
        g[k + 1] = used ? gene[k] : -1;
        v[k + 1] = used ? fminf(x[k], VALUE_MAX) : 0;
        bag[k + 1] = used ? (x[k] - mean[gene[k]]) * scale : 0;
    }
    in->len[i] = (int32_t)n + 1;
}

Tensor *stage1_start(Tape *t, const Stage1 *s, const Tensor *gene, Tensor *bag)
{
    int64_t cells = gene->dim[0];
    Tensor *q = op_repeat(t, &s->query_tokens->t, cells);
    if (!s->c.bag)
        return q;
    Tensor *emb = op_gather(t, &s->cell.embedding->t, gene);
    Tensor *b = op_token_sum(t, emb, bag);
    b = linear_forward(t, &s->bag_proj, norm_forward(t, &s->bag_norm, b), ACT_NONE); /* [B,C] */
    int32_t *index = mem_must((size_t)(cells * s->c.queries) * sizeof *index);
    for (int64_t i = 0; i < cells * s->c.queries; i++)
        index[i] = (int32_t)(i / s->c.queries); /* the cell's row for each of its queries */
    Tensor *rows = op_gather(t, b, tape_input_i32(t, index, 2, cells, s->c.queries));
    free(index);
    return op_add(t, q, rows);
}

CellOutput stage1_cells(Tape *t, const Stage1 *s, const CellInput *in)
{
    CellOutput o = {0};
    const Tensor *gene = tape_input_i32(t, in->gene, 2, in->b, in->t);
    Tensor *value = tape_input_f32(t, in->value, 2, in->b, in->t);
    o.len = tape_input_i32(t, in->len, 1, in->b);
    bool queries = s->query_tokens != NULL;
    if (queries) {
        Tensor *bag = s->c.bag ? tape_input_f32(t, in->bag, 2, in->b, in->t) : NULL;
        o.start = stage1_start(t, s, gene, bag);
    }
    o.hidden = scgpt_forward(t, &s->cell, gene, value, o.len);
    o.cls = op_take(t, o.hidden, 0);
    if (!queries) /* a cell encoder alone */
        return o;
    o.genes = norm_forward(t, &s->ln_gene, o.hidden);
    QformerInput q = {.query = o.start, .genes = o.genes, .gene_len = o.len};
    qformer_forward(t, &s->qf, &q, &o.query, NULL);
    o.feat = op_l2norm(t, linear_forward(t, &s->cell_proj, o.query, ACT_NONE));
    return o;
}

Tensor *stage1_texts(Tape *t, const Stage1 *s, Tensor *raw)
{
    return op_l2norm(t, linear_forward(t, &s->text_proj, raw, ACT_NONE));
}

Tensor *stage1_texts_inside(Tape *t, const Stage1 *s, const int32_t *ids, const int32_t *len,
                            int64_t b, int64_t n)
{
    Tensor *h;
    QformerInput in = {.text = qformer_embed(t, &s->qf, ids, b, n), .text_len = len};
    qformer_forward(t, &s->qf, &in, NULL, &h);
    return op_l2norm(t, linear_forward(t, &s->text_proj, op_take(t, h, 0), ACT_NONE));
}

Tensor *stage1_gene_words(Tape *t, const Stage1 *s, const int32_t *genes, int64_t n, int64_t k)
{
    float *w = mem_must((size_t)(n * k) * sizeof *w);
    for (int64_t i = 0; i < n; i++) {
        int64_t used = 0;
        for (int64_t j = 0; j < k; j++)
            used += genes[i * k + j] >= 0;
        for (int64_t j = 0; j < k; j++)
            w[i * k + j] = genes[i * k + j] >= 0 ? 1.0f / (float)used : 0;
    }
    Tensor *e = op_gather(t, &s->cell.embedding->t, tape_input_i32(t, genes, 2, n, k));
    Tensor *m = op_token_sum(t, e, tape_input_f32(t, w, 2, n, k));
    free(w);
    return op_l2norm(t, linear_forward(t, &s->gene_proj, m, ACT_NONE));
}

/* Queries and text read each other; the mean of the query rows' logits is the answer. */
static Tensor *match(Tape *t, const Stage1 *s, const CellOutput *cells, Tensor *text,
                     const int32_t *len)
{
    Tensor *hq;
    QformerInput in = {.query = cells->start,
                       .text = text,
                       .text_len = len,
                       .genes = cells->genes,
                       .gene_len = cells->len};
    qformer_forward(t, &s->qf, &in, &hq, NULL);
    Tensor *logits = linear_forward(t, &s->match_head, hq, ACT_NONE); /* [B,Q,2] */
    int64_t b = logits->dim[0], q = logits->dim[1];
    return op_token_sum(t, logits, tape_fill(t, 1.0f / (float)q, TAPE_DIMS(2, b, q)));
}

Tensor *stage1_text_token(Tape *t, const Stage1 *s, Tensor *raw)
{
    Tensor *x = linear_forward(t, &s->match_text, raw, ACT_NONE);
    return op_reshape(t, x, TAPE_DIMS(3, x->dim[0], 1, s->c.query.width));
}

Tensor *stage1_match(Tape *t, const Stage1 *s, const CellOutput *cells, Tensor *raw)
{
    return match(t, s, cells, stage1_text_token(t, s, raw), NULL);
}

Tensor *stage1_match_inside(Tape *t, const Stage1 *s, const CellOutput *cells, const int32_t *ids,
                            const int32_t *len, int64_t n)
{
    int64_t b = cells->start->dim[0];
    return match(t, s, cells, qformer_embed(t, &s->qf, ids, b, n), len);
}

Tensor *stage1_caption(Tape *t, const Stage1 *s, const CellOutput *cells, const int32_t *ids,
                       const int32_t *len, int64_t n)
{
    Tensor *h;
    QformerInput in = {.query = cells->start,
                       .text = qformer_embed(t, &s->qf, ids, cells->start->dim[0], n),
                       .text_len = len,
                       .genes = cells->genes,
                       .gene_len = cells->len,
                       .caption = true};
    qformer_forward(t, &s->qf, &in, NULL, &h);
    h = norm_forward(t, &s->caption_norm, linear_forward(t, &s->caption_dense, h, ACT_GELU));
    return op_linear(t, h, &s->qf.word->t, &s->caption_bias->t, ACT_NONE);
}
