/* Marker values of all cells in one sparse matrix over the marker genes alone (a few thousand columns), and the scores
 * computed from it in blocks of cells. */
#include "core/session/evidence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

void marker_set_done(MarkerSet *m)
{
    free(m->high);
    free(m->low);
    *m = (MarkerSet){0};
}

Err evidence_new(size_t n_cells, size_t n_cols, const int32_t *cols, const float *ref_mean, const float *ref_scale,
                 size_t n, Evidence **out)
{
    Evidence *e = mem_must(sizeof *e);
    Err err = OK;
    *e = (Evidence){.n_cells = n_cells, .n_genes = n, .n_cols = n_cols};
    TRY_GOTO(NEW0(e->genes, n));
    TRY_GOTO(NEW(e->of_col, n_cols));
    TRY_GOTO(NEW0(e->sum, n));
    TRY_GOTO(NEW0(e->sum2, n));
    TRY_GOTO(NEW0(e->totals, n_cells));
    e->cap = n_cells * 64 + 64;
    TRY_GOTO(csr_init(&e->x, n_cells, n, e->cap));
    for (size_t i = 0; i < n_cols; i++)
        e->of_col[i] = -1;
    for (size_t i = 0; i < n; i++) {
        e->of_col[cols[i]] = (int32_t)i;
        e->genes[i] = (EvidenceGene){.col = cols[i], .ref_mean = ref_mean[i], .ref_scale = ref_scale[i]};
    }
    *out = e;
    return OK;
done:
    evidence_free(e);
    return err;
}

void evidence_free(Evidence *e)
{
    if (!e)
        return;
    free(e->genes);
    free(e->of_col);
    free(e->sum);
    free(e->sum2);
    free(e->totals);
    csr_done(&e->x);
    free(e);
}

static void finish(Evidence *e)
{
    double n = (double)e->n_cells;
    for (size_t g = 0; g < e->n_genes; g++) {
        double mean = e->sum[g] / n, var = e->sum2[g] / n - mean * mean;
        e->genes[g].mean = (float)mean;
        e->genes[g].sd = var > 1e-8 ? (float)sqrt(var) : 0;
    }
}

Err evidence_add_rows(Evidence *e, const Csr *rows, const int32_t *used, double panel, bool lognorm)
{
    size_t at = (size_t)e->x.indptr[e->filled];
    for (size_t r = 0; r < rows->rows; r++) {
        double total = 0;
        for (int64_t k = rows->indptr[r]; k < rows->indptr[r + 1]; k++)
            if (used[rows->indices[k]] >= 0)
                total += lognorm ? expm1(rows->values[k]) : rows->values[k];
        e->totals[e->filled] = total;
        for (int64_t k = rows->indptr[r]; k < rows->indptr[r + 1]; k++) {
            int32_t g = e->of_col[rows->indices[k]];
            float v = rows->values[k];
            if (g < 0 || !(v > 0) || !(total > 0))
                continue;
            if (at == e->cap) {
                size_t cap = e->cap + e->cap / 2;
                TRY(mem_realloc(&e->x.indices, cap, sizeof *e->x.indices));
                TRY(mem_realloc(&e->x.values, cap, sizeof *e->x.values));
                e->cap = cap;
            }
            double x = log1p(1e4 * panel * (lognorm ? expm1(v) : (double)v) / total);
            e->x.indices[at] = g;
            e->x.values[at++] = (float)x;
            e->sum[g] += x;
            e->sum2[g] += x * x;
        }
        e->x.indptr[++e->filled] = (int64_t)at;
    }
    if (e->filled == e->n_cells)
        finish(e);
    return OK;
}

/* Added to a gene's spread, so that a single count of a gene that hardly varies is not a strong sign. */
static const float SOFT = 0.3f;

/* z of value v of a gene. */
static float z_of(const EvidenceGene *g, bool corpus, float v)
{
    float scale = corpus ? g->ref_scale : g->sd > 0 ? g->sd + SOFT : 0;
    float z = scale > 0 ? (v - (corpus ? g->ref_mean : g->mean)) / scale : 0;
    return z > 3 ? 3 : z < -3 ? -3 : z;
}

static float score_of(const MarkerSet *s, const float *z)
{
    float high = 0, low = 0;
    for (size_t i = 0; i < s->n_high; i++)
        high += z[s->high[i]];
    for (size_t i = 0; i < s->n_low; i++)
        low += z[s->low[i]];
    if (!s->n_high && !s->n_low)
        return NAN;
    return (s->n_high ? high / (float)s->n_high : 0) - 0.5f * (s->n_low ? low / (float)s->n_low : 0);
}

Err evidence_scores(const Evidence *e, const MarkerSet *sets, size_t n_sets, const size_t *rows, size_t n, bool corpus,
                    float *scores)
{
    float *zero;
    bool failed = false;
    TRY(NEW(zero, e->n_genes));
    for (size_t g = 0; g < e->n_genes; g++)
        zero[g] = z_of(&e->genes[g], corpus, 0);
#pragma omp parallel
    {
        float *z = malloc((e->n_genes + 1) * sizeof *z);
        if (!z)
#pragma omp atomic write
            failed = true;
        if (z)
            memcpy(z, zero, e->n_genes * sizeof *z);
#pragma omp for schedule(static)
        for (size_t i = 0; i < n; i++) {
            if (!z)
                continue;
            size_t cell = rows ? rows[i] : i;
            int64_t from = e->x.indptr[cell], to = e->x.indptr[cell + 1];
            for (int64_t k = from; k < to; k++)
                z[e->x.indices[k]] = z_of(&e->genes[e->x.indices[k]], corpus, e->x.values[k]);
            for (size_t s = 0; s < n_sets; s++)
                scores[i * n_sets + s] = score_of(&sets[s], z);
            for (int64_t k = from; k < to; k++)
                z[e->x.indices[k]] = zero[e->x.indices[k]];
        }
        free(z);
    }
    free(zero);
    if (failed)
        FAIL(ERR_NOMEM, "marker scores: out of memory");
    return OK;
}

float evidence_value(const Evidence *e, size_t cell, int32_t gene)
{
    for (int64_t k = e->x.indptr[cell]; k < e->x.indptr[cell + 1]; k++)
        if (e->x.indices[k] == gene)
            return e->x.values[k];
    return 0;
}

void evidence_fraction(const Evidence *e, const size_t *rows, size_t n, float *fraction)
{
    memset(fraction, 0, e->n_genes * sizeof *fraction);
    for (size_t i = 0; i < n; i++) {
        size_t cell = rows ? rows[i] : i;
        for (int64_t k = e->x.indptr[cell]; k < e->x.indptr[cell + 1]; k++)
            fraction[e->x.indices[k]] += 1.0f;
    }
    for (size_t g = 0; n && g < e->n_genes; g++)
        fraction[g] /= (float)n;
}
