/* Every gradient against central differences. */
#include "tests/util_tape.h"

#include <math.h>
#include <stdlib.h>

#include "core/nn/ops.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, tape_open, tape_close);
}
