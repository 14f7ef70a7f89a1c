/* Shared by text.c, text_ngram.c and text_meteor.c. */
#ifndef SCMM_EVAL_TEXT_INTERNAL_H
#define SCMM_EVAL_TEXT_INTERNAL_H
#include "core/eval/text.h"

CHECKED Err text_rouge_tokens(const char *text, TextTokens *out);
/* n-grams of a that are in b, each counted at most as often as b has it. */
CHECKED Err text_ngram_matches(const TextTokens *a, const TextTokens *b, size_t n, size_t *match);
#endif
