/* Opening and closing a session. */
#include "core/session/session_internal.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/mem.h"

SessionParams session_params_default(void)
{
    return (SessionParams){.device = "auto"};
}

static const char *copy(const char *s)
{
    return s ? mem_strdup(s) : NULL;
}

static void own_params(SessionParams *p)
{
    p->dataset.genome = copy(p->dataset.genome);
    p->dataset.feature_type = copy(p->dataset.feature_type);
    p->dataset.gene_column = copy(p->dataset.gene_column);
    p->dataset.matrix = copy(p->dataset.matrix);
    p->device = copy(p->device ? p->device : "auto");
    p->model_dir = copy(p->model_dir);
    p->command = copy(p->command);
}

Err session_open_empty(const SessionParams *p, Session **out)
{
    Session *s = mem_must(sizeof *s);
    s->params = *p;
    own_params(&s->params);
    *out = s;
    return OK;
}

Err session_open(const SessionParams *p, const char *path, JobCtl *ctl, Session **out)
{
    Session *s;
    TRY(session_open_empty(p, &s));
    Err err = dataset_open(path, &s->params.dataset, ctl, &s->dataset);
    if (err) {
        session_close(s);
        return err;
    }
    *out = s;
    return OK;
}

void session_close(Session *s)
{
    if (!s)
        return;
    for (int t = 0; t < N_TOPICS; t++)
        if (s->state[t]) {
            s->state_free[t](s->state[t]);
            free(s->state[t]);
        }
    dataset_close(s->dataset);
    SessionParams *p = &s->params;
    const char *owned[] = {p->dataset.genome, p->dataset.feature_type, p->dataset.gene_column,
                           p->dataset.matrix, p->device, p->model_dir, p->command};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free((void *)owned[i]);
    free(s);
}

Dataset *session_dataset(Session *s)
{
    return s->dataset;
}

const SessionParams *session_params(const Session *s)
{
    return &s->params;
}

void *session_state(Session *s, SessionTopic topic, size_t size, SessionStateFree *release)
{
    if (!s->state[topic]) {
        s->state[topic] = mem_must(size);
        s->state_free[topic] = release;
    }
    return s->state[topic];
}

Err session_working_matrix(Session *s, int *matrix)
{
    if (!s->dataset)
        FAIL(ERR_USAGE, "no dataset is open");
    int m = dataset_working_matrix(s->dataset);
    RecoveryInfo counts; /* once the model has recovered the counts, all else in the session sees them too */
    if (dataset_recoverable(s->dataset, &counts) && (counts.recovered || m < 0)) {
        int recovered;
        TRY(dataset_recover_counts(s->dataset, NULL, &recovered));
        if (recovered >= 0 && !counts.recovered)
            log_warn("%s: %s holds no counts; %s", dataset_path(s->dataset), counts.matrix,
                     dataset_recovery_text(s->dataset));
        m = recovered >= 0 ? recovered : m;
    }
    if (m < 0)
        FAIL(ERR_FEW_GENES, "no matrix with counts or log-normalised values: %s; add raw counts as layers/counts",
             dataset_model_matrix_reason(s->dataset));
    *matrix = m;
    return OK;
}
