/* Pane 3: marker genes of the chosen group, or of A against B, sorted and filtered as asked. Enter
 * colours the map by the gene. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/stored_ranks.h"
#include "views/pane.h"

/* The rows of group g lie together, groups in order. */
static size_t first_row(const MarkerTable *t, int32_t g)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->rows[mid].group < g)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t app_marker_rows(App *a, const size_t **rows)
{
    const MarkerTable *t = app_markers(a);
    int group = a->show_de ? -1 : a->group;
    uint64_t now[] = {a->tables, (uint64_t)(int64_t)group, a->show_de, a->marker_sort,
                      a->marker_reverse};
    *rows = a->marker_rows;
    if (!t || (group < 0 && !a->show_de))
        return 0;
    if (!a->marker_rows || memcmp(now, a->marker_rows_for, sizeof now) != 0) {
        free(a->marker_rows);
        a->marker_rows = mem_must((t->n + 1) * sizeof *a->marker_rows);
        a->n_marker_rows = marker_rows(t, group, &a->marker_filter, a->marker_sort,
                                       a->marker_reverse, a->marker_rows);
        memcpy(a->marker_rows_for, now, sizeof now);
    }
    *rows = a->marker_rows;
    return a->n_marker_rows;
}

/* Where the numbers are from, and what is left out. */
static void title(const App *a, char *out, size_t cap)
{
    const Groups *g = app_groups(a);
    const MarkerTable *t = app_markers(a);
    size_t n;
    if (a->show_de)
        snprintf(out, cap, "Markers  %s", a->de_title);
    else if (a->group >= 0 && g)
        snprintf(out, cap, "Markers of %.80s", app_group_name(a, (size_t)a->group));
    else
        snprintf(out, cap, "Markers");
    n = strlen(out);
    if (t && t->precomputed && !a->show_de) {
        const char *reference = t->stored ? t->stored->reference : "rest";
        bool rest = !*reference || strcmp(reference, "rest") == 0;
        snprintf(out + n, cap - n, "  of the file%s%.40s", rest ? "" : ", against ", rest ? "" : reference);
    } else if (t && strcmp(t->method, marker_method_name(MARKERS_WILCOXON)) != 0) {
        snprintf(out + n, cap - n, "  %s", t->method);
    }
    n = strlen(out);
    if (*a->marker_filter_text)
        snprintf(out + n, cap - n, "  [%.60s]", a->marker_filter_text);
}

static void p_text(double p, char out[16])
{
    if (isnan(p))
        snprintf(out, 16, "-");
    else if (p <= 0)
        snprintf(out, 16, "<1e-300");
    else
        snprintf(out, 16, p < 0.001 ? "%.0e" : "%.3f", p);
}

/* A share of cells or a fold change; missing ones as a dash. */
static void number_text(double v, int width, char out[16])
{
    if (isnan(v))
        snprintf(out, 16, "%*s", width, "-");
    else
        snprintf(out, 16, "%*.2f", width, v);
}

/* Columns of the table; in a wider place the gene's name has more room. */
static int gene_width(const Rect *r)
{
    return r->w >= 44 ? 15 : 10;
}

static void draw_row(Canvas *c, Rect r, int y, const Marker *m, Style s)
{
    char fc[16], in[16], out[16], p[16] = "";
    int gene = gene_width(&r);
    number_text((double)m->logfoldchange, 6, fc);
    number_text((double)m->frac_in, 4, in);
    number_text((double)m->frac_out, 4, out);
    if (r.w >= 34)
        p_text(m->pval_adj, p);
    canvas_textf(c, r.x + 1, y, gene, s, "%s", m->gene);
    canvas_textf(c, r.x + 2 + gene, y, -1, s, "%s  %s %s  %s", fc, in, out, p);
}

/* Above the columns their names; the one that sorts is marked. */
static void draw_head(App *a, Canvas *c, Rect r)
{
    static const struct {
        MarkerColumn column;
        int at; /* from the end of the gene */
    } heads[] = {{MARKER_LOGFC, 1}, {MARKER_IN, 8}, {MARKER_OUT, 13}, {MARKER_P, 19}};
    int gene = gene_width(&r) + 2;
    bool falling = a->marker_sort == MARKER_LOGFC || a->marker_sort == MARKER_IN;
    bool up = falling == a->marker_reverse, ascii = c->tier == GLYPHS_ASCII;
    const char *mark = up ? (ascii ? "^" : "\u2191") : (ascii ? "v" : "\u2193");
    canvas_textf(c, r.x + 1, r.y, gene, theme_style(ROLE_DIM), "gene%s",
                 a->marker_sort == MARKER_GENE                        ? mark
                 : a->marker_sort == MARKER_RANK && a->marker_reverse ? (ascii ? "^" : "\u2191")
                                                                      : "");
    for (size_t i = 0; i < (r.w >= 34 ? 4 : 3); i++)
        canvas_textf(c, r.x + gene + heads[i].at, r.y, -1,
                     theme_style(a->marker_sort == heads[i].column ? ROLE_TITLE : ROLE_DIM), "%s%s",
                     marker_column_name(heads[i].column),
                     a->marker_sort == heads[i].column ? mark : "");
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
        for (size_t k = first_row(t, (int32_t)g); k < t->n && n < 4; k++)
            if (t->rows[k].group != (int32_t)g) {
                break;
            } else if (marker_passes(&a->marker_filter, &t->rows[k])) {
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
    const MarkerTable *t = app_markers(a);
    const size_t *rows;
    size_t n = app_marker_rows(a, &rows);
    if (!a->show_de && a->group < 0) {
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
        draw_head(a, c, r);
        r.y++;
        r.h--;
    }
    if (!n)
        canvas_text(c, r.x + 1, r.y, r.w - 1, theme_style(ROLE_DIM),
                    *a->marker_filter_text ? "no gene passes the filter: f changes it"
                                           : "too few cells to compare");
    size_t top = list_fit(&a->markers_list, n, r.h);
    for (int y = 0; y < r.h && top + (size_t)y < n; y++) {
        size_t i = top + (size_t)y;
        bool here = i == a->markers_list.cursor && a->focus == PANE_MARKERS;
        draw_row(c, r, r.y + y, &t->rows[rows[i]], theme_style(here ? ROLE_CURSOR : ROLE_TEXT));
        if (i == a->markers_list.cursor)
            canvas_put(c, r.x, r.y + y, '>', theme_style(ROLE_ACCENT));
    }
    list_scrollbar(c, (Rect){r.x, r.y, r.w + 1, r.h}, top, n);
}

static void search(App *a, int step)
{
    const MarkerTable *t = app_markers(a);
    const size_t *rows;
    size_t n = app_marker_rows(a, &rows);
    for (size_t i = 1; i <= n; i++) {
        size_t at = (a->markers_list.cursor + (step > 0 ? i : n - i)) % n;
        if (strcasestr(t->rows[rows[at]].gene, a->search)) {
            a->markers_list.cursor = at;
            return;
        }
    }
    app_message(a, ROLE_WARN, "%s is not among these markers; c colours by any gene", a->search);
}

static void sort_by(App *a, MarkerColumn column, bool reverse)
{
    a->marker_sort = column;
    a->marker_reverse = reverse;
    a->markers_list = (ListState){0};
    app_message(a, ROLE_DIM, "markers by %s%s", marker_column_name(column),
                reverse ? ", the other way round" : "");
}

/* The table on the screen by the next test; after the last one the file's own, or the first one. */
static void rerun(App *a)
{
    const MarkerTable *t = app_markers(a);
    int next = 0;
    if (!t || !a->groups)
        return;
    while (!t->precomputed && next <= MARKERS_OVERESTIMATED && strcmp(t->method, marker_method_name(next++)) != 0)
        ;
    const char *method = next <= MARKERS_OVERESTIMATED ? marker_method_name(next) : NULL;
    app_start(a, a->show_de ? WORK_DE : WORK_MARKERS, method);
}

static bool act(App *a, Action act_)
{
    const MarkerTable *t = app_markers(a);
    const size_t *rows;
    size_t n = app_marker_rows(a, &rows);
    if (act_ != ACT_SORT && act_ != ACT_REVERSE && act_ != ACT_RERUN &&
        list_act(&a->markers_list, act_, n, a->rects[PANE_MARKERS].h - 3))
        return true;
    switch (act_) {
    case ACT_ENTER:
        if (a->markers_list.cursor < n)
            app_start(a, WORK_COLOR, t->rows[rows[a->markers_list.cursor]].gene);
        return n > 0;
    case ACT_SEARCH_NEXT:
    case ACT_SEARCH_PREV:
        if (n)
            search(a, act_ == ACT_SEARCH_NEXT ? 1 : -1);
        return n > 0;
    case ACT_SORT:
        sort_by(a, (a->marker_sort + 1) % N_MARKER_COLUMNS, false);
        return true;
    case ACT_REVERSE:
        sort_by(a, a->marker_sort, !a->marker_reverse);
        return true;
    case ACT_RERUN:
        rerun(a);
        return true;
    case ACT_DATA: /* in this pane the data are the table */
        app_act(a, ACT_TABLE);
        return true;
    default:
        return false;
    }
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
