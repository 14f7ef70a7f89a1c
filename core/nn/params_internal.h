/* The inside of a ParamSet, for the optimiser. */
#ifndef SCMM_NN_PARAMS_INTERNAL_H
#define SCMM_NN_PARAMS_INTERNAL_H
#include "core/base/hash.h"
#include "core/nn/params.h"

struct ParamSet {
    Device *d;
    Param **param;
    size_t count, cap;
    StrMap *names;
    double *acc; /* one number on the device, for norms */
    bool blank;  /* values come later: not zeroed */
};
/* Drops what was prepared from the old values. */
void param_changed(ParamSet *ps, Param *p);
#endif
