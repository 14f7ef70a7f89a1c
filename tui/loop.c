/* The one event loop: poll(terminal, jobs, signals) -> act -> draw once. Nothing is drawn while
 * nothing changes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tui/explorer.h"
#include "tui/input.h"
#include "tui/keymap.h"
#include "tui/prompt.h"

static int signal_pipe[2];

static void on_signal(int sig)
{
    int saved = errno;
    unsigned char byte = (unsigned char)sig;
    ssize_t ignored = write(signal_pipe[1], &byte, 1);
    (void)ignored;
    errno = saved;
}

static void catch_signals(void)
{
    static const int signals[] = {SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGCONT};
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTSTP,
           SIG_DFL); /* curses takes it; Ctrl-Z comes as a byte, and kill -TSTP stops us plainly */
}

enum { MOST_HELD = 256 };

typedef struct Loop {
    App *app;
    Canvas *canvas;
    Input input;
    double partial_since; /* the input holds the beginning of a sequence; 0: it does not */
    Keymap keys;
    Event held[MOST_HELD]; /* typed ahead: what they are about is on its way */
    size_t n_held;
    char *commands;        /* path of the file that commands are added to; NULL */
    Str written;           /* commands of the files written */
    int exit_code;
} Loop;

static void resize(Loop *l)
{
    int w, h;
    term_resize(&w, &h);
    canvas_resize(l->canvas, w, h);
    l->app->dirty = true;
}

static void handle_event(Loop *l, const Event *e)
{
    App *a = l->app;
    if (e->kind == EVENT_MOUSE) {
        if (a->opt.mouse && a->prompt.kind == PROMPT_NONE)
            app_mouse(a, e->mouse, e->x, e->y);
        return;
    }
    bool stop_key = e->kind == EVENT_KEY && !strcmp(e->name, "C-z");
    if (a->prompt.kind != PROMPT_NONE && !stop_key)
        prompt_event(e);
    else if (e->kind == EVENT_KEY) {
        Action act = keymap_find(&l->keys, e->name);
        if (act != ACT_NONE)
            app_act(a, act);
        else if (a->help)
            app_act(a, ACT_BACK);
    }
    prompt_sync();
}

/* The work that a key must wait for; N_WORK: none. */
static WorkKind waits_for(const Loop *l, const Event *e)
{
    const App *a = l->app;
    if (e->kind != EVENT_KEY || a->prompt.kind != PROMPT_NONE || a->help)
        return N_WORK;
    return app_waits_for(a, keymap_find(&l->keys, e->name));
}

/* Handles an event, or keeps it while what it is about is on its way; Esc and Ctrl-C drop those kept. */
static void take_event(Loop *l, const Event *e)
{
    bool escape = e->kind == EVENT_KEY && !strcmp(e->name, "Esc");
    if (l->n_held && (escape || (e->kind == EVENT_KEY && !strcmp(e->name, "C-c")))) {
        l->n_held = 0;
        app_message(l->app, ROLE_DIM, "the keys typed ahead are dropped");
        if (escape)
            return; /* Ctrl-C stops the work too */
    }
    WorkKind work = l->n_held ? N_WORK : waits_for(l, e);
    if (!l->n_held && work == N_WORK) {
        handle_event(l, e);
        return;
    }
    if (!l->n_held)
        app_message(l->app, ROLE_DIM, "keys wait for: %s   (Esc drops them)", work_name(work));
    if (l->n_held < MOST_HELD)
        l->held[l->n_held++] = *e;
}

static void release_events(Loop *l)
{
    size_t done = 0;
    while (done < l->n_held && !l->app->quit && !l->app->suspend && waits_for(l, &l->held[done]) == N_WORK)
        handle_event(l, &l->held[done++]);
    memmove(l->held, l->held + done, (l->n_held - done) * sizeof *l->held);
    l->n_held -= done;
}

/* false: the terminal is gone. */
static bool read_terminal(Loop *l)
{
    unsigned char *where;
    size_t room = input_room(&l->input, &where);
    ssize_t n = read(STDIN_FILENO, where, room);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        return false;
    l->input.n += n > 0 ? (size_t)n : 0;
    return true;
}

static void drain_events(Loop *l, bool final)
{
    Event e;
    while (!l->app->quit && !l->app->suspend && input_next(&l->input, final, &e))
        take_event(l, &e);
}

static void read_signals(Loop *l)
{
    unsigned char sig[64];
    ssize_t n = read(signal_pipe[0], sig, sizeof sig);
    for (ssize_t i = 0; i < n; i++)
        switch (sig[i]) {
        case SIGWINCH:
            resize(l);
            break;
        case SIGCONT:
            term_repaint();
            resize(l);
            break;
        case SIGINT:
            app_act(l->app, ACT_CANCEL);
            prompt_sync();
            break;
        default:
            l->exit_code = sig[i] == SIGTERM ? ERR_TERMINATED : 128 + sig[i];
            l->app->quit = true;
            break;
        }
}

/* Commands of files that were written are kept, with when and where: a line of the screen is soon gone. */
static void keep_commands(Loop *l)
{
    App *a = l->app;
    char when[32], folder[4096];
    time_t now = time(NULL);
    struct tm t;
    str_add(&l->written, str_text(&a->written));
    FILE *f = l->commands ? fopen(l->commands, "a") : NULL;
    if (f) {
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&now, &t));
        fprintf(f, "# %s in %s\n%s", when, getcwd(folder, sizeof folder) ? folder : "?", str_text(&a->written));
        fclose(f);
    }
    str_clear(&a->written);
}

/* What the App wants of the terminal. */
static void serve(Loop *l)
{
    App *a = l->app;
    if (a->written.len)
        keep_commands(l);
    if (a->mouse_changed)
        term_mouse(a->opt.mouse);
    if (a->clipboard)
        term_copy(a->clipboard);
    if (a->repaint)
        term_repaint();
    if (a->suspend) {
        term_suspend();
        resize(l);
    }
    a->dirty |= a->repaint;
    a->mouse_changed = a->repaint = a->suspend = false;
    free(a->clipboard);
    a->clipboard = NULL;
}

static void run(Loop *l)
{
    static const double lone_escape = 0.05, begun_sequence = 0.5; /* seconds until they are keys */
    App *a = l->app;
    while (!a->quit) {
        a->now = clock_seconds();
        double wait = app_tick(a);
        if (a->dirty) {
            a->dirty = false;
            app_draw(a, l->canvas);
            term_show(l->canvas);
        }
        int ms = wait < 0 ? -1 : (int)(wait * 1000) + 1;
        double limit = l->input.n > 1 ? begun_sequence : lone_escape;
        l->partial_since = !l->input.n ? 0 : l->partial_since > 0 ? l->partial_since : a->now;
        if (l->input.n) {
            double left = l->partial_since + limit - a->now;
            int escape_ms = left > 0 ? (int)(left * 1000) + 1 : 0;
            ms = ms < 0 || ms > escape_ms ? escape_ms : ms;
        }
        struct pollfd fds[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                {.fd = job_queue_fd(a->queue), .events = POLLIN},
                                {.fd = signal_pipe[0], .events = POLLIN}};
        int ready = poll(fds, 3, ms);
        a->now = clock_seconds();
        if (ready < 0 && errno != EINTR)
            break;
        if (ready > 0 && fds[2].revents)
            read_signals(l);
        if (ready > 0 && fds[0].revents && !read_terminal(l)) {
            l->exit_code = 128 + SIGHUP;
            break;
        }
        bool read = ready > 0 && fds[0].revents;
        drain_events(l, !read && l->input.n && a->now >= l->partial_since + limit);
        if (read)
            l->partial_since = 0; /* what is left of it began just now */
        if (ready > 0 && fds[1].revents)
            job_queue_poll(a->queue);
        release_events(l);
        prompt_sync();
        serve(l);
    }
}

char *state_path(const char *name)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *dir = state && *state == '/' ? str_format("%s/scmmgpt", state)
                : home && *home        ? str_format("%s/.local/state/scmmgpt", home)
                                       : NULL;
    if (!dir)
        return NULL;
    for (char *p = dir + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(dir, 0700);
            *p = '/';
        }
    mkdir(dir, 0700);
    char *path = str_format("%s/%s", dir, name);
    free(dir);
    return path;
}

/* Where the view of this file is kept: by its absolute path. */
static char *session_path(const char *file)
{
    char *full = realpath(file, NULL), *name = NULL, *path = NULL;
    if (full) {
        name = str_format("view-%016llx", (unsigned long long)hash_bytes(full, strlen(full)));
        path = state_path(name);
    }
    free(full);
    free(name);
    return path;
}

static void load_session(App *a, const char *path)
{
    if (!path || access(path, R_OK) != 0 ||
        str_read_file(path, 1 << 20, ERR_GENERAL, &a->kept, NULL) != OK)
        return;
    app_message(a, ROLE_DIM, "B brings back the view of last time");
}

static void save_session(const App *a, const char *path)
{
    char *text = app_session_text(a);
    FILE *f = text && path ? fopen(path, "w") : NULL;
    if (f) {
        fputs(text, f);
        fclose(f);
    }
    free(text);
}

static volatile int code_at_exit;

static void on_alarm(int sig)
{
    _exit(code_at_exit);
}

/* The terminal is restored and the view is kept: work that does not stop at once is left behind,
 * but a file that is being written gets time to be finished or removed. */
static void limit_exit(const App *a, int code)
{
    bool writes = a->work[WORK_PLOT].state == WORK_BUSY || a->work[WORK_DATA].state == WORK_BUSY ||
                  a->work[WORK_TABLE].state == WORK_BUSY;
    struct itimerval limit = {
        .it_value = {.tv_sec = writes ? 5 : 0, .tv_usec = writes ? 0 : 400000}};
    code_at_exit = code;
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &limit, NULL);
}

static Err load_keys(Keymap *k)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    keymap_init(k);
    char *path = config && *config ? str_format("%s/scmmgpt/keys", config)
                                   : str_format("%s/.config/scmmgpt/keys", home ? home : "");
    Err err = keymap_load(k, path);
    free(path);
    return err;
}

int loop_run(const ExplorerOptions *opt)
{
    Loop *l = mem_must(sizeof *l);
    AppOptions app = opt->app;
    TermInfo info;
    Err err = load_keys(&l->keys);
    if (err == OK)
        err = term_start(&opt->term, &info);
    if (err != OK) {
        fprintf(stderr, "scmmgpt: %s\n", err_message());
        free(l);
        return err;
    }
    catch_signals();
    app.tier = info.tier;
    app.colors = info.colors;
    app.notice = *info.note ? info.note : NULL;
    l->canvas = canvas_new(info.w, info.h, info.tier);
    l->app = app_new(&app);
    char *history = state_path("history"), *kept = session_path(app.path);
    l->commands = state_path("commands");
    prompt_init(l->app, history);
    load_session(l->app, kept);
    app_begin(l->app);
    run(l);
    save_session(l->app, kept);
    term_stop();
    if (l->written.len)
        fprintf(stderr, "written with scmmgpt; again:\n%s", str_text(&l->written));
    if (l->app->exit_message)
        fprintf(stderr, "scmmgpt: %s: %s\n", opt->name, l->app->exit_message);
    int code = l->app->exit_code ? (int)l->app->exit_code : l->exit_code;
    limit_exit(l->app, code);
    prompt_done();
    app_free(l->app);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    canvas_free(l->canvas);
    free(history);
    free(kept);
    free(l->commands);
    str_free(&l->written);
    free(l);
    return code;
}
