/* The page of an embedding plot while it is laid out and drawn; for scatter*.c only. Lengths in pt. */
#ifndef SCMM_FIGURE_SCATTER_PAGE_H
#define SCMM_FIGURE_SCATTER_PAGE_H
#include <math.h>

#include "core/figure/legend.h"
#include "core/figure/scatter.h"

#define MARGIN 6.0
#define ARROW_ROOM 11.0 /* left of the plots and below them */
#define LEGEND_GAP 7.0
typedef struct Range {
    double lo, hi;
} Range;

typedef struct Page {
    const Scatter *s;
    const RenderParams *p;
    Draw *d;
    double width, height, zoom;
    int columns, rows;
    bool below;   /* legends below the plots */
    bool shared;  /* one legend for all panels */
    bool numbered; /* numbers on the data, whose names are in the list */
    double side;  /* of the square plots */
    double title_room;
    int title_lines;
    double *column_x, *row_y; /* [columns], [rows]: left and top of the plots */
    double legend_x, legend_y; /* of a shared legend; x also of those below a single column */
    double content; /* height of all panels with their legends */
    double caption_height;
    char *caption_lines[6];
    int n_caption;
    double scale, x0, y0; /* data to plot: (x - x0) * scale */
    double point;         /* diameter */
    bool raster;
    Legend *legends; /* [n_panels] */
    Range *ranges;   /* [n_panels] of the colours of numbers */
} Page;

/* Finds all places; text is measured on g->d. */
void scatter_lay_out(Page *g);
bool scatter_has_bar(const Page *g, const ScatterPanel *p);
void scatter_draw_legend(const Page *g, size_t k, double left, double top);
/* The box of all cells, with a margin. */
void scatter_bounds(const Scatter *s, double box[4]);
double scatter_title_width(const Page *g);
/* Size of the points, and whether they become an image. */
void scatter_choose_points(Page *g, size_t finite);
/* The limits of a continuous panel: its own, else those of all panels with its unit. Looks at all cells. */
Range scatter_range(const Scatter *s, const ScatterPanel *p);
static inline bool scatter_finite(const float *xy, size_t i)
{
    return isfinite(xy[2 * i]) && isfinite(xy[2 * i + 1]);
}
/* Data to pt inside the plot. */
static inline void scatter_place(const Page *g, const float *xy, size_t i, double *x, double *y)
{
    *x = (xy[2 * i] - g->x0) * g->scale;
    *y = g->side - (xy[2 * i + 1] - g->y0) * g->scale;
}
static inline bool scatter_inside(const Page *g, double x, double y)
{
    return x >= 0 && y >= 0 && x <= g->side && y <= g->side;
}
static inline int scatter_glyph(const Page *g, const ScatterPanel *p, size_t group)
{
    return g->s->glyphs ? palette_own_glyph(group) : palette_glyph(group, p->n_groups);
}
double scatter_generated_diameter(const Page *g);
CHECKED Err scatter_draw_points(const Page *g, const ScatterPanel *p, double left, double top, JobCtl *ctl);
/* Whether the names find places on the data without covering each other or too much of it. */
bool scatter_labels_fit(const Page *g, const ScatterPanel *p);
CHECKED Err scatter_draw_labels(const Page *g, const ScatterPanel *p, double left, double top);
#endif
