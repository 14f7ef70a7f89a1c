/* A page while it is drawn; for draw*.c only. */
#ifndef SCMM_FIGURE_DRAW_PAGE_H
#define SCMM_FIGURE_DRAW_PAGE_H
#include <cairo.h>

#include "core/base/str.h"
#include "core/figure/draw.h"

typedef enum Kind { KIND_PNG, KIND_SVG, KIND_PDF } Kind;

struct Draw {
    Kind kind;
    char *path, *temporary, *title;
    bool force, transparent;
    int simulate;
    double width, height, dpi, zoom;
    MetaPair *meta;
    size_t n_meta;
    cairo_surface_t *surface;
    cairo_t *cr;
    Str bytes; /* of SVG and PDF */
    Str used[4]; /* text in each of the four faces: 1 bold, 2 italic */
};

/* draw_svg.c: elements are written as they come; colours are final. */
void svg_begin(Draw *d);
void svg_end(Draw *d); /* the fonts, as far as they are used */
void svg_line(Draw *d, double x0, double y0, double x1, double y1, double width, uint32_t color);
void svg_polygon(Draw *d, const double *xy, int n, double stroke /* 0: filled */, uint32_t color);
void svg_disc(Draw *d, double x, double y, double r, double stroke /* 0: filled */, uint32_t color);
void svg_text(Draw *d, double x, double y, const TextStyle *s, uint32_t color, const char *utf8);
void svg_image(Draw *d, double x, double y, double w, double h, const uint32_t *argb, int iw, int ih);
#endif
