/* Scalars: sums, losses and their gradients, and the optimiser's step. Large sums go through
 * partial sums in double. */
#include "gpu/cuda/cuda.cuh"

enum { SUM_BLOCKS = 128 };

/* ---- sums of f(i): SUM_BLOCKS partial sums, then one block ---- */
template <class F> __global__ void sum_kernel(int64_t n, F f, double *part)
{
    double s = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x)
        s += f(i);
    s = block_sum(s);
    if (threadIdx.x == 0)
        part[blockIdx.x] = s;
}
static __device__ double total_of(const double *part)
{
    double s = 0;
    for (int i = 0; i < SUM_BLOCKS; i++)
        s += part[i];
    return s;
}
template <class F> static void sum_parts(Device *d, int64_t n, F f, double *part)
{
    LAUNCH(d, sum_kernel, SUM_BLOCKS, 256, 0, n, f, part);
    launched(d, "sum");
}
static double *parts(Device *d)
{
    return (double *)cuda_scratch(d, 2 * SUM_BLOCKS * sizeof(double));
}
#define TERM __device__ double operator()(int64_t i) const

struct Plain {
    const float *x;
    TERM
    {
        return x[i];
    }
};
struct Square {
    const float *x;
    TERM
    {
        return (double)x[i] * x[i];
    }
};
struct SquaredError {
    const float *x, *t, *w;
    TERM
    {
        double e = (double)x[i] - t[i];
        return (w ? w[i] : 1.0) * e * e;
    }
};
struct Weight {
    const float *w;
    TERM
    {
        return w ? w[i] : 1.0;
    }
};
struct KlTerm {
    const float *mu, *logvar;
    TERM
    {
        return -0.5 * (1.0 + logvar[i] - (double)mu[i] * mu[i] - exp((double)logvar[i]));
    }
};
__global__ void sum_end(const double *part, float a, float *y)
{
    y[0] = (float)(a * total_of(part));
}
__global__ void sumsq_end(const double *part, double *acc)
{
    acc[0] += total_of(part);
}
__global__ void mse_end(const double *part, float *loss, float *norm)
{
    double s = total_of(part), w = total_of(part + SUM_BLOCKS);
    norm[0] = w > 0 ? (float)(1.0 / w) : 0.0f;
    loss[0] = w > 0 ? (float)(s / w) : 0.0f;
}
static void cuda_sum(Device *d, int64_t n, float a, const float *x, float *y)
{
    double *p = parts(d);
    if (!p)
        return;
    sum_parts(d, n, Plain{x}, p);
    LAUNCH(d, sum_end, 1, 1, 0, p, a, y);
    launched(d, "sum");
}
static void cuda_sumsq(Device *d, int64_t n, const float *x, double *acc)
{
    double *p = parts(d);
    if (!p)
        return;
    sum_parts(d, n, Square{x}, p);
    LAUNCH(d, sumsq_end, 1, 1, 0, p, acc);
    launched(d, "sum of squares");
}
struct AddScalar {
    float a;
    const float *s;
    float *y;
    BODY
    {
        y[i] += a * s[0];
    }
};
static void cuda_add_scalar(Device *d, int64_t n, float a, const float *s, float *y)
{
    each(d, n, AddScalar{a, s, y}, "add");
}

/* ---- cross-entropy: a block a row ---- */
static __device__ bool open_at(const CrossEntropy &c, int64_t i, int64_t j)
{
    return !c.mask || !c.mask[i * c.mask_stride + j];
}
__global__ void ce_kernel(CrossEntropy c)
{
    ROWS(i, c.n)
    {
        const float *x = c.logits + i * c.v;
        if (c.target && c.target[i] < 0) {
            if (threadIdx.x == 0)
                c.stats[i] = c.stats[c.n + i] = 0;
            continue;
        }
        float max = -INFINITY, sum = 0, all = 0, count = 0, weight = 0, dot = 0;
        COLS(j, c.v) if (open_at(c, i, j)) max = fmaxf(max, x[j]);
        max = block_max(max);
        COLS(j, c.v) if (open_at(c, i, j))
        {
            sum += expf(x[j] - max);
            all += x[j];
            count += 1;
            if (c.soft) {
                weight += c.soft[i * c.v + j];
                dot += c.soft[i * c.v + j] * x[j];
            }
        }
        float lse = max + logf(block_sum(sum)), loss;
        all = block_sum(all);
        count = block_sum(count);
        weight = block_sum(weight);
        dot = block_sum(dot);
        if (threadIdx.x != 0)
            continue;
        if (c.soft)
            loss = weight > 0 ? weight * lse - dot : 0.0f;
        else
            loss = (1.0f - c.smoothing) * (lse - x[c.target[i]]) +
                   (c.smoothing > 0 ? c.smoothing * (lse - all / count) : 0.0f);
        c.stats[i] = lse;
        c.stats[c.n + i] = loss * (c.row_weight ? c.row_weight[i] : 1.0f);
    }
}
__global__ void ce_end(CrossEntropy c)
{
    double loss = 0, norm = 0;
    for (int64_t i = threadIdx.x; i < c.n; i += blockDim.x) {
        loss += c.stats[c.n + i];
        if (c.soft)
            norm += 1;
        else if (c.target[i] >= 0)
            norm += c.row_weight ? c.row_weight[i] : 1.0;
    }
    loss = block_sum(loss);
    norm = block_sum(norm);
    if (threadIdx.x == 0) {
        c.stats[2 * c.n] = norm > 0 ? (float)(1.0 / norm) : 0.0f;
        c.loss[0] = norm > 0 ? (float)(loss / norm) : 0.0f;
    }
}
__global__ void ce_backward_kernel(CrossEntropy c)
{
    ROWS(i, c.n)
    {
        if (c.target && c.target[i] < 0)
            continue;
        const float *x = c.logits + i * c.v;
        float up = c.dloss[0] * c.stats[2 * c.n] * (c.row_weight ? c.row_weight[i] : 1.0f),
              lse = c.stats[i];
        float weight = 0, count = 0;
        COLS(j, c.v) if (open_at(c, i, j))
        {
            weight += c.soft ? c.soft[i * c.v + j] : 0.0f;
            count += 1;
        }
        weight = c.soft ? block_sum(weight) : 1.0f;
        float flat = c.smoothing > 0 ? c.smoothing / block_sum(count) : 0.0f;
        if (c.soft && weight == 0)
            continue;
        COLS(j, c.v) if (open_at(c, i, j))
        {
            float t = c.soft ? c.soft[i * c.v + j]
                             : flat + (c.target[i] == j ? 1.0f - c.smoothing : 0.0f);
            c.dlogits[i * c.v + j] += up * (weight * expf(x[j] - lse) - t);
        }
    }
}
static void cuda_cross_entropy(Device *d, const CrossEntropy *c)
{
    if (c->n > 0)
        LAUNCH(d, ce_kernel, row_blocks(c->n), row_threads(c->v), 0, *c);
    LAUNCH(d, ce_end, 1, 256, 0, *c);
    launched(d, "cross-entropy");
}
static void cuda_cross_entropy_backward(Device *d, const CrossEntropy *c)
{
    if (c->n <= 0)
        return;
    LAUNCH(d, ce_backward_kernel, row_blocks(c->n), row_threads(c->v), 0, *c);
    launched(d, "cross-entropy backward");
}

/* ---- squared error ---- */
static void cuda_mse(Device *d, int64_t n, const float *x, const float *t, const float *w,
                     float *loss, float *norm)
{
    double *p = parts(d);
    if (!p)
        return;
    sum_parts(d, n, SquaredError{x, t, w}, p);
    sum_parts(d, n, Weight{w}, p + SUM_BLOCKS);
    LAUNCH(d, mse_end, 1, 1, 0, p, loss, norm);
    launched(d, "squared error");
}
struct MseBack {
    const float *x, *t, *w, *norm, *up;
    float *dx, *dt;
    BODY
    {
        float g = 2.0f * norm[0] * up[0] * (w ? w[i] : 1.0f) * (x[i] - t[i]);
        if (dx)
            dx[i] += g;
        if (dt)
            dt[i] -= g;
    }
};
static void cuda_mse_backward(Device *d, int64_t n, const float *x, const float *t, const float *w,
                              const float *norm, const float *dloss, float *dx, float *dt)
{
    each(d, n, MseBack{x, t, w, norm, dloss, dx, dt}, "squared error backward");
}

/* ---- Gaussian latent variables ---- */
struct Reparam {
    const float *mu, *logvar, *noise;
    float *z;
    BODY
    {
        z[i] = mu[i] + expf(0.5f * logvar[i]) * noise[i];
    }
};
struct ReparamBack {
    const float *logvar, *noise, *dz;
    float *dmu, *dlogvar;
    BODY
    {
        if (dmu)
            dmu[i] += dz[i];
        if (dlogvar)
            dlogvar[i] += 0.5f * expf(0.5f * logvar[i]) * noise[i] * dz[i];
    }
};
struct KlBack {
    float a;
    const float *mu, *logvar, *up;
    float *dmu, *dlogvar;
    BODY
    {
        float g = a * up[0];
        if (dmu)
            dmu[i] += g * mu[i];
        if (dlogvar)
            dlogvar[i] += 0.5f * g * (expf(logvar[i]) - 1.0f);
    }
};
static void cuda_reparam(Device *d, int64_t n, const float *mu, const float *logvar,
                         const float *noise, float *z)
{
    each(d, n, Reparam{mu, logvar, noise, z}, "sampling");
}
static void cuda_reparam_backward(Device *d, int64_t n, const float *logvar, const float *noise,
                                  const float *dz, float *dmu, float *dlogvar)
{
    each(d, n, ReparamBack{logvar, noise, dz, dmu, dlogvar}, "sampling backward");
}
static void cuda_kl(Device *d, int64_t n, float a, const float *mu, const float *logvar,
                    float *loss)
{
    double *p = parts(d);
    if (!p)
        return;
    sum_parts(d, n, KlTerm{mu, logvar}, p);
    LAUNCH(d, sum_end, 1, 1, 0, p, a, loss);
    launched(d, "divergence");
}
static void cuda_kl_backward(Device *d, int64_t n, float a, const float *mu, const float *logvar,
                             const float *dloss, float *dmu, float *dlogvar)
{
    each(d, n, KlBack{a, mu, logvar, dloss, dmu, dlogvar}, "divergence backward");
}

/* ---- optimiser ---- */
struct AdamBody {
    AdamStep s;
    float step, root;
    BODY
    {
        float x = s.grad_scale * s.g[i];
        float m = s.m[i] = s.beta1 * s.m[i] + (1.0f - s.beta1) * x;
        float v = s.v[i] = s.beta2 * s.v[i] + (1.0f - s.beta2) * x * x;
        s.w[i] -= s.lr * s.decay * s.w[i] + step * m / (sqrtf(v) * root + s.eps);
    }
};
static void cuda_adamw(Device *d, const AdamStep *s)
{
    float step = (float)(s->lr / (1.0 - pow(s->beta1, (double)s->step)));
    float root = (float)(1.0 / sqrt(1.0 - pow(s->beta2, (double)s->step)));
    each(d, s->n, AdamBody{*s, step, root}, "optimiser");
}

void loss_fill(DeviceOps *o)
{
    o->sum = cuda_sum;
    o->add_scalar = cuda_add_scalar;
    o->sumsq = cuda_sumsq;
    o->cross_entropy = cuda_cross_entropy;
    o->cross_entropy_backward = cuda_cross_entropy_backward;
    o->mse = cuda_mse;
    o->mse_backward = cuda_mse_backward;
    o->reparam = cuda_reparam;
    o->reparam_backward = cuda_reparam_backward;
    o->kl = cuda_kl;
    o->kl_backward = cuda_kl_backward;
    o->adamw = cuda_adamw;
}
