/* Violins: groups side by side, one row of them for each gene or number. */
#include "core/figure/chart_page.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const double ROW = 46, ROW_GAP = 7, ROW_MIN = 18, TITLE_ROOM = 10, SLOT_MIN = 5, SLOT_MAX = 34;

typedef struct Violins {
    const ViolinPlot *v;
    ChartPage page;
    size_t *shown, n;
    double left, top, slot, row, tick_width, name_height;
    bool turned; /* group names stand */
} Violins;

static double name_size(const Violins *c)
{
    return c->slot < FIGURE_TEXT * 1.1 ? FIGURE_TEXT_MIN : FIGURE_TEXT;
}

static double name_room(Violins *c)
{
    TextStyle style = {.size = FIGURE_TEXT};
    double widest = 0, longest = 0;
    for (size_t i = 0; i < c->n; i++) {
        const char *name = group_text(c->v->groups.names[c->shown[i]]);
        widest = fmax(widest, draw_text_width(c->page.d, &style, name));
        longest = fmax(longest, chart_upright_length(c->page.d, name_size(c), name, c->slot - 1, UPRIGHT_MOST));
    }
    c->turned = widest > c->slot - 2;
    return c->turned ? longest + 5.5 : FIGURE_TEXT + 5;
}

static Err choose_sizes(Violins *c)
{
    const ViolinPlot *v = c->v;
    ChartPage *page = &c->page;
    c->tick_width = 20;
    double room = page->width - 2 * CHART_MARGIN - TITLE_ROOM - c->tick_width;
    c->slot = fmin(v->height_mm > 0 ? 60 : SLOT_MAX, room / (double)(c->n ? c->n : 1));
    if (c->slot < SLOT_MIN)
        FAIL(ERR_USAGE, "%zu groups have no room in a figure %.0f mm wide; use a larger --size, or a column with fewer groups", c->n, v->width_mm);
    c->name_height = name_room(c);
    double around = 2 * CHART_MARGIN + c->name_height + page->caption_height + 3, gaps = (double)(v->n_rows - 1) * ROW_GAP;
    c->row = ROW;
    if (page->height > 0)
        c->row = (page->height - around - gaps) / (double)v->n_rows;
    else
        page->height = around + gaps + ROW * (double)v->n_rows;
    if (c->row < ROW_MIN)
        FAIL(ERR_USAGE, "%zu rows have no room in a figure %.0f mm high; a higher --size, or a width alone", v->n_rows, v->height_mm);
    c->left = CHART_MARGIN + TITLE_ROOM + c->tick_width + fmax(0, room - c->slot * (double)c->n) / 2;
    c->top = CHART_MARGIN + 3;
    return OK;
}

static double height_of(const Violins *c, double value, double lo, double hi)
{
    return c->row * (1 - (value - lo) / (hi - lo));
}

static void draw_violin(const Violins *c, const Spread *s, double x, double y, double lo, double hi, uint32_t color)
{
    Draw *d = c->page.d;
    double xy[4 * DENSITY_POINTS], half = fmin(c->slot * 0.44, 13);
    if (s->n == 0)
        return;
    double y_median = y + height_of(c, s->median, lo, hi);
    if (s->max > s->min) {
        for (int k = 0; k < DENSITY_POINTS; k++) {
            double at = y + height_of(c, s->min + (s->max - s->min) * k / (DENSITY_POINTS - 1), lo, hi), w = fmax(0.25, half * s->density[k]);
            xy[2 * k] = x - w;
            xy[4 * DENSITY_POINTS - 2 - 2 * k] = x + w;
            xy[2 * k + 1] = xy[4 * DENSITY_POINTS - 1 - 2 * k] = at;
        }
        draw_polygon(d, xy, 2 * DENSITY_POINTS, color);
        draw_outline(d, xy, 2 * DENSITY_POINTS, 0.5, 0x404040);
    } else {
        draw_line(d, x - half, y_median, x + half, y_median, 1, color);
    }
    double q1 = y + height_of(c, s->q1, lo, hi), q3 = y + height_of(c, s->q3, lo, hi);
    draw_line(d, x, q1, x, q3, 1.5, FIGURE_INK);
    draw_glyph(d, 0, x, y_median, 2.6, FIGURE_INK);
    draw_glyph(d, 0, x, y_median, 1.8, 0xFFFFFF);
}

static void draw_row(const Violins *c, size_t r)
{
    const ViolinPlot *v = c->v;
    Draw *d = c->page.d;
    const Distribution *dist = &v->values[r];
    double y = c->top + (double)r * (c->row + ROW_GAP), ticks[5], lo = fmin(0, dist->lo), hi = dist->hi;
    double wide = c->slot * (double)c->n;
    char text[32];
    TextStyle small = {.size = FIGURE_TEXT - 0.5, .align = ALIGN_RIGHT, .color = FIGURE_INK};
    TextStyle title = {.size = FIGURE_TEXT + 0.5, .italic = v->italic[r], .align = ALIGN_CENTER, .rotate = 90, .color = FIGURE_INK};
    if (dist->lo > 0 && dist->lo > 0.5 * dist->hi)
        lo = dist->lo - 0.05 * (dist->hi - dist->lo);
    if (!(hi > lo))
        hi = lo + 1;
    int n = axis_ticks(lo, hi, 4, ticks);
    int power;
    char *full = axis_unit(v->titles[r], lo, hi, &power);
    double by = pow(10, -power), step = by * (n > 1 ? ticks[1] - ticks[0] : fabs(ticks[0]));
    for (int k = 0; k < n; k++) {
        double at = y + height_of(c, ticks[k], lo, hi);
        axis_text(ticks[k] * by, step, text, sizeof text);
        draw_line(d, c->left, at, c->left + wide, at, 0.5, 0xE4E4E4);
        draw_line(d, c->left - 2, at, c->left, at, 0.5, FIGURE_INK);
        draw_text(d, c->left - 3.5, at + small.size * 0.36, &small, text);
    }
    for (size_t i = 0; i < c->n; i++)
        draw_violin(c, &dist->groups[c->shown[i]], c->left + ((double)i + 0.5) * c->slot, y, lo, hi, v->groups.colors[c->shown[i]]);
    draw_line(d, c->left, y, c->left, y + c->row, 0.5, FIGURE_INK);
    draw_line(d, c->left, y + c->row, c->left + wide, y + c->row, 0.5, FIGURE_INK);
    char *name = shorten_text(d, &title, c->row + ROW_GAP - 1, full);
    draw_text(d, c->left - c->tick_width - 2, y + c->row / 2, &title, name);
    free(name);
    free(full);
}

static void draw_names(const Violins *c)
{
    double y = c->top + (double)c->v->n_rows * (c->row + ROW_GAP) - ROW_GAP + 4;
    TextStyle style = {.size = FIGURE_TEXT, .align = ALIGN_CENTER, .color = FIGURE_INK};
    for (size_t i = 0; i < c->n; i++) {
        double x = c->left + ((double)i + 0.5) * c->slot;
        const char *name = group_text(c->v->groups.names[c->shown[i]]);
        if (c->turned)
            chart_draw_upright(c->page.d, name_size(c), name, x, y, c->name_height - 5, c->slot - 1, false);
        else
            draw_text(c->page.d, x, y + style.size, &style, name);
    }
}

static Err draw_violins(const void *plot, const char *path, const RenderParams *p, JobCtl *ctl)
{
    const ViolinPlot *v = plot;
    Err err = OK;
    Violins c = {.v = v};
    job_stage(ctl, "figure", v->n_rows);
    TRY_GOTO(chart_measure(&c.page, path, p, v->width_mm, v->height_mm, v->caption));
    TRY_GOTO(NEW(c.shown, v->groups.n));
    c.n = chart_shown(&v->groups, c.shown);
    TRY_GOTO(choose_sizes(&c));
    TRY_GOTO(chart_begin(&c.page, path, v->groups.key));
    for (size_t r = 0; r < v->n_rows; r++) {
        draw_row(&c, r);
        TRY_GOTO(job_progress(ctl, r));
    }
    draw_names(&c);
    err = chart_end(&c.page);
done:
    chart_abandon(&c.page);
    free(c.shown);
    return err;
}

Err violin_render(const ViolinPlot *v, const char *path, const RenderParams *p, JobCtl *ctl)
{
    ViolinPlot copy = *v;
    return chart_with_room(draw_violins, &copy, &copy.height_mm, path, p, ctl);
}
