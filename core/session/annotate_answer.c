/* The answer of annotation: labels and probabilities, unknown cells, and the genes that speak for a label. */
#include "core/session/annotate_tuning.h"
#include "core/session/annotate_work.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

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

static void marker_texts(const AnnotateWork *w, const MarkerSet *set, const size_t *cells, size_t n, float *fraction, char **have,
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

static Err make_texts(const AnnotateWork *w, const Groups *g, Annotation *a)
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

static Err copy_labels(const AnnotateWork *w, Annotation *a)
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

static Err judge_unknown(const AnnotateWork *w, const Groups *g, Annotation *a)
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

Err annotate_fill(const AnnotateWork *w, const Groups *g, Annotation *a)
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
