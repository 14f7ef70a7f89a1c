/* The view as text, one line a step, and back: what was coloured, selected, asked, generated. It is
 * kept when the program ends, however it ends, and brought back on request; a person can hand it to
 * a colleague. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/app.h"

/* Selections that have a rule which session_select understands. */
static bool has_rule(const App *a)
{
    if (a->group >= 0 && app_groups(a) && app_groups(a)->computed)
        return false; /* the file does not know these clusters */
    return a->selected && a->rule && !str_starts(a->rule, "rectangle") &&
           !str_starts(a->rule, "polygon") && !strstr(a->rule, "(rectangle") &&
           !strstr(a->rule, "(polygon");
}

static void add(Str *s, const char *key, const char *value)
{
    str_addf(s, "%s ", key);
    str_add_tsv(s, value);
    str_add_char(s, '\n');
}

char *app_session_text(const App *a)
{
    const Groups *g = app_groups(a);
    const Map *m = app_map(a);
    const Values *v = app_color_values(a);
    const MapState *view = &a->map_view;
    bool moved = view->zoom != 1 || view->cx != 0 || view->cy != 0;
    if (!a->facts ||
        (!a->n_generated && !a->query && !has_rule(a) && !v && !moved && a->resolution == 1))
        return NULL;
    Str s = {0};
    str_add(&s, "# a view of scmmgpt, version 1\n");
    add(&s, "file", a->opt.path);
    if (m && !m->computed)
        add(&s, "map", m->name);
    if (g && !strcmp(g->key, "leiden") && g->computed)
        str_addf(&s, "resolution %.9g\n", a->resolution);
    else if (g && !g->computed)
        add(&s, "groups", g->key);
    if (moved)
        str_addf(&s, "view %.9g %.9g %.9g\n", view->cx, view->cy, view->zoom);
    if (has_rule(a))
        add(&s, "select", a->rule);
    if (a->query)
        add(&s, "ask", app_query(a)->text);
    for (size_t i = 0; i < a->n_generated; i++) {
        const Generated *gen = app_generated(a, i);
        str_addf(&s, "generate %llu %zu ", (unsigned long long)gen->seed, gen->counts.rows);
        str_add_tsv(&s, gen->prompt);
        str_add_char(&s, '\n');
    }
    if (v && a->color_mode == COLOR_BY_VALUES)
        add(&s, "color", v->name);
    return str_take(&s);
}

static void start(App *a, WorkKind kind, const char *text)
{
    app_start(a, kind, text);
    a->restore_kind = kind;
    a->restore_waits = true;
}

static void restore_line(App *a, const char *key, const char *value)
{
    MapState *v = &a->map_view;
    double x, y, zoom;
    unsigned long long seed;
    size_t n;
    int at = 0;
    if (!strcmp(key, "map"))
        start(a, WORK_MAP, value);
    else if (!strcmp(key, "groups"))
        start(a, WORK_GROUPS, value);
    else if (!strcmp(key, "resolution") && strtod(value, NULL) > 0 && strtod(value, NULL) <= 20) {
        a->resolution = strtod(value, NULL);
        start(a, WORK_CLUSTER, NULL);
    } else if (!strcmp(key, "view") && sscanf(value, "%lf %lf %lf", &x, &y, &zoom) == 3 &&
               zoom >= 0.2 && zoom <= 1000) {
        v->cx = x, v->cy = y, v->zoom = zoom;
    } else if (!strcmp(key, "select"))
        start(a, WORK_GATE, value);
    else if (!strcmp(key, "ask"))
        start(a, WORK_QUERY, value);
    else if (!strcmp(key, "color"))
        start(a, WORK_COLOR, value);
    else if (!strcmp(key, "generate") && sscanf(value, "%llu %zu %n", &seed, &n, &at) == 2 && at &&
             n > 0 && n <= 100000) {
        a->seed = seed;
        a->n_to_generate = n;
        start(a, WORK_GENERATE, value + at);
    }
}

void app_session_restore(App *a, const char *text)
{
    free(a->restoring);
    a->restoring = a->restore_at = mem_strdup(text);
    a->restore_waits = false;
    app_message(a, ROLE_DIM, "bringing back the view of last time");
}

void app_session_tick(App *a)
{
    while (a->restoring && !(a->restore_waits && a->work[a->restore_kind].state == WORK_BUSY)) {
        a->restore_waits = false;
        char *line = a->restore_at;
        if (!*line || !a->facts) {
            free(a->restoring);
            a->restoring = a->restore_at = NULL;
            app_message(a, ROLE_DIM, "the view of last time is back");
            return;
        }
        size_t n = strcspn(line, "\n");
        a->restore_at = line + n + (line[n] == '\n');
        line[n] = 0;
        char *value = strchr(line, ' ');
        if (*line == '#' || !value)
            continue;
        *value++ = 0;
        restore_line(a, line, value);
    }
}
