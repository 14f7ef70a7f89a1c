/* A pane: one rectangle with a title. Drawing is pure: the same state and size give the same cells.
 */
#ifndef SCMM_VIEWS_PANE_H
#define SCMM_VIEWS_PANE_H
#include "views/app.h"

typedef struct PaneOps {
    const char *name;                                   /* on its tab */
    void (*title)(const App *a, char *out, size_t cap); /* on its border */
    void (*draw)(App *a, Canvas *c, Rect inner);
    bool (*act)(App *a, Action act);                     /* false: not mine */
    void (*mouse)(App *a, MouseKind kind, int x, int y); /* within inner; NULL ok */
} PaneOps;

const PaneOps *pane_ops(PaneId id);
extern const PaneOps pane_clusters, pane_map, pane_markers, pane_text, pane_cells, pane_jobs,
    pane_plot;

/* ---- lists ---- */
/* Keeps the cursor within n rows and visible in h lines; returns the first row to show. */
size_t list_fit(ListState *l, size_t n, int h);
/* Cursor keys; true when the action moved (or could move) the list. */
bool list_act(ListState *l, Action act, size_t n, int h);
void list_scrollbar(Canvas *c, Rect r, size_t top, size_t n);

/* Shows the state of a work that has not delivered: working with a bar, stopped, failed with the
 * reason and way out. Returns false (draws nothing) when idle or done. */
bool pane_draw_work(App *a, Canvas *c, Rect r, WorkKind kind, const char *what,
                    const char *way_out);

/* ---- wrapped text ---- */
typedef struct DocLine {
    char *text;
    size_t key_bytes; /* that many are shown dim */
    Style style;
} DocLine;
typedef struct Doc {
    DocLine *lines;
    size_t n, cap;
    int width;
} Doc;
void doc_free(Doc *d);
/* Adds text wrapped to the width; following lines are indented by `hang` columns. */
void doc_add(Doc *d, Style s, int hang, const char *text);
void doc_addf(Doc *d, Style s, int hang, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* "key   value", the value wrapped with a hanging indent of key_w columns. */
void doc_pair(Doc *d, int key_w, const char *key, Style s, const char *value);
/* The same, the following lines indented by `hang`. */
void doc_pair_hang(Doc *d, int key_w, int hang, const char *key, Style s, const char *value);
void doc_blank(Doc *d);
void doc_draw(const Doc *d, Canvas *c, Rect r, int top);

/* "12,301" */
const char *thousands(size_t n, char buf[32]);
void pane_help_draw(App *a, Canvas *c, Rect screen);
void doc_text_pane(App *a, Doc *d); /* pane_text.c */
/* quality.c: the panel of pseudo-cells; `how` is what made them and how long it took. */
void doc_quality(Doc *d, const Generated *g, const char *how);
#endif
