/* The space of comparison and the k-NN vote; distances between distributions are in
 * expr_distance.c. */
#include "core/eval/expr.h"

#include <math.h>
#include <string.h>

#include "core/analysis/hvg.h"
#include "core/analysis/knn.h"
#include "core/base/hash.h"
#include "core/base/mem.h"

Err expr_space_fit(const Csr *counts, size_t genes, size_t pcs, uint64_t seed, JobCtl *ctl,
                   ExprSpace *out)
{
    Err err = OK;
    Hvg hvg = {0};
    Csr x = {0};
    ExprSpace s = {.genes = counts->cols};
    Rows rows = rows_of_csr(counts, true);
    TRY_GOTO(hvg_seurat(&rows, genes, ctl, &hvg));
    s.n_cols = hvg.n;
    s.cols = hvg.selected;
    hvg.selected = NULL;
    TRY_GOTO(rows_gather(&rows, s.cols, s.n_cols, ctl, &x));
    TRY_GOTO(pca_fit(NULL, &x, pcs, seed, ctl, &s.pca));
    *out = s;
    s = (ExprSpace){0};
done:
    hvg_done(&hvg);
    csr_done(&x);
    expr_space_done(&s);
    return err;
}

void expr_space_done(ExprSpace *s)
{
    free(s->cols);
    pca_done(&s->pca);
    *s = (ExprSpace){0};
}

Err expr_space_project(const ExprSpace *s, const Csr *counts, JobCtl *ctl, float *x)
{
    if (counts->cols != s->genes)
        FAIL(ERR_GENERAL, "comparison: cells have %zu genes, the real ones %zu", counts->cols,
             s->genes);
    Csr picked = {0};
    Rows rows = rows_of_csr(counts, true);
    TRY(rows_gather(&rows, s->cols, s->n_cols, ctl, &picked));
    Err err = pca_transform(&s->pca, &picked, ctl, x);
    csr_done(&picked);
    return err;
}

static int32_t majority(const int32_t *label, const int32_t *nearest, size_t k, size_t classes,
                        size_t *count)
{
    memset(count, 0, classes * sizeof *count);
    int32_t best = -1;
    for (size_t j = 0; j < k; j++)
        if (label[nearest[j]] >= 0)
            count[label[nearest[j]]]++;
    for (size_t c = 0; c < classes; c++)
        if (count[c] > 0 && (best < 0 || count[c] > count[best]))
            best = (int32_t)c;
    return best;
}

Err expr_knn_vote(const float *ref, const int32_t *label, size_t n, size_t classes, const float *x,
                  size_t m, size_t d, const size_t *ks, size_t n_k, JobCtl *ctl, int32_t *vote)
{
    Err err = OK;
    Knn nn = {0};
    size_t largest = 1, *count = NULL;
    for (size_t i = 0; i < n_k; i++)
        largest = ks[i] > largest ? ks[i] : largest;
    TRY_GOTO(NEW(count, classes));
    TRY_GOTO(knn_query(NULL, ref, n, x, m, d, largest, ctl, &nn));
    for (size_t i = 0; i < n_k; i++)
        for (size_t j = 0; j < m; j++)
            vote[i * m + j] =
                majority(label, nn.indices + j * nn.k, ks[i] < nn.k ? ks[i] : nn.k, classes, count);
done:
    knn_done(&nn);
    free(count);
    return err;
}

Err expr_summary(const Csr *counts, ExprSummary *out)
{
    double *total = NULL, *genes = NULL;
    Err err = OK;
    size_t n = counts->rows, positive = 0;
    bool integer = true;
    TRY_GOTO(NEW0(total, n));
    TRY_GOTO(NEW0(genes, n));
    for (size_t i = 0; i < n; i++)
        for (int64_t e = counts->indptr[i]; e < counts->indptr[i + 1]; e++) {
            float v = counts->values[e];
            total[i] += v;
            genes[i] += v > 0;
            positive += v > 0;
            integer = integer && v >= 0 && v == floorf(v);
        }
    double size = (double)n * (double)counts->cols;
    *out = (ExprSummary){.cells = n,
                         .counts_median = median_of(total, n),
                         .genes_median = median_of(genes, n),
                         .sparsity = size > 0 ? 1 - (double)positive / size : NAN,
                         .integer = integer};
done:
    free(total);
    free(genes);
    return err;
}

typedef struct Ranked {
    double v;
    size_t gene;
} Ranked;

static int by_falling_value(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->v != y->v)
        return x->v < y->v ? 1 : -1;
    return (x->gene > y->gene) - (x->gene < y->gene);
}

static Err mark_top(const double *v, size_t genes, size_t n, uint8_t *top)
{
    Ranked *r;
    TRY(NEW(r, genes));
    for (size_t g = 0; g < genes; g++)
        r[g] = (Ranked){v[g], g};
    qsort(r, genes, sizeof *r, by_falling_value);
    for (size_t i = 0; i < n; i++)
        top[r[i].gene]++;
    free(r);
    return OK;
}

Err expr_top_overlap(const double *a, const double *b, size_t genes, size_t n, double *share)
{
    Err err = OK;
    uint8_t *top;
    size_t both = 0;
    n = n < genes ? n : genes;
    TRY(NEW0(top, genes));
    TRY_GOTO(mark_top(a, genes, n, top));
    TRY_GOTO(mark_top(b, genes, n, top));
    for (size_t g = 0; g < genes; g++)
        both += top[g] == 2;
    *share = n ? (double)both / (double)n : NAN;
done:
    free(top);
    return err;
}

Err expr_mean_log(const Csr *counts, const size_t *rows, size_t n, double *mean)
{
    double *sums;
    TRY(NEW(sums, counts->rows));
    csr_row_sums(counts, sums);
    memset(mean, 0, counts->cols * sizeof *mean);
    n = rows ? n : counts->rows;
    for (size_t i = 0; i < n; i++) {
        size_t r = rows ? rows[i] : i;
        for (int64_t e = counts->indptr[r]; sums[r] > 0 && e < counts->indptr[r + 1]; e++)
            mean[counts->indices[e]] += log1p(1e4 * counts->values[e] / sums[r]) / (double)n;
    }
    free(sums);
    return OK;
}

/* ---- copies ---- */

typedef struct Entry {
    int32_t column;
    float value;
} Entry;

static int by_column(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    return (x->column > y->column) - (x->column < y->column);
}

/* The row's values above 0 in columns that `keep` (b's columns) has, as bytes: equal rows, equal
 * bytes. */
static size_t row_entries(const Csr *m, size_t row, const int32_t *to, const uint8_t *keep,
                          Entry *out)
{
    size_t n = 0;
    for (int64_t e = m->indptr[row]; e < m->indptr[row + 1]; e++) {
        int32_t c = to ? to[m->indices[e]] : m->indices[e];
        if (c >= 0 && keep[c] && m->values[e] > 0)
            out[n++] = (Entry){c, m->values[e]};
    }
    qsort(out, n, sizeof *out, by_column);
    return n;
}

static void row_key(const Entry *e, size_t n, char key[65])
{
    hash_sha256(e, n * sizeof *e, key);
}

Err expr_copies(const Csr *a, const Csr *b, const int32_t *to, size_t *copies)
{
    Err err = OK;
    uint8_t *keep = NULL;
    Entry *row = NULL;
    StrMap *known = NULL;
    char key[65];
    size_t found = 0;
    TRY_GOTO(NEW0(keep, b->cols));
    TRY_GOTO(NEW(row, a->cols > b->cols ? a->cols : b->cols));
    for (size_t c = 0; c < a->cols; c++)
        if (to[c] >= 0)
            keep[to[c]] = 1;
    known = strmap_new(b->rows);
    for (size_t i = 0; i < b->rows; i++) {
        row_key(row, row_entries(b, i, NULL, keep, row), key);
        strmap_put(known, key, (int64_t)i);
    }
    for (size_t i = 0; i < a->rows; i++) {
        size_t n = row_entries(a, i, to, keep, row);
        row_key(row, n, key);
        found += n > 0 && strmap_get(known, key, -1) >= 0;
    }
    *copies = found;
done:
    strmap_free(known);
    free(keep);
    free(row);
    return err;
}
