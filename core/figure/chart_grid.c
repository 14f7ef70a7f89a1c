/* Dot plots and tile plots: groups down, genes across. */
#include "core/figure/chart_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/str.h"

static const double KEY_ROOM = 66, KEY_GAP = 14, KEY_HEIGHT = 38, CELL_MAX = 15, CELL_GOOD = 9, CELL_MIN = 5.6, ROW_MIN = 6.5;
static const double CELL_MAX_FIXED = 22, KEY_ROOM_FIXED = 80; /* on a page of fixed height; four dots of that size have room */
static const double BLOCK_GAP = 14, LABEL_GAP = 5;
enum { BLOCKS_MOST = 4 };

typedef struct Grid {
    const GridPlot *g;
    ChartPage page;
    Bar bar;
    RowLabel *labels;
    size_t *shown, n;          /* groups with cells */
    size_t blocks, per_block;  /* groups in columns side by side, where a page of fixed height is too low for one */
    double left, top, cell, row; /* of the first cell */
    double stride;             /* from block to block */
    double label_height, bracket_height;
    double largest;            /* share that the largest dot stands for */
    bool below;                /* the key, where names need the width */
} Grid;

static double key_width(const Grid *c)
{
    return c->below ? 0 : (c->g->height_mm > 0 ? KEY_ROOM_FIXED : KEY_ROOM) + 8;
}

/* Of names and cells of one block. */
static double block_room(const Grid *c)
{
    double blocks = (double)c->blocks;
    return (c->page.width - 2 * CHART_MARGIN - key_width(c) - (blocks - 1) * BLOCK_GAP) / blocks - LABEL_GAP;
}

/* Names get the width that columns of a good size leave; where that is too little, the key goes below (on a page of free
 * height). */
static Err label_rows(Grid *c, double *width)
{
    const GridPlot *g = c->g;
    double cells = CELL_GOOD * (double)g->n_genes, share = c->page.width / (double)c->blocks;
    chart_row_labels_free(c->labels, g->groups.n);
    c->labels = NULL;
    TRY(chart_row_labels(c->page.d, &g->groups, fmax(share * 0.2, fmin(share * 0.5, block_room(c) - cells)), &c->labels, width));
    bool wrapped = false;
    for (size_t i = 0; i < c->n; i++)
        wrapped |= c->labels[c->shown[i]].n_lines > 1;
    if (c->page.height > 0 || (!wrapped && block_room(c) - *width >= cells))
        return OK;
    chart_row_labels_free(c->labels, g->groups.n);
    c->labels = NULL;
    c->below = true;
    return chart_row_labels(c->page.d, &g->groups, fmax(share * 0.2, fmin(share * 0.5, block_room(c) - cells)), &c->labels, width);
}

static double names_height(const Grid *c)
{
    TextStyle style = {.size = FIGURE_TEXT, .italic = true};
    double h = 0;
    for (size_t i = 0; i < c->g->n_genes; i++)
        h = fmax(h, draw_text_width(c->page.d, &style, c->g->genes[i]) + 4);
    return h;
}

static int most_lines(const Grid *c)
{
    int lines = 1;
    for (size_t i = 0; i < c->n; i++)
        lines = c->labels[c->shown[i]].n_lines > lines ? c->labels[c->shown[i]].n_lines : lines;
    return lines;
}

/* Columns and rows of cells; false where rows have no room. */
static bool fit_rows(Grid *c, double around)
{
    const GridPlot *g = c->g;
    double rows = (double)c->per_block, least = fmax(ROW_MIN, most_lines(c) * FIGURE_TEXT * 1.2);
    c->row = fmax(least, fmin(c->cell, CELL_MAX));
    if (g->height_mm <= 0) {
        c->page.height = around + fmax(c->row * rows, c->below ? 0 : 92 - c->label_height);
        return true;
    }
    c->row = fmin((c->page.height - around) / rows, fmax(c->cell, least));
    if (!g->n_brackets) /* whose height is that of the columns before */
        c->cell = fmax(CELL_MIN, fmin(c->cell, 1.7 * c->row));
    return c->row >= ROW_MIN;
}

static Err choose_sizes(Grid *c, double label_width)
{
    const GridPlot *g = c->g;
    ChartPage *page = &c->page;
    double free_width = block_room(c) - label_width, blocks = (double)c->blocks;
    c->per_block = (c->n + c->blocks - 1) / c->blocks;
    c->per_block += !c->per_block;
    c->cell = fmin(g->height_mm > 0 ? CELL_MAX_FIXED : CELL_MAX, free_width / (double)g->n_genes);
    if (c->cell < CELL_MIN)
        FAIL(ERR_USAGE, "%zu genes have no room in a figure %.0f mm wide, about %.0f have; fewer genes or a larger --size",
             g->n_genes, g->width_mm, fmax(1, floor(free_width / CELL_MIN)));
    c->label_height = names_height(c);
    c->bracket_height = chart_bracket_height(page->d, g->brackets, g->n_brackets, c->cell);
    double around = 2 * CHART_MARGIN + c->bracket_height + c->label_height + page->caption_height + (c->below ? KEY_HEIGHT : 0);
    if (!fit_rows(c, around))
        FAIL(ERR_USAGE, "%zu groups have no room in a figure %.0f mm high; a higher --size, or a width alone", c->n, g->height_mm);
    if (g->height_mm > 0)
        chart_row_labels_fit(page->d, &g->groups, label_width, c->row, c->labels);
    double block = label_width + LABEL_GAP + c->cell * (double)g->n_genes;
    c->stride = block + BLOCK_GAP;
    double wide = blocks * c->stride - BLOCK_GAP + key_width(c);
    c->left = CHART_MARGIN + fmax(0, page->width - 2 * CHART_MARGIN - wide) / 2 + label_width + LABEL_GAP;
    double high = around - 2 * CHART_MARGIN - page->caption_height + c->row * (double)c->per_block;
    c->top = CHART_MARGIN + c->bracket_height;
    if (g->height_mm > 0)
        c->top += fmax(0, page->height - page->caption_height - 2 * CHART_MARGIN - high) / 2;
    return OK;
}

static bool names_are_cut(const Grid *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const RowLabel *l = &c->labels[c->shown[i]];
        if (l->n_lines && str_ends(l->lines[l->n_lines - 1], "\xe2\x80\xa6"))
            return true;
    }
    return false;
}

static Err arrange_in(Grid *c, size_t blocks)
{
    double label_width;
    c->blocks = blocks;
    TRY(label_rows(c, &label_width));
    TRY(choose_sizes(c, label_width));
    if (blocks > 1 && c->page.p->zoom > 1 && names_are_cut(c))
        FAIL(ERR_USAGE, "%zu names have no room in text of this size; a larger --size", c->n);
    return OK;
}

/* One block; on a page of fixed height as many as it takes. The refusal is that of one. */
static Err arrange(Grid *c)
{
    Err err = arrange_in(c, 1);
    for (size_t b = 2; b <= BLOCKS_MOST && err == ERR_USAGE && c->g->height_mm > 0; b++)
        err = arrange_in(c, b);
    return err == ERR_USAGE ? arrange_in(c, 1) : err;
}

static double block_left(const Grid *c, size_t block)
{
    return c->left + (double)block * c->stride;
}

static double row_y(const Grid *c, size_t r)
{
    return c->top + ((double)(r % c->per_block) + 0.5) * c->row;
}

static double dot_diameter(const Grid *c, double fraction)
{
    return sqrt(fmin(1, fraction / c->largest)) * (fmin(c->cell, c->row) - 1);
}

static void draw_dot(const Grid *c, double x, double y, double fraction, uint32_t color)
{
    double size = dot_diameter(c, fraction);
    if (size < 0.4)
        return;
    draw_glyph(c->page.d, 0, x, y, size, color);
    draw_ring(c->page.d, x, y, size, fmin(0.5, size / 5), 0x777777);
}

static void draw_cells(const Grid *c)
{
    const GridPlot *g = c->g;
    Draw *d = c->page.d;
    for (size_t r = 0; r < c->n; r++)
        for (size_t k = 0; k < g->n_genes; k++) {
            size_t at = k * g->groups.n + c->shown[r];
            double x = block_left(c, r / c->per_block) + ((double)k + 0.5) * c->cell, y = row_y(c, r);
            bool missing = !isfinite(g->mean[at]);
            uint32_t color = missing ? COLOR_MISSING : bar_color(&c->bar, g->mean[at]);
            if (g->kind == GRID_TILES)
                draw_rect(d, x - c->cell / 2, y - c->row / 2, c->cell - 0.4, c->row - 0.4, color);
            else if (!missing)
                draw_dot(c, x, y, g->fraction[at], color);
        }
}

static void draw_block(const Grid *c, size_t block)
{
    const GridPlot *g = c->g;
    Draw *d = c->page.d;
    size_t first = block * c->per_block, end = first + c->per_block < c->n ? first + c->per_block : c->n;
    double left = block_left(c, block), high = c->row * (double)(end - first);
    TextStyle gene = {.size = fmin(FIGURE_TEXT, c->cell), .italic = true, .align = ALIGN_RIGHT, .color = FIGURE_INK, .rotate = 90};
    for (size_t r = first; r < end; r++)
        chart_draw_row_label(d, &c->labels[c->shown[r]], left - LABEL_GAP, row_y(c, r));
    for (size_t k = 0; k < g->n_genes; k++)
        draw_text(d, left + ((double)k + 0.5) * c->cell + gene.size * 0.36, c->top + high + 4, &gene, g->genes[k]);
    chart_draw_brackets(d, g->brackets, g->n_brackets, left, c->top, c->cell, c->bracket_height);
    if (g->kind == GRID_DOTS)
        draw_frame(d, left - 1, c->top - 1, c->cell * (double)g->n_genes + 2, high + 2, 0.5, FIGURE_FAINT);
}

/* Four dots of known shares; returns the width they take. */
static double draw_dot_key(const Grid *c, double x, double y)
{
    Draw *d = c->page.d;
    TextStyle title = {.size = FIGURE_TEXT, .color = FIGURE_INK}, small = {.size = FIGURE_TEXT - 0.5, .color = FIGURE_INK, .align = ALIGN_CENTER};
    double largest = dot_diameter(c, c->largest), at = x;
    char text[32];
    draw_text(d, x, y + FIGURE_TEXT * 0.8, &title, "% of cells");
    for (int k = 1; k <= 4; k++) {
        double share = c->largest * k / 4, size = dot_diameter(c, share), step = fmax(size, 11) + 3;
        draw_dot(c, at + step / 2, y + FIGURE_TEXT * 1.4 + largest / 2, share, 0xB5B5B5);
        snprintf(text, sizeof text, "%.0f", 100 * share);
        draw_text(d, at + step / 2, y + FIGURE_TEXT * 1.4 + largest + small.size + 0.5, &small, text);
        at += step;
    }
    return at - x;
}

static void draw_key(const Grid *c)
{
    double right = block_left(c, c->blocks - 1) + c->cell * (double)c->g->n_genes, y = c->top, x = right + 10, bar = KEY_ROOM - 14;
    if (c->below) {
        y += c->row * (double)c->per_block + c->label_height + 8;
        x = fmax(CHART_MARGIN, right - bar - 6 - (c->g->kind == GRID_DOTS ? KEY_ROOM + KEY_GAP : 0));
    }
    if (c->g->kind == GRID_DOTS) {
        double wide = draw_dot_key(c, x, y);
        if (c->below)
            x += wide + KEY_GAP;
        else
            y += FIGURE_TEXT * 3 + dot_diameter(c, c->largest) + 7;
    }
    bar_draw_flat(c->page.d, &c->bar, x, y - FIGURE_TEXT * 0.2, bar, c->below ? c->page.width - CHART_MARGIN - x : KEY_ROOM);
}

static Err draw_grid(const void *plot, const char *path, const RenderParams *p, JobCtl *ctl)
{
    const GridPlot *g = plot;
    Err err = OK;
    Grid c = {.g = g, .bar = {.map = g->map, .lo = g->vmin, .hi = g->vmax, .unit = g->unit}, .largest = 0.04};
    job_stage(ctl, "figure", g->n_genes);
    TRY_GOTO(chart_measure(&c.page, path, p, g->width_mm, g->height_mm, g->caption));
    TRY_GOTO(NEW(c.shown, g->groups.n));
    c.n = chart_shown(&g->groups, c.shown);
    chart_limits(g->mean, g->n_genes * g->groups.n, &c.bar.lo, &c.bar.hi);
    for (size_t i = 0; g->kind == GRID_DOTS && i < g->n_genes * g->groups.n; i++)
        if (g->fraction[i] > c.largest)
            c.largest = g->fraction[i];
    c.largest = fmin(1, ceil(c.largest * 25 - 1e-6) / 25); /* quarters of it are whole per cents */
    TRY_GOTO(arrange(&c));
    TRY_GOTO(chart_begin(&c.page, path, g->groups.key));
    draw_cells(&c);
    for (size_t b = 0; b * c.per_block < c.n; b++)
        draw_block(&c, b);
    draw_key(&c);
    TRY_GOTO(job_progress(ctl, g->n_genes));
    err = chart_end(&c.page);
done:
    chart_abandon(&c.page);
    chart_row_labels_free(c.labels, g->groups.n);
    free(c.shown);
    return err;
}

Err grid_render(const GridPlot *g, const char *path, const RenderParams *p, JobCtl *ctl)
{
    GridPlot copy = *g;
    return chart_with_room(draw_grid, &copy, &copy.height_mm, path, p, ctl);
}
