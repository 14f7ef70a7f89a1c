/* The analysis against scanpy, umap-learn and leidenalg on 900 cells made by arithmetic that tests/ref/larger.py has too;
 * and what only shows with few cells. */
#include "tests/util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/graph.h"
#include "core/analysis/hvg.h"
#include "core/analysis/leiden.h"
#include "core/analysis/markers.h"
#include "core/analysis/numpy_draw.h"
#include "core/analysis/pca.h"
#include "core/analysis/score.h"
#include "core/analysis/umap.h"
#include "core/base/mem.h"
#include "tests/util_golden.h"

enum { N = 900, GENES = 1500, GROUPS = 6, TOP = 300 };

static Golden *want;
static Csr counts, lognorm;
static int32_t group[N];

static double uniform(uint64_t stream, uint64_t index)
{
    uint64_t z = 23 * 0x9E3779B97F4A7C15u + stream * 0xD1B54A32D192ED03u + index * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1p-53;
}

static double count_of(size_t i, size_t g, double depth)
{
    double b = uniform(3, g), u = uniform(6, i * GENES + g);
    double base = g < 20 ? 0 : 0.01 + 2.0 * b * b * b * b;
    double effect = uniform(4, (size_t)group[i] * GENES + g) > 0.93 ? 4.0 : 1.0;
    return floor(base * effect * depth * u / (1.02 - u));
}

static int make_counts(void **state)
{
    size_t n = 0, total;
    double sum[2] = {0};
    want = golden_open("larger.txt");
    assert_ok(csr_init(&counts, N, GENES, (size_t)N * GENES));
    for (size_t i = 0; i < N; i++) {
        double depth = 0.4 + uniform(5, i) * 1.2;
        group[i] = (int32_t)(uniform(1, i) * uniform(2, i) * GROUPS);
        for (size_t g = 0; g < GENES; g++) {
            double v = count_of(i, g, depth);
            sum[0] += v;
            sum[1] += v * (double)(1 + g % 7);
            if (v > 0) {
                counts.indices[n] = (int32_t)g;
                counts.values[n++] = (float)v;
            }
        }
        counts.indptr[i + 1] = (int64_t)n;
    }
    const double *sums = golden_numbers(want, "sum", &total);
    assert_true(sum[0] == sums[0] && sum[1] == sums[1]); /* the same cells */
    Rows rows = rows_of_csr(&counts, true);
    assert_ok(rows_gather(&rows, NULL, 0, NULL, &lognorm));
    return 0;
}

static int forget_counts(void **state)
{
    golden_close(want);
    csr_done(&counts);
    csr_done(&lognorm);
    return 0;
}

static void assert_genes(const Hvg *h, const char *key)
{
    size_t n;
    const double *v = golden_numbers(want, key, &n);
    assert_int_equal(h->n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(h->selected[i], (int)v[i]);
}

static void variable_genes_are_scanpys_in_both_flavours(void **state)
{
    Rows raw = rows_of_csr(&counts, false), rows = rows_of_csr(&lognorm, false);
    Hvg h;
    assert_ok(hvg_seurat_v3(&raw, TOP, 0.3, NULL, &h));
    assert_genes(&h, "hvg_v3");
    hvg_done(&h);
    assert_ok(hvg_seurat(&rows, TOP, NULL, &h));
    assert_genes(&h, "hvg_seurat");
    hvg_done(&h);
}

static void fit(size_t k, Pca *p)
{
    Rows rows = rows_of_csr(&lognorm, false);
    Hvg h;
    Csr x;
    assert_ok(hvg_seurat(&rows, TOP, NULL, &h));
    assert_ok(rows_gather(&rows, h.selected, h.n, NULL, &x));
    assert_ok(pca_fit(NULL, &x, k, 0, NULL, p));
    hvg_done(&h);
    csr_done(&x);
}

/* How far vector v of the reference sticks out of our first five: the sine of its angle. */
static double outside(const Pca *p, const double *theirs, size_t v)
{
    double rest = 1;
    for (size_t j = 0; j < 5; j++) {
        double dot = 0;
        for (size_t g = 0; g < p->genes; g++)
            dot += (double)p->loadings[g * p->k + j] * theirs[5 * g + v];
        rest -= dot * dot;
    }
    return sqrt(fmax(rest, 0));
}

static void components_span_what_an_exact_decomposition_does(void **state)
{
    Pca p;
    size_t n;
    fit(20, &p);
    const double *ratio = golden_numbers(want, "ratio", &n), *v = golden_numbers(want, "loadings", &n);
    assert_int_equal(n, 5 * p.genes);
    for (size_t j = 0; j < 20; j++)
        assert_near(p.ratio[j] / ratio[j], 1, 1e-5);
    for (size_t j = 0; j < 5; j++)
        assert_true(outside(&p, v, j) < 1e-3);
    pca_done(&p);
}

/* Rounding made long brought values a second time: the shares of 40 cells summed to more than 100. */
static void as_many_components_as_cells_allow_explain_all_the_variance(void **state)
{
    for (size_t cells = 12; cells <= 72; cells += 20) {
        Rows rows = rows_of_csr(&lognorm, false);
        Csr x;
        Pca p;
        double sum = 0;
        rows.n = cells;
        assert_ok(rows_gather(&rows, NULL, 0, NULL, &x));
        assert_ok(pca_fit(NULL, &x, 100, 3, NULL, &p));
        assert_int_equal(p.k, cells - 1);
        for (size_t j = 0; j < p.k; j++) {
            assert_true(j == 0 || p.ratio[j] <= p.ratio[j - 1]);
            sum += p.ratio[j];
        }
        assert_near(sum, 1, 1e-6);
        pca_done(&p);
        csr_done(&x);
    }
}

static double trust(const Pca *p, const float *xy)
{
    enum { K = 15 };
    double penalty = 0;
    for (size_t i = 0; i < N; i++) {
        double near[N], map[N];
        for (size_t j = 0; j < N; j++) {
            near[j] = 0;
            for (size_t c = 0; c < p->k; c++)
                near[j] += pow((double)p->scores[i * p->k + c] - p->scores[j * p->k + c], 2);
            map[j] = pow((double)xy[2 * i] - xy[2 * j], 2) + pow((double)xy[2 * i + 1] - xy[2 * j + 1], 2);
        }
        near[i] = map[i] = INFINITY;
        for (size_t picked = 0; picked < K; picked++) {
            size_t best = 0, rank = 1;
            for (size_t j = 1; j < N; j++)
                best = map[j] < map[best] ? j : best;
            map[best] = INFINITY;
            for (size_t j = 0; j < N; j++)
                rank += near[j] < near[best];
            penalty += rank > K ? (double)(rank - K) : 0;
        }
    }
    return 1 - 2 * penalty / ((double)N * K * (2.0 * N - 3 * K - 1));
}

static void maps_and_clusters_of_several_seeds_are_as_good_as_the_peers(void **state)
{
    static const double resolution[] = {0.5, 1, 2};
    Pca p;
    Knn knn;
    Csr g;
    size_t n, groups;
    double worst = 1, mean = 0, peer = 0;
    float *xy = mem_must(2 * N * sizeof *xy);
    int32_t *label = mem_must(N * sizeof *label);
    fit(20, &p);
    assert_ok(knn_build(NULL, p.scores, N, p.k, 15, 0, NULL, &knn));
    assert_ok(graph_connectivities(&knn, NULL, &g));
    const double *q = golden_numbers(want, "modularity", &n), *t = golden_numbers(want, "trustworthiness", &n);
    for (uint64_t seed = 0; seed < 3; seed++) {
        UmapParams u = umap_params_default();
        u.seed = seed;
        assert_ok(umap_spectral_start(&g, p.scores, p.k, seed, NULL, xy));
        assert_ok(umap_layout(NULL, &g, &u, NULL, xy));
        double found = trust(&p, xy);
        worst = fmin(worst, found);
        mean += found / 3;
        peer += t[seed] / 3;
        for (size_t r = 0; r < 3; r++) {
            LeidenParams l = leiden_params_default();
            l.resolution = resolution[r];
            l.seed = seed;
            assert_ok(leiden(&g, &l, NULL, label, &groups, NULL));
            assert_true(graph_modularity(&g, label, groups, resolution[r]) > q[r] - 0.005);
        }
    }
    assert_true(mean > peer - 0.005);
    assert_true(worst > fmin(fmin(t[0], t[1]), t[2]) - 0.005);
    free(xy);
    free(label);
    knn_done(&knn);
    csr_done(&g);
    pca_done(&p);
}

static void t_of_an_overestimated_variance_is_scanpys(void **state)
{
    Rows rows = rows_of_csr(&lognorm, false);
    MarkerStat *s = mem_must((size_t)GROUPS * GENES * sizeof *s);
    size_t n, step = 50;
    const double *score = golden_numbers(want, "overestimated_score", &n);
    const double *p = golden_numbers(want, "overestimated_pval", &n);
    assert_int_equal(n, GROUPS * step);
    assert_ok(markers_test(&rows, group, GROUPS, TEST_OVERESTIMATED, NULL, s));
    for (size_t c = 0; c < GROUPS; c++)
        for (size_t i = 0; i < step; i++) {
            const MarkerStat *one = &s[c * GENES + 20 + 30 * i];
            assert_near(one->score, score[c * step + i], 2e-6 * fmax(1, fabs(score[c * step + i])));
            assert_near(one->pval / p[c * step + i], 1, 2e-5); /* of inputs that differ in the last bit */
        }
    free(s);
}

static void module_scores_take_the_control_genes_that_scanpy_takes(void **state)
{
    static const int32_t set[] = {100, 400, 777, 901, 1203};
    static const size_t drawn[] = {2, 8, 4, 9, 1, 6, 7, 3, 0, 5}; /* numpy.random.RandomState(0).permutation(10) */
    NumpyDraw draw;
    size_t n, order[10];
    numpy_seed(&draw, 0);
    numpy_permutation(&draw, 10, order);
    assert_memory_equal(order, drawn, sizeof drawn);
    Rows rows = rows_of_csr(&lognorm, false);
    float *score = mem_must(N * sizeof *score);
    const double *theirs = golden_numbers(want, "score", &n);
    assert_ok(score_genes(&rows, set, 5, 0, NULL, score));
    for (size_t i = 0; i < n; i++)
        assert_near(score[9 * i], theirs[i], 1e-6);
    free(score);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(variable_genes_are_scanpys_in_both_flavours),
        TEST(components_span_what_an_exact_decomposition_does),
        TEST(as_many_components_as_cells_allow_explain_all_the_variance),
        TEST(maps_and_clusters_of_several_seeds_are_as_good_as_the_peers),
        TEST(t_of_an_overestimated_variance_is_scanpys),
        TEST(module_scores_take_the_control_genes_that_scanpy_takes),
    };
    return cmocka_run_group_tests(tests, make_counts, forget_counts);
}
