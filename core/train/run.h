/* A training run: configuration, folders, log, checkpoints. Shared by the stages. */
#ifndef SCMM_TRAIN_RUN_H
#define SCMM_TRAIN_RUN_H
#include "core/model/bundle.h"
#include "core/model/library.h"
#include "core/nn/adamw.h"
#include "core/train/corpus.h"
#include "core/train/ranks.h"
#include "core/train/train.h"
#include <stdio.h>

typedef struct Run {
    const TrainParams *p;
    JobCtl *ctl;
    cJSON *config;
    char *text; /* the configuration file as read */
    char *out;  /* output folder */
    Device *device;
    CellTypes *types;
    TextTower *tower;
    TextCache *cache;
    Library *library;
    Corpus *corpus;
    const char *data_identity; /* of data outside the corpus, for checkpoints; NULL */
    Ranks ranks;
    bool stopped; /* all processes know that they stop */
    FILE *log;    /* NULL but in the first process */
    double started;
} Run;

/* Numbers and texts of the configuration with defaults; ERR_USAGE names what is out of range. */
CHECKED Err run_number(const Run *r, const char *key, double lo, double hi, double *value);
CHECKED Err run_text(const Run *r, const char *key, const char **value);
AdamwParams run_adamw(const Run *r, int64_t steps, AdamwParams defaults);
char *run_path(const Run *r, const char *name); /* OUT/name; caller frees */

/* The first process writes what is written. */
bool run_leads(const Run *r);
/* A number that differs between processes and is 0 in the first: added to seeds of what each draws
 * by itself. */
uint64_t run_own_seed(const Run *r);
/* Averages the gradients over the processes, then adamw_step(). */
CHECKED Err run_update(Run *r, ParamSet *ps, const AdamwParams *a, int64_t step, double *norm);
/* After a step: *stop says why all processes must stop now; OK: they go on. */
CHECKED Err run_progress(Run *r, int64_t step, Err *stop);

/* log.tsv: header once, then a line a call. columns: names of the values. */
CHECKED Err run_log_open(Run *r, const char *name, const char *const *columns, size_t n,
                         bool append);
void run_log(Run *r, int64_t member, int64_t step, double lr, double per_second,
             const double *values, size_t n);

/* Checkpoints: OUT/checkpoint/{NAME.safetensors, NAME.json}. state is stored as JSON and compared
 * on resume: configuration hash and data hashes must agree. */
CHECKED Err run_checkpoint_save(Run *r, const char *name, ParamSet *ps, cJSON *state);
/* *state NULL when there is none. */
CHECKED Err run_checkpoint_load(Run *r, const char *name, ParamSet *ps, cJSON **state);
void run_checkpoint_drop(Run *r, const char *name);

CHECKED Err train_pretrain(Run *r);
CHECKED Err train_stage1(Run *r);
CHECKED Err train_generator(Run *r);
CHECKED Err train_decoder(Run *r);
#endif
