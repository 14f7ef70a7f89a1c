/* Two models on one text, a stretch at a time. */
#include "core/model/lm_compare.h"
#include "core/base/mem.h"
#include <math.h>

enum { STRETCH = 32 };

typedef struct Sums {
    double error, spread, worst, divergence, nll, nll_ref;
    int64_t rows, same, followed;
} Sums;

static double log_sum(const float *x, int64_t n, int64_t *best)
{
    double s = 0;
    *best = 0;
    for (int64_t i = 1; i < n; i++)
        *best = x[i] > x[*best] ? i : *best;
    for (int64_t i = 0; i < n; i++)
        s += exp((double)x[i] - (double)x[*best]);
    return (double)x[*best] + log(s);
}

/* One position; next < 0: nothing follows. */
static void add_row(Sums *s, const float *a, const float *b, int64_t v, int32_t next)
{
    int64_t best_a, best_b;
    double za = log_sum(a, v, &best_a), zb = log_sum(b, v, &best_b), mean = 0, var = 0, kl = 0;
    for (int64_t i = 0; i < v; i++)
        mean += (double)b[i] / (double)v;
    for (int64_t i = 0; i < v; i++) {
        double d = (double)a[i] - (double)b[i], q = (double)b[i] - mean;
        s->error += d * d / (double)v;
        var += q * q / (double)v;
        s->worst = fmax(s->worst, fabs(d));
        kl += exp((double)b[i] - zb) * (((double)b[i] - zb) - ((double)a[i] - za));
    }
    s->spread += var;
    s->divergence += kl;
    s->same += best_a == best_b;
    s->rows++;
    if (next < 0)
        return;
    s->nll += za - (double)a[next];
    s->nll_ref += zb - (double)b[next];
    s->followed++;
}

Err lm_compare(Lm *m, Lm *ref, const int32_t *ids, int64_t n, JobCtl *ctl, LmDifference *out)
{
    const LmConfig *c = lm_config(m), *r = lm_config(ref);
    int64_t v = c->vocab;
    KvCache *cache = NULL, *cache_ref = NULL;
    float *a = NULL, *b = NULL;
    Sums s = {0};
    Err err = OK;
    if (v != r->vocab)
        FAIL(ERR_MODEL, "the models have different vocabularies (%lld and %lld)", (long long)v,
             (long long)r->vocab);
    bool before = lm_set_exact(ref, true);
    TRY_GOTO(NEW(a, (size_t)(STRETCH * v)));
    TRY_GOTO(NEW(b, (size_t)(STRETCH * v)));
    TRY_GOTO(kvcache_new(lm_device(m), c->layers, 1, n, c->kv_heads * c->head_dim, &cache));
    TRY_GOTO(kvcache_new(lm_device(ref), r->layers, 1, n, r->kv_heads * r->head_dim, &cache_ref));
    job_stage(ctl, "comparing", (size_t)n);
    for (int64_t i = 0, step; i < n; i += step) {
        step = n - i < STRETCH ? n - i : STRETCH;
        TRY_GOTO(lm_step(m, ids + i, 1, step, cache, true, ctl, a));
        TRY_GOTO(lm_step(ref, ids + i, 1, step, cache_ref, true, ctl, b));
        for (int64_t j = 0; j < step; j++)
            add_row(&s, a + j * v, b + j * v, v, i + j + 1 < n ? ids[i + j + 1] : -1);
        TRY_GOTO(job_progress(ctl, (size_t)(i + step)));
    }
    double spread = sqrt(s.spread / (double)s.rows);
    *out = (LmDifference){.logits = sqrt(s.error / (double)s.rows) / spread,
                          .worst = s.worst / spread,
                          .divergence = s.divergence / (double)s.rows,
                          .agreement = (double)s.same / (double)s.rows,
                          .perplexity = exp(s.nll / (double)s.followed),
                          .exact = exp(s.nll_ref / (double)s.followed)};
done:
    (void)lm_set_exact(ref, before);
    kvcache_free(cache);
    kvcache_free(cache_ref);
    free(a);
    free(b);
    return err;
}
