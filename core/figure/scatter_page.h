/* The page of an embedding plot while it is laid out and drawn; for scatter*.c only. Lengths in pt. */
#ifndef SCMM_FIGURE_SCATTER_PAGE_H
#define SCMM_FIGURE_SCATTER_PAGE_H
#include "core/figure/legend.h"
#include "core/figure/scatter.h"

typedef struct Page {
    const Scatter *s;
    const RenderParams *p;
    Draw *d;
    double width, height;
    int columns, rows;
    bool below;   /* legends below the plots */
    bool shared;  /* one legend for all panels */
    double side;  /* of the square plots */
    double *column_x, *row_y; /* [columns], [rows]: left and top of the plots */
    double legend_x, legend_y; /* of a shared legend */
    double content; /* height of all panels with their legends */
    double caption_height;
    char *caption_lines[6];
    int n_caption;
    double scale, x0, y0; /* data to plot: (x - x0) * scale */
    double point;         /* diameter */
    bool raster;
    Legend *legends; /* [n_panels] */
} Page;

/* The limits of a continuous panel: its own, else those of all panels with its unit. */
void scatter_range(const Scatter *s, const ScatterPanel *p, double *lo, double *hi);
bool scatter_finite(const float *xy, size_t i);
/* Data to pt inside the plot. */
void scatter_place(const Page *g, const float *xy, size_t i, double *x, double *y);
bool scatter_inside(const Page *g, double x, double y);
double scatter_generated_diameter(const Page *g);
CHECKED Err scatter_draw_points(const Page *g, const ScatterPanel *p, double left, double top, JobCtl *ctl);
CHECKED Err scatter_draw_labels(const Page *g, const ScatterPanel *p, double left, double top);
#endif
