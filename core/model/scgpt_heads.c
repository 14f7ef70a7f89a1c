/* Pre-training heads of scGPT. In the generative pass the context of an unknown row goes past the
 * output projection, as the published program has it: rows of both kinds share all other weights.
 */
#include "core/model/scgpt_heads.h"
#include "core/base/str.h"
#include <stdlib.h>

static Err add_linear(ParamSet *ps, const char *prefix, const char *name, int64_t in, int64_t out,
                      bool bias, uint64_t seed, Linear *l)
{
    char *full = str_format("%s%s", prefix, name);
    Err err = linear_init(ps, full, in, out, bias, seed, l);
    free(full);
    return err;
}

Err scgpt_heads_init(ParamSet *ps, const char *prefix, const ScgptConfig *c, uint64_t seed,
                     ScgptHeads *h)
{
    int64_t w = c->width;
    TRY(add_linear(ps, prefix, "decoder.fc.0", w, w, true, seed, &h->gene0));
    TRY(add_linear(ps, prefix, "decoder.fc.2", w, w, true, seed, &h->gene2));
    TRY(add_linear(ps, prefix, "decoder.fc.4", w, 1, true, seed, &h->gene4));
    TRY(add_linear(ps, prefix, "mvc_decoder.gene2query", w, w, true, seed, &h->query));
    TRY(add_linear(ps, prefix, "mvc_decoder.W", w, w, false, seed, &h->inner));
    char *flag = str_format("%sflag_encoder", prefix);
    Err err = embedding_init(ps, flag, 2, w, 0.02f, seed, &h->flag);
    free(flag);
    return err;
}

Tensor *scgpt_gene_rows(Tape *t, const Scgpt *s, const Tensor *gene)
{
    return norm_forward(t, &s->enc_norm, op_gather(t, &s->embedding->t, gene));
}

static Tensor *as_values(Tape *t, Tensor *x)
{
    return op_reshape(t, x, TAPE_DIMS(2, x->dim[0], x->dim[1]));
}

Tensor *scgpt_decode_rows(Tape *t, const ScgptHeads *h, Tensor *rows)
{
    Tensor *x = linear_forward(t, &h->gene0, rows, ACT_LEAKY);
    x = linear_forward(t, &h->gene2, x, ACT_LEAKY);
    return as_values(t, linear_forward(t, &h->gene4, x, ACT_NONE));
}

Tensor *scgpt_decode_cell(Tape *t, const ScgptHeads *h, Tensor *cell, Tensor *genes)
{
    Tensor *q = linear_forward(t, &h->query, genes, ACT_SIGMOID);
    q = linear_forward(t, &h->inner, q, ACT_NONE);
    Tensor *c = op_reshape(t, cell, TAPE_DIMS(3, cell->dim[0], cell->dim[1], 1));
    return as_values(t, op_matmul(t, q, false, c, false, 1));
}

/* One layer over both kinds of rows, x [B,P+G,C]. */
static Tensor *layer_forward(Tape *t, const Scgpt *s, const ScgptLayer *l, Tensor *x, int64_t known,
                             const AttnSpec *spec)
{
    int64_t unknown = x->dim[1] - known;
    Tensor *a = op_attention_qkv(t, linear_forward(t, &l->qkv, x, ACT_NONE), spec);
    a = op_concat2(t, 1, linear_forward(t, &l->out, op_slice(t, a, 1, 0, known), ACT_NONE),
                   op_slice(t, a, 1, known, unknown));
    x = norm_forward(t, &l->norm1, op_add(t, x, op_dropout(t, a, s->drop)));
    Tensor *f = op_dropout(t, linear_forward(t, &l->ff1, x, ACT_RELU), s->drop);
    f = op_dropout(t, linear_forward(t, &l->ff2, f, ACT_NONE), s->drop);
    return norm_forward(t, &l->norm2, op_add(t, x, f));
}

ScgptHidden scgpt_forward_generative(Tape *t, const Scgpt *s, const ScgptHeads *h,
                                     const Tensor *known_gene, Tensor *value,
                                     const Tensor *unknown_gene, const Tensor *visible,
                                     Tensor *cell)
{
    int64_t p = known_gene->dim[1], g = unknown_gene->dim[1], w = s->c.width;
    Tensor *known = scgpt_input(t, s, known_gene, value);
    if (cell) {
        Tensor *first = op_reshape(t, cell, TAPE_DIMS(3, cell->dim[0], 1, w));
        known = op_concat2(t, 1, first, op_slice(t, known, 1, 1, p - 1));
    }
    Tensor *flag = op_reshape(t, op_slice(t, &h->flag->t, 0, 1, 1), TAPE_DIMS(1, w));
    Tensor *x = op_concat2(t, 1, known, op_add(t, scgpt_gene_rows(t, s, unknown_gene), flag));
    AttnSpec spec = {.heads = s->c.heads, .prefix = p, .key_mask = visible, .drop = s->drop};
    for (int64_t i = 0; i < s->c.layers; i++)
        x = layer_forward(t, s, &s->layer[i], x, p, &spec);
    return (ScgptHidden){op_slice(t, x, 1, 0, p), op_slice(t, x, 1, p, g)};
}
