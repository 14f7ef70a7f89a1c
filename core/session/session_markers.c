/* Marker genes: of groups against the rest, of A against B, and those that the file has already. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/markers.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/sort.h"
#include "core/data/stored_ranks.h"
#include "core/session/session_analysis.h"

void marker_table_free(MarkerTable *t)
{
    if (!t)
        return;
    free(t->groupby);
    free(t->method);
    free(t->rows);
    stored_ranks_free(t->stored);
    free(t);
}

/* The `top` best genes of each group (0: all), best first; groups without two cells are left out. */
static Err make_table(const MarkerStat *stats, const size_t *sizes, size_t n_groups, size_t genes,
                      size_t top, const char *const *names, JobCtl *ctl, MarkerTable *t)
{
    Err err = OK;
    if (top == 0 || top > genes)
        top = genes;
    uint64_t *keys = NULL;
    uint32_t *order = NULL, *scratch = NULL;
    TRY(NEW(t->rows, n_groups * top));
    TRY_GOTO(NEW(keys, genes));
    TRY_GOTO(NEW(order, genes));
    TRY_GOTO(NEW(scratch, genes));
    for (size_t c = 0; c < n_groups; c++) {
        if (sizes[c] < 2)
            continue;
        for (size_t i = 0; i < genes; i++) /* as float, as the table holds them: ties go by column */
            keys[i] = sort_key(-(double)(float)stats[c * genes + i].score + 0.0);
        sort_order(keys, genes, order, scratch);
        for (size_t i = 0; i < top; i++) {
            const MarkerStat *s = &stats[c * genes + order[i]];
            t->rows[t->n++] = (Marker){.group = (int32_t)c, .col = (int32_t)order[i], .gene = names[order[i]],
                                       .score = (float)s->score, .logfoldchange = s->logfoldchange,
                                       .frac_in = s->frac_in, .frac_out = s->frac_out, .pval = s->pval,
                                       .pval_adj = s->pval_adj};
        }
        TRY_GOTO(job_look(ctl));
    }
done:
    free(keys);
    free(order);
    free(scratch);
    return err;
}

Err analysis_marker_table(Session *s, int matrix, const MarkerStat *stats, const size_t *sizes, size_t n_groups,
                          const char *groupby, const char *method, size_t top, JobCtl *ctl, MarkerTable **out)
{
    const char *const *names;
    size_t genes;
    TRY(dataset_gene_names(s->dataset, matrix, &names, &genes));
    MarkerTable *t = mem_must(sizeof *t);
    t->groupby = mem_strdup(groupby);
    t->method = mem_strdup(method);
    Err err = make_table(stats, sizes, n_groups, genes, top, names, ctl, t);
    if (err)
        marker_table_free(t);
    else
        *out = t;
    return err;
}

const char *marker_method_name(MarkerMethod m)
{
    static const char *const names[] = {"wilcoxon", "t-test", "t-test_overestim_var"};
    return names[m];
}

/* codes[rows->n], as markers_test takes them. */
static Err run_test(Session *s, const Rows *rows, int matrix, const int32_t *codes, size_t n_groups,
                    MarkerMethod m, size_t top, const char *groupby, JobCtl *ctl, MarkerTable **out)
{
    static const MarkerTest test[] = {TEST_WILCOXON, TEST_WELCH, TEST_OVERESTIMATED};
    Err err = OK;
    MarkerStat *stats = NULL;
    size_t *sizes = NULL;
    TRY_GOTO(NEW(stats, n_groups * rows->genes));
    TRY_GOTO(NEW0(sizes, n_groups));
    for (size_t i = 0; i < rows->n; i++)
        if (codes[i] >= 0)
            sizes[codes[i]]++;
    TRY_GOTO(markers_test(rows, codes, n_groups, test[m], ctl, stats));
    TRY_GOTO(analysis_marker_table(s, matrix, stats, sizes, n_groups, groupby, marker_method_name(m), top, ctl, out));
done:
    free(stats);
    free(sizes);
    return err;
}

Err session_markers(Session *s, const Groups *g, MarkerMethod m, size_t top, JobCtl *ctl, MarkerTable **out)
{
    Rows rows;
    int matrix;
    if (g->n_groups == 0)
        FAIL(ERR_NOT_FOUND, "%s: no groups to compare", g->key);
    TRY(analysis_rows(s, ctl, &matrix, &rows));
    return run_test(s, &rows, matrix, g->codes, g->n_groups, m, top, g->key, ctl, out);
}

Err session_de(Session *s, const Selection *a, const Selection *b, MarkerMethod m, size_t top, JobCtl *ctl,
               MarkerTable **out)
{
    Err err = OK;
    Rows rows;
    int matrix;
    size_t n = 0, both = 0, *pick = NULL;
    int32_t *codes = NULL;
    TRY(analysis_rows(s, ctl, &matrix, &rows));
    TRY_GOTO(NEW(pick, rows.n));
    TRY_GOTO(NEW(codes, rows.n));
    for (size_t i = 0; i < rows.n; i++) {
        both += a->in[i] && b->in[i];
        if (!a->in[i] && !b->in[i])
            continue;
        pick[n] = i;
        codes[n++] = a->in[i] ? 0 : -1;
    }
    if (both)
        FAIL_GOTO(ERR_USAGE, "%zu cells are in both groups; a comparison needs two separate ones", both);
    if (a->n < 2 || b->n < 2)
        FAIL_GOTO(ERR_NOT_FOUND, "%zu and %zu cells: each group needs at least two", a->n, b->n);
    rows.pick = pick;
    rows.n = n;
    TRY_GOTO(run_test(s, &rows, matrix, codes, 1, m, top, "", ctl, out));
done:
    free(pick);
    free(codes);
    return err;
}

/* ---- stored ones ---- */

/* Where genes of the file are in the working matrix: by var index first, which is what rankings use. */
static Err gene_columns(Session *s, int matrix, const char *const **names, StrMap **out)
{
    const char *const *index;
    size_t n;
    TRY(dataset_gene_names(s->dataset, matrix, names, &n));
    StrMap *m = strmap_new(2 * n);
    if (dataset_var_index(s->dataset, matrix, &index) == OK)
        for (size_t i = 0; i < n; i++)
            strmap_put(m, index[i], (int64_t)i);
    for (size_t i = 0; i < n; i++)
        strmap_put(m, (*names)[i], (int64_t)i);
    *out = m;
    return OK;
}

static float stored_number(const double *v, size_t i)
{
    return v ? (float)v[i] : NAN;
}

/* Rows of group c, which is group k of the stored ones. */
static void add_stored(MarkerTable *t, const StrMap *columns, const char *const *names, size_t c, size_t k,
                       size_t top)
{
    const StoredRanks *r = t->stored;
    for (size_t i = 0, kept = 0; i < r->n && kept < top; i++) {
        size_t at = k * r->n + i;
        if (!*r->genes[at])
            continue;
        int64_t col = strmap_get(columns, r->genes[at], -1);
        t->rows[t->n++] = (Marker){
            .group = (int32_t)c, .col = (int32_t)col, .gene = col >= 0 ? names[col] : r->genes[at],
            .score = stored_number(r->scores, at), .logfoldchange = stored_number(r->logfoldchanges, at),
            .frac_in = stored_number(r->frac_in, at), .frac_out = stored_number(r->frac_out, at),
            .pval = r->pvals ? r->pvals[at] : NAN, .pval_adj = r->pvals_adj ? r->pvals_adj[at] : NAN};
        kept++;
    }
}

static Err fill_stored(Session *s, const Groups *g, size_t top, MarkerTable *t)
{
    const StoredRanks *r = t->stored;
    const char *const *names = NULL;
    StrMap *columns = NULL;
    int matrix = dataset_working_matrix(s->dataset);
    if (top == 0 || top > r->n)
        top = r->n;
    TRY(NEW(t->rows, r->n_groups * top));
    TRY(gene_columns(s, matrix, &names, &columns));
    for (size_t c = 0; c < g->n_groups; c++)
        for (size_t k = 0; k < r->n_groups; k++)
            if (strcmp(g->names[c], r->groups[k]) == 0) {
                add_stored(t, columns, names, c, k, top);
                break;
            }
    strmap_free(columns);
    if (t->n == 0)
        FAIL(ERR_NOT_FOUND, "uns/%s: ranks none of the groups of %s", r->key, g->key);
    return OK;
}

Err session_stored_markers(Session *s, const Groups *g, size_t top, JobCtl *ctl, MarkerTable **out)
{
    if (!s->dataset || g->computed)
        FAIL(ERR_NOT_FOUND, "%s: these groups are not the file's own", g->key);
    MarkerTable *t = mem_must(sizeof *t);
    Err err = dataset_stored_ranks(s->dataset, g->key, ctl, &t->stored);
    if (!err) {
        t->groupby = mem_strdup(g->key);
        t->method = mem_strdup(*t->stored->method ? t->stored->method : "stored");
        t->precomputed = true;
        err = fill_stored(s, g, top, t);
    }
    if (err)
        marker_table_free(t);
    else
        *out = t;
    return err;
}
