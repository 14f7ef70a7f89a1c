/* See scoring.h. */
#include "core/session/scoring.h"
#include "core/session/annotate_tuning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

enum {
    SAMPLE = 300,     /* cells that set the scale */
    OWN_YARDSTICK = 150, /* fewer cells: markers are judged against the corpus */
};
/* A file in which more cells than this are of one kind is no yardstick for the markers of that kind. */
static const double TOO_UNIFORM = 0.85;

/* ---- raw scores ---- */

/* Two vectors a candidate -> their mean. */
static void fold_pairs(const float *pair, size_t n, size_t c, float *sim)
{
    for (size_t i = 0; i < n * c; i++)
        sim[i] = 0.5f * (pair[2 * i] + pair[2 * i + 1]);
}

Err scoring_raw_of(const ModelState *m, const Candidates *c, const float *query, const size_t *rows, size_t n,
                   float *sim, float *marker)
{
    float *pair;
    TRY(NEW(pair, n * c->n_vec));
    model_similarity(m->model, query, n, c->vec, c->n_vec, pair);
    fold_pairs(pair, n, c->n, sim);
    free(pair);
    return marker ? evidence_scores(m->evidence, c->markers, c->n, rows, n, m->corpus, marker) : OK;
}

Err scoring_raw(const ModelState *m, const Candidates *c, const size_t *rows, size_t n, float *sim, float *marker)
{
    enum { BLOCK = 512 };
    float *pair;
    Err err = OK;
    size_t *own = NULL;
    TRY(NEW(pair, BLOCK * c->n_vec));
    TRY_GOTO(NEW(own, BLOCK));
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t k = n - at < BLOCK ? n - at : BLOCK;
        for (size_t i = 0; i < k; i++)
            own[i] = rows ? rows[at + i] : at + i;
        TRY_GOTO(model_state_similarity(m, own, k, c->vec, c->n_vec, pair));
        fold_pairs(pair, k, c->n, sim + at * c->n);
        if (marker)
            TRY_GOTO(evidence_scores(m->evidence, c->markers, c->n, own, k, m->corpus, marker + at * c->n));
    }
done:
    free(pair);
    free(own);
    return err;
}

/* ---- the file's scale ---- */

Err scoring_library(Session *s, ModelState *m, JobCtl *ctl, const Candidates **out)
{
    if (!m->library) {
        Candidates *c = mem_must(sizeof *c);
        Err err = candidates_of_library(m, ctl, c);
        if (err != OK) {
            free(c);
            return err;
        }
        m->library = c;
    }
    *out = m->library;
    return OK;
}

/* Cells spread evenly over the file, and their query vectors (stored or made now). */
static Err sample_cells(Session *s, const ModelState *m, JobCtl *ctl, size_t **rows, size_t *n, CellVectors *v)
{
    size_t cells = m->evidence->n_cells;
    CellTokens t = {0};
    Err err = OK;
    *n = cells < SAMPLE ? cells : SAMPLE;
    TRY(NEW(*rows, *n));
    for (size_t i = 0; i < *n; i++)
        (*rows)[i] = i * cells / *n;
    if (m->embedded)
        return OK;
    TRY_GOTO(model_state_tokens(s, m, *rows, *n, ctl, &t));
    TRY_GOTO(model_embed_cells(m->model, &t, ctl, v));
done:
    cell_tokens_done(&t);
    return err;
}

/* sim NULL: the markers alone. */
static Err raw_sample(const ModelState *m, const Candidates *lib, const CellVectors *v, const size_t *rows, size_t n,
                      float *sim, float *marker)
{
    if (!sim)
        return evidence_scores(m->evidence, lib->markers, lib->n, rows, n, m->corpus, marker);
    return v->query ? scoring_raw_of(m, lib, v->query, rows, n, sim, marker)
                    : scoring_raw(m, lib, rows, n, sim, marker);
}

/* Is one kind (a type with its ancestors and descendants) the answer for nearly all cells? */
static Err is_uniform(const ModelState *m, const float *score, size_t n, size_t c, bool *uniform)
{
    const CellTypes *t = model_celltypes(m->model);
    size_t *count, best = 0, related = 0;
    int32_t first, second;
    TRY(NEW0(count, c));
    for (size_t i = 0; i < n; i++) {
        scores_top(score + i * c, c, &first, &second);
        count[first]++;
    }
    for (size_t j = 1; j < c; j++)
        if (count[j] > count[best])
            best = j;
    for (size_t j = 0; j < c; j++)
        if (celltypes_related(t, (int32_t)j, (int32_t)best))
            related += count[j];
    free(count);
    *uniform = (double)related > TOO_UNIFORM * (double)n;
    return OK;
}

Err scoring_prepare(Session *s, ModelState *m, JobCtl *ctl)
{
    const Candidates *lib;
    size_t *rows = NULL, n = 0;
    CellVectors v = {0};
    float *sim = NULL, *marker = NULL, *both = NULL;
    Err err = OK;
    if (m->scaled)
        return OK;
    TRY(scoring_library(s, m, ctl, &lib));
    TRY_GOTO(sample_cells(s, m, ctl, &rows, &n, &v));
    TRY_GOTO(NEW(sim, n * lib->n));
    TRY_GOTO(NEW(marker, n * lib->n));
    m->corpus = true;
    TRY_GOTO(raw_sample(m, lib, &v, rows, n, sim, marker));
    m->scale = scores_scale(sim, marker, n * lib->n);
    if (m->evidence->n_cells >= OWN_YARDSTICK) {
        TRY_GOTO(NEW(both, n * lib->n));
        memcpy(both, sim, n * lib->n * sizeof *both);
        scores_combine(both, marker, n, lib->n, ANNOTATE_LIBRARY_SHARE, m->scale);
        TRY_GOTO(is_uniform(m, both, n, lib->n, &m->corpus));
        if (!m->corpus) {
            TRY_GOTO(raw_sample(m, lib, &v, rows, n, NULL, marker));
            m->scale = scores_scale(sim, marker, n * lib->n);
        }
    }
    m->scaled = true;
done:
    cell_vectors_done(&v);
    free(rows);
    free(both);
    free(sim);
    free(marker);
    return err;
}
