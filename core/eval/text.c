/* Tokens, pairs and their sums. The n-gram measures are here and in text_ngram.c, METEOR in
 * text_meteor.c. */
#include "core/eval/text.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/eval/text_internal.h"

void text_tokens_done(TextTokens *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->v[i]);
    free(t->v);
    *t = (TextTokens){0};
}

static bool in_word(unsigned char c)
{
    return isalnum(c) || c > 127;
}

Err text_words(void *user, const char *text, TextTokens *out)
{
    (void)user;
    TextTokens t = {0};
    TRY(NEW(t.v, strlen(text)));
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        const unsigned char *end = p + 1;
        while (in_word(*p) && in_word(*end))
            end++;
        if (!isspace(*p) && *p > 31) {
            char *word = mem_strndup((const char *)p, (size_t)(end - p));
            for (char *c = word; *c; c++)
                if (*c >= 'A' && *c <= 'Z')
                    *c = (char)(*c + 32);
            t.v[t.n++] = word;
        }
        p = end;
    }
    *out = t;
    return OK;
}

/* rouge_score's tokens: lower-case runs of a-z and 0-9. */
Err text_rouge_tokens(const char *text, TextTokens *out)
{
    TextTokens t = {0};
    TRY(NEW(t.v, strlen(text) + 1));
    for (const char *p = text; *p;) {
        size_t n = 0;
        while (p[n] && (unsigned char)p[n] < 128 && isalnum((unsigned char)p[n]))
            n++;
        if (n == 0) {
            p++;
            continue;
        }
        char *word = mem_strndup(p, n);
        for (char *c = word; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        t.v[t.n++] = word;
        p += n;
    }
    *out = t;
    return OK;
}

/* ---- Levenshtein ---- */

static Err code_points(const char *s, uint32_t **out, size_t *n)
{
    uint32_t *v;
    TRY(NEW(v, strlen(s)));
    *n = 0;
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        int extra = *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : *p >= 0xC0 ? 1 : 0;
        uint32_t c = extra == 3 ? *p & 7 : extra == 2 ? *p & 15 : extra == 1 ? *p & 31 : *p;
        for (p++; extra > 0 && (*p & 0xC0) == 0x80; extra--, p++)
            c = c << 6 | (*p & 63);
        v[(*n)++] = c;
    }
    *out = v;
    return OK;
}

/* With substitutions costing 2 the distance is |a| + |b| - 2 LCS. */
Err text_levenshtein(const char *a, const char *b, double *ratio)
{
    Err err = OK;
    uint32_t *x = NULL, *y = NULL;
    size_t n, m, *row = NULL;
    TRY_GOTO(code_points(a, &x, &n));
    TRY_GOTO(code_points(b, &y, &m));
    TRY_GOTO(NEW0(row, m + 1));
    for (size_t i = 0; i < n; i++) {
        size_t diagonal = 0;
        for (size_t j = 0; j < m; j++) {
            size_t above = row[j + 1];
            if (x[i] == y[j])
                row[j + 1] = diagonal + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            diagonal = above;
        }
    }
    *ratio = n + m ? 2.0 * (double)row[m] / (double)(n + m) : 1;
done:
    free(x);
    free(y);
    free(row);
    return err;
}

/* ---- pairs ---- */

Err text_compare(const char *written, const char *reference, TextTokenize *tokenize, void *user,
                 TextPair *out)
{
    Err err = OK;
    TextTokens w = {0}, r = {0};
    TextPair p = {0};
    TRY_GOTO(tokenize(user, written, &w));
    TRY_GOTO(tokenize(user, reference, &r));
    p.written = (double)w.n;
    p.reference = (double)r.n;
    for (size_t n = 1; n <= 4; n++) {
        size_t match;
        TRY_GOTO(text_ngram_matches(&w, &r, n, &match));
        p.match[n - 1] = (double)match;
        p.total[n - 1] = w.n >= n ? (double)(w.n - n + 1) : 1;
    }
    TRY_GOTO(text_rouge_n(written, reference, 1, &p.rouge1));
    TRY_GOTO(text_rouge_n(written, reference, 2, &p.rouge2));
    TRY_GOTO(text_rouge_l(written, reference, &p.rougeL));
    TRY_GOTO(text_meteor(&w, &r, &p.meteor));
    TRY_GOTO(text_levenshtein(written, reference, &p.levenshtein));
    *out = p;
done:
    text_tokens_done(&w);
    text_tokens_done(&r);
    return err;
}

double text_bleu(const TextPair *pairs, size_t n, int order, const uint32_t *weight)
{
    double match[4] = {0}, total[4] = {0}, written = 0, reference = 0, logs = 0;
    for (size_t i = 0; i < n; i++) {
        double w = weight ? weight[i] : 1;
        for (int k = 0; k < order; k++) {
            match[k] += w * pairs[i].match[k];
            total[k] += w * pairs[i].total[k];
        }
        written += w * pairs[i].written;
        reference += w * pairs[i].reference;
    }
    if (match[0] == 0)
        return 0;
    for (int k = 0; k < order; k++)
        logs += log(match[k] > 0 ? match[k] / total[k] : DBL_MIN) / order;
    double brevity = written > reference ? 1 : written > 0 ? exp(1 - reference / written) : 0;
    return brevity * exp(logs);
}

typedef struct PairData {
    const TextPair *pairs;
    size_t n;
    int order;
} PairData;

static double bleu_statistic(const void *user, const uint32_t *weight)
{
    const PairData *d = user;
    return 100 * text_bleu(d->pairs, d->n, d->order, weight);
}

static Err mean_of_field(const TextPair *pairs, size_t n, size_t offset, double scale,
                         uint64_t seed, Estimate *out)
{
    double *v;
    TRY(NEW(v, n));
    for (size_t i = 0; i < n; i++)
        v[i] = scale * *(const double *)((const char *)&pairs[i] + offset);
    Err err = bootstrap_mean(v, n, NULL, 0, seed, out);
    free(v);
    return err;
}

Err text_scores(const TextPair *pairs, size_t n, uint64_t seed, TextScores *out)
{
    TextScores s;
    PairData two = {pairs, n, 2}, four = {pairs, n, 4};
    const size_t b = BOOTSTRAP_RESAMPLES;
    TRY(bootstrap(n, NULL, 0, bleu_statistic, &two, b, seed, &s.bleu2));
    TRY(bootstrap(n, NULL, 0, bleu_statistic, &four, b, seed, &s.bleu4));
    TRY(mean_of_field(pairs, n, offsetof(TextPair, rouge1), 100, seed, &s.rouge1));
    TRY(mean_of_field(pairs, n, offsetof(TextPair, rouge2), 100, seed, &s.rouge2));
    TRY(mean_of_field(pairs, n, offsetof(TextPair, rougeL), 100, seed, &s.rougeL));
    TRY(mean_of_field(pairs, n, offsetof(TextPair, meteor), 100, seed, &s.meteor));
    TRY(mean_of_field(pairs, n, offsetof(TextPair, levenshtein), 1, seed, &s.levenshtein));
    *out = s;
    return OK;
}
