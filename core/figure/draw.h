/* A page to draw on: PNG and PDF through cairo, SVG with text as <text> (cairo turns text into outlines there).
 * Units are points (1/72 inch), y downwards. Text is Liberation Sans (metrics of Helvetica/Arial), UTF-8.
 * The file appears under its name only when draw_close succeeds. */
#ifndef SCMM_FIGURE_DRAW_H
#define SCMM_FIGURE_DRAW_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Draw Draw;
typedef struct MetaPair {
    const char *key, *value;
} MetaPair;
typedef struct DrawParams {
    double width, height; /* pt, before zoom */
    double zoom;          /* the page is that much larger, with all that is on it; 0: 1 */
    double dpi;           /* of PNG, and of images inside vector files */
    bool force, transparent;
    int simulate;         /* 0: colours as they are; else a kind of color_simulate + 1: everything as such a viewer sees it */
    const MetaPair *meta; /* provenance: PNG text chunks, SVG <metadata>, PDF keywords */
    size_t n_meta;
    const char *title;
} DrawParams;

typedef enum Align { ALIGN_LEFT, ALIGN_CENTER, ALIGN_RIGHT } Align;
typedef struct TextStyle {
    double size; /* pt */
    bool bold, italic;
    Align align;
    uint32_t color;
    bool halo; /* white outline, for labels on points */
    double rotate; /* degrees, counter-clockwise */
} TextStyle;

/* OK for names that end in .png, .svg or .pdf (any case), else ERR_USAGE. */
CHECKED Err draw_check_name(const char *path);
/* The kind follows the extension (ERR_USAGE as above). ERR_GENERAL when the file exists without
 * force or cannot be written. */
CHECKED Err draw_open(const char *path, const DrawParams *p, Draw **out);
/* Writes the file; frees d in any case. */
CHECKED Err draw_close(Draw *d);
void draw_abandon(Draw *d); /* frees d, leaves no file; NULL ok */

void draw_line(Draw *d, double x0, double y0, double x1, double y1, double width, uint32_t color);
void draw_arrow(Draw *d, double x0, double y0, double x1, double y1, double width, uint32_t color);
void draw_rect(Draw *d, double x, double y, double w, double h, uint32_t fill);
void draw_polygon(Draw *d, const double *xy /* [n,2] */, int n, uint32_t fill);
/* A closed outline. */
void draw_outline(Draw *d, const double *xy /* [n,2] */, int n, double width, uint32_t color);
void draw_frame(Draw *d, double x, double y, double w, double h, double width, uint32_t color);
/* Glyphs of palette.h around (x, y), diameter in pt. */
void draw_glyph(Draw *d, int glyph, double x, double y, double diameter, uint32_t color);
void draw_ring(Draw *d, double x, double y, double diameter, double stroke, uint32_t color);
/* Bytes that are not UTF-8 and control characters become "?". Baseline starts (or is centred, or ends) at x, y. */
void draw_text(Draw *d, double x, double y, const TextStyle *s, const char *utf8);
/* Width of a text in pt; the same for every kind of file. */
double draw_text_width(Draw *d, const TextStyle *s, const char *utf8);
/* A premultiplied ARGB32 image (stride = 4 * w) over the rectangle. */
void draw_image(Draw *d, double x, double y, double w, double h, const uint32_t *argb, int iw, int ih);
bool draw_is_vector(const Draw *d);
/* The pixels of a PNG's page, premultiplied ARGB32 of *w x *h, until the next draw_*(); NULL for the other kinds. */
uint32_t *draw_pixels(Draw *d, int *w, int *h);
/* A colour as the page's viewer sees it: what is written to its pixels goes through this. */
uint32_t draw_seen(const Draw *d, uint32_t rgb);
double draw_dpi(const Draw *d);

/* How any figure is written. */
typedef struct RenderParams {
    double dpi;          /* 300 */
    double zoom;         /* text and marks that much larger, for slides and posters; 0: 1 */
    bool force, transparent;
    int simulate;        /* as in DrawParams */
    int vector_points;   /* -1 auto (up to 5,000 points), 0 never, 1 always */
    const MetaPair *meta;
    size_t n_meta;
} RenderParams;
/* The page of such a figure. */
DrawParams draw_params(double width, double height, const char *title, const RenderParams *p);

/* Premultiplied ARGB32 as a PNG file in memory; caller frees *out. Without alpha the pixels must be opaque. Used by SVG
 * images; exposed for tests. */
CHECKED Err png_encode(const uint32_t *argb, int w, int h, double dpi, bool alpha, const MetaPair *meta, size_t n_meta,
                       unsigned char **out, size_t *n);
#endif
