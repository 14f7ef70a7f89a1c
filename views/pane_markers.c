/* Pane 3: marker genes of the chosen group, or of A against B. Enter colours the map by the gene.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/pane.h"

/* Rows [first, first + n) of the table that belong on the screen; with nothing chosen, the first
 * two of each group. */
static size_t rows_of(const App *a, const Marker **rows, size_t *first)
{
    const MarkerTable *t = app_markers(a);
    *rows = t ? t->rows : NULL;
    *first = 0;
    if (!t)
        return 0;
    if (a->show_de)
        return t->n;
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].group == a->group) {
            if (!n)
                *first = i;
            n++;
        }
    return n;
}

static void title(const App *a, char *out, size_t cap)
{
    const Groups *g = app_groups(a);
    if (a->show_de)
        snprintf(out, cap, "Markers  %s", a->de_title);
    else if (a->group >= 0 && g)
        snprintf(out, cap, "Markers of %.80s", app_group_name(a, (size_t)a->group));
    else
        snprintf(out, cap, "Markers");
}

static void p_text(double p, char out[16])
{
    if (p <= 0)
        snprintf(out, 16, "<1e-300");
    else
        snprintf(out, 16, p < 0.001 ? "%.0e" : "%.3f", p);
}

static void draw_row(Canvas *c, Rect r, int y, const Marker *m, Style s)
{
    char p[16];
    p_text(m->pval_adj, p);
    int wide = r.w >= 34;
    canvas_textf(c, r.x + 1, y, 10, s, "%s", m->gene);
    canvas_textf(c, r.x + 12, y, -1, s, wide ? "%6.2f  %.2f %.2f  %s" : "%6.2f  %.2f %.2f",
                 (double)m->logfoldchange, (double)m->frac_in, (double)m->frac_out, p);
}

/* Nothing chosen: what sets each group apart, one line a group. */
static void draw_overview(App *a, Canvas *c, Rect r)
{
    const MarkerTable *t = app_markers(a);
    Doc d = {.width = r.w - 1};
    r.x++;
    r.w--;
    for (size_t i = 0; i < a->n_cluster_rows; i++) {
        size_t g = a->cluster_rows[i], n = 0;
        char genes[256] = "";
        for (size_t k = 0; k < t->n && n < 4; k++)
            if (t->rows[k].group == (int32_t)g) {
                size_t used = strlen(genes);
                snprintf(genes + used, sizeof genes - used, "%s%.40s", n ? " " : "",
                         t->rows[k].gene);
                n++;
            }
        char name[64];
        snprintf(name, sizeof name, "%.*s", 60, app_group_name(a, g));
        if (text_width(name) > 15)
            name[15] = 0; /* names are cut, genes are not */
        doc_pair(&d, 17, name, theme_style(ROLE_TEXT), genes);
    }
    doc_draw(&d, c, r, 0);
    doc_free(&d);
}

static void draw(App *a, Canvas *c, Rect r)
{
    if (!a->facts)
        return;
    if (!app_markers(a)) {
        if (pane_draw_work(a, c, r, WORK_MARKERS, "marker genes", "R reads the file again"))
            return;
        canvas_text(c, r.x, r.y, r.w, theme_style(ROLE_DIM),
                    a->groups ? "" : "markers follow when there are clusters");
        return;
    }
    if (a->work[WORK_DE].state == WORK_BUSY &&
        pane_draw_work(a, c, r, WORK_DE, "comparing A with B", ""))
        return;
    const Marker *rows;
    size_t first, n = rows_of(a, &rows, &first);
    if (!n && !a->show_de && a->group < 0) {
        if (a->selected) {
            Doc d = {.width = r.w};
            doc_add(&d, theme_style(ROLE_DIM), 0,
                    "a makes this selection group A; d compares it with all other cells");
            doc_draw(&d, c, r, 0);
            doc_free(&d);
        } else {
            draw_overview(a, c, r);
        }
        return;
    }
    if (r.h > 3) {
        canvas_text(c, r.x + 1, r.y, r.w - 1, theme_style(ROLE_DIM),
                    r.w >= 34 ? "gene        logFC  in   out   padj"
                              : "gene        logFC  in   out");
        r.y++;
        r.h--;
    }
    size_t top = list_fit(&a->markers_list, n, r.h);
    for (int y = 0; y < r.h && top + (size_t)y < n; y++) {
        size_t i = top + (size_t)y;
        bool here = i == a->markers_list.cursor && a->focus == PANE_MARKERS;
        draw_row(c, r, r.y + y, &rows[first + i], theme_style(here ? ROLE_CURSOR : ROLE_TEXT));
        if (i == a->markers_list.cursor)
            canvas_put(c, r.x, r.y + y, '>', theme_style(ROLE_ACCENT));
    }
    list_scrollbar(c, (Rect){r.x, r.y, r.w + 1, r.h}, top, n);
}

static bool act(App *a, Action act_)
{
    const Marker *rows;
    size_t first, n = rows_of(a, &rows, &first);
    if (list_act(&a->markers_list, act_, n, a->rects[PANE_MARKERS].h - 3))
        return true;
    if (act_ == ACT_ENTER && a->markers_list.cursor < n) {
        app_start(a, WORK_COLOR, rows[first + a->markers_list.cursor].gene);
        return true;
    }
    if ((act_ == ACT_SEARCH_NEXT || act_ == ACT_SEARCH_PREV) && n) {
        for (size_t i = 1; i <= n; i++) {
            size_t at = (a->markers_list.cursor + (act_ == ACT_SEARCH_NEXT ? i : n - i)) % n;
            if (strcasestr(rows[first + at].gene, a->search)) {
                a->markers_list.cursor = at;
                return true;
            }
        }
        app_message(a, ROLE_WARN, "%s is not among these markers; c colours by any gene",
                    a->search);
        return true;
    }
    return false;
}

static void mouse(App *a, MouseKind kind, int x, int y)
{
    if (kind == MOUSE_WHEEL_UP || kind == MOUSE_WHEEL_DOWN) {
        act(a, kind == MOUSE_WHEEL_UP ? ACT_UP : ACT_DOWN);
    } else if (kind == MOUSE_PRESS && y >= 1) {
        a->markers_list.cursor = a->markers_list.top + (size_t)(y - 1);
        act(a, ACT_ENTER);
    }
}

const PaneOps pane_markers = {"Markers", title, draw, act, mouse};
