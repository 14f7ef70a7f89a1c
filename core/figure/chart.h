/* Plots of groups: dots or tiles of genes, violins, histograms, the composition of samples. Like scatter.h each is a description,
 * drawn by one x_render onto a page of the given width; height 0 follows from the content. Everything is borrowed. */
#ifndef SCMM_FIGURE_CHART_H
#define SCMM_FIGURE_CHART_H
#include "core/analysis/summary.h"
#include <stdbool.h>
#include "core/base/job.h"
#include "core/figure/draw.h"
#include "core/figure/palette.h"

typedef struct ChartGroups { /* stored order */
    const char *key;         /* "leiden" */
    size_t n;
    char *const *names;      /* [n] */
    const size_t *sizes;     /* [n] cells; groups without cells are left out */
    const uint32_t *colors;  /* [n] */
} ChartGroups;

typedef struct Bracket { /* genes that belong together */
    const char *name;
    size_t first, n;
} Bracket;

typedef enum GridKind { GRID_DOTS, GRID_TILES } GridKind;
typedef struct GridPlot {
    GridKind kind;
    ChartGroups groups;   /* rows */
    size_t n_genes;       /* columns */
    char *const *genes;
    const float *fraction, *mean; /* [n_genes, n groups]; fraction for dots only */
    const char *unit;     /* of mean */
    ColorMap map;
    double vmin, vmax;    /* equal: 0 (or the smallest mean) to the largest */
    size_t n_brackets;
    const Bracket *brackets;
    double width_mm, height_mm;
    const char *caption;
} GridPlot;
/* Dots: area by the share of cells above 0, colour by the mean. Tiles: colour alone. ERR_USAGE when the genes or the
 * groups have no room. */
CHECKED Err grid_render(const GridPlot *g, const char *path, const RenderParams *p, JobCtl *ctl);

typedef struct ViolinPlot {
    ChartGroups groups;  /* side by side */
    size_t n_rows;       /* genes or columns, one below the other, on one axis of groups */
    char *const *titles; /* [n_rows] */
    const char *const *units; /* [n_rows] */
    const bool *italic;  /* [n_rows] */
    const Distribution *values; /* [n_rows] */
    double width_mm, height_mm;
    const char *caption;
} ViolinPlot;
/* Density to the same width in each group, quartiles as a bar, the median as a dot. */
CHECKED Err violin_render(const ViolinPlot *v, const char *path, const RenderParams *p, JobCtl *ctl);

typedef struct HistogramPlot {
    ChartGroups groups;  /* one below the other; a single one without a name where `alone` */
    bool alone;
    size_t n_values;     /* genes or columns, side by side */
    char *const *titles; /* [n_values] */
    const char *const *units; /* [n_values] */
    const bool *italic;  /* [n_values] */
    const Distribution *values; /* [n_values] */
    double width_mm, height_mm;
    const char *caption;
} HistogramPlot;
/* Cells in equal steps of the value; each group to its own height, the median as a line. */
CHECKED Err histogram_render(const HistogramPlot *h, const char *path, const RenderParams *p, JobCtl *ctl);

typedef struct BarPlot {
    ChartGroups rows, parts;
    const size_t *counts; /* [rows, parts] */
    bool absolute;        /* cells instead of shares */
    double width_mm, height_mm;
    const char *caption;
} BarPlot;
/* A lying bar a row, stacked by part; parts without a key have no legend. */
CHECKED Err bar_render(const BarPlot *b, const char *path, const RenderParams *p, JobCtl *ctl);

typedef struct CellPlot { /* genes x cells */
    ChartGroups groups;
    const int32_t *codes;      /* [n] */
    size_t n, n_genes;
    char *const *genes;
    const float *const *values; /* [n_genes] of [n] */
    const char *unit;
    ColorMap map;
    double vmin, vmax;
    double width_mm, height_mm;
    const char *caption;
} CellPlot;
/* One line a gene, the cells of each group side by side; where cells are narrower than a pixel it shows their mean. */
CHECKED Err cells_render(const CellPlot *c, const char *path, const RenderParams *p, JobCtl *ctl);
#endif
