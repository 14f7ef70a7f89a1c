/* Pane 5: the cells of the selection, best match of the last question first. Enter speaks of one
 * cell. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "views/pane.h"

static void title(const App *a, char *out, size_t cap)
{
    const QueryResult *q = app_query(a);
    if (q)
        snprintf(out, cap, "Cells  best match first: %.80s", q->text);
    else
        snprintf(out, cap, "Cells");
}

static void cell_name(const App *a, size_t cell, char *out, size_t cap)
{
    if (a->facts->cell_names)
        snprintf(out, cap, "%s", a->facts->cell_names[cell]);
    else
        snprintf(out, cap, "cell %zu", cell);
}

static void draw_row(const App *a, Canvas *c, Rect r, int y, size_t cell, Style s)
{
    const Groups *g = app_groups(a);
    const QueryResult *q = app_query(a);
    const Values *v = app_color_values(a);
    char name[80];
    cell_name(a, cell, name, sizeof name);
    int x = r.x + 1, name_w = r.w > 60 ? 24 : r.w / 3;
    canvas_textf(c, x, y, name_w, s, "%s", name);
    x += name_w + 1;
    if (q) {
        canvas_textf(c, x, y, 7, s, "%.3f", (double)q->scores->v[cell]);
        canvas_textf(c, x + 8, y, 6, s, "%.1f%%", (double)q->percentile[cell]);
        x += 15;
    } else if (v) {
        canvas_textf(c, x, y, 7, s, isnan(v->v[cell]) ? "NA" : "%.3f", (double)v->v[cell]);
        x += 8;
    }
    if (g && cell < g->n_cells)
        canvas_text(c, x, y, r.x + r.w - x, s,
                    g->codes[cell] < 0 ? "NA" : app_group_name(a, (size_t)g->codes[cell]));
}

static void draw(App *a, Canvas *c, Rect r)
{
    const size_t *rows;
    size_t n = app_cell_order(a, &rows);
    if (!n)
        return;
    if (r.h > 3) {
        const QueryResult *q = app_query(a);
        const Values *v = app_color_values(a);
        int name_w = r.w > 60 ? 24 : r.w / 3;
        canvas_textf(c, r.x + 1, r.y, r.w - 1, theme_style(ROLE_DIM), "%-*s%s", name_w + 1, "cell",
                     q   ? "score   rank%  group"
                     : v ? v->name
                         : "group");
        r.y++;
        r.h--;
    }
    size_t top = list_fit(&a->cells, n, r.h);
    for (int y = 0; y < r.h && top + (size_t)y < n; y++) {
        size_t i = top + (size_t)y;
        bool here = i == a->cells.cursor;
        draw_row(a, c, r, r.y + y, rows[i],
                 theme_style(here && a->focus == PANE_CELLS ? ROLE_CURSOR : ROLE_TEXT));
        if (here)
            canvas_put(c, r.x, r.y + y, '>', theme_style(ROLE_ACCENT));
    }
    list_scrollbar(c, (Rect){r.x, r.y, r.w + 1, r.h}, top, n);
}

static bool act(App *a, Action act_)
{
    const size_t *rows;
    size_t n = app_cell_order(a, &rows);
    if (list_act(&a->cells, act_, n, a->rects[PANE_CELLS].h - 3))
        return true;
    if (act_ == ACT_ENTER && a->cells.cursor < n) {
        a->subject = SUBJECT_CELL;
        a->subject_cell = rows[a->cells.cursor];
        a->slot = a->focus = PANE_TEXT;
        a->text_top = 0;
        if (a->embedded)
            a->describe_at = a->now + 0.01;
        return true;
    }
    if (act_ == ACT_SEARCH_NEXT || act_ == ACT_SEARCH_PREV) {
        for (size_t i = 1; i <= n && a->facts->cell_names; i++) {
            size_t at = (a->cells.cursor + (act_ == ACT_SEARCH_NEXT ? i : n - i)) % n;
            if (strcasestr(a->facts->cell_names[rows[at]], a->search)) {
                a->cells.cursor = at;
                return true;
            }
        }
        app_message(a, ROLE_WARN, "no cell is called %s", a->search);
        return true;
    }
    return false;
}

static void mouse(App *a, MouseKind kind, int x, int y)
{
    if (kind == MOUSE_WHEEL_UP || kind == MOUSE_WHEEL_DOWN)
        act(a, kind == MOUSE_WHEEL_UP ? ACT_UP : ACT_DOWN);
    else if (kind == MOUSE_PRESS && y >= 1)
        a->cells.cursor = a->cells.top + (size_t)(y - 1);
}

const PaneOps pane_cells = {"Cells", title, draw, act, mouse};
