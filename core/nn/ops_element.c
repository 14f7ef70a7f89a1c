/* Operations element by element and row by row. */
#include "core/nn/ops.h"
#include "core/nn/tape_internal.h"

/* ---- sums and products ---- */
static void add_back(Tape *t, Node *n)
{
    int64_t size = tensor_size(n->in[0]), m = tensor_size(n->in[1]);
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->axpy(DEV(t), size, 1.0f, n->out->grad, dx);
    float *dy = tape_grad(t, n->in[1]);
    if (dy)
        OPS(t)->reduce_period(DEV(t), size, m, n->f[0], n->out->grad, dy);
}

/* y is the end of x's shape, leading ones dropped. */
static bool repeats(const Tensor *x, const Tensor *y)
{
    int first = 0;
    while (first < y->ndim - 1 && y->dim[first] == 1)
        first++;
    if (y->ndim - first > x->ndim)
        return false;
    for (int i = y->ndim - 1, j = x->ndim - 1; i >= first; i--, j--)
        if (y->dim[i] != x->dim[j])
            return tensor_size(y) == 1;
    return true;
}

Tensor *op_add_scaled(Tape *t, Tensor *x, float alpha, Tensor *y)
{
    assert(repeats(x, y));
    Tensor *z = tape_result_like(t, x);
    Node *n = tape_note(t, add_back, z, x, y, NULL);
    if (n)
        n->f[0] = alpha;
    if (tape_live(t) && tensor_size(x))
        OPS(t)->add(DEV(t), tensor_size(x), tensor_size(y), tensor_f32(x), alpha, tensor_f32(y),
                    tensor_f32(z));
    return z;
}
Tensor *op_add(Tape *t, Tensor *x, Tensor *y)
{
    return op_add_scaled(t, x, 1.0f, y);
}

static void mul_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]), *dy = tape_grad(t, n->in[1]);
    OPS(t)->mul_backward(DEV(t), tensor_size(n->in[0]), tensor_size(n->in[1]), tensor_f32(n->in[0]),
                         tensor_f32(n->in[1]), n->out->grad, dx, dy);
}
Tensor *op_mul(Tape *t, Tensor *x, Tensor *y)
{
    assert(repeats(x, y));
    Tensor *z = tape_result_like(t, x);
    tape_note(t, mul_back, z, x, y, NULL);
    if (tape_live(t) && tensor_size(x))
        OPS(t)->mul(DEV(t), tensor_size(x), tensor_size(y), tensor_f32(x), tensor_f32(y),
                    tensor_f32(z));
    return z;
}

static void scale_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->axpy(DEV(t), tensor_size(n->out), n->f[0], n->out->grad, dx);
}
Tensor *op_scale(Tape *t, Tensor *x, float a)
{
    Tensor *y = tape_result_like(t, x);
    Node *n = tape_note(t, scale_back, y, x, NULL, NULL);
    if (n)
        n->f[0] = a;
    if (tape_live(t))
        OPS(t)->scale(DEV(t), tensor_size(x), a, tensor_f32(x), tensor_f32(y));
    return y;
}

static void mul_rows_back(Tape *t, Node *n)
{
    Tensor *x = n->in[0];
    float *dx = tape_grad(t, x), *ds = tape_grad(t, n->in[1]);
    OPS(t)->mul_rows_backward(DEV(t), tensor_rows(x), tensor_cols(x), tensor_f32(x),
                              tensor_f32(n->in[1]), n->out->grad, dx, ds);
}
Tensor *op_mul_rows(Tape *t, Tensor *x, Tensor *s)
{
    assert(tensor_size(s) == tensor_rows(x));
    Tensor *y = tape_result_like(t, x);
    tape_note(t, mul_rows_back, y, x, s, NULL);
    if (tape_live(t))
        OPS(t)->mul_rows(DEV(t), tensor_rows(x), tensor_cols(x), tensor_f32(x), tensor_f32(s),
                         tensor_f32(y));
    return y;
}

/* ---- activations ---- */
static void act_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->act_backward(DEV(t), n->act, tensor_size(n->out), tensor_f32(n->in[0]),
                             tensor_f32(n->out), n->out->grad, dx, true);
}
Tensor *op_act(Tape *t, Tensor *x, Act act)
{
    Tensor *y = tape_result_like(t, x);
    Node *n = tape_note(t, act_back, y, x, NULL, NULL);
    if (n)
        n->act = act;
    if (tape_live(t))
        OPS(t)->act(DEV(t), act, tensor_size(x), tensor_f32(x), tensor_f32(y));
    return y;
}

static void swiglu_back(Tape *t, Node *n)
{
    float *da = tape_grad(t, n->in[0]), *db = tape_grad(t, n->in[1]);
    OPS(t)->swiglu_backward(DEV(t), tensor_size(n->out), tensor_f32(n->in[0]), tensor_f32(n->in[1]),
                            n->out->grad, da, db);
}
Tensor *op_swiglu(Tape *t, Tensor *gate, Tensor *up)
{
    assert(tensor_size(gate) == tensor_size(up));
    Tensor *y = tape_result_like(t, gate);
    tape_note(t, swiglu_back, y, gate, up, NULL);
    if (tape_live(t))
        OPS(t)->swiglu(DEV(t), tensor_size(gate), tensor_f32(gate), tensor_f32(up), tensor_f32(y));
    return y;
}

static void dropout_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->dropout(DEV(t), tensor_size(n->out), n->f[0], n->seed, n->out->grad, dx, true);
}
Tensor *op_dropout(Tape *t, Tensor *x, float p)
{
    assert(p >= 0 && p < 1);
    if (p == 0 || !tape_recording(t))
        return x;
    uint64_t seed = tape_next_seed(t);
    Tensor *y = tape_result_like(t, x);
    Node *n = tape_note(t, dropout_back, y, x, NULL, NULL);
    if (n) {
        n->f[0] = p;
        n->seed = seed;
    }
    if (tape_live(t))
        OPS(t)->dropout(DEV(t), tensor_size(x), p, seed, tensor_f32(x), tensor_f32(y), false);
    return y;
}

Tensor *op_detach(Tape *t, Tensor *x)
{
    Tensor *y = tape_handle(t, x);
    y->needs_grad = false;
    y->grad = NULL;
    y->view_of = NULL;
    return y;
}

/* ---- rows ---- */
static void layernorm_back(Tape *t, Node *n)
{
    Tensor *x = n->in[0];
    float *dx = tape_grad(t, x), *dg = tape_grad(t, n->in[1]), *db = tape_grad(t, n->in[2]);
    OPS(t)->layernorm_backward(DEV(t), tensor_rows(x), tensor_cols(x), tensor_f32(x),
                               tensor_f32(n->in[1]), n->save[0], n->out->grad, dx, dg, db);
}
Tensor *op_layernorm(Tape *t, Tensor *x, Tensor *gamma, Tensor *beta, float eps)
{
    int64_t rows = tensor_rows(x), cols = tensor_cols(x);
    assert(tensor_size(gamma) == cols && tensor_size(beta) == cols);
    Tensor *y = tape_result_like(t, x);
    Node *n = tape_note(t, layernorm_back, y, x, gamma, beta);
    float *stats = n ? tape_floats(t, 2 * rows) : NULL;
    if (n)
        n->save[0] = stats;
    if (tape_live(t))
        OPS(t)->layernorm(DEV(t), rows, cols, eps, tensor_f32(x), tensor_f32(gamma),
                          tensor_f32(beta), tensor_f32(y), stats);
    return y;
}

static void rmsnorm_back(Tape *t, Node *n)
{
    Tensor *x = n->in[0];
    float *dx = tape_grad(t, x), *dg = tape_grad(t, n->in[1]);
    OPS(t)->rmsnorm_backward(DEV(t), tensor_rows(x), tensor_cols(x), tensor_f32(x),
                             tensor_f32(n->in[1]), n->save[0], n->out->grad, dx, dg);
}
Tensor *op_rmsnorm(Tape *t, Tensor *x, Tensor *gamma, float eps)
{
    int64_t rows = tensor_rows(x), cols = tensor_cols(x);
    assert(tensor_size(gamma) == cols);
    Tensor *y = tape_result_like(t, x);
    Node *n = tape_note(t, rmsnorm_back, y, x, gamma, NULL);
    float *stats = n ? tape_floats(t, rows) : NULL;
    if (n)
        n->save[0] = stats;
    if (tape_live(t))
        OPS(t)->rmsnorm(DEV(t), rows, cols, eps, tensor_f32(x), tensor_f32(gamma), tensor_f32(y),
                        stats);
    return y;
}

static void l2norm_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->l2norm_backward(DEV(t), tensor_rows(n->out), tensor_cols(n->out),
                                tensor_f32(n->out), n->save[0], n->out->grad, dx);
}
Tensor *op_l2norm(Tape *t, Tensor *x)
{
    Tensor *y = tape_result_like(t, x);
    Node *n = tape_note(t, l2norm_back, y, x, NULL, NULL);
    float *norms = n ? tape_floats(t, tensor_rows(x)) : NULL;
    if (n)
        n->save[0] = norms;
    if (tape_live(t))
        OPS(t)->l2norm(DEV(t), tensor_rows(x), tensor_cols(x), tensor_f32(x), tensor_f32(y), norms);
    return y;
}

static void softmax_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->softmax_backward(DEV(t), tensor_rows(n->out), tensor_cols(n->out),
                                 tensor_f32(n->out), n->out->grad, dx);
}
Tensor *op_softmax(Tape *t, Tensor *x)
{
    Tensor *y = tape_result_like(t, x);
    tape_note(t, softmax_back, y, x, NULL, NULL);
    if (tape_live(t))
        OPS(t)->softmax(DEV(t), tensor_rows(x), tensor_cols(x), tensor_f32(x), tensor_f32(y));
    return y;
}
