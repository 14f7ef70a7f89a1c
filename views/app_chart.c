/* When pane 7 gets a new chart, and of what. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "views/app_job.h"

static void add_gene(AppJob *j, const char *gene, size_t n)
{
    for (size_t i = 0; i < j->n_genes; i++)
        if (!strncmp(j->genes[i], gene, n) && !j->genes[i][n])
            return;
    if (n && j->n_genes < CHART_GENES)
        j->genes[j->n_genes++] = mem_strndup(gene, n);
}

/* The first genes of the chosen group as pane 3 shows them; else some of each group. */
static void add_markers(App *a, AppJob *j)
{
    const MarkerTable *t = app_markers(a);
    const size_t *rows;
    size_t n = app_marker_rows(a, &rows), most = 12;
    if (!t)
        return;
    for (size_t i = 0; i < n && i < most; i++)
        add_gene(j, t->rows[rows[i]].gene, strlen(t->rows[rows[i]].gene));
    size_t each = a->n_cluster_rows ? CHART_GENES / 2 / a->n_cluster_rows : 1;
    each = each ? each : 1;
    for (size_t g = 0; !n && g < a->n_cluster_rows; g++) {
        size_t kept = 0;
        for (size_t i = 0; i < t->n && kept < each; i++)
            if (t->rows[i].group == (int32_t)a->cluster_rows[g] && t->rows[i].col >= 0) {
                add_gene(j, t->rows[i].gene, strlen(t->rows[i].gene));
                kept++;
            }
    }
}

static void add_column(AppJob *j, const char *name)
{
    j->columns[j->n_columns++] = mem_strdup(name);
}

/* Columns that look like samples first, then all others that have names. */
static void add_columns(const App *a, AppJob *j)
{
    static const char *const words[] = {"sample",    "donor",      "patient", "batch",
                                        "condition", "orig.ident", "library", "stim"};
    const FileFacts *f = a->facts;
    const Groups *g = app_groups(a);
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < f->n_obs; i++) {
            bool sample = false;
            for (size_t w = 0; w < sizeof words / sizeof *words; w++)
                sample |= strcasestr(f->obs[i], words[w]) != NULL;
            if (f->obs_kind[i] == COLUMN_CATEGORICAL && sample == (pass == 0) &&
                (!g || strcmp(g->key, f->obs[i]) != 0))
                add_column(j, f->obs[i]);
        }
}

void fill_chart(App *a, AppJob *j)
{
    j->chart = a->chart_kind;
    j->groups = shared_hold(a->groups);
    j->genes = mem_must(CHART_GENES * sizeof *j->genes);
    j->columns = mem_must((a->facts->n_obs + 1) * sizeof *j->columns);
    if (a->color_mode == COLOR_BY_VALUES && !a->chart_genes)
        j->values = shared_hold(a->values);
    if (a->color_mode == COLOR_BY_QUERY && !a->chart_genes)
        j->query = shared_hold(a->query);
    if (a->selected && a->group < 0)
        j->selection = app_selection_copy(a);
    if (a->chart_genes)
        for (const char *p = a->chart_genes; *(p += strspn(p, " ,"));) {
            size_t n = strcspn(p, " ,");
            add_gene(j, p, n);
            p += n;
        }
    else
        add_markers(a, j);
    j->column_asked = a->chart_column != NULL;
    if (a->chart_column)
        add_column(j, a->chart_column);
    else
        add_columns(a, j);
}

Err run_chart(JobCtl *ctl, AppJob *j)
{
    const QueryResult *q = shared_get(j->query);
    Shared scores = {q ? q->scores : NULL, NULL, 1};
    ChartAsk ask = {.kind = j->chart,
                    .groups = j->groups,
                    .values = q ? &scores : j->values,
                    .genes = (const char *const *)j->genes,
                    .n_genes = j->n_genes,
                    .columns = (const char *const *)j->columns,
                    .n_columns = j->n_columns,
                    .asked = j->column_asked,
                    .in = j->selection ? j->selection->in : NULL};
    Chart *c = NULL;
    TRY(chart_make(j->session, &ask, ctl, &c));
    j->out = c;
    return OK;
}

void done_chart(App *a, AppJob *j)
{
    Chart *c = j->out;
    j->out = NULL;
    c->groups = shared_hold(j->groups);
    shared_set(&a->chart, shared_new(c, (void (*)(void *))chart_free));
    a->dirty = true;
}

/* The pane says why; the chart before is of something else. */
void failed_chart(App *a, AppJob *j, Err err)
{
    shared_drop(&a->chart);
}

static bool is_seen(const App *a)
{
    return a->focus == PANE_PLOT ||
           (a->slot == PANE_PLOT && (a->wide || a->focus == PANE_CLUSTERS));
}

/* What the chart on the screen should be made of. */
static void get_wanted(const App *a, uint64_t now[9])
{
    const Values *v = app_color_values(a);
    bool genes = a->chart_kind != CHART_BARS;
    uint64_t all[9] = {1 + (uint64_t)a->chart_kind,
                       (uintptr_t)a->groups,
                       genes ? (uintptr_t)v : 0,
                       genes ? a->tables : 0,
                       genes ? (uint64_t)a->marker_sort * 2 + a->marker_reverse : 0,
                       genes && a->chart_kind != CHART_HISTOGRAM ? (uint64_t)(int64_t)a->group : 0,
                       a->group < 0 ? a->selection_version : 0,
                       (uintptr_t)a->chart_genes,
                       (uintptr_t)a->chart_column};
    if (a->group < 0 && !a->selected)
        all[6] = 0;
    memcpy(now, all, sizeof all);
}

bool app_chart_is_due(const App *a)
{
    uint64_t now[9];
    if (!a->facts || !a->groups || !is_seen(a))
        return false;
    get_wanted(a, now);
    return memcmp(now, a->chart_for, sizeof now) != 0;
}

double app_chart_tick(App *a)
{
    uint64_t now[9];
    if (!a->facts || !a->groups || !is_seen(a))
        return -1;
    get_wanted(a, now);
    if (memcmp(now, a->chart_for, sizeof now) == 0)
        return -1;
    if (!a->chart_at)
        a->chart_at = a->now + 0.15; /* not for every row that the cursor runs over */
    if (a->now < a->chart_at)
        return a->chart_at - a->now;
    a->chart_at = 0;
    if (a->chart_kind != CHART_BARS && !app_color_values(a) && !a->chart_genes && !app_markers(a) &&
        a->work[WORK_MARKERS].state == WORK_BUSY)
        return 0.3; /* the markers are on their way */
    memcpy(a->chart_for, now, sizeof now);
    app_start(a, WORK_CHART, NULL);
    return -1;
}

void app_chart_next(App *a)
{
    if (is_seen(a))
        a->chart_kind = (ChartKind)((a->chart_kind + 1) % N_CHART_KINDS);
    a->chart_list = (ListState){0};
}

static void show(App *a)
{
    a->slot = PANE_PLOT;
    a->focus = PANE_PLOT;
    a->chart_list = (ListState){0};
    memset(a->chart_for, 0, sizeof a->chart_for);
    a->dirty = true;
}

void app_chart_genes(App *a, const char *text)
{
    free(a->chart_genes);
    a->chart_genes = *text ? mem_strdup(text) : NULL;
    if (a->chart_kind == CHART_BARS)
        a->chart_kind = CHART_DOTS;
    show(a);
}

void app_chart_column(App *a, const char *name)
{
    free(a->chart_column);
    a->chart_column = mem_strdup(name);
    a->chart_kind = CHART_BARS;
    show(a);
}
