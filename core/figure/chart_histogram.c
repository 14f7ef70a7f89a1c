/* Histograms: numbers side by side, groups (or all cells) one below the other, on one axis for each number. */
#include "core/figure/chart_page.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const double ROW = 30, ROW_ALONE = 84, ROW_MIN = 14, ROW_GAP = 5, COLUMN_GAP = 22, COLUMN_MIN = 48, TICKS = 18, AXIS_ROOM = 23;

typedef struct Histograms {
    const HistogramPlot *h;
    ChartPage page;
    RowLabel *labels;
    size_t *shown, n;
    double left, top, width, row, names; /* of one panel; names: width of the groups' names */
} Histograms;

static Err choose_sizes(Histograms *c)
{
    const HistogramPlot *h = c->h;
    ChartPage *page = &c->page;
    double gaps = (double)(h->n_values - 1) * (COLUMN_GAP + TICKS), left = CHART_MARGIN + c->names + (c->names > 0 ? 5 : 9) + TICKS;
    double rows = (double)(c->n ? c->n : 1), around = 2 * CHART_MARGIN + page->caption_height + AXIS_ROOM + (rows - 1) * ROW_GAP + 3;
    c->left = left;
    c->width = (page->width - CHART_MARGIN - left - gaps) / (double)h->n_values;
    if (c->width < COLUMN_MIN)
        FAIL(ERR_USAGE, "%zu histograms side by side have no room in a figure %.0f mm wide; fewer of them or a larger --size", h->n_values, h->width_mm);
    c->row = c->n > 1 ? ROW : ROW_ALONE;
    if (page->height > 0)
        c->row = (page->height - around) / rows;
    else
        page->height = around + c->row * rows;
    if (c->row < ROW_MIN)
        FAIL(ERR_USAGE, "%zu groups have no room in a figure %.0f mm high; a higher --size, or a width alone", c->n, h->height_mm);
    if (c->labels)
        chart_row_labels_fit(page->d, &h->groups, c->names, c->row + ROW_GAP, c->labels);
    c->top = CHART_MARGIN + 3;
    return OK;
}

static double panel_left(const Histograms *c, size_t v)
{
    return c->left + (double)v * (c->width + COLUMN_GAP + TICKS);
}

static void draw_counts(const Histograms *c, double x, double y, double most)
{
    Draw *d = c->page.d;
    double ticks[4], step;
    char text[32];
    TextStyle style = {.size = FIGURE_TEXT - 0.5, .align = ALIGN_RIGHT, .color = FIGURE_INK};
    int n = axis_ticks(0, most, c->row > 60 ? 4 : 2, ticks);
    step = n > 1 ? ticks[1] - ticks[0] : 1;
    for (int k = 0; k < n; k++) {
        double at = y + c->row * (1 - ticks[k] / most);
        axis_text(ticks[k], step, text, sizeof text);
        draw_line(d, x - 2, at, x, at, 0.5, FIGURE_INK);
        draw_text(d, x - 3.5, at + style.size * 0.36, &style, text);
    }
    draw_line(d, x, y, x, y + c->row, 0.5, FIGURE_INK);
}

static void draw_panel(const Histograms *c, size_t v, size_t i)
{
    Draw *d = c->page.d;
    const Distribution *dist = &c->h->values[v];
    const Spread *s = &dist->groups[c->shown[i]];
    double x = panel_left(c, v), y = c->top + (double)i * (c->row + ROW_GAP), most = 1, step = c->width / HISTOGRAM_BINS;
    for (int b = 0; b < HISTOGRAM_BINS; b++)
        most = fmax(most, s->bins[b]);
    for (int b = 0; b < HISTOGRAM_BINS; b++)
        if (s->bins[b])
            draw_rect(d, x + b * step, y + c->row * (1 - s->bins[b] / most), step * 0.92, c->row * s->bins[b] / most,
                      c->h->groups.colors[c->shown[i]]);
    draw_line(d, x, y + c->row, x + c->width, y + c->row, 0.5, FIGURE_INK);
    draw_counts(c, x, y, most);
    if (s->n && dist->hi > dist->lo) {
        double at = x + c->width * (s->median - dist->lo) / (dist->hi - dist->lo);
        draw_line(d, at, y, at, y + c->row, 1.2, 0xFFFFFF);
        draw_line(d, at, y, at, y + c->row, 0.7, FIGURE_INK);
    }
}

static void draw_axis(const Histograms *c, size_t v)
{
    Draw *d = c->page.d;
    const Distribution *dist = &c->h->values[v];
    double ticks[5], x = panel_left(c, v), y = c->top + (double)c->n * (c->row + ROW_GAP) - ROW_GAP;
    char text[32], *unit, *title;
    int power, n = axis_ticks(dist->lo, dist->hi, c->width > 90 ? 5 : 3, ticks);
    TextStyle style = {.size = FIGURE_TEXT - 0.5, .align = ALIGN_CENTER, .color = FIGURE_INK};
    TextStyle name = {.size = FIGURE_TEXT + 0.5, .align = ALIGN_CENTER, .italic = c->h->italic[v], .color = FIGURE_INK};
    unit = axis_unit(c->h->units[v], dist->lo, dist->hi, &power);
    double by = pow(10, -power), step = by * (n > 1 ? ticks[1] - ticks[0] : fabs(ticks[0]));
    for (int k = 0; k < n && dist->hi > dist->lo; k++) {
        double at = x + c->width * (ticks[k] - dist->lo) / (dist->hi - dist->lo);
        axis_text(ticks[k] * by, step, text, sizeof text);
        draw_line(d, at, y, at, y + 2, 0.5, FIGURE_INK);
        draw_text(d, at, y + 2.5 + style.size, &style, text);
    }
    title = str_format("%s%s%s", c->h->titles[v], unit[0] ? ", " : "", unit);
    char *shown = shorten_text(d, &name, c->width + COLUMN_GAP, title);
    draw_text(d, x + c->width / 2, y + 5 + style.size + name.size, &name, shown);
    free(shown);
    free(title);
    free(unit);
}

static Err draw_plot(const void *plot, const char *path, const RenderParams *p, JobCtl *ctl)
{
    const HistogramPlot *h = plot;
    Err err = OK;
    Histograms c = {.h = h};
    TextStyle cells = {.size = FIGURE_TEXT, .align = ALIGN_CENTER, .rotate = 90, .color = FIGURE_INK};
    job_stage(ctl, "figure", h->n_values);
    TRY_GOTO(chart_measure(&c.page, path, p, h->width_mm, h->height_mm, h->caption));
    TRY_GOTO(NEW(c.shown, h->groups.n));
    c.n = chart_shown(&h->groups, c.shown);
    if (c.n > 1 || !h->alone)
        TRY_GOTO(chart_row_labels(c.page.d, &h->groups, c.page.width * 0.28, &c.labels, &c.names));
    TRY_GOTO(choose_sizes(&c));
    TRY_GOTO(chart_begin(&c.page, path, h->titles[0]));
    for (size_t v = 0; v < h->n_values; v++) {
        for (size_t i = 0; i < c.n; i++)
            draw_panel(&c, v, i);
        draw_axis(&c, v);
        TRY_GOTO(job_progress(ctl, v));
    }
    for (size_t i = 0; c.labels && i < c.n; i++)
        chart_draw_row_label(c.page.d, &c.labels[c.shown[i]], c.left - TICKS - 5, c.top + (double)i * (c.row + ROW_GAP) + c.row / 2);
    if (!c.labels)
        draw_text(c.page.d, CHART_MARGIN + cells.size, c.top + c.row / 2, &cells, "cells");
    err = chart_end(&c.page);
done:
    chart_abandon(&c.page);
    chart_row_labels_free(c.labels, h->groups.n);
    free(c.shown);
    return err;
}

Err histogram_render(const HistogramPlot *h, const char *path, const RenderParams *p, JobCtl *ctl)
{
    HistogramPlot copy = *h;
    return chart_with_room(draw_plot, &copy, &copy.height_mm, path, p, ctl);
}
