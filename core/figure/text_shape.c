/* Text to glyphs. What Liberation Sans has is set with its advances and its kerning pairs; other scripts, and marks that
 * combine, go through HarfBuzz, which knows how they join and where they run. Loading that for every figure would cost more
 * than the figure. */
#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_ADVANCES_H
#include <hb-ft.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/figure/font_face.h"

static size_t decode(const char *p, uint32_t *out)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    *out = n == 1 ? c : c & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        *out = *out << 6 | ((unsigned char)p[i] & 63u);
    return n;
}

/* Marks and joiners stay with the character before them. */
static bool joins(uint32_t c)
{
    return (c >= 0x300 && c < 0x370) || c == 0x200D || (c >= 0xFE00 && c < 0xFE10) || (c >= 0x1F3FB && c <= 0x1F3FF);
}

/* Blanks inside other scripts are theirs: the words of a name that runs from right to left do so together. */
static void give_blanks(const char *text, const Font **fonts, size_t n, const Font *usual)
{
    for (size_t i = 0; i < n; i++) {
        size_t end = i;
        while (end < n && text[end] == ' ')
            end++;
        bool inside = end > i && i > 0 && end < n && fonts[i - 1] == fonts[end] && fonts[end] != usual && fonts[end] &&
                      FT_Get_Char_Index(fonts[end]->ft, ' ');
        for (; i < end; i++)
            if (inside)
                fonts[i] = fonts[end];
    }
}

/* The font of each byte; characters that none has get the usual one, which shows a box. */
static bool choose_fonts(const TextStyle *s, const char *text, const Font *usual, const Font **fonts)
{
    bool plain = true;
    for (size_t i = 0, n; text[i]; i += n) {
        uint32_t c;
        n = decode(text + i, &c);
        const Font *f = joins(c) && i ? fonts[i - 1] : font_with(s, c);
        plain &= f == usual && !joins(c);
        for (size_t k = 0; k < n; k++)
            fonts[i + k] = f ? f : usual;
    }
    if (!plain)
        give_blanks(text, fonts, strlen(text), usual);
    return plain;
}

static TextPart make_part(const Font *font, size_t text, size_t n)
{
    TextPart p = {.font = font, .text = text, .text_n = n};
    p.glyphs = mem_must((n + 1) * sizeof *p.glyphs);
    p.clusters = mem_must((n + 1) * sizeof *p.clusters);
    return p;
}

/* One glyph a character. */
static double set_plain(const TextStyle *s, const char *text, double x, TextPart *p)
{
    FT_Face face = p->font->ft;
    double unit = s->size / (face->units_per_EM ? face->units_per_EM : 1000);
    FT_UInt before = 0;
    for (size_t i = p->text, n; i < p->text + p->text_n; i += n) {
        uint32_t c;
        FT_Fixed advance = 0;
        FT_Vector kern = {0, 0};
        n = decode(text + i, &c);
        FT_UInt glyph = FT_Get_Char_Index(face, c);
        (void)FT_Get_Advance(face, glyph, FT_LOAD_NO_SCALE, &advance);
        if (before && FT_HAS_KERNING(face))
            (void)FT_Get_Kerning(face, before, glyph, FT_KERNING_UNSCALED, &kern);
        x += (double)kern.x * unit;
        p->glyphs[p->n++] = (cairo_glyph_t){glyph, x, 0};
        p->clusters[p->n_clusters++] = (cairo_text_cluster_t){(int)n, 1};
        x += (double)advance * unit;
        before = glyph;
    }
    return x;
}

/* Glyphs of one cluster stand together; a part from right to left has its last cluster first. */
static void set_clusters(const hb_glyph_info_t *info, unsigned n, TextPart *p)
{
    for (unsigned i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && info[end].cluster == info[i].cluster;)
            end++;
        size_t from = info[i].cluster, to = p->text + p->text_n;
        for (unsigned k = 0; k < n; k++)
            if (info[k].cluster > from && info[k].cluster < to)
                to = info[k].cluster;
        p->clusters[p->n_clusters++] = (cairo_text_cluster_t){(int)(to - from), (int)(end - i)};
    }
    for (int i = 0, k = p->n_clusters - 1; p->backward && i < k; i++, k--) { /* cairo wants them in the order of the text */
        cairo_text_cluster_t first = p->clusters[i];
        p->clusters[i] = p->clusters[k];
        p->clusters[k] = first;
    }
}

static double set_shaped(const TextStyle *s, const char *text, double x, TextPart *p)
{
    unsigned n;
    hb_face_t *face = hb_ft_face_create_referenced(p->font->ft);
    hb_font_t *font = hb_font_create(face);
    hb_buffer_t *b = hb_buffer_create();
    double unit = s->size / hb_face_get_upem(face);
    hb_buffer_add_utf8(b, text, -1, (unsigned)p->text, (int)p->text_n);
    hb_buffer_guess_segment_properties(b);
    p->backward = hb_buffer_get_direction(b) == HB_DIRECTION_RTL;
    hb_shape(font, b, NULL, 0);
    const hb_glyph_info_t *info = hb_buffer_get_glyph_infos(b, &n);
    const hb_glyph_position_t *at = hb_buffer_get_glyph_positions(b, &n);
    free(p->glyphs);
    free(p->clusters);
    p->glyphs = mem_must((n + 1) * sizeof *p->glyphs);
    p->clusters = mem_must((n + 1) * sizeof *p->clusters);
    for (unsigned i = 0; i < n; i++) {
        p->glyphs[p->n++] = (cairo_glyph_t){info[i].codepoint, x + at[i].x_offset * unit, -at[i].y_offset * unit};
        x += at[i].x_advance * unit;
    }
    set_clusters(info, n, p);
    hb_buffer_destroy(b);
    hb_font_destroy(font);
    hb_face_destroy(face);
    return x;
}

void text_shape(const TextStyle *s, const char *utf8, ShapedText *out)
{
    const Font *usual = font_of(s);
    size_t n = strlen(utf8);
    *out = (ShapedText){0};
    if (!n || !usual)
        return;
    const Font **fonts = mem_must(n * sizeof *fonts);
    bool plain = choose_fonts(s, utf8, usual, fonts);
    out->parts = mem_must(n * sizeof *out->parts);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && fonts[end] == fonts[i];)
            end++;
        TextPart *p = &out->parts[out->n++];
        *p = make_part(fonts[i], i, end - i);
        out->width = plain ? set_plain(s, utf8, out->width, p) : set_shaped(s, utf8, out->width, p);
    }
    free(fonts);
}

void text_shape_done(ShapedText *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->parts[i].glyphs);
        free(t->parts[i].clusters);
    }
    free(t->parts);
    *t = (ShapedText){0};
}
