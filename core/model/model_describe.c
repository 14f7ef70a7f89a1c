/* Cell to text. */
#include "core/base/mem.h"
#include "core/model/model_impl.h"

Err model_describe(Model *m, const DescribeSpec *s, JobCtl *ctl, DescribeResult *out)
{
    (void)s;
    (void)ctl;
    (void)out;
    FAIL(ERR_MODEL, "%s: the model has no decoder", m->desc.dir);
}

void describe_result_done(DescribeResult *r)
{
    free(r->text);
    free(r->genes);
    *r = (DescribeResult){0};
}
