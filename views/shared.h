/* A counted reference to a result. Panes show a result while a job on the worker reads it; it is
 * freed when the last of them lets go. Counts change on the UI thread alone (a job is submitted and
 * ends there), so no lock is needed. */
#ifndef SCMM_VIEWS_SHARED_H
#define SCMM_VIEWS_SHARED_H
#include "core/base/mem.h"

typedef struct Shared {
    void *p;
    void (*free_p)(void *);
    int refs;
} Shared;

static inline Shared *shared_new(void *take, void (*free_p)(void *))
{
    Shared *s = mem_must(sizeof *s);
    *s = (Shared){take, free_p, 1};
    return s;
}
static inline Shared *shared_hold(Shared *s)
{
    if (s)
        s->refs++;
    return s;
}
static inline void shared_drop(Shared **s)
{
    if (*s && --(*s)->refs == 0) {
        (*s)->free_p((*s)->p);
        free(*s);
    }
    *s = NULL;
}
/* Lets go of *slot and puts `take` there. */
static inline void shared_set(Shared **slot, Shared *take)
{
    shared_drop(slot);
    *slot = take;
}
static inline void *shared_get(const Shared *s)
{
    return s ? s->p : NULL;
}
#endif
