/* The cache folder ($XDG_CACHE_HOME/scmmgpt, ~/.cache/scmmgpt): files that can be made again, kept
 * below a size. */
#ifndef SCMM_DATA_CACHE_H
#define SCMM_DATA_CACHE_H
#include "core/base/err.h"
#include "core/base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Vectors of texts that a model read (core/model/library_kept.h). */
#define CACHE_TEXTS_SUFFIX ".texts"

/* The folder, made when `create`; ERR_GENERAL when there is no place for it. */
CHECKED Err cache_folder(bool create, Str *out);

/* A text that changes when the file at `path` does: its real path (also into real[1024]), size, time and inode.
 * ERR_GENERAL when it is no regular file. */
CHECKED Err cache_file_identity(const char *path, Str *out, char real[1024]);

typedef struct CacheEntry {
    char *name; /* in the folder */
    char *what; /* the dataset it belongs to; "" when unknown */
    uint64_t bytes;
    time_t used;
    bool forgotten; /* the unfinished file of a run that was killed; goes when room is made */
} CacheEntry;
/* Most recently used first; cache_entries_free. No folder: n = 0. */
CHECKED Err cache_list(CacheEntry **out, size_t *n);
void cache_entries_free(CacheEntry *e, size_t n);
/* Removes all entries; *bytes says how much that was. Only files that this program made are
 * touched. */
CHECKED Err cache_clear(uint64_t *bytes);
/* Room for a new file: removes entries unused for longest until the total stays below the cap
 * ($SCMMGPT_CACHE_MAX in bytes, default 64 GB). ERR_GENERAL when the file alone is above it, or the
 * disk lacks the space. */
CHECKED Err cache_make_room(uint64_t bytes);
#endif
