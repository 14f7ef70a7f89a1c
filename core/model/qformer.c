/* Q-Former layers: shared self-attention, cross-attention of the queries, separate feed-forward
 * parts. */
#include "core/model/qformer.h"
#include "core/base/mem.h"
#include <stdio.h>

enum { NAME = 256 };

static Err init_layer(ParamSet *ps, const char *prefix, int i, const QformerConfig *c,
                      uint64_t seed, QformerLayer *l)
{
    char base[NAME - 64], name[NAME];
    snprintf(base, sizeof base, "%sbert.encoder.layer.%d.", prefix, i);
    snprintf(name, NAME, "%sattention", base);
    TRY(bert_attn_init(ps, name, c->width, c->width, c->eps, seed, &l->self));
    l->has_cross = i % c->cross_every == 0;
    if (l->has_cross) {
        snprintf(name, NAME, "%scrossattention", base);
        TRY(bert_attn_init(ps, name, c->width, c->cell_width, c->eps, seed, &l->cross));
    }
    TRY(bert_ffn_init(ps, base, "intermediate_query", "output_query", c->width, c->ffn, c->eps,
                      seed, &l->query));
    if (c->text_ffn)
        TRY(bert_ffn_init(ps, base, "intermediate", "output", c->width, c->ffn, c->eps, seed,
                          &l->text));
    return OK;
}

Err qformer_init(ParamSet *ps, const char *prefix, const QformerConfig *c, uint64_t seed,
                 Qformer *q)
{
    char name[NAME];
    q->c = *c;
    TRY(NEW0(q->layer, (size_t)c->layers));
    if (c->vocab) {
        snprintf(name, NAME, "%sbert.embeddings.word_embeddings", prefix);
        TRY(embedding_init(ps, name, c->vocab, c->width, 0.02f, seed, &q->word));
        snprintf(name, NAME, "%sbert.embeddings.position_embeddings", prefix);
        TRY(embedding_init(ps, name, c->positions, c->width, 0.02f, seed, &q->position));
    }
    snprintf(name, NAME, "%sbert.embeddings.LayerNorm", prefix);
    TRY(layernorm_init(ps, name, c->width, c->eps, &q->norm));
    for (int i = 0; i < c->layers; i++)
        TRY(init_layer(ps, prefix, i, c, seed, &q->layer[i]));
    return OK;
}

void qformer_done(Qformer *q)
{
    free(q->layer);
    q->layer = NULL;
}

Tensor *qformer_embed(Tape *t, const Qformer *q, const int32_t *ids, int64_t batch, int64_t tokens)
{
    Tensor *x = op_gather(t, &q->word->t, tape_input_i32(t, ids, 2, batch, tokens));
    return op_add(t, x, op_slice(t, &q->position->t, 0, 0, tokens));
}

/* [query | text] as one sequence; either may be missing. */
static Tensor *join(Tape *t, Tensor *query, Tensor *text)
{
    if (!query || !text)
        return query ? query : text;
    return op_concat2(t, 1, query, text);
}

void qformer_forward(Tape *t, const Qformer *q, const QformerInput *in, Tensor **query,
                     Tensor **text)
{
    Tensor *hq = in->query ? norm_forward(t, &q->norm, in->query) : NULL;
    Tensor *ht = in->text ? norm_forward(t, &q->norm, in->text) : NULL;
    int64_t nq = hq ? hq->dim[1] : 0, nt = ht ? ht->dim[1] : 0;
    int64_t batch = hq ? hq->dim[0] : ht->dim[0];
    AttnSpec self = {.heads = q->c.heads}, cross = {.heads = q->c.heads, .len = in->gene_len};
    cross.key_mask = in->gene_mask;
    self.key_mask = in->self_mask;
    if (ht && in->text_len) { /* queries first, so the visible keys are a prefix */
        int32_t *len = mem_must((size_t)batch * sizeof *len);
        for (int64_t b = 0; b < batch; b++)
            len[b] = (int32_t)nq + in->text_len[b];
        self.len = tape_input_i32(t, len, 1, batch);
        free(len);
    }
    for (int64_t i = 0; i < q->c.layers; i++) {
        const QformerLayer *l = &q->layer[i];
        Tensor *h = join(t, hq, ht);
        if (hq && ht && in->caption) { /* keys come first, so a causal text row sees all queries */
            AttnSpec queries = {.heads = q->c.heads}, words = self;
            words.causal = true;
            ht = bert_attn_forward(t, &l->self, ht, h, &words);
            hq = bert_attn_forward(t, &l->self, hq, hq, &queries);
            h = NULL;
        } else {
            h = bert_attn_forward(t, &l->self, h, h, &self);
        }
        if (h && hq && ht) {
            hq = op_slice(t, h, 1, 0, nq);
            ht = op_slice(t, h, 1, nq, nt);
        } else if (h) {
            hq = hq ? h : NULL;
            ht = ht ? h : NULL;
        }
        if (hq && l->has_cross)
            hq = bert_attn_forward(t, &l->cross, hq, in->genes, &cross);
        if (hq)
            hq = bert_ffn_forward(t, &l->query, hq);
        if (ht)
            ht = bert_ffn_forward(t, &l->text, ht);
    }
    if (query)
        *query = hq;
    if (text)
        *text = ht;
}
