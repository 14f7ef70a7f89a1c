/* The part of a font that some text needs, as a font file of its own: for SVG, which holds its fonts as data. With kerning,
 * as text_shape.c measures; without hints and ligatures. By HarfBuzz. */
#ifndef SCMM_FIGURE_FONT_SUBSET_H
#define SCMM_FIGURE_FONT_SUBSET_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>

/* font[n]: a whole .ttf file. text: UTF-8; characters that the font lacks are left out. The new file is the caller's.
 * ERR_INPUT when the font is damaged. The same input gives the same bytes. */
CHECKED Err font_subset(const uint8_t *font, size_t n, const char *text, uint8_t **out, size_t *n_out);
#endif
