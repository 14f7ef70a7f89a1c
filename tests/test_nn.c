/* The operations: small cases by hand, the same numbers at one and four threads, memory. */
#include "tests/util_tape.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/adamw.h"
#include "core/nn/layers.h"

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
        TEST(one_and_four_threads_give_the_same_bits),
        TEST(resetting_reuses_the_memory),
        TEST(rewinding_keeps_one_tensor_in_constant_memory),
        TEST(a_tensor_beyond_memory_is_an_error_not_a_crash),
    };
    return cmocka_run_group_tests(tests, tape_open, tape_close);
}
