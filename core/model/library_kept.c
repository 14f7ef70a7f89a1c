/* One safetensors file for each model and list of texts. The numbers are stored as they are, so
 * that answers do not depend on whether they were kept. */
#include "core/model/library_kept.h"
#include "core/base/hash.h"
#include "core/base/str.h"
#include "core/base/version.h"
#include "core/data/cache.h"
#include "core/model/safetensors.h"
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *library_kept_key(const char *model_hash, const char *device, const char *const *texts,
                       size_t n)
{
    Str s = {0};
    char hex[65];
    str_addf(&s, "%s\n%s\n%s\n", SCMMGPT_VERSION, model_hash, device);
    for (size_t i = 0; i < n; i++)
        str_add_n(&s, texts[i], strlen(texts[i]) + 1);
    hash_sha256(str_text(&s), s.len, hex);
    str_free(&s);
    return str_format("%.32s%s", hex, CACHE_TEXTS_SUFFIX);
}

static bool path_of(const char *key, bool create, Str *path)
{
    if (cache_folder(create, path) != OK)
        return false;
    str_addf(path, "/%s", key);
    return true;
}

static bool read_file(const char *path, size_t n, size_t d, float *vec)
{
    StFile *f;
    if (access(path, R_OK) != 0 || st_open(path, &f) != OK)
        return false;
    const StTensor *t = st_find(f, "vectors");
    bool fits =
        t && t->type == ST_F32 && t->ndim == 2 && (size_t)t->dim[0] == n && (size_t)t->dim[1] == d;
    if (fits)
        memcpy(vec, t->data, n * d * sizeof *vec);
    for (size_t i = 0; fits && i < n * d; i++)
        fits = isfinite(vec[i]);
    st_close(f);
    if (fits)
        utimensat(AT_FDCWD, path, NULL, 0); /* used now */
    return fits;
}

bool library_kept_read(const char *key, size_t n, size_t d, float *vec)
{
    Str path = {0};
    bool there = path_of(key, false, &path) && read_file(str_text(&path), n, d, vec);
    str_free(&path);
    return there;
}

void library_kept_write(const char *key, size_t n, size_t d, const float *vec)
{
    Str path = {0};
    StWriter *w = st_writer_new();
    int64_t dim[2] = {(int64_t)n, (int64_t)d};
    if (cache_make_room(n * d * sizeof *vec + 4096) == OK && path_of(key, true, &path) &&
        st_writer_add(w, "vectors", ST_F32, 2, dim, vec) == OK &&
        st_writer_save(w, str_text(&path)) != OK)
        unlink(str_text(&path));
    st_writer_free(w);
    str_free(&path);
}
