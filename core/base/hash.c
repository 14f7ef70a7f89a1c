/* SHA-256 and the string map. */
#include "core/base/hash.h"

#include <errno.h>
/* The hash itself: finding it through EVP reads a configuration and starts providers, 3 MB and some milliseconds that `plot`
 * does not have. */
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>
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
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256_CTX ctx;
    SHA256_Init(&ctx);
    SHA256_Update(&ctx, data, n);
    SHA256_Final(digest, &ctx);
    to_hex(digest, hex);
}

Err hash_sha256_file(const char *path, char hex[65])
{
    return hash_sha256_large(path, NULL, hex);
}

Err hash_sha256_large(const char *path, JobCtl *ctl, char hex[65])
{
    enum { BLOCK = 1 << 16 };
    Err err = OK;
    unsigned char digest[SHA256_DIGEST_LENGTH], *buffer = NULL;
    SHA256_CTX ctx;
    FILE *f = fopen(path, "rb");
    if (!f)
        FAIL(ERR_GENERAL, "%s: cannot be opened: %s", path, strerror(errno));
    TRY_GOTO(NEW(buffer, BLOCK));
    SHA256_Init(&ctx);
    size_t n;
    while ((n = fread(buffer, 1, BLOCK, f)) > 0) {
        SHA256_Update(&ctx, buffer, n);
        TRY_GOTO(job_look(ctl));
    }
    if (ferror(f))
        FAIL_GOTO(ERR_GENERAL, "%s: cannot be read: %s", path, strerror(errno));
    SHA256_Final(digest, &ctx);
    to_hex(digest, hex);
done:
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
