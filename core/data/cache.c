/* The cache folder: where, what is in it, making room. */
#include "core/data/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/data/kept.h"
#include "core/data/sidecar.h"

static Err make_folder(const char *path)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        FAIL(ERR_GENERAL, "%s: cannot be made: %s", path, strerror(errno));
    return OK;
}

Err cache_folder(bool create, Str *out)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    str_clear(out);
    if (xdg && *xdg == '/')
        str_add(out, xdg);
    else if (home && *home == '/')
        str_addf(out, "%s/.cache", home);
    else
        FAIL(ERR_GENERAL, "no place for a cache: neither XDG_CACHE_HOME nor HOME is set");
    if (create)
        TRY(make_folder(str_text(out)));
    str_add(out, "/scmmgpt");
    return create ? make_folder(str_text(out)) : OK;
}

Err cache_file_identity(const char *path, Str *out, char real[1024])
{
    struct stat st;
    char *found = realpath(path, NULL);
    if (!found || stat(found, &st) || !S_ISREG(st.st_mode)) {
        free(found);
        FAIL(ERR_GENERAL, "%s: has no file to keep a copy for", path);
    }
    str_addf(out, "%s\n%lld\n%lld.%09ld\n%lld", found, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec, (long long)st.st_ino);
    snprintf(real, 1024, "%s", found);
    free(found);
    return OK;
}

/* The temporary file of a run that was killed: nobody has written to it for an hour. */
static bool is_forgotten(const char *name, const struct stat *st)
{
    size_t n = strlen(name);
    if (n < 7 || name[n - 7] != '.' || time(NULL) - st->st_mtime < 3600)
        return false;
    char *whole = mem_strndup(name, n - 7);
    bool ours = str_ends(whole, KEPT_SUFFIX) || str_ends(whole, SIDECAR_SUFFIX) ||
                str_ends(whole, CACHE_TEXTS_SUFFIX);
    free(whole);
    return ours;
}

static int latest_first(const void *a, const void *b)
{
    const CacheEntry *x = a, *y = b;
    return x->used > y->used ? -1 : x->used < y->used;
}

Err cache_list(CacheEntry **out, size_t *n)
{
    Str folder = {0};
    CacheEntry *e = NULL;
    size_t count = 0;
    *out = NULL;
    *n = 0;
    Err err = cache_folder(false, &folder);
    DIR *d = err ? NULL : opendir(str_text(&folder));
    for (struct dirent *file; d && !err && (file = readdir(d));) {
        struct stat st;
        char *path = str_format("%s/%s", str_text(&folder), file->d_name);
        bool there = lstat(path, &st) == 0 && S_ISREG(st.st_mode), kept = str_ends(file->d_name, KEPT_SUFFIX),
             texts = str_ends(file->d_name, CACHE_TEXTS_SUFFIX), forgotten = there && is_forgotten(file->d_name, &st);
        if (there && (kept || texts || forgotten || str_ends(file->d_name, SIDECAR_SUFFIX))) {
            err = mem_realloc(&e, count + 1, sizeof *e);
            if (!err)
                e[count++] = (CacheEntry){mem_strdup(file->d_name),
                                          texts  ? mem_strdup("texts of a model")
                                          : kept ? kept_describe(path)
                                                 : sidecar_describe(path),
                                          (uint64_t)st.st_size, st.st_mtime, forgotten};
        }
        free(path);
    }
    if (d)
        closedir(d);
    str_free(&folder);
    if (err) {
        cache_entries_free(e, count);
        return err;
    }
    if (count)
        qsort(e, count, sizeof *e, latest_first);
    *out = e;
    *n = count;
    return OK;
}

void cache_entries_free(CacheEntry *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(e[i].name);
        free(e[i].what);
    }
    free(e);
}

static bool remove_entry(const CacheEntry *e)
{
    Str path = {0};
    bool gone = cache_folder(false, &path) == OK;
    str_addf(&path, "/%s", e->name);
    gone = gone && unlink(str_text(&path)) == 0;
    str_free(&path);
    return gone;
}

Err cache_clear(uint64_t *bytes)
{
    CacheEntry *e;
    size_t n;
    *bytes = 0;
    TRY(cache_list(&e, &n));
    for (size_t i = 0; i < n; i++)
        if (remove_entry(&e[i]))
            *bytes += e[i].bytes;
    cache_entries_free(e, n);
    return OK;
}

static uint64_t size_cap(void)
{
    const char *text = getenv("SCMMGPT_CACHE_MAX");
    uint64_t v = text ? strtoull(text, NULL, 10) : 0;
    return v ? v : (uint64_t)64 << 30;
}

Err cache_make_room(uint64_t bytes)
{
    CacheEntry *e;
    size_t n;
    uint64_t cap = size_cap(), total = bytes;
    struct statvfs fs;
    Str folder = {0};
    if (bytes > cap)
        FAIL(ERR_GENERAL, "the cache may hold %.1f GB, %.1f GB are needed; see SCMMGPT_CACHE_MAX",
             (double)cap / 1e9, (double)bytes / 1e9);
    TRY(cache_list(&e, &n));
    for (size_t i = 0; i < n;
         i++) /* most recently used first: the rest goes once the sum is above the cap */
        if (!e[i].forgotten && total + e[i].bytes <= cap)
            total += e[i].bytes;
        else
            remove_entry(&e[i]);
    cache_entries_free(e, n);
    Err err = cache_folder(true, &folder);
    if (!err && statvfs(str_text(&folder), &fs) == 0 &&
        (double)fs.f_bavail * (double)fs.f_frsize < (double)bytes * 1.05)
        err = err_set(ERR_GENERAL, "%s: the disk has no room for %.1f GB", str_text(&folder),
                      (double)bytes / 1e9);
    str_free(&folder);
    return err;
}
