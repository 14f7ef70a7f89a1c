/* readline in callback mode: keys come from a buffer, the line goes to app_prompt_edited(). */
#include "tui/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

static struct {
    App *app;
    const char *history_path;
    PromptKind open; /* the kind being edited */
    const unsigned char *bytes;
    size_t left;
    bool quiet; /* while the line is set from outside */
} P;

static int get_byte(FILE *unused)
{
    if (!P.left)
        return EOF;
    P.left--;
    return *P.bytes++;
}

static int bytes_waiting(void)
{
    return P.left > 0;
}

static void redisplay(void)
{
    if (P.open == PROMPT_NONE || P.quiet)
        return;
    const char *before = rl_display_prompt ? rl_display_prompt : "";
    app_prompt_edited(P.app, before, rl_line_buffer, rl_point);
}

static void
line_is_done(char *line) /* Enter never reaches readline; this is end-of-file (Ctrl-D) */
{
    free(line);
    app_prompt_cancel(P.app);
}

static void no_terminal(int unused)
{
}

static void no_terminal_either(void)
{
}

void prompt_init(App *a, const char *history_path)
{
    P.app = a;
    P.history_path = history_path;
    rl_catch_signals = 0;
    rl_catch_sigwinch = 0;
    rl_change_environment = 0;
    rl_readline_name = "scmmgpt";
    rl_getc_function = get_byte;
    rl_input_available_hook = bytes_waiting;
    rl_redisplay_function = redisplay;
    rl_prep_term_function = no_terminal;
    rl_deprep_term_function = no_terminal_either;
    rl_outstream = fopen("/dev/null", "w");
    rl_bind_key('\t', rl_insert);
    rl_variable_bind("bell-style", "none");
    rl_variable_bind("enable-bracketed-paste", "off");
    using_history();
    stifle_history(1000);
    if (history_path)
        read_history(history_path);
}

void prompt_done(void)
{
    if (P.open != PROMPT_NONE)
        rl_callback_handler_remove();
    P.open = PROMPT_NONE;
    if (rl_outstream)
        fclose(rl_outstream);
    rl_outstream = NULL;
    clear_history();
}

void prompt_sync(void)
{
    PromptState *s = &P.app->prompt;
    if (s->kind == P.open && s->kind != PROMPT_NONE && strcmp(s->text, rl_line_buffer)) {
        rl_replace_line(s->text, 1);
        rl_point = (int)strlen(s->text);
    }
    if (s->kind == P.open)
        return;
    if (P.open != PROMPT_NONE) {
        P.quiet = true;
        rl_replace_line("", 1);
        rl_callback_handler_remove();
        P.quiet = false;
    }
    P.open = s->kind;
    if (P.open == PROMPT_NONE)
        return;
    char initial[sizeof s->text];
    memcpy(initial, s->text, sizeof initial);
    P.quiet = true;
    rl_callback_handler_install("", line_is_done);
    rl_replace_line(initial, 1);
    rl_point = (int)strlen(initial);
    using_history(); /* Up begins at the newest */
    P.quiet = false;
    redisplay();
}

static void remember(const char *line)
{
    HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;
    if (!*line || (last && !strcmp(last->line, line)))
        return;
    add_history(line);
    if (!P.history_path)
        return;
    if (access(P.history_path, F_OK) != 0)
        write_history(P.history_path);
    else
        append_history(1, P.history_path);
}

static void feed(const unsigned char *bytes, size_t n)
{
    P.bytes = bytes;
    P.left = n;
    while (P.left && P.open != PROMPT_NONE && P.app->prompt.kind == P.open)
        rl_callback_read_char();
    P.left = 0;
}

static void accept_line(bool alternative)
{
    if (app_prompt_has_history(P.open))
        remember(rl_line_buffer);
    app_prompt_accept(P.app, alternative);
}

static void complete(void)
{
    const char *text = app_prompt_complete(P.app);
    if (!text)
        return;
    char copy[128];
    snprintf(copy, sizeof copy, "%s", text);
    app_prompt_edited(P.app, "", copy, (int)strlen(copy));
    if (P.app->prompt.kind == PROMPT_COMMAND &&
        P.app->prompt.n == 1) { /* it is whole: an argument may follow */
        strncat(copy, " ", sizeof copy - strlen(copy) - 1);
        app_prompt_edited(P.app, "", copy, (int)strlen(copy));
    }
}

void prompt_event(const Event *e)
{
    const char *k = e->name;
    if (e->kind == EVENT_PASTE)
        feed(e->bytes, e->n_bytes);
    else if (e->kind != EVENT_KEY)
        return;
    else if (!strcmp(k, "Esc") || !strcmp(k, "C-c") || !strcmp(k, "C-g"))
        app_prompt_cancel(P.app);
    else if (!strcmp(k, "Enter") || !strcmp(k, "M-Enter"))
        accept_line(*k == 'M');
    else if (!strcmp(k, "Tab"))
        complete();
    else if (!strcmp(k, "S-Tab"))
        app_prompt_move(P.app, -1);
    else if ((!strcmp(k, "Up") || !strcmp(k, "Down")) && app_prompt_move(P.app, *k == 'U' ? -1 : 1))
        ;
    else if ((!strcmp(k, "Up") || !strcmp(k, "Down")) && !app_prompt_has_history(P.open))
        ;
    else
        feed(e->bytes, e->n_bytes);
}
