/* `scmmgpt markers`, `de`. */
#include "tui/cli_commands.h"

#include <string.h>

#include "core/base/mem.h"
#include "views/facts.h"

static Err take_method(CliArgs *a, MarkerMethod *m)
{
    const char *name = "wilcoxon";
    TRY(cli_take_string(a, "--method", &name));
    for (MarkerMethod i = MARKERS_WILCOXON; i <= MARKERS_OVERESTIMATED; i++)
        if (strcmp(name, marker_method_name(i)) == 0) {
            *m = i;
            return OK;
        }
    FAIL(ERR_USAGE, "--method: '%s' is not wilcoxon, t-test or t-test_overestim_var", name);
}

/* --filter, --sort and --reverse: the rows and their order, as in the explorer's table. */
static Err take_view(CliArgs *a, MarkerView *v)
{
    const char *filter = "", *sort = "score";
    TRY(cli_take_string(a, "--filter", &filter));
    TRY(cli_take_string(a, "--sort", &sort));
    v->group = -1;
    v->reverse = cli_take_flag(a, "--reverse");
    if (!marker_column_find(sort, strlen(sort), &v->by))
        FAIL(ERR_USAGE, "--sort: '%s' is not score, gene, logFC, in, out or padj", sort);
    return err_context(marker_filter_parse(filter, &v->filter), "--filter");
}

static Err write_markers(CliArgs *a, const MarkerTable *t, const Groups *groups, const MarkerView *v)
{
    size_t rows;
    return export_markers(t, groups, v, a->g->output, a->out, a->g->force, a->ctl, &rows);
}

static Err find_group(const Groups *g, const char *name, int *out)
{
    for (size_t i = 0; i < g->n_groups; i++)
        if (strcmp(g->names[i], name) == 0) {
            *out = (int)i;
            return OK;
        }
    FAIL(ERR_NOT_FOUND, "--group: %s has no group called %s", g->key, name);
}

Err cli_markers(CliArgs *a)
{
    Err err = OK;
    MarkerMethod method;
    const char *key = NULL, *table = NULL, *group = NULL;
    size_t top = 0;
    Session *s = NULL;
    Groups *g = NULL;
    MarkerTable *t = NULL;
    MarkerView view = {0};
    TRY(cli_take_string(a, "--groupby", &key));
    TRY(cli_take_string(a, "--groups", &table));
    TRY(cli_take_string(a, "--group", &group));
    TRY(take_view(a, &view));
    bool stored = cli_take_flag(a, "--stored");
    TRY(take_method(a, &method));
    TRY(cli_take_size(a, "--top", 1, 10000000, &top));
    TRY(cli_finish(a, 1, 1, "FILE --groupby KEY | --groups T.tsv[:COLUMN] [--method wilcoxon|t-test | --stored] [--top N] "
                            "[--group NAME] [--filter 'padj<0.05 logFC>1'] [--sort logFC] [-o T.tsv]"));
    if ((key != NULL) + (table != NULL) != 1)
        FAIL(ERR_USAGE, "--groupby: say which obs column holds the groups (or --groups: which table)");
    TRY(cli_open(a, a->argv[1], &s));
    if (table)
        TRY_GOTO(cli_read_groups(s, table, &g));
    else
        TRY_GOTO(session_groups(s, key, a->ctl, &g));
    if (group)
        TRY_GOTO(find_group(g, group, &view.group));
    if (stored)
        TRY_GOTO(session_stored_markers(s, g, top, a->ctl, &t));
    else
        TRY_GOTO(session_markers(s, g, method, top, a->ctl, &t));
    TRY_GOTO(write_markers(a, t, g, &view));
done:
    marker_table_free(t);
    groups_free(g);
    session_close(s);
    return err;
}

Err cli_de(CliArgs *a)
{
    Err err = OK;
    MarkerMethod method;
    const char *rule_a = NULL, *rule_b = NULL, *samples = NULL;
    size_t top = 0;
    Session *s = NULL;
    Selection *in_a = NULL, *in_b = NULL;
    MarkerTable *t = NULL;
    MarkerView view = {0};
    TRY(cli_take_string(a, "--a", &rule_a));
    TRY(cli_take_string(a, "--b", &rule_b));
    TRY(cli_take_string(a, "--samples", &samples));
    TRY(take_view(a, &view));
    TRY(take_method(a, &method));
    TRY(cli_take_size(a, "--top", 1, 10000000, &top));
    TRY(cli_finish(a, 1, 1, "FILE --a RULE --b RULE [--method wilcoxon|t-test | --samples KEY] [--top N] "
                            "[--filter 'padj<0.05 logFC>1'] [--sort logFC] [-o T.tsv]"));
    if (!rule_a || !rule_b)
        FAIL(ERR_USAGE, "--a, --b: give a rule for each of the two groups");
    TRY(cli_open(a, a->argv[1], &s));
    TRY_GOTO(err_context(session_select(s, rule_a, a->ctl, &in_a), "--a"));
    TRY_GOTO(err_context(session_select(s, rule_b, a->ctl, &in_b), "--b"));
    if (samples)
        TRY_GOTO(session_de_samples(s, in_a, in_b, samples, top, a->ctl, &t));
    else
        TRY_GOTO(session_de(s, in_a, in_b, method, top, a->ctl, &t));
    TRY_GOTO(write_markers(a, t, NULL, &view));
done:
    marker_table_free(t);
    selection_free(in_a);
    selection_free(in_b);
    session_close(s);
    return err;
}
