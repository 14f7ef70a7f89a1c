/* Pane 6: running and waiting work, then how each kind ended last. Ctrl-C stops the running one. */
#include <stdio.h>
#include <string.h>

#include "views/pane.h"

static void title(const App *a, char *out, size_t cap)
{
    snprintf(out, cap, a->open_jobs ? "Jobs (%u)" : "Jobs", a->open_jobs);
}

static void draw(App *a, Canvas *c, Rect r)
{
    static const char *const states[] = {"", "", "done", "failed", "stopped"};
    static const Role roles[] = {ROLE_DIM, ROLE_DIM, ROLE_GOOD, ROLE_ERROR, ROLE_WARN};
    JobInfo jobs[32];
    size_t n = job_queue_list(a->queue, jobs, 32);
    int y = r.y;
    for (size_t i = 0; i < n && i < 32 && y < r.y + r.h; i++, y++) {
        const JobInfo *j = &jobs[i];
        int x = r.x + canvas_textf(c, r.x, y, r.w - 32, theme_style(ROLE_TEXT), "%s%s%s", j->name,
                                   j->running && j->stage && *j->stage ? ": " : "",
                                   j->running && j->stage ? j->stage : "");
        if (!j->running)
            canvas_text(c, x + 1, y, -1, theme_style(ROLE_DIM), "waiting");
        else if (j->total)
            canvas_bar(c, r.x + r.w - 30, y, 20, (double)j->done / (double)j->total,
                       theme_style(ROLE_ACCENT));
        if (j->running)
            canvas_textf(c, r.x + r.w - 9, y, 9, theme_style(ROLE_DIM), "%7.1f s", j->seconds);
    }
    for (int k = 0; k < N_WORK && y < r.y + r.h; k++) {
        const Work *w = &a->work[k];
        if (w->state < WORK_DONE)
            continue;
        int x = r.x +
                canvas_textf(c, r.x, y, 18, theme_style(ROLE_DIM), "%-18s", work_name((WorkKind)k));
        x += canvas_textf(c, x, y, 8, theme_style(roles[w->state]), "%-8s", states[w->state]);
        canvas_text(c, x, y, r.x + r.w - x, theme_style(ROLE_TEXT), w->message);
        y++;
    }
}

static bool act(App *a, Action act_)
{
    return false;
}

const PaneOps pane_jobs = {"Jobs", title, draw, act, NULL};
