/* Folding and splitting. UTF-8 is decoded by hand because only Latin, Greek and Cyrillic letters need a mapping; what
 * is not UTF-8 passes through byte by byte. */
#include "core/session/words.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

/* One code point from s, its length in *len; bytes that are not UTF-8 get numbers behind all characters. */
static uint32_t decode(const char *s, size_t *len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 1;
    *len = 1;
    if (n == 1)
        return p[0] < 0x80 ? p[0] : 0x110000u + p[0];
    uint32_t c = p[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0x110000u + p[0];
        c = c << 6 | (p[i] & 0x3Fu);
    }
    *len = n;
    return c;
}

/* Base letters of U+00C0..U+017F; '*' where two letters or none are needed. */
static const char latin[] = "aaaaaa*ceeeeiiii*nooooo*ouuuuy**aaaaaa*ceeeeiiii*nooooo*ouuuuy*y"
                            "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii**jjkkkllllllllll"
                            "nnnnnnnnnoooooo**rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

static const char *special(uint32_t c)
{
    switch (c) {
    case 0xC6: case 0xE6: return "ae";
    case 0xDF: return "ss";
    case 0x152: case 0x153: return "oe";
    case 0x3B1: case 0x391: return "alpha";
    case 0x3B2: case 0x392: return "beta";
    case 0x3B3: case 0x393: return "gamma";
    case 0x3B4: case 0x394: return "delta";
    case 0x3B5: case 0x395: return "epsilon";
    case 0x3BA: return "kappa";
    case 0x3BB: return "lambda";
    case 0x207A: return "+";
    case 0x2010: case 0x2011: case 0x2012: case 0x2013: case 0x2014: case 0x2212: case 0x207B: return "-";
    case 0x2018: case 0x2019: return "'";
    case 0xA0: case 0x3000: case 0x3001: case 0x3002: return " ";
    default: return NULL;
    }
}

static bool is_ideograph(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7AF) || (c >= 0xF900 && c <= 0xFAFF);
}

/* Appends the folded form of the code point at s; returns its length in bytes. */
static size_t fold_one(const char *s, Str *out)
{
    size_t len;
    uint32_t c = decode(s, &len);
    const char *two = special(c);
    if (c < 0x80)
        str_add_char(out, (char)tolower((int)c));
    else if (two)
        str_add(out, two);
    else if (c >= 0xC0 && c <= 0x17F && c - 0xC0 < sizeof latin - 1 && latin[c - 0xC0] != '*')
        str_add_char(out, latin[c - 0xC0]);
    else if (c >= 0x410 && c <= 0x42F) /* Cyrillic capitals */
        str_add_n(out, c + 32 < 0x440 ? (char[]){(char)0xD0, (char)(s[1] + 32)} : (char[]){(char)0xD1, (char)(s[1] - 32)},
                  2);
    else
        str_add_n(out, s, len);
    return len;
}

char *words_fold(const char *text)
{
    Str s = {0};
    for (const char *p = text; *p;)
        p += fold_one(p, &s);
    return str_take(&s);
}

static void strip_plural(char *w)
{
    size_t n = strlen(w);
    if (n <= 3 || w[n - 1] != 's' || strchr("sui", w[n - 2]) || isdigit((unsigned char)w[n - 2]))
        return;
    if (n > 4 && strcmp(w + n - 3, "ies") == 0)
        strcpy(w + n - 3, "y");
    else if (n > 5 && (strcmp(w + n - 4, "ches") == 0 || strcmp(w + n - 4, "shes") == 0 || strcmp(w + n - 4, "sses") == 0))
        w[n - 2] = 0;
    else
        w[n - 1] = 0;
}

static bool is_stop(const char *w)
{
    static const char *const stops[] = {
        "a", "about", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "being", "but", "by", "can",
        "could", "do", "does", "every", "find", "for", "from", "give", "had", "has", "have", "having", "here", "how", "i",
        "if", "in", "into", "is", "it", "its", "kind", "like", "many", "may", "me", "more", "most", "my", "not", "of", "on",
        "one", "only", "or", "other", "our", "out", "please", "show", "so", "some", "such", "than", "that", "the", "their",
        "them", "then", "there", "these", "they", "thing", "this", "those", "to", "type", "up", "very", "want", "was", "we",
        "were", "what", "when", "where", "which", "while", "who", "whose", "will", "with", "would", "you", "your"};
    size_t lo = 0, hi = sizeof stops / sizeof stops[0];
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = strcmp(w, stops[mid]);
        if (c == 0)
            return true;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return false;
}

static void add_word(Words *w, size_t *cap, const char *text, const Str *folded, size_t start, size_t end)
{
    if (w->n == *cap) {
        size_t more = *cap ? 2 * *cap : 16;
        Word *v = mem_must(more * sizeof *v);
        if (w->n)
            memcpy(v, w->v, w->n * sizeof *v);
        free(w->v);
        w->v = v;
        *cap = more;
    }
    Word *x = &w->v[w->n++];
    *x = (Word){.text = mem_strdup(str_text(folded)), .start = start, .end = end};
    bool letter = false, small = false;
    for (size_t i = start; i < end; i++) {
        letter |= isupper((unsigned char)text[i]) != 0;
        small |= islower((unsigned char)text[i]) != 0;
    }
    x->capitals = letter && !small;
    x->stop = is_stop(x->text) && !(x->capitals && end - start > 1);
    if (end - start > 2 && text[end - 1] == 's' && isupper((unsigned char)text[end - 2])) /* "DCs" */
        x->text[strlen(x->text) - 1] = 0;
    else
        strip_plural(x->text);
}

static bool has_digit(const Str *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (isdigit((unsigned char)s->data[i]))
            return true;
    return false;
}

static bool starts_word(const char *p, const char *word)
{
    size_t n = strlen(word);
    return strncasecmp(p, word, n) == 0 && !isalnum((unsigned char)p[n]);
}

/* What stands behind a marker name at p: +1, -1 (minus sign, "neg", "negative"), or 0; *used bytes of it. */
static int marker_sign(const char *p, size_t *used)
{
    size_t len, n = 0;
    int sign = 0;
    while (p[n]) {
        uint32_t c = decode(p + n, &len);
        const char *two = special(c);
        char ch = c < 0x80 ? (char)c : two && !two[1] ? two[0] : 0;
        if (ch == '+') {
            sign = 1;
            n += len;
        } else if (ch == '-' && sign == 0) {
            const char *q = p + n + len;
            if (starts_word(q, "positive") || starts_word(q, "pos") || starts_word(q, "negative") || starts_word(q, "neg") ||
                starts_word(q, "expressing") || starts_word(q, "high") || starts_word(q, "low") || starts_word(q, "bright") ||
                starts_word(q, "dim"))
                n += len;
            else if (*q == 0 || strchr(" ,;.)/]-", *q) || strncasecmp(q, "CD", 2) == 0) {
                n += len;
                sign = -1;
                break;
            } else
                break;
            break;
        } else
            break;
    }
    size_t blank = p[n] == ' ';
    const char *q = p + n + blank;
    if (sign >= 0 && (starts_word(q, "negative") || starts_word(q, "neg"))) {
        *used = (size_t)(q - p) + (size_t)strcspn(q, " ,;.)/");
        return -1;
    }
    if (sign >= 0 && (starts_word(q, "positive") || starts_word(q, "pos"))) {
        *used = (size_t)(q - p) + (size_t)strcspn(q, " ,;.)/");
        return 1;
    }
    *used = sign ? n : 0;
    return sign;
}

void words_split(const char *text, Words *out)
{
    *out = (Words){0};
    size_t cap = 0, i = 0;
    while (text[i]) {
        Str w = {0};
        size_t start = i, len;
        while (text[i]) {
            uint32_t c = decode(text + i, &len);
            bool letter = c < 0x80 ? isalnum((int)c) != 0 : (special(c) ? isalpha((unsigned char)special(c)[0]) != 0 : c >= 0xC0);
            if (!letter || (is_ideograph(c) && w.len))
                break;
            i += fold_one(text + i, &w);
            if (is_ideograph(c))
                break;
        }
        if (w.len) {
            size_t used = 0, end = i;
            /* a sign belongs to marker names only: they have a digit or are written in capitals */
            int sign = has_digit(&w) || isupper((unsigned char)text[end - 1]) ? marker_sign(text + i, &used) : 0;
            if (sign < 0)
                str_add(&w, "neg");
            i += used;
            add_word(out, &cap, text, &w, start, end);
        } else {
            decode(text + i, &len);
            i += len;
        }
        str_free(&w);
    }
}

void words_done(Words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->v[i].text);
    free(w->v);
    *w = (Words){0};
}

char *words_join(const Words *w, size_t from, size_t to)
{
    Str s = {0};
    for (size_t i = from; i < to; i++) {
        str_add(&s, i > from ? " " : "");
        str_add(&s, w->v[i].text);
    }
    return str_take(&s);
}

size_t words_distance(const char *a, const char *b, size_t max)
{
    enum { LONGEST = 63 };
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST || n > m + max || m > n + max)
        return max + 1;
    size_t row[3][LONGEST + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *last = row[(i - 1) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    size_t d = row[n % 3][m];
    return d > max ? max + 1 : d;
}
