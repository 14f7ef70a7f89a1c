/* A growing table of int8 sentence vectors by the 64-bit hash of the text. */
#include "core/model/textcache.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/model/safetensors.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct TextCache {
    size_t w, n, cap;
    uint64_t *hash;
    int8_t *q; /* [n,w] */
    StrMap *at;
};

TextCache *textcache_new(size_t width)
{
    TextCache *c = mem_must(sizeof *c);
    c->w = width;
    c->at = strmap_new(4096);
    return c;
}

void textcache_free(TextCache *c)
{
    if (!c)
        return;
    free(c->hash);
    free(c->q);
    strmap_free(c->at);
    free(c);
}

static void key_of(uint64_t h, char key[17])
{
    snprintf(key, 17, "%016" PRIx64, h);
}

static Err add(TextCache *c, uint64_t h, const int8_t *q)
{
    char key[17];
    key_of(h, key);
    if (strmap_get(c->at, key, -1) >= 0)
        return OK;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 1024;
        TRY(mem_realloc(&c->hash, cap, sizeof *c->hash));
        TRY(mem_realloc(&c->q, cap * c->w, 1));
        c->cap = cap;
    }
    strmap_put(c->at, key, (int64_t)c->n);
    c->hash[c->n] = h;
    memcpy(c->q + c->n * c->w, q, c->w);
    c->n++;
    return OK;
}

Err textcache_load(TextCache *c, const char *path)
{
    StFile *f;
    TRY(st_open(path, &f));
    const StTensor *h = st_find(f, "hash"), *q = st_find(f, "vectors");
    Err err = OK;
    if (!h || !q || h->type != ST_U64 || q->type != ST_I8 || q->ndim != 2 || h->ndim != 1 ||
        h->dim[0] != q->dim[0] || (size_t)q->dim[1] != c->w)
        err = err_set(ERR_MODEL, "%s: not a table of %zu-number text vectors", path, c->w);
    for (size_t i = 0; err == OK && i < (size_t)h->dim[0]; i++) {
        uint64_t v;
        memcpy(&v, (const char *)h->data + i * sizeof v, sizeof v);
        err = add(c, v, (const int8_t *)q->data + i * c->w);
    }
    st_close(f);
    return err;
}

static int64_t find(const TextCache *c, const char *text)
{
    char key[17];
    key_of(hash_bytes(text, strlen(text)), key);
    return strmap_get(c->at, key, -1);
}

Err textcache_save(const TextCache *c, const char *path, const char *const *only, size_t n)
{
    uint64_t *h = NULL;
    int8_t *q = NULL;
    size_t m = 0, cap = only ? n : c->n;
    StWriter *w = st_writer_new();
    Err err = OK;
    TRY_GOTO(NEW(h, cap));
    TRY_GOTO(NEW(q, cap * c->w));
    for (size_t i = 0; i < cap; i++) {
        int64_t at = only ? find(c, only[i]) : (int64_t)i;
        if (at < 0)
            continue;
        h[m] = c->hash[at];
        memcpy(q + m++ * c->w, c->q + (size_t)at * c->w, c->w);
    }
    TRY_GOTO(st_writer_add(w, "hash", ST_U64, 1, (int64_t[]){(int64_t)m}, h));
    TRY_GOTO(st_writer_add(w, "vectors", ST_I8, 2, (int64_t[]){(int64_t)m, (int64_t)c->w}, q));
    err = st_writer_save(w, path);
done:
    st_writer_free(w);
    free(h);
    free(q);
    return err;
}

/* Direction only: the largest entry becomes 127. */
static void quantise(const float *v, size_t w, int8_t *q)
{
    float top = 1e-12f;
    for (size_t i = 0; i < w; i++)
        top = fmaxf(top, fabsf(v[i]));
    for (size_t i = 0; i < w; i++)
        q[i] = (int8_t)lrintf(v[i] / top * 127);
}

static void expand(const int8_t *q, size_t w, float *v)
{
    double s = 0;
    for (size_t i = 0; i < w; i++)
        s += (double)q[i] * q[i];
    float scale = s > 0 ? (float)(1 / sqrt(s)) : 0;
    for (size_t i = 0; i < w; i++)
        v[i] = (float)q[i] * scale;
}

static Err read_missing(TextCache *c, TextTower *t, const char *const *texts, size_t n, JobCtl *ctl)
{
    const char **miss = NULL;
    float *v = NULL;
    int8_t *q = NULL;
    size_t m = 0;
    Err err = OK;
    TRY_GOTO(NEW(miss, n));
    for (size_t i = 0; i < n; i++)
        if (find(c, texts[i]) < 0)
            miss[m++] = texts[i];
    TRY_GOTO(NEW(v, m * c->w));
    TRY_GOTO(NEW(q, c->w));
    if (m)
        TRY_GOTO(text_tower_embed(t, miss, m, ctl, v));
    for (size_t i = 0; i < m; i++) {
        quantise(v + i * c->w, c->w, q);
        TRY_GOTO(add(c, hash_bytes(miss[i], strlen(miss[i])), q));
    }
done:
    free(miss);
    free(v);
    free(q);
    return err;
}

Err textcache_embed(TextCache *c, TextTower *t, const char *const *texts, size_t n, JobCtl *ctl,
                    float *out)
{
    TRY(read_missing(c, t, texts, n, ctl));
    for (size_t i = 0; i < n; i++)
        expand(c->q + (size_t)find(c, texts[i]) * c->w, c->w, out + i * c->w);
    return OK;
}
