/* See fd.h. */
#include "core/base/fd.h"

#include <errno.h>
#include <unistd.h>

bool fd_read_at(int fd, void *out, size_t n, uint64_t at)
{
    for (char *p = out; n;) {
        ssize_t got = pread(fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
        at += (uint64_t)got;
    }
    return true;
}
