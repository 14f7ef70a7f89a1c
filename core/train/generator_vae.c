/* Encoder and decoder on the tape. */
#include "core/train/generator_vae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

typedef struct Ranked {
    float f;
    int32_t gene;
} Ranked;

static int by_fraction(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    return x->f != y->f ? (x->f < y->f) - (x->f > y->f) : (x->gene > y->gene) - (x->gene < y->gene);
}

static int by_gene(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    return (x->gene > y->gene) - (x->gene < y->gene);
}

static Err choose_genes(Vae *v)
{
    size_t g = v->space->n;
    Ranked *all;
    TRY(NEW(all, g));
    for (size_t i = 0; i < g; i++)
        all[i] = (Ranked){v->space->fraction[i], (int32_t)i};
    qsort(all, g, sizeof *all, by_fraction);
    v->n = (size_t)v->o.genes < g ? (size_t)v->o.genes : g;
    qsort(all, v->n, sizeof *all, by_gene);
    Err err = NEW(v->gene, v->n);
    if (err == OK)
        err = NEW(v->of, g);
    if (err == OK)
        err = NEW(v->f, v->n);
    double sum = 0;
    for (size_t i = 0; err == OK && i < g; i++)
        v->of[i] = -1;
    for (size_t i = 0; err == OK && i < v->n; i++) {
        v->gene[i] = all[i].gene;
        v->of[all[i].gene] = (int32_t)i;
        sum += v->f[i] = all[i].f;
    }
    for (size_t i = 0; err == OK && i < v->n; i++)
        v->f[i] = (float)(v->f[i] / sum);
    free(all);
    return err;
}

Err vae_init(Run *r, Vae *v)
{
    v->corpus = r->corpus;
    v->space = r->corpus->genes;
    TRY(choose_genes(v));
    int64_t n = (int64_t)v->n, h = (int64_t)v->o.hidden, z = (int64_t)v->o.latent,
            e = (int64_t)v->o.embed;
    uint64_t seed = (uint64_t)v->o.seed;
    TRY(params_new(r->device, &v->ps));
    TRY(linear_init(v->ps, "encoder.0", n, h, true, seed, &v->enc));
    TRY(linear_init(v->ps, "encoder.mu", h, z, true, seed, &v->mu));
    TRY(linear_init(v->ps, "encoder.logvar", h, z, true, seed, &v->logvar));
    TRY(linear_init(v->ps, "decoder.0", z, h, true, seed, &v->dec[0]));
    TRY(linear_init(v->ps, "decoder.1", h, h, true, seed, &v->dec[1]));
    TRY(linear_init(v->ps, "decoder.2", h, e, true, seed, &v->dec[2]));
    TRY(params_add(v->ps, "decoder.table", TAPE_DIMS(2, n, e), &v->table));
    TRY(param_init_normal(v->ps, v->table, 0.05, seed));
    TRY(params_add(v->ps, "decoder.table_bias", TAPE_DIMS(1, n), &v->bias));
    float *log_f;
    TRY(NEW(log_f, v->n));
    for (size_t i = 0; i < v->n; i++)
        log_f[i] = logf(v->f[i] + 1e-8f);
    Err err = param_write(v->ps, v->bias, log_f);
    free(log_f);
    return err;
}

void vae_done(Vae *v)
{
    params_free(v->ps);
    free(v->gene);
    free(v->of);
    free(v->f);
}

double vae_fill(const Vae *v, const DrawnCell *cell, int panel, float *x, float *target)
{
    const uint8_t *own = v->corpus->set[cell->set].has,
                  *seen = panel >= 0 ? v->corpus->set[panel].has : own;
    double total = 0, visible = 0, share = 0;
    for (size_t k = 0; k < v->n; k++)
        if (own[v->gene[k]] && seen[v->gene[k]])
            share += v->f[k];
    for (size_t i = 0; i < cell->n; i++)
        if (v->of[cell->gene[i]] >= 0) {
            total += cell->count[i];
            visible += seen[cell->gene[i]] ? cell->count[i] : 0;
        }
    if (!(visible > 0))
        return 0;
    memset(x, 0, v->n * sizeof *x);
    if (target)
        memset(target, 0, v->n * sizeof *target);
    for (size_t i = 0; i < cell->n; i++) {
        int32_t k = v->of[cell->gene[i]];
        if (k < 0)
            continue;
        if (seen[cell->gene[i]])
            x[k] = log1pf((float)(1e4 * share * cell->count[i] / visible));
        if (target)
            target[k] = (float)(cell->count[i] / total);
    }
    return total;
}

void vae_encode(Tape *t, const Vae *v, Tensor *x, Tensor **mu, Tensor **logvar)
{
    Tensor *h = linear_forward(t, &v->enc, x, ACT_TANH);
    *mu = linear_forward(t, &v->mu, h, ACT_NONE);
    *logvar = linear_forward(t, &v->logvar, h, ACT_NONE);
}

Tensor *vae_decode(Tape *t, const Vae *v, Tensor *z)
{
    Tensor *h = linear_forward(t, &v->dec[0], z, ACT_GELU);
    h = linear_forward(t, &v->dec[1], h, ACT_GELU);
    h = linear_forward(t, &v->dec[2], h, ACT_NONE);
    return op_linear(t, h, &v->table->t, &v->bias->t, ACT_NONE);
}
