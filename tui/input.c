/* A decoder for what terminals send: UTF-8, control characters, CSI and SS3 sequences, SGR mouse,
 * bracketed paste. */
#include "tui/input.h"

#include <stdio.h>
#include <string.h>

size_t input_room(Input *in, unsigned char **where)
{
    *where = in->data + in->n;
    return sizeof in->data - in->n;
}

static void drop(Input *in, size_t n)
{
    memmove(in->data, in->data + n, in->n - n);
    in->n -= n;
}

static void set_name(Event *e, const char *modifiers, const char *name)
{
    snprintf(e->name, sizeof e->name, "%s%s", modifiers, name);
}

/* Names of CSI sequences by their last byte, and of CSI n ~ by number. */
static const char *final_name(unsigned char c)
{
    switch (c) {
    case 'A':
        return "Up";
    case 'B':
        return "Down";
    case 'C':
        return "Right";
    case 'D':
        return "Left";
    case 'H':
        return "Home";
    case 'F':
        return "End";
    case 'P':
        return "F1";
    case 'Q':
        return "F2";
    case 'R':
        return "F3";
    case 'S':
        return "F4";
    default:
        return "";
    }
}

static const char *tilde_name(int n)
{
    static const char *const names[] = {
        [1] = "Home", [2] = "Insert", [3] = "Delete", [4] = "End",  [5] = "PgUp",
        [6] = "PgDn", [7] = "Home",   [8] = "End",    [11] = "F1",  [12] = "F2",
        [13] = "F3",  [14] = "F4",    [15] = "F5",    [17] = "F6",  [18] = "F7",
        [19] = "F8",  [20] = "F9",    [21] = "F10",   [23] = "F11", [24] = "F12"};
    return n > 0 && n < (int)(sizeof names / sizeof *names) && names[n] ? names[n] : "";
}

static const char *modifier_name(int m)
{
    static const char *const names[] = {"", "", "S-", "M-", "M-S-", "C-", "C-S-", "C-M-", "C-M-S-"};
    return m >= 0 && m < 9 ? names[m] : "";
}

static void mouse(Event *e, int b, int x, int y, bool release)
{
    e->kind = EVENT_MOUSE;
    e->x = x - 1;
    e->y = y - 1;
    if (b & 64)
        e->mouse = b & 1 ? MOUSE_WHEEL_DOWN : MOUSE_WHEEL_UP;
    else if (release)
        e->mouse = MOUSE_RELEASE;
    else if (b & 32)
        e->mouse = MOUSE_DRAG;
    else
        e->mouse = MOUSE_PRESS;
    if (!(b & 64) && (b & 3) != 0) /* other buttons do nothing */
        e->kind = EVENT_NONE;
}

/* ESC [ ... : returns its length, 0 when unfinished. */
static size_t csi(Input *in, Event *e)
{
    size_t i = 2;
    int numbers[4] = {0}, n = 0;
    bool sgr = i < in->n && in->data[i] == '<';
    i += sgr;
    for (; i < in->n && in->data[i] < 0x40; i++) {
        if (in->data[i] >= '0' && in->data[i] <= '9' && n < 4 && numbers[n] < 100000)
            numbers[n] = 10 * numbers[n] + (in->data[i] - '0');
        else if (in->data[i] == ';')
            n++;
    }
    if (i >= in->n)
        return 0;
    unsigned char last = in->data[i++];
    if (sgr) {
        mouse(e, numbers[0], numbers[1], numbers[2], last == 'm');
        return i;
    }
    if (last == 'M') { /* the old mouse report: three bytes follow */
        if (i + 3 > in->n)
            return 0;
        int b = in->data[i] - 32;
        mouse(e, b & ~3, in->data[i + 1] - 32, in->data[i + 2] - 32, (b & 3) == 3);
        return i + 3;
    }
    e->kind = EVENT_KEY;
    if (last == '~' && (numbers[0] == 200 || numbers[0] == 201)) {
        in->pasting = numbers[0] == 200;
        e->kind = EVENT_NONE;
    } else if (last == '~') {
        set_name(e, modifier_name(numbers[1]), tilde_name(numbers[0]));
    } else if (last == 'Z') {
        set_name(e, "", "S-Tab");
    } else if (*final_name(last)) {
        set_name(e, modifier_name(numbers[1]), final_name(last));
    }
    return i;
}

static size_t utf8_length(unsigned char c)
{
    return c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
}

/* One character with the modifiers before it ("M-" after an ESC). */
static size_t character(const Input *in, size_t at, const char *modifiers, Event *e)
{
    unsigned char c = in->data[at];
    size_t n = utf8_length(c);
    if (at + n > in->n)
        return 0;
    e->kind = EVENT_KEY;
    char text[8] = {0};
    if (c == '\r' || c == '\n')
        set_name(e, modifiers, "Enter");
    else if (c == '\t')
        set_name(e, modifiers, "Tab");
    else if (c == 0x7f || c == 8)
        set_name(e, modifiers, "Backspace");
    else if (c == 0x1b)
        set_name(e, modifiers, "Esc");
    else if (c == ' ')
        set_name(e, modifiers, "Space");
    else if (c < 0x20) {
        snprintf(text, sizeof text, "C-%c", c == 0 ? '@' : c < 27 ? c + 96 : c + 64);
        set_name(e, modifiers, text);
    } else {
        memcpy(text, in->data + at, n);
        set_name(e, modifiers, text);
    }
    return n;
}

static size_t escape(Input *in, bool final, Event *e)
{
    if (in->n == 1) {
        if (!final)
            return 0;
        return character(in, 0, "", e);
    }
    unsigned char c = in->data[1];
    size_t n = 0;
    if (c == '[') {
        n = csi(in, e);
    } else if (c == 'O') {
        if (in->n >= 3 && *final_name(in->data[2])) {
            e->kind = EVENT_KEY;
            set_name(e, "", final_name(in->data[2]));
            return 3;
        }
        n = in->n >= 3 ? 3 : 0;
    } else if (c == 0x1b) { /* Esc Esc: the first stands alone */
        return character(in, 0, "", e);
    } else {
        n = character(in, 1, "M-", e);
        return n ? n + 1 : 0;
    }
    if (!n && final) /* an unfinished sequence: what it begins with is a key with Alt */
        return 1 + character(in, 1, "M-", e);
    return n;
}

bool input_next(Input *in, bool final, Event *out)
{
    while (in->n) {
        *out = (Event){0};
        size_t n;
        if (in->data[0] == 0x1b) {
            n = escape(in, final || in->n == sizeof in->data, out);
        } else {
            n = character(in, 0, "", out);
            if (!n && final)
                n = 1;
        }
        if (!n)
            return false;
        if (out->kind == EVENT_KEY && in->pasting) {
            out->kind = EVENT_PASTE;
            if (!strcmp(out->name, "Enter") || !strcmp(out->name, "Tab"))
                in->data[0] = ' ';
            else if (in->data[0] < 0x20)
                out->kind = EVENT_NONE;
        }
        out->n_bytes = n < sizeof out->bytes ? n : sizeof out->bytes;
        memcpy(out->bytes, in->data, out->n_bytes);
        drop(in, n);
        if (out->kind != EVENT_NONE)
            return true;
    }
    return false;
}
