/* Annotation against the truth: the program as it is, its parts alone, with absent types among the
 * candidates, each type left out in turn; beside markers without a model and classifiers refitted
 * on the reference files. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/analysis/pca.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/eval/classify.h"
#include "core/eval/expr.h"
#include "core/session/eval_internal.h"

static const char TASK[] = "annotate";

typedef struct Answer {
    int32_t *prediction; /* [n] class; k: a label that is no class */
    float *probability;  /* [n] */
    float *unknown;      /* [n] */
    uint8_t *right;      /* [n] */
} Answer;

static void answer_done(Answer *a)
{
    free(a->prediction);
    free(a->probability);
    free(a->unknown);
    free(a->right);
    *a = (Answer){0};
}

/* Runs the program's annotation with these candidates. */
static Err ask(EvalWork *w, const AnnotateParams *p, Answer *out)
{
    Annotation *an;
    int32_t *class = NULL;
    Answer a = {0};
    Err err = OK;
    TRY(session_annotate(w->s, p, NULL, w->ctl, &an));
    TRY_GOTO(NEW(class, an->n_labels));
    TRY_GOTO(NEW(a.prediction, w->n));
    TRY_GOTO(NEW(a.probability, w->n));
    TRY_GOTO(NEW(a.unknown, w->n));
    TRY_GOTO(NEW(a.right, w->n));
    for (size_t j = 0; j < an->n_labels; j++) {
        class[j] = (int32_t)w->k;
        for (size_t c = 0; c < w->k; c++)
            if (strcmp(w->name[c], an->labels[j]) == 0)
                class[j] = (int32_t)c;
    }
    for (size_t i = 0; i < w->n; i++) {
        a.prediction[i] = class[an->label[i]];
        a.probability[i] = w->truth[i] < 0 ? NAN : an->probability[i];
        a.unknown[i] = w->truth[i] < 0 ? NAN : an->unknown_score[i];
        a.right[i] = a.prediction[i] == w->truth[i];
    }
    *out = a;
    a = (Answer){0};
done:
    free(class);
    answer_done(&a);
    annotation_free(an);
    return err;
}

static Err add_class_measures(EvalWork *w, ReportKind kind, const char *variant,
                              const int32_t *prediction)
{
    static const struct {
        const char *name;
        Statistic *f;
    } measures[] = {{"accuracy", classify_accuracy},
                    {"macro_f1", classify_macro_f1},
                    {"weighted_f1", classify_weighted_f1}};
    ClassPair pair = {w->n, w->k + 1, w->truth, prediction};
    for (size_t i = 0; i < 3; i++) {
        Estimate e;
        TRY(bootstrap(w->n, NULL, 0, measures[i].f, &pair, BOOTSTRAP_RESAMPLES, w->p->seed, &e));
        e.n = w->labelled;
        report_add(w->r, TASK, kind, variant, measures[i].name, e);
    }
    return OK;
}

static Err add_ece(EvalWork *w, ReportKind kind, const char *variant, const float *probability,
                   const uint8_t *right)
{
    Calibration c = {w->n, probability, right};
    Estimate e;
    TRY(bootstrap(w->n, NULL, 0, classify_ece, &c, BOOTSTRAP_RESAMPLES, w->p->seed, &e));
    e.n = w->labelled;
    report_add(w->r, TASK, kind, variant, "ece", e);
    return OK;
}

/* ---- the program and its parts ---- */

static Err add_confusion(EvalWork *w, const int32_t *prediction)
{
    size_t *count;
    const char **cols = NULL;
    Err err = OK;
    ClassPair pair = {w->n, w->k, w->truth, prediction};
    TRY(NEW(count, w->k * (w->k + 1)));
    TRY_GOTO(NEW(cols, w->k + 1));
    for (size_t c = 0; c < w->k; c++)
        cols[c] = w->name[c];
    cols[w->k] = "none of them";
    classify_confusion(&pair, count);
    report_counts(w->r, TASK, "confusion", (const char *const *)w->name, w->k, cols, w->k + 1,
                  count);
done:
    free(count);
    free(cols);
    return err;
}

static AnnotateParams candidates(const EvalWork *w, double evidence, double refine)
{
    AnnotateParams p = annotate_params_default();
    p.labels = (const char *const *)w->name;
    p.n_labels = w->k;
    p.evidence = evidence;
    p.refine = refine;
    return p;
}

static Err add_variant(EvalWork *w, ReportKind kind, const char *name, double evidence,
                       double refine, bool calibrated)
{
    Answer a;
    AnnotateParams p = candidates(w, evidence, refine);
    TRY(ask(w, &p, &a));
    Err err = add_class_measures(w, kind, name, a.prediction);
    if (err == OK && calibrated)
        err = add_ece(w, kind, name, a.probability, a.right);
    if (err == OK && kind == REPORT_MODEL)
        err = add_confusion(w, a.prediction);
    answer_done(&a);
    return err;
}

static Err add_parts(EvalWork *w)
{
    /* So large a weight leaves nothing of the model's similarity in the order of the candidates. */
    const double markers_only = 1e6, automatic = annotate_params_default().refine;
    TRY(add_variant(w, REPORT_MODEL, "model + markers + graph (default)",
                    annotate_params_default().evidence, automatic, true));
    TRY(add_variant(w, REPORT_VARIANT, "model alone", 0, 0, true));
    TRY(add_variant(w, REPORT_VARIANT, "model + markers", 1, 0, true));
    TRY(add_variant(w, REPORT_BASELINE, "markers alone", markers_only, 0, false));
    TRY(add_variant(w, REPORT_VARIANT, "model + graph, no markers", 0, automatic, true));
    report_note(
        w->r, TASK,
        "macro_f1: mean over the labels that occur; ece: %d equal bins of the winner's probability",
        ECE_BINS);
    return OK;
}

/* ---- absent types ---- */

static Err read_absent(EvalWork *w, char **text, const char ***labels, size_t *n)
{
    char *save = NULL;
    size_t lines = 1;
    TRY(str_read_file(w->p->absent, 1 << 20, ERR_INPUT, text, NULL));
    for (const char *p = *text; *p; p++)
        lines += *p == '\n';
    TRY(NEW(*labels, w->k + lines));
    *n = 0;
    for (size_t c = 0; c < w->k; c++)
        (*labels)[(*n)++] = w->name[c];
    for (char *l = strtok_r(*text, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save))
        if (l[0] && l[0] != '#')
            (*labels)[(*n)++] = l;
    if (*n == w->k)
        FAIL(ERR_INPUT, "%s: no label in it", w->p->absent);
    return OK;
}

static Err add_absent(EvalWork *w)
{
    char *text = NULL, name[64];
    const char **labels = NULL;
    Answer a = {0};
    Err err = OK;
    AnnotateParams p =
        candidates(w, annotate_params_default().evidence, annotate_params_default().refine);
    TRY_GOTO(read_absent(w, &text, &labels, &p.n_labels));
    p.labels = labels;
    snprintf(name, sizeof name, "with %zu absent types added", p.n_labels - w->k);
    TRY_GOTO(ask(w, &p, &a));
    TRY_GOTO(add_class_measures(w, REPORT_VARIANT, name, a.prediction));
    const ReportRow *own = report_find(w->r, TASK, NULL, "accuracy"),
                    *less = report_find(w->r, TASK, name, "accuracy");
    report_add_plain(w->r, TASK, REPORT_VARIANT, name, "accuracy_cost",
                     own->e.value - less->e.value, w->labelled);
done:
    answer_done(&a);
    free(text);
    free(labels);
    return err;
}

/* ---- unknown ---- */

typedef struct LeftOut {
    Ranking *ranking; /* [n] */
    size_t n;
} LeftOut;

static double mean_auroc(const void *user, const uint32_t *weight)
{
    const LeftOut *l = user;
    double sum = 0, n = 0;
    for (size_t i = 0; i < l->n; i++) {
        double a = classify_auroc(&l->ranking[i], weight);
        if (!isnan(a)) {
            sum += a;
            n++;
        }
    }
    return n > 0 ? sum / n : NAN;
}

static Err leave_out(EvalWork *w, size_t left, LeftOut *l)
{
    const char **labels = NULL;
    uint8_t *positive = NULL;
    Answer a = {0};
    char name[160];
    Estimate e;
    Err err = OK;
    AnnotateParams p =
        candidates(w, annotate_params_default().evidence, annotate_params_default().refine);
    TRY_GOTO(NEW(labels, w->k));
    TRY_GOTO(NEW(positive, w->n));
    p.n_labels = 0;
    for (size_t c = 0; c < w->k; c++)
        if (c != left)
            labels[p.n_labels++] = w->name[c];
    p.labels = labels;
    TRY_GOTO(ask(w, &p, &a));
    for (size_t i = 0; i < w->n; i++)
        positive[i] = w->truth[i] == (int32_t)left;
    TRY_GOTO(ranking_init(a.unknown, positive, w->n, &l->ranking[l->n]));
    l->n++;
    TRY_GOTO(bootstrap(w->n, NULL, 0, classify_auroc, &l->ranking[l->n - 1], 200, w->p->seed, &e));
    e.n = w->labelled;
    snprintf(name, sizeof name, "left out: %s", w->name[left]);
    report_add(w->r, TASK, REPORT_VARIANT, name, "unknown_auroc", e);
done:
    answer_done(&a);
    free(labels);
    free(positive);
    return err;
}

static Err add_unknown(EvalWork *w)
{
    LeftOut l = {0};
    Estimate e;
    Err err = OK;
    if (w->k < 3) {
        report_note(w->r, TASK, "unknown: fewer than three labels, none was left out");
        return OK;
    }
    TRY(NEW0(l.ranking, w->k));
    for (size_t c = 0; c < w->k; c++)
        TRY_GOTO(leave_out(w, c, &l));
    TRY_GOTO(bootstrap(w->n, NULL, 0, mean_auroc, &l, 200, w->p->seed, &e));
    e.n = w->labelled;
    report_add(w->r, TASK, REPORT_MODEL, "model + markers + graph (default)", "unknown_auroc", e);
    report_note(w->r, TASK,
                "unknown_auroc: each label taken out of the candidates in turn; its cells against "
                "all others by "
                "the unknown score; mean over labels");
done:
    for (size_t i = 0; i < l.n; i++)
        ranking_done(&l.ranking[i]);
    free(l.ranking);
    return err;
}

/* ---- baselines ---- */

static Err add_majority(EvalWork *w)
{
    size_t *size;
    int32_t *prediction = NULL, best = 0;
    Err err = OK;
    TRY(NEW0(size, w->k));
    for (size_t i = 0; i < w->n; i++)
        if (w->truth[i] >= 0)
            size[w->truth[i]]++;
    for (size_t c = 1; c < w->k; c++)
        best = size[c] > size[best] ? (int32_t)c : best;
    TRY_GOTO(NEW(prediction, w->n));
    for (size_t i = 0; i < w->n; i++)
        prediction[i] = best;
    TRY_GOTO(add_class_measures(w, REPORT_CONTROL, "always the commonest label", prediction));
done:
    free(size);
    free(prediction);
    return err;
}

static Err add_logreg(EvalWork *w, const RefFeatures *f, int32_t *prediction)
{
    LogReg l = {0};
    double *p = NULL;
    float *probability = NULL;
    uint8_t *right = NULL;
    Err err = OK;
    TRY_GOTO(logreg_fit(f->ref, f->label, f->n, f->d, w->k, 1.0, 1e-3, 300, w->ctl, &l));
    TRY_GOTO(NEW(p, f->m * w->k));
    TRY_GOTO(NEW(probability, f->m));
    TRY_GOTO(NEW(right, f->m));
    TRY_GOTO(logreg_predict(&l, f->test, f->m, p));
    for (size_t i = 0; i < f->m; i++) {
        size_t best = 0;
        for (size_t c = 1; c < w->k; c++)
            best = p[i * w->k + c] > p[i * w->k + best] ? c : best;
        prediction[i] = (int32_t)best;
        probability[i] = w->truth[i] < 0 ? NAN : (float)p[i * w->k + best];
        right[i] = prediction[i] == w->truth[i];
    }
    TRY_GOTO(add_class_measures(w, REPORT_BASELINE, "logistic regression", prediction));
    TRY_GOTO(add_ece(w, REPORT_BASELINE, "logistic regression", probability, right));
done:
    logreg_done(&l);
    free(p);
    free(probability);
    free(right);
    return err;
}

/* Dense rows as a matrix for pca_fit. */
static Err as_csr(const float *x, size_t n, size_t d, Csr *out)
{
    TRY(csr_init(out, n, d, n * d));
    for (size_t i = 0; i < n; i++) {
        for (size_t f = 0; f < d; f++)
            out->indices[i * d + f] = (int32_t)f;
        out->indptr[i + 1] = (int64_t)((i + 1) * d);
    }
    memcpy(out->values, x, n * d * sizeof *x);
    return OK;
}

static Err add_knn(EvalWork *w, const RefFeatures *f, int32_t *prediction)
{
    Csr ref = {0}, test = {0};
    Pca pca = {0};
    float *x = NULL;
    const size_t k = 15;
    Err err = OK;
    TRY_GOTO(as_csr(f->ref, f->n, f->d, &ref));
    TRY_GOTO(as_csr(f->test, f->m, f->d, &test));
    TRY_GOTO(pca_fit(NULL, &ref, 50, w->p->seed, w->ctl, &pca));
    TRY_GOTO(NEW(x, f->m * pca.k));
    TRY_GOTO(pca_transform(&pca, &test, w->ctl, x));
    TRY_GOTO(
        expr_knn_vote(pca.scores, f->label, f->n, w->k, x, f->m, pca.k, &k, 1, w->ctl, prediction));
    TRY_GOTO(add_class_measures(w, REPORT_BASELINE, "kNN (15, 50 PCs)", prediction));
done:
    csr_done(&ref);
    csr_done(&test);
    pca_done(&pca);
    free(x);
    return err;
}

static Err add_refitted(EvalWork *w)
{
    RefFeatures f = {0};
    int32_t *prediction = NULL;
    Str without = {0};
    Err err = OK;
    TRY_GOTO(eval_features(w, false, &f));
    TRY_GOTO(NEW(prediction, w->n));
    TRY_GOTO(add_logreg(w, &f, prediction));
    TRY_GOTO(centroid_predict(f.ref, f.label, f.n, w->k, f.test, f.m, f.d, prediction));
    TRY_GOTO(add_class_measures(w, REPORT_BASELINE, "standardised centroid", prediction));
    TRY_GOTO(add_knn(w, &f, prediction));
    report_note(w->r, TASK,
                "refitted baselines: %zu reference cells, %zu shared genes, the %zu most variable",
                f.n, f.shared, f.d);
    for (size_t c = 0; c < w->k; c++) {
        bool has = false;
        for (size_t i = 0; i < f.n && !has; i++)
            has = f.label[i] == (int32_t)c;
        if (!has)
            str_addf(&without, "%s%s", without.len ? ", " : "", w->name[c]);
    }
    if (without.len)
        report_note(w->r, TASK, "refitted baselines cannot answer (no reference cells): %s",
                    str_text(&without));
done:
    reference_done(&f);
    free(prediction);
    str_free(&without);
    return err;
}

Err eval_annotate(EvalWork *w)
{
    TRY(add_parts(w));
    TRY(add_majority(w));
    if (w->p->n_references)
        TRY(add_refitted(w));
    if (w->p->absent)
        TRY(add_absent(w));
    return add_unknown(w);
}
