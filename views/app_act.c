/* Actions and the mouse: the focused pane may answer first, the rest is here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "views/facts.h"
#include "views/pane.h"

static void focus_pane(App *a, PaneId id)
{
    a->focus = id;
    if (id >= PANE_MAP)
        a->slot = id;
}

static void cycle(App *a, int by)
{
    int n = N_PANES - 1;
    focus_pane(a, (PaneId)(1 + ((int)a->focus - 1 + by + n) % n));
}

/* Work on cells needs an open file; work of the model a model that has not failed. */
static bool has_file(App *a)
{
    if (!a->facts)
        app_message(a, ROLE_WARN, "the file is still being opened");
    return a->facts != NULL;
}

static bool may_use_model(App *a)
{
    const Work *m = &a->work[WORK_MODEL];
    if (!has_file(a))
        return false;
    if (m->state == WORK_FAILED)
        app_message(a, ROLE_ERROR, "no model: %s", m->message);
    return m->state != WORK_FAILED;
}

static void keep_set(App *a, Selection **slot, const char *name)
{
    if (!a->selected) {
        app_message(a, ROLE_WARN,
                    "select cells first: a cluster in pane 1, V or v on the map, s for a rule");
        return;
    }
    selection_free(*slot);
    *slot = app_selection_copy(a);
    app_message(a, ROLE_GOOD, "%s is %s (%zu cells)", name, a->rule, a->n_selected);
}

static void compare(App *a)
{
    if (!a->set_a)
        keep_set(a, &a->set_a, "A");
    if (!a->set_a)
        return;
    app_start(a, WORK_DE, NULL);
    if (a->focus != PANE_MARKERS)
        focus_pane(a, PANE_MARKERS);
}

static void describe(App *a)
{
    char key[256];
    app_description_key(a, key, sizeof key);
    if (!may_use_model(a))
        return;
    if (!*key) {
        app_message(a, ROLE_WARN, "choose a cluster, a selection or a cell first");
        return;
    }
    a->slot = PANE_TEXT;
    a->text_top = 0;
    app_start(a, WORK_DESCRIBE, NULL);
}

static void remove_generated(App *a)
{
    size_t i = a->subject == SUBJECT_GENERATED ? a->subject_generated
               : a->n_generated                ? a->n_generated - 1
                                               : 0;
    if (i >= a->n_generated) {
        app_message(a, ROLE_DIM, "there are no generated cells");
        return;
    }
    shared_drop(&a->generated[i]);
    memmove(a->generated + i, a->generated + i + 1,
            (a->n_generated - i - 1) * sizeof *a->generated);
    memmove(a->generated_seconds + i, a->generated_seconds + i + 1,
            (a->n_generated - i - 1) * sizeof *a->generated_seconds);
    a->generated[--a->n_generated] = NULL;
    if (a->clusters.cursor > a->n_cluster_rows + a->n_generated)
        a->clusters.cursor = a->n_cluster_rows + a->n_generated;
    if (a->n_generated)
        a->subject_generated = a->n_generated - 1;
    else if (a->subject == SUBJECT_GENERATED)
        a->subject = a->query ? SUBJECT_QUERY : SUBJECT_FILE;
    app_changed(a);
}

static void cancel(App *a)
{
    if (a->interrupted_at > 0 && a->now - a->interrupted_at < 2) {
        app_prompt_open(a, PROMPT_CONFIRM_QUIT, "");
        return;
    }
    a->interrupted_at = a->now > 0 ? a->now : 1e-9;
    JobInfo j;
    if (job_queue_list(a->queue, &j, 1) && j.running) {
        job_queue_cancel(a->queue, 0, ERR_CANCELLED);
        app_message(a, ROLE_WARN, "stopping: %s   (Ctrl-C again: quit)", j.name);
    } else {
        app_message(a, ROLE_DIM, "nothing is running   (Ctrl-C again: quit)");
    }
}

static void reload(App *a)
{
    JobInfo jobs[64];
    size_t n = job_queue_list(a->queue, jobs, 64);
    for (size_t i = 0; i < n && i < 64; i++)
        job_queue_cancel(a->queue, jobs[i].id, ERR_CANCELLED);
    for (size_t k = 0; k < N_WORK; k++) {
        a->work[k].job = 0; /* what still comes back is dropped */
        a->work[k].state = WORK_IDLE;
    }
    app_forget(a);
    a->has_model = false;
    app_start(a, WORK_OPEN, NULL);
}

static void back(App *a)
{
    if (a->zoomed)
        a->zoomed = false;
    else if (a->show_de)
        a->show_de = false;
    else if (a->subject == SUBJECT_LOG || a->subject == SUBJECT_CELL)
        a->subject = a->selected ? (a->group >= 0 ? SUBJECT_GROUP : SUBJECT_SELECTION)
                     : a->query  ? SUBJECT_QUERY
                                 : SUBJECT_FILE;
    else if (a->selected) {
        app_select_none(a);
        a->clusters.cursor = 0;
    } else if (a->color_mode != COLOR_BY_GROUPS)
        a->color_mode = COLOR_BY_GROUPS;
    else
        a->subject = SUBJECT_FILE;
    app_changed(a);
}

static void quit(App *a)
{
    if (a->n_generated)
        app_prompt_open(a, PROMPT_CONFIRM_QUIT, "");
    else
        a->quit = true;
}

static void copy_command(App *a)
{
    char *name = app_export_default(a);
    bool drawn = app_figure_selection(a) && /* the file knows neither shapes nor clusters made here */
                 (!app_can_be_typed(a->rule) || (a->group >= 0 && app_groups(a)->computed));
    free(a->clipboard);
    a->clipboard = app_export_command(a, name, drawn);
    free(name);
    app_message(a, ROLE_GOOD, "copied: %s%s", a->clipboard,
                drawn || app_figure_needs_table(a) ? "   (w writes the tables it needs)" : "");
}

static void show_log(App *a)
{
    a->subject = SUBJECT_LOG;
    a->text_top = 0;
    focus_pane(a, PANE_TEXT);
}

static void start_prompt(App *a, Action act)
{
    char *name = NULL;
    switch (act) {
    case ACT_ASK:
    case ACT_GENERATE:
        if (may_use_model(a))
            app_prompt_open(a, act == ACT_ASK ? PROMPT_ASK : PROMPT_GENERATE, "");
        return;
    case ACT_EXPORT:
    case ACT_DATA:
        if (!has_file(a))
            return;
        if (act == ACT_EXPORT && a->focus == PANE_PLOT && !app_exports_chart(a)) {
            app_message(a, ROLE_WARN,
                        "this plot is for the screen alone; 2 goes to the map, Right "
                        "to a plot that can be written");
            return;
        }
        if (act == ACT_EXPORT && !a->map && a->focus != PANE_PLOT) {
            app_message(a, ROLE_WARN, "there is no map to write yet");
            return;
        }
        name = act == ACT_EXPORT ? app_export_default(a) : app_data_default(a);
        app_prompt_open(a, act == ACT_EXPORT ? PROMPT_EXPORT : PROMPT_DATA, name);
        free(name);
        return;
    case ACT_FILTER:
        if (has_file(a))
            app_prompt_open(a, PROMPT_FILTER, a->marker_filter_text);
        return;
    case ACT_TABLE:
        if (!app_markers(a)) {
            app_message(a, ROLE_WARN, "there is no table yet");
            return;
        }
        name = app_table_default(a);
        app_prompt_open(a, PROMPT_TABLE, name);
        free(name);
        return;
    case ACT_SEARCH:
        if (has_file(a))
            app_prompt_open(a, a->focus == PANE_MAP ? PROMPT_COLOR : PROMPT_SEARCH, "");
        return;
    case ACT_COMMAND:
        app_prompt_open(a, PROMPT_COMMAND, "");
        return;
    default:
        if (has_file(a))
            app_prompt_open(a,
                            act == ACT_COLOR         ? PROMPT_COLOR
                            : act == ACT_SCORE       ? PROMPT_SCORE
                            : act == ACT_GENES       ? PROMPT_GENES
                            : act == ACT_COMPOSITION ? PROMPT_COMPOSITION
                            : act == ACT_EMBEDDING   ? PROMPT_MAP
                                                     : PROMPT_GATE,
                            "");
        return;
    }
}

/* From one sensible number of neighbours to the next. */
static int neighbors_step(int now, bool more)
{
    static const int steps[] = {3, 5, 10, 15, 20, 30, 50, 100, 200};
    int n = sizeof steps / sizeof *steps;
    for (int i = 0; i < n; i++)
        if (more && steps[i] > now)
            return steps[i] - now;
    for (int i = n; !more && i-- > 0;)
        if (steps[i] < now)
            return steps[i] - now;
    return 0;
}

static void subcluster(App *a)
{
    if (!a->groups || !a->selected)
        app_message(a, ROLE_WARN, "select the cells to divide first: a cluster, V, v or s");
    else
        app_start(a, WORK_SUBCLUSTER, NULL);
}

static void global(App *a, Action act)
{
    switch (act) {
    case ACT_ASK:
    case ACT_GENERATE:
    case ACT_EXPORT:
    case ACT_DATA:
    case ACT_SEARCH:
    case ACT_COMMAND:
    case ACT_COLOR:
    case ACT_EMBEDDING:
    case ACT_GATE:
    case ACT_FILTER:
    case ACT_TABLE:
    case ACT_SCORE:
    case ACT_GENES:
    case ACT_COMPOSITION:
        start_prompt(a, act);
        break;
    case ACT_DESCRIBE:
        describe(a);
        break;
    case ACT_ANNOTATE:
        if (may_use_model(a))
            app_start(a, WORK_ANNOTATE_CELLS, NULL);
        break;
    case ACT_REMOVE_GENERATED:
        remove_generated(a);
        break;
    case ACT_ZOOM_PANE:
        a->zoomed = !a->zoomed;
        break;
    case ACT_NEXT_PLOT:
        app_chart_next(a);
        focus_pane(a, PANE_PLOT);
        break;
    case ACT_MORE_NEIGHBORS:
    case ACT_FEWER_NEIGHBORS:
        if (has_file(a))
            app_change_neighbors(a, neighbors_step(a->neighbors, act == ACT_MORE_NEIGHBORS));
        break;
    case ACT_SUBCLUSTER:
        subcluster(a);
        break;
    case ACT_MARK: /* from any pane: the chosen cluster */
        if (a->groups && a->group >= 0)
            app_mark_group(a, (size_t)a->group);
        else
            app_message(a, ROLE_WARN, "choose a cluster in pane 1 first");
        break;
    case ACT_MERGE:
        app_merge_marked(a);
        break;
    case ACT_UNDO:
        app_undo_groups(a);
        break;
    case ACT_SORT:
    case ACT_REVERSE:
    case ACT_RERUN: /* from any pane */
        pane_markers.act(a, act);
        break;
    case ACT_LABELS:
        a->map_view.labels = !a->map_view.labels;
        break;
    case ACT_INVERT:
        app_select_invert(a);
        break;
    case ACT_ALL:
        app_select_all(a);
        break;
    case ACT_SET_A:
        keep_set(a, &a->set_a, "A");
        break;
    case ACT_SET_B:
        keep_set(a, &a->set_b, "B");
        break;
    case ACT_DE:
        compare(a);
        break;
    case ACT_BOX:
    case ACT_LASSO: /* from any pane */
        focus_pane(a, PANE_MAP);
        pane_map.act(a, act);
        break;
    case ACT_PLUS:
    case ACT_MINUS:
    case ACT_RESET:
        pane_map.act(a, act);
        break;
    case ACT_NEXT_PANE:
        cycle(a, 1);
        break;
    case ACT_PREV_PANE:
        cycle(a, -1);
        break;
    case ACT_PANE_1:
    case ACT_PANE_2:
    case ACT_PANE_3:
    case ACT_PANE_4:
    case ACT_PANE_5:
    case ACT_PANE_6:
    case ACT_PANE_7:
        focus_pane(a, (PaneId)(PANE_CLUSTERS + (act - ACT_PANE_1)));
        break;
    case ACT_BACK:
        back(a);
        break;
    case ACT_COPY:
        copy_command(a);
        break;
    case ACT_HELP:
        a->help = true;
        a->help_top = 0;
        break;
    case ACT_CANCEL:
        cancel(a);
        break;
    case ACT_LOG:
        show_log(a);
        break;
    case ACT_RELOAD:
        reload(a);
        break;
    case ACT_RESTORE:
        if (a->kept && has_file(a))
            app_session_restore(a, a->kept);
        else
            app_message(a, ROLE_DIM, "no view of this file is kept from last time");
        break;
    case ACT_MOUSE:
        a->opt.mouse = !a->opt.mouse;
        a->mouse_changed = true;
        app_message(a, ROLE_DIM,
                    a->opt.mouse ? "mouse on"
                                 : "mouse off: the terminal selects text; %% turns it on");
        break;
    case ACT_REDRAW:
        a->repaint = true;
        break;
    case ACT_SUSPEND:
        a->suspend = true;
        break;
    case ACT_QUIT:
        quit(a);
        break;
    case ACT_QUIT_NOW:
        a->quit = true;
        break;
    default:
        break;
    }
}

static void act_in_help(App *a, Action act)
{
    int page = a->help_height > 2 ? a->help_height - 1 : 1;
    switch (act) {
    case ACT_UP:
        a->help_top--;
        break;
    case ACT_DOWN:
        a->help_top++;
        break;
    case ACT_PAGE_UP:
        a->help_top -= page;
        break;
    case ACT_PAGE_DOWN:
        a->help_top += page;
        break;
    case ACT_TOP:
        a->help_top = 0;
        break;
    case ACT_BOTTOM:
        a->help_top = a->help_lines;
        break;
    default:
        a->help = false;
        break;
    }
}

void app_act(App *a, Action act)
{
    a->dirty = true;
    a->message_old |= a->n_messages && a->now - a->messages[a->n_messages - 1].at > 4;
    if (a->help && act != ACT_CANCEL && act != ACT_QUIT_NOW && act != ACT_SUSPEND &&
        act != ACT_REDRAW) {
        act_in_help(a, act);
        return;
    }
    if (a->focus != PANE_NONE && pane_ops(a->focus)->act(a, act))
        return;
    global(a, act);
}

void app_mouse(App *a, MouseKind kind, int x, int y)
{
    a->dirty = true;
    if (a->help) {
        if (kind == MOUSE_WHEEL_UP || kind == MOUSE_WHEEL_DOWN)
            act_in_help(a, kind == MOUSE_WHEEL_UP ? ACT_UP : ACT_DOWN);
        else if (kind == MOUSE_PRESS)
            a->help = false;
        return;
    }
    for (PaneId id = PANE_CLUSTERS; id < N_PANES; id++) {
        Rect r = a->rects[id];
        bool held = id == PANE_MAP && a->map_view.dragging; /* a drag may leave the map */
        if (!held && (r.w == 0 || x < r.x || x >= r.x + r.w || y < r.y || y >= r.y + r.h))
            continue;
        if (a->map_view.dragging && id != PANE_MAP)
            continue;
        if (kind == MOUSE_PRESS)
            a->focus = id;
        if (pane_ops(id)->mouse &&
            (held || (x > r.x && x < r.x + r.w - 1 && y > r.y && y < r.y + r.h - 1)))
            pane_ops(id)->mouse(a, kind, x - r.x - 1, y - r.y - 1);
        return;
    }
}
