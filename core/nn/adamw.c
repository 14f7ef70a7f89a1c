/* AdamW over a ParamSet. */
#include "core/nn/adamw.h"
#include "core/nn/params_internal.h"
#include <math.h>

AdamwParams adamw_params_default(void)
{
    return (AdamwParams){.lr = 2e-3f,
                         .beta1 = 0.9f,
                         .beta2 = 0.98f,
                         .eps = 1e-8f,
                         .decay = 0.01f,
                         .clip_norm = 1.0f,
                         .warmup = 40,
                         .total = 500,
                         .final = 0.03f};
}

float adamw_rate(const AdamwParams *p, int64_t step)
{
    if (step < p->warmup)
        return p->lr * (float)step / (float)p->warmup;
    if (p->total <= p->warmup)
        return p->lr;
    double x = (double)(step - p->warmup) / (double)(p->total - p->warmup);
    x = x < 1 ? x : 1;
    return (float)(p->lr *
                   (p->final + (1 - p->final) * 0.5 * (1 + cos(3.14159265358979323846 * x))));
}

static Err make_moments(ParamSet *ps, Param *p)
{
    size_t bytes = (size_t)tensor_size(&p->t) * sizeof(float);
    void *m = NULL, *v = NULL;
    if (p->m)
        return OK;
    TRY(device_alloc(ps->d, bytes, &m));
    Err err = device_alloc(ps->d, bytes, &v);
    if (err != OK) {
        ps->d->ops->free(ps->d, m);
        return err;
    }
    ps->d->ops->zero(ps->d, m, bytes);
    ps->d->ops->zero(ps->d, v, bytes);
    p->m = m;
    p->v = v;
    return OK;
}

Err adamw_step(ParamSet *ps, const AdamwParams *a, int64_t step, double *norm_out)
{
    double norm = 0;
    TRY(params_grad_norm(ps, &norm));
    if (norm_out)
        *norm_out = norm;
    if (!isfinite(norm)) {
        TRY(params_zero_grad(ps));
        FAIL(ERR_GENERAL,
             "training: the gradient of step %lld is not finite; use a lower learning rate",
             (long long)step);
    }
    float scale = a->clip_norm > 0 && norm > a->clip_norm ? (float)(a->clip_norm / norm) : 1.0f;
    float lr = adamw_rate(a, step);
    for (size_t i = 0; i < ps->count; i++) {
        Param *p = ps->param[i];
        if (!p->trainable || !p->t.grad)
            continue;
        TRY(make_moments(ps, p));
        param_changed(ps, p);
        ps->d->ops->adamw(ps->d, &(AdamStep){.n = tensor_size(&p->t),
                                             .w = tensor_f32(&p->t),
                                             .m = p->m,
                                             .v = p->v,
                                             .g = p->t.grad,
                                             .lr = lr,
                                             .beta1 = a->beta1,
                                             .beta2 = a->beta2,
                                             .eps = a->eps,
                                             .decay = a->decay * p->decay,
                                             .grad_scale = scale,
                                             .step = step});
    }
    return params_zero_grad(ps);
}
