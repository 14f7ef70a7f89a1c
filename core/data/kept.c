/* The file: a header with the key and the sizes, then the arrays. It appears whole (rename), and a sum over its words is
 * compared when it is read. */
#include "core/data/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/leftover.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/cache.h"
#include "core/data/dataset_impl.h"

static const char magic[16] = "scmmgpt stage 1";
enum { STEP = 4 << 20 }; /* bytes between two looks at the clock */

typedef struct Header {
    char magic[16];
    char key[64];
    uint64_t n, bytes[KEPT_PARTS], sum;
    char path[1024]; /* of the dataset, for people */
} Header;

static atomic_bool off;

void kept_off(void)
{
    atomic_store(&off, true);
}

double kept_worth(void)
{
    const char *text = getenv("SCMMGPT_CACHE_AFTER");
    return text && *text ? strtod(text, NULL) : 2;
}

/* The key of `what` and where it is kept. */
static Err place_of(Dataset *d, const char *what, bool create, Header *h, Str *path)
{
    Str text = {0};
    TRY(dataset_identity(d, &text, h->path));
    char hex[65];
    str_addf(&text, "\n%s", what);
    hash_sha256(text.data, text.len, hex);
    memcpy(h->key, hex, sizeof h->key);
    memcpy(h->magic, magic, sizeof magic);
    str_free(&text);
    TRY(cache_folder(create, path));
    str_addf(path, "/%.40s" KEPT_SUFFIX, hex);
    return OK;
}

/* Order matters: a shifted or swapped block gives another sum. */
static uint64_t add_words(uint64_t sum, const void *data, size_t bytes)
{
    const char *p = data;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p + i, bytes - i < 8 ? bytes - i : 8);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 29;
    }
    return sum;
}

/* ---- reading ---- */

static bool read_whole(int fd, void *out, size_t n)
{
    for (char *p = out; n;) {
        ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

static Err damaged(const char *path)
{
    unlink(path);
    return err_set(ERR_NOT_FOUND, "%s: was damaged; it is made again", path);
}

static Err read_part(int fd, const char *path, size_t bytes, JobCtl *ctl, KeptPart *part, uint64_t *sum)
{
    char *data;
    TRY(NEW(data, bytes));
    *part = (KeptPart){data, bytes};
    for (size_t at = 0; at < bytes; at += STEP) {
        size_t n = bytes - at < STEP ? bytes - at : STEP;
        if (!read_whole(fd, data + at, n))
            return damaged(path);
        *sum = add_words(*sum, data + at, n);
        TRY(job_look(ctl));
    }
    return OK;
}

static bool good_header(const Header *h, const Header *want, size_t n, uint64_t size)
{
    if (memcmp(h->magic, want->magic, sizeof h->magic) != 0 || memcmp(h->key, want->key, sizeof h->key) != 0 ||
        h->n != n)
        return false;
    uint64_t left = size - sizeof *h;
    for (size_t i = 0; i < n; i++) {
        if (h->bytes[i] > left)
            return false;
        left -= h->bytes[i];
    }
    return left == 0;
}

Err kept_load(Dataset *d, const char *what, JobCtl *ctl, KeptPart *parts, size_t n)
{
    Header h, want = {.n = n};
    Str path = {0};
    struct stat st;
    uint64_t sum = 0;
    Err err = OK;
    memset(parts, 0, n * sizeof *parts);
    int fd = atomic_load(&off) || place_of(d, what, false, &want, &path)
                 ? -1
                 : open(str_text(&path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        FAIL_GOTO(ERR_NOT_FOUND, "nothing is kept of this stage");
    if (fstat(fd, &st) || (uint64_t)st.st_size < sizeof h || !read_whole(fd, &h, sizeof h) ||
        !good_header(&h, &want, n, (uint64_t)st.st_size)) {
        err = damaged(str_text(&path));
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        TRY_GOTO(read_part(fd, str_text(&path), (size_t)h.bytes[i], ctl, &parts[i], &sum));
    if (sum != h.sum)
        err = damaged(str_text(&path));
    else
        utimensat(AT_FDCWD, str_text(&path), NULL, 0); /* used now */
done:
    for (size_t i = 0; err && i < n; i++) {
        free(parts[i].data);
        parts[i] = (KeptPart){0};
    }
    if (fd >= 0)
        close(fd);
    str_free(&path);
    return err;
}

void kept_remove(Dataset *d, const char *what)
{
    Header h = {0};
    Str path = {0};
    if (!atomic_load(&off) && place_of(d, what, false, &h, &path) == OK)
        unlink(str_text(&path));
    str_free(&path);
}

char *kept_describe(const char *path)
{
    Header h;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && read_whole(fd, &h, sizeof h) && memcmp(h.magic, magic, sizeof magic) == 0;
    if (fd >= 0)
        close(fd);
    return mem_strdup(good ? (h.path[sizeof h.path - 1] = 0, h.path) : "");
}

/* ---- writing ---- */

static bool write_whole(int fd, const void *in, size_t n)
{
    for (const char *p = in; n;) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

/* *good false: the disk would not take it. */
static Err write_parts(int fd, Header *h, const KeptPart *parts, JobCtl *ctl, bool *good)
{
    *good = write_whole(fd, h, sizeof *h);
    for (size_t i = 0; i < h->n; i++)
        for (size_t at = 0; *good && at < parts[i].bytes; at += STEP) {
            size_t n = parts[i].bytes - at < STEP ? parts[i].bytes - at : STEP;
            const char *data = (const char *)parts[i].data + at;
            h->sum = add_words(h->sum, data, n);
            *good = write_whole(fd, data, n);
            TRY(job_look(ctl));
        }
    *good = *good && lseek(fd, 0, SEEK_SET) == 0 && write_whole(fd, h, sizeof *h);
    return OK;
}

Err kept_save(Dataset *d, const char *what, JobCtl *ctl, const KeptPart *parts, size_t n)
{
    Header h = {.n = n};
    Str path = {0};
    uint64_t bytes = sizeof h;
    bool good = false;
    Err err = OK;
    for (size_t i = 0; i < n; i++)
        bytes += h.bytes[i] = parts[i].bytes;
    char *temp = NULL;
    if (!atomic_load(&off) && place_of(d, what, true, &h, &path) == OK && cache_make_room(bytes) == OK) {
        temp = str_format("%s.XXXXXX", str_text(&path));
        int fd = mkstemp(temp);
        if (fd >= 0) {
            leftover_add(temp);
            err = write_parts(fd, &h, parts, ctl, &good);
            good = close(fd) == 0 && good && !err && rename(temp, str_text(&path)) == 0;
            if (!good)
                unlink(temp);
            leftover_forget(temp);
        }
    }
    if (!good && !err)
        log_debug("nothing is kept of this stage: %s", err_message());
    free(temp);
    str_free(&path);
    return err;
}
