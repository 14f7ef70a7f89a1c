/* Cross-attention of few queries into many rows. Scores are q (Wk g + bk) = (Wk^T q) g + a constant
 * of the query that the softmax forgets, and the weights sum to 1, so that the context is
 * Wv (sum of weighted g) + bv: with few queries it is cheaper to bring the queries to the rows than
 * to project every row to a key and a value. Training takes the usual way. */
#include "core/nn/cross.h"
#include "core/nn/tape_internal.h"
#include <math.h>

static bool queries_are_few(int64_t tq, int64_t tk, int64_t c, int64_t w, int64_t heads)
{
    int64_t absorbed = tq * (2 * w * c + 2 * heads * tk * c);
    int64_t usual = 2 * tk * c * w + 2 * tq * tk * w;
    return 4 * absorbed < 3 * usual;
}

/* [B,Tq,W] -> [B,Tq,heads*C]: every head's part of a query times that head's rows of Wk. */
static float *to_rows(Tape *t, const Linear *k, Tensor *q, int64_t heads, float scale)
{
    int64_t c = k->w->t.dim[1], w = k->w->t.dim[0], rows = tensor_rows(q), dim = w / heads;
    float *y = tape_floats(t, rows * heads * c);
    if (tape_live(t))
        OPS(t)->gemm(DEV(t), &(Gemm){.m = rows,
                                     .n = c,
                                     .k = dim,
                                     .batch = heads,
                                     .a = tensor_f32(q),
                                     .lda = w,
                                     .stride_a = dim,
                                     .b = tensor_f32(&k->w->t),
                                     .ldb = c,
                                     .stride_b = dim * c,
                                     .c = y,
                                     .ldc = heads * c,
                                     .stride_c = c,
                                     .alpha = scale});
    return y;
}
/* [rows,heads*C] -> [B,Tq,W]: every head's mean row through that head's part of Wv. */
static void to_values(Tape *t, const Linear *v, const float *mean, int64_t heads, Tensor *y)
{
    int64_t c = v->w->t.dim[1], w = v->w->t.dim[0], rows = tensor_rows(y), dim = w / heads;
    OPS(t)->gemm(DEV(t), &(Gemm){.tb = true,
                                 .m = rows,
                                 .n = dim,
                                 .k = c,
                                 .batch = heads,
                                 .a = mean,
                                 .lda = heads * c,
                                 .stride_a = c,
                                 .b = tensor_f32(&v->w->t),
                                 .ldb = c,
                                 .stride_b = dim * c,
                                 .c = tensor_f32(y),
                                 .ldc = w,
                                 .stride_c = dim,
                                 .alpha = 1});
    if (v->b)
        OPS(t)->bias_act(DEV(t), rows, w, tensor_f32(&v->b->t), ACT_NONE, tensor_f32(y),
                         tensor_f32(y));
}

static Tensor *absorbed(Tape *t, const Linear *k, const Linear *v, Tensor *q, Tensor *kv,
                        const AttnSpec *s)
{
    int64_t heads = s->heads, c = kv->dim[2], rows = tensor_rows(q);
    float scale = s->scale != 0 ? s->scale : 1.0f / sqrtf((float)(q->dim[2] / heads));
    Tensor *y = tape_result_like(t, q);
    float *at = to_rows(t, k, q, heads, scale), *mean = tape_floats(t, rows * heads * c);
    if (!tape_live(t))
        return y;
    OPS(t)->attention(DEV(t), &(Attention){.batch = q->dim[0],
                                           .heads = 1,
                                           .kv_heads = 1,
                                           .tq = q->dim[1] * heads,
                                           .tk = kv->dim[1],
                                           .dim = c,
                                           .q = at,
                                           .k = tensor_f32(kv),
                                           .v = tensor_f32(kv),
                                           .ldq = c,
                                           .ldk = c,
                                           .ldv = c,
                                           .out = mean,
                                           .ldo = c,
                                           .scale = 1,
                                           .len = s->len ? tensor_i32(s->len) : NULL,
                                           .key_mask = s->key_mask ? tensor_u8(s->key_mask) : NULL});
    to_values(t, v, mean, heads, y);
    return y;
}

Tensor *cross_attention(Tape *t, const Linear *k, const Linear *v, Tensor *q, Tensor *kv,
                        const AttnSpec *s)
{
    bool plain = !s->causal && !s->prefix && !s->first && (!s->kv_heads || s->kv_heads == s->heads);
    if (plain && !tape_recording(t) && tensor_size(q) &&
        queries_are_few(q->dim[1], kv->dim[1], kv->dim[2], q->dim[2], s->heads))
        return absorbed(t, k, v, q, kv, s);
    return op_attention(t, q, linear_forward(t, k, kv, ACT_NONE),
                        linear_forward(t, v, kv, ACT_NONE), s);
}
