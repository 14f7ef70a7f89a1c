/* Layers: parameters with the usual names. */
#include "core/nn/layers.h"
#include "core/base/str.h"
#include <math.h>
#include <stdlib.h>

static Err add_named(ParamSet *ps, const char *prefix, const char *end, const int64_t *dims,
                     Param **out)
{
    char *name = str_format("%s%s", prefix, end);
    Err err = params_add(ps, name, dims, out);
    free(name);
    return err;
}

Err linear_init(ParamSet *ps, const char *prefix, int64_t in, int64_t out, bool bias, uint64_t seed,
                Linear *l)
{
    *l = (Linear){0};
    TRY(add_named(ps, prefix, ".weight", TAPE_DIMS(2, out, in), &l->w));
    TRY(param_init_uniform(ps, l->w, 1.0f / sqrtf((float)in), seed));
    if (bias)
        TRY(add_named(ps, prefix, ".bias", TAPE_DIMS(1, out), &l->b));
    return OK;
}
Tensor *linear_forward(Tape *t, const Linear *l, Tensor *x, Act act)
{
    return op_linear(t, x, &l->w->t, l->b ? &l->b->t : NULL, act);
}

Err layernorm_init(ParamSet *ps, const char *prefix, int64_t width, float eps, Norm *n)
{
    *n = (Norm){.eps = eps};
    TRY(add_named(ps, prefix, ".weight", TAPE_DIMS(1, width), &n->gamma));
    TRY(param_init_const(ps, n->gamma, 1.0f));
    return add_named(ps, prefix, ".bias", TAPE_DIMS(1, width), &n->beta);
}
Err rmsnorm_init(ParamSet *ps, const char *prefix, int64_t width, float eps, Norm *n)
{
    *n = (Norm){.eps = eps};
    TRY(add_named(ps, prefix, ".weight", TAPE_DIMS(1, width), &n->gamma));
    return param_init_const(ps, n->gamma, 1.0f);
}
Tensor *norm_forward(Tape *t, const Norm *n, Tensor *x)
{
    if (n->beta)
        return op_layernorm(t, x, &n->gamma->t, &n->beta->t, n->eps);
    return op_rmsnorm(t, x, &n->gamma->t, n->eps);
}

Err embedding_init(ParamSet *ps, const char *prefix, int64_t rows, int64_t width, float sd,
                   uint64_t seed, Param **out)
{
    TRY(add_named(ps, prefix, ".weight", TAPE_DIMS(2, rows, width), out));
    return param_init_normal(ps, *out, sd, seed);
}

/* ---- rotary positions ---- */
/* Llama 3: long wavelengths are stretched by `factor`, short ones kept, those between mixed. */
static double llama3_frequency(double f, const RopeScaling *s)
{
    double wave = 2 * 3.14159265358979323846 / f, c = (double)s->original_max;
    if (wave > c / s->low_freq_factor)
        return f / s->factor;
    if (wave < c / s->high_freq_factor)
        return f;
    double mix = (c / wave - s->low_freq_factor) / (s->high_freq_factor - s->low_freq_factor);
    return (1 - mix) * f / s->factor + mix * f;
}

void rope_frequencies(int64_t dim, double theta, const RopeScaling *s, float *freq)
{
    if (s && s->kind == ROPE_DYNAMIC && s->length > s->max_positions) {
        double stretch = s->factor * (double)s->length / (double)s->max_positions - (s->factor - 1);
        theta *= pow(stretch, (double)dim / (double)(dim - 2));
    }
    for (int64_t j = 0; j < dim / 2; j++) {
        double f = pow(theta, -2.0 * (double)j / (double)dim);
        if (s && s->kind == ROPE_LINEAR)
            f /= s->factor;
        if (s && s->kind == ROPE_LLAMA3)
            f = llama3_frequency(f, s);
        freq[j] = (float)f;
    }
}
