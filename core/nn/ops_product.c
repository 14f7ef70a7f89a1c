/* Linear layers and matrix products. */
#include "core/nn/ops.h"
#include "core/nn/params.h"
#include "core/nn/tape_internal.h"

/* True when the derivative needs the value before the activation rather than the one after. */
static bool act_needs_input(Act act)
{
    return act == ACT_GELU || act == ACT_SILU || act == ACT_LOG || act == ACT_SQUARE ||
           act == ACT_SOFTPLUS;
}

static void linear_back(Tape *t, Node *n)
{
    Tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    int64_t rows = n->i[0], k = w->dim[1], out = w->dim[0];
    float *dy = n->out->grad, beta;
    if (n->act != ACT_NONE)
        OPS(t)->act_backward(DEV(t), n->act, rows * out, n->save[0], tensor_f32(n->out), dy, dy,
                             false);
    float *db = tape_grad(t, b);
    if (db)
        OPS(t)->reduce_period(DEV(t), rows * out, out, 1.0f, dy, db);
    float *dw = tape_grad_gemm(t, w, &beta);
    if (dw)
        OPS(t)->gemm(DEV(t), &(Gemm){.ta = true,
                                     .m = out,
                                     .n = k,
                                     .k = rows,
                                     .batch = 1,
                                     .a = dy,
                                     .lda = out,
                                     .b = tensor_f32(x),
                                     .ldb = k,
                                     .c = dw,
                                     .ldc = k,
                                     .alpha = 1,
                                     .beta = beta});
    float *dx = tape_grad_gemm(t, x, &beta);
    if (dx)
        OPS(t)->gemm(DEV(t), &(Gemm){.m = rows,
                                     .n = k,
                                     .k = out,
                                     .batch = 1,
                                     .a = dy,
                                     .lda = out,
                                     .b = tensor_f32(w),
                                     .ldb = k,
                                     .c = dx,
                                     .ldc = k,
                                     .alpha = 1,
                                     .beta = beta});
}

Tensor *op_linear(Tape *t, Tensor *x, Tensor *w, Tensor *b, Act act)
{
    assert(w->ndim == 2 && tensor_cols(x) == w->dim[1] && (!b || tensor_size(b) == w->dim[0]));
    int64_t rows = tensor_rows(x), k = w->dim[1], out = w->dim[0];
    Tensor *y = tape_result_cols(t, x, out), *pre = y;
    Node *n = tape_note(t, linear_back, y, x, w, b);
    if (n && act_needs_input(act))
        pre = tape_result_like(t, y);
    if (!tape_live(t) || rows == 0)
        return y;
    const PackedWeight *packed = w->param ? w->param->packed : NULL;
    if (!n && packed) {
        OPS(t)->linear_packed(DEV(t), rows, tensor_f32(x), packed, b ? tensor_f32(b) : NULL, act,
                              tensor_f32(y));
        return y;
    }
    OPS(t)->gemm(DEV(t), &(Gemm){.tb = true,
                                 .m = rows,
                                 .n = out,
                                 .k = k,
                                 .batch = 1,
                                 .a = tensor_f32(x),
                                 .lda = k,
                                 .b = tensor_f32(w),
                                 .ldb = k,
                                 .c = tensor_f32(pre),
                                 .ldc = out,
                                 .alpha = 1});
    if (b || act != ACT_NONE)
        OPS(t)->bias_act(DEV(t), rows, out, b ? tensor_f32(b) : NULL, act, tensor_f32(pre),
                         tensor_f32(y));
    if (n) {
        n->i[0] = rows;
        n->act = act;
        n->save[0] = tensor_f32(pre);
    }
    return y;
}

/* ---- stored weights ---- */
void op_linear_stored(Tape *t, StoredMode mode, Tensor *x, int count, const PackedWeight *const *w,
                      const int64_t *out, Tensor **y)
{
    enum { MOST = 8 };
    float *to[MOST];
    assert(!tape_recording(t) && count <= MOST);
    for (int i = 0; i < count; i++)
        y[i] = tape_result_cols(t, x, out[i]);
    if (!tape_live(t) || tensor_rows(x) == 0)
        return;
    for (int i = 0; i < count; i++)
        to[i] = tensor_f32(y[i]);
    OPS(t)->linear_stored(DEV(t), mode, tensor_rows(x), tensor_f32(x), count, w, to);
}

Tensor *op_gather_stored(Tape *t, const PackedWeight *w, int64_t cols, const Tensor *index)
{
    int64_t dim[4] = {index->dim[0], index->dim[1], index->dim[2], index->dim[3]};
    assert(!tape_recording(t) && index->ndim < 4);
    dim[index->ndim] = cols;
    Tensor *y = tape_result(t, index->ndim + 1, dim);
    if (tape_live(t))
        OPS(t)->gather_stored(DEV(t), tensor_size(index), w, tensor_i32(index), tensor_f32(y));
    return y;
}

/* ---- general products ---- */
/* One product of the batch, or all with strides; the gradient of a shared right factor is summed by
 * a loop. */
static void matmul_back_a(Tape *t, const Node *n, const Gemm *f, const float *dc)
{
    float beta, *da = tape_grad_gemm(t, n->in[0], &beta);
    if (!da)
        return;
    Gemm g = {.batch = f->batch,
              .alpha = f->alpha,
              .beta = beta,
              .c = da,
              .ldc = f->lda,
              .stride_c = f->stride_a};
    if (!f->ta) { /* dA[m,k] = dC op(B)^T */
        g.m = f->m, g.n = f->k, g.k = f->n, g.tb = !f->tb;
        g.a = dc, g.lda = f->ldc, g.stride_a = f->stride_c;
        g.b = f->b, g.ldb = f->ldb, g.stride_b = f->stride_b;
    } else { /* stored [k,m] = op(B) dC^T */
        g.m = f->k, g.n = f->m, g.k = f->n, g.ta = f->tb, g.tb = true;
        g.a = f->b, g.lda = f->ldb, g.stride_a = f->stride_b;
        g.b = dc, g.ldb = f->ldc, g.stride_b = f->stride_c;
    }
    OPS(t)->gemm(DEV(t), &g);
}
static void matmul_back_b(Tape *t, const Node *n, const Gemm *f, const float *dc)
{
    float beta, *db = tape_grad_gemm(t, n->in[1], &beta);
    if (!db)
        return;
    bool shared = f->stride_b == 0 && f->batch > 1;
    Gemm g = {.batch = f->batch,
              .alpha = f->alpha,
              .beta = beta,
              .c = db,
              .ldc = f->ldb,
              .stride_c = f->stride_b};
    if (!f->tb) { /* dB[k,n] = op(A)^T dC */
        g.m = f->k, g.n = f->n, g.k = f->m, g.ta = !f->ta;
        g.a = f->a, g.lda = f->lda, g.stride_a = f->stride_a;
        g.b = dc, g.ldb = f->ldc, g.stride_b = f->stride_c;
    } else { /* stored [n,k] = dC^T op(A) */
        g.m = f->n, g.n = f->k, g.k = f->m, g.ta = true, g.tb = f->ta;
        g.a = dc, g.lda = f->ldc, g.stride_a = f->stride_c;
        g.b = f->a, g.ldb = f->lda, g.stride_b = f->stride_a;
    }
    g.batch = shared ? 1 : f->batch;
    for (int64_t i = 0; i < (shared ? f->batch : 1); i++) {
        OPS(t)->gemm(DEV(t), &g);
        g.a += g.stride_a;
        g.b += g.stride_b;
        g.beta = 1.0f;
    }
}
static void matmul_back(Tape *t, Node *n)
{
    const Gemm *f = n->more;
    matmul_back_a(t, n, f, n->out->grad);
    matmul_back_b(t, n, f, n->out->grad);
}

static int64_t batch_of(const Tensor *x)
{
    int64_t b = 1;
    for (int i = 0; i < x->ndim - 2; i++)
        b *= x->dim[i];
    return b;
}

Tensor *op_matmul(Tape *t, Tensor *a, bool ta, Tensor *b, bool tb, float alpha)
{
    assert(a->ndim >= 2 && b->ndim >= 2);
    int64_t ra = a->dim[a->ndim - 2], ca = a->dim[a->ndim - 1], rb = b->dim[b->ndim - 2],
            cb = b->dim[b->ndim - 1];
    Gemm g = {.ta = ta,
              .tb = tb,
              .m = ta ? ca : ra,
              .k = ta ? ra : ca,
              .n = tb ? rb : cb,
              .alpha = alpha};
    assert(g.k == (tb ? cb : rb));
    assert(b->ndim == 2 || batch_of(b) == batch_of(a));
    g.batch = batch_of(a);
    g.lda = ca, g.ldb = cb, g.ldc = g.n;
    g.stride_a = ra * ca, g.stride_c = g.m * g.n;
    g.stride_b = batch_of(b) == g.batch ? rb * cb : 0;
    if (g.stride_b == 0 && !ta) { /* one tall product */
        g.m *= g.batch;
        g.batch = 1;
    }
    int64_t dim[4] = {a->dim[0], a->dim[1], a->dim[2], a->dim[3]};
    dim[a->ndim - 2] = ta ? ca : ra;
    dim[a->ndim - 1] = g.n;
    Tensor *y = tape_result(t, a->ndim, dim);
    Node *n = tape_note(t, matmul_back, y, a, b, NULL);
    if (!tape_live(t))
        return y;
    g.a = tensor_f32(a), g.b = tensor_f32(b), g.c = tensor_f32(y);
    OPS(t)->gemm(DEV(t), &g);
    if (n) {
        Gemm *keep = tape_host(t, sizeof *keep);
        *keep = g;
        n->more = keep;
    }
    return y;
}

/* ---- S[b,n] = max_q <cell[b,q], text[n]> ---- */
static void max_similarity_back(Tape *t, Node *n)
{
    Tensor *cell = n->in[0], *text = n->in[1];
    int64_t b = cell->dim[0], q = cell->dim[1], d = cell->dim[2], m = text->dim[0];
    float beta, *ds = tape_zeros(t, b * q * m);
    if (!ds)
        return;
    OPS(t)->max_middle_backward(DEV(t), b, q, m, (const int32_t *)(void *)n->save[0], n->out->grad,
                                ds);
    float *dcell = tape_grad_gemm(t, cell, &beta);
    if (dcell)
        OPS(t)->gemm(DEV(t), &(Gemm){.m = b * q,
                                     .n = d,
                                     .k = m,
                                     .batch = 1,
                                     .a = ds,
                                     .lda = m,
                                     .b = tensor_f32(text),
                                     .ldb = d,
                                     .c = dcell,
                                     .ldc = d,
                                     .alpha = 1,
                                     .beta = beta});
    float *dtext = tape_grad_gemm(t, text, &beta);
    if (dtext)
        OPS(t)->gemm(DEV(t), &(Gemm){.ta = true,
                                     .m = m,
                                     .n = d,
                                     .k = b * q,
                                     .batch = 1,
                                     .a = ds,
                                     .lda = m,
                                     .b = tensor_f32(cell),
                                     .ldb = d,
                                     .c = dtext,
                                     .ldc = d,
                                     .alpha = 1,
                                     .beta = beta});
}

Tensor *op_max_similarity(Tape *t, Tensor *cell, Tensor *text)
{
    assert(cell->ndim == 3 && text->ndim == 2 && cell->dim[2] == text->dim[1] && cell->dim[1] > 0);
    int64_t b = cell->dim[0], q = cell->dim[1], d = cell->dim[2], m = text->dim[0];
    Tensor *y = tape_result(t, 2, (const int64_t[]){b, m});
    float *all = tape_floats(t, b * q * m), *arg = tape_floats(t, b * m);
    Node *n = tape_note(t, max_similarity_back, y, cell, text, NULL);
    if (!tape_live(t) || b * m == 0)
        return y;
    OPS(t)->gemm(DEV(t), &(Gemm){.tb = true,
                                 .m = b * q,
                                 .n = m,
                                 .k = d,
                                 .batch = 1,
                                 .a = tensor_f32(cell),
                                 .lda = d,
                                 .b = tensor_f32(text),
                                 .ldb = d,
                                 .c = all,
                                 .ldc = m,
                                 .alpha = 1});
    OPS(t)->max_middle(DEV(t), b, q, m, all, tensor_f32(y), (int32_t *)(void *)arg);
    if (n)
        n->save[0] = arg;
    return y;
}

/* ---- sum_t w[b,t] x[b,t,:] ---- */
static void token_sum_back(Tape *t, Node *n)
{
    Tensor *x = n->in[0], *w = n->in[1];
    int64_t b = x->dim[0], tok = x->dim[1], c = x->dim[2];
    float beta, *dx = tape_grad_gemm(t, x, &beta);
    if (dx)
        OPS(t)->gemm(DEV(t), &(Gemm){.m = tok,
                                     .n = c,
                                     .k = 1,
                                     .batch = b,
                                     .a = tensor_f32(w),
                                     .lda = 1,
                                     .stride_a = tok,
                                     .b = n->out->grad,
                                     .ldb = c,
                                     .stride_b = c,
                                     .c = dx,
                                     .ldc = c,
                                     .stride_c = tok * c,
                                     .alpha = 1,
                                     .beta = beta});
    float *dw = tape_grad_gemm(t, w, &beta);
    if (dw)
        OPS(t)->gemm(DEV(t), &(Gemm){.tb = true,
                                     .m = 1,
                                     .n = tok,
                                     .k = c,
                                     .batch = b,
                                     .a = n->out->grad,
                                     .lda = c,
                                     .stride_a = c,
                                     .b = tensor_f32(x),
                                     .ldb = c,
                                     .stride_b = tok * c,
                                     .c = dw,
                                     .ldc = tok,
                                     .stride_c = tok,
                                     .alpha = 1,
                                     .beta = beta});
}

Tensor *op_token_sum(Tape *t, Tensor *x, Tensor *w)
{
    assert(x->ndim == 3 && tensor_size(w) == x->dim[0] * x->dim[1]);
    int64_t b = x->dim[0], tok = x->dim[1], c = x->dim[2];
    Tensor *y = tape_result(t, 2, (const int64_t[]){b, c});
    tape_note(t, token_sum_back, y, x, w, NULL);
    if (tape_live(t))
        OPS(t)->gemm(DEV(t), &(Gemm){.m = 1,
                                     .n = c,
                                     .k = tok,
                                     .batch = b,
                                     .a = tensor_f32(w),
                                     .lda = tok,
                                     .stride_a = tok,
                                     .b = tensor_f32(x),
                                     .ldb = c,
                                     .stride_b = tok * c,
                                     .c = tensor_f32(y),
                                     .ldc = c,
                                     .stride_c = c,
                                     .alpha = 1});
    return y;
}

Tensor *op_token_mean(Tape *t, Tensor *x, const int32_t *len)
{
    int64_t b = x->dim[0], tok = x->dim[1];
    float *w = tape_host(t, (size_t)(b * tok) * sizeof *w);
    for (int64_t i = 0; i < b; i++) {
        int64_t n = len[i] < tok ? len[i] : tok;
        for (int64_t j = 0; j < n; j++)
            w[i * tok + j] = 1.0f / (float)n;
    }
    return op_token_sum(t, x, tape_input_f32(t, w, 2, b, tok));
}
