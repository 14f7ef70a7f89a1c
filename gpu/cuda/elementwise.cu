/* Element by element: sums, products, activations, dropout, noise. */
#include "gpu/cuda/cuda.cuh"

struct Fill {
    float value, *y;
    BODY
    {
        y[i] = value;
    }
};
struct Axpy {
    float a;
    const float *x;
    float *y;
    BODY
    {
        y[i] += a * x[i];
    }
};
struct Scale {
    float a;
    const float *x;
    float *y;
    BODY
    {
        y[i] = a * x[i];
    }
};
static void cuda_fill(Device *d, int64_t n, float value, float *y)
{
    each(d, n, Fill{value, y}, "fill");
}
static void cuda_axpy(Device *d, int64_t n, float a, const float *x, float *y)
{
    each(d, n, Axpy{a, x, y}, "axpy");
}
static void cuda_scale(Device *d, int64_t n, float a, const float *x, float *y)
{
    each(d, n, Scale{a, x, y}, "scale");
}

/* ---- activations ---- */
static __device__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}
static __device__ float act_value(Act act, float x)
{
    switch (act) {
    case ACT_RELU:
        return x > 0 ? x : 0;
    case ACT_GELU:
        return x * normcdff(x);
    case ACT_SILU:
        return x * sigmoid(x);
    case ACT_TANH:
        return tanhf(x);
    case ACT_SIGMOID:
        return sigmoid(x);
    case ACT_LEAKY:
        return x > 0 ? x : 0.01f * x;
    case ACT_EXP:
        return expf(fminf(x, 88.37f));
    case ACT_LOG:
        return logf(x);
    case ACT_SQUARE:
        return x * x;
    case ACT_SOFTPLUS:
        return x > 20 ? x : log1pf(expf(x));
    default:
        return x;
    }
}
static __device__ float act_slope(Act act, const float *x, const float *y, int64_t i)
{
    float s;
    switch (act) {
    case ACT_RELU:
        return y[i] > 0 ? 1.0f : 0.0f;
    case ACT_GELU:
        return normcdff(x[i]) + x[i] * 0.39894228f * expf(-0.5f * x[i] * x[i]);
    case ACT_SILU:
        s = sigmoid(x[i]);
        return s * (1.0f + x[i] * (1.0f - s));
    case ACT_TANH:
        return 1.0f - y[i] * y[i];
    case ACT_SIGMOID:
        return y[i] * (1.0f - y[i]);
    case ACT_LEAKY:
        return y[i] > 0 ? 1.0f : 0.01f;
    case ACT_EXP:
        return y[i];
    case ACT_LOG:
        return 1.0f / x[i];
    case ACT_SQUARE:
        return 2.0f * x[i];
    case ACT_SOFTPLUS:
        return sigmoid(x[i]);
    default:
        return 1.0f;
    }
}
struct ActBody {
    Act act;
    const float *x;
    float *y;
    BODY
    {
        y[i] = act_value(act, x[i]);
    }
};
struct ActBack {
    Act act;
    const float *x, *y, *dy;
    float *dx;
    bool add;
    BODY
    {
        float g = dy[i] * act_slope(act, x, y, i);
        dx[i] = add ? dx[i] + g : g;
    }
};
static void cuda_act(Device *d, Act act, int64_t n, const float *x, float *y)
{
    each(d, n, ActBody{act, x, y}, "activation");
}
static void cuda_act_backward(Device *d, Act act, int64_t n, const float *x, const float *y,
                              const float *dy, float *dx, bool add)
{
    each(d, n, ActBack{act, x, y, dy, dx, add}, "activation backward");
}

/* ---- with a repeated operand ---- */
struct Add {
    int64_t m;
    const float *x;
    float a;
    const float *b;
    float *y;
    BODY
    {
        y[i] = x[i] + a * b[i % m];
    }
};
struct Mul {
    int64_t m;
    const float *x, *b;
    float *y;
    bool add;
    BODY
    {
        float v = x[i] * b[i % m];
        y[i] = add ? y[i] + v : v;
    }
};
static void cuda_add(Device *d, int64_t n, int64_t m, const float *x, float a, const float *b,
                     float *y)
{
    each(d, n, Add{m, x, a, b, y}, "add");
}
static void cuda_mul(Device *d, int64_t n, int64_t m, const float *x, const float *b, float *y)
{
    each(d, n, Mul{m, x, b, y, false}, "mul");
}
static void cuda_mul_backward(Device *d, int64_t n, int64_t m, const float *x, const float *b,
                              const float *dy, float *dx, float *db)
{
    if (dx)
        each(d, n, Mul{m, dy, b, dx, true}, "mul backward");
    if (db)
        cuda_column_sum(d, n / m, m, 1.0f, dy, x, db);
}

/* ---- sums over repetitions ---- */
enum { ROW_BLOCKS = 64 };

/* Block (x: 32 columns, y: a block of rows), 8 warps take every eighth row, then add up in warp
 * order. */
__global__ void column_kernel(int64_t rows, int64_t cols, int64_t block, const float *x,
                              const float *z, float *part)
{
    __shared__ float sum[8][32];
    int64_t c = (int64_t)blockIdx.x * 32 + threadIdx.x, r0 = blockIdx.y * block;
    int64_t r1 = r0 + block < rows ? r0 + block : rows;
    float s = 0;
    if (c < cols)
        for (int64_t r = r0 + threadIdx.y; r < r1; r += 8)
            s += x[r * cols + c] * (z ? z[r * cols + c] : 1.0f);
    sum[threadIdx.y][threadIdx.x] = s;
    __syncthreads();
    if (threadIdx.y == 0 && c < cols) {
        for (int i = 1; i < 8; i++)
            s += sum[i][threadIdx.x];
        part[blockIdx.y * cols + c] = s;
    }
}
struct AddParts {
    int64_t blocks, ld;
    float a;
    const float *part;
    float *y;
    BODY
    {
        float s = 0;
        for (int64_t b = 0; b < blocks; b++)
            s += part[b * ld + i];
        y[i] += a * s;
    }
};
void cuda_add_parts(Device *d, int64_t blocks, int64_t cols, float a, const float *part, int64_t ld,
                    float *y)
{
    each(d, cols, AddParts{blocks, ld, a, part, y}, "sum of parts");
}
void cuda_column_sum(Device *d, int64_t rows, int64_t cols, float a, const float *x, const float *z,
                     float *y)
{
    if (rows <= 0 || cols <= 0)
        return;
    int64_t block = (rows + ROW_BLOCKS - 1) / ROW_BLOCKS;
    block = block < 8 ? 8 : block;
    int64_t blocks = (rows + block - 1) / block;
    float *part = (float *)cuda_scratch(d, (size_t)(blocks * cols) * sizeof(float));
    if (!part)
        return;
    dim3 grid((unsigned)((cols + 31) / 32), (unsigned)blocks), threads(32, 8);
    LAUNCH(d, column_kernel, grid, threads, 0, rows, cols, block, x, z, part);
    launched(d, "column sums");
    cuda_add_parts(d, blocks, cols, a, part, cols, y);
}
static void cuda_reduce_period(Device *d, int64_t n, int64_t m, float a, const float *x, float *y)
{
    if (n == m)
        cuda_axpy(d, n, a, x, y);
    else
        cuda_column_sum(d, n / m, m, a, x, NULL, y);
}

/* ---- one factor per row ---- */
struct MulRows {
    int64_t cols;
    const float *x, *s;
    float *y;
    bool add;
    BODY
    {
        float v = x[i] * s[i / cols];
        y[i] = add ? y[i] + v : v;
    }
};
__global__ void row_dot_kernel(int64_t rows, int64_t cols, const float *x, const float *y, float *s)
{
    ROWS(r, rows)
    {
        float v = 0;
        COLS(c, cols) v += x[r * cols + c] * y[r * cols + c];
        v = block_sum(v);
        if (threadIdx.x == 0)
            s[r] += v;
    }
}
static void cuda_mul_rows(Device *d, int64_t rows, int64_t cols, const float *x, const float *s,
                          float *y)
{
    each(d, rows * cols, MulRows{cols, x, s, y, false}, "row factors");
}
static void cuda_mul_rows_backward(Device *d, int64_t rows, int64_t cols, const float *x,
                                   const float *s, const float *dy, float *dx, float *ds)
{
    if (dx)
        each(d, rows * cols, MulRows{cols, dy, s, dx, true}, "row factors backward");
    if (ds && rows > 0) {
        LAUNCH(d, row_dot_kernel, row_blocks(rows), row_threads(cols), 0, rows, cols, dy, x, ds);
        launched(d, "row factors backward");
    }
}
struct BiasAct {
    int64_t cols;
    const float *bias;
    Act act;
    float *pre, *y;
    BODY
    {
        float v = pre[i];
        if (bias)
            pre[i] = v = v + bias[i % cols];
        y[i] = act_value(act, v);
    }
};
void cuda_bias_act(Device *d, int64_t rows, int64_t cols, const float *bias, Act act, float *pre,
                   float *y)
{
    each(d, rows * cols, BiasAct{cols, bias, act, pre, y}, "bias");
}

/* ---- gated unit ---- */
struct Swiglu {
    const float *a, *b;
    float *y;
    BODY
    {
        y[i] = a[i] * sigmoid(a[i]) * b[i];
    }
};
struct SwigluBack {
    const float *a, *b, *dy;
    float *da, *db;
    BODY
    {
        float s = sigmoid(a[i]);
        if (da)
            da[i] += dy[i] * b[i] * s * (1.0f + a[i] * (1.0f - s));
        if (db)
            db[i] += dy[i] * a[i] * s;
    }
};
static void cuda_swiglu(Device *d, int64_t n, const float *a, const float *b, float *y)
{
    each(d, n, Swiglu{a, b, y}, "swiglu");
}
static void cuda_swiglu_backward(Device *d, int64_t n, const float *a, const float *b,
                                 const float *dy, float *da, float *db)
{
    each(d, n, SwigluBack{a, b, dy, da, db}, "swiglu backward");
}

/* ---- by (seed, index) ---- */
struct Dropout {
    uint64_t key;
    uint32_t threshold;
    float keep;
    const float *x;
    float *y;
    bool add;
    BODY
    {
        float v = counter_u32(key, (uint64_t)i) < threshold ? 0.0f : keep * x[i];
        y[i] = add ? y[i] + v : v;
    }
};
struct Normal { /* elements 2i and 2i+1 */
    uint64_t key;
    int64_t n;
    float *y;
    BODY
    {
        float radius = sqrtf(-2.0f * logf(counter_open(counter_u32(key, (uint64_t)(2 * i)))));
        float angle = 6.28318531f * counter_open(counter_u32(key, (uint64_t)(2 * i + 1)));
        y[2 * i] = radius * cosf(angle);
        if (2 * i + 1 < n)
            y[2 * i + 1] = radius * sinf(angle);
    }
};
static void cuda_dropout(Device *d, int64_t n, float p, uint64_t seed, const float *x, float *y,
                         bool add)
{
    each(d, n, Dropout{counter_key(seed), counter_threshold(p), 1.0f / (1.0f - p), x, y, add},
         "dropout");
}
static void cuda_fill_normal(Device *d, int64_t n, uint64_t seed, float *y)
{
    each(d, (n + 1) / 2, Normal{counter_key(seed), n, y}, "noise");
}

void elementwise_fill(DeviceOps *o)
{
    o->fill = cuda_fill;
    o->axpy = cuda_axpy;
    o->scale = cuda_scale;
    o->act = cuda_act;
    o->act_backward = cuda_act_backward;
    o->add = cuda_add;
    o->mul = cuda_mul;
    o->mul_backward = cuda_mul_backward;
    o->reduce_period = cuda_reduce_period;
    o->mul_rows = cuda_mul_rows;
    o->mul_rows_backward = cuda_mul_rows_backward;
    o->bias_act = cuda_bias_act;
    o->swiglu = cuda_swiglu;
    o->swiglu_backward = cuda_swiglu_backward;
    o->dropout = cuda_dropout;
    o->fill_normal = cuda_fill_normal;
}
