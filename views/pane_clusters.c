/* Pane 1: the groups of the partition on the screen, with what the model calls them. Row 0 stands
 * for all cells, and the sets of generated cells follow below the groups. */
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "views/pane.h"

static size_t n_rows(const App *a)
{
    return a->facts ? 1 + a->n_cluster_rows + a->n_generated : 0;
}

static void title(const App *a, char *out, size_t cap)
{
    const Groups *g = app_groups(a);
    const char *name = a->wide ? "Clusters  " : ""; /* where it is narrow they say enough */
    if (!g)
        snprintf(out, cap, "Clusters");
    else if (g->computed && !strcmp(g->key, "leiden") && a->own_graph)
        snprintf(out, cap, "%sleiden r=%.2f k=%d (%zu)", name, a->resolution, a->neighbors,
                 g->n_groups);
    else if (g->computed && !strcmp(g->key, "leiden"))
        snprintf(out, cap, "%sleiden r=%.2f (%zu)", name, a->resolution, g->n_groups);
    else
        snprintf(out, cap, "%s%.60s (%zu)", name, g->key, g->n_groups);
}

/* The swatch that ties a row to its points: a colour, or a letter where colours are too few. */
static void draw_swatch(const App *a, Canvas *c, int x, int y, size_t g)
{
    const Groups *groups = app_groups(a);
    bool letters = theme_needs_letters(a->opt.colors, groups->n_groups) || c->tier == GLYPHS_ASCII;
    Style s = {theme_group_color(a->opt.colors, g, groups->colors[g]), 0, ATTR_BOLD};
    canvas_put(c, x, y, letters ? (uint32_t)theme_letter(g) : 0x25cf, s);
}

static void draw_group(App *a, Canvas *c, Rect r, int y, size_t g, Style s)
{
    const Groups *groups = app_groups(a);
    const Annotation *an = app_annotation(a);
    char n[32], tail[48] = "", name[256];
    const char *shown = app_group_name(a, g), *own = groups->names[g];
    bool narrow = r.w < 34;
    if (a->query_means)
        snprintf(tail, sizeof tail, narrow ? "%.2f" : "%6.3f", (double)a->query_means[g]);
    else if (an && g < an->n && narrow)
        snprintf(tail, sizeof tail, "%c", app_confidence_sign(a, g));
    else if (an && g < an->n && an->unknown[g])
        snprintf(tail, sizeof tail, "  -- ?");
    else if (an && g < an->n)
        snprintf(tail, sizeof tail, "%.2f %c", (double)an->probability[g],
                 app_confidence_sign(a, g));
    int tail_w = r.w >= 20 ? (int)strlen(tail) : 0;
    draw_swatch(a, c, r.x + 1, y, g);
    if (a->marked && a->marked[g])
        canvas_put(c, r.x + 2, y, '*', theme_style(ROLE_ACCENT));
    int x = r.x + 3;
    x += canvas_textf(c, x, y, r.x + r.w - x, s, "%-*s", narrow ? 6 : 7,
                      thousands(groups->sizes[g], n));
    int room = r.x + r.w - x - (tail_w ? tail_w + 1 : 0);
    snprintf(name, sizeof name, "%.180s (%.60s)", shown, own);
    if (shown == own ||
        text_width(name) > room) /* the file's own number only where there is room */
        snprintf(name, sizeof name, "%s", shown);
    canvas_text(c, x, y, room, s, name);
    if (tail_w)
        canvas_text(c, r.x + r.w - tail_w, y, tail_w, s, tail);
}

static void draw(App *a, Canvas *c, Rect r)
{
    if (!a->facts)
        return;
    if (!a->groups) {
        if (pane_draw_work(a, c, r, WORK_CLUSTER, "finding clusters",
                           "+ tries again; c colours by a column"))
            return;
        pane_draw_work(a, c, r, WORK_GROUPS, "reading the groups", "");
        return;
    }
    if (r.h > 3) {
        canvas_textf(c, r.x + 3, r.y, r.w - 3, theme_style(ROLE_DIM), "%-*sname", r.w < 34 ? 6 : 7,
                     "n");
        const char *tail = a->query_means ? "score" : a->annotation ? "conf  " : "";
        if (r.w >= 34)
            canvas_text(c, r.x + r.w - (int)strlen(tail), r.y, -1, theme_style(ROLE_DIM), tail);
        r.y++;
        r.h--;
    }
    size_t n = n_rows(a), top = list_fit(&a->clusters, n, r.h);
    for (int y = 0; y < r.h && top + (size_t)y < n; y++) {
        size_t row = top + (size_t)y;
        bool here = row == a->clusters.cursor;
        Style s = theme_style(ROLE_TEXT);
        char num[32];
        if (row == 0) {
            canvas_textf(c, r.x + 3, r.y + y, r.w - 3, s, "%-*sall cells", r.w < 34 ? 6 : 7,
                         thousands(a->facts->cells, num));
        } else if (row <= a->n_cluster_rows) {
            draw_group(a, c, r, r.y + y, a->cluster_rows[row - 1], s);
        } else {
            const Generated *g = app_generated(a, row - 1 - a->n_cluster_rows);
            canvas_put(c, r.x + 1, r.y + y, 'o', theme_style(ROLE_GENERATED));
            canvas_textf(c, r.x + 3, r.y + y, r.w - 3, theme_style(ROLE_GENERATED),
                         "%-*sgenerated: %s", r.w < 34 ? 6 : 7, thousands(g->counts.rows, num),
                         g->prompt);
        }
        if (here) {
            canvas_put(c, r.x, r.y + y, '>', theme_style(ROLE_ACCENT));
            if (a->focus == PANE_CLUSTERS)
                for (int x = r.x + 2; x < r.x + r.w; x++)
                    canvas_restyle(c, (Rect){x, r.y + y, 1, 1}, theme_style(ROLE_CURSOR));
        }
    }
    list_scrollbar(c, (Rect){r.x, r.y, r.w + 1, r.h}, top, n);
}

static void choose(App *a)
{
    size_t row = a->clusters.cursor;
    if (row == 0) {
        app_select_none(a);
        a->subject = a->query ? SUBJECT_QUERY : SUBJECT_FILE;
    } else if (row <= a->n_cluster_rows) {
        app_select_group(a, (int)a->cluster_rows[row - 1]);
    } else {
        app_select_none(a);
        a->subject = SUBJECT_GENERATED;
        a->subject_generated = row - 1 - a->n_cluster_rows;
    }
}

static void search(App *a, int step)
{
    size_t n = a->n_cluster_rows;
    if (!n || !*a->search)
        return;
    for (size_t i = 1; i <= n; i++) {
        size_t at = (a->clusters.cursor + n - 1 + (step > 0 ? i : n - i)) % n;
        size_t g = a->cluster_rows[at];
        if (strcasestr(app_group_name(a, g), a->search) ||
            strcasestr(app_groups(a)->names[g], a->search)) {
            a->clusters.cursor = at + 1;
            choose(a);
            return;
        }
    }
    app_message(a, ROLE_WARN, "no cluster is called %s", a->search);
}

static bool act(App *a, Action act_)
{
    int h = a->rects[PANE_CLUSTERS].h - 3;
    size_t before = a->clusters.cursor;
    if (list_act(&a->clusters, act_, n_rows(a), h)) {
        if (a->clusters.cursor != before)
            choose(a);
        return true;
    }
    switch (act_) {
    case ACT_ENTER:
        choose(a);
        return true;
    case ACT_SEARCH_NEXT:
    case ACT_SEARCH_PREV:
        search(a, act_ == ACT_SEARCH_NEXT ? 1 : -1);
        return true;
    case ACT_PLUS:
    case ACT_MINUS:
    case ACT_RESET:
        if (!a->facts)
            return true;
        if (!a->groups && a->work[WORK_CLUSTER].state == WORK_BUSY) {
            app_message(a, ROLE_DIM, "the first clusters are on their way; then + and - change them");
            return true;
        }
        if (a->groups) /* else it tries again */
            a->resolution = act_ == ACT_RESET ? 1 : a->resolution * (act_ == ACT_PLUS ? 1.25 : 0.8);
        a->resolution = a->resolution < 0.05 ? 0.05 : a->resolution > 20 ? 20 : a->resolution;
        app_message(a, ROLE_DIM, "leiden at resolution %.2f", a->resolution);
        app_start(a, WORK_CLUSTER, NULL);
        return true;
    default:
        return false;
    }
}

static void mouse(App *a, MouseKind kind, int x, int y)
{
    int head = a->rects[PANE_CLUSTERS].h - 2 > 3;
    size_t row = a->clusters.top + (size_t)(y - head < 0 ? 0 : y - head);
    if (kind == MOUSE_PRESS && y >= head && row < n_rows(a)) {
        a->clusters.cursor = row;
        choose(a);
    } else if (kind == MOUSE_WHEEL_UP || kind == MOUSE_WHEEL_DOWN) {
        act(a, kind == MOUSE_WHEEL_UP ? ACT_UP : ACT_DOWN);
    }
}

const PaneOps pane_clusters = {"Clusters", title, draw, act, mouse};
