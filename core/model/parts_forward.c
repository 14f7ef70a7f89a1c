/* The forward pass of every part, for comparison with the programs that published them. Padding is
 * where the gene is <pad>, wherever it stands; -1e4 masks of the original are hard ones here. */
#include "core/base/mem.h"
#include "core/model/parts_own.h"
#include <string.h>

typedef struct Run {
    const Parts *p;
    const PartsInput *in;
    Tape *t;
    PartsEmit *emit;
    void *user;
    float *cell_feats, *text_feats; /* host, for sim */
    Tensor *raw;                    /* [B,W] sentence vectors of a text tower; NULL: none */
} Run;

#define SHAPE(...) ((const uint64_t[]){__VA_ARGS__})

/* Reads x and hands it out; *keep takes the values when not NULL. */
static Err emit(Run *r, const char *name, const Tensor *x, int rank, const uint64_t *shape,
                float **keep)
{
    float *v;
    TRY(NEW(v, (size_t)tensor_size(x)));
    Err err = tensor_read(r->t, x, v);
    if (err == OK)
        err = r->emit(r->user, name, rank, shape, v);
    if (err == OK && keep)
        *keep = v;
    else
        free(v);
    return err;
}

static Err check_ids(const char *name, const int32_t *ids, int64_t n, int64_t rows, int32_t lowest)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < lowest || ids[i] >= rows)
            FAIL(ERR_INPUT, "%s: id %d at element %lld is not one of the model's %lld rows", name,
                 ids[i], (long long)i, (long long)rows);
    return OK;
}

static Err check_input(const Parts *p, const PartsInput *in)
{
    const PartsConfig *c = &p->c;
    if (in->gene_ids && c->cell) {
        if (!in->values)
            FAIL(ERR_INPUT, "values: is missing; gene_ids needs it");
        TRY(check_ids("gene_ids", in->gene_ids, in->b * in->l, c->c.vocab, 0));
    }
    if (in->gene_ids && c->expr)
        TRY(check_ids("gene_ids", in->gene_ids, in->b * in->l, c->expr_genes, 0));
    bool inside = c->query && c->q.vocab > 0;
    if (in->text_ids && (inside || c->text)) {
        int64_t rows = inside ? c->q.vocab : c->t.vocab;
        int64_t positions = inside ? c->q.positions : c->t.positions;
        TRY(check_ids("text_ids", in->text_ids, in->b * in->tokens, rows, 0));
        if (in->tokens > positions)
            FAIL(ERR_INPUT, "text_ids: %lld tokens, the model has %lld positions",
                 (long long)in->tokens, (long long)positions);
    }
    if (in->lm_ids && c->lm) {
        TRY(check_ids("lm_ids", in->lm_ids, in->b * in->s, c->l.vocab, -1));
        for (int64_t i = 0; i + 1 < in->b * in->s; i++)
            if (in->lm_ids[i] < 0 && in->lm_ids[i + 1] >= 0 && (i + 1) % in->s)
                FAIL(ERR_INPUT, "lm_ids: padding (-1) before the end of a row");
    }
    return OK;
}

/* 1 where a row is in use; `before` ones stand in front of every sequence. */
static Tensor *mask_input(Tape *t, const PartsInput *in, const uint8_t *used, int64_t n,
                          int64_t before)
{
    int64_t w = n + before;
    uint8_t *m = mem_must((size_t)(in->b * w));
    memset(m, 1, (size_t)(in->b * w));
    for (int64_t b = 0; b < in->b; b++)
        memcpy(m + b * w + before, used + b * n, (size_t)n);
    Tensor *x = tape_input_u8(t, m, 2, in->b, w);
    free(m);
    return x;
}

typedef struct Cells {
    Tensor *hidden, *genes, *mask; /* [B,L,C] rows, LN of them, u8 [B,L] */
    Tensor *start;                 /* [B,Q,W] queries before the first layer */
} Cells;

static Err run_cells(Run *r, Cells *out)
{
    const PartsInput *in = r->in;
    const Parts *p = r->p;
    uint64_t b = (uint64_t)in->b, l = (uint64_t)in->l, w = (uint64_t)p->c.c.width;
    size_t n = (size_t)(in->b * in->l);
    uint8_t *used;
    float *v;
    TRY(NEW(used, n));
    Err err = NEW(v, n);
    if (err != OK) {
        free(used);
        return err;
    }
    for (size_t i = 0; i < n; i++) {
        used[i] = in->gene_ids[i] != p->c.pad;
        v[i] = in->values[i] > 512 ? 512 : in->values[i];
    }
    out->mask = mask_input(r->t, in, used, in->l, 0);
    Tensor *ids = tape_input_i32(r->t, in->gene_ids, 2, in->b, in->l);
    Tensor *value = tape_input_f32(r->t, v, 2, in->b, in->l);
    if (p->c.query)
        out->start = p->own ? parts_own_start(r->t, p, in, used)
                            : op_repeat(r->t, &p->query_tokens->t, in->b);
    free(used);
    free(v);
    AttnSpec mask = {.key_mask = out->mask};
    out->hidden = scgpt_forward_masked(r->t, &p->cell, ids, value, &mask);
    if (p->c.query)
        out->genes = norm_forward(r->t, &p->ln_gene, out->hidden);
    TRY(emit(r, "cell_hidden", out->hidden, 3, SHAPE(b, l, w), NULL));
    return emit(r, "cell_emb", op_take(r->t, out->hidden, 0), 2, SHAPE(b, w), NULL);
}

/* D(C[:,0], genes): with one key the attention's weights are 1, so the context is the projected
 * value alone. */
Tensor *parts_expression(Tape *t, const Parts *p, Tensor *token, const int32_t *ids, int64_t b,
                         int64_t l)
{
    int64_t e = p->c.expr_width;
    Tensor *kv = linear_forward(t, &p->expr_cell, token, ACT_NONE);
    Tensor *v = op_slice(t, kv, 1, e, e);
    Tensor *w = op_slice(t, &p->expr_in_w->t, 0, 2 * e, e);
    Tensor *bias = op_slice(t, &p->expr_in_b->t, 0, 2 * e, e);
    Tensor *ctx = linear_forward(t, &p->expr_out, op_linear(t, v, w, bias, ACT_NONE), ACT_NONE);
    int32_t *row = mem_must((size_t)(b * l) * sizeof *row);
    for (int64_t i = 0; i < b * l; i++)
        row[i] = (int32_t)(i / l);
    Tensor *c = op_gather(t, ctx, tape_input_i32(t, row, 2, b, l));
    free(row);
    Tensor *g = op_gather(t, &p->gene_embed->t, tape_input_i32(t, ids, 2, b, l));
    Tensor *h = linear_forward(t, &p->mlp0, op_concat2(t, 2, c, g), ACT_RELU);
    return linear_forward(t, &p->mlp2, h, ACT_NONE);
}

Tensor *parts_project(Tape *t, const Parts *p, Tensor *query)
{
    return linear_forward(t, &p->fc2, linear_forward(t, &p->fc1, query, ACT_RELU), ACT_NONE);
}

static Err run_expr(Run *r, Tensor *tokens)
{
    const PartsInput *in = r->in;
    Tensor *x = parts_expression(r->t, r->p, op_take(r->t, tokens, 0), in->gene_ids, in->b, in->l);
    return emit(r, "expr", x, 2, SHAPE((uint64_t)in->b, (uint64_t)in->l), NULL);
}

static Err run_queries(Run *r, const Cells *cells)
{
    const Parts *p = r->p;
    Tape *t = r->t;
    Tensor *h;
    uint64_t b = (uint64_t)r->in->b, q = (uint64_t)p->c.queries, w = (uint64_t)p->c.q.width;
    QformerInput in = {.query = cells->start,
                       .genes = cells->genes,
                       .gene_mask = cells->mask};
    qformer_forward(t, &p->qf, &in, &h, NULL);
    TRY(emit(r, "query_hidden", h, 3, SHAPE(b, q, w), NULL));
    if (p->c.heads) {
        Tensor *f = op_l2norm(t, linear_forward(t, &p->cell_proj, h, ACT_NONE));
        TRY(emit(r, "cell_feats", f, 3, SHAPE(b, q, (uint64_t)p->c.proj), &r->cell_feats));
    }
    if (!p->c.projector)
        return OK;
    Tensor *c = parts_project(t, p, h);
    TRY(emit(r, "cell_tokens", c, 3, SHAPE(b, q, (uint64_t)p->c.llm_width), NULL));
    return p->c.expr ? run_expr(r, c) : OK;
}

static uint8_t *text_mask(const PartsInput *in)
{
    size_t n = (size_t)(in->b * in->tokens);
    uint8_t *m = mem_must(n ? n : 1);
    for (size_t i = 0; i < n; i++)
        m[i] = !in->text_mask || in->text_mask[i] != 0;
    return m;
}

/* Mean of the rows in use. */
static Tensor *pool_mean(Tape *t, Tensor *h, const uint8_t *used, int64_t b, int64_t n)
{
    float *w = mem_must((size_t)(b * n) * sizeof *w);
    for (int64_t i = 0; i < b; i++) {
        int64_t count = 0;
        for (int64_t k = 0; k < n; k++)
            count += used[i * n + k];
        for (int64_t k = 0; count && k < n; k++)
            w[i * n + k] = used[i * n + k] ? 1.0f / (float)count : 0;
    }
    Tensor *x = op_token_sum(t, h, tape_input_f32(t, w, 2, b, n));
    free(w);
    return x;
}

/* A vector of each text, as its publisher makes it: with the first token type, pooled. */
static Err run_sentences(Run *r, const AttnSpec *mask, Tensor *hidden, const uint8_t *used)
{
    const PartsConfig *c = &r->p->c;
    const PartsInput *in = r->in;
    if (c->text_pool == SENTENCE_NONE)
        return OK;
    if (c->t.types)
        hidden = bert_forward_masked(r->t, r->p->bert, in->text_ids, mask, true, in->b, in->tokens);
    r->raw = c->text_pool == SENTENCE_MEAN ? pool_mean(r->t, hidden, used, in->b, in->tokens)
                                           : op_take(r->t, hidden, 0);
    if (c->text_unit)
        r->raw = op_l2norm(r->t, r->raw);
    return emit(r, "text_emb", r->raw, 2, SHAPE((uint64_t)in->b, (uint64_t)c->t.width), NULL);
}

/* Where a text tower's sentences lie in the shared space. */
static Err run_tower(Run *r)
{
    const PartsInput *in = r->in;
    return emit(r, "text_feats", stage1_texts(r->t, &r->p->own->s, r->raw), 2,
                SHAPE((uint64_t)in->b, (uint64_t)r->p->c.proj), &r->text_feats);
}

/* Through the Q-Former's own layers, or a BERT alone. */
static Err run_texts(Run *r, const uint8_t *used)
{
    const Parts *p = r->p;
    const PartsInput *in = r->in;
    Tape *t = r->t;
    Tensor *h, *mask = mask_input(t, in, used, in->tokens, 0);
    uint64_t b = (uint64_t)in->b, n = (uint64_t)in->tokens;
    if (!p->c.query || p->c.q.vocab == 0) {
        AttnSpec spec = {.key_mask = mask};
        h = bert_forward_masked(t, p->bert, in->text_ids, &spec, false, in->b, in->tokens);
        TRY(emit(r, "text_hidden", h, 3, SHAPE(b, n, (uint64_t)p->c.t.width), NULL));
        TRY(run_sentences(r, &spec, h, used));
        return p->own ? run_tower(r) : OK;
    }
    QformerInput q = {.text = qformer_embed(t, &p->qf, in->text_ids, in->b, in->tokens),
                      .self_mask = mask};
    qformer_forward(t, &p->qf, &q, NULL, &h);
    TRY(emit(r, "text_hidden", h, 3, SHAPE(b, n, (uint64_t)p->c.q.width), NULL));
    if (!p->c.heads)
        return OK;
    Tensor *f = op_l2norm(t, linear_forward(t, &p->text_proj, op_take(t, h, 0), ACT_NONE));
    return emit(r, "text_feats", f, 2, SHAPE(b, (uint64_t)p->c.proj), &r->text_feats);
}

static Err run_sim(Run *r)
{
    int64_t b = r->in->b, q = r->p->c.queries, w = r->p->c.proj;
    Tensor *c = tape_input_f32(r->t, r->cell_feats, 3, b, q, w);
    Tensor *x = tape_input_f32(r->t, r->text_feats, 2, b, w);
    return emit(r, "sim", op_max_similarity(r->t, c, x), 2, SHAPE((uint64_t)b, (uint64_t)b), NULL);
}

/* Queries and text together: the matching head, and the captioning head with its own mask. */
static Err run_joint(Run *r, const Cells *cells, const uint8_t *used)
{
    const Parts *p = r->p;
    const PartsInput *in = r->in;
    Tape *t = r->t;
    Tensor *h;
    QformerInput q = {.query = cells->start, .genes = cells->genes, .gene_mask = cells->mask};
    if (p->own && r->raw) {
        q.text = stage1_text_token(t, &p->own->s, r->raw);
    } else {
        q.text = qformer_embed(t, &p->qf, in->text_ids, in->b, in->tokens);
        q.self_mask = mask_input(t, in, used, in->tokens, p->c.queries);
    }
    if (p->c.match) {
        qformer_forward(t, &p->qf, &q, &h, NULL);
        Tensor *logits = linear_forward(t, &p->gtm_head, h, ACT_NONE);
        float share = 1.0f / (float)p->c.queries;
        Tensor *w = tape_fill(t, share, TAPE_DIMS(2, in->b, p->c.queries));
        TRY(emit(r, "match_logits", op_token_sum(t, logits, w), 2, SHAPE((uint64_t)in->b, 2),
                 NULL));
    }
    if (!p->c.caption)
        return OK;
    q.caption = true;
    qformer_forward(t, &p->qf, &q, NULL, &h);
    h = norm_forward(t, &p->caption_norm, linear_forward(t, &p->caption_dense, h, ACT_GELU));
    return emit(r, "caption_logits", linear_forward(t, &p->caption_out, h, ACT_NONE), 3,
                SHAPE((uint64_t)in->b, (uint64_t)in->tokens, (uint64_t)p->c.q.vocab), NULL);
}

static Err run_lm(Run *r)
{
    const PartsInput *in = r->in;
    size_t v = (size_t)r->p->c.l.vocab, s = (size_t)in->s;
    float *all;
    int32_t *ids;
    TRY(NEW(all, (size_t)in->b * s * v));
    Err err = NEW(ids, s);
    for (int64_t b = 0; err == OK && b < in->b; b++) {
        for (size_t i = 0; i < s; i++) {
            int32_t id = in->lm_ids[(size_t)b * s + i];
            ids[i] = id < 0 ? 0 : id; /* at the end: no earlier row sees it */
        }
        err = lm_logits(r->p->lm, ids, in->s, all + (size_t)b * s * v);
    }
    if (err == OK)
        err = r->emit(r->user, "lm_logits", 3, SHAPE((uint64_t)in->b, s, v), all);
    free(ids);
    free(all);
    return err;
}

static Err run_all(Run *r, JobCtl *ctl, const uint8_t *used)
{
    const PartsConfig *c = &r->p->c;
    const PartsInput *in = r->in;
    Cells cells = {0};
    bool inside = c->query && c->q.vocab > 0;
    bool sentence = r->p->own && !inside; /* the matching head reads the text as one token */
    bool has_cells = in->gene_ids && c->cell, has_text = in->text_ids && (inside || c->text);
    if (has_cells)
        TRY(run_cells(r, &cells));
    TRY(job_progress(ctl, 1));
    if (has_cells && c->query)
        TRY(run_queries(r, &cells));
    if (has_text)
        TRY(run_texts(r, used));
    TRY(job_progress(ctl, 2));
    if (r->cell_feats && r->text_feats)
        TRY(run_sim(r));
    if (has_cells && has_text && (sentence ? c->match : inside && c->q.text_ffn))
        TRY(run_joint(r, &cells, used));
    TRY(job_progress(ctl, 3));
    return in->lm_ids && r->p->lm ? run_lm(r) : OK;
}

Err parts_forward(const Parts *p, const PartsInput *in, JobCtl *ctl, PartsEmit *emit_to, void *user)
{
    Run r = {.p = p, .in = in, .emit = emit_to, .user = user};
    TRY(check_input(p, in));
    TRY(tape_new(p->d, false, &r.t));
    job_stage(ctl, "computing", 4);
    uint8_t *used = text_mask(in);
    Err err = run_all(&r, ctl, used);
    free(used);
    free(r.cell_feats);
    free(r.text_feats);
    tape_free(r.t);
    return err;
}
