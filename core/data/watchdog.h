/* Runs something in a child process first, because libhdf5 loops for ever or crashes on some
 * damaged files. */
#ifndef SCMM_DATA_WATCHDOG_H
#define SCMM_DATA_WATCHDOG_H
#include "core/base/err.h"
#include "core/base/job.h"

/* fn(arg) in a child with a limit of processor time. Returns what it returns, with its message; a
 * child that crashes or computes without end gives ERR_INPUT; one that sleeps for ever (a lock that
 * another thread held when it was made) gives OK, since that is not the file's fault. Nothing the
 * child computes is kept. A few milliseconds. */
CHECKED Err watchdog_run(Err (*fn)(void *), void *arg, JobCtl *ctl);

/* Around one call of libhdf5 that no rehearsal could cover (values deep inside a large file): when this thread computes
 * for `seconds` between the two, which no honest call needs, it gets SIGBUS, as if the call had crashed. The command line
 * and the explorer then say so and end. */
enum { WATCHDOG_CALL = 60 };
void watchdog_begin(unsigned seconds);
void watchdog_end(void);
#endif
