/* Checked allocation and the memory budget. */
#include "core/base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

enum { SMALL = 1 << 20 }; /* not worth a look at the budget */

static Err out_of_memory(size_t n, size_t size)
{
    return err_set(ERR_NOMEM, "out of memory: %zu x %zu bytes asked for", n, size);
}

static Err allocate(void *out, size_t n, size_t size, int zero)
{
    void *p = NULL;
    size_t bytes;
    if (!__builtin_mul_overflow(n, size, &bytes) && bytes <= SIZE_MAX / 2)
        p = zero ? calloc(bytes ? bytes : 1, 1) : malloc(bytes ? bytes : 1);
    memcpy(out, &p, sizeof p);
    return p ? OK : out_of_memory(n, size);
}

Err mem_alloc(void *out, size_t n, size_t size)
{
    return allocate(out, n, size, 0);
}

Err mem_calloc(void *out, size_t n, size_t size)
{
    return allocate(out, n, size, 1);
}

Err mem_realloc(void *inout, size_t n, size_t size)
{
    void *old, *p = NULL;
    memcpy(&old, inout, sizeof old);
    size_t bytes;
    if (!__builtin_mul_overflow(n, size, &bytes) && bytes <= SIZE_MAX / 2)
        p = realloc(old, bytes ? bytes : 1);
    if (!p)
        return out_of_memory(n, size);
    memcpy(inout, &p, sizeof p);
    return OK;
}

void *mem_must(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    assert(p);
    return p;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *p = mem_must(len + 1);
    memcpy(p, s, len);
    return p;
}

static uint64_t read_number(const char *path)
{
    FILE *f = fopen(path, "r");
    uint64_t v = UINT64_MAX;
    if (f) {
        if (fscanf(f, "%" SCNu64, &v) != 1)
            v = UINT64_MAX;
        fclose(f);
    }
    return v;
}

uint64_t mem_available(void)
{
    uint64_t available = UINT64_MAX;
    FILE *f = fopen("/proc/meminfo", "r");
    if (f) {
        char line[128];
        uint64_t kb;
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "MemAvailable: %" SCNu64, &kb) == 1)
                available = kb * 1024;
        fclose(f);
    }
    uint64_t limit = read_number("/sys/fs/cgroup/memory.max");
    uint64_t used = read_number("/sys/fs/cgroup/memory.current");
    if (limit != UINT64_MAX && used != UINT64_MAX && limit > used && limit - used < available)
        available = limit - used;
    return available;
}

static uint64_t budget;

void mem_set_budget(uint64_t bytes)
{
    budget = bytes;
}

/* Resident bytes of this process. */
static uint64_t in_use(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%*u %llu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t mem_budget(void)
{
    uint64_t used = in_use();
    uint64_t all = budget ? budget : (mem_available() + used) / 2; /* free before this process took its part */
    return all > used ? all - used : 0;
}

static double gigabytes(uint64_t bytes)
{
    return (double)bytes / 1e9;
}

Err mem_check_budget(uint64_t bytes, const char *what)
{
    if (bytes < SMALL)
        return OK;
    uint64_t limit = mem_budget();
    if (bytes > limit)
        FAIL(ERR_NOMEM, "%s needs %.2f GB of memory, %.2f GB may still be used; see --max-memory", what,
             gigabytes(bytes), gigabytes(limit));
    return OK;
}

Err mem_check_use(void)
{
    static _Atomic int64_t next;
    if (!budget)
        return OK;
    int64_t now = (int64_t)(clock_seconds() * 1000);
    if (now < next)
        return OK;
    next = now + 10;
    uint64_t used = in_use();
    if (used > budget)
        FAIL(ERR_NOMEM, "this work has taken %.2f GB of memory, %.2f GB are allowed; see --max-memory",
             gigabytes(used), gigabytes(budget));
    return OK;
}
