/* Where everything of an embedding plot goes: how many columns, legends beside or below, how large the plots.
 *
 * For every number of columns, with legends beside the plots or below them, the side of the square plots follows from the
 * page; a page of free height takes the most columns that keep the plots readable, a fixed one the largest plots. Where a
 * fixed page is too small for what it must hold, text and marks get smaller, down to their size on paper; where the names
 * on the data have no room, numbers stand for them and the list says whose they are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/scatter_page.h"

static const double GAP = 10, TITLE_LINE = 9.2, FLAT_BAR = 24, SIDE_MIN = 72, SIDE_BESIDE = 105;

/* ---- legends ---- */

/* Cells of each group, [n_groups] missing ones, in the panel (or in all that share its legend). */
static void count_cells(const Page *g, const ScatterPanel *p, size_t *sizes)
{
    const Scatter *s = g->s;
    size_t n_panels = g->shared && p->in ? s->n_panels : 1;
    for (size_t k = 0; k < n_panels && (k == 0 || p[k].in != p->in); k++)
        for (size_t i = 0; i < s->n; i++) {
            bool missing = p->codes ? p->codes[i] < 0 : p->values && !isfinite(p->values[i]);
            if (scatter_finite(s->xy, i) && (!p[k].in || p[k].in[i]))
                sizes[missing ? p->n_groups : p->codes ? (size_t)p->codes[i] : 0] += missing || p->codes;
        }
}

/* "B cell (25)", with a number "3  B cell (25)"; its spaces are such as SVG does not join. */
static void add_counted(Legend *l, int glyph, uint32_t color, const char *name, size_t cells, int number)
{
    char *count = count_text(cells);
    char *text = number ? str_format("%d\xc2\xa0\xc2\xa0%s (%s)", number, name, count) : str_format("%s (%s)", name, count);
    legend_add(l, glyph, color, text);
    free(text);
    free(count);
}

static void fill_legend(const Page *g, const ScatterPanel *p, Legend *l)
{
    LegendPlace place = g->s->legend;
    legend_done(l);
    if (place == LEGEND_NONE)
        return;
    size_t *sizes = mem_must((p->n_groups + 1) * sizeof *sizes);
    count_cells(g, p, sizes);
    l->title = p->legend_title;
    for (size_t k = 0; p->codes && (place != LEGEND_ON_DATA || g->numbered) && k < p->n_groups; k++)
        if (sizes[k] && (!p->highlight || p->highlight[k]))
            add_counted(l, scatter_glyph(g, p, k), p->colors[k], group_text(p->names[k]), sizes[k], g->numbered ? (int)k + 1 : 0);
    if (sizes[p->n_groups])
        add_counted(l, 0, COLOR_MISSING, "NA", sizes[p->n_groups], 0);
    free(sizes);
    if (g->s->n_generated)
        legend_add(l, 1, FIGURE_INK, g->s->generated_label);
}

static bool has_number(const ScatterPanel *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isfinite(p->values[i]))
            return true;
    return false;
}

bool scatter_has_bar(const Page *g, const ScatterPanel *p)
{
    return p->values && !p->codes && g->s->legend != LEGEND_NONE && has_number(p, g->s->n);
}

static double bar_height(const Page *g)
{
    return fmin(90, g->side * 0.62);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* All panels show the same groups, or numbers on one scale. */
static bool one_legend(const Page *g)
{
    const Scatter *s = g->s;
    const ScatterPanel *a = s->panels;
    if (s->n_panels < 2 || s->legend == LEGEND_NONE)
        return false;
    for (size_t k = 1; k < s->n_panels; k++) {
        const ScatterPanel *b = &s->panels[k];
        if (a->codes || b->codes) {
            if (a->codes != b->codes || a->names != b->names)
                return false;
        } else if (a->values && b->values) {
            const Range *r = g->ranges;
            if (r[0].lo != r[k].lo || r[0].hi != r[k].hi || a->map != b->map || a->zero_grey != b->zero_grey || !same_text(a->unit, b->unit))
                return false;
        } else if (a->values != b->values) {
            return false;
        }
    }
    return true;
}

static size_t n_legends(const Page *g)
{
    return g->shared ? g->s->n_panels > 0 : g->s->n_panels;
}

/* Room for the legend of panel k beside its plot. */
static double beside_width(const Page *g, size_t k)
{
    double w = g->legends[k].n ? g->legends[k].width : 0;
    if (!scatter_has_bar(g, &g->s->panels[k]))
        return w;
    Bar b = {.lo = g->ranges[k].lo, .hi = g->ranges[k].hi, .unit = g->s->panels[k].unit};
    return fmax(w, fmin(BAR_ROOM, bar_width(g->d, &b, bar_height(g))));
}

static double below_height(const Page *g, size_t k)
{
    double bar = scatter_has_bar(g, &g->s->panels[k]) ? FLAT_BAR : 0;
    return bar + (g->legends[k].n ? g->legends[k].height + (bar > 0 ? 4 : 0) : 0);
}

static double beside_height(const Page *g, size_t k)
{
    double bar = scatter_has_bar(g, &g->s->panels[k]) ? bar_height(g) + 10 : 0;
    return bar + (g->legends[k].n ? g->legends[k].height : 0);
}

/* ---- one arrangement ---- */

typedef struct Try {
    double free_width, free_height; /* of the page; height 0: as needed */
    double plots;                   /* width of all plots of a row */
    double *widths;                 /* [columns] of the legends beside them */
    double *under;                  /* [rows] height of the legends below, or of what stands out beside */
    double shared_under;
} Try;

/* Fits the legends beside plots of about g->side; returns the width that they take. */
static double fit_beside(Page *g, Try *t, double row_room)
{
    double total = 0, cell = g->shared ? t->free_width * 0.7 : t->free_width / g->columns;
    double free_most = g->shared ? g->rows * (g->side + g->title_room + GAP) - g->title_room - GAP : g->side + ARROW_ROOM;
    double most = t->free_height > 0 ? (g->shared ? t->free_height : row_room) - g->title_room : fmax(free_most, 60);
    memset(t->widths, 0, (size_t)g->columns * sizeof *t->widths);
    for (size_t k = 0; k < n_legends(g); k++) {
        double used = scatter_has_bar(g, &g->s->panels[k]) ? bar_height(g) + 10 : 0;
        legend_fit_beside(&g->legends[k], g->d, fmax(56, cell * 0.42), fmax(20, most - used));
        double w = beside_width(g, k);
        int c = (int)(k % (size_t)g->columns);
        t->widths[c] = fmax(t->widths[c], w > 0 ? w + LEGEND_GAP : 0);
    }
    for (int c = 0; c < g->columns; c++)
        total += t->widths[c];
    return total;
}

static void fit_below(Page *g, Try *t, double row_room)
{
    for (size_t k = 0; k < n_legends(g); k++) {
        bool wide = g->shared || g->columns == 1;
        double most = t->free_height > 0 ? 0.5 * (g->shared ? t->free_height : row_room) : 0;
        legend_fit_below(&g->legends[k], g->d, wide ? t->free_width : g->side, most);
        double h = below_height(g, k) + 4;
        if (g->shared)
            t->shared_under = h;
        else
            t->under[k / (size_t)g->columns] = fmax(t->under[k / (size_t)g->columns], h + ARROW_ROOM);
    }
}

/* What stands out below the plots where legends are beside them. */
static void stand_out(Page *g, Try *t)
{
    for (size_t k = 0; k < n_legends(g); k++)
        if (g->shared)
            t->shared_under = fmax(0, g->title_room + beside_height(g, k) - (g->rows * (g->title_room + g->side + GAP) - GAP + ARROW_ROOM));
        else
            t->under[k / (size_t)g->columns] = fmax(t->under[k / (size_t)g->columns], beside_height(g, k) - g->side - ARROW_ROOM);
}

static double sum_of(const double *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

/* Titles have two lines where one is too short for any of them. */
static void fit_titles(Page *g)
{
    TextStyle style = {.size = FIGURE_TITLE};
    g->title_lines = 1;
    for (size_t k = 0; k < g->s->n_panels; k++) {
        style.italic = g->s->panels[k].italic_title;
        if (g->s->panels[k].title && draw_text_width(g->d, &style, g->s->panels[k].title) > scatter_title_width(g))
            g->title_lines = 2;
    }
    g->title_room = 12 + (g->title_lines - 1) * TITLE_LINE;
}

static void set_places(Page *g, const Try *t, double wide)
{
    double x = MARGIN + ARROW_ROOM + fmax(0, t->free_width - wide) / 2;
    double y = MARGIN + (t->free_height > 0 ? fmax(0, t->free_height - g->content) / 2 : 0);
    free(g->column_x);
    free(g->row_y);
    g->column_x = mem_must((size_t)g->columns * sizeof(double));
    g->row_y = mem_must((size_t)g->rows * sizeof(double));
    double right = MARGIN + ARROW_ROOM + t->free_width, ox = x, oy = y;
    for (int c = 0; c < g->columns; c++) {
        g->column_x[c] = x;
        x += g->side + (g->shared ? 0 : t->widths[c]) + GAP;
    }
    for (int r = 0; r < g->rows; r++) {
        g->row_y[r] = y + g->title_room;
        y += g->title_room + g->side + GAP + t->under[r];
    }
    double legend = n_legends(g) ? beside_width(g, 0) : 0;
    g->legend_x = g->below ? fmax(MARGIN, fmin(ox, right - legend)) : x - GAP + LEGEND_GAP;
    g->legend_y = g->below ? y - GAP + ARROW_ROOM + 2 : oy + g->title_room;
}

/* Sets everything for `columns` and legends beside or below. False when something has no room. */
static bool attempt(Page *g, int columns, bool below)
{
    Try t = {.free_width = g->width - 2 * MARGIN - ARROW_ROOM,
             .free_height = g->height > 0 ? g->height - 2 * MARGIN - g->caption_height : 0};
    g->columns = columns;
    g->rows = ((int)g->s->n_panels + columns - 1) / columns;
    g->below = below;
    t.plots = t.free_width - (columns - 1) * GAP;
    t.widths = mem_must((size_t)columns * sizeof *t.widths);
    t.under = mem_must((size_t)g->rows * sizeof *t.under);
    double row_room = t.free_height > 0 ? (t.free_height - ARROW_ROOM - (g->rows - 1) * GAP) / g->rows : 1e9;
    g->title_room = 12;
    g->side = fmin(t.plots / columns * 0.62, row_room - g->title_room);
    for (int round = 0; round < 4; round++) {
        double taken = 0;
        fit_titles(g);
        memset(t.under, 0, (size_t)g->rows * sizeof *t.under);
        if (below)
            fit_below(g, &t, row_room);
        else
            taken = fit_beside(g, &t, row_room);
        double under = below ? (sum_of(t.under, g->rows) + t.shared_under) / g->rows : 0;
        g->side = fmin((t.plots - taken) / columns, row_room - g->title_room - under);
    }
    if (!below)
        stand_out(g, &t);
    double arrows = below && !g->shared ? 0 : ARROW_ROOM;
    double wide = columns * g->side + (columns - 1) * GAP + sum_of(t.widths, columns);
    g->content = g->rows * (g->title_room + g->side + GAP) - GAP + arrows + sum_of(t.under, g->rows) + t.shared_under;
    bool good = g->side >= 24 && (t.free_height <= 0 || g->content <= t.free_height + 0.5) && wide <= t.free_width + 0.5;
    set_places(g, &t, wide);
    free(t.widths);
    free(t.under);
    return good;
}

/* ---- the best one ---- */

static bool leaves_names_out(const Page *g)
{
    for (size_t k = 0; k < n_legends(g); k++)
        if (g->legends[k].n < g->legends[k].total)
            return true;
    return false;
}

/* How good the last attempt is. Fixed height: the larger plots, with all names. Free height: readable plots first, then few
 * rows; a list of names may stand beside the plots only while they stay large. */
static double worth(const Page *g, bool fixed)
{
    bool lists = false;
    for (size_t k = 0; k < n_legends(g); k++)
        lists |= g->legends[k].n > 1;
    double least = lists && !g->below ? SIDE_BESIDE : SIDE_MIN;
    if (fixed)
        return g->side * (leaves_names_out(g) ? 1e-3 : 1);
    return g->side < least ? g->side * 1e-3 : 10 * g->columns + !g->below;
}

/* Returns what the best arrangement is worth; -1: the page has to grow. */
static double choose_arrangement(Page *g)
{
    const Scatter *s = g->s;
    int n = (int)s->n_panels, most = s->columns > 0 ? s->columns : 4, best_columns = 0;
    double best = -1;
    bool best_below = false, fixed = g->height > 0;
    most = most < n ? most : n;
    int least = s->columns > 0 ? most : 1;
    for (int c = most; c >= least; c--)
        for (int below = 0; below < 2; below++)
            if (attempt(g, c, below) && worth(g, fixed) > best) {
                best = worth(g, fixed);
                best_columns = c;
                best_below = below;
            }
    if (best_columns == 0) { /* nothing has room */
        g->height = 0;
        best_columns = least;
        best_below = true;
    }
    (void)attempt(g, best_columns, best_below);
    return best;
}

static void set_page(Page *g)
{
    const Scatter *s = g->s;
    TextStyle style = {.size = FIGURE_TEXT};
    g->width = s->width_mm * 72 / 25.4 / g->zoom;
    g->height = s->height_mm * 72 / 25.4 / g->zoom;
    for (int k = 0; k < g->n_caption; k++)
        free(g->caption_lines[k]);
    g->n_caption = 0;
    if (s->caption && s->caption[0])
        g->n_caption = wrap_text(g->d, &style, g->width - 2 * MARGIN, s->caption, g->caption_lines, 6);
    g->caption_height = g->n_caption ? g->n_caption * FIGURE_TEXT * 1.3 + 5 : 0;
}

/* Of a fixed page that is crowded the smaller text is tried before the page grows or loses names. */
static void arrange(Page *g)
{
    static const double smaller = 0.85;
    double full = g->zoom;
    for (;;) {
        double good;
        set_page(g);
        if (!g->s->n_panels)
            return;
        good = choose_arrangement(g);
        if (g->s->height_mm <= 0 || good >= (g->s->n_panels > 1 ? SIDE_MIN : SIDE_BESIDE) || g->zoom <= fmin(full, 1) + 1e-9)
            return;
        g->zoom = fmax(fmin(full, 1), g->zoom * smaller);
    }
}

static void choose_view(const Page *g, double box[4])
{
    const double *v = g->s->view;
    if (v[0] != v[2] && v[1] != v[3])
        memcpy(box, v, 4 * sizeof *v);
    else
        scatter_bounds(g->s, box);
}

static void place_data(Page *g)
{
    double box[4];
    choose_view(g, box);
    g->scale = g->side / fmax(box[2] - box[0], box[3] - box[1]);
    /* Equal aspect: the shorter side is centred. */
    g->x0 = (box[0] + box[2]) / 2 - g->side / g->scale / 2;
    g->y0 = (box[1] + box[3]) / 2 - g->side / g->scale / 2;
}

static bool names_have_room(const Page *g)
{
    if (g->s->legend != LEGEND_ON_DATA && g->s->legend != LEGEND_BOTH)
        return true;
    for (size_t k = 0; k < g->s->n_panels; k++)
        if (g->s->panels[k].codes && !scatter_labels_fit(g, &g->s->panels[k]))
            return false;
    return true;
}

static void fill_and_arrange(Page *g)
{
    for (size_t k = 0; k < n_legends(g); k++)
        fill_legend(g, &g->s->panels[k], &g->legends[k]);
    arrange(g);
    place_data(g);
}

void scatter_lay_out(Page *g)
{
    double zoom = g->p->zoom > 0 ? g->p->zoom : 1;
    g->shared = one_legend(g);
    g->zoom = zoom;
    fill_and_arrange(g);
    if (!names_have_room(g)) {
        g->numbered = true;
        g->zoom = zoom;
        fill_and_arrange(g);
    }
    if (g->height <= 0)
        g->height = 2 * MARGIN + g->content + g->caption_height;
    size_t finite = 0;
    for (size_t i = 0; i < g->s->n; i++)
        finite += scatter_finite(g->s->xy, i);
    scatter_choose_points(g, finite);
}

/* ---- drawing what was laid out ---- */

static Bar bar_of(const Page *g, const ScatterPanel *p)
{
    Range r = g->ranges[p - g->s->panels];
    Bar b = {.map = p->map, .lo = r.lo, .hi = r.hi, .unit = p->unit, .zero_grey = p->zero_grey};
    for (size_t k = 0; k < (g->shared ? g->s->n_panels : 1); k++)
        for (size_t i = 0; i < g->s->n; i++) {
            b.beyond_lo |= p[k].values[i] < b.lo;
            b.beyond_hi |= p[k].values[i] > b.hi;
        }
    return b;
}

void scatter_draw_legend(const Page *g, size_t k, double left, double top)
{
    const ScatterPanel *p = &g->s->panels[k];
    const Legend *l = &g->legends[k];
    bool alone = g->shared || (g->below && g->columns == 1);
    double x = alone ? g->legend_x : g->below ? left : left + g->side + LEGEND_GAP;
    double y = g->shared ? g->legend_y : g->below ? top + g->side + ARROW_ROOM + 2 : top;
    if (!g->shared && !g->below)
        x = left + g->side + LEGEND_GAP;
    if (scatter_has_bar(g, p)) {
        Bar b = bar_of(g, p);
        if (g->below)
            bar_draw_flat(g->d, &b, x, y, fmin(g->side, 110), fmax(g->side, 40));
        else
            bar_draw(g->d, &b, x, y + 2, bar_height(g));
        y += g->below ? FLAT_BAR + 4 : bar_height(g) + 10;
    }
    legend_draw(l, g->d, x, y);
}
