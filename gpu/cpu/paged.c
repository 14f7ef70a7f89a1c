/* Attention of few queries to a paged cache, for decoding. One block of work is a sequence, a kv
 * head and a stretch of tokens; the softmax of a stretch is carried as (maximum, sum, weighted
 * values) and the stretches are joined in their order, so the numbers do not depend on the threads.
 */
#include "gpu/cpu/cpu.h"
#include <stdlib.h>

enum { STRETCH = 128, SMALL = 1 << 17 }; /* SMALL: not worth waking anybody */

typedef struct Paged {
    const PagedAttention *a;
    int64_t stretches, rows; /* rows: queries of one kv head, tq * heads/kv_heads */
    float *part;             /* [batch, kv_heads, stretches, rows, dim + 2] */
} Paged;

CLONES static float dot(int64_t n, const float *x, const float *y)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i] * y[i];
    return s;
}
CLONES static void add_scaled(int64_t n, float a, const float *x, float *y)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}
CLONES static void scale(int64_t n, float a, float *y)
{
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] *= a;
}
CLONES static float exp_sum(int64_t n, float top, float *x)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++)
    {
        x[i] = vexp(x[i] - top);
        s += x[i];
    }
    return s;
}

/* Row j of token t of sequence b: floats of kv head h, keys or values. */
static const float *cached(const PagedAttention *a, int64_t b, int64_t h, int64_t t, int64_t at)
{
    int64_t width = a->kv_heads * a->dim;
    return a->page[b * a->pages + t / a->page_rows] + at + t % a->page_rows * width + h * a->dim;
}

/* One query against the tokens [from, to). */
static void one_query(const PagedAttention *a, int64_t b, int64_t h, const float *q, int64_t from,
                      int64_t to, float *out)
{
    float s[STRETCH], top = -INFINITY;
    int64_t width = a->kv_heads * a->dim, dim = a->dim;
    memset(out, 0, (size_t)(dim + 2) * sizeof *out);
    for (int64_t t = from; t < to;) {
        const float *k = cached(a, b, h, t, a->k_at);
        int64_t end = t - t % a->page_rows + a->page_rows;
        for (end = end < to ? end : to; t < end; t++, k += width) {
            s[t - from] = a->scale * dot(dim, q, k);
            top = s[t - from] > top ? s[t - from] : top;
        }
    }
    out[dim] = top;
    out[dim + 1] = to > from ? exp_sum(to - from, top, s) : 0;
    for (int64_t t = from; t < to;) {
        const float *v = cached(a, b, h, t, a->v_at);
        int64_t end = t - t % a->page_rows + a->page_rows;
        for (end = end < to ? end : to; t < end; t++, v += width)
            add_scaled(dim, s[t - from], v, out);
    }
}

static void paged_block(void *ctx, int64_t i)
{
    const Paged *p = ctx;
    const PagedAttention *a = p->a;
    int64_t stretch = i % p->stretches, h = i / p->stretches % a->kv_heads;
    int64_t b = i / p->stretches / a->kv_heads, each = a->heads / a->kv_heads;
    float *out = p->part + i * p->rows * (a->dim + 2);
    for (int64_t r = 0; r < p->rows; r++) {
        int64_t t = r / each, head = h * each + r % each;
        int64_t seen = a->tk - a->tq + t + 1, from = stretch * STRETCH;
        int64_t to = from + STRETCH < seen ? from + STRETCH : seen;
        const float *q = a->q + ((b * a->tq + t) * a->heads + head) * a->dim;
        one_query(a, b, h, q, from, to > from ? to : from, out + r * (a->dim + 2));
    }
}

/* The stretches of one row of the result. */
static void join(const Paged *p, int64_t b, int64_t t, int64_t head)
{
    const PagedAttention *a = p->a;
    int64_t each = a->heads / a->kv_heads, r = t * each + head % each, step = a->dim + 2;
    const float *part =
        p->part + (((b * a->kv_heads + head / each) * p->stretches) * p->rows + r) * step;
    float *out = a->out + ((b * a->tq + t) * a->heads + head) * a->dim, top = -INFINITY, sum = 0;
    for (int64_t s = 0; s < p->stretches; s++)
        top = fmaxf(top, part[s * p->rows * step + a->dim]);
    memset(out, 0, (size_t)a->dim * sizeof *out);
    for (int64_t s = 0; s < p->stretches; s++) {
        const float *x = part + s * p->rows * step;
        float weight = x[a->dim + 1] > 0 ? expf(x[a->dim] - top) : 0.0f;
        sum += weight * x[a->dim + 1];
        add_scaled(a->dim, weight, x, out);
    }
    scale(a->dim, sum > 0 ? 1.0f / sum : 0.0f, out);
}

void cpu_attention_paged(Device *d, const PagedAttention *a)
{
    Paged p = {.a = a,
               .stretches = (a->tk + STRETCH - 1) / STRETCH,
               .rows = a->tq * (a->heads / a->kv_heads)};
    int64_t n = a->batch * a->kv_heads * p.stretches;
    p.part = cpu_scratch(d, (size_t)(n * p.rows * (a->dim + 2)) * sizeof *p.part);
    if (!p.part || a->tk <= 0)
        return;
    if (a->batch * a->heads * a->tq * a->tk * a->dim < SMALL)
        for (int64_t i = 0; i < n; i++)
            paged_block(&p, i);
    else
        cpu_share(n, paged_block, &p);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t t = 0; t < a->tq; t++)
            for (int64_t h = 0; h < a->heads; h++)
                join(&p, b, t, h);
}
