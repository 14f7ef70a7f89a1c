/* A against B where samples (donors, wells), not cells, are the unit: counts are summed over each sample's cells of each
 * side and the sums are compared. Cells of one sample are not independent, and tests that take them for it find thousands
 * of genes where there is nothing (Squair et al. 2021); pseudobulks carry the variation between samples. */
#include <stdlib.h>
#include <string.h>

#include "core/analysis/markers.h"
#include "core/base/mem.h"
#include "core/session/session_analysis.h"

typedef struct Bulks {
    size_t n, genes;  /* (sample, side) pairs with cells */
    double *sum;      /* [n, genes] */
    int32_t *side;    /* [n] 0: A, -1: B, as markers_test takes them */
    size_t cells[2];
    size_t *nonzero[2]; /* [genes] cells of each side with a count */
} Bulks;

static void bulks_done(Bulks *b)
{
    free(b->sum);
    free(b->side);
    free(b->nonzero[0]);
    free(b->nonzero[1]);
}

/* The row of sums of each chosen cell into row[], numbering pairs as they come in sample order. */
static Err number_bulks(const Groups *samples, const Selection *a, const size_t *pick, size_t n, size_t *row, Bulks *b)
{
    Err err = OK;
    size_t pairs = 2 * samples->n_groups, count[2] = {0};
    int64_t *number = NULL;
    TRY_GOTO(NEW(number, pairs));
    TRY_GOTO(NEW(b->side, pairs));
    memset(number, 0, pairs * sizeof *number);
    for (size_t i = 0; i < n; i++)
        number[2 * (size_t)samples->codes[pick[i]] + !a->in[pick[i]]] = 1;
    for (size_t p = 0; p < pairs; p++)
        if (number[p]) {
            b->side[b->n] = p % 2 ? -1 : 0;
            number[p] = (int64_t)b->n++;
            count[p % 2]++;
        }
    for (size_t i = 0; i < n; i++)
        row[i] = (size_t)number[2 * (size_t)samples->codes[pick[i]] + !a->in[pick[i]]];
    if (count[0] < 2 || count[1] < 2)
        err = err_set(ERR_NOT_FOUND, "%s: %zu and %zu samples; each side needs cells of at least two", samples->key,
                      count[0], count[1]);
done:
    free(number);
    return err;
}

static Err sum_counts(const Rows *rows, const size_t *row, JobCtl *ctl, Bulks *b)
{
    size_t step = rows_block(rows);
    TRY(mem_check_budget((uint64_t)b->n * b->genes * sizeof *b->sum, "the sums of samples"));
    TRY(NEW0(b->sum, b->n * b->genes));
    TRY(NEW0(b->nonzero[0], b->genes));
    TRY(NEW0(b->nonzero[1], b->genes));
    job_stage(ctl, "summing samples", rows->n);
    for (size_t first = 0; first < rows->n; first += step) {
        Csr m;
        size_t n = rows->n - first < step ? rows->n - first : step;
        TRY(job_progress(ctl, first));
        TRY(rows_read(rows, first, n, ctl, &m));
        for (size_t i = 0; i < n; i++) {
            size_t r = row[first + i], side = b->side[r] < 0;
            b->cells[side]++;
            for (int64_t k = m.indptr[i]; k < m.indptr[i + 1]; k++) {
                b->sum[r * b->genes + (size_t)m.indices[k]] += m.values[k];
                b->nonzero[side][m.indices[k]] += m.values[k] != 0;
            }
        }
        csr_done(&m);
    }
    return job_progress(ctl, rows->n);
}

static Err sparse_sums(const Bulks *b, Csr *out)
{
    size_t nnz = 0, at = 0;
    for (size_t i = 0; i < b->n * b->genes; i++)
        nnz += b->sum[i] != 0;
    TRY(csr_init(out, b->n, b->genes, nnz));
    for (size_t r = 0; r < b->n; r++) {
        for (size_t g = 0; g < b->genes; g++)
            if (b->sum[r * b->genes + g] != 0) {
                out->indices[at] = (int32_t)g;
                out->values[at++] = (float)b->sum[r * b->genes + g];
            }
        out->indptr[r + 1] = (int64_t)at;
    }
    return OK;
}

/* Welch's t on log-normalised sums; shares are those of cells. */
static Err test_bulks(const Bulks *b, JobCtl *ctl, MarkerStat *stats)
{
    Csr sums;
    TRY(sparse_sums(b, &sums));
    normalize_log1p(&sums);
    Rows rows = rows_of_csr(&sums, false);
    Err err = markers_test(&rows, b->side, 1, TEST_WELCH, ctl, stats);
    csr_done(&sums);
    for (size_t g = 0; g < b->genes && !err; g++) {
        stats[g].frac_in = (float)((double)b->nonzero[0][g] / (double)b->cells[0]);
        stats[g].frac_out = (float)((double)b->nonzero[1][g] / (double)b->cells[1]);
    }
    return err;
}

Err session_de_samples(Session *s, const Selection *a, const Selection *b, const char *sample_key, size_t top,
                       JobCtl *ctl, MarkerTable **out)
{
    Err err = OK;
    Groups *samples = NULL;
    Bulks bulks = {0};
    MarkerStat *stats = NULL;
    size_t *pick = NULL, *row = NULL, n = 0, both = 0;
    Rows rows;
    TRY(analysis_counts(s, "sums over samples need", ctl, &rows));
    TRY_GOTO(session_groups(s, sample_key, ctl, &samples));
    TRY_GOTO(NEW(pick, rows.n));
    TRY_GOTO(NEW(row, rows.n));
    for (size_t i = 0; i < rows.n; i++) {
        both += a->in[i] && b->in[i];
        if ((a->in[i] || b->in[i]) && samples->codes[i] >= 0)
            pick[n++] = i;
    }
    if (both)
        FAIL_GOTO(ERR_USAGE, "%zu cells are in both groups; a comparison needs two separate ones", both);
    bulks.genes = rows.genes;
    TRY_GOTO(number_bulks(samples, a, pick, n, row, &bulks));
    rows.pick = pick;
    rows.n = n;
    TRY_GOTO(sum_counts(&rows, row, ctl, &bulks));
    TRY_GOTO(NEW(stats, rows.genes));
    TRY_GOTO(test_bulks(&bulks, ctl, stats));
    TRY_GOTO(analysis_marker_table(s, rows.matrix, stats, &bulks.cells[0], 1, "", "pseudobulk", top, ctl, out));
done:
    groups_free(samples);
    bulks_done(&bulks);
    free(stats);
    free(pick);
    free(row);
    return err;
}
