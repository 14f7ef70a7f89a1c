/* SHA-256 (by libcrypto) and a string -> integer map. */
#ifndef SCMM_BASE_HASH_H
#define SCMM_BASE_HASH_H
#include "core/base/err.h"
#include "core/base/job.h"
#include <stddef.h>
#include <stdint.h>

/* Lower-case hex digests, 64 characters and NUL. */
void hash_sha256(const void *data, size_t n, char hex[65]);
CHECKED Err hash_sha256_file(const char *path, char hex[65]);
/* The same for files that may be large: looks at ctl (NULL ok) on the way. */
CHECKED Err hash_sha256_large(const char *path, JobCtl *ctl, char hex[65]);
/* 64-bit FNV-1a, for tables and cache keys only. */
uint64_t hash_bytes(const void *data, size_t n);

/* Open-addressing map from strings to int64. Keys are copied. */
typedef struct StrMap StrMap;
StrMap *strmap_new(size_t expected);
void strmap_free(StrMap *m); /* NULL ok */
/* Keeps the first value for a key that is already there and returns 0; returns 1 when added. */
int strmap_put(StrMap *m, const char *key, int64_t value);
/* value of key, or `missing`. */
int64_t strmap_get(const StrMap *m, const char *key, int64_t missing);
int64_t strmap_get_n(const StrMap *m, const char *key, size_t n, int64_t missing);
size_t strmap_count(const StrMap *m);
#endif
