/* core/analysis against the reference programs (tests/ref/analysis.py): same lists, same numbers. */
#include "tests/util.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/graph.h"
#include "core/analysis/hvg.h"
#include "core/analysis/leiden.h"
#include "core/analysis/markers.h"
#include "core/analysis/pca.h"
#include "core/analysis/refine.h"
#include "core/analysis/score.h"
#include "core/analysis/stats.h"
#include "core/analysis/umap.h"
#include "core/base/mem.h"
#include "core/base/str.h"

/* ---- the golden file: "name number number ..." a line ---- */

static char *golden_text;

static double *golden(const char *name, size_t *n)
{
    size_t k = strlen(name);
    if (!golden_text)
        assert_ok(str_read_file("tests/golden/analysis.txt", 64 << 20, ERR_INPUT, &golden_text, NULL));
    const char *p = golden_text;
    while (p && !(strncmp(p, name, k) == 0 && p[k] == ' '))
        p = (p = strchr(p, '\n')) ? p + 1 : NULL;
    if (!p)
        fail_msg("tests/golden/analysis.txt has no line %s", name);
    double *v = mem_must(sizeof *v * (strcspn(p, "\n") / 2 + 1));
    size_t count = 0;
    for (p += k; *p == ' ';) {
        char *end;
        v[count++] = strtod(p, &end);
        p = end;
    }
    if (n)
        *n = count;
    return v;
}

static void assert_close(double a, double b, double relative, double absolute, const char *what, size_t i)
{
    if (!(fabs(a - b) <= relative * fabs(b) + absolute))
        fail_msg("%s[%zu]: %.12g is not %.12g", what, i, a, b);
}

static Csr counts(void)
{
    double *shape = golden("shape", NULL), *indptr = golden("indptr", NULL), *indices = golden("indices", NULL),
           *values = golden("counts", NULL);
    Csr m;
    assert_ok(csr_init(&m, (size_t)shape[0], (size_t)shape[1], (size_t)shape[2]));
    for (size_t i = 0; i <= m.rows; i++)
        m.indptr[i] = (int64_t)indptr[i];
    for (size_t i = 0; i < csr_nnz(&m); i++) {
        m.indices[i] = (int32_t)indices[i];
        m.values[i] = (float)values[i];
    }
    free(shape);
    free(indptr);
    free(indices);
    free(values);
    return m;
}

/* The very values the reference computed on. */
static Csr lognorm(void)
{
    Csr m = counts();
    double *v = golden("lognorm", NULL);
    for (size_t i = 0; i < csr_nnz(&m); i++)
        m.values[i] = (float)v[i];
    free(v);
    return m;
}

static Csr square(const char *name, size_t n)
{
    char key[64];
    size_t nnz;
    snprintf(key, sizeof key, "%s_indptr", name);
    double *indptr = golden(key, NULL);
    snprintf(key, sizeof key, "%s_indices", name);
    double *indices = golden(key, NULL);
    snprintf(key, sizeof key, "%s_values", name);
    double *values = golden(key, &nnz);
    Csr m;
    assert_ok(csr_init(&m, n, n, nnz));
    for (size_t i = 0; i <= n; i++)
        m.indptr[i] = (int64_t)indptr[i];
    for (size_t i = 0; i < nnz; i++) {
        m.indices[i] = (int32_t)indices[i];
        m.values[i] = (float)values[i];
    }
    free(indptr);
    free(indices);
    free(values);
    return m;
}

static float *golden_floats(const char *name, size_t *n)
{
    double *v = golden(name, n);
    float *f = mem_must(*n * sizeof *f);
    for (size_t i = 0; i < *n; i++)
        f[i] = (float)v[i];
    free(v);
    return f;
}

/* ---- normalising and variable genes ---- */

static void log_normalised_values_are_scanpys(void **state)
{
    Csr m = counts(), want = lognorm();
    normalize_log1p(&m);
    for (size_t i = 0; i < csr_nnz(&m); i++)
        assert_close(m.values[i], want.values[i], 2e-7, 0, "lognorm", i);
    csr_done(&want);
    csr_done(&m);
}

static void variable_genes_are_scanpys_list(void **state)
{
    for (int v3 = 0; v3 < 2; v3++) {
        Csr m = v3 ? counts() : lognorm();
        Rows rows = rows_of_csr(&m, false);
        Hvg h;
        size_t n;
        double *want = golden(v3 ? "hvg_v3" : "hvg_seurat", &n);
        assert_ok(v3 ? hvg_seurat_v3(&rows, 60, 0.3, NULL, &h) : hvg_seurat(&rows, 60, NULL, &h));
        assert_int_equal(h.n, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(h.selected[i], (int32_t)want[i]);
        free(want);
        if (v3) {
            want = golden("hvg_v3_variances", &n);
            for (size_t i = 0; i < n; i++)
                assert_close(h.dispersion[i], want[i], 1e-6, 1e-9, "variances_norm", i);
            free(want);
        }
        hvg_done(&h);
        csr_done(&m);
    }
}

static void loess_is_cleveland_s_with_ties(void **state)
{
    size_t n;
    double *x = golden("loess_x", &n), *y = golden("loess_y", NULL), *want = golden("loess_fit", NULL);
    double *fit = mem_must(n * sizeof *fit);
    assert_ok(loess_fit(n, x, y, 0.3, fit));
    for (size_t i = 0; i < n; i++)
        assert_close(fit[i], want[i], 1e-7, 1e-7, "loess", i);
    free(x);
    free(y);
    free(want);
    free(fit);
}

/* ---- components ---- */

static Csr variable_matrix(void)
{
    Csr m = lognorm(), v;
    Rows rows = rows_of_csr(&m, false);
    Hvg h;
    assert_ok(hvg_seurat(&rows, 60, NULL, &h));
    assert_ok(rows_gather(&rows, h.selected, h.n, NULL, &v));
    hvg_done(&h);
    csr_done(&m);
    return v;
}

static void components_and_signs_are_scikit_learns(void **state)
{
    Csr x = variable_matrix();
    size_t n;
    double *want = golden("pca", &n), *ratio = golden("pca_ratio", NULL);
    Pca p;
    assert_ok(pca_fit(NULL, &x, 10, 0, NULL, &p));
    assert_int_equal(p.k, 10);
    assert_int_equal(p.n * p.k, n);
    for (size_t i = 0; i < 10; i++)
        assert_close(p.ratio[i], ratio[i], 1e-5, 0, "variance ratio", i);
    for (size_t i = 0; i < n; i++)
        assert_close(p.scores[i], want[i], 1e-3, 2e-3, "score", i);
    /* The same rows as new ones get the same scores. */
    float *again = mem_must(n * sizeof *again);
    assert_ok(pca_transform(&p, &x, NULL, again));
    assert_memory_equal(again, p.scores, n * sizeof *again);
    free(again);
    free(want);
    free(ratio);
    pca_done(&p);
    csr_done(&x);
}

static void components_of_few_cells_are_fewer(void **state)
{
    Csr all = variable_matrix(), x;
    const size_t rows[] = {0, 1, 2, 3, 3};
    Pca p;
    assert_ok(csr_take_rows(&all, rows, 5, &x));
    assert_ok(pca_fit(NULL, &x, 50, 0, NULL, &p));
    assert_int_equal(p.k, 4);
    assert_true(p.variance[3] < 1e-6 * p.variance[0]); /* cells 3 and 4 are the same */
    for (size_t j = 0; j < 4; j++)
        assert_true(fabsf(p.scores[3 * 4 + j] - p.scores[4 * 4 + j]) < 1e-5f);
    pca_done(&p);
    csr_done(&x);
    assert_ok(csr_take_rows(&all, rows, 1, &x));
    assert_err(pca_fit(NULL, &x, 50, 0, NULL, &p), ERR_FEW_GENES);
    csr_done(&x);
    csr_done(&all);
}

/* ---- graph ---- */

static void connectivities_and_distances_are_scanpys(void **state)
{
    size_t n;
    float *pca = golden_floats("pca", &n);
    Csr want_c = square("conn", n / 10), want_d = square("dist", n / 10), c, d;
    Knn knn;
    assert_ok(knn_exact(NULL, pca, n / 10, 10, 10, NULL, &knn));
    assert_ok(graph_connectivities(&knn, NULL, &c));
    assert_ok(graph_distances(&knn, NULL, &d));
    assert_int_equal(csr_nnz(&c), csr_nnz(&want_c));
    assert_memory_equal(c.indices, want_c.indices, csr_nnz(&c) * sizeof *c.indices);
    assert_memory_equal(c.indptr, want_c.indptr, (c.rows + 1) * sizeof *c.indptr);
    for (size_t i = 0; i < csr_nnz(&c); i++)
        assert_close(c.values[i], want_c.values[i], 0, 2e-7, "connectivity", i);
    assert_int_equal(csr_nnz(&d), csr_nnz(&want_d));
    assert_memory_equal(d.indices, want_d.indices, csr_nnz(&d) * sizeof *d.indices);
    for (size_t i = 0; i < csr_nnz(&d); i++)
        assert_close(d.values[i], want_d.values[i], 3e-8, 0, "distance", i); /* every bit */
    free(pca);
    knn_done(&knn);
    csr_done(&want_c);
    csr_done(&want_d);
    csr_done(&c);
    csr_done(&d);
}

/* Venna and Kaski's trustworthiness: how many of each cell's k neighbours on the map are neighbours. */
static int nearer(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double trustworthiness(const float *x, size_t d, const float *xy, size_t n, size_t k)
{
    double penalty = 0, *high = mem_must(n * sizeof *high), *sorted = mem_must(n * sizeof *sorted);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            high[j] = 0;
            for (size_t c = 0; c < d; c++)
                high[j] += pow(x[i * d + c] - x[j * d + c], 2);
            sorted[j] = j == i ? INFINITY : pow(xy[2 * i] - xy[2 * j], 2) + pow(xy[2 * i + 1] - xy[2 * j + 1], 2);
        }
        double *low = mem_must(n * sizeof *low);
        memcpy(low, sorted, n * sizeof *low);
        qsort(sorted, n, sizeof *sorted, nearer);
        for (size_t j = 0; j < n; j++) {
            if (low[j] > sorted[k - 1])
                continue;
            size_t rank = 0;
            for (size_t o = 0; o < n; o++)
                rank += o != i && high[o] < high[j];
            if (rank + 1 > k)
                penalty += (double)(rank + 1 - k);
        }
        free(low);
    }
    free(high);
    free(sorted);
    return 1 - penalty * 2 / ((double)(n * k) * (2.0 * (double)n - 3.0 * (double)k - 1));
}

static void the_curve_of_the_map_is_umap_learns(void **state)
{
    double *want = golden("ab", NULL), a, b;
    const double params[3][2] = {{1, 0.5}, {1, 0.1}, {2, 0.3}};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(umap_fit_ab(params[i][1], params[i][0], &a, &b));
        assert_close(a, want[2 * i], 1e-5, 0, "a", i);
        assert_close(b, want[2 * i + 1], 1e-5, 0, "b", i);
    }
    assert_err(umap_fit_ab(0.5, 0, &a, &b), ERR_USAGE);
    free(want);
}

static float *layout(const Csr *c, const float *pca, uint64_t seed)
{
    float *xy = mem_must(2 * c->rows * sizeof *xy);
    UmapParams u = umap_params_default();
    u.seed = seed;
    assert_ok(umap_spectral_start(c, pca, 10, seed, NULL, xy));
    assert_ok(umap_layout(NULL, c, &u, NULL, xy));
    return xy;
}

static void the_map_is_as_trustworthy_as_umap_learns(void **state)
{
    size_t n;
    float *pca = golden_floats("pca", &n);
    n /= 10;
    Csr c = square("conn", n);
    double *want = golden("umap_trust", NULL), sum = 0;
    for (uint64_t seed = 0; seed < 5; seed++) { /* one run varies by 0.01 at this size */
        float *xy = layout(&c, pca, seed);
        sum += trustworthiness(pca, 10, xy, n, 15) / 5;
        free(xy);
    }
    if (!(sum >= want[0] - 0.005))
        fail_msg("trustworthiness %.4f, umap-learn %.4f", sum, want[0]);
    free(want);
    free(pca);
    csr_done(&c);
}

/* Cells that all move at once, from where the others were, fell 0.017 short here. */
static void the_map_of_20_cells_is_as_trustworthy_as_umap_learns(void **state)
{
    enum { FEW = 20, SEEDS = 40 }; /* one run varies by 0.03 */
    size_t n;
    float *pca = golden_floats("pca", &n);
    double *want = golden("umap_trust_few", NULL), sum = 0;
    Knn knn;
    Csr c;
    assert_ok(knn_exact(NULL, pca, FEW, 10, 15, NULL, &knn));
    assert_ok(graph_connectivities(&knn, NULL, &c));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        float *xy = layout(&c, pca, seed);
        sum += trustworthiness(pca, 10, xy, FEW, 9) / SEEDS;
        free(xy);
    }
    if (!(sum >= want[0] - 0.005))
        fail_msg("trustworthiness %.4f, umap-learn %.4f", sum, want[0]);
    free(want);
    free(pca);
    knn_done(&knn);
    csr_done(&c);
}

static void clusters_are_as_modular_as_leidenalgs(void **state)
{
    Csr c = square("conn", 150);
    double *want = golden("leiden_modularity", NULL), modularity;
    int32_t label[150], again[150];
    size_t groups, sizes[150] = {0};
    LeidenParams p = leiden_params_default();
    assert_ok(leiden(&c, &p, NULL, label, &groups, &modularity));
    if (!(modularity >= want[0] - 0.005))
        fail_msg("modularity %.4f, leidenalg %.4f", modularity, want[0]);
    for (size_t i = 0; i < 150; i++) {
        assert_in_range(label[i], 0, groups - 1);
        sizes[label[i]]++;
    }
    for (size_t g = 1; g < groups; g++)
        assert_true(sizes[g - 1] >= sizes[g] && sizes[g] > 0);
    assert_ok(leiden(&c, &p, NULL, again, &groups, NULL));
    assert_memory_equal(label, again, sizeof label);
    free(want);
    csr_done(&c);
}

static void a_cancelled_clustering_says_so_and_the_next_one_works(void **state)
{
    Csr c = square("conn", 150);
    JobCtl ctl = {0};
    int32_t label[150];
    size_t groups;
    LeidenParams p = leiden_params_default();
    for (int i = 0; i < 50; i++) {
        atomic_store(&ctl.cancel, ERR_CANCELLED);
        assert_err(leiden(&c, &p, &ctl, label, &groups, NULL), ERR_CANCELLED);
    }
    atomic_store(&ctl.cancel, 0);
    assert_ok(leiden(&c, &p, &ctl, label, &groups, NULL));
    csr_done(&c);
}

/* Cancels itself at the n-th look. */
static void count_looks(void *user, const char *stage, size_t done, size_t total)
{
    JobCtl *ctl = user;
    if (total && done == 5)
        atomic_store(&ctl->cancel, ERR_CANCELLED);
}

/* The threads of a layout must all notice: one that left early would keep the others waiting for ever. */
static void a_cancelled_layout_ends_with_many_threads(void **state)
{
    enum { N = 3000 };
    Csr g;
    float *xy = mem_must(2 * N * sizeof *xy);
    assert_ok(csr_init(&g, N, N, N * 2));
    for (size_t i = 0; i < N; i++) { /* a ring */
        size_t a = (i + N - 1) % N, b = (i + 1) % N;
        g.indices[2 * i] = (int32_t)(a < b ? a : b);
        g.indices[2 * i + 1] = (int32_t)(a < b ? b : a);
        g.values[2 * i] = g.values[2 * i + 1] = 1;
        g.indptr[i + 1] = (int64_t)(2 * i + 2);
    }
    omp_set_num_threads(6);
    UmapParams u = umap_params_default();
    for (int round = 0; round < 200; round++) {
        JobCtl ctl = {.on_progress = count_looks};
        ctl.user = &ctl;
        for (size_t i = 0; i < 2 * N; i++)
            xy[i] = (float)(i % 97);
        assert_err(umap_layout(NULL, &g, &u, &ctl, xy), ERR_CANCELLED);
    }
    free(xy);
    csr_done(&g);
}

/* ---- tests of genes ---- */

static void compare_test(MarkerTest test, const char *name)
{
    Csr m = lognorm();
    Rows rows = rows_of_csr(&m, false);
    double *group = golden("group", NULL);
    char key[64];
    snprintf(key, sizeof key, "%s_score", name);
    double *score = golden(key, NULL);
    snprintf(key, sizeof key, "%s_pval", name);
    double *pval = golden(key, NULL);
    snprintf(key, sizeof key, "%s_padj", name);
    double *padj = golden(key, NULL), *lfc = golden("logfoldchange", NULL), *in = golden("frac_in", NULL),
           *out = golden("frac_out", NULL);
    int32_t *codes = mem_must(m.rows * sizeof *codes);
    for (size_t i = 0; i < m.rows; i++)
        codes[i] = (int32_t)group[i];
    MarkerStat *s = mem_must(3 * m.cols * sizeof *s);
    assert_ok(markers_test(&rows, codes, 3, test, NULL, s));
    for (size_t i = 0; i < 3 * m.cols; i++) {
        assert_close(s[i].score, score[i], 1e-6, 1e-9, "score", i);
        assert_close(s[i].pval, pval[i], 1e-6, 0, "pval", i);
        assert_close(s[i].pval_adj, padj[i], 1e-6, 0, "pval_adj", i);
        assert_close(s[i].logfoldchange, lfc[i], 1e-5, 1e-5, "logfoldchange", i);
        assert_close(s[i].frac_in, in[i], 1e-6, 0, "frac_in", i);
        assert_close(s[i].frac_out, out[i], 1e-6, 0, "frac_out", i);
    }
    free(group);
    free(score);
    free(pval);
    free(padj);
    free(lfc);
    free(in);
    free(out);
    free(codes);
    free(s);
    csr_done(&m);
}

static void wilcoxon_is_scanpys_with_tie_correction(void **state)
{
    compare_test(TEST_WILCOXON, "wilcoxon");
}

static void welch_t_is_scanpys(void **state)
{
    compare_test(TEST_WELCH, "ttest");
}

static void student_tails_are_scipys(void **state)
{
    size_t n;
    double *v = golden("student", &n);
    for (size_t i = 0; i + 3 <= n; i += 3)
        assert_close(stats_student_two_sided(v[i], v[i + 1]), v[i + 2], 2e-8, 0, "student", i / 3);
    free(v);
}

static void scores_of_gene_sets_are_scanpys(void **state)
{
    Csr m = lognorm();
    Rows rows = rows_of_csr(&m, false);
    const int32_t set[] = {10, 25, 77, 150, 299, 10}; /* twice the same counts once */
    double *want = golden("score_genes", NULL);
    float *score = mem_must(m.rows * sizeof *score);
    assert_ok(score_genes(&rows, set, 6, 0, NULL, score));
    for (size_t i = 0; i < m.rows; i++)
        assert_close(score[i], want[i], 1e-5, 1e-6, "score", i);
    free(want);
    free(score);
    csr_done(&m);
}

static void smoothing_solves_the_system(void **state)
{
    Csr c = square("conn", 150);
    double *group = golden("group", NULL), *want = golden("smooth", NULL);
    float *p = mem_must(150 * 3 * sizeof *p);
    for (size_t i = 0; i < 150; i++)
        p[3 * i + (size_t)group[i]] = 1;
    assert_ok(graph_smooth(&c, 2, 3, NULL, p));
    for (size_t i = 0; i < 450; i++)
        assert_close(p[i], want[i], 0, 1e-5, "smooth", i);
    assert_err(graph_smooth(&c, -1, 3, NULL, p), ERR_USAGE);
    free(group);
    free(want);
    free(p);
    csr_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(log_normalised_values_are_scanpys),
        TEST(variable_genes_are_scanpys_list),
        TEST(loess_is_cleveland_s_with_ties),
        TEST(components_and_signs_are_scikit_learns),
        TEST(components_of_few_cells_are_fewer),
        TEST(connectivities_and_distances_are_scanpys),
        TEST(the_curve_of_the_map_is_umap_learns),
        TEST(the_map_is_as_trustworthy_as_umap_learns),
        TEST(the_map_of_20_cells_is_as_trustworthy_as_umap_learns),
        TEST(clusters_are_as_modular_as_leidenalgs),
        TEST(a_cancelled_clustering_says_so_and_the_next_one_works),
        TEST(a_cancelled_layout_ends_with_many_threads),
        TEST(wilcoxon_is_scanpys_with_tie_correction),
        TEST(welch_t_is_scanpys),
        TEST(student_tails_are_scipys),
        TEST(scores_of_gene_sets_are_scanpys),
        TEST(smoothing_solves_the_system),
    };
    int failed = RUN(tests);
    free(golden_text);
    return failed;
}
