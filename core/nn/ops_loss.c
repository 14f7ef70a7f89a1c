/* Scalars and losses. */
#include "core/nn/ops.h"
#include "core/nn/tape_internal.h"

/* ---- sums ---- */
static void sum_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->add_scalar(DEV(t), tensor_size(n->in[0]), n->f[0], n->out->grad, dx);
}
static Tensor *scaled_sum(Tape *t, Tensor *x, float a)
{
    Tensor *y = tape_scalar(t);
    Node *n = tape_note(t, sum_back, y, x, NULL, NULL);
    if (n)
        n->f[0] = a;
    if (tape_live(t))
        OPS(t)->sum(DEV(t), tensor_size(x), a, tensor_f32(x), tensor_f32(y));
    return y;
}
Tensor *op_sum(Tape *t, Tensor *x)
{
    return scaled_sum(t, x, 1.0f);
}
Tensor *op_mean(Tape *t, Tensor *x)
{
    assert(tensor_size(x) > 0);
    return scaled_sum(t, x, 1.0f / (float)tensor_size(x));
}

static void term_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]);
    if (dx)
        OPS(t)->axpy(DEV(t), 1, n->f[0], n->out->grad, dx);
}
Tensor *op_weighted_sum(Tape *t, int count, Tensor *const *loss, const float *weight)
{
    Tensor *y = tape_fill(t, 0.0f, TAPE_DIMS(1, 1));
    for (int i = 0; i < count; i++) {
        if (!loss[i])
            continue;
        assert(tensor_size(loss[i]) == 1);
        Node *n = tape_note(t, term_back, y, loss[i], NULL, NULL);
        if (n)
            n->f[0] = weight[i];
        if (tape_live(t))
            OPS(t)->axpy(DEV(t), 1, weight[i], tensor_f32(loss[i]), tensor_f32(y));
    }
    return y;
}

/* ---- cross-entropy ---- */
static void ce_back(Tape *t, Node *n)
{
    CrossEntropy c = *(CrossEntropy *)n->more;
    c.dloss = n->out->grad;
    c.dlogits = tape_grad(t, n->in[0]);
    if (c.dlogits)
        OPS(t)->cross_entropy_backward(DEV(t), &c);
}
static Tensor *cross_entropy(Tape *t, Tensor *logits, CrossEntropy c, const CeSpec *s)
{
    Tensor *y = tape_scalar(t);
    c.n = tensor_rows(logits);
    c.v = tensor_cols(logits);
    c.logits = tensor_f32(logits);
    c.loss = tensor_f32(y);
    c.stats = tape_floats(t, 2 * c.n + 1);
    if (s && s->mask) {
        assert(s->mask->dtype == DTYPE_U8);
        assert(tensor_size(s->mask) == c.v || tensor_size(s->mask) == c.n * c.v);
        c.mask = tensor_u8(s->mask);
        c.mask_stride = tensor_size(s->mask) == c.v ? 0 : c.v;
    }
    if (s && s->row_weight) {
        assert(tensor_size(s->row_weight) == c.n);
        c.row_weight = tensor_f32(s->row_weight);
    }
    Node *n = tape_note(t, ce_back, y, logits, NULL, NULL);
    if (n) {
        CrossEntropy *keep = tape_host(t, sizeof *keep);
        *keep = c;
        n->more = keep;
    }
    if (tape_live(t))
        OPS(t)->cross_entropy(DEV(t), &c);
    return y;
}
Tensor *op_cross_entropy(Tape *t, Tensor *logits, const Tensor *target, const CeSpec *s)
{
    assert(target->dtype == DTYPE_I32 && tensor_size(target) == tensor_rows(logits));
    return cross_entropy(
        t, logits, (CrossEntropy){.target = tensor_i32(target), .smoothing = s ? s->smoothing : 0},
        s);
}
Tensor *op_cross_entropy_soft(Tape *t, Tensor *logits, const Tensor *target, const CeSpec *s)
{
    assert(target->dtype == DTYPE_F32 && tensor_size(target) == tensor_size(logits));
    return cross_entropy(t, logits, (CrossEntropy){.soft = tensor_f32(target)}, s);
}

/* ---- squared error ---- */
static void mse_back(Tape *t, Node *n)
{
    float *dx = tape_grad(t, n->in[0]), *dy = tape_grad(t, n->in[1]);
    OPS(t)->mse_backward(DEV(t), tensor_size(n->in[0]), tensor_f32(n->in[0]), tensor_f32(n->in[1]),
                         n->save[0], n->save[1], n->out->grad, dx, dy);
}
Tensor *op_mse(Tape *t, Tensor *x, Tensor *y, const Tensor *weight)
{
    assert(tensor_size(x) == tensor_size(y) && (!weight || tensor_size(weight) == tensor_size(x)));
    Tensor *loss = tape_scalar(t);
    float *norm = tape_floats(t, 1), *w = weight ? tensor_f32(weight) : NULL;
    Node *n = tape_note(t, mse_back, loss, x, y, NULL);
    if (n)
        n->save[0] = w, n->save[1] = norm;
    if (tape_live(t))
        OPS(t)->mse(DEV(t), tensor_size(x), tensor_f32(x), tensor_f32(y), w, tensor_f32(loss),
                    norm);
    return loss;
}

/* ---- Gaussian latent variables ---- */
static void reparam_back(Tape *t, Node *n)
{
    float *dmu = tape_grad(t, n->in[0]), *dlv = tape_grad(t, n->in[1]);
    OPS(t)->reparam_backward(DEV(t), tensor_size(n->out), tensor_f32(n->in[1]), n->save[0],
                             n->out->grad, dmu, dlv);
}
Tensor *op_reparam(Tape *t, Tensor *mu, Tensor *logvar)
{
    assert(tensor_size(mu) == tensor_size(logvar));
    Tensor *z = tape_result_like(t, mu);
    float *noise = tape_floats(t, tensor_size(mu));
    uint64_t seed = tape_next_seed(t);
    Node *n = tape_note(t, reparam_back, z, mu, logvar, NULL);
    if (n)
        n->save[0] = noise;
    if (tape_live(t)) {
        OPS(t)->fill_normal(DEV(t), tensor_size(mu), seed, noise);
        OPS(t)->reparam(DEV(t), tensor_size(mu), tensor_f32(mu), tensor_f32(logvar), noise,
                        tensor_f32(z));
    }
    return z;
}

static void kl_back(Tape *t, Node *n)
{
    float *dmu = tape_grad(t, n->in[0]), *dlv = tape_grad(t, n->in[1]);
    OPS(t)->kl_backward(DEV(t), tensor_size(n->in[0]), n->f[0], tensor_f32(n->in[0]),
                        tensor_f32(n->in[1]), n->out->grad, dmu, dlv);
}
Tensor *op_kl(Tape *t, Tensor *mu, Tensor *logvar)
{
    assert(tensor_size(mu) == tensor_size(logvar) && tensor_rows(mu) > 0);
    Tensor *y = tape_scalar(t);
    float a = 1.0f / (float)tensor_rows(mu);
    Node *n = tape_note(t, kl_back, y, mu, logvar, NULL);
    if (n)
        n->f[0] = a;
    if (tape_live(t))
        OPS(t)->kl(DEV(t), tensor_size(mu), a, tensor_f32(mu), tensor_f32(logvar), tensor_f32(y));
    return y;
}
