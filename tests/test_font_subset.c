/* core/figure/font_subset and the fonts inside SVG files. */
#include "tests/util.h"

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

static uint32_t number(const uint8_t *d, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | d[i];
    return v;
}

static const uint8_t *table(const uint8_t *font, const char *tag)
{
    for (uint32_t i = 0; i < number(font + 4, 2); i++)
        if (memcmp(font + 12 + 16 * i, tag, 4) == 0)
            return font + number(font + 12 + 16 * i + 8, 4);
    fail_msg("no table %s", tag);
    return NULL;
}

/* Through the character map (format 4 without ranges of glyph numbers); 0: not there. */
static uint32_t glyph_of(const uint8_t *font, uint32_t code)
{
    const uint8_t *map = table(font, "cmap") + 12;
    uint32_t segments = number(map + 6, 2) / 2;
    for (uint32_t i = 0; i < segments; i++)
        if (number(map + 14 + 2 * i, 2) == code)
            return (number(map + 16 + 4 * segments + 2 * i, 2) + code) & 0xFFFF;
    return 0;
}

static uint32_t advance(const uint8_t *font, uint32_t glyph)
{
    return number(table(font, "hmtx") + 4 * glyph, 2);
}

static size_t outline_size(const uint8_t *font, uint32_t glyph)
{
    const uint8_t *loca = table(font, "loca");
    return number(loca + 4 * glyph + 4, 4) - number(loca + 4 * glyph, 4);
}

static void svg_holds_the_faces_it_uses_and_their_glyphs_alone(void **state)
{
    size_t n;
    for (int k = 0; k < 3; k++) {
        const char *has[] = {"Cg", "B", "I"}, *has_not[] = {"BI", "Cg", "Cg"};
        uint8_t *font = font_of_page("Cg", k, &n);
        assert_non_null(font);
        assert_true(n < 6000);
        for (const char *p = has[k]; *p; p++)
            assert_true(glyph_of(font, (uint8_t)*p) > 0 && outline_size(font, glyph_of(font, (uint8_t)*p)) > 10);
        for (const char *p = has_not[k]; *p; p++)
            assert_int_equal(glyph_of(font, (uint8_t)*p), 0);
        free(font);
    }
    assert_null(font_of_page("Cg", 3, &n));
}

static void checksum_widths_and_parts_of_letters_are_right(void **state)
{
    size_t n;
    uint32_t sum = 0;
    uint8_t *font = font_of_page("e\xc3\xa9\xce\xb1", 0, &n); /* e, e with acute, alpha */
    assert_int_equal(n % 4, 0);
    for (size_t i = 0; i < n; i += 4)
        sum += number(font + i, 4);
    assert_int_equal(sum, 0xB1B0AFBA);
    /* Liberation Sans, 2048 units an em: as Helvetica's 556 thousandths */
    assert_int_equal(advance(font, glyph_of(font, 'e')), 1139);
    assert_int_equal(advance(font, glyph_of(font, 0xE9)), 1139);
    assert_true(glyph_of(font, 0x3B1) > 0);
    /* e with acute is made of e, which it shares, and an accent */
    assert_int_equal(number(table(font, "maxp") + 4, 2), 5);
    const uint8_t *loca = table(font, "loca"), *whole = table(font, "glyf") + number(loca + 4 * glyph_of(font, 0xE9), 4);
    assert_int_equal(number(whole, 2), 0xFFFF);
    assert_int_equal(number(whole + 12, 2), glyph_of(font, 'e'));
    free(font);
}

static void damaged_fonts_are_refused_or_cut_without_harm(void **state)
{
    size_t n, m;
    uint8_t *font = font_of_page("e\xc3\xa9", 0, &n), *out;
    const FontChar chars[] = {{'e', glyph_of(font, 'e')}, {0xE9, glyph_of(font, 0xE9)}, {0x100, 60000}};
    assert_ok(font_subset(font, n, chars, 2, &out, &m));
    assert_int_equal(m, n); /* a font of what it has already */
    free(out);
    for (size_t cut = 0; cut < n; cut += 7) {
        uint8_t *part = mem_must(cut + 1);
        memcpy(part, font, cut);
        if (font_subset(part, cut, chars, 3, &out, &m) == OK)
            free(out);
        free(part);
    }
    for (size_t at = 0; at < n; at++) {
        uint8_t was = font[at];
        font[at] ^= 0xA5;
        if (font_subset(font, n, chars, 3, &out, &m) == OK)
            free(out);
        font[at] = was;
    }
    assert_err(font_subset((const uint8_t *)"OTTO", 4, chars, 1, &out, &m), ERR_INPUT);
    free(font);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(svg_holds_the_faces_it_uses_and_their_glyphs_alone),
        TEST(checksum_widths_and_parts_of_letters_are_right),
        TEST(damaged_fonts_are_refused_or_cut_without_harm),
    };
    return RUN(tests);
}
