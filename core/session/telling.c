/* The decoder's stream passes through a job of its own, which compares, shows, and stops it. */
#include "core/session/telling.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"

typedef struct Watch {
    JobCtl job; /* what the decoder sees */
    JobCtl *outer;
    const char *facts;
    Str seen;
    size_t shown; /* bytes passed on, of all runs */
    bool left;    /* the text is not what the facts say */
} Watch;

static bool agrees(const Watch *w)
{
    size_t n = strlen(w->facts);
    return strncmp(str_text(&w->seen), w->facts, w->seen.len < n ? w->seen.len : n) == 0;
}

static void on_text(void *user, const char *utf8)
{
    Watch *w = user;
    str_add(&w->seen, utf8);
    if (w->facts && !agrees(w)) {
        w->left = true;
        atomic_store(&w->job.cancel, ERR_CANCELLED);
        return;
    }
    if (w->seen.len > w->shown) {
        job_text(w->outer, str_text(&w->seen) + w->shown);
        w->shown = w->seen.len;
    }
}

/* Progress, and a wish to stop, pass between the two jobs. */
static void on_progress(void *user, const char *stage, size_t done, size_t total)
{
    Watch *w = user;
    Err err = job_progress(w->outer, done);
    if (err != OK && !w->left)
        atomic_store(&w->job.cancel, (int)err);
}

static Err run(Watch *w, Model *m, const DescribeSpec *s, DescribeResult *out)
{
    str_clear(&w->seen);
    atomic_store(&w->job.cancel, 0);
    return model_describe(m, s, &w->job, out);
}

Err telling_write(Model *m, const DescribeSpec *s, const char *facts, JobCtl *ctl,
                  DescribeResult *out, bool *corrected)
{
    Watch w = {.job = {.on_text = on_text, .on_progress = on_progress},
               .outer = ctl,
               .facts = facts};
    DescribeResult r = {0};
    w.job.user = &w;
    job_stage(ctl, "describing", 0);
    Err err = run(&w, m, s, &r);
    /* one that ended too early has not said all that is known */
    bool again = err == OK && facts &&
                 (w.left || (!r.cancelled && strlen(r.text) < strlen(facts)));
    if (again) {
        DescribeSpec led = *s;
        led.begin = facts;
        w.facts = NULL;
        describe_result_done(&r);
        err = run(&w, m, &led, &r);
    }
    str_free(&w.seen);
    if (err != OK)
        return err;
    *corrected = again;
    *out = r;
    return OK;
}
