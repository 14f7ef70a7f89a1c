/* Named parameters on a device. */
#include "core/nn/params.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/nn/params_internal.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Err params_new(Device *d, ParamSet **out)
{
    void *acc = NULL;
    TRY(device_alloc(d, sizeof(double), &acc));
    ParamSet *ps = mem_must(sizeof *ps);
    ps->d = d;
    ps->names = strmap_new(256);
    ps->acc = acc;
    *out = ps;
    return OK;
}

static void free_param(ParamSet *ps, Param *p)
{
    const DeviceOps *ops = ps->d->ops;
    ops->free(ps->d, p->t.data);
    ops->free(ps->d, p->t.grad);
    ops->free(ps->d, p->m);
    ops->free(ps->d, p->v);
    ops->pack_free(ps->d, p->packed);
    free(p->name);
    free(p);
}
void params_free(ParamSet *ps)
{
    if (!ps)
        return;
    for (size_t i = 0; i < ps->count; i++)
        free_param(ps, ps->param[i]);
    ps->d->ops->free(ps->d, ps->acc);
    strmap_free(ps->names);
    free(ps->param);
    free(ps);
}
void params_blank(ParamSet *ps)
{
    ps->blank = true;
}
Device *params_device(const ParamSet *ps)
{
    return ps->d;
}

Err params_add(ParamSet *ps, const char *name, const int64_t *dims, Param **out)
{
    assert(dims[0] >= 1 && dims[0] <= 4);
    if (strmap_get(ps->names, name, -1) >= 0)
        FAIL(ERR_MODEL, "%s: two parameters have this name", name);
    if (ps->count == ps->cap) {
        size_t cap = ps->cap ? 2 * ps->cap : 64;
        TRY(mem_realloc(&ps->param, cap, sizeof *ps->param));
        ps->cap = cap;
    }
    Tensor t = {.dtype = DTYPE_F32, .ndim = (int)dims[0], .needs_grad = true};
    for (int i = 0; i < 4; i++)
        t.dim[i] = i < t.ndim ? dims[i + 1] : 1;
    size_t bytes = (size_t)tensor_size(&t) * sizeof(float);
    TRY(err_context(device_alloc(ps->d, bytes, &t.data), "%s", name));
    if (!ps->blank)
        ps->d->ops->zero(ps->d, t.data, bytes);
    Param *p = mem_must(sizeof *p);
    p->t = t;
    p->t.param = p;
    p->name = mem_strdup(name);
    p->trainable = true;
    p->decay = t.ndim > 1 ? 1.0f : 0.0f;
    strmap_put(ps->names, name, (int64_t)ps->count);
    ps->param[ps->count++] = p;
    *out = p;
    return OK;
}

Param *params_find(const ParamSet *ps, const char *name)
{
    int64_t i = strmap_get(ps->names, name, -1);
    return i < 0 ? NULL : ps->param[i];
}
size_t params_count(const ParamSet *ps)
{
    return ps->count;
}
Param *params_at(const ParamSet *ps, size_t i)
{
    assert(i < ps->count);
    return ps->param[i];
}
int64_t params_elements(const ParamSet *ps, bool trainable_only)
{
    int64_t n = 0;
    for (size_t i = 0; i < ps->count; i++)
        if (ps->param[i]->trainable || !trainable_only)
            n += tensor_size(&ps->param[i]->t);
    return n;
}

/* ---- values ---- */
static size_t bytes_of(const Param *p)
{
    return (size_t)tensor_size(&p->t) * sizeof(float);
}
void param_changed(ParamSet *ps, Param *p)
{
    ps->d->ops->pack_free(ps->d, p->packed);
    p->packed = NULL;
}
Err param_write(ParamSet *ps, Param *p, const float *values)
{
    param_changed(ps, p);
    ps->d->ops->upload(ps->d, p->t.data, values, bytes_of(p));
    return device_check(ps->d);
}
Err param_read(ParamSet *ps, const Param *p, float *values)
{
    ps->d->ops->download(ps->d, values, p->t.data, bytes_of(p));
    return device_check(ps->d);
}
Err param_read_grad(ParamSet *ps, const Param *p, float *values)
{
    if (p->t.grad)
        ps->d->ops->download(ps->d, values, p->t.grad, bytes_of(p));
    else
        memset(values, 0, bytes_of(p));
    return device_check(ps->d);
}
Err param_write_grad(ParamSet *ps, Param *p, const float *values)
{
    if (!p->t.grad && !(p->t.grad = ps->d->ops->alloc(ps->d, bytes_of(p))))
        FAIL(ERR_NOMEM, "%s: no memory for its gradient", p->name);
    ps->d->ops->upload(ps->d, p->t.grad, values, bytes_of(p));
    return device_check(ps->d);
}

/* ---- starting values ---- */
typedef enum Kind { NORMAL, UNIFORM } Kind;

static Err init_random(ParamSet *ps, Param *p, Kind kind, float size, uint64_t seed)
{
    int64_t n = tensor_size(&p->t);
    float *values = NULL;
    TRY(NEW(values, (size_t)n));
    Rng r = rng_make(seed, hash_bytes(p->name, strlen(p->name)));
    for (int64_t i = 0; i < n; i++)
        values[i] =
            (float)(kind == NORMAL ? size * rng_normal(&r) : size * (2.0 * rng_uniform(&r) - 1.0));
    Err err = param_write(ps, p, values);
    free(values);
    return err;
}
Err param_init_normal(ParamSet *ps, Param *p, float sd, uint64_t seed)
{
    return seed == PARAMS_BLANK ? OK : init_random(ps, p, NORMAL, sd, seed);
}
Err param_init_uniform(ParamSet *ps, Param *p, float bound, uint64_t seed)
{
    return seed == PARAMS_BLANK ? OK : init_random(ps, p, UNIFORM, bound, seed);
}
Err param_init_const(ParamSet *ps, Param *p, float value)
{
    param_changed(ps, p);
    ps->d->ops->fill(ps->d, tensor_size(&p->t), value, p->t.data);
    return device_check(ps->d);
}

/* ---- all of them ---- */
size_t params_set_trainable(ParamSet *ps, const char *prefix, bool trainable)
{
    size_t n = 0;
    for (size_t i = 0; i < ps->count; i++)
        if (str_starts(ps->param[i]->name, prefix)) {
            ps->param[i]->trainable = ps->param[i]->t.needs_grad = trainable;
            n++;
        }
    return n;
}
Err params_zero_grad(ParamSet *ps)
{
    for (size_t i = 0; i < ps->count; i++)
        if (ps->param[i]->t.grad)
            ps->d->ops->zero(ps->d, ps->param[i]->t.grad, bytes_of(ps->param[i]));
    return device_check(ps->d);
}
Err params_grad_norm(ParamSet *ps, double *norm)
{
    const DeviceOps *ops = ps->d->ops;
    double sum = 0;
    ops->zero(ps->d, ps->acc, sizeof sum);
    for (size_t i = 0; i < ps->count; i++) {
        const Param *p = ps->param[i];
        if (p->trainable && p->t.grad)
            ops->sumsq(ps->d, tensor_size(&p->t), p->t.grad, ps->acc);
    }
    ops->download(ps->d, &sum, ps->acc, sizeof sum);
    TRY(device_check(ps->d));
    *norm = sqrt(sum);
    return OK;
}
Err params_pack(ParamSet *ps, const char *prefix, WeightForm form)
{
    if (form == WEIGHT_F32 && ps->d->narrow)
        form = WEIGHT_BF16;
    for (size_t i = 0; i < ps->count; i++) {
        Param *p = ps->param[i];
        if (p->t.ndim != 2 || !str_starts(p->name, prefix))
            continue;
        param_changed(ps, p);
        p->packed = ps->d->ops->pack(ps->d, form, p->t.dim[0], p->t.dim[1], p->t.data);
        if (!p->packed)
            return device_check(ps->d);
    }
    return OK;
}
void params_unpack(ParamSet *ps)
{
    for (size_t i = 0; i < ps->count; i++)
        param_changed(ps, ps->param[i]);
}
