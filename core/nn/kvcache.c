/* Keys and values of earlier tokens: for each layer two arrays [batch, capacity, width]. */
#include "core/nn/kvcache.h"
#include "core/base/mem.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

struct KvCache {
    Device *d;
    int64_t layers, batch_max, batch, capacity, width, length;
    float **kv;   /* [2*layers]: keys of layer i at 2i, values at 2i+1 */
    float *spare; /* one more array, for reordering */
};

static size_t array_bytes(const KvCache *c, int64_t capacity)
{
    return (size_t)(c->batch_max * capacity * c->width) * sizeof(float);
}

Err kvcache_new(Device *d, int64_t layers, int64_t batch, int64_t capacity, int64_t width,
                KvCache **out)
{
    KvCache *c = mem_must(sizeof *c);
    c->d = d;
    c->layers = layers;
    c->batch_max = c->batch = batch;
    c->capacity = capacity > 0 ? capacity : 1;
    c->width = width;
    c->kv = mem_must((size_t)(2 * layers) * sizeof *c->kv);
    Err err = OK;
    for (int64_t i = 0; i < 2 * layers && err == OK; i++)
        err = device_alloc(d, array_bytes(c, c->capacity), (void **)&c->kv[i]);
    if (err != OK) {
        kvcache_free(c);
        return err;
    }
    *out = c;
    return OK;
}
void kvcache_free(KvCache *c)
{
    if (!c)
        return;
    for (int64_t i = 0; i < 2 * c->layers; i++)
        c->d->ops->free(c->d, c->kv[i]);
    c->d->ops->free(c->d, c->spare);
    free(c->kv);
    free(c);
}
void kvcache_reset(KvCache *c, int64_t batch)
{
    assert(batch > 0 && batch <= c->batch_max);
    c->batch = batch;
    c->length = 0;
}
void kvcache_set_batch(KvCache *c, int64_t batch)
{
    assert(batch > 0 && batch <= c->batch_max);
    c->batch = batch;
}
int64_t kvcache_batch(const KvCache *c)
{
    return c->batch;
}
int64_t kvcache_length(const KvCache *c)
{
    return c->length;
}
void kvcache_advance(KvCache *c, int64_t tokens)
{
    c->length += tokens;
}
void kvcache_truncate(KvCache *c, int64_t length)
{
    assert(length >= 0 && length <= c->length);
    c->length = length;
}

/* Doubles the capacity until `need` tokens fit. On failure everything stays as it was. */
static Err grow(KvCache *c, int64_t need)
{
    int64_t capacity = c->capacity;
    while (capacity < need)
        capacity *= 2;
    if (capacity == c->capacity)
        return OK;
    float **fresh = mem_must((size_t)(2 * c->layers) * sizeof *fresh);
    Err err = OK;
    for (int64_t i = 0; i < 2 * c->layers && err == OK; i++)
        err = device_alloc(c->d, array_bytes(c, capacity), (void **)&fresh[i]);
    for (int64_t i = 0; i < 2 * c->layers && err == OK; i++)
        c->d->ops->copy_block(c->d, c->batch, c->length * c->width, c->kv[i],
                              c->capacity * c->width, fresh[i], capacity * c->width, false);
    float **drop = err == OK ? c->kv : fresh;
    for (int64_t i = 0; i < 2 * c->layers; i++)
        c->d->ops->free(c->d, drop[i]);
    free(drop);
    if (err != OK)
        return err;
    c->d->ops->free(c->d, c->spare);
    c->spare = NULL;
    c->kv = fresh;
    c->capacity = capacity;
    return OK;
}

Tensor *kvcache_attend(Tape *t, KvCache *c, int64_t layer, Tensor *q, Tensor *k, Tensor *v,
                       const AttnSpec *spec, const Tensor *start)
{
    int64_t tok = q->dim[1], heads = spec->heads, dim = q->dim[2] / heads;
    int64_t kv_heads = spec->kv_heads ? spec->kv_heads : heads, row = tok * c->width;
    assert(!tape_recording(t) && q->dim[0] == c->batch && k->dim[2] == c->width &&
           kv_heads * dim == c->width);
    assert(layer >= 0 && layer < c->layers && k->dim[1] == tok && v->dim[1] == tok);
    Tensor *y = tape_empty(t, TAPE_DIMS(3, c->batch, tok, q->dim[2]));
    if (tape_error(t) != OK ||
        grow(c, c->length + tok) != OK) /* the device latches: the tape will say so */
        return y;
    const DeviceOps *ops = c->d->ops;
    float *kc = c->kv[2 * layer], *vc = c->kv[2 * layer + 1];
    int64_t to = c->length * c->width, stride = c->capacity * c->width;
    ops->copy_block(c->d, c->batch, row, tensor_f32(k), row, kc + to, stride, false);
    ops->copy_block(c->d, c->batch, row, tensor_f32(v), row, vc + to, stride, false);
    ops->attention(c->d,
                   &(Attention){.batch = c->batch,
                                .heads = heads,
                                .kv_heads = kv_heads,
                                .tq = tok,
                                .tk = c->length + tok,
                                .dim = dim,
                                .q = tensor_f32(q),
                                .k = kc,
                                .v = vc,
                                .ldq = q->dim[2],
                                .ldk = c->width,
                                .ldv = c->width,
                                .kv_rows = c->capacity,
                                .out = tensor_f32(y),
                                .ldo = q->dim[2],
                                .scale = spec->scale != 0 ? spec->scale : 1.0f / sqrtf((float)dim),
                                .causal = true,
                                .first = start ? tensor_i32(start) : NULL});
    return y;
}

Err kvcache_reorder(KvCache *c, const int32_t *parent)
{
    int64_t stride = c->capacity * c->width, used = c->length * c->width;
    if (!c->spare)
        TRY(device_alloc(c->d, array_bytes(c, c->capacity), (void **)&c->spare));
    for (int64_t i = 0; i < 2 * c->layers; i++) {
        for (int64_t b = 0; b < c->batch; b++) {
            assert(parent[b] >= 0 && parent[b] < c->batch);
            c->d->ops->copy(c->d, c->spare + b * stride, c->kv[i] + parent[b] * stride,
                            (size_t)used * sizeof(float));
        }
        float *old = c->kv[i];
        c->kv[i] = c->spare;
        c->spare = old;
    }
    return device_check(c->d);
}
