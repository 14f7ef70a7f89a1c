/* Work on the file: opening, maps, groups, analysis, colours, selections, figures and tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/version.h"
#include "views/app_job.h"
#include "views/pane.h"

/* ---- opening ---- */
Err run_open(JobCtl *ctl, AppJob *j)
{
    /* The worker (and the OpenMP threads it will start) yields to the screen: keys stay quick on a
     * full machine. */
    setpriority(PRIO_PROCESS, 0, 2);
    session_close(j->session); /* when the file is read again */
    Session *s = NULL;
    j->session = NULL;
    TRY(session_open(&j->app->opt.session, j->app->opt.path, ctl, &s));
    j->facts = facts_new(s);
    int m = dataset_working_matrix(session_dataset(s));
    j->facts->sidecar_wanted = m >= 0 && dataset_sidecar_wanted(session_dataset(s), m);
    j->out = s;
    return OK;
}

void done_open(App *a, AppJob *j)
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

void failed_open(App *a, AppJob *j, Err err)
{
    a->session = NULL;
    a->quit = true; /* there is nothing to show: the outside says why, with the exit code */
    a->exit_code = err;
    free(a->exit_message);
    a->exit_message = mem_strdup(a->work[WORK_OPEN].message);
}

Err run_map(JobCtl *ctl, AppJob *j)
{
    Map *m = NULL;
    TRY(session_map(j->session, j->text, ctl, &m));
    j->out = m;
    return OK;
}

static void take_map(App *a, Map *m)
{
    shared_set(&a->map, shared_new(m, (void (*)(void *))map_free));
    shared_set(m->computed ? &a->made_map : &a->file_map, shared_hold(a->map));
    a->places++;
    MapState *v = &a->map_view;
    *v = (MapState){.zoom = 1, .labels = v->labels, .inner = v->inner};
    app_changed(a);
}

void done_map(App *a, AppJob *j)
{
    take_map(a, j->out);
    j->out = NULL;
}

Err run_groups(JobCtl *ctl, AppJob *j)
{
    Groups *g = NULL;
    TRY(session_groups(j->session, j->text, ctl, &g));
    j->out = g;
    return OK;
}

/* After map and groups were looked for: what the file lacks is computed; then the model is loaded
 * behind. */
static void begin_behind(App *a)
{
    if (!a->map || !a->groups)
        app_start(a, WORK_CLUSTER, NULL);
    if (!a->has_model)
        app_start(a, WORK_MODEL, NULL);
    else
        app_start(a, WORK_EMBED, NULL);
    if (a->facts->sidecar_wanted)
        app_start(a, WORK_SIDECAR, NULL);
}

/* A copy by genes in the cache folder, after which colouring a large file by a gene takes
 * milliseconds; until then, and where the disk has no room, the file is read for each gene. */
Err run_sidecar(JobCtl *ctl, AppJob *j)
{
    Dataset *d = session_dataset(j->session);
    return dataset_sidecar_build(d, dataset_working_matrix(d), ctl);
}

void done_sidecar(App *a, AppJob *j)
{
    a->facts->sidecar_wanted = false;
}

void failed_sidecar(App *a, AppJob *j, Err err)
{
    a->facts->sidecar_wanted = false; /* not again in this session */
    if (err != ERR_CANCELLED)
        app_message(a, ROLE_WARN, "genes are read from the file: %s",
                    a->work[WORK_SIDECAR].message);
}

void done_groups(App *a, AppJob *j)
{
    bool first = !a->groups && !j->text;
    app_set_groups(a, shared_new(j->out, (void (*)(void *))groups_free));
    j->out = NULL;
    if (first)
        begin_behind(a);
}

void failed_groups(App *a, AppJob *j, Err err)
{
    if (!j->text && err != ERR_CANCELLED)
        begin_behind(a);
    else
        app_message(a, ROLE_ERROR, "%s", a->work[WORK_GROUPS].message);
}

Err run_names(JobCtl *ctl, AppJob *j)
{
    Dataset *d = session_dataset(j->session);
    FileFacts *f = mem_must(sizeof *f);
    j->facts = f;
    int m = dataset_working_matrix(d);
    if (m >= 0)
        TRY(dataset_gene_names(d, m, &f->gene_names, &f->n_gene_names));
    return dataset_cell_names(d, &f->cell_names);
}

void done_names(App *a, AppJob *j)
{
    a->facts->gene_names = j->facts->gene_names;
    a->facts->n_gene_names = j->facts->n_gene_names;
    a->facts->cell_names = j->facts->cell_names;
}

/* ---- analysis ---- */
Err run_cluster(JobCtl *ctl, AppJob *j)
{
    ClusterParams p = cluster_params_default();
    p.resolution = j->resolution;
    p.neighbors = j->neighbors;
    p.umap = j->follow;
    p.stored_graph = !p.umap; /* the graph that goes with the map of the file */
    Clustering *c = NULL;
    TRY(session_cluster(j->session, &p, ctl, &c));
    j->out = c;
    return OK;
}

void done_cluster(App *a, AppJob *j)
{
    Clustering *c = j->out;
    if (c->map && (!a->map || j->neighbors != a->map_neighbors)) {
        take_map(a, c->map);
        c->map = NULL;
        a->map_neighbors = j->neighbors;
    }
    /* asked for by + and -, or nothing was there */
    if (j->n || !a->groups) {
        Groups *g = c->groups;
        c->groups = NULL;
        app_take_clusters(a, g, j->resolution);
    }
    clustering_free(c);
    j->out = NULL;
}

Err run_subcluster(JobCtl *ctl, AppJob *j)
{
    ClusterParams p = cluster_params_default();
    size_t n = j->selection->n;
    p.resolution = j->resolution;
    p.neighbors = n > 0 && (size_t)j->neighbors >= n ? (int)n - 1 : j->neighbors;
    p.umap = false;
    Clustering *c = NULL;
    TRY(session_subcluster(j->session, j->selection, &p, ctl, &c));
    j->out = c;
    return OK;
}

void done_subcluster(App *a, AppJob *j)
{
    const Clustering *c = j->out;
    if (j->groups != a->groups)
        app_message(a, ROLE_WARN, "the clusters have changed meanwhile: S does it again");
    else
        app_split_groups(a, c->groups, j->name);
}

static MarkerMethod test_of(const AppJob *j)
{
    for (MarkerMethod m = MARKERS_WILCOXON; j->text && m <= MARKERS_OVERESTIMATED; m++)
        if (strcmp(j->text, marker_method_name(m)) == 0)
            return m;
    return MARKERS_WILCOXON;
}

Err run_markers(JobCtl *ctl, AppJob *j)
{
    enum { MOST_ROWS = 2000000 };
    const Groups *g = j->groups->p;
    size_t genes = dataset_genes(session_dataset(j->session)), top = 0; /* all */
    if (g->n_groups && genes > MOST_ROWS / g->n_groups)
        top = MOST_ROWS / g->n_groups + 1;
    MarkerTable *t = NULL;
    Err err = ERR_NOT_FOUND;
    if (!j->text) /* the file's own, where it has some; else by the test asked for */
        err = session_stored_markers(j->session, g, top, ctl, &t);
    if (err == ERR_CANCELLED)
        return err;
    if (err != OK) /* none, or unreadable: a warning of the dataset says so */
        TRY(session_markers(j->session, g, test_of(j), top, ctl, &t));
    j->out = t;
    j->n = top;
    return OK;
}

void done_markers(App *a, AppJob *j)
{
    a->markers_top = j->n;
    shared_set(&a->markers, shared_new(j->out, (void (*)(void *))marker_table_free));
    j->out = NULL;
    a->tables++;
    a->dirty = true;
}

Err run_de(JobCtl *ctl, AppJob *j)
{
    MarkerTable *t = NULL;
    TRY(session_de(j->session, j->selection, j->other, test_of(j), 0, ctl, &t));
    j->out = t;
    return OK;
}

void done_de(App *a, AppJob *j)
{
    shared_set(&a->de, shared_new(j->out, (void (*)(void *))marker_table_free));
    j->out = NULL;
    a->show_de = true;
    a->tables++;
    a->markers_list = (ListState){0};
    free(a->de_title);
    a->de_title = mem_strdup(j->name);
    Selection **sets[] = {&j->selection, &j->other};
    for (int i = 0; i < 2; i++) {
        selection_free(a->de_sets[i]);
        a->de_sets[i] = *sets[i];
        *sets[i] = NULL;
    }
}

/* ---- colour, selection, files ---- */
Err run_color(JobCtl *ctl, AppJob *j)
{
    Values *v = NULL;
    TRY(session_color_values(j->session, j->text, ctl, &v));
    j->out = v;
    return OK;
}

void done_color(App *a, AppJob *j)
{
    shared_set(&a->values, shared_new(j->out, (void (*)(void *))values_free));
    j->out = NULL;
    a->color_mode = COLOR_BY_VALUES;
    app_changed(a);
}

Err run_gate(JobCtl *ctl, AppJob *j)
{
    Selection *s = NULL;
    TRY(session_select(j->session, j->text, ctl, &s));
    j->out = s;
    return OK;
}

void done_gate(App *a, AppJob *j)
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

Err run_data(JobCtl *ctl, AppJob *j)
{
    char sha[65], matched[32];
    bool modelled = j->annotation || j->cell_annotation || j->query;
    Dataset *data = session_dataset(j->session);
    Err hashed = dataset_sha256(data, ctl, sha);
    if (hashed == ERR_CANCELLED)
        return hashed;
    if (str_ends(j->text, ".h5ad"))
        return export_generated(j->generated->p, &j->model, hashed == OK ? sha : NULL, j->text,
                                ctl);
    snprintf(matched, sizeof matched, "%zu", j->model.genes_matched);
    const QueryResult *q = shared_get(j->query);
    DataExport d = {
        .groups = shared_get(j->groups),
        .annotation = shared_get(j->annotation),
        .cell_annotation = shared_get(j->cell_annotation),
        .selected = j->selection ? j->selection->in : NULL,
        .map = shared_get(j->map),
        .values = j->shows_values ? shared_get(j->values) : NULL,
        .query = q,
        .provenance = {.command = j->command,
                       .version = SCMMGPT_VERSION,
                       .dataset_sha256 = hashed == OK ? sha : NULL, /* a folder has none */
                       .model_sha256 = modelled ? j->model.sha256 : NULL,
                       .seed = j->seed,
                       .prompt = q ? q->text : NULL,
                       .genes_matched = modelled ? matched : NULL,
                       .device = modelled ? j->model.device : NULL,
                       .matrix = modelled && j->model.matrix[0] ? j->model.matrix : NULL},
        .cells = dataset_cells(data)};
    TRY(dataset_cell_names(data, &d.cell_names));
    return export_labels(&d, j->text, ctl);
}

void done_data(App *a, AppJob *j)
{
    app_message(a, ROLE_GOOD, "wrote %s", j->text);
}
