/* Training from a configuration file. Stages: "pretrain" (the scGPT encoder alone, on cells without
 * labels), "1" (cells and texts into one space: scGPT encoder,
 * Q-Former, heads), "generator" (text to cell), "2" (cell to text). Each writes its part of a model
 * bundle into the output folder, with log.tsv beside it; a run that was stopped goes on from its
 * checkpoint as if nothing had happened. */
#ifndef SCMM_TRAIN_TRAIN_H
#define SCMM_TRAIN_TRAIN_H
#include "core/base/job.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct TrainParams {
    const char *config; /* path of the JSON file */
    const char *data;   /* folder of the data files; NULL: the configuration's "data" */
    const char *output; /* NULL: the configuration's "output" */
    const char *resume; /* folder of an earlier run with the same configuration; NULL */
    const char *device; /* as device_open() */
    bool force;         /* overwrite the output folder's files */
} TrainParams;

/* Cancelled through ctl (SIGTERM: ERR_TERMINATED) it writes a checkpoint first and returns that
 * Err. ERR_USAGE for a configuration that makes no sense, ERR_INPUT for data files, ERR_MODEL for a
 * checkpoint that does not fit. */
CHECKED Err train_run(const TrainParams *p, JobCtl *ctl);
#endif
