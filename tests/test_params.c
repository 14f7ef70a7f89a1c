/* Parameters and their optimiser: training that reaches a known optimum, packed weights. */
#include "tests/util_tape.h"

#include <math.h>
#include <stdlib.h>

#include "core/nn/adamw.h"
#include "core/nn/layers.h"

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

static void a_device_of_16_bits_packs_weights_in_16_bits(void **state)
{
    Device *whole = dev;
    (void)state;
    assert_ok(device_open("cpu:16", &dev));
    double e = packed_error(WEIGHT_F32);
    device_close(dev);
    dev = whole;
    assert_true(e < 2e-5 && e > 1e-8);
    assert_true(packed_error(WEIGHT_F32) < 1e-12);
}

/* Rows of size 1e6 and 1e-6, of zeros, with NaN and with infinity; K is odd. */
static void weights_in_16_bits_hold_any_size_of_row(void **state)
{
    enum { N = 70, K = 301, M = 8, NOT_FINITE = 5 };
    static float x[M * K], want[M * N], got[M * N];
    ParamSet *ps;
    Linear l;
    Tape *t;
    (void)state;
    random_floats(4, M * K, x);
    for (int64_t k = 0; k < K; k++) {
        x[K + k] *= 1e6f;
        x[2 * K + k] *= 1e-6f;
        x[3 * K + k] = 0;
    }
    x[NOT_FINITE * K + 7] = NAN;
    x[(NOT_FINITE + 1) * K + K - 1] = INFINITY;
    assert_ok(tape_new(dev, false, &t));
    assert_ok(params_new(dev, &ps));
    assert_ok(linear_init(ps, "l", K, N, false, 3, &l));
    assert_ok(tensor_read(t, linear_forward(t, &l, tape_input_f32(t, x, 2, M, K), ACT_NONE), want));
    assert_ok(params_pack(ps, "l.", WEIGHT_BF16));
    assert_ok(tensor_read(t, linear_forward(t, &l, tape_input_f32(t, x, 2, M, K), ACT_NONE), got));
    for (int64_t i = 0; i < M; i++) {
        double diff = 0, norm = 0;
        for (int64_t j = i * N; j < (i + 1) * N; j++) {
            diff += ((double)got[j] - want[j]) * ((double)got[j] - want[j]);
            norm += (double)want[j] * want[j];
        }
        if (i == NOT_FINITE || i == NOT_FINITE + 1)
            assert_false(isfinite(diff));
        else
            assert_true(diff <= 2e-5 * norm);
    }
    params_free(ps);
    tape_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parameters_have_unique_names_and_seeded_values),
        TEST(frozen_parameters_stay_and_others_learn),
        TEST(the_schedule_rises_then_falls),
        TEST(clipping_bounds_the_step_and_nan_is_refused),
        TEST(packed_weights_stay_near),
        TEST(a_device_of_16_bits_packs_weights_in_16_bits),
        TEST(weights_in_16_bits_hold_any_size_of_row),
    };
    return cmocka_run_group_tests(tests, tape_open, tape_close);
}
