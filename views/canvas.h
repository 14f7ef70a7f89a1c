/* A grid of character cells that panes draw into. No terminal here: tui/term.c shows a Canvas,
 * tests dump it. Everything is clipped to the current clip rectangle, so that a pane can never
 * write into its neighbour. */
#ifndef SCMM_VIEWS_CANVAS_H
#define SCMM_VIEWS_CANVAS_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0: the terminal's own; else a tag in the top byte and a value: 24-bit colour, or one of the 16
 * ANSI colours. */
typedef uint32_t Color;
#define COLOR_DEFAULT 0u
#define COLOR_RGB(rgb) (0x01000000u | ((rgb)&0xffffffu))
#define COLOR_ANSI(i) (0x02000000u | (uint32_t)(i))

enum { ATTR_BOLD = 1, ATTR_DIM = 2, ATTR_REVERSE = 4, ATTR_UNDERLINE = 8 };

typedef struct Style {
    Color fg, bg;
    uint8_t attr;
} Style;

/* What characters may be used: braille and boxes, half blocks and boxes, or ASCII alone. */
typedef enum GlyphTier { GLYPHS_BRAILLE, GLYPHS_BLOCK, GLYPHS_ASCII } GlyphTier;

typedef struct Rect {
    int x, y, w, h;
} Rect;

typedef struct Glyph {
    uint32_t ch; /* 0: the right half of the wide character before it */
    Style style;
} Glyph;

typedef struct Canvas {
    int w, h;
    GlyphTier tier;
    Rect clip;
    Glyph *cells;           /* [h * w] */
    int cursor_x, cursor_y; /* terminal cursor; x < 0: hidden */
} Canvas;

Canvas *canvas_new(int w, int h, GlyphTier tier); /* sizes below 1 become 1 */
void canvas_free(Canvas *c);
void canvas_resize(Canvas *c, int w, int h); /* clears */
void canvas_clear(Canvas *c);                /* blanks, whole clip, hidden cursor */
/* Narrows the clip to its intersection with r and returns the former one, for canvas_unclip. */
Rect canvas_clip(Canvas *c, Rect r);
void canvas_unclip(Canvas *c, Rect former);

void canvas_put(Canvas *c, int x, int y, uint32_t ch, Style s);
void canvas_fill(Canvas *c, Rect r, uint32_t ch, Style s);
/* Changes the style of what is there. */
void canvas_restyle(Canvas *c, Rect r, Style s);
/* At most max_w columns (< 0: to the clip); text that does not fit ends in an ellipsis. Returns
 * columns used. */
int canvas_text(Canvas *c, int x, int y, int max_w, Style s, const char *utf8);
int canvas_textf(Canvas *c, int x, int y, int max_w, Style s, const char *fmt, ...)
    PRINTF_LIKE(6, 7);
void canvas_box(Canvas *c, Rect r, Style s);
/* A progress bar of w columns; fraction < 0: unknown. */
void canvas_bar(Canvas *c, int x, int y, int w, double fraction, Style s);
/* One cell of a braille raster; bit 2 * dy + dx of `dots` is the dot in column dx (0..1), row dy
 * (0..3). */
void canvas_braille(Canvas *c, int x, int y, uint8_t dots, Style s);
/* Two stacked pixels; COLOR_DEFAULT leaves one empty. */
void canvas_halfblock(Canvas *c, int x, int y, Color top, Color bottom, uint8_t attr);

/* Rows joined by newlines, trailing blanks removed; caller frees. */
char *canvas_dump(const Canvas *c);

/* ---- text ---- */
/* Decodes one character and advances; malformed bytes give U+FFFD. 0 at the end. */
uint32_t utf8_next(const char **p);
size_t utf8_encode(uint32_t ch, char out[5]);
int glyph_width(uint32_t ch); /* columns: 0 combining or control, 1, 2 */
int text_width(const char *utf8);
/* Bytes of s that fit into w columns, cut between words where possible (at least one character).
 * *skip is what to leave out before the next line (blanks). */
size_t text_wrap(const char *s, int w, size_t *skip);
#endif
