/* Parameters to and from safetensors: names and shapes must agree exactly, nothing is left over
 * silently. */
#include "core/model/weights.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <string.h>

static Err check_shape(const StTensor *x, const Param *p)
{
    bool same = x->ndim == p->t.ndim;
    for (int d = 0; same && d < x->ndim; d++)
        same = x->dim[d] == p->t.dim[d];
    if (!same)
        FAIL(
            ERR_MODEL,
            "tensor %s: another shape than the configuration says (first dimension %lld, not %lld)",
            x->name, x->ndim ? (long long)x->dim[0] : 0, (long long)p->t.dim[0]);
    return OK;
}

static Err find(const StFile *f, const char *prefix, const char *name, const char *suffix,
                const StTensor **out)
{
    char *full = str_format("%s%s%s", prefix, name, suffix);
    *out = st_find(f, full);
    Err err = *out ? OK : err_set(ERR_MODEL, "%s: tensor %s is missing", st_path(f), full);
    free(full);
    return err;
}

static Err load_one(ParamSet *ps, Param *p, const StFile *f, const StTensor *x, float *host)
{
    Err err = check_shape(x, p);
    if (err == OK)
        err = st_read_f32(f, x, host);
    if (err == OK)
        err = param_write(ps, p, host);
    return err == OK ? OK : err_context(err, "%s", st_path(f));
}

Err weights_load(ParamSet *ps, const StFile *f, const char *prefix)
{
    int64_t most = 0;
    float *host;
    Err err = OK;
    for (size_t i = 0; i < params_count(ps); i++) {
        int64_t n = tensor_size(&params_at(ps, i)->t);
        most = n > most ? n : most;
    }
    TRY(NEW(host, (size_t)most)); /* one for all: fresh memory costs more than the values */
    for (size_t i = 0; err == OK && i < params_count(ps); i++) {
        Param *p = params_at(ps, i);
        const StTensor *x;
        err = find(f, prefix, p->name, "", &x);
        if (err == OK)
            err = load_one(ps, p, f, x, host);
    }
    free(host);
    return err;
}

enum { SMALL_ROW = 32 }; /* shorter rows do not pay for a scale */

static StType small_type(const Param *p)
{
    if (p->t.ndim < 2)
        return ST_F32;
    return p->t.ndim == 2 && p->t.dim[1] >= SMALL_ROW ? ST_I8 : ST_F16;
}

Err weights_save(ParamSet *ps, StWriter *w, const char *prefix, bool exact)
{
    for (size_t i = 0; i < params_count(ps); i++) {
        Param *p = params_at(ps, i);
        float *host;
        TRY(NEW(host, (size_t)tensor_size(&p->t)));
        Err err = param_read(ps, p, host);
        char *name = str_format("%s%s", prefix, p->name);
        if (err == OK)
            err = st_writer_add_f32(w, name, exact ? ST_F32 : small_type(p), p->t.ndim, p->t.dim,
                                    host);
        free(name);
        free(host);
        TRY(err);
    }
    return OK;
}

static Err save_moment(ParamSet *ps, StWriter *w, const char *prefix, const Param *p,
                       const float *x, const char *suffix)
{
    Device *d = params_device(ps);
    float *host;
    TRY(NEW(host, (size_t)tensor_size(&p->t)));
    d->ops->download(d, host, x, (size_t)tensor_size(&p->t) * sizeof *host);
    char *name = str_format("%s%s%s", prefix, p->name, suffix);
    Err err = device_check(d);
    if (err == OK)
        err = st_writer_add_f32(w, name, ST_F32, p->t.ndim, p->t.dim, host);
    free(name);
    free(host);
    return err;
}

Err weights_save_moments(ParamSet *ps, StWriter *w, const char *prefix)
{
    for (size_t i = 0; i < params_count(ps); i++) {
        Param *p = params_at(ps, i);
        if (!p->m)
            continue;
        TRY(save_moment(ps, w, prefix, p, p->m, ".m"));
        TRY(save_moment(ps, w, prefix, p, p->v, ".v"));
    }
    return OK;
}

static Err load_moment(ParamSet *ps, const StFile *f, const Param *p, const StTensor *x,
                       float **out)
{
    Device *d = params_device(ps);
    TRY(check_shape(x, p));
    float *host;
    TRY(NEW(host, x->elements));
    Err err = st_read_f32(f, x, host);
    void *mem = NULL;
    if (err == OK)
        err = device_alloc(d, x->elements * sizeof *host, &mem);
    if (err == OK)
        d->ops->upload(d, mem, host, x->elements * sizeof *host);
    free(host);
    *out = mem;
    return err == OK ? device_check(d) : err;
}

Err weights_load_moments(ParamSet *ps, const StFile *f, const char *prefix)
{
    for (size_t i = 0; i < params_count(ps); i++) {
        Param *p = params_at(ps, i);
        char *name = str_format("%s%s.m", prefix, p->name);
        bool has = st_find(f, name) != NULL;
        free(name);
        if (!has)
            continue;
        const StTensor *m, *v;
        TRY(find(f, prefix, p->name, ".m", &m));
        TRY(find(f, prefix, p->name, ".v", &v));
        TRY(load_moment(ps, f, p, m, &p->m));
        TRY(load_moment(ps, f, p, v, &p->v));
    }
    return OK;
}

Err weights_read_array(const StFile *f, const char *name, size_t n, float **out)
{
    const StTensor *x = st_find(f, name);
    if (!x || x->elements != n)
        FAIL(ERR_MODEL, "%s: tensor %s: %s", st_path(f), name, x ? "wrong size" : "missing");
    float *a;
    TRY(NEW(a, n));
    Err err = st_read_f32(f, x, a);
    if (err != OK)
        free(a);
    else
        *out = a;
    return err;
}
