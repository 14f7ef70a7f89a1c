/* The real program in a real pseudo-terminal, its screen kept by libvterm: open the shipped data,
 * press keys, look. */
#include "tests/util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vterm.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"

static const char demo[] = "assets/demo/immune_559.h5ad";
enum { PATIENCE = 120 }; /* s; sanitizers on a busy machine are slow */

typedef struct Run {
    pid_t pid;
    int fd, w, h;
    VTerm *vt;
    VTermScreen *screen;
    int full_screen; /* the alternate screen is on */
    size_t bytes;    /* that the program sent */
    int status;
    bool ended;
    char state[64]; /* its XDG_STATE_HOME */
} Run;

static int property_changed(VTermProp prop, VTermValue *val, void *user)
{
    if (prop == VTERM_PROP_ALTSCREEN)
        ((Run *)user)->full_screen = val->boolean;
    return 1;
}

static char *program(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = 0;
    *strrchr(path, '/') = 0; /* build/tests */
    *strrchr(path, '/') = 0;
    return str_format("%s/scmmgpt", path);
}

/* env: "NAME=value" strings, NULL at the end. */
static void start(Run *r, int w, int h, const char *const *env, const char *const *args)
{
    static const VTermScreenCallbacks callbacks = {.settermprop = property_changed};
    struct winsize ws = {.ws_row = (unsigned short)h, .ws_col = (unsigned short)w};
    *r = (Run){.w = w, .h = h};
    strcpy(r->state, "/tmp/scmmgpt-e2e-XXXXXX");
    assert_non_null(mkdtemp(r->state));
    char *path = program(), *known = str_format("%s/leaks", r->state),
         *leaks = str_format("suppressions=%s:print_suppressions=0", known);
    FILE *f = fopen(known, "w"); /* fontconfig keeps its tables until the process ends */
    assert_non_null(f);
    fputs("leak:libfontconfig\n", f);
    fclose(f);
    r->pid = forkpty(&r->fd, NULL, NULL, &ws);
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        const char *argv[16] = {"scmmgpt"};
        for (int i = 0; args[i] && i < 14; i++)
            argv[i + 1] = args[i];
        setenv("TERM", "xterm-256color", 1);
        setenv("LC_ALL", "C.utf8", 1);
        setenv("XDG_STATE_HOME", r->state, 1);
        setenv("XDG_CONFIG_HOME", r->state, 1);
        setenv("OMP_NUM_THREADS", "2", 1);
        setenv("LSAN_OPTIONS", leaks, 1);
        unsetenv("NO_COLOR");
        unsetenv("COLORTERM");
        for (; env && *env; env++)
            putenv((char *)(uintptr_t)*env);
        execv(path, (char **)(uintptr_t)argv);
        _exit(99);
    }
    free(path);
    free(known);
    free(leaks);
    fcntl(r->fd, F_SETFL, O_NONBLOCK);
    r->vt = vterm_new(h, w);
    vterm_set_utf8(r->vt, 1);
    r->screen = vterm_obtain_screen(r->vt);
    vterm_screen_enable_altscreen(r->screen, 1);
    vterm_screen_set_callbacks(r->screen, &callbacks, r);
    vterm_screen_reset(r->screen, 1);
}

/* Feeds what the program sends for up to `ms` without news. */
static void pump(Run *r, int ms)
{
    char buf[4096];
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    while (poll(&p, 1, ms) > 0) {
        ssize_t n = read(r->fd, buf, sizeof buf);
        if (n <= 0)
            break;
        r->bytes += (size_t)n;
        vterm_input_write(r->vt, buf, (size_t)n);
        ms = 5;
    }
    if (!r->ended && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
        r->ended = true;
}

static char *text_of(Run *r)
{
    Str s = {0};
    for (int y = 0; y < r->h; y++) {
        for (int x = 0; x < r->w; x++) {
            VTermScreenCell cell;
            vterm_screen_get_cell(r->screen, (VTermPos){y, x}, &cell);
            uint32_t ch = cell.chars[0];
            if (ch == (uint32_t)-1)
                continue;
            if (ch >= 0x800) {
                char b[4] = {(char)(0xe0 | ch >> 12), (char)(0x80 | (ch >> 6 & 63)),
                             (char)(0x80 | (ch & 63)), 0};
                str_add(&s, b);
            } else {
                str_add_char(&s, ch >= 32 && ch < 127 ? (char)ch : ' ');
            }
        }
        str_add_char(&s, '\n');
    }
    return str_take(&s);
}

/* Waits until `what` is (or, with gone, is no longer) on the screen. */
static void await(Run *r, const char *what, bool gone)
{
    double end = clock_seconds() + PATIENCE;
    for (;;) {
        char *s = text_of(r);
        bool there = strstr(s, what) != NULL;
        if (there != gone) {
            free(s);
            return;
        }
        if (r->ended || clock_seconds() > end) {
            fputs(s, stderr); /* cmocka would cut it off */
            fail_msg("%s '%s'", gone ? "still there:" : "never came:", what);
        }
        free(s);
        pump(r, 50);
    }
}

static void press(Run *r, const char *keys)
{
    assert_int_equal(write(r->fd, keys, strlen(keys)), (ssize_t)strlen(keys));
    pump(r, 50);
}

static void press_often(Run *r, const char *key, int times)
{
    for (int i = 0; i < times; i++)
        assert_int_equal(write(r->fd, key, strlen(key)), (ssize_t)strlen(key));
    pump(r, 50);
}

static int finish(Run *r)
{
    double end = clock_seconds() + PATIENCE;
    while (!r->ended && clock_seconds() < end)
        pump(r, 20);
    if (!r->ended)
        kill(r->pid, SIGKILL);
    assert_true(r->ended);
    pump(r, 20);
    close(r->fd);
    char *command = str_format("rm -rf %s", r->state);
    assert_int_equal(system(command), 0);
    free(command);
    return WIFEXITED(r->status) ? WEXITSTATUS(r->status) : 128 + WTERMSIG(r->status);
}

static void a_newcomer_opens_looks_asks_for_help_and_leaves(void **state)
{
    Run r;
    const char *args[] = {demo, NULL};
    start(&r, 120, 36, NULL, args);
    await(&r, "559 cells x 32,786 genes", false);
    assert_true(r.full_screen);
    await(&r, "X counts", false);
    await(&r, "1 Clusters", false);
    press(&r, "?");
    await(&r, "Ask the model", false);
    press(&r, "\x1b");
    await(&r, "Ask the model", true);
    press(&r, ":");
    press(&r, "desc");
    await(&r, "describe the selection in words", false);
    press(&r, "\x1b");
    await(&r, ":desc", true);
    press(&r, "c");
    press(&r, "CD3E\r"); /* reads one gene through the whole chain */
    press(&r, "6");
    await(&r, "colour            done", false);
    press(&r, "q");
    int code = finish(&r);
    assert_int_equal(code, 0);
    assert_false(r.full_screen);
    vterm_free(r.vt);
}

/* The shipped data have neither map nor clusters: both are made, then coloured, selected, written.
 */
static void clusters_and_map_are_made_selected_and_written(void **state)
{
    Run r;
    const char *args[] = {demo, "--model", "/nonexistent", NULL};
    start(&r, 120, 36, NULL, args);
    char *figure = str_format("%s/f.png", r.state), *keys = str_format("%s\r", figure);
    await(&r, "leiden r=1.00", false);
    await(&r, "Map  X_umap  colour leiden", false);
    await(&r, "no model: ", false);
    press(&r, "j"); /* the largest cluster */
    await(&r, "|  sel ", false);
    await(&r, "Markers of 0", false);
    press(&r, "c");
    press(&r, "CD3E\r");
    await(&r, "CD3E  log1p CP10k", false);
    press(&r, "\x1b");
    await(&r, "|  sel ", true);
    press(&r, "w\x15");
    press(&r, keys);
    await(&r, "wrote /tmp/scmmgpt-e2e", false);
    assert_int_equal(access(figure, R_OK), 0);
    press(&r, "pF");
    press(&r, "CD3E LYZ\r");
    await(&r, "Plot  genes by leiden", false);
    await(&r, "% of cells with it", false);
    press(&r, "1jS"); /* sub-clusters of the largest cluster, on which its table waits */
    await(&r, "leiden_edited", false);
    press(&r, "u");
    await(&r, "leiden_edited", true);
    press(&r, ">");
    await(&r, "leiden r=1.00 k=20", false);
    press(&r, "\x03\x03"); /* the first says how to quit: the second at once */
    await(&r, "leave? (y/n)", false);
    press(&r, "y");
    assert_int_equal(finish(&r), 0);
    assert_false(r.full_screen);
    vterm_free(r.vt);
    free(figure);
    free(keys);
}

static char *without_spaces(const char *text, size_t n)
{
    Str s = {0};
    for (size_t i = 0; i < n; i++)
        if (text[i] != ' ' && text[i] != '\n')
            str_add_char(&s, text[i]);
    return str_take(&s);
}

/* Writes the figure on the screen, and again with the command in it and on the screen, into the same file: the same bytes. */
static void write_twice(Run *r, const char *folder, int number)
{
    char *figure = str_format("%s/f%d.png", folder, number);
    char *keys = str_format("\x15%s\r", figure), *wrote = str_format("wrote %s", figure), *first, *second;
    size_t n, m;
    press(r, "w");
    press(r, keys);
    await(r, wrote, false);
    assert_ok(str_read_file(figure, 1 << 24, ERR_GENERAL, &first, &n));
    char *command = memmem(first, n, "tEXtcommand", 12);
    assert_non_null(command);
    size_t length = 0;
    for (int i = -4; i < 0; i++)
        length = length << 8 | (unsigned char)command[i];
    char *self = program();
    char *again = str_format("SCMMGPT_MODEL=/nonexistent %s%.*s 2>/dev/null", self, (int)(length - 8 - strlen("scmmgpt")),
                             command + 12 + strlen("scmmgpt"));
    char *screen = text_of(r), *shown = without_spaces(screen, strlen(screen)),
         *said = without_spaces(command + 12, length - 8);
    assert_non_null(strstr(shown, said)); /* in full, over as many lines as it takes */
    assert_int_equal(unlink(figure), 0);
    assert_int_equal(system(again), 0);
    assert_ok(str_read_file(figure, 1 << 24, ERR_GENERAL, &second, &m));
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n);
    assert_int_equal(unlink(figure), 0);
    char *texts[] = {figure, keys, wrote, first, second, self, again, screen, shown, said};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
}

static void the_command_of_a_figure_makes_the_same_bytes(void **state)
{
    Run r;
    char *folder = str_format("/tmp/scmmgpt-figures-%ld", (long)getpid()), *data = str_format("%s/c.h5ad", folder);
    char *cells = str_format("%s/f3.png.cells.txt", folder);
    char *self = program(), *make = str_format("mkdir %s && %s cluster %s -o %s -q", folder, self, demo, data);
    assert_int_equal(system(make), 0);
    const char *args[] = {data, "--model", "/nonexistent", NULL};
    start(&r, 80, 24, NULL, args);
    await(&r, "no model: ", false);
    write_twice(&r, folder, 1);
    press(&r, "1j"); /* the largest cluster: in colour, the others grey */
    await(&r, "|  sel 164", false);
    write_twice(&r, folder, 2);
    press(&r, "c");
    press(&r, "CD3E\r");
    await(&r, "colour CD3E", false);
    press(&r, "\x1b");
    await(&r, "|  sel ", true);
    press(&r, "2V"); /* a rectangle of the left half: the map is fitted to its pane, some cells lie there */
    press_often(&r, "\x1b[D", 40);
    press_often(&r, "\x1b[A", 20);
    press(&r, "\r");
    press_often(&r, "\x1b[B", 20);
    press_often(&r, "\x1b[C", 22);
    press(&r, "\r");
    await(&r, "|  sel ", false);
    write_twice(&r, folder, 3);
    assert_int_equal(unlink(cells), 0); /* no rule finds a rectangle: its cells lie beside the figure */
    press(&r, "7\x1b[C\x1b[C");
    await(&r, "cells with it", false);
    write_twice(&r, folder, 4);
    press(&r, "Q");
    assert_int_equal(finish(&r), 0);
    vterm_free(r.vt);
    char *away = str_format("rm -r %s", folder);
    assert_int_equal(system(away), 0);
    char *texts[] = {folder, data, cells, self, make, away};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
}

/* The last command that the explorer has kept, once it is that of `path`. */
static char *kept_command(Run *r, const char *path)
{
    char *file = str_format("%s/scmmgpt/commands", r->state), *end = str_format(" -o %s\n", path), *text = NULL;
    double until = clock_seconds() + 60;
    while (access(file, R_OK) != 0 || str_read_file(file, 1 << 20, ERR_GENERAL, &text, NULL) != OK ||
           !str_ends(text, end)) {
        free(text);
        text = NULL;
        if (r->ended || clock_seconds() > until)
            fail_msg("%s was not written; the screen is\n%s", path, text_of(r));
        pump(r, 50);
    }
    char *line = strrchr(text, '\n');
    *line = 0;
    line = strrchr(text, '\n');
    char *command = mem_strdup(line + 1);
    free(file);
    free(end);
    free(text);
    return command;
}

/* Types keys and a name without a pause; the command that was kept makes the same file. */
static void write_again(Run *r, const char *keys, const char *folder, const char *name)
{
    char *path = str_format("%s/%s", folder, name), *typed = str_format("%s\x15%s\r", keys, path), *first, *second;
    size_t n, m;
    press(r, typed);
    char *command = kept_command(r, path), *self = program();
    char *again = str_format("%s%s 2>/dev/null", self, command + strlen("scmmgpt"));
    assert_ok(str_read_file(path, 1 << 24, ERR_GENERAL, &first, &n));
    assert_int_equal(unlink(path), 0);
    if (system(again) != 0)
        fail_msg("fails: %s", again);
    assert_ok(str_read_file(path, 1 << 24, ERR_GENERAL, &second, &m));
    if (n != m || memcmp(first, second, n) != 0)
        fail_msg("makes another file: %s", again);
    char *texts[] = {path, typed, first, second, command, self, again};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
}

/* Merged and divided clusters, tables and every plot; the keys are typed ahead of the work they are about. */
static void what_was_changed_by_hand_is_made_again(void **state)
{
    Run r;
    char *folder = str_format("/tmp/scmmgpt-by-hand-%ld", (long)getpid());
    assert_int_equal(mkdir(folder, 0700), 0);
    const char *args[] = {demo, "--model", "/nonexistent", NULL};
    start(&r, 80, 24, NULL, args);
    await(&r, "Map  X_umap  colour leiden", false); /* made here: the commands make it too */
    write_again(&r, "w", folder, "own.svg");
    press(&r, "1jmjmM");
    write_again(&r, "w", folder, "merged.svg");
    write_again(&r, "oE", folder, "merged.tsv");
    write_again(&r, "Sw", folder, "divided.png"); /* waits for the sub-clusters */
    write_again(&r, "7w", folder, "dots.pdf");
    write_again(&r, "\x1b[Cw", folder, "violins.png");
    write_again(&r, "\x1b[C\x1b[Cw", folder, "sizes.png");
    write_again(&r, "1jajbdfpadj<0.05 logFC>0\rooE", folder, "de.tsv");
    write_again(&r, "u1jE", folder, "undone.tsv");
    press(&r, "Q");
    assert_int_equal(finish(&r), 0);
    char *end = text_of(&r), *said = without_spaces(end, strlen(end)), *last = str_format("-o%s/undone.tsv", folder);
    assert_non_null(strstr(said, last)); /* in the shell too, to be copied whole */
    vterm_free(r.vt);
    char *away = str_format("rm -r %s", folder);
    assert_int_equal(system(away), 0);
    char *texts[] = {folder, away, end, said, last};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free(texts[i]);
}

/* The whole tour with the shipped model, on a small screen: clusters get names, are described, a
 * question is answered, cells are generated and taken along. */
static void the_tour_with_the_model(void **state)
{
    Run r;
    const char *args[] = {"demo", NULL};
    start(&r, 80, 24, NULL, args);
    char *cells = str_format("%s/c.h5ad", r.state), *keys = str_format("%s\r", cells);
    await(&r, "leiden r=1.00", false);
    await(&r, "genes matched", false);
    await(&r, "naming clusters", true);
    press(&r, "j4");
    await(&r, "CL:", false);          /* the name of the largest cluster, with its id */
    await(&r, "model output", false); /* its description is complete */
    press(&r, "t");
    press(&r, "cells that make antibodies\r");
    await(&r, "understood as", false);
    press(&r, "T");
    press(&r, "20 B cells\r");
    await(&r, "20 cells  seed 0", false);
    await(&r, "k-NN accuracy", false);
    await(&r, "generated: B cells", false);
    press(&r, "W\x15");
    press(&r, keys);
    await(&r, "wrote /tmp/scmmgpt-e2e", false);
    assert_int_equal(access(cells, R_OK), 0);
    press(&r, "q");
    await(&r, "leave? (y/n)", false); /* generated cells would be lost */
    press(&r, "y");
    assert_int_equal(finish(&r), 0);
    vterm_free(r.vt);
    free(cells);
    free(keys);
}

static void nothing_is_sent_while_nothing_changes(void **state)
{
    Run r;
    const char *args[] = {demo, "--model", "/nonexistent", "--glyphs=ascii", NULL};
    start(&r, 100, 30, NULL, args);
    await(&r, "559 cells", false);
    press(&r, "6");
    await(&r, "Jobs (", true); /* the work at start has ended */
    double end = clock_seconds() + PATIENCE;
    do { /* what was drawn last is here */
        r.bytes = 0;
        pump(&r, 1000);
    } while (r.bytes && clock_seconds() < end);
    r.bytes = 0;
    pump(&r, 700);
    assert_int_equal(r.bytes, 0);
    press(&r, "j");
    pump(&r, 100);
    assert_true(r.bytes < 12000);
    press(&r, "Q");
    assert_int_equal(finish(&r), 0);
    vterm_free(r.vt);
}

static void no_colour_ascii_resize_and_sigterm(void **state)
{
    Run r;
    const char *env[] = {"NO_COLOR=1", "LC_ALL=C", "TERM=screen", NULL},
               *args[] = {"open", demo, NULL};
    start(&r, 58, 17, env, args);
    await(&r, "terminal too small (have 58 x 17,", false);
    struct winsize ws = {.ws_row = 24, .ws_col = 80};
    vterm_set_size(r.vt, 24, 80);
    r.w = 80, r.h = 24;
    ioctl(r.fd, TIOCSWINSZ, &ws);
    await(&r, "+1 Clusters", false);
    await(&r, "559 cells", false);
    char *s = text_of(&r);
    for (const char *p = s; *p; p++)
        assert_true((unsigned char)*p < 0x80);
    free(s);
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++) {
            VTermScreenCell cell;
            vterm_screen_get_cell(r.screen, (VTermPos){y, x}, &cell);
            assert_true(VTERM_COLOR_IS_DEFAULT_FG(&cell.fg));
        }
    kill(r.pid, SIGTERM);
    int code = finish(&r);
    assert_int_equal(code, 143);
    assert_false(r.full_screen);
    vterm_free(r.vt);
}

static void a_missing_file_is_one_line_and_exit_3(void **state)
{
    Run r;
    const char *args[] = {"/nonexistent/x.h5ad", NULL};
    start(&r, 100, 30, NULL, args);
    int code = finish(&r);
    assert_int_equal(code, 3);
    assert_false(r.full_screen);
    char *s = text_of(&r);
    const char *line = strstr(s, "scmmgpt: /nonexistent/x.h5ad: ");
    assert_non_null(line);
    assert_null(strstr(line + 1, "scmmgpt:"));
    free(s);
    vterm_free(r.vt);
}

static void a_crash_gives_the_terminal_back(void **state)
{
    Run r;
    const char *args[] = {demo, NULL};
    start(&r, 100, 30, NULL, args);
    await(&r, "559 cells", false);
    assert_true(r.full_screen);
    kill(r.pid, SIGABRT);
    int code = finish(&r);
    assert_int_equal(code, 128 + SIGABRT);
    assert_false(r.full_screen);
    char *s = text_of(&r);
    assert_non_null(strstr(s, "the terminal is restored"));
    free(s);
    vterm_free(r.vt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_newcomer_opens_looks_asks_for_help_and_leaves),
        TEST(clusters_and_map_are_made_selected_and_written),
        TEST(the_command_of_a_figure_makes_the_same_bytes),
        TEST(what_was_changed_by_hand_is_made_again),
        TEST(the_tour_with_the_model),
        TEST(nothing_is_sent_while_nothing_changes),
        TEST(no_colour_ascii_resize_and_sigterm),
        TEST(a_missing_file_is_one_line_and_exit_3),
        TEST(a_crash_gives_the_terminal_back),
    };
    return RUN(tests);
}
