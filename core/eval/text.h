/* Likeness of a written text and its reference, as the model's authors measure it: BLEU-2/4,
 * ROUGE-1/2/L, METEOR, Levenshtein ratio. Same figures as NLTK 3.8's corpus_bleu, google's
 * rouge_score and python-Levenshtein; METEOR has the exact and the stem stage only (WordNet's
 * synonyms cannot be shipped), and is therefore named "meteor_exact_stem" beside "meteor" in
 * reports. */
#ifndef SCMM_EVAL_TEXT_H
#define SCMM_EVAL_TEXT_H
#include "core/eval/bootstrap.h"

typedef struct TextTokens { /* owned strings */
    char **v;
    size_t n;
} TextTokens;
void text_tokens_done(TextTokens *t); /* zeroed ok */
/* BLEU and METEOR depend on the tokenizer: reports name it. */
typedef Err TextTokenize(void *user, const char *text, TextTokens *out);
/* "words": ASCII lower-cased runs of letters, digits and bytes above 127; every other visible
 * character is a token of its own. */
CHECKED Err text_words(void *user, const char *text, TextTokens *out);

typedef struct TextPair {      /* what one text and its reference add to each measure */
    double match[4], total[4]; /* n-grams, n = 1..4: clipped matches; in the text (at least 1) */
    double written, reference; /* tokens */
    double rouge1, rouge2, rougeL, meteor, levenshtein; /* 0..1 */
} TextPair;
CHECKED Err text_compare(const char *written, const char *reference, TextTokenize *tokenize,
                         void *user, TextPair *out);

typedef struct TextScores { /* 0..100, levenshtein 0..1 */
    Estimate bleu2, bleu4, rouge1, rouge2, rougeL, meteor, levenshtein;
} TextScores;
/* Corpus BLEU; means over pairs of the others. */
CHECKED Err text_scores(const TextPair *pairs, size_t n, uint64_t seed, TextScores *out);

/* The single measures, for tests and other uses. */
double text_bleu(const TextPair *pairs, size_t n, int order, const uint32_t *weight); /* 0..1 */
CHECKED Err text_rouge_n(const char *written, const char *reference, int n, double *f);
CHECKED Err text_rouge_l(const char *written, const char *reference, double *f);
CHECKED Err text_meteor(const TextTokens *written, const TextTokens *reference, double *score);
CHECKED Err text_levenshtein(const char *a, const char *b, double *ratio); /* on code points */
#endif
