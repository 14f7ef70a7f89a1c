/* Annotation: every cell (or group) gets the candidate that fits best, how sure that is, whether something that is not
 * among the candidates fits better, and the marker genes that speak for it. */
#include "core/session/annotate_tuning.h"
#include "core/session/few_shot.h"
#include "core/session/scoring.h"

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

void annotation_free(Annotation *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n_labels; i++) {
        free(a->labels[i]);
        free(a->label_ids[i]);
    }
    for (size_t i = 0; i < a->n; i++) {
        if (a->evidence)
            free(a->evidence[i]);
        if (a->missing_markers)
            free(a->missing_markers[i]);
    }
    free(a->labels);
    free(a->label_ids);
    free(a->label);
    free(a->second);
    free(a->probability);
    free(a->second_probability);
    free(a->unknown);
    free(a->unknown_score);
    free(a->evidence);
    free(a->missing_markers);
    free(a);
}

typedef struct Work {
    Session *s;
    ModelState *m;
    const AnnotateParams *p;
    JobCtl *ctl;
    Candidates own;
    const Candidates *c;
    FewShot *few;
    size_t n;
    float *score;   /* [n, c]; becomes probabilities */
    float *absolute; /* [n, c] on the file's scale */
    float *other;   /* [n] on the file's scale: the best library type that is no candidate's kin; with the whole library
                       as candidates, the best type */
    Clustering *graph; /* of the smoothing; NULL: none */
    double weight;  /* of the markers */
    double sharpness, refined;
} Work;

static void work_done(Work *w)
{
    candidates_done(&w->own);
    few_shot_close(w->few);
    clustering_free(w->graph);
    free(w->absolute);
    free(w->score);
    free(w->other);
}

/* ---- candidates ---- */

static Err labels_of_column(Work *w)
{
    Groups *g;
    TRY(session_groups(w->s, w->p->labels_from, w->ctl, &g));
    Err err = candidates_from_list((const char *const *)g->names, g->n_groups, &w->own);
    groups_free(g);
    return err;
}

static Err choose_candidates(Work *w)
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
static Err add_few_shot(Work *w)
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
static Err prefer_special(Work *w)
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

static Err raw_scores(Work *w, float *marker)
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

static Err score_all(Work *w)
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

/* Is a library type what a label without a type is about, by its texts? */
static bool texts_near(const Work *w, const LibraryVectors *lib, size_t candidate, size_t type)
{
    size_t width = model_desc(w->m->model)->text_width;
    const float *raw = w->c->raw + candidate * width;
    for (size_t i = lib->first_text[type]; i < lib->first_text[type + 1]; i++) {
        float dot = 0;
        for (size_t k = 0; k < width; k++)
            dot += raw[k] * lib->text_raw[i * width + k];
        if (dot > (float)UNKNOWN_KIN)
            return true;
    }
    return false;
}

static bool is_kin(const Work *w, const LibraryVectors *lib, size_t type)
{
    const CellTypes *t = model_celltypes(w->m->model);
    for (size_t i = 0; i < w->c->n; i++)
        if (w->c->type[i] >= 0 ? celltypes_related(t, (int32_t)type, w->c->type[i]) : texts_near(w, lib, i, type))
            return true;
    return false;
}

/* Library types that are no candidate and no kin of one. */
static Err bank_of(const Work *w, Candidates *bank)
{
    const Candidates *lib;
    const LibraryVectors *vectors;
    TRY(scoring_library(w->s, w->m, w->ctl, &lib));
    TRY(model_library(w->m->model, w->ctl, &vectors));
    *bank = (Candidates){.d = lib->d};
    TRY(NEW(bank->vec, lib->n * 2 * lib->d));
    TRY(NEW(bank->markers, lib->n));
    for (size_t j = 0; j < lib->n; j++) {
        if (is_kin(w, vectors, j))
            continue;
        memcpy(bank->vec + 2 * bank->n * lib->d, lib->vec + 2 * j * lib->d, 2 * lib->d * sizeof *lib->vec);
        bank->markers[bank->n++] = lib->markers[j]; /* borrowed */
    }
    bank->n_vec = 2 * bank->n;
    return OK;
}

static Err best_of_bank(Work *w, const Candidates *bank)
{
    enum { BLOCK = 512 };
    float *sim = NULL, *marker = NULL;
    Err err = OK;
    TRY_GOTO(NEW(sim, BLOCK * bank->n));
    TRY_GOTO(NEW(marker, BLOCK * bank->n));
    job_stage(w->ctl, "looking for other types", w->n);
    for (size_t at = 0; at < w->n; at += BLOCK) {
        size_t rows[BLOCK], k = w->n - at < BLOCK ? w->n - at : BLOCK;
        for (size_t i = 0; i < k; i++)
            rows[i] = at + i;
        TRY_GOTO(scoring_raw(w->m, bank, rows, k, sim, marker));
        scores_combine(sim, marker, k, bank->n, w->weight, w->m->scale);
        for (size_t i = 0; i < k; i++) {
            int32_t first, second;
            scores_top(sim + i * bank->n, bank->n, &first, &second);
            w->other[at + i] = sim[i * bank->n + (size_t)first];
        }
        TRY_GOTO(job_progress(w->ctl, at + k));
    }
done:
    free(sim);
    free(marker);
    return err;
}

static void best_of_library(Work *w)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = 0; j < w->c->n; j++)
            w->other[i] = fmaxf(w->other[i], w->absolute[i * w->c->n + j]);
}

static Err find_others(Work *w)
{
    Candidates bank = {0};
    Err err = OK;
    TRY_GOTO(NEW(w->other, w->n));
    for (size_t i = 0; i < w->n; i++)
        w->other[i] = -1e9f;
    if (w->c->all_types) {
        best_of_library(w);
        return OK;
    }
    TRY_GOTO(bank_of(w, &bank));
    if (bank.n)
        TRY_GOTO(best_of_bank(w, &bank));
done:
    free(bank.vec);
    free(bank.markers);
    return err;
}

/* The matching head looks at the best k of each cell once more. */
static Err rerank(Work *w)
{
    size_t c = w->c->n, k = (size_t)w->p->rerank < c ? (size_t)w->p->rerank : c;
    enum { BLOCK = 128 };
    size_t *cell = NULL, *text = NULL;
    float *odds = NULL, *row = NULL;
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
        err = model_match(w->m->model, &t, cell, w->c->raw, text, b * k, NULL, odds);
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
static Err find_graph(Work *w)
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

static Err smooth(Work *w)
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

static Err fold_one(const Work *w, const Groups *g, float **v, size_t c)
{
    float *mean;
    if (!*v)
        return OK;
    TRY(mean_by_group(g, w->m->empty, *v, c, &mean));
    free(*v);
    *v = mean;
    return OK;
}

static Err fold_groups(Work *w, const Groups *g)
{
    TRY(fold_one(w, g, &w->score, w->c->n));
    TRY(fold_one(w, g, &w->absolute, w->c->n));
    TRY(fold_one(w, g, &w->other, 1));
    w->n = g->n_groups;
    return OK;
}

/* ---- the answer ---- */

static void marker_texts(const Work *w, const MarkerSet *set, const size_t *cells, size_t n, float *fraction, char **have,
                         char **missing)
{
    const Evidence *e = w->m->evidence;
    Str a = {0}, b = {0};
    evidence_fraction(e, cells, n, fraction);
    for (size_t i = 0; i < set->n_high; i++) {
        int32_t g = set->high[i];
        Str *to = fraction[g] > 0 && fraction[g] >= (n > 1 ? 0.25f : 0) ? &a : fraction[g] > 0 ? NULL : &b;
        if (!to)
            continue;
        str_add(to, to->len ? "," : "");
        str_add(to, w->m->names[e->genes[g].col]);
    }
    *have = str_take(&a);
    *missing = str_take(&b);
}

static Err make_texts(const Work *w, const Groups *g, Annotation *a)
{
    size_t *cells = NULL, n_cells = w->m->evidence->n_cells;
    float *fraction = NULL;
    Err err = OK;
    TRY_GOTO(NEW0(a->evidence, a->n));
    TRY_GOTO(NEW0(a->missing_markers, a->n));
    TRY_GOTO(NEW(cells, n_cells));
    TRY_GOTO(NEW(fraction, w->m->evidence->n_genes));
    job_stage(w->ctl, "marker genes of the labels", a->n);
    for (size_t i = 0; i < a->n; i++) {
        size_t n = 0;
        if (!g)
            cells[n++] = i;
        for (size_t k = 0; g && k < n_cells; k++)
            if (g->codes[k] == (int32_t)i)
                cells[n++] = k;
        marker_texts(w, &w->c->markers[a->label[i]], cells, n, fraction, &a->evidence[i], &a->missing_markers[i]);
        if (i % 64 == 0)
            TRY_GOTO(job_progress(w->ctl, i));
    }
done:
    free(cells);
    free(fraction);
    return err;
}

static Err copy_labels(const Work *w, Annotation *a)
{
    TRY(NEW0(a->labels, w->c->n));
    TRY(NEW0(a->label_ids, w->c->n));
    for (size_t j = 0; j < w->c->n; j++) {
        a->labels[j] = mem_strdup(w->c->labels[j]);
        a->label_ids[j] = mem_strdup(candidates_id(w->m, w->c, j));
        a->n_labels++;
    }
    return OK;
}

static Err judge_unknown(const Work *w, const Groups *g, Annotation *a)
{
    for (size_t i = 0; i < w->n; i++) {
        float own = w->absolute[i * w->c->n + (size_t)a->label[i]];
        a->unknown_score[i] = w->c->all_types ? -w->other[i] : w->other[i] - own;
    }
    if (w->graph)
        TRY(scores_smooth_values(&w->graph->connectivities, UNKNOWN_LAMBDA, w->n, w->ctl, a->unknown_score));
    for (size_t i = 0; i < w->n; i++) {
        bool empty = g ? g->sizes[i] == 0 : w->m->empty[i];
        if (empty)
            a->unknown_score[i] = 1e9f;
        a->unknown[i] = a->unknown_score[i] > (w->c->all_types ? UNKNOWN_LEVEL : UNKNOWN_MARGIN);
    }
    return OK;
}

static Err fill(const Work *w, const Groups *g, Annotation *a)
{
    size_t c = w->c->n;
    TRY(copy_labels(w, a));
    TRY(NEW(a->label, w->n));
    TRY(NEW(a->second, w->n));
    TRY(NEW(a->probability, w->n));
    TRY(NEW(a->second_probability, w->n));
    TRY(NEW0(a->unknown, w->n));
    TRY(NEW(a->unknown_score, w->n));
    a->n = w->n;
    for (size_t i = 0; i < w->n; i++) {
        const float *p = w->score + i * c;
        scores_top(p, c, &a->label[i], &a->second[i]);
        a->probability[i] = p[a->label[i]];
        a->second_probability[i] = a->second[i] < 0 ? 0 : p[a->second[i]];
    }
    a->refine_used = w->refined;
    TRY(judge_unknown(w, g, a));
    return make_texts(w, g, a);
}

/* Cells without a gene of the model: every label is as good as another. */
static void flatten_empty(Work *w)
{
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = 0; w->m->empty[i] && j < w->c->n; j++)
            w->score[i * w->c->n + j] = 0;
}

static Err annotate(Work *w, const Groups *groups, Annotation *a)
{
    TRY(model_state_embedded(w->s, w->ctl, &w->m));
    w->n = w->m->n;
    TRY(scoring_prepare(w->s, w->m, w->ctl));
    TRY(choose_candidates(w));
    TRY(score_all(w));
    TRY(find_others(w));
    if (w->p->rerank > 0)
        TRY(rerank(w));
    if (groups)
        TRY(fold_groups(w, groups));
    else
        flatten_empty(w);
    scores_softmax(w->score, w->n, w->c->n, w->sharpness, w->score);
    if (!groups)
        TRY(smooth(w));
    return fill(w, groups, a);
}

Err session_annotate(Session *s, const AnnotateParams *p, const Groups *groups, JobCtl *ctl, Annotation **out)
{
    Work w = {.s = s, .p = p, .ctl = ctl};
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
