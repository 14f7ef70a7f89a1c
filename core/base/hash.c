/* SHA-256 and the string map. */
#include "core/base/hash.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

static void to_hex(const unsigned char *digest, char hex[65])
{
    for (int i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void hash_sha256(const void *data, size_t n, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    int ok = EVP_Digest(data, n, digest, NULL, EVP_sha256(), NULL);
    assert(ok == 1);
    (void)ok;
    to_hex(digest, hex);
}

Err hash_sha256_file(const char *path, char hex[65])
{
    return hash_sha256_large(path, NULL, hex);
}

Err hash_sha256_large(const char *path, JobCtl *ctl, char hex[65])
{
    Err err = OK;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char *buffer = NULL;
    EVP_MD_CTX *ctx = NULL;
    FILE *f = fopen(path, "rb");
    if (!f)
        FAIL(ERR_GENERAL, "%s: cannot be opened: %s", path, strerror(errno));
    TRY_GOTO(NEW(buffer, 1 << 20));
    ctx = EVP_MD_CTX_new();
    assert(ctx);
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    size_t n;
    while ((n = fread(buffer, 1, 1 << 20, f)) > 0) {
        EVP_DigestUpdate(ctx, buffer, n);
        TRY_GOTO(job_look(ctl));
    }
    if (ferror(f))
        FAIL_GOTO(ERR_GENERAL, "%s: cannot be read: %s", path, strerror(errno));
    EVP_DigestFinal_ex(ctx, digest, NULL);
    to_hex(digest, hex);
done:
    EVP_MD_CTX_free(ctx);
    free(buffer);
    fclose(f);
    return err;
}

uint64_t hash_bytes(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

typedef struct Slot {
    char *key;
    uint64_t hash;
    int64_t value;
} Slot;

struct StrMap {
    Slot *slots;
    size_t cap, count; /* cap is a power of two */
};

StrMap *strmap_new(size_t expected)
{
    StrMap *m = mem_must(sizeof *m);
    m->cap = 16;
    while (m->cap < expected * 2)
        m->cap *= 2;
    m->slots = mem_must(m->cap * sizeof *m->slots);
    return m;
}

void strmap_free(StrMap *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i].key);
    free(m->slots);
    free(m);
}

static Slot *find(const StrMap *m, const char *key, size_t n, uint64_t h)
{
    size_t i = (size_t)h & (m->cap - 1);
    while (m->slots[i].key &&
           !(m->slots[i].hash == h && strncmp(m->slots[i].key, key, n) == 0 && !m->slots[i].key[n]))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void grow(StrMap *m)
{
    StrMap bigger = {.cap = m->cap * 2};
    bigger.slots = mem_must(bigger.cap * sizeof *bigger.slots);
    for (size_t i = 0; i < m->cap; i++) {
        const Slot *s = &m->slots[i];
        if (!s->key)
            continue;
        size_t j = (size_t)s->hash & (bigger.cap - 1);
        while (bigger.slots[j].key)
            j = (j + 1) & (bigger.cap - 1);
        bigger.slots[j] = *s;
    }
    free(m->slots);
    m->slots = bigger.slots;
    m->cap = bigger.cap;
}

int strmap_put(StrMap *m, const char *key, int64_t value)
{
    if ((m->count + 1) * 2 > m->cap)
        grow(m);
    size_t n = strlen(key);
    uint64_t h = hash_bytes(key, n);
    Slot *s = find(m, key, n, h);
    if (s->key)
        return 0;
    *s = (Slot){.key = mem_strdup(key), .hash = h, .value = value};
    m->count++;
    return 1;
}

int64_t strmap_get_n(const StrMap *m, const char *key, size_t n, int64_t missing)
{
    const Slot *s = find(m, key, n, hash_bytes(key, n));
    return s->key ? s->value : missing;
}

int64_t strmap_get(const StrMap *m, const char *key, int64_t missing)
{
    return strmap_get_n(m, key, strlen(key), missing);
}

size_t strmap_count(const StrMap *m)
{
    return m->count;
}
