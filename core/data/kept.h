/* Results of long stages in the cache folder, so that work that was stopped goes on where it was and the next run on the
 * same file need not repeat it. A result is a few arrays of bytes under a text that says everything it depends on but
 * the file itself: stage, parameters, seed. Its files are told by path, size, time and inode, as for copies by gene. */
#ifndef SCMM_DATA_KEPT_H
#define SCMM_DATA_KEPT_H
#include "core/data/dataset.h"

#define KEPT_SUFFIX ".stage"
enum { KEPT_PARTS = 8 }; /* most arrays of one result */

typedef struct KeptPart {
    void *data;
    size_t bytes;
} KeptPart;

/* The n arrays kept under `what` (caller frees each). ERR_NOT_FOUND when there are none, they are damaged, or the
 * dataset has no file; otherwise only cancellation and memory can fail. */
CHECKED Err kept_load(Dataset *d, const char *what, JobCtl *ctl, KeptPart *parts, size_t n);
/* Keeps copies. A cache that cannot be written is no failure: only cancellation is. */
CHECKED Err kept_save(Dataset *d, const char *what, JobCtl *ctl, const KeptPart *parts, size_t n);
/* Forgets what is kept under `what`. */
void kept_remove(Dataset *d, const char *what);
/* Seconds of work from which a result is worth keeping ($SCMMGPT_CACHE_AFTER, default 2). */
double kept_worth(void);
/* From now on nothing is kept and nothing is found: for measuring. */
void kept_off(void);
/* Path of the dataset that a kept file belongs to (caller frees); "" when it is none. */
char *kept_describe(const char *path);
#endif
