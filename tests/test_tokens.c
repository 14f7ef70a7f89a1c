/* Tokenizers beside sentencepiece and tokenizers (tests/ref/ckpt_tokens.py): ids and texts of a
 * nasty corpus, long words, damaged files. */
#include "tests/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/json_read.h"
#include "core/model/tokenizer.h"

#define GOLDEN "tests/golden/tokens/"

static bool same_ids(const cJSON *list, const int32_t *ids, size_t n)
{
    const cJSON *x;
    size_t i = 0;
    bool same = (size_t)cJSON_GetArraySize(list) == n;
    cJSON_ArrayForEach(x, list)
    {
        same = same && ids[i] == (int32_t)x->valuedouble;
        i++;
    }
    return same;
}

static int compare(const char *name, const Tokenizer *t, int skip_decode)
{
    cJSON *all;
    int wrong = 0;
    assert_ok(json_read_object(GOLDEN "expected.json", 1 << 24, &all));
    const cJSON *e;
    cJSON_ArrayForEach(e, cJSON_GetObjectItem(all, name))
    {
        const char *text = json_text(e, "text"), *want = json_text(e, "decoded");
        const cJSON *list = cJSON_GetObjectItem(e, "ids");
        int32_t *ids, *plain;
        size_t n, m;
        char *got;
        assert_ok(tokenizer_encode(t, text, strlen(text), true, &ids, &n));
        bool same = same_ids(list, ids, n);
        assert_ok(tokenizer_encode(t, text, strlen(text), false, &plain, &m));
        assert_ok(tokenizer_decode(t, plain, m, false, &got, NULL));
        bool back = skip_decode || strcmp(got, want) == 0;
        if (!same || !back) {
            char *l = cJSON_PrintUnformatted(list);
            print_message("%s: \"%s\": %s%s; wanted %s got", name, text, same ? "" : "ids ",
                          back ? "" : "text ", l);
            for (size_t k = 0; k < n; k++)
                print_message(" %d", ids[k]);
            print_message("\n  \"%s\" \"%s\"\n", want, got);
            free(l);
            wrong++;
        }
        free(got);
        free(ids);
        free(plain);
    }
    cJSON_Delete(all);
    return wrong;
}

static void check_json(const char *name)
{
    Tokenizer *t;
    char *path = str_format(GOLDEN "%s.json", name);
    assert_ok(tokenizer_open_json(path, &t));
    assert_int_equal(compare(name, t, 0), 0);
    tokenizer_free(t);
    free(path);
}

static void sentencepiece_ids_and_texts_are_exact(void **state)
{
    Tokenizer *t;
    assert_ok(tokenizer_open_spm(GOLDEN "spm.model", NULL, &t));
    assert_int_equal(compare("spm", t, 0), 0);
    tokenizer_free(t);
}

static void llama2_json_is_exact(void **state)
{
    check_json("llama2");
    check_json("metaspace");
}

static void byte_level_json_is_exact(void **state)
{
    check_json("gpt2");
    check_json("llama3");
}

static void wordpiece_is_exact(void **state)
{
    check_json("bert");
    check_json("bert_cased");
    Tokenizer *t;
    assert_ok(tokenizer_open_vocab(GOLDEN "vocab.txt", NULL, 0, &t));
    assert_int_equal(compare("bert", t, 0),
                     1); /* the slow one drops U+10FFFF, which is unassigned */
    tokenizer_free(t);
}

static void a_word_of_100_kb_takes_no_time_and_comes_back(void **state)
{
    Tokenizer *t;
    int32_t *ids;
    size_t n, len = 100000;
    char *text = mem_must(len + 1), *back;
    for (size_t i = 0; i < len; i++)
        text[i] = "thequickbrown"[i * 7 % 13];
    assert_ok(tokenizer_open_spm(GOLDEN "spm.model", NULL, &t));
    assert_ok(tokenizer_encode(t, text, len, false, &ids, &n));
    assert_ok(tokenizer_decode(t, ids, n, false, &back, NULL));
    assert_string_equal(text, back);
    free(ids);
    free(back);
    free(text);
    tokenizer_free(t);
}

/* ---- edge cases (tests/ref/ckpt_edges.py) ---- */

/* Bytes of a hexadecimal text; caller frees. */
static char *unhex(const char *hex, size_t *n)
{
    char *s = mem_must(strlen(hex) / 2 + 1);
    for (*n = 0; hex[2 * *n]; ++*n) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * *n, "%2x", &v), 1);
        s[*n] = (char)v;
    }
    return s;
}

/* The texts of one tokenizer; how many differ in ids or, where it is known, in the text again. */
static int edges_that_differ(const cJSON *all, const cJSON *want, const Tokenizer *t)
{
    const cJSON *texts = cJSON_GetObjectItem(all, "texts"),
                *back = cJSON_GetObjectItem(cJSON_GetObjectItem(all, "decoded"), want->string);
    int wrong = 0;
    for (int i = 0; i < cJSON_GetArraySize(texts); i++) {
        size_t len, n, got_len, want_len = 0;
        int32_t *ids;
        char *got,
            *text = unhex(cJSON_GetArrayItem(texts, i)->valuestring, &len),
            *wanted = back ? unhex(cJSON_GetArrayItem(back, i)->valuestring, &want_len) : NULL;
        assert_ok(tokenizer_encode(t, text, len, true, &ids, &n));
        bool same = same_ids(cJSON_GetArrayItem(want, i), ids, n);
        free(ids);
        assert_ok(tokenizer_encode(t, text, len, false, &ids, &n));
        assert_ok(tokenizer_decode(t, ids, n, false, &got, &got_len));
        bool again = !back || (got_len == want_len && memcmp(got, wanted, want_len) == 0);
        if (!same || !again)
            print_message("%s: text %d (%s) %s\n", want->string, i, text,
                          same ? "comes back otherwise" : "has other ids");
        wrong += !same || !again;
        free(ids);
        free(got);
        free(text);
        free(wanted);
    }
    return wrong;
}

typedef void EachTokenizer(const cJSON *all, const cJSON *ids, const Tokenizer *t);

static void each_edge_tokenizer(EachTokenizer *f)
{
    cJSON *all;
    const cJSON *e;
    int n = 0;
    assert_ok(json_read_object(GOLDEN "edges/expected.json", 1 << 24, &all));
    cJSON_ArrayForEach(e, cJSON_GetObjectItem(all, "ids"))
    {
        Tokenizer *t;
        char *dir = str_format(GOLDEN "edges/%s", e->string);
        assert_ok(tokenizer_open_bundle(dir, strstr(e->string, "bert") ? "text" : "lm", &t));
        f(all, e, t);
        tokenizer_free(t);
        free(dir);
        n++;
    }
    assert_int_equal(n, 12);
    cJSON_Delete(all);
}

static void no_edge_differs(const cJSON *all, const cJSON *ids, const Tokenizer *t)
{
    assert_int_equal(edges_that_differ(all, ids, t), 0);
}

static void edge_cases_have_the_ids_of_the_reference(void **state)
{
    each_edge_tokenizer(no_edge_differs);
}

/* Ids one after another: what has been shown stays, ends with a whole character, and is in the end
 * the whole text. */
static void stream(const Tokenizer *t, const int32_t *ids, size_t n, const char *name)
{
    char *whole, *part;
    size_t len, shown = 0, now;
    assert_ok(tokenizer_decode(t, ids, n, false, &whole, &len));
    for (size_t i = 1; i <= n; i++) {
        assert_ok(tokenizer_decode_certain(t, ids, i, false, &part, &now));
        if (now < shown || now > len || memcmp(part, whole, now) != 0)
            fail_msg("%s: after %zu of %zu ids \"%s\" is no beginning of \"%s\"", name, i, n, part,
                     whole);
        assert_false(now < len && ((unsigned char)whole[now] & 0xC0) == 0x80);
        free(part);
        shown = now;
    }
    free(whole);
}

static void stream_edges(const cJSON *all, const cJSON *lists, const Tokenizer *t)
{
    const cJSON *list, *x;
    cJSON_ArrayForEach(list, lists)
    {
        int32_t ids[256];
        size_t n = 0;
        cJSON_ArrayForEach(x, list) if (n < 256) ids[n++] = (int32_t)x->valuedouble;
        stream(t, ids, n, lists->string);
    }
}

/* Sequences that end and go on in the middle of characters. */
static void stream_any_ids(const char *name, const Tokenizer *t)
{
    uint64_t seed = 1;
    for (int k = 0; k < 300; k++) {
        int32_t ids[40];
        size_t n = 0;
        while (n < 40) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            int32_t id = (int32_t)((seed >> 33) % tokenizer_size(t));
            if (*tokenizer_token(t, id))
                ids[n++] = id;
        }
        stream(t, ids, n, name);
    }
}

static void a_stream_never_shows_half_a_character(void **state)
{
    static const char *const names[] = {"llama2", "metaspace", "gpt2", "llama3", "bert"};
    Tokenizer *t;
    each_edge_tokenizer(stream_edges);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = str_format(GOLDEN "%s.json", names[i]);
        assert_ok(tokenizer_open_json(path, &t));
        stream_any_ids(names[i], t);
        tokenizer_free(t);
        free(path);
    }
    assert_ok(tokenizer_open_spm(GOLDEN "spm.model", NULL, &t));
    stream_any_ids("spm", t);
    tokenizer_free(t);
}

static void bytes_that_are_no_text_count_as_unreadable_characters(void **state)
{
    static const char surrogate[] = "a\xED\xA0\x80z", cut[] = "a\xF0\x9F\x98";
    Tokenizer *t;
    int32_t *a, *b;
    size_t n, m;
    const char *const same[2] = {"a\uFFFD\uFFFD\uFFFDz", "a\uFFFD\uFFFD\uFFFD"};
    assert_ok(tokenizer_open_spm(GOLDEN "spm.model", NULL, &t));
    for (int i = 0; i < 2; i++) {
        const char *text = i ? cut : surrogate;
        assert_ok(tokenizer_encode(t, text, strlen(text), true, &a, &n));
        assert_ok(tokenizer_encode(t, same[i], strlen(same[i]), true, &b, &m));
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n * sizeof *a);
        free(a);
        free(b);
    }
    tokenizer_free(t);
}

/* Opens the damaged bytes; anything but a crash will do, and failures are ERR_MODEL. */
static void damage(const char *from, bool json, size_t step)
{
    char *data, *path = str_format("/tmp/scmm_tok_%ld", (long)getpid());
    size_t n;
    assert_ok(str_read_file(from, 1 << 20, ERR_GENERAL, &data, &n));
    for (size_t i = 0; i < n; i += step) {
        char keep = data[i];
        data[i] = (char)(keep ^ (1 << (i % 8)));
        for (int k = 0; k < 2; k++) {
            FILE *f = fopen(path, "wb");
            assert_non_null(f);
            fwrite(data, 1, k ? i : n, f);
            fclose(f);
            Tokenizer *t = NULL;
            Err err = json ? tokenizer_open_json(path, &t) : tokenizer_open_spm(path, NULL, &t);
            if (err != OK)
                assert_err(err, ERR_MODEL);
            else
                tokenizer_free(t);
        }
        data[i] = keep;
    }
    unlink(path);
    free(path);
    free(data);
}

static void damaged_tokenizers_are_answered_with_one_line(void **state)
{
    damage(GOLDEN "spm.model", false, 11);
    damage(GOLDEN "llama2.json", true, 97);
    damage(GOLDEN "bert.json", true, 47);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sentencepiece_ids_and_texts_are_exact),
        TEST(llama2_json_is_exact),
        TEST(byte_level_json_is_exact),
        TEST(wordpiece_is_exact),
        TEST(a_word_of_100_kb_takes_no_time_and_comes_back),
        TEST(edge_cases_have_the_ids_of_the_reference),
        TEST(a_stream_never_shows_half_a_character),
        TEST(bytes_that_are_no_text_count_as_unreadable_characters),
        TEST(damaged_tokenizers_are_answered_with_one_line),
    };
    return RUN(tests);
}
