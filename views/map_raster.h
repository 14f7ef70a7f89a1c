/* The cells of a map binned into character cells: what pane_map.c draws and where its labels go. */
#ifndef SCMM_VIEWS_MAP_RASTER_H
#define SCMM_VIEWS_MAP_RASTER_H
#include "views/app.h"

typedef struct MapRaster {
    uint64_t version, places;
    double cx, cy, zoom;
    int w, h, rows; /* characters; rows = h, or 2 h for half blocks */
    bool letters;
    /* world -> dots (2 a column, 4 a line): x * scale_x + ox, oy - y * scale_y */
    double scale_x, scale_y, ox, oy;
    double mid_x, mid_y, span_x, span_y;
    uint8_t *dots;     /* [w * rows] braille bits */
    int32_t *top;      /* [w * rows] the group that most points here have; -1 none, -2 empty */
    float *value;      /* [w * rows] the largest value */
    uint8_t *selected; /* [w * rows] holds selected cells */
    int32_t *votes;
    double lo, hi; /* of the colour scale */
    size_t n_labels;
    double (*labels)[2]; /* [n_groups] densest spot, map units; NaN none */
} MapRaster;

/* The raster for w x h characters; kept until something changes. NULL without a map. */
MapRaster *map_raster(App *a, int w, int h, GlyphTier tier);
void map_to_dots(const MapRaster *r, double x, double y, double *px, double *py);
void map_from_dots(const MapRaster *r, double px, double py, double *x, double *y);
#endif
