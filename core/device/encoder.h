/* A transformer layer from the operations of a device: what a backend without a fused one calls,
 * and the fused one too when the weights are held in a form it does not know. */
#ifndef SCMM_DEVICE_ENCODER_H
#define SCMM_DEVICE_ENCODER_H
#include "core/device/device.h"

/* Floats of working space that an EncoderLayer needs. */
static inline int64_t encoder_layer_work(int64_t rows, int64_t width, int64_t ffn)
{
    return rows * (6 * width + ffn);
}

static inline void encoder_layer_by_parts(Device *d, const EncoderLayer *e)
{
    const DeviceOps *o = d->ops;
    int64_t rows = e->batch * e->tokens, w = e->width, n = rows * w;
    bool joined = e->k.w == NULL;
    float *qkv = e->work, *attn = qkv + 3 * n, *sum = attn + n, *h = sum + n, *f = h + n;
    Attention a = {};
    a.batch = e->batch, a.heads = e->heads, a.kv_heads = e->heads, a.dim = w / e->heads;
    a.tq = a.tk = e->tokens;
    a.q = qkv, a.k = qkv + (joined ? w : n), a.v = qkv + 2 * (joined ? w : n);
    a.ldq = a.ldk = a.ldv = joined ? 3 * w : w;
    a.out = attn, a.ldo = w, a.scale = e->scale;
    a.len = e->len, a.key_mask = e->key_mask;
    o->linear_packed(d, rows, e->x, e->q.w, e->q.bias, ACT_NONE, qkv);
    if (!joined) {
        o->linear_packed(d, rows, e->x, e->k.w, e->k.bias, ACT_NONE, qkv + n);
        o->linear_packed(d, rows, e->x, e->v.w, e->v.bias, ACT_NONE, qkv + 2 * n);
    }
    o->attention(d, &a);
    o->linear_packed(d, rows, attn, e->out.w, e->out.bias, ACT_NONE, sum);
    o->add(d, n, n, e->x, 1.0f, sum, sum);
    o->layernorm(d, rows, w, e->eps, sum, e->gamma1, e->beta1, h, NULL);
    o->linear_packed(d, rows, h, e->ff1.w, e->ff1.bias, e->act, f);
    o->linear_packed(d, rows, f, e->ff2.w, e->ff2.bias, ACT_NONE, sum);
    o->add(d, n, n, h, 1.0f, sum, sum);
    o->layernorm(d, rows, w, e->eps, sum, e->gamma2, e->beta2, e->y, NULL);
}
#endif
