/* Vectors in the file itself: what `embed` wrote (obsm/X_scmmgpt, X_scgpt, X_scmmgpt_queries and the model's hash in
 * uns/scmmgpt) is used as it is. A few cells are embedded again and compared, so that vectors which no longer belong to
 * the values (genes renamed, cells in another order, counts replaced) are found out; cells left out do no harm. */
#include "core/session/model_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/data/tree.h"

enum { PROBES = 4 };
static const float SAME = 0.999f; /* cosine; other processors and devices round differently */

static int find_exact(const Dataset *d, const char *name, size_t width)
{
    int i = dataset_find_obsm(d, name);
    const ObsmInfo *o = i < 0 ? NULL : dataset_obsm_info(d, (size_t)i);
    return o && strcmp(o->name, name) == 0 && o->d == width && o->n == dataset_cells(d) ? i : -1;
}

static Err of_this_model(Session *s, const ModelState *m, bool *same)
{
    Tree *uns;
    TRY(dataset_uns(s->dataset, &uns));
    const Tree *hash = tree_get(uns, "scmmgpt/model_sha256");
    *same = hash && hash->kind == TREE_TEXT && strcmp(hash->text, m->info.sha256) == 0;
    tree_free(uns);
    return OK;
}

static Err read_into(Session *s, int i, size_t n, float *to)
{
    float *v;
    TRY(dataset_obsm(s->dataset, (size_t)i, &v));
    memcpy(to, v, n * sizeof *to);
    free(v);
    return OK;
}

/* A few cells embedded again. */
static Err probe(Session *s, const ModelState *m, JobCtl *ctl, bool *same)
{
    size_t n = m->n < PROBES ? m->n : PROBES, rows[PROBES];
    CellTokens t = {0};
    CellVectors v = {0};
    Err err = OK;
    for (size_t i = 0; i < n; i++)
        rows[i] = (2 * i + 1) * m->n / (2 * n);
    TRY_GOTO(model_state_tokens(s, m, rows, n, ctl, &t));
    TRY_GOTO(model_embed_cells(m->model, &t, NULL, &v));
    *same = true;
    for (size_t i = 0; i < n; i++) {
        float dot = 0;
        for (size_t k = 0; k < v.d; k++)
            dot += v.x[i * v.d + k] * m->x[rows[i] * v.d + k];
        *same &= t.len[i] == 0 ? m->empty[rows[i]] : dot > SAME;
    }
done:
    cell_tokens_done(&t);
    cell_vectors_done(&v);
    return err;
}

static Err read_vectors(Session *s, ModelState *m, int x, int cls, int queries)
{
    const ModelDesc *d = model_desc(m->model);
    int8_t *bytes;
    TRY(dataset_obsm_bytes(s->dataset, (size_t)queries, &bytes));
    free(m->query);
    m->query = bytes;
    TRY(read_into(s, x, m->n * d->dim, m->x));
    TRY(read_into(s, cls, m->n * d->cls_width, m->cls));
    for (size_t i = 0; i < m->n; i++)
        m->empty[i] = !(m->evidence->totals[i] > 0);
    return OK;
}

Err model_state_stored_vectors(Session *s, ModelState *m, JobCtl *ctl, bool *found)
{
    const ModelDesc *d = model_desc(m->model);
    const char *path = dataset_path(s->dataset);
    int x = find_exact(s->dataset, "X_scmmgpt", d->dim), cls = find_exact(s->dataset, "X_scgpt", d->cls_width);
    int queries = find_exact(s->dataset, "X_scmmgpt_queries", m->per_cell);
    bool same = false;
    *found = false;
    if (dataset_find_obsm(s->dataset, "X_scmmgpt") < 0 || m->n == 0)
        return OK;
    if (x >= 0 && cls >= 0 && queries >= 0)
        TRY(of_this_model(s, m, &same));
    if (!same) {
        log_info("%s: obsm/X_scmmgpt is not of this model, or not whole; the cells are embedded again", path);
        return OK;
    }
    Err err = read_vectors(s, m, x, cls, queries);
    if (err == OK)
        err = probe(s, m, ctl, &same);
    if (err == ERR_NOMEM || err == ERR_CANCELLED || err == ERR_TERMINATED)
        return err;
    if (err != OK)
        log_warn("%s: obsm/X_scmmgpt cannot be used: %s; the cells are embedded again", path, err_message());
    else if (!same)
        log_warn("%s: obsm/X_scmmgpt was made of other values; the cells are embedded again", path);
    else
        log_info("%s: vectors of the file are used", path);
    *found = err == OK && same;
    return OK;
}
