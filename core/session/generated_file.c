/* Generated cells as an h5ad: counts, where they come from, what they are, how good they are. */
#include "core/session/generated_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/h5ad_write.h"

static const size_t ks[4] = {3, 5, 10, 25};

void quality_figures(const Quality *q, QualityFigure out[QUALITY_FIGURES])
{
    const QualityFigure all[QUALITY_FIGURES] = {{"mmd", q->mmd[0]},
                                                {"emd", q->emd[0]},
                                                {"mmd_real", q->mmd_real},
                                                {"emd_real", q->emd_real},
                                                {"sparsity", q->sparsity},
                                                {"sparsity_real", q->sparsity_real},
                                                {"counts_median", q->counts_median},
                                                {"counts_median_real", q->counts_median_real},
                                                {"genes_median", q->genes_median},
                                                {"genes_median_real", q->genes_median_real},
                                                {"diversity", q->diversity}};
    memcpy(out, all, sizeof all);
}

static void knn_to_tree(const double acc[4], Tree *t)
{
    Tree *k = tree_dict(t, "knn_acc");
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "%zu", ks[i]);
        tree_set_float(k, name, acc[i]);
    }
}

static void quality_to_tree(const Quality *q, Tree *t)
{
    QualityFigure f[QUALITY_FIGURES];
    quality_figures(q, f);
    tree_set_int(t, "n", (int64_t)q->n);
    knn_to_tree(q->knn_acc[0], t);
    for (int i = 0; i < QUALITY_FIGURES; i++)
        tree_set_float(t, f[i].name, f[i].v);
    tree_set_text(t, "nearest_types", q->nearest_types[0]);
    tree_set_text(t, "high_as_they_should", q->high);
    tree_set_text(t, "low_as_they_should", q->low);
    Tree *s = tree_dict(t, "shuffled");
    tree_set_text(s, "prompt", q->shuffled_prompt);
    knn_to_tree(q->knn_acc[1], s);
    tree_set_float(s, "mmd", q->mmd[1]);
    tree_set_float(s, "emd", q->emd[1]);
    tree_set_text(s, "nearest_types", q->nearest_types[1]);
}

static Column *same_text(const char *name, const char *text, size_t n)
{
    const char **v = mem_must((n + 1) * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = text;
    Column *c = column_categories_of(name, v, n);
    free(v);
    return c;
}

static Column *same_number(const char *name, double value, size_t n)
{
    double *v = mem_must((n + 1) * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = value;
    Column *c = column_numbers(name, v, n);
    snprintf(c->dtype, sizeof c->dtype, "int64");
    free(v);
    return c;
}

static Column *all_true(const char *name, size_t n)
{
    Column *c = mem_must(sizeof *c);
    *c = (Column){.name = mem_strdup(name), .kind = COLUMN_BOOL, .n = n};
    c->codes = mem_must((n + 1) * sizeof *c->codes);
    for (size_t i = 0; i < n; i++)
        c->codes[i] = 1;
    return c;
}

Err generated_write(const Generated *g, const Provenance *from, const char *path, bool force,
                    JobCtl *ctl)
{
    enum { N_OBS = 4 };
    size_t n = g->counts.rows;
    Column *obs[N_OBS] = {
        same_text("prompt", g->prompt, n), all_true("generated", n),
        same_number("seed", (double)g->seed, n),
        column_categories_of("nearest_label", (const char *const *)g->nearest_label, n)};
    H5adArray obsm[2] = {{"X_scmmgpt", g->d, g->x_scmmgpt}, {"X_umap", 2, g->xy}};
    Tree *uns = tree_new();
    char **names = mem_must((n + 1) * sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = str_format("generated_%zu", i);
    provenance_to_tree(from, uns);
    Tree *own = tree_dict(uns, "scmmgpt");
    tree_set_text(own, "understood", g->understood);
    if (g->quality)
        quality_to_tree(g->quality, tree_dict(own, "quality"));
    H5adContent c = {.cells = n,
                     .genes = g->n_genes,
                     .x = &g->counts,
                     .x_integer = true,
                     .cell_names = (const char *const *)names,
                     .gene_names = (const char *const *)g->genes,
                     .obs = (const Column *const *)obs,
                     .n_obs = N_OBS,
                     .obsm = obsm,
                     .n_obsm = g->xy ? 2 : 1,
                     .uns = uns};
    Err err = h5ad_write(path, &c, force, ctl);
    for (int i = 0; i < N_OBS; i++)
        column_free(obs[i]);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    tree_free(uns);
    return err;
}
