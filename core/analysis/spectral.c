/* Where the layout starts: eigenvectors of the normalised graph, or principal components. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/eigs.h"
#include "core/analysis/graph.h"
#include "core/analysis/umap.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

enum { WIDTH = EIGS_WIDTH };

typedef struct Normalized {
    const Csr *g;
    const double *root; /* [n] 1 / sqrt(degree) */
    double *x;          /* [n, WIDTH] scratch */
} Normalized;

/* y = D^-1/2 W D^-1/2 x. */
static Err apply_normalized(void *user, const double *x, double *y, JobCtl *ctl)
{
    Normalized *s = user;
    const Csr *g = s->g;
    TRY(job_progress(ctl, 0));
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < g->rows; i++)
        *(EigsRow *)(s->x + i * WIDTH) = s->root[i] * *(const EigsRow *)(x + i * WIDTH);
#pragma omp parallel for schedule(dynamic, 512)
    for (size_t i = 0; i < g->rows; i++) {
        EigsRow sum = {0};
        for (int64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++)
            sum += (double)g->values[e] * *(const EigsRow *)(s->x + (size_t)g->indices[e] * WIDTH);
        *(EigsRow *)(y + i * WIDTH) = s->root[i] * sum;
    }
    return OK;
}

/* xy[n, 2] of a connected graph with more than 3 cells: eigenvectors 2 and 3, unit length. */
static Err eigenvectors(const Csr *g, uint64_t seed, JobCtl *ctl, float *xy)
{
    Err err = OK;
    size_t n = g->rows;
    double *root = NULL, *vectors = NULL, values[3];
    Normalized s = {.g = g};
    TRY_GOTO(NEW0(root, n));
    TRY_GOTO(NEW(vectors, 3 * n));
    TRY_GOTO(NEW(s.x, n * WIDTH));
    for (size_t i = 0; i < n; i++) {
        for (int64_t e = g->indptr[i]; e < g->indptr[i + 1]; e++)
            root[i] += g->values[e];
        root[i] = root[i] > 0 ? 1 / sqrt(root[i]) : 0;
    }
    s.root = root;
    EigsParams p = {.n = n, .k = 3, .max_dim = 128, .tol = 1e-3, .seed = seed,
                    .max_applies = n > 20000 ? 24 : 60};
    TRY_GOTO(eigs_largest(&p, apply_normalized, &s, ctl, values, vectors));
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < 2; d++)
            xy[2 * i + d] = (float)vectors[(d + 1) * n + i];
done:
    free(root);
    free(vectors);
    free(s.x);
    return err;
}

static void scale_to(float *xy, size_t n, float largest)
{
    float most = 0;
    for (size_t i = 0; i < 2 * n; i++)
        most = fmaxf(most, fabsf(xy[i]));
    for (size_t i = 0; most > 0 && i < 2 * n; i++)
        xy[i] *= largest / most;
}

/* Scaled to 10, with a little noise so that no two cells start in one place. */
static void finish_start(float *xy, size_t n, uint64_t seed)
{
    Rng rng = rng_make(seed, 0x57a27);
    scale_to(xy, n, 10);
    for (size_t i = 0; i < 2 * n; i++)
        xy[i] += (float)(1e-4 * rng_normal(&rng));
}

void umap_pca_start(const float *pca, size_t n, size_t k, uint64_t seed, float *xy)
{
    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < 2; d++)
            xy[2 * i + d] = d < k ? pca[i * k + d] : 0;
    finish_start(xy, n, seed);
}

/* The cells of one component as a graph of their own. cells[] ascending; index[n] is scratch. */
static Err component_graph(const Csr *g, const int32_t *cells, size_t n, int32_t *index, Csr *out)
{
    size_t nnz = 0;
    for (size_t i = 0; i < n; i++) {
        index[cells[i]] = (int32_t)i;
        nnz += (size_t)(g->indptr[cells[i] + 1] - g->indptr[cells[i]]);
    }
    TRY(csr_init(out, n, n, nnz));
    int64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        for (int64_t e = g->indptr[cells[i]]; e < g->indptr[cells[i] + 1]; e++, at++) {
            out->indices[at] = index[g->indices[e]];
            out->values[at] = g->values[e];
        }
        out->indptr[i + 1] = at;
    }
    return OK;
}

typedef struct Place {
    double x, y, n;
} Place;

/* Mean place of each component on the first two principal components, scaled to 1. */
static void component_places(const int32_t *label, size_t n, const float *pca, size_t k, Place *p,
                             size_t count)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        Place *c = &p[label[i]];
        c->n++;
        c->x += pca ? pca[i * k] : 0;
        c->y += pca && k > 1 ? pca[i * k + 1] : 0;
    }
    for (size_t c = 0; c < count; c++) {
        p[c].x /= p[c].n;
        p[c].y /= p[c].n;
        if (!pca) {
            p[c].x = cos(6.283185307179586 * (double)c / (double)count);
            p[c].y = sin(6.283185307179586 * (double)c / (double)count);
        }
        most = fmax(most, fmax(fabs(p[c].x), fabs(p[c].y)));
    }
    for (size_t c = 0; most > 0 && c < count; c++) {
        p[c].x /= most;
        p[c].y /= most;
    }
}

/* Half the distance to the nearest other place: room for a component. */
static double room(const Place *p, size_t c, size_t count)
{
    double nearest = INFINITY;
    for (size_t o = 0; o < count; o++)
        if (o != c)
            nearest = fmin(nearest, hypot(p[o].x - p[c].x, p[o].y - p[c].y));
    return isfinite(nearest) && nearest > 0 ? nearest / 2 : 0.05;
}

static Err place_component(const Csr *g, const int32_t *cells, size_t n, int32_t *index, Place at,
                           double radius, uint64_t seed, JobCtl *ctl, float *xy)
{
    Err err = OK;
    float *local;
    Csr part = {0};
    TRY(NEW(local, 2 * n));
    if (n > 3) {
        TRY_GOTO(component_graph(g, cells, n, index, &part));
        TRY_GOTO(eigenvectors(&part, seed, ctl, local));
        scale_to(local, n, (float)radius);
    } else {
        Rng rng = rng_make(seed, (uint64_t)cells[0]);
        for (size_t i = 0; i < 2 * n; i++)
            local[i] = (float)(radius * (2 * rng_uniform(&rng) - 1));
    }
    for (size_t i = 0; i < n; i++) {
        xy[2 * cells[i]] = local[2 * i] + (float)at.x;
        xy[2 * cells[i] + 1] = local[2 * i + 1] + (float)at.y;
    }
done:
    csr_done(&part);
    free(local);
    return err;
}

/* Cells grouped by component: order[n], the c-th group from begin[c]. */
static void group_cells(const int32_t *label, size_t n, size_t count, size_t *begin, int32_t *order)
{
    memset(begin, 0, (count + 1) * sizeof *begin);
    for (size_t i = 0; i < n; i++)
        begin[label[i] + 1]++;
    for (size_t c = 0; c < count; c++)
        begin[c + 1] += begin[c];
    for (size_t i = 0; i < n; i++)
        order[begin[label[i]]++] = (int32_t)i;
    for (size_t c = count; c > 0; c--)
        begin[c] = begin[c - 1];
    begin[0] = 0;
}

Err umap_spectral_start(const Csr *g, const float *pca, size_t k, uint64_t seed, JobCtl *ctl, float *xy)
{
    Err err = OK;
    size_t n = g->rows, count, *begin = NULL;
    int32_t *label = NULL, *order = NULL, *index = NULL;
    Place *places = NULL;
    job_stage(ctl, "start of the map", 0);
    TRY_GOTO(NEW(label, n));
    TRY_GOTO(graph_components(g, ctl, label, &count));
    if (count == 1 && n > 3) {
        TRY_GOTO(eigenvectors(g, seed, ctl, xy));
        finish_start(xy, n, seed);
        goto done;
    }
    TRY_GOTO(NEW(order, n));
    TRY_GOTO(NEW(index, n));
    TRY_GOTO(NEW0(places, count));
    TRY_GOTO(NEW(begin, count + 2));
    group_cells(label, n, count, begin, order);
    component_places(label, n, pca, k, places, count);
    for (size_t c = 0; c < count; c++)
        TRY_GOTO(place_component(g, order + begin[c], begin[c + 1] - begin[c], index, places[c],
                                 room(places, c, count), seed, ctl, xy));
    finish_start(xy, n, seed);
done:
    free(label);
    free(order);
    free(index);
    free(places);
    free(begin);
    return err;
}
