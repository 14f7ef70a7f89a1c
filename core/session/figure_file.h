/* What every figure of a session carries: how it is written, its provenance, the sidecar beside it; for session_*.c only. */
#ifndef SCMM_SESSION_FIGURE_FILE_H
#define SCMM_SESSION_FIGURE_FILE_H
#include "core/figure/draw.h"
#include "core/figure/palette.h"
#include "core/session/session_internal.h"

typedef struct FigureFile {
    RenderParams render; /* points into this struct */
    MetaPair meta[12];
    char hash[65], seed[32], view[96];
} FigureFile;
/* placed: the figure shows generated cells. `file` must stay where it is. */
CHECKED Err figure_file_begin(Session *s, const PlotParams *pp, bool placed, uint64_t seed, JobCtl *ctl, FigureFile *file);

typedef struct Strings {
    const char **text;
    size_t n;
} Strings;
typedef struct FigureFacts { /* NULL, 0: left out */
    const char *basis, *groupby, *generated;
    size_t cells;
    double width_mm;
    const double *view; /* [4] */
    Strings panels;     /* titles, genes or parts */
} FigureFacts;
/* FIG.json beside the figure. */
CHECKED Err figure_file_sidecar(const PlotParams *pp, const FigureFile *file, const char *kind, const FigureFacts *f);

/* "0.5", "p99" of the finite v[n]; ERR_USAGE for anything else. */
CHECKED Err figure_limit(const float *v, size_t n, const char *text, double *out);
/* "cells: CD3E>0 (123 cells)", or of a list in a file "cells: 123 chosen cells"; caller frees. */
char *figure_cells_text(const char *what, const char *rule, size_t n);
/* Marks the groups that a list names: "B cell,NK", or one name; marks [n_groups] is the caller's. ERR_NOT_FOUND. */
CHECKED Err figure_highlight(const Groups *g, const char *list, uint8_t **marks);
/* --vmin, --vmax, --vcenter; *lo and *hi stay without them. */
CHECKED Err figure_limits(const float *v, size_t n, const PlotParams *pp, double *lo, double *hi);
/* --cmap, else rdbu around a centre, else the usual one. */
CHECKED Err figure_map(const PlotParams *pp, const char *usual, ColorMap *out);
/* figure_warn.c: what a person should know of a figure, said in the log; nothing is changed. */
void figure_warn_values(const Values *v, const PlotParams *pp);
void figure_warn_map(const Map *m, const PlotParams *pp);
void figure_warn_colors(const Groups *g);
void figure_warn_size(const PlotParams *pp, const RenderParams *r, size_t points);
#endif
