/* The compute worker: one thread, a list of waiting jobs, a list of events for the UI thread. */
#include "core/base/job.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

typedef struct Job {
    struct Job *next;
    unsigned id;
    JobSpec spec;
    char name[96];
    JobCtl ctl;
    double started;
    bool running;
} Job;

typedef struct Event { /* text when `text` is set, else the end of the job */
    struct Event *next;
    Job *job;
    char *text;
    Err err;
    char *message;
} Event;

struct JobQueue {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    Job *waiting, *running; /* running: innermost first, linked by next */
    Event *events, **events_end;
    int pipe[2];
    unsigned next_id;
    bool stop;
};

void job_stage(JobCtl *ctl, const char *stage, size_t total)
{
    if (!ctl)
        return;
    atomic_store(&ctl->stage, stage);
    atomic_store(&ctl->total, total);
    atomic_store(&ctl->done, 0);
    if (ctl->on_progress)
        ctl->on_progress(ctl->user, stage, 0, total);
}

Err job_look(JobCtl *ctl)
{
    return job_progress(ctl, ctl ? atomic_load(&ctl->done) : 0);
}

bool job_cancelled(const JobCtl *ctl)
{
    return ctl && atomic_load(&((JobCtl *)ctl)->cancel) != 0;
}

static void run_inside(JobQueue *q, bool beside_too);

static Err progress(JobCtl *ctl, size_t done, bool yields)
{
    if (!ctl)
        return OK;
    atomic_store(&ctl->done, done);
    const char *stage = atomic_load(&ctl->stage);
    if (ctl->on_progress)
        ctl->on_progress(ctl->user, stage ? stage : "starting", done, atomic_load(&ctl->total));
    if (ctl->queue)
        run_inside(ctl->queue, yields);
    int why = atomic_load(&ctl->cancel);
    if (why)
        FAIL((Err)why, why == ERR_TERMINATED ? "terminated" : "cancelled");
    return mem_check_use();
}

Err job_progress(JobCtl *ctl, size_t done)
{
    return progress(ctl, done, false);
}

Err job_yield(JobCtl *ctl, size_t done)
{
    return progress(ctl, done, true);
}

void job_text(JobCtl *ctl, const char *utf8)
{
    if (ctl && ctl->on_text)
        ctl->on_text(ctl->user, utf8);
}

/* Called with the lock held. */
static void post(JobQueue *q, Event *e)
{
    *q->events_end = e;
    q->events_end = &e->next;
    char byte = 1;
    ssize_t ignored = write(q->pipe[1], &byte, 1); /* a full pipe already wakes the reader */
    (void)ignored;
}

static void worker_text(void *user, const char *utf8)
{
    Job *job = user;
    if (!job->spec.text)
        return;
    JobQueue *q = job->ctl.queue;
    Event *e = mem_must(sizeof *e);
    e->job = job;
    e->text = mem_strdup(utf8);
    pthread_mutex_lock(&q->lock);
    post(q, e);
    pthread_mutex_unlock(&q->lock);
}

typedef enum Which { WHICH_ALL, WHICH_BESIDE, WHICH_INTERACTIVE } Which;

/* Takes the first waiting job, interactive ones before others, and marks it running; lock held. */
static Job *take(JobQueue *q, Which which)
{
    Job **best = NULL;
    for (Job **p = &q->waiting; *p; p = &(*p)->next) {
        if ((*p)->spec.interactive) {
            best = p;
            break;
        }
        if (!best && (which == WHICH_ALL || (which == WHICH_BESIDE && (*p)->spec.beside)))
            best = p;
    }
    if (!best)
        return NULL;
    Job *job = *best;
    *best = job->next;
    job->next = q->running;
    q->running = job;
    job->running = true;
    job->started = clock_seconds();
    return job;
}

static void run_job(JobQueue *q, Job *job)
{
    int why = atomic_load(&job->ctl.cancel);
    Err err = why ? err_set((Err)why, "cancelled") : job->spec.run(&job->ctl, job->spec.arg);
    Event *e = mem_must(sizeof *e);
    e->job = job;
    e->err = err;
    e->message = mem_strdup(err ? err_message() : "");
    pthread_mutex_lock(&q->lock);
    assert(q->running == job);
    q->running = job->next;
    job->running = false;
    post(q, e);
    pthread_mutex_unlock(&q->lock);
}

/* An interactive job has none inside it. */
static void run_inside(JobQueue *q, bool beside_too)
{
    for (;;) {
        pthread_mutex_lock(&q->lock);
        bool nested = q->running && q->running->next, leaf = q->running && q->running->spec.interactive;
        Job *job = leaf ? NULL : take(q, beside_too && !nested ? WHICH_BESIDE : WHICH_INTERACTIVE);
        pthread_mutex_unlock(&q->lock);
        if (!job)
            return;
        run_job(q, job);
    }
}

static void *worker(void *arg)
{
    JobQueue *q = arg;
    sigset_t all;
    sigfillset(&all); /* signals belong to the UI thread */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        pthread_mutex_lock(&q->lock);
        Job *job;
        while (!(job = take(q, WHICH_ALL)) && !q->stop)
            pthread_cond_wait(&q->wake, &q->lock);
        pthread_mutex_unlock(&q->lock);
        if (!job)
            return NULL;
        run_job(q, job);
    }
}

JobQueue *job_queue_new(void)
{
    JobQueue *q = mem_must(sizeof *q);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->wake, NULL);
    q->events_end = &q->events;
    int failed = pipe2(q->pipe, O_NONBLOCK | O_CLOEXEC);
    assert(!failed);
    failed = pthread_create(&q->thread, NULL, worker, q);
    assert(!failed);
    (void)failed;
    return q;
}

void job_queue_free(JobQueue *q)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    for (Job *j = q->waiting; j; j = j->next)
        atomic_store(&j->ctl.cancel, ERR_CANCELLED);
    for (Job *j = q->running; j; j = j->next)
        atomic_store(&j->ctl.cancel, ERR_CANCELLED);
    pthread_cond_broadcast(&q->wake);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    job_queue_poll(q);
    close(q->pipe[0]);
    close(q->pipe[1]);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->wake);
    free(q);
}

unsigned job_queue_submit(JobQueue *q, const JobSpec *spec)
{
    Job *job = mem_must(sizeof *job);
    job->spec = *spec;
    snprintf(job->name, sizeof job->name, "%s", spec->name);
    job->ctl.queue = q;
    job->ctl.user = job;
    job->ctl.on_text = worker_text;
    atomic_store(&job->ctl.stage, "");
    pthread_mutex_lock(&q->lock);
    unsigned id = job->id = ++q->next_id;
    Job **end = &q->waiting;
    while (*end)
        end = &(*end)->next;
    *end = job;
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
    return id;
}

void job_queue_cancel(JobQueue *q, unsigned id, Err why)
{
    pthread_mutex_lock(&q->lock);
    Job *lists[2] = {q->running, q->waiting};
    for (int l = 0; l < 2; l++)
        for (Job *j = lists[l]; j; j = j->next)
            if (j->id == id || (id == 0 && j == q->running))
                atomic_store(&j->ctl.cancel, (int)why);
    pthread_mutex_unlock(&q->lock);
}

size_t job_queue_poll(JobQueue *q)
{
    pthread_mutex_lock(&q->lock);
    Event *e = q->events;
    size_t n = 0;
    for (Event *i = e; i; i = i->next)
        n++;
    for (size_t left = n; left > 0;) {
        char sink[64]; /* as many bytes as events, so that read() never waits */
        ssize_t got = read(q->pipe[0], sink, left < sizeof sink ? left : sizeof sink);
        if (got <= 0)
            break;
        left -= (size_t)got;
    }
    q->events = NULL;
    q->events_end = &q->events;
    pthread_mutex_unlock(&q->lock);
    while (e) {
        Event *next = e->next;
        if (e->text) {
            e->job->spec.text(e->text, e->job->spec.arg);
        } else {
            err_restore(e->message);
            e->job->spec.done(e->err, e->message, e->job->spec.arg);
            free(e->job);
        }
        free(e->text);
        free(e->message);
        free(e);
        e = next;
    }
    return n;
}

int job_queue_fd(const JobQueue *q)
{
    return q->pipe[0];
}

size_t job_queue_list(JobQueue *q, JobInfo *out, size_t cap)
{
    size_t n = 0;
    double t = clock_seconds();
    pthread_mutex_lock(&q->lock);
    Job *lists[2] = {q->running, q->waiting};
    for (int l = 0; l < 2; l++)
        for (Job *j = lists[l]; j; j = j->next, n++)
            if (n < cap) {
                out[n] = (JobInfo){.id = j->id,
                                   .stage = atomic_load(&j->ctl.stage),
                                   .done = atomic_load(&j->ctl.done),
                                   .total = atomic_load(&j->ctl.total),
                                   .seconds = j->running ? t - j->started : 0,
                                   .running = j->running};
                memcpy(out[n].name, j->name, sizeof out[n].name);
            }
    pthread_mutex_unlock(&q->lock);
    return n;
}
