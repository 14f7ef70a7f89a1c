/* Processes that train one model together (mpirun -n N): each reads its own cells, gradients are
 * averaged. MPI is a plugin (core/train/mpi), so that the program runs where there is none. */
#ifndef SCMM_TRAIN_RANKS_H
#define SCMM_TRAIN_RANKS_H
#include "core/nn/params.h"
#include <stdint.h>

#define RANKS_ABI 1u
#define RANKS_PLUGIN "ranks_mpi.so"
#define RANKS_ENTRY "scmmgpt_ranks"
typedef struct RanksOps { /* what the plugin gives; false: failed */
    uint32_t abi;
    bool (*init)(int *rank, int *size);
    bool (*sum)(float *x, size_t n); /* over all processes, in place */
    void (*done)(void);
} RanksOps;
typedef const RanksOps *RanksEntry(void);

typedef struct Ranks {
    const RanksOps *ops; /* NULL: one process */
    int rank, size;
    float *room; /* all gradients */
} Ranks;
/* {NULL, 0, 1} unless a launcher (Open MPI, MPICH, Slurm) started several; then ERR_GENERAL without
 * the plugin. */
CHECKED Err ranks_open(Ranks *r);
void ranks_close(Ranks *r);
/* Gradients of all trainable parameters become their mean over the processes. */
CHECKED Err ranks_average_gradients(Ranks *r, ParamSet *ps);
/* The largest of what the processes say, told to all. */
CHECKED Err ranks_agree(const Ranks *r, Err mine, Err *all);
#endif
