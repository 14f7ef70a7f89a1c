/* See few_shot.h. */
#include "core/session/few_shot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

struct FewShot {
    Session *ref;
    Groups *groups;
    const ModelState *m; /* of ref */
};

Err few_shot_open(Session *s, const char *path, const char *key, JobCtl *ctl, FewShot **out)
{
    if (!key)
        FAIL(ERR_USAGE, "--few-shot-key: missing; it names the obs column of the reference with the labels");
    SessionParams p = s->params;
    p.dataset = (DatasetOptions){0};
    FewShot *f = mem_must(sizeof *f);
    ModelState *m;
    Err err = OK;
    TRY_GOTO(model_state(s, ctl, &m));
    TRY_GOTO(session_open(&p, path, ctl, &f->ref));
    model_state_share(s, f->ref);
    TRY_GOTO(session_groups(f->ref, key, ctl, &f->groups));
    TRY_GOTO(model_state_embedded(f->ref, ctl, &m));
    f->m = m;
    *out = f;
    return OK;
done:
    few_shot_close(f);
    return err_context(err, "%s", path);
}

void few_shot_close(FewShot *f)
{
    if (!f)
        return;
    groups_free(f->groups);
    session_close(f->ref);
    free(f);
}

const Groups *few_shot_labels(const FewShot *f)
{
    return f->groups;
}

/* Candidate of each reference group, -1. */
static Err match_groups(const FewShot *f, const ModelState *m, const Candidates *c, int32_t *of_group)
{
    for (size_t g = 0; g < f->groups->n_groups; g++) {
        of_group[g] = -1;
        for (size_t j = 0; j < c->n && of_group[g] < 0; j++)
            if (strcmp(c->labels[j], f->groups->names[g]) == 0)
                of_group[g] = (int32_t)j;
        int32_t type = of_group[g] < 0 ? label_find(m->labels, f->groups->names[g]) : -1;
        for (size_t j = 0; type >= 0 && j < c->n && of_group[g] < 0; j++)
            if (c->type[j] == type)
                of_group[g] = (int32_t)j;
    }
    return OK;
}

static float dot(const float *a, const float *b, size_t d)
{
    float s = 0;
    for (size_t i = 0; i < d; i++)
        s += a[i] * b[i];
    return s;
}

static void unit(float *v, size_t d)
{
    float n = sqrtf(dot(v, v, d));
    for (size_t i = 0; n > 0 && i < d; i++)
        v[i] /= n;
}

enum { BEST = 5 };

static void keep_best(float *best, float v)
{
    for (int i = 0; i < BEST; i++)
        if (v > best[i]) {
            float t = best[i];
            best[i] = v;
            v = t;
        }
}

static void score_cell(const FewShot *f, const int32_t *of_cell, const float *mean, const size_t *count, const float *x,
                       size_t d, size_t c, float *best, float *out)
{
    for (size_t j = 0; j < c * BEST; j++)
        best[j] = -2;
    for (size_t r = 0; r < f->m->n; r++)
        if (of_cell[r] >= 0)
            keep_best(best + (size_t)of_cell[r] * BEST, dot(x, f->m->x + r * d, d));
    for (size_t j = 0; j < c; j++) {
        float sum = 0;
        int k = 0;
        for (; k < BEST && best[j * BEST + (size_t)k] > -2; k++)
            sum += best[j * BEST + (size_t)k];
        out[j] = count[j] ? 0.5f * dot(x, mean + j * d, d) + 0.5f * sum / (float)k : NAN;
    }
}

Err few_shot_scores(const FewShot *f, const ModelState *m, const Candidates *c, JobCtl *ctl, float *out)
{
    size_t d = c->d, n_ref = f->m->n, *count = NULL;
    int32_t *of_group = NULL, *of_cell = NULL;
    float *mean = NULL, *best = NULL;
    Err err = OK;
    TRY_GOTO(NEW(of_group, f->groups->n_groups));
    TRY_GOTO(NEW(of_cell, n_ref));
    TRY_GOTO(NEW0(mean, c->n * d));
    TRY_GOTO(NEW0(count, c->n));
    TRY_GOTO(NEW(best, c->n * BEST));
    TRY_GOTO(match_groups(f, m, c, of_group));
    for (size_t r = 0; r < n_ref; r++) {
        int32_t g = f->groups->codes[r], j = g < 0 || f->m->empty[r] ? -1 : of_group[g];
        of_cell[r] = j;
        if (j < 0)
            continue;
        count[j]++;
        for (size_t k = 0; k < d; k++)
            mean[(size_t)j * d + k] += f->m->x[r * d + k];
    }
    for (size_t j = 0; j < c->n; j++)
        unit(mean + j * d, d);
    job_stage(ctl, "comparing with the reference", m->n);
    for (size_t i = 0; i < m->n; i++) {
        score_cell(f, of_cell, mean, count, m->x + i * d, d, c->n, best, out + i * c->n);
        TRY_GOTO(job_progress(ctl, i + 1));
    }
done:
    free(of_group);
    free(of_cell);
    free(mean);
    free(count);
    free(best);
    return err;
}
