/* curses behind a small door. Input is not curses' business (tui/input.c reads the bytes), nor are
 * signals. */
#define _XOPEN_SOURCE_EXTENDED 1
#include "tui/term.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "core/base/str.h"
#include "tui/color_map.h"

static struct {
    bool on, mouse, all; /* full screen; mouse wanted; the next picture is sent whole */
    int colors;
    struct termios before;
    int real_stderr; /* -1 when not redirected */
    const char *log_path;
    Canvas *shown;
    SCREEN *screen;
} T = {.real_stderr = -1};

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

static void send_raw(const char *s)
{
    ssize_t ignored = write(STDOUT_FILENO, s, strlen(s));
    (void)ignored;
}

/* Only async-signal-safe calls: this runs when everything else is broken. */
static void on_crash(int sig)
{
    if (T.on) {
        send_raw("\033[?1006l\033[?1002l\033[?1000l\033[?2004l\033[0m\033[?25h\033[?1049l\r\n");
        tcsetattr(STDIN_FILENO, TCSANOW, &T.before);
        if (T.real_stderr >= 0)
            dup2(T.real_stderr, STDERR_FILENO);
        static const char text[] =
            "scmmgpt: stopped by an error in the program; the terminal is restored\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
        (void)ignored;
        T.on = false;
    }
    signal(sig, SIG_DFL);
    raise(sig);
}

static void redirect_stderr(bool away)
{
    if (away) {
        int fd = open(T.log_path ? T.log_path : "/dev/null",
                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0)
            return;
        fflush(stderr);
        T.real_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        dup2(fd, STDERR_FILENO);
        close(fd);
    } else if (T.real_stderr >= 0) {
        fflush(stderr);
        dup2(T.real_stderr, STDERR_FILENO);
        close(T.real_stderr);
        T.real_stderr = -1;
    }
}

static void modes(bool on)
{
    send_raw(on ? "\033[?2004h" : "\033[?2004l");
    if (T.mouse)
        send_raw(on ? "\033[?1000h\033[?1002h\033[?1006h" : "\033[?1006l\033[?1002l\033[?1000l");
}

static GlyphTier choose_glyphs(const char *option, TermInfo *info)
{
    const char *term = getenv("TERM"), *codeset = nl_langinfo(CODESET);
    bool utf8 = !strcmp(codeset, "UTF-8");
    if (!strcmp(option, "braille"))
        return GLYPHS_BRAILLE;
    if (!strcmp(option, "block"))
        return GLYPHS_BLOCK;
    if (!strcmp(option, "ascii"))
        return GLYPHS_ASCII;
    if (!utf8) {
        snprintf(info->note, sizeof info->note,
                 "the locale's character set is %s: ASCII signs (--glyphs=braille overrides)",
                 codeset);
        return GLYPHS_ASCII;
    }
    return term && !strcmp(term, "linux") ? GLYPHS_BLOCK : GLYPHS_BRAILLE;
}

/* Whether the description of a terminal is installed, and its number of colours. */
static bool look_up(const char *name, int *colors)
{
    int status;
    if (setupterm((char *)(uintptr_t)name, STDOUT_FILENO, &status) != OK)
        return false;
    *colors = tigetnum("colors");
    del_curterm(cur_term);
    return true;
}

/* Starts curses on `name`, or on $TERM where that description is not installed. */
static Err start_screen(const char *name, int *colors)
{
    int ignored;
    if (name && !look_up(name, &ignored)) {
        name = NULL;
        *colors = *colors > 256 ? 256 : *colors;
    }
    T.screen = newterm(name, stdout, stdin);
    if (!T.screen)
        FAIL(ERR_GENERAL,
             "terminal: TERM=%s is not known here; set TERM=xterm or install ncurses-term",
             getenv("TERM") ? getenv("TERM") : "");
    return 0;
}

Err term_start(const TermOptions *opt, TermInfo *info)
{
    int found = 0;
    const char *instead;
    *info = (TermInfo){0};
    info->tier = choose_glyphs(opt->glyphs, info);
    if (!look_up(NULL, &found))
        FAIL(ERR_GENERAL,
             "terminal: TERM=%s is not known here; set TERM=xterm or install ncurses-term",
             getenv("TERM") ? getenv("TERM") : "");
    int colors = color_choose(opt->color, found, &instead);
    tcgetattr(STDIN_FILENO, &T.before);
    TRY(start_screen(instead, &colors));
    raw();
    noecho();
    nonl();
    curs_set(0);
    if (colors && has_colors()) {
        start_color();
        use_default_colors();
        colors = colors > COLORS && COLORS >= 8 ? (COLORS > 256 ? 256 : COLORS) : colors;
    } else {
        colors = 0;
    }
    T.colors = info->colors = colors;
    T.mouse = opt->mouse;
    T.log_path = opt->log_path;
    T.on = T.all = true;
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        signal(crashes[i], on_crash);
    atexit(term_stop);
    redirect_stderr(true);
    refresh();
    modes(true);
    term_resize(&info->w, &info->h);
    if (!*info->note && colors < 256) {
        const char *why =
            getenv("NO_COLOR") && *getenv("NO_COLOR") ? "NO_COLOR is set" : "TERM says so";
        if (colors)
            snprintf(info->note, sizeof info->note, "%d colours (%s); --color=256 overrides",
                     colors, why);
        else
            snprintf(info->note, sizeof info->note,
                     "no colours (%s): letters mark the groups; --color=256 overrides", why);
    }
    return 0;
}

/* Where there is no second screen to leave, the shell goes on below an empty last line. */
static void leave(void)
{
    if (!tigetstr("rmcup")) {
        move(LINES - 1, 0);
        clrtoeol();
        refresh();
    }
    modes(false);
    curs_set(1);
    endwin();
}

void term_stop(void)
{
    if (!T.on)
        return;
    T.on = false;
    leave();
    delscreen(T.screen);
    T.screen = NULL;
    redirect_stderr(false);
    canvas_free(T.shown);
    T.shown = NULL;
}

void term_suspend(void)
{
    leave();
    redirect_stderr(false);
    kill(0, SIGTSTP); /* the whole group, as the shell's own Ctrl-Z */
    redirect_stderr(true);
    refresh();
    curs_set(0);
    modes(true);
    T.all = true;
}

void term_resize(int *w, int *h)
{
    struct winsize ws = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) != 0 || ws.ws_col == 0 || ws.ws_row == 0) {
        ws.ws_col = (unsigned short)COLS;
        ws.ws_row = (unsigned short)LINES;
    }
    if (ws.ws_col != COLS || ws.ws_row != LINES)
        resizeterm(ws.ws_row, ws.ws_col);
    *w = ws.ws_col;
    *h = ws.ws_row;
    T.all = true;
}

/* One cell; characters that this locale cannot show, or shows at another width, become '?'. */
static void show_cell(int x, int y, Glyph g)
{
    cchar_t cell;
    wchar_t text[2] = {(wchar_t)g.ch, 0};
    uint8_t bits = g.style.attr;
    int fg = color_number(g.style.fg, T.colors, &bits),
        bg = color_number(g.style.bg, T.colors, &bits);
    if (g.style.fg == COLOR_ANSI(8) && fg >= 0)
        bits = (uint8_t)(bits & ~ATTR_DIM); /* grey is dim already */
    attr_t attr = (bits & ATTR_BOLD ? A_BOLD : 0) | (bits & ATTR_DIM ? A_DIM : 0) |
                  (bits & ATTR_REVERSE ? A_REVERSE : 0) | (bits & ATTR_UNDERLINE ? A_UNDERLINE : 0);
    int width = glyph_width(g.ch);
    if (g.ch >= 0x80 && wcwidth(text[0]) != width)
        text[0] = L'?';
    int pair = fg < 0 && bg < 0 ? 0 : alloc_pair(fg, bg);
    pair = pair < 0 ? 0 : pair;
    if (setcchar(&cell, text, attr, (short)(pair > 32767 ? 0 : pair),
                 pair > 32767 ? &pair : NULL) != ERR)
        mvadd_wch(y, x, &cell);
    if (width == 2 && text[0] == L'?')
        mvaddch(y, x + 1, ' ');
}

void term_show(const Canvas *c)
{
    bool all = T.all || !T.shown || T.shown->w != c->w || T.shown->h != c->h;
    if (!T.on)
        return;
    if (all) {
        canvas_free(T.shown);
        T.shown = canvas_new(c->w, c->h, c->tier);
        erase();
        if (T.all)
            clearok(curscr, TRUE);
    }
    for (int y = 0; y < c->h; y++) {
        size_t at = (size_t)y * (size_t)c->w;
        if (!all && !memcmp(c->cells + at, T.shown->cells + at, (size_t)c->w * sizeof *c->cells))
            continue;
        for (int x = 0; x < c->w; x++)
            if (c->cells[at + (size_t)x].ch)
                show_cell(x, y, c->cells[at + (size_t)x]);
    }
    memcpy(T.shown->cells, c->cells, (size_t)c->w * (size_t)c->h * sizeof *c->cells);
    T.all = false;
    if (c->cursor_x >= 0) {
        move(c->cursor_y, c->cursor_x < c->w ? c->cursor_x : c->w - 1);
        curs_set(1);
    } else {
        curs_set(0);
    }
    refresh();
}

void term_repaint(void)
{
    T.all = true;
}

void term_mouse(bool on)
{
    if (on == T.mouse)
        return;
    if (!on)
        modes(false);
    T.mouse = on;
    modes(true);
}

void term_copy(const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(text);
    Str s = {0};
    if (n > 74000)
        return;
    if (getenv("TMUX")) { /* tmux keeps OSC 52 to itself, but hands its own buffer on */
        FILE *tmux = popen("tmux load-buffer -w - 2>/dev/null", "w");
        if (tmux) {
            fputs(text, tmux);
            if (pclose(tmux) == 0)
                return;
        }
    }
    str_add(&s, "\033]52;c;");
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned char)text[i] << 16;
        v |= i + 1 < n ? (unsigned)(unsigned char)text[i + 1] << 8 : 0;
        v |= i + 2 < n ? (unsigned char)text[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            str_add_char(&s, i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63]);
    }
    str_add(&s, "\a");
    send_raw(str_text(&s));
    str_free(&s);
}
