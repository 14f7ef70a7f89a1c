/* What explains a figure: lists of glyphs with names, colour bars, dot sizes. All lengths in pt. A list is never cut off: names
 * are wrapped, columns added, the text made smaller (5 pt at least); in a room that is too small for all that, the last line
 * says how many entries are missing. */
#ifndef SCMM_FIGURE_LEGEND_H
#define SCMM_FIGURE_LEGEND_H
#include "core/figure/draw.h"
#include "core/figure/palette.h"

#define FIGURE_INK 0x262626u
#define FIGURE_FAINT 0x8A8A8Au
#define FIGURE_TITLE 8.0 /* text sizes, pt */
#define FIGURE_TEXT 6.5
#define FIGURE_TEXT_MIN 5.0

typedef struct LegendEntry {
    char *text;     /* owned */
    char *lines[6]; /* wrapped; owned */
    int n_lines, glyph;
    uint32_t color;
} LegendEntry;
typedef struct Legend {
    LegendEntry *entries; /* [total] */
    size_t total, cap;
    size_t n;          /* drawn, after a fit; with fewer than total, the last one is `note` */
    LegendEntry note;
    const char *title; /* borrowed; NULL none */
    double size;       /* of the text, after a fit */
    int per_column;    /* lines */
    double column_width, width, height; /* after a fit */
} Legend;
/* GLYPH_SWATCH + repeat: the square that draw_swatch() draws. */
enum { GLYPH_NONE = -1, GLYPH_SWATCH = 64 };
/* An area in the colour of a group; where colours repeat (beyond 20 groups) it has 1, 2, ... white stripes. */
void draw_swatch(Draw *d, double x, double y, double w, double h, uint32_t color, int repeat);

void legend_add(Legend *l, int glyph, uint32_t color, const char *text); /* copies */
/* Beside a plot: as few columns as max_height allows, names wrapped at `room`. */
void legend_fit_beside(Legend *l, Draw *d, double room, double max_height);
/* Below a plot: as many columns as the width holds; max_height 0: as high as it needs. */
void legend_fit_below(Legend *l, Draw *d, double width, double max_height);
void legend_draw(const Legend *l, Draw *d, double x, double y);
void legend_done(Legend *l);

typedef struct Bar { /* a continuous scale */
    ColorMap map;
    double lo, hi;
    const char *unit;
    bool zero_grey; /* 0 is drawn in COLOR_ZERO */
    bool beyond_lo, beyond_hi; /* values lie outside: that end gets a point */
} Bar;
#define BAR_ROOM 34.0 /* most width that a vertical bar takes */
#define COLOR_ZERO 0xDADADAu
void bar_draw(Draw *d, const Bar *b, double x, double y, double height);
/* The width that it takes. */
double bar_width(Draw *d, const Bar *b, double height);
/* Lying: width x about 20 high (28 with a long unit), unit above, wrapped at `room`. */
void bar_draw_flat(Draw *d, const Bar *b, double x, double y, double width, double room);
/* The colour of a value. */
uint32_t bar_color(const Bar *b, double value);

/* The unit of an axis from lo to hi, with the power of ten in which its ticks are written where they are very large or
 * small: "log1p CP10k", "counts, ×10^5"; *power 0 without. Caller frees. */
char *axis_unit(const char *unit, double lo, double hi, int *power);
/* Round numbers within lo..hi, at most `most` (>= 2) of them; returns how many. */
int axis_ticks(double lo, double hi, int most, double *out);
/* `step`: distance of the ticks, which says how many decimals there are. */
void axis_text(double v, double step, char *out, size_t n);
/* The name of a group as it is shown: "(no name)" for an empty one. */
const char *group_text(const char *name);
/* 1204 -> "1,204"; caller frees. */
char *count_text(size_t v);
/* Breaks text into at most `most` lines of `room`: at blanks, else behind punctuation, else anywhere; a last line that is
 * still too long ends in "...". Each line is the caller's. Returns how many. */
int wrap_text(Draw *d, const TextStyle *style, double room, const char *text, char **lines, int most);
/* The text, shortened with an ellipsis to `room`; caller frees. */
char *shorten_text(Draw *d, const TextStyle *style, double room, const char *text);
#endif
