/* One piece of work on its way: what the jobs of app_work.c, work_file.c and work_model.c share.
 * `run` is on the worker and sees only its AppJob; `done` is on the UI thread, takes the result and
 * stores it in the App. */
#ifndef SCMM_VIEWS_APP_JOB_H
#define SCMM_VIEWS_APP_JOB_H
#include "views/facts.h"

typedef struct AppJob {
    App *app;
    WorkKind kind;
    unsigned id;
    Session *session;
    /* in */
    char *text, *name, *key, *command;
    char *tail; /* of a command whose middle the worker finds out */
    char *command_cells, *color, *only; /* of a figure: with the selection from a file; --color; --highlight */
    Shared *map, *groups, *values, *query, *generated, *annotation, *cell_annotation, *table;
    MarkerView view_of_table;
    char **genes, **columns; /* [n_genes], [n_columns] of a chart */
    size_t n_genes, n_columns;
    ChartKind chart;
    bool column_asked;
    Shared *plot; /* Chart that w writes; NULL: the map */
    Selection *selection, *other;
    bool with_table, shows_values;
    size_t cell, n;
    double resolution;
    int neighbors;
    bool follow; /* a map of these neighbours is made too */
    double view[4];
    uint64_t seed;
    /* out */
    double seconds;
    void *out;
    FileFacts *facts;
    ModelInfo model;
} AppJob;

typedef Err WorkRun(JobCtl *ctl, AppJob *j);
typedef void WorkDone(App *a, AppJob *j);
typedef void WorkFailed(App *a, AppJob *j, Err err);

WorkRun run_open, run_map, run_groups, run_names, run_cluster, run_markers, run_de, run_model,
    run_embed, run_annotate, run_describe, run_query, run_generate, run_color, run_gate, run_plot,
    run_data, run_table, run_subcluster, run_chart, run_sidecar;
WorkDone done_open, done_map, done_groups, done_names, done_cluster, done_markers, done_de,
    done_model, done_embed, done_annotate, done_annotate_cells, done_describe, done_query,
    done_generate, done_color, done_gate, done_plot, done_data, done_table, done_subcluster,
    done_chart, done_sidecar;
void fill_chart(App *a, AppJob *j);  /* app_chart.c */
void fill_table(App *a, AppJob *j);  /* work_table.c */
void fill_figure(App *a, AppJob *j); /* work_figure.c */
/* ERR_GENERAL where there is such a file: what lies beside it is not to be touched then. */
CHECKED Err check_is_new(const char *path);
/* Whether the rule of the selection finds the same cells in the file as on the screen. */
CHECKED Err rule_finds_selection(Session *s, const Selection *cells, JobCtl *ctl, bool *out);
/* Their names, one a line, as a rule "@path" reads them. */
CHECKED Err write_cells(Session *s, const Selection *cells, const char *path);
WorkFailed failed_chart, failed_open, failed_groups, failed_sidecar;
#endif
