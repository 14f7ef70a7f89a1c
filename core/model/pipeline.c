/* Values of cells for published encoders. */
#include "core/model/pipeline.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS_MAX = 4096 };
static const double RANK_0 = 2.237853249084892, RANK_1 = 0.6756886579917628;

bool pipeline_kind(const char *name, CellValues *out)
{
    static const char *const names[] = {"raw", "binned", "lognorm", "valrank"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (CellValues)i;
            return true;
        }
    return false;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* numpy's "linear" quantile of sorted s: differences in float32, the rest in double. */
static double quantile(const float *s, size_t n, double p)
{
    double v = p * (double)(n - 1);
    size_t i = (size_t)v;
    if (i + 1 >= n)
        return (double)s[n - 1];
    double t = v - (double)i, d = (double)(float)(s[i + 1] - s[i]);
    return t < 0.5 ? (double)s[i] + d * t : (double)s[i + 1] - d * (1 - t);
}

/* How many of the ascending edges are below x (or equal: inclusive). */
static int count_edges(const double *edge, int n, double x, bool inclusive)
{
    int lo = 0, hi = n;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (edge[mid] < x || (inclusive && edge[mid] == x))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void pipeline_bin(const float *x, size_t n, int n_bins, const double *r, float *sorted, float *code)
{
    double edge[BINS_MAX];
    int edges = n_bins - 1 < BINS_MAX ? n_bins - 1 : BINS_MAX;
    if (!n || edges < 2)
        return;
    memcpy(sorted, x, n * sizeof *x);
    qsort(sorted, n, sizeof *sorted, by_value);
    double step = 1.0 / (edges - 1);
    for (int k = 0; k < edges; k++)
        edge[k] = quantile(sorted, n, k + 1 == edges ? 1.0 : k * step);
    for (size_t i = 0; i < n; i++) {
        int left = count_edges(edge, edges, (double)x[i], true),
            right = count_edges(edge, edges, (double)x[i], false);
        code[i] = (float)ceil((r ? r[i] : 0) * (right - left) + left);
    }
}

/* Of the cell's content, whatever the order of its columns. */
static uint64_t cell_key(const int32_t *gene, const float *value, size_t n)
{
    uint64_t key = 0x9e3779b97f4a7c15u + n;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &value[i], sizeof bits);
        uint64_t h = ((uint64_t)(uint32_t)gene[i] << 32 | bits) * 0xbf58476d1ce4e5b9u;
        h = (h ^ (h >> 29)) * 0x94d049bb133111ebu;
        key += h ^ (h >> 32);
    }
    return key;
}

static void bin_cell(const Pipeline *p, uint64_t key, const int32_t *gene, float *value, size_t n,
                     float *room)
{
    double *r = mem_must((n ? n : 1) * sizeof *r);
    for (size_t i = 0; i < n; i++) {
        Rng rng = rng_make(key, (uint64_t)gene[i]);
        r[i] = rng_uniform(&rng);
    }
    pipeline_bin(value, n, p->n_bins, r, room, room + n);
    memcpy(value, room + n, n * sizeof *value);
    free(r);
}

/* A uniform choice of `most` tokens without replacement; those chosen keep their order. */
static size_t choose_some(uint64_t key, size_t most, int32_t *gene, float *value, size_t n)
{
    Rng rng = rng_make(key, UINT64_MAX);
    size_t k = 0;
    for (size_t i = 0; i < n && k < most; i++)
        if (rng_below(&rng, n - i) < most - k) {
            gene[k] = gene[i];
            value[k++] = value[i];
        }
    return k;
}

/* The `most` largest; of equal ones the first. */
static size_t choose_largest(size_t most, int32_t *gene, float *value, size_t n, float *room)
{
    memcpy(room, value, n * sizeof *room);
    qsort(room, n, sizeof *room, by_value);
    float least = room[n - most];
    size_t equal = 0, k = 0;
    for (size_t i = n - most; i < n && room[i] == least; i++)
        equal++;
    for (size_t i = 0; i < n; i++) {
        if (value[i] < least || (value[i] == least && equal == 0))
            continue;
        equal -= value[i] == least;
        gene[k] = gene[i];
        value[k++] = value[i];
    }
    return k;
}

static float of_rank(size_t rank)
{
    return (float)(RANK_0 - RANK_1 * log10(1.0 + (double)rank));
}

typedef struct Ranked {
    float value;
    size_t at;
} Ranked;

static int by_rank(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void rank_cell(float *value, size_t n)
{
    Ranked *r = mem_must((n ? n : 1) * sizeof *r);
    for (size_t i = 0; i < n; i++)
        r[i] = (Ranked){value[i], i};
    qsort(r, n, sizeof *r, by_rank);
    for (size_t i = 0; i < n; i++)
        value[r[i].at] = of_rank(i + 1);
    free(r);
}

float pipeline_cls(const Pipeline *p, size_t n)
{
    return p->kind == VALUES_RANK ? of_rank(n + 1) : -2;
}

size_t pipeline_apply(const Pipeline *p, int32_t *gene, float *value, size_t n, double total,
                      bool log, float *room)
{
    bool counts = p->kind == VALUES_RAW || p->kind == VALUES_RANK;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        float v = value[i];
        if (gene[i] < 0 || !(v > 0 || (counts && v == 0))) /* stored zeros are counts too */
            continue;
        if (log && counts)
            v = expm1f(v);
        else if (!log && p->kind == VALUES_LOGNORM)
            v = total > 0 ? log1pf((float)(1e4 * (double)v / total)) : 0;
        gene[k] = gene[i];
        value[k++] = v;
    }
    if (counts) {
        k = k > p->most ? choose_largest(p->most, gene, value, k, room) : k;
        if (p->kind == VALUES_RANK)
            rank_cell(value, k);
        return k;
    }
    uint64_t key = cell_key(gene, value, k);
    if (p->kind == VALUES_BINNED)
        bin_cell(p, key, gene, value, k, room);
    return k > p->most ? choose_some(key, p->most, gene, value, k) : k;
}
