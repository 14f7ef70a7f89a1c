/* The part of a TrueType font that some text needs, as a font file of its own: for SVG, which holds its fonts as data. No
 * hinting, no kerning (cairo, which measures the text, uses none), glyphs numbered anew. */
#ifndef SCMM_FIGURE_FONT_SUBSET_H
#define SCMM_FIGURE_FONT_SUBSET_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct FontChar {
    uint32_t code; /* Unicode, below 0xFFFF */
    uint32_t glyph; /* in the font */
} FontChar;
/* font[n]: a whole .ttf file. chars[n_chars] rise by code, without repeats. The new file is the caller's. ERR_INPUT when
 * the font has other outlines than TrueType's or is damaged. The same input gives the same bytes. */
CHECKED Err font_subset(const uint8_t *font, size_t n, const FontChar *chars, size_t n_chars, uint8_t **out, size_t *n_out);
#endif
