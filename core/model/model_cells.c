/* Cells in, vectors out. */
#include "core/base/mem.h"
#include "core/model/model_impl.h"
#include <math.h>
#include <string.h>

enum { BATCH = 64 };

Err model_tokenize_cells(const Model *m, const GeneMap *g, const Csr *rows, bool lognorm,
                         CellTokens *out)
{
    CellTokens t = {.n = rows->rows, .width = (size_t)m->c.tokens};
    Err err = OK;
    if (rows->cols != g->n_file)
        FAIL(ERR_INPUT, "cells have %zu genes, the gene list %zu", rows->cols, g->n_file);
    TRY_GOTO(NEW(t.gene, t.n * t.width));
    TRY_GOTO(NEW0(t.value, t.n * t.width));
    TRY_GOTO(NEW0(t.len, t.n));
    bool failed = false;
#pragma omp parallel
    {
        int32_t *gene = NULL;
        float *count = NULL;
        bool ok = NEW(gene, g->n_file) == OK && NEW(count, g->n_file) == OK;
#pragma omp for schedule(static)
        for (size_t i = 0; i < t.n; i++) {
            size_t n = (size_t)(rows->indptr[i + 1] - rows->indptr[i]);
            if (!ok || n > g->n_file)
                continue;
            for (size_t k = 0; k < n; k++) {
                int64_t at = rows->indptr[i] + (int64_t)k;
                gene[k] = g->gene[rows->indices[at]];
                count[k] = lognorm ? expm1f(rows->values[at]) : rows->values[at];
            }
            int32_t *to = t.gene + i * t.width;
            size_t used = genespace_tokens(m->genes, gene, count, n, g->panel, t.width, to,
                                           t.value + i * t.width);
            for (size_t k = used; k < t.width; k++)
                to[k] = -1;
            t.len[i] = (int32_t)used;
        }
#pragma omp critical
        failed |= !ok;
        free(gene);
        free(count);
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
    for (size_t i = 0; i < n; i++) {
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

/* One member's vectors of one batch into their places of the output. */
static Err embed_batch(Model *m, size_t member, const CellInput *in, size_t at, float *buf,
                       CellVectors *v)
{
    size_t n = (size_t)in->b, qp = v->q * v->p, c = (size_t)m->c.cell.width;
    tape_reset(m->tape);
    CellOutput o = stage1_cells(m->tape, &m->member[member], in);
    TRY(tensor_read(m->tape, o.feat, buf));
    for (size_t i = 0; i < n; i++)
        memcpy(v->query + ((at + i) * v->m + member) * qp, buf + i * qp, qp * sizeof *buf);
    TRY(tensor_read(m->tape, o.cls, buf));
    for (size_t i = 0; i < n; i++)
        memcpy(v->cls + (at + i) * v->c + member * c, buf + i * c, c * sizeof *buf);
    return OK;
}

Err model_embed_cells(Model *m, const CellTokens *cells, JobCtl *ctl, CellVectors *out)
{
    const ModelDesc *d = &m->desc;
    CellVectors v = {cells->n,     d->members, d->queries, d->width, d->dim,
                     d->cls_width, NULL,       NULL,       NULL};
    CellInput in = {0};
    float *buf = NULL;
    size_t qp = v.q * v.p, most = qp > (size_t)m->c.cell.width ? qp : (size_t)m->c.cell.width;
    Err err = OK;
    TRY_GOTO(NEW(v.query, v.n * v.m * qp));
    TRY_GOTO(NEW(v.x, v.n * v.d));
    TRY_GOTO(NEW(v.cls, v.n * v.c));
    TRY_GOTO(NEW(buf, BATCH * most));
    TRY_GOTO(cell_input_init(&in, BATCH, (int64_t)cells->width + 1));
    job_stage(ctl, "embedding cells", v.n);
    for (size_t at = 0; at < v.n; at += BATCH) {
        size_t n = v.n - at < BATCH ? v.n - at : BATCH;
        fill_batch(m, cells, NULL, at, n, &in);
        for (size_t k = 0; k < v.m; k++)
            TRY_GOTO(embed_batch(m, k, &in, at, buf, &v));
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
static Err match_batch(Model *m, const CellInput *in, const float *raw, size_t n, float *p)
{
    float logits[BATCH * 2];
    for (size_t k = 0; k < m->desc.members; k++) {
        const Stage1 *s = &m->member[k];
        tape_reset(m->tape);
        CellOutput o = stage1_cells(m->tape, s, in);
        Tensor *r = tape_input_f32(m->tape, raw, 2, (int64_t)n, (int64_t)m->desc.text_width);
        TRY(tensor_read(m->tape, stage1_match(m->tape, s, &o, r), logits));
        for (size_t i = 0; i < n; i++)
            p[i] += 1 / (1 + expf(logits[2 * i] - logits[2 * i + 1])) / (float)m->desc.members;
    }
    return OK;
}

Err model_match(Model *m, const CellTokens *cells, const size_t *cell, const float *raw,
                const size_t *text, size_t n_pairs, JobCtl *ctl, float *p)
{
    if (!m->desc.has_match)
        FAIL(ERR_MODEL, "%s: the model has no trained matching head", m->desc.dir);
    size_t w = m->desc.text_width;
    CellInput in = {0};
    float *r = NULL;
    Err err = OK;
    memset(p, 0, n_pairs * sizeof *p);
    TRY_GOTO(NEW(r, BATCH * w));
    TRY_GOTO(cell_input_init(&in, BATCH, (int64_t)cells->width + 1));
    job_stage(ctl, "matching", n_pairs);
    for (size_t at = 0; at < n_pairs; at += BATCH) {
        size_t n = n_pairs - at < BATCH ? n_pairs - at : BATCH;
        fill_batch(m, cells, cell, at, n, &in);
        for (size_t i = 0; i < n; i++)
            memcpy(r + i * w, raw + text[at + i] * w, w * sizeof *r);
        TRY_GOTO(match_batch(m, &in, r, n, p + at));
        TRY_GOTO(job_progress(ctl, at + n));
    }
done:
    cell_input_done(&in);
    free(r);
    return err;
}
