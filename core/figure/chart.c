/* What the plots of groups share: the page, row labels, brackets. */
#include "core/figure/chart_page.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"

Err chart_measure(ChartPage *page, const char *path, const RenderParams *p, double width_mm, double height_mm,
                  const char *caption)
{
    double zoom = p->zoom > 0 ? p->zoom : 1;
    TextStyle style = {.size = FIGURE_TEXT};
    *page = (ChartPage){.p = p, .width = width_mm * 72 / 25.4 / zoom, .height = height_mm * 72 / 25.4 / zoom};
    TRY(draw_open(path, &(DrawParams){.width = 10, .height = 10, .dpi = 72, .force = p->force}, &page->d));
    if (caption && caption[0])
        page->n_caption = wrap_text(page->d, &style, page->width - 2 * CHART_MARGIN, caption, page->caption, 6);
    page->caption_height = page->n_caption ? page->n_caption * FIGURE_TEXT * 1.3 + 5 : 0;
    return OK;
}

Err chart_begin(ChartPage *page, const char *path, const char *title)
{
    DrawParams p = draw_params(page->width, page->height, title, page->p);
    draw_abandon(page->d);
    page->d = NULL;
    return draw_open(path, &p, &page->d);
}

void chart_abandon(ChartPage *page)
{
    draw_abandon(page->d);
    for (int k = 0; k < page->n_caption; k++)
        free(page->caption[k]);
    *page = (ChartPage){0};
}

Err chart_end(ChartPage *page)
{
    TextStyle style = {.size = FIGURE_TEXT, .color = 0x555555};
    double line = FIGURE_TEXT * 1.3, y = page->height - CHART_MARGIN - (page->n_caption - 1) * line;
    for (int k = 0; k < page->n_caption; k++)
        draw_text(page->d, CHART_MARGIN, y + k * line, &style, page->caption[k]);
    Err err = draw_close(page->d);
    page->d = NULL;
    chart_abandon(page);
    return err;
}

static const double ROW_LEADING = 1.12;

size_t chart_shown(const ChartGroups *g, size_t *index)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->sizes[i])
            index[n++] = i;
    return n;
}

/* Wraps all names at `room` to `allowed` lines; returns the width of the widest line, *most: the most lines. */
static double label_lines(Draw *d, const ChartGroups *g, double size, double room, int allowed, RowLabel *l, int *most)
{
    TextStyle style = {.size = size};
    double width = 0;
    *most = 1;
    for (size_t i = 0; i < g->n; i++) {
        for (int k = 0; k < l[i].n_lines; k++)
            free(l[i].lines[k]);
        l[i].n_lines = 0;
        if (!g->sizes[i])
            continue;
        char *count = count_text(g->sizes[i]), *text = str_format("%s (%s)", group_text(g->names[i]), count);
        l[i].n_lines = wrap_text(d, &style, room, text, l[i].lines, allowed);
        l[i].size = size;
        for (int k = 0; k < l[i].n_lines; k++)
            width = fmax(width, draw_text_width(d, &style, l[i].lines[k]));
        *most = l[i].n_lines > *most ? l[i].n_lines : *most;
        free(text);
        free(count);
    }
    return width;
}

Err chart_row_labels(Draw *d, const ChartGroups *g, double room, RowLabel **out, double *width)
{
    RowLabel *l;
    int lines = ROW_LABEL_LINES;
    TRY(NEW0(l, g->n));
    for (double size = FIGURE_TEXT; lines > 1 && size > FIGURE_TEXT - 1.1; size -= 0.5)
        *width = label_lines(d, g, size, room, ROW_LABEL_LINES, l, &lines);
    if (lines > 1)
        *width = label_lines(d, g, FIGURE_TEXT, room, ROW_LABEL_LINES, l, &lines);
    *out = l;
    return OK;
}

void chart_row_labels_fit(Draw *d, const ChartGroups *g, double width, double row, RowLabel *l)
{
    int lines = 1, allowed;
    for (size_t i = 0; i < g->n; i++)
        lines = l[i].n_lines > lines ? l[i].n_lines : lines;
    for (double size = FIGURE_TEXT; lines * size * ROW_LEADING > row + 0.5 && size >= FIGURE_TEXT_MIN; size -= 0.5) {
        allowed = (int)fmax(1, floor((row + 0.5) / (size * ROW_LEADING)));
        (void)label_lines(d, g, size, width, allowed < ROW_LABEL_LINES ? allowed : ROW_LABEL_LINES, l, &lines);
        bool cut = false; /* a smaller size may show names in full */
        for (size_t i = 0; i < g->n && size > FIGURE_TEXT_MIN; i++)
            cut |= l[i].n_lines && str_ends(l[i].lines[l[i].n_lines - 1], "\xe2\x80\xa6");
        lines = cut ? ROW_LABEL_LINES + 1 : lines;
    }
}

void chart_row_labels_free(RowLabel *l, size_t n)
{
    for (size_t i = 0; l && i < n; i++)
        for (int k = 0; k < l[i].n_lines; k++)
            free(l[i].lines[k]);
    free(l);
}

void chart_draw_row_label(Draw *d, const RowLabel *l, double x, double y)
{
    TextStyle style = {.size = l->size, .align = ALIGN_RIGHT, .color = FIGURE_INK};
    double line = l->size * ROW_LEADING;
    y -= (l->n_lines - 1) * line / 2;
    for (int k = 0; k < l->n_lines; k++)
        draw_text(d, x, y + k * line + l->size * 0.36, &style, l->lines[k]);
}

/* ---- standing names ---- */

static const double UPRIGHT_LINE = 1.12;

static int upright_lines(double size, double width)
{
    return (int)fmax(1, fmin(UPRIGHT_LINES, floor(width / (size * UPRIGHT_LINE))));
}

/* Whether the name needs no ellipsis. */
static bool upright_fits(Draw *d, const TextStyle *style, const char *name, double length, int lines)
{
    char *line[UPRIGHT_LINES];
    size_t shown = 0, all = 0;
    int n = wrap_text(d, style, length, name, line, lines);
    bool fits = true;
    for (int k = 0; k < n; k++) {
        fits &= draw_text_width(d, style, line[k]) <= length + 0.01;
        for (const char *p = line[k]; *p; p++)
            shown += *p != ' ';
        free(line[k]);
    }
    for (const char *p = name; *p; p++)
        all += *p != ' ';
    return fits && shown == all;
}

double chart_upright_length(Draw *d, double size, const char *name, double width, double most)
{
    TextStyle style = {.size = size};
    int lines = upright_lines(size, width);
    double length = fmin(24, most);
    while (length < most && !upright_fits(d, &style, name, length, lines))
        length += 4;
    return fmin(length, fmin(most, draw_text_width(d, &style, name) + 0.5));
}

void chart_draw_upright(Draw *d, double size, const char *name, double x, double y, double length, double width, bool above)
{
    TextStyle style = {.size = size, .color = FIGURE_INK, .align = above ? ALIGN_LEFT : ALIGN_RIGHT, .rotate = 90};
    char *lines[UPRIGHT_LINES];
    int n = wrap_text(d, &style, length, name, lines, upright_lines(size, width));
    x += size * 0.36 - (n - 1) * size * UPRIGHT_LINE / 2;
    for (int k = 0; k < n; k++) {
        draw_text(d, x + k * size * UPRIGHT_LINE, y, &style, lines[k]);
        free(lines[k]);
    }
}

/* ---- brackets ---- */

static bool fits_lying(Draw *d, const Bracket *b, size_t n, double cell)
{
    TextStyle style = {.size = FIGURE_TEXT};
    for (size_t i = 0; i < n; i++)
        if (draw_text_width(d, &style, b[i].name) > (double)b[i].n * cell - 3)
            return false;
    return true;
}

double chart_bracket_height(Draw *d, const Bracket *b, size_t n, double cell)
{
    double longest = 0;
    if (n == 0)
        return 0;
    if (fits_lying(d, b, n, cell))
        return FIGURE_TEXT + 8;
    for (size_t i = 0; i < n; i++)
        longest = fmax(longest, chart_upright_length(d, FIGURE_TEXT, b[i].name, (double)b[i].n * cell, UPRIGHT_MOST));
    return longest + 9;
}

void chart_draw_brackets(Draw *d, const Bracket *b, size_t n, double x, double y, double cell, double height)
{
    bool lying = fits_lying(d, b, n, cell);
    TextStyle style = {.size = FIGURE_TEXT, .color = FIGURE_INK, .align = ALIGN_CENTER};
    for (size_t i = 0; i < n; i++) {
        double x0 = x + (double)b[i].first * cell + 1.5, x1 = x + (double)(b[i].first + b[i].n) * cell - 1.5, top = y - 4.5;
        draw_line(d, x0, top, x1, top, 0.6, FIGURE_INK);
        draw_line(d, x0, top - 0.3, x0, top + 2.2, 0.6, FIGURE_INK);
        draw_line(d, x1, top - 0.3, x1, top + 2.2, 0.6, FIGURE_INK);
        if (lying)
            draw_text(d, (x0 + x1) / 2, top - 3, &style, b[i].name);
        else
            chart_draw_upright(d, FIGURE_TEXT, b[i].name, (x0 + x1) / 2, top - 3, height - 8, (double)b[i].n * cell, true);
    }
}

/* ---- pages that are too small ---- */

Err chart_with_room(ChartDraw draw, const void *plot, double *height_mm, const char *path, const RenderParams *p, JobCtl *ctl)
{
    static const double smaller = 0.85;
    RenderParams at = *p;
    double full = p->zoom > 0 ? p->zoom : 1;
    Err err = draw(plot, path, &at, ctl);
    for (double zoom = full; err == ERR_USAGE && zoom > 1;) {
        at.zoom = zoom = fmax(1, zoom * smaller);
        err = draw(plot, path, &at, ctl);
    }
    if (err == ERR_USAGE && *height_mm > 0) {
        double asked = *height_mm;
        *height_mm = 0;
        err = draw(plot, path, &at, ctl);
        if (err == OK)
            log_warn("%s: needs more than %.0f mm; the figure is higher than --size asked for", path, asked);
    }
    return err;
}

uint32_t chart_ink_on(uint32_t rgb)
{
    double grey = 0.299 * (rgb >> 16 & 255) + 0.587 * (rgb >> 8 & 255) + 0.114 * (rgb & 255);
    return grey > 140 ? 0x000000 : 0xFFFFFF;
}

void chart_limits(const float *v, size_t n, double *lo, double *hi)
{
    if (*lo < *hi)
        return;
    *lo = *hi = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i])) {
            *lo = fmin(*lo, v[i]);
            *hi = fmax(*hi, v[i]);
        }
    if (!(*hi > *lo))
        *hi = *lo + 1;
}
