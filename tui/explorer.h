/* Runs the explorer on a file until the person leaves. */
#ifndef SCMM_TUI_EXPLORER_H
#define SCMM_TUI_EXPLORER_H
#include "tui/term.h"
#include "views/app.h"

typedef struct ExplorerOptions {
    AppOptions app; /* tier, colors and notice are filled in from the terminal */
    TermOptions term;
    const char *name; /* for the error line: as the file was given */
} ExplorerOptions;

/* Parses argv of `scmmgpt [open] FILE [options]` or `demo`; returns the exit code. */
int explorer_main(int argc, char **argv);
/* Whether argv asks for the explorer (else it is a subcommand). */
bool explorer_is_asked(int argc, char **argv);
int loop_run(const ExplorerOptions *opt); /* loop.c */
/* "$XDG_STATE_HOME/scmmgpt/NAME" (default ~/.local/state), the folder made; NULL when there is no
 * home. Caller frees. */
char *state_path(const char *name);
#endif
