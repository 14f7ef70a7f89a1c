/* N-gram overlap and longest common subsequence: BLEU's counts, ROUGE-N and ROUGE-L. */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/eval/text_internal.h"

/* One n-gram as a key: tokens joined by a byte that no token has. */
static void ngram_key(const TextTokens *t, size_t at, size_t n, Str *key)
{
    str_clear(key);
    for (size_t i = 0; i < n; i++) {
        str_add(key, t->v[at + i]);
        str_add_char(key, '\x1f');
    }
}

Err text_ngram_matches(const TextTokens *a, const TextTokens *b, size_t n, size_t *match)
{
    *match = 0;
    if (a->n < n || b->n < n)
        return OK;
    size_t *left; /* how often each different n-gram of b is still free */
    TRY(NEW0(left, b->n));
    StrMap *index = strmap_new(b->n);
    Str key = {0};
    for (size_t i = 0; i + n <= b->n; i++) {
        ngram_key(b, i, n, &key);
        strmap_put(index, str_text(&key), (int64_t)i);
        left[strmap_get(index, str_text(&key), 0)]++;
    }
    for (size_t i = 0; i + n <= a->n; i++) {
        ngram_key(a, i, n, &key);
        int64_t at = strmap_get(index, str_text(&key), -1);
        if (at >= 0 && left[at] > 0) {
            left[at]--;
            (*match)++;
        }
    }
    str_free(&key);
    strmap_free(index);
    free(left);
    return OK;
}

static double f_measure(double match, size_t n_written, size_t n_reference)
{
    if (match == 0)
        return 0;
    double p = match / (double)n_written, r = match / (double)n_reference;
    return 2 * p * r / (p + r);
}

Err text_rouge_n(const char *written, const char *reference, int n, double *f)
{
    Err err = OK;
    TextTokens w = {0}, r = {0};
    size_t match, k = (size_t)n;
    TRY_GOTO(text_rouge_tokens(written, &w));
    TRY_GOTO(text_rouge_tokens(reference, &r));
    TRY_GOTO(text_ngram_matches(&w, &r, k, &match));
    *f = match ? f_measure((double)match, w.n - k + 1, r.n - k + 1) : 0;
done:
    text_tokens_done(&w);
    text_tokens_done(&r);
    return err;
}

Err text_rouge_l(const char *written, const char *reference, double *f)
{
    Err err = OK;
    TextTokens w = {0}, r = {0};
    size_t *row = NULL;
    TRY_GOTO(text_rouge_tokens(written, &w));
    TRY_GOTO(text_rouge_tokens(reference, &r));
    TRY_GOTO(NEW0(row, r.n + 1));
    for (size_t i = 0; i < w.n; i++) {
        size_t diagonal = 0;
        for (size_t j = 0; j < r.n; j++) {
            size_t above = row[j + 1];
            if (strcmp(w.v[i], r.v[j]) == 0)
                row[j + 1] = diagonal + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            diagonal = above;
        }
    }
    *f = f_measure((double)row[r.n], w.n, r.n);
done:
    text_tokens_done(&w);
    text_tokens_done(&r);
    free(row);
    return err;
}
