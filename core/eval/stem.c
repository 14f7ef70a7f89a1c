/* A word is a buffer that only shrinks or grows by one letter ("e"); each step looks at its end.
 * Rules of a step are tried in order and the first whose suffix fits decides, whether its condition
 * holds or not. */
#include "core/eval/stem.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/mem.h"

typedef struct Word {
    char *s;
    size_t n;
} Word;

static bool is_vowel(char c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/* y is a consonant at the start and after a vowel. */
static bool is_consonant(const char *s, size_t i)
{
    bool before = false; /* the letter before is a consonant */
    for (size_t j = 0; j <= i; j++)
        before = is_vowel(s[j]) ? false : s[j] == 'y' ? j == 0 || !before : true;
    return before;
}

/* Number of vowel-consonant changes in the first n letters. */
static int measure(const char *s, size_t n)
{
    int m = 0;
    bool before = true;
    for (size_t i = 0; i < n; i++) {
        bool c = is_vowel(s[i]) ? false : s[i] == 'y' ? i == 0 || !before : true;
        m += i > 0 && c && !before;
        before = c;
    }
    return m;
}

static bool has_vowel(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_consonant(s, i))
            return true;
    return false;
}

static bool ends_double(const Word *w)
{
    return w->n >= 2 && w->s[w->n - 1] == w->s[w->n - 2] && is_consonant(w->s, w->n - 1);
}

/* Ends consonant-vowel-consonant, the last not w, x, y; or is vowel-consonant. */
static bool ends_cvc(const char *s, size_t n)
{
    if (n == 2)
        return !is_consonant(s, 0) && is_consonant(s, 1);
    return n >= 3 && is_consonant(s, n - 3) && !is_consonant(s, n - 2) && is_consonant(s, n - 1) &&
           !strchr("wxy", s[n - 1]);
}

static bool ends_with(const Word *w, const char *suffix)
{
    size_t k = strlen(suffix);
    return w->n >= k && memcmp(w->s + w->n - k, suffix, k) == 0;
}

static void replace_end(Word *w, size_t cut, const char *with)
{
    size_t k = strlen(with);
    memcpy(w->s + w->n - cut, with, k + 1);
    w->n = w->n - cut + k;
    w->s[w->n] = 0;
}

typedef struct Rule {
    const char *suffix, *with;
} Rule;

/* The first rule that fits; it acts when the stem's measure exceeds `above`. */
static void apply_rules(Word *w, const Rule *rules, int above)
{
    for (; rules->suffix; rules++) {
        size_t k = strlen(rules->suffix);
        if (!ends_with(w, rules->suffix))
            continue;
        if (measure(w->s, w->n - k) > above)
            replace_end(w, k, rules->with);
        return;
    }
}

static void step_1a(Word *w) /* plurals */
{
    if (ends_with(w, "sses"))
        replace_end(w, 4, "ss");
    else if (ends_with(w, "ies"))
        replace_end(w, 3, w->n == 4 ? "ie" : "i");
    else if (!ends_with(w, "ss") && ends_with(w, "s"))
        replace_end(w, 1, "");
}

static void repair_1b(Word *w) /* after "ed" or "ing" went */
{
    char last = w->s[w->n - 1];
    if (ends_with(w, "at") || ends_with(w, "bl") || ends_with(w, "iz"))
        replace_end(w, 0, "e");
    else if (ends_double(w)) {
        if (!strchr("lsz", last))
            replace_end(w, 1, "");
    } else if (measure(w->s, w->n) == 1 && ends_cvc(w->s, w->n)) {
        replace_end(w, 0, "e");
    }
}

static void step_1b(Word *w) /* past and -ing */
{
    if (ends_with(w, "ied")) {
        replace_end(w, 3, w->n == 4 ? "ie" : "i");
    } else if (ends_with(w, "eed")) {
        if (measure(w->s, w->n - 3) > 0)
            replace_end(w, 3, "ee");
    } else {
        size_t cut = ends_with(w, "ed") && has_vowel(w->s, w->n - 2)    ? 2
                     : ends_with(w, "ing") && has_vowel(w->s, w->n - 3) ? 3
                                                                        : 0;
        if (cut) {
            replace_end(w, cut, "");
            repair_1b(w);
        }
    }
}

static void step_1c(Word *w)
{
    if (ends_with(w, "y") && w->n > 2 && is_consonant(w->s, w->n - 2))
        replace_end(w, 1, "i");
}

static void step_2(Word *w)
{
    static const Rule rules[] = {
        {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
        {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
        {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
        {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
        {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
        {"fulli", "ful"},   {NULL, NULL}};
    while (ends_with(w, "alli") && measure(w->s, w->n - 4) > 0)
        replace_end(w, 4, "al"); /* NLTK starts the step again */
    if (ends_with(w, "logi")) {  /* the l belongs to the stem that is measured */
        if (measure(w->s, w->n - 3) > 0)
            replace_end(w, 4, "log");
        return;
    }
    apply_rules(w, rules, 0);
}

static void step_3(Word *w)
{
    static const Rule rules[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                                 {"ical", "ic"},  {"ful", ""},   {"ness", ""},    {NULL, NULL}};
    apply_rules(w, rules, 0);
}

static void step_4(Word *w)
{
    static const Rule before_ion[] = {{"al", ""},    {"ance", ""}, {"ence", ""}, {"er", ""},
                                      {"ic", ""},    {"able", ""}, {"ible", ""}, {"ant", ""},
                                      {"ement", ""}, {"ment", ""}, {"ent", ""},  {"ou", ""},
                                      {"ism", ""},   {"ate", ""},  {"iti", ""},  {"ous", ""},
                                      {"ive", ""},   {"ize", ""},  {NULL, NULL}};
    if (ends_with(w, "ion")) { /* no other suffix ends so */
        if (measure(w->s, w->n - 3) > 1 && strchr("st", w->s[w->n - 4]))
            replace_end(w, 3, "");
        return;
    }
    apply_rules(w, before_ion, 1);
}

static void step_5(Word *w)
{
    if (ends_with(w, "e")) {
        int m = measure(w->s, w->n - 1);
        if (m > 1 || (m == 1 && !ends_cvc(w->s, w->n - 1)))
            replace_end(w, 1, "");
    }
    if (ends_with(w, "ll") && measure(w->s, w->n - 1) > 1)
        replace_end(w, 1, "");
}

static const char *irregular(const char *word)
{
    static const Rule pool[] = {{"sky", "sky"},
                                {"skies", "sky"},
                                {"dying", "die"},
                                {"lying", "lie"},
                                {"tying", "tie"},
                                {"news", "news"},
                                {"innings", "inning"},
                                {"inning", "inning"},
                                {"outings", "outing"},
                                {"outing", "outing"},
                                {"cannings", "canning"},
                                {"canning", "canning"},
                                {"howe", "howe"},
                                {"proceed", "proceed"},
                                {"exceed", "exceed"},
                                {"succeed", "succeed"},
                                {NULL, NULL}};
    for (const Rule *r = pool; r->suffix; r++)
        if (strcmp(r->suffix, word) == 0)
            return r->with;
    return NULL;
}

char *stem_porter(const char *word)
{
    const char *known = irregular(word);
    size_t n = strlen(word);
    if (known || n <= 2)
        return mem_strdup(known ? known : word);
    Word w = {mem_must(n + 2), n};
    memcpy(w.s, word, n + 1);
    step_1a(&w);
    step_1b(&w);
    step_1c(&w);
    step_2(&w);
    step_3(&w);
    step_4(&w);
    step_5(&w);
    return w.s;
}
