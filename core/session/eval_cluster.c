/* Does the embedding separate the labels? Leiden clusters (resolution 1, 15 neighbours) and
 * silhouettes of the model's cell vectors, beside those of 50 principal components. */
#include "core/eval/cluster.h"

#include <string.h>

#include "core/analysis/graph.h"
#include "core/analysis/knn.h"
#include "core/analysis/leiden.h"
#include "core/base/mem.h"
#include "core/session/eval_internal.h"

static const char TASK[] = "cluster";

static Err leiden_of(EvalWork *w, const float *x, size_t d, int32_t *found, size_t *groups)
{
    Knn nn = {0};
    Csr graph = {0};
    double modularity;
    Err err = OK;
    LeidenParams p = {.resolution = 1, .iterations = 2, .seed = w->p->seed};
    TRY_GOTO(knn_exact(NULL, x, w->n, d, 15, w->ctl, &nn));
    TRY_GOTO(graph_connectivities(&nn, w->ctl, &graph));
    TRY_GOTO(leiden(&graph, &p, w->ctl, found, groups, &modularity));
done:
    knn_done(&nn);
    csr_done(&graph);
    return err;
}

static Err add_embedding(EvalWork *w, ReportKind kind, const char *name, const float *x, size_t d)
{
    int32_t *found;
    double *width = NULL;
    size_t groups;
    BioScores b;
    Err err = OK;
    TRY(NEW(found, w->n));
    TRY_GOTO(NEW(width, w->n));
    TRY_GOTO(leiden_of(w, x, d, found, &groups));
    TRY_GOTO(cluster_silhouette(x, w->n, d, w->truth, w->k, w->ctl, width));
    Partition p = {w->n, w->k, groups, w->truth, found};
    TRY_GOTO(cluster_bio(&p, width, w->p->seed, &b));
    b.ari.n = b.nmi.n = b.asw.n = b.avgbio.n = w->labelled;
    report_add(w->r, TASK, kind, name, "ari", b.ari);
    report_add(w->r, TASK, kind, name, "nmi", b.nmi);
    report_add(w->r, TASK, kind, name, "asw", b.asw);
    report_add(w->r, TASK, kind, name, "avgbio", b.avgbio);
    report_add_plain(w->r, TASK, kind, name, "clusters", (double)groups, w->n);
done:
    free(found);
    free(width);
    return err;
}

Err eval_cluster(EvalWork *w)
{
    CellEmbedding *e = NULL;
    Clustering *c = NULL;
    ClusterParams p = cluster_params_default();
    Err err = OK;
    p.umap = false;
    TRY_GOTO(session_cell_embedding(w->s, w->ctl, &e));
    TRY_GOTO(add_embedding(w, REPORT_MODEL, "X_scmmgpt", e->x_scmmgpt, e->d_text));
    TRY_GOTO(add_embedding(w, REPORT_VARIANT, "X_scgpt", e->x_scgpt, e->d_cls));
    TRY_GOTO(session_cluster(w->s, &p, w->ctl, &c));
    TRY_GOTO(add_embedding(w, REPORT_BASELINE, "PCA", c->pca, c->pcs));
    report_note(w->r, TASK,
                "Leiden at resolution 1 on 15 neighbours for all embeddings; asw is (silhouette + "
                "1) / 2, Euclidean; "
                "avgbio is the mean of ari, nmi, asw; intervals hold the clusters fixed");
done:
    cell_embedding_free(e);
    clustering_free(c);
    return err;
}
