/* Many small glyphs into one image, fast: one anti-aliased stamp per sub-pixel phase. */
#ifndef SCMM_FIGURE_POINTS_H
#define SCMM_FIGURE_POINTS_H
#include "core/base/err.h"
#include <stdint.h>

typedef struct PointImage {
    int w, h;              /* of what is drawn on; nothing is drawn beyond */
    size_t stride;         /* pixels from line to line */
    uint32_t *argb;        /* premultiplied, transparent where nothing was drawn; may lie inside a larger image */
} PointImage;
CHECKED Err point_image_init(PointImage *p, int w, int h);
void point_image_done(PointImage *p);
/* A stamp set for one of palette.h's glyphs, `diameter` pixels; stroke: width of a ring's line. */
typedef struct Stamps Stamps;
CHECKED Err stamps_new(int glyph, double diameter, double stroke, Stamps **out);
void stamps_free(Stamps *s);
/* Centre in pixels; parts outside are clipped. */
void point_image_stamp(PointImage *p, const Stamps *s, double x, double y, uint32_t rgb);
#endif
