/* What the plots of groups share; for chart_*.c only. Lengths in pt. */
#ifndef SCMM_FIGURE_CHART_PAGE_H
#define SCMM_FIGURE_CHART_PAGE_H
#include "core/figure/chart.h"
#include "core/figure/legend.h"

#define CHART_MARGIN 6.0
typedef struct ChartPage {
    Draw *d;
    const RenderParams *p;
    double width, height; /* height 0 until the plot sets it */
    char *caption[6];
    int n_caption;
    double caption_height;
} ChartPage;

/* A page to measure text on; then the real one, once page->height is set. */
CHECKED Err chart_measure(ChartPage *page, const char *path, const RenderParams *p, double width_mm, double height_mm,
                          const char *caption);
CHECKED Err chart_begin(ChartPage *page, const char *path, const char *title);
/* Draws the caption and closes; chart_abandon leaves no file. Both free what the page holds. */
CHECKED Err chart_end(ChartPage *page);
void chart_abandon(ChartPage *page);

enum { ROW_LABEL_LINES = 3, UPRIGHT_LINES = 3 };
#define UPRIGHT_MOST 110.0
typedef struct RowLabel {
    char *lines[ROW_LABEL_LINES];
    int n_lines;
    double size;
} RowLabel;
/* "name (n)" of each group, somewhat smaller or on up to three lines where it needs more than `room`; *width: of the widest. */
CHECKED Err chart_row_labels(Draw *d, const ChartGroups *g, double room, RowLabel **out, double *width);
/* Rows are `row` high after all: fewer lines of the same width, in smaller text; what still has no room ends in an ellipsis. */
void chart_row_labels_fit(Draw *d, const ChartGroups *g, double width, double row, RowLabel *l);
void chart_row_labels_free(RowLabel *l, size_t n);
/* Ends at x, centred at y. */
void chart_draw_row_label(Draw *d, const RowLabel *l, double x, double y);
/* Names that stand, wrapped where their column is `width` wide: the length they need (at most `most`), and drawing one from y
 * upwards (above) or ending at y. */
double chart_upright_length(Draw *d, double size, const char *name, double width, double most);
void chart_draw_upright(Draw *d, double size, const char *name, double x, double y, double length, double width, bool above);
/* Draws; where a plot says that it has no room, again with smaller text, down to its size on paper; then on a page that
 * grows, with a warning. *height_mm: of the plot, which is a copy. */
typedef Err (*ChartDraw)(const void *plot, const char *path, const RenderParams *p, JobCtl *ctl);
CHECKED Err chart_with_room(ChartDraw draw, const void *plot, double *height_mm, const char *path, const RenderParams *p, JobCtl *ctl);
/* Room above columns of width `cell` for the brackets; and drawing them with their foot at y. */
double chart_bracket_height(Draw *d, const Bracket *b, size_t n, double cell);
void chart_draw_brackets(Draw *d, const Bracket *b, size_t n, double x, double y, double cell, double height);
/* Groups that have cells: their indices; returns how many. */
size_t chart_shown(const ChartGroups *g, size_t *index);
/* Black or white, whichever is easier to read on the colour. */
uint32_t chart_ink_on(uint32_t rgb);
/* The limits of n means: given, or 0 (the smallest, when negative) to the largest. */
void chart_limits(const float *v, size_t n, double *lo, double *hi);
#endif
