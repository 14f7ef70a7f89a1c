/* Work of the model: loading, reading the cells, naming, describing, questions, generating. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "views/app_job.h"

Err run_model(JobCtl *ctl, AppJob *j)
{
    TRY(session_load_model(j->session, ctl));
    j->model = *session_model(j->session);
    return OK;
}

void done_model(App *a, AppJob *j)
{
    enum { MANY_ON_CPU = 50000 };
    a->model = j->model;
    a->has_model = true;
    if (a->facts->cells > MANY_ON_CPU && (a->model.device[0] | 32) == 'c' &&
        (a->model.device[1] | 32) == 'p')
        app_message(a, ROLE_WARN,
                    "%zu cells on the processor take a while: A reads them all with the model",
                    a->facts->cells);
    else
        app_start(a, WORK_EMBED, NULL);
}

Err run_embed(JobCtl *ctl, AppJob *j)
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

void done_embed(App *a, AppJob *j)
{
    take_model(a, j);
    if (a->groups && strcmp(app_groups(a)->key, "annotation"))
        app_start(a, WORK_ANNOTATE, NULL);
}

Err run_annotate(JobCtl *ctl, AppJob *j)
{
    AnnotateParams p = annotate_params_default();
    Annotation *an = NULL;
    TRY(session_annotate(j->session, &p, j->groups ? j->groups->p : NULL, ctl, &an));
    j->out = an;
    if (session_model(j->session))
        j->model = *session_model(j->session);
    return OK;
}

void done_annotate(App *a, AppJob *j)
{
    take_model(a, j);
    if (j->groups != a->groups)
        return; /* it names groups that are no longer on the screen */
    shared_set(&a->annotation, shared_new(j->out, (void (*)(void *))annotation_free));
    j->out = NULL;
    if (a->selected && a->group >= 0)
        a->describe_at = a->now + 0.05;
    app_changed(a);
}

void done_annotate_cells(App *a, AppJob *j)
{
    take_model(a, j);
    Annotation *an = j->out;
    j->out = NULL;
    shared_set(&a->cell_annotation, shared_new(an, (void (*)(void *))annotation_free));
    app_set_groups(a, shared_new(annotation_groups(an), (void (*)(void *))groups_free));
    app_message(
        a, ROLE_GOOD,
        "every cell has a type: the clusters are now the types found; c brings the others back");
}

Err run_describe(JobCtl *ctl, AppJob *j)
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

void done_describe(App *a, AppJob *j)
{
    Told *t = mem_must(sizeof *t);
    t->key = mem_strdup(j->key);
    t->description = shared_new(j->out, (void (*)(void *))description_free);
    j->out = NULL;
    t->next = a->told;
    a->told = t;
    a->embedded = true;
}

Err run_query(JobCtl *ctl, AppJob *j)
{
    QueryResult *q = NULL;
    TRY(session_query(j->session, j->text, ctl, &q));
    j->out = q;
    return OK;
}

void done_query(App *a, AppJob *j)
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

Err run_generate(JobCtl *ctl, AppJob *j)
{
    GenerateParams p = {.prompt = j->text, .n = j->n, .seed = j->seed};
    Generated *g = NULL;
    TRY(session_generate(j->session, &p, j->map ? j->map->p : NULL, ctl, &g));
    j->out = g;
    return OK;
}

void done_generate(App *a, AppJob *j)
{
    if (a->n_generated == MAX_GENERATED) {
        shared_drop(&a->generated[0]);
        memmove(a->generated, a->generated + 1, (MAX_GENERATED - 1) * sizeof *a->generated);
        memmove(a->generated_seconds, a->generated_seconds + 1,
                (MAX_GENERATED - 1) * sizeof *a->generated_seconds);
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
