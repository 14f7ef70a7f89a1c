/* The numbers of pane 7. */
#include "views/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

const char *chart_name(ChartKind k)
{
    static const char *const names[N_CHART_KINDS] = {"dots", "violins", "histogram", "composition"};
    return names[k];
}

void chart_free(Chart *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_genes; i++)
        free(c->genes[i]);
    for (size_t i = 0; i < c->n_rows; i++)
        free(c->rows[i]);
    free(c->genes);
    free(c->rows);
    free(c->fraction);
    free(c->mean);
    free(c->scaled);
    free(c->name);
    free(c->unit);
    free(c->by);
    free(c->counts);
    distribution_done(&c->by_group);
    distribution_done(&c->all);
    shared_drop(&c->groups);
    free(c);
}

static Err make_dots(Session *s, const ChartAsk *ask, JobCtl *ctl, Chart *c)
{
    const Groups *g = shared_get(ask->groups);
    size_t k = c->n_groups;
    if (!ask->n_genes)
        FAIL(ERR_NOT_FOUND, "no genes to draw: markers follow, or F names some");
    c->genes = mem_must(ask->n_genes * sizeof *c->genes);
    c->fraction = mem_must(ask->n_genes * k * sizeof *c->fraction);
    c->mean = mem_must(ask->n_genes * k * sizeof *c->mean);
    c->scaled = mem_must(ask->n_genes * k * sizeof *c->scaled);
    job_stage(ctl, "reading genes", ask->n_genes);
    for (size_t i = 0; i < ask->n_genes; i++) {
        Values *v;
        TRY(job_progress(ctl, i));
        TRY(session_gene(s, ask->genes[i], true, ctl, &v));
        summary_gene(v->v, g->codes, ask->in, v->n, k, c->fraction + i * k, c->mean + i * k);
        c->genes[c->n_genes++] = mem_strdup(v->name);
        values_free(v);
    }
    memcpy(c->scaled, c->mean, c->n_genes * k * sizeof *c->scaled);
    summary_scale_rows(c->scaled, c->n_genes, k);
    return OK;
}

/* In a histogram of a gene the cells without it are counted, not drawn: they would hide the others. */
static Err spread_of(const ChartAsk *ask, const Values *v, bool gene, Chart *c)
{
    const Groups *g = shared_get(ask->groups);
    float *shown = mem_must((v->n + 1) * sizeof *shown);
    c->fraction = mem_must((c->n_groups + 1) * sizeof *c->fraction);
    c->mean = mem_must((c->n_groups + 1) * sizeof *c->mean);
    c->name = mem_strdup(v->name);
    c->unit = mem_strdup(v->unit);
    c->gene = gene;
    summary_gene(v->v, g->codes, ask->in, v->n, c->n_groups, c->fraction, c->mean);
    for (size_t i = 0; i < v->n; i++)
        shown[i] = gene && c->kind == CHART_HISTOGRAM && !(v->v[i] > 0) ? NAN : v->v[i];
    Err err = distribution_of(shown, g->codes, ask->in, v->n, c->n_groups, &c->by_group);
    if (err == OK)
        err = distribution_of(shown, NULL, ask->in, v->n, 1, &c->all);
    free(shown);
    return err;
}

static Err make_spread(Session *s, const ChartAsk *ask, JobCtl *ctl, Chart *c)
{
    const Values *given = shared_get(ask->values);
    Values *v = NULL;
    if (!given && !ask->n_genes)
        FAIL(ERR_NOT_FOUND, "nothing to draw: c colours by a gene or a number, F names genes");
    if (!given)
        TRY(session_gene(s, ask->genes[0], true, ctl, &v));
    given = given ? given : v;
    Err err = spread_of(ask, given, strstr(given->unit, "CP10k") != NULL, c);
    values_free(v);
    return err;
}

/* Whether some value of the column has cells of more than one group: else it says the same. */
static bool is_mixed(const Groups *rows, const Groups *g)
{
    bool mixed = false;
    int32_t *first = mem_must((rows->n_groups + 1) * sizeof *first); /* its group + 1 */
    for (size_t i = 0; i < g->n_cells && !mixed; i++) {
        int32_t r = rows->codes[i], k = g->codes[i];
        if (r < 0 || k < 0)
            continue;
        mixed = first[r] && first[r] != k + 1;
        first[r] = k + 1;
    }
    free(first);
    return mixed;
}

/* The first column that has from 2 to CHART_ROWS values and is not the groups once more. */
static Err find_rows(Session *s, const ChartAsk *ask, JobCtl *ctl, Groups **out)
{
    const Groups *own = shared_get(ask->groups);
    *out = NULL;
    for (size_t i = 0; i < ask->n_columns && !*out; i++) {
        if (ask->asked && !strcmp(ask->columns[i], own->key))
            return OK;
        Groups *g = NULL;
        Err err = session_groups(s, ask->columns[i], ctl, &g);
        if (err == ERR_CANCELLED || (err && ask->asked))
            return err;
        if (err)
            continue;
        if (ask->asked && g->n_groups > CHART_ROWS) {
            err = err_set(ERR_USAGE, "%s: %zu values are too many to draw (%d at most)", g->key,
                          g->n_groups, CHART_ROWS);
            groups_free(g);
            return err;
        }
        if (!ask->asked &&
            (g->n_groups < 2 || g->n_groups > CHART_ROWS || !is_mixed(g, own)))
            groups_free(g);
        else
            *out = g;
    }
    return OK;
}

static Err make_bars(Session *s, const ChartAsk *ask, JobCtl *ctl, Chart *c)
{
    const Groups *g = shared_get(ask->groups);
    Groups *rows;
    TRY(find_rows(s, ask, ctl, &rows));
    const Groups *r = rows ? rows : g;
    c->rows = mem_must((r->n_groups + 1) * sizeof *c->rows);
    c->counts = mem_must((r->n_groups * c->n_groups + 1) * sizeof *c->counts);
    composition_of(r->codes, r->n_groups, g->codes, c->n_groups, ask->in, g->n_cells, c->counts);
    for (; c->n_rows < r->n_groups; c->n_rows++)
        c->rows[c->n_rows] = mem_strdup(r->names[c->n_rows]);
    c->by = rows ? mem_strdup(rows->key) : NULL;
    groups_free(rows);
    return OK;
}

Err chart_make(Session *s, const ChartAsk *ask, JobCtl *ctl, Chart **out)
{
    Err err = OK;
    const Groups *g = shared_get(ask->groups);
    Chart *c = mem_must(sizeof *c);
    c->kind = ask->kind;
    c->n_groups = g->n_groups;
    if (ask->kind == CHART_DOTS)
        err = make_dots(s, ask, ctl, c);
    else if (ask->kind == CHART_BARS)
        err = make_bars(s, ask, ctl, c);
    else
        err = make_spread(s, ask, ctl, c);
    if (err)
        chart_free(c);
    else
        *out = c;
    return err;
}
