/* views/canvas, views/text: clipping, widths, wrapping, boxes, raster glyphs. */
#include "tests/util.h"

#include <stdlib.h>
#include <string.h>

#include "views/canvas.h"

static const Style plain;

static void assert_dump(const Canvas *c, const char *expected)
{
    char *got = canvas_dump(c);
    assert_string_equal(got, expected);
    free(got);
}

static void text_is_cut_with_an_ellipsis(void **state)
{
    Canvas *c = canvas_new(8, 2, GLYPHS_BRAILLE);
    assert_int_equal(canvas_text(c, 0, 0, 5, plain, "abcdefgh"), 5);
    assert_int_equal(canvas_text(c, 1, 1, -1, plain, "abcdefg"), 7);
    assert_dump(c, "abcd…\n abcdefg\n");
    canvas_free(c);
}

static void nothing_leaves_the_clip(void **state)
{
    Canvas *c = canvas_new(6, 3, GLYPHS_ASCII);
    Rect former = canvas_clip(c, (Rect){1, 1, 3, 1});
    canvas_fill(c, (Rect){-5, -5, 100, 100}, '#', plain);
    canvas_text(c, 2, 1, -1, plain, "xyz");
    canvas_put(c, 0, 1, '!', plain);
    canvas_put(c, 1, 2, '!', plain);
    canvas_box(c, (Rect){-1, 0, 9, 3}, plain);
    canvas_unclip(c, former);
    canvas_put(c, 5, 2, '$', plain);
    assert_dump(c, "\n #x~\n     $\n");
    canvas_free(c);
}

static void wide_characters_take_two_columns_and_are_never_halved(void **state)
{
    Canvas *c = canvas_new(4, 2, GLYPHS_BRAILLE);
    canvas_text(c, 0, 0, -1, plain, "細胞");
    canvas_put(c, 1, 0, 'x', plain);    /* into the right half of the first */
    canvas_put(c, 3, 1, 0x7d30, plain); /* no room for two */
    assert_dump(c, " x胞\n\n");
    assert_int_equal(text_width("細胞a\xcc\x81"), 5);
    canvas_free(c);
}

static void malformed_utf8_becomes_one_sign_a_byte(void **state)
{
    const char *p = "\xff\xe2\x82"
                    "a";
    assert_int_equal(utf8_next(&p), 0xfffd);
    assert_int_equal(utf8_next(&p), 0xfffd);
    assert_int_equal(utf8_next(&p), 'a');
    assert_int_equal(utf8_next(&p), 0);
    const char *overlong = "\xe0\x80\x80";
    assert_int_equal(utf8_next(&overlong), 0xfffd);
}

static void control_characters_do_not_reach_the_screen(void **state)
{
    Canvas *c = canvas_new(6, 1, GLYPHS_ASCII);
    canvas_text(c, 0, 0, -1, plain, "a\x1b[\tb");
    assert_dump(c, "a?[?b\n");
    canvas_free(c);
}

static void braille_dots_lie_where_asked(void **state)
{
    Canvas *c = canvas_new(4, 1, GLYPHS_BRAILLE);
    canvas_braille(c, 0, 0, 1, plain);    /* left top */
    canvas_braille(c, 1, 0, 2, plain);    /* right top */
    canvas_braille(c, 2, 0, 0x40, plain); /* left bottom */
    canvas_braille(c, 3, 0, 0xff, plain);
    assert_dump(c, "⠁⠈⡀⣿\n");
    canvas_free(c);
}

static void half_blocks_hold_two_colours(void **state)
{
    Canvas *c = canvas_new(3, 1, GLYPHS_BLOCK);
    canvas_halfblock(c, 0, 0, COLOR_ANSI(1), COLOR_ANSI(2), 0);
    canvas_halfblock(c, 1, 0, 0, COLOR_ANSI(3), 0);
    canvas_halfblock(c, 2, 0, COLOR_ANSI(3), COLOR_ANSI(3), 0);
    assert_dump(c, "▀▄█\n");
    assert_int_equal(c->cells[0].style.fg, COLOR_ANSI(1));
    assert_int_equal(c->cells[0].style.bg, COLOR_ANSI(2));
    assert_int_equal(c->cells[1].style.bg, 0);
    canvas_free(c);
}

static void ascii_tier_writes_ascii_alone(void **state)
{
    Canvas *c = canvas_new(7, 3, GLYPHS_ASCII);
    canvas_box(c, (Rect){0, 0, 7, 3}, plain);
    canvas_text(c, 1, 1, -1, plain, "βé“…");
    canvas_bar(c, 1, 2, 4, 0.5, plain);
    assert_dump(c, "+-----+\n|b?\"~ |\n+##..-+\n");
    canvas_free(c);
}

static void wrapping_breaks_between_words(void **state)
{
    size_t skip;
    assert_int_equal(text_wrap("alpha beta gamma", 11, &skip), 10);
    assert_int_equal(skip, 1);
    assert_int_equal(text_wrap("alpha beta", 10, &skip), 10);
    assert_int_equal(skip, 0);
    assert_int_equal(text_wrap("unbreakable", 4, &skip), 4);
    assert_int_equal(text_wrap("a\nb", 10, &skip), 1);
    assert_int_equal(skip, 1);
    assert_int_equal(text_wrap("細胞", 1, &skip), 3); /* at least one character */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_is_cut_with_an_ellipsis),
        TEST(nothing_leaves_the_clip),
        TEST(wide_characters_take_two_columns_and_are_never_halved),
        TEST(malformed_utf8_becomes_one_sign_a_byte),
        TEST(control_characters_do_not_reach_the_screen),
        TEST(braille_dots_lie_where_asked),
        TEST(half_blocks_hold_two_colours),
        TEST(ascii_tier_writes_ascii_alone),
        TEST(wrapping_breaks_between_words),
    };
    return RUN(tests);
}
