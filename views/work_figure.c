/* What w writes: the map or the plot of pane 7 as a figure, from the same request as the command that is shown, so that the
 * command makes the same file again. Clusters and selections that no command finds lie beside it as tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/outfile.h"
#include "views/app_job.h"

/* ---- on the UI thread ---- */

void fill_figure(App *a, AppJob *j)
{
    char text[32];
    j->command = app_export_command(a, j->text, false);
    j->command_cells = app_export_command(a, j->text, true);
    j->color = app_figure_color(a);
    if (app_figure_selection(a)) {
        j->selection = app_selection_copy(a);
        j->name = mem_strdup(a->rule);
    }
    if (app_exports_chart(a)) {
        j->plot = shared_hold(a->chart);
        if (app_figure_only(a))
            j->only = app_figure_group_name(a, (size_t)a->group);
        return;
    }
    app_view_box(a, j->view);
    for (int i = 0; i < 4; i++) { /* as the command says it */
        snprintf(text, sizeof text, "%.6g", j->view[i]);
        j->view[i] = strtod(text, NULL);
    }
    for (size_t i = 0; i < a->n_generated; i++)
        if (app_generated(a, i) == app_figure_generated(a))
            j->generated = shared_hold(a->generated[i]);
}

/* ---- on the worker ---- */

Err check_is_new(const char *path)
{
    if (access(path, F_OK) == 0)
        FAIL(ERR_GENERAL, "%s: exists already; choose another name", path);
    return OK;
}

static Err write_groups(const AppJob *j, const char *path)
{
    const char *const *cells;
    TRY(dataset_cell_names(session_dataset(j->session), &cells));
    return groups_write(j->groups->p, cells, path, true);
}

Err write_cells(Session *s, const Selection *chosen, const char *path)
{
    const char *const *cells;
    OutFile file;
    TRY(dataset_cell_names(session_dataset(s), &cells));
    TRY(outfile_begin(path, true, &file));
    FILE *f = fopen(file.temp, "w");
    bool ok = f != NULL;
    for (size_t i = 0; ok && i < chosen->n_cells; i++)
        if (chosen->in[i])
            ok = fprintf(f, "%s\n", cells[i]) > 0;
    ok = f && fclose(f) == 0 && ok;
    if (ok)
        return outfile_commit(&file);
    outfile_abort(&file);
    FAIL(ERR_GENERAL, "%s: cannot be written", path);
}

Err rule_finds_selection(Session *session, const Selection *cells, JobCtl *ctl, bool *out)
{
    Selection *s = NULL;
    Err err = session_select(session, cells->rule, ctl, &s);
    if (err == ERR_CANCELLED || err == ERR_NOMEM)
        return err;
    *out = err == OK && s->n_cells == cells->n_cells && memcmp(s->in, cells->in, s->n_cells) == 0;
    if (err == OK)
        selection_free(s);
    return OK;
}

/* The plot of pane 7: all its genes, also those that had no room on the screen. */
static Err draw_chart(JobCtl *ctl, const AppJob *j, PlotParams *p, const char *rule)
{
    static const FigureKind kinds[N_CHART_KINDS] = {FIGURE_DOTS, FIGURE_VIOLIN, FIGURE_HISTOGRAM,
                                                    FIGURE_COMPOSITION};
    const Chart *c = j->plot->p;
    const Groups *g = j->groups->p;
    ChartParams q = {.kind = kinds[c->kind], .groups = p->groups, .rule = rule};
    p->groups = NULL;
    p->size = "170mm";
    p->highlight = j->only;
    if (c->kind == CHART_BARS && c->by)
        q.groupby = c->by;
    else if (!q.groups && !(c->kind == CHART_HISTOGRAM && !j->only))
        q.groupby = g->key;
    if (c->kind == CHART_HISTOGRAM && !j->only)
        q.groups = NULL;
    if (c->kind == CHART_DOTS) {
        p->colors = (const char *const *)c->genes;
        p->n_colors = c->n_genes;
    }
    return session_chart(j->session, &q, p, ctl);
}

static void take_content(const AppJob *j, Groups *table, PlotParams *p)
{
    const QueryResult *q = shared_get(j->query);
    if (q) {
        p->values = q->scores;
        p->query = q->text;
    }
    if (j->color) {
        p->colors = (const char *const *)&j->color;
        p->n_colors = 1;
    }
    p->groups = table ? table : q || j->color || j->plot ? NULL : shared_get(j->groups);
    p->generated = shared_get(j->generated);
}

static Err draw(JobCtl *ctl, AppJob *j, const char *table, const char *cells)
{
    PlotParams p = plot_params_default();
    Groups *read = NULL;
    bool typed = false;
    char *from_file = NULL;
    Err err = OK;
    p.output = j->text;
    p.map = shared_get(j->map);
    memcpy(p.view, j->view, sizeof p.view);
    if (j->with_table) {
        TRY_GOTO(write_groups(j, table));
        TRY_GOTO(groups_read(j->session, table, NULL, &read));
    }
    if (j->selection)
        TRY_GOTO(rule_finds_selection(j->session, j->selection, ctl, &typed));
    if (j->selection && !typed) {
        TRY_GOTO(write_cells(j->session, j->selection, cells));
        from_file = app_cells_rule(cells);
        free(j->command);
        j->command = j->command_cells;
        j->command_cells = NULL;
    }
    take_content(j, read, &p);
    p.command = j->command;
    if (j->plot) {
        err = draw_chart(ctl, j, &p, from_file ? from_file : j->name);
    } else {
        p.rule = from_file ? from_file : j->name;
        err = session_plot(j->session, &p, ctl);
    }
done:
    groups_free(read);
    free(from_file);
    return err;
}

Err run_plot(JobCtl *ctl, AppJob *j)
{
    TRY(check_is_new(j->text));
    char *table = app_figure_beside(j->text, ".groups.tsv"), *cells = app_figure_beside(j->text, ".cells.txt");
    Err err = draw(ctl, j, table, cells);
    if (err) {
        unlink(table);
        unlink(cells);
    }
    free(table);
    free(cells);
    return err;
}

void done_plot(App *a, AppJob *j)
{
    app_wrote(a, j->text, j->command);
}
