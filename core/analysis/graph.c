/* Local scale of each cell by bisection, then the union of the two directions of each edge. Float32 and float64 where
 * umap-learn's compiled code has them, and its order of operations: the bisection stops at a tolerance, and a last bit
 * that differs may stop it a step earlier. */
#include "core/analysis/graph.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/rows.h"
#include "core/base/mem.h"

/* rho: distance to the nearest different cell, 0 for new cells, as umap-learn transforms them; sigma: the sum of exp(-(d - rho) / sigma) over the
 * neighbours but the first is log2(k). */
static void local_scale(const float *d, size_t k, bool self, float mean_all, float *rho_out, float *sigma_out)
{
    float rho = 0;
    double target = log2((double)k), lo = 0, hi = FLT_MAX, mid = 1;
    for (size_t j = 0; self && j < k && rho == 0; j++)
        rho = d[j];
    for (int iteration = 0; iteration < 64; iteration++) {
        double sum = 0;
        for (size_t j = 1; j < k; j++) {
            double x = d[j] - rho;
            sum += x > 0 ? exp(-(x / mid)) : 1;
        }
        if (fabs(sum - target) < 1e-5)
            break;
        if (sum > target) {
            hi = mid;
            mid = (lo + hi) / 2;
        } else {
            lo = mid;
            mid = hi >= FLT_MAX ? mid * 2 : (lo + hi) / 2;
        }
    }
    float mean = mean_all;
    if (rho > 0) {
        double sum = 0;
        for (size_t j = 0; j < k; j++)
            sum += d[j];
        mean = (float)(sum / (double)k);
    }
    *rho_out = rho;
    *sigma_out = mid < 1e-3 * mean ? (float)(1e-3 * mean) : (float)mid;
}

Err graph_memberships(const Knn *knn, bool self, JobCtl *ctl, float *weights)
{
    size_t n = knn->n, k = knn->k;
    double sum = 0;
    for (size_t i = 0; i < n * k; i++)
        sum += knn->distances[i];
    float mean = (float)(sum / (double)(n && k ? n * k : 1));
    for (size_t first = 0; first < n; first += 32768) {
        size_t end = first + 32768 < n ? first + 32768 : n;
#pragma omp parallel for schedule(dynamic, 256)
        for (size_t i = first; i < end; i++) {
            const float *d = knn->distances + i * k;
            float rho, sigma;
            local_scale(d, k, self, mean, &rho, &sigma);
            for (size_t j = 0; j < k; j++) {
                float x = d[j] - rho, w = x <= 0 || sigma == 0 ? 1.0f : expf(-(x / sigma));
                weights[i * k + j] = self && knn->indices[i * k + j] == (int32_t)i ? 0 : w;
            }
        }
        TRY(job_progress(ctl, end));
    }
    return OK;
}

typedef struct Edge {
    int32_t to;
    float w;
} Edge;

static int by_target(const void *a, const void *b)
{
    const Edge *x = a, *y = b;
    return x->to < y->to ? -1 : x->to > y->to;
}

enum { ROWS = 65536 }; /* between two looks at the clock */

static void fill_rows(const Knn *knn, const float *w, size_t first, size_t end, Edge *scratch, Csr *m)
{
    size_t k = knn->k;
#pragma omp parallel for schedule(static)
    for (size_t i = first; i < end; i++) {
        Edge *row = scratch + (size_t)omp_get_thread_num() * k;
        size_t count = 0;
        for (size_t j = 0; j < k; j++)
            if (knn->indices[i * k + j] != (int32_t)i)
                row[count++] = (Edge){knn->indices[i * k + j], w[i * k + j]};
        qsort(row, count, sizeof *row, by_target);
        for (size_t j = 0; j < count; j++) {
            m->indices[m->indptr[i] + (int64_t)j] = row[j].to;
            m->values[m->indptr[i] + (int64_t)j] = row[j].w;
        }
    }
}

/* One row per cell, `to` ascending, from [n, k] lists; entries that are the cell itself are left out. */
static Err directed(const Knn *knn, const float *w, JobCtl *ctl, Csr *out)
{
    size_t n = knn->n, k = knn->k;
    Csr m;
    Edge *scratch = NULL;
    Err err = OK;
    TRY(csr_init(&m, n, n, n * k));
    for (size_t i = 0; i < n; i++) {
        int64_t count = 0;
        for (size_t j = 0; j < k; j++)
            count += knn->indices[i * k + j] != (int32_t)i;
        m.indptr[i + 1] = m.indptr[i] + count;
    }
    TRY_GOTO(NEW(scratch, (size_t)omp_get_max_threads() * k));
    for (size_t first = 0; first < n; first += ROWS) {
        fill_rows(knn, w, first, first + ROWS < n ? first + ROWS : n, scratch, &m);
        TRY_GOTO(job_look(ctl));
    }
    *out = m;
    m = (Csr){0};
done:
    csr_done(&m);
    free(scratch);
    return err;
}

/* One row of a + b - a*b for two sorted rows; zeros left out. Returns the length; dst NULL: only counts. */
static int64_t merge_row(const Csr *a, const Csr *b, size_t i, int32_t *to, float *w)
{
    int64_t x = a->indptr[i], y = b->indptr[i], n = 0;
    while (x < a->indptr[i + 1] || y < b->indptr[i + 1]) {
        int32_t ca = x < a->indptr[i + 1] ? a->indices[x] : INT32_MAX;
        int32_t cb = y < b->indptr[i + 1] ? b->indices[y] : INT32_MAX;
        int32_t c = ca < cb ? ca : cb;
        float va = ca == c ? a->values[x++] : 0, vb = cb == c ? b->values[y++] : 0;
        float v = va + vb - va * vb;
        if (v == 0)
            continue;
        if (to) {
            to[n] = c;
            w[n] = v;
        }
        n++;
    }
    return n;
}

static Err fuzzy_union(const Csr *a, const Csr *b, JobCtl *ctl, Csr *out)
{
    Err err = OK;
    size_t n = a->rows;
    int64_t *indptr;
    Csr m = {0};
    TRY(NEW0(indptr, n + 1));
    for (size_t first = 0; first < n; first += ROWS) {
        size_t end = first + ROWS < n ? first + ROWS : n;
#pragma omp parallel for schedule(static)
        for (size_t i = first; i < end; i++)
            indptr[i + 1] = merge_row(a, b, i, NULL, NULL);
        TRY_GOTO(job_look(ctl));
    }
    for (size_t i = 0; i < n; i++)
        indptr[i + 1] += indptr[i];
    TRY_GOTO(csr_init(&m, n, n, (size_t)indptr[n]));
    memcpy(m.indptr, indptr, (n + 1) * sizeof *indptr);
    for (size_t first = 0; first < n; first += ROWS) {
        size_t end = first + ROWS < n ? first + ROWS : n;
#pragma omp parallel for schedule(static)
        for (size_t i = first; i < end; i++)
            merge_row(a, b, i, m.indices + indptr[i], m.values + indptr[i]);
        TRY_GOTO(job_look(ctl));
    }
    *out = m;
    m = (Csr){0};
done:
    csr_done(&m);
    free(indptr);
    return err;
}

Err graph_connectivities(const Knn *knn, JobCtl *ctl, Csr *out)
{
    Err err = OK;
    float *w = NULL;
    Csr forward = {0}, backward = {0};
    job_stage(ctl, "neighbour graph", knn->n);
    TRY_GOTO(NEW(w, knn->n * knn->k));
    TRY_GOTO(graph_memberships(knn, true, ctl, w));
    TRY_GOTO(directed(knn, w, ctl, &forward));
    TRY_GOTO(job_progress(ctl, knn->n));
    TRY_GOTO(rows_transpose(&forward, ctl, &backward));
    TRY_GOTO(fuzzy_union(&forward, &backward, ctl, out));
done:
    free(w);
    csr_done(&forward);
    csr_done(&backward);
    return err;
}

Err graph_distances(const Knn *knn, JobCtl *ctl, Csr *out)
{
    return directed(knn, knn->distances, ctl, out);
}

Err graph_components(const Csr *g, JobCtl *ctl, int32_t *label, size_t *count)
{
    int32_t *stack;
    size_t components = 0, n = g->rows, seen = 0;
    Err err = OK;
    TRY(NEW(stack, n));
    for (size_t i = 0; i < n; i++)
        label[i] = -1;
    for (size_t i = 0; i < n && !err; i++) {
        size_t depth = 0;
        if (label[i] >= 0)
            continue;
        label[i] = (int32_t)components++;
        stack[depth++] = (int32_t)i;
        while (depth && !err) {
            int32_t at = stack[--depth];
            if (++seen % ROWS == 0)
                err = job_look(ctl);
            for (int64_t j = g->indptr[at]; j < g->indptr[at + 1]; j++)
                if (label[g->indices[j]] < 0) {
                    label[g->indices[j]] = label[i];
                    stack[depth++] = g->indices[j];
                }
        }
    }
    free(stack);
    *count = components;
    return err;
}
