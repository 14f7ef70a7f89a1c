/* Files that appear whole or not at all: a temporary file beside the target, fsync, rename. */
#ifndef SCMM_DATA_OUTFILE_H
#define SCMM_DATA_OUTFILE_H
#include "core/base/err.h"
#include <stdbool.h>

typedef struct OutFile {
    char *target; /* symbolic links resolved */
    char *temp;   /* exists and is empty after outfile_begin */
    bool force;
} OutFile;

/* Fails with ERR_GENERAL when the target exists and force is false, is no regular file, or its
 * folder cannot be written. */
CHECKED Err outfile_begin(const char *path, bool force, OutFile *out);
/* fsync, then rename over the target. Releases *o in any case; on failure the temporary file is
 * gone. */
CHECKED Err outfile_commit(OutFile *o);
/* Removes the temporary file; a zeroed or finished OutFile is fine. */
void outfile_abort(OutFile *o);
#endif
