/* The operations against PyTorch: tests/golden/nn.txt, made by tests/ref/nn.py. */
#include "tests/util.h"
#include "core/base/str.h"
#include "core/nn/adamw.h"
#include "core/nn/layers.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 2048 };
typedef struct Golden {
    char name[64];
    int64_t dim[5]; /* ndim, dims */
    int64_t size;
    float value[TOP];
} Golden;

static Device *dev;
static Tape *tape;
static char *text;

static int setup(void **state)
{
    (void)state;
    assert_ok(device_open("cpu", &dev));
    assert_ok(tape_new(dev, true, &tape));
    assert_ok(str_read_file("tests/golden/nn.txt", 1 << 20, ERR_INPUT, &text, NULL));
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    free(text);
    tape_free(tape);
    device_close(dev);
    return 0;
}

/* The line that begins with "CASE.NAME ". */
static void find(const char *what, const char *name, Golden *g)
{
    int used = snprintf(g->name, sizeof g->name, "%s.%s ", what, name);
    char *p = text;
    while (p && strncmp(p, g->name, (size_t)used) != 0)
        p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL;
    if (!p)
        fail_msg("no golden %s", g->name);
    p += used;
    g->size = 1;
    g->dim[0] = strtol(p, &p, 10);
    assert_in_range(g->dim[0], 1, 4);
    for (int i = 1; i <= g->dim[0]; i++)
        g->size *= g->dim[i] = strtol(p, &p, 10);
    assert_in_range(g->size, 1, TOP);
    for (int64_t i = 0; i < g->size; i++)
        g->value[i] = strtof(p, &p);
}
static Tensor *input(const char *what, const char *name)
{
    Golden g;
    find(what, name, &g);
    return tape_leaf_f32(tape, g.value, g.dim);
}
static void compare(const char *what, const char *name, const float *got, int64_t size, double tol)
{
    Golden g;
    find(what, name, &g);
    assert_int_equal(g.size, size);
    for (int64_t i = 0; i < size; i++)
        if (!(fabs((double)got[i] - g.value[i]) <= tol * (1 + fabs((double)g.value[i]))))
            fail_msg("%s.%s[%lld] is %.8g, PyTorch says %.8g", what, name, (long long)i,
                     (double)got[i], (double)g.value[i]);
}
/* Result and gradients of the named inputs agree. */
static void check(const char *what, Tensor *out, int n, const char *const *names, Tensor *const *in)
{
    Golden dir;
    float got[TOP];
    assert_ok(tensor_read(tape, out, got));
    compare(what, "out", got, tensor_size(out), 3e-6);
    find(what, "dir", &dir);
    Tensor *loss = op_sum(tape, op_mul(tape, out, tape_input(tape, DTYPE_F32, dir.value, dir.dim)));
    assert_ok(tape_backward(tape, loss));
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%s", names[i]);
        assert_ok(tensor_read_grad(tape, in[i], got));
        compare(what, name, got, tensor_size(in[i]), 1e-5);
    }
}

static void check_attention(const char *what, const AttnSpec *plain, const int32_t *len)
{
    tape_reset(tape);
    Tensor *in[] = {input(what, "q"), input(what, "k"), input(what, "v")};
    AttnSpec s = *plain;
    s.len = tape_input_i32(tape, len, 1, 2);
    check(what, op_attention(tape, in[0], in[1], in[2], &s), 3,
          (const char *const[]){"q", "k", "v"}, in);
}
static void attention_as_torch(void **state)
{
    (void)state;
    check_attention("cross", &(AttnSpec){.heads = 4}, (const int32_t[]){7, 4});
    check_attention("causal", &(AttnSpec){.heads = 4, .kv_heads = 2, .causal = true},
                    (const int32_t[]){6, 5});
}
static void norms_as_torch(void **state)
{
    (void)state;
    tape_reset(tape);
    Tensor *in[] = {input("layernorm", "x"), input("layernorm", "g"), input("layernorm", "b")};
    check("layernorm", op_layernorm(tape, in[0], in[1], in[2], 1e-5f), 3,
          (const char *const[]){"x", "g", "b"}, in);
    tape_reset(tape);
    Tensor *rms[] = {input("rmsnorm", "x"), input("rmsnorm", "g")};
    check("rmsnorm", op_rmsnorm(tape, rms[0], rms[1], 1e-6f), 2, (const char *const[]){"x", "g"},
          rms);
}
static void activated_layers_as_torch(void **state)
{
    (void)state;
    const char *const what[] = {"gelu", "silu"};
    const Act act[] = {ACT_GELU, ACT_SILU};
    for (int i = 0; i < 2; i++) {
        tape_reset(tape);
        Tensor *in[] = {input(what[i], "x"), input(what[i], "w"), input(what[i], "b")};
        check(what[i], op_linear(tape, in[0], in[1], in[2], act[i]), 3,
              (const char *const[]){"x", "w", "b"}, in);
    }
}
static void rotary_positions_as_transformers(void **state)
{
    (void)state;
    const int32_t pos[] = {0, 1, 2, 17, 300};
    float freq[4];
    tape_reset(tape);
    rope_frequencies(8, 10000.0, NULL, freq);
    Tensor *x = input("rope", "x");
    Tensor *y =
        op_rope(tape, x, 2, tape_input_i32(tape, pos, 1, 5), tape_input_f32(tape, freq, 1, 4));
    check("rope", y, 1, (const char *const[]){"x"}, &x);
}
static void cross_entropies_as_torch(void **state)
{
    (void)state;
    Golden g;
    int32_t target[6];
    uint8_t excluded[11];
    tape_reset(tape);
    find("ce", "target", &g);
    for (int i = 0; i < 6; i++)
        target[i] = (int32_t)g.value[i];
    Tensor *x = input("ce", "x");
    check(
        "ce",
        op_cross_entropy(tape, x, tape_input_i32(tape, target, 1, 6), &(CeSpec){.smoothing = 0.1f}),
        1, (const char *const[]){"x"}, &x);
    tape_reset(tape);
    find("multinomial", "excluded", &g);
    for (int i = 0; i < 11; i++)
        excluded[i] = (uint8_t)g.value[i];
    x = input("multinomial", "x");
    CeSpec s = {.mask = tape_input_u8(tape, excluded, 1, 11)};
    check("multinomial", op_cross_entropy_soft(tape, x, input("multinomial", "counts"), &s), 1,
          (const char *const[]){"x"}, &x);
}
static void ten_adamw_steps_as_torch(void **state)
{
    (void)state;
    ParamSet *ps;
    Param *p;
    Golden g;
    float got[12];
    AdamwParams a = {.lr = 0.05f,
                     .beta1 = 0.9f,
                     .beta2 = 0.98f,
                     .eps = 1e-8f,
                     .decay = 0.01f,
                     .clip_norm = 0.3f};
    assert_ok(params_new(dev, &ps));
    assert_ok(params_add(ps, "p", TAPE_DIMS(2, 4, 3), &p));
    find("adamw", "start", &g);
    assert_ok(param_write(ps, p, g.value));
    find("adamw", "goal", &g);
    for (int64_t step = 1; step <= 10; step++) {
        tape_reset(tape);
        assert_ok(tape_backward(
            tape, op_mse(tape, &p->t, tape_input(tape, DTYPE_F32, g.value, g.dim), NULL)));
        assert_ok(adamw_step(ps, &a, step, NULL));
    }
    assert_ok(param_read(ps, p, got));
    compare("adamw", "end", got, 12, 1e-5);
    params_free(ps);
}
static void llama3_frequencies_by_hand(void **state)
{
    (void)state;
    /* Wavelengths 2*pi*500000^(2j/128): j=0 is short (kept), j=63 long (divided by 8). */
    RopeScaling s = {.kind = ROPE_LLAMA3,
                     .factor = 8,
                     .low_freq_factor = 1,
                     .high_freq_factor = 4,
                     .original_max = 8192};
    float plain[64], scaled[64];
    rope_frequencies(128, 5e5, NULL, plain);
    rope_frequencies(128, 5e5, &s, scaled);
    assert_true(scaled[0] == plain[0] && plain[0] == 1.0f);
    assert_true(fabsf(scaled[63] * 8 / plain[63] - 1) < 1e-6f);
    assert_true(scaled[32] < plain[32] && scaled[32] > plain[32] / 8);
    s = (RopeScaling){.kind = ROPE_LINEAR, .factor = 4};
    rope_frequencies(128, 5e5, &s, scaled);
    assert_true(fabsf(scaled[7] * 4 / plain[7] - 1) < 1e-6f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(attention_as_torch),         TEST(norms_as_torch),
        TEST(activated_layers_as_torch),  TEST(rotary_positions_as_transformers),
        TEST(cross_entropies_as_torch),   TEST(ten_adamw_steps_as_torch),
        TEST(llama3_frequencies_by_hand),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
