/* Welch needs sums only: one pass over the cells, as they come. Ranks go gene by gene over the transposed matrix:
 * one look at a gene's stored values serves all groups. */
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

/* taken: how many cells the rest is taken for; Welch: n2. */
static void welch(const Share *in, const Share *out, double n1, double n2, double taken, MarkerStat *s)
{
    double m1 = in->s1 / n1, m2 = out->s1 / n2;
    double v1 = spread(in->s1, in->s2, n1) / n1, v2 = spread(out->s1, out->s2, n2) / taken;
    double df = (v1 + v2) * (v1 + v2) / (v1 * v1 / (n1 - 1) + v2 * v2 / (taken - 1));
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

/* Every group of one gene, from the groups' shares [g->n + 1]. */
static void test_shares(const Groups *g, const Share *share, double ties, MarkerStat *stats, size_t stride)
{
    Share all = {0};
    for (size_t c = 0; c <= g->n; c++) {
        all.s1 += share[c].s1;
        all.s2 += share[c].s2;
        all.nonzero += share[c].nonzero;
    }
    for (size_t c = 0; c < g->n; c++) {
        const Share *in = &share[c];
        Share out = {all.s1 - in->s1, all.s2 - in->s2, 0, all.nonzero - in->nonzero};
        double n1 = (double)g->sizes[c], n2 = (double)(g->cells - g->sizes[c]);
        MarkerStat *s = &stats[c * stride];
        *s = (MarkerStat){.pval = 1, .pval_adj = 1};
        if (n1 < 2 || n2 < 2)
            continue;
        if (out.nonzero == 0)
            out.s1 = out.s2 = 0; /* not what subtraction leaves */
        if (g->test == TEST_WILCOXON)
            wilcoxon(in->ranks, n1, n2, ties, s);
        else
            welch(in, &out, n1, n2, g->test == TEST_WELCH ? n2 : n1, s);
        s->logfoldchange =
            (float)log2((expm1(in->s1 / n1) + 1e-9) / (expm1(out.s1 / n2) + 1e-9));
        s->frac_in = (float)((double)in->nonzero / n1);
        s->frac_out = (float)((double)out.nonzero / n2);
    }
}

/* ---- ranks of all genes ---- */

static void test_gene(const Groups *g, const int32_t *cells, const float *values, size_t n, Bench *w,
                      MarkerStat *stats, size_t stride)
{
    double ties = rank_gene(g, w, collect(g, cells, values, n, w));
    test_shares(g, w->share, ties, stats, stride);
}

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

static Err test_ranks(const Rows *rows, const Groups *g, JobCtl *ctl, MarkerStat *stats)
{
    Err err = OK;
    Csr t = {0};
    size_t step = genes_per_pass(rows);
    for (size_t first = 0; first < rows->genes; first += step) {
        size_t end = first + step < rows->genes ? first + step : rows->genes;
        job_stage(ctl, "reading genes", rows->n);
        TRY_GOTO(job_progress(ctl, 0));
        TRY_GOTO(read_columns(rows, first, end, ctl, &t));
        job_stage(ctl, "testing genes", rows->genes);
        TRY_GOTO(test_genes(g, &t, first, rows->genes, ctl, stats + first));
        csr_done(&t);
    }
done:
    csr_done(&t);
    return err;
}

/* ---- sums of all genes ---- */

/* Of one gene over the cells of one part: sum, sum of squares, values other than zero, nothing. One addition of four. */
typedef double Moments __attribute__((vector_size(32)));

/* A group's cells, cut into `lanes` parts as rows.h says. One thread sums a part, in the order of its cells. */
typedef struct Parts {
    size_t genes, lanes, n;
    void *room;
    Moments *sums; /* [n, genes], in room */
    size_t *begin; /* [n + 1]: into cells, of the block at work */
    size_t *cells; /* [block]: cells of the block by part */
} Parts;

static size_t part_of(const Groups *g, const Parts *p, size_t cell)
{
    size_t group = g->codes[cell] < 0 ? g->n : (size_t)g->codes[cell];
    return group * p->lanes + cell / LANE_CELLS % p->lanes;
}

static void sort_cells(const Groups *g, Parts *p, size_t first, size_t n)
{
    memset(p->begin, 0, (p->n + 1) * sizeof *p->begin);
    for (size_t i = 0; i < n; i++)
        p->begin[part_of(g, p, first + i) + 1]++;
    for (size_t c = 0; c < p->n; c++)
        p->begin[c + 1] += p->begin[c];
    for (size_t i = 0; i < n; i++)
        p->cells[p->begin[part_of(g, p, first + i)]++] = i;
    memmove(p->begin + 1, p->begin, p->n * sizeof *p->begin); /* ends become beginnings */
    p->begin[0] = 0;
}

__attribute__((target_clones("avx2", "default"), noinline)) static void add_cell(const Csr *m, size_t cell, Moments *sums)
{
    for (int64_t j = m->indptr[cell]; j < m->indptr[cell + 1]; j++) {
        float v = m->values[j];
        sums[m->indices[j]] += (Moments){v, (double)(v * v), v != 0, 0}; /* squared in float32, as scanpy does */
    }
}

static void add_cells(const Groups *g, Parts *p, const Csr *block, size_t first)
{
    sort_cells(g, p, first, block->rows);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t part = 0; part < p->n; part++)
        for (size_t i = p->begin[part]; i < p->begin[part + 1]; i++)
            add_cell(block, p->cells[i], p->sums + part * p->genes);
}

/* A group's share of a gene: its parts in order. */
static Share add_parts(const Parts *p, size_t group, size_t gene)
{
    Share s = {0};
    for (size_t l = 0; l < p->lanes; l++) {
        Moments m = p->sums[(group * p->lanes + l) * p->genes + gene];
        s.s1 += m[0];
        s.s2 += m[1];
        s.nonzero += (size_t)m[2];
    }
    return s;
}

static Err test_sums(const Groups *g, const Parts *p, JobCtl *ctl, MarkerStat *stats)
{
    int failed = 0;
    size_t batch = 2000000 / (20 * g->n * p->lanes + 100) + 1;
    for (size_t begin = 0, end; begin < p->genes; begin = end) {
        end = begin + batch < p->genes ? begin + batch : p->genes;
#pragma omp parallel reduction(| : failed)
        {
            Share *share = NULL;
            failed = NEW(share, g->n + 1) != OK;
#pragma omp for schedule(dynamic, 16)
            for (size_t i = begin; i < end; i++) {
                if (failed)
                    continue;
                for (size_t c = 0; c <= g->n; c++)
                    share[c] = add_parts(p, c, i);
                test_shares(g, share, 0, stats + i, p->genes);
            }
            free(share);
        }
        if (failed)
            FAIL(ERR_NOMEM, "out of memory in the marker tests");
        TRY(job_progress(ctl, end));
    }
    return OK;
}

/* Cells first .. first+n-1 as add_cells takes them: those in memory where they are, others read into *own. */
static Err block_of(const Rows *rows, size_t first, size_t n, JobCtl *ctl, Csr *own, Csr *block)
{
    const Csr *m = rows->memory;
    csr_done(own);
    if (m && !rows->pick && !rows->normalize) {
        *block = (Csr){n, m->cols, m->indptr + first, m->indices, m->values};
        return OK;
    }
    TRY(rows_read(rows, first, n, ctl, own));
    *block = *own;
    return OK;
}

static Err test_means(const Rows *rows, const Groups *g, JobCtl *ctl, MarkerStat *stats)
{
    Err err = OK;
    Csr own = {0}, block;
    size_t step = rows_block(rows);
    Parts p = {.genes = rows->genes, .lanes = (LANES + g->n) / (g->n + 1)};
    p.n = (g->n + 1) * p.lanes;
    TRY_GOTO(mem_calloc(&p.room, p.n * p.genes + 1, sizeof *p.sums));
    p.sums = (Moments *)(((uintptr_t)p.room + sizeof *p.sums - 1) & ~(sizeof *p.sums - 1));
    TRY_GOTO(NEW(p.begin, p.n + 1));
    TRY_GOTO(NEW(p.cells, step));
    job_stage(ctl, "reading genes", rows->n);
    for (size_t first = 0; first < rows->n; first += step) {
        TRY_GOTO(job_progress(ctl, first));
        TRY_GOTO(block_of(rows, first, rows->n - first < step ? rows->n - first : step, ctl, &own, &block));
        add_cells(g, &p, &block, first);
    }
    job_stage(ctl, "testing genes", rows->genes);
    TRY_GOTO(test_sums(g, &p, ctl, stats));
done:
    csr_done(&own);
    free(p.room);
    free(p.begin);
    free(p.cells);
    return err;
}

/* ---- all ---- */

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
    TRY(NEW0(g.sizes, n_groups + 1));
    for (size_t i = 0; i < rows->n; i++)
        g.sizes[codes[i] < 0 ? n_groups : (size_t)codes[i]]++;
    TRY_GOTO(test == TEST_WILCOXON ? test_ranks(rows, &g, ctl, stats) : test_means(rows, &g, ctl, stats));
    for (size_t c = 0; c < n_groups; c += 4) {
        TRY_GOTO(adjust_groups(c, c + 4 < n_groups ? c + 4 : n_groups, rows->genes, stats));
        TRY_GOTO(job_look(ctl));
    }
done:
    free(g.sizes);
    return err;
}
