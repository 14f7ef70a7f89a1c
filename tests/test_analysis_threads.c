/* One seed gives one answer: every stage from counts to markers, at 1, 2, 3 and 8 threads, is compared bit for bit. There
 * are enough cells for several blocks of every stage, and for 5 threads of the layout. */
#include "tests/util.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/graph.h"
#include "core/analysis/hvg.h"
#include "core/analysis/leiden.h"
#include "core/analysis/markers.h"
#include "core/analysis/pca.h"
#include "core/analysis/project.h"
#include "core/analysis/score.h"
#include "core/analysis/umap.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

enum { CELLS = 2200, GENES = 260, TOP = 120, PCS = 20, GROUPS = 4, SEED = 3, MOST = 40 };

typedef struct Answer { /* a hash of each result */
    size_t n;
    const char *what[MOST];
    uint64_t hash[MOST];
} Answer;

static void note(Answer *a, const char *what, const void *data, size_t bytes)
{
    assert_true(a->n < MOST);
    a->what[a->n] = what;
    a->hash[a->n++] = hash_bytes(data, bytes);
}

static Csr make_counts(void)
{
    Csr m;
    size_t at = 0;
    assert_ok(csr_init(&m, CELLS, GENES, CELLS * GENES));
    for (size_t i = 0; i < CELLS; i++) {
        Rng rng = rng_make(SEED, i);
        double depth = 0.3 + rng_uniform(&rng);
        for (size_t g = 0; g < GENES; g++) {
            uint64_t c = rng_poisson(&rng, depth * (g % GROUPS == i % GROUPS && g < 60 ? 1.5 : 0.1 + 0.002 * (double)g));
            if (!c)
                continue;
            m.indices[at] = (int32_t)g;
            m.values[at++] = (float)c;
        }
        m.indptr[i + 1] = (int64_t)at;
    }
    return m;
}

static void choose_genes(const Rows *counts, const Rows *lognorm, Answer *a, Csr *variable)
{
    Hvg v3, h;
    assert_ok(hvg_seurat_v3(counts, TOP, 0.3, NULL, &v3));
    note(a, "seurat_v3", v3.dispersion, GENES * sizeof *v3.dispersion);
    assert_ok(hvg_seurat(lognorm, TOP, NULL, &h));
    note(a, "seurat", h.dispersion, GENES * sizeof *h.dispersion);
    assert_ok(rows_gather(lognorm, h.selected, h.n, NULL, variable));
    note(a, "log-normalised values", variable->values, csr_nnz(variable) * sizeof *variable->values);
    hvg_done(&v3);
    hvg_done(&h);
}

static void lay_out(const Csr *g, const Pca *p, Answer *a, float *xy)
{
    UmapParams u = umap_params_default();
    u.seed = SEED;
    u.epochs = 60;
    assert_ok(umap_spectral_start(g, p->scores, p->k, SEED, NULL, xy));
    note(a, "spectral start", xy, 2 * CELLS * sizeof *xy);
    assert_ok(umap_layout(NULL, g, &u, NULL, xy));
    note(a, "map", xy, 2 * CELLS * sizeof *xy);
    ProjectParams project = project_params_default();
    float *placed = mem_must(2 * 300 * sizeof *placed);
    project.epochs = 30;
    assert_ok(project_cells(NULL, p->scores, CELLS, xy, p->scores, 300, p->k, &project, NULL, placed));
    note(a, "projected cells", placed, 2 * 300 * sizeof *placed);
    free(placed);
}

static void cluster(const Pca *p, Answer *a, int32_t *label)
{
    Knn exact, near;
    Csr g;
    LeidenParams l = leiden_params_default();
    size_t groups;
    float *xy = mem_must(2 * CELLS * sizeof *xy);
    assert_ok(knn_exact(NULL, p->scores, CELLS, p->k, 15, NULL, &exact));
    note(a, "neighbours", exact.indices, CELLS * exact.k * sizeof *exact.indices);
    note(a, "distances", exact.distances, CELLS * exact.k * sizeof *exact.distances);
    assert_ok(knn_approximate(NULL, p->scores, CELLS, p->k, 15, 0.9, SEED, NULL, &near));
    note(a, "approximate neighbours", near.indices, CELLS * near.k * sizeof *near.indices);
    assert_ok(graph_connectivities(&exact, NULL, &g));
    note(a, "connectivities", g.values, csr_nnz(&g) * sizeof *g.values);
    lay_out(&g, p, a, xy);
    assert_ok(leiden(&g, &l, NULL, label, &groups, NULL));
    note(a, "clusters", label, CELLS * sizeof *label);
    assert_in_range(groups, GROUPS, 30);
    knn_done(&exact);
    knn_done(&near);
    csr_done(&g);
    free(xy);
}

static void test_genes(const Rows *lognorm, const int32_t *label, Answer *a)
{
    static const char *const names[] = {"Wilcoxon", "Welch", "over-estimated variance"};
    int32_t *codes = mem_must(CELLS * sizeof *codes);
    MarkerStat *s = mem_must(GROUPS * GENES * sizeof *s);
    double *v = mem_must(GROUPS * GENES * 4 * sizeof *v);
    for (size_t i = 0; i < CELLS; i++)
        codes[i] = label[i] < GROUPS ? label[i] : -1;
    for (int test = 0; test < 3; test++) {
        assert_ok(markers_test(lognorm, codes, GROUPS, (MarkerTest)test, NULL, s));
        for (size_t i = 0; i < GROUPS * GENES; i++)
            memcpy(v + 4 * i, (double[]){s[i].score, s[i].pval, s[i].pval_adj, s[i].logfoldchange}, 4 * sizeof *v);
        note(a, names[test], v, GROUPS * GENES * 4 * sizeof *v);
    }
    free(codes);
    free(s);
    free(v);
}

static void answer(const Csr *m, Answer *a)
{
    Rows counts = rows_of_csr(m, false), lognorm = rows_of_csr(m, true);
    int32_t *label = mem_must(CELLS * sizeof *label), set[] = {1, 5, 9, 200};
    float *score = mem_must(CELLS * sizeof *score);
    Csr variable;
    Pca p;
    choose_genes(&counts, &lognorm, a, &variable);
    assert_ok(pca_fit(NULL, &variable, PCS, SEED, NULL, &p));
    note(a, "components", p.scores, CELLS * p.k * sizeof *p.scores);
    cluster(&p, a, label);
    test_genes(&lognorm, label, a);
    assert_ok(score_genes(&lognorm, set, 4, SEED, NULL, score));
    note(a, "module score", score, CELLS * sizeof *score);
    pca_done(&p);
    csr_done(&variable);
    free(label);
    free(score);
}

static void one_seed_gives_one_answer_at_any_number_of_threads(void **state)
{
    static const int threads[] = {1, 2, 3, 8};
    int before = omp_get_max_threads();
    Csr m = make_counts();
    Answer first = {0};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        Answer a = {0};
        omp_set_num_threads(threads[t]);
        answer(&m, &a);
        assert_int_equal(omp_get_max_threads(), threads[t]); /* OpenBLAS sets OpenMP's number with its own */
        if (t == 0)
            first = a;
        for (size_t i = 0; i < first.n; i++)
            if (a.hash[i] != first.hash[i])
                fail_msg("%d threads: other %s", threads[t], a.what[i]);
    }
    omp_set_num_threads(before);
    csr_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(one_seed_gives_one_answer_at_any_number_of_threads)};
    return RUN(tests);
}
