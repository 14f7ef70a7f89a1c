/* Class, cluster, expression and baseline measures against scikit-learn and scipy
 * (tests/ref/eval.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/baselines.h"
#include "core/eval/bootstrap.h"
#include "core/eval/classify.h"
#include "core/eval/cluster.h"
#include "core/eval/expr.h"
#include "tests/util.h"
#include "tests/util_golden.h"

static int32_t *integers(Golden *g, const char *key, size_t *n)
{
    const double *v = golden_numbers(g, key, n);
    int32_t *out = mem_must(*n * sizeof *out);
    for (size_t i = 0; i < *n; i++)
        out[i] = (int32_t)v[i];
    return out;
}

static float *floats(Golden *g, const char *key, size_t *n)
{
    const double *v = golden_numbers(g, key, n);
    float *out = mem_must(*n * sizeof *out);
    for (size_t i = 0; i < *n; i++)
        out[i] = (float)v[i];
    return out;
}

/* ---- bootstrap ---- */

static void interval_of_a_mean_is_about_two_standard_errors(void **state)
{
    double v[400];
    for (int i = 0; i < 400; i++)
        v[i] = i % 2;
    Estimate e;
    assert_ok(bootstrap_mean(v, 400, NULL, 0, 1, &e));
    assert_near(e.value, 0.5, 1e-12);
    assert_near(e.hi - e.lo, 4 * 0.5 / 20, 0.02); /* 1.96 * sd / sqrt(n), twice */
    assert_int_equal(e.n, 400);
}

static void cells_of_a_cluster_are_drawn_together(void **state)
{
    /* Ten prompts of 40 equal cells: only ten independent values. */
    double v[400];
    int32_t cluster[400];
    for (int i = 0; i < 400; i++) {
        cluster[i] = i / 40;
        v[i] = cluster[i] % 2;
    }
    Estimate cells, prompts;
    assert_ok(bootstrap_mean(v, 400, NULL, 0, 1, &cells));
    assert_ok(bootstrap_mean(v, 400, cluster, 10, 1, &prompts));
    assert_near(prompts.value, cells.value, 1e-12);
    assert_true(prompts.hi - prompts.lo > 4 * (cells.hi - cells.lo));
    for (int i = 0; i < 40; i++) { /* of no cluster: never drawn */
        cluster[i] = -1;
        v[i] = 1e6;
    }
    assert_ok(bootstrap_mean(v, 400, cluster, 10, 1, &prompts));
    assert_true(prompts.hi <= 1);
}

static void missing_values_are_left_out_and_nothing_gives_no_interval(void **state)
{
    double v[] = {1, NAN, 3};
    Estimate e;
    assert_ok(bootstrap_mean(v, 3, NULL, 0, 1, &e));
    assert_near(e.value, 2, 1e-12);
    assert_int_equal(e.n, 2);
    assert_ok(bootstrap_mean(v, 0, NULL, 0, 1, &e));
    assert_true(isnan(e.value) && isnan(e.lo) && isnan(e.hi));
}

static void medians_and_quantiles_as_numpy(void **state)
{
    double v[] = {4, 1, 3, 2};
    assert_near(median_of(v, 4), 2.5, 0);
    assert_near(sorted_quantile(v, 4, 0.025), 1.075, 1e-12);
}

/* ---- classes ---- */

static void class_measures_agree_with_scikit_learn(void **state)
{
    Golden *g = golden_open("eval_numbers.tsv");
    size_t n;
    int32_t *truth = integers(g, "truth", &n), *pred = integers(g, "pred", &n);
    float *conf = floats(g, "conf", &n), *score = floats(g, "score", &n);
    uint8_t right[300], positive[300];
    for (size_t i = 0; i < n; i++) {
        right[i] = truth[i] == pred[i];
        positive[i] = truth[i] == 1;
    }
    ClassPair p = {n, 6, truth, pred};
    Calibration c = {n, conf, right};
    Ranking r;
    assert_ok(ranking_init(score, positive, n, &r));
    assert_near(classify_accuracy(&p, NULL), golden_number(g, "accuracy"), 1e-12);
    assert_near(classify_macro_f1(&p, NULL), golden_number(g, "macro_f1"), 1e-12);
    assert_near(classify_weighted_f1(&p, NULL), golden_number(g, "weighted_f1"), 1e-12);
    assert_near(classify_balanced_accuracy(&p, NULL), golden_number(g, "balanced"), 1e-12);
    assert_near(classify_ece(&c, NULL), golden_number(g, "ece"), 1e-6);
    assert_near(classify_auroc(&r, NULL), golden_number(g, "auroc"), 1e-12);
    assert_near(classify_average_precision(&r, NULL), golden_number(g, "average_precision"), 1e-12);
    ranking_done(&r);
    free(truth);
    free(pred);
    free(conf);
    free(score);
    golden_close(g);
}

static void weights_count_like_repeated_items(void **state)
{
    int32_t truth[] = {0, 0, 1, 2, -1}, pred[] = {0, 1, 1, -1, 0};
    int32_t truth2[] = {0, 0, 0, 1, 2}, pred2[] = {0, 1, 1, 1, -1};
    uint32_t weight[] = {1, 2, 1, 1, 5};
    ClassPair a = {5, 3, truth, pred}, b = {5, 3, truth2, pred2};
    assert_near(classify_accuracy(&a, weight), classify_accuracy(&b, NULL), 1e-12);
    assert_near(classify_accuracy(&b, NULL), 0.4, 1e-12);
    assert_near(classify_macro_f1(&a, weight), classify_macro_f1(&b, NULL), 1e-12);
    assert_near(classify_macro_f1(&b, NULL), (2 * 1. / 4 + 2 * 1. / 4 + 0) / 3, 1e-12);
}

static void confusion_has_a_column_for_no_answer(void **state)
{
    int32_t truth[] = {0, 1, 1, -1}, pred[] = {1, 1, -1, 0};
    size_t count[2 * 3];
    classify_confusion(&(ClassPair){4, 2, truth, pred}, count);
    size_t want[] = {0, 1, 0, 0, 1, 1};
    assert_memory_equal(count, want, sizeof want);
}

static void precision_shares_ties_at_the_cut(void **state)
{
    float score[] = {3, 2, 2, 2, 1, NAN};
    uint8_t positive[] = {1, 1, 0, 0, 0, 0};
    Ranking r;
    assert_ok(ranking_init(score, positive, 6, &r));
    assert_int_equal(r.n, 5);
    assert_near(classify_precision_at(&r, 0), (1 + 1 / 3.) / 2, 1e-12); /* top 2 */
    assert_near(classify_precision_at(&r, 4), 0.5, 1e-12);
    ranking_done(&r);
    assert_ok(ranking_init(score, (uint8_t[6]){0}, 6, &r));
    assert_true(isnan(classify_precision_at(&r, 0)) && isnan(classify_auroc(&r, NULL)));
    ranking_done(&r);
}

/* ---- clusters ---- */

static void cluster_measures_agree_with_scikit_learn(void **state)
{
    Golden *g = golden_open("eval_numbers.tsv");
    size_t n, nx, ns;
    int32_t *truth = integers(g, "truth", &n), *found = integers(g, "found", &n);
    float *x = floats(g, "x", &nx);
    double width[300];
    Partition p = {n, 5, 7, truth, found};
    assert_near(cluster_ari(&p, NULL), golden_number(g, "ari"), 1e-12);
    assert_near(cluster_nmi(&p, NULL), golden_number(g, "nmi"), 1e-12);
    assert_ok(cluster_silhouette(x, n, 4, truth, 5, NULL, width));
    const double *want = golden_numbers(g, "silhouette", &ns);
    double mean = 0;
    for (size_t i = 0; i < n; i++) {
        assert_near(width[i], want[i], 1e-9);
        mean += width[i] / (double)n;
    }
    BioScores s;
    assert_ok(cluster_bio(&p, width, 0, &s));
    assert_near(s.asw.value, (mean + 1) / 2, 1e-9);
    assert_near(s.avgbio.value, (s.ari.value + s.nmi.value + s.asw.value) / 3, 1e-12);
    assert_true(s.ari.lo < s.ari.value && s.ari.value < s.ari.hi);
    free(truth);
    free(found);
    free(x);
    golden_close(g);
}

static void one_group_has_no_silhouette(void **state)
{
    float x[] = {0, 1, 2};
    int32_t one[] = {0, 0, -1};
    double width[3];
    assert_err(cluster_silhouette(x, 3, 1, one, 2, NULL, width), ERR_INPUT);
    Partition same = {3, 1, 1, one, one};
    assert_near(cluster_nmi(&same, NULL), 1, 0);
    assert_near(cluster_ari(&same, NULL), 1, 0);
}

/* ---- expression ---- */

static void knn_mmd_emd_agree_with_scikit_learn_and_scipy(void **state)
{
    Golden *g = golden_open("eval_numbers.tsv");
    size_t n, nx, nk;
    int32_t *truth = integers(g, "truth", &n), vote[4 * 80];
    float *x = floats(g, "x", &nx), b[80 * 4], ax[120], bx[80], pool[200 * 4];
    for (size_t i = 0; i < 80 * 4; i++)
        b[i] = (float)(x[120 * 4 + i] * 1.2 + 0.3);
    memcpy(pool, x, 120 * 4 * sizeof *pool);
    memcpy(pool + 120 * 4, b, sizeof b);
    size_t ks[] = {3, 5, 10, 25};
    assert_ok(expr_knn_vote(x, truth, 120, 5, b, 80, 4, ks, 4, NULL, vote));
    const double *want = golden_numbers(g, "knn", &nk);
    assert_int_equal(nk, 320);
    for (size_t i = 0; i < nk; i++)
        assert_int_equal(vote[i], (int)want[i]);
    double sigma, emd;
    assert_ok(expr_median_distance(pool, 200, 4, 0, &sigma));
    assert_near(sigma, golden_number(g, "mmd_bandwidth"), 1e-6);
    assert_near(expr_mmd(x, 120, b, 80, 4, sigma), golden_number(g, "mmd"), 1e-6);
    for (size_t i = 0; i < 120; i++)
        ax[i] = x[i * 4];
    for (size_t i = 0; i < 80; i++)
        bx[i] = b[i * 4];
    assert_ok(expr_emd(ax, 120, bx, 80, 1, 3, 0, &emd));
    assert_near(emd, golden_number(g, "w1"), 1e-6);
    free(truth);
    free(x);
    golden_close(g);
}

static void equal_sets_are_at_distance_zero(void **state)
{
    float a[] = {0, 0, 1, 0, 0, 2, 3, 3};
    double e;
    assert_ok(expr_emd(a, 4, a, 4, 2, 16, 0, &e));
    assert_near(e, 0, 1e-12);
    assert_true(expr_mmd(a, 4, a, 4, 2, 1) <
                0); /* unbiased: pairs of a point with itself are out */
    assert_true(isnan(expr_mmd(a, 1, a, 4, 2, 1)));
    /* Squared distances from the centre (1, 1.25): 2.5625, 1.5625, 1.5625, 7.0625. */
    assert_near(expr_spread(a, 4, 2), sqrt(12.75 / 3), 1e-6);
}

static Csr matrix(size_t rows, size_t cols, const float *dense)
{
    Csr m;
    size_t nnz = 0;
    assert_ok(csr_init(&m, rows, cols, rows * cols));
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < cols; c++)
            if (dense[i * cols + c] != 0) {
                m.indices[nnz] = (int32_t)c;
                m.values[nnz++] = dense[i * cols + c];
            }
        m.indptr[i + 1] = (int64_t)nnz;
    }
    return m;
}

static void summary_finds_medians_zeros_and_broken_counts(void **state)
{
    Csr m = matrix(3, 4, (float[]){1, 0, 0, 2, 0, 5, 0, 0, 1, 1, 1, 1});
    ExprSummary s;
    assert_ok(expr_summary(&m, &s));
    assert_near(s.counts_median, 4, 0);
    assert_near(s.genes_median, 2, 0);
    assert_near(s.sparsity, 5 / 12., 1e-12);
    assert_true(s.integer);
    m.values[0] = 1.5f;
    assert_ok(expr_summary(&m, &s));
    assert_false(s.integer);
    csr_done(&m);
}

static void copies_are_found_whatever_the_order_of_genes(void **state)
{
    Csr real = matrix(3, 3, (float[]){1, 2, 0, 0, 0, 3, 4, 0, 1});
    /* Genes of the generated cells: real gene 2, an unknown one, real gene 0. */
    Csr made = matrix(4, 3, (float[]){1, 9, 4, 3, 0, 0, 1, 0, 3, 0, 7, 0});
    int32_t to[] = {2, -1, 0};
    size_t copies;
    assert_ok(expr_copies(&made, &real, to, &copies));
    assert_int_equal(copies, 2); /* rows 0 and 1; row 3 is empty in the shared genes */
    csr_done(&real);
    csr_done(&made);
}

static void top_genes_overlap(void **state)
{
    double a[] = {5, 4, 3, 0, 0}, b[] = {4, 0, 5, 6, 0}, share;
    assert_ok(expr_top_overlap(a, b, 5, 3, &share));
    assert_near(share, 2 / 3., 1e-12);
    assert_ok(expr_top_overlap(a, a, 5, 50, &share));
    assert_near(share, 1, 0);
}

/* ---- baselines ---- */

static void logistic_regression_agrees_with_scikit_learn(void **state)
{
    Golden *g = golden_open("eval_numbers.tsv");
    size_t n, nx, np;
    int32_t *truth = integers(g, "truth", &n);
    float *x = floats(g, "x", &nx);
    LogReg l;
    assert_ok(logreg_fit(x, truth, 200, 4, 6, 1.0, 1e-8, 2000, NULL, &l));
    double p[100 * 6];
    assert_ok(logreg_predict(&l, x + 200 * 4, 100, p));
    const double *want = golden_numbers(g, "logreg", &np);
    assert_int_equal(np, 500);
    for (size_t i = 0; i < 100; i++) {
        for (size_t c = 0; c < 5; c++)
            assert_near(p[i * 6 + c], want[i * 5 + c], 1e-5);
        assert_near(p[i * 6 + 5], 0, 0); /* the class without cells */
    }
    logreg_done(&l);
    free(truth);
    free(x);
    golden_close(g);
}

static const char *const GENES[] = {"G0", "G1", "G2", "G3"};

/* 60 genes, so that enough are shared; class c expresses the genes c, c + 3, ... more. */
static Csr class_cells(size_t n, size_t genes, int32_t *label, char (*names)[8], const char **list)
{
    float *dense = mem_must(n * genes * sizeof *dense);
    Rng r = rng_make(5, n);
    for (size_t i = 0; i < n; i++) {
        label[i] = (int32_t)(i % 3);
        for (size_t g = 0; g < genes; g++)
            dense[i * genes + g] = (float)(rng_below(&r, 4) + (g % 3 == (size_t)label[i] ? 3 : 0));
    }
    for (size_t g = 0; g < genes; g++) {
        snprintf(names[g], 8, "Gx%zu", g);
        list[g] = names[g];
    }
    Csr m = matrix(n, genes, dense);
    free(dense);
    return m;
}

static void baselines_find_classes_across_files(void **state)
{
    char names[60][8];
    const char *ref_genes[60], *test_genes[60];
    int32_t label[30], unused[12], test_label[12], prediction[12];
    Csr ref = class_cells(30, 60, label, names, ref_genes);
    Csr test = class_cells(12, 60, test_label, names, test_genes);
    for (int i = 0; i < 12; i++)
        unused[i] = -1;
    ReferenceSet sets[] = {{&ref, ref_genes, label, false}, {&test, GENES, unused, false}};
    RefFeatures f;
    /* The second file has no used cell: its genes do not matter. */
    assert_ok(
        reference_join(sets, 2, &(ReferenceSet){&test, test_genes, NULL, false}, 40, NULL, &f));
    assert_int_equal(f.shared, 60);
    assert_true(f.d == 40 && f.n == 30 && f.m == 12);
    assert_ok(centroid_predict(f.ref, f.label, f.n, 4, f.test, f.m, f.d, prediction));
    assert_memory_equal(prediction, test_label, sizeof test_label);
    reference_done(&f);
    sets[0].label = (int32_t[30]){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                  -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    assert_err(
        reference_join(sets, 2, &(ReferenceSet){&test, test_genes, NULL, false}, 40, NULL, &f),
        ERR_NOT_FOUND);
    csr_done(&ref);
    csr_done(&test);
}

static void centroids_agree_with_numpy(void **state)
{
    Golden *g = golden_open("eval_numbers.tsv");
    size_t n, nx, np;
    int32_t *truth = integers(g, "truth", &n), prediction[100];
    float *x = floats(g, "x", &nx);
    for (size_t f = 0; f < 4; f++) { /* z-values by the first 200 */
        double mean = 0, var = 0;
        for (size_t i = 0; i < 200; i++)
            mean += x[i * 4 + f] / 200.0;
        for (size_t i = 0; i < 200; i++)
            var += (x[i * 4 + f] - mean) * (x[i * 4 + f] - mean) / 200;
        for (size_t i = 0; i < n; i++)
            x[i * 4 + f] = (float)((x[i * 4 + f] - mean) / sqrt(var));
    }
    assert_ok(centroid_predict(x, truth, 200, 5, x + 800, 100, 4, prediction));
    const double *want = golden_numbers(g, "centroid", &np);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(prediction[i], (int)want[i]);
    free(truth);
    free(x);
    golden_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(interval_of_a_mean_is_about_two_standard_errors),
        TEST(cells_of_a_cluster_are_drawn_together),
        TEST(missing_values_are_left_out_and_nothing_gives_no_interval),
        TEST(medians_and_quantiles_as_numpy),
        TEST(class_measures_agree_with_scikit_learn),
        TEST(weights_count_like_repeated_items),
        TEST(confusion_has_a_column_for_no_answer),
        TEST(precision_shares_ties_at_the_cut),
        TEST(cluster_measures_agree_with_scikit_learn),
        TEST(one_group_has_no_silhouette),
        TEST(knn_mmd_emd_agree_with_scikit_learn_and_scipy),
        TEST(equal_sets_are_at_distance_zero),
        TEST(summary_finds_medians_zeros_and_broken_counts),
        TEST(copies_are_found_whatever_the_order_of_genes),
        TEST(top_genes_overlap),
        TEST(logistic_regression_agrees_with_scikit_learn),
        TEST(baselines_find_classes_across_files),
        TEST(centroids_agree_with_numpy),
    };
    return RUN(tests);
}
