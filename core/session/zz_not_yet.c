/* Until their modules arrive: session functions that this program does not have yet say so. Weak, so that each gives
 * way to the real one as soon as it is linked. */
#include "core/session/session.h"

#include <stdlib.h>

#define WEAK __attribute__((weak))
#define NOT_YET FAIL(ERR_GENERAL, "this build of the program cannot do that yet")

WEAK AnnotateParams annotate_params_default(void)
{
    return (AnnotateParams){.evidence = 1};
}
WEAK DescribeParams describe_params_default(void)
{
    return (DescribeParams){.decoding = DECODE_GREEDY};
}
WEAK void annotation_free(Annotation *a)
{
    free(a);
}
WEAK void description_free(Description *d)
{
    free(d);
}
WEAK void query_result_free(QueryResult *q)
{
    free(q);
}
WEAK void generated_free(Generated *g)
{
    free(g);
}
WEAK Err session_load_model(Session *s, JobCtl *ctl)
{
    NOT_YET;
}
WEAK const ModelInfo *session_model(const Session *s)
{
    return NULL;
}
WEAK Err session_embed(Session *s, JobCtl *ctl)
{
    NOT_YET;
}
WEAK Err session_annotate(Session *s, const AnnotateParams *p, const Groups *groups, JobCtl *ctl, Annotation **out)
{
    NOT_YET;
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
WEAK Err session_query(Session *s, const char *text, JobCtl *ctl, QueryResult **out)
{
    NOT_YET;
}
WEAK Err session_generate(Session *s, const GenerateParams *p, const Map *map, JobCtl *ctl, Generated **out)
{
    NOT_YET;
}
