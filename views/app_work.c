/* The work the explorer starts: one table of jobs, and how they are submitted and end. Results of a
 * job that is no longer the newest of its kind are dropped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/app_job.h"

typedef struct WorkOps {
    const char *name;
    bool model;  /* uses the model: never runs inside another job that does */
    bool quick;  /* may run inside a long job */
    bool newest; /* a new one cancels the one before */
    WorkRun *run;
    WorkDone *done;
    WorkFailed *failed;
} WorkOps;

static const WorkOps ops[N_WORK] = {
    [WORK_OPEN] = {"opening", false, false, false, run_open, done_open, failed_open},
    [WORK_MAP] = {"map", false, false, true, run_map, done_map, NULL},
    [WORK_GROUPS] = {"groups", false, false, true, run_groups, done_groups, failed_groups},
    [WORK_NAMES] = {"names", false, false, false, run_names, done_names, NULL},
    [WORK_CLUSTER] = {"clustering", false, false, true, run_cluster, done_cluster, NULL},
    [WORK_SUBCLUSTER] = {"sub-clusters", false, false, true, run_subcluster, done_subcluster, NULL},
    [WORK_MARKERS] = {"markers", false, false, true, run_markers, done_markers, NULL},
    [WORK_DE] = {"A versus B", false, false, true, run_de, done_de, NULL},
    [WORK_MODEL] = {"loading the model", true, false, false, run_model, done_model, NULL},
    [WORK_EMBED] = {"embedding", true, false, false, run_embed, done_embed, NULL},
    [WORK_ANNOTATE] = {"naming clusters", true, false, true, run_annotate, done_annotate, NULL},
    [WORK_ANNOTATE_CELLS] = {"naming cells", true, false, true, run_annotate, done_annotate_cells,
                             NULL},
    [WORK_DESCRIBE] = {"describing", true, true, true, run_describe, done_describe, NULL},
    [WORK_QUERY] = {"asking", true, true, true, run_query, done_query, NULL},
    [WORK_GENERATE] = {"generating", true, true, false, run_generate, done_generate, NULL},
    [WORK_COLOR] = {"colour", false, true, true, run_color, done_color, NULL},
    [WORK_GATE] = {"selecting", false, true, true, run_gate, done_gate, NULL},
    [WORK_PLOT] = {"figure", false, true, false, run_plot, done_plot, NULL},
    [WORK_DATA] = {"data", false, true, false, run_data, done_data, NULL},
    [WORK_CHART] = {"plot", false, true, true, run_chart, done_chart, failed_chart},
    [WORK_TABLE] = {"table", false, true, false, run_table, done_table, NULL},
    [WORK_SIDECAR] = {"genes on disk", false, false, false, run_sidecar, done_sidecar,
                      failed_sidecar},
};

const char *work_name(WorkKind kind)
{
    return ops[kind].name;
}

/* A job that was cancelled may still deliver a result, and a failed one half of it. */
static void free_result(AppJob *j)
{
    if (!j->out)
        return;
    switch (j->kind) {
    case WORK_OPEN:
        session_close(j->out);
        break;
    case WORK_MAP:
        map_free(j->out);
        break;
    case WORK_GROUPS:
        groups_free(j->out);
        break;
    case WORK_CLUSTER:
    case WORK_SUBCLUSTER:
        clustering_free(j->out);
        break;
    case WORK_MARKERS:
    case WORK_DE:
        marker_table_free(j->out);
        break;
    case WORK_ANNOTATE:
    case WORK_ANNOTATE_CELLS:
        annotation_free(j->out);
        break;
    case WORK_DESCRIBE:
        description_free(j->out);
        break;
    case WORK_QUERY:
        query_result_free(j->out);
        break;
    case WORK_GENERATE:
        generated_free(j->out);
        break;
    case WORK_COLOR:
        values_free(j->out);
        break;
    case WORK_CHART:
        chart_free(j->out);
        break;
    case WORK_GATE:
        selection_free(j->out);
        break;
    default:
        break;
    }
}

static void job_free(AppJob *j)
{
    free_result(j);
    if (j->kind == WORK_OPEN)
        session_close(j->session); /* it never ran: what it should have closed */
    if (j->facts && j->kind == WORK_NAMES)
        free(j->facts); /* holds borrowed pointers alone */
    else
        facts_free(j->facts);
    Shared **held[] = {&j->map,        &j->groups,          &j->values, &j->query, &j->generated,
                       &j->annotation, &j->cell_annotation, &j->table,  &j->plot};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        shared_drop(held[i]);
    selection_free(j->selection);
    selection_free(j->other);
    for (size_t i = 0; i < j->n_genes; i++)
        free(j->genes[i]);
    for (size_t i = 0; i < j->n_columns; i++)
        free(j->columns[i]);
    free(j->genes);
    free(j->columns);
    free(j->text);
    free(j->name);
    free(j->key);
    free(j->command);
    free(j->command_cells);
    free(j->tail);
    free(j->color);
    free(j->only);
    free(j);
}

static Err job_run(JobCtl *ctl, void *arg)
{
    AppJob *j = arg;
    double from = clock_seconds();
    Err err = ops[j->kind].run(ctl, j);
    j->seconds = clock_seconds() - from;
    return err;
}

static void job_done(Err err, const char *message, void *arg)
{
    AppJob *j = arg;
    App *a = j->app;
    Work *w = &a->work[j->kind];
    a->open_jobs--;
    a->dirty = true;
    if (j->id == w->job) {
        w->state = err == OK ? WORK_DONE : err == ERR_CANCELLED ? WORK_STOPPED : WORK_FAILED;
        snprintf(w->message, sizeof w->message, "%s", err ? message : "");
        if (err == OK)
            ops[j->kind].done(a, j);
        else if (ops[j->kind].failed)
            ops[j->kind].failed(a, j, err);
        else if (err != ERR_CANCELLED && !(j->kind == WORK_MAP && !j->text) &&
                 j->kind != WORK_DESCRIBE)
            app_message(a, ROLE_ERROR, "%s", message);
    } else if (j->kind == WORK_OPEN) {
        a->session = NULL;
    }
    job_free(j);
}

static void job_text_came(const char *utf8, void *arg)
{
    AppJob *j = arg;
    Work *w = &j->app->work[j->kind];
    if (j->id != w->job)
        return;
    size_t n = strlen(utf8);
    char *grown = realloc(w->text, w->text_len + n + 1);
    if (!grown)
        return;
    w->text = grown;
    memcpy(w->text + w->text_len, utf8, n + 1);
    w->text_len += n;
    j->app->dirty = true;
}

static bool model_is_busy(const App *a)
{
    for (size_t k = 0; k < N_WORK; k++)
        if (ops[k].model && !ops[k].quick && a->work[k].state == WORK_BUSY)
            return true;
    return false;
}

void app_stop(App *a, WorkKind kind)
{
    if (a->work[kind].state == WORK_BUSY)
        job_queue_cancel(a->queue, a->work[kind].job, ERR_CANCELLED);
}

/* What the job needs of the screen's state at this moment. */
static void fill(App *a, AppJob *j)
{
    char key[256];
    const Groups *g = app_groups(a);
    j->resolution = a->resolution;
    j->neighbors = a->neighbors;
    j->seed = a->seed;
    j->n = a->n_to_generate;
    switch (j->kind) {
    case WORK_CLUSTER:
        j->map = shared_hold(a->map);
        j->n = a->groups != NULL && a->map != NULL; /* the person asked, nothing is missing */
        j->follow = a->own_graph || !a->map || app_map(a)->computed;
        break;
    case WORK_SUBCLUSTER:
        j->groups = shared_hold(a->groups);
        j->selection = app_selection_copy(a);
        j->name = a->group < 0 || !g                  ? mem_strdup("sub")
                  : strstr(g->names[a->group], " + ") ? str_format("(%s)", g->names[a->group])
                                                      : mem_strdup(g->names[a->group]);
        break;
    case WORK_MARKERS:
    case WORK_ANNOTATE:
        j->groups = shared_hold(a->groups);
        break;
    case WORK_DESCRIBE:
        app_description_key(a, key, sizeof key);
        j->key = mem_strdup(key);
        j->cell = a->subject_cell;
        if (a->subject != SUBJECT_CELL) {
            j->selection = app_selection_copy(a);
            j->name = mem_strdup(a->group >= 0 && g ? app_group_name(a, (size_t)a->group)
                                 : a->rule          ? a->rule
                                                    : "selection");
        }
        break;
    case WORK_GENERATE:
        j->map = shared_hold(a->map);
        break;
    case WORK_CHART:
        fill_chart(a, j);
        break;
    case WORK_TABLE:
        fill_table(a, j);
        break;
    case WORK_DATA:
    case WORK_PLOT:
        j->map = shared_hold(a->map);
        j->groups = shared_hold(a->groups);
        j->values = shared_hold(a->values);
        j->shows_values = a->color_mode == COLOR_BY_VALUES;
        j->query =
            a->color_mode == COLOR_BY_QUERY || j->kind == WORK_DATA ? shared_hold(a->query) : NULL;
        j->annotation = shared_hold(a->annotation);
        j->cell_annotation = shared_hold(a->cell_annotation);
        j->with_table = j->kind == WORK_PLOT && app_figure_needs_table(a);
        Groups *named = j->with_table ? app_named_groups(a) : NULL;
        if (named)
            shared_set(&j->groups, shared_new(named, (void (*)(void *))groups_free));
        if (j->kind == WORK_PLOT) {
            fill_figure(a, j);
        } else {
            if (app_figure_generated(a) && a->subject == SUBJECT_GENERATED)
                j->generated = shared_hold(a->generated[a->subject_generated]);
            j->selection = app_selection_copy(a);
            j->command = app_data_command(a, j->text);
        }
        j->model = a->model;
        break;
    default:
        break;
    }
}

/* A versus B, or A versus all others. */
static void fill_de(App *a, AppJob *j)
{
    const Selection *from[2] = {a->set_a, a->set_b};
    Selection *to[2] = {NULL, NULL};
    for (int k = 0; k < 2; k++) {
        const Selection *s = from[k] ? from[k] : a->set_a;
        Selection *t = to[k] = mem_must(sizeof *t);
        t->n_cells = s->n_cells;
        t->in = mem_must(s->n_cells + 1);
        for (size_t i = 0; i < s->n_cells; i++)
            t->n += t->in[i] = from[k] ? s->in[i] : !s->in[i];
        t->rule = from[k] ? mem_strdup(s->rule) : str_format("not (%s)", s->rule);
    }
    j->selection = to[0];
    j->other = to[1];
    j->name =
        str_format("A %s (%zu)  versus  B %s (%zu)", to[0]->rule, to[0]->n, to[1]->rule, to[1]->n);
}

/* Work of the analysis shares nothing with embedding, which may be long: it runs between its steps. */
static bool runs_beside_embedding(WorkKind kind)
{
    return kind == WORK_CLUSTER || kind == WORK_SUBCLUSTER || kind == WORK_MARKERS || kind == WORK_DE ||
           kind == WORK_COLOR;
}

/* What a person asked for and does not see begin. */
static void say_what_it_waits_for(App *a, WorkKind kind)
{
    JobInfo j;
    bool asked = kind == WORK_SUBCLUSTER || kind == WORK_DE || kind == WORK_ANNOTATE_CELLS ||
                 kind == WORK_COLOR || (kind == WORK_CLUSTER && a->groups && a->map);
    if (asked && job_queue_list(a->queue, &j, 1) && j.running &&
        !(runs_beside_embedding(kind) && j.id == a->work[WORK_EMBED].job))
        app_message(a, ROLE_DIM, "%s: begins after %s", ops[kind].name, j.name);
}

void app_start(App *a, WorkKind kind, const char *text)
{
    const WorkOps *o = &ops[kind];
    Work *w = &a->work[kind];
    if (a->closing || (!a->session && kind != WORK_OPEN)) /* the file is being read again */
        return;
    if (o->newest)
        app_stop(a, kind);
    else if (w->state == WORK_BUSY && kind != WORK_PLOT && kind != WORK_DATA &&
             kind != WORK_TABLE && kind != WORK_GENERATE)
        return;
    AppJob *j = mem_must(sizeof *j);
    j->app = a;
    j->kind = kind;
    j->session = a->session;
    j->text = text ? mem_strdup(text) : NULL;
    fill(a, j);
    if (kind == WORK_DE)
        fill_de(a, j);
    if (kind == WORK_OPEN)
        a->session = NULL;
    char name[96];
    snprintf(name, sizeof name, "%s%s%.60s", o->name, text ? ": " : "", text ? text : "");
    bool inside = o->quick && !(o->model && (model_is_busy(a) || !a->embedded)) &&
                  !(kind == WORK_COLOR && color_is_computed(text)); /* those share its stages */
    if (!inside)
        say_what_it_waits_for(a, kind);
    JobSpec spec = {.name = name,
                    .interactive = inside,
                    .beside = runs_beside_embedding(kind),
                    .run = job_run,
                    .done = job_done,
                    .text = job_text_came,
                    .arg = j};
    *w = (Work){.state = WORK_BUSY, .text = w->text};
    if (w->text)
        *w->text = 0;
    snprintf(w->subject, sizeof w->subject, "%s", j->key ? j->key : text ? text : "");
    a->open_jobs++;
    a->dirty = true;
    w->job = j->id = job_queue_submit(a->queue, &spec);
}
