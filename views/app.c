/* Life of the App, and the small facts that panes ask for. */
#include "views/app.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/facts.h"

App *app_new(const AppOptions *opt)
{
    App *a = mem_must(sizeof *a);
    a->opt = *opt;
    a->queue = job_queue_new();
    a->resolution = a->groups_resolution = 1;
    a->neighbors = cluster_params_default().neighbors;
    a->seed = opt->session.seed;
    a->n_to_generate = 200;
    a->focus = PANE_CLUSTERS;
    a->slot = PANE_MAP;
    a->group = -1;
    a->map_view = (MapState){.zoom = 1, .labels = true};
    a->prompt.suggestions = mem_must(MAX_SUGGESTIONS * sizeof(Suggestion));
    a->dirty = true;
    if (opt->notice)
        app_message(a, ROLE_DIM, "%s", opt->notice);
    return a;
}

static void told_free(App *a)
{
    for (Told *t = a->told; t;) {
        Told *next = t->next;
        free(t->key);
        shared_drop(&t->description);
        free(t);
        t = next;
    }
    a->told = NULL;
}

/* Everything that came from the file or was computed on it. */
void app_forget(App *a)
{
    app_forget_edits(a);
    Shared **all[] = {&a->file_map,   &a->chart,           &a->made_map,        &a->map,
                      &a->groups,     &a->computed_groups, &a->markers,         &a->de,
                      &a->annotation, &a->values,          &a->cell_annotation, &a->query};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        shared_drop(all[i]);
    for (size_t i = 0; i < a->n_generated; i++)
        shared_drop(&a->generated[i]);
    a->n_generated = 0;
    told_free(a);
    facts_free(a->facts);
    a->facts = NULL;
    a->places++;
    free(a->query_means);
    free(a->cluster_rows);
    free(a->cell_rows);
    free(a->selected);
    free(a->rule);
    free(a->de_title);
    for (int i = 0; i < 2; i++) {
        selection_free(a->de_sets[i]);
        a->de_sets[i] = NULL;
    }
    free(a->marker_rows);
    free(a->chart_genes);
    free(a->chart_column);
    a->chart_genes = a->chart_column = NULL;
    memset(a->chart_for, 0, sizeof a->chart_for);
    a->marker_rows = NULL;
    a->n_marker_rows = 0;
    a->tables++;
    selection_free(a->set_a);
    selection_free(a->set_b);
    a->query_means = NULL;
    a->cluster_rows = a->cell_rows = NULL;
    a->n_cluster_rows = a->n_cell_rows = 0;
    a->selected = NULL;
    a->n_selected = 0;
    a->rule = a->de_title = NULL;
    a->set_a = a->set_b = NULL;
    a->show_de = false;
    a->group = -1;
    a->color_mode = COLOR_BY_GROUPS;
    a->subject = SUBJECT_FILE;
    a->own_graph = false;
    a->map_neighbors = 0;
    a->embedded = false;
    a->clusters = a->markers_list = a->cells = (ListState){0};
    app_changed(a);
}

void app_free(App *a)
{
    if (!a)
        return;
    a->closing = true;
    job_queue_free(a->queue);
    app_forget(a);
    session_close(a->session);
    for (size_t i = 0; i < N_WORK; i++)
        free(a->work[i].text);
    for (size_t i = 0; i < a->n_messages; i++)
        free(a->messages[i].text);
    free(a->prompt.suggestions);
    free(a->clipboard);
    str_free(&a->written);
    free(a->exit_message);
    free(a->restoring);
    free(a->kept);
    map_raster_free(a->raster);
    free(a);
}

void app_begin(App *a)
{
    app_start(a, WORK_OPEN, NULL);
}

void app_message(App *a, Role role, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (a->n_messages == MAX_MESSAGES) {
        free(a->messages[0].text);
        memmove(a->messages, a->messages + 1, (MAX_MESSAGES - 1) * sizeof *a->messages);
        a->n_messages--;
    }
    a->messages[a->n_messages++] = (Message){role, mem_strdup(text), a->now};
    a->message_old = false;
    a->dirty = true;
}

void app_changed(App *a)
{
    a->version++;
    a->dirty = true;
}

double app_tick(App *a)
{
    double wait = -1;
    if (a->describe_at > 0) {
        wait = a->describe_at - a->now;
        if (wait <= 0) {
            a->describe_at = 0;
            wait = -1;
            char key[256];
            app_description_key(a, key, sizeof key);
            if (*key && !app_description(a, key))
                app_start(a, WORK_DESCRIBE, NULL);
        }
    }
    double chart = app_chart_tick(a);
    if (chart >= 0 && (wait < 0 || chart < wait))
        wait = chart;
    if (a->restoring)
        app_session_tick(a);
    JobInfo job;
    if (a->open_jobs &&
        job_queue_list(a->queue, &job,
                       1)) { /* the start of a job is no event: look until it runs */
        if (job.running && (job.stage != a->stage || job.id != a->stage_job)) {
            a->stage = job.stage;
            a->stage_job = job.id;
            a->stage_since = a->now;
        }
        a->dirty = true;
        wait = wait < 0 || wait > 0.2 ? 0.2 : wait;
    }
    return wait;
}

const Values *app_color_values(const App *a)
{
    const QueryResult *q = app_query(a);
    if (a->color_mode == COLOR_BY_QUERY && q)
        return q->scores;
    return a->color_mode == COLOR_BY_VALUES ? shared_get(a->values) : NULL;
}

/* "7", "12": a name that says nothing. */
static bool only_a_number(const char *s)
{
    return *s && s[strspn(s, "0123456789.")] == 0;
}

const char *app_group_name(const App *a, size_t g)
{
    const Groups *groups = app_groups(a);
    const Annotation *an = app_annotation(a);
    if (!an || g >= an->n || !only_a_number(groups->names[g]))
        return groups->names[g];
    return an->unknown[g] || an->label[g] < 0 ? "unknown" : an->labels[an->label[g]];
}

char app_confidence_sign(const App *a, size_t g)
{
    const Annotation *an = app_annotation(a);
    if (!an || g >= an->n)
        return ' ';
    float p = an->probability[g];
    return an->unknown[g] ? '?' : p >= 0.9f ? '#' : p >= 0.75f ? '+' : '.';
}

const Description *app_description(const App *a, const char *key)
{
    for (const Told *t = a->told; t; t = t->next)
        if (!strcmp(t->key, key))
            return shared_get(t->description);
    return NULL;
}

/* What a description would be of now: the cell, the group, the selection; "" for nothing. */
void app_description_key(const App *a, char *out, size_t cap)
{
    *out = 0;
    const Groups *g = app_groups(a);
    if (a->subject == SUBJECT_CELL)
        snprintf(out, cap, "cell %zu", a->subject_cell);
    else if (a->selected && a->group >= 0 && g)
        snprintf(out, cap, "group %.80s=%.100s", g->key, g->names[a->group]);
    else if (a->selected)
        snprintf(out, cap, "selection %llu", (unsigned long long)a->selection_version);
}

void app_update_means(App *a)
{
    free(a->query_means);
    a->query_means = NULL;
    const Groups *g = app_groups(a);
    const QueryResult *q = app_query(a);
    if (!g)
        return;
    free(a->cluster_rows);
    a->n_cluster_rows = g->n_groups;
    a->cluster_rows = mem_must((g->n_groups + 1) * sizeof *a->cluster_rows);
    double *key = mem_must((g->n_groups + 1) * sizeof *key);
    for (size_t i = 0; i < g->n_groups; i++)
        key[i] = (double)g->sizes[i];
    if (q && q->scores->n == g->n_cells) {
        a->query_means = mem_must((g->n_groups + 1) * sizeof *a->query_means);
        double *sum = mem_must((g->n_groups + 1) * sizeof *sum);
        for (size_t i = 0; i < g->n_cells; i++)
            if (g->codes[i] >= 0 && !isnan(q->scores->v[i]))
                sum[g->codes[i]] += q->scores->v[i];
        for (size_t i = 0; i < g->n_groups; i++) {
            a->query_means[i] = g->sizes[i] ? (float)(sum[i] / (double)g->sizes[i]) : 0;
            key[i] = g->sizes[i] ? a->query_means[i] : -1e30;
        }
        free(sum);
    }
    for (size_t i = 0; i < g->n_groups;
         i++) { /* insertion: groups are few, and equal keys keep their order */
        size_t at = i;
        while (at > 0 && key[a->cluster_rows[at - 1]] < key[i]) {
            a->cluster_rows[at] = a->cluster_rows[at - 1];
            at--;
        }
        a->cluster_rows[at] = i;
    }
    free(key);
}

void app_set_groups(App *a, Shared *take)
{
    shared_set(&a->groups, take);
    free(a->marked);
    a->marked = NULL;
    a->n_marked = 0;
    a->recolored = false;
    a->places++;
    shared_drop(&a->markers);
    a->tables++;
    shared_drop(&a->annotation);
    if (a->group >= 0)
        app_select_none(a);
    a->clusters = (ListState){0};
    a->markers_list = (ListState){0};
    a->color_mode = COLOR_BY_GROUPS;
    app_update_means(a);
    app_changed(a);
    app_start(a, WORK_MARKERS, NULL);
    if (a->embedded &&
        strcmp(app_groups(a)->key, "annotation")) /* those have their names from the model */
        app_start(a, WORK_ANNOTATE, NULL);
}
