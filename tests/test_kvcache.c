/* Decoding with a cache against the whole sequence. */
#include "tests/util_tape.h"

#include <stdlib.h>
#include <string.h>

#include "core/nn/kvcache.h"

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
        TEST(a_cache_gives_what_the_whole_sequence_gives),
        TEST(reordering_a_cache_moves_the_histories),
        TEST(beams_share_pages_until_they_write),
    };
    return cmocka_run_group_tests(tests, tape_open, tape_close);
}
