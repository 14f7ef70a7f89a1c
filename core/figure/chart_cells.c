/* Genes by single cells, as an image. */
#include "core/figure/chart_page.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const double ROW = 9, ROW_MAX = 26, ROW_MIN = 5.6, STRIP = 4, LIST_GAP = 6;

typedef struct Cells {
    const CellPlot *c;
    ChartPage page;
    Bar bar;
    size_t *shown, n, *order, *first; /* cells by group; [n + 1] where each shown group begins */
    double *x;                        /* [n + 1] where each shown group is drawn, gap included */
    double left, top, width, row, name_height, gap;
    bool turned, listed; /* names stand; or are in a list below, where columns are narrower than a line */
    Legend legend;
} Cells;

/* Cells of the shown groups, in the order of the file. */
static Err sort_cells(Cells *c)
{
    const CellPlot *p = c->c;
    size_t *place;
    TRY(NEW0(c->first, c->n + 1));
    TRY(NEW(c->order, p->n));
    TRY(NEW(place, p->groups.n));
    for (size_t i = 0; i < p->groups.n; i++)
        place[i] = SIZE_MAX;
    for (size_t k = 0; k < c->n; k++)
        place[c->shown[k]] = k;
    for (size_t i = 0; i < p->n; i++)
        if (p->codes[i] >= 0 && place[p->codes[i]] != SIZE_MAX)
            c->first[place[p->codes[i]] + 1]++;
    for (size_t k = 0; k < c->n; k++)
        c->first[k + 1] += c->first[k];
    size_t *cursor = mem_must((c->n + 1) * sizeof *cursor);
    for (size_t k = 0; k < c->n; k++)
        cursor[k] = c->first[k];
    for (size_t i = 0; i < p->n; i++)
        if (p->codes[i] >= 0 && place[p->codes[i]] != SIZE_MAX)
            c->order[cursor[place[p->codes[i]]]++] = i;
    free(cursor);
    free(place);
    return OK;
}

/* Widths follow the cells, but a small group stays visible. */
static Err place_groups(Cells *c)
{
    enum { MANY = 30 };
    c->gap = c->n > MANY ? 0.35 : 0.8;
    double least = 2.5 * c->gap, extra = c->width - (double)c->n * (least + c->gap);
    if (extra < 0)
        FAIL(ERR_USAGE, "%zu groups have no room in a figure %.0f mm wide; use a larger --size", c->n, c->c->width_mm);
    TRY(NEW0(c->x, c->n + 1));
    for (size_t k = 0; k < c->n; k++)
        c->x[k + 1] = c->x[k] + least + c->gap + extra * (double)(c->first[k + 1] - c->first[k]) / fmax(1, (double)c->first[c->n]);
    return OK;
}

/* Lying above their cells, else standing, else in a list. */
static void place_names(Cells *c)
{
    const ChartGroups *g = &c->c->groups;
    Draw *d = c->page.d;
    TextStyle name = {.size = FIGURE_TEXT};
    double longest = 0;
    for (size_t k = 0; k < c->n; k++) {
        double w = c->x[k + 1] - c->x[k];
        c->turned |= draw_text_width(d, &name, g->names[c->shown[k]]) > w - 3;
        c->listed |= w < FIGURE_TEXT * 1.15;
        longest = fmax(longest, chart_upright_length(d, FIGURE_TEXT, g->names[c->shown[k]], w, UPRIGHT_MOST));
    }
    c->listed = c->listed && c->turned;
    c->name_height = c->listed ? 0 : c->turned ? longest + 4 : FIGURE_TEXT + 4;
    c->legend.title = g->key;
    for (size_t k = 0; c->listed && k < c->n; k++) {
        char *count = count_text(g->sizes[c->shown[k]]), *text = str_format("%s (%s)", g->names[c->shown[k]], count);
        legend_add(&c->legend, GLYPH_SWATCH + palette_repeat(c->shown[k], g->n), g->colors[c->shown[k]], text);
        free(text);
        free(count);
    }
}

static Err choose_sizes(Cells *c)
{
    const CellPlot *p = c->c;
    ChartPage *page = &c->page;
    TextStyle gene = {.size = FIGURE_TEXT, .italic = true};
    double widest = 0;
    for (size_t i = 0; i < p->n_genes; i++)
        widest = fmax(widest, draw_text_width(page->d, &gene, p->genes[i]));
    c->left = CHART_MARGIN + widest + 4;
    c->width = page->width - CHART_MARGIN - c->left - 8 - BAR_ROOM;
    TRY(place_groups(c));
    place_names(c);
    legend_fit_below(&c->legend, page->d, page->width - 2 * CHART_MARGIN, page->height > 0 ? page->height * 0.4 : 0);
    double list = c->listed ? c->legend.height + LIST_GAP : 0;
    double around = 2 * CHART_MARGIN + page->caption_height + c->name_height + STRIP + 2 + list;
    c->row = ROW;
    if (page->height > 0)
        c->row = fmin(ROW_MAX, (page->height - around) / (double)p->n_genes);
    else
        page->height = around + fmax(60, ROW * (double)p->n_genes);
    if (c->row < ROW_MIN)
        FAIL(ERR_USAGE, "%zu genes have no room in a figure %.0f mm high; a higher --size, or a width alone", p->n_genes, p->height_mm);
    if (c->legend.n < c->legend.total && page->p->zoom > 1)
        FAIL(ERR_USAGE, "%zu names have no room in text of this size; use a larger --size", c->legend.total);
    c->top = CHART_MARGIN + c->name_height + STRIP + 2;
    return OK;
}

/* One line of pixels a gene. */
static Err draw_group(const Cells *c, size_t k, double scale)
{
    const CellPlot *p = c->c;
    size_t first = c->first[k], cells = c->first[k + 1] - first;
    double width = c->x[k + 1] - c->x[k] - c->gap;
    size_t w = (size_t)fmax(1, floor(width * scale));
    uint32_t *image;
    TRY(NEW(image, w * p->n_genes));
    for (size_t g = 0; g < p->n_genes; g++)
        for (size_t i = 0; i < w; i++) {
            size_t from = i * cells / w, to = (i + 1) * cells / w, n = 0;
            double sum = 0;
            to = to > from ? to : from + 1;
            for (size_t j = from; j < to; j++) {
                float v = p->values[g][c->order[first + j]];
                if (isfinite(v)) {
                    sum += v;
                    n++;
                }
            }
            image[g * w + i] = 0xFF000000u | (n ? bar_color(&c->bar, sum / (double)n) : COLOR_MISSING);
        }
    draw_image(c->page.d, c->left + c->x[k], c->top, width, c->row * (double)p->n_genes, image, (int)w, (int)p->n_genes);
    free(image);
    return OK;
}

static Err draw_all(const Cells *c, JobCtl *ctl)
{
    const CellPlot *p = c->c;
    Draw *d = c->page.d;
    double zoom = c->page.p->zoom > 0 ? c->page.p->zoom : 1;
    TextStyle gene = {.size = fmax(FIGURE_TEXT_MIN, fmin(FIGURE_TEXT, c->row * 0.95)), .italic = true, .align = ALIGN_RIGHT, .color = FIGURE_INK};
    TextStyle name = {.size = FIGURE_TEXT, .align = ALIGN_CENTER, .color = FIGURE_INK};
    for (size_t k = 0; k < c->n; k++) {
        double x = c->left + c->x[k], w = c->x[k + 1] - c->x[k] - c->gap, y = c->top - STRIP - 1.2;
        const char *text = p->groups.names[c->shown[k]];
        draw_swatch(d, x, y, w, STRIP, p->groups.colors[c->shown[k]], palette_repeat(c->shown[k], p->groups.n));
        if (!c->turned)
            draw_text(d, x + w / 2, y - 2.5, &name, text);
        else if (!c->listed)
            chart_draw_upright(d, FIGURE_TEXT, text, x + w / 2, y - 2.5, c->name_height - 3, w + c->gap, true);
        TRY(draw_group(c, k, draw_dpi(d) / 72 * zoom));
        TRY(job_progress(ctl, k));
    }
    for (size_t g = 0; g < p->n_genes; g++)
        draw_text(d, c->left - 4, c->top + ((double)g + 0.5) * c->row + gene.size * 0.36, &gene, p->genes[g]);
    bar_draw(d, &c->bar, c->left + c->width + 6, c->top, fmin(90, fmax(46, c->row * (double)p->n_genes)));
    if (c->listed)
        legend_draw(&c->legend, d, CHART_MARGIN, c->page.height - CHART_MARGIN - c->page.caption_height - c->legend.height);
    return OK;
}

static Err draw_plot(const void *plot, const char *path, const RenderParams *r, JobCtl *ctl)
{
    const CellPlot *p = plot;
    Err err = OK;
    Cells c = {.c = p, .bar = {.map = p->map, .lo = p->vmin, .hi = p->vmax, .unit = p->unit}};
    job_stage(ctl, "figure", p->groups.n);
    TRY_GOTO(chart_measure(&c.page, path, r, p->width_mm, p->height_mm, p->caption));
    TRY_GOTO(NEW(c.shown, p->groups.n));
    c.n = chart_shown(&p->groups, c.shown);
    if (!(c.bar.lo < c.bar.hi)) {
        double lo = 0, hi = 0;
        for (size_t g = 0; g < p->n_genes; g++) {
            double a = 0, b = 0;
            chart_limits(p->values[g], p->n, &a, &b);
            lo = fmin(lo, a);
            hi = fmax(hi, b);
        }
        c.bar.lo = lo;
        c.bar.hi = hi;
    }
    TRY_GOTO(sort_cells(&c));
    TRY_GOTO(choose_sizes(&c));
    TRY_GOTO(chart_begin(&c.page, path, p->groups.key));
    TRY_GOTO(draw_all(&c, ctl));
    err = chart_end(&c.page);
done:
    chart_abandon(&c.page);
    free(c.shown);
    free(c.order);
    free(c.first);
    free(c.x);
    legend_done(&c.legend);
    return err;
}

Err cells_render(const CellPlot *p, const char *path, const RenderParams *r, JobCtl *ctl)
{
    CellPlot copy = *p;
    return chart_with_room(draw_plot, &copy, &copy.height_mm, path, r, ctl);
}
