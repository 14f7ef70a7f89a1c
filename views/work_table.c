/* What E writes: the table of pane 3 with the rows of the screen in their order, and the command that makes the same file
 * again. Clusters that the file does not have, and cells that no rule finds, lie beside it as files. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/app_job.h"
#include "views/pane.h"

/* ---- on the UI thread ---- */

static void add_view(Str *s, const App *a)
{
    static const char *const names[N_MARKER_COLUMNS] = {
        [MARKER_GENE] = "gene", [MARKER_LOGFC] = "logFC", [MARKER_IN] = "in", [MARKER_OUT] = "out", [MARKER_P] = "padj"};
    app_add_option(s, "--filter", *a->marker_filter_text ? a->marker_filter_text : NULL);
    app_add_option(s, "--sort", names[a->marker_sort]);
    if (a->marker_reverse)
        str_add(s, " --reverse");
}

static void add_method(Str *s, const MarkerTable *t)
{
    if (strcmp(t->method, marker_method_name(MARKERS_WILCOXON)) != 0)
        app_add_option(s, "--method", t->method);
}

static char *markers_command(const App *a, const MarkerTable *t, const char *output)
{
    const Groups *g = app_groups(a);
    Str s = {0};
    char *beside = app_figure_beside(output, ".groups.tsv");
    str_add(&s, "scmmgpt markers ");
    app_add_quoted(&s, a->opt.path);
    app_add_reading(&s, a, 0);
    app_add_option(&s, g->computed ? "--groups" : "--groupby", g->computed ? beside : g->key);
    if (t->precomputed)
        str_add(&s, " --stored");
    else
        add_method(&s, t);
    if (a->markers_top)
        str_addf(&s, " --top %zu", a->markers_top);
    app_add_option(&s, "--group", a->group >= 0 ? g->names[a->group] : NULL);
    add_view(&s, a);
    app_add_option(&s, "-o", output);
    free(beside);
    return str_take(&s);
}

static Selection *copy(const Selection *from)
{
    Selection *s = mem_must(sizeof *s);
    *s = (Selection){mem_strdup(from->rule), from->n_cells, from->n, mem_must(from->n_cells + 1)};
    memcpy(s->in, from->in, from->n_cells);
    return s;
}

static void fill_de_table(const App *a, AppJob *j)
{
    Str head = {0}, tail = {0};
    j->selection = copy(a->de_sets[0]);
    j->other = copy(a->de_sets[1]);
    str_add(&head, "scmmgpt de ");
    app_add_quoted(&head, a->opt.path);
    app_add_reading(&head, a, 0);
    add_method(&tail, j->table->p);
    add_view(&tail, a);
    app_add_option(&tail, "-o", j->text);
    j->command = str_take(&head);
    j->tail = str_take(&tail);
}

void fill_table(App *a, AppJob *j)
{
    j->table = shared_hold(a->show_de ? a->de : a->markers);
    j->view_of_table = (MarkerView){a->marker_filter, a->marker_sort, a->marker_reverse, a->show_de ? -1 : a->group};
    if (a->show_de) {
        fill_de_table(a, j);
        return;
    }
    j->groups = shared_hold(a->groups);
    j->with_table = app_groups(a)->computed;
    j->command = markers_command(a, j->table->p, j->text);
}

/* ---- on the worker ---- */

/* " --a RULE"; cells that no rule finds in the file are written beside the table. */
static Err add_side(JobCtl *ctl, const AppJob *j, const Selection *cells, char side, Str *command)
{
    bool typed;
    Err err = OK;
    char option[] = {'-', '-', side, 0}, ext[] = {'.', side, '.', 't', 'x', 't', 0};
    TRY(rule_finds_selection(j->session, cells, ctl, &typed));
    if (typed) {
        app_add_option(command, option, cells->rule);
        return OK;
    }
    char *path = app_figure_beside(j->text, ext), *rule = app_cells_rule(path);
    err = write_cells(j->session, cells, path);
    app_add_option(command, option, rule);
    free(path);
    free(rule);
    return err;
}

static Err complete_command(JobCtl *ctl, AppJob *j)
{
    Err err = OK;
    Str s = {0};
    str_add(&s, j->command);
    TRY_GOTO(add_side(ctl, j, j->selection, 'a', &s));
    TRY_GOTO(add_side(ctl, j, j->other, 'b', &s));
    str_add(&s, j->tail);
    free(j->command);
    j->command = str_take(&s);
done:
    str_free(&s);
    return err;
}

static Err write_beside(JobCtl *ctl, AppJob *j)
{
    const char *const *cells;
    if (j->selection)
        return complete_command(ctl, j);
    if (!j->with_table)
        return OK;
    TRY(dataset_cell_names(session_dataset(j->session), &cells));
    char *path = app_figure_beside(j->text, ".groups.tsv");
    Err err = groups_write(j->groups->p, cells, path, true);
    free(path);
    return err;
}

Err run_table(JobCtl *ctl, AppJob *j)
{
    TRY(check_is_new(j->text));
    TRY(export_markers(j->table->p, shared_get(j->groups), &j->view_of_table, j->text, NULL, false, ctl, &j->n));
    if (str_ends(j->text, ".csv")) { /* commands write TSV */
        free(j->command);
        j->command = NULL;
        return OK;
    }
    Err err = write_beside(ctl, j);
    if (err)
        unlink(j->text);
    return err;
}

void done_table(App *a, AppJob *j)
{
    char n[32], *what = str_format("%s: %s rows", j->text, thousands(j->n, n));
    app_wrote(a, what, j->command);
    free(what);
}
