/* Bundle folders: configuration, gene tables, hashes. */
#include "core/model/bundle.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONFIG_MAX = 16 << 20 };
static const char SUMS[] = "SHA256SUMS";

char *bundle_path(const char *dir, const char *file)
{
    return str_format("%s/%s", dir, file);
}

Err bundle_read_config(const char *dir, bool missing_ok, cJSON **out)
{
    char *path = bundle_path(dir, "config.json"), *text = NULL;
    size_t len = 0;
    Err err = OK;
    if (access(path, R_OK) != 0) {
        err = missing_ok && errno == ENOENT
                  ? OK
                  : err_set(ERR_MODEL, "%s: cannot be read: not a model bundle", path);
        *out = err == OK ? cJSON_CreateObject() : NULL;
        free(path);
        return err;
    }
    err = str_read_file(path, CONFIG_MAX, ERR_MODEL, &text, &len);
    cJSON *o = err == OK ? cJSON_ParseWithLength(text, len) : NULL;
    if (err == OK && !cJSON_IsObject(o))
        err = err_set(ERR_MODEL, "%s: not a JSON object", path);
    if (err != OK)
        cJSON_Delete(o);
    else
        *out = o;
    free(text);
    free(path);
    return err;
}

Err bundle_write_text(const char *path, const char *text)
{
    char *tmp = str_format("%s.%ld.tmp", path, (long)getpid());
    FILE *f = fopen(tmp, "wb");
    bool ok = f && fputs(text, f) >= 0 && fflush(f) == 0 && fsync(fileno(f)) == 0;
    if (f && fclose(f) != 0)
        ok = false;
    ok = ok && rename(tmp, path) == 0;
    int why = errno;
    if (!ok)
        unlink(tmp);
    free(tmp);
    if (!ok)
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(why));
    return OK;
}

Err bundle_write_config(const char *dir, const cJSON *config)
{
    char *path = bundle_path(dir, "config.json"), *text = cJSON_Print(config);
    Err err = bundle_write_text(path, text);
    free(text);
    free(path);
    return err;
}

Err bundle_read_genes(const char *dir, GeneSpace **out)
{
    char *path = bundle_path(dir, "vocab.json");
    GeneSpace *s = NULL;
    StFile *f = NULL;
    Err err = genespace_read_vocab(path, &s);
    free(path);
    TRY(err);
    path = bundle_path(dir, "genes.safetensors");
    err = st_open(path, &f);
    free(path);
    if (err == OK)
        err = weights_read_array(f, "fraction", s->n, &s->fraction);
    if (err == OK)
        err = weights_read_array(f, "mean", s->n, &s->mean);
    if (err == OK)
        err = weights_read_array(f, "sd", s->n, &s->sd);
    st_close(f);
    if (err != OK)
        genespace_free(s);
    else
        *out = s;
    return err;
}

Err bundle_write_genes(const char *dir, const GeneSpace *s)
{
    char *path = bundle_path(dir, "vocab.json");
    Err err = genespace_write_vocab(s, (const char *const[]){"<pad>", "<cls>"}, 2, path);
    free(path);
    TRY(err);
    StWriter *w = st_writer_new();
    int64_t n = (int64_t)s->n;
    path = bundle_path(dir, "genes.safetensors");
    err = st_writer_add_f32(w, "fraction", ST_F32, 1, &n, s->fraction);
    if (err == OK)
        err = st_writer_add_f32(w, "mean", ST_F32, 1, &n, s->mean);
    if (err == OK)
        err = st_writer_add_f32(w, "sd", ST_F32, 1, &n, s->sd);
    if (err == OK)
        err = st_writer_save(w, path);
    free(path);
    st_writer_free(w);
    return err;
}

Err bundle_copy_file(const char *from, const char *to)
{
    enum { BLOCK = 1 << 20 };
    char *buf;
    TRY(NEW(buf, BLOCK));
    FILE *in = fopen(from, "rb"), *out = in ? fopen(to, "wb") : NULL;
    Err err = in    ? OK
              : err_set(ERR_MODEL, "%s: cannot be read: %s", from, strerror(errno));
    size_t n = 0;
    bool ok = out != NULL;
    while (ok && (n = fread(buf, 1, BLOCK, in)) > 0)
        ok = fwrite(buf, 1, n, out) == n;
    ok = ok && !ferror(in);
    if (out && fclose(out) != 0)
        ok = false;
    if (in)
        fclose(in);
    free(buf);
    if (err == OK && !ok)
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", to, strerror(errno));
    return err;
}

void bundle_remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = bundle_path(dir, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(path);
        free(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

static int listed(const struct dirent *d)
{
    return d->d_name[0] != '.' && strcmp(d->d_name, SUMS) != 0 && !str_ends(d->d_name, ".tmp") &&
           !str_ends(d->d_name, ".log.tsv") && strcmp(d->d_name, "log.tsv") != 0;
}

Err bundle_write_sums(const char *dir)
{
    struct dirent **d = NULL;
    int n = scandir(dir, &d, listed, alphasort);
    if (n < 0)
        FAIL(ERR_GENERAL, "%s: %s", dir, strerror(errno));
    Str s = {0};
    Err err = OK;
    for (int i = 0; i < n; i++) {
        char *path = bundle_path(dir, d[i]->d_name), hex[65];
        struct stat st;
        if (err == OK && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            err = hash_sha256_file(path, hex);
            if (err == OK)
                str_addf(&s, "%s  %s\n", hex, d[i]->d_name);
        }
        free(path);
        free(d[i]);
    }
    free(d);
    char *path = bundle_path(dir, SUMS);
    if (err == OK)
        err = bundle_write_text(path, str_text(&s));
    free(path);
    str_free(&s);
    return err;
}

Err bundle_sha256(const char *dir, char hex[65])
{
    struct stat st;
    if (stat(dir, &st))
        FAIL(ERR_MODEL, "%s: %s; name the folder of a bundle with --model", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        FAIL(ERR_MODEL, "%s: is no folder; name the folder of a bundle with --model", dir);
    char *path = bundle_path(dir, SUMS);
    Err err = hash_sha256_file(path, hex);
    free(path);
    return err == OK ? OK
                     : err_set(ERR_MODEL, "%s: SHA256SUMS is missing: not a complete bundle", dir);
}

static Err verify_line(const char *dir, const char *hex, const char *name)
{
    char found[65];
    if (strchr(name, '/'))
        FAIL(ERR_MODEL, "%s/%s: names a file outside the bundle", dir, SUMS);
    char *path = bundle_path(dir, name);
    Err err = hash_sha256_file(path, found);
    if (err != OK)
        err = err_set(ERR_MODEL, "%s: is missing or cannot be read", path);
    else if (strncmp(hex, found, 64) != 0)
        err = err_set(ERR_MODEL, "%s: is not the file that the bundle was made with; get it again",
                      path);
    free(path);
    return err;
}

Err bundle_verify(const char *dir)
{
    char *path = bundle_path(dir, SUMS), *text = NULL, *save = NULL;
    Err err = str_read_file(path, 1 << 20, ERR_MODEL, &text, NULL);
    free(path);
    TRY(err);
    for (char *l = strtok_r(text, "\n", &save); err == OK && l; l = strtok_r(NULL, "\n", &save))
        err = strlen(l) > 66 ? verify_line(dir, l, l + 66)
                             : err_set(ERR_MODEL, "%s/%s: a line is damaged", dir, SUMS);
    free(text);
    return err;
}
