/* The work the explorer starts: one table of jobs. `run` is on the worker and sees only its AppJob; `done` is on the
 * UI thread and stores the result. Results of a job that is no longer the newest of its kind are dropped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/version.h"
#include "views/facts.h"

typedef struct AppJob {
    App *app;
    WorkKind kind;
    unsigned id;
    Session *session;
    /* in */
    char *text, *name, *key, *command;
    Shared *map, *groups, *values, *query, *generated, *annotation, *cell_annotation;
    Selection *selection, *other;
    bool by_values;
    size_t cell, n;
    double resolution;
    double view[4];
    uint64_t seed;
    /* out */
    double seconds;
    void *out;
    FileFacts *facts;
    ModelInfo model;
} AppJob;

typedef struct WorkOps {
    const char *name;
    bool model;  /* uses the model: never runs inside another job that does */
    bool quick;  /* may run inside a long job */
    bool newest; /* a new one cancels the one before */
    Err (*run)(JobCtl *ctl, AppJob *j);
    void (*done)(App *a, AppJob *j);
    void (*failed)(App *a, AppJob *j, Err err);
} WorkOps;

/* ---- opening ---- */
static Err run_open(JobCtl *ctl, AppJob *j)
{
    /* The worker (and the OpenMP threads it will start) yields to the screen: keys stay quick on a full machine. */
    setpriority(PRIO_PROCESS, 0, 5);
    session_close(j->session); /* when the file is read again */
    Session *s = NULL;
    j->session = NULL;
    TRY(session_open(&j->app->opt.session, j->app->opt.path, ctl, &s));
    j->facts = facts_new(s);
    j->out = s;
    return OK;
}

static void done_open(App *a, AppJob *j)
{
    a->session = j->out;
    a->facts = j->facts;
    j->facts = NULL;
    j->out = NULL;
    app_start(a, WORK_MAP, NULL);
    app_start(a, WORK_GROUPS, NULL);
    app_start(a, WORK_NAMES, NULL);
    for (size_t i = 0; i < a->facts->n_warnings; i++)
        app_message(a, ROLE_WARN, "%s", a->facts->warnings[i]);
}

static void failed_open(App *a, AppJob *j, Err err)
{
    a->session = NULL;
    a->quit = true; /* there is nothing to show: the outside says why, with the exit code */
    a->exit_code = err;
    free(a->exit_message);
    a->exit_message = mem_strdup(a->work[WORK_OPEN].message);
}

static Err run_map(JobCtl *ctl, AppJob *j)
{
    Map *m = NULL;
    TRY(session_map(j->session, j->text, ctl, &m));
    j->out = m;
    return OK;
}

static void take_map(App *a, Map *m)
{
    shared_set(&a->map, shared_new(m, (void (*)(void *))map_free));
    a->places++;
    MapState *v = &a->map_view;
    *v = (MapState){.zoom = 1, .labels = v->labels, .inner = v->inner};
    app_changed(a);
}

static void done_map(App *a, AppJob *j)
{
    take_map(a, j->out);
    j->out = NULL;
}

static Err run_groups(JobCtl *ctl, AppJob *j)
{
    Groups *g = NULL;
    TRY(session_groups(j->session, j->text, ctl, &g));
    j->out = g;
    return OK;
}

/* After map and groups were looked for: what the file lacks is computed; then the model is loaded behind. */
static void begin_behind(App *a)
{
    if (!a->map || !a->groups)
        app_start(a, WORK_CLUSTER, NULL);
    if (!a->has_model)
        app_start(a, WORK_MODEL, NULL);
    else
        app_start(a, WORK_EMBED, NULL);
}

static void done_groups(App *a, AppJob *j)
{
    bool first = !a->groups && !j->text;
    app_set_groups(a, shared_new(j->out, (void (*)(void *))groups_free));
    j->out = NULL;
    if (first)
        begin_behind(a);
}

static void failed_groups(App *a, AppJob *j, Err err)
{
    if (!j->text && err != ERR_CANCELLED)
        begin_behind(a);
    else
        app_message(a, ROLE_ERROR, "%s", a->work[WORK_GROUPS].message);
}

static Err run_names(JobCtl *ctl, AppJob *j)
{
    Dataset *d = session_dataset(j->session);
    FileFacts *f = mem_must(sizeof *f);
    j->facts = f;
    int m = dataset_working_matrix(d);
    if (m >= 0)
        TRY(dataset_gene_names(d, m, &f->gene_names, &f->n_gene_names));
    return dataset_cell_names(d, &f->cell_names);
}

static void done_names(App *a, AppJob *j)
{
    a->facts->gene_names = j->facts->gene_names;
    a->facts->n_gene_names = j->facts->n_gene_names;
    a->facts->cell_names = j->facts->cell_names;
}

/* ---- analysis ---- */
static Err run_cluster(JobCtl *ctl, AppJob *j)
{
    ClusterParams p = cluster_params_default();
    p.resolution = j->resolution;
    p.umap = j->map == NULL;
    Clustering *c = NULL;
    TRY(session_cluster(j->session, &p, ctl, &c));
    j->out = c;
    return OK;
}

static void done_cluster(App *a, AppJob *j)
{
    Clustering *c = j->out;
    if (c->map && !a->map) {
        take_map(a, c->map);
        c->map = NULL;
    }
    /* asked for by + and -, or nothing was there */
    if (j->n || !a->groups) {
        Groups *g = c->groups;
        c->groups = NULL;
        app_set_groups(a, shared_new(g, (void (*)(void *))groups_free));
    }
    clustering_free(c);
    j->out = NULL;
}

static Err run_markers(JobCtl *ctl, AppJob *j)
{
    MarkerTable *t = NULL;
    TRY(session_markers(j->session, j->groups->p, MARKERS_WILCOXON, 100, ctl, &t));
    j->out = t;
    return OK;
}

static void done_markers(App *a, AppJob *j)
{
    shared_set(&a->markers, shared_new(j->out, (void (*)(void *))marker_table_free));
    j->out = NULL;
}

static Err run_de(JobCtl *ctl, AppJob *j)
{
    MarkerTable *t = NULL;
    TRY(session_de(j->session, j->selection, j->other, MARKERS_WILCOXON, 200, ctl, &t));
    j->out = t;
    return OK;
}

static void done_de(App *a, AppJob *j)
{
    shared_set(&a->de, shared_new(j->out, (void (*)(void *))marker_table_free));
    j->out = NULL;
    a->show_de = true;
    a->markers_list = (ListState){0};
    free(a->de_title);
    a->de_title = mem_strdup(j->name);
}

/* ---- model ---- */
static Err run_model(JobCtl *ctl, AppJob *j)
{
    TRY(session_load_model(j->session, ctl));
    j->model = *session_model(j->session);
    return OK;
}

static void done_model(App *a, AppJob *j)
{
    enum { MANY_ON_CPU = 50000 };
    a->model = j->model;
    a->has_model = true;
    if (a->facts->cells > MANY_ON_CPU && str_starts(a->model.device, "cpu"))
        app_message(a, ROLE_WARN, "%zu cells on the processor take a while: A reads them all with the model",
                    a->facts->cells);
    else
        app_start(a, WORK_EMBED, NULL);
}

static Err run_embed(JobCtl *ctl, AppJob *j)
{
    TRY(session_embed(j->session, ctl));
    if (session_model(j->session))
        j->model = *session_model(j->session); /* now it has counted the genes */
    return OK;
}

/* The model may have been loaded, and genes counted, by any work that uses it. */
static void take_model(App *a, const AppJob *j)
{
    if (j->model.name[0]) {
        a->model = j->model;
        a->has_model = true;
        a->work[WORK_MODEL].state = WORK_DONE;
    }
    a->embedded = true;
}

static void done_embed(App *a, AppJob *j)
{
    take_model(a, j);
    if (a->groups && strcmp(app_groups(a)->key, "annotation"))
        app_start(a, WORK_ANNOTATE, NULL);
}

static Err run_annotate(JobCtl *ctl, AppJob *j)
{
    AnnotateParams p = annotate_params_default();
    Annotation *an = NULL;
    TRY(session_annotate(j->session, &p, j->groups ? j->groups->p : NULL, ctl, &an));
    j->out = an;
    if (session_model(j->session))
        j->model = *session_model(j->session);
    return OK;
}

static void done_annotate(App *a, AppJob *j)
{
    take_model(a, j);
    shared_set(&a->annotation, shared_new(j->out, (void (*)(void *))annotation_free));
    j->out = NULL;
    if (a->selected && a->group >= 0)
        a->describe_at = a->now + 0.05;
    app_changed(a);
}

/* The label of a cell as an index, n_labels for unknown. */
static size_t label_index(const Annotation *an, size_t cell)
{
    return an->unknown[cell] || an->label[cell] < 0 ? an->n_labels : (size_t)an->label[cell];
}

static int32_t add_group(Groups *g, const char *name, size_t size, uint32_t color)
{
    g->names[g->n_groups] = mem_strdup(name);
    g->sizes[g->n_groups] = size;
    g->colors[g->n_groups] = color;
    return (int32_t)g->n_groups++;
}

/* The labels of all cells as a partition. Types with fewer than 5 cells or 0.5 % share one group: they say more about
 * the model's doubt than about the tissue, and would hide the rest. */
static Groups *groups_of_annotation(const Annotation *an)
{
    static const uint32_t palette[] = {0xE69F00, 0x56B4E9, 0x009E73, 0xF0E442, 0x0072B2, 0xD55E00,
                                       0xCC79A7, 0x882255, 0x44AA99, 0x999933, 0xAA4499, 0x6699CC};
    size_t n = an->n_labels, least = an->n / 200 > 5 ? an->n / 200 : 5, others = 0;
    Groups *g = mem_must(sizeof *g);
    int32_t *id = mem_must((n + 1) * sizeof *id);
    size_t *count = mem_must((n + 1) * sizeof *count);
    g->key = mem_strdup("annotation");
    g->n_cells = an->n;
    g->computed = true;
    g->codes = mem_must((an->n + 1) * sizeof *g->codes);
    g->names = mem_must((n + 3) * sizeof *g->names);
    g->sizes = mem_must((n + 3) * sizeof *g->sizes);
    g->colors = mem_must((n + 3) * sizeof *g->colors);
    for (size_t i = 0; i < an->n; i++)
        count[label_index(an, i)]++;
    for (size_t l = 0; l < n; l++) {
        id[l] = -1;
        if (count[l] >= least)
            id[l] = add_group(g, an->labels[l], count[l], palette[g->n_groups % 12]);
        else
            others += count[l];
    }
    id[n] = count[n] ? add_group(g, "unknown", count[n], 0xAAAAAA) : -1;
    int32_t rest = others ? add_group(g, "other types", others, 0x777777) : -1;
    for (size_t i = 0; i < an->n; i++) {
        int32_t k = id[label_index(an, i)];
        g->codes[i] = k < 0 ? rest : k;
    }
    free(id);
    free(count);
    return g;
}

static void done_annotate_cells(App *a, AppJob *j)
{
    take_model(a, j);
    Annotation *an = j->out;
    j->out = NULL;
    shared_set(&a->cell_annotation, shared_new(an, (void (*)(void *))annotation_free));
    app_set_groups(a, shared_new(groups_of_annotation(an), (void (*)(void *))groups_free));
    app_message(a, ROLE_GOOD, "every cell has a type: the clusters are now the types found; c brings the others back");
}

static Err run_describe(JobCtl *ctl, AppJob *j)
{
    DescribeParams p = describe_params_default();
    p.seed = j->seed;
    Description *d = NULL;
    if (j->selection)
        TRY(session_describe_set(j->session, j->selection, j->name, &p, ctl, &d));
    else
        TRY(session_describe_cell(j->session, j->cell, &p, ctl, &d));
    j->out = d;
    return OK;
}

static void done_describe(App *a, AppJob *j)
{
    Told *t = mem_must(sizeof *t);
    t->key = mem_strdup(j->key);
    t->description = shared_new(j->out, (void (*)(void *))description_free);
    j->out = NULL;
    t->next = a->told;
    a->told = t;
    a->embedded = true;
}

static Err run_query(JobCtl *ctl, AppJob *j)
{
    QueryResult *q = NULL;
    TRY(session_query(j->session, j->text, ctl, &q));
    j->out = q;
    return OK;
}

static void done_query(App *a, AppJob *j)
{
    a->embedded = true;
    shared_set(&a->query, shared_new(j->out, (void (*)(void *))query_result_free));
    j->out = NULL;
    a->color_mode = COLOR_BY_QUERY;
    a->subject = SUBJECT_QUERY;
    a->text_top = 0;
    app_select_none(a);
    a->clusters = (ListState){0};
    app_update_means(a);
    app_changed(a);
    const QueryResult *q = app_query(a);
    if (q->warning && *q->warning)
        app_message(a, ROLE_WARN, "%s", q->warning);
}

static Err run_generate(JobCtl *ctl, AppJob *j)
{
    GenerateParams p = {.prompt = j->text, .n = j->n, .seed = j->seed};
    Generated *g = NULL;
    TRY(session_generate(j->session, &p, j->map ? j->map->p : NULL, ctl, &g));
    j->out = g;
    return OK;
}

static void done_generate(App *a, AppJob *j)
{
    if (a->n_generated == MAX_GENERATED) {
        shared_drop(&a->generated[0]);
        memmove(a->generated, a->generated + 1, (MAX_GENERATED - 1) * sizeof *a->generated);
        memmove(a->generated_seconds, a->generated_seconds + 1, (MAX_GENERATED - 1) * sizeof *a->generated_seconds);
        a->generated[--a->n_generated] = NULL;
    }
    a->generated_seconds[a->n_generated] = j->seconds;
    a->generated[a->n_generated++] = shared_new(j->out, (void (*)(void *))generated_free);
    j->out = NULL;
    a->embedded = true;
    a->subject = SUBJECT_GENERATED;
    a->subject_generated = a->n_generated - 1;
    a->text_top = 0;
    app_changed(a);
}

/* ---- colour, selection, files ---- */
static Err run_color(JobCtl *ctl, AppJob *j)
{
    Values *v = NULL;
    Err err = ERR_NOT_FOUND;
    if (j->n) /* an obs column */
        err = session_obs_values(j->session, j->text, ctl, &v);
    else
        err = session_gene(j->session, j->text, true, ctl, &v);
    TRY(err);
    j->out = v;
    return OK;
}

static void done_color(App *a, AppJob *j)
{
    shared_set(&a->values, shared_new(j->out, (void (*)(void *))values_free));
    j->out = NULL;
    a->color_mode = COLOR_BY_VALUES;
    app_changed(a);
}

static Err run_gate(JobCtl *ctl, AppJob *j)
{
    Selection *s = NULL;
    TRY(session_select(j->session, j->text, ctl, &s));
    j->out = s;
    return OK;
}

static void done_gate(App *a, AppJob *j)
{
    Selection *s = j->out;
    if (s->n == 0) {
        app_message(a, ROLE_WARN, "no cell fits: %s", j->text);
        return;
    }
    uint8_t *in = s->in;
    s->in = NULL;
    app_select_take(a, in, s->rule && *s->rule ? s->rule : j->text, -1);
}

static Err run_plot(JobCtl *ctl, AppJob *j)
{
    PlotParams p = plot_params_default();
    p.output = j->text;
    p.sidecar = false;
    p.map = shared_get(j->map);
    if (j->by_values)
        p.values = j->query ? ((QueryResult *)j->query->p)->scores : shared_get(j->values);
    else
        p.groups = shared_get(j->groups);
    p.generated = shared_get(j->generated);
    memcpy(p.view, j->view, sizeof p.view);
    return session_plot(j->session, &p, ctl);
}

static void done_plot(App *a, AppJob *j)
{
    app_message(a, ROLE_GOOD, "wrote %s   again: %s", j->text, j->command);
}

static Err run_data(JobCtl *ctl, AppJob *j)
{
    if (str_ends(j->text, ".h5ad"))
        return export_generated(j->generated->p, &j->model, j->text, ctl);
    char sha[65], matched[32];
    bool modelled = j->annotation || j->cell_annotation || j->query;
    Dataset *data = session_dataset(j->session);
    Err hashed = dataset_sha256(data, ctl, sha);
    if (hashed == ERR_CANCELLED)
        return hashed;
    snprintf(matched, sizeof matched, "%zu", j->model.genes_matched);
    const QueryResult *q = shared_get(j->query);
    DataExport d = {.groups = shared_get(j->groups),
                    .annotation = shared_get(j->annotation),
                    .cell_annotation = shared_get(j->cell_annotation),
                    .selected = j->selection ? j->selection->in : NULL,
                    .map = shared_get(j->map),
                    .query = q,
                    .provenance = {.command = j->command,
                                   .version = SCMMGPT_VERSION,
                                   .dataset_sha256 = hashed == OK ? sha : NULL, /* a folder has none */
                                   .model_sha256 = modelled ? j->model.sha256 : NULL,
                                   .seed = j->seed,
                                   .prompt = q ? q->text : NULL,
                                   .genes_matched = modelled ? matched : NULL,
                                   .device = modelled ? j->model.device : NULL},
                    .cells = dataset_cells(data)};
    TRY(dataset_cell_names(data, &d.cell_names));
    return export_labels(&d, j->text, ctl);
}

static void done_data(App *a, AppJob *j)
{
    app_message(a, ROLE_GOOD, "wrote %s", j->text);
}

static const WorkOps ops[N_WORK] = {
    [WORK_OPEN] = {"opening", false, false, false, run_open, done_open, failed_open},
    [WORK_MAP] = {"map", false, false, true, run_map, done_map, NULL},
    [WORK_GROUPS] = {"groups", false, false, true, run_groups, done_groups, failed_groups},
    [WORK_NAMES] = {"names", false, false, false, run_names, done_names, NULL},
    [WORK_CLUSTER] = {"clustering", false, false, true, run_cluster, done_cluster, NULL},
    [WORK_MARKERS] = {"markers", false, false, true, run_markers, done_markers, NULL},
    [WORK_DE] = {"A versus B", false, false, true, run_de, done_de, NULL},
    [WORK_MODEL] = {"loading the model", true, false, false, run_model, done_model, NULL},
    [WORK_EMBED] = {"embedding", true, false, false, run_embed, done_embed, NULL},
    [WORK_ANNOTATE] = {"naming clusters", true, false, true, run_annotate, done_annotate, NULL},
    [WORK_ANNOTATE_CELLS] = {"naming cells", true, false, true, run_annotate, done_annotate_cells, NULL},
    [WORK_DESCRIBE] = {"describing", true, true, true, run_describe, done_describe, NULL},
    [WORK_QUERY] = {"asking", true, true, true, run_query, done_query, NULL},
    [WORK_GENERATE] = {"generating", true, true, false, run_generate, done_generate, NULL},
    [WORK_COLOR] = {"colour", false, true, true, run_color, done_color, NULL},
    [WORK_GATE] = {"selecting", false, true, true, run_gate, done_gate, NULL},
    [WORK_PLOT] = {"figure", false, false, false, run_plot, done_plot, NULL},
    [WORK_DATA] = {"data", false, false, false, run_data, done_data, NULL},
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
    case WORK_OPEN: session_close(j->out); break;
    case WORK_MAP: map_free(j->out); break;
    case WORK_GROUPS: groups_free(j->out); break;
    case WORK_CLUSTER: clustering_free(j->out); break;
    case WORK_MARKERS:
    case WORK_DE: marker_table_free(j->out); break;
    case WORK_ANNOTATE:
    case WORK_ANNOTATE_CELLS: annotation_free(j->out); break;
    case WORK_DESCRIBE: description_free(j->out); break;
    case WORK_QUERY: query_result_free(j->out); break;
    case WORK_GENERATE: generated_free(j->out); break;
    case WORK_COLOR: values_free(j->out); break;
    case WORK_GATE: selection_free(j->out); break;
    default: break;
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
    Shared **held[] = {&j->map, &j->groups, &j->values, &j->query, &j->generated, &j->annotation, &j->cell_annotation};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        shared_drop(held[i]);
    selection_free(j->selection);
    selection_free(j->other);
    free(j->text);
    free(j->name);
    free(j->key);
    free(j->command);
    free(j);
}

static double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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
        else if (err != ERR_CANCELLED && !(j->kind == WORK_MAP && !j->text) && j->kind != WORK_DESCRIBE)
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
    j->seed = a->seed;
    j->n = a->n_to_generate;
    switch (j->kind) {
    case WORK_CLUSTER:
        j->map = shared_hold(a->map);
        j->n = a->groups != NULL && a->map != NULL; /* the person asked, nothing is missing */
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
                                                    : a->rule ? a->rule : "selection");
        }
        break;
    case WORK_GENERATE:
        j->map = shared_hold(a->map);
        break;
    case WORK_COLOR:
        j->n = 0;
        for (size_t i = 0; i < a->facts->n_obs; i++)
            if (!strcmp(a->facts->obs[i], j->text))
                j->n = 1;
        break;
    case WORK_DATA:
    case WORK_PLOT:
        j->map = shared_hold(a->map);
        j->groups = shared_hold(a->groups);
        j->values = shared_hold(a->values);
        j->query = a->color_mode == COLOR_BY_QUERY || j->kind == WORK_DATA ? shared_hold(a->query) : NULL;
        j->by_values = app_color_values(a) != NULL;
        j->annotation = shared_hold(a->annotation);
        j->cell_annotation = shared_hold(a->cell_annotation);
        if (a->n_generated)
            j->generated = shared_hold(a->generated[a->subject == SUBJECT_GENERATED ? a->subject_generated
                                                                                    : a->n_generated - 1]);
        if (j->kind == WORK_DATA)
            j->selection = app_selection_copy(a);
        j->command = app_export_command(a, j->text);
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
    j->name = str_format("A %s (%zu)  versus  B %s (%zu)", to[0]->rule, to[0]->n, to[1]->rule, to[1]->n);
}

void app_start(App *a, WorkKind kind, const char *text)
{
    const WorkOps *o = &ops[kind];
    Work *w = &a->work[kind];
    if (a->closing)
        return;
    if (o->newest)
        app_stop(a, kind);
    else if (w->state == WORK_BUSY && kind != WORK_PLOT && kind != WORK_DATA && kind != WORK_GENERATE)
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
    bool inside = o->quick && !(o->model && (model_is_busy(a) || !a->embedded));
    JobSpec spec = {.name = name,
                    .interactive = inside,
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
