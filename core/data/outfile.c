/* Temporary file, fsync, rename. */
#include "core/data/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/leftover.h"
#include "core/base/mem.h"
#include "core/base/str.h"

static Err check_target(const char *path, bool force)
{
    struct stat st;
    if (lstat(path, &st))
        return OK;
    if (stat(path, &st))
        return OK; /* a dangling link: its target will be made */
    if (S_ISDIR(st.st_mode))
        FAIL(ERR_GENERAL, "%s: is a folder; name a file", path);
    if (!S_ISREG(st.st_mode))
        FAIL(ERR_GENERAL, "%s: is no regular file; name another one", path);
    if (!force)
        FAIL(ERR_GENERAL, "%s: exists already; --force overwrites it", path);
    return OK;
}

Err outfile_begin(const char *path, bool force, OutFile *out)
{
    TRY(check_target(path, force));
    OutFile o = {.force = force};
    char *real = realpath(path, NULL);
    o.target = real ? real : mem_strdup(path);
    const char *slash = strrchr(o.target, '/');
    size_t folder = slash ? (size_t)(slash - o.target) + 1 : 0;
    o.temp = str_format("%.*s.%.100s.XXXXXX", (int)folder, o.target, o.target + folder);
    int fd = mkstemp(o.temp);
    if (fd < 0) {
        err_set(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
        free(o.temp);
        free(o.target);
        return ERR_GENERAL;
    }
    leftover_add(o.temp);
    mode_t mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    close(fd);
    *out = o;
    return OK;
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int status = fsync(fd);
    int why = errno;
    close(fd);
    errno = why;
    return status;
}

static void sync_folder(const char *file)
{
    char *folder = mem_strdup(file), *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    int ignored =
        sync_path(slash ? folder : ".", O_RDONLY | O_DIRECTORY); /* not all file systems can */
    (void)ignored;
    free(folder);
}

Err outfile_commit(OutFile *o)
{
    Err err = OK;
    int status = sync_path(o->temp, O_RDONLY);
    if (status == 0) {
        unsigned flags = o->force ? 0 : RENAME_NOREPLACE;
        status = renameat2(AT_FDCWD, o->temp, AT_FDCWD, o->target, flags);
        if (status && errno == EINVAL) /* a file system without the flag */
            status = rename(o->temp, o->target);
    }
    if (status)
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", o->target, strerror(errno));
    else
        sync_folder(o->target);
    if (status == 0) {
        leftover_forget(o->temp);
        free(o->temp);
        o->temp = NULL;
    }
    outfile_abort(o);
    return err;
}

void outfile_abort(OutFile *o)
{
    if (o->temp) {
        unlink(o->temp);
        leftover_forget(o->temp);
    }
    free(o->temp);
    free(o->target);
    *o = (OutFile){0};
}
