/* The layout of few cells, one move after another as umap-learn makes them: an edge that fires moves both its ends at
 * once, then its repelling samples move the first. Cells that all move at the same time, from where the others were, cost
 * maps of 20 cells 0.013 of trustworthiness on average. One thread; no function of the C library decides where a cell
 * goes, because those differ in the last bit from one processor to another. */
#include <stdlib.h>
#include <string.h>

#include "core/analysis/umap_internal.h"
#include "core/base/mem.h"
#include "core/base/rng.h"

/* x^y for x > 0 and |y| <= 1, to 2e-5; as gpu/cpu/layout.c has it. */
static float power(float x, float y)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    float e = (float)((bits >> 23) - 127), m, l;
    bits = (bits & 0x7fffff) | 0x3f800000;
    memcpy(&m, &bits, sizeof m);
    m -= 1;
    l = (((0.04638531f * m - 0.196269528f) * m + 0.417595704f) * m - 0.709662799f) * m + 1.44196561f;
    l = (l * m + e) * y;
    int32_t whole = (int32_t)l - ((float)(int32_t)l > l);
    m = l - (float)whole;
    l = (((0.0136976645f * m + 0.0516903599f) * m + 0.241638443f) * m + 0.692966124f) * m + 1.0000037f;
    bits = (whole + 127) << 23;
    memcpy(&e, &bits, sizeof e);
    return l * e;
}

typedef struct Curve {
    float a, b;
} Curve;

static float clip(float v)
{
    v = v > 4 ? 4 : v;
    return v < -4 ? -4 : v;
}

/* Adds to move[2] what another cell at o does to one at c; cells in one place leave each other alone. */
static void add_force(const Curve *k, bool attracts, const float *c, const float *o, float *move)
{
    float dx = c[0] - o[0], dy = c[1] - o[1], d = dx * dx + dy * dy + 1e-30f;
    float p1 = power(d, k->b - 1), f = 1 / (1 + k->a * p1 * d);
    f *= attracts ? -2 * k->a * k->b * p1 : 2 * k->b / (0.001f + d);
    move[0] += clip(f * dx);
    move[1] += clip(f * dy);
}

static void fire(const Layout *l, const Curve *k, size_t i, size_t to, float alpha, Rng *rng)
{
    float *c = l->xy + 2 * i, *o = l->xy + 2 * to, pull[2] = {0}, push[2] = {0};
    add_force(k, true, c, o, pull);
    for (int d = 0; d < 2; d++) {
        c[d] += alpha * pull[d];
        o[d] -= alpha * pull[d];
    }
    for (int s = 0; s < l->negatives[0]; s++) /* from one place all: they need not wait for each other */
        add_force(k, false, c, l->xy + 2 * ((uint64_t)rng_u32(rng) * (uint64_t)l->n >> 32), push);
    for (int d = 0; d < 2; d++)
        c[d] += alpha * push[d];
}

Err umap_in_turn(const Layout *l, JobCtl *ctl)
{
    Err err = OK;
    size_t edges = (size_t)l->indptr[l->n];
    Curve k = {(float)l->a, (float)l->b};
    Rng rng = rng_make(l->seed, 0x7572);
    float *next;
    TRY(NEW(next, edges ? edges : 1));
    memcpy(next, l->period, edges * sizeof *next);
    for (int epoch = 0; epoch < l->epochs; epoch++) {
        float alpha = 1 - (float)epoch / (float)l->epochs;
        TRY_GOTO(job_progress(ctl, (size_t)epoch));
        for (size_t i = 0; i < (size_t)l->n; i++)
            for (int64_t e = l->indptr[i]; e < l->indptr[i + 1]; e++)
                if (next[e] <= (float)epoch) {
                    next[e] += l->period[e];
                    fire(l, &k, i, (size_t)l->to[e], alpha, &rng);
                }
    }
done:
    free(next);
    return err;
}
