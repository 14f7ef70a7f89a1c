/* The vectors of a session's cells, made in one pass and kept. Query vectors of large files are kept as bytes: a quarter
 * of the memory, the same answers to three digits. */
#include "core/session/model_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum {
    BYTES_ABOVE = 20000, /* cells: query vectors are kept as bytes above this */
    EMBED_BLOCK = 64,    /* about a tenth of a second on two cores */
    EMBED_BLOCK_GPU = 512,
    READ_BLOCK = 1024,
};

/* ---- cell vectors ---- */

static void drop_vectors(ModelState *m)
{
    free(m->query);
    free(m->query8);
    free(m->scale8);
    free(m->x);
    free(m->cls);
    free(m->empty);
    m->query = m->scale8 = m->x = m->cls = NULL;
    m->query8 = NULL;
    m->empty = NULL;
    m->embedded = false;
}

static Err make_vectors(ModelState *m, size_t n)
{
    const ModelDesc *d = model_desc(m->model);
    m->n = n;
    m->per_cell = d->members * d->queries * d->width;
    bool bytes = n > BYTES_ABOVE;
    TRY(mem_check_budget((uint64_t)n * (m->per_cell * (bytes ? 1 : 4) + 4 * (d->dim + d->cls_width)), "cell vectors"));
    if (bytes) {
        TRY(NEW(m->query8, n * m->per_cell));
        TRY(NEW(m->scale8, n));
    } else {
        TRY(NEW(m->query, n * m->per_cell));
    }
    TRY(NEW(m->x, n * d->dim));
    TRY(NEW(m->cls, n * d->cls_width));
    return NEW0(m->empty, n);
}

static void store_bytes(const float *v, size_t n, int8_t *out, float *scale)
{
    float max = 1e-12f;
    for (size_t i = 0; i < n; i++)
        max = fabsf(v[i]) > max ? fabsf(v[i]) : max;
    *scale = max / 127;
    for (size_t i = 0; i < n; i++)
        out[i] = (int8_t)lrintf(v[i] / *scale);
}

static void store_vectors(ModelState *m, size_t at, const CellVectors *v, const CellTokens *t)
{
    for (size_t i = 0; i < v->n; i++) {
        const float *q = v->query + i * m->per_cell;
        if (m->query)
            memcpy(m->query + (at + i) * m->per_cell, q, m->per_cell * sizeof *q);
        else
            store_bytes(q, m->per_cell, m->query8 + (at + i) * m->per_cell, &m->scale8[at + i]);
        m->empty[at + i] = t->len[i] == 0;
    }
    memcpy(m->x + at * v->d, v->x, v->n * v->d * sizeof *v->x);
    memcpy(m->cls + at * v->c, v->cls, v->n * v->c * sizeof *v->cls);
}

static Err embed_block(Session *s, ModelState *m, size_t at, size_t n, JobCtl *ctl)
{
    Csr rows = {0};
    CellTokens t = {0};
    CellVectors v = {0};
    Err err = OK;
    TRY_GOTO(dataset_read_rows(s->dataset, m->matrix, at, n, ctl, &rows));
    TRY_GOTO(model_tokenize_cells(m->model, &m->map, &rows, m->lognorm, &t));
    TRY_GOTO(model_embed_cells(m->model, &t, NULL, &v));
    store_vectors(m, at, &v, &t);
done:
    csr_done(&rows);
    cell_tokens_done(&t);
    cell_vectors_done(&v);
    return err;
}

static Err embed_all(Session *s, ModelState *m, JobCtl *ctl)
{
    size_t n = dataset_cells(s->dataset);
    TRY(make_vectors(m, n));
    job_stage(ctl, "embedding cells", n);
    size_t block = strncasecmp(m->info.device, "cuda", 4) == 0 ? EMBED_BLOCK_GPU : EMBED_BLOCK;
    for (size_t at = 0; at < n; at += block) {
        size_t k = n - at < block ? n - at : block;
        TRY(embed_block(s, m, at, k, ctl));
        TRY(job_progress(ctl, at + k));
    }
    m->embedded = true;
    return OK;
}

Err model_state_embedded(Session *s, JobCtl *ctl, ModelState **out)
{
    ModelState *m;
    TRY(model_state_evidence(s, ctl, &m));
    if (!m->embedded) {
        drop_vectors(m);
        Err err = embed_all(s, m, ctl);
        if (err != OK) {
            drop_vectors(m);
            return err;
        }
    }
    *out = m;
    return OK;
}

Err session_embed(Session *s, JobCtl *ctl)
{
    ModelState *m;
    return model_state_embedded(s, ctl, &m);
}

bool session_is_embedded(const Session *s)
{
    const ModelState *m = s->state[TOPIC_MODEL];
    return m && m->embedded;
}

Err session_cell_embedding(Session *s, JobCtl *ctl, CellEmbedding **out)
{
    ModelState *m;
    TRY(model_state_embedded(s, ctl, &m));
    const ModelDesc *d = model_desc(m->model);
    CellEmbedding *e = mem_must(sizeof *e);
    *e = (CellEmbedding){.n = m->n, .d_text = d->dim, .d_cls = d->cls_width};
    Err err = NEW(e->x_scmmgpt, m->n * d->dim);
    if (err == OK)
        err = NEW(e->x_scgpt, m->n * d->cls_width);
    if (err != OK) {
        cell_embedding_free(e);
        return err;
    }
    memcpy(e->x_scmmgpt, m->x, m->n * d->dim * sizeof *m->x);
    memcpy(e->x_scgpt, m->cls, m->n * d->cls_width * sizeof *m->cls);
    *out = e;
    return OK;
}

void cell_embedding_free(CellEmbedding *e)
{
    if (!e)
        return;
    free(e->x_scmmgpt);
    free(e->x_scgpt);
    free(e);
}

/* Query vectors of rows at .. at+n-1 of the selection as floats in buf, or in place. */
static const float *query_rows(const ModelState *m, const size_t *rows, size_t at, size_t n, float *buf)
{
    if (m->query && !rows)
        return m->query + at * m->per_cell;
    for (size_t i = 0; i < n; i++) {
        size_t r = rows ? rows[at + i] : at + i;
        float *o = buf + i * m->per_cell;
        if (m->query) {
            memcpy(o, m->query + r * m->per_cell, m->per_cell * sizeof *o);
        } else {
            for (size_t j = 0; j < m->per_cell; j++)
                o[j] = m->scale8[r] * (float)m->query8[r * m->per_cell + j];
        }
    }
    return buf;
}

Err model_state_similarity(const ModelState *m, const size_t *rows, size_t n, const float *text, size_t n_text,
                           float *sim)
{
    enum { BLOCK = 512 };
    float *buf = NULL;
    if (rows || !m->query)
        TRY(NEW(buf, BLOCK * m->per_cell));
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t k = n - at < BLOCK ? n - at : BLOCK;
        model_similarity(m->model, query_rows(m, rows, at, k, buf), k, text, n_text, sim + at * n_text);
    }
    free(buf);
    return OK;
}

/* ---- some cells ---- */

Err model_state_tokens(Session *s, const ModelState *m, const size_t *rows, size_t n, JobCtl *ctl, CellTokens *out)
{
    Csr all = {0};
    Err err = OK;
    size_t nnz = 0, cap = 0;
    TRY_GOTO(csr_init(&all, n, m->map.n_file, 0));
    for (size_t i = 0; i < n;) {
        size_t run = 1; /* neighbouring rows are read together */
        while (i + run < n && rows[i + run] == rows[i] + run && run < READ_BLOCK)
            run++;
        Csr part;
        TRY_GOTO(dataset_read_rows(s->dataset, m->matrix, rows[i], run, ctl, &part));
        size_t more = csr_nnz(&part);
        if (nnz + more > cap) {
            cap = 2 * (nnz + more);
            err = mem_realloc(&all.indices, cap, sizeof *all.indices);
            if (err == OK)
                err = mem_realloc(&all.values, cap, sizeof *all.values);
        }
        if (err == OK) {
            memcpy(all.indices + nnz, part.indices, more * sizeof *all.indices);
            memcpy(all.values + nnz, part.values, more * sizeof *all.values);
            for (size_t r = 0; r < run; r++)
                all.indptr[i + r + 1] = (int64_t)nnz + part.indptr[r + 1];
        }
        csr_done(&part);
        TRY_GOTO(err);
        nnz += more;
        i += run;
        TRY_GOTO(job_progress(ctl, i));
    }
    TRY_GOTO(model_tokenize_cells(m->model, &m->map, &all, m->lognorm, out));
done:
    csr_done(&all);
    return err;
}
