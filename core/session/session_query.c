/* Search: a prompt's types, genes and vector against every cell. The score adds what the model says (similarity to the
 * prompt's vector), what the markers of the types say and what the genes named in the prompt say, each on the file's own
 * scale, so that scores of different prompts on one file can be compared: 0 is an average cell for an average type. */
#include "core/session/annotate_tuning.h"
#include "core/session/prompt.h"
#include "core/session/scoring.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const float GENES = 1.5f, NOT_WANTED = 1;

void query_result_free(QueryResult *q)
{
    if (!q)
        return;
    free(q->text);
    values_free(q->scores);
    free(q->percentile);
    free(q->order);
    free(q->understood);
    free(q->warning);
    free(q);
}

/* ---- parts of the score ---- */

static Err add_similarity(const ModelState *m, const float *vec, float *score)
{
    float *sim;
    TRY(NEW(sim, m->n));
    Err err = model_state_similarity(m, NULL, m->n, vec, 1, sim);
    for (size_t i = 0; err == OK && i < m->n; i++)
        score[i] += (sim[i] - m->scale.sim_mean) / m->scale.sim_sd;
    free(sim);
    return err;
}

static Err add_markers(const ModelState *m, int32_t type, float weight, float *score)
{
    float *v;
    const MarkerSet *set = &m->type_markers[type];
    if (!set->n_high && !set->n_low)
        return OK;
    TRY(NEW(v, m->n));
    Err err = evidence_scores(m->evidence, set, 1, NULL, m->n, m->corpus, v);
    for (size_t i = 0; err == OK && i < m->n; i++)
        score[i] += weight * (v[i] - m->scale.marker_mean) / m->scale.marker_sd;
    free(v);
    return err;
}

/* z of one gene over the file, clipped as markers are. */
static Err add_gene(Session *s, const ModelState *m, int32_t gene, float weight, JobCtl *ctl, float *score)
{
    int32_t column = m->column_of[gene];
    float *x, mean, sd;
    if (column < 0)
        return OK;
    TRY(NEW(x, m->n));
    Err err = model_state_gene(s, m, column, ctl, x);
    if (err == OK) {
        if (m->corpus) {
            mean = model_gene_mean(m->model)[gene];
            sd = model_gene_sd(m->model)[gene] + 0.3f;
        } else {
            scores_spread(x, m->n, &mean, &sd);
        }
        for (size_t i = 0; i < m->n; i++) {
            float z = (x[i] - mean) / sd;
            score[i] += weight * (z > 3 ? 3 : z < -3 ? -3 : z);
        }
    }
    free(x);
    return err;
}

static Err add_genes(Session *s, const ModelState *m, const PromptMatch *p, JobCtl *ctl, float *score)
{
    float up = p->n_up ? GENES / (float)p->n_up : 0, down = p->n_down ? -0.5f * GENES / (float)p->n_down : 0;
    for (size_t i = 0; i < p->n_up; i++)
        TRY(add_gene(s, m, p->up[i], up, ctl, score));
    for (size_t i = 0; i < p->n_down; i++)
        TRY(add_gene(s, m, p->down[i], down, ctl, score));
    return OK;
}

/* A type that is not wanted takes from cells that look like it. */
static Err take_absent(Session *s, ModelState *m, const PromptMatch *p, JobCtl *ctl, float *score)
{
    const Candidates *lib;
    float *v;
    TRY(scoring_library(s, m, ctl, &lib));
    for (size_t k = 0; k < p->n_absent; k++) {
        TRY(NEW0(v, m->n));
        Err err = add_similarity(m, lib->vec + (2 * (size_t)p->absent[k] + 1) * lib->d, v);
        if (err == OK)
            err = add_markers(m, p->absent[k], 1, v);
        for (size_t i = 0; err == OK && i < m->n; i++)
            score[i] -= NOT_WANTED * (v[i] > 0 ? v[i] : 0);
        free(v);
        TRY(err);
    }
    return OK;
}

/* ---- the answer ---- */

typedef struct Ranked {
    float score;
    size_t cell;
} Ranked;

static int better(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->cell < y->cell ? -1 : x->cell > y->cell;
}

static Err rank_cells(QueryResult *q, const float *score, size_t n)
{
    Ranked *r;
    TRY(NEW(r, n));
    for (size_t i = 0; i < n; i++)
        r[i] = (Ranked){score[i], i};
    qsort(r, n, sizeof *r, better);
    for (size_t i = 0; i < n; i++) {
        q->order[i] = r[i].cell;
        q->percentile[r[i].cell] = n > 1 ? (float)(100.0 * (double)(n - 1 - i) / (double)(n - 1)) : 100;
    }
    free(r);
    return OK;
}

static bool is_kin(const CellTypes *t, const PromptMatch *p, size_t type)
{
    for (size_t k = 0; k < p->n_types; k++)
        if (celltypes_related(t, (int32_t)type, p->type[k]))
            return true;
    return false;
}

/* How much better another type of the library fits the best cells than what was asked for. */
static Err best_cells_margin(Session *s, ModelState *m, const PromptMatch *p, const QueryResult *q, JobCtl *ctl,
                             double *margin)
{
    enum { TOP = 5 };
    size_t n = m->n < TOP ? m->n : TOP;
    const CellTypes *t = model_celltypes(m->model);
    const Candidates *lib;
    float *sim = NULL, *marker = NULL;
    Err err = OK;
    *margin = 0;
    TRY(scoring_library(s, m, ctl, &lib));
    TRY_GOTO(NEW(sim, n * lib->n));
    TRY_GOTO(NEW(marker, n * lib->n));
    TRY_GOTO(scoring_raw(m, lib, q->order, n, sim, marker));
    scores_combine(sim, marker, n, lib->n, ANNOTATE_LIBRARY_SHARE, m->scale);
    for (size_t i = 0; i < n; i++) {
        float kin = -1e9f, other = -1e9f;
        for (size_t j = 0; j < lib->n; j++) {
            float *best = is_kin(t, p, j) ? &kin : &other;
            *best = sim[i * lib->n + j] > *best ? sim[i * lib->n + j] : *best;
        }
        *margin += (other - kin) / (double)n;
    }
done:
    free(sim);
    free(marker);
    return err;
}

/* Do the best cells look like what was asked for? */
static Err warn(Session *s, ModelState *m, const PromptMatch *p, JobCtl *ctl, QueryResult *q)
{
    double margin = 0;
    if (p->n_types && m->n)
        TRY(best_cells_margin(s, m, p, q, ctl, &margin));
    q->warning = margin > QUERY_ABSENT ? str_format("no cell of this file scores high: the best ones look more like "
                                                    "something else than like %s", p->understood)
                                       : mem_strdup("");
    return OK;
}

static Err score_cells(Session *s, ModelState *m, const PromptMatch *p, JobCtl *ctl, float *score)
{
    TRY(add_similarity(m, p->vec, score));
    for (size_t k = 0; k < p->n_types; k++)
        TRY(add_markers(m, p->type[k], p->weight[k], score));
    TRY(add_genes(s, m, p, ctl, score));
    TRY(take_absent(s, m, p, ctl, score));
    float parts = 2 + (p->n_up ? GENES : 0) + (p->n_down ? 0.5f * GENES : 0);
    for (size_t i = 0; i < m->n; i++)
        score[i] = m->empty[i] ? -10 : score[i] / parts;
    return OK;
}

static Err answer(Session *s, ModelState *m, const PromptMatch *p, JobCtl *ctl, QueryResult *q)
{
    q->text = mem_strdup(p->text);
    q->understood = mem_strdup(p->understood);
    q->scores = mem_must(sizeof *q->scores);
    q->scores->name = str_format("query: %s", p->text);
    q->scores->unit = mem_strdup("");
    q->scores->n = m->n;
    TRY(NEW0(q->scores->v, m->n));
    TRY(NEW(q->percentile, m->n));
    TRY(NEW(q->order, m->n));
    TRY(score_cells(s, m, p, ctl, q->scores->v));
    TRY(rank_cells(q, q->scores->v, m->n));
    return warn(s, m, p, ctl, q);
}

Err session_query(Session *s, const char *text, JobCtl *ctl, QueryResult **out)
{
    PromptMatch *p = NULL;
    ModelState *m;
    QueryResult *q = NULL;
    Err err = OK;
    TRY_GOTO(prompt_match(s, text, ctl, &p)); /* nonsense is refused before the cells are read */
    TRY_GOTO(model_state_embedded(s, ctl, &m));
    TRY_GOTO(scoring_prepare(s, m, ctl));
    q = mem_must(sizeof *q);
    TRY_GOTO(answer(s, m, p, ctl, q));
    *out = q;
    q = NULL;
done:
    query_result_free(q);
    prompt_match_free(p);
    return err;
}
