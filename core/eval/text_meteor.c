/* METEOR (Banerjee and Lavie 2005) with alpha .9, beta 3, gamma .5 and NLTK's greedy matching: from
 * the last token of the text backwards, each takes the last free token of the reference that fits;
 * first equal words, then equal stems. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/eval/stem.h"
#include "core/eval/text.h"

enum { FREE = -1 };

static void match_words(char **a, size_t n, char **b, size_t m, int64_t *partner, uint8_t *taken)
{
    for (size_t i = n; i-- > 0;) {
        if (partner[i] != FREE)
            continue;
        for (size_t j = m; j-- > 0;)
            if (!taken[j] && strcmp(a[i], b[j]) == 0) {
                partner[i] = (int64_t)j;
                taken[j] = 1;
                break;
            }
    }
}

static Err derived(const TextTokens *t, char *(*f)(const char *), char ***out)
{
    TRY(NEW(*out, t->n));
    for (size_t i = 0; i < t->n; i++)
        (*out)[i] = f(t->v[i]);
    return OK;
}

static char *lower_copy(const char *s)
{
    char *c = mem_strdup(s);
    for (char *p = c; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    return c;
}

static char *lower_stem(const char *s)
{
    char *low = lower_copy(s), *stem = stem_porter(low);
    free(low);
    return stem;
}

static void free_words(char **v, size_t n)
{
    for (size_t i = 0; v && i < n; i++)
        free(v[i]);
    free(v);
}

static double meteor_of(const int64_t *partner, size_t n, size_t m)
{
    double matches = 0, chunks = 0;
    int64_t before = -2;
    for (size_t i = 0; i < n; i++) {
        /* A chunk goes on while both texts move by one. */
        if (partner[i] != FREE) {
            matches++;
            chunks += i == 0 || partner[i - 1] == FREE || partner[i] != before + 1;
            before = partner[i];
        }
    }
    if (matches == 0)
        return 0;
    double p = matches / (double)n, r = matches / (double)m;
    double f = p * r / (0.9 * p + 0.1 * r);
    return (1 - 0.5 * pow(chunks / matches, 3)) * f;
}

Err text_meteor(const TextTokens *written, const TextTokens *reference, double *score)
{
    Err err = OK;
    size_t n = written->n, m = reference->n;
    char **words[2] = {0}, **stems[2] = {0};
    int64_t *partner = NULL;
    uint8_t *taken = NULL;
    TRY_GOTO(NEW(partner, n));
    TRY_GOTO(NEW0(taken, m));
    TRY_GOTO(derived(written, lower_copy, &words[0]));
    TRY_GOTO(derived(reference, lower_copy, &words[1]));
    TRY_GOTO(derived(written, lower_stem, &stems[0]));
    TRY_GOTO(derived(reference, lower_stem, &stems[1]));
    for (size_t i = 0; i < n; i++)
        partner[i] = FREE;
    match_words(words[0], n, words[1], m, partner, taken);
    match_words(stems[0], n, stems[1], m, partner, taken);
    *score = meteor_of(partner, n, m);
done:
    free_words(words[0], n);
    free_words(stems[0], n);
    free_words(words[1], m);
    free_words(stems[1], m);
    free(partner);
    free(taken);
    return err;
}
