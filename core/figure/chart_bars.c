/* Composition: a lying bar for each row (a sample), stacked by part (a cell type). */
#include "core/figure/chart_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const double ROW = 13, ROW_MAX = 30, ROW_MIN = 7, AXIS_ROOM = 20, BARS_MIN = 90, KEY_GAP = 12;

typedef struct Bars {
    const BarPlot *b;
    ChartPage page;
    RowLabel *labels;
    Legend legend;
    size_t *shown, n;
    double left, top, width, row, longest; /* longest: cells of the longest bar (1 for shares) */
    bool below;
} Bars;

static size_t row_total(const BarPlot *b, size_t r)
{
    size_t sum = 0;
    for (size_t p = 0; p < b->parts.n; p++)
        sum += b->counts[r * b->parts.n + p];
    return sum;
}

static void fill_legend(Bars *c)
{
    const ChartGroups *parts = &c->b->parts;
    if (!parts->key)
        return;
    c->legend.title = parts->key;
    for (size_t p = 0; p < parts->n; p++) {
        size_t cells = 0;
        for (size_t r = 0; r < c->b->rows.n; r++)
            cells += c->b->counts[r * parts->n + p];
        if (!cells)
            continue;
        char *count = count_text(cells), *text = str_format("%s (%s)", group_text(parts->names[p]), count);
        legend_add(&c->legend, GLYPH_SWATCH + palette_repeat(p, parts->n), parts->colors[p], text);
        free(text);
        free(count);
    }
}

static Err choose_sizes(Bars *c, double label_width)
{
    ChartPage *page = &c->page;
    double room = page->width - 2 * CHART_MARGIN - label_width - 5, rows = (double)(c->n ? c->n : 1);
    double high = page->height > 0 ? page->height - 2 * CHART_MARGIN - page->caption_height : fmax(ROW * rows + AXIS_ROOM, 130);
    legend_fit_beside(&c->legend, page->d, page->width * 0.34, high);
    c->width = room - c->legend.width - KEY_GAP;
    c->below = c->width < BARS_MIN || c->legend.height > high + 1;
    if (c->below) {
        legend_fit_below(&c->legend, page->d, page->width - 2 * CHART_MARGIN, page->height > 0 ? high * 0.5 : 0);
        c->width = room - 6;
    }
    double under = c->below ? c->legend.height + 8 : 0, around = 2 * CHART_MARGIN + page->caption_height + AXIS_ROOM;
    c->row = ROW;
    if (page->height > 0) {
        c->row = fmin(ROW_MAX, (page->height - around - under) / rows);
        if (c->row < ROW_MIN)
            FAIL(ERR_USAGE, "%zu rows have no room in a figure %.0f mm high; a higher --size, or a width alone", c->n, c->b->height_mm);
    } else {
        page->height = around + under + ROW * rows;
        if (!c->below)
            page->height = fmax(page->height, 2 * CHART_MARGIN + page->caption_height + c->legend.height + 4);
    }
    if (c->b->height_mm > 0)
        chart_row_labels_fit(page->d, &c->b->rows, label_width, c->row, c->labels);
    if (c->legend.n < c->legend.total && page->p->zoom > 1)
        FAIL(ERR_USAGE, "%zu names have no room in text of this size; use a larger --size", c->legend.total);
    c->left = CHART_MARGIN + label_width + 5;
    c->top = CHART_MARGIN;
    return OK;
}

static void draw_bar(const Bars *c, size_t i)
{
    const BarPlot *b = c->b;
    Draw *d = c->page.d;
    size_t r = c->shown[i], total = row_total(b, r), before = 0;
    double y = c->top + ((double)i + 0.09) * c->row, h = c->row * 0.82;
    double scale = c->width / (b->absolute ? c->longest : total ? (double)total : 1);
    TextStyle style = {.size = FIGURE_TEXT_MIN + 0.5, .align = ALIGN_CENTER};
    for (size_t p = 0; p < b->parts.n; p++) {
        size_t cells = b->counts[r * b->parts.n + p];
        double x = c->left + (double)before * scale, w = (double)cells * scale;
        char text[32];
        before += cells;
        if (!cells)
            continue;
        draw_swatch(d, x, y, w, h, b->parts.colors[p], palette_repeat(p, b->parts.n));
        if (before < total && w > 0.6)
            draw_rect(d, x + w - 0.4, y, 0.4, h, 0xFFFFFF);
        snprintf(text, sizeof text, "%.0f", b->absolute ? (double)cells : 100.0 * (double)cells / (double)total);
        style.color = chart_ink_on(b->parts.colors[p]);
        if (draw_text_width(d, &style, text) + 5 < w && h > style.size + 1)
            draw_text(d, x + w / 2, y + h / 2 + style.size * 0.36, &style, text);
    }
}

static void draw_axis(const Bars *c)
{
    Draw *d = c->page.d;
    double ticks[6], y = c->top + c->row * (double)c->n + 2, hi = c->b->absolute ? c->longest : 100;
    TextStyle style = {.size = FIGURE_TEXT - 0.5, .align = ALIGN_CENTER, .color = FIGURE_INK};
    char text[32];
    int n = axis_ticks(0, hi, 6, ticks);
    draw_line(d, c->left, y, c->left + c->width, y, 0.5, FIGURE_INK);
    for (int k = 0; k < n; k++) {
        double x = c->left + c->width * ticks[k] / hi;
        axis_text(ticks[k], n > 1 ? ticks[1] : 1, text, sizeof text);
        draw_line(d, x, y, x, y + 2, 0.5, FIGURE_INK);
        draw_text(d, x, y + 2.5 + style.size, &style, text);
    }
    draw_text(d, c->left + c->width / 2, y + 3.5 + 2 * style.size, &style, c->b->absolute ? "cells" : "% of cells");
}

static Err draw_plot(const void *plot, const char *path, const RenderParams *p, JobCtl *ctl)
{
    const BarPlot *b = plot;
    Err err = OK;
    Bars c = {.b = b, .longest = 1};
    double label_width;
    job_stage(ctl, "figure", b->rows.n);
    TRY_GOTO(chart_measure(&c.page, path, p, b->width_mm, b->height_mm, b->caption));
    TRY_GOTO(NEW(c.shown, b->rows.n));
    c.n = chart_shown(&b->rows, c.shown);
    for (size_t r = 0; r < b->rows.n; r++)
        c.longest = fmax(c.longest, (double)row_total(b, r));
    fill_legend(&c);
    TRY_GOTO(chart_row_labels(c.page.d, &b->rows, c.page.width * 0.3, &c.labels, &label_width));
    TRY_GOTO(choose_sizes(&c, label_width));
    TRY_GOTO(chart_begin(&c.page, path, b->rows.key));
    for (size_t i = 0; i < c.n; i++) {
        draw_bar(&c, i);
        chart_draw_row_label(c.page.d, &c.labels[c.shown[i]], c.left - 5, c.top + ((double)i + 0.5) * c.row);
    }
    draw_axis(&c);
    legend_draw(&c.legend, c.page.d, c.below ? CHART_MARGIN : c.left + c.width + KEY_GAP,
                c.below ? c.top + c.row * (double)c.n + AXIS_ROOM + 6 : c.top);
    TRY_GOTO(job_progress(ctl, b->rows.n));
    err = chart_end(&c.page);
done:
    chart_abandon(&c.page);
    chart_row_labels_free(c.labels, b->rows.n);
    legend_done(&c.legend);
    free(c.shown);
    return err;
}

Err bar_render(const BarPlot *b, const char *path, const RenderParams *p, JobCtl *ctl)
{
    BarPlot copy = *b;
    return chart_with_room(draw_plot, &copy, &copy.height_mm, path, p, ctl);
}
