/* See reference.h. */
#include "core/session/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/rows.h"
#include "core/base/rng.h"
#include "core/base/mem.h"

typedef struct ReferenceState {
    Reference *r;
    Annotation *annotation;
} ReferenceState;

static void reference_free(Reference *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->labels && i < r->n_labels; i++)
        free(r->labels[i]);
    free(r->labels);
    free(r->label);
    free(r->type);
    free(r->label_key);
    free(r->cells);
    free(r->totals);
    free(r->x);
    csr_done(&r->counts);
    expr_space_done(&r->space);
    free(r);
}

static void release(void *state)
{
    ReferenceState *r = state;
    reference_free(r->r);
    annotation_free(r->annotation);
}

Err reference_annotation(Session *s, JobCtl *ctl, const Annotation **out)
{
    ReferenceState *r = session_state(s, TOPIC_REFERENCE, sizeof *r, release);
    AnnotateParams p = annotate_params_default();
    if (!r->annotation)
        TRY(session_annotate(s, &p, NULL, ctl, &r->annotation));
    *out = r->annotation;
    return OK;
}

static int by_number(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static Err choose_cells(Reference *r, size_t n_cells)
{
    size_t *order;
    Rng rng = rng_make(0, 77);
    TRY(NEW(order, n_cells));
    rng_permutation(&rng, n_cells, order);
    r->n = n_cells < REFERENCE_CELLS ? n_cells : REFERENCE_CELLS;
    qsort(order, r->n, sizeof *order, by_number);
    r->cells = order;
    return OK;
}

static Err read_counts(Session *s, Reference *r, JobCtl *ctl)
{
    int matrix;
    TRY(session_working_matrix(s, &matrix));
    Rows rows = rows_of_dataset(s->dataset, matrix, false);
    rows.pick = r->cells;
    rows.n = r->n;
    job_stage(ctl, "reading cells to compare with", r->n);
    TRY(rows_gather(&rows, NULL, 0, ctl, &r->counts));
    r->known_sizes = dataset_matrix(s->dataset, (size_t)matrix)->state == STATE_COUNTS;
    for (size_t i = 0; !r->known_sizes && i < csr_nnz(&r->counts); i++)
        r->counts.values[i] = expm1f(r->counts.values[i]);
    TRY(NEW(r->totals, r->n));
    csr_row_sums(&r->counts, r->totals);
    return OK;
}

static Err copy_labels(Reference *r, char *const *names, size_t n, const int32_t *codes)
{
    TRY(NEW0(r->labels, n));
    TRY(NEW(r->type, n));
    TRY(NEW(r->label, r->n));
    r->n_labels = n;
    for (size_t i = 0; i < n; i++)
        r->labels[i] = mem_strdup(names[i]);
    for (size_t i = 0; i < r->n; i++)
        r->label[i] = codes[r->cells[i]];
    return OK;
}

static Err read_labels(Session *s, const char *key, Reference *r, JobCtl *ctl)
{
    ModelState *m;
    TRY(model_state_embedded(s, ctl, &m));
    if (key) {
        Groups *g;
        TRY(session_groups(s, key, ctl, &g));
        Err err = copy_labels(r, g->names, g->n_groups, g->codes);
        for (size_t i = 0; err == OK && i < r->n_labels; i++)
            r->type[i] = label_find(m->labels, r->labels[i]);
        groups_free(g);
        return err;
    }
    const Annotation *a;
    TRY(reference_annotation(s, ctl, &a));
    Err err = copy_labels(r, a->labels, a->n_labels, a->label);
    for (size_t i = 0; err == OK && i < r->n_labels; i++)
        r->type[i] = celltypes_find_id(model_celltypes(m->model), a->label_ids[i]);
    return err;
}

static Err make(Session *s, const char *key, JobCtl *ctl, Reference *r)
{
    r->label_key = mem_strdup(key ? key : "");
    TRY(choose_cells(r, dataset_cells(s->dataset)));
    TRY(read_labels(s, key, r, ctl));
    TRY(read_counts(s, r, ctl));
    job_stage(ctl, "space of comparison", 0);
    TRY(expr_space_fit(&r->counts, EXPR_GENES, EXPR_PCS, 0, ctl, &r->space));
    TRY(NEW(r->x, r->n * r->space.pca.k));
    return expr_space_project(&r->space, &r->counts, ctl, r->x);
}

Err reference_get(Session *s, const char *label_key, JobCtl *ctl, const Reference **out)
{
    ReferenceState *state = session_state(s, TOPIC_REFERENCE, sizeof *state, release);
    if (!state->r || strcmp(state->r->label_key, label_key ? label_key : "") != 0) {
        Reference *r = mem_must(sizeof *r);
        Err err = make(s, label_key, ctl, r);
        if (err != OK) {
            reference_free(r);
            return err;
        }
        reference_free(state->r);
        state->r = r;
    }
    *out = state->r;
    return OK;
}

void reference_hits(const Reference *r, const CellTypes *t, const int32_t *types, size_t n,
                    uint8_t *hit)
{
    for (size_t i = 0; i < r->n_labels; i++) {
        hit[i] = 0;
        for (size_t k = 0; k < n && r->type[i] >= 0; k++)
            hit[i] |= celltypes_related(t, r->type[i], types[k]);
    }
}
