/* Products, norms, sums, attention, tables and single kernels of the CPU against slow loops in double, at sizes that cross
 * all block borders. */
#include "tests/util_slow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/device.h"
#include "gpu/cpu/cpu.h"

static void products_equal_slow_loops_at_all_tile_borders(void **state)
{
    (void)state;
    static const int64_t size[][3] = {{1, 1, 1},      {5, 7, 3},     {257, 513, 20}, {64, 96, 3000},
                                      {300, 2, 1500}, {1, 700, 130}, {600, 600, 40}, {3, 3, 0}};
    Device *d;
    assert_ok(device_open("cpu", &d));
    for (size_t s = 0; s < sizeof size / sizeof *size; s++)
        for (int t = 0; t < 4; t++) {
            int64_t m = size[s][0], n = size[s][1], k = size[s][2];
            bool ta = t & 1, tb = t & 2;
            float *a = host_random(1, m * k), *b = host_random(2, k * n),
                  *c = host_random(3, m * n);
            double *want = malloc((size_t)(m * n) * sizeof *want);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < n; j++) {
                    double v = 0;
                    for (int64_t l = 0; l < k; l++)
                        v += (double)(ta ? a[l * m + i] : a[i * k + l]) *
                             (tb ? b[j * k + l] : b[l * n + j]);
                    want[i * n + j] = 0.5 * v + 2.0 * c[i * n + j];
                }
            d->ops->gemm(d, &(Gemm){.ta = ta,
                                    .tb = tb,
                                    .m = m,
                                    .n = n,
                                    .k = k,
                                    .batch = 1,
                                    .a = a,
                                    .b = b,
                                    .c = c,
                                    .lda = ta ? m : k,
                                    .ldb = tb ? k : n,
                                    .ldc = n,
                                    .alpha = 0.5f,
                                    .beta = 2.0f});
            near_slow(c, want, m * n, 1e-11, "product");
            free(a);
            free(b);
            free(c);
            free(want);
        }
    device_close(d);
}
static void layernorm_backward_equals_slow_loops(void **state)
{
    (void)state;
    enum { ROWS = 2000, COLS = 37 };
    Device *d;
    assert_ok(device_open("cpu", &d));
    float *x = host_random(1, ROWS * COLS), *g = host_random(2, COLS),
          *dy = host_random(3, ROWS * COLS);
    float *y = host_random(4, ROWS * COLS), *stats = host_random(5, 2 * ROWS);
    float *dx = calloc(ROWS * COLS, sizeof *dx), *dg = calloc(COLS, sizeof *dg),
          *db = calloc(COLS, sizeof *db);
    double *wx = calloc(ROWS * COLS, sizeof *wx), *wg = calloc(COLS, sizeof *wg),
           *wb = calloc(COLS, sizeof *wb);
    for (int r = 0; r < ROWS; r++) {
        double mean = 0, var = 0, a = 0, b = 0;
        for (int c = 0; c < COLS; c++)
            mean += x[r * COLS + c] / (double)COLS;
        for (int c = 0; c < COLS; c++)
            var += pow(x[r * COLS + c] - mean, 2) / COLS;
        double inv = 1 / sqrt(var + 1e-5);
        for (int c = 0; c < COLS; c++) {
            double hat = (x[r * COLS + c] - mean) * inv, v = (double)dy[r * COLS + c] * g[c];
            a += v / COLS;
            b += v * hat / COLS;
            wg[c] += dy[r * COLS + c] * hat;
            wb[c] += dy[r * COLS + c];
        }
        for (int c = 0; c < COLS; c++)
            wx[r * COLS + c] =
                inv * ((double)dy[r * COLS + c] * g[c] - a - (x[r * COLS + c] - mean) * inv * b);
    }
    d->ops->layernorm(d, ROWS, COLS, 1e-5f, x, g, g, y, stats);
    d->ops->layernorm_backward(d, ROWS, COLS, x, g, stats, dy, dx, dg, db);
    near_slow(dx, wx, ROWS * COLS, 1e-11, "dx");
    near_slow(dg, wg, COLS, 1e-11, "dgamma");
    near_slow(db, wb, COLS, 1e-11, "dbeta");
    void *all[] = {x, g, dy, y, stats, dx, dg, db, wx, wg, wb};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    device_close(d);
}
static void attention_backward_equals_slow_loops(void **state)
{
    (void)state;
    enum { TQ = 130, TK = 600, DIM = 12 }; /* three blocks of queries and of keys */
    Device *d;
    assert_ok(device_open("cpu", &d));
    float *q = host_random(1, TQ * DIM), *k = host_random(2, TK * DIM),
          *v = host_random(3, TK * DIM);
    float *dout = host_random(4, TQ * DIM), *out = host_random(5, TQ * DIM), lse[TQ], delta[TQ];
    float *dq = calloc(TQ * DIM, sizeof *dq), *dk = calloc(TK * DIM, sizeof *dk),
          *dv = calloc(TK * DIM, sizeof *dv);
    double *wq = calloc(TQ * DIM, sizeof *wq), *wk = calloc(TK * DIM, sizeof *wk),
           *wv = calloc(TK * DIM, sizeof *wv);
    for (int i = 0; i < TQ; i++) {
        static double p[TK], dp[TK];
        double sum = 0, mean = 0;
        int end = i + TK - TQ + 1; /* causal */
        for (int j = 0; j < end; j++) {
            double s = 0;
            for (int c = 0; c < DIM; c++)
                s += (double)q[i * DIM + c] * k[j * DIM + c];
            sum += p[j] = exp(0.3 * s);
        }
        for (int j = 0; j < end; j++) {
            p[j] /= sum;
            dp[j] = 0;
            for (int c = 0; c < DIM; c++) {
                dp[j] += (double)dout[i * DIM + c] * v[j * DIM + c];
                wv[j * DIM + c] += p[j] * dout[i * DIM + c];
            }
            mean += p[j] * dp[j];
        }
        for (int j = 0; j < end; j++)
            for (int c = 0; c < DIM; c++) {
                wq[i * DIM + c] += 0.3 * p[j] * (dp[j] - mean) * k[j * DIM + c];
                wk[j * DIM + c] += 0.3 * p[j] * (dp[j] - mean) * q[i * DIM + c];
            }
    }
    Attention a = {.batch = 1,
                   .heads = 1,
                   .kv_heads = 1,
                   .tq = TQ,
                   .tk = TK,
                   .dim = DIM,
                   .q = q,
                   .k = k,
                   .v = v,
                   .ldq = DIM,
                   .ldk = DIM,
                   .ldv = DIM,
                   .out = out,
                   .ldo = DIM,
                   .lse = lse,
                   .scale = 0.3f,
                   .causal = true,
                   .dout = dout,
                   .dq = dq,
                   .dk = dk,
                   .dv = dv,
                   .delta = delta};
    d->ops->attention(d, &a);
    d->ops->attention_backward(d, &a);
    near_slow(dq, wq, TQ * DIM, 1e-10, "dq");
    near_slow(dk, wk, TK * DIM, 1e-10, "dk");
    near_slow(dv, wv, TK * DIM, 1e-10, "dv");
    void *all[] = {q, k, v, dout, out, dq, dk, dv, wq, wk, wv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    device_close(d);
}
static void table_gradients_equal_slow_loops(void **state)
{
    (void)state;
    enum { NN = 3000, COLS = 70, ROWS = 11 };
    Device *d;
    assert_ok(device_open("cpu", &d));
    float *dy = host_random(1, NN * COLS), *dt = calloc(ROWS * COLS, sizeof *dt);
    double *want = calloc(ROWS * COLS, sizeof *want);
    int32_t *id = malloc(NN * sizeof *id);
    for (int i = 0; i < NN; i++) {
        id[i] = i % 13 == 12 ? -1 : i * 31 % ROWS;
        for (int c = 0; c < COLS && id[i] >= 0; c++)
            want[id[i] * COLS + c] += dy[i * COLS + c];
    }
    d->ops->gather_backward(d, NN, COLS, id, dy, ROWS, dt);
    near_slow(dt, want, ROWS * COLS, 1e-11, "table");
    free(dy);
    free(dt);
    free(want);
    free(id);
    device_close(d);
}

/* Every number of rows and columns that a tile may have, with and without bias, adding, ReLU; what
 * stands beside the tile is left alone. */
static void tiles_equal_plain_ones(void **state)
{
    enum { K = 37, LD = 70 };
    (void)state;
    float *a = host_random(1, TILE_ROWS * K), *w = host_random(2, K * LD), *bias = host_random(3, LD);
    for (int which = 1; cpu_tile_kernel_at(which); which++)
        for (int rows = 1; rows <= TILE_ROWS; rows++)
            for (int cols = 1; cols <= cpu_tile_kernel_at(which)->cols; cols++)
                for (int how = 0; how < 4; how++) {
                    float *x = host_random(4, TILE_ROWS * LD), *y = host_random(4, TILE_ROWS * LD);
                    Tile t = {.k = K, .a = a, .b = w, .c = x, .lda = K, .ldb = LD, .ldc = LD};
                    t.bias = how == 1 ? bias : NULL;
                    t.add = how == 2;
                    t.relu = how == 3;
                    t.rows = rows;
                    t.cols = cols;
                    cpu_tile_kernel_at(which)->run(&t);
                    t.c = y;
                    cpu_rows_times(cpu_tile_kernel_at(0), rows, cols, t);
                    for (int i = 0; i < TILE_ROWS * LD; i++)
                        assert_float_equal(x[i], y[i], 1e-4);
                    free(x);
                    free(y);
                }
    free(a);
    free(w);
    free(bias);
}
static void hand_written_dots_equal_plain_ones(void **state)
{
    (void)state;
    enum { ROWS = 7, K = 101, M = 4, GROUPS = 4 };
    float *x = host_random(1, M * K), *scale = host_random(2, ROWS * GROUPS),
          *w = host_random(3, ROWS * K);
    int8_t q[ROWS * K];
    uint16_t h[ROWS * K];
    for (int i = 0; i < ROWS * K; i++)
        q[i] = (int8_t)(w[i] * 40);
    cpu_to_bf16(ROWS * K, w, h);
    for (DotKernel kernel = DOT_AVX2; kernel <= cpu_dot_kernel_best(); kernel++)
        for (int m = 1; m <= M; m++) {
            float want[ROWS * M] = {0}, got[ROWS * M] = {0};
            double exact[ROWS * M] = {0};
            cpu_dots_int8(DOT_PLAIN, ROWS, K, q, scale, m, x, want, ROWS);
            cpu_dots_int8(kernel, ROWS, K, q, scale, m, x, got, ROWS);
            for (int i = 0; i < ROWS * M; i++)
                exact[i] = want[i];
            near_slow(got, exact, ROWS * m, 1e-11, "int8");
            cpu_dots_bf16(DOT_PLAIN, ROWS, K, h, m, x, want, ROWS);
            cpu_dots_bf16(kernel, ROWS, K, h, m, x, got, ROWS);
            for (int i = 0; i < ROWS * M; i++)
                exact[i] = want[i];
            near_slow(got, exact, ROWS * m, 1e-11, "bf16");
        }
    free(x);
    free(scale);
    free(w);
}
static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    const float x[] = {1.0f, 1.00390625f, 1.01171875f, -3.0e38f, 3.4e38f, 0.0f, NAN};
    uint16_t y[7];
    cpu_to_bf16(7, x, y);
    assert_int_equal(y[0], 0x3f80);
    assert_int_equal(y[1], 0x3f80); /* half way, to even */
    assert_int_equal(y[2], 0x3f82);
    assert_int_equal(y[3], 0xff62);
    assert_int_equal(y[4], 0x7f80); /* infinity */
    assert_int_equal(y[5], 0);
    assert_true((y[6] & 0x7f80) == 0x7f80 && (y[6] & 0x7f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(products_equal_slow_loops_at_all_tile_borders),
        TEST(layernorm_backward_equals_slow_loops),
        TEST(attention_backward_equals_slow_loops),
        TEST(table_gradients_equal_slow_loops),
        TEST(tiles_equal_plain_ones),
        TEST(hand_written_dots_equal_plain_ones),
        TEST(bf16_rounds_to_nearest_even),
    };
    return RUN(tests);
}
