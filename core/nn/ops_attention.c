/* Attention and rotary positions. */
#include "core/nn/ops.h"
#include "core/nn/tape_internal.h"
#include <math.h>

/* in: q, k, v, or the one product that holds all three (then in[1], in[2] are NULL). */
static void attention_back(Tape *t, Node *n)
{
    Attention a = *(Attention *)n->more;
    a.dout = n->out->grad;
    a.delta = tape_floats(t, a.batch * a.heads * a.tq);
    if (n->in[1]) {
        a.dq = tape_grad(t, n->in[0]);
        a.dk = tape_grad(t, n->in[1]);
        a.dv = tape_grad(t, n->in[2]);
    } else {
        a.dq = tape_grad(t, n->in[0]);
        a.dk = a.dq ? a.dq + a.heads * a.dim : NULL;
        a.dv = a.dk ? a.dk + a.kv_heads * a.dim : NULL;
    }
    if (tape_live(t))
        OPS(t)->attention_backward(DEV(t), &a);
}

static Tensor *attend(Tape *t, Attention *a, const AttnSpec *s, Tensor *q, Tensor *k, Tensor *v)
{
    assert(a->heads % a->kv_heads == 0 && a->dim > 0);
    assert(!s->len || (s->len->dtype == DTYPE_I32 && tensor_size(s->len) == a->batch));
    assert(!s->first || (s->first->dtype == DTYPE_I32 && tensor_size(s->first) == a->batch));
    assert(!s->key_mask ||
           (s->key_mask->dtype == DTYPE_U8 && tensor_size(s->key_mask) == a->batch * a->tk));
    Tensor *y = tape_result(t, 3, (const int64_t[]){a->batch, a->tq, a->heads * a->dim});
    a->scale = s->scale != 0 ? s->scale : 1.0f / sqrtf((float)a->dim);
    a->causal = s->causal;
    a->prefix = s->prefix;
    a->len = s->len ? tensor_i32(s->len) : NULL;
    a->first = s->first ? tensor_i32(s->first) : NULL;
    a->key_mask = s->key_mask ? tensor_u8(s->key_mask) : NULL;
    a->drop = tape_recording(t) ? s->drop : 0;
    a->seed = a->drop > 0 ? tape_next_seed(t) : 0;
    a->out = tensor_f32(y);
    a->ldo = a->heads * a->dim;
    Node *n = tape_note(t, attention_back, y, q, k, v);
    a->lse = n ? tape_floats(t, a->batch * a->heads * a->tq) : NULL;
    if (tape_live(t))
        OPS(t)->attention(DEV(t), a);
    if (n) {
        Attention *keep = tape_host(t, sizeof *keep);
        *keep = *a;
        n->more = keep;
    }
    return y;
}

Tensor *op_attention(Tape *t, Tensor *q, Tensor *k, Tensor *v, const AttnSpec *s)
{
    int64_t kv_heads = s->kv_heads ? s->kv_heads : s->heads;
    assert(q->ndim == 3 && k->ndim == 3 && v->ndim == 3 && q->dim[0] == k->dim[0] &&
           k->dim[0] == v->dim[0]);
    assert(q->dim[2] % s->heads == 0 && k->dim[1] == v->dim[1]);
    Attention a = {.batch = q->dim[0],
                   .heads = s->heads,
                   .kv_heads = kv_heads,
                   .tq = q->dim[1],
                   .tk = k->dim[1],
                   .dim = q->dim[2] / s->heads,
                   .q = tensor_f32(q),
                   .k = tensor_f32(k),
                   .v = tensor_f32(v),
                   .ldq = q->dim[2],
                   .ldk = k->dim[2],
                   .ldv = v->dim[2]};
    assert(k->dim[2] == kv_heads * a.dim && v->dim[2] == kv_heads * a.dim);
    return attend(t, &a, s, q, k, v);
}

Tensor *op_attention_qkv(Tape *t, Tensor *qkv, const AttnSpec *s)
{
    int64_t kv_heads = s->kv_heads ? s->kv_heads : s->heads, ld = qkv->dim[2];
    assert(qkv->ndim == 3 && ld % (s->heads + 2 * kv_heads) == 0);
    Attention a = {.batch = qkv->dim[0],
                   .heads = s->heads,
                   .kv_heads = kv_heads,
                   .tq = qkv->dim[1],
                   .tk = qkv->dim[1],
                   .dim = ld / (s->heads + 2 * kv_heads),
                   .q = tensor_f32(qkv),
                   .ldq = ld,
                   .ldk = ld,
                   .ldv = ld};
    a.k = a.q + a.heads * a.dim;
    a.v = a.k + kv_heads * a.dim;
    return attend(t, &a, s, qkv, NULL, NULL);
}

/* ---- rotary positions ---- */
typedef struct Rope {
    int64_t rows, heads, dim;
    const int32_t *pos;
    const float *freq;
} Rope;

static void rope_back(Tape *t, Node *n)
{
    const Rope *r = n->more;
    float *dx = tape_grad(t, n->in[0]);
    int64_t ld = r->heads * r->dim;
    if (dx)
        OPS(t)->rope(DEV(t), r->rows, r->heads, r->dim, n->out->grad, ld, r->pos, r->freq, -1.0f,
                     dx, ld, true);
}

Tensor *op_rope(Tape *t, Tensor *x, int64_t heads, const Tensor *position, const Tensor *freq)
{
    assert(x->ndim == 3 && x->dim[2] % (2 * heads) == 0 && position->dtype == DTYPE_I32);
    int64_t b = x->dim[0], tok = x->dim[1], dim = x->dim[2] / heads, ld = x->dim[2];
    assert(tensor_size(freq) == dim / 2 &&
           (tensor_size(position) == tok || tensor_size(position) == b * tok));
    bool shared = tensor_size(position) == tok;
    Tensor *y = tape_result_like(t, x);
    /* Positions that all sequences share are repeated as bits of floats. */
    const int32_t *pos = tensor_i32(position);
    if (shared && b > 1) {
        float *all = tape_floats(t, b * tok);
        if (tape_live(t))
            OPS(t)->copy_block(DEV(t), b, tok, (const float *)position->data, 0, all, tok, false);
        pos = (const int32_t *)(void *)all;
    }
    Node *n = tape_note(t, rope_back, y, x, NULL, NULL);
    if (n) {
        Rope *r = tape_host(t, sizeof *r);
        *r = (Rope){b * tok, heads, dim, pos, tensor_f32(freq)};
        n->more = r;
    }
    if (tape_live(t))
        OPS(t)->rope(DEV(t), b * tok, heads, dim, tensor_f32(x), ld, pos, tensor_f32(freq), 1.0f,
                     tensor_f32(y), ld, false);
    return y;
}
