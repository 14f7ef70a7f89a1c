/* Selections: which cells, and the rule that says so. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/app.h"

/* A rule still at work was asked for before: its cells are not taken, also when they are found already. */
static void forget_gate(App *a)
{
    Work *w = &a->work[WORK_GATE];
    if (w->state != WORK_BUSY)
        return;
    app_stop(a, WORK_GATE);
    w->job = 0;
    w->state = WORK_STOPPED;
}

static void set(App *a, uint8_t *take, size_t n, char *take_rule, int group)
{
    forget_gate(a);
    free(a->selected);
    free(a->rule);
    a->selected = take;
    a->rule = take_rule;
    a->n_selected = n;
    a->group = group;
    a->selection_version++;
    a->cells = (ListState){0};
    a->markers_list = (ListState){0};
    a->text_top = 0;
    a->describe_at = 0;
    app_stop(a, WORK_DESCRIBE);
    app_changed(a);
}

void app_select_none(App *a)
{
    set(a, NULL, 0, NULL, -1);
    if (a->subject != SUBJECT_QUERY && a->subject != SUBJECT_GENERATED)
        a->subject = SUBJECT_FILE;
}

void app_select_take(App *a, uint8_t *in, const char *rule, int group)
{
    size_t n = 0;
    for (size_t i = 0; i < a->facts->cells; i++)
        n += in[i] != 0;
    set(a, in, n, mem_strdup(rule), group);
    a->show_de = false;
    a->subject = group >= 0 ? SUBJECT_GROUP : SUBJECT_SELECTION;
    if (a->embedded && n > 0)
        a->describe_at = a->now + 0.4; /* not for every row that the cursor runs over */
}

void app_select_all(App *a)
{
    if (!a->facts)
        return;
    uint8_t *in = mem_must(a->facts->cells + 1);
    memset(in, 1, a->facts->cells);
    app_select_take(a, in, "all", -1);
}

/* A value as a rule writes it: quoted unless it is one plain word. */
static char *rule_equals(const char *key, const char *value)
{
    bool plain =
        *value &&
        value[strspn(value,
                     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-")] == 0;
    return str_format(plain ? "%s=%s" : "%s=\"%s\"", key, value);
}

void app_select_group(App *a, int group)
{
    const Groups *g = app_groups(a);
    if (!g || !a->facts || group < 0 || (size_t)group >= g->n_groups)
        return;
    uint8_t *in = mem_must(a->facts->cells + 1);
    for (size_t i = 0; i < g->n_cells && i < a->facts->cells; i++)
        in[i] = g->codes[i] == group;
    char *rule = rule_equals(g->key, g->names[group]);
    app_select_take(a, in, rule, group);
    free(rule);
}

void app_select_invert(App *a)
{
    if (!a->facts)
        return;
    uint8_t *in = mem_must(a->facts->cells + 1);
    for (size_t i = 0; i < a->facts->cells; i++)
        in[i] = !(a->selected && a->selected[i]);
    char *rule = a->selected ? str_format("not (%s)", a->rule) : mem_strdup("all");
    app_select_take(a, in, rule, -1);
    free(rule);
}

/* Even-odd rule. */
static bool in_polygon(const double (*p)[2], size_t n, double x, double y)
{
    bool in = false;
    for (size_t i = 0, k = n - 1; i < n; k = i++)
        if ((p[i][1] > y) != (p[k][1] > y) &&
            x < (p[k][0] - p[i][0]) * (y - p[i][1]) / (p[k][1] - p[i][1]) + p[i][0])
            in = !in;
    return in;
}

void app_select_polygon(App *a, const double (*pts)[2], size_t n, const char *how)
{
    const Map *m = app_map(a);
    if (!m || !a->facts || n < 3)
        return;
    uint8_t *in = mem_must(a->facts->cells + 1);
    size_t found = 0;
    for (size_t i = 0; i < m->n && i < a->facts->cells; i++) {
        float x = m->xy[2 * i], y = m->xy[2 * i + 1];
        found += in[i] = !isnan(x) && !isnan(y) && in_polygon(pts, n, x, y);
    }
    if (!found) {
        free(in);
        app_message(a, ROLE_WARN, "no cell lies there");
        return;
    }
    char *rule = str_format("%s on %s", how, m->name);
    app_select_take(a, in, rule, -1);
    free(rule);
}

Selection *app_selection_copy(const App *a)
{
    if (!a->selected || !a->facts)
        return NULL;
    Selection *s = mem_must(sizeof *s);
    s->rule = mem_strdup(a->rule ? a->rule : "");
    s->n_cells = a->facts->cells;
    s->n = a->n_selected;
    s->in = mem_must(s->n_cells + 1);
    memcpy(s->in, a->selected, s->n_cells);
    return s;
}

size_t app_cell_order(App *a, const size_t **rows)
{
    const QueryResult *q = app_query(a);
    if (!a->facts) {
        *rows = NULL;
        return 0;
    }
    if (!a->cell_rows || a->cell_rows_for != a->version) {
        free(a->cell_rows);
        a->cell_rows = mem_must((a->facts->cells + 1) * sizeof *a->cell_rows);
        a->n_cell_rows = 0;
        for (size_t i = 0; i < a->facts->cells; i++) {
            size_t cell = q && q->scores->n == a->facts->cells ? q->order[i] : i;
            if (!a->selected || a->selected[cell])
                a->cell_rows[a->n_cell_rows++] = cell;
        }
        a->cell_rows_for = a->version;
    }
    *rows = a->cell_rows;
    return a->n_cell_rows;
}
