/* core/figure/font_subset and the fonts inside SVG files. */
#include "tests/util.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/figure/draw.h"
#include "core/figure/font_subset.h"

/* The k-th font of an SVG file with a regular, a bold and an italic text; NULL beyond the last. */
static uint8_t *font_of_page(const char *regular, int k, size_t *n)
{
    char path[] = "/tmp/scmm_font_XXXXXX.svg", *svg;
    Draw *d;
    close(mkstemps(path, 4));
    assert_ok(draw_open(path, &(DrawParams){.width = 50, .height = 20, .dpi = 72, .force = true}, &d));
    draw_text(d, 1, 9, &(TextStyle){.size = 8}, regular);
    draw_text(d, 1, 9, &(TextStyle){.size = 8, .bold = true}, "B");
    draw_text(d, 1, 9, &(TextStyle){.size = 8, .italic = true}, "I");
    assert_ok(draw_close(d));
    assert_ok(str_read_file(path, 1 << 22, ERR_GENERAL, &svg, NULL));
    unlink(path);
    char *at = svg;
    for (int i = 0; at && i <= k; i++)
        if ((at = strstr(at, "base64,")))
            at += 7;
    uint8_t *font = NULL;
    Str out = {0};
    uint32_t bits = 0;
    for (int have = 0; at && *at != '=' && *at != ')'; at++) {
        const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bits = bits << 6 | (uint32_t)(strchr(digits, *at) - digits);
        if ((have += 6) >= 8)
            str_add_n(&out, &(char){(char)(bits >> (have -= 8) & 255)}, 1);
    }
    *n = out.len;
    if (at)
        font = (uint8_t *)str_take(&out);
    free(svg);
    return font;
}

static FT_Face open_font(FT_Library lib, const uint8_t *font, size_t n)
{
    FT_Face f;
    assert_int_equal(FT_New_Memory_Face(lib, font, (FT_Long)n, 0, &f), 0);
    return f;
}

/* Width in units of the font, and the number of points of the outline; 0 points: not there. */
static void measure(FT_Face f, unsigned long code, long *width, int *points)
{
    unsigned g = FT_Get_Char_Index(f, code);
    *points = 0;
    if (!g)
        return;
    assert_int_equal(FT_Load_Glyph(f, g, FT_LOAD_NO_SCALE), 0);
    *width = f->glyph->metrics.horiAdvance;
    *points = f->glyph->outline.n_points;
}

static void svg_holds_the_faces_it_uses_and_their_glyphs_alone(void **state)
{
    FT_Library lib;
    size_t n;
    assert_int_equal(FT_Init_FreeType(&lib), 0);
    for (int k = 0; k < 3; k++) {
        const char *has[] = {"Cg", "B", "I"}, *has_not[] = {"BI", "Cg", "Cg"};
        uint8_t *font = font_of_page("Cg", k, &n);
        assert_non_null(font);
        assert_true(n < 6000);
        FT_Face f = open_font(lib, font, n);
        for (const char *p = has[k]; *p; p++) {
            long width;
            int points;
            measure(f, (unsigned long)*p, &width, &points);
            assert_true(points >= 4 && width > 0);
        }
        for (const char *p = has_not[k]; *p; p++)
            assert_int_equal(FT_Get_Char_Index(f, (unsigned long)*p), 0);
        FT_Done_Face(f);
        free(font);
    }
    FT_Done_FreeType(lib);
    assert_null(font_of_page("Cg", 3, &n));
}

static void widths_and_parts_of_letters_are_those_of_the_font(void **state)
{
    FT_Library lib;
    size_t n;
    long e, acute, alpha;
    int e_points, acute_points, alpha_points;
    uint8_t *font = font_of_page("e\xc3\xa9\xce\xb1", 0, &n); /* e, e with acute, alpha */
    assert_int_equal(FT_Init_FreeType(&lib), 0);
    FT_Face f = open_font(lib, font, n);
    measure(f, 'e', &e, &e_points);
    measure(f, 0xE9, &acute, &acute_points);
    measure(f, 0x3B1, &alpha, &alpha_points);
    /* Liberation Sans, 2048 units an em: as Helvetica's 556 thousandths */
    assert_int_equal(e, 1139);
    assert_int_equal(acute, 1139);
    assert_true(alpha_points > 0);
    assert_true(acute_points > e_points); /* made of e and an accent */
    FT_Done_Face(f);
    FT_Done_FreeType(lib);
    free(font);
}

static void damaged_fonts_are_refused_or_cut_without_harm(void **state)
{
    size_t n, m;
    uint8_t *font = font_of_page("e\xc3\xa9", 0, &n), *out;
    for (size_t cut = 0; cut < n; cut += 97) {
        uint8_t *part = mem_must(cut + 1);
        memcpy(part, font, cut);
        if (font_subset(part, cut, "e", &out, &m) == OK)
            free(out);
        free(part);
    }
    assert_err(font_subset((const uint8_t *)"OTTO", 4, "e", &out, &m), ERR_INPUT);
    free(font);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(svg_holds_the_faces_it_uses_and_their_glyphs_alone),
        TEST(widths_and_parts_of_letters_are_those_of_the_font),
        TEST(damaged_fonts_are_refused_or_cut_without_harm),
    };
    return RUN(tests);
}
