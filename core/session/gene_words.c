/* Longest match first: three words, two, one. Ordinary abbreviations that happen to be gene symbols are left alone. */
#include "core/session/gene_words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

static bool is_abbreviation(const char *s)
{
    static const char *const list[] = {"NK",  "DC",  "CTL", "MHC", "BCR",  "APC", "LPS", "HIV", "CAR", "DNA", "RNA",
                                       "AML", "SLE", "CNS", "GI",  "ILC",  "HSC", "NET", "ATP", "PP",  "EC",  "UMAP",
                                       "PCA", "PC",  "TV",  "AND", "NOT",  "OR",  "THE", "HELP", "ADCC", "MAIT", "COVID"};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (strcmp(s, list[i]) == 0)
            return true;
    return false;
}

static void add(GeneWords *g, const char *symbol, bool negative, size_t from, size_t to)
{
    GeneWord *v = mem_must((g->n + 1) * sizeof *v); /* prompts are short */
    if (g->n)
        memcpy(v, g->v, g->n * sizeof *v);
    free(g->v);
    g->v = v;
    g->v[g->n++] = (GeneWord){mem_strdup(symbol), negative, from, to};
}

static bool ends_negative(const Words *w, size_t last)
{
    const char *t = w->v[last].text;
    size_t n = strlen(t);
    return n > 3 && strcmp(t + n - 3, "neg") == 0;
}

/* Only blanks, hyphens and slashes may stand between words that belong together. */
static bool joined(const char *text, const Words *w, size_t from, size_t to, bool hyphen_only)
{
    for (size_t i = from; i + 1 < to; i++)
        for (size_t b = w->v[i].end; b < w->v[i + 1].start; b++)
            if (!strchr(hyphen_only ? "-." : " -", text[b]))
                return false;
    return true;
}

static bool try_protein(const LabelIndex *labels, const char *s, bool negative, size_t from, size_t to, GeneWords *out)
{
    const char *const *genes = label_protein_genes(labels, s);
    for (size_t i = 0; genes && genes[i]; i++)
        add(out, genes[i], negative, from, to);
    return genes != NULL;
}

/* A symbol as it should be written: capitals as typed, or small letters with a digit among them. */
static bool try_symbol(GeneKnown *known, void *user, const char *s, bool shouting, bool negative, size_t from, size_t to,
                       GeneWords *out)
{
    size_t n = strlen(s), upper = 0, lower = 0, digits = 0;
    for (size_t i = 0; i < n; i++) {
        upper += isupper((unsigned char)s[i]) != 0;
        lower += islower((unsigned char)s[i]) != 0;
        digits += isdigit((unsigned char)s[i]) != 0;
    }
    if (n < 2 || n > 20 || upper + lower == 0 || is_abbreviation(s))
        return false;
    bool orf = strstr(s, "orf") != NULL;
    if (upper >= 1 && (lower == 0 || orf) && (digits || !shouting) && known(user, s)) {
        add(out, s, negative, from, to);
        return true;
    }
    if (!lower || !digits || n < 3)
        return false;
    char up[24];
    for (size_t i = 0; i <= n; i++)
        up[i] = (char)toupper((unsigned char)s[i]);
    if (!known(user, up))
        return false;
    add(out, up, negative, from, to);
    return true;
}

static bool all_capitals(const Words *w)
{
    size_t n = 0, plain = 0;
    for (size_t i = 0; i < w->n; i++) {
        n += w->v[i].capitals;
        plain += w->v[i].capitals && strpbrk(w->v[i].text, "0123456789") == NULL;
    }
    return w->n >= 4 && n == w->n && plain > w->n / 2;
}

void gene_words_find(const LabelIndex *labels, GeneKnown *known, void *user, const char *text, const Words *words,
                     GeneWords *out)
{
    *out = (GeneWords){0};
    bool shouting = all_capitals(words);
    for (size_t i = 0; i < words->n;) {
        size_t used = 0;
        for (size_t len = words->n - i < 3 ? words->n - i : 3; len >= 1 && !used; len--) {
            size_t to = i + len;
            if (!joined(text, words, i, to, false))
                continue;
            bool negative = ends_negative(words, to - 1);
            char *s = mem_strndup(text + words->v[i].start, words->v[to - 1].end - words->v[i].start);
            bool hit = !is_abbreviation(s) && try_protein(labels, s, negative, i, to, out);
            if (!hit && (len == 1 || joined(text, words, i, to, true)))
                hit = try_symbol(known, user, s, shouting, negative, i, to, out);
            used = hit ? len : 0;
            free(s);
        }
        i += used ? used : 1;
    }
}

void gene_words_done(GeneWords *g)
{
    for (size_t i = 0; i < g->n; i++)
        free(g->v[i].symbol);
    free(g->v);
    *g = (GeneWords){0};
}
