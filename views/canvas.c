/* The cell grid: clipping, text with wide characters, boxes, bars, raster glyphs, dump. */
#include "views/canvas.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

Canvas *canvas_new(int w, int h, GlyphTier tier)
{
    Canvas *c = mem_must(sizeof *c);
    c->tier = tier;
    canvas_resize(c, w, h);
    return c;
}

void canvas_free(Canvas *c)
{
    if (c)
        free(c->cells);
    free(c);
}

void canvas_resize(Canvas *c, int w, int h)
{
    c->w = w < 1 ? 1 : w > 4096 ? 4096 : w;
    c->h = h < 1 ? 1 : h > 2048 ? 2048 : h;
    free(c->cells);
    c->cells = mem_must((size_t)c->w * (size_t)c->h * sizeof *c->cells);
    canvas_clear(c);
}

void canvas_clear(Canvas *c)
{
    c->clip = (Rect){0, 0, c->w, c->h};
    c->cursor_x = c->cursor_y = -1;
    for (size_t i = 0; i < (size_t)c->w * (size_t)c->h; i++)
        c->cells[i] = (Glyph){.ch = ' '};
}

static Rect intersect(Rect a, Rect b)
{
    int x0 = a.x > b.x ? a.x : b.x, y0 = a.y > b.y ? a.y : b.y;
    int x1 = a.x + a.w < b.x + b.w ? a.x + a.w : b.x + b.w;
    int y1 = a.y + a.h < b.y + b.h ? a.y + a.h : b.y + b.h;
    return (Rect){x0, y0, x1 > x0 ? x1 - x0 : 0, y1 > y0 ? y1 - y0 : 0};
}

Rect canvas_clip(Canvas *c, Rect r)
{
    Rect former = c->clip;
    c->clip = intersect(c->clip, r);
    return former;
}

void canvas_unclip(Canvas *c, Rect former)
{
    c->clip = former;
}

static bool inside(const Canvas *c, int x, int y)
{
    return x >= c->clip.x && x < c->clip.x + c->clip.w && y >= c->clip.y &&
           y < c->clip.y + c->clip.h;
}

/* What stands in for a character where only ASCII may be written. */
static uint32_t to_ascii(uint32_t ch)
{
    static const struct {
        uint32_t from;
        char to;
    } table[] = {{0x2018, '\''}, {0x2019, '\''}, {0x201c, '"'}, {0x201d, '"'}, {0x2013, '-'},
                 {0x2014, '-'},  {0x2026, '~'},  {0x00d7, 'x'}, {0x03b1, 'a'}, {0x03b2, 'b'},
                 {0x03b3, 'g'},  {0x03b4, 'd'},  {0x2022, '*'}, {0x25cf, '*'}, {0x25cb, 'o'},
                 {0x25b8, '>'},  {0x2588, '#'},  {0x2591, '.'}, {0x2500, '-'}, {0x2502, '|'},
                 {0x00b5, 'u'},  {0x2265, '>'},  {0x2264, '<'}, {0x00a0, ' '}};
    if (ch < 0x80)
        return ch;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].from == ch)
            return (uint32_t)table[i].to;
    return '?';
}

/* Blanks the other half of a wide character that is about to be cut in two. */
static void mend(Canvas *c, int x, int y)
{
    Glyph *row = c->cells + (size_t)y * (size_t)c->w;
    if (row[x].ch == 0 && x > 0)
        row[x - 1].ch = ' ';
    if (x + 1 < c->w && row[x + 1].ch == 0)
        row[x + 1].ch = ' ';
}

void canvas_put(Canvas *c, int x, int y, uint32_t ch, Style s)
{
    if (c->tier == GLYPHS_ASCII)
        ch = to_ascii(ch);
    int width = glyph_width(ch);
    if (width == 0 || !inside(c, x, y))
        return;
    if (width == 2 && !inside(c, x + 1, y)) {
        ch = ' ';
        width = 1;
    }
    mend(c, x, y);
    if (width == 2)
        mend(c, x + 1, y);
    Glyph *g = c->cells + (size_t)y * (size_t)c->w + x;
    g[0] = (Glyph){ch, s};
    if (width == 2)
        g[1] = (Glyph){0, s};
}

void canvas_fill(Canvas *c, Rect r, uint32_t ch, Style s)
{
    r = intersect(r, c->clip);
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++)
            canvas_put(c, x, y, ch, s);
}

void canvas_restyle(Canvas *c, Rect r, Style s)
{
    r = intersect(r, c->clip);
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++)
            c->cells[(size_t)y * (size_t)c->w + (size_t)x].style = s;
}

int canvas_text(Canvas *c, int x, int y, int max_w, Style s, const char *utf8)
{
    int room = c->clip.x + c->clip.w - x;
    if (max_w < 0 || max_w > room)
        max_w = room;
    bool cut = text_width(utf8) > max_w;
    int used = 0;
    for (const char *p = utf8; *p;) {
        uint32_t ch = utf8_next(&p);
        if (ch < 0x20 || ch == 0x7f)
            ch = 0xfffd; /* a control character in a name must not reach the terminal */
        int w = glyph_width(ch);
        if (used + w + (cut ? 1 : 0) > max_w)
            break;
        canvas_put(c, x + used, y, ch, s);
        used += w;
    }
    if (cut && used < max_w)
        canvas_put(c, x + used++, y, 0x2026, s);
    return used;
}

int canvas_textf(Canvas *c, int x, int y, int max_w, Style s, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return canvas_text(c, x, y, max_w, s, text);
}

void canvas_box(Canvas *c, Rect r, Style s)
{
    static const uint32_t lines[2][6] = {{0x250c, 0x2510, 0x2514, 0x2518, 0x2500, 0x2502},
                                         {'+', '+', '+', '+', '-', '|'}};
    const uint32_t *l = lines[c->tier == GLYPHS_ASCII];
    if (r.w < 1 || r.h < 1)
        return;
    int x1 = r.x + r.w - 1, y1 = r.y + r.h - 1;
    for (int x = r.x; x <= x1; x++) {
        canvas_put(c, x, r.y, l[4], s);
        canvas_put(c, x, y1, l[4], s);
    }
    for (int y = r.y; y <= y1; y++) {
        canvas_put(c, r.x, y, l[5], s);
        canvas_put(c, x1, y, l[5], s);
    }
    canvas_put(c, r.x, r.y, l[0], s);
    canvas_put(c, x1, r.y, l[1], s);
    canvas_put(c, r.x, y1, l[2], s);
    canvas_put(c, x1, y1, l[3], s);
}

void canvas_bar(Canvas *c, int x, int y, int w, double fraction, Style s)
{
    int full = fraction < 0 ? 0 : (int)(fraction * w + 0.5);
    bool ascii = c->tier == GLYPHS_ASCII;
    for (int i = 0; i < w; i++)
        canvas_put(c, x + i, y, i < full ? (ascii ? '#' : 0x2588) : (ascii ? '.' : 0x2591), s);
}

void canvas_braille(Canvas *c, int x, int y, uint8_t dots, Style s)
{
    static const uint8_t bit[8] = {0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80};
    uint32_t ch = 0x2800;
    for (int i = 0; i < 8; i++)
        if (dots >> i & 1)
            ch |= bit[i];
    canvas_put(c, x, y, ch, s);
}

void canvas_halfblock(Canvas *c, int x, int y, Color top, Color bottom, uint8_t attr)
{
    if (top && bottom && top == bottom)
        canvas_put(c, x, y, 0x2588, (Style){top, 0, attr});
    else if (top)
        canvas_put(c, x, y, 0x2580, (Style){top, bottom, attr});
    else if (bottom)
        canvas_put(c, x, y, 0x2584, (Style){bottom, 0, attr});
}

char *canvas_dump(const Canvas *c)
{
    Str out = {0};
    for (int y = 0; y < c->h; y++) {
        size_t end = out.len;
        for (int x = 0; x < c->w; x++) {
            uint32_t ch = c->cells[(size_t)y * (size_t)c->w + (size_t)x].ch;
            char bytes[5];
            if (!ch)
                continue;
            str_add_n(&out, bytes, utf8_encode(ch, bytes));
            if (ch != ' ')
                end = out.len;
        }
        if (out.data) {
            out.len = end;
            out.data[end] = 0;
        }
        str_add_char(&out, '\n');
    }
    return str_take(&out);
}
