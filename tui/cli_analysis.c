/* `scmmgpt cluster`, `score`, `qc`. */
#include "tui/cli_commands.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/analysis/leiden.h"
#include "core/analysis/umap.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/data/h5ad_write.h"
#include "core/data/provenance.h"

/* ---- cluster ---- */

static Err take_cluster_params(CliArgs *a, ClusterParams *p)
{
    size_t neighbors = (size_t)p->neighbors, pcs = (size_t)p->pcs, hvg = (size_t)p->hvg;
    const char *flavor = "seurat";
    TRY(cli_take_number(a, "--resolution", 0, 1e6, &p->resolution));
    TRY(cli_take_size(a, "--neighbors", 2, 1000, &neighbors));
    TRY(cli_take_size(a, "--pcs", 1, 1000, &pcs));
    TRY(cli_take_size(a, "--hvg", 2, 1000000, &hvg));
    TRY(cli_take_number(a, "--min-dist", 0, 100, &p->min_dist));
    TRY(cli_take_number(a, "--spread", 1e-3, 100, &p->spread));
    TRY(cli_take_string(a, "--use-rep", &p->use_rep));
    TRY(cli_take_string(a, "--flavor", &flavor));
    if (strcmp(flavor, "seurat") && strcmp(flavor, "seurat_v3"))
        FAIL(ERR_USAGE, "--flavor: '%s' is not seurat or seurat_v3", flavor);
    p->seurat_v3 = strcmp(flavor, "seurat_v3") == 0;
    p->umap = !cli_take_flag(a, "--no-umap");
    p->neighbors = (int)neighbors;
    p->pcs = (int)pcs;
    p->hvg = (int)hvg;
    return OK;
}

/* uns/neighbors, pca, leiden, umap with the keys scanpy looks for. */
static Err describe_clustering(const Clustering *c, uint64_t seed, Tree *uns)
{
    const ClusterParams *p = &c->params;
    Tree *neighbors = tree_dict(uns, "neighbors"), *params = tree_dict(neighbors, "params");
    tree_set_text(neighbors, "connectivities_key", "connectivities");
    tree_set_text(neighbors, "distances_key", "distances");
    tree_set_text(params, "method", "umap");
    tree_set_text(params, "metric", "euclidean");
    tree_set_float(neighbors, "recall", c->recall);
    tree_set_int(params, "n_neighbors", p->neighbors);
    tree_set_int(params, "random_state", (int64_t)seed);
    if (p->use_rep)
        tree_set_text(params, "use_rep", p->use_rep);
    else
        tree_set_int(params, "n_pcs", (int64_t)c->pcs);
    if (c->n_genes)
        tree_set_text(tree_dict(uns, "hvg"), "flavor", p->seurat_v3 ? "seurat_v3" : "seurat");
    if (c->pca_ratio) {
        tree_set_numbers(tree_dict(uns, "pca"), "variance", c->pca_variance, c->pcs, 0, false);
        tree_set_numbers(tree_dict(uns, "pca"), "variance_ratio", c->pca_ratio, c->pcs, 0, false);
    }
    Tree *leiden = tree_dict(tree_dict(uns, "leiden"), "params");
    tree_set_int(leiden, "n_iterations", leiden_params_default().iterations);
    tree_set_int(leiden, "random_state", (int64_t)seed);
    tree_set_float(leiden, "resolution", p->resolution);
    tree_set_float(tree_dict(uns, "leiden"), "modularity", c->modularity);
    if (c->map) {
        double fit_a, fit_b;
        TRY(umap_fit_ab(p->min_dist, p->spread, &fit_a, &fit_b));
        Tree *umap = tree_dict(tree_dict(uns, "umap"), "params");
        tree_set_float(umap, "a", fit_a);
        tree_set_float(umap, "b", fit_b);
    }
    return OK;
}

/* sub: of selected cells; then the graph stays out and the names say so. */
static Err write_clustering(CliArgs *a, Session *s, const Clustering *c, bool sub, const char *output)
{
    Dataset *d = session_dataset(s);
    char sha[65];
    TRY(dataset_sha256(d, a->ctl, sha));
    Provenance from = {.command = a->g->command_line, .version = SCMMGPT_VERSION, .dataset_sha256 = sha,
                       .seed = a->g->seed};
    TRY(session_device_name(s, &from.device));
    Tree *uns = tree_new();
    Column leiden = {.name = sub ? "leiden_sub" : "leiden", .kind = COLUMN_CATEGORICAL, .n = c->n, .codes = c->groups->codes,
                     .categories = c->groups->names, .n_categories = c->groups->n_groups};
    const Column *obs[] = {&leiden};
    bool v3 = c->params.seurat_v3;
    Column genes[] = {{.name = "highly_variable", .kind = COLUMN_BOOL, .n = c->n_genes},
                      {.name = "means", .kind = COLUMN_NUMERIC, .n = c->n_genes, .numbers = c->gene_mean},
                      {.name = v3 ? "variances_norm" : "dispersions_norm", .kind = COLUMN_NUMERIC, .n = c->n_genes, .numbers = c->gene_dispersion}};
    const Column *var[] = {&genes[0], &genes[1], &genes[2]};
    H5adArray obsm[2];
    H5adMatrix obsp[] = {{"connectivities", &c->connectivities, false}, {"distances", &c->distances, false}};
    H5adContent add = {.cells = c->n, .obs = obs, .n_obs = 1, .obsm = obsm, .obsp = obsp,
                       .n_obsp = sub ? 0 : 2, .uns = uns};
    for (size_t i = 0; i < c->n; i++)
        leiden.missing += c->groups->codes[i] < 0;
    if (c->pca && !sub)
        obsm[add.n_obsm++] = (H5adArray){"X_pca", c->pcs, c->pca};
    if (c->map)
        obsm[add.n_obsm++] = (H5adArray){c->map->name, 2, c->map->xy};
    provenance_to_tree(&from, uns);
    Err err = sub ? OK : describe_clustering(c, a->g->seed, uns);
    if (!err && !sub && c->n_genes)
        err = NEW(genes[0].codes, c->n_genes);
    for (size_t i = 0; genes[0].codes && i < c->n_genes; i++)
        genes[0].codes[i] = c->variable[i];
    if (genes[0].codes) {
        add.var = var;
        add.n_var = 3;
    }
    if (!err)
        err = h5ad_write_copy(d, output, H5AD_AS_IT_IS, &add, a->g->force, a->ctl);
    free(genes[0].codes);
    tree_free(uns);
    return err;
}

/* Of all threads, and of children that have ended. */
static double cpu_seconds(void)
{
    double sum = 0;
    for (int who = 0; who < 2; who++) {
        struct rusage u;
        getrusage(who ? RUSAGE_CHILDREN : RUSAGE_SELF, &u);
        sum += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    }
    return sum;
}

Err cli_cluster(CliArgs *a)
{
    Err err = OK;
    ClusterParams p = cluster_params_default();
    Session *s = NULL;
    Clustering *c = NULL;
    Selection *cells = NULL;
    const char *output = a->g->output, *rule = NULL;
    TRY(take_cluster_params(a, &p));
    TRY(cli_take_string(a, "--cells", &rule));
    TRY(cli_finish(a, 1, 1, "FILE -o OUT.h5ad [--resolution 1] [--neighbors 15] [--pcs 50] [--hvg 2000] [--cells RULE]"));
    if (!output || strcmp(output, "-") == 0)
        FAIL(ERR_USAGE, "-o: cluster writes an h5ad file; say where");
    TRY(cli_open(a, a->argv[1], &s));
    double wall = clock_seconds(), cpu = cpu_seconds();
    if (rule) {
        TRY_GOTO(err_context(session_select(s, rule, a->ctl, &cells), "--cells"));
        TRY_GOTO(session_subcluster(s, cells, &p, a->ctl, &c));
    } else {
        TRY_GOTO(session_cluster(s, &p, a->ctl, &c));
    }
    wall = clock_seconds() - wall;
    cpu = cpu_seconds() - cpu;
    TRY_GOTO(write_clustering(a, s, c, rule != NULL, output));
    if (a->g->json)
        fprintf(a->out,
                "{\"cells\": %zu, \"clusters\": %zu, \"modularity\": %.6g, \"neighbour_recall\": %.6g, "
                "\"seconds\": %.3f, \"cpu_seconds\": %.3f}\n",
                c->n, c->groups->n_groups, c->modularity, c->recall, wall, cpu);
    else if (!a->g->quiet)
        fprintf(stderr, "%zu cells in %zu clusters, modularity %.3f; neighbours %s (recall %.4f)\n", c->n,
                c->groups->n_groups, c->modularity, c->recall == 1 ? "exact" : "approximate, measured on 1,000 cells",
                c->recall);
done:
    selection_free(cells);
    clustering_free(c);
    session_close(s);
    return err;
}

/* ---- score and qc ---- */

/* Columns of numbers, one row a cell. */
static Err write_values(CliArgs *a, Session *s, const Values *const *v, size_t n)
{
    Table *out;
    const char *const *cells;
    TRY(dataset_cell_names(session_dataset(s), &cells));
    TRY(table_open(a->g->output, a->out, a->g->force, &out));
    table_text(out, "cell");
    for (size_t k = 0; k < n; k++)
        table_text(out, v[k]->name);
    table_end_row(out);
    for (size_t i = 0; i < v[0]->n; i++) {
        table_text(out, cells[i]);
        for (size_t k = 0; k < n; k++)
            table_number(out, v[k]->v[i]);
        table_end_row(out);
    }
    return table_close(out);
}

/* "A,B,C" cut in place; returns how many. */
static size_t cut_list(char *text, const char **out, size_t cap)
{
    size_t n = 0;
    char *save = NULL;
    for (char *t = strtok_r(text, ",", &save); t && n < cap; t = strtok_r(NULL, ",", &save))
        out[n++] = t;
    return n;
}

Err cli_score(CliArgs *a)
{
    enum { MOST = 4096 };
    Err err = OK;
    Session *s = NULL;
    Values *v = NULL;
    const char *genes = NULL, *name = "score", *list[MOST];
    TRY(cli_take_string(a, "--genes", &genes));
    TRY(cli_take_string(a, "--name", &name));
    TRY(cli_finish(a, 1, 1, "FILE --genes A,B,C [--name NAME] [-o T.tsv]"));
    if (!genes)
        FAIL(ERR_USAGE, "--genes: name the genes of the set, separated by commas");
    char *text = mem_strdup(genes);
    size_t n = cut_list(text, list, MOST);
    TRY_GOTO(cli_open(a, a->argv[1], &s));
    TRY_GOTO(session_score_genes(s, list, n, name, a->ctl, &v));
    TRY_GOTO(write_values(a, s, (const Values *const *)&v, 1));
done:
    free(text);
    values_free(v);
    session_close(s);
    return err;
}

Err cli_qc(CliArgs *a)
{
    Err err = OK;
    Session *s = NULL;
    Qc *q = NULL;
    TRY(cli_finish(a, 1, 1, "FILE [-o T.tsv]"));
    TRY(cli_open(a, a->argv[1], &s));
    TRY_GOTO(session_qc(s, a->ctl, &q));
    const Values *columns[] = {q->counts, q->genes, q->mito, q->ribo};
    TRY_GOTO(write_values(a, s, columns, 4));
done:
    qc_free(q);
    session_close(s);
    return err;
}
