/* Scalars: sums, losses and their gradients, and the optimiser's step. Sums are taken per piece in
 * float32 and over the pieces in double, in a fixed order. */
#include "gpu/cpu/cpu.h"

#define GRAIN 16384

typedef struct Ls {
    int64_t n;
    float a;
    const float *x, *y, *w, *noise, *up;
    float *dx, *dy;
    double *part;
    const CrossEntropy *ce;
    const AdamStep *adam;
} Ls;

/* ---- sums ---- */
static double *parts(Device *d, int64_t n, int64_t grain)
{
    int64_t pieces = (n + grain - 1) / grain;
    double *p = cpu_scratch(d, (size_t)(pieces + 1) * 2 * sizeof(double));
    if (p)
        memset(p, 0, (size_t)(pieces + 1) * 2 * sizeof(double));
    return p;
}
static double total(const double *part, int64_t n, int64_t grain, int64_t step)
{
    double s = 0;
    for (int64_t i = 0; i * grain < n; i++)
        s += part[i * step];
    return s;
}
CLONES static float sum_loop(int64_t n, const float *x)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i];
    return s;
}
CLONES static float dot_loop(int64_t n, const float *x, const float *y)
{
    float s = 0;
    _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += x[i] * y[i];
    return s;
}
static void dot_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    double s = 0; /* short stretches, so that float32 partial sums stay exact enough */
    for (int64_t i = lo; i < hi; i += 512) {
        int64_t n = hi - i < 512 ? hi - i : 512;
        s += c->y ? dot_loop(n, c->x + i, c->y + i) : sum_loop(n, c->x + i);
    }
    c->part[lo / GRAIN] = s;
}
double cpu_dot(Device *d, int64_t n, const float *x, const float *z)
{
    double *part = parts(d, n, GRAIN);
    if (!part)
        return 0;
    cpu_ranges(n, GRAIN, dot_range, &(Ls){.x = x, .y = z, .part = part});
    return total(part, n, GRAIN, 1);
}
void cpu_sum(Device *d, int64_t n, float a, const float *x, float *y)
{
    y[0] = (float)(a * cpu_dot(d, n, x, NULL));
}
void cpu_sumsq(Device *d, int64_t n, const float *x, double *acc)
{
    acc[0] += cpu_dot(d, n, x, x);
}
static void add_scalar_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    for (int64_t i = lo; i < hi; i++)
        c->dx[i] += c->a;
}
void cpu_add_scalar(Device *d, int64_t n, float a, const float *s, float *y)
{
    (void)d;
    cpu_ranges(n, GRAIN, add_scalar_range, &(Ls){.a = a * s[0], .dx = y});
}

/* ---- cross-entropy ---- */
static const uint8_t *mask_row(const CrossEntropy *c, int64_t i)
{
    return c->mask ? c->mask + i * c->mask_stride : NULL;
}
CLONES static float log_sum_exp(int64_t n, const float *x, const uint8_t *mask)
{
    float max = -INFINITY, sum = 0;
    if (mask) {
        _Pragma("omp simd reduction(max : max)") for (int64_t j = 0; j < n; j++)
        {
            float v = mask[j] ? -INFINITY : x[j];
            max = v > max ? v : max;
        }
        _Pragma("omp simd reduction(+ : sum)") for (int64_t j = 0; j < n; j++)
        {
            float e = vexp(x[j] - max);
            sum += mask[j] ? 0.0f : e;
        }
    } else {
        _Pragma("omp simd reduction(max : max)") for (int64_t j = 0; j < n; j++) max =
            x[j] > max ? x[j] : max;
        _Pragma("omp simd reduction(+ : sum)") for (int64_t j = 0; j < n; j++) sum +=
            vexp(x[j] - max);
    }
    return max + logf(sum);
}
/* Sum and number of the logits that are not excluded. */
CLONES static int64_t open_logits(int64_t n, const float *x, const uint8_t *mask, double *sum)
{
    int64_t count = 0;
    double s = 0;
    for (int64_t j = 0; j < n; j++)
        if (!mask || !mask[j]) {
            s += x[j];
            count++;
        }
    *sum = s;
    return count;
}
/* sum_j soft_j and sum_j soft_j*x_j over what is not excluded. */
CLONES static void soft_sums(int64_t n, const float *x, const float *soft, const uint8_t *mask,
                             float *weight, float *dot)
{
    float w = 0, s = 0;
    if (mask)
        _Pragma("omp simd reduction(+ : w, s)") for (int64_t j = 0; j < n; j++)
        {
            float v = mask[j] ? 0.0f : soft[j];
            w += v;
            s += v * x[j];
        }
    else
        _Pragma("omp simd reduction(+ : w, s)") for (int64_t j = 0; j < n; j++)
        {
            w += soft[j];
            s += soft[j] * x[j];
        }
    *weight = w;
    *dot = s;
}
static bool ce_ignored(const CrossEntropy *c, int64_t i)
{
    return c->target && c->target[i] < 0;
}
static double ce_row(const CrossEntropy *c, int64_t i, float lse)
{
    const float *x = c->logits + i * c->v;
    if (c->soft) {
        float w, s;
        soft_sums(c->v, x, c->soft + i * c->v, mask_row(c, i), &w, &s);
        return w > 0 ? (double)w * lse - s : 0.0;
    }
    double loss = (1.0 - c->smoothing) * ((double)lse - x[c->target[i]]), sum;
    if (c->smoothing > 0) {
        int64_t open = open_logits(c->v, x, mask_row(c, i), &sum);
        loss += c->smoothing * ((double)lse - sum / (double)open);
    }
    return loss;
}
static void ce_range(void *ctx, int64_t lo, int64_t hi)
{
    const CrossEntropy *c = ((const Ls *)ctx)->ce;
    for (int64_t i = lo; i < hi; i++) {
        float w = c->row_weight ? c->row_weight[i] : 1.0f;
        c->stats[i] = c->stats[c->n + i] = 0;
        if (ce_ignored(c, i))
            continue;
        c->stats[i] = log_sum_exp(c->v, c->logits + i * c->v, mask_row(c, i));
        c->stats[c->n + i] = (float)(w * ce_row(c, i, c->stats[i]));
    }
}
void cpu_cross_entropy(Device *d, const CrossEntropy *c)
{
    (void)d;
    cpu_ranges(c->n, cpu_grain(c->v), ce_range, &(Ls){.ce = c});
    double loss = 0, norm = 0;
    for (int64_t i = 0; i < c->n; i++) {
        loss += c->stats[c->n + i];
        if (c->soft)
            norm += 1;
        else if (!ce_ignored(c, i))
            norm += c->row_weight ? c->row_weight[i] : 1.0;
    }
    c->stats[2 * c->n] = norm > 0 ? (float)(1.0 / norm) : 0.0f;
    c->loss[0] = norm > 0 ? (float)(loss / norm) : 0.0f;
}
/* dx += up*(total*p - soft), nothing where excluded. soft NULL: a constant `flat` everywhere. */
CLONES static void ce_back_row(int64_t n, const float *x, float lse, float up, float weight,
                               const float *soft, float flat, const uint8_t *mask, float *dx)
{
    if (mask)
        _Pragma("omp simd") for (int64_t j = 0; j < n; j++)
        {
            float g = up * (weight * vexp(x[j] - lse) - (soft ? soft[j] : flat));
            dx[j] += mask[j] ? 0.0f : g;
        }
    else if (soft)
        _Pragma("omp simd") for (int64_t j = 0; j < n; j++) dx[j] +=
            up * (weight * vexp(x[j] - lse) - soft[j]);
    else
        _Pragma("omp simd") for (int64_t j = 0; j < n; j++) dx[j] +=
            up * (weight * vexp(x[j] - lse) - flat);
}
static void ce_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const CrossEntropy *c = ((const Ls *)ctx)->ce;
    for (int64_t i = lo; i < hi; i++) {
        float up = c->dloss[0] * c->stats[2 * c->n] * (c->row_weight ? c->row_weight[i] : 1.0f);
        const float *x = c->logits + i * c->v, *soft = c->soft ? c->soft + i * c->v : NULL;
        float *dx = c->dlogits + i * c->v, weight = 1.0f, unused, flat = 0;
        double sum;
        if (ce_ignored(c, i) || up == 0)
            continue;
        if (soft) {
            soft_sums(c->v, x, soft, mask_row(c, i), &weight, &unused);
            if (weight == 0)
                continue;
        } else if (c->smoothing > 0) {
            flat = c->smoothing / (float)open_logits(c->v, x, mask_row(c, i), &sum);
        }
        ce_back_row(c->v, x, c->stats[i], up, weight, soft, flat, mask_row(c, i), dx);
        if (!soft)
            dx[c->target[i]] -= up * (1.0f - c->smoothing);
    }
}
void cpu_cross_entropy_backward(Device *d, const CrossEntropy *c)
{
    (void)d;
    cpu_ranges(c->n, cpu_grain(c->v), ce_back_range, &(Ls){.ce = c});
}

/* ---- squared error ---- */
static void mse_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    double s = 0, w = 0;
    for (int64_t i = lo; i < hi; i++) {
        double e = (double)c->x[i] - c->y[i], k = c->w ? c->w[i] : 1.0;
        s += k * e * e;
        w += k;
    }
    c->part[lo / GRAIN * 2] = s;
    c->part[lo / GRAIN * 2 + 1] = w;
}
void cpu_mse(Device *d, int64_t n, const float *x, const float *t, const float *w, float *loss,
             float *norm)
{
    double *part = parts(d, n, GRAIN);
    if (!part)
        return;
    cpu_ranges(n, GRAIN, mse_range, &(Ls){.x = x, .y = t, .w = w, .part = part});
    double weight = total(part + 1, n, GRAIN, 2);
    norm[0] = weight > 0 ? (float)(1.0 / weight) : 0.0f;
    loss[0] = weight > 0 ? (float)(total(part, n, GRAIN, 2) / weight) : 0.0f;
}
static void mse_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    for (int64_t i = lo; i < hi; i++) {
        float g = c->a * (c->w ? c->w[i] : 1.0f) * (c->x[i] - c->y[i]);
        if (c->dx)
            c->dx[i] += g;
        if (c->dy)
            c->dy[i] -= g;
    }
}
void cpu_mse_backward(Device *d, int64_t n, const float *x, const float *t, const float *w,
                      const float *norm, const float *dloss, float *dx, float *dt)
{
    (void)d;
    cpu_ranges(n, GRAIN, mse_back_range,
               &(Ls){.a = 2.0f * norm[0] * dloss[0], .x = x, .y = t, .w = w, .dx = dx, .dy = dt});
}

/* ---- Gaussian latent variables ---- */
static void reparam_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    for (int64_t i = lo; i < hi; i++)
        c->dx[i] = c->x[i] + vexp(0.5f * c->y[i]) * c->noise[i];
}
void cpu_reparam(Device *d, int64_t n, const float *mu, const float *logvar, const float *noise,
                 float *z)
{
    (void)d;
    cpu_ranges(n, GRAIN, reparam_range, &(Ls){.x = mu, .y = logvar, .noise = noise, .dx = z});
}
static void reparam_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    for (int64_t i = lo; i < hi; i++) {
        if (c->dx)
            c->dx[i] += c->up[i];
        if (c->dy)
            c->dy[i] += 0.5f * vexp(0.5f * c->y[i]) * c->noise[i] * c->up[i];
    }
}
void cpu_reparam_backward(Device *d, int64_t n, const float *logvar, const float *noise,
                          const float *dz, float *dmu, float *dlogvar)
{
    (void)d;
    cpu_ranges(n, GRAIN, reparam_back_range,
               &(Ls){.y = logvar, .noise = noise, .up = dz, .dx = dmu, .dy = dlogvar});
}
static void kl_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    double s = 0;
    for (int64_t i = lo; i < hi; i++)
        s += 1.0 + (double)c->y[i] - (double)c->x[i] * c->x[i] - exp((double)c->y[i]);
    c->part[lo / GRAIN] = -0.5 * s;
}
void cpu_kl(Device *d, int64_t n, float a, const float *mu, const float *logvar, float *loss)
{
    double *part = parts(d, n, GRAIN);
    if (!part)
        return;
    cpu_ranges(n, GRAIN, kl_range, &(Ls){.x = mu, .y = logvar, .part = part});
    loss[0] = (float)(a * total(part, n, GRAIN, 1));
}
static void kl_back_range(void *ctx, int64_t lo, int64_t hi)
{
    const Ls *c = ctx;
    for (int64_t i = lo; i < hi; i++) {
        if (c->dx)
            c->dx[i] += c->a * c->x[i];
        if (c->dy)
            c->dy[i] += 0.5f * c->a * (vexp(c->y[i]) - 1.0f);
    }
}
void cpu_kl_backward(Device *d, int64_t n, float a, const float *mu, const float *logvar,
                     const float *dloss, float *dmu, float *dlogvar)
{
    (void)d;
    cpu_ranges(n, GRAIN, kl_back_range,
               &(Ls){.a = a * dloss[0], .x = mu, .y = logvar, .dx = dmu, .dy = dlogvar});
}

/* ---- optimiser ---- */
CLONES static void adamw_loop(const AdamStep *s, int64_t lo, int64_t hi)
{
    float b1 = s->beta1, b2 = s->beta2, c1 = 1.0f - b1, c2 = 1.0f - b2, eps = s->eps,
          scale = s->grad_scale;
    float step = (float)(s->lr / (1.0 - pow(b1, (double)s->step)));
    float root = (float)(1.0 / sqrt(1.0 - pow(b2, (double)s->step)));
    float shrink = s->lr * s->decay;
    float *w = s->w, *m = s->m, *v = s->v;
    const float *g = s->g;
    _Pragma("omp simd") for (int64_t i = lo; i < hi; i++)
    {
        float x = scale * g[i];
        m[i] = b1 * m[i] + c1 * x;
        v[i] = b2 * v[i] + c2 * x * x;
        w[i] -= shrink * w[i] + step * m[i] / (sqrtf(v[i]) * root + eps);
    }
}
static void adamw_range(void *ctx, int64_t lo, int64_t hi)
{
    adamw_loop(((const Ls *)ctx)->adam, lo, hi);
}
void cpu_adamw(Device *d, const AdamStep *s)
{
    (void)d;
    cpu_ranges(s->n, GRAIN, adamw_range, &(Ls){.adam = s});
}
