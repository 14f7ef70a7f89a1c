/* Speed of the GPU beside the CPU of this machine, operation by operation: the products and attention that embedding
 * spends its time in, and the three of the analysis. One line each; the better of two runs. Called by tests/gpu.sh. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/knn.h"
#include "core/analysis/pca.h"
#include "core/analysis/umap.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/device/device.h"

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if ((e) != OK) {                                                                           \
            fprintf(stderr, "gpu: %s\n", err_message());                                           \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static float *noise(uint64_t seed, size_t n)
{
    float *x = malloc(n * sizeof *x);
    Rng r = rng_make(seed, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_uniform(&r) - 0.5f;
    return x;
}
static float *on(Device *d, uint64_t seed, size_t n)
{
    void *p;
    float *x = noise(seed, n);
    MUST(device_alloc(d, n * sizeof *x, &p));
    d->ops->upload(d, p, x, n * sizeof *x);
    free(x);
    return p;
}

/* ---- what is measured; scale 1: some seconds on a few cores ---- */
static double product(Device *d, double scale)
{
    int64_t n = (int64_t)(2048 * sqrt(scale)) + 1;
    size_t size = (size_t)(n * n);
    float *a = on(d, 1, size), *b = on(d, 2, size), *c = on(d, 3, size);
    Gemm g = {.tb = true, .m = n, .n = n, .k = n, .batch = 1, .a = a, .b = b, .c = c, .lda = n, .ldb = n, .ldc = n, .alpha = 1};
    d->ops->gemm(d, &g);
    MUST(device_sync(d));
    double t = clock_seconds();
    for (int i = 0; i < 4; i++)
        d->ops->gemm(d, &g);
    MUST(device_sync(d));
    t = clock_seconds() - t;
    d->ops->free(d, a), d->ops->free(d, b), d->ops->free(d, c);
    return t;
}
static double attention(Device *d, double scale)
{
    int64_t batch = (int64_t)(8 * scale) + 1, heads = 8, rows = 600, dim = 64, width = heads * dim;
    size_t size = (size_t)(batch * rows * width);
    float *q = on(d, 1, size), *k = on(d, 2, size), *v = on(d, 3, size), *out = on(d, 4, size);
    Attention a = {.batch = batch, .heads = heads, .kv_heads = heads, .tq = rows, .tk = rows, .dim = dim, .q = q, .k = k,
                   .v = v, .ldq = width, .ldk = width, .ldv = width, .out = out, .ldo = width, .scale = 0.125f};
    d->ops->attention(d, &a);
    MUST(device_sync(d));
    double t = clock_seconds();
    for (int i = 0; i < 4; i++)
        d->ops->attention(d, &a);
    MUST(device_sync(d));
    t = clock_seconds() - t;
    d->ops->free(d, q), d->ops->free(d, k), d->ops->free(d, v), d->ops->free(d, out);
    return t;
}
static double components(Device *d, double scale)
{
    size_t n = (size_t)(50000 * scale), genes = 2000, each = 150;
    Csr m;
    Pca p = {0};
    Rng r = rng_make(1, 2);
    MUST(csr_init(&m, n, genes, n * each));
    for (size_t i = 0; i < n; i++) {
        size_t kind = i % 40;
        for (size_t e = 0; e < each; e++) {
            m.indices[i * each + e] = (int32_t)(e * 13 + rng_below(&r, 13));
            m.values[i * each + e] = (float)(1 + rng_below(&r, 3) + (e % 40 == kind ? 4 : 0));
        }
        m.indptr[i + 1] = (int64_t)((i + 1) * each);
    }
    double t = clock_seconds();
    MUST(pca_fit(d, &m, 50, 1, NULL, &p));
    t = clock_seconds() - t;
    pca_done(&p);
    csr_done(&m);
    return t;
}
static double neighbours(Device *d, double scale)
{
    size_t n = (size_t)(30000 * sqrt(scale)), dim = 50;
    float *x = noise(3, n * dim);
    Knn k = {0};
    double t = clock_seconds();
    MUST(knn_exact(d, x, n, dim, 15, NULL, &k));
    t = clock_seconds() - t;
    knn_done(&k);
    free(x);
    return t;
}
static double map(Device *d, double scale)
{
    size_t n = (size_t)(60000 * scale), each = 20;
    float *xy = noise(4, 2 * n);
    Csr g;
    UmapParams u = umap_params_default();
    Rng r = rng_make(1, 3);
    MUST(csr_init(&g, n, n, n * each));
    for (size_t i = 0; i < n * each; i++) {
        g.indices[i] = (int32_t)((i / each + rng_below(&r, 2000)) % n);
        g.values[i] = (float)rng_uniform(&r);
    }
    for (size_t i = 0; i < n; i++)
        g.indptr[i + 1] = (int64_t)((i + 1) * each);
    double t = clock_seconds();
    MUST(umap_layout(d, &g, &u, NULL, xy));
    t = clock_seconds() - t;
    csr_done(&g);
    free(xy);
    return t;
}

static double better(double (*f)(Device *, double), Device *d, double scale)
{
    double a = f(d, scale), b = f(d, scale);
    return a < b ? a : b;
}

/* gpu [SCALE]: sizes times SCALE, 1 when not given. */
int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        double (*run)(Device *, double);
    } all[] = {{"matrix product", product}, {"attention", attention}, {"PCA", components}, {"neighbours", neighbours}, {"UMAP layout", map}};
    double scale = argc > 1 ? atof(argv[1]) : 1;
    Device *cpu, *gpu;
    MUST(device_open("cpu", &cpu));
    MUST(device_open("cuda", &gpu));
    printf("%s beside %s\n%-16s %10s %10s %8s\n", gpu->name, cpu->name, "", "CPU s", "GPU s", "ratio");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        double c = better(all[i].run, cpu, scale), g = better(all[i].run, gpu, scale);
        printf("%-16s %10.3f %10.3f %7.1fx\n", all[i].name, c, g, c / g);
        fflush(stdout);
    }
    device_close(cpu);
    device_close(gpu);
    return 0;
}
