/* The operations: small cases by hand, every gradient against central differences, the same numbers
 * at one and four threads, training that reaches a known optimum, decoding with a cache against the
 * whole sequence. */
#include "tests/util.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/nn/adamw.h"
#include "core/nn/kvcache.h"
#include "core/nn/layers.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Device *dev;
static Tape *tape;

static int setup(void **state)
{
    (void)state;
    assert_ok(device_open("cpu", &dev));
    assert_ok(tape_new(dev, true, &tape));
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tape_free(tape);
    device_close(dev);
    return 0;
}
static void random_floats(uint64_t seed, int64_t n, float *x)
{
    Rng r = rng_make(seed, 7);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(&r);
}
static void read_floats(const Tensor *x, float *out)
{
    assert_ok(tensor_read(tape, x, out));
}
static void assert_close(const float *a, const float *b, int64_t n, double tol)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= tol * (1 + fabs((double)b[i]))))
            fail_msg("element %lld: %.8g, expected %.8g", (long long)i, (double)a[i], (double)b[i]);
}
#define EXPECT(x, ...)                                                                             \
    do {                                                                                           \
        const float want_[] = {__VA_ARGS__};                                                       \
        float got_[sizeof want_ / sizeof *want_];                                                  \
        assert_int_equal(tensor_size(x), (int64_t)(sizeof want_ / sizeof *want_));                 \
        read_floats(x, got_);                                                                      \
        assert_close(got_, want_, tensor_size(x), 2e-6);                                           \
    } while (0)
#define F32(...) ((const float[]){__VA_ARGS__})

/* ---- gradients against central differences ---- */
enum { IN_MAX = 4, SIZE_MAX_ = 4096 };
typedef Tensor *Build(Tape *t, Tensor **in);
typedef struct Shape {
    int64_t dim[5]; /* ndim, dims */
} Shape;

static double loss_of(Build *f, int n, const Shape *s, float *const *x, float **grad)
{
    Tensor *in[IN_MAX];
    float value = 0;
    tape_reset(tape);
    tape_set_seed(tape, 11);
    for (int i = 0; i < n; i++)
        in[i] = tape_leaf_f32(tape, x[i], s[i].dim);
    Tensor *y = f(tape, in);
    /* A fixed random direction makes a scalar of any result. */
    if (tensor_size(y) > 1) {
        float *w = malloc((size_t)tensor_size(y) * sizeof *w);
        random_floats(99, tensor_size(y), w);
        int64_t dims[5] = {y->ndim, y->dim[0], y->dim[1], y->dim[2], y->dim[3]};
        y = op_sum(tape, op_mul(tape, y, tape_input(tape, DTYPE_F32, w, dims)));
        free(w);
    }
    if (grad)
        assert_ok(tape_backward(tape, y));
    assert_ok(tensor_read(tape, y, &value));
    for (int i = 0; i < n && grad; i++)
        assert_ok(tensor_read_grad(tape, in[i], grad[i]));
    return value;
}

static void check_grad_at(Build *f, int n, const Shape *s, float *const *x, double eps)
{
    float *grad[IN_MAX];
    for (int i = 0; i < n; i++)
        grad[i] = malloc(SIZE_MAX_ * sizeof(float));
    loss_of(f, n, s, x, grad);
    for (int i = 0; i < n; i++) {
        double diff = 0, norm = 0;
        int64_t size = 1;
        for (int k = 1; k <= s[i].dim[0]; k++)
            size *= s[i].dim[k];
        for (int64_t j = 0; j < size; j++) {
            float keep = x[i][j];
            x[i][j] = (float)(keep + eps);
            double up = loss_of(f, n, s, x, NULL), hi = x[i][j];
            x[i][j] = (float)(keep - eps);
            double down = loss_of(f, n, s, x, NULL), lo = x[i][j];
            x[i][j] = keep;
            double g = (up - down) / (hi - lo);
            diff += (g - grad[i][j]) * (g - grad[i][j]);
            norm += g * g + (double)grad[i][j] * grad[i][j];
        }
        if (!(sqrt(diff) < 5e-3 * sqrt(norm) + 1e-6) || norm == 0)
            fail_msg("argument %d: gradient differs by %.3g of %.3g", i, sqrt(diff), sqrt(norm));
    }
    for (int i = 0; i < n; i++)
        free(grad[i]);
}
static void check_grad(Build *f, int n, const Shape *s)
{
    float *x[IN_MAX];
    for (int i = 0; i < n; i++) {
        x[i] = malloc(SIZE_MAX_ * sizeof(float));
        random_floats(40 + (uint64_t)i, SIZE_MAX_, x[i]);
    }
    check_grad_at(f, n, s, x, 1e-2);
    for (int i = 0; i < n; i++)
        free(x[i]);
}
#define GRAD(f, ...)                                                                               \
    check_grad(f, (int)(sizeof((const Shape[]){__VA_ARGS__}) / sizeof(Shape)),                     \
               (const Shape[]){__VA_ARGS__})
#define D1(a)                                                                                      \
    {                                                                                              \
        {                                                                                          \
            1, a                                                                                   \
        }                                                                                          \
    }
#define D2(a, b)                                                                                   \
    {                                                                                              \
        {                                                                                          \
            2, a, b                                                                                \
        }                                                                                          \
    }
#define D3(a, b, c)                                                                                \
    {                                                                                              \
        {                                                                                          \
            3, a, b, c                                                                             \
        }                                                                                          \
    }
#define D4(a, b, c, d)                                                                             \
    {                                                                                              \
        {                                                                                          \
            4, a, b, c, d                                                                          \
        }                                                                                          \
    }

static Act act_now;
static Tensor *f_linear(Tape *t, Tensor **in)
{
    return op_linear(t, in[0], in[1], in[2], act_now);
}
static void linear_gradients_for_every_activation(void **state)
{
    (void)state;
    for (act_now = ACT_NONE; act_now < ACT_COUNT; act_now++)
        if (act_now != ACT_LOG && act_now != ACT_RELU && act_now != ACT_LEAKY)
            GRAD(f_linear, D3(2, 3, 5), D2(4, 5), D1(4));
}
static Tensor *f_linear_relu(Tape *t, Tensor **in)
{
    /* Far from the kinks: |pre| is large against eps for these inputs. */
    return op_linear(t, op_scale(t, in[0], 3.0f), in[1], in[2], act_now);
}
static void linear_gradients_with_kinks(void **state)
{
    (void)state;
    act_now = ACT_RELU;
    GRAD(f_linear_relu, D2(2, 3), D2(4, 3), D1(4));
    act_now = ACT_LEAKY;
    GRAD(f_linear_relu, D2(2, 3), D2(4, 3), D1(4));
}
static Tensor *f_act(Tape *t, Tensor **in)
{
    Tensor *x = in[0];
    if (act_now == ACT_LOG) /* positive arguments */
        x = op_add(t, op_act(t, x, ACT_SQUARE), tape_fill(t, 1.0f, TAPE_DIMS(1, x->dim[1])));
    return op_act(t, x, act_now);
}
static void activation_gradients(void **state)
{
    (void)state;
    for (act_now = ACT_NONE; act_now < ACT_COUNT; act_now++)
        GRAD(f_act, D2(3, 7));
}
static Tensor *f_matmul_nn(Tape *t, Tensor **in)
{
    return op_matmul(t, in[0], false, in[1], false, 0.7f);
}
static Tensor *f_matmul_nt(Tape *t, Tensor **in)
{
    return op_matmul(t, in[0], false, in[1], true, 0.7f);
}
static Tensor *f_matmul_tn(Tape *t, Tensor **in)
{
    return op_matmul(t, in[0], true, in[1], false, 0.7f);
}
static Tensor *f_matmul_tt(Tape *t, Tensor **in)
{
    return op_matmul(t, in[0], true, in[1], true, 0.7f);
}
static void matmul_gradients_in_all_transpositions(void **state)
{
    (void)state;
    GRAD(f_matmul_nn, D3(3, 2, 5), D3(3, 5, 4));
    GRAD(f_matmul_nt, D3(3, 2, 5), D3(3, 4, 5));
    GRAD(f_matmul_tn, D3(3, 5, 2), D3(3, 5, 4));
    GRAD(f_matmul_tt, D3(3, 5, 2), D3(3, 4, 5));
    GRAD(f_matmul_nn, D3(3, 2, 5), D2(5, 4));
    GRAD(f_matmul_nt, D3(3, 2, 5), D2(4, 5));
    GRAD(f_matmul_tn, D3(3, 5, 2), D2(5, 4));
    GRAD(f_matmul_tt, D3(3, 5, 2), D2(4, 5));
    GRAD(f_matmul_nn, D4(2, 2, 2, 5), D4(2, 2, 5, 3));
}
static Tensor *f_add(Tape *t, Tensor **in)
{
    return op_add_scaled(t, op_add(t, in[0], in[1]), -0.5f, in[2]);
}
static Tensor *f_mul(Tape *t, Tensor **in)
{
    return op_mul(t, op_mul(t, in[0], in[1]), in[2]);
}
static Tensor *f_mul_rows(Tape *t, Tensor **in)
{
    return op_mul_rows(t, in[0], in[1]);
}
static Tensor *f_swiglu(Tape *t, Tensor **in)
{
    return op_swiglu(t, in[0], in[1]);
}
static Tensor *f_dropout(Tape *t, Tensor **in)
{
    return op_dropout(t, op_scale(t, in[0], 2.0f), 0.3f);
}
static void element_gradients(void **state)
{
    (void)state;
    GRAD(f_add, D3(4, 3, 5), D3(1, 3, 5), D1(5));
    GRAD(f_mul, D3(4, 3, 5), D3(1, 3, 5), D1(5));
    GRAD(f_mul, D2(4, 5), D2(4, 5), D1(1));
    GRAD(f_mul_rows, D3(4, 3, 5), D2(4, 3));
    GRAD(f_swiglu, D2(4, 5), D2(4, 5));
    GRAD(f_dropout, D2(6, 7));
}
static Tensor *f_layernorm(Tape *t, Tensor **in)
{
    return op_layernorm(t, in[0], in[1], in[2], 1e-5f);
}
static Tensor *f_rmsnorm(Tape *t, Tensor **in)
{
    return op_rmsnorm(t, in[0], in[1], 1e-5f);
}
static Tensor *f_l2norm(Tape *t, Tensor **in)
{
    return op_l2norm(t, in[0]);
}
static Tensor *f_softmax(Tape *t, Tensor **in)
{
    return op_softmax(t, in[0]);
}
static void row_gradients(void **state)
{
    (void)state;
    GRAD(f_layernorm, D3(4, 9, 11), D1(11), D1(11));
    GRAD(f_rmsnorm, D3(4, 9, 11), D1(11));
    GRAD(f_l2norm, D2(4, 7));
    GRAD(f_softmax, D2(4, 7));
}
static Tensor *f_reshape(Tape *t, Tensor **in)
{
    Tensor *x = op_reshape(t, in[0], TAPE_DIMS(2, 6, 4));
    return op_linear(t, op_add(t, x, op_reshape(t, in[0], TAPE_DIMS(2, 6, 4))), in[1], NULL,
                     ACT_TANH);
}
static Tensor *f_concat(Tape *t, Tensor **in)
{
    return op_concat(t, 1, 3, in);
}
static Tensor *f_concat_last(Tape *t, Tensor **in)
{
    return op_concat2(t, 2, in[0], in[1]);
}
static Tensor *f_slice(Tape *t, Tensor **in)
{
    return op_concat2(t, 1, op_slice(t, in[0], 1, 1, 2), op_slice(t, in[0], 1, 0, 3));
}
static Tensor *f_slice_last(Tape *t, Tensor **in)
{
    return op_slice(t, op_scale(t, in[0], 2.0f), 2, 1, 3);
}
static Tensor *f_repeat(Tape *t, Tensor **in)
{
    return op_repeat(t, in[0], 3);
}
static Tensor *f_gather(Tape *t, Tensor **in)
{
    const int32_t id[] = {1, 3, -1, 1, 0, 3};
    return op_gather(t, in[0], tape_input_i32(t, id, 2, 2, 3));
}
static Tensor *f_take(Tape *t, Tensor **in)
{
    const int32_t at[] = {0, 3};
    return op_add(t, op_take(t, in[0], 2), op_take_each(t, in[0], at));
}
static Tensor *f_token_sum(Tape *t, Tensor **in)
{
    return op_token_sum(t, in[0], in[1]);
}
static Tensor *f_token_mean(Tape *t, Tensor **in)
{
    const int32_t len[] = {3, 1};
    return op_token_mean(t, in[0], len);
}
static void shape_gradients(void **state)
{
    (void)state;
    GRAD(f_reshape, D3(2, 3, 4), D2(3, 4));
    GRAD(f_concat, D3(2, 3, 4), D3(2, 1, 4), D3(2, 2, 4));
    GRAD(f_concat_last, D3(2, 3, 4), D3(2, 3, 2));
    GRAD(f_slice, D3(2, 4, 3));
    GRAD(f_slice_last, D3(2, 3, 5));
    GRAD(f_repeat, D3(1, 3, 4));
    GRAD(f_gather, D2(5, 4));
    GRAD(f_take, D3(2, 4, 3));
    GRAD(f_token_sum, D3(2, 4, 3), D2(2, 4));
    GRAD(f_token_mean, D3(2, 4, 3));
}

static AttnSpec spec_now;
static int mask_now; /* 1 lengths, 2 bytes, 4 first */
static void add_masks(Tape *t, AttnSpec *s, int64_t tk)
{
    const int32_t len[] = {(int32_t)tk - 2, (int32_t)tk}, first[] = {0, 2};
    uint8_t bytes[64];
    for (int i = 0; i < 64; i++)
        bytes[i] = i % 3 != 1;
    if (mask_now & 1)
        s->len = tape_input_i32(t, len, 1, 2);
    if (mask_now & 2)
        s->key_mask = tape_input_u8(t, bytes, 2, 2, tk);
    if (mask_now & 4)
        s->first = tape_input_i32(t, first, 1, 2);
}
static Tensor *f_attention(Tape *t, Tensor **in)
{
    AttnSpec s = spec_now;
    add_masks(t, &s, in[1]->dim[1]);
    return op_attention(t, in[0], in[1], in[2], &s);
}
static Tensor *f_attention_qkv(Tape *t, Tensor **in)
{
    AttnSpec s = spec_now;
    add_masks(t, &s, in[0]->dim[1]);
    return op_attention_qkv(t, in[0], &s);
}
static void attention_gradients(void **state)
{
    (void)state;
    for (mask_now = 0; mask_now < 8; mask_now++) {
        spec_now = (AttnSpec){.heads = 2};
        GRAD(f_attention, D3(2, 3, 6), D3(2, 5, 6), D3(2, 5, 6));
        spec_now = (AttnSpec){.heads = 4, .kv_heads = 2, .causal = true};
        GRAD(f_attention, D3(2, 3, 12), D3(2, 6, 6), D3(2, 6, 6));
        spec_now = (AttnSpec){.heads = 2, .kv_heads = 1, .scale = 0.9f};
        GRAD(f_attention_qkv, D3(2, 5, 12));
    }
    mask_now = 0;
    spec_now = (AttnSpec){.heads = 2, .prefix = 3};
    GRAD(f_attention_qkv, D3(2, 5, 12));
    spec_now = (AttnSpec){.heads = 2, .drop = 0.3f};
    GRAD(f_attention_qkv, D3(2, 5, 12));
}
static Tensor *f_rope(Tape *t, Tensor **in)
{
    const int32_t pos[] = {0, 1, 5, 2, 9, 3};
    const float freq[] = {1.0f, 0.1f};
    return op_rope(t, in[0], 2, tape_input_i32(t, pos, 2, 2, 3), tape_input_f32(t, freq, 1, 2));
}
static Tensor *f_max_similarity(Tape *t, Tensor **in)
{
    return op_max_similarity(t, in[0], in[1]);
}
static void rope_and_similarity_gradients(void **state)
{
    (void)state;
    GRAD(f_rope, D3(2, 3, 8));
    GRAD(f_max_similarity, D3(3, 2, 4), D2(3, 4));
}

static bool smooth_now, masked_now, weighted_now;
static Tensor *f_cross_entropy(Tape *t, Tensor **in)
{
    const int32_t target[] = {1, -100, 4, 0};
    uint8_t mask[20] = {0};
    mask[3] = mask[10] = mask[12] = mask[19] = 1;
    const float weight[] = {0.5f, 2.0f, 1.0f, 3.0f};
    CeSpec s = {.smoothing = smooth_now ? 0.1f : 0};
    if (masked_now)
        s.mask = tape_input_u8(t, mask, 2, 4, 5);
    if (weighted_now)
        s.row_weight = tape_input_f32(t, weight, 1, 4);
    return op_cross_entropy(t, in[0], tape_input_i32(t, target, 1, 4), &s);
}
static Tensor *f_cross_entropy_soft(Tape *t, Tensor **in)
{
    const float target[] = {3, 0, 1, 2, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    const uint8_t mask[] = {0, 0, 1, 0, 0};
    const float weight[] = {0.5f, 2.0f, 1.0f};
    CeSpec s = {0};
    if (masked_now)
        s.mask = tape_input_u8(t, mask, 1, 5);
    if (weighted_now)
        s.row_weight = tape_input_f32(t, weight, 1, 3);
    return op_cross_entropy_soft(t, in[0], tape_input_f32(t, target, 2, 3, 5), &s);
}
static Tensor *f_mse(Tape *t, Tensor **in)
{
    const float weight[] = {0, 1, 2, 0.5f, 0, 3};
    Tensor *loss[] = {op_mse(t, in[0], in[1], NULL), NULL,
                      op_mse(t, in[0], in[1], tape_input_f32(t, weight, 2, 2, 3)),
                      op_mean(t, in[0])};
    return op_weighted_sum(t, 4, loss, (const float[]){0.5f, 1.0f, 2.0f, -0.3f});
}
static Tensor *f_reparam(Tape *t, Tensor **in)
{
    return op_reparam(t, in[0], in[1]);
}
static Tensor *f_kl(Tape *t, Tensor **in)
{
    return op_kl(t, in[0], in[1]);
}
static void loss_gradients(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++) {
        smooth_now = k & 1, masked_now = k & 2, weighted_now = k & 4;
        GRAD(f_cross_entropy, D2(4, 5));
        GRAD(f_cross_entropy_soft, D2(3, 5));
    }
    GRAD(f_mse, D2(2, 3), D2(2, 3));
    GRAD(f_reparam, D2(2, 3), D2(2, 3));
    GRAD(f_kl, D2(2, 3), D2(2, 3));
}

/* ---- by hand ---- */
static void linear_by_hand(void **state)
{
    (void)state;
    tape_reset(tape);
    Tensor *x = tape_input_f32(tape, F32(1, 2, -1, 0), 2, 2, 2),
           *w = tape_input_f32(tape, F32(1, 0, 0, 1, 1, 1), 2, 3, 2);
    Tensor *b = tape_input_f32(tape, F32(0, -3, 0.5f), 1, 3);
    EXPECT(op_linear(tape, x, w, b, ACT_NONE), 1, -1, 3.5f, -1, -3, -0.5f);
    EXPECT(op_linear(tape, x, w, b, ACT_RELU), 1, 0, 3.5f, 0, 0, 0);
    EXPECT(op_linear(tape, x, w, NULL, ACT_NONE), 1, 2, 3, -1, 0, -1);
}
static void activations_by_hand(void **state)
{
    (void)state;
    tape_reset(tape);
    Tensor *x = tape_input_f32(tape, F32(-3, -0.5f, 0, 0.01f, 2), 1, 5);
    EXPECT(op_act(tape, x, ACT_GELU), -0.00404969f, -0.15426877f, 0, 0.00503989f, 1.95449974f);
    EXPECT(op_act(tape, x, ACT_SILU), -0.14227762f, -0.18877033f, 0, 0.00502500f, 1.76159416f);
    EXPECT(op_act(tape, x, ACT_TANH), -0.99505475f, -0.46211716f, 0, 0.00999967f, 0.96402758f);
    EXPECT(op_act(tape, x, ACT_SIGMOID), 0.04742587f, 0.37754067f, 0.5f, 0.50249998f, 0.88079708f);
    EXPECT(op_act(tape, x, ACT_LEAKY), -0.03f, -0.005f, 0, 0.01f, 2);
    EXPECT(op_act(tape, x, ACT_SOFTPLUS), 0.04858735f, 0.47407698f, 0.69314718f, 0.69815968f,
           2.12692801f);
    EXPECT(op_act(tape, x, ACT_EXP), 0.04978707f, 0.60653066f, 1, 1.01005017f, 7.38905610f);
    Tensor *far = tape_input_f32(tape, F32(-1000, 1000, -90, 90), 1, 4);
    EXPECT(op_act(tape, far, ACT_SIGMOID), 0, 1, 0, 1);
    EXPECT(op_act(tape, far, ACT_TANH), -1, 1, -1, 1);
    EXPECT(op_act(tape, far, ACT_GELU), 0, 1000, 0, 90);
}
static void exclusions_leave_a_softmax_over_the_rest(void **state)
{
    (void)state;
    tape_reset(tape);
    const uint8_t mask[] = {0, 1, 0};
    Tensor *x = tape_input_f32(tape, F32(0, 50, 0), 2, 1, 3);
    CeSpec s = {.mask = tape_input_u8(tape, mask, 1, 3)};
    EXPECT(op_cross_entropy(tape, x, tape_input_i32(tape, ((const int32_t[]){2}), 1, 1), &s),
           0.69314718f);
    EXPECT(op_cross_entropy_soft(tape, x, tape_input_f32(tape, F32(3, 7, 1), 2, 1, 3), &s),
           4 * 0.69314718f);
    EXPECT(op_cross_entropy(tape, x, tape_input_i32(tape, ((const int32_t[]){-100}), 1, 1), NULL),
           0);
}
static void a_query_that_sees_nothing_gives_zeros(void **state)
{
    (void)state;
    float q[24], g[24];
    random_floats(3, 24, q);
    tape_reset(tape);
    const int32_t len[] = {0, 2};
    Tensor *x = tape_leaf_f32(tape, q, TAPE_DIMS(3, 2, 3, 4));
    AttnSpec s = {.heads = 2, .len = tape_input_i32(tape, len, 1, 2)};
    Tensor *y = op_attention(tape, x, x, x, &s);
    float out[24];
    read_floats(y, out);
    for (int i = 0; i < 12; i++)
        assert_true(out[i] == 0);
    assert_ok(tape_backward(tape, op_sum(tape, y)));
    assert_ok(tensor_read_grad(tape, x, g));
    for (int i = 0; i < 24; i++)
        assert_true(isfinite(g[i]) && (i >= 12 || g[i] == 0));
}
static void single_key_attention_is_its_value(void **state)
{
    (void)state;
    float q[16], kv[8];
    random_floats(5, 16, q);
    random_floats(6, 8, kv);
    tape_reset(tape);
    Tensor *k = tape_input_f32(tape, kv, 3, 1, 1, 8);
    Tensor *y =
        op_attention(tape, tape_input_f32(tape, q, 3, 1, 2, 8), k, k, &(AttnSpec){.heads = 2});
    float out[16];
    read_floats(y, out);
    assert_close(out, kv, 8, 1e-6);
    assert_close(out + 8, kv, 8, 1e-6);
}
/* Softmax(QK^T)V with the whole score matrix in double, for sizes beyond one block. */
static void slow_attention(const float *q, const float *k, const float *v, int tq, int tk, int dim,
                           bool causal, float *out)
{
    double *w = malloc((size_t)tk * sizeof *w);
    for (int i = 0; i < tq; i++) {
        int end = causal ? i + tk - tq + 1 : tk;
        double max = -1e300, sum = 0;
        for (int j = 0; j < end; j++) {
            w[j] = 0;
            for (int c = 0; c < dim; c++)
                w[j] += (double)q[i * dim + c] * k[j * dim + c];
            w[j] /= sqrt(dim);
            max = w[j] > max ? w[j] : max;
        }
        for (int j = 0; j < end; j++)
            sum += w[j] = exp(w[j] - max);
        for (int c = 0; c < dim; c++) {
            double s = 0;
            for (int j = 0; j < end; j++)
                s += w[j] * v[j * dim + c];
            out[i * dim + c] = (float)(s / sum);
        }
    }
    free(w);
}
static void long_attention_equals_the_whole_matrix(void **state)
{
    (void)state;
    enum { TQ = 150, TK = 700, DIM = 24 };
    float *q = malloc(3 * TK * DIM * sizeof *q), *k = q + TK * DIM, *v = k + TK * DIM;
    float *want = malloc(TQ * DIM * sizeof *want), *got = malloc(TQ * DIM * sizeof *got);
    random_floats(8, 3 * TK * DIM, q);
    for (int causal = 0; causal < 2; causal++) {
        tape_reset(tape);
        slow_attention(q, k, v, TQ, TK, DIM, causal, want);
        Tensor *y = op_attention(
            tape, tape_input_f32(tape, q, 3, 1, TQ, DIM), tape_input_f32(tape, k, 3, 1, TK, DIM),
            tape_input_f32(tape, v, 3, 1, TK, DIM), &(AttnSpec){.heads = 1, .causal = causal});
        read_floats(y, got);
        assert_close(got, want, TQ * DIM, 3e-6);
    }
    free(q);
    free(want);
    free(got);
}
static void the_first_of_equal_queries_gets_the_gradient(void **state)
{
    (void)state;
    tape_reset(tape);
    Tensor *cell = tape_leaf_f32(tape, F32(1, 0, 1, 0, 0, 1), TAPE_DIMS(3, 1, 3, 2));
    Tensor *s = op_max_similarity(tape, cell, tape_input_f32(tape, F32(2, 0), 2, 1, 2));
    EXPECT(s, 2);
    assert_ok(tape_backward(tape, op_sum(tape, s)));
    float g[6];
    assert_ok(tensor_read_grad(tape, cell, g));
    assert_close(g, F32(2, 0, 0, 0, 0, 0), 6, 0);
}
static void detached_values_pass_no_gradient(void **state)
{
    (void)state;
    tape_reset(tape);
    Tensor *x = tape_leaf_f32(tape, F32(2, 3), TAPE_DIMS(1, 2));
    assert_ok(tape_backward(tape, op_sum(tape, op_mul(tape, x, op_detach(tape, x)))));
    float g[2];
    assert_ok(tensor_read_grad(tape, x, g));
    assert_close(g, F32(2, 3), 2, 0);
}
static void dropout_keeps_the_mean_and_follows_the_seed(void **state)
{
    (void)state;
    enum { N = 40000 };
    float *a = malloc(N * sizeof *a), *b = malloc(N * sizeof *b);
    double mean = 0;
    int zeros = 0;
    tape_reset(tape);
    tape_set_seed(tape, 5);
    Tensor *one = tape_fill(tape, 1.0f, TAPE_DIMS(1, N));
    read_floats(op_dropout(tape, one, 0.25f), a);
    read_floats(op_dropout(tape, one, 0.25f), b);
    assert_true(memcmp(a, b, N * sizeof *a) != 0);
    tape_set_seed(tape, 5);
    read_floats(op_dropout(tape, one, 0.25f), b);
    assert_memory_equal(a, b, N * sizeof *a);
    for (int i = 0; i < N; i++) {
        mean += a[i] / N;
        zeros += a[i] == 0;
    }
    assert_true(fabs(mean - 1) < 0.02 && abs(zeros - N / 4) < 400);
    free(a);
    free(b);
}
static void noise_is_standard_normal(void **state)
{
    (void)state;
    enum { N = 40001 };
    float *a = malloc(N * sizeof *a);
    double m = 0, v = 0;
    tape_reset(tape);
    Tensor *zero = tape_fill(tape, 0.0f, TAPE_DIMS(2, 1, N));
    read_floats(op_reparam(tape, zero, zero), a);
    for (int i = 0; i < N; i++) {
        m += a[i] / N;
        v += (double)a[i] * a[i] / N;
    }
    assert_true(fabs(m) < 0.02 && fabs(v - 1) < 0.03);
    free(a);
}

/* ---- one answer at any number of threads ---- */
static Tensor *big_step(Tape *t, ParamSet *ps, const float *x, const int32_t *id)
{
    enum { B = 20, T = 100, C = 64 };
    Tensor *h = op_gather(t, &params_find(ps, "emb.weight")->t, tape_input_i32(t, id, 2, B, T));
    h = op_add(t, h,
               op_linear(t, tape_input_f32(t, x, 3, B, T, 1), &params_find(ps, "v.weight")->t, NULL,
                         ACT_RELU));
    h = op_layernorm(t, h, &params_find(ps, "n.weight")->t, &params_find(ps, "n.bias")->t, 1e-5f);
    Tensor *qkv = op_linear(t, h, &params_find(ps, "qkv.weight")->t,
                            &params_find(ps, "qkv.bias")->t, ACT_NONE);
    h = op_add(t, h, op_attention_qkv(t, qkv, &(AttnSpec){.heads = 4}));
    Tensor *logits = op_linear(t, h, &params_find(ps, "emb.weight")->t, NULL, ACT_NONE);
    return op_cross_entropy(t, logits, tape_input_i32(t, id, 2, B, T),
                            &(CeSpec){.smoothing = 0.1f});
}
static void run_big_step(int threads, double *norm, float *loss, float *weights)
{
    enum { N = 2000, V = 300, C = 64 };
    ParamSet *ps;
    Linear l;
    Norm n;
    Param *p;
    float x[N];
    int32_t id[N];
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    random_floats(1, N, x);
    for (int i = 0; i < N; i++)
        id[i] = i * 7919 % V;
    assert_ok(params_new(dev, &ps));
    assert_ok(embedding_init(ps, "emb", V, C, 0.1f, 1, &p));
    assert_ok(linear_init(ps, "v", 1, C, false, 1, &l));
    assert_ok(linear_init(ps, "qkv", C, 3 * C, true, 1, &l));
    assert_ok(layernorm_init(ps, "n", C, 1e-5f, &n));
    AdamwParams a = adamw_params_default();
    for (int64_t step = 1; step <= 3; step++) {
        tape_reset(tape);
        Tensor *y = big_step(tape, ps, x, id);
        assert_ok(tape_backward(tape, y));
        read_floats(y, loss);
        assert_ok(adamw_step(ps, &a, step, norm));
    }
    assert_ok(param_read(ps, p, weights));
    params_free(ps);
    omp_set_num_threads(before);
}
static void one_and_four_threads_give_the_same_bits(void **state)
{
    (void)state;
    enum { N = 300 * 64 };
    float *w1 = malloc(N * sizeof *w1), *w4 = malloc(N * sizeof *w4), l1, l4;
    double n1, n4;
    run_big_step(1, &n1, &l1, w1);
    run_big_step(4, &n4, &l4, w4);
    assert_true(l1 == l4 && n1 == n4 && n1 > 0);
    assert_memory_equal(w1, w4, N * sizeof *w1);
    free(w1);
    free(w4);
}

/* ---- memory ---- */
static void resetting_reuses_the_memory(void **state)
{
    (void)state;
    Tape *t;
    size_t after = 0;
    assert_ok(tape_new(dev, false, &t));
    for (int step = 0; step < 5; step++) {
        tape_reset(t);
        Tensor *x = tape_fill(t, 1.0f, TAPE_DIMS(2, 1000, 1000));
        for (int i = 0; i < 5; i++)
            x = op_scale(t, x, 2.0f);
        float y;
        assert_ok(tensor_read_part(t, x, 999999, 1, &y));
        assert_true(y == 32);
        if (step == 2)
            after = tape_reserved(t);
    }
    assert_int_equal(tape_reserved(t), after);
    tape_free(t);
}
static void rewinding_keeps_one_tensor_in_constant_memory(void **state)
{
    (void)state;
    Tape *t;
    assert_ok(tape_new(dev, false, &t));
    TapeMark mark = tape_mark(t);
    Tensor *x = tape_fill(t, 1.0f, TAPE_DIMS(1, 300000));
    size_t most = 0;
    for (int i = 0; i < 20; i++) {
        x = op_scale(t, op_scale(t, op_add(t, x, x), 0.5f), 1.5f);
        x = tape_rewind(t, mark, x);
        most = tape_reserved(t) > most ? tape_reserved(t) : most;
    }
    float y[2];
    assert_ok(tensor_read_part(t, x, 299998, 2, y));
    assert_true(fabs(y[1] / pow(1.5, 20) - 1) < 1e-5 && y[0] == y[1]);
    assert_true(most < 20u * 300000u * 4u);
    tape_free(t);
}
static void a_tensor_beyond_memory_is_an_error_not_a_crash(void **state)
{
    (void)state;
    tape_reset(tape);
    Tensor *x = tape_empty(tape, TAPE_DIMS(2, (int64_t)1 << 31, (int64_t)1 << 31));
    Tensor *y = op_act(tape, x, ACT_RELU);
    assert_int_equal(y->dim[1], (int64_t)1 << 31);
    assert_err(tape_error(tape), ERR_NOMEM);
    float v;
    assert_err(tensor_read_part(tape, y, 0, 1, &v), ERR_NOMEM);
    tape_reset(tape);
    assert_ok(tape_error(tape));
}

/* ---- parameters and optimiser ---- */
static void parameters_have_unique_names_and_seeded_values(void **state)
{
    (void)state;
    ParamSet *a, *b;
    Param *p, *q, *again;
    float x[6], y[6];
    assert_ok(params_new(dev, &a));
    assert_ok(params_new(dev, &b));
    assert_ok(params_add(a, "one", TAPE_DIMS(2, 2, 3), &p));
    assert_err(params_add(a, "one", TAPE_DIMS(1, 3), &again), ERR_MODEL);
    assert_ok(params_add(b, "zero", TAPE_DIMS(1, 4), &q));
    assert_ok(params_add(b, "one", TAPE_DIMS(2, 2, 3), &q));
    assert_ok(param_init_normal(a, p, 0.5f, 9));
    assert_ok(param_init_normal(b, q, 0.5f, 9));
    assert_ok(param_read(a, p, x));
    assert_ok(param_read(b, q, y));
    assert_memory_equal(x, y, sizeof x);
    assert_ptr_equal(params_find(b, "one"), q);
    assert_null(params_find(a, "two"));
    assert_int_equal(params_elements(b, false), 10);
    assert_int_equal(params_set_trainable(b, "z", false), 1);
    assert_int_equal(params_elements(b, true), 6);
    params_free(a);
    params_free(b);
}
static void frozen_parameters_stay_and_others_learn(void **state)
{
    (void)state;
    ParamSet *ps;
    Linear l;
    float x[64], want[32], b[2];
    random_floats(2, 64, x);
    for (int i = 0; i < 32; i++)
        want[i] = 0.5f * x[2 * i] - 2.0f * x[2 * i + 1] + 1.0f;
    assert_ok(params_new(dev, &ps));
    assert_ok(linear_init(ps, "l", 2, 1, true, 3, &l));
    AdamwParams a = adamw_params_default();
    a.lr = 0.05f, a.decay = 0, a.total = 400;
    float loss = 0;
    for (int64_t step = 1; step <= 400; step++) {
        tape_reset(tape);
        Tensor *y = linear_forward(tape, &l, tape_input_f32(tape, x, 2, 32, 2), ACT_NONE);
        Tensor *e = op_mse(tape, y, tape_input_f32(tape, want, 2, 32, 1), NULL);
        assert_ok(tape_backward(tape, e));
        read_floats(e, &loss);
        assert_ok(adamw_step(ps, &a, step, NULL));
        if (step == 200)
            params_set_trainable(ps, "l.bias", false);
        if (step == 201)
            assert_ok(param_read(ps, l.b, b));
    }
    float w[2];
    assert_ok(param_read(ps, l.b, b + 1));
    assert_ok(param_read(ps, l.w, w));
    assert_true(b[0] == b[1] && loss < 1e-3f && fabsf(w[0] - 0.5f) < 0.05f &&
                fabsf(w[1] + 2) < 0.05f);
    params_free(ps);
}
static void the_schedule_rises_then_falls(void **state)
{
    (void)state;
    AdamwParams a = adamw_params_default();
    assert_true(fabsf(adamw_rate(&a, 1) - 2e-3f / 40) < 1e-9f);
    assert_true(fabsf(adamw_rate(&a, 40) - 2e-3f) < 1e-9f);
    assert_true(fabsf(adamw_rate(&a, 270) - 2e-3f * 0.515f) < 1e-7f);
    assert_true(fabsf(adamw_rate(&a, 500) - 2e-3f * 0.03f) < 1e-8f);
    assert_true(fabsf(adamw_rate(&a, 5000) - 2e-3f * 0.03f) < 1e-8f);
    a.total = 0;
    assert_true(adamw_rate(&a, 5000) == 2e-3f);
}
static void clipping_bounds_the_step_and_nan_is_refused(void **state)
{
    (void)state;
    ParamSet *ps;
    Param *p;
    double norm;
    assert_ok(params_new(dev, &ps));
    assert_ok(params_add(ps, "p", TAPE_DIMS(1, 2), &p));
    tape_reset(tape);
    assert_ok(tape_backward(
        tape, op_sum(tape, op_mul(tape, &p->t, tape_input_f32(tape, F32(30, 40), 1, 2)))));
    AdamwParams a = adamw_params_default();
    a.warmup = 0, a.decay = 0, a.eps = 1.0f; /* a large eps shows the size of the gradient */
    assert_ok(adamw_step(ps, &a, 1, &norm));
    assert_true(fabs(norm - 50) < 1e-4);
    float w[2];
    assert_ok(param_read(ps, p, w));
    float lr = adamw_rate(&a, 1);
    assert_close(w, F32(-lr * 0.6f / 1.6f, -lr * 0.8f / 1.8f), 2, 1e-7);
    tape_reset(tape);
    assert_ok(tape_backward(
        tape, op_sum(tape, op_mul(tape, &p->t, tape_input_f32(tape, F32(NAN, 1), 1, 2)))));
    assert_err(adamw_step(ps, &a, 2, &norm), ERR_GENERAL);
    float again[2];
    assert_ok(param_read(ps, p, again));
    assert_memory_equal(w, again, sizeof w);
    params_free(ps);
}
/* Largest normalised mean squared error of a layer with packed weights, over several numbers of
 * rows. */
static double packed_error(WeightForm form)
{
    enum { N = 700, K = 100, M = 150 };
    static const int64_t rows[] = {1, 3, 9, 16, 150};
    ParamSet *ps;
    Linear l;
    Tape *t;
    static float x[M * K], want[M * N], got[M * N];
    double worst = 0;
    random_floats(4, M * K, x);
    assert_ok(tape_new(dev, false, &t));
    assert_ok(params_new(dev, &ps));
    assert_ok(linear_init(ps, "l", K, N, true, 3, &l));
    assert_ok(param_init_normal(ps, l.b, 0.1f, 1));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double diff = 0, norm = 0;
        tape_reset(t);
        params_unpack(ps);
        assert_ok(tensor_read(
            t, linear_forward(t, &l, tape_input_f32(t, x, 2, rows[i], K), ACT_GELU), want));
        assert_ok(params_pack(ps, "l.", form));
        assert_non_null(l.w->packed);
        assert_ok(tensor_read(
            t, linear_forward(t, &l, tape_input_f32(t, x, 2, rows[i], K), ACT_GELU), got));
        for (int64_t k = 0; k < rows[i] * N; k++) {
            diff += ((double)got[k] - want[k]) * ((double)got[k] - want[k]);
            norm += (double)want[k] * want[k];
        }
        worst = diff / norm > worst ? diff / norm : worst;
    }
    params_free(ps);
    tape_free(t);
    return worst;
}
static void packed_weights_stay_near(void **state)
{
    (void)state;
    for (int force = 0; force < 2; force++) { /* 1: bf16 products even where they are slow */
        setenv("SCMMGPT_CPU_BF16", force ? "1" : "0", 1);
        assert_true(packed_error(WEIGHT_F32) < 1e-12);
        assert_true(packed_error(WEIGHT_BF16X3) < 1e-9);
        assert_true(packed_error(WEIGHT_BF16) < 2e-5 && packed_error(WEIGHT_BF16) > 1e-8);
        assert_true(packed_error(WEIGHT_INT8) < 5e-5 && packed_error(WEIGHT_INT8) > 1e-8);
    }
    unsetenv("SCMMGPT_CPU_BF16");
}

/* ---- decoding ---- */
static Tensor *rows_of(Tape *t, const float *x, int64_t b, int64_t total, int64_t from,
                       int64_t count, int64_t c)
{
    float *part = malloc((size_t)(b * count * c) * sizeof *part);
    for (int64_t i = 0; i < b; i++)
        memcpy(part + i * count * c, x + (i * total + from) * c,
               (size_t)(count * c) * sizeof *part);
    Tensor *y = tape_input_f32(t, part, 3, b, count, c);
    free(part);
    return y;
}
static void a_cache_gives_what_the_whole_sequence_gives(void **state)
{
    (void)state;
    enum { B = 2, T = 9, H = 4, HK = 2, D = 8 };
    static float q[B * T * H * D], k[B * T * HK * D], v[B * T * HK * D], want[B * T * H * D],
        got[B * 4 * H * D];
    Tape *t;
    KvCache *c;
    const int32_t pad[] = {0, 2};
    const int steps[] = {4, 1, 1, 3};
    random_floats(1, B * T * H * D, q);
    random_floats(2, B * T * HK * D, k);
    random_floats(3, B * T * HK * D, v);
    assert_ok(tape_new(dev, false, &t));
    assert_ok(kvcache_new(dev, 2, B, 2, HK * D, &c)); /* grows on the way */
    for (int padded = 0; padded < 2; padded++) {
        tape_reset(t);
        kvcache_reset(c, B);
        Tensor *start = padded ? tape_input_i32(t, pad, 1, B) : NULL;
        AttnSpec s = {.heads = H, .kv_heads = HK, .causal = true, .first = start};
        assert_ok(tensor_read(t,
                              op_attention(t, rows_of(t, q, B, T, 0, T, H * D),
                                           rows_of(t, k, B, T, 0, T, HK * D),
                                           rows_of(t, v, B, T, 0, T, HK * D), &s),
                              want));
        for (int i = 0, at = 0; i < 4; at += steps[i++]) {
            int n = steps[i];
            Tensor *y = NULL;
            for (int layer = 0; layer < 2; layer++)
                y = kvcache_attend(t, c, layer, rows_of(t, q, B, T, at, n, H * D),
                                   rows_of(t, k, B, T, at, n, HK * D),
                                   rows_of(t, v, B, T, at, n, HK * D), &s, start);
            kvcache_advance(c, n);
            assert_ok(tensor_read(t, y, got));
            for (int b = 0; b < B; b++)
                assert_close(got + b * n * H * D, want + (b * T + at) * H * D, n * H * D, 1e-5);
        }
        assert_int_equal(kvcache_length(c), T);
    }
    kvcache_free(c);
    tape_free(t);
}
static void reordering_a_cache_moves_the_histories(void **state)
{
    (void)state;
    enum { W = 4 };
    Tape *t;
    KvCache *c;
    float kv[2 * 3 * W], q[2 * W], a[2 * W], b[2 * W];
    const int32_t swap[] = {1, 0}, both[] = {1, 1};
    random_floats(1, 2 * 3 * W, kv);
    random_floats(2, W, q);
    memcpy(q + W, q, W * sizeof *q);
    assert_ok(tape_new(dev, false, &t));
    assert_ok(kvcache_new(dev, 1, 2, 8, W, &c));
    AttnSpec s = {.heads = 1};
    Tensor *x = tape_input_f32(t, kv, 3, 2, 3, W), *one = tape_fill(t, 0.1f, TAPE_DIMS(3, 2, 1, W));
    Tensor *qt = tape_input_f32(t, q, 3, 2, 1, W);
    kvcache_attend(t, c, 0, x, x, x, &s, NULL);
    kvcache_advance(c, 3);
    assert_ok(tensor_read(t, kvcache_attend(t, c, 0, qt, one, one, &s, NULL), a));
    assert_ok(kvcache_reorder(c, swap));
    assert_ok(tensor_read(t, kvcache_attend(t, c, 0, qt, one, one, &s, NULL), b));
    assert_close(b, a + W, W, 1e-6);
    assert_close(b + W, a, W, 1e-6);
    assert_ok(kvcache_reorder(c, both));
    assert_ok(tensor_read(t, kvcache_attend(t, c, 0, qt, one, one, &s, NULL), b));
    assert_close(b, a, W, 1e-6);
    assert_close(b + W, a, W, 1e-6);
    kvcache_free(c);
    tape_free(t);
}
/* 70 tokens of one history, continued as three beams that part, are dropped and part again. */
static void beams_share_pages_until_they_write(void **state)
{
    (void)state;
    enum { W = 8, BEAMS = 3, PROMPT = 70, NEW = 40, ALL = PROMPT + NEW };
    static float kv[BEAMS][ALL][W], step[BEAMS * W];
    static float prompt[PROMPT * W];
    Tape *t;
    KvCache *c;
    AttnSpec s = {.heads = 2, .kv_heads = 1};
    random_floats(1, PROMPT * W, prompt);
    for (int b = 0; b < BEAMS; b++)
        memcpy(kv[b], prompt, sizeof prompt);
    assert_ok(tape_new(dev, false, &t));
    assert_ok(kvcache_new(dev, 1, BEAMS, 4, W, &c));
    kvcache_reset(c, 1);
    Tensor *x = tape_input_f32(t, prompt, 3, 1, PROMPT, W);
    Tensor *y = tape_fill(t, 1, TAPE_DIMS(3, 1, PROMPT, 2 * W));
    kvcache_attend(t, c, 0, y, x, x, &s, NULL);
    kvcache_advance(c, PROMPT);
    size_t one = kvcache_bytes(c);
    kvcache_set_batch(c, BEAMS);
    assert_ok(kvcache_reorder(c, (const int32_t[]){0, 0, 0}));
    assert_int_equal(kvcache_bytes(c), one); /* shared */
    for (int i = 0; i < NEW; i++) {
        static float qq[BEAMS * 2 * W], out[BEAMS * 2 * W];
        const int32_t parent[] = {i % 3, (i * 2 + 1) % 3, 1};
        static float old[BEAMS][ALL][W];
        memcpy(old, kv, sizeof kv);
        for (int b = 0; b < BEAMS; b++)
            memcpy(kv[b], old[parent[b]], sizeof kv[b]);
        assert_ok(kvcache_reorder(c, parent));
        random_floats((uint64_t)(100 + i), BEAMS * W, step);
        random_floats((uint64_t)(200 + i), BEAMS * 2 * W, qq);
        for (int b = 0; b < BEAMS; b++)
            memcpy(kv[b][PROMPT + i], step + b * W, W * sizeof *step);
        tape_reset(t);
        x = tape_input_f32(t, step, 3, BEAMS, 1, W);
        y = kvcache_attend(t, c, 0, tape_input_f32(t, qq, 3, BEAMS, 1, 2 * W), x, x, &s, NULL);
        assert_ok(tensor_read(t, y, out));
        kvcache_advance(c, 1);
        for (int b = 0; b < BEAMS; b++) {
            int n = PROMPT + i + 1;
            float whole[2 * W];
            Tensor *h = tape_input_f32(t, &kv[b][0][0], 3, 1, n, W);
            y = op_attention(t, tape_input_f32(t, qq + b * 2 * W, 3, 1, 1, 2 * W), h, h,
                             &(AttnSpec){.heads = 2, .kv_heads = 1, .causal = true});
            assert_ok(tensor_read(t, y, whole));
            assert_close(out + b * 2 * W, whole, 2 * W, 1e-5);
        }
    }
    assert_true(kvcache_bytes(c) < 3 * one); /* the prompt's full pages are still shared */
    kvcache_free(c);
    tape_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(linear_by_hand),
        TEST(activations_by_hand),
        TEST(exclusions_leave_a_softmax_over_the_rest),
        TEST(a_query_that_sees_nothing_gives_zeros),
        TEST(single_key_attention_is_its_value),
        TEST(long_attention_equals_the_whole_matrix),
        TEST(the_first_of_equal_queries_gets_the_gradient),
        TEST(detached_values_pass_no_gradient),
        TEST(dropout_keeps_the_mean_and_follows_the_seed),
        TEST(noise_is_standard_normal),
        TEST(linear_gradients_for_every_activation),
        TEST(linear_gradients_with_kinks),
        TEST(activation_gradients),
        TEST(matmul_gradients_in_all_transpositions),
        TEST(element_gradients),
        TEST(row_gradients),
        TEST(shape_gradients),
        TEST(attention_gradients),
        TEST(rope_and_similarity_gradients),
        TEST(loss_gradients),
        TEST(one_and_four_threads_give_the_same_bits),
        TEST(resetting_reuses_the_memory),
        TEST(rewinding_keeps_one_tensor_in_constant_memory),
        TEST(a_tensor_beyond_memory_is_an_error_not_a_crash),
        TEST(parameters_have_unique_names_and_seeded_values),
        TEST(frozen_parameters_stay_and_others_learn),
        TEST(the_schedule_rises_then_falls),
        TEST(clipping_bounds_the_step_and_nan_is_refused),
        TEST(packed_weights_stay_near),
        TEST(a_cache_gives_what_the_whole_sequence_gives),
        TEST(reordering_a_cache_moves_the_histories),
        TEST(beams_share_pages_until_they_write),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
