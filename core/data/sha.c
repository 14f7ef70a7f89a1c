/* The SHA-256 of a dataset: of its file, or of the sorted list of its files and their hashes when
 * it is a folder. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset_impl.h"

typedef struct FileList {
    char **v;
    size_t n, cap;
} FileList;

enum { DEPTH = 16 };

static Err collect(const char *root, const char *below, int depth, FileList *l)
{
    char *path = *below ? str_format("%s/%s", root, below) : mem_strdup(root);
    DIR *d = opendir(path);
    Err err = OK;
    for (struct dirent *e; d && !err && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *rel = path_join(below, e->d_name), *full = str_format("%s/%s", root, rel);
        struct stat st;
        if (lstat(full, &st) == 0 && S_ISDIR(st.st_mode) && depth < DEPTH) {
            err = collect(root, rel, depth + 1, l);
        } else if (S_ISREG(st.st_mode)) {
            if (l->n == l->cap) {
                l->cap = l->cap ? l->cap * 2 : 64;
                err = mem_realloc(&l->v, l->cap, sizeof *l->v);
            }
            if (!err)
                l->v[l->n++] = mem_strdup(rel);
        }
        free(rel);
        free(full);
    }
    if (d)
        closedir(d);
    free(path);
    return err;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static Err hash_folder(const char *path, JobCtl *ctl, char hex[65])
{
    FileList l = {0};
    Str list = {0};
    Err err = collect(path, "", 0, &l);
    if (l.n)
        qsort(l.v, l.n, sizeof *l.v, by_text);
    for (size_t i = 0; i < l.n && !err; i++) {
        char one[65], *full = str_format("%s/%s", path, l.v[i]);
        err = hash_sha256_large(full, ctl, one);
        if (!err)
            str_addf(&list, "%s  %s\n", one, l.v[i]);
        free(full);
        if (!err)
            err = job_progress(ctl, i + 1);
    }
    if (!err)
        hash_sha256(str_text(&list), list.len, hex);
    str_free(&list);
    strings_free(l.v, l.n);
    return err;
}

Err dataset_sha256(Dataset *d, JobCtl *ctl, char hex[65])
{
    struct stat st;
    if (!d->sha256[0] && strcmp(d->format, "memory") == 0)
        hash_sha256(d->path, strlen(d->path), d->sha256);
    else if (!d->sha256[0] && stat(d->path, &st) == 0 && S_ISDIR(st.st_mode))
        TRY(hash_folder(d->path, ctl, d->sha256));
    else if (!d->sha256[0])
        TRY(hash_sha256_large(d->path, ctl, d->sha256));
    memcpy(hex, d->sha256, 65);
    return OK;
}
