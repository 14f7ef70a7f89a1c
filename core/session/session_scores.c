/* Module scores and quality measures of all cells. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/analysis/score.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/genes.h"
#include "core/session/session_analysis.h"

static Err new_values(const char *name, const char *unit, size_t n, Values **out)
{
    Values *v = mem_must(sizeof *v);
    v->name = mem_strdup(name);
    v->unit = mem_strdup(unit);
    v->n = n;
    Err err = NEW(v->v, n);
    if (err)
        values_free(v);
    else
        *out = v;
    return err;
}

/* Columns of the named genes; those not in the file are left out with a warning. */
static Err find_genes(Session *s, int matrix, const char *const *genes, size_t n, int32_t *cols, size_t *found)
{
    const char *const *names;
    size_t count;
    Err err = OK;
    TRY(dataset_gene_names(s->dataset, matrix, &names, &count));
    GeneIndex *index = gene_index_new(names, NULL, count);
    *found = 0;
    for (size_t i = 0; i < n; i++) {
        GeneHit hit;
        TRY_GOTO(gene_find(index, genes[i], &hit));
        if (hit.how == GENE_NONE)
            log_warn("%s: %s: no such gene; left out of the score", dataset_path(s->dataset), genes[i]);
        else
            cols[(*found)++] = (int32_t)hit.column;
    }
    if (*found == 0)
        err = err_set(ERR_NOT_FOUND, "none of the %zu genes is in the file; 'genes' lists what is", n);
done:
    gene_index_free(index);
    return err;
}

Err session_score_genes(Session *s, const char *const *genes, size_t n, const char *name, JobCtl *ctl,
                        Values **out)
{
    Err err = OK;
    Rows rows;
    int matrix;
    size_t found;
    int32_t *cols = NULL;
    Values *v = NULL;
    TRY(analysis_rows(s, ctl, &matrix, &rows));
    TRY_GOTO(NEW(cols, n));
    TRY_GOTO(find_genes(s, matrix, genes, n, cols, &found));
    TRY_GOTO(new_values(name, "score", rows.n, &v));
    TRY_GOTO(score_genes(&rows, cols, found, s->params.seed, ctl, v->v));
    *out = v;
    v = NULL;
done:
    free(cols);
    values_free(v);
    return err;
}

void qc_free(Qc *q)
{
    if (!q)
        return;
    values_free(q->counts);
    values_free(q->genes);
    values_free(q->mito);
    values_free(q->ribo);
    free(q);
}

static Err fill_qc(Session *s, const Rows *rows, int matrix, JobCtl *ctl, Qc *q)
{
    Err err = OK;
    const char *const *names;
    size_t genes;
    bool *mito = NULL, *ribo = NULL;
    TRY_GOTO(dataset_gene_names(s->dataset, matrix, &names, &genes));
    TRY_GOTO(NEW0(mito, genes));
    TRY_GOTO(NEW0(ribo, genes));
    for (size_t g = 0; g < genes; g++) { /* human and mouse names alike */
        mito[g] = strncasecmp(names[g], "MT-", 3) == 0;
        ribo[g] = strncasecmp(names[g], "RPS", 3) == 0 || strncasecmp(names[g], "RPL", 3) == 0;
        q->n_mito += mito[g];
        q->n_ribo += ribo[g];
    }
    TRY_GOTO(new_values("n_counts", rows->normalize ? "counts" : "sum as stored", rows->n, &q->counts));
    TRY_GOTO(new_values("n_genes", "genes", rows->n, &q->genes));
    TRY_GOTO(new_values("pct_mito", "%", rows->n, &q->mito));
    TRY_GOTO(new_values("pct_ribo", "%", rows->n, &q->ribo));
    Rows stored = *rows;
    stored.normalize = false;
    TRY_GOTO(qc_measure(&stored, mito, ribo, ctl, q->counts->v, q->genes->v, q->mito->v, q->ribo->v));
done:
    free(mito);
    free(ribo);
    return err;
}

Err session_qc(Session *s, JobCtl *ctl, Qc **out)
{
    int matrix;
    TRY(session_working_matrix(s, &matrix));
    const MatrixInfo *info = dataset_matrix(s->dataset, (size_t)matrix);
    Rows rows = rows_of_dataset(s->dataset, matrix, info->state == STATE_COUNTS);
    Qc *q = mem_must(sizeof *q);
    Err err = fill_qc(s, &rows, matrix, ctl, q);
    if (err)
        qc_free(q);
    else
        *out = q;
    return err;
}

/* ---- by name ---- */

static Err qc_values(Session *s, const char *what, JobCtl *ctl, Values **out)
{
    static const char *const names[] = {"counts", "genes", "mito", "ribo"};
    Qc *q = NULL;
    size_t k = 0;
    while (k < 4 && strcmp(what, names[k]) != 0)
        k++;
    if (k == 4)
        FAIL(ERR_NOT_FOUND, "qc:%s: no such measure; there are qc:counts, qc:genes, qc:mito, qc:ribo", what);
    TRY(session_qc(s, ctl, &q));
    Values **part[] = {&q->counts, &q->genes, &q->mito, &q->ribo};
    *out = *part[k];
    *part[k] = NULL;
    qc_free(q);
    return OK;
}

static Err score_values(Session *s, const char *list, JobCtl *ctl, Values **out)
{
    enum { MOST = 500 };
    const char *genes[MOST];
    size_t n = 0;
    char *copy = mem_strdup(list), *save = NULL;
    for (char *g = strtok_r(copy, ", ", &save); g && n < MOST; g = strtok_r(NULL, ", ", &save))
        genes[n++] = g;
    Err err = n ? session_score_genes(s, genes, n, "score", ctl, out)
                : err_set(ERR_USAGE, "score: genes are missing, as in score:CD79A,MS4A1");
    free(copy);
    return err;
}

bool color_is_computed(const char *name)
{
    return str_starts(name, "qc:") || str_starts(name, "score:");
}

Err session_color_values(Session *s, const char *name, JobCtl *ctl, Values **out)
{
    int obs = dataset_find_obs(session_dataset(s), name);
    Values *v = NULL;
    if (obs >= 0)
        return session_obs_values(s, name, ctl, out);
    if (!color_is_computed(name))
        return session_gene(s, name, true, ctl, out);
    if (str_starts(name, "qc:"))
        TRY(qc_values(s, name + 3, ctl, &v));
    else
        TRY(score_values(s, name + 6, ctl, &v));
    free(v->name);
    v->name = mem_strdup(name); /* what plot takes to show it again */
    *out = v;
    return OK;
}
