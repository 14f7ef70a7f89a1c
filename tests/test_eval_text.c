/* Text measures against NLTK and rouge_score (tests/ref/eval.py), and by hand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/eval/stem.h"
#include "core/eval/text.h"
#include "tests/util.h"
#include "tests/util_golden.h"

static void stems_as_nltk_does(void **state)
{
    Golden *g = golden_open("eval_stem.tsv");
    assert_true(golden_lines(g) > 600);
    for (size_t i = 0; i < golden_lines(g); i++) {
        char *s = stem_porter(golden_field(g, i, 0));
        assert_string_equal(s, golden_field(g, i, 1));
        free(s);
    }
    golden_close(g);
}

static void splits_words_and_marks(void **state)
{
    TextTokens t;
    assert_ok(text_words(NULL, "CD8+ T-cells,\tγδ 2.5", &t));
    const char *want[] = {"cd8", "+", "t", "-", "cells", ",", "γδ", "2", ".", "5"};
    assert_int_equal(t.n, 10);
    for (size_t i = 0; i < t.n; i++)
        assert_string_equal(t.v[i], want[i]);
    text_tokens_done(&t);
    assert_ok(text_words(NULL, "", &t));
    assert_int_equal(t.n, 0);
    text_tokens_done(&t);
}

static TextPair *golden_pairs(Golden *g)
{
    TextPair *p = mem_must(golden_lines(g) * sizeof *p);
    for (size_t i = 0; i < golden_lines(g); i++)
        assert_ok(
            text_compare(golden_field(g, i, 0), golden_field(g, i, 1), text_words, NULL, &p[i]));
    return p;
}

static void rouge_meteor_levenshtein_agree_with_the_reference_programs(void **state)
{
    Golden *g = golden_open("eval_text.tsv");
    TextPair *p = golden_pairs(g);
    for (size_t i = 0; i < golden_lines(g); i++) {
        assert_near(p[i].rouge1, atof(golden_field(g, i, 2)), 1e-12);
        assert_near(p[i].rouge2, atof(golden_field(g, i, 3)), 1e-12);
        assert_near(p[i].rougeL, atof(golden_field(g, i, 4)), 1e-12);
        assert_near(p[i].meteor, atof(golden_field(g, i, 5)), 1e-12);
        assert_near(p[i].levenshtein, atof(golden_field(g, i, 6)), 1e-12);
    }
    free(p);
    golden_close(g);
}

static void corpus_bleu_agrees_with_nltk(void **state)
{
    Golden *g = golden_open("eval_text.tsv"), *numbers = golden_open("eval_numbers.tsv");
    TextPair *p = golden_pairs(g), few[2];
    size_t n;
    const double *want = golden_numbers(numbers, "bleu", &n);
    assert_near(100 * text_bleu(p, golden_lines(g), 2, NULL), want[0], 1e-9);
    assert_near(100 * text_bleu(p, golden_lines(g), 4, NULL), want[1], 1e-9);
    /* No 3-grams at all: the smallest number instead of 0, as NLTK. */
    assert_ok(text_compare("a b", "a b c", text_words, NULL, &few[0]));
    assert_ok(text_compare("b", "b a", text_words, NULL, &few[1]));
    assert_near(100 * text_bleu(few, 2, 2, NULL), want[2], 1e-9);
    assert_true(fabs(100 * text_bleu(few, 2, 4, NULL) / want[3] - 1) < 1e-9);
    free(p);
    golden_close(g);
    golden_close(numbers);
}

static void known_values_by_hand(void **state)
{
    double v;
    assert_ok(text_levenshtein("kitten", "sitting", &v));
    assert_near(v, 0.6153846, 1e-7);
    assert_ok(text_levenshtein("", "", &v));
    assert_near(v, 1, 0);
    assert_ok(text_rouge_n("", "a b", 2, &v));
    assert_near(v, 0, 0);
    TextPair p;
    assert_ok(text_compare("", "a b", text_words, NULL, &p));
    assert_near(text_bleu(&p, 1, 2, NULL), 0, 0);
    assert_near(p.meteor, 0, 0);
    /* One chunk of two of two words: penalty .5 * (1/2)^3. */
    assert_ok(text_compare("b cells", "b cell", text_words, NULL, &p));
    assert_near(p.meteor, 1 - 0.5 / 8, 1e-12);
}

static void scores_carry_intervals_around_the_value(void **state)
{
    Golden *g = golden_open("eval_text.tsv");
    TextPair *p = golden_pairs(g);
    TextScores s, again;
    assert_ok(text_scores(p, golden_lines(g), 3, &s));
    assert_ok(text_scores(p, golden_lines(g), 3, &again));
    assert_true(s.bleu2.lo < s.bleu2.value && s.bleu2.value < s.bleu2.hi);
    assert_true(s.rougeL.lo < s.rougeL.value && s.rougeL.value < s.rougeL.hi);
    assert_true(s.levenshtein.value <= 1 && s.rouge1.value > 1);
    assert_int_equal(s.meteor.n, golden_lines(g));
    assert_memory_equal(&s, &again, sizeof s);
    free(p);
    golden_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stems_as_nltk_does),
        TEST(splits_words_and_marks),
        TEST(rouge_meteor_levenshtein_agree_with_the_reference_programs),
        TEST(corpus_bleu_agrees_with_nltk),
        TEST(known_values_by_hand),
        TEST(scores_carry_intervals_around_the_value),
    };
    return RUN(tests);
}
