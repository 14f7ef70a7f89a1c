/* See parts.h. */
#include "core/data/parts.h"

#include <omp.h>

/* AT_ONCE parts are in flight at most; below LEAST values threads cost more than they give. */
enum { AT_ONCE = 64, LEAST = 1 << 15, MOST_THREADS = 8 };

typedef struct Run {
    uint64_t first, n;
    ArrayPart part;
} Run;

/* Threads whose unpacked chunks stay within a few MB together. */
static int threads_for(const Array *a)
{
    uint64_t chunk = a->info.chunk[0] ? a->info.chunk[0] * a->info.size : 1;
    uint64_t fit = (16u << 20) / (chunk + 1) + 1;
    int n = omp_get_max_threads();
    n = n < MOST_THREADS ? n : MOST_THREADS;
    return (uint64_t)n < fit ? n : (int)fit;
}

/* Parts from *at on, until `end`, AT_ONCE, or a value whose part is not known. */
static size_t next_runs(Array *a, uint64_t *at, uint64_t end, Run *runs)
{
    size_t n = 0;
    for (; n < AT_ONCE && *at < end; n++) {
        Run *r = &runs[n];
        if (!array_part(a, *at, &r->part))
            break;
        uint64_t last = r->part.first + r->part.n;
        r->first = *at;
        r->n = (last < end ? last : end) - *at;
        *at += r->n;
    }
    return n;
}

Err array_read_parts(Array *a, uint64_t start, uint64_t count, MemType type, void *out)
{
    Run runs[AT_ONCE];
    uint64_t at = start, end = start + count;
    size_t size = mem_type_size(type);
    int threads = threads_for(a), failed = 0;
    if (count < LEAST || threads < 2 || end < start || end > a->info.count)
        return array_read_1d(a, start, count, type, out);
    while (at < end && !failed) {
        size_t n = next_runs(a, &at, end, runs);
        if (n == 0)
            break;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) reduction(| : failed)
        for (size_t i = 0; i < n; i++)
            failed |= !array_part_read(a, &runs[i].part, runs[i].first, runs[i].n, type,
                                       (char *)out + (runs[i].first - start) * size);
    }
    if (failed) /* says what is wrong, and where */
        return array_read_1d(a, start, count, type, out);
    return at < end ? array_read_1d(a, at, end - at, type, (char *)out + (at - start) * size) : OK;
}
