/* Files that must not stay when the process is ended in the middle of its work: temporary ones beside an output or in the
 * cache. Whoever makes one says so here; a signal handler may then remove them all before it ends the process. */
#ifndef SCMM_BASE_LEFTOVER_H
#define SCMM_BASE_LEFTOVER_H

/* Copies the path. Any thread; when all places are taken the file is simply not removed. */
void leftover_add(const char *path);
/* The file has got its name, or is gone. */
void leftover_forget(const char *path);
/* Removes them; async-signal-safe. */
void leftover_remove_all(void);
#endif
