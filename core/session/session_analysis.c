/* Clustering. Every stage is kept in the session with the parameters it was made with, so that a change starts again
 * where it matters: a new resolution only reruns Leiden. Stages that took long are kept in the cache folder too, the
 * map every few seconds on its way: a run that was killed, and the next one on the same file, go on from there. */
#include "core/session/session_analysis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/graph.h"
#include "core/analysis/leiden.h"
#include "core/analysis/pca.h"
#include "core/analysis/umap.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/version.h"
#include "core/figure/palette.h"
#include "core/data/kept.h"
#include "core/session/analysis_kept.h"

/* A log-normalised matrix up to this size is kept whole; a larger one is read again. */
#define KEEP_BYTES ((size_t)128 << 20)

typedef struct AnalysisState {
    bool has_matrix;
    int matrix;
    Csr lognorm; /* rows 0: not kept */

    int hvg; /* parameters of what follows; 0: nothing yet */
    bool seurat_v3;
    Hvg genes;
    Csr variable; /* [n, genes.n] */

    int pcs;
    char *rep;    /* obsm key; NULL: PCA */
    char *space_key; /* what it depends on, for the cache */
    Pca pca;
    float *space; /* [n, d]: the scores, or the obsm (then owned by rep_values) */
    float *rep_values;
    size_t d;

    int neighbors;
    Csr connectivities, distances;
    double recall; /* of the neighbours; 0: not known */
    char *graph_key; /* NULL: the file's own graph */

    double min_dist, spread; /* spread 0: no map yet */
    float *xy;
} AnalysisState;

/* ---- forgetting, from a stage on ---- */

static void forget_map(AnalysisState *a)
{
    free(a->xy);
    a->xy = NULL;
    a->spread = 0;
}

static void forget_graph(AnalysisState *a)
{
    forget_map(a);
    csr_done(&a->connectivities);
    csr_done(&a->distances);
    free(a->graph_key);
    a->graph_key = NULL;
    a->neighbors = 0;
}

static void forget_space(AnalysisState *a)
{
    forget_graph(a);
    pca_done(&a->pca);
    free(a->rep_values);
    free(a->rep);
    free(a->space_key);
    a->rep = a->space_key = NULL;
    a->space = a->rep_values = NULL;
    a->pcs = 0;
}

static void forget_genes(AnalysisState *a)
{
    forget_space(a);
    hvg_done(&a->genes);
    csr_done(&a->variable);
    a->hvg = 0;
}

static void release(void *state)
{
    AnalysisState *a = state;
    forget_genes(a);
    csr_done(&a->lognorm);
}

/* ---- stages ---- */

static Err working_matrix(Session *s, AnalysisState *a)
{
    if (!a->has_matrix)
        TRY(session_working_matrix(s, &a->matrix));
    a->has_matrix = true;
    return OK;
}

Err analysis_rows(Session *s, JobCtl *ctl, int *matrix, Rows *rows)
{
    AnalysisState *a = session_state(s, TOPIC_ANALYSIS, sizeof *a, release);
    TRY(working_matrix(s, a));
    const MatrixInfo *info = dataset_matrix(s->dataset, (size_t)a->matrix);
    Rows file = rows_of_dataset(s->dataset, a->matrix, info->state == STATE_COUNTS);
    *matrix = a->matrix;
    if (!a->lognorm.rows && info->nnz < KEEP_BYTES / 8 && info->nnz < mem_budget() / 8 / 6) {
        job_stage(ctl, "normalising", info->rows);
        TRY(err_context(rows_gather(&file, NULL, 0, ctl, &a->lognorm), "%s", info->name));
    }
    *rows = a->lognorm.rows ? rows_of_csr(&a->lognorm, false) : file;
    return OK;
}

static bool same_genes(const AnalysisState *a, const ClusterParams *p)
{
    return a->hvg == p->hvg && a->seurat_v3 == p->seurat_v3;
}

static const char *flavor(const ClusterParams *p)
{
    return p->seurat_v3 ? "seurat_v3" : "seurat";
}

static Err find_variable(Session *s, AnalysisState *a, const ClusterParams *p, JobCtl *ctl)
{
    if (same_genes(a, p))
        return OK;
    forget_genes(a);
    Str key = {0};
    kept_key(s, a->matrix, &key);
    str_addf(&key, "%s %d\n", flavor(p), p->hvg);
    size_t genes = dataset_matrix(s->dataset, (size_t)a->matrix)->cols;
    double since = kept_clock();
    Err err = kept_load_genes(s, str_text(&key), genes, ctl, &a->genes);
    if (err == ERR_NOT_FOUND) {
        Rows rows;
        int matrix;
        err = analysis_rows(s, ctl, &matrix, &rows);
        if (!err)
            err = analysis_variable_genes(s, &rows, p, ctl, &a->genes);
        if (!err)
            err = kept_save_genes(s, str_text(&key), since, ctl, &a->genes);
    }
    str_free(&key);
    if (!err) {
        a->hvg = p->hvg;
        a->seurat_v3 = p->seurat_v3;
    }
    return err;
}

static Err fit_components(Session *s, AnalysisState *a, const ClusterParams *p, const char *key, JobCtl *ctl)
{
    Rows rows;
    int matrix;
    TRY(analysis_rows(s, ctl, &matrix, &rows));
    double since = kept_clock();
    if (!a->variable.rows) {
        job_stage(ctl, "reading variable genes", rows.n);
        TRY(rows_gather(&rows, a->genes.selected, a->genes.n, ctl, &a->variable));
    }
    Device *device;
    TRY(session_device(s, &device));
    TRY(pca_fit(device, &a->variable, (size_t)p->pcs, s->params.seed, ctl, &a->pca));
    if (csr_nnz(&a->variable) * 8 > KEEP_BYTES)
        csr_done(&a->variable);
    return kept_save_pca(s, key, since, ctl, &a->pca);
}

/* A GPU's neighbours are exact for more cells, its sums differ in the last bits: kept apart. */
static const char *device_kind(Session *s)
{
    Device *d;
    return session_device(s, &d) ? "" : d->ops->kind;
}

static Err find_components(Session *s, AnalysisState *a, const ClusterParams *p, JobCtl *ctl)
{
    if (!a->rep && a->pcs == p->pcs && same_genes(a, p))
        return OK;
    TRY(working_matrix(s, a));
    TRY(find_variable(s, a, p, ctl));
    forget_space(a);
    Str key = {0};
    kept_key(s, a->matrix, &key);
    str_addf(&key, "%s %d\npca %d\ndevice %s\n", flavor(p), p->hvg, p->pcs, device_kind(s));
    Err err = kept_load_pca(s, str_text(&key), dataset_cells(s->dataset), ctl, &a->pca);
    if (err == ERR_NOT_FOUND)
        err = fit_components(s, a, p, str_text(&key), ctl);
    if (err) {
        pca_done(&a->pca);
        str_free(&key);
        return err;
    }
    a->space_key = str_take(&key);
    a->pcs = p->pcs;
    a->space = a->pca.scores;
    a->d = a->pca.k;
    return OK;
}

static Err use_representation(Session *s, AnalysisState *a, const char *key)
{
    if (a->rep && strcmp(a->rep, key) == 0)
        return OK;
    int i = dataset_find_obsm(s->dataset, key);
    if (i < 0)
        FAIL(ERR_NOT_FOUND, "obsm/%s: no such representation; 'info' lists them", key);
    forget_space(a);
    TRY(dataset_obsm(s->dataset, (size_t)i, &a->rep_values));
    a->rep = mem_strdup(key);
    a->space_key = str_format("%s\nseed %llu\nobsm %s\ndevice %s\n", SCMMGPT_VERSION,
                              (unsigned long long)s->params.seed, key, device_kind(s));
    a->space = a->rep_values;
    a->d = dataset_obsm_info(s->dataset, (size_t)i)->d;
    return OK;
}

/* The file's own graph. */
enum { STORED_GRAPH = -1 };

static Err stored_graph(Session *s, AnalysisState *a, JobCtl *ctl)
{
    if (a->neighbors == STORED_GRAPH)
        return OK;
    Csr g = {0};
    TRY(dataset_obsp(s->dataset, "connectivities", ctl, &g));
    for (size_t i = 0; i < csr_nnz(&g); i++)
        if (!(g.values[i] >= 0 && isfinite(g.values[i]))) {
            csr_done(&g);
            FAIL(ERR_INPUT, "obsp/connectivities: weights below zero or not finite");
        }
    forget_graph(a);
    a->connectivities = g;
    if (dataset_obsp(s->dataset, "distances", ctl, &a->distances))
        csr_done(&a->distances);
    a->recall = 0;
    a->neighbors = STORED_GRAPH;
    return OK;
}

static Err build_graph(Session *s, AnalysisState *a, int neighbors, JobCtl *ctl)
{
    Err err = OK;
    Knn knn = {0};
    Device *device;
    double since = kept_clock();
    TRY(session_device(s, &device));
    TRY_GOTO(knn_build(device, a->space, dataset_cells(s->dataset), a->d, (size_t)neighbors, s->params.seed, ctl,
                       &knn));
    TRY_GOTO(graph_connectivities(&knn, ctl, &a->connectivities));
    TRY_GOTO(graph_distances(&knn, ctl, &a->distances));
    a->recall = knn.recall;
    TRY_GOTO(kept_save_graph(s, a->graph_key, since, ctl, &a->connectivities, &a->distances, a->recall));
done:
    knn_done(&knn);
    return err;
}

static Err find_graph(Session *s, AnalysisState *a, int neighbors, JobCtl *ctl)
{
    if (a->neighbors == neighbors)
        return OK;
    forget_graph(a);
    a->graph_key = str_format("%sneighbours %d\n", a->space_key, neighbors);
    Err err = kept_load_graph(s, a->graph_key, dataset_cells(s->dataset), ctl, &a->connectivities, &a->distances,
                              &a->recall);
    if (err == ERR_NOT_FOUND)
        err = build_graph(s, a, neighbors, ctl);
    if (err)
        forget_graph(a);
    else
        a->neighbors = neighbors;
    return err;
}

/* A layout that takes long is kept every few seconds on its way. */
typedef struct OnTheWay {
    Session *s;
    const char *key;
    size_t n;
    double since; /* the start, or what was kept last */
} OnTheWay;

static void keep_epoch(void *user, int epoch, const float *xy)
{
    OnTheWay *w = user;
    if (epoch == 0 || kept_clock() - w->since < kept_worth())
        return;
    kept_save_epoch(w->s, w->key, xy, w->n, epoch);
    w->since = kept_clock();
}

/* *since becomes 0 when an earlier run has done a part. */
static Err lay_out(Session *s, const AnalysisState *a, const ClusterParams *p, const char *key, JobCtl *ctl, float *xy,
                   double *since)
{
    UmapParams u = umap_params_default();
    Device *device;
    OnTheWay w = {s, key, a->connectivities.rows, *since};
    TRY(session_device(s, &device));
    u.reached = keep_epoch;
    u.user = &w;
    u.min_dist = p->min_dist;
    u.spread = p->spread;
    u.seed = s->params.seed;
    Err err = kept_load_epoch(s, key, w.n, ctl, xy, &u.first);
    if (err && err != ERR_NOT_FOUND)
        return err;
    if (err == OK)
        *since = 0;
    else if (w.n <= SPECTRAL_CELLS)
        TRY(umap_spectral_start(&a->connectivities, a->space, a->d, u.seed, ctl, xy));
    else
        umap_pca_start(a->space, w.n, a->d, u.seed, xy);
    return umap_layout(device, &a->connectivities, &u, ctl, xy);
}

static Err find_map(Session *s, AnalysisState *a, const ClusterParams *p, JobCtl *ctl)
{
    if (a->xy && a->min_dist == p->min_dist && a->spread == p->spread)
        return OK;
    forget_map(a);
    size_t n = dataset_cells(s->dataset);
    char *key = str_format("%sumap %.17g %.17g\n", a->graph_key, p->min_dist, p->spread);
    float *xy = NULL;
    double since = kept_clock();
    Err err = kept_load_map(s, key, n, ctl, &xy);
    if (err == ERR_NOT_FOUND) {
        err = NEW(xy, 2 * n);
        if (!err)
            err = lay_out(s, a, p, key, ctl, xy, &since);
        if (!err)
            err = kept_save_map(s, key, since, ctl, xy, n);
        if (!err)
            kept_remove_epoch(s, key);
    }
    free(key);
    if (err) {
        free(xy);
        return err;
    }
    a->xy = xy;
    a->min_dist = p->min_dist;
    a->spread = p->spread;
    return OK;
}

/* Clusters that are found while the map is laid out. */
typedef struct Finding {
    LeidenParams p;
    char *key; /* NULL: not to be kept */
    double since;
    int32_t *label;
    size_t n_groups;
    double modularity;
    LeidenRun *run; /* NULL: the clusters are there, from the kept ones */
} Finding;

static Err begin_clusters(Session *s, const AnalysisState *a, double resolution, JobCtl *ctl, Finding *f)
{
    size_t n = a->connectivities.rows;
    f->p = leiden_params_default();
    f->p.resolution = resolution;
    f->p.seed = s->params.seed;
    f->since = kept_clock();
    TRY(NEW(f->label, n));
    if (a->graph_key) {
        f->key = str_format("%sleiden %.17g %d\n", a->graph_key, resolution, f->p.iterations);
        Err err = kept_load_labels(s, f->key, n, ctl, f->label, &f->n_groups, &f->modularity);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    return leiden_begin(&a->connectivities, &f->p, &f->run);
}

static Err end_clusters(Session *s, const AnalysisState *a, JobCtl *ctl, Finding *f)
{
    LeidenRun *run = f->run;
    if (!run)
        return OK;
    f->run = NULL; /* released whatever comes */
    TRY(leiden_end(run, ctl, f->label, &f->n_groups, &f->modularity));
    if (!f->key)
        return OK;
    return kept_save_labels(s, f->key, f->since, ctl, f->label, a->connectivities.rows, f->n_groups, f->modularity);
}

static void stop_clusters(Finding *f)
{
    leiden_stop(f->run);
    free(f->label);
    free(f->key);
}

/* ---- results ---- */

Err analysis_groups(const int32_t *label, size_t n, size_t n_groups, Groups **out)
{
    Err err = OK;
    Groups *g = mem_must(sizeof *g);
    g->key = mem_strdup("leiden");
    g->n_cells = n;
    g->computed = true;
    TRY_GOTO(NEW(g->codes, n));
    TRY_GOTO(NEW0(g->names, n_groups));
    TRY_GOTO(NEW0(g->sizes, n_groups));
    TRY_GOTO(NEW(g->colors, n_groups));
    g->n_groups = n_groups;
    memcpy(g->codes, label, n * sizeof *label);
    for (size_t i = 0; i < n; i++)
        if (label[i] >= 0)
            g->sizes[label[i]]++;
    for (size_t c = 0; c < n_groups; c++) {
        char name[24];
        snprintf(name, sizeof name, "%zu", c);
        g->names[c] = mem_strdup(name);
    }
    palette_categorical(g->colors, n_groups);
    *out = g;
    g = NULL;
done:
    groups_free(g);
    return err;
}

static Err copy_csr(const Csr *m, JobCtl *ctl, Csr *out)
{
    TRY(csr_init(out, m->rows, m->cols, csr_nnz(m)));
    memcpy(out->indptr, m->indptr, (m->rows + 1) * sizeof *m->indptr);
    memcpy(out->indices, m->indices, csr_nnz(m) * sizeof *m->indices);
    TRY(job_look(ctl));
    memcpy(out->values, m->values, csr_nnz(m) * sizeof *m->values);
    return job_look(ctl);
}

static Err copy_floats(const float *from, size_t n, float **out)
{
    TRY(mem_alloc(out, n, sizeof **out));
    memcpy(*out, from, n * sizeof **out);
    return OK;
}

void clustering_free(Clustering *c)
{
    if (!c)
        return;
    groups_free(c->groups);
    map_free(c->map);
    free(c->pca);
    free(c->pca_variance);
    free(c->pca_ratio);
    free(c->variable);
    free(c->gene_mean);
    free(c->gene_dispersion);
    csr_done(&c->connectivities);
    csr_done(&c->distances);
    free((char *)c->params.use_rep);
    free(c);
}

/* What was found of the genes, for a matrix whose columns are those of var. */
static Err fill_genes(Session *s, const AnalysisState *a, Clustering *c)
{
    size_t n = a->genes.genes;
    if (!a->pca.scores || n != dataset_genes(s->dataset) ||
        strncmp(dataset_matrix(s->dataset, (size_t)a->matrix)->name, "raw", 3) == 0)
        return OK;
    TRY(NEW0(c->variable, n));
    TRY(NEW(c->gene_mean, n));
    TRY(NEW(c->gene_dispersion, n));
    for (size_t i = 0; i < a->genes.n; i++)
        c->variable[a->genes.selected[i]] = 1;
    memcpy(c->gene_mean, a->genes.means, n * sizeof *c->gene_mean);
    memcpy(c->gene_dispersion, a->genes.dispersion, n * sizeof *c->gene_dispersion);
    c->n_genes = n;
    return OK;
}

static Err fill_clustering(const AnalysisState *a, const int32_t *label, size_t n_groups, JobCtl *ctl,
                           Clustering *c)
{
    TRY(analysis_groups(label, c->n, n_groups, &c->groups));
    if (a->pca.scores) {
        c->pcs = a->pca.k;
        TRY(copy_floats(a->pca.scores, c->n * c->pcs, &c->pca));
        TRY(NEW(c->pca_variance, c->pcs));
        TRY(NEW(c->pca_ratio, c->pcs));
        memcpy(c->pca_variance, a->pca.variance, c->pcs * sizeof *c->pca_variance);
        memcpy(c->pca_ratio, a->pca.ratio, c->pcs * sizeof *c->pca_ratio);
    }
    TRY(copy_csr(&a->connectivities, ctl, &c->connectivities));
    if (a->distances.rows)
        TRY(copy_csr(&a->distances, ctl, &c->distances));
    if (c->params.umap) {
        c->map = mem_must(sizeof *c->map);
        c->map->name = mem_strdup("X_umap");
        c->map->n = c->n;
        c->map->computed = true;
        TRY(copy_floats(a->xy, 2 * c->n, &c->map->xy));
    }
    return OK;
}

ClusterParams cluster_params_default(void)
{
    return (ClusterParams){.resolution = 1, .neighbors = 15, .pcs = 50, .hvg = 2000, .umap = true,
                           .min_dist = 0.5, .spread = 1};
}

Err analysis_check(Session *s, const ClusterParams *p, size_t cells)
{
    if (!(p->resolution >= 0) || isinf(p->resolution))
        FAIL(ERR_USAGE, "a resolution of %g: it must be a number from 0", p->resolution);
    if (p->neighbors < 2 || p->pcs < 1 || p->hvg < 2)
        FAIL(ERR_USAGE, "at least 2 neighbours, 1 component and 2 variable genes are needed");
    if (cells < 3)
        FAIL(ERR_FEW_GENES, "%zu cells are too few to cluster", cells);
    return OK;
}

Err session_cluster(Session *s, const ClusterParams *p, JobCtl *ctl, Clustering **out)
{
    Err err = OK;
    if (!s->dataset)
        FAIL(ERR_USAGE, "no dataset is open");
    Device *device; /* a GPU that was asked for and is not there: said before the work */
    TRY(session_device(s, &device));
    TRY(analysis_check(s, p, dataset_cells(s->dataset)));
    /* What there is at the least at the end: components and graphs, here and in the answer. */
    uint64_t per_cell = 8 * (uint64_t)p->pcs + 60 * (uint64_t)p->neighbors;
    TRY(mem_check_budget(dataset_cells(s->dataset) * per_cell, "clustering"));
    AnalysisState *a = session_state(s, TOPIC_ANALYSIS, sizeof *a, release);
    Finding f = {0};
    Clustering *c = mem_must(sizeof *c);
    c->n = dataset_cells(s->dataset);
    c->params = *p;
    c->params.use_rep = p->use_rep ? mem_strdup(p->use_rep) : NULL;
    bool stored = false;
    if (p->stored_graph && !p->umap) {
        job_stage(ctl, "neighbour graph", 0);
        stored = stored_graph(s, a, ctl) == OK;
        TRY_GOTO(job_progress(ctl, 0)); /* cancelled is not the same as absent */
    }
    if (!stored && p->use_rep)
        TRY_GOTO(use_representation(s, a, p->use_rep));
    else if (!stored)
        TRY_GOTO(find_components(s, a, p, ctl));
    if (!stored)
        TRY_GOTO(find_graph(s, a, p->neighbors, ctl));
    TRY_GOTO(begin_clusters(s, a, p->resolution, ctl, &f));
    if (p->umap)
        TRY_GOTO(find_map(s, a, p, ctl));
    TRY_GOTO(end_clusters(s, a, ctl, &f));
    c->recall = a->recall;
    c->modularity = f.modularity;
    TRY_GOTO(fill_clustering(a, f.label, f.n_groups, ctl, c));
    TRY_GOTO(fill_genes(s, a, c));
    *out = c;
    c = NULL;
done:
    stop_clusters(&f);
    clustering_free(c);
    return err;
}
