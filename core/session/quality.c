/* Votes of the nearest real cells, distances between distributions, sizes, spread, markers. The
 * space is the one fitted on the real cells; distances are to the real cells of the types meant. */
#include "core/session/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"

enum { N_K = 4, FEW = 10, AT_MOST = 1000 };
static const size_t ks[N_K] = {3, 5, 10, 25};

typedef struct Work {
    const ModelState *m;
    const QualityInput *in;
    JobCtl *ctl;
    Quality *q;
    size_t d;
    uint8_t *hit;            /* [labels] the label is what was asked for */
    size_t *meant, n_meant;  /* reference cells of such a label */
    float *target;           /* [n_target, d] a sample of them */
    size_t n_target;
    float *x[2]; /* generated */
} Work;

void quality_free(Quality *q)
{
    if (!q)
        return;
    free(q->prompt);
    free(q->shuffled_prompt);
    free(q->nearest_types[0]);
    free(q->nearest_types[1]);
    free(q->high);
    free(q->low);
    free(q);
}

static Err choose_target(Work *w)
{
    const Reference *r = w->in->real;
    size_t *order = NULL;
    Err err = OK;
    TRY_GOTO(NEW(w->hit, r->n_labels));
    TRY_GOTO(NEW(w->meant, r->n));
    reference_hits(r, model_celltypes(w->m->model), w->in->types, w->in->n_types, w->hit);
    for (size_t i = 0; i < r->n; i++)
        if (r->label[i] >= 0 && w->hit[r->label[i]])
            w->meant[w->n_meant++] = i;
    Rng rng = rng_make(w->in->seed, 91);
    TRY_GOTO(NEW(order, w->n_meant));
    rng_permutation(&rng, w->n_meant, order);
    w->n_target = w->n_meant < AT_MOST ? w->n_meant : AT_MOST;
    TRY_GOTO(NEW(w->target, w->n_target * w->d));
    for (size_t i = 0; i < w->n_target; i++)
        memcpy(w->target + i * w->d, r->x + w->meant[order[i]] * w->d, w->d * sizeof(float));
done:
    free(order);
    return err;
}

/* ---- votes ---- */

typedef struct Share {
    const char *name;
    size_t n;
} Share;

static int by_share(const void *a, const void *b)
{
    const Share *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : strcmp(x->name, y->name);
}

/* "plasma cell 93%, B cell 6%, other 1%" */
static Err nearest_text(const Reference *r, const int32_t *vote, size_t n, char **out)
{
    enum { NAMED = 3 };
    Share *s;
    Str text = {0};
    size_t other = 0;
    TRY(NEW(s, r->n_labels));
    for (size_t i = 0; i < r->n_labels; i++)
        s[i] = (Share){r->labels[i], 0};
    for (size_t i = 0; i < n; i++)
        if (vote[i] >= 0)
            s[vote[i]].n++;
    qsort(s, r->n_labels, sizeof *s, by_share);
    for (size_t i = 0; i < r->n_labels; i++)
        if (i < NAMED && s[i].n)
            str_addf(&text, "%s%s %.0f%%", i ? ", " : "", s[i].name,
                     100.0 * (double)s[i].n / (double)n);
        else
            other += s[i].n;
    if (other)
        str_addf(&text, ", other %.0f%%", 100.0 * (double)other / (double)n);
    free(s);
    *out = str_take(&text);
    return OK;
}

static Err votes(Work *w, int which)
{
    const Reference *r = w->in->real;
    size_t n = w->in->cells[which]->rows;
    int32_t *vote;
    TRY(NEW(vote, N_K * n));
    Err err = expr_knn_vote(r->x, r->label, r->n, r->n_labels, w->x[which], n, w->d, ks, N_K,
                            w->ctl, vote);
    for (size_t k = 0; err == OK && k < N_K; k++) {
        size_t right = 0;
        for (size_t i = 0; i < n; i++)
            right += vote[k * n + i] >= 0 && w->hit[vote[k * n + i]];
        w->q->knn_acc[which][k] = w->n_meant ? (double)right / (double)n : (double)NAN;
    }
    if (err == OK)
        err = nearest_text(r, vote + 2 * n, n, &w->q->nearest_types[which]);
    free(vote);
    return err;
}

/* ---- distances ---- */

static Err distances(Work *w, int which, double bandwidth)
{
    size_t n = w->in->cells[which]->rows;
    n = n < AT_MOST ? n : AT_MOST;
    w->q->mmd[which] = expr_mmd(w->x[which], n, w->target, w->n_target, w->d, bandwidth);
    return expr_emd(w->x[which], n, w->target, w->n_target, w->d, EXPR_DIRECTIONS, 0,
                    &w->q->emd[which]);
}

static Err compare(Work *w)
{
    Quality *q = w->q;
    double bandwidth;
    q->mmd[0] = q->mmd[1] = q->emd[0] = q->emd[1] = NAN;
    q->mmd_real = q->emd_real = q->diversity = NAN;
    if (w->n_target < FEW)
        return OK;
    TRY(expr_median_distance(w->target, w->n_target, w->d, 0, &bandwidth));
    for (int i = 0; i < 2; i++)
        if (w->in->cells[i])
            TRY(distances(w, i, bandwidth));
    size_t half = w->n_target / 2; /* the sample is in random order */
    q->mmd_real = expr_mmd(w->target, half, w->target + half * w->d, w->n_target - half, w->d,
                           bandwidth);
    TRY(expr_emd(w->target, half, w->target + half * w->d, w->n_target - half, w->d,
                 EXPR_DIRECTIONS, 0, &q->emd_real));
    q->diversity = expr_spread(w->x[0], w->in->cells[0]->rows, w->d) /
                   expr_spread(w->target, w->n_target, w->d);
    return OK;
}

static Err sizes(Work *w)
{
    const Reference *r = w->in->real;
    Quality *q = w->q;
    ExprSummary s;
    Csr real;
    TRY(expr_summary(w->in->cells[0], &s));
    q->sparsity = s.sparsity;
    q->counts_median = s.counts_median;
    q->genes_median = s.genes_median;
    q->sparsity_real = q->counts_median_real = q->genes_median_real = NAN;
    if (!w->n_meant)
        return OK;
    TRY(csr_take_rows(&r->counts, w->meant, w->n_meant, &real));
    Err err = expr_summary(&real, &s);
    csr_done(&real);
    q->sparsity_real = s.sparsity;
    q->genes_median_real = s.genes_median;
    if (r->known_sizes)
        q->counts_median_real = s.counts_median;
    return err;
}

/* ---- markers ---- */

/* Names of the markers whose mean is on the side it should be, compared with all real cells; the
 * others after "not:". */
static char *side(const Work *w, const StrList *genes, const double *made, const double *real,
                  bool high)
{
    Str yes = {0}, no = {0};
    for (size_t i = 0; i < genes->n; i++) {
        int32_t c = model_state_column(w->m, genes->v[i]);
        if (c < 0)
            continue;
        bool right = high ? made[c] > real[c] : made[c] <= real[c];
        Str *to = right ? &yes : &no;
        str_addf(to, "%s%s", to->len ? " " : "", w->m->names[c]);
    }
    if (no.len)
        str_addf(&yes, "%snot: %s", yes.len ? "; " : "", str_text(&no));
    str_free(&no);
    return str_take(&yes);
}

static Err markers(Work *w)
{
    double *made = NULL, *real = NULL;
    const Csr *c = w->in->cells[0];
    Err err = OK;
    if (!w->in->n_types) {
        w->q->high = mem_strdup("");
        w->q->low = mem_strdup("");
        return OK;
    }
    const CellType *t = celltypes_at(model_celltypes(w->m->model), (size_t)w->in->types[0]);
    TRY_GOTO(NEW(made, c->cols));
    TRY_GOTO(NEW(real, c->cols));
    TRY_GOTO(expr_mean_log(c, NULL, c->rows, made));
    TRY_GOTO(expr_mean_log(&w->in->real->counts, NULL, w->in->real->n, real));
    w->q->high = side(w, &t->high, made, real, true);
    w->q->low = side(w, &t->low, made, real, false);
done:
    free(made);
    free(real);
    return err;
}

static Err measure(Work *w)
{
    Quality *q = w->q;
    w->d = w->in->real->space.pca.k;
    q->n = w->in->cells[0]->rows;
    for (size_t k = 0; k < N_K; k++)
        q->knn_acc[1][k] = NAN;
    job_stage(w->ctl, "comparing with real cells", 0);
    TRY(choose_target(w));
    for (int i = 0; i < 2; i++) {
        if (!w->in->cells[i])
            continue;
        TRY(NEW(w->x[i], w->in->cells[i]->rows * w->d));
        TRY(expr_space_project(&w->in->real->space, w->in->cells[i], w->ctl, w->x[i]));
        TRY(votes(w, i));
        TRY(job_progress(w->ctl, 0));
    }
    TRY(compare(w));
    TRY(sizes(w));
    TRY(markers(w));
    if (!q->nearest_types[1])
        q->nearest_types[1] = mem_strdup("");
    return OK;
}

Err quality_measure(const ModelState *m, const QualityInput *in, JobCtl *ctl, Quality **out)
{
    Work w = {.m = m, .in = in, .ctl = ctl, .q = mem_must(sizeof(Quality))};
    Err err = measure(&w);
    free(w.hit);
    free(w.meant);
    free(w.target);
    free(w.x[0]);
    free(w.x[1]);
    if (err != OK)
        quality_free(w.q);
    else
        *out = w.q;
    return err;
}
