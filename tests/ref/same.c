/* What the analysis library finds, in full precision, for same.py: `same FILE.h5ad GROUPS.i32 NGROUPS DIR SEEDS`
 * reads X (counts), writes each result as plain numbers into DIR: variable genes, components, neighbours, graph, maps of
 * several seeds, clusters at several resolutions, tests, module score and quality measures; `same --space FILE.f32 N DIM
 * SEEDS DIR` does neighbours to clusters of points; `same --project REFERENCE.f32 N DIM MAP.f32 NEW.f32 M DIR` places new points on a map. Made by `make build/tests/ref/same`. */
#include <stdio.h>
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
#include "core/base/mem.h"

static const char *folder;

static void put(const char *name, const void *data, size_t bytes)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f))
        abort();
}

static void put_csr(const char *name, const Csr *m)
{
    char part[64];
    snprintf(part, sizeof part, "%s.indptr", name);
    put(part, m->indptr, (m->rows + 1) * sizeof *m->indptr);
    snprintf(part, sizeof part, "%s.indices", name);
    put(part, m->indices, csr_nnz(m) * sizeof *m->indices);
    snprintf(part, sizeof part, "%s.values", name);
    put(part, m->values, csr_nnz(m) * sizeof *m->values);
}

static Err genes_and_components(const Rows *counts, const Rows *lognorm, size_t top, Pca *pca)
{
    Hvg h;
    Csr x;
    if (hvg_seurat_v3(counts, top, 0.3, NULL, &h) == OK) { /* it refuses what has too few different means */
        put("hvg_v3", h.selected, h.n * sizeof *h.selected);
        hvg_done(&h);
    }
    TRY(hvg_seurat(lognorm, top, NULL, &h));
    put("hvg", h.selected, h.n * sizeof *h.selected);
    put("hvg_dispersion", h.dispersion, h.genes * sizeof *h.dispersion);
    put("hvg_mean", h.means, h.genes * sizeof *h.means);
    TRY(rows_gather(lognorm, h.selected, h.n, NULL, &x));
    hvg_done(&h);
    TRY(pca_fit(NULL, &x, 50, 0, NULL, pca));
    csr_done(&x);
    put("pca", pca->scores, pca->n * pca->k * sizeof *pca->scores);
    put("loadings", pca->loadings, pca->genes * pca->k * sizeof *pca->loadings);
    put("ratio", pca->ratio, pca->k * sizeof *pca->ratio);
    return OK;
}

static Err map_and_clusters(const Csr *g, const float *space, size_t dim, uint64_t seed, float *xy, int32_t *label)
{
    static const double resolution[] = {0.2, 0.5, 1, 2};
    char name[32];
    size_t groups;
    UmapParams p = umap_params_default();
    p.seed = seed;
    TRY(umap_spectral_start(g, space, dim, seed, NULL, xy));
    TRY(umap_layout(NULL, g, &p, NULL, xy));
    snprintf(name, sizeof name, "umap%d", (int)seed);
    put(name, xy, 2 * g->rows * sizeof *xy);
    for (size_t r = 0; r < sizeof resolution / sizeof *resolution; r++) {
        LeidenParams l = leiden_params_default();
        l.resolution = resolution[r];
        l.seed = seed;
        TRY(leiden(g, &l, NULL, label, &groups, NULL));
        snprintf(name, sizeof name, "leiden%d_%g", (int)seed, resolution[r]);
        put(name, label, g->rows * sizeof *label);
    }
    return OK;
}

static Err graph_and_maps(const float *space, size_t n, size_t dim, int seeds)
{
    static const size_t sizes[] = {15, 5, 30};
    Knn knn;
    Csr g = {0}, d, other;
    float *xy;
    int32_t *label;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[32];
        TRY(knn_exact(NULL, space, n, dim, sizes[i], NULL, &knn));
        TRY(graph_connectivities(&knn, NULL, i ? &other : &g));
        snprintf(name, sizeof name, i ? "graph%zu" : "graph", sizes[i]);
        put_csr(name, i ? &other : &g);
        if (i)
            continue;
        put("knn", knn.indices, knn.n * knn.k * sizeof *knn.indices);
        put("knn_distance", knn.distances, knn.n * knn.k * sizeof *knn.distances);
        TRY(graph_distances(&knn, NULL, &d));
        put_csr("distances", &d);
    }
    TRY(knn_approximate(NULL, space, n, dim, 15, 0.99, 0, NULL, &knn));
    put("near", knn.indices, knn.n * knn.k * sizeof *knn.indices);
    put("near_recall", &knn.recall, sizeof knn.recall);
    TRY(NEW(xy, 2 * n));
    TRY(NEW(label, n));
    for (int seed = 0; seed < seeds; seed++)
        TRY(map_and_clusters(&g, space, dim, (uint64_t)seed, xy, label));
    return OK;
}

static Err read_all(const char *path, void *data, size_t bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f || fread(data, 1, bytes, f) != bytes)
        FAIL(ERR_GENERAL, "%s: too short", path);
    fclose(f);
    return OK;
}

/* argv: --space FILE.f32 N DIM SEEDS DIR */
static Err run_space(char **argv)
{
    size_t n = (size_t)atol(argv[3]), dim = (size_t)atol(argv[4]);
    float *space;
    folder = argv[6];
    TRY(NEW(space, n * dim));
    TRY(read_all(argv[2], space, n * dim * sizeof *space));
    return graph_and_maps(space, n, dim, atoi(argv[5]));
}

/* argv: --project REFERENCE.f32 N DIM MAP.f32 NEW.f32 M DIR */
static Err run_project(char **argv)
{
    size_t n = (size_t)atol(argv[3]), dim = (size_t)atol(argv[4]), m = (size_t)atol(argv[7]);
    float *space, *map, *cells, *xy;
    ProjectParams p = project_params_default();
    folder = argv[8];
    TRY(NEW(space, n * dim));
    TRY(NEW(map, 2 * n));
    TRY(NEW(cells, m * dim));
    TRY(NEW(xy, 2 * m));
    TRY(read_all(argv[2], space, n * dim * sizeof *space));
    TRY(read_all(argv[5], map, 2 * n * sizeof *map));
    TRY(read_all(argv[6], cells, m * dim * sizeof *cells));
    TRY(project_cells(NULL, space, n, map, cells, m, dim, &p, NULL, xy));
    put("placed", xy, 2 * m * sizeof *xy);
    return OK;
}

static Err tests(const Rows *lognorm, const int32_t *codes, size_t groups)
{
    static const char *const names[] = {"wilcoxon", "t-test", "t-test_overestim_var"};
    MarkerStat *s;
    double *v;
    size_t n = groups * lognorm->genes;
    TRY(NEW(s, n));
    TRY(NEW(v, 6 * n));
    for (int test = 0; test < 3; test++) {
        TRY(markers_test(lognorm, codes, groups, (MarkerTest)test, NULL, s));
        for (size_t i = 0; i < n; i++) {
            const double row[] = {s[i].score, s[i].pval, s[i].pval_adj, s[i].logfoldchange, s[i].frac_in, s[i].frac_out};
            memcpy(v + 6 * i, row, sizeof row);
        }
        put(names[test], v, 6 * n * sizeof *v);
    }
    return OK;
}

static Err run(char **argv)
{
    Dataset *d;
    Pca pca;
    int32_t *codes, set[10];
    float *score, *q;
    bool *mito, *none;
    DatasetOptions o = {0};
    folder = argv[4];
    TRY(dataset_open(argv[1], &o, NULL, &d));
    int matrix = 0;
    Csr x, norm;
    Rows file = rows_of_dataset(d, matrix, false);
    TRY(rows_gather(&file, NULL, 0, NULL, &x));
    file.normalize = true;
    TRY(rows_gather(&file, NULL, 0, NULL, &norm));
    Rows counts = rows_of_csr(&x, false), lognorm = rows_of_csr(&norm, false);
    put_csr("lognorm", &norm);
    TRY(NEW(codes, x.rows));
    TRY(NEW(score, x.rows));
    TRY(NEW(q, 4 * x.rows));
    TRY(NEW0(mito, x.cols));
    TRY(NEW0(none, x.cols));
    TRY(read_all(argv[2], codes, x.rows * sizeof *codes));
    for (size_t i = 0; i < 10; i++)
        set[i] = (int32_t)(i * (x.cols / 10));
    for (size_t i = 0; i < x.cols; i += 50)
        mito[i] = true;
    TRY(tests(&lognorm, codes, (size_t)atoi(argv[3])));
    TRY(score_genes(&lognorm, set, 10, 0, NULL, score));
    put("score", score, x.rows * sizeof *score);
    TRY(qc_measure(&counts, mito, none, NULL, q, q + x.rows, q + 2 * x.rows, q + 3 * x.rows));
    put("qc", q, 3 * x.rows * sizeof *q);
    TRY(genes_and_components(&counts, &lognorm, x.cols < 4000 ? x.cols / 2 : 2000, &pca));
    return graph_and_maps(pca.scores, pca.n, pca.k, atoi(argv[5]));
}

int main(int argc, char **argv)
{
    Err err = ERR_USAGE;
    if (argc == 6)
        err = run(argv);
    else if (argc == 7 && strcmp(argv[1], "--space") == 0)
        err = run_space(argv);
    else if (argc == 9 && strcmp(argv[1], "--project") == 0)
        err = run_project(argv);
    else
        err_set(err, "FILE.h5ad GROUPS.i32 NGROUPS DIR SEEDS");
    if (err)
        fprintf(stderr, "same: %s\n", err_message());
    return err;
}
