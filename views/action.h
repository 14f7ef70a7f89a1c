/* Every action of the explorer, once: id, :command, keys, what it does. Key map, command palette,
 * completion, help and the configuration file are all made from this table. Keys are separated by
 * blanks; "C-x" is Ctrl, "M-x" Alt. Groups of the help screen begin where the fifth column has a
 * title. */
#ifndef SCMM_VIEWS_ACTION_H
#define SCMM_VIEWS_ACTION_H

#define ACTIONS(X)                                                                                 \
    X(ASK, "ask", "t", "find cells by a description in words; Alt-Enter generates instead",        \
      "Ask the model")                                                                             \
    X(GENERATE, "generate", "T", "generate cells from a description", "")                          \
    X(DESCRIBE, "describe", "D", "describe the selection in words", "")                            \
    X(ANNOTATE, "annotate", "A", "name the type of every cell", "")                                \
    X(REMOVE_GENERATED, "remove", "x", "remove the generated cells", "")                           \
    X(COLOR, "color", "c", "colour by a gene, a column, the clusters or the last question",        \
      "Look")                                                                                      \
    X(SCORE, "score", "C", "colour by the mean of some genes against others alike", "")            \
    X(EMBEDDING, "map", "e", "choose the map", "")                                                 \
    X(ZOOM_PANE, "zoom", "z", "this pane over the whole screen, and back", "")                     \
    X(PLUS, "plus", "+ =", "map: closer; clusters: finer (higher resolution)", "")                 \
    X(MINUS, "minus", "-", "map: farther; clusters: coarser (lower resolution)", "")               \
    X(RESET, "reset", "0", "map: everything in view; clusters: resolution 1", "")                  \
    X(LABELS, "labels", "L", "group names on the map: on, off", "")                                \
    X(SEARCH, "search", "/", "search in this pane; on the map: a gene", "")                        \
    X(SEARCH_NEXT, "next", "n", "next match", "")                                                  \
    X(SEARCH_PREV, "previous", "N", "previous match", "")                                          \
    X(MORE_NEIGHBORS, "more-neighbors", ">", "clusters from more neighbours; a new map",           \
      "Clusters")                                                                                  \
    X(FEWER_NEIGHBORS, "fewer-neighbors", "<", "clusters from fewer neighbours; a new map", "")    \
    X(SUBCLUSTER, "subcluster", "S", "cluster the selected cells alone", "")                       \
    X(MARK, "mark", "m", "mark this cluster for M", "")                                            \
    X(MERGE, "merge", "M", "make the marked clusters one", "")                                     \
    X(UNDO, "undo", "u", "the clusters before the last change", "")                                \
    X(SORT, "sort", "o", "markers: sort by the next column", "Tables")                             \
    X(REVERSE, "reverse", "O", "markers: the other way round", "")                                 \
    X(FILTER, "filter", "f", "markers: show some: padj<0.05 logFC>1 CD3", "")                      \
    X(RERUN, "rerun", "r", "markers: compute them; again: the next test", "")                  \
    X(TABLE, "write-table", "E", "write this table as .tsv or .csv", "")                           \
    X(NEXT_PLOT, "plot", "p", "pane 7: dots, violins, histogram, composition; again: the next",    \
      "")                                                                                          \
    X(GENES, "genes", "F", "genes of the plots in pane 7; none: the markers", "")                  \
    X(COMPOSITION, "composition", "P", "pane 7: which groups the values of a column have", "")     \
    X(GATE, "select", "s", "select cells by a rule: leiden=3 and CD3E>0", "Select")                \
    X(BOX, "box", "V", "select a rectangle of the map (or drag with the mouse)", "")               \
    X(LASSO, "lasso", "v", "select inside a polygon: Enter sets corners, v closes it", "")         \
    X(INVERT, "invert", "i", "select the other cells", "")                                         \
    X(ALL, "all", "*", "select all cells", "")                                                     \
    X(SET_A, "set-a", "a", "keep the selection as group A", "")                                    \
    X(SET_B, "set-b", "b", "keep the selection as group B", "")                                    \
    X(DE, "de", "d", "compare A with B (without B: with all others)", "")                          \
    X(UP, "up", "Up k", "up; map: pan", "Move")                                                    \
    X(DOWN, "down", "Down j", "down; map: pan", "")                                                \
    X(LEFT, "left", "Left h", "left; map: pan", "")                                                \
    X(RIGHT, "right", "Right l", "right; map: pan", "")                                            \
    X(PAGE_UP, "page-up", "PgUp C-b K", "a page up; map: half a screen", "")                       \
    X(PAGE_DOWN, "page-down", "PgDn C-f J", "a page down; map: half a screen", "")                 \
    X(TOP, "top", "g Home", "to the top", "")                                                      \
    X(BOTTOM, "bottom", "G End", "to the bottom", "")                                              \
    X(NEXT_PANE, "next-pane", "Tab", "next pane", "")                                              \
    X(PREV_PANE, "previous-pane", "S-Tab", "previous pane", "")                                    \
    X(PANE_1, "clusters", "1", "clusters", "")                                                     \
    X(PANE_2, "pane-map", "2", "map", "")                                                          \
    X(PANE_3, "markers", "3", "marker genes", "")                                                  \
    X(PANE_4, "text", "4", "text: what the model says, and on what evidence", "")                  \
    X(PANE_5, "cells", "5", "cells of the selection, or best matches first", "")                   \
    X(PANE_6, "jobs", "6", "running and waiting work", "")                                         \
    X(PANE_7, "pane-plot", "7", "plots: genes and numbers by group", "")                           \
    X(ENTER, "enter", "Enter", "choose; on the map: whole screen, or set a corner", "")            \
    X(BACK, "back", "Esc", "leave a mode; drop the selection", "")                                 \
    X(EXPORT, "write", "w", "write the map, or the plot of pane 7, as .png .svg .pdf",             \
      "Take along")                                                                                \
    X(DATA, "write-data", "W", "write labels as .tsv or .csv, generated cells as .h5ad", "")       \
    X(COPY, "copy", "y", "copy the command that makes this view to the clipboard", "")             \
    X(COMMAND, "command", ":", "all commands", "Program")                                          \
    X(HELP, "help", "? F1", "this help", "")                                                       \
    X(CANCEL, "cancel", "C-c", "stop the running work; twice within 2 s asks to quit", "")         \
    X(LOG, "log", "!", "warnings about the file and messages so far", "")                          \
    X(RESTORE, "restore", "B", "bring back the view of last time", "")                             \
    X(RELOAD, "reload", "R", "read the file again", "")                                            \
    X(MOUSE, "mouse", "%", "mouse on or off (off: the terminal selects text)", "")                 \
    X(REDRAW, "redraw", "C-l", "paint the screen again", "")                                       \
    X(SUSPEND, "suspend", "C-z", "back to the shell; fg returns", "")                              \
    X(QUIT, "quit", "q", "leave; asks when generated cells would be lost", "")                     \
    X(QUIT_NOW, "quit!", "Q", "leave at once", "")

typedef enum Action {
    ACT_NONE,
#define X(id, command, keys, help, title) ACT_##id,
    ACTIONS(X)
#undef X
        N_ACTIONS
} Action;

typedef struct ActionInfo {
    const char *command, *keys, *help, *title;
} ActionInfo;

const ActionInfo *action_info(Action a); /* ACT_NONE: empty strings */
/* The action of a :command name or an unambiguous beginning of one; ACT_NONE when there is none. */
Action action_find(const char *command);
#endif
