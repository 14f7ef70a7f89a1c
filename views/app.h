/* The explorer's state and everything that changes it. One thread (the UI) owns an App; work runs
 * as jobs on the worker, which alone touches the Session, and comes back as immutable results held
 * in Shared references.
 *
 *   app_key actions -> app_act() -> state, or app_start(WORK_...) -> job -> done -> state ->
 * app->dirty -> app_draw()
 *
 * Split over app.c (life), app_act.c (actions), app_work.c (jobs), app_draw.c (screen),
 * app_prompt.c (ask line), app_select.c (selections), app_export.c (files). */
#ifndef SCMM_VIEWS_APP_H
#define SCMM_VIEWS_APP_H
#include "core/base/job.h"
#include "core/base/str.h"
#include "core/session/session.h"
#include "views/action.h"
#include "views/canvas.h"
#include "views/chart.h"
#include "views/marker_view.h"
#include "views/shared.h"
#include "views/theme.h"
#include "views/work.h"

typedef enum PaneId {
    PANE_NONE,
    PANE_CLUSTERS,
    PANE_MAP,
    PANE_MARKERS,
    PANE_TEXT,
    PANE_CELLS,
    PANE_JOBS,
    PANE_PLOT,
    N_PANES
} PaneId;

typedef struct AppOptions {
    SessionParams session; /* strings borrowed for the life of the App */
    const char *path;
    GlyphTier tier;
    int colors; /* of the terminal: 0, 8, 16, 256, ... */
    bool mouse, read_only;
    const char *notice; /* shown first ("8 colours: letters mark the groups"); NULL */
} AppOptions;

/* What the UI may know of the file without asking the session: copied by the opening job. */
typedef struct FileFacts {
    char *name; /* last part of the path */
    char *encoding;
    size_t cells, genes;
    char *matrix; /* "X counts", "raw/X lognorm", "no usable matrix" */
    char *matrix_reason;
    bool matrix_ok;      /* counts */
    bool sidecar_wanted; /* a copy by genes would help and is not there */
    size_t n_obs;
    char **obs; /* names */
    ColumnKind *obs_kind;
    size_t n_maps;
    char **maps; /* obsm names */
    size_t n_warnings;
    char **warnings;
    /* borrowed from the dataset, read by a later job; NULL until then */
    size_t n_gene_names;
    const char *const *gene_names; /* of the working matrix, for completion */
    const char *const *cell_names; /* [cells] */
} FileFacts;

typedef struct ListState {
    size_t cursor, top;
} ListState;

typedef enum MapMode { MAP_BROWSE, MAP_BOX, MAP_LASSO } MapMode;
typedef struct MapState {
    double cx, cy, zoom; /* middle of the view in map units; 1 = everything fits */
    MapMode mode;
    int cur_x, cur_y; /* cursor, in cells from the pane's inner corner (box, lasso) */
    bool anchored;
    size_t n_points; /* corners in map units: box 1, lasso up to the cap */
    double points[256][2];
    bool dragging;
    bool labels;
    int inner_w, inner_h; /* of the last drawing, for turning columns into map units */
    Rect inner;
} MapState;

typedef enum Subject { /* what pane 4 speaks of */
                       SUBJECT_FILE,
                       SUBJECT_GROUP,
                       SUBJECT_SELECTION,
                       SUBJECT_CELL,
                       SUBJECT_QUERY,
                       SUBJECT_GENERATED,
                       SUBJECT_LOG
} Subject;

typedef enum ColorMode { COLOR_BY_GROUPS, COLOR_BY_VALUES, COLOR_BY_QUERY } ColorMode;

typedef enum PromptKind {
    PROMPT_NONE,
    PROMPT_ASK,
    PROMPT_GENERATE,
    PROMPT_SEARCH,
    PROMPT_COMMAND,
    PROMPT_COLOR,
    PROMPT_SCORE,
    PROMPT_MAP,
    PROMPT_GATE,
    PROMPT_EXPORT,
    PROMPT_DATA,
    PROMPT_FILTER,
    PROMPT_TABLE,
    PROMPT_GENES,
    PROMPT_COMPOSITION,
    PROMPT_CONFIRM_QUIT,
    N_PROMPTS
} PromptKind;

typedef struct Suggestion {
    char text[96], detail[112];
} Suggestion;
enum { MAX_SUGGESTIONS = 200 };

typedef struct PromptState {
    PromptKind kind;
    char text[2048];         /* the line as edited */
    char before[64];         /* what the editor shows in front (reverse search) */
    int cursor;              /* byte offset */
    size_t n, chosen;        /* suggestions; chosen == n: none */
    Suggestion *suggestions; /* [MAX_SUGGESTIONS] */
} PromptState;

/* A description that was written, kept by what it describes. */
typedef struct Told {
    struct Told *next;
    char *key;
    Shared *description; /* Description */
} Told;

enum { MAX_UNDO = 8 };
typedef struct Former { /* clusters as they were */
    Shared *groups;
    double resolution;
} Former;

enum { MAX_GENERATED = 8, MAX_MESSAGES = 200 };

typedef struct Message {
    Role role;
    char *text;
    double at;
} Message;

typedef struct App {
    AppOptions opt;
    JobQueue *queue;
    Session *session; /* the worker's; the UI only keeps the pointer */
    FileFacts *facts; /* NULL until open */
    Work work[N_WORK];
    unsigned open_jobs;
    bool closing; /* nothing new is started */

    Shared *map;                 /* Map */
    Shared *file_map, *made_map; /* the last one of the file, and the last one computed; NULL */
    Shared *groups;              /* Groups on the screen */
    Shared *computed_groups;     /* the clustering's, when another partition is on the screen */
    Shared *markers;             /* MarkerTable of groups */
    Shared *de;                  /* MarkerTable A versus B, shown instead when show_de */
    bool show_de;
    char *de_title;
    Selection *de_sets[2];       /* what de compares */
    size_t markers_top;          /* of each group in markers; 0: all genes */
    MarkerColumn marker_sort;
    bool marker_reverse;
    MarkerFilter marker_filter;
    char marker_filter_text[MARKER_FILTER_LEN]; /* "": all are shown */
    size_t *marker_rows, n_marker_rows;         /* of the table, in the order shown; a cache */
    uint64_t marker_rows_for[5];                /* what it was made for */
    /* pane 7 */
    Shared *chart; /* Chart */
    ChartKind chart_kind;
    ListState chart_list;
    char *chart_genes, *chart_column; /* asked for; NULL: chosen by the program */
    uint64_t chart_for[9];            /* what the last chart was started for */
    double chart_at;                  /* when the next is; 0: nothing is due */
    uint64_t tables;                  /* counts changes of tables, sorting and filter */
    Shared *annotation;               /* Annotation of groups, one row a group */
    Shared *cell_annotation;          /* Annotation, one row a cell */
    Shared *values;                   /* Values, colour */
    ColorMode color_mode;
    Shared *query;      /* QueryResult */
    float *query_means; /* [n_groups] mean score */
    Shared *generated[MAX_GENERATED];
    double generated_seconds[MAX_GENERATED]; /* how long it took */
    size_t n_generated;
    Told *told;
    ModelInfo model;
    bool has_model, embedded;
    double resolution;
    double groups_resolution; /* of the clusters on the screen */
    int neighbors;            /* of the clustering */
    int map_neighbors;        /* what made_map was made with; 0: there is none */
    bool recolored;           /* the clusters have colours of former ones */
    bool own_graph;  /* neighbours were asked for: the file's graph and map no longer serve */
    uint8_t *marked; /* [groups] to be merged; NULL: none */
    size_t n_marked, n_former;
    Former former[MAX_UNDO];
    uint64_t seed;
    size_t n_to_generate;

    /* selection */
    uint8_t *selected; /* [cells]; NULL: nothing selected */
    size_t n_selected;
    char *rule; /* how it was made */
    int group;  /* the group it is, or -1 */
    uint64_t selection_version;
    Selection *set_a, *set_b;

    /* screen */
    PaneId focus, slot; /* slot: which pane lies in the tabbed place */
    bool zoomed, wide;
    ListState clusters, markers_list, cells, jobs;
    size_t *cluster_rows; /* group ids in the order shown */
    size_t n_cluster_rows;
    size_t *cell_rows; /* cells in the order shown in pane 5 */
    size_t n_cell_rows;
    uint64_t cell_rows_for;
    MapState map_view;
    Subject subject;
    size_t subject_cell, subject_generated;
    int text_top;
    int text_lines, text_height; /* of the last drawing, for scrolling */
    bool help;
    int help_top, help_lines, help_height;
    PromptState prompt;
    char search[128];
    Message messages[MAX_MESSAGES];
    size_t n_messages;
    bool message_old;    /* the last one has been seen */
    Rect rects[N_PANES]; /* of the last drawing */

    /* told to the outside */
    bool dirty, repaint, quit, suspend, mouse_changed;
    Err exit_code; /* with quit: why the file could not be opened */
    char *exit_message;
    char *clipboard;    /* text to copy; taken by the outside */
    Str written;        /* commands of files written, a line each; taken by the outside */
    double now;         /* seconds, set by the outside before every call */
    double describe_at; /* 0: nothing due */
    double interrupted_at;
    const char *stage; /* of the running job, and when it was first seen: for the rate */
    unsigned stage_job;
    double stage_since;
    struct MapRaster *raster; /* cache of pane_map.c */
    /* a session being brought back: lines not yet done, and the work waited for */
    char *restoring, *restore_at;
    WorkKind restore_kind;
    bool restore_waits;
    char *kept;       /* the session of last time, offered by :restore; NULL */
    uint64_t version; /* counts changes of what the map shows */
    uint64_t places;  /* counts changes of coordinates and groups alone */
} App;

App *app_new(const AppOptions *opt);
void app_free(App *a);
/* Opens the file: the first job. */
void app_begin(App *a);
/* What is due by the clock; returns seconds until the next call is wanted, < 0: none. */
double app_tick(App *a);
void app_message(App *a, Role role, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- input ---- */
void app_act(App *a, Action act);
typedef enum MouseKind {
    MOUSE_PRESS,
    MOUSE_DRAG,
    MOUSE_RELEASE,
    MOUSE_WHEEL_UP,
    MOUSE_WHEEL_DOWN
} MouseKind;
void app_mouse(App *a, MouseKind kind, int x, int y);
/* The work whose result the action is about, while that is under way; N_WORK: none. The outside keeps
 * the key, and all after it, until then. */
WorkKind app_waits_for(const App *a, Action act);
/* The line editor lives outside (tui/prompt.c); it reports the line, and how it ended. */
void app_prompt_open(App *a, PromptKind kind, const char *initial);
void app_prompt_edited(App *a, const char *before, const char *text, int cursor);
void app_prompt_accept(App *a, bool alternative);
void app_prompt_cancel(App *a);
bool app_prompt_move(App *a, int by);    /* among suggestions; false: there are none */
const char *app_prompt_complete(App *a); /* what Tab makes of the line; NULL: nothing */
const char *app_prompt_label(PromptKind k);
bool app_prompt_has_history(PromptKind k);

/* ---- drawing: pure, same state and size give the same cells ---- */
void app_draw(App *a, Canvas *c);
void app_layout(App *a, int w, int h);
bool app_is_wide(int w, int h);
enum { APP_MIN_W = 60, APP_MIN_H = 18, APP_WIDE = 100 };

/* ---- shared by the panes ---- */
static inline const Map *app_map(const App *a)
{
    return shared_get(a->map);
}
static inline const Groups *app_groups(const App *a)
{
    return shared_get(a->groups);
}
static inline const MarkerTable *app_markers(const App *a)
{
    return shared_get(a->show_de ? a->de : a->markers);
}
static inline const Annotation *app_annotation(const App *a)
{
    return shared_get(a->annotation);
}
static inline const QueryResult *app_query(const App *a)
{
    return shared_get(a->query);
}
/* What colours the map now, NULL: the groups do. */
const Values *app_color_values(const App *a);
/* Rows of app_markers() as pane 3 shows them; pane_markers.c. */
size_t app_marker_rows(App *a, const size_t **rows);
static inline const Generated *app_generated(const App *a, size_t i)
{
    return shared_get(a->generated[i]);
}

/* The name to show for a group: what the model calls it where the file only numbers its groups. */
const char *app_group_name(const App *a, size_t g);
/* The model's confidence sign: '#' >= .9, '+' >= .75, '.' below, '?' unknown. */
char app_confidence_sign(const App *a, size_t g);
const Description *app_description(const App *a, const char *key); /* NULL */
void app_description_key(const App *a, char *out, size_t cap);
void app_set_groups(App *a, Shared *take); /* and everything that hangs on them */
void app_update_means(App *a);
void app_changed(App *a); /* something that the map or lists show has changed */

/* ---- clusters by hand: app_groups.c ---- */
void app_keep_groups(App *a); /* so that undo brings them back */
void app_undo_groups(App *a);
/* A new clustering: colours and the chosen cluster follow the cells. Takes g. */
void app_take_clusters(App *a, Groups *g, double resolution);
void app_mark_group(App *a, size_t g);
void app_merge_marked(App *a);
void app_change_neighbors(App *a, int by);
/* Puts the sub-clusters in the place of what they divide. */
void app_split_groups(App *a, const Groups *sub, const char *name);
bool app_groups_by_hand(const App *a);
void app_forget_edits(App *a);

/* ---- plots: app_chart.c ---- */
/* Starts a new chart when pane 7 is seen and what it shows has changed; returns seconds to wait. */
double app_chart_tick(App *a);
bool app_chart_is_due(const App *a); /* it is seen, and what it shows has changed */
void app_chart_next(App *a);
void app_chart_genes(App *a, const char *text);
void app_chart_column(App *a, const char *name);

/* ---- selections: app_select.c ---- */
void app_select_none(App *a);
void app_select_all(App *a);
void app_select_group(App *a, int g);
/* Takes `in` [cells] and copies the rule. */
void app_select_take(App *a, uint8_t *in, const char *rule, int group);
void app_select_invert(App *a);
void app_select_polygon(App *a, const double (*pts)[2], size_t n, const char *how);
Selection *app_selection_copy(const App *a);        /* NULL when nothing is selected */
size_t app_cell_order(App *a, const size_t **rows); /* pane 5: selected cells, best score first */

/* ---- files: app_export.c ---- */
char *app_export_default(const App *a);
/* What the map shows, x0 y0 x1 y1; false: everything. */
bool app_view_box(const App *a, double box[4]);
/* The generated cells that a figure shows: those pane 4 speaks of, else the last; NULL: none. */
const Generated *app_figure_generated(const App *a);
/* What makes this view again; the selection from its rule, or from a file beside the figure. */
char *app_export_command(const App *a, const char *output, bool cells_in_file);
/* Of a figure: the key or gene of --color (NULL: coloured otherwise); whether cells are selected in it; whether it shows the
 * chosen group alone. */
char *app_figure_color(const App *a);
bool app_figure_selection(const App *a);
bool app_figure_only(const App *a);
char *app_figure_group_name(const App *a, size_t group); /* "B cell (3)" where a model named it */
/* "fig.png.cells.txt" of "fig.png", its own; and the rule that reads it. */
char *app_figure_beside(const char *figure, const char *ext);
char *app_cells_rule(const char *path);
bool app_can_be_typed(const char *rule); /* not drawn on the map */
/* The figure's clusters must be written beside it, as this file, for the command to make it again.
 */
bool app_figure_needs_table(const App *a);
/* The groups as a figure shows them: with the names on the screen. NULL: they have them already. */
Groups *app_named_groups(const App *a);
/* The plot of pane 7 is what w writes. */
bool app_exports_chart(const App *a);
bool app_chart_of_query(const App *a); /* the chart shows the scores of the question */
char *app_data_command(const App *a, const char *output); /* what comes nearest to W's labels */
char *app_data_default(const App *a);
char *app_table_default(const App *a);
/* Says that a file was written, and the command that writes it again (NULL: none is known). */
void app_wrote(App *a, const char *what, const char *command);
/* Parts of a command: a word as a POSIX shell reads it; " NAME VALUE" (NULL: nothing); how the file
 * was read. */
void app_add_quoted(Str *s, const char *word);
void app_add_option(Str *s, const char *name, const char *value);
void app_add_reading(Str *s, const App *a, uint64_t seed);

/* ---- the view as a small text that makes it again: app_session.c ---- */
char *app_session_text(const App *a); /* NULL when there is nothing worth keeping; caller frees */
void app_session_restore(App *a, const char *text);
void app_session_tick(App *a); /* starts the next line when the one before has ended */
#endif
