/* Drawing the batch of a step of stage 1. */
#include "core/train/stage1_batch.h"
#include "core/base/mem.h"
#include <math.h>
#include <string.h>

enum { GENE_POOL = 24 };

bool stage1_inside(const Stage1Trainer *t)
{
    return t->c.query.vocab > 0;
}

Err stage1_step_init(Stage1Trainer *t)
{
    Stage1Step *s = &t->s;
    size_t b = (size_t)t->o.batch, n = t->n_types, k = (size_t)t->c.train_tokens;
    TRY(cell_input_init(&s->in, (int64_t)b, (int64_t)k + 1));
    TRY(NEW(s->type, b));
    TRY(NEW(s->gene_word, b * GENE_WORD));
    TRY(NEW(s->tok_gene, k));
    TRY(NEW(s->tok_value, k));
    TRY(NEW(s->bank, n * t->w));
    TRY(NEW(s->target, b));
    TRY(NEW(s->anc_target, b));
    TRY(NEW(s->diag, b));
    TRY(NEW(s->match_label, b));
    TRY(NEW(s->mask, b * n));
    TRY(NEW(s->anc_mask, b * n));
    TRY(NEW(s->text_mask, b * b));
    TRY(NEW(s->text_soft, b * b));
    TRY(NEW0(s->identity, b * b));
    TRY(NEW(s->sim, b * n));
    TRY(NEW(s->wrong, b * t->w));
    TRY(NEW(s->wrong_type, b));
    TRY(NEW(s->bank_text, n));
    for (size_t i = 0; i < b; i++) {
        s->diag[i] = (int32_t)i;
        s->identity[i * b + i] = 1;
    }
    return OK;
}

void stage1_step_done(Stage1Step *s)
{
    cell_input_done(&s->in);
    drawn_cell_done(&s->cell);
    void *all[] = {s->type,     s->gene_word,  s->tok_gene,  s->tok_value,   s->bank,
                   s->target,   s->anc_target, s->diag,      s->match_label, s->mask,
                   s->anc_mask, s->text_mask,  s->text_soft, s->identity,    s->sim,
                   s->wrong,    s->wrong_type, s->bank_text, s->bank_ids,    s->bank_len};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* ---- the batch ---- */
static Err draw_cells(Stage1Trainer *t, Rng *r)
{
    Stage1Step *s = &t->s;
    const GeneSpace *g = t->r->corpus->genes;
    size_t b = (size_t)t->o.batch, simulated = (size_t)lround(t->o.simulated * t->o.batch);
    for (size_t i = 0; i < b; i++) {
        size_t n = 0;
        for (int tries = 0; n == 0 && tries < 100; tries++) {
            TRY(sampler_draw(t->sampler, r, i < simulated, &s->cell));
            n = genespace_tokens(g, s->cell.gene, s->cell.count, s->cell.n, s->cell.panel,
                                 (size_t)t->c.train_tokens, s->tok_gene, s->tok_value);
        }
        cell_input_set(&s->in, (int64_t)i, s->tok_gene, s->tok_value, n, g->mean, t->c.cell.vocab);
        s->type[i] = s->cell.type;
        size_t pool = n < GENE_POOL ? n : GENE_POOL;
        for (size_t k = 0; k < GENE_WORD; k++)
            s->gene_word[i * GENE_WORD + k] = pool ? s->tok_gene[rng_below(r, pool)] : -1;
    }
    return OK;
}

/* One paraphrase of a type: its plain name, one of its synonyms, or (mostly) one of its own-words
 * texts. */
static size_t draw_text(const Stage1Trainer *t, size_t type, Rng *r)
{
    const Library *l = t->r->library;
    double u = rng_uniform(r);
    uint8_t want = u < t->o.name_share                        ? TEXT_NAME
                   : u < t->o.name_share + t->o.synonym_share ? TEXT_SYNONYM
                                                              : TEXT_OWN;
    size_t pick = l->first[type], n = 0; /* the plain name when there is none of the kind */
    for (size_t i = l->first[type]; i < l->first[type + 1]; i++)
        if (l->kind[i] == want && rng_below(r, ++n) == 0)
            pick = i;
    return pick;
}

static Err draw_bank(Stage1Trainer *t, Rng *r)
{
    Stage1Step *s = &t->s;
    const Library *l = t->r->library;
    for (size_t i = 0; i < t->n_types; i++) {
        size_t pick = draw_text(t, i, r);
        s->bank_text[i] = l->text[pick];
        memcpy(s->bank + i * t->w, l->raw + pick * t->w, t->w * sizeof(float));
    }
    if (!stage1_inside(t))
        return OK;
    free(s->bank_ids);
    free(s->bank_len);
    s->bank_ids = s->bank_len = NULL;
    size_t most =
        (size_t)t->c.query.positions < TEXT_TOKENS ? (size_t)t->c.query.positions : TEXT_TOKENS;
    return wordpiece_encode_rows(text_tower_words(t->r->tower), s->bank_text, t->n_types, most,
                                 &s->bank_ids, &s->bank_len, &s->bank_width);
}

static void fill_targets(Stage1Trainer *t, Rng *r)
{
    Stage1Step *s = &t->s;
    size_t b = (size_t)t->o.batch, n = t->n_types;
    for (size_t i = 0; i < b; i++) {
        size_t own = (size_t)s->type[i];
        const CellType *ct = celltypes_at(t->r->types, own);
        s->target[i] = (int32_t)own;
        for (size_t j = 0; j < n; j++)
            s->mask[i * n + j] = j != own && (!t->trained[j] || t->related[own * n + j]);
        s->anc_target[i] = ct->n_ancestors ? ct->ancestors[rng_below(r, ct->n_ancestors)] : -100;
        size_t anc = s->anc_target[i] < 0 ? own : (size_t)s->anc_target[i];
        for (size_t j = 0; j < n; j++)
            s->anc_mask[i * n + j] =
                j != anc && (!t->trained[j] || t->related[anc * n + j] || t->related[own * n + j]);
        float same = 0;
        for (size_t j = 0; j < b; j++)
            same += s->type[j] == s->type[i];
        for (size_t j = 0; j < b; j++) {
            bool eq = s->type[j] == s->type[i];
            s->text_soft[i * b + j] = eq ? 1 / same : 0;
            s->text_mask[i * b + j] = !eq && t->related[own * n + (size_t)s->type[j]];
        }
    }
}

Err stage1_draw_wrong(Stage1Trainer *t, Tensor *sim, Rng *r)
{
    Stage1Step *s = &t->s;
    size_t b = (size_t)t->o.batch, n = t->n_types;
    TRY(tensor_read(t->tape, sim, s->sim));
    for (size_t i = 0; i < b; i++) {
        double sum = 0, top = -1e30;
        for (size_t j = 0; j < n; j++)
            if (!s->mask[i * n + j] && j != (size_t)s->type[i] && s->sim[i * n + j] > top)
                top = s->sim[i * n + j];
        size_t pick = (size_t)s->type[i];
        for (size_t j = 0; j < n; j++) {
            if (s->mask[i * n + j] || j == (size_t)s->type[i])
                continue;
            double w = exp(s->sim[i * n + j] - top) + 1e-4;
            sum += w;
            if (rng_uniform(r) * sum < w)
                pick = j;
        }
        s->wrong_type[i] = (int32_t)pick;
    }
    return OK;
}

Err stage1_draw_batch(Stage1Trainer *t, Rng *r)
{
    TRY(draw_cells(t, r));
    TRY(draw_bank(t, r));
    fill_targets(t, r);
    return OK;
}
