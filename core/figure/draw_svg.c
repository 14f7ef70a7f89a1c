/* SVG, element by element: cairo would turn the text into outlines. The fonts are in the file, as the glyphs that it uses,
 * so that it looks the same where they are not installed and its text can still be edited. */
#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_TRUETYPE_TABLES_H
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/figure/draw_page.h"
#include "core/figure/font_face.h"
#include "core/figure/font_subset.h"

static void add_escaped(Str *s, const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '<')
            str_add(s, "&lt;");
        else if (c == '>')
            str_add(s, "&gt;");
        else if (c == '&')
            str_add(s, "&amp;");
        else if (c == '"')
            str_add(s, "&quot;");
        else if (c >= 0x20)
            str_add_char(s, *p);
    }
}

void svg_begin(Draw *d)
{
    Str *s = &d->bytes;
    str_addf(s,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
             "xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"%.4gpt\" height=\"%.4gpt\" viewBox=\"0 0 %.4g %.4g\" xml:space=\"preserve\" "
             "font-family=\"'Liberation Sans', Arial, Helvetica, sans-serif\">\n",
             d->width * d->zoom, d->height * d->zoom, d->width, d->height);
    if (d->title) {
        str_add(s, "<title>");
        add_escaped(s, d->title);
        str_add(s, "</title>\n");
    }
    str_add(s, "<metadata>\n");
    for (size_t i = 0; i < d->n_meta; i++) {
        add_escaped(s, d->meta[i].key);
        str_add(s, ": ");
        add_escaped(s, d->meta[i].value);
        str_add(s, "\n");
    }
    str_add(s, "</metadata>\n");
    if (!d->transparent)
        str_addf(s, "<rect width=\"%.4g\" height=\"%.4g\" fill=\"#fff\"/>\n", d->width, d->height);
}

/* ---- shapes ---- */

void svg_line(Draw *d, double x0, double y0, double x1, double y1, double width, uint32_t color)
{
    str_addf(&d->bytes, "<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\" stroke=\"#%06x\" stroke-width=\"%.2f\"/>\n",
             x0, y0, x1, y1, color, width);
}

void svg_polygon(Draw *d, const double *xy, int n, double stroke, uint32_t color)
{
    str_add(&d->bytes, "<polygon points=\"");
    for (int i = 0; i < n; i++)
        str_addf(&d->bytes, "%s%.2f,%.2f", i ? " " : "", xy[2 * i], xy[2 * i + 1]);
    if (stroke > 0)
        str_addf(&d->bytes, "\" fill=\"none\" stroke=\"#%06x\" stroke-width=\"%.2f\" stroke-linejoin=\"round\"/>\n", color, stroke);
    else
        str_addf(&d->bytes, "\" fill=\"#%06x\"/>\n", color);
}

void svg_disc(Draw *d, double x, double y, double r, double stroke, uint32_t color)
{
    str_addf(&d->bytes, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\" ", x, y, r);
    if (stroke > 0)
        str_addf(&d->bytes, "fill=\"none\" stroke=\"#%06x\" stroke-width=\"%.2f\"/>\n", color, stroke);
    else
        str_addf(&d->bytes, "fill=\"#%06x\"/>\n", color);
}

void svg_text(Draw *d, double x, double y, const TextStyle *s, uint32_t color, const char *utf8)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    Str *out = &d->bytes;
    str_add(&d->used[s->bold + 2 * s->italic], utf8);
    str_addf(out, "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%.2f\" fill=\"#%06x\" text-anchor=\"%s\"", x, y, s->size, color,
             anchors[s->align]);
    if (s->bold)
        str_add(out, " font-weight=\"bold\"");
    if (s->italic)
        str_add(out, " font-style=\"italic\"");
    if (s->halo)
        str_addf(out, " stroke=\"#fff\" stroke-width=\"%.2f\" stroke-linejoin=\"round\" paint-order=\"stroke\"", s->size / 4);
    if (s->rotate != 0)
        str_addf(out, " transform=\"rotate(%.1f %.2f %.2f)\"", -s->rotate, x, y);
    str_add(out, ">");
    add_escaped(out, utf8);
    str_add(out, "</text>\n");
}

static void add_base64(Str *s, const unsigned char *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63], left > 1 ? digits[v >> 6 & 63] : '=',
                              left > 2 ? digits[v & 63] : '='};
        str_add_n(s, four, 4);
    }
}

void svg_image(Draw *d, double x, double y, double w, double h, const uint32_t *argb, int iw, int ih)
{
    unsigned char *png;
    size_t n;
    if (png_encode(argb, iw, ih, d->dpi, true, NULL, 0, &png, &n) != OK)
        return;
    str_addf(&d->bytes, "<image x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" xlink:href=\"data:image/png;base64,", x, y, w, h);
    add_base64(&d->bytes, png, n);
    str_add(&d->bytes, "\"/>\n");
    free(png);
}

/* ---- fonts ---- */

/* The font's file as FreeType holds it. */
static Err subset_of(FT_Face face, const char *text, uint8_t **out, size_t *n_out)
{
    Err err = OK;
    FT_ULong n = 0;
    uint8_t *font = NULL;
    if (FT_Load_Sfnt_Table(face, 0, 0, NULL, &n) != 0)
        FAIL(ERR_INPUT, "font: not in TrueType's form");
    TRY_GOTO(NEW(font, n));
    if (FT_Load_Sfnt_Table(face, 0, 0, font, &n) != 0)
        FAIL_GOTO(ERR_INPUT, "font: cannot be read");
    err = font_subset(font, n, text, out, n_out);
done:
    free(font);
    return err;
}

/* Of a font that cannot be held (not TrueType) the name alone stays. */
static void add_face(Draw *d, int k)
{
    TextStyle style = {.size = 12, .bold = k & 1, .italic = k & 2};
    uint8_t *font = NULL;
    size_t n = 0;
    const Font *face = font_of(&style);
    if (face && subset_of(face->ft, d->used[k].data, &font, &n) == OK) {
        str_addf(&d->bytes, "@font-face { font-family: 'Liberation Sans'; font-weight: %s; font-style: %s; src: url(data:font/ttf;base64,",
                 style.bold ? "bold" : "normal", style.italic ? "italic" : "normal");
        add_base64(&d->bytes, font, n);
        str_add(&d->bytes, ") format('truetype'); }\n");
    }
    free(font);
}

void svg_end(Draw *d)
{
    str_add(&d->bytes, "<style>\n");
    for (int k = 0; k < 4; k++)
        if (d->used[k].len)
            add_face(d, k);
    str_add(&d->bytes, "</style>\n</svg>\n");
}
