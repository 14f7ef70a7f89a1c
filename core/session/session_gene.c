/* One gene's values for all cells. The index of a file's names is made once a session. */
#include "core/session/session_internal.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/genes.h"

typedef struct GenesState {
    int matrix;
    GeneIndex *index;
    double *sums; /* [cells] total counts; NULL until needed */
} GenesState;

static void genes_state_free(void *state)
{
    GenesState *g = state;
    gene_index_free(g->index);
    free(g->sums);
}

/* Ensembl ids of a matrix's genes, when the var index or a column holds them; NULL otherwise. */
static Err find_ids(Dataset *d, int matrix, const char *const **ids)
{
    const char *const *index;
    *ids = NULL;
    TRY(dataset_var_index(d, matrix, &index));
    if (dataset_genes(d) && gene_is_ensembl(index[0])) {
        *ids = index;
        return OK;
    }
    for (size_t i = 0; i < dataset_n_var(d, matrix) && !*ids; i++) {
        const Column *c;
        if (dataset_var_kind(d, matrix, i) != COLUMN_STRING)
            continue;
        TRY(dataset_var(d, matrix, i, &c));
        if (c->n && c->missing == 0 && gene_is_ensembl(c->strings[0]))
            *ids = (const char *const *)c->strings;
    }
    return OK;
}

/* The matrix people mean by "expression": the working one, else X as stored. */
static Err genes_state(Session *s, GenesState **out)
{
    GenesState *g = session_state(s, TOPIC_GENES, sizeof *g, genes_state_free);
    if (!g->index) {
        Dataset *d = s->dataset;
        const char *const *names, *const *ids;
        size_t n;
        g->matrix = dataset_working_matrix(d);
        if (g->matrix < 0) {
            if (dataset_n_matrices(d) == 0)
                FAIL(ERR_INPUT, "X: the file holds no matrix, so no gene has values");
            g->matrix = 0;
        }
        TRY(dataset_gene_names(d, g->matrix, &names, &n));
        TRY(find_ids(d, g->matrix, &ids));
        g->index = gene_index_new(names, ids, n);
    }
    *out = g;
    return OK;
}

static Err not_found(const char *name, const GeneHit *hit)
{
    Str s = {0};
    for (size_t i = 0; i < hit->n_suggestions; i++)
        str_addf(&s, "%s%s", i ? ", " : "", hit->suggestions[i]);
    Err err = hit->n_suggestions
                  ? err_set(ERR_NOT_FOUND, "%s: %s; did you mean %s?", name,
                            hit->ambiguous ? "several genes of the file have this name" : "no such gene or obs column", str_text(&s))
                  : err_set(ERR_NOT_FOUND, "%s: no such gene or obs column; 'genes' lists the file's genes", name);
    str_free(&s);
    return err;
}

/* log1p of counts per 10,000; values that are log-normalised already stay. */
static Err log_normalise(Session *s, GenesState *g, JobCtl *ctl, Values *v)
{
    const MatrixInfo *info = dataset_matrix(s->dataset, (size_t)g->matrix);
    if (info->state != STATE_COUNTS) {
        v->unit = mem_strdup(info->state == STATE_LOGNORM ? "as stored (lognorm)" : "as stored");
        if (info->state != STATE_LOGNORM)
            log_warn("%s: %s: not counts; values are shown as stored", dataset_path(s->dataset), info->name);
        return OK;
    }
    if (!g->sums) {
        double *sums;
        TRY(NEW(sums, v->n));
        Err err = dataset_row_sums(s->dataset, g->matrix, ctl, sums);
        if (err) {
            free(sums);
            return err;
        }
        g->sums = sums;
    }
    for (size_t i = 0; i < v->n; i++)
        v->v[i] = g->sums[i] > 0 ? (float)log1p(1e4 * v->v[i] / g->sums[i]) : 0;
    v->unit = mem_strdup("log1p CP10k");
    return OK;
}

Err session_gene(Session *s, const char *name, bool lognorm, JobCtl *ctl, Values **out)
{
    Err err = OK;
    GenesState *g = NULL;
    GeneHit hit;
    TRY(genes_state(s, &g));
    TRY(gene_resolve(g->index, name, &hit));
    if (hit.how == GENE_NONE)
        return not_found(name, &hit);
    Values *v = mem_must(sizeof *v);
    v->name = mem_strdup(hit.name);
    v->n = dataset_cells(s->dataset);
    TRY_GOTO(NEW(v->v, v->n));
    TRY_GOTO(dataset_read_gene(s->dataset, g->matrix, hit.column, ctl, v->v));
    if (lognorm)
        TRY_GOTO(log_normalise(s, g, ctl, v));
    else
        v->unit = mem_strdup("as stored");
    *out = v;
    v = NULL;
done:
    values_free(v);
    return err;
}
