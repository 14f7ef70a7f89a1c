/* The fonts of the text: Liberation Sans, and for characters that it lacks whatever the system has. For draw*.c only. */
#ifndef SCMM_FIGURE_FONT_FACE_H
#define SCMM_FIGURE_FONT_FACE_H
#include <ft2build.h>
#include FT_FREETYPE_H
#include <cairo.h>

#include "core/figure/draw.h"

typedef struct Font {
    FT_Face ft;
    cairo_font_face_t *cairo;
} Font;

/* Kept until the end. NULL where the system has no fonts at all. */
const Font *font_of(const TextStyle *s);
/* A font with the character, else NULL. */
const Font *font_with(const TextStyle *s, uint32_t character);

/* A text as glyphs, in parts of one font and direction each. */
typedef struct TextPart {
    const Font *font;
    size_t text, text_n; /* bytes of the text */
    bool backward;       /* from right to left */
    int n, n_clusters;
    cairo_glyph_t *glyphs; /* around a text that begins at 0, 0 */
    cairo_text_cluster_t *clusters;
} TextPart;
typedef struct ShapedText {
    TextPart *parts;
    size_t n;
    double width;
} ShapedText;
/* `utf8` must be UTF-8. Kerned. Parts follow each other from left to right; each is shaped in its own direction. */
void text_shape(const TextStyle *s, const char *utf8, ShapedText *out);
void text_shape_done(ShapedText *t);
#endif
