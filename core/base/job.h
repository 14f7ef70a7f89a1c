/* Long work: progress, cancellation, streamed text, and one compute worker.
 * A function that may take more than 50 ms takes a JobCtl * (NULL: nobody watches) and calls job_progress()
 * at least every 100 ms. The worker runs jobs in order; short interactive jobs run *inside* job_progress()
 * of a long one, so that asking never waits for embedding. */
#ifndef SCMM_BASE_JOB_H
#define SCMM_BASE_JOB_H
#include "core/base/err.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct JobQueue JobQueue;

typedef struct JobCtl {
    atomic_int cancel;       /* set to an Err (ERR_CANCELLED, ERR_TERMINATED) to stop the work */
    atomic_size_t done, total; /* of the stage; total 0 = unknown */
    _Atomic(const char *) stage; /* static string */
    /* Optional, called on the working thread. */
    void (*on_progress)(void *user, const char *stage, size_t done, size_t total);
    void (*on_text)(void *user, const char *utf8); /* a piece of streamed text, whole characters */
    void *user;
    JobQueue *queue; /* set by the queue */
} JobCtl;

/* Names the stage ("neighbours") and its size; `stage` must be a string literal. NULL ctl ok in all. */
void job_stage(JobCtl *ctl, const char *stage, size_t total);
/* Reports `done` of the stage; fails with ERR_CANCELLED/ERR_TERMINATED when the work must stop, with
 * ERR_NOMEM when the process has gone beyond --max-memory. */
CHECKED Err job_progress(JobCtl *ctl, size_t done);
/* The same without a new number: for work whose share of the stage is not known. */
CHECKED Err job_look(JobCtl *ctl);
/* The same between two steps that leave everything in order: jobs marked `beside` run here too. */
CHECKED Err job_yield(JobCtl *ctl, size_t done);
/* Cancel test without progress; cheap, callable from inside OpenMP regions. */
bool job_cancelled(const JobCtl *ctl);
void job_text(JobCtl *ctl, const char *utf8);

/* ---- the worker ---- */
typedef Err JobRun(JobCtl *ctl, void *arg);                        /* worker thread */
typedef void JobDone(Err err, const char *message, void *arg);     /* UI thread, from job_queue_poll */
typedef void JobText(const char *utf8, void *arg);                 /* UI thread, from job_queue_poll */

typedef struct JobSpec {
    const char *name;   /* copied; shown in the jobs pane */
    bool interactive;   /* short: may run inside a long job's progress points */
    bool beside;        /* shares nothing with the jobs that call job_yield(): may run there */
    JobRun *run;
    JobDone *done;      /* always called once, also when cancelled before the start */
    JobText *text;      /* NULL: streamed text is dropped */
    void *arg;          /* owned by the caller until `done` */
} JobSpec;

typedef struct JobInfo {
    unsigned id;
    char name[96];
    const char *stage;
    size_t done, total;
    double seconds;     /* since it started; 0 while it waits */
    bool running;
} JobInfo;

JobQueue *job_queue_new(void);
/* Cancels everything, waits for the worker, delivers the last `done` calls. */
void job_queue_free(JobQueue *q);
unsigned job_queue_submit(JobQueue *q, const JobSpec *spec); /* returns the job's id (> 0) */
void job_queue_cancel(JobQueue *q, unsigned id, Err why);    /* 0: the running one */
/* Delivers finished jobs and text on the calling (UI) thread; returns how many events. */
size_t job_queue_poll(JobQueue *q);
/* Becomes readable when job_queue_poll has something to deliver. */
int job_queue_fd(const JobQueue *q);
/* Up to `cap` jobs, running first; returns how many there are. */
size_t job_queue_list(JobQueue *q, JobInfo *out, size_t cap);
#endif
