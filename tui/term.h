/* The terminal: full screen start and stop, colours, mouse, and showing a Canvas. <curses.h> stays
 * in term.c. Whatever ends the program, the terminal gets its old state back: normal exit, a
 * signal, an assertion, a crash. */
#ifndef SCMM_TUI_TERM_H
#define SCMM_TUI_TERM_H
#include "views/canvas.h"

typedef struct TermOptions {
    const char *color;    /* "auto", "never", "16", "256", "truecolor" */
    const char *glyphs;   /* "auto", "braille", "block", "ascii" */
    const char *log_path; /* where stderr goes during full screen; NULL: dropped */
    bool mouse;
} TermOptions;

typedef struct TermInfo {
    int colors; /* that the screen uses: 0, 8, 16, 256, 1 << 24 */
    GlyphTier tier;
    int w, h;
    char note[160]; /* what was detected and why, when it is less than everything; "" */
} TermInfo;

CHECKED Err term_start(const TermOptions *opt, TermInfo *info);
void term_stop(void); /* idempotent */
void term_suspend(
    void); /* gives the screen back, stops the process, takes the screen again when continued */
void term_resize(int *w, int *h); /* asks the terminal for its size */
void term_show(const Canvas *c);  /* sends only what differs */
void term_repaint(void);          /* the next term_show sends everything */
void term_mouse(bool on);
void term_copy(const char *text); /* to the clipboard by OSC 52, at most 74,000 bytes */
#endif
