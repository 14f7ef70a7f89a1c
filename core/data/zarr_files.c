/* Keys of a Zarr hierarchy: files below a folder (never through symbolic links), or entries of a
 * zip. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zip.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/zarr_impl.h"

struct ZarrFiles {
    int root; /* folder */
    zip_t *zip;
    char *prefix;    /* of the entries in the zip: "" or "name.zarr/" */
    StrMap *entries; /* of the zip: name -> index; a writer that appends leaves old entries in, the
                        last one counts */
};

/* ---- opening ---- */

/* A zip may hold the hierarchy itself or one folder with it. */
static char *zip_prefix(zip_t *z)
{
    const char *marks[] = {"zarr.json", ".zgroup", ".zattrs", ".zmetadata"};
    char *best = NULL;
    zip_int64_t n = zip_get_num_entries(z, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(z, (zip_uint64_t)i, 0);
        for (size_t k = 0; name && k < 4; k++) {
            size_t len = strlen(name), mark = strlen(marks[k]);
            if (len < mark || strcmp(name + len - mark, marks[k]) != 0 ||
                (len > mark && name[len - mark - 1] != '/'))
                continue;
            if (!best || len - mark < strlen(best)) {
                free(best);
                best = mem_strndup(name, len - mark);
            }
        }
    }
    return best;
}

static Err open_zip(const char *path, ZarrFiles *f)
{
    int code = 0;
    f->zip = zip_open(path, ZIP_RDONLY, &code);
    if (!f->zip)
        FAIL(ERR_INPUT,
             "is a zip file that cannot be opened (libzip error %d); it is damaged or cut short",
             code);
    f->prefix = zip_prefix(f->zip);
    if (!f->prefix)
        FAIL(ERR_INPUT, "is a zip file, but holds no Zarr data; unpack it");
    zip_int64_t n = zip_get_num_entries(f->zip, 0);
    f->entries = strmap_new((size_t)n);
    while (n-- > 0) {
        const char *name = zip_get_name(f->zip, (zip_uint64_t)n, 0);
        if (name)
            strmap_put(f->entries, name, n);
    }
    return OK;
}

Err zarr_files_open(const char *path, ZarrFiles **out)
{
    struct stat st;
    ZarrFiles *f = mem_must(sizeof *f);
    Err err = OK;
    f->root = -1;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        f->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (f->root < 0)
            err = err_set(ERR_INPUT, "cannot be opened: %s", strerror(errno));
    } else {
        err = open_zip(path, f);
    }
    if (err)
        zarr_files_close(f);
    else
        *out = f;
    return err;
}

void zarr_files_close(ZarrFiles *f)
{
    if (!f)
        return;
    if (f->root >= 0)
        close(f->root);
    if (f->zip)
        zip_discard(f->zip);
    strmap_free(f->entries);
    free(f->prefix);
    free(f);
}

/* ---- reading ---- */

/* Below the root and through no symbolic link; systems without openat2 check the last part only. */
static int open_below(const ZarrFiles *f, const char *key, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    if (!*key)
        key = ".";
    int fd = (int)syscall(SYS_openat2, f->root, key, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM) && !strstr(key, ".."))
        fd = openat(f->root, key, flags | O_NOFOLLOW | O_CLOEXEC);
    return fd;
}

static zip_int64_t entry_of(const ZarrFiles *f, const char *key)
{
    char *name = str_format("%s%s", f->prefix, key);
    zip_int64_t i = strmap_get(f->entries, name, -1);
    free(name);
    return i;
}

bool zarr_files_has(ZarrFiles *f, const char *key)
{
    uint64_t size;
    bool found = false;
    return zarr_files_size(f, key, &size, &found) == OK && found;
}

bool zarr_files_outside(ZarrFiles *f, const char *key)
{
    struct stat st;
    if (f->zip)
        return false;
    return fstatat(f->root, *key ? key : ".", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

Err zarr_files_size(ZarrFiles *f, const char *key, uint64_t *size, bool *found)
{
    *size = 0;
    *found = false;
    if (f->zip) {
        zip_stat_t zs;
        zip_int64_t i = entry_of(f, key);
        if (i < 0 || zip_stat_index(f->zip, (zip_uint64_t)i, 0, &zs) || !(zs.valid & ZIP_STAT_SIZE))
            return OK;
        double packed = zs.valid & ZIP_STAT_COMP_SIZE ? (double)zs.comp_size : 0;
        if (zs.size > (1 << 20) && (double)zs.size > packed * 1100)
            FAIL(ERR_INPUT, "%s: declares more than its packed data can hold; the zip is damaged",
                 key);
        *size = zs.size;
        *found = true;
        return OK;
    }
    struct stat st;
    int fd = open_below(f, key, O_RDONLY | O_NONBLOCK);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV)
            return OK;
        FAIL(ERR_INPUT, "%s: cannot be opened: %s", key, strerror(errno));
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *size = (uint64_t)st.st_size;
        *found = true;
    }
    close(fd);
    return OK;
}

static Err read_zip(ZarrFiles *f, const char *key, uint64_t offset, size_t len, char *out)
{
    zip_int64_t i = entry_of(f, key);
    zip_file_t *z = i < 0 ? NULL : zip_fopen_index(f->zip, (zip_uint64_t)i, 0);
    bool fine = z != NULL;
    if (fine && offset && zip_fseek(z, (zip_int64_t)offset, SEEK_SET) != 0) {
        char skip[8192]; /* a deflated entry cannot seek */
        while (fine && offset) {
            zip_int64_t n = zip_fread(z, skip, offset < sizeof skip ? offset : sizeof skip);
            fine = n > 0;
            offset -= fine ? (uint64_t)n : 0;
        }
    }
    while (fine && len) {
        zip_int64_t n = zip_fread(z, out, len);
        fine = n > 0;
        out += fine ? n : 0;
        len -= fine ? (size_t)n : 0;
    }
    if (z)
        zip_fclose(z);
    return fine ? OK : err_set(ERR_INPUT, "%s: cannot be read from the zip; it is damaged", key);
}

Err zarr_files_read(ZarrFiles *f, const char *key, uint64_t offset, size_t len, void *out)
{
    if (f->zip)
        return read_zip(f, key, offset, len, out);
    int fd = open_below(f, key, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        FAIL(ERR_INPUT, "%s: cannot be opened: %s", key, strerror(errno));
    char *p = out;
    while (len) {
        ssize_t n = pread(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    close(fd);
    return len ? err_set(ERR_INPUT, "%s: cannot be read; it is cut short or unreadable", key) : OK;
}

/* ---- listing ---- */

typedef struct Names {
    char **v;
    size_t n, cap;
    StrMap *seen;
} Names;

static Err add_name(Names *l, const char *name, size_t len)
{
    char *copy = mem_strndup(name, len);
    if (!strmap_put(l->seen, copy, 0)) {
        free(copy);
        return OK;
    }
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 32;
        TRY(mem_realloc(&l->v, l->cap, sizeof *l->v));
    }
    l->v[l->n++] = copy;
    return OK;
}

static Err list_zip(ZarrFiles *f, const char *key, Names *l)
{
    char *below = *key ? str_format("%s%s/", f->prefix, key) : mem_strdup(f->prefix);
    size_t skip = strlen(below);
    Err err = OK;
    zip_int64_t n = zip_get_num_entries(f->zip, 0);
    for (zip_int64_t i = 0; i < n && !err; i++) {
        const char *name = zip_get_name(f->zip, (zip_uint64_t)i, 0);
        if (name && str_starts(name, below) && name[skip])
            err = add_name(l, name + skip, strcspn(name + skip, "/"));
    }
    free(below);
    return err;
}

Err zarr_files_list(ZarrFiles *f, const char *key, char ***names, size_t *n)
{
    Names l = {.seen = strmap_new(32)};
    Err err = OK;
    if (f->zip) {
        err = list_zip(f, key, &l);
    } else {
        int fd = open_below(f, key, O_RDONLY | O_DIRECTORY);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (!d)
            err = err_set(ERR_INPUT, "%s: cannot be listed: %s", key, strerror(errno));
        for (struct dirent *e; d && !err && (e = readdir(d));)
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                err = add_name(&l, e->d_name, strlen(e->d_name));
        if (d)
            closedir(d);
    }
    strmap_free(l.seen);
    if (err) {
        strings_free(l.v, l.n);
        return err;
    }
    *names = l.v;
    *n = l.n;
    return OK;
}
