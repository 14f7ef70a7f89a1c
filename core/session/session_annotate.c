/* Annotation: every cell (or group) gets the candidate that fits best, how sure that is, whether something that is not
 * among the candidates fits better, and the marker genes that speak for it. */
#include "core/session/annotate_tuning.h"
#include "core/session/annotate_work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"

AnnotateParams annotate_params_default(void)
{
    return (AnnotateParams){.evidence = 1, .refine = -1};
}

static void work_done(AnnotateWork *w)
{
    candidates_done(&w->own);
    few_shot_close(w->few);
    clustering_free(w->graph);
    free(w->absolute);
    free(w->score);
    free(w->other);
}

/* ---- candidates ---- */

static Err labels_of_column(AnnotateWork *w)
{
    Groups *g;
    TRY(session_groups(w->s, w->p->labels_from, w->ctl, &g));
    Err err = candidates_from_list((const char *const *)g->names, g->n_groups, &w->own);
    groups_free(g);
    return err;
}

static Err choose_candidates(AnnotateWork *w)
{
    const AnnotateParams *p = w->p;
    if (p->few_shot)
        TRY(few_shot_open(w->s, p->few_shot, p->few_shot_key, w->ctl, &w->few));
    if (p->labels_file)
        TRY(candidates_read_labels(p->labels_file, &w->own));
    else if (p->labels_from)
        TRY(labels_of_column(w));
    else if (p->labels)
        TRY(candidates_from_list(p->labels, p->n_labels, &w->own));
    else if (w->few)
        TRY(candidates_from_list((const char *const *)few_shot_labels(w->few)->names,
                                 few_shot_labels(w->few)->n_groups, &w->own));
    if (!w->own.n)
        return scoring_library(w->s, w->m, w->ctl, &w->c);
    w->c = &w->own;
    return candidates_resolve(w->m, w->ctl, &w->own);
}

/* ---- scores ---- */

/* z of the reference's closeness joins the score; labels without reference cells get the row's mean. */
static Err add_few_shot(AnnotateWork *w)
{
    size_t c = w->c->n;
    float *z;
    TRY(NEW(z, w->n * c));
    Err err = few_shot_scores(w->few, w->m, w->c, w->ctl, z);
    if (err == OK) {
        ScoreScale k = scores_scale(z, NULL, w->n * c);
        for (size_t i = 0; i < w->n; i++) {
            float sum = 0;
            size_t have = 0;
            for (size_t j = 0; j < c; j++)
                if (isfinite(z[i * c + j])) {
                    sum += z[i * c + j];
                    have++;
                }
            for (size_t j = 0; have && j < c; j++) {
                float v = isfinite(z[i * c + j]) ? z[i * c + j] : sum / (float)have;
                w->score[i * c + j] += (float)ANNOTATE_FEW_SHOT * (v - k.sim_mean) / k.sim_sd;
            }
        }
    }
    free(z);
    return err;
}

/* The whole library holds types and their kinds side by side: of equals the more special one is meant. */
static Err prefer_special(AnnotateWork *w)
{
    const CellTypes *t = model_celltypes(w->m->model);
    size_t c = w->c->n;
    float *step;
    TRY(NEW(step, c));
    for (size_t j = 0; j < c; j++) {
        size_t kinds = 0;
        for (size_t i = 0; i < c; i++)
            kinds += celltypes_is_a(t, (int32_t)i, (int32_t)j);
        step[j] = (float)(ANNOTATE_GENERAL * log1p((double)kinds));
    }
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = 0; j < c; j++)
            w->score[i * c + j] -= step[j];
    free(step);
    return OK;
}

static Err cap_general(const AnnotateWork *w, float *marker)
{
    const CellTypes *t = model_celltypes(w->m->model);
    size_t c = w->c->n;
    uint8_t *is_kind;
    TRY(NEW0(is_kind, c * c));
    for (size_t j = 0; j < c; j++)
        for (size_t k = 0; k < c; k++)
            is_kind[j * c + k] = w->c->type[j] >= 0 && w->c->type[k] >= 0 && w->c->type[j] != w->c->type[k] &&
                                 celltypes_is_a(t, w->c->type[k], w->c->type[j]);
    Err err = scores_cap_general(marker, w->n, c, is_kind);
    free(is_kind);
    return err;
}

static Err raw_scores(AnnotateWork *w, float *marker)
{
    enum { BLOCK = 1024 };
    size_t c = w->c->n;
    job_stage(w->ctl, "comparing cells with labels", w->n);
    for (size_t at = 0; at < w->n; at += BLOCK) {
        size_t rows[BLOCK], k = w->n - at < BLOCK ? w->n - at : BLOCK;
        for (size_t i = 0; i < k; i++)
            rows[i] = at + i;
        TRY(scoring_raw(w->m, w->c, rows, k, w->score + at * c, marker + at * c));
        TRY(job_progress(w->ctl, at + k));
    }
    return OK;
}

static Err score_all(AnnotateWork *w)
{
    size_t c = w->c->n, all = w->n * c;
    float *marker = NULL;
    Err err = OK;
    w->weight = w->p->evidence * (w->c->all_types ? ANNOTATE_LIBRARY_SHARE : ANNOTATE_SHARE);
    TRY(mem_check_budget((uint64_t)all * 4 * 4, "scores of cells and labels"));
    TRY_GOTO(NEW(w->score, all));
    TRY_GOTO(NEW(w->absolute, all));
    TRY_GOTO(NEW(marker, all));
    TRY_GOTO(raw_scores(w, marker));
    TRY_GOTO(cap_general(w, marker));
    memcpy(w->absolute, w->score, all * sizeof *w->score);
    scores_combine(w->absolute, marker, w->n, c, w->weight, w->m->scale);
    ScoreScale scale = w->c->all_types ? w->m->scale : scores_scale(w->score, marker, all);
    scores_combine(w->score, marker, w->n, c, w->weight, scale);
    w->sharpness = w->weight > 0 ? ANNOTATE_SHARPNESS : scale.sim_sd / model_desc(w->m->model)->temperature;
    if (w->c->all_types)
        TRY_GOTO(prefer_special(w));
    if (w->few)
        TRY_GOTO(add_few_shot(w));
done:
    free(marker);
    return err;
}

/* The matching head looks at the best k of each cell once more. */
static Err rerank(AnnotateWork *w)
{
    size_t c = w->c->n, k = (size_t)w->p->rerank < c ? (size_t)w->p->rerank : c;
    enum { BLOCK = 128 };
    size_t *cell = NULL, *text = NULL;
    float *odds = NULL, *row = NULL;
    MatchTexts texts = {w->c->raw, (const char *const *)w->c->labels};
    Err err = OK;
    TRY_GOTO(NEW(cell, BLOCK * k));
    TRY_GOTO(NEW(text, BLOCK * k));
    TRY_GOTO(NEW(odds, BLOCK * k));
    TRY_GOTO(NEW(row, c));
    job_stage(w->ctl, "matching head", w->n);
    for (size_t at = 0; at < w->n; at += BLOCK) {
        size_t rows[BLOCK], b = w->n - at < BLOCK ? w->n - at : BLOCK;
        for (size_t i = 0; i < b; i++) {
            rows[i] = at + i;
            memcpy(row, w->score + (at + i) * c, c * sizeof *row);
            for (size_t j = 0; j < k; j++) {
                int32_t first, second;
                scores_top(row, c, &first, &second);
                cell[i * k + j] = i;
                text[i * k + j] = (size_t)first;
                row[first] = -INFINITY;
            }
        }
        CellTokens t = {0};
        TRY_GOTO(model_state_tokens(w->s, w->m, rows, b, NULL, &t));
        err = model_match(w->m->model, &t, cell, &texts, text, b * k, NULL, odds);
        cell_tokens_done(&t);
        TRY_GOTO(err);
        for (size_t q = 0; q < b * k; q++) {
            float p = odds[q] < 1e-4f ? 1e-4f : odds[q] > 0.9999f ? 0.9999f : odds[q];
            w->score[(at + cell[q]) * c + text[q]] += (float)ANNOTATE_MATCH * logf(p / (1 - p));
        }
        /* the others stay behind the best k */
        for (size_t i = 0; i < b; i++) {
            float low = INFINITY;
            for (size_t j = 0; j < k; j++)
                low = fminf(low, w->score[(at + i) * c + text[i * k + j]]);
            for (size_t j = 0; j < c; j++) {
                bool chosen = false;
                for (size_t q = 0; q < k; q++)
                    chosen |= text[i * k + q] == j;
                if (!chosen && w->score[(at + i) * c + j] > low)
                    w->score[(at + i) * c + j] = low;
            }
        }
        TRY_GOTO(job_progress(w->ctl, at + b));
    }
done:
    free(cell);
    free(text);
    free(odds);
    free(row);
    return err;
}

/* ---- smoothing ---- */

/* Makes the neighbour graph when labels are to be smoothed. By itself only where the file is large enough, and a file
 * that cannot be clustered is annotated without. */
static Err find_graph(AnnotateWork *w)
{
    double lambda = w->p->refine < 0 ? ANNOTATE_REFINE_LAMBDA : w->p->refine;
    if (lambda == 0 || w->n < 3 || (w->p->refine < 0 && w->n < ANNOTATE_REFINE_CELLS))
        return OK;
    ClusterParams cp = cluster_params_default();
    cp.umap = false;
    Err err = session_cluster(w->s, &cp, w->ctl, &w->graph);
    if (err != OK && w->p->refine < 0 && err != ERR_CANCELLED && err != ERR_TERMINATED && err != ERR_NOMEM) {
        log_warn("labels are not smoothed over neighbours: %s", err_message());
        return OK;
    }
    TRY(err);
    w->refined = lambda;
    return OK;
}

static Err smooth(AnnotateWork *w)
{
    size_t c = w->c->n;
    TRY(find_graph(w));
    if (!w->graph)
        return OK;
    TRY(scores_smooth(&w->graph->connectivities, w->refined, ANNOTATE_NEIGHBOURS, ANNOTATE_SURE, w->n, c, w->ctl,
                      w->score));
    for (size_t i = 0; i < w->n; i++) {
        double sum = 0;
        for (size_t j = 0; j < c; j++) {
            w->score[i * c + j] = powf(w->score[i * c + j], (float)ANNOTATE_SMOOTHED_POWER);
            sum += w->score[i * c + j];
        }
        for (size_t j = 0; j < c; j++)
            w->score[i * c + j] = (float)(w->score[i * c + j] / sum);
    }
    return OK;
}

/* ---- groups: means of the cells' scores ---- */

static Err mean_by_group(const Groups *g, const uint8_t *skip, float *v, size_t c, float **out)
{
    float *mean;
    size_t *count;
    TRY(NEW0(mean, g->n_groups * c));
    Err err = NEW0(count, g->n_groups);
    if (err != OK) {
        free(mean);
        return err;
    }
    for (size_t i = 0; i < g->n_cells; i++) {
        if (g->codes[i] < 0 || skip[i])
            continue;
        size_t k = (size_t)g->codes[i];
        count[k]++;
        for (size_t j = 0; j < c; j++)
            mean[k * c + j] += v[i * c + j];
    }
    for (size_t k = 0; k < g->n_groups; k++)
        for (size_t j = 0; j < c; j++)
            mean[k * c + j] /= count[k] ? (float)count[k] : 1;
    free(count);
    *out = mean;
    return OK;
}

static Err fold_one(const AnnotateWork *w, const Groups *g, float **v, size_t c)
{
    float *mean;
    if (!*v)
        return OK;
    TRY(mean_by_group(g, w->m->empty, *v, c, &mean));
    free(*v);
    *v = mean;
    return OK;
}

static Err fold_groups(AnnotateWork *w, const Groups *g)
{
    TRY(fold_one(w, g, &w->score, w->c->n));
    TRY(fold_one(w, g, &w->absolute, w->c->n));
    TRY(fold_one(w, g, &w->other, 1));
    w->n = g->n_groups;
    return OK;
}

/* Cells without a gene of the model: every label is as good as another. */
static void flatten_empty(AnnotateWork *w)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = 0; w->m->empty[i] && j < w->c->n; j++)
            w->score[i * w->c->n + j] = 0;
}

static Err annotate(AnnotateWork *w, const Groups *groups, Annotation *a)
{
    TRY(model_state_embedded(w->s, w->ctl, &w->m));
    w->n = w->m->n;
    TRY(scoring_prepare(w->s, w->m, w->ctl));
    TRY(choose_candidates(w));
    TRY(score_all(w));
    TRY(annotate_find_others(w));
    if (w->p->rerank > 0)
        TRY(rerank(w));
    if (groups)
        TRY(fold_groups(w, groups));
    else
        flatten_empty(w);
    scores_softmax(w->score, w->n, w->c->n, w->sharpness, w->score);
    if (!groups)
        TRY(smooth(w));
    return annotate_fill(w, groups, a);
}

Err session_annotate(Session *s, const AnnotateParams *p, const Groups *groups, JobCtl *ctl, Annotation **out)
{
    AnnotateWork w = {.s = s, .p = p, .ctl = ctl};
    Annotation *a = mem_must(sizeof *a);
    Err err = annotate(&w, groups, a);
    work_done(&w);
    if (err != OK) {
        annotation_free(a);
        return err;
    }
    *out = a;
    return OK;
}
