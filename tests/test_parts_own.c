/* The shipped model read as parts (forward, lm, tokenize) computes what the rest of the program computes with it. */
#include "tests/util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/model/bpe.h"
#include "core/model/json_read.h"
#include "core/model/model.h"
#include "core/model/parts_own.h"
#include "core/model/tokenizer.h"

#define BUNDLE "assets/model/mini-1"
enum { CELLS = 3, WIDTH = 12, WORDS = 16 };
static const char *const TEXT[CELLS] = {"CD4 T cell", "plasma cell of the blood", "B"};
static const int32_t USED[CELLS] = {12, 7, 3};
static int32_t gene[CELLS * WIDTH];
static float value[CELLS * WIDTH];
static const CellTokens tokens = {.n = CELLS, .width = WIDTH, .gene = gene, .value = value, .len = (int32_t *)USED};

static void make_cells(void)
{
    for (int i = 0; i < CELLS * WIDTH; i++) {
        bool used = i % WIDTH < USED[i / WIDTH];
        gene[i] = used ? (i * 1237 + 11) % 20000 : -1;
        value[i] = used ? 0.3f + (float)(i % 7) * 0.6f : 0;
    }
}

/* The same cells and texts as `forward` reads them: <cls> first, <pad> behind. */
static PartsInput make_input(const Parts *p)
{
    PartsInput in = {.b = CELLS, .l = WIDTH + 1, .tokens = WORDS};
    Tokenizer *t;
    in.gene_ids = mem_must(CELLS * (WIDTH + 1) * sizeof *in.gene_ids);
    in.values = mem_must(CELLS * (WIDTH + 1) * sizeof *in.values);
    in.text_ids = mem_must(CELLS * WORDS * sizeof *in.text_ids);
    in.text_mask = mem_must(CELLS * WORDS * sizeof *in.text_mask);
    assert_ok(tokenizer_open_bundle(BUNDLE, "text", &t));
    for (int b = 0; b < CELLS; b++) {
        int32_t *g = in.gene_ids + b * in.l, *ids;
        float *v = in.values + b * in.l;
        size_t n;
        g[0] = (int32_t)p->c.cls;
        v[0] = -2;
        for (int i = 0; i < WIDTH; i++) {
            g[i + 1] = i < USED[b] ? gene[b * WIDTH + i] : (int32_t)p->c.pad;
            v[i + 1] = value[b * WIDTH + i];
        }
        assert_ok(tokenizer_encode(t, TEXT[b], strlen(TEXT[b]), true, &ids, &n));
        assert_true(n <= WORDS);
        memcpy(in.text_ids + b * WORDS, ids, n * sizeof *ids);
        for (size_t i = 0; i < n; i++)
            in.text_mask[b * WORDS + (int)i] = 1;
        free(ids);
    }
    tokenizer_free(t);
    return in;
}

typedef struct Answers {
    CellVectors v;
    TextVectors t;
    float match[CELLS * 2];
    int seen;
} Answers;

static void near(const char *name, double got, double want)
{
    if (!(fabs(got - want) < 2e-5))
        fail_msg("%s: %g, not %g", name, got, want);
}

static Err compare(void *user, const char *name, int rank, const uint64_t *shape, const float *x)
{
    Answers *a = user;
    size_t members = a->v.m, row = a->v.q * a->v.p;
    (void)shape, (void)rank;
    if (strcmp(name, "cell_feats") == 0) {
        for (size_t i = 0; i < CELLS * row; i++)
            near(name, (double)x[i], (double)a->v.query[i / row * members * row + i % row]);
    } else if (strcmp(name, "text_feats") == 0) {
        for (size_t i = 0; i < CELLS * a->v.p; i++)
            near(name, (double)x[i],
                 (double)a->t.vec[i / a->v.p * a->t.d + i % a->v.p] * sqrt((double)members));
    } else if (strcmp(name, "match_logits") == 0) {
        for (size_t i = 0; i < CELLS * 2; i++)
            near(name, (double)x[i], (double)a->match[i]);
    } else {
        return OK;
    }
    a->seen++;
    return OK;
}

/* The matching head as training runs it. */
static void match_pairs(const Parts *p, const TextVectors *text, float *out)
{
    CellInput in;
    Tape *t;
    assert_ok(cell_input_init(&in, CELLS, WIDTH + 1));
    for (int i = 0; i < CELLS; i++)
        cell_input_set(&in, i, gene + i * WIDTH, value + i * WIDTH, (size_t)USED[i], p->own->mean, p->c.c.vocab);
    assert_ok(tape_new(p->d, false, &t));
    CellOutput o = stage1_cells(t, &p->own->s, &in);
    Tensor *raw = tape_input_f32(t, text->raw, 2, (int64_t)CELLS, (int64_t)text->w);
    assert_ok(tensor_read(t, stage1_match(t, &p->own->s, &o, raw), out));
    tape_free(t);
    cell_input_done(&in);
}

static void forward_gives_the_numbers_that_embed_and_query_use(void **state)
{
    Answers a = {0};
    Model *m;
    Device *d;
    Parts p;
    (void)state;
    make_cells();
    assert_ok(model_load(BUNDLE, "assets/celltypes", "cpu", NULL, &m));
    assert_ok(model_embed_cells(m, &tokens, NULL, &a.v));
    assert_ok(model_embed_texts(m, TEXT, CELLS, NULL, &a.t));
    assert_ok(device_open("cpu", &d));
    assert_ok(parts_open(BUNDLE, d, true, true, NULL, &p));
    assert_true(p.c.match && p.c.projector && p.lm);
    match_pairs(&p, &a.t, a.match);
    PartsInput in = make_input(&p);
    assert_ok(parts_forward(&p, &in, NULL, compare, &a));
    assert_int_equal(a.seen, 3);
    free(in.gene_ids);
    free(in.values);
    free(in.text_ids);
    free(in.text_mask);
    parts_done(&p);
    device_close(d);
    cell_vectors_done(&a.v);
    text_vectors_done(&a.t);
    model_free(m);
}

static void the_decoder_s_tokenizer_is_the_one_it_was_trained_with(void **state)
{
    static const char *const text[] = {
        "This is a CD8 T cell, a cell of the lymphoid lineage.", "", " ", "  two  blanks ", "a.b,(c) ; d:",
        "\n\ttab", "caf\xC3\xA9 \xF0\x9F\xA7\xAC", " .", "..", "It expresses CD3D, CCL5 and GNLY."};
    Tokenizer *t;
    Bpe *bpe;
    cJSON *o;
    (void)state;
    assert_ok(json_read_object(BUNDLE "/decoder.json", 1 << 20, &o));
    assert_ok(bpe_read(cJSON_GetObjectItemCaseSensitive(o, "tokenizer"), &bpe));
    cJSON_Delete(o);
    assert_ok(tokenizer_open_bundle(BUNDLE, "lm", &t));
    assert_int_equal(tokenizer_size(t), bpe_size(bpe));
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        int32_t *want = NULL, *got;
        size_t n = 0, cap = 0, k;
        char *back;
        assert_ok(bpe_encode(bpe, text[i], strlen(text[i]), &want, &n, &cap));
        assert_ok(tokenizer_encode(t, text[i], strlen(text[i]), true, &got, &k));
        assert_int_equal(k, n + 1);
        assert_int_equal(got[0], BPE_BOS);
        for (size_t j = 0; j < n; j++)
            assert_int_equal(got[j + 1], want[j]);
        assert_ok(tokenizer_decode(t, got, k, true, &back, NULL));
        assert_string_equal(back, text[i]);
        free(back);
        free(got);
        free(want);
    }
    tokenizer_free(t);
    bpe_free(bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_gives_the_numbers_that_embed_and_query_use),
        cmocka_unit_test(the_decoder_s_tokenizer_is_the_one_it_was_trained_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
