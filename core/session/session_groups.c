/* Sub-clusters of a selection, clusters merged by hand, colours kept from one clustering to the next. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/graph.h"
#include "core/analysis/leiden.h"
#include "core/analysis/pca.h"
#include "core/analysis/umap.h"
#include "core/base/mem.h"
#include "core/figure/palette.h"
#include "core/session/session_analysis.h"

/* ---- sub-clusters ---- */

static Err components(Session *s, Device *d, const Rows *rows, const ClusterParams *p, JobCtl *ctl, Pca *out)
{
    Err err = OK;
    Hvg genes = {0};
    Csr variable = {0};
    TRY_GOTO(analysis_variable_genes(s, rows, p, ctl, &genes));
    job_stage(ctl, "reading variable genes", rows->n);
    TRY_GOTO(rows_gather(rows, genes.selected, genes.n, ctl, &variable));
    TRY_GOTO(pca_fit(d, &variable, (size_t)p->pcs, s->params.seed, ctl, out));
done:
    hvg_done(&genes);
    csr_done(&variable);
    return err;
}

static Err neighbour_graph(Device *d, const Pca *pca, const ClusterParams *p, uint64_t seed, JobCtl *ctl,
                           Clustering *c)
{
    Err err = OK;
    Knn knn = {0};
    TRY_GOTO(knn_build(d, pca->scores, pca->n, pca->k, (size_t)p->neighbors, seed, ctl, &knn));
    TRY_GOTO(graph_connectivities(&knn, ctl, &c->connectivities));
    TRY_GOTO(graph_distances(&knn, ctl, &c->distances));
    c->recall = knn.recall;
done:
    knn_done(&knn);
    return err;
}

/* The map of the selected cells, spread over all. */
static Err sub_map(Device *d, const Pca *pca, const size_t *pick, const ClusterParams *p, uint64_t seed,
                   JobCtl *ctl, Clustering *c)
{
    Err err = OK;
    float *xy = NULL;
    UmapParams u = umap_params_default();
    u.min_dist = p->min_dist;
    u.spread = p->spread;
    u.seed = seed;
    TRY_GOTO(NEW(xy, 2 * pca->n));
    if (pca->n <= SPECTRAL_CELLS)
        TRY_GOTO(umap_spectral_start(&c->connectivities, pca->scores, pca->k, seed, ctl, xy));
    else
        umap_pca_start(pca->scores, pca->n, pca->k, seed, xy);
    TRY_GOTO(umap_layout(d, &c->connectivities, &u, ctl, xy));
    c->map = mem_must(sizeof *c->map);
    c->map->name = mem_strdup("X_umap_sub");
    c->map->n = c->n;
    c->map->computed = true;
    TRY_GOTO(NEW(c->map->xy, 2 * c->n));
    for (size_t i = 0; i < 2 * c->n; i++)
        c->map->xy[i] = NAN;
    for (size_t i = 0; i < pca->n; i++)
        memcpy(c->map->xy + 2 * pick[i], xy + 2 * i, 2 * sizeof *xy);
done:
    free(xy);
    return err;
}

static Err sub_groups(const size_t *pick, size_t n, const ClusterParams *p, uint64_t seed, JobCtl *ctl,
                      Clustering *c)
{
    Err err = OK;
    size_t n_groups;
    int32_t *label = NULL, *all = NULL;
    LeidenParams l = leiden_params_default();
    l.resolution = p->resolution;
    l.seed = seed;
    TRY_GOTO(NEW(label, n));
    TRY_GOTO(NEW(all, c->n));
    TRY_GOTO(leiden(&c->connectivities, &l, ctl, label, &n_groups, &c->modularity));
    memset(all, 0xff, c->n * sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[pick[i]] = label[i];
    TRY_GOTO(analysis_groups(all, c->n, n_groups, &c->groups));
done:
    free(label);
    free(all);
    return err;
}

Err session_subcluster(Session *s, const Selection *cells, const ClusterParams *p, JobCtl *ctl,
                       Clustering **out)
{
    Err err = OK;
    Rows rows;
    int matrix;
    size_t *pick = NULL, n = 0;
    Pca pca = {0};
    Device *device;
    TRY(session_device(s, &device));
    TRY(analysis_check(s, p, cells->n));
    TRY(analysis_rows(s, ctl, &matrix, &rows));
    Clustering *c = mem_must(sizeof *c);
    c->n = rows.n;
    c->params = *p;
    c->params.use_rep = NULL;
    TRY_GOTO(NEW(pick, rows.n));
    for (size_t i = 0; i < rows.n; i++)
        if (cells->in[i])
            pick[n++] = i;
    rows.pick = pick;
    rows.n = n;
    TRY_GOTO(components(s, device, &rows, p, ctl, &pca));
    TRY_GOTO(neighbour_graph(device, &pca, p, s->params.seed, ctl, c));
    if (p->umap)
        TRY_GOTO(sub_map(device, &pca, pick, p, s->params.seed, ctl, c));
    TRY_GOTO(sub_groups(pick, n, p, s->params.seed, ctl, c));
    c->pcs = pca.k;
    c->pca = pca.scores;
    pca.scores = NULL;
    *out = c;
    c = NULL;
done:
    pca_done(&pca);
    free(pick);
    clustering_free(c);
    return err;
}

/* ---- merging ---- */

Err groups_merge(const Groups *g, const int32_t *which, size_t n, const char *name, Groups **out)
{
    Err err = OK;
    Groups *m = NULL;
    int32_t *to = NULL, next = 0;
    for (size_t i = 0; i < n; i++)
        if (which[i] < 0 || (size_t)which[i] >= g->n_groups)
            FAIL(ERR_USAGE, "%s: there is no group number %d to merge", g->key, (int)which[i]);
    if (n < 2)
        FAIL(ERR_USAGE, "%s: merging takes at least two groups", g->key);
    TRY_GOTO(NEW(to, g->n_groups));
    TRY_GOTO(groups_copy(g, &m));
    for (size_t c = 0; c < g->n_groups; c++)
        to[c] = 0;
    int32_t first = which[0];
    for (size_t i = 0; i < n; i++) {
        to[which[i]] = -1;
        first = which[i] < first ? which[i] : first;
    }
    for (size_t c = 0; c < g->n_groups; c++)
        if (to[c] == 0 || (int32_t)c == first)
            to[c] = next++;
    for (size_t i = 0; i < n; i++)
        to[which[i]] = to[first];
    memset(m->sizes, 0, m->n_groups * sizeof *m->sizes);
    for (size_t c = 0; c < g->n_groups; c++) {
        free(m->names[c]);
        m->names[c] = NULL;
    }
    for (size_t c = g->n_groups; c-- > 0;) { /* backwards: the first of the merged ones gives the name */
        free(m->names[to[c]]);
        m->names[to[c]] = mem_strdup((int32_t)c == first && name ? name : g->names[c]);
        m->colors[to[c]] = g->colors[c];
    }
    m->n_groups = (size_t)next;
    m->computed = true;
    for (size_t i = 0; i < m->n_cells; i++)
        if (g->codes[i] >= 0) {
            m->codes[i] = to[g->codes[i]];
            m->sizes[m->codes[i]]++;
        }
    *out = m;
    m = NULL;
done:
    free(to);
    groups_free(m);
    return err;
}

/* ---- colours ---- */

typedef struct Overlap {
    size_t cells, before, after;
} Overlap;

static int larger(const void *a, const void *b)
{
    const Overlap *x = a, *y = b;
    if (x->cells != y->cells)
        return x->cells > y->cells ? -1 : 1;
    if (x->after != y->after)
        return x->after < y->after ? -1 : 1;
    return x->before < y->before ? -1 : x->before > y->before;
}

/* The first palette colour nobody has; when all are taken, palette colour number i. */
static uint32_t free_color(const uint32_t *palette, size_t n, const uint32_t *colors, const bool *has, size_t i)
{
    for (size_t c = 0; c < n; c++) {
        bool taken = false;
        for (size_t g = 0; g < n; g++)
            taken |= has[g] && colors[g] == palette[c];
        if (!taken)
            return palette[c];
    }
    return palette[i];
}

Err groups_keep_colors(const Groups *before, Groups *after)
{
    Err err = OK;
    size_t nb = before->n_groups, na = after->n_groups, cells = after->n_cells;
    Overlap *o = NULL;
    bool *given = NULL, *has = NULL;
    uint32_t *palette = NULL;
    if (before->n_cells != cells || nb == 0 || na == 0)
        return OK;
    TRY_GOTO(NEW(o, nb * na));
    TRY_GOTO(NEW0(given, nb));
    TRY_GOTO(NEW0(has, na));
    TRY_GOTO(NEW(palette, na));
    palette_categorical(palette, na);
    for (size_t b = 0; b < nb; b++)
        for (size_t a = 0; a < na; a++)
            o[b * na + a] = (Overlap){0, b, a};
    for (size_t i = 0; i < cells; i++)
        if (before->codes[i] >= 0 && after->codes[i] >= 0)
            o[(size_t)before->codes[i] * na + (size_t)after->codes[i]].cells++;
    qsort(o, nb * na, sizeof *o, larger);
    for (size_t k = 0; k < nb * na && o[k].cells; k++)
        if (!given[o[k].before] && !has[o[k].after]) {
            given[o[k].before] = has[o[k].after] = true;
            after->colors[o[k].after] = before->colors[o[k].before];
        }
    for (size_t a = 0; a < na; a++)
        if (!has[a]) {
            after->colors[a] = free_color(palette, na, after->colors, has, a);
            has[a] = true;
        }
done:
    free(o);
    free(given);
    free(has);
    free(palette);
    return err;
}
