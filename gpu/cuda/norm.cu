/* Normalisation of rows: one block a row; gradients of gamma and beta by blocks of rows, added in
 * order. */
#include "gpu/cuda/cuda.cuh"

__global__ void layernorm_kernel(int64_t rows, int64_t cols, float eps, const float *x,
                                 const float *gamma, const float *beta, float *y, float *stats)
{
    ROWS(r, rows)
    {
        const float *xr = x + r * cols;
        float s = 0, v = 0;
        COLS(c, cols) s += xr[c];
        float mean = block_sum(s) / (float)cols;
        COLS(c, cols) v += (xr[c] - mean) * (xr[c] - mean);
        float inv = 1.0f / sqrtf(block_sum(v) / (float)cols + eps);
        COLS(c, cols) y[r * cols + c] = (xr[c] - mean) * inv * gamma[c] + beta[c];
        if (stats && threadIdx.x == 0) {
            stats[2 * r] = mean;
            stats[2 * r + 1] = inv;
        }
    }
}
__global__ void layernorm_dx_kernel(int64_t rows, int64_t cols, const float *x, const float *gamma,
                                    const float *stats, const float *dy, float *dx)
{
    ROWS(r, rows)
    {
        const float *xr = x + r * cols, *dr = dy + r * cols;
        float mean = stats[2 * r], inv = stats[2 * r + 1], a = 0, b = 0;
        COLS(c, cols)
        {
            float v = dr[c] * gamma[c];
            a += v;
            b += v * (xr[c] - mean);
        }
        a = block_sum(a) / (float)cols;
        b = block_sum(b) * inv * inv / (float)cols;
        COLS(c, cols) dx[r * cols + c] += inv * (dr[c] * gamma[c] - a - (xr[c] - mean) * b);
    }
}
/* A thread a column, a block of rows a blockIdx.y; stats_step 2: mean and 1/sd, 1: 1/rms only. */
__global__ void norm_params_kernel(int64_t rows, int64_t cols, int64_t block, int stats_step,
                                   const float *x, const float *stats, const float *dy, float *part)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, r0 = blockIdx.y * block;
    int64_t r1 = r0 + block < rows ? r0 + block : rows;
    float dg = 0, db = 0;
    if (c >= cols)
        return;
    for (int64_t r = r0; r < r1; r++) {
        float mean = stats_step == 2 ? stats[2 * r] : 0.0f,
              inv = stats[stats_step * r + stats_step - 1];
        dg += dy[r * cols + c] * (x[r * cols + c] - mean) * inv;
        db += dy[r * cols + c];
    }
    part[(int64_t)blockIdx.y * 2 * cols + c] = dg;
    part[(int64_t)blockIdx.y * 2 * cols + cols + c] = db;
}
static void norm_params(Device *d, int64_t rows, int64_t cols, int stats_step, const float *x,
                        const float *stats, const float *dy, float *dgamma, float *dbeta)
{
    int64_t block = (rows + 63) / 64;
    block = block < 16 ? 16 : block;
    int64_t blocks = (rows + block - 1) / block;
    float *part = (float *)cuda_scratch(d, (size_t)(blocks * 2 * cols) * sizeof(float));
    if (!part)
        return;
    dim3 grid((unsigned)((cols + 63) / 64), (unsigned)blocks);
    LAUNCH(d, norm_params_kernel, grid, 64, 0, rows, cols, block, stats_step, x, stats, dy, part);
    launched(d, "norm backward");
    if (dgamma)
        cuda_add_parts(d, blocks, cols, 1.0f, part, 2 * cols, dgamma);
    if (dbeta)
        cuda_add_parts(d, blocks, cols, 1.0f, part + cols, 2 * cols, dbeta);
}
static void cuda_layernorm(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                           const float *gamma, const float *beta, float *y, float *stats)
{
    if (rows <= 0)
        return;
    LAUNCH(d, layernorm_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, eps, x, gamma,
           beta, y, stats);
    launched(d, "layernorm");
}
static void cuda_layernorm_backward(Device *d, int64_t rows, int64_t cols, const float *x,
                                    const float *gamma, const float *stats, const float *dy,
                                    float *dx, float *dgamma, float *dbeta)
{
    if (rows <= 0)
        return;
    if (dx) {
        LAUNCH(d, layernorm_dx_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, x, gamma,
               stats, dy, dx);
        launched(d, "layernorm backward");
    }
    if (dgamma || dbeta)
        norm_params(d, rows, cols, 2, x, stats, dy, dgamma, dbeta);
}

__global__ void rmsnorm_kernel(int64_t rows, int64_t cols, float eps, const float *x,
                               const float *gamma, float *y, float *stats)
{
    ROWS(r, rows)
    {
        const float *xr = x + r * cols;
        float s = 0;
        COLS(c, cols) s += xr[c] * xr[c];
        float inv = 1.0f / sqrtf(block_sum(s) / (float)cols + eps);
        COLS(c, cols) y[r * cols + c] = xr[c] * inv * gamma[c];
        if (stats && threadIdx.x == 0)
            stats[r] = inv;
    }
}
__global__ void rmsnorm_dx_kernel(int64_t rows, int64_t cols, const float *x, const float *gamma,
                                  const float *stats, const float *dy, float *dx)
{
    ROWS(r, rows)
    {
        const float *xr = x + r * cols, *dr = dy + r * cols;
        float inv = stats[r], a = 0;
        COLS(c, cols) a += dr[c] * gamma[c] * xr[c];
        a = block_sum(a) * inv * inv * inv / (float)cols;
        COLS(c, cols) dx[r * cols + c] += inv * dr[c] * gamma[c] - a * xr[c];
    }
}
static void cuda_rmsnorm(Device *d, int64_t rows, int64_t cols, float eps, const float *x,
                         const float *gamma, float *y, float *stats)
{
    if (rows <= 0)
        return;
    LAUNCH(d, rmsnorm_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, eps, x, gamma, y,
           stats);
    launched(d, "rmsnorm");
}
static void cuda_rmsnorm_backward(Device *d, int64_t rows, int64_t cols, const float *x,
                                  const float *gamma, const float *stats, const float *dy,
                                  float *dx, float *dgamma)
{
    if (rows <= 0)
        return;
    if (dx) {
        LAUNCH(d, rmsnorm_dx_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, x, gamma,
               stats, dy, dx);
        launched(d, "rmsnorm backward");
    }
    if (dgamma)
        norm_params(d, rows, cols, 1, x, stats, dy, dgamma, NULL);
}

__global__ void l2norm_kernel(int64_t rows, int64_t cols, const float *x, float *y, float *norms)
{
    ROWS(r, rows)
    {
        float s = 0;
        COLS(c, cols) s += x[r * cols + c] * x[r * cols + c];
        float norm = fmaxf(sqrtf(block_sum(s)), 1e-12f);
        COLS(c, cols) y[r * cols + c] = x[r * cols + c] / norm;
        if (norms && threadIdx.x == 0)
            norms[r] = norm;
    }
}
/* norms: dx += (dy - y<y,dy>)/norm; without: dx += y(dy - <y,dy>), the softmax. */
__global__ void project_kernel(int64_t rows, int64_t cols, const float *y, const float *norms,
                               const float *dy, float *dx)
{
    ROWS(r, rows)
    {
        const float *yr = y + r * cols, *dr = dy + r * cols;
        float s = 0;
        COLS(c, cols) s += yr[c] * dr[c];
        s = block_sum(s);
        COLS(c, cols)
        dx[r * cols + c] += norms ? (dr[c] - yr[c] * s) / norms[r] : yr[c] * (dr[c] - s);
    }
}
static void cuda_l2norm(Device *d, int64_t rows, int64_t cols, const float *x, float *y,
                        float *norms)
{
    if (rows <= 0)
        return;
    LAUNCH(d, l2norm_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, x, y, norms);
    launched(d, "l2norm");
}
static void cuda_l2norm_backward(Device *d, int64_t rows, int64_t cols, const float *y,
                                 const float *norms, const float *dy, float *dx)
{
    if (rows <= 0)
        return;
    LAUNCH(d, project_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, y, norms, dy, dx);
    launched(d, "l2norm backward");
}

__global__ void softmax_kernel(int64_t rows, int64_t cols, const float *x, float *y)
{
    ROWS(r, rows)
    {
        const float *xr = x + r * cols;
        float max = -INFINITY, s = 0;
        COLS(c, cols) max = fmaxf(max, xr[c]);
        max = block_max(max);
        COLS(c, cols) s += expf(xr[c] - max);
        s = 1.0f / block_sum(s);
        COLS(c, cols) y[r * cols + c] = expf(xr[c] - max) * s;
    }
}
static void cuda_softmax(Device *d, int64_t rows, int64_t cols, const float *x, float *y)
{
    if (rows <= 0 || cols <= 0)
        return;
    LAUNCH(d, softmax_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, x, y);
    launched(d, "softmax");
}
static void cuda_softmax_backward(Device *d, int64_t rows, int64_t cols, const float *y,
                                  const float *dy, float *dx)
{
    if (rows <= 0)
        return;
    LAUNCH(d, project_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, y, NULL, dy, dx);
    launched(d, "softmax backward");
}

void norm_fill(DeviceOps *o)
{
    o->layernorm = cuda_layernorm;
    o->layernorm_backward = cuda_layernorm_backward;
    o->rmsnorm = cuda_rmsnorm;
    o->rmsnorm_backward = cuda_rmsnorm_backward;
    o->l2norm = cuda_l2norm;
    o->l2norm_backward = cuda_l2norm_backward;
    o->softmax = cuda_softmax;
    o->softmax_backward = cuda_softmax_backward;
}
