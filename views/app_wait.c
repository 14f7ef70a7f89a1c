/* Keys typed ahead: an action that is about the result of work under way waits until that has ended, so that it means
 * what it says however slow the machine is. Work that may be long holds up only what cannot do without it. */
#include "views/app.h"

static bool busy(const App *a, WorkKind kind)
{
    return a->work[kind].state == WORK_BUSY;
}

/* Those that need no file. */
static bool is_of_the_program(Action act)
{
    static const Action those[] = {ACT_HELP,   ACT_CANCEL,    ACT_LOG,       ACT_MOUSE,  ACT_REDRAW,
                                   ACT_QUIT,   ACT_QUIT_NOW,  ACT_SUSPEND,   ACT_BACK,   ACT_ZOOM_PANE,
                                   ACT_RELOAD, ACT_NEXT_PANE, ACT_PREV_PANE, ACT_COMMAND};
    for (size_t i = 0; i < sizeof those / sizeof *those; i++)
        if (act == those[i])
            return true;
    return act == ACT_NONE || (act >= ACT_PANE_1 && act <= ACT_PANE_7);
}

/* The file, its map and its groups: there in a moment, or found to be missing. */
static WorkKind of_the_file(const App *a)
{
    if (!a->facts)
        return busy(a, WORK_OPEN) ? WORK_OPEN : N_WORK;
    if (!a->map && busy(a, WORK_MAP))
        return WORK_MAP;
    return !a->groups && busy(a, WORK_GROUPS) ? WORK_GROUPS : N_WORK;
}

static WorkKind of_the_figure(const App *a)
{
    if (busy(a, WORK_SUBCLUSTER))
        return WORK_SUBCLUSTER;
    if (a->focus == PANE_PLOT && (busy(a, WORK_CHART) || app_chart_is_due(a)))
        return WORK_CHART;
    if (!a->map && busy(a, WORK_CLUSTER))
        return WORK_CLUSTER;
    return busy(a, WORK_COLOR) ? WORK_COLOR : busy(a, WORK_GATE) ? WORK_GATE : N_WORK;
}

WorkKind app_waits_for(const App *a, Action act)
{
    WorkKind file = of_the_file(a);
    if (file != N_WORK && !is_of_the_program(act))
        return file;
    switch (act) {
    case ACT_EXPORT:
    case ACT_COPY:
        return of_the_figure(a);
    case ACT_TABLE:
        if (busy(a, WORK_SUBCLUSTER) || busy(a, WORK_DE))
            return busy(a, WORK_DE) ? WORK_DE : WORK_SUBCLUSTER;
        return busy(a, WORK_MARKERS) && !a->show_de ? WORK_MARKERS : N_WORK;
    case ACT_DATA:
        return a->focus == PANE_MARKERS ? app_waits_for(a, ACT_TABLE) : busy(a, WORK_GATE) ? WORK_GATE : N_WORK;
    case ACT_MARK:
    case ACT_MERGE:
    case ACT_UNDO:
    case ACT_SUBCLUSTER:
        if (busy(a, WORK_SUBCLUSTER) || (a->groups && busy(a, WORK_CLUSTER)))
            return busy(a, WORK_SUBCLUSTER) ? WORK_SUBCLUSTER : WORK_CLUSTER;
        return busy(a, WORK_GATE) ? WORK_GATE : N_WORK;
    case ACT_SET_A:
    case ACT_SET_B:
    case ACT_DE:
    case ACT_DESCRIBE:
    case ACT_INVERT:
        return busy(a, WORK_GATE) ? WORK_GATE : N_WORK;
    default:
        return N_WORK;
    }
}
