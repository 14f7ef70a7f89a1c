/* Text to cell. */
#include "core/model/model_impl.h"

const Anchor *model_anchors(const Model *m, size_t *n)
{
    (void)m;
    *n = 0;
    return NULL;
}

Err model_anchor_weights(Model *m, const float *raw, float *weights)
{
    (void)raw;
    (void)weights;
    FAIL(ERR_MODEL, "%s: the model has no generator", m->desc.dir);
}

Err model_generate(Model *m, const GenerateSpec *s, JobCtl *ctl, Csr *counts, int32_t *anchor)
{
    (void)s;
    (void)ctl;
    (void)counts;
    (void)anchor;
    FAIL(ERR_MODEL, "%s: the model has no generator", m->desc.dir);
}
