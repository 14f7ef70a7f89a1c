/* Post-norm transformer layers: each one operation of the device where nothing is recorded and all
 * weights are packed, else its parts on the tape. */
#include "core/nn/encoder.h"
#include "core/device/encoder.h"
#include "core/nn/tape_internal.h"
#include <math.h>

static EncoderLinear packed_of(const Linear *l)
{
    if (!l)
        return (EncoderLinear){0};
    return (EncoderLinear){l->w->packed, l->b ? tensor_f32(&l->b->t) : NULL};
}

static bool packed(const Encoder *e)
{
    return e->q->w->packed && (!e->k || (e->k->w->packed && e->v->w->packed)) &&
           e->out->w->packed && e->ff1->w->packed && e->ff2->w->packed;
}
static bool can_fuse(Tape *t, const Encoder *layer, int64_t n, const AttnSpec *s)
{
    bool plain = !s->causal && !s->prefix && !s->first && (!s->kv_heads || s->kv_heads == s->heads);
    for (int64_t i = 0; plain && i < n; i++)
        plain = packed(&layer[i]);
    return plain && !tape_recording(t);
}

/* Results go to two buffers in turn. */
static Tensor *fused(Tape *t, const Encoder *layer, int64_t n, Tensor *x, const AttnSpec *s)
{
    int64_t b = x->dim[0], tokens = x->dim[1], w = x->dim[2], ffn = 0;
    Tensor *y[2] = {tape_result_like(t, x), tape_result_like(t, x)};
    for (int64_t i = 0; i < n; i++)
        ffn = layer[i].ff1->w->t.dim[0] > ffn ? layer[i].ff1->w->t.dim[0] : ffn;
    float *work = tape_floats(t, encoder_layer_work(b * tokens, w, ffn));
    for (int64_t i = 0; i < n && tape_live(t) && tensor_size(x); i++) {
        const Encoder *e = &layer[i];
        EncoderLayer l = {
            .batch = b,
            .tokens = tokens,
            .width = w,
            .ffn = e->ff1->w->t.dim[0],
            .heads = s->heads,
            .eps = e->norm1->eps,
            .scale = s->scale != 0 ? s->scale : 1.0f / sqrtf((float)(w / s->heads)),
            .act = e->act,
            .x = tensor_f32(i ? y[(i - 1) % 2] : x),
            .y = tensor_f32(y[i % 2]),
            .work = work,
            .q = packed_of(e->q),
            .k = packed_of(e->k),
            .v = packed_of(e->v),
            .out = packed_of(e->out),
            .ff1 = packed_of(e->ff1),
            .ff2 = packed_of(e->ff2),
            .gamma1 = tensor_f32(&e->norm1->gamma->t),
            .beta1 = tensor_f32(&e->norm1->beta->t),
            .gamma2 = tensor_f32(&e->norm2->gamma->t),
            .beta2 = tensor_f32(&e->norm2->beta->t),
            .len = s->len ? tensor_i32(s->len) : NULL,
            .key_mask = s->key_mask ? tensor_u8(s->key_mask) : NULL,
        };
        OPS(t)->encoder_layer(DEV(t), &l);
    }
    return n ? y[(n - 1) % 2] : x;
}

static Tensor *by_parts(Tape *t, const Encoder *e, Tensor *x, const AttnSpec *s)
{
    Tensor *q = linear_forward(t, e->q, x, ACT_NONE), *a;
    if (e->k)
        a = op_attention(t, q, linear_forward(t, e->k, x, ACT_NONE),
                         linear_forward(t, e->v, x, ACT_NONE), s);
    else
        a = op_attention_qkv(t, q, s);
    a = op_dropout(t, linear_forward(t, e->out, a, ACT_NONE), e->drop);
    x = norm_forward(t, e->norm1, op_add(t, x, a));
    Tensor *f = op_dropout(t, linear_forward(t, e->ff1, x, e->act), e->drop);
    f = op_dropout(t, linear_forward(t, e->ff2, f, ACT_NONE), e->drop);
    return norm_forward(t, e->norm2, op_add(t, x, f));
}

Tensor *encoder_forward(Tape *t, const Encoder *layer, int64_t n, Tensor *x, const AttnSpec *s)
{
    assert(x->ndim == 3);
    if (can_fuse(t, layer, n, s))
        return fused(t, layer, n, x, s);
    TapeMark mark = tape_mark(t);
    for (int64_t i = 0; i < n; i++)
        x = tape_rewind(t, mark, by_parts(t, &layer[i], x, s));
    return x;
}
