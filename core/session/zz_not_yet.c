/* Until their modules arrive: session functions that this program does not have yet say so. Weak, so that each gives
 * way to the real one as soon as it is linked. */
#include "core/session/session.h"

#include <stdlib.h>

#define WEAK __attribute__((weak))
#define NOT_YET FAIL(ERR_GENERAL, "this build of the program cannot do that yet")

WEAK DescribeParams describe_params_default(void)
{
    return (DescribeParams){.decoding = DECODE_GREEDY};
}
WEAK void description_free(Description *d)
{
    free(d);
}
WEAK void generated_free(Generated *g)
{
    free(g);
}
WEAK Err session_describe_cell(Session *s, size_t cell, const DescribeParams *p, JobCtl *ctl, Description **out)
{
    NOT_YET;
}
WEAK Err session_describe_set(Session *s, const Selection *cells, const char *name, const DescribeParams *p, JobCtl *ctl,
                              Description **out)
{
    NOT_YET;
}
WEAK Err session_generate(Session *s, const GenerateParams *p, const Map *map, JobCtl *ctl, Generated **out)
{
    NOT_YET;
}
