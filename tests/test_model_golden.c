/* The model's parts against PyTorch and transformers (tests/ref/model.py): BERT, Llama with grouped
 * queries (whole and through the cache), stage 1 (scGPT encoder, Q-Former, bag, heads), the shipped
 * text tower, WordPiece. */
#include "tests/util.h"
#include "tests/util_model.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/llama.h"
#include "core/model/stage1.h"
#include "core/model/weights.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/model/"
#define SHIPPED "assets/model/mini-1"

static Device *dev;
static Tape *tape;

static int setup(void **state)
{
    (void)state;
    assert_ok(device_open("cpu", &dev));
    assert_ok(tape_new(dev, false, &tape));
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tape_free(tape);
    device_close(dev);
    return 0;
}

static int32_t *ints(const StFile *f, const char *name)
{
    const StTensor *t = need(f, name);
    int32_t *x = malloc(t->bytes + 4);
    memcpy(x, t->data, t->bytes);
    return x;
}
/* Rows of c numbers; rows with keep[row] = 0 are not compared. */
static void assert_rows(const float *got, const float *want, size_t rows, size_t c,
                        const uint8_t *keep, double tol)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < c && (!keep || keep[i]); k++)
            if (!(fabs((double)got[i * c + k] - want[i * c + k]) <= tol))
                fail_msg("row %zu, %zu: %.8g, expected %.8g", i, k, (double)got[i * c + k],
                         (double)want[i * c + k]);
}
static float *values(Tensor *x)
{
    float *v = malloc((size_t)tensor_size(x) * sizeof *v);
    assert_ok(tensor_read(tape, x, v));
    return v;
}

static void bert_gives_the_hidden_rows_of_transformers(void **state)
{
    (void)state;
    StFile *f;
    ParamSet *ps;
    Bert *b;
    assert_ok(st_open(GOLDEN "bert.safetensors", &f));
    assert_ok(params_new(dev, &ps));
    BertConfig c = {.width = 16,
                    .layers = 2,
                    .heads = 4,
                    .ffn = 32,
                    .vocab = 30,
                    .positions = 12,
                    .eps = 1e-12f};
    assert_ok(bert_new(ps, "text", &c, 0, &b));
    assert_ok(weights_load(ps, f, ""));
    int32_t *ids = ints(f, "in.ids"), *len = ints(f, "in.len");
    uint8_t keep[21];
    for (int i = 0; i < 21; i++)
        keep[i] = i % 7 < len[i / 7];
    tape_reset(tape);
    float *got = values(bert_forward(tape, b, ids, len, 3, 7)), *want = floats(f, "out.hidden");
    assert_rows(got, want, 21, 16, keep, 2e-5);
    free(got);
    free(want);
    free(ids);
    free(len);
    bert_free(b);
    params_free(ps);
    st_close(f);
}

static void llama_gives_the_logits_of_transformers(void **state)
{
    (void)state;
    StFile *f;
    ParamSet *ps;
    Llama l;
    assert_ok(st_open(GOLDEN "llama.safetensors", &f));
    assert_ok(params_new(dev, &ps));
    LlamaConfig c = {24, 2, 6, 2, 40, 40, 1e-5f, 10000};
    assert_ok(llama_init(ps, "", &c, 0, &l));
    assert_ok(weights_load(ps, f, ""));
    int32_t *ids = ints(f, "in.ids");
    float *hidden = floats(f, "out.hidden"), *logits = floats(f, "out.logits");
    tape_reset(tape);
    Tensor *x = op_gather(tape, &l.embed->t, tape_input_i32(tape, ids, 2, 2, 9));
    Tensor *h = llama_forward(tape, &l, x, NULL, NULL);
    float *got = values(h), *words = values(op_linear(tape, h, &l.embed->t, NULL, ACT_NONE));
    assert_rows(got, hidden, 18, 24, NULL, 5e-5);
    assert_rows(words, logits, 18, 40, NULL, 2e-4);
    free(got);
    free(words);

    /* five tokens at once, then one by one */
    KvCache *cache;
    assert_ok(kvcache_new(dev, c.layers, 2, 4, 8, &cache));
    for (int64_t at = 0, n = 5; at < 9; at += n, n = 1) {
        int32_t part[10];
        for (int64_t b = 0; b < 2; b++)
            for (int64_t i = 0; i < n; i++)
                part[b * n + i] = ids[b * 9 + at + i];
        tape_reset(tape);
        x = op_gather(tape, &l.embed->t, tape_input_i32(tape, part, 2, 2, n));
        got = values(llama_forward(tape, &l, x, NULL, cache));
        kvcache_advance(cache, n);
        for (int64_t b = 0; b < 2; b++)
            assert_rows(got + b * n * 24, hidden + (b * 9 + at) * 24, (size_t)n, 24, NULL, 5e-5);
        free(got);
    }
    kvcache_free(cache);
    free(ids);
    free(hidden);
    free(logits);
    llama_done(&l);
    params_free(ps);
    st_close(f);
}

static Stage1Config tiny(void)
{
    Stage1Config c = stage1_config_default(11, 10);
    c.cell = (ScgptConfig){.vocab = 13, .width = 8, .layers = 2, .heads = 2, .ffn = 12};
    c.query.width = 8;
    c.query.layers = 2;
    c.query.heads = 2;
    c.query.ffn = 12;
    c.query.cell_width = 8;
    c.query.cross_every = 2;
    c.queries = 3;
    c.proj = 6;
    return c;
}

static void check(const StFile *f, const char *name, Tensor *x, double tol)
{
    float *got = values(x), *want = floats(f, name);
    assert_int_equal((size_t)tensor_size(x), need(f, name)->elements);
    assert_rows(got, want, (size_t)tensor_rows(x), (size_t)tensor_cols(x), NULL, tol);
    free(got);
    free(want);
}

static void stage1_gives_the_vectors_of_the_formulas(void **state)
{
    (void)state;
    StFile *f;
    Stage1 s;
    CellInput in;
    Stage1Config c = tiny();
    assert_ok(st_open(GOLDEN "stage1.safetensors", &f));
    assert_ok(stage1_init(dev, &c, 0, &s));
    assert_ok(weights_load(s.ps, f, ""));
    int32_t *gene = ints(f, "in.gene"), *words = ints(f, "in.words");
    float *value = floats(f, "in.value"), *mean = floats(f, "in.mean"), *raw = floats(f, "in.raw");
    assert_ok(cell_input_init(&in, 2, 5));
    cell_input_set(&in, 0, gene, value, 4, mean, 13);
    cell_input_set(&in, 1, gene + 4, value + 4, 2, mean, 13);
    tape_reset(tape);
    CellOutput o = stage1_cells(tape, &s, &in);
    float *hidden = values(o.hidden), *want = floats(f, "out.hidden");
    uint8_t keep[10] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0};
    assert_rows(hidden, want, 10, 8, keep, 2e-5);
    check(f, "out.query", o.query, 3e-5);
    check(f, "out.feat", o.feat, 1e-5);
    Tensor *r = tape_input_f32(tape, raw, 2, 2, 10);
    check(f, "out.text", stage1_texts(tape, &s, r), 1e-5);
    check(f, "out.words", stage1_gene_words(tape, &s, words, 2, 3), 1e-5);
    check(f, "out.match", stage1_match(tape, &s, &o, r), 5e-5);
    free(hidden);
    free(want);
    free(gene);
    free(words);
    free(value);
    free(mean);
    free(raw);
    cell_input_done(&in);
    stage1_done(&s);
    st_close(f);
}

static bool shipped(void)
{
    if (access(SHIPPED "/text.safetensors", R_OK) == 0)
        return true;
    skip();
    return false;
}

static void the_shipped_text_tower_stays_near_minilm(void **state)
{
    (void)state;
    if (!shipped())
        return;
    static const char *const TEXTS[] = {
        "B cell", "cells that make antibodies",
        "CD3+ CD4+ T lymphocytes from human blood, rich in IL7R and LTB", NULL,
        "natural killer cell"};
    StFile *f;
    TextTower *t;
    assert_ok(st_open(GOLDEN "minilm.safetensors", &f));
    assert_ok(text_tower_open(SHIPPED, dev, &t));
    float *want = floats(f, "out.sentences"), got[384];
    for (int i = 0; i < 5; i++) {
        if (!TEXTS[i])
            continue; /* German words of that sentence are not in the cut vocabulary */
        double dot = 0;
        assert_ok(text_tower_embed(t, &TEXTS[i], 1, NULL, got));
        for (int k = 0; k < 384; k++)
            dot += (double)got[k] * want[i * 384 + k];
        if (dot < 0.998)
            fail_msg("\"%s\": cosine %.5f", TEXTS[i], dot);
    }
    free(want);
    text_tower_free(t);
    st_close(f);
}

/* \xNN, \uNNNN, \n, \t of Python's unicode_escape. */
static char *unescape(const char *s)
{
    Str out = {0};
    while (*s) {
        unsigned code;
        int n = 0;
        if (sscanf(s, "\\x%2x%n", &code, &n) == 1 || sscanf(s, "\\u%4x%n", &code, &n) == 1) {
            char b[4] = {(char)code, 0};
            if (code < 0x80)
                str_add_n(&out, b, 1);
            else if (code < 0x800)
                str_add_n(&out, (char[]){(char)(0xC0 | code >> 6), (char)(0x80 | (code & 63))}, 2);
            else
                str_add_n(&out,
                          (char[]){(char)(0xE0 | code >> 12), (char)(0x80 | (code >> 6 & 63)),
                                   (char)(0x80 | (code & 63))},
                          3);
            s += n;
        } else if (s[0] == '\\' && (s[1] == 'n' || s[1] == 't')) {
            str_add_char(&out, s[1] == 'n' ? '\n' : '\t');
            s += 2;
        } else {
            str_add_char(&out, *s++);
        }
    }
    return str_take(&out);
}

static void wordpiece_gives_the_ids_of_transformers(void **state)
{
    (void)state;
    if (!shipped())
        return;
    WordPiece *w;
    char *text, *save = NULL;
    assert_ok(wordpiece_open(SHIPPED "/vocab.txt", &w));
    assert_ok(str_read_file(GOLDEN "wordpiece.txt", 1 << 20, ERR_GENERAL, &text, NULL));
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(l, '\t');
        *tab = 0;
        if (strstr(l, "\\x00")) /* C strings end there */
            continue;
        char *plain = unescape(l), *p = tab + 1;
        int32_t *ids;
        size_t n, k = 0;
        assert_ok(wordpiece_encode(w, plain, 0, 1, &ids, &n));
        for (; *p; k++) {
            long want = strtol(p, &p, 10);
            if (k >= n || ids[k] != want)
                fail_msg("\"%s\": token %zu is %d, expected %ld", l, k, k < n ? ids[k] : -1, want);
        }
        assert_int_equal(k, n);
        free(ids);
        free(plain);
    }
    free(text);
    wordpiece_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bert_gives_the_hidden_rows_of_transformers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(llama_gives_the_logits_of_transformers, setup, teardown),
        cmocka_unit_test_setup_teardown(stage1_gives_the_vectors_of_the_formulas, setup, teardown),
        cmocka_unit_test_setup_teardown(the_shipped_text_tower_stays_near_minilm, setup, teardown),
        TEST(wordpiece_gives_the_ids_of_transformers),
    };
    return RUN(tests);
}
