/* A few fixed places, since a signal handler can neither allocate nor wait for a lock. */
#include "core/base/leftover.h"

#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { PLACES = 16 };
enum { EMPTY, CHANGING, NAMED };

static struct Place {
    atomic_int state;
    char path[PATH_MAX];
} places[PLACES];

static int exchange(struct Place *p, int from, int to)
{
    return atomic_compare_exchange_strong(&p->state, &from, to);
}

void leftover_add(const char *path)
{
    size_t n = strlen(path) + 1;
    for (int i = 0; n <= PATH_MAX && i < PLACES; i++)
        if (exchange(&places[i], EMPTY, CHANGING)) {
            memcpy(places[i].path, path, n);
            atomic_store(&places[i].state, NAMED);
            return;
        }
}

void leftover_forget(const char *path)
{
    for (int i = 0; i < PLACES; i++)
        if (atomic_load(&places[i].state) == NAMED && strcmp(places[i].path, path) == 0)
            atomic_store(&places[i].state, EMPTY);
}

void leftover_remove_all(void)
{
    for (int i = 0; i < PLACES; i++)
        if (atomic_load(&places[i].state) == NAMED)
            unlink(places[i].path);
}
