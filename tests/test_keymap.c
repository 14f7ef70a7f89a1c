/* tui: bytes to keys, keys to actions, colours for terminals with few of them. */
#include "tests/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "tui/color_map.h"
#include "tui/input.h"
#include "tui/keymap.h"

static void give(Input *in, const char *bytes, size_t n)
{
    unsigned char *where;
    assert_true(input_room(in, &where) >= n);
    memcpy(where, bytes, n);
    in->n += n;
}

static void assert_key(Input *in, const char *name)
{
    Event e;
    if (!input_next(in, false, &e))
        fail_msg("no event, wanted %s", name);
    assert_int_equal(e.kind, EVENT_KEY);
    assert_string_equal(e.name, name);
}

static void keys_have_their_names(void **state)
{
    static const struct {
        const char *bytes, *name;
    } keys[] = {{"a", "a"},         {"\x03", "C-c"},       {"\r", "Enter"},
                {"\t", "Tab"},      {"\x1b[Z", "S-Tab"},   {"\x1b[A", "Up"},
                {"\x1bOB", "Down"}, {"\x1b[5~", "PgUp"},   {"\x1b[1;5C", "C-Right"},
                {"\x1bOP", "F1"},   {"\x1b[11~", "F1"},    {"\x1b\r", "M-Enter"},
                {"\x1bx", "M-x"},   {"\x7f", "Backspace"}, {"\xc3\xa9", "\xc3\xa9"},
                {"\x1b[H", "Home"}, {"\x1b[4~", "End"}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        Input in = {0};
        give(&in, keys[i].bytes, strlen(keys[i].bytes));
        assert_key(&in, keys[i].name);
        assert_int_equal(in.n, 0);
    }
}

static void a_sequence_may_come_byte_by_byte(void **state)
{
    Input in = {0};
    Event e;
    const char *bytes = "\x1b[1;5A";
    for (const char *p = bytes; p[1]; p++) {
        give(&in, p, 1);
        assert_false(input_next(&in, false, &e));
    }
    give(&in, "A", 1);
    assert_key(&in, "C-Up");
}

static void escape_alone_is_a_key_once_nothing_follows(void **state)
{
    Input in = {0};
    Event e;
    give(&in, "\x1b", 1);
    assert_false(input_next(&in, false, &e));
    assert_true(input_next(&in, true, &e));
    assert_string_equal(e.name, "Esc");
    give(&in, "\x1b\x1b[A", 4);
    assert_key(&in, "Esc");
    assert_key(&in, "Up");
}

static void mouse_reports_are_decoded(void **state)
{
    static const struct {
        const char *bytes;
        MouseKind kind;
    } reports[] = {{"\x1b[<0;12;5M", MOUSE_PRESS},       {"\x1b[<32;12;5M", MOUSE_DRAG},
                   {"\x1b[<0;12;5m", MOUSE_RELEASE},     {"\x1b[<64;12;5M", MOUSE_WHEEL_UP},
                   {"\x1b[<65;12;5M", MOUSE_WHEEL_DOWN}, {"\x1b[M ,%", MOUSE_PRESS}};
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++) {
        Input in = {0};
        Event e;
        give(&in, reports[i].bytes, strlen(reports[i].bytes));
        assert_true(input_next(&in, false, &e));
        assert_int_equal(e.kind, EVENT_MOUSE);
        assert_int_equal(e.mouse, reports[i].kind);
        assert_int_equal(e.x, 11);
        assert_int_equal(e.y, 4);
    }
}

static void pasted_text_is_not_taken_for_keys(void **state)
{
    Input in = {0};
    Event e;
    give(&in, "\x1b[200~q\r\x1b[201~q", 15);
    assert_true(input_next(&in, false, &e));
    assert_int_equal(e.kind, EVENT_PASTE);
    assert_int_equal(e.bytes[0], 'q');
    assert_true(input_next(&in, false, &e));
    assert_int_equal(e.kind, EVENT_PASTE);
    assert_int_equal(e.bytes[0], ' '); /* a line end would accept the prompt */
    assert_key(&in, "q");
}

static void any_bytes_are_survived(void **state)
{
    uint32_t x = 12345;
    Input in = {0};
    Event e;
    for (int round = 0; round < 20000; round++) {
        static const char bits[] = "\x1b[<;0123456789MmAO~\xc3\xa9\xff\x80 q";
        char c = bits[(x >> 16) % (sizeof bits - 1)];
        x = x * 1664525 + 1013904223;
        give(&in, &c, 1);
        while (input_next(&in, round % 7 == 0, &e))
            ;
        assert_true(in.n < 4000);
    }
}

static void every_default_key_is_used_once_and_quit_has_one(void **state)
{
    Keymap k;
    keymap_init(&k);
    assert_true(k.n > 50);
    assert_ok(keymap_apply(&k, "# nothing changed\n\n"));
    assert_int_equal(keymap_find(&k, "q"), ACT_QUIT);
    assert_int_equal(keymap_find(&k, "C-c"), ACT_CANCEL);
    assert_int_equal(keymap_find(&k, "no such key"), ACT_NONE);
}

static void a_configuration_moves_keys(void **state)
{
    Keymap k;
    keymap_init(&k);
    assert_ok(keymap_apply(&k, "F10 quit\nC-q quit\nq copy\n"));
    assert_int_equal(keymap_find(&k, "F10"), ACT_QUIT);
    assert_int_equal(keymap_find(&k, "C-q"), ACT_QUIT);
    assert_int_equal(keymap_find(&k, "q"), ACT_COPY);
    assert_int_equal(keymap_find(&k, "y"), ACT_NONE);
}

static void more_keys_than_there_is_room_for_are_left_out(void **state)
{
    Keymap k;
    Str s = {0};
    keymap_init(&k);
    for (int i = 0; i < 2 * MAX_KEYS; i++)
        str_addf(&s, "key%d quit\n", i);
    assert_ok(keymap_apply(&k, str_text(&s)));
    assert_int_equal(k.n, MAX_KEYS);
    assert_int_equal(keymap_find(&k, "key0"), ACT_QUIT);
    str_free(&s);
}

static void a_bad_configuration_is_refused_and_changes_nothing(void **state)
{
    Keymap k;
    keymap_init(&k);
    assert_err(keymap_apply(&k, "t quit\n"), ERR_USAGE); /* t asks */
    assert_non_null(strstr(err_message(), "key t: both ask and quit"));
    assert_err(keymap_apply(&k, "q dance\n"), ERR_USAGE);
    assert_err(keymap_apply(&k, "F9 dance\n"), ERR_USAGE);
    assert_err(keymap_apply(&k, "q\n"), ERR_USAGE);
    assert_int_equal(keymap_find(&k, "q"), ACT_QUIT);
}

static void commands_are_found_by_an_unambiguous_beginning(void **state)
{
    assert_int_equal(action_find("quit"), ACT_QUIT);
    assert_int_equal(action_find("gener"), ACT_GENERATE);
    assert_int_equal(action_find("gen"), ACT_NONE); /* generate, genes */
    assert_int_equal(action_find("re"), ACT_NONE); /* remove, reset, reload, redraw */
    assert_int_equal(action_find(""), ACT_NONE);
}

static void colours_fall_back_by_number(void **state)
{
    uint8_t attr = 0;
    assert_int_equal(color_number(COLOR_RGB(0xff0000), 256, &attr), 196);
    assert_int_equal(color_number(COLOR_RGB(0x808080), 256, &attr), 244);
    assert_int_equal(color_number(COLOR_RGB(0x123456), 1 << 24, &attr), 0x123456);
    assert_int_equal(color_number(COLOR_RGB(0xe00000), 8, &attr), 1);
    assert_int_equal(color_number(COLOR_RGB(0xffff00), 8, &attr), 3);
    assert_int_equal(color_number(COLOR_RGB(0x808080), 8, &attr), -1);
    assert_int_equal(color_number(COLOR_ANSI(5), 0, &attr), -1);
    assert_int_equal(attr, 0);
    assert_int_equal(color_number(COLOR_ANSI(8), 8, &attr), -1);
    assert_true(attr & ATTR_DIM);
}

static void colour_choice_obeys_environment_and_option(void **state)
{
    const char *term;
    setenv("TERM", "screen", 1);
    setenv("COLORTERM", "truecolor", 1);
    unsetenv("NO_COLOR");
    assert_int_equal(color_choose("auto", 8, &term), 8); /* stale inside screen */
    assert_null(term);
    assert_int_equal(color_choose("256", 8, &term), 256);
    setenv("TERM", "xterm", 1);
    assert_int_equal(color_choose("auto", 8, &term), 256);
    assert_string_equal(term, "xterm-256color");
    setenv("NO_COLOR", "1", 1);
    assert_int_equal(color_choose("auto", 256, &term), 0);
    assert_int_equal(color_choose("256", 256, &term), 256); /* asked for */
    setenv("NO_COLOR", "", 1);
    assert_int_equal(color_choose("auto", 256, &term), 256);
    assert_int_equal(color_choose("never", 256, &term), 0);
    assert_int_equal(color_choose("auto", -1, &term), 256); /* COLORTERM */
    unsetenv("COLORTERM");
    assert_int_equal(color_choose("auto", -1, &term), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_have_their_names),
        TEST(a_sequence_may_come_byte_by_byte),
        TEST(escape_alone_is_a_key_once_nothing_follows),
        TEST(mouse_reports_are_decoded),
        TEST(pasted_text_is_not_taken_for_keys),
        TEST(any_bytes_are_survived),
        TEST(every_default_key_is_used_once_and_quit_has_one),
        TEST(a_configuration_moves_keys),
        TEST(more_keys_than_there_is_room_for_are_left_out),
        TEST(a_bad_configuration_is_refused_and_changes_nothing),
        TEST(commands_are_found_by_an_unambiguous_beginning),
        TEST(colours_fall_back_by_number),
        TEST(colour_choice_obeys_environment_and_option),
    };
    return RUN(tests);
}
