/* Keys and values of earlier tokens in pages. A page holds KV_PAGE tokens of one sequence for all
 * layers, [layers][keys, values][KV_PAGE][width]; a sequence is a list of pages. A page may belong
 * to several sequences; who writes into such a page takes a copy first. Pages that nobody needs are
 * kept for the next. */
#include "core/nn/kvcache.h"
#include "core/base/mem.h"
#include "core/nn/tape_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 8 }; /* queries that read the pages in place; more pay for laying the pages in a row */

typedef struct Page {
    float *mem;
    int users;
} Page;

typedef struct Sequence {
    int32_t *page; /* [cap], indices */
    int64_t n, cap;
} Sequence;

struct KvCache {
    Device *d;
    int64_t layers, batch_max, batch, width, length;
    int64_t ready; /* tokens up to here can be written; `length` when it must be looked at again */
    Page *page;
    int64_t pages, cap;
    Sequence *seq, *spare; /* [batch_max] */
    float **at;            /* [batch, pages of the longest], for the device */
    int64_t at_cap;
};

Err kvcache_new(Device *d, int64_t layers, int64_t batch, int64_t capacity, int64_t width,
                KvCache **out)
{
    KvCache *c = mem_must(sizeof *c);
    c->d = d;
    c->layers = layers;
    c->batch_max = c->batch = batch;
    c->width = width;
    c->seq = mem_must((size_t)batch * sizeof *c->seq);
    c->spare = mem_must((size_t)batch * sizeof *c->spare);
    c->cap = batch * ((capacity > 0 ? capacity : 1) / KV_PAGE + 1);
    Err err = NEW0(c->page, (size_t)c->cap);
    if (err != OK)
        kvcache_free(c);
    else
        *out = c;
    return err;
}

void kvcache_free(KvCache *c)
{
    if (!c)
        return;
    for (int64_t i = 0; i < c->pages; i++)
        c->d->ops->free(c->d, c->page[i].mem);
    for (int64_t b = 0; b < c->batch_max; b++) {
        free(c->seq[b].page);
        free(c->spare[b].page);
    }
    free(c->page);
    free(c->seq);
    free(c->spare);
    free(c->at);
    free(c);
}

/* ---- pages ---- */
static size_t page_floats(const KvCache *c)
{
    return (size_t)(2 * c->layers * KV_PAGE * c->width);
}

static Err take_page(KvCache *c, int32_t *out)
{
    for (int64_t i = 0; i < c->pages; i++)
        if (c->page[i].users == 0) {
            c->page[i].users = 1;
            *out = (int32_t)i;
            return OK;
        }
    if (c->pages == c->cap) {
        TRY(mem_realloc(&c->page, (size_t)(2 * c->cap), sizeof *c->page));
        c->cap *= 2;
    }
    Page p = {.users = 1};
    TRY(device_alloc(c->d, page_floats(c) * sizeof(float), (void **)&p.mem));
    c->page[c->pages] = p;
    *out = (int32_t)c->pages++;
    return OK;
}

/* Drops the pages of s from number `keep` on. */
static void drop_pages(KvCache *c, Sequence *s, int64_t keep)
{
    for (int64_t i = keep; i < s->n; i++)
        c->page[s->page[i]].users--;
    s->n = s->n < keep ? s->n : keep;
}

static Err reserve(Sequence *s, int64_t n)
{
    if (n <= s->cap)
        return OK;
    int64_t cap = n > 2 * s->cap ? n : 2 * s->cap;
    TRY(mem_realloc(&s->page, (size_t)cap, sizeof *s->page));
    s->cap = cap;
    return OK;
}

/* The page that the next token goes into becomes the sequence's own. */
static Err own_last(KvCache *c, Sequence *s)
{
    int64_t used = c->length % KV_PAGE, last = c->length / KV_PAGE, stride = KV_PAGE * c->width;
    int32_t fresh;
    if (used == 0 || last >= s->n || c->page[s->page[last]].users == 1)
        return OK;
    TRY(take_page(c, &fresh));
    Page *old = &c->page[s->page[last]];
    c->d->ops->copy_block(c->d, 2 * c->layers, used * c->width, old->mem, stride,
                          c->page[fresh].mem, stride, false);
    old->users--;
    s->page[last] = fresh;
    return device_check(c->d);
}

static Err prepare(KvCache *c, int64_t need)
{
    int64_t n = (need + KV_PAGE - 1) / KV_PAGE;
    if (need <= c->ready)
        return OK;
    for (int64_t b = 0; b < c->batch; b++) {
        Sequence *s = &c->seq[b];
        TRY(reserve(s, n));
        TRY(own_last(c, s));
        for (; s->n < n; s->n++)
            TRY(take_page(c, &s->page[s->n]));
    }
    c->ready = need;
    return OK;
}

size_t kvcache_bytes(const KvCache *c)
{
    size_t n = 0;
    for (int64_t i = 0; i < c->pages; i++)
        n += c->page[i].users > 0;
    return n * page_floats(c) * sizeof(float);
}

/* ---- sequences ---- */
void kvcache_reset(KvCache *c, int64_t batch)
{
    assert(batch > 0 && batch <= c->batch_max);
    for (int64_t b = 0; b < c->batch_max; b++)
        drop_pages(c, &c->seq[b], 0);
    c->batch = batch;
    c->length = c->ready = 0;
}
void kvcache_set_batch(KvCache *c, int64_t batch)
{
    assert(batch > 0 && batch <= c->batch_max);
    for (int64_t b = batch; b < c->batch; b++)
        drop_pages(c, &c->seq[b], 0);
    c->batch = batch;
    c->ready = c->length;
}
int64_t kvcache_length(const KvCache *c)
{
    return c->length;
}
void kvcache_advance(KvCache *c, int64_t tokens)
{
    c->length += tokens;
}

Err kvcache_reorder(KvCache *c, const int32_t *parent)
{
    for (int64_t b = 0; b < c->batch; b++) {
        const Sequence *from = &c->seq[parent[b]];
        assert(parent[b] >= 0 && parent[b] < c->batch_max);
        TRY(reserve(&c->spare[b], from->n));
    }
    for (int64_t b = 0; b < c->batch; b++) {
        const Sequence *from = &c->seq[parent[b]];
        Sequence *to = &c->spare[b];
        to->n = from->n;
        for (int64_t i = 0; i < from->n; i++)
            c->page[to->page[i] = from->page[i]].users++;
    }
    for (int64_t b = 0; b < c->batch_max; b++)
        drop_pages(c, &c->seq[b], 0);
    Sequence *old = c->seq;
    c->seq = c->spare;
    c->spare = old;
    c->ready = c->length;
    return OK;
}

/* ---- attention ---- */
static float *place(const KvCache *c, int64_t b, int64_t layer, int part, int64_t token)
{
    float *mem = c->page[c->seq[b].page[token / KV_PAGE]].mem;
    return mem + ((layer * 2 + part) * KV_PAGE + token % KV_PAGE) * c->width;
}

/* Copies rows between pages (from token `at`) and rows[b][n][width] of one layer's keys or values.
 */
static void move(const KvCache *c, int64_t layer, int part, int64_t at, int64_t n, float *rows,
                 bool into_pages)
{
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t i = 0, step; i < n; i += step) {
            float *p = place(c, b, layer, part, at + i), *r = rows + (b * n + i) * c->width;
            step = KV_PAGE - (at + i) % KV_PAGE;
            step = step < n - i ? step : n - i;
            c->d->ops->copy(c->d, into_pages ? p : r, into_pages ? r : p,
                            (size_t)(step * c->width) * sizeof *r);
        }
}

static Err attend_pages(KvCache *c, int64_t layer, PagedAttention *a)
{
    a->pages = (a->tk + KV_PAGE - 1) / KV_PAGE;
    if (c->at_cap < c->batch * a->pages) {
        TRY(mem_realloc(&c->at, (size_t)(2 * c->batch * a->pages), sizeof *c->at));
        c->at_cap = 2 * c->batch * a->pages;
    }
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t i = 0; i < a->pages; i++)
            c->at[b * a->pages + i] = c->page[c->seq[b].page[i]].mem;
    a->page = c->at;
    a->page_rows = KV_PAGE;
    a->k_at = 2 * layer * KV_PAGE * c->width;
    a->v_at = a->k_at + KV_PAGE * c->width;
    c->d->ops->attention_paged(c->d, a);
    return OK;
}

/* Many queries, or padded sequences: keys and values in a row, as the usual attention wants them.
 */
static void attend_rows(Tape *t, KvCache *c, int64_t layer, Attention *a, Tensor *k, Tensor *v)
{
    if (c->length > 0) {
        k = tape_empty(t, TAPE_DIMS(3, c->batch, a->tk, c->width));
        v = tape_empty(t, TAPE_DIMS(3, c->batch, a->tk, c->width));
        if (!tape_live(t))
            return;
        move(c, layer, 0, 0, a->tk, tensor_f32(k), false);
        move(c, layer, 1, 0, a->tk, tensor_f32(v), false);
    }
    a->k = tensor_f32(k);
    a->v = tensor_f32(v);
    c->d->ops->attention(c->d, a);
}

Tensor *kvcache_attend(Tape *t, KvCache *c, int64_t layer, Tensor *q, Tensor *k, Tensor *v,
                       const AttnSpec *spec, const Tensor *start)
{
    int64_t tok = q->dim[1], heads = spec->heads, dim = q->dim[2] / heads;
    int64_t kv_heads = spec->kv_heads ? spec->kv_heads : heads;
    float scale = spec->scale != 0 ? spec->scale : 1.0f / sqrtf((float)dim);
    assert(!tape_recording(t) && q->dim[0] == c->batch && k->dim[2] == c->width &&
           kv_heads * dim == c->width);
    assert(layer >= 0 && layer < c->layers && k->dim[1] == tok && v->dim[1] == tok);
    Tensor *y = tape_empty(t, TAPE_DIMS(3, c->batch, tok, q->dim[2]));
    if (!tape_live(t))
        return y;
    Err err = prepare(c, c->length + tok);
    if (err != OK) {
        tape_fail(t, err);
        return y;
    }
    move(c, layer, 0, c->length, tok, tensor_f32(k), true);
    move(c, layer, 1, c->length, tok, tensor_f32(v), true);
    if (tok <= FEW && !start) {
        PagedAttention a = {.batch = c->batch,
                            .heads = heads,
                            .kv_heads = kv_heads,
                            .tq = tok,
                            .tk = c->length + tok,
                            .dim = dim,
                            .q = tensor_f32(q),
                            .out = tensor_f32(y),
                            .scale = scale};
        err = attend_pages(c, layer, &a);
        if (err != OK)
            tape_fail(t, err);
        return y;
    }
    attend_rows(t, c, layer,
                &(Attention){.batch = c->batch,
                             .heads = heads,
                             .kv_heads = kv_heads,
                             .tq = tok,
                             .tk = c->length + tok,
                             .dim = dim,
                             .q = tensor_f32(q),
                             .ldq = q->dim[2],
                             .ldk = c->width,
                             .ldv = c->width,
                             .out = tensor_f32(y),
                             .ldo = q->dim[2],
                             .scale = scale,
                             .causal = true,
                             .first = start ? tensor_i32(start) : NULL},
                k, v);
    return y;
}
