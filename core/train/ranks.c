/* Gradients of several processes. All are summed in one message: latency, not size, is what costs
 * for small models. */
#include "core/train/ranks.h"
#include "core/base/mem.h"
#include "core/base/plugin.h"
#include <stdio.h>
#include <stdlib.h>

/* How many processes a launcher started; 1 without one. */
static int launched(void)
{
    static const char *const NAMES[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const char *v = getenv(NAMES[i]);
        if (v && atoi(v) > 1)
            return atoi(v);
    }
    return 1;
}

Err ranks_open(Ranks *r)
{
    *r = (Ranks){.size = 1};
    if (launched() == 1)
        return OK;
    char path[4096];
    const char *why;
    void *entry = plugin_load(RANKS_PLUGIN, RANKS_ENTRY, path, sizeof path, &why);
    if (!entry)
        FAIL(ERR_GENERAL,
             "%d processes were started, but " RANKS_PLUGIN
             " cannot be used: %s; run make where mpicc is found (Debian: libopenmpi-dev)",
             launched(), why);
    RanksEntry *get;
    *(void **)&get = entry;
    const RanksOps *ops = get();
    if (ops->abi != RANKS_ABI)
        FAIL(ERR_GENERAL, "%s: is of another version; run make again", path);
    if (!ops->init(&r->rank, &r->size))
        FAIL(ERR_GENERAL, "MPI does not start");
    r->ops = ops;
    return OK;
}

void ranks_close(Ranks *r)
{
    if (r->ops)
        r->ops->done();
    free(r->room);
    *r = (Ranks){.size = 1};
}

Err ranks_average_gradients(Ranks *r, ParamSet *ps)
{
    if (!r->ops)
        return OK;
    size_t n = (size_t)params_elements(ps, true), at = 0;
    TRY(mem_realloc(&r->room, n, sizeof *r->room));
    for (size_t i = 0; i < params_count(ps); i++) {
        const Param *p = params_at(ps, i);
        if (!p->trainable)
            continue;
        TRY(param_read_grad(ps, p, r->room + at));
        at += (size_t)tensor_size(&p->t);
    }
    if (!r->ops->sum(r->room, n))
        FAIL(ERR_GENERAL, "MPI: gradients could not be summed");
    for (size_t i = 0; i < n; i++)
        r->room[i] /= (float)r->size;
    at = 0;
    for (size_t i = 0; i < params_count(ps); i++) {
        Param *p = params_at(ps, i);
        if (!p->trainable)
            continue;
        TRY(param_write_grad(ps, p, r->room + at));
        at += (size_t)tensor_size(&p->t);
    }
    return OK;
}

Err ranks_agree(const Ranks *r, Err mine, Err *all)
{
    *all = mine;
    if (!r->ops)
        return OK;
    float say[3] = {mine == ERR_CANCELLED, mine == ERR_TERMINATED, mine != OK};
    if (!r->ops->sum(say, 3))
        FAIL(ERR_GENERAL, "MPI: the processes do not answer");
    *all = say[1] > 0 ? ERR_TERMINATED : say[0] > 0 ? ERR_CANCELLED : say[2] > 0 ? ERR_GENERAL : OK;
    return OK;
}
