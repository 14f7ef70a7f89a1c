/* Module scores and quality measures. */
#include "core/analysis/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/numpy_draw.h"
#include "core/base/mem.h"

enum { BINS = 25, CONTROLS = 50 };

typedef Err EachBlock(void *user, const Csr *block, size_t row0);

static Err each_block(const Rows *rows, JobCtl *ctl, EachBlock *work, void *user)
{
    size_t step = rows_block(rows);
    for (size_t row = 0; row < rows->n; row += step) {
        Csr block;
        size_t n = rows->n - row < step ? rows->n - row : step;
        TRY(job_progress(ctl, row));
        TRY(rows_read(rows, row, n, ctl, &block));
        Err err = work(user, &block, row);
        csr_done(&block);
        TRY(err);
    }
    return job_progress(ctl, rows->n);
}

static Err add_means(void *user, const Csr *block, size_t row0)
{
    double *sum = user;
    for (size_t i = 0; i < csr_nnz(block); i++)
        sum[block->indices[i]] += block->values[i];
    return OK;
}

typedef struct Mean {
    double mean;
    int32_t gene;
} Mean;

static int by_mean(const void *a, const void *b)
{
    const Mean *x = a, *y = b;
    if (x->mean != y->mean)
        return x->mean < y->mean ? -1 : 1;
    return x->gene < y->gene ? -1 : x->gene > y->gene;
}

/* bin[genes]: rank among the equal-mean runs (pandas' rank "min") over genes a bin. */
static Err cut_bins(const double *mean, size_t genes, int32_t *bin)
{
    Mean *m;
    TRY(NEW(m, genes));
    for (size_t g = 0; g < genes; g++)
        m[g] = (Mean){mean[g], (int32_t)g};
    qsort(m, genes, sizeof *m, by_mean);
    double per_bin = nearbyint((double)genes / (BINS - 1));
    size_t rank = 1;
    for (size_t i = 0; i < genes; i++) {
        if (i > 0 && m[i].mean != m[i - 1].mean)
            rank = i + 1;
        bin[m[i].gene] = (int32_t)floor((double)rank / (per_bin > 0 ? per_bin : 1));
    }
    free(m);
    return OK;
}

/* Marks up to CONTROLS genes of bin b, drawn among all of it; genes of the set never count. */
static void draw_controls(const int32_t *bin, int32_t b, size_t genes, const bool *in_set, NumpyDraw *draw,
                          int32_t *pool, size_t *order, bool *control)
{
    size_t count = 0;
    for (size_t g = 0; g < genes; g++)
        if (bin[g] == b)
            pool[count++] = (int32_t)g;
    if (count > CONTROLS)
        numpy_permutation(draw, count, order);
    else
        for (size_t k = 0; k < count; k++)
            order[k] = k;
    for (size_t k = 0; k < count && k < CONTROLS; k++)
        if (!in_set[pool[order[k]]])
            control[pool[order[k]]] = true;
}

/* weight[g]: 1/n for the set, less 1/n for its controls. */
static Err choose_weights(const double *mean, size_t genes, const int32_t *set, size_t n, uint64_t seed,
                          float *weight)
{
    Err err = OK;
    int32_t *bin = NULL, *pool = NULL;
    bool *in_set = NULL, *control = NULL, *seen = NULL;
    size_t n_set = 0, n_controls = 0, *order = NULL;
    TRY_GOTO(NEW(bin, genes));
    TRY_GOTO(NEW(pool, genes));
    TRY_GOTO(NEW(order, genes));
    TRY_GOTO(NEW0(in_set, genes));
    TRY_GOTO(NEW0(control, genes));
    TRY_GOTO(NEW0(seen, genes + 2));
    TRY_GOTO(cut_bins(mean, genes, bin));
    for (size_t i = 0; i < n; i++) {
        in_set[set[i]] = true;
        seen[bin[set[i]]] = true;
    }
    NumpyDraw draw;
    numpy_seed(&draw, (uint32_t)seed);
    for (size_t b = 0; b < genes + 2; b++) /* bins ascending: the draws are one sequence */
        if (seen[b])
            draw_controls(bin, (int32_t)b, genes, in_set, &draw, pool, order, control);
    for (size_t g = 0; g < genes; g++) {
        n_set += in_set[g];
        n_controls += control[g];
    }
    if (n_controls == 0)
        FAIL_GOTO(ERR_FEW_GENES, "no other genes of like expression to compare the set with");
    for (size_t g = 0; g < genes; g++)
        weight[g] = (in_set[g] ? 1.0f / (float)n_set : 0) - (control[g] ? 1.0f / (float)n_controls : 0);
done:
    free(bin);
    free(pool);
    free(order);
    free(in_set);
    free(control);
    free(seen);
    return err;
}

typedef struct Weighted {
    const float *weight;
    float *score;
} Weighted;

static Err add_scores(void *user, const Csr *block, size_t row0)
{
    Weighted *w = user;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < block->rows; i++) {
        double sum = 0;
        for (int64_t j = block->indptr[i]; j < block->indptr[i + 1]; j++)
            sum += (double)block->values[j] * w->weight[block->indices[j]];
        w->score[row0 + i] = (float)sum;
    }
    return OK;
}

Err score_genes(const Rows *rows, const int32_t *set, size_t n, uint64_t seed, JobCtl *ctl, float *score)
{
    Err err = OK;
    double *sum = NULL;
    Weighted w = {.score = score};
    float *weight = NULL;
    TRY_GOTO(NEW0(sum, rows->genes));
    TRY_GOTO(NEW(weight, rows->genes));
    job_stage(ctl, "gene means", rows->n);
    TRY_GOTO(each_block(rows, ctl, add_means, sum));
    TRY_GOTO(choose_weights(sum, rows->genes, set, n, seed, weight));
    w.weight = weight;
    job_stage(ctl, "scores", rows->n);
    TRY_GOTO(each_block(rows, ctl, add_scores, &w));
done:
    free(sum);
    free(weight);
    return err;
}

typedef struct Measure {
    const bool *in_a, *in_b;
    float *total, *n_genes, *share_a, *share_b;
} Measure;

static Err measure_rows(void *user, const Csr *block, size_t row0)
{
    Measure *m = user;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < block->rows; i++) {
        double total = 0, a = 0, b = 0;
        size_t genes = 0;
        for (int64_t j = block->indptr[i]; j < block->indptr[i + 1]; j++) {
            double v = block->values[j];
            total += v;
            genes += v > 0;
            a += m->in_a[block->indices[j]] ? v : 0;
            b += m->in_b[block->indices[j]] ? v : 0;
        }
        m->total[row0 + i] = (float)total;
        m->n_genes[row0 + i] = (float)genes;
        m->share_a[row0 + i] = total > 0 ? (float)(100 * a / total) : NAN;
        m->share_b[row0 + i] = total > 0 ? (float)(100 * b / total) : NAN;
    }
    return OK;
}

Err qc_measure(const Rows *rows, const bool *in_a, const bool *in_b, JobCtl *ctl, float *total,
               float *n_genes, float *share_a, float *share_b)
{
    Measure m = {in_a, in_b, total, n_genes, share_a, share_b};
    job_stage(ctl, "quality measures", rows->n);
    return each_block(rows, ctl, measure_rows, &m);
}
