/* The two patterns that byte-level tokenizers cut text with, matched by hand:
 * GPT-2   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Llama-3 (?i:'s|...)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|...
 * Alternatives in order, each as long as it can be. */
#include "core/base/mem.h"
#include "core/model/tokenizer_impl.h"
#include <string.h>
#include <utf8proc.h>

bool tok_is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

typedef struct Text {
    int32_t *c; /* code points, 0 at the end */
    size_t *at; /* [n+1] byte offsets */
    uint8_t *k; /* class */
    size_t n;
} Text;
enum { END, LETTER, NUMBER, SPACE, OTHER };

static uint8_t class_of(int32_t c)
{
    if (tok_is_space(c))
        return SPACE;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return NUMBER;
    default:
        return OTHER;
    }
}

static size_t run_of(const Text *t, size_t i, uint8_t k)
{
    while (t->k[i] == k)
        i++;
    return i;
}

/* End of 's 't 're 've 'm 'll 'd at i; i when there is none. */
static size_t contraction(const Text *t, size_t i, bool any_case)
{
    if (t->c[i] != '\'')
        return i;
    int32_t a = t->c[i + 1], b = a ? t->c[i + 2] : 0;
    if (any_case) {
        a = a == 0x17F ? 's' : utf8proc_tolower(a);
        b = utf8proc_tolower(b);
    }
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return i + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return i + 3;
    return i;
}

/* \s+(?!\S)|\s+ */
static size_t blanks(const Text *t, size_t i)
{
    size_t e = run_of(t, i, SPACE);
    return e < t->n && e > i + 1 ? e - 1 : e;
}

static size_t match_gpt2(const Text *t, size_t i)
{
    size_t e = contraction(t, i, false), from = t->c[i] == ' ' ? i + 1 : i;
    if (e > i)
        return e;
    if (from < t->n && t->k[from] != SPACE)
        return run_of(t, from, t->k[from]);
    return blanks(t, i);
}

static bool is_newline(int32_t c)
{
    return c == '\r' || c == '\n';
}

static size_t match_llama3(const Text *t, size_t i, size_t digits)
{
    size_t e = contraction(t, i, true);
    if (e > i)
        return e;
    if (t->k[i] == LETTER)
        return run_of(t, i, LETTER);
    if (t->k[i] != NUMBER && !is_newline(t->c[i]) && i + 1 < t->n && t->k[i + 1] == LETTER)
        return run_of(t, i + 1, LETTER);
    if (t->k[i] == NUMBER) {
        for (e = i; e < i + digits && t->k[e] == NUMBER;)
            e++;
        return e;
    }
    size_t from = t->c[i] == ' ' ? i + 1 : i;
    if (from < t->n && t->k[from] == OTHER) {
        e = run_of(t, from, OTHER);
        while (e < t->n && is_newline(t->c[e]))
            e++;
        return e;
    }
    e = run_of(t, i, SPACE);
    for (size_t p = e; p > i; p--)
        if (is_newline(t->c[p - 1]))
            return p;
    return blanks(t, i);
}

static bool is_mark(int32_t c)
{
    return c > 0 && c < 0x80 && strchr(".,;:()", c);
}

/* A blank and what follows up to the next; punctuation stands alone. */
static size_t match_own(const Text *t, size_t i)
{
    size_t e = i + (t->c[i] == ' ' && i + 1 < t->n);
    if (is_mark(t->c[e]))
        return e + 1;
    while (e < t->n && t->c[e] != ' ' && !is_mark(t->c[e]))
        e++;
    return e > i ? e : i + 1;
}

Err tok_split(SplitKind kind, const char *text, size_t len, SplitPart *each, void *user)
{
    Text t = {0};
    Err err = OK;
    if (kind == SPLIT_NONE)
        return len ? each(user, text, len) : OK;
    TRY_GOTO(NEW0(t.c, len + 3));
    TRY_GOTO(NEW(t.at, len + 1));
    TRY_GOTO(NEW0(t.k, len + 3));
    for (size_t i = 0; i < len; t.n++) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(len - i), &c);
        t.c[t.n] = n > 0 ? c : 0xFFFD;
        t.k[t.n] = class_of(t.c[t.n]);
        t.at[t.n] = i;
        i += n > 0 ? (size_t)n : 1;
    }
    t.at[t.n] = len;
    for (size_t i = 0; i < t.n;) {
        size_t e = kind == SPLIT_GPT2  ? match_gpt2(&t, i)
                   : kind == SPLIT_OWN ? match_own(&t, i)
                                       : match_llama3(&t, i, kind == SPLIT_LLAMA3 ? 3 : 1);
        TRY_GOTO(each(user, text + t.at[i], t.at[e] - t.at[i]));
        i = e;
    }
done:
    free(t.c);
    free(t.at);
    free(t.k);
    return err;
}
