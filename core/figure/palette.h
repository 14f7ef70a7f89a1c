/* Colours: categorical palettes and continuous maps, 0xRRGGBB. */
#ifndef SCMM_FIGURE_PALETTE_H
#define SCMM_FIGURE_PALETTE_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

#define COLOR_MISSING 0xD3D3D3u /* cells without a value */
#define COLOR_PLAIN 0x4477AAu   /* what has no groups */
#define COLOR_BACKGROUND_CELLS 0xE3E3E3u /* cells outside the highlighted groups */

/* Okabe-Ito for 8 groups, twelve more up to 20, then repeated (the glyphs of palette_glyph tell the repeats apart).
 * Fills colors[n]. */
void palette_categorical(uint32_t *colors, size_t n);
/* 0 disc, 1 ring, 2 square, 3 diamond, 4 triangle, 5 cross, 6 triangle upside down, 7 plus: the glyph of group i among n
 * (0 up to 20 groups). Rings are left to generated cells until all others are taken. */
enum { N_GLYPHS = 8 };
int palette_glyph(size_t i, size_t n);
/* The glyph of group i where each has its own, as far as they go: for printers without colours. */
int palette_own_glyph(size_t i);
/* How often the colour of group i has been used before it: 0 up to 20 groups. */
int palette_repeat(size_t i, size_t n);

typedef enum ColorMap { MAP_VIRIDIS, MAP_MAGMA, MAP_CIVIDIS, MAP_RDBU, MAP_REDS, N_COLOR_MAPS } ColorMap;
/* t in 0..1 (clamped). Values of matplotlib 3.10 (reds: our own), 33 knots, linear in sRGB between them. */
uint32_t color_map(ColorMap map, double t);
/* By name ("viridis", "magma", "cividis", "rdbu", "reds": light grey to dark red); ERR_USAGE lists them. */
CHECKED Err color_map_find(const char *name, ColorMap *out);

/* What a viewer with full deuteranopia (kind 0), protanopia (1) or tritanopia (2) sees (Machado et al. 2009), or a printer
 * without colours (3: grey of the same lightness). */
enum { SIMULATE_KINDS = 4 };
uint32_t color_simulate(uint32_t rgb, int kind);
/* "deuteranopia", "deutan", "protanopia", "tritanopia", "greyscale", ... -> kind; ERR_USAGE lists them. */
CHECKED Err color_simulate_find(const char *name, int *kind);
/* CIEDE2000; below about 10 two small points are hard to tell apart by their colours, below 5 two areas are. */
double color_distance(uint32_t a, uint32_t b);
#endif
