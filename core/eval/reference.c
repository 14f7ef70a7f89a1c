/* Joins labelled reference files and a test file to one dense, standardised matrix of the genes
 * they share. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/genes.h"
#include "core/eval/baselines.h"

enum { FEWEST_SHARED = 50 };
static const float CLIP = 10;

void reference_done(RefFeatures *f)
{
    free(f->ref);
    free(f->test);
    free(f->label);
    free(f->set);
    free(f->row);
    *f = (RefFeatures){0};
}

static size_t used_cells(const ReferenceSet *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->counts->rows; i++)
        n += s->label[i] >= 0;
    return n;
}

typedef struct Join {
    const ReferenceSet *sets, *test;
    size_t n_sets, genes; /* genes of the test */
    GeneMatch *match;     /* [n_sets] set column -> test column */
    int32_t *shared;      /* [genes] number among the shared genes, -1 */
    size_t n_shared;
} Join;

/* A test gene is shared when every set with a used cell has it. */
static Err find_shared(Join *j)
{
    Err err = OK;
    uint32_t *seen = NULL;
    size_t with_cells = 0;
    TRY_GOTO(NEW0(seen, j->genes));
    TRY_GOTO(NEW(j->shared, j->genes));
    for (size_t s = 0; s < j->n_sets; s++) {
        const ReferenceSet *set = &j->sets[s];
        if (used_cells(set) == 0)
            continue;
        with_cells++;
        TRY_GOTO(gene_match(set->genes, NULL, set->counts->cols, j->test->genes, j->genes,
                            &j->match[s]));
        for (size_t c = 0; c < set->counts->cols; c++)
            if (j->match[s].to[c] >= 0)
                seen[j->match[s].to[c]]++;
    }
    if (with_cells == 0)
        FAIL_GOTO(ERR_NOT_FOUND, "reference: none of its labels is one of the classes");
    for (size_t g = 0; g < j->genes; g++)
        j->shared[g] = seen[g] == with_cells ? (int32_t)j->n_shared++ : -1;
    if (j->n_shared < FEWEST_SHARED)
        FAIL_GOTO(ERR_FEW_GENES, "reference: only %zu genes are in all files", j->n_shared);
done:
    free(seen);
    return err;
}

/* log1p CP10k over the shared genes into x[n_shared]. to: column -> test gene, NULL for the test
 * itself. */
static void cell_features(const Join *j, const ReferenceSet *s, const int32_t *to, size_t row,
                          float *x)
{
    double total = 0;
    memset(x, 0, j->n_shared * sizeof *x);
    for (int64_t e = s->counts->indptr[row]; e < s->counts->indptr[row + 1]; e++) {
        int32_t g = to ? to[s->counts->indices[e]] : s->counts->indices[e];
        if (g < 0 || j->shared[g] < 0)
            continue;
        float v = s->lognorm ? expm1f(s->counts->values[e]) : s->counts->values[e];
        x[j->shared[g]] += v;
        total += v;
    }
    for (size_t f = 0; total > 0 && f < j->n_shared; f++)
        x[f] = log1pf((float)(1e4 * x[f] / total));
}

typedef struct Moments {
    double *mean, *sd; /* [n_shared] */
    int32_t *cols;     /* [d] shared genes used, ascending */
    size_t d;
} Moments;

typedef struct Variance {
    double v;
    int32_t col;
} Variance;

static int by_falling_variance(const void *a, const void *b)
{
    const Variance *x = a, *y = b;
    if (x->v != y->v)
        return x->v < y->v ? 1 : -1;
    return (x->col > y->col) - (x->col < y->col);
}

static Err pick_genes(Moments *m, size_t n_shared, size_t most)
{
    Variance *v;
    uint8_t *picked = NULL;
    Err err = OK;
    TRY(NEW(v, n_shared));
    TRY_GOTO(NEW0(picked, n_shared));
    TRY_GOTO(NEW(m->cols, n_shared));
    for (size_t f = 0; f < n_shared; f++)
        v[f] = (Variance){m->sd[f], (int32_t)f};
    qsort(v, n_shared, sizeof *v, by_falling_variance);
    for (size_t i = 0; i < n_shared && i < most && v[i].v > 0; i++)
        picked[v[i].col] = 1;
    for (size_t f = 0; f < n_shared; f++)
        if (picked[f])
            m->cols[m->d++] = (int32_t)f;
done:
    free(v);
    free(picked);
    return err;
}

/* Means and standard deviations of the reference cells, and which genes to use. */
static Err find_moments(const Join *j, const RefFeatures *f, size_t most, float *x, Moments *m)
{
    TRY(NEW0(m->mean, j->n_shared));
    TRY(NEW0(m->sd, j->n_shared));
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < f->n; i++) {
            size_t s = (size_t)f->set[i];
            cell_features(j, &j->sets[s], j->match[s].to, f->row[i], x);
            for (size_t g = 0; g < j->n_shared; g++)
                if (pass == 0)
                    m->mean[g] += x[g] / (double)f->n;
                else
                    m->sd[g] += (x[g] - m->mean[g]) * (x[g] - m->mean[g]) / (double)f->n;
        }
    for (size_t g = 0; g < j->n_shared; g++)
        m->sd[g] = sqrt(m->sd[g]);
    return pick_genes(m, j->n_shared, most);
}

static void standardise(const Moments *m, const float *x, float *out)
{
    for (size_t f = 0; f < m->d; f++) {
        int32_t g = m->cols[f];
        float z = (float)((x[g] - m->mean[g]) / m->sd[g]);
        out[f] = z > CLIP ? CLIP : z < -CLIP ? -CLIP : z;
    }
}

static Err list_cells(const Join *j, RefFeatures *f)
{
    for (size_t s = 0; s < j->n_sets; s++)
        f->n += used_cells(&j->sets[s]);
    TRY(NEW(f->label, f->n));
    TRY(NEW(f->set, f->n));
    TRY(NEW(f->row, f->n));
    size_t at = 0;
    for (size_t s = 0; s < j->n_sets; s++)
        for (size_t i = 0; i < j->sets[s].counts->rows; i++)
            if (j->sets[s].label[i] >= 0) {
                f->label[at] = j->sets[s].label[i];
                f->set[at] = (int32_t)s;
                f->row[at++] = i;
            }
    return OK;
}

Err reference_join(const ReferenceSet *sets, size_t n_sets, const ReferenceSet *test, size_t most,
                   JobCtl *ctl, RefFeatures *out)
{
    Err err = OK;
    RefFeatures f = {0};
    Moments m = {0};
    float *x = NULL;
    Join j = {.sets = sets, .test = test, .n_sets = n_sets, .genes = test->counts->cols};
    job_stage(ctl, "reference", 0);
    TRY_GOTO(NEW0(j.match, n_sets));
    TRY_GOTO(find_shared(&j));
    TRY_GOTO(NEW(x, j.n_shared));
    TRY_GOTO(list_cells(&j, &f));
    TRY_GOTO(find_moments(&j, &f, most, x, &m));
    TRY_GOTO(job_progress(ctl, 0));
    f.shared = j.n_shared;
    f.d = m.d;
    f.m = test->counts->rows;
    TRY_GOTO(NEW(f.ref, f.n * f.d));
    TRY_GOTO(NEW(f.test, f.m * f.d));
    for (size_t i = 0; i < f.n; i++) {
        cell_features(&j, &sets[f.set[i]], j.match[f.set[i]].to, f.row[i], x);
        standardise(&m, x, f.ref + i * f.d);
    }
    for (size_t i = 0; i < f.m; i++) {
        cell_features(&j, test, NULL, i, x);
        standardise(&m, x, f.test + i * f.d);
    }
    *out = f;
    f = (RefFeatures){0};
done:
    for (size_t s = 0; j.match && s < n_sets; s++)
        gene_match_done(&j.match[s]);
    free(j.match);
    free(j.shared);
    free(x);
    free(m.mean);
    free(m.sd);
    free(m.cols);
    reference_done(&f);
    return err;
}
