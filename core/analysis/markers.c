/* Gene by gene over the transposed matrix: one look at a gene's stored values serves all groups. */
#include "core/analysis/markers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/stats.h"
#include "core/base/mem.h"

typedef struct Groups {
    size_t cells, n;
    const int32_t *codes;
    size_t *sizes; /* [n + 1]; the last: cells of no group */
    MarkerTest test;
} Groups;

/* One group's share of a gene. Index n: cells of no group. */
typedef struct Share {
    double s1, s2, ranks;
    size_t nonzero;
} Share;

/* Scratch of one thread. */
typedef struct Bench {
    Share *share;     /* [n + 1] */
    uint64_t *a, *b;  /* [cells]: value bits << 32 | group */
} Bench;

/* ---- ranks ---- */

/* Bits that sort as the float does. */
static inline uint32_t sortable(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static void sort_small(uint64_t *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t x = a[i];
        size_t j = i;
        for (; j > 0 && a[j - 1] > x; j--)
            a[j] = a[j - 1];
        a[j] = x;
    }
}

/* Sorts by the upper 32 bits in three passes of 11; returns where the result is, a or b. */
static uint64_t *sort_keys(uint64_t *a, uint64_t *b, size_t n)
{
    enum { BITS = 11, SIZE = 1 << BITS };
    if (n < 48) {
        sort_small(a, n);
        return a;
    }
    uint32_t count[3][SIZE];
    memset(count, 0, sizeof count);
    for (size_t i = 0; i < n; i++)
        for (int p = 0; p < 3; p++)
            count[p][a[i] >> (32 + p * BITS) & (SIZE - 1)]++;
    for (int p = 0; p < 3; p++) {
        int shift = 32 + p * BITS;
        uint32_t at = 0;
        if (count[p][a[0] >> shift & (SIZE - 1)] == n)
            continue; /* all alike */
        for (int v = 0; v < SIZE; v++) {
            uint32_t c = count[p][v];
            count[p][v] = at;
            at += c;
        }
        for (size_t i = 0; i < n; i++)
            b[count[p][a[i] >> shift & (SIZE - 1)]++] = a[i];
        uint64_t *swap = a;
        a = b;
        b = swap;
    }
    return a;
}

/* Adds each group's rank sum to its share, zeros included; returns the sum of t^3 - t over the ties. */
static double rank_gene(const Groups *g, Bench *w, size_t n_values)
{
    const uint64_t *keys = sort_keys(w->a, w->b, n_values);
    const uint32_t zero = sortable(0.0f);
    double zeros = (double)(g->cells - n_values), ties = zeros * zeros * zeros - zeros, before = 0;
    int passed_zeros = 0;
    for (size_t i = 0; i < n_values;) {
        uint32_t value = (uint32_t)(keys[i] >> 32);
        if (!passed_zeros && value > zero) {
            passed_zeros = 1;
            before += zeros;
        }
        size_t j = i;
        while (j < n_values && (uint32_t)(keys[j] >> 32) == value)
            j++;
        double t = (double)(j - i), rank = before + (t + 1) / 2;
        for (; i < j; i++)
            w->share[(uint32_t)keys[i]].ranks += rank;
        ties += t * t * t - t;
        before += t;
    }
    size_t negative = 0;
    while (negative < n_values && (uint32_t)(keys[negative] >> 32) < zero)
        negative++;
    double zero_rank = (double)negative + (zeros + 1) / 2;
    for (size_t c = 0; c < g->n; c++)
        w->share[c].ranks += (double)(g->sizes[c] - w->share[c].nonzero) * zero_rank;
    return ties;
}

/* ---- one gene ---- */

/* Collects the stored values other than zero; returns how many. */
static size_t collect(const Groups *g, const int32_t *cells, const float *values, size_t n, Bench *w)
{
    size_t kept = 0;
    memset(w->share, 0, (g->n + 1) * sizeof *w->share);
    for (size_t i = 0; i < n; i++) {
        float v = values[i];
        if (v == 0)
            continue;
        int32_t code = g->codes[cells[i]];
        size_t c = code < 0 ? g->n : (size_t)code;
        w->share[c].s1 += v;
        w->share[c].s2 += (double)(v * v); /* squared in float32, as scanpy does */
        w->share[c].nonzero++;
        w->a[kept++] = (uint64_t)sortable(v) << 32 | c;
    }
    return kept;
}

static double spread(double s1, double s2, double n)
{
    double v = (s2 - s1 * s1 / n) / (n - 1);
    return v > 0 ? v : 0;
}

static void welch(const Share *in, const Share *out, double n1, double n2, MarkerStat *s)
{
    double m1 = in->s1 / n1, m2 = out->s1 / n2;
    double v1 = spread(in->s1, in->s2, n1) / n1, v2 = spread(out->s1, out->s2, n2) / n2;
    double df = (v1 + v2) * (v1 + v2) / (v1 * v1 / (n1 - 1) + v2 * v2 / (n2 - 1));
    s->score = (m1 - m2) / sqrt(v1 + v2);
    if (isnan(df))
        df = 1;
    s->pval = stats_student_two_sided(s->score, df);
    if (isnan(s->score))
        s->score = 0;
    if (isnan(s->pval))
        s->pval = 1;
}

static void wilcoxon(double ranks, double n1, double n2, double ties, MarkerStat *s)
{
    double n = n1 + n2, correction = 1 - ties / (n * n * n - n);
    double sd = sqrt(correction * n1 * n2 * (n + 1) / 12);
    s->score = (ranks - n1 * (n + 1) / 2) / sd;
    if (!isfinite(s->score))
        s->score = 0;
    s->pval = stats_normal_two_sided(s->score);
}

static void test_gene(const Groups *g, const int32_t *cells, const float *values, size_t n, Bench *w,
                      MarkerStat *stats, size_t stride)
{
    size_t kept = collect(g, cells, values, n, w);
    double ties = g->test == TEST_WILCOXON ? rank_gene(g, w, kept) : 0;
    Share all = {0};
    for (size_t c = 0; c <= g->n; c++) {
        all.s1 += w->share[c].s1;
        all.s2 += w->share[c].s2;
        all.nonzero += w->share[c].nonzero;
    }
    for (size_t c = 0; c < g->n; c++) {
        const Share *in = &w->share[c];
        Share out = {all.s1 - in->s1, all.s2 - in->s2, 0, all.nonzero - in->nonzero};
        double n1 = (double)g->sizes[c], n2 = (double)(g->cells - g->sizes[c]);
        MarkerStat *s = &stats[c * stride];
        *s = (MarkerStat){.pval = 1, .pval_adj = 1};
        if (n1 < 2 || n2 < 2)
            continue;
        if (out.nonzero == 0)
            out.s1 = out.s2 = 0; /* not what subtraction leaves */
        if (g->test == TEST_WELCH)
            welch(in, &out, n1, n2, s);
        else
            wilcoxon(in->ranks, n1, n2, ties, s);
        s->logfoldchange =
            (float)log2((expm1(in->s1 / n1) + 1e-9) / (expm1(out.s1 / n2) + 1e-9));
        s->frac_in = (float)((double)in->nonzero / n1);
        s->frac_out = (float)((double)out.nonzero / n2);
    }
}

/* ---- all genes ---- */

/* Genes for some 30 ms: by their values, and by the groups that each is tested for. */
static size_t batch_end(const Groups *g, const Csr *t, size_t begin)
{
    size_t end = begin, work = 0;
    while (end < t->rows && work < 2000000) {
        work += (size_t)(t->indptr[end + 1] - t->indptr[end]) + 20 * g->n + 100;
        end++;
    }
    return end;
}

/* Genes first .. of the matrix, transposed in t; stats points at gene `first` of group 0. */
static Err test_genes(const Groups *g, const Csr *t, size_t first, size_t genes, JobCtl *ctl,
                      MarkerStat *stats)
{
    int failed = 0;
    for (size_t begin = 0, end; begin < t->rows; begin = end) {
        end = batch_end(g, t, begin);
#pragma omp parallel reduction(| : failed)
        {
            Bench w = {0};
            failed = NEW(w.share, g->n + 1) || NEW(w.a, g->cells) || NEW(w.b, g->cells);
#pragma omp for schedule(dynamic, 4)
            for (size_t i = begin; i < end; i++)
                if (!failed && !job_cancelled(ctl))
                    test_gene(g, t->indices + t->indptr[i], t->values + t->indptr[i],
                              (size_t)(t->indptr[i + 1] - t->indptr[i]), &w, stats + i, genes);
            free(w.share);
            free(w.a);
            free(w.b);
        }
        if (failed)
            FAIL(ERR_NOMEM, "out of memory in the marker tests");
        TRY(job_progress(ctl, first + end));
    }
    return OK;
}

/* Columns first .. end-1 as rows. */
static Err read_columns(const Rows *rows, size_t first, size_t end, JobCtl *ctl, Csr *out)
{
    if (rows->memory && !rows->pick && !rows->normalize && first == 0 && end == rows->genes)
        return rows_transpose(rows->memory, ctl, out);
    Err err = OK;
    Csr m = {0};
    int32_t *cols = NULL;
    TRY_GOTO(NEW(cols, end - first));
    for (size_t i = first; i < end; i++)
        cols[i - first] = (int32_t)i;
    TRY_GOTO(rows_gather(rows, end - first == rows->genes ? NULL : cols, end - first, ctl, &m));
    TRY_GOTO(rows_transpose(&m, ctl, out));
done:
    csr_done(&m);
    free(cols);
    return err;
}

/* Genes a pass can take: two copies of 8 bytes a value within a third of the memory there is. */
static size_t genes_per_pass(const Rows *rows)
{
    double values = (double)rows->n * (double)rows->genes;
    if (rows->memory)
        values = (double)csr_nnz(rows->memory);
    else if (rows->dataset)
        values = (double)dataset_matrix(rows->dataset, (size_t)rows->matrix)->nnz;
    double room = (double)mem_budget() / 3 / 16, share = room / (values + 1);
    if (share >= 1)
        return rows->genes;
    size_t genes = (size_t)((double)rows->genes * share);
    return genes < 64 ? 64 : genes;
}

/* Groups first .. end-1. */
static Err adjust_groups(size_t first, size_t end, size_t genes, MarkerStat *stats)
{
    Err err = OK;
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t c = first; c < end; c++) {
        MarkerStat *s = stats + c * genes;
        double *p = NULL, *q = NULL;
        Err one = NEW(p, genes);
        if (!one)
            one = NEW(q, genes);
        for (size_t i = 0; !one && i < genes; i++)
            p[i] = s[i].pval;
        if (!one)
            one = stats_adjust_bh(p, genes, 1, q);
        for (size_t i = 0; !one && i < genes; i++)
            s[i].pval_adj = q[i];
        free(p);
        free(q);
        if (one)
#pragma omp atomic write
            err = one;
    }
    if (err)
        FAIL(err, "out of memory in the marker tests");
    return OK;
}

Err markers_test(const Rows *rows, const int32_t *codes, size_t n_groups, MarkerTest test, JobCtl *ctl,
                 MarkerStat *stats)
{
    Err err = OK;
    Groups g = {.cells = rows->n, .n = n_groups, .codes = codes, .test = test};
    Csr t = {0};
    TRY(NEW0(g.sizes, n_groups + 1));
    for (size_t i = 0; i < rows->n; i++)
        g.sizes[codes[i] < 0 ? n_groups : (size_t)codes[i]]++;
    size_t step = genes_per_pass(rows);
    for (size_t first = 0; first < rows->genes; first += step) {
        size_t end = first + step < rows->genes ? first + step : rows->genes;
        job_stage(ctl, "reading genes", rows->n);
        TRY_GOTO(job_progress(ctl, 0));
        TRY_GOTO(read_columns(rows, first, end, ctl, &t));
        job_stage(ctl, "testing genes", rows->genes);
        TRY_GOTO(test_genes(&g, &t, first, rows->genes, ctl, stats + first));
        csr_done(&t);
    }
    for (size_t c = 0; c < n_groups; c += 4) {
        TRY_GOTO(adjust_groups(c, c + 4 < n_groups ? c + 4 : n_groups, rows->genes, stats));
        TRY_GOTO(job_look(ctl));
    }
done:
    free(g.sizes);
    csr_done(&t);
    return err;
}
