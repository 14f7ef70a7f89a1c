/* The vectors of a session's cells, made in one pass and kept, or taken from a file that `embed` wrote. Query vectors are
 * kept as bytes, in memory as in the file, so that both give the same answers: a quarter of the memory, and a similarity
 * moves by less than a thousandth. */
#include "core/session/model_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum {
    EMBED_BLOCK = 64, /* about a tenth of a second on two cores */
    EMBED_BLOCK_GPU = 512,
    READ_BLOCK = 1024,
};

/* ---- cell vectors ---- */

static void drop_vectors(ModelState *m)
{
    free(m->query);
    free(m->x);
    free(m->cls);
    free(m->empty);
    m->query = NULL;
    m->x = m->cls = NULL;
    m->empty = NULL;
    m->embedded = false;
}

static Err make_vectors(ModelState *m, size_t n)
{
    const ModelDesc *d = model_desc(m->model);
    m->n = n;
    m->per_cell = d->members * d->queries * d->width;
    TRY(mem_check_budget((uint64_t)n * (m->per_cell + 4 * (d->dim + d->cls_width)), "cell vectors"));
    TRY(NEW(m->query, n * m->per_cell));
    TRY(NEW(m->x, n * d->dim));
    TRY(NEW(m->cls, n * d->cls_width));
    return NEW0(m->empty, n);
}

/* Rows of `width` numbers; the length is known to be 1 and need not be kept. */
static void to_bytes(const float *v, size_t n, size_t width, int8_t *out)
{
    for (size_t at = 0; at < n; at += width) {
        float max = 1e-12f;
        for (size_t i = at; i < at + width; i++)
            max = fabsf(v[i]) > max ? fabsf(v[i]) : max;
        for (size_t i = at; i < at + width; i++)
            out[i] = (int8_t)lrintf(v[i] * (127 / max));
    }
}
static void from_bytes(const int8_t *b, size_t n, size_t width, float *out)
{
    for (size_t at = 0; at < n; at += width) {
        int32_t square = 0;
        for (size_t i = at; i < at + width; i++)
            square += b[i] * b[i];
        float scale = square ? 1 / sqrtf((float)square) : 0;
        for (size_t i = at; i < at + width; i++)
            out[i] = scale * (float)b[i];
    }
}

static void store_vectors(ModelState *m, size_t at, const CellVectors *v, const CellTokens *t)
{
    to_bytes(v->query, v->n * m->per_cell, v->p, m->query + at * m->per_cell);
    for (size_t i = 0; i < v->n; i++)
        m->empty[at + i] = t->len[i] == 0;
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
    size_t n = m->n;
    job_stage(ctl, "embedding cells", n);
    size_t block = strncasecmp(m->info.device, "cuda", 4) == 0 ? EMBED_BLOCK_GPU : EMBED_BLOCK;
    for (size_t at = 0; at < n; at += block) {
        size_t k = n - at < block ? n - at : block;
        TRY(embed_block(s, m, at, k, ctl));
        TRY(job_yield(ctl, at + k));
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
        Err err = make_vectors(m, dataset_cells(s->dataset));
        if (err == OK)
            err = model_state_stored_vectors(s, m, ctl, &m->embedded);
        if (err == OK && !m->embedded)
            err = embed_all(s, m, ctl);
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
    *e = (CellEmbedding){.n = m->n, .d_text = d->dim, .d_cls = d->cls_width, .d_queries = m->per_cell};
    Err err = NEW(e->x_scmmgpt, m->n * d->dim);
    if (err == OK)
        err = NEW(e->x_scgpt, m->n * d->cls_width);
    if (err == OK)
        err = NEW(e->queries, m->n * m->per_cell);
    if (err != OK) {
        cell_embedding_free(e);
        return err;
    }
    memcpy(e->x_scmmgpt, m->x, m->n * d->dim * sizeof *m->x);
    memcpy(e->x_scgpt, m->cls, m->n * d->cls_width * sizeof *m->cls);
    memcpy(e->queries, m->query, m->n * m->per_cell);
    *out = e;
    return OK;
}

void cell_embedding_free(CellEmbedding *e)
{
    if (!e)
        return;
    free(e->x_scmmgpt);
    free(e->x_scgpt);
    free(e->queries);
    free(e);
}

Err model_state_similarity(const ModelState *m, const size_t *rows, size_t n, const float *text, size_t n_text,
                           float *sim)
{
    enum { BLOCK = 256 };
    size_t width = model_desc(m->model)->width;
    float *buf;
    TRY(NEW(buf, BLOCK * m->per_cell));
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t k = n - at < BLOCK ? n - at : BLOCK;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < k; i++) {
            size_t r = rows ? rows[at + i] : at + i;
            from_bytes(m->query + r * m->per_cell, m->per_cell, width, buf + i * m->per_cell);
        }
        model_similarity(m->model, buf, k, text, n_text, sim + at * n_text);
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
