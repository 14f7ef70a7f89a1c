/* Allocation. Sizes that come from data, a model or a device use mem_alloc/mem_calloc and can fail with
 * ERR_NOMEM; small fixed-size structures use mem_must, which asserts (a machine without 1 kB is no machine). */
#ifndef SCMM_BASE_MEM_H
#define SCMM_BASE_MEM_H
#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* n elements of `size` bytes into *out (void **), overflow-checked; uninitialised / zeroed. free() releases.
 * n = 0 gives a valid pointer. On failure *out is NULL and the message names the size. */
CHECKED Err mem_alloc(void *out, size_t n, size_t size);
CHECKED Err mem_calloc(void *out, size_t n, size_t size);
/* *inout (void **) is resized, keeping its contents; unchanged on failure. */
CHECKED Err mem_realloc(void *inout, size_t n, size_t size);
/* Zeroed small structure; never NULL. */
void *mem_must(size_t size);
/* strdup / strndup that never return NULL. */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
/* Bytes of memory the system could still give to this process (MemAvailable, cgroup limit). */
uint64_t mem_available(void);
/* The budget: --max-memory for the whole process, else half of what is free. Fails with ERR_NOMEM, naming `what`, when
 * `bytes` more would go beyond it. */
CHECKED Err mem_check_budget(uint64_t bytes, const char *what);
/* Fails with ERR_NOMEM when the process has gone beyond --max-memory already; looks every 10 ms at most. */
CHECKED Err mem_check_use(void);
/* Bytes that may still be used. */
uint64_t mem_budget(void);
void mem_set_budget(uint64_t bytes); /* 0: back to the default */

/* NEW(ptr, n): ptr = array of n; for use inside TRY/TRY_GOTO. */
#define NEW(ptr, n) mem_alloc(&(ptr), (n), sizeof *(ptr))
#define NEW0(ptr, n) mem_calloc(&(ptr), (n), sizeof *(ptr))
#endif
