/* Components, neighbours and maps on a GPU beside the CPU, at sizes that take several blocks of its memory. Runs where
 * there is a GPU, and on the emulated one of tests/cuda (tests/e2e/cuda.sh), whose memory can be made small. */
#include "tests/util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/knn.h"
#include "core/analysis/pca.h"
#include "core/analysis/project.h"
#include "core/analysis/umap.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

static Device *gpu;

static int open_gpu(void **state)
{
    (void)state;
    if (device_open("cuda", &gpu) != OK)
        print_message("no GPU: %s\n", err_message());
    return 0;
}
static int close_gpu(void **state)
{
    (void)state;
    device_close(gpu);
    return 0;
}
static bool missing(void)
{
    if (!gpu)
        skip();
    return !gpu;
}

/* Cells around `kinds` centres. */
static float *points(uint64_t seed, size_t n, size_t dim, size_t kinds)
{
    float *x = malloc(n * dim * sizeof *x), *centre = malloc(kinds * dim * sizeof *centre);
    Rng r = rng_make(seed, 1);
    for (size_t i = 0; i < kinds * dim; i++)
        centre[i] = (float)(4 * rng_normal(&r));
    for (size_t i = 0; i < n * dim; i++)
        x[i] = centre[i / dim % kinds * dim + i % dim] + (float)rng_normal(&r);
    free(centre);
    return x;
}
/* Counts of a few programs of genes. */
static Csr counts(uint64_t seed, size_t n, size_t genes, double density)
{
    Csr m;
    Rng r = rng_make(seed, 2);
    assert_ok(csr_init(&m, n, genes, n * genes));
    for (size_t i = 0; i < n; i++) {
        m.indptr[i + 1] = m.indptr[i];
        for (size_t g = 0; g < genes; g++)
            if (rng_uniform(&r) < density * ((g % 7 == i % 7) + 0.5)) {
                m.indices[m.indptr[i + 1]] = (int32_t)g;
                m.values[m.indptr[i + 1]++] = (float)(1 + rng_below(&r, 4) + 3 * (g % 7 == i % 7));
            }
    }
    return m;
}

static void components_agree(void **state)
{
    (void)state;
    if (missing())
        return;
    Csr m = counts(1, 2500, 120, 0.4); /* more than one block of values, where memory is short */
    Pca a = {0}, b = {0};
    assert_ok(pca_fit(NULL, &m, 12, 1, NULL, &a));
    assert_ok(pca_fit(gpu, &m, 12, 1, NULL, &b));
    assert_int_equal(a.k, b.k);
    for (size_t j = 0; j < a.k; j++)
        assert_true(fabs(a.variance[j] - b.variance[j]) <= 1e-9 * a.variance[0]);
    for (size_t i = 0; i < a.n; i++) /* the six that stand out of the noise */
        for (size_t j = 0; j < 6; j++)
            assert_true(fabsf(a.scores[i * a.k + j] - b.scores[i * a.k + j]) < 1e-3f);
    pca_done(&a);
    pca_done(&b);
    csr_done(&m);
}

static void same_neighbours(const Knn *a, const Knn *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->k, b->k);
    assert_memory_equal(a->indices, b->indices, a->n * a->k * sizeof *a->indices);
    assert_memory_equal(a->distances, b->distances, a->n * a->k * sizeof *a->distances);
}
static void neighbours_agree(void **state)
{
    enum { N = 2100, M = 70, DIM = 5 };
    (void)state;
    if (missing())
        return;
    float *x = points(2, N, DIM, 9), *q = points(3, M, DIM, 4);
    Knn a = {0}, b = {0};
    memcpy(x, x + 100 * DIM, DIM * sizeof *x); /* twins */
    assert_ok(knn_exact(NULL, x, N, DIM, 15, NULL, &a));
    assert_ok(knn_exact(gpu, x, N, DIM, 15, NULL, &b));
    same_neighbours(&a, &b);
    knn_done(&a), knn_done(&b);
    assert_ok(knn_query(NULL, x, N, q, M, DIM, 40, NULL, &a)); /* more candidates than lanes */
    assert_ok(knn_query(gpu, x, N, q, M, DIM, 40, NULL, &b));
    same_neighbours(&a, &b);
    knn_done(&a), knn_done(&b);
    assert_ok(knn_approximate(NULL, x, 900, DIM, 6, 0.9, 1, NULL, &a)); /* lists: rows in another order */
    assert_ok(knn_approximate(gpu, x, 900, DIM, 6, 0.9, 1, NULL, &b));
    same_neighbours(&a, &b);
    assert_true(a.recall == b.recall);
    knn_done(&a), knn_done(&b);
    assert_ok(knn_query(gpu, x, 3, q, 2, DIM, 10, NULL, &b)); /* fewer cells than asked for */
    assert_int_equal(b.k, 3);
    knn_done(&b);
    assert_ok(knn_query(gpu, x, N, q, 0, DIM, 10, NULL, &b)); /* nobody asks */
    knn_done(&b);
    free(x);
    free(q);
}

static void maps_agree(void **state)
{
    enum { N = 400, NEW_CELLS = 50, DIM = 4 };
    (void)state;
    if (missing())
        return;
    float *x = points(4, N, DIM, 5), *q = points(5, NEW_CELLS, DIM, 5), xy[2][2 * N], at[2][2 * NEW_CELLS];
    Csr g;
    assert_ok(csr_init(&g, N, N, N * 10));
    for (int i = 0; i < N; i++) {
        for (int e = 0; e < 10; e++) {
            g.indices[10 * i + e] = (i * 7 + e * e * 13 + 1) % N;
            g.values[10 * i + e] = 1.0f / (float)(1 + e);
        }
        g.indptr[i + 1] = 10 * (i + 1);
    }
    UmapParams u = umap_params_default();
    u.epochs = 30;
    for (int i = 0; i < 2; i++) {
        memcpy(xy[i], x, sizeof xy[i]);
        assert_ok(umap_layout(i ? gpu : NULL, &g, &u, NULL, xy[i]));
    }
    ProjectParams p = project_params_default();
    p.epochs = 30;
    for (int i = 0; i < 2; i++)
        assert_ok(project_cells(i ? gpu : NULL, x, N, xy[0], q, NEW_CELLS, DIM, &p, NULL, at[i]));
    for (int i = 0; i < 2 * N; i++)
        assert_true(fabsf(xy[0][i] - xy[1][i]) < 1e-3f);
    for (int i = 0; i < 2 * NEW_CELLS; i++)
        assert_true(fabsf(at[0][i] - at[1][i]) < 1e-3f);
    csr_done(&g);
    free(x);
    free(q);
}

static void a_gpu_stops_when_it_is_told(void **state)
{
    enum { N = 600, DIM = 3 };
    (void)state;
    if (missing())
        return;
    float *x = points(6, N, DIM, 3), xy[2 * N];
    Csr m = counts(7, 300, 40, 0.3), g;
    JobCtl ctl = {.cancel = ERR_CANCELLED};
    UmapParams u = umap_params_default();
    Knn k = {0};
    Pca p = {0};
    assert_ok(csr_init(&g, N, N, 0));
    memcpy(xy, x, sizeof xy);
    assert_err(knn_exact(gpu, x, N, DIM, 5, &ctl, &k), ERR_CANCELLED);
    assert_err(pca_fit(gpu, &m, 5, 1, &ctl, &p), ERR_CANCELLED);
    assert_err(umap_layout(gpu, &g, &u, &ctl, xy), ERR_CANCELLED);
    ctl.cancel = OK;
    assert_ok(knn_exact(gpu, x, N, DIM, 5, &ctl, &k)); /* and works on afterwards */
    knn_done(&k);
    csr_done(&m);
    csr_done(&g);
    free(x);
}

static void a_full_gpu_says_so_and_works_on(void **state)
{
    enum { N = 1000 };
    void *p;
    float x[N], *there;
    (void)state;
    if (missing())
        return;
    assert_err(device_alloc(gpu, (size_t)1 << 50, &p), ERR_NOMEM);
    assert_non_null(strstr(err_message(), "--device cpu"));
    device_clear(gpu);
    assert_null(gpu->ops->pack(gpu, WEIGHT_F32, 1 << 24, 1 << 24, NULL));
    assert_err(device_check(gpu), ERR_NOMEM);
    assert_non_null(strstr(gpu->message, "--device cpu"));
    device_clear(gpu);
    assert_ok(device_alloc(gpu, sizeof x, &p));
    there = p;
    gpu->ops->fill(gpu, N, 3.0f, there);
    gpu->ops->download(gpu, x, there, sizeof x);
    gpu->ops->free(gpu, there);
    assert_ok(device_sync(gpu));
    assert_true(x[0] == 3 && x[N - 1] == 3);
}

static void too_many_neighbours_are_refused_with_the_way_out(void **state)
{
    enum { N = 6000 };
    (void)state;
    if (missing())
        return;
    float *x = points(8, N, 2, 2);
    Knn k = {0};
    assert_err(knn_exact(gpu, x, N, 2, 5000, NULL, &k), ERR_GENERAL);
    assert_non_null(strstr(err_message(), "--device cpu"));
    assert_null(k.indices);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(components_agree),
        TEST(neighbours_agree),
        TEST(maps_agree),
        TEST(a_gpu_stops_when_it_is_told),
        TEST(a_full_gpu_says_so_and_works_on),
        TEST(too_many_neighbours_are_refused_with_the_way_out),
    };
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
