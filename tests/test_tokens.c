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

static int compare(const char *name, const Tokenizer *t, int skip_decode)
{
    cJSON *all;
    int wrong = 0;
    assert_ok(json_read_object(GOLDEN "expected.json", 1 << 24, &all));
    const cJSON *e;
    cJSON_ArrayForEach(e, cJSON_GetObjectItem(all, name))
    {
        const char *text = json_text(e, "text"), *want = json_text(e, "decoded");
        const cJSON *list = cJSON_GetObjectItem(e, "ids"), *x;
        int32_t *ids, *plain;
        size_t n, m, i = 0;
        char *got;
        assert_ok(tokenizer_encode(t, text, strlen(text), true, &ids, &n));
        bool same = n == (size_t)cJSON_GetArraySize(list);
        cJSON_ArrayForEach(x, list)
        {
            same = same && ids[i] == (int32_t)x->valuedouble;
            i++;
        }
        assert_ok(tokenizer_encode(t, text, strlen(text), false, &plain, &m));
        assert_ok(tokenizer_decode(t, plain, m, false, &got));
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
    assert_ok(tokenizer_open_vocab(GOLDEN "vocab.txt", false, &t));
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
    assert_ok(tokenizer_decode(t, ids, n, false, &back));
    assert_string_equal(text, back);
    free(ids);
    free(back);
    free(text);
    tokenizer_free(t);
}

static void half_a_character_is_not_stable(void **state)
{
    assert_int_equal(tokenizer_stable("ab\xEF\xBF\xBD"), 2);
    assert_int_equal(tokenizer_stable("ab"), 2);
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
        TEST(half_a_character_is_not_stable),
        TEST(damaged_tokenizers_are_answered_with_one_line),
    };
    return RUN(tests);
}
