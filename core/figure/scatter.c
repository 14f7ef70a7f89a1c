/* Layout and drawing of an embedding plot. All lengths in points (1/72 inch).
 *
 * Layout: for every number of columns, with legends beside the plots or below them, the side of the square plots follows
 * from the page; a page of free height takes the most columns that keep the plots readable, a fixed one the largest plots. */
#include "core/figure/scatter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/scatter_page.h"

enum { VECTOR_POINTS_MAX = 5000 };
static const double MARGIN = 6, GAP = 10, TITLE_ROOM = 12, ARROW_ROOM = 11, LEGEND_GAP = 7, FLAT_BAR = 24, SIDE_MIN = 72,
                    SIDE_BESIDE = 105;

/* ---- numbers ---- */

bool scatter_finite(const float *xy, size_t i)
{
    return isfinite(xy[2 * i]) && isfinite(xy[2 * i + 1]);
}

static void grow_box(const float *xy, size_t n, double box[4])
{
    for (size_t i = 0; i < n; i++)
        if (scatter_finite(xy, i)) {
            box[0] = fmin(box[0], xy[2 * i]);
            box[1] = fmin(box[1], xy[2 * i + 1]);
            box[2] = fmax(box[2], xy[2 * i]);
            box[3] = fmax(box[3], xy[2 * i + 1]);
        }
}

static void choose_view(const Scatter *s, double box[4])
{
    const double *v = s->view;
    if (v[0] != v[2] && v[1] != v[3]) {
        memcpy(box, v, 4 * sizeof *v);
        return;
    }
    box[0] = box[1] = INFINITY;
    box[2] = box[3] = -INFINITY;
    grow_box(s->xy, s->n, box);
    grow_box(s->generated_xy, s->n_generated, box);
    if (!(box[0] <= box[2])) {
        box[0] = box[1] = -1;
        box[2] = box[3] = 1;
    }
    double pad = 0.03 * fmax(box[2] - box[0], box[3] - box[1]);
    pad = pad > 0 ? pad : 1;
    box[0] -= pad;
    box[1] -= pad;
    box[2] += pad;
    box[3] += pad;
}

static bool same_unit(const ScatterPanel *a, const ScatterPanel *b)
{
    return strcmp(a->unit ? a->unit : "", b->unit ? b->unit : "") == 0;
}

void scatter_range(const Scatter *s, const ScatterPanel *p, double *lo, double *hi)
{
    *lo = p->vmin;
    *hi = p->vmax;
    if (*lo < *hi)
        return;
    *lo = INFINITY;
    *hi = -INFINITY;
    for (size_t k = 0; k < s->n_panels; k++) {
        const ScatterPanel *q = &s->panels[k];
        if (!q->values || q->codes || !same_unit(p, q) || (k && q->values == q[-1].values))
            continue;
        for (size_t i = 0; i < s->n; i++)
            if (isfinite(q->values[i])) {
                *lo = fmin(*lo, q->values[i]);
                *hi = fmax(*hi, q->values[i]);
            }
    }
    if (!(*lo <= *hi))
        *lo = *hi = 0;
    if (*lo == *hi)
        *hi = *lo + 1;
}

/* ---- legends ---- */

/* Cells of each group, [n_groups] missing ones, in the panel (or in all that share its legend). */
static void count_cells(const Page *g, const ScatterPanel *p, size_t *sizes)
{
    const Scatter *s = g->s;
    size_t n_panels = g->shared && p->in ? s->n_panels : 1;
    for (size_t k = 0; k < n_panels; k++)
        for (size_t i = 0; i < s->n; i++) {
            bool missing = p->codes ? p->codes[i] < 0 : p->values && !isfinite(p->values[i]);
            if (scatter_finite(s->xy, i) && (!p[k].in || p[k].in[i]))
                sizes[missing ? p->n_groups : p->codes ? (size_t)p->codes[i] : 0] += missing || p->codes;
        }
}

static void add_counted(Legend *l, int glyph, uint32_t color, const char *name, size_t cells)
{
    char *count = count_text(cells), *text = str_format("%s (%s)", name, count);
    legend_add(l, glyph, color, text);
    free(text);
    free(count);
}

static void fill_legend(const Page *g, const ScatterPanel *p, Legend *l)
{
    LegendPlace place = g->s->legend;
    if (place == LEGEND_NONE)
        return;
    size_t *sizes = mem_must((p->n_groups + 1) * sizeof *sizes);
    count_cells(g, p, sizes);
    for (size_t k = 0; p->codes && place != LEGEND_ON_DATA && k < p->n_groups; k++)
        if (sizes[k] && (!p->highlight || p->highlight[k]))
            add_counted(l, palette_glyph(k, p->n_groups), p->colors[k], p->names[k], sizes[k]);
    if (sizes[p->n_groups])
        add_counted(l, 0, COLOR_MISSING, "NA", sizes[p->n_groups]);
    free(sizes);
    if (g->s->n_generated)
        legend_add(l, 1, FIGURE_INK, g->s->generated_label);
}

static bool has_bar(const Page *g, const ScatterPanel *p)
{
    return p->values && !p->codes && g->s->legend != LEGEND_NONE;
}

static Bar bar_of(const Page *g, const ScatterPanel *p)
{
    Bar b = {.map = p->map, .unit = p->unit, .zero_grey = p->zero_grey};
    scatter_range(g->s, p, &b.lo, &b.hi);
    return b;
}

static double bar_height(const Page *g)
{
    return fmin(90, g->side * 0.62);
}

/* All panels show the same groups, or numbers on one scale. */
static bool one_legend(const Page *g)
{
    const Scatter *s = g->s;
    const ScatterPanel *a = s->panels;
    double lo, hi, lo2, hi2;
    if (s->n_panels < 2 || s->legend == LEGEND_NONE)
        return false;
    for (size_t k = 1; k < s->n_panels; k++) {
        const ScatterPanel *b = &s->panels[k];
        if (a->codes || b->codes) {
            if (a->codes != b->codes || a->names != b->names)
                return false;
        } else if (a->values && b->values) {
            scatter_range(s, a, &lo, &hi);
            scatter_range(s, b, &lo2, &hi2);
            if (lo != lo2 || hi != hi2 || a->map != b->map || a->zero_grey != b->zero_grey || !same_unit(a, b))
                return false;
        } else if (a->values != b->values) {
            return false;
        }
    }
    return true;
}

/* ---- layout ---- */

/* Room for the legend of panel k beside its plot. */
static double beside_width(const Page *g, size_t k)
{
    double w = g->legends[k].n ? g->legends[k].width : 0;
    return has_bar(g, &g->s->panels[k]) ? fmax(w, BAR_ROOM) : w;
}

static double below_height(const Page *g, size_t k)
{
    double bar = has_bar(g, &g->s->panels[k]) ? FLAT_BAR : 0;
    return bar + (g->legends[k].n ? g->legends[k].height + (bar > 0 ? 4 : 0) : 0);
}

static double beside_height(const Page *g, size_t k)
{
    double bar = has_bar(g, &g->s->panels[k]) ? bar_height(g) + 10 : 0;
    return bar + (g->legends[k].n ? g->legends[k].height : 0);
}

static size_t n_legends(const Page *g)
{
    return g->shared ? g->s->n_panels > 0 : g->s->n_panels;
}

/* Fits the legends beside plots of about g->side; returns the width that a column of panels (all, when shared) gives them. */
static double fit_beside(Page *g, double cell, double max_height, double *widths)
{
    double total = 0;
    for (int c = 0; c < g->columns; c++)
        widths[c] = 0;
    for (size_t k = 0; k < n_legends(g); k++) {
        double used = has_bar(g, &g->s->panels[k]) ? bar_height(g) + 10 : 0;
        legend_fit_beside(&g->legends[k], g->d, fmax(56, cell * 0.42), fmax(20, max_height - used));
        double w = beside_width(g, k);
        int c = (int)(k % (size_t)g->columns);
        widths[c] = fmax(widths[c], w > 0 ? w + LEGEND_GAP : 0);
    }
    for (int c = 0; c < g->columns; c++)
        total += widths[c];
    return total;
}

static void set_places(Page *g, const double *widths, double ox, double oy, double row_step)
{
    double x = ox;
    for (int c = 0; c < g->columns; c++) {
        g->column_x[c] = x;
        x += g->side + (g->shared ? 0 : widths[c]) + GAP;
    }
    for (int r = 0; r < g->rows; r++)
        g->row_y[r] = oy + TITLE_ROOM + r * row_step;
    if (!g->shared)
        return;
    g->legend_x = g->below ? ox : x - GAP + LEGEND_GAP;
    g->legend_y = g->below ? oy + g->rows * row_step - GAP + ARROW_ROOM + 2 : oy + TITLE_ROOM;
}

/* Sets everything for `columns` and legends beside or below. False when something has no room. */
static bool attempt(Page *g, int columns, bool below)
{
    const Scatter *s = g->s;
    int n = (int)s->n_panels;
    double free_width = g->width - 2 * MARGIN - ARROW_ROOM, free_height = g->height > 0 ? g->height - 2 * MARGIN - g->caption_height : 0;
    g->columns = columns;
    g->rows = (n + columns - 1) / columns;
    g->below = below;
    double plots = free_width - (columns - 1) * GAP, row_room = free_height > 0 ? (free_height - ARROW_ROOM - (g->rows - 1) * GAP) / g->rows : 1e9;
    double *widths = mem_must((size_t)columns * sizeof *widths), legend_height = 0, needed = 0;
    double cell = g->shared ? free_width * 0.7 : free_width / columns;
    g->side = fmin(plots / columns * 0.62, row_room - TITLE_ROOM);
    for (int round = 0; round < 4; round++) {
        double taken = 0;
        legend_height = needed = 0;
        if (below) {
            for (size_t k = 0; k < n_legends(g); k++) {
                double room = g->shared ? free_width : g->side, most = free_height > 0 ? 0.5 * (g->shared ? free_height : row_room) : 0;
                legend_fit_below(&g->legends[k], g->d, room, most);
                legend_height = fmax(legend_height, below_height(g, k) + 4);
            }
        } else {
            double most = g->shared ? g->rows * (g->side + TITLE_ROOM + GAP) - TITLE_ROOM - GAP : g->side + ARROW_ROOM;
            taken = fit_beside(g, cell, free_height > 0 ? (g->shared ? free_height : row_room) - TITLE_ROOM : fmax(most, 60), widths);
            for (size_t k = 0; k < n_legends(g); k++)
                needed = fmax(needed, beside_height(g, k));
        }
        g->side = (plots - taken) / columns;
        double high = row_room - TITLE_ROOM - (below ? (g->shared ? legend_height / g->rows : legend_height + ARROW_ROOM) : 0);
        g->side = fmin(g->side, high);
    }
    bool good = g->side >= 24;
    double step = TITLE_ROOM + g->side + GAP + (below && !g->shared ? legend_height + ARROW_ROOM : 0);
    if (!below && !g->shared)
        step = fmax(step, TITLE_ROOM + GAP + needed - ARROW_ROOM);
    double content = g->rows * step - GAP + (below && !g->shared ? 0 : ARROW_ROOM) + (below && g->shared ? legend_height : 0);
    if (!below && g->shared)
        content = fmax(content, TITLE_ROOM + needed);
    double wide = columns * g->side + (columns - 1) * GAP;
    for (int c = 0; c < columns; c++)
        wide += widths[c];
    good = good && (free_height <= 0 || content <= free_height + 0.5) && wide <= free_width + 0.5;
    free(g->column_x);
    free(g->row_y);
    g->column_x = mem_must((size_t)columns * sizeof(double));
    g->row_y = mem_must((size_t)g->rows * sizeof(double));
    double slack = fmax(0, free_width - wide) / 2;
    set_places(g, widths, MARGIN + ARROW_ROOM + slack, MARGIN + (free_height > 0 ? fmax(0, free_height - content) / 2 : 0), step);
    g->content = content;
    free(widths);
    return good;
}

/* How good the last attempt is. Fixed height: the larger plots. Free height: readable plots first, then few rows; a list of names
 * may stand beside the plots only while they stay large. */
static double worth(const Page *g, bool fixed)
{
    bool lists = false;
    for (size_t k = 0; k < n_legends(g); k++)
        lists |= g->legends[k].n > 1;
    double least = lists && !g->below ? SIDE_BESIDE : SIDE_MIN;
    if (fixed || g->side < least)
        return g->side * (fixed ? 1 : 1e-3);
    return 10 * g->columns + !g->below;
}

static void choose_arrangement(Page *g)
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
    if (best_columns == 0) { /* nothing has room: the page grows */
        g->height = 0;
        best_columns = least;
        best_below = true;
    }
    (void)attempt(g, best_columns, best_below);
    if (g->height <= 0)
        g->height = 2 * MARGIN + g->content + g->caption_height;
}

static void lay_out(Page *g)
{
    const Scatter *s = g->s;
    TextStyle style = {.size = FIGURE_TEXT};
    double zoom = g->p->zoom > 0 ? g->p->zoom : 1;
    g->width = s->width_mm * 72 / 25.4 / zoom;
    g->height = s->height_mm * 72 / 25.4 / zoom;
    if (s->caption && s->caption[0])
        g->n_caption = wrap_text(g->d, &style, g->width - 2 * MARGIN, s->caption, g->caption_lines, 6);
    g->caption_height = g->n_caption ? g->n_caption * FIGURE_TEXT * 1.3 + 5 : 0;
    g->shared = one_legend(g);
    for (size_t k = 0; k < n_legends(g); k++)
        fill_legend(g, &s->panels[k], &g->legends[k]);
    if (s->n_panels)
        choose_arrangement(g);
    else if (g->height <= 0)
        g->height = 2 * MARGIN + g->caption_height;
    double box[4];
    choose_view(s, box);
    g->scale = g->side / fmax(box[2] - box[0], box[3] - box[1]);
    /* Equal aspect: the shorter side is centred. */
    g->x0 = (box[0] + box[2]) / 2 - g->side / g->scale / 2;
    g->y0 = (box[1] + box[3]) / 2 - g->side / g->scale / 2;
    size_t finite = 0;
    for (size_t i = 0; i < s->n; i++)
        finite += scatter_finite(s->xy, i);
    /* scanpy's rule is for a plot of about 4 inches; smaller plots get smaller points. */
    g->point = fmax(0.3, scatter_point_diameter(finite, s->point_scale) * fmin(1, g->side / 260));
    int choice = g->p->vector_points;
    g->raster = !draw_is_vector(g->d) || choice == 0 || (choice < 0 && finite > VECTOR_POINTS_MAX);
}

/* ---- around the points ---- */

static void draw_arrows(const Page *g, double left, double top)
{
    double n = fmin(40, fmax(14, g->side * 0.14)), x = left - ARROW_ROOM / 2 + 2, y = top + g->side + ARROW_ROOM / 2 - 2;
    TextStyle style = {.size = FIGURE_TEXT_MIN + 0.5, .color = FIGURE_INK};
    char *one = str_format("%s1", g->s->basis), *two = str_format("%s2", g->s->basis);
    draw_arrow(g->d, x, y, x + n, y, 0.6, FIGURE_INK);
    draw_arrow(g->d, x, y, x, y - n, 0.6, FIGURE_INK);
    draw_text(g->d, x, y + style.size + 0.5, &style, one);
    style.rotate = 90;
    draw_text(g->d, x - 1.6, y, &style, two);
    free(one);
    free(two);
}

static void draw_axes(const Page *g, size_t k, double left, double top)
{
    bool corner = k % (size_t)g->columns == 0 && (k + (size_t)g->columns >= g->s->n_panels);
    if (g->s->frame == FRAME_ARROWS && corner)
        draw_arrows(g, left, top);
    if (g->s->frame != FRAME_FULL)
        return;
    TextStyle style = {.size = FIGURE_TEXT_MIN + 0.5, .color = FIGURE_INK, .align = ALIGN_CENTER};
    char *one = str_format("%s1", g->s->basis), *two = str_format("%s2", g->s->basis);
    draw_frame(g->d, left, top, g->side, g->side, 0.5, FIGURE_FAINT);
    draw_text(g->d, left + g->side / 2, top + g->side + style.size + 2, &style, one);
    style.rotate = 90;
    if (k % (size_t)g->columns == 0)
        draw_text(g->d, left - 3, top + g->side / 2, &style, two);
    free(one);
    free(two);
}

static void draw_legend(const Page *g, size_t k, double left, double top)
{
    const ScatterPanel *p = &g->s->panels[k];
    const Legend *l = &g->legends[k];
    double x = g->shared ? g->legend_x : g->below ? left : left + g->side + LEGEND_GAP;
    double y = g->shared ? g->legend_y : g->below ? top + g->side + ARROW_ROOM + 2 : top;
    if (has_bar(g, p)) {
        Bar b = bar_of(g, p);
        if (g->below)
            bar_draw_flat(g->d, &b, x, y, fmin(g->side, 110), fmax(g->side, 40));
        else
            bar_draw(g->d, &b, x, y + 2, bar_height(g));
        y += g->below ? FLAT_BAR + 4 : bar_height(g) + 10;
    }
    legend_draw(l, g->d, x, y);
}

static void draw_title(const Page *g, size_t k, double left, double top)
{
    const ScatterPanel *p = &g->s->panels[k];
    TextStyle style = {.size = FIGURE_TITLE, .italic = p->italic_title, .align = ALIGN_CENTER, .color = FIGURE_INK};
    TextStyle letter = {.size = FIGURE_TITLE + 1, .bold = true, .color = FIGURE_INK};
    if (p->title) {
        char *text = shorten_text(g->d, &style, g->side + (g->shared ? 0 : 20), p->title);
        draw_text(g->d, left + g->side / 2, top - 4, &style, text);
        free(text);
    }
    if (g->s->letters && g->s->n_panels > 1 && k < 26)
        draw_text(g->d, left - ARROW_ROOM + 3, top - 4, &letter, (char[]){(char)('a' + k), 0});
}

static Err draw_panel(const Page *g, size_t k, JobCtl *ctl)
{
    const ScatterPanel *p = &g->s->panels[k];
    double left = g->column_x[k % (size_t)g->columns], top = g->row_y[k / (size_t)g->columns];
    LegendPlace place = g->s->legend;
    draw_title(g, k, left, top);
    TRY(scatter_draw_points(g, p, left, top, ctl));
    if (p->codes && (place == LEGEND_ON_DATA || place == LEGEND_BOTH))
        TRY(scatter_draw_labels(g, p, left, top));
    draw_axes(g, k, left, top);
    if (k < n_legends(g))
        draw_legend(g, k, left, top);
    return OK;
}

static void draw_caption(const Page *g)
{
    TextStyle style = {.size = FIGURE_TEXT, .color = 0x555555};
    double y = g->height - MARGIN - (g->n_caption - 1) * FIGURE_TEXT * 1.3;
    for (int k = 0; k < g->n_caption; k++)
        draw_text(g->d, MARGIN, y + k * FIGURE_TEXT * 1.3, &style, g->caption_lines[k]);
}

Err scatter_render(const Scatter *s, const char *path, const RenderParams *p, JobCtl *ctl)
{
    Err err = OK;
    Page g = {.s = s, .p = p};
    g.legends = mem_must(s->n_panels * sizeof *g.legends + 1);
    job_stage(ctl, "figure", s->n);
    /* Text is measured on a page that is thrown away: the height follows from the legends. */
    TRY_GOTO(draw_open(path, &(DrawParams){.width = 10, .height = 10, .dpi = 72, .force = p->force}, &g.d));
    lay_out(&g);
    draw_abandon(g.d);
    g.d = NULL;
    DrawParams page = draw_params(g.width, g.height, s->n_panels ? s->panels[0].title : NULL, p);
    TRY_GOTO(draw_open(path, &page, &g.d));
    for (size_t k = 0; k < s->n_panels; k++)
        TRY_GOTO(draw_panel(&g, k, ctl));
    draw_caption(&g);
    err = draw_close(g.d);
    g.d = NULL;
done:
    draw_abandon(g.d);
    for (size_t k = 0; k < s->n_panels; k++)
        legend_done(&g.legends[k]);
    for (int k = 0; k < g.n_caption; k++)
        free(g.caption_lines[k]);
    free(g.legends);
    free(g.column_x);
    free(g.row_y);
    return err;
}
