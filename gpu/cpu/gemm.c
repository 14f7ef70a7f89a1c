/* Matrix products through oneDNN's sgemm, one single-threaded call per tile of the result. The
 * tiles depend on the sizes only, and long inner dimensions (weight gradients) are summed in fixed
 * pieces, so that the numbers do not depend on the number of threads, which oneDNN's own parallel
 * sgemm does not promise. */
#include "gpu/cpu/cpu.h"
#include <dnnl.h>
#include <omp.h>

void cpu_sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

typedef struct Tiles {
    int64_t tm, tn, tk, nm, nn, nk; /* size and number of tiles along m, n and k */
} Tiles;

static int64_t pieces(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}
static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static Tiles choose_tiles(const Gemm *g)
{
    Tiles t = {.tm = least(g->m, 256), .tn = least(g->n, 512), .tk = g->k};
    while (pieces(g->m, t.tm) * pieces(g->n, t.tn) * g->batch < 16 &&
           t.tm * t.tn * least(g->k, 1024) > (1 << 20) && (t.tm > 64 || t.tn > 64)) {
        if (t.tm >= t.tn)
            t.tm = (t.tm / 2 + 15) / 16 * 16;
        else
            t.tn = (t.tn / 2 + 15) / 16 * 16;
    }
    t.nm = pieces(g->m, t.tm);
    t.nn = pieces(g->n, t.tn);
    if (g->batch == 1 && t.nm * t.nn <= 8 && g->k >= 1024) {
        t.tk = pieces(g->k, 16) < 512 ? 512 : pieces(g->k, 16);
    }
    t.nk = pieces(g->k, t.tk);
    return t;
}

typedef struct Job {
    const Gemm *g;
    Tiles t;
    float *part; /* nk results of m*n when the inner dimension is split */
} Job;

static void run_tile(const Job *j, int64_t index)
{
    const Gemm *g = j->g;
    const Tiles *t = &j->t;
    int64_t in = index % t->nn, im = index / t->nn % t->nm, ik = index / t->nn / t->nm % t->nk;
    int64_t ib = index / t->nn / t->nm / t->nk;
    int64_t m0 = im * t->tm, n0 = in * t->tn, k0 = ik * t->tk;
    int64_t m = least(t->tm, g->m - m0), n = least(t->tn, g->n - n0), k = least(t->tk, g->k - k0);
    const float *a = g->a + ib * g->stride_a + (g->ta ? k0 * g->lda + m0 : m0 * g->lda + k0);
    const float *b = g->b + ib * g->stride_b + (g->tb ? n0 * g->ldb + k0 : k0 * g->ldb + n0);
    if (t->nk > 1)
        cpu_sgemm(g->ta, g->tb, m, n, k, g->alpha, a, g->lda, b, g->ldb, 0.0f,
                  j->part + (ik * g->m + m0) * g->n + n0, g->n);
    else
        cpu_sgemm(g->ta, g->tb, m, n, k, g->alpha, a, g->lda, b, g->ldb, g->beta,
                  g->c + ib * g->stride_c + m0 * g->ldc + n0, g->ldc);
}

CLONES static void add_parts(int64_t n, int64_t parts, int64_t stride, const float *part,
                             float beta, float *c)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float s = part[i];
        for (int64_t p = 1; p < parts; p++)
            s += part[p * stride + i];
        c[i] = beta == 0.0f ? s : beta * c[i] + s;
    }
}
static void parts_range(void *ctx, int64_t lo, int64_t hi)
{
    const Job *j = ctx;
    const Gemm *g = j->g;
    for (int64_t r = lo; r < hi; r++)
        add_parts(g->n, j->t.nk, g->m * g->n, j->part + r * g->n, g->beta, g->c + r * g->ldc);
}

static void scale_only(Device *d, const Gemm *g)
{
    for (int64_t b = 0; b < g->batch; b++)
        for (int64_t r = 0; r < g->m; r++) {
            float *c = g->c + b * g->stride_c + r * g->ldc;
            if (g->beta == 0.0f)
                memset(c, 0, (size_t)g->n * sizeof *c);
            else
                cpu_scale(d, g->n, g->beta, c, c);
        }
}

void cpu_gemm(Device *d, const Gemm *g)
{
    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return;
    if (g->k == 0) {
        scale_only(d, g);
        return;
    }
    Job j = {.g = g, .t = choose_tiles(g)};
    if (j.t.nk > 1) {
        j.part = cpu_scratch(d, (size_t)(j.t.nk * g->m * g->n) * sizeof(float));
        if (!j.part)
            return;
    }
    int64_t n = j.t.nm * j.t.nn * j.t.nk * g->batch;
    int threads = omp_get_max_threads();
    if (threads == 1 || n == 1 || g->m * g->n * g->k * g->batch < 40000) {
        omp_set_num_threads(1); /* oneDNN would start its own threads */
        for (int64_t i = 0; i < n; i++)
            run_tile(&j, i);
        omp_set_num_threads(threads);
    } else {
#pragma omp parallel for schedule(dynamic, 1)
        for (int64_t i = 0; i < n; i++)
            run_tile(&j, i);
    }
    if (j.t.nk > 1)
        cpu_ranges(g->m, cpu_grain(g->n * j.t.nk), parts_range, &j);
}
