/* Byte-pair merging with a heap: n log n, also for a word of 100 kB. A heap entry is stale when one
 * of its symbols has changed since. */
#include "core/base/mem.h"
#include "core/model/tokenizer_impl.h"
#include <string.h>

/* ---- pairs ---- */

typedef struct PairSlot {
    int32_t a, b, id; /* a -1: free */
    uint32_t rank;
} PairSlot;
struct PairMap {
    PairSlot *slot;
    size_t mask;
};

PairMap *pairmap_new(size_t n)
{
    PairMap *m = mem_must(sizeof *m);
    size_t cap = 64;
    while (cap < 2 * n + 1)
        cap *= 2;
    m->slot = mem_must(cap * sizeof *m->slot);
    for (size_t i = 0; i < cap; i++)
        m->slot[i].a = -1;
    m->mask = cap - 1;
    return m;
}

void pairmap_free(PairMap *m)
{
    if (m)
        free(m->slot);
    free(m);
}

static PairSlot *slot_of(const PairMap *m, int32_t a, int32_t b)
{
    uint64_t h = ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)(h >> 20) & m->mask;
    while (m->slot[i].a >= 0 && (m->slot[i].a != a || m->slot[i].b != b))
        i = (i + 1) & m->mask;
    return &m->slot[i];
}

void pairmap_put(PairMap *m, int32_t a, int32_t b, uint32_t rank, int32_t id)
{
    *slot_of(m, a, b) = (PairSlot){a, b, id, rank}; /* of two equal merges the last counts */
}

bool pairmap_get(const PairMap *m, int32_t a, int32_t b, uint32_t *rank, int32_t *id)
{
    const PairSlot *s = slot_of(m, a, b);
    *rank = s->rank;
    *id = s->id;
    return s->a >= 0;
}

/* ---- merging ---- */

typedef struct Entry {
    double rank;
    size_t left, right, len; /* len: of both together when it was made */
    int32_t id;
} Entry;

typedef struct Merge {
    Symbol *s;
    size_t *next, *prev; /* SIZE_MAX: none */
    Entry *heap;
    size_t n, cap;
    MergePair *pair;
    const void *user;
} Merge;

static bool before(const Entry *a, const Entry *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static Err push(Merge *m, size_t left, size_t right)
{
    Entry e = {.left = left, .right = right};
    if (left == SIZE_MAX || right == SIZE_MAX || m->s[left].frozen || m->s[right].frozen ||
        !m->pair(m->user, &m->s[left], &m->s[right], &e.rank, &e.id))
        return OK;
    e.len = m->s[left].len + m->s[right].len;
    if (m->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 64;
        TRY(mem_realloc(&m->heap, cap, sizeof *m->heap));
        m->cap = cap;
    }
    size_t i = m->n++;
    for (; i && before(&e, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = e;
    return OK;
}

static Entry pop(Merge *m)
{
    Entry top = m->heap[0], e = m->heap[--m->n];
    size_t i = 0;
    for (size_t c; (c = 2 * i + 1) < m->n; i = c) {
        if (c + 1 < m->n && before(&m->heap[c + 1], &m->heap[c]))
            c++;
        if (!before(&m->heap[c], &e))
            break;
        m->heap[i] = m->heap[c];
    }
    m->heap[i] = e;
    return top;
}

static Err run(Merge *m)
{
    while (m->n) {
        Entry e = pop(m);
        Symbol *a = &m->s[e.left], *b = &m->s[e.right];
        if (a->len == 0 || b->len == 0 || a->len + b->len != e.len || m->next[e.left] != e.right)
            continue;
        a->len = e.len;
        a->id = e.id;
        b->len = 0;
        m->next[e.left] = m->next[e.right];
        if (m->next[e.left] != SIZE_MAX)
            m->prev[m->next[e.left]] = e.left;
        TRY(push(m, m->prev[e.left], e.left));
        TRY(push(m, e.left, m->next[e.left]));
    }
    return OK;
}

Err tok_merge(Symbol *s, size_t *n, MergePair *pair, const void *user)
{
    Merge m = {.s = s, .pair = pair, .user = user};
    Err err = OK;
    if (*n < 2)
        return OK;
    TRY_GOTO(NEW(m.next, *n));
    TRY_GOTO(NEW(m.prev, *n));
    for (size_t i = 0; i < *n; i++) {
        m.prev[i] = i ? i - 1 : SIZE_MAX;
        m.next[i] = i + 1 < *n ? i + 1 : SIZE_MAX;
    }
    for (size_t i = 0; i + 1 < *n; i++)
        TRY_GOTO(push(&m, i, i + 1));
    TRY_GOTO(run(&m));
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (s[i].len)
            s[kept++] = s[i];
    *n = kept;
done:
    free(m.next);
    free(m.prev);
    free(m.heap);
    return err;
}
