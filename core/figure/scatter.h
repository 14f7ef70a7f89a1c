/* The one description of an embedding plot. The explorer draws it in character cells, scatter_render() on a page:
 * what is on the screen is what is exported.
 *
 * Conventions (scanpy's where it has one): point diameter 0.5*sqrt(120000/n) pt over all cells with coordinates,
 * clamped to 0.3..10, the same in all panels; equal aspect; no ticks, corner arrows with the basis' name; stored
 * category order; missing values light grey, drawn first, "NA" in the legend; continuous values drawn in rising
 * order, categories in a seeded random one; generated cells hollow with their own legend entry. Panels that show the same
 * groups, or numbers on one scale, share one legend; one that has no room beside its plot goes below it. Names on the data
 * that have no room become numbers, with the names in the list. */
#ifndef SCMM_FIGURE_SCATTER_H
#define SCMM_FIGURE_SCATTER_H
#include "core/base/job.h"
#include "core/figure/draw.h"
#include "core/figure/palette.h"

typedef struct ScatterPanel { /* everything borrowed */
    const char *title;
    bool italic_title;      /* genes */
    const uint8_t *in;      /* [n] cells drawn in colour, others grey beneath; NULL: all */
    /* Categories ... */
    const int32_t *codes;   /* [n], -1 missing; NULL: a continuous panel */
    size_t n_groups;
    char *const *names;     /* [n_groups] */
    const uint32_t *colors; /* [n_groups] */
    const uint8_t *highlight; /* [n_groups] 1 = coloured, 0 = grey beneath; NULL: all coloured */
    /* ... or numbers */
    const float *values;    /* [n], NaN missing; NULL with codes NULL: one colour */
    const char *unit;
    const char *legend_title; /* above the list of groups; NULL none */
    ColorMap map;
    double vmin, vmax;      /* equal: found from the values (shared by all continuous panels of the same unit) */
    bool zero_grey;         /* cells with 0 light grey, drawn first */
} ScatterPanel;

typedef enum FrameKind { FRAME_ARROWS, FRAME_FULL, FRAME_NONE } FrameKind;
typedef enum LegendPlace { LEGEND_RIGHT, LEGEND_ON_DATA, LEGEND_BOTH, LEGEND_NONE } LegendPlace;

typedef struct Scatter {
    size_t n;
    const float *xy;      /* [n,2], NaN: not drawn */
    const char *basis;    /* "UMAP" */
    size_t n_panels;
    const ScatterPanel *panels;
    int columns;          /* panels side by side; 0: up to 4 */
    size_t n_generated;
    const float *generated_xy; /* [n_generated,2] */
    const char *generated_label; /* "generated (n=200, seed=0)" */
    double view[4];       /* x0 y0 x1 y1; all 0: everything */
    LegendPlace legend; /* names on the data leave the list out, unless there are generated cells or missing values to name */
    FrameKind frame;
    bool letters;         /* a, b, c before the titles */
    bool glyphs;          /* groups differ in their glyphs too */
    const char *caption;  /* under the figure; NULL none */
    double width_mm, height_mm; /* height 0: follows from the content */
    double point_scale;   /* 1 */
    uint64_t seed;        /* of the drawing order */
} Scatter;

/* "85mm", "170mm", "120x80mm", "slide" (254 x 142.9 mm, 16:9), "square" (120 x 120 mm) -> width and height (0: free). */
CHECKED Err scatter_size(const char *text, double *width_mm, double *height_mm);
/* The rule above, in pt. */
double scatter_point_diameter(size_t n_finite, double scale);
/* Where group labels go: median of the densest tenth of each group's points, xy[n_groups,2] (NaN for empty groups). */
CHECKED Err scatter_label_positions(const float *xy, const int32_t *codes, size_t n, size_t n_groups, float *out);
/* "UMAP" of "X_umap", "t-SNE" of "X_tsne", ...; caller frees. */
char *scatter_basis_name(const char *obsm_key);

/* Whether two panels of numbers share their limits. */
bool scatter_one_scale(const ScatterPanel *a, const ScatterPanel *b);
/* Draws s into path (.png, .svg, .pdf). */
CHECKED Err scatter_render(const Scatter *s, const char *path, const RenderParams *p, JobCtl *ctl);
#endif
