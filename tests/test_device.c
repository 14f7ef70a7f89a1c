/* Devices. Every entry of the operation table has a case here (a test counts). A case runs with
 * fixed inputs on the CPU at one and three threads, which must agree bit for bit, and on the GPU
 * where there is one, which must agree with the CPU to a normalised mean squared error of 1e-7
 * (1e-4 for bf16; 0 for the layout, whose small differences grow). */
#include "tests/util_slow.h"

#include "core/base/rng.h"
#include "core/device/device.h"
#include "core/device/encoder.h"
#include "gpu/cpu/cpu.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- running a case on a device ---- */
enum { BUFFERS = 24 };
typedef struct Bench {
    Device *d;
    void *buffer[BUFFERS];
    int buffers;
    float *out; /* everything the case computed */
    size_t n;
} Bench;

static void *take(Bench *b, size_t bytes)
{
    void *p = NULL;
    assert_true(b->buffers < BUFFERS);
    assert_ok(device_alloc(b->d, bytes, &p));
    return b->buffer[b->buffers++] = p;
}
static float *rnd(Bench *b, uint64_t seed, int64_t n)
{
    float *x = host_random(seed, n), *p = take(b, (size_t)n * sizeof *p);
    b->d->ops->upload(b->d, p, x, (size_t)n * sizeof *x);
    free(x);
    return p;
}
static float *positive(Bench *b, uint64_t seed, int64_t n)
{
    float *x = host_random(seed, n), *p = take(b, (size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        x[i] = fabsf(x[i]) + 0.1f;
    b->d->ops->upload(b->d, p, x, (size_t)n * sizeof *x);
    free(x);
    return p;
}
static int32_t *ints(Bench *b, uint64_t seed, int64_t n, int64_t below, int skip)
{
    int32_t *x = malloc((size_t)n * sizeof *x), *p = take(b, (size_t)n * sizeof *p);
    Rng r = rng_make(seed, 4);
    for (int64_t i = 0; i < n; i++)
        x[i] = skip && i % skip == 1 ? -100 : (int32_t)rng_below(&r, (uint64_t)below);
    b->d->ops->upload(b->d, p, x, (size_t)n * sizeof *x);
    free(x);
    return p;
}
static uint8_t *bytes(Bench *b, uint64_t seed, int64_t n, double one)
{
    uint8_t *x = malloc((size_t)n), *p = take(b, (size_t)n);
    Rng r = rng_make(seed, 5);
    for (int64_t i = 0; i < n; i++)
        x[i] = rng_uniform(&r) < one;
    b->d->ops->upload(b->d, p, x, (size_t)n);
    free(x);
    return p;
}
static void keep(Bench *b, const float *p, int64_t n)
{
    b->out = realloc(b->out, (b->n + (size_t)n) * sizeof *b->out);
    b->d->ops->download(b->d, b->out + b->n, p, (size_t)n * sizeof *p);
    b->n += (size_t)n;
}
static void keep_ints(Bench *b, const int32_t *p, int64_t n)
{
    int32_t *x = malloc((size_t)n * sizeof *x);
    b->d->ops->download(b->d, x, p, (size_t)n * sizeof *x);
    b->out = realloc(b->out, (b->n + (size_t)n) * sizeof *b->out);
    for (int64_t i = 0; i < n; i++)
        b->out[b->n++] = (float)x[i];
    free(x);
}

#define DO(op, ...) b->d->ops->op(b->d, __VA_ARGS__)
enum { R = 333, C = 129, N = R * C };

static void c_fill(Bench *b)
{
    float *y = rnd(b, 1, N);
    DO(fill, N - 1, 0.7f, y);
    keep(b, y, N);
}
static void c_axpy(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N);
    DO(axpy, N, -0.3f, x, y);
    keep(b, y, N);
}
static void c_scale(Bench *b)
{
    float *x = rnd(b, 1, N);
    DO(scale, N, -0.3f, x, x);
    keep(b, x, N);
}
static void c_act(Bench *b)
{
    float *x = positive(b, 1, N), *y = rnd(b, 2, N), *z = rnd(b, 3, N);
    for (Act a = ACT_NONE; a < ACT_COUNT; a++) {
        DO(act, a, N, a == ACT_LOG ? x : z, y);
        keep(b, y, N);
    }
}
static void c_act_backward(Bench *b)
{
    float *x = positive(b, 1, N), *y = rnd(b, 2, N), *z = rnd(b, 3, N), *dy = rnd(b, 4, N),
          *dx = rnd(b, 5, N);
    for (Act a = ACT_NONE; a < ACT_COUNT; a++) {
        DO(act, a, N, a == ACT_LOG ? x : z, y);
        DO(act_backward, a, N, a == ACT_LOG ? x : z, y, dy, dx, a % 2 == 0);
        keep(b, dx, N);
    }
}
static void c_add(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N), *z = rnd(b, 3, N);
    DO(add, N, C, x, 0.4f, y, z);
    keep(b, z, N);
    DO(add, N, N, x, 0.4f, y, z);
    keep(b, z, N);
}
static void c_mul(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N), *z = rnd(b, 3, N);
    DO(mul, N, 3 * C, x, y, z);
    keep(b, z, N);
}
static void c_mul_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, C), *dy = rnd(b, 3, N), *dx = rnd(b, 4, N),
          *db = rnd(b, 5, C);
    DO(mul_backward, N, C, x, y, dy, dx, db);
    keep(b, dx, N);
    keep(b, db, C);
}
static void c_reduce_period(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N);
    DO(reduce_period, N, C, 0.5f, x, y);
    DO(reduce_period, N, 9 * C, 0.5f, x, y);
    DO(reduce_period, N, N, 0.5f, x, y);
    keep(b, y, N);
}
static void c_mul_rows(Bench *b)
{
    float *x = rnd(b, 1, N), *s = rnd(b, 2, R), *y = rnd(b, 3, N);
    DO(mul_rows, R, C, x, s, y);
    keep(b, y, N);
}
static void c_mul_rows_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *s = rnd(b, 2, R), *dy = rnd(b, 3, N), *dx = rnd(b, 4, N),
          *ds = rnd(b, 5, R);
    DO(mul_rows_backward, R, C, x, s, dy, dx, ds);
    keep(b, dx, N);
    keep(b, ds, R);
}
static void c_bias_act(Bench *b)
{
    float *x = rnd(b, 1, N), *s = rnd(b, 2, C), *y = rnd(b, 3, N);
    DO(bias_act, R, C, s, ACT_RELU, x, y);
    keep(b, x, N);
    keep(b, y, N);
    DO(bias_act, R, C, s, ACT_GELU, x, x);
    DO(bias_act, R, C, NULL, ACT_TANH, x, x);
    keep(b, x, N);
}
static void c_swiglu(Bench *b)
{
    float *x = rnd(b, 1, N), *u = rnd(b, 2, N), *y = rnd(b, 3, N);
    DO(swiglu, N, x, u, y);
    keep(b, y, N);
}
static void c_swiglu_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *u = rnd(b, 2, N), *dy = rnd(b, 3, N), *dx = rnd(b, 4, N),
          *du = rnd(b, 5, N);
    DO(swiglu_backward, N, x, u, dy, dx, du);
    keep(b, dx, N);
    keep(b, du, N);
}
static void c_dropout(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N);
    DO(dropout, N, 0.3f, 77, x, y, false);
    DO(dropout, N, 0.3f, 78, x, y, true);
    keep(b, y, N);
}
static void c_fill_normal(Bench *b)
{
    float *y = rnd(b, 2, N);
    DO(fill_normal, N, 9, y);
    keep(b, y, N);
}
static void c_layernorm(Bench *b)
{
    float *x = rnd(b, 1, N), *g = rnd(b, 2, C), *e = rnd(b, 3, C), *y = rnd(b, 4, N),
          *s = rnd(b, 5, 2 * R);
    DO(layernorm, R, C, 1e-5f, x, g, e, y, s);
    keep(b, y, N);
    keep(b, s, 2 * R);
}
static void c_layernorm_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *g = rnd(b, 2, C), *e = rnd(b, 3, C), *y = rnd(b, 4, N),
          *s = rnd(b, 5, 2 * R);
    float *dy = rnd(b, 6, N), *dx = rnd(b, 7, N), *dg = rnd(b, 8, C), *db = rnd(b, 9, C);
    DO(layernorm, R, C, 1e-5f, x, g, e, y, s);
    DO(layernorm_backward, R, C, x, g, s, dy, dx, dg, db);
    keep(b, dx, N);
    keep(b, dg, C);
    keep(b, db, C);
}
static void c_rmsnorm(Bench *b)
{
    float *x = rnd(b, 1, N), *g = rnd(b, 2, C), *y = rnd(b, 4, N), *s = rnd(b, 5, R);
    DO(rmsnorm, R, C, 1e-5f, x, g, y, s);
    keep(b, y, N);
    keep(b, s, R);
}
static void c_rmsnorm_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *g = rnd(b, 2, C), *y = rnd(b, 4, N), *s = rnd(b, 5, R);
    float *dy = rnd(b, 6, N), *dx = rnd(b, 7, N), *dg = rnd(b, 8, C);
    DO(rmsnorm, R, C, 1e-5f, x, g, y, s);
    DO(rmsnorm_backward, R, C, x, g, s, dy, dx, dg);
    keep(b, dx, N);
    keep(b, dg, C);
}
static void c_l2norm(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N), *s = rnd(b, 3, R);
    DO(zero, x, C * sizeof *x); /* a row of zeros */
    DO(l2norm, R, C, x, y, s);
    keep(b, y, N);
    keep(b, s, R);
}
static void c_l2norm_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N), *s = rnd(b, 3, R), *dy = rnd(b, 4, N),
          *dx = rnd(b, 5, N);
    DO(l2norm, R, C, x, y, s);
    DO(l2norm_backward, R, C, y, s, dy, dx);
    keep(b, dx, N);
}
static void c_softmax(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N);
    DO(softmax, R, C, x, y);
    keep(b, y, N);
}
static void c_softmax_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N), *dy = rnd(b, 4, N), *dx = rnd(b, 5, N);
    DO(softmax, R, C, x, y);
    DO(softmax_backward, R, C, y, dy, dx);
    keep(b, dx, N);
}
static void c_gather(Bench *b)
{
    float *t = rnd(b, 1, N), *y = rnd(b, 2, 500 * C);
    DO(gather, 500, C, t, ints(b, 1, 500, R, 7), y);
    keep(b, y, 500 * C);
}
static void c_gather_backward(Bench *b)
{
    float *dy = rnd(b, 1, 500 * C), *dt = rnd(b, 2, N);
    DO(gather_backward, 500, C, ints(b, 1, 500, 40, 7), dy, R, dt);
    keep(b, dt, N);
}
static void c_copy_block(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N);
    DO(copy_block, R, 31, x + 2, C, y + 5, C, false);
    DO(copy_block, R, 17, x, 0, y, C, true);
    keep(b, y, N);
}
static void c_max_middle(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, N);
    int32_t *arg = ints(b, 1, N, 1, 0);
    DO(max_middle, 37, 9, C, x, y, arg);
    keep(b, y, 37 * C);
    keep_ints(b, arg, 37 * C);
}
static void c_max_middle_backward(Bench *b)
{
    float *dy = rnd(b, 1, 37 * C), *dx = rnd(b, 2, N);
    DO(max_middle_backward, 37, 9, C, ints(b, 1, 37 * C, 9, 0), dy, dx);
    keep(b, dx, N);
}
static void c_argmax(Bench *b)
{
    float *x = rnd(b, 1, N);
    int32_t *arg = ints(b, 1, R, 1, 0);
    DO(act, ACT_SQUARE, N, x, x);
    DO(fill, 3 * C, 1.0f, x); /* ties */
    DO(argmax, R, C, x, arg);
    keep_ints(b, arg, R);
}
static void c_rope(Bench *b)
{
    enum { H = 3, D = 20 };
    float *x = rnd(b, 1, R * 64), *y = rnd(b, 2, R * 70), *f = positive(b, 3, D / 2);
    int32_t *pos = ints(b, 1, R, 50, 0);
    DO(rope, R, H, D, x, 64, pos, f, 1.0f, y, 70, false);
    DO(rope, R, H, D, x, 64, pos, f, -1.0f, y, 70, true);
    DO(rope, R, H, D, x, 64, pos, f, 1.0f, x, 64, false);
    keep(b, x, R * 64);
    keep(b, y, R * 70);
}
static void c_gemm(Bench *b)
{
    float *x = rnd(b, 1, 70 * 90 * 4), *y = rnd(b, 2, 90 * 50 * 4), *z = rnd(b, 3, 70 * 50 * 4);
    for (int k = 0; k < 4; k++) {
        bool ta = k & 1, tb = k & 2;
        DO(gemm, &(Gemm){.ta = ta,
                         .tb = tb,
                         .m = 70,
                         .n = 50,
                         .k = 90,
                         .batch = 4,
                         .a = x,
                         .b = y,
                         .c = z,
                         .lda = ta ? 70 : 90,
                         .ldb = tb ? 90 : 50,
                         .ldc = 50,
                         .stride_a = 70 * 90,
                         .stride_b = 90 * 50,
                         .stride_c = 70 * 50,
                         .alpha = 0.1f,
                         .beta = k > 1 ? 0.5f : 0.0f});
        keep(b, z, 70 * 50 * 4);
    }
}
static Attention attention_case(Bench *b, int kind)
{
    Attention a = {.batch = 3,
                   .heads = 4,
                   .kv_heads = kind == 1 ? 2 : 4,
                   .tq = kind == 1 ? 90 : 37,
                   .tk = 90,
                   .dim = 20};
    a.ldq = a.ldo = 80;
    a.ldk = a.ldv = a.kv_heads * a.dim;
    a.q = rnd(b, 1, 3 * a.tq * 80);
    a.k = rnd(b, 2, 3 * a.tk * a.ldk);
    a.v = rnd(b, 3, 3 * a.tk * a.ldv);
    a.out = rnd(b, 4, 3 * a.tq * 80);
    a.lse = rnd(b, 5, 3 * 4 * a.tq);
    a.scale = 0.3f;
    a.causal = kind == 1;
    a.prefix = kind == 2 ? 60 : 0;
    a.len = kind == 0 ? ints(b, 6, 3, 90, 3) : NULL; /* one sequence has no key: -100 */
    a.first = kind == 1 ? ints(b, 7, 3, 50, 0) : NULL;
    a.key_mask = kind == 2 ? bytes(b, 8, 3 * 90, 0.7) : NULL;
    a.drop = kind == 2 ? 0.2f : 0;
    a.seed = 5;
    return a;
}
static void c_attention(Bench *b)
{
    for (int kind = 0; kind < 3; kind++) {
        Attention a = attention_case(b, kind);
        b->d->ops->attention(b->d, &a);
        keep(b, a.out, 3 * a.tq * 80);
    }
}
static void c_attention_backward(Bench *b)
{
    for (int kind = 0; kind < 3; kind++) {
        b->buffers = kind ? b->buffers : 0;
        Attention a = attention_case(b, kind);
        b->d->ops->attention(b->d, &a);
        a.dout = rnd(b, 11, 3 * a.tq * 80);
        float *all = rnd(b, 12, 3 * a.tq * 80 + 6 * a.tk * a.ldk + 12 * a.tq);
        a.dq = all;
        a.dk = a.dq + 3 * a.tq * 80;
        a.dv = a.dk + 3 * a.tk * a.ldk;
        a.delta = a.dv + 3 * a.tk * a.ldk;
        b->d->ops->attention_backward(b->d, &a);
        keep(b, all, 3 * a.tq * 80 + 6 * a.tk * a.ldk);
        b->d->ops->sync(b->d);
        for (int i = 0; i < b->buffers; i++) /* a case has few buffers: give them back each round */
            b->d->ops->free(b->d, b->buffer[i]);
        b->buffers = 0;
    }
}
static void packed_case(Bench *b, WeightForm form)
{
    float *w = rnd(b, 1, 130 * 75), *x = rnd(b, 2, 20 * 75), *s = rnd(b, 3, 130),
          *y = rnd(b, 4, 20 * 130);
    PackedWeight *p = b->d->ops->pack(b->d, form, 130, 75, w);
    assert_non_null(p);
    DO(linear_packed, 20, x, p, s, ACT_GELU, y);
    keep(b, y, 20 * 130);
    DO(linear_packed, 1, x, p, NULL, ACT_NONE, y);
    keep(b, y, 130);
    b->d->ops->sync(b->d);
    b->d->ops->pack_free(b->d, p);
}
static void c_packed(Bench *b)
{
    packed_case(b, WEIGHT_F32);
    packed_case(b, WEIGHT_INT8);
    packed_case(b, WEIGHT_BF16X3);
}
/* Joined and separate q, k, v; lengths, a mask of keys; small enough to go by sequence, and not. */
typedef void RunEncoder(Device *d, const EncoderLayer *e);
static void encoder_case(Bench *b, RunEncoder *run, int64_t batch, int64_t tokens, int64_t w,
                         int64_t ffn, bool joined)
{
    int64_t n = batch * tokens;
    float *x = rnd(b, 1, n * w), *y = rnd(b, 2, n * w), *v = rnd(b, 3, 8 * w + ffn);
    float *big = rnd(b, 4, 3 * w * w + w * w + 2 * w * ffn);
    int32_t *len = ints(b, 5, batch, tokens + 1, 0);
    uint8_t *mask = take(b, (size_t)n), *host = malloc((size_t)n);
    for (int64_t i = 0; i < n; i++)
        host[i] = i % 7 != 3;
    b->d->ops->upload(b->d, mask, host, (size_t)n);
    free(host);
    b->d->ops->scale(b->d, 3 * w * w + w * w + 2 * w * ffn, 1 / sqrtf((float)w), big, big);
    PackedWeight *p[6];
    int64_t rows[6] = {joined ? 3 * w : w, w, w, w, ffn, w}, from = 0;
    for (int i = 0; i < 6; i++) {
        bool skip = joined && (i == 1 || i == 2);
        int64_t k = i == 5 ? ffn : w;
        p[i] = skip ? NULL : b->d->ops->pack(b->d, WEIGHT_F32, rows[i], k, big + from);
        from += skip ? 0 : rows[i] * k;
    }
    EncoderLayer e = {.batch = batch,
                      .tokens = tokens,
                      .width = w,
                      .ffn = ffn,
                      .heads = 4,
                      .eps = 1e-5f,
                      .scale = 2 / sqrtf((float)w),
                      .act = joined ? ACT_RELU : ACT_GELU,
                      .x = x,
                      .y = y,
                      .work = take(b, (size_t)encoder_layer_work(n, w, ffn) * sizeof *x),
                      .q = {p[0], joined ? v : NULL},
                      .k = {p[1], v + w},
                      .v = {p[2], v + 2 * w},
                      .out = {p[3], v + 3 * w},
                      .ff1 = {p[4], v + 8 * w},
                      .ff2 = {p[5], v + 4 * w},
                      .gamma1 = v + 5 * w,
                      .beta1 = v + 6 * w,
                      .gamma2 = v + 7 * w,
                      .beta2 = v + 6 * w};
    for (int turn = 0; turn < 3; turn++) {
        e.len = turn == 1 ? len : NULL;
        e.key_mask = turn == 2 ? mask : NULL;
        run(b->d, &e);
        for (int64_t i = 0; i < batch; i++) {
            int32_t used = (int32_t)tokens;
            if (turn == 1)
                b->d->ops->download(b->d, &used, len + i, sizeof used);
            keep(b, y + i * tokens * w, used * w);
        }
    }
    b->d->ops->sync(b->d);
    for (int i = 0; i < 6; i++)
        b->d->ops->pack_free(b->d, p[i]);
}
static void c_encoder_layer(Bench *b)
{
    encoder_case(b, b->d->ops->encoder_layer, 5, 17, 32, 40, true);
    encoder_case(b, b->d->ops->encoder_layer, 1, 70, 140, 60, false);
}
static void encoder_fused(Bench *b)
{
    encoder_case(b, b->d->ops->encoder_layer, 5, 17, 32, 40, true);
    encoder_case(b, b->d->ops->encoder_layer, 3, 201, 140, 300, false);
}
static void encoder_parts(Bench *b)
{
    encoder_case(b, encoder_layer_by_parts, 5, 17, 32, 40, true);
    encoder_case(b, encoder_layer_by_parts, 3, 201, 140, 300, false);
}
static void c_packed_bf16(Bench *b)
{
    packed_case(b, WEIGHT_BF16);
}
/* Every type of stored weight, few and many rows of x, exact and fast; q4 bytes are random. */
static void stored_case(Bench *b, StoredType type)
{
    enum { OUT = 45, K = 96, M = 20 };
    static const int bits[STORED_TYPES] = {32, 16, 16, 8, 4};
    Rng r = rng_make(9, type);
    uint8_t data[OUT * K * 4];
    uint16_t scale[OUT * K / STORED_GROUP];
    for (size_t i = 0; i < sizeof scale / 2; i++)
        scale[i] = (uint16_t)(0x2000 + rng_below(&r, 0x400)); /* 2^-7 to 2^-6 */
    for (int64_t i = 0; i < OUT * K; i++) {
        float v = (float)rng_normal(&r);
        if (type == STORED_F32)
            memcpy(data + 4 * i, &v, 4);
        else if (type == STORED_BF16)
            memcpy(data + 2 * i, (char *)&v + 2, 2);
        else if (type == STORED_F16)
            memcpy(data + 2 * i, &(uint16_t){(uint16_t)(0x3000 + rng_below(&r, 0x8800))}, 2);
        else if (i < OUT * K * bits[type] / 8)
            data[i] = (uint8_t)rng_below(&r, 256);
    }
    for (int64_t i = 0; type == STORED_F16 && i < OUT * K; i++)
        data[2 * i + 1] &= 0xBF; /* below 2 */
    StoredWeight w = {.type = type, .n = OUT, .k = K, .data = data, .scale = scale};
    PackedWeight *p[2] = {b->d->ops->borrow(b->d, &w), b->d->ops->borrow(b->d, &w)};
    assert_true(p[0] && p[1]);
    float *x = rnd(b, 2, M * K), *y[2] = {rnd(b, 3, M * OUT), rnd(b, 4, M * OUT)};
    for (int mode = STORED_EXACT; mode <= STORED_FAST; mode++)
        for (int m = 1; m <= M; m += 19) {
            const PackedWeight *const both[2] = {p[0], p[1]};
            DO(linear_stored, (StoredMode)mode, m, x, 2, both, y);
            keep(b, y[0], m * OUT);
            keep(b, y[1], m * OUT);
        }
    DO(gather_stored, 7, p[0], ints(b, 5, 7, OUT, 0), y[0]);
    keep(b, y[0], 7 * K / 2);
    b->d->ops->sync(b->d);
    for (int i = 0; i < 2; i++)
        b->d->ops->pack_free(b->d, p[i]);
    for (int i = 0; i < b->buffers; i++)
        b->d->ops->free(b->d, b->buffer[i]);
    b->buffers = 0;
}
static void c_stored(Bench *b)
{
    for (StoredType t = 0; t < STORED_TYPES; t++)
        stored_case(b, t);
}
static void c_attention_paged(Bench *b)
{
    enum { PAGE = 4, HEADS = 6, KV = 2, DIM = 8, TK = 11, BATCH = 2 };
    float *page[BATCH * 3], *q = rnd(b, 1, BATCH * 3 * HEADS * DIM),
                            *out = rnd(b, 2, BATCH * 3 * HEADS * DIM);
    for (int i = 0; i < BATCH * 3; i++)
        page[i] = rnd(b, (uint64_t)(3 + i), 4 * PAGE * KV * DIM);
    for (int tq = 1; tq <= 3; tq += 2) {
        PagedAttention a = {.batch = BATCH,
                            .heads = HEADS,
                            .kv_heads = KV,
                            .tq = tq,
                            .tk = TK,
                            .dim = DIM,
                            .q = q,
                            .out = out,
                            .page = page,
                            .pages = 3,
                            .page_rows = PAGE,
                            .k_at = 2 * PAGE * KV * DIM,
                            .v_at = 3 * PAGE * KV * DIM,
                            .scale = 0.3f};
        DO(attention_paged, &a);
        keep(b, out, BATCH * tq * HEADS * DIM);
    }
}
static void c_sum(Bench *b)
{
    float *x = rnd(b, 1, N), *y = rnd(b, 2, 1);
    DO(sum, N, 0.5f, x, y);
    keep(b, y, 1);
}
static void c_add_scalar(Bench *b)
{
    float *y = rnd(b, 1, N), *s = rnd(b, 2, 1);
    DO(add_scalar, N, 0.5f, s, y);
    keep(b, y, N);
}
static void c_sumsq(Bench *b)
{
    double *acc = take(b, sizeof *acc), got;
    DO(zero, acc, sizeof *acc);
    DO(sumsq, N, rnd(b, 1, N), acc);
    DO(sumsq, N, rnd(b, 2, N), acc);
    DO(download, &got, acc, sizeof got);
    b->out = realloc(b->out, sizeof *b->out);
    b->out[b->n++] = (float)got;
}
static CrossEntropy ce_case(Bench *b, bool soft)
{
    CrossEntropy c = {.n = R, .v = C, .logits = rnd(b, 1, N)};
    if (soft)
        c.soft = positive(b, 2, N);
    else
        c.target = ints(b, 3, R, C, 5);
    c.mask = soft ? bytes(b, 4, C, 0.3) : NULL;
    c.row_weight = positive(b, 5, R);
    c.smoothing = soft ? 0 : 0.1f;
    c.loss = rnd(b, 6, 1);
    c.stats = rnd(b, 7, 2 * R + 1);
    c.dloss = rnd(b, 8, 1);
    c.dlogits = rnd(b, 9, N);
    return c;
}
static void c_cross_entropy(Bench *b)
{
    for (int soft = 0; soft < 2; soft++) {
        CrossEntropy c = ce_case(b, soft);
        DO(cross_entropy, &c);
        keep(b, c.loss, 1);
        keep(b, c.stats, R);
    }
}
static void c_cross_entropy_backward(Bench *b)
{
    for (int soft = 0; soft < 2; soft++) {
        CrossEntropy c = ce_case(b, soft);
        DO(cross_entropy, &c);
        DO(cross_entropy_backward, &c);
        keep(b, c.dlogits, N);
    }
}
static void c_mse(Bench *b)
{
    float *x = rnd(b, 1, N), *t = rnd(b, 2, N), *w = positive(b, 3, N), *l = rnd(b, 4, 2);
    DO(mse, N, x, t, w, l, l + 1);
    keep(b, l, 2);
    DO(mse, N, x, t, NULL, l, l + 1);
    keep(b, l, 2);
}
static void c_mse_backward(Bench *b)
{
    float *x = rnd(b, 1, N), *t = rnd(b, 2, N), *w = positive(b, 3, N), *l = rnd(b, 4, 3);
    float *dx = rnd(b, 5, N), *dt = rnd(b, 6, N);
    DO(mse_backward, N, x, t, w, l, l + 1, dx, dt);
    keep(b, dx, N);
    keep(b, dt, N);
}
static void c_reparam(Bench *b)
{
    float *mu = rnd(b, 1, N), *lv = rnd(b, 2, N), *e = rnd(b, 3, N), *z = rnd(b, 4, N);
    DO(reparam, N, mu, lv, e, z);
    keep(b, z, N);
}
static void c_reparam_backward(Bench *b)
{
    float *lv = rnd(b, 2, N), *e = rnd(b, 3, N), *dz = rnd(b, 4, N), *dm = rnd(b, 5, N),
          *dl = rnd(b, 6, N);
    DO(reparam_backward, N, lv, e, dz, dm, dl);
    keep(b, dm, N);
    keep(b, dl, N);
}
static void c_kl(Bench *b)
{
    float *mu = rnd(b, 1, N), *lv = rnd(b, 2, N), *l = rnd(b, 3, 1);
    DO(kl, N, 0.01f, mu, lv, l);
    keep(b, l, 1);
}
static void c_kl_backward(Bench *b)
{
    float *mu = rnd(b, 1, N), *lv = rnd(b, 2, N), *l = rnd(b, 3, 1), *dm = rnd(b, 5, N),
          *dl = rnd(b, 6, N);
    DO(kl_backward, N, 0.01f, mu, lv, l, dm, dl);
    keep(b, dm, N);
    keep(b, dl, N);
}
static void c_adamw(Bench *b)
{
    float *w = rnd(b, 1, N), *m = rnd(b, 2, N), *v = positive(b, 3, N), *g = rnd(b, 4, N);
    DO(adamw, &(AdamStep){.n = N,
                          .w = w,
                          .m = m,
                          .v = v,
                          .g = g,
                          .lr = 0.01f,
                          .beta1 = 0.9f,
                          .beta2 = 0.98f,
                          .eps = 1e-8f,
                          .decay = 0.1f,
                          .grad_scale = 0.5f,
                          .step = 3});
    keep(b, w, N);
    keep(b, m, N);
    keep(b, v, N);
}

/* Analysis: host memory in and out. */
static void keep_host(Bench *b, const void *x, size_t floats)
{
    b->out = realloc(b->out, (b->n + floats) * sizeof *b->out);
    memcpy(b->out + b->n, x, floats * sizeof *b->out);
    b->n += floats;
}
static void c_nearest(Bench *b)
{
    enum { CELLS = 700, DIM = 19, K = 7, TILES = 3, PARTS = 3 };
    float *x = host_random(1, CELLS * DIM), distances[CELLS * K];
    int32_t indices[CELLS * K], order[CELLS];
    RowRange all = {0, CELLS}, part[PARTS] = {{500, 200}, {0, 3}, {100, 250}};
    NearestTile all_tiles[TILES], tiles[TILES];
    for (int i = 0; i < CELLS; i++)
        order[i] = CELLS - 1 - i;
    for (int64_t i = 0; i < TILES; i++) {
        RowRange q = {i * 256, CELLS - i * 256 < 256 ? CELLS - i * 256 : 256};
        all_tiles[i] = (NearestTile){q, &all, 1};
        tiles[i] = (NearestTile){q, part, i == 2 ? 1 : PARTS};
    }
    memcpy(x + 5 * DIM, x + 600 * DIM, DIM * sizeof *x); /* twins */
    for (int i = 0; i < 3; i++) { /* all, some of others, some and itself */
        Nearest s = {.x = x, .queries = x, .n = CELLS, .m = CELLS, .dim = DIM, .k = K, .self = i != 1,
                     .order = i ? order : NULL, .tiles = i ? tiles : all_tiles, .n_tiles = TILES, .indices = indices,
                     .distances = distances};
        DO(nearest, &s);
        for (int j = 0; j < CELLS * K; j++)
            keep_host(b, &(float){(float)indices[j]}, 1);
        keep_host(b, distances, CELLS * K);
    }
    free(x);
}
static void c_covariance(Bench *b)
{
    enum { CELLS = 3001, GENES = 77 };
    int64_t indptr[CELLS + 1] = {0};
    int32_t *indices = malloc(sizeof *indices * CELLS * GENES);
    float *values = host_random(2, CELLS * GENES), *random = host_random(3, GENES * 8 + 8);
    double v[GENES * 8], shift[8], w[GENES * 8];
    Rng r = rng_make(4, 1);
    for (int i = 0; i < CELLS; i++) {
        indptr[i + 1] = indptr[i];
        for (int c = 0; i % 10 && c < GENES - 1; c++) /* empty rows and an empty column too */
            if (rng_uniform(&r) < 0.1)
                indices[indptr[i + 1]++] = c;
    }
    for (int i = 0; i < GENES * 8; i++)
        v[i] = random[i];
    for (int i = 0; i < 8; i++)
        shift[i] = random[GENES * 8 + i];
    DeviceWatch nobody = {0};
    HeldRows *h = b->d->ops->hold_rows(b->d, &(SparseRows){CELLS, GENES, indptr, indices, values}, &nobody);
    assert_non_null(h);
    DO(covariance, h, v, shift, w, &nobody);
    DO(release_rows, h);
    for (int i = 0; i < GENES * 8; i++)
        keep_host(b, &(float){(float)w[i]}, 1);
    free(indices);
    free(values);
    free(random);
}
static void c_layout(Bench *b)
{
    enum { CELLS = 700, EDGES = 9 };
    int64_t indptr[CELLS + 1] = {0};
    int32_t to[CELLS * EDGES];
    float period[CELLS * EDGES], *start = host_random(5, 2 * CELLS), xy[2 * CELLS];
    Rng r = rng_make(6, 1);
    for (int i = 0; i < CELLS; i++) {
        indptr[i + 1] = indptr[i];
        for (int e = 0; e < i % (EDGES + 1); e++, indptr[i + 1]++) {
            to[indptr[i + 1]] = (int32_t)rng_below(&r, CELLS / 2);
            period[indptr[i + 1]] = (float)(1 + 9 * rng_uniform(&r));
        }
    }
    for (int kind = 0; kind < 3; kind++) { /* among themselves, among fixed ones, by halves */
        Layout l = {.n = CELLS, .indptr = indptr, .to = to, .period = period, .a = 0.58, .b = 1.33,
                    .fixed = kind == 1 ? start : NULL, .n_others = CELLS / 2, .pull = kind ? 1 : 2,
                    .negatives = {kind == 2 ? 2 : 5, kind == 2 ? 3 : 5}, .seed = 7, .epochs = 40, .xy = xy};
        memcpy(xy, start, sizeof xy);
        DO(layout, &l);
        keep_host(b, xy, 2 * CELLS);
    }
    free(start);
}

typedef struct Case {
    const char *name;
    size_t slot, slot2; /* what it exercises */
    void (*run)(Bench *b);
    double tol; /* normalised mean squared error against the CPU */
} Case;
#define ONE(op)                                                                                    \
    {                                                                                              \
#op, offsetof(DeviceOps, op), 0, c_##op, 1e-7                                              \
    }
static const Case cases[] = {
    ONE(fill),
    ONE(axpy),
    ONE(scale),
    ONE(act),
    ONE(act_backward),
    ONE(add),
    ONE(mul),
    ONE(mul_backward),
    ONE(reduce_period),
    ONE(mul_rows),
    ONE(mul_rows_backward),
    ONE(bias_act),
    ONE(swiglu),
    ONE(swiglu_backward),
    ONE(dropout),
    ONE(fill_normal),
    ONE(layernorm),
    ONE(layernorm_backward),
    ONE(rmsnorm),
    ONE(rmsnorm_backward),
    ONE(l2norm),
    ONE(l2norm_backward),
    ONE(softmax),
    ONE(softmax_backward),
    ONE(gather),
    ONE(gather_backward),
    ONE(copy_block),
    ONE(max_middle),
    ONE(max_middle_backward),
    ONE(argmax),
    ONE(rope),
    ONE(gemm),
    ONE(attention),
    ONE(attention_backward),
    {"linear_packed", offsetof(DeviceOps, linear_packed), offsetof(DeviceOps, pack), c_packed,
     1e-7},
    ONE(encoder_layer),
    {"linear_packed bf16", offsetof(DeviceOps, linear_packed), offsetof(DeviceOps, pack_free),
     c_packed_bf16, 1e-4},
    {"linear_stored", offsetof(DeviceOps, linear_stored), offsetof(DeviceOps, borrow), c_stored,
     1e-4},
    {"gather_stored", offsetof(DeviceOps, gather_stored), offsetof(DeviceOps, borrow), c_stored,
     1e-4},
    ONE(attention_paged),
    ONE(sum),
    ONE(add_scalar),
    ONE(sumsq),
    ONE(cross_entropy),
    ONE(cross_entropy_backward),
    ONE(mse),
    ONE(mse_backward),
    ONE(reparam),
    ONE(reparam_backward),
    ONE(kl),
    ONE(kl_backward),
    ONE(adamw),
    ONE(nearest),
    {"covariance", offsetof(DeviceOps, covariance), offsetof(DeviceOps, hold_rows), c_covariance, 1e-14},
    {"covariance released", offsetof(DeviceOps, covariance), offsetof(DeviceOps, release_rows), c_covariance,
     1e-14},
    {"layout", offsetof(DeviceOps, layout), 0, c_layout, 0}, /* one map everywhere */
};
enum { CASES = sizeof cases / sizeof *cases };

static Bench run_case(Device *d, const Case *c)
{
    Bench b = {.d = d};
    c->run(&b);
    assert_ok(device_sync(d));
    for (int i = 0; i < b.buffers; i++)
        d->ops->free(d, b.buffer[i]);
    assert_true(b.n > 0);
    for (size_t i = 0; i < b.n; i++)
        if (!isfinite(b.out[i]) && !(b.out[i] == INFINITY && strcmp(c->name, "attention") == 0))
            fail_msg("%s gives %f", c->name, (double)b.out[i]);
    return b;
}

static void every_operation_has_a_case(void **state)
{
    (void)state;
    for (size_t slot = offsetof(DeviceOps, fill); slot < sizeof(DeviceOps);
         slot += sizeof(void *)) {
        bool found = false;
        for (int i = 0; i < CASES; i++)
            found = found || cases[i].slot == slot || cases[i].slot2 == slot;
        if (!found)
            fail_msg("operation number %zu has no case",
                     (slot - offsetof(DeviceOps, fill)) / sizeof(void *));
    }
}
static void one_and_three_threads_agree_bit_for_bit(void **state)
{
    (void)state;
    int before = omp_get_max_threads();
    Device *d;
    assert_ok(device_open("cpu", &d));
    for (int i = 0; i < CASES; i++) {
        omp_set_num_threads(1);
        Bench one = run_case(d, &cases[i]);
        omp_set_num_threads(3);
        Bench three = run_case(d, &cases[i]);
        assert_int_equal(one.n, three.n);
        if (memcmp(one.out, three.out, one.n * sizeof *one.out) != 0)
            fail_msg("%s depends on the number of threads", cases[i].name);
        free(one.out);
        free(three.out);
    }
    omp_set_num_threads(before);
    device_close(d);
}
static void the_gpu_agrees_with_the_cpu(void **state)
{
    (void)state;
    Device *cpu, *gpu;
    if (device_open("cuda", &gpu) != OK) {
        print_message("no GPU: %s\n", err_message());
        skip();
    }
    assert_ok(device_open("cpu", &cpu));
    for (int i = 0; i < CASES; i++) {
        Bench a = run_case(cpu, &cases[i]), b = run_case(gpu, &cases[i]),
              again = run_case(gpu, &cases[i]);

        double diff = 0, norm = 0;
        assert_int_equal(a.n, b.n);
        for (size_t k = 0; k < a.n; k++) {
            double e = a.out[k] == b.out[k] ? 0 : (double)a.out[k] - b.out[k];
            diff += e * e;
            norm += (double)a.out[k] * a.out[k];
        }
        if (!(diff <= cases[i].tol * norm))
            fail_msg("%s: normalised error %.3g on the GPU", cases[i].name, diff / norm);
        if (memcmp(b.out, again.out, b.n * sizeof *b.out) != 0)
            fail_msg("%s: two runs on the GPU differ", cases[i].name);
        free(a.out);
        free(b.out);
        free(again.out);
    }
    device_close(cpu);
    device_close(gpu);
}

static void a_fused_layer_equals_its_parts(void **state)
{
    (void)state;
    Device *d;
    assert_ok(device_open("cpu", &d));
    Bench a = run_case(d, &(Case){.name = "encoder", .run = encoder_fused});
    Bench b = run_case(d, &(Case){.name = "encoder", .run = encoder_parts});
    double *want = malloc(b.n * sizeof *want);
    assert_int_equal(a.n, b.n);
    for (size_t i = 0; i < b.n; i++)
        want[i] = b.out[i];
    near_slow(a.out, want, (int64_t)a.n, 1e-11, "encoder layer");
    free(want);
    free(a.out);
    free(b.out);
    device_close(d);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_operation_has_a_case),
        TEST(one_and_three_threads_agree_bit_for_bit),
        TEST(the_gpu_agrees_with_the_cpu),
        TEST(a_fused_layer_equals_its_parts),
    };
    cmocka_set_test_filter(getenv("TEST_ONLY")); /* NULL: all */
    return RUN(tests);
}
