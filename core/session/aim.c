/* A type with anchors of its own (or of a kind of it) is written by those, measured cells before
 * simulated ones, those of a tissue named in the prompt before others, by attention to the prompt's
 * words. A type that no training cell has (platelet, regulatory T cell) is looked for among all
 * anchors by its markers, as a person would: where are its high genes high and its low genes low? */
#include "core/session/aim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* Added to the log expression of a type's high genes, taken from its low ones; of genes the prompt
 * names. Set on held-out training sets. */
static const float OWN = 0.5f, FOUND = 1.0f, NAMED = 1.5f, NAMED_ABSENT = 3.0f;
static const float MEANT = 0.15f; /* share of the prompt from which a type counts as meant */
enum {
    KEEP_FOUND = 4, /* anchors a type without its own is written by */
    ENOUGH = 25     /* measured cells of an anchor that is trusted by itself */
};
static const double FOUND_SHARPNESS = 4, LEAN = 1;

void aim_done(Aim *a)
{
    free(a->weights);
    free(a->emphasis);
    free(a->types);
    *a = (Aim){0};
}

/* ---- how well anchors fit genes ---- */

/* z over anchors of each column of x[A,n], clipped at +-3. */
static void standardise(float *x, size_t anchors, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        double s = 0, q = 0;
        for (size_t a = 0; a < anchors; a++) {
            s += x[a * n + k];
            q += (double)x[a * n + k] * x[a * n + k];
        }
        double mean = s / (double)anchors, var = q / (double)anchors - mean * mean,
               sd = var > 1e-8 ? sqrt(var) : 1;
        for (size_t a = 0; a < anchors; a++) {
            double z = (x[a * n + k] - mean) / sd;
            x[a * n + k] = (float)(z > 3 ? 3 : z < -3 ? -3 : z);
        }
    }
}

/* score[A] = mean z(high) - factor * mean z(low) of the anchors' expression. */
static Err fit_genes(ModelState *m, const int32_t *high, size_t n_high, const int32_t *low,
                     size_t n_low, double factor, size_t anchors, double *score)
{
    size_t n = n_high + n_low;
    int32_t *genes = NULL;
    float *x = NULL;
    Err err = OK;
    TRY_GOTO(NEW(genes, n));
    TRY_GOTO(NEW(x, anchors * n));
    memcpy(genes, high, n_high * sizeof *genes);
    memcpy(genes + n_high, low, n_low * sizeof *genes);
    TRY_GOTO(model_anchor_expression(m->model, genes, n, x));
    standardise(x, anchors, n);
    for (size_t a = 0; a < anchors; a++) {
        score[a] = 0;
        for (size_t k = 0; k < n_high; k++)
            score[a] += x[a * n + k] / (double)n_high;
        for (size_t k = 0; k < n_low; k++)
            score[a] -= factor * x[a * n + n_high + k] / (double)n_low;
    }
done:
    free(genes);
    free(x);
    return err;
}

/* Attention leans to the anchors that express the genes named in the prompt: "lymphocytes with CD19"
 * are B cells. */
static Err lean(ModelState *m, const PromptMatch *p, size_t anchors, float *attention)
{
    double *score, top = -1e30;
    if (!p->n_up && !p->n_down)
        return OK;
    TRY(NEW(score, anchors));
    Err err = fit_genes(m, p->up, p->n_up, p->down, p->n_down, 1, anchors, score);
    for (size_t a = 0; err == OK && a < anchors; a++)
        top = score[a] > top ? score[a] : top;
    for (size_t a = 0; err == OK && a < anchors; a++)
        attention[a] *= (float)exp(LEAN * (score[a] - top));
    free(score);
    return err;
}

/* ---- types with anchors ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_letter(char c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c & 0x80);
}

/* The tissue's name as words of their own in the prompt. */
static bool names_tissue(const char *prompt, const char *tissue)
{
    size_t n = strlen(tissue);
    for (const char *p = prompt; n && *p; p++) {
        size_t i = 0;
        while (i < n && p[i] && lower(p[i]) == lower(tissue[i]))
            i++;
        if (i == n && !is_letter(p[n]) && (p == prompt || !is_letter(p[-1])))
            return true;
    }
    return false;
}

typedef struct Mask {
    const Anchor *anchor;
    size_t n;
    uint8_t *in;
} Mask;

/* Keeps those that `want` says, if any of the mask is among them. */
static void prefer(Mask *k, bool (*want)(const Anchor *, const void *), const void *user)
{
    bool any = false;
    for (size_t a = 0; a < k->n; a++)
        any |= k->in[a] && want(&k->anchor[a], user);
    for (size_t a = 0; any && a < k->n; a++)
        k->in[a] = k->in[a] && want(&k->anchor[a], user);
}

static bool want_tissue(const Anchor *a, const void *prompt)
{
    return names_tissue(prompt, a->tissue);
}

/* Measured cells, enough of them to know a type by. */
static bool want_measured(const Anchor *a, const void *none)
{
    return !none && a->measured && a->n >= ENOUGH;
}

static bool excluded(const PromptMatch *p, const CellTypes *t, int32_t type)
{
    for (size_t i = 0; i < p->n_absent; i++)
        if (celltypes_is_a(t, type, p->absent[i]))
            return true;
    return false;
}

/* How well the type is known: 0 no anchor, 1 by averages or few cells, 2 by enough measured cells. */
static int add_own(const ModelState *m, const PromptMatch *p, size_t i, const float *attention,
                    Mask *k, float *weights)
{
    const CellTypes *t = model_celltypes(m->model);
    double sum = 0;
    bool any = false;
    for (size_t a = 0; a < k->n; a++) {
        int32_t type = celltypes_find_id(t, k->anchor[a].type_id);
        k->in[a] = type >= 0 && celltypes_is_a(t, type, p->type[i]) && !excluded(p, t, type);
        any |= k->in[a];
    }
    if (!any)
        return 0;
    prefer(k, want_tissue, p->text);
    prefer(k, want_measured, NULL);
    for (size_t a = 0; a < k->n; a++)
        sum += k->in[a] ? attention[a] + 1e-30 : 0;
    bool enough = false;
    for (size_t a = 0; a < k->n; a++)
        if (k->in[a]) {
            weights[a] += (float)(p->weight[i] * (attention[a] + 1e-30) / sum);
            enough |= want_measured(&k->anchor[a], NULL);
        }
    return enough ? 2 : 1;
}

/* ---- types found by their genes ---- */

/* Adds `share` to the anchors that fit high and low genes best. */
static Err add_found(ModelState *m, const int32_t *high, size_t n_high, const int32_t *low,
                     size_t n_low, double share, size_t anchors, float *weights)
{
    double *score = NULL, sum = 0;
    Err err = OK;
    TRY_GOTO(NEW(score, anchors));
    TRY_GOTO(fit_genes(m, high, n_high, low, n_low, 0.5, anchors, score));
    size_t pick[KEEP_FOUND], kept = 0;
    for (; kept < KEEP_FOUND && kept < anchors; kept++) {
        size_t best = SIZE_MAX;
        for (size_t a = 0; a < anchors; a++) {
            bool taken = false;
            for (size_t i = 0; i < kept; i++)
                taken |= pick[i] == a;
            if (!taken && (best == SIZE_MAX || score[a] > score[best]))
                best = a;
        }
        pick[kept] = best;
        sum += exp(FOUND_SHARPNESS * (score[best] - score[pick[0]]));
    }
    for (size_t i = 0; i < kept; i++)
        weights[pick[i]] +=
            (float)(share * exp(FOUND_SHARPNESS * (score[pick[i]] - score[pick[0]])) / sum);
done:
    free(score);
    return err;
}

static Err find_genes(const ModelState *m, const StrList *names, int32_t **out, size_t *n)
{
    *n = 0;
    TRY(NEW(*out, names->n));
    for (size_t i = 0; i < names->n; i++) {
        int32_t g = model_find_gene(m->model, names->v[i]);
        if (g >= 0)
            (*out)[(*n)++] = g;
    }
    return OK;
}

static void emphasise(const int32_t *genes, size_t n, float by, float *emphasis)
{
    for (size_t i = 0; i < n; i++)
        emphasis[genes[i]] += by;
}

static Err add_type(ModelState *m, const PromptMatch *p, size_t i, const float *attention, Mask *k,
                    Aim *out)
{
    const CellType *t = celltypes_at(model_celltypes(m->model), (size_t)p->type[i]);
    int32_t *high = NULL, *low = NULL;
    size_t n_high, n_low;
    Err err = OK;
    TRY_GOTO(find_genes(m, &t->high, &high, &n_high));
    TRY_GOTO(find_genes(m, &t->low, &low, &n_low));
    int known = add_own(m, p, i, attention, k, out->weights);
    if (!known && n_high)
        TRY_GOTO(add_found(m, high, n_high, low, n_low, p->weight[i], k->n, out->weights));
    float by = p->weight[i] * (known == 2 ? OWN : FOUND);
    emphasise(high, n_high, by, out->emphasis);
    emphasise(low, n_low, -by, out->emphasis);
done:
    free(high);
    free(low);
    return err;
}

static Err fill(ModelState *m, const PromptMatch *p, JobCtl *ctl, const Anchor *anchor, Aim *out)
{
    float *attention = NULL;
    Mask k = {.anchor = anchor, .n = out->n_anchors};
    double sum = 0;
    Err err = OK;
    TRY_GOTO(NEW0(out->weights, k.n));
    TRY_GOTO(NEW0(out->emphasis, model_desc(m->model)->genes));
    TRY_GOTO(NEW(out->types, p->n_types));
    TRY_GOTO(NEW(attention, k.n));
    TRY_GOTO(NEW(k.in, k.n));
    TRY_GOTO(job_progress(ctl, 0));
    TRY_GOTO(model_anchor_weights(m->model, p->raw, attention));
    TRY_GOTO(lean(m, p, k.n, attention));
    for (size_t i = 0; i < p->n_types; i++) {
        TRY_GOTO(add_type(m, p, i, attention, &k, out));
        if (p->weight[i] >= MEANT || i == 0)
            out->types[out->n_types++] = p->type[i];
    }
    if (!p->n_types && p->n_up)
        TRY_GOTO(add_found(m, p->up, p->n_up, p->down, p->n_down, 1, k.n, out->weights));
    emphasise(p->up, p->n_up, NAMED, out->emphasis);
    emphasise(p->down, p->n_down, -NAMED_ABSENT, out->emphasis);
    for (size_t a = 0; a < k.n; a++)
        sum += out->weights[a];
    if (!(sum > 0))
        FAIL_GOTO(ERR_NOT_FOUND,
                  "\"%s\": no cell type that the model can write is meant with confidence; name a "
                  "type, what the cells do, or marker genes",
                  p->text);
    for (size_t a = 0; a < k.n; a++)
        out->weights[a] = (float)(out->weights[a] / sum);
done:
    free(attention);
    free(k.in);
    return err;
}

/* A generator that reads the words itself needs no anchors: only what the cells should be. */
static Err words_alone(ModelState *m, const PromptMatch *p, Aim *out)
{
    Aim a = {0};
    if (!model_desc(m->model)->has_generator)
        FAIL(ERR_MODEL, "%s: this model has no generator; it cannot write cells", m->info.dir);
    if (!p->n_types && !p->n_up)
        FAIL(ERR_NOT_FOUND,
             "\"%s\": no cell type is meant with confidence; name a type, what the cells do, or "
             "marker genes",
             p->text);
    TRY(NEW(a.types, p->n_types));
    for (size_t i = 0; i < p->n_types; i++)
        if (p->weight[i] >= MEANT || i == 0)
            a.types[a.n_types++] = p->type[i];
    *out = a;
    return OK;
}

Err aim_new(ModelState *m, const PromptMatch *p, JobCtl *ctl, Aim *out)
{
    Aim a = {0};
    const Anchor *anchor = model_anchors(m->model, &a.n_anchors);
    if (model_desc(m->model)->own_words)
        return words_alone(m, p, out);
    if (!anchor)
        FAIL(ERR_MODEL, "%s: this model has no generator; it cannot write cells", m->info.dir);
    Err err = fill(m, p, ctl, anchor, &a);
    if (err != OK)
        aim_done(&a);
    else
        *out = a;
    return err;
}

/* ---- sizes ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void aim_size(const Aim *a, const Reference *r, const CellTypes *t, double *mean, double *sd)
{
    enum { FEW = 10 };
    *mean = *sd = 0;
    if (!r->known_sizes || !r->n)
        return;
    uint8_t *hit = mem_must(r->n_labels + 1);
    double *v = mem_must(r->n * sizeof *v);
    size_t n = 0;
    reference_hits(r, t, a->types, a->n_types, hit);
    for (int all = 0; all < 2 && n < FEW; all++) {
        n = 0;
        for (size_t i = 0; i < r->n; i++)
            if (r->totals[i] > 0 && (all || (r->label[i] >= 0 && hit[r->label[i]])))
                v[n++] = log(r->totals[i]);
    }
    qsort(v, n, sizeof *v, by_value);
    if (n) {
        *mean = sorted_quantile(v, n, 0.5);
        *sd = (sorted_quantile(v, n, 0.75) - sorted_quantile(v, n, 0.25)) / 1.349;
    }
    free(v);
    free(hit);
}
