/* Which dataset it is: the SHA-256 of its file, or of the sorted list of its files and their hashes when it is a folder;
 * and, without reading them, what changes when one of its files does. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/cache.h"
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

/* All files below the folder, with sizes, times and inodes. */
static Err folder_identity(const char *path, Str *out)
{
    FileList l = {0};
    Str list = {0};
    char hex[65], real[1024];
    Err err = collect(path, "", 0, &l);
    if (l.n)
        qsort(l.v, l.n, sizeof *l.v, by_text);
    for (size_t i = 0; i < l.n && !err; i++) {
        char *full = str_format("%s/%s", path, l.v[i]);
        err = cache_file_identity(full, &list, real);
        str_add(&list, "\n");
        free(full);
    }
    if (!err)
        hash_sha256(str_text(&list), list.len, hex);
    if (!err)
        str_addf(out, "%zu files\n%s", l.n, hex);
    str_free(&list);
    strings_free(l.v, l.n);
    return err;
}

Err dataset_identity(Dataset *d, Str *out, char real[1024])
{
    struct stat st;
    bool there = stat(d->path, &st) == 0;
    if (there && S_ISREG(st.st_mode) && !d->n_parts)
        return cache_file_identity(d->path, out, real);
    if (!d->identity) {
        Str s = {0};
        Err err = OK;
        for (size_t i = 0; i < d->n_parts && !err; i++)
            err = cache_file_identity(d->parts[i], &s, real);
        if (!err && !d->n_parts)
            err = there ? folder_identity(d->path, &s) : err_set(ERR_GENERAL, "%s: has no file", d->path);
        if (err) {
            str_free(&s);
            return err;
        }
        d->identity = str_take(&s);
    }
    char *found = realpath(d->path, NULL);
    snprintf(real, 1024, "%s", found ? found : d->path);
    str_addf(out, "%s\n%s", real, d->identity);
    free(found);
    return OK;
}

static void *hash_beside(void *arg)
{
    Dataset *d = arg;
    if (hash_sha256_large(d->path, NULL, d->sha256) != OK)
        d->sha256[0] = 0;
    return NULL;
}

void dataset_sha256_begin(Dataset *d, size_t most)
{
    struct stat st;
    sigset_t all, before;
    if (d->hashing || d->sha256[0] || stat(d->path, &st) != 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > most)
        return;
    sigfillset(&all); /* signals are for the threads that know them */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    d->hashing = pthread_create(&d->hasher, NULL, hash_beside, d) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void dataset_sha256_wait(Dataset *d)
{
    if (d->hashing)
        pthread_join(d->hasher, NULL);
    d->hashing = false;
}

Err dataset_sha256(Dataset *d, JobCtl *ctl, char hex[65])
{
    struct stat st;
    dataset_sha256_wait(d);
    if (!d->sha256[0] && strcmp(d->format, "memory") == 0)
        hash_sha256(d->path, strlen(d->path), d->sha256);
    else if (!d->sha256[0] && stat(d->path, &st) == 0 && S_ISDIR(st.st_mode))
        TRY(hash_folder(d->path, ctl, d->sha256));
    else if (!d->sha256[0])
        TRY(hash_sha256_large(d->path, ctl, d->sha256));
    memcpy(hex, d->sha256, 65);
    return OK;
}
