/* Cells in, vectors out. */
#include "core/base/mem.h"
#include "core/model/imported.h"
#include <math.h>
#include <string.h>

enum { BATCH = 64 };

typedef struct Reading {
    const Model *m;
    const GeneMap *g;
    const Csr *rows;
    bool lognorm;
    int32_t *gene; /* [n_file] of one thread */
    float *count, *room;
} Reading;

static bool reading_init(Reading *r)
{
    size_t n = r->g->n_file;
    bool wide = r->m->imported != NULL;
    return NEW(r->gene, n) == OK && NEW(r->count, n) == OK &&
           (!wide || NEW(r->room, 2 * n) == OK);
}

static void reading_done(Reading *r)
{
    free(r->gene);
    free(r->count);
    free(r->room);
}

/* The tokens of row i, as the bundle's encoder wants them. */
static size_t read_row(Reading *r, size_t i, size_t width, int32_t *to, float *value)
{
    const Model *m = r->m;
    int64_t from = r->rows->indptr[i];
    size_t n = (size_t)(r->rows->indptr[i + 1] - from);
    double total = 0;
    bool back = r->lognorm && !m->imported;
    for (size_t k = 0; k < n; k++) {
        float v = r->rows->values[from + (int64_t)k];
        r->gene[k] = r->g->gene[r->rows->indices[from + (int64_t)k]];
        r->count[k] = back ? expm1f(v) : v;
        total += (double)v;
    }
    if (!m->imported)
        return genespace_tokens(m->genes, r->gene, r->count, n, r->g->panel, width, to, value);
    n = pipeline_apply(&m->imported->pipe, r->gene, r->count, n, total, r->lognorm, r->room);
    memcpy(to, r->gene, n * sizeof *to);
    memcpy(value, r->count, n * sizeof *value);
    return n;
}

/* No row needs more than its stored values. */
static size_t token_width(const Model *m, const Csr *rows)
{
    int64_t most = 1;
    for (size_t i = 0; i < rows->rows; i++)
        most = rows->indptr[i + 1] - rows->indptr[i] > most ? rows->indptr[i + 1] - rows->indptr[i]
                                                            : most;
    return m->imported && most < m->c.tokens ? (size_t)most : (size_t)m->c.tokens;
}

Err model_tokenize_cells(const Model *m, const GeneMap *g, const Csr *rows, bool lognorm,
                         CellTokens *out)
{
    CellTokens t = {.n = rows->rows, .width = token_width(m, rows)};
    Err err = OK;
    if (rows->cols != g->n_file)
        FAIL(ERR_INPUT, "cells have %zu genes, the gene list %zu", rows->cols, g->n_file);
    TRY_GOTO(NEW(t.gene, t.n * t.width));
    TRY_GOTO(NEW0(t.value, t.n * t.width));
    TRY_GOTO(NEW0(t.len, t.n));
    bool failed = false;
#pragma omp parallel
    {
        Reading r = {m, g, rows, lognorm, NULL, NULL, NULL};
        bool ok = reading_init(&r);
#pragma omp for schedule(static)
        for (size_t i = 0; i < t.n; i++) {
            if (!ok || (size_t)(rows->indptr[i + 1] - rows->indptr[i]) > g->n_file)
                continue;
            int32_t *to = t.gene + i * t.width;
            size_t used = read_row(&r, i, t.width, to, t.value + i * t.width);
            for (size_t k = used; k < t.width; k++)
                to[k] = -1;
            t.len[i] = (int32_t)used;
        }
#pragma omp critical
        failed |= !ok;
        reading_done(&r);
    }
    if (failed)
        FAIL_GOTO(ERR_NOMEM, "not enough memory to read %zu cells", t.n);
    *out = t;
    return OK;
done:
    cell_tokens_done(&t);
    return err;
}

void model_normalise(const Model *m, float *rows, size_t n)
{
    size_t p = m->desc.width, parts = n * m->desc.members;
    float goal = (float)(1 / sqrt((double)m->desc.members));
    for (size_t i = 0; i < parts; i++) {
        float *v = rows + i * p;
        double s = 0;
        for (size_t k = 0; k < p; k++)
            s += (double)v[k] * v[k];
        float f = s > 0 ? goal / (float)sqrt(s) : 0;
        for (size_t k = 0; k < p; k++)
            v[k] *= f;
    }
}

static void fill_batch(const Model *m, const CellTokens *cells, const size_t *pick, size_t at,
                       size_t n, CellInput *in)
{
    int32_t longest = 1;
    in->b = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        size_t c = pick ? pick[at + i] : at + i;
        longest = cells->len[c] > longest ? cells->len[c] : longest;
    }
    in->t = longest + 1;
    if (m->imported)
        imported_batch(m->imported, cells, pick, at, in);
    for (size_t i = 0; !m->imported && i < n; i++) {
        size_t c = pick ? pick[at + i] : at + i;
        cell_input_set(in, (int64_t)i, cells->gene + c * cells->width,
                       cells->value + c * cells->width, (size_t)cells->len[c], m->genes->mean,
                       m->c.cell.vocab);
    }
}

/* Mean over queries, per member, into row[D]. */
static void mean_queries(const Model *m, const float *query, float *row)
{
    size_t q = m->desc.queries, p = m->desc.width;
    for (size_t k = 0; k < m->desc.members; k++)
        for (size_t d = 0; d < p; d++) {
            float s = 0;
            for (size_t j = 0; j < q; j++)
                s += query[(k * q + j) * p + d];
            row[k * p + d] = s;
        }
}

static void unit_row(float *v, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)v[i] * v[i];
    float f = s > 0 ? (float)(1 / sqrt(s)) : 0;
    for (size_t i = 0; i < n; i++)
        v[i] *= f;
}

/* One member's vectors of the cells order[0..in->b) into their places of the output. */
static Err embed_batch(Model *m, size_t member, const CellInput *in, const size_t *order,
                       float *buf, CellVectors *v)
{
    size_t n = (size_t)in->b, qp = v->q * v->p, c = (size_t)m->c.cell.width;
    tape_reset(m->tape);
    CellOutput o = stage1_cells(m->tape, &m->member[member], in);
    if (o.feat)
        TRY(tensor_read(m->tape, o.feat, buf));
    for (size_t i = 0; o.feat && i < n; i++)
        memcpy(v->query + (order[i] * v->m + member) * qp, buf + i * qp, qp * sizeof *buf);
    TRY(tensor_read(m->tape, o.cls, buf));
    for (size_t i = 0; i < n; i++)
        memcpy(v->cls + order[i] * v->c + member * c, buf + i * c, c * sizeof *buf);
    return OK;
}

/* Cells by falling length, so that a batch holds cells alike and is not padded to the longest. */
static Err order_by_length(const CellTokens *cells, size_t **out)
{
    size_t *count, *order;
    TRY(NEW0(count, cells->width + 2));
    Err err = NEW(order, cells->n);
    if (err == OK) {
        for (size_t i = 0; i < cells->n; i++)
            count[cells->width - (size_t)cells->len[i] + 1]++;
        for (size_t k = 1; k <= cells->width + 1; k++)
            count[k] += count[k - 1];
        for (size_t i = 0; i < cells->n; i++)
            order[count[cells->width - (size_t)cells->len[i]]++] = i;
        *out = order;
    }
    free(count);
    return err;
}

enum { BATCH_TOKENS = 16384 };

/* Cells of the next batch: the first is the longest. */
static size_t batch_size(const CellTokens *cells, const size_t *order, size_t left)
{
    size_t n = BATCH_TOKENS / ((size_t)cells->len[order[0]] + 1);
    n = n < 1 ? 1 : n > BATCH ? BATCH : n;
    return n < left ? n : left;
}

Err model_embed_cells(Model *m, const CellTokens *cells, JobCtl *ctl, CellVectors *out)
{
    const ModelDesc *d = &m->desc;
    CellVectors v = {cells->n,     d->members, d->queries, d->width, d->dim,
                     d->cls_width, NULL,       NULL,       NULL};
    CellInput in = {0};
    float *buf = NULL;
    size_t *order = NULL;
    size_t qp = v.q * v.p, most = qp > (size_t)m->c.cell.width ? qp : (size_t)m->c.cell.width;
    Err err = OK;
    TRY_GOTO(NEW(v.query, v.n * v.m * qp));
    TRY_GOTO(NEW(v.x, v.n * v.d));
    TRY_GOTO(NEW(v.cls, v.n * v.c));
    TRY_GOTO(NEW(buf, BATCH * most));
    TRY_GOTO(order_by_length(cells, &order));
    TRY_GOTO(cell_input_init(&in, BATCH, (int64_t)cells->width + 1));
    job_stage(ctl, "embedding cells", v.n);
    for (size_t at = 0, n; at < v.n; at += n) {
        n = batch_size(cells, order + at, v.n - at);
        fill_batch(m, cells, order, at, n, &in);
        for (size_t k = 0; k < v.m; k++)
            TRY_GOTO(embed_batch(m, k, &in, order + at, buf, &v));
        TRY_GOTO(job_progress(ctl, at + n));
    }
    for (size_t i = 0; i < v.n; i++) {
        mean_queries(m, v.query + i * v.m * qp, v.x + i * v.d);
        for (size_t k = 0; k < v.m; k++) /* members weigh the same */
            unit_row(v.cls + i * v.c + k * (size_t)m->c.cell.width, (size_t)m->c.cell.width);
        unit_row(v.cls + i * v.c, v.c);
    }
    model_normalise(m, v.x, v.n);
done:
    cell_input_done(&in);
    free(buf);
    free(order);
    if (err != OK)
        cell_vectors_done(&v);
    else
        *out = v;
    return err;
}

void cell_vectors_done(CellVectors *v)
{
    free(v->query);
    free(v->x);
    free(v->cls);
    *v = (CellVectors){0};
}

/* ---- matching ---- */

/* The texts of a batch of pairs, in the form that the matching head reads. */
typedef struct PairTexts {
    float *raw; /* [BATCH,W] */
    const char *words[BATCH];
    int32_t *ids, *len; /* inside the Q-Former */
    size_t width;
} PairTexts;

static Err match_batch(Model *m, const CellInput *in, const PairTexts *x, size_t n, float *p)
{
    float logits[BATCH * 2];
    for (size_t k = 0; k < m->desc.members; k++) {
        const Stage1 *s = &m->member[k];
        tape_reset(m->tape);
        CellOutput o = stage1_cells(m->tape, s, in);
        Tensor *l =
            x->ids ? stage1_match_inside(m->tape, s, &o, x->ids, x->len, (int64_t)x->width)
                   : stage1_match(m->tape, s, &o,
                                  tape_input_f32(m->tape, x->raw, 2, (int64_t)n,
                                                 (int64_t)m->desc.text_width));
        TRY(tensor_read(m->tape, l, logits));
        for (size_t i = 0; i < n; i++)
            p[i] += 1 / (1 + expf(logits[2 * i] - logits[2 * i + 1])) / (float)m->desc.members;
    }
    return OK;
}

static Err pair_texts(const Model *m, const MatchTexts *t, const size_t *text, size_t n,
                      PairTexts *x)
{
    size_t w = m->desc.text_width;
    for (size_t i = 0; i < n; i++) {
        memcpy(x->raw + i * w, t->raw + text[i] * w, w * sizeof *x->raw);
        x->words[i] = t->words[text[i]];
    }
    if (!m->imported)
        return OK;
    free(x->ids);
    free(x->len);
    x->ids = x->len = NULL;
    return imported_words(m->imported, x->words, n, 0, &x->ids, &x->len, &x->width);
}

Err model_match(Model *m, const CellTokens *cells, const size_t *cell, const MatchTexts *texts,
                const size_t *text, size_t n_pairs, JobCtl *ctl, float *p)
{
    if (!m->desc.has_match)
        FAIL(ERR_MODEL, "%s: the model has no trained matching head", m->desc.dir);
    CellInput in = {0};
    PairTexts x = {0};
    Err err = OK;
    memset(p, 0, n_pairs * sizeof *p);
    TRY_GOTO(NEW(x.raw, BATCH * m->desc.text_width));
    TRY_GOTO(cell_input_init(&in, BATCH, (int64_t)cells->width + 1));
    job_stage(ctl, "matching", n_pairs);
    size_t most = BATCH_TOKENS / (cells->width + 1);
    most = most < 1 ? 1 : most > BATCH ? BATCH : most;
    for (size_t at = 0; at < n_pairs; at += most) {
        size_t n = n_pairs - at < most ? n_pairs - at : most;
        fill_batch(m, cells, cell, at, n, &in);
        TRY_GOTO(pair_texts(m, texts, text + at, n, &x));
        TRY_GOTO(match_batch(m, &in, &x, n, p + at));
        TRY_GOTO(job_progress(ctl, at + n));
    }
done:
    cell_input_done(&in);
    free(x.raw);
    free(x.ids);
    free(x.len);
    return err;
}
