/* WordPiece after the slow BERT tokenizer of transformers (BasicTokenizer + WordpieceTokenizer),
 * Unicode properties by utf8proc. Special tokens that stand literally in a text are taken as such.
 */
#include "core/model/wordpiece.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

enum { WORD_MAX = 100, VOCAB_BYTES = 32 << 20 };

struct WordPiece {
    char **token;
    size_t n;
    StrMap *id;
    int32_t unk, cls, sep, pad;
    bool lower, strip, fast;
};

typedef struct Ids {
    int32_t *v;
    size_t n, cap;
} Ids;

static Err ids_add(Ids *a, int32_t id)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 64;
        TRY(mem_realloc(&a->v, cap, sizeof *a->v));
        a->cap = cap;
    }
    a->v[a->n++] = id;
    return OK;
}

static Err find_special(const WordPiece *w, const char *token, int32_t *id)
{
    *id = wordpiece_id(w, token);
    if (*id < 0)
        FAIL(ERR_MODEL, "the vocabulary has no %s", token);
    return OK;
}

static Err split_vocab(WordPiece *w, char *text)
{
    size_t lines = 1;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    TRY(NEW0(w->token, lines));
    w->id = strmap_new(lines);
    for (char *p = text; *p;) {
        size_t len = strcspn(p, "\n");
        w->token[w->n] = mem_strndup(p, len);
        strmap_put(w->id, w->token[w->n], (int64_t)w->n);
        w->n++;
        p += len + (p[len] == '\n');
    }
    TRY(find_special(w, "[UNK]", &w->unk));
    TRY(find_special(w, "[CLS]", &w->cls));
    TRY(find_special(w, "[SEP]", &w->sep));
    return find_special(w, "[PAD]", &w->pad);
}

Err wordpiece_open(const char *path, WordPiece **out)
{
    char *text;
    TRY(str_read_file(path, VOCAB_BYTES, ERR_MODEL, &text, NULL));
    WordPiece *w = mem_must(sizeof *w);
    wordpiece_set_cased(w, false);
    Err err = split_vocab(w, text);
    free(text);
    if (err != OK) {
        wordpiece_free(w);
        return err_context(err, "%s", path);
    }
    *out = w;
    return OK;
}

Err wordpiece_from_text(const char *vocab, WordPiece **out)
{
    WordPiece *w = mem_must(sizeof *w);
    wordpiece_set_cased(w, false);
    char *text = mem_strdup(vocab);
    Err err = split_vocab(w, text);
    free(text);
    if (err != OK)
        wordpiece_free(w);
    else
        *out = w;
    return err;
}

void wordpiece_set_fast(WordPiece *w)
{
    w->fast = true;
}

void wordpiece_set_strip(WordPiece *w, bool strip)
{
    w->strip = strip;
}

void wordpiece_set_cased(WordPiece *w, bool cased)
{
    w->lower = w->strip = !cased;
}

void wordpiece_free(WordPiece *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        free(w->token[i]);
    free(w->token);
    strmap_free(w->id);
    free(w);
}

size_t wordpiece_size(const WordPiece *w)
{
    return w->n;
}

int32_t wordpiece_id(const WordPiece *w, const char *token)
{
    return (int32_t)strmap_get(w->id, token, -1);
}

const char *wordpiece_token(const WordPiece *w, int32_t id)
{
    return w->token[id];
}

int32_t wordpiece_pad(const WordPiece *w)
{
    return w->pad;
}

static bool is_cjk(int32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool is_punctuation(int32_t c)
{
    if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
        (c >= 123 && c <= 126))
        return true;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return true;
    default:
        return false;
    }
}

static bool is_blank(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || k == UTF8PROC_CATEGORY_ZS ||
           k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool is_dropped(int32_t c)
{
    if (c == 0 || c == 0xFFFD)
        return true;
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CN ||
           k == UTF8PROC_CATEGORY_CS || k == UTF8PROC_CATEGORY_CO;
}

static void add_code_point(Str *s, int32_t c)
{
    utf8proc_uint8_t b[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, b);
    str_add_n(s, (const char *)b, (size_t)n);
}

/* Adds the decomposition of a character without accents. */
static void add_folded(Str *s, int32_t c)
{
    utf8proc_int32_t parts[32];
    int cls = UTF8PROC_BOUNDCLASS_START;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, 32, UTF8PROC_DECOMPOSE, &cls);
    for (utf8proc_ssize_t i = 0; i < n && i < 32; i++)
        if (utf8proc_category(parts[i]) != UTF8PROC_CATEGORY_MN)
            add_code_point(s, parts[i]);
}

static void add_letter(const WordPiece *w, Str *s, int32_t c)
{
    c = w->lower ? utf8proc_tolower(c) : c;
    if (w->strip)
        add_folded(s, c);
    else
        add_code_point(s, c);
}

/* Text -> cleaned and folded, blanks around CJK characters; with `cut` also around punctuation. */
static void basic_tokens(const WordPiece *w, const char *text, size_t len, bool cut, Str *out)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text;
    for (size_t i = 0; i < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(p + i, (utf8proc_ssize_t)(len - i), &c);
        if (n <= 0) {
            i++;
            continue;
        }
        i += (size_t)n;
        if (is_blank(c)) {
            str_add_char(out, ' ');
        } else if (is_dropped(c) && !(w->fast && utf8proc_category(c) == UTF8PROC_CATEGORY_CN)) {
            continue;
        } else if ((is_cjk(c) && !(w->fast && c >= 0x2B820 && c < 0x2B920)) ||
                   (cut && is_punctuation(c))) {
            str_add_char(out, ' ');
            add_letter(w, out, c);
            str_add_char(out, ' ');
        } else {
            add_letter(w, out, c);
        }
    }
}

void wordpiece_normalize(const WordPiece *w, const char *text, Str *out)
{
    basic_tokens(w, text, strlen(text), false, out);
}

static size_t code_points(const char *s, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += ((unsigned char)s[i] & 0xC0) != 0x80;
    return k;
}

static Err add_word(const WordPiece *w, const char *word, size_t len, Ids *out)
{
    size_t keep = out->n;
    char buf[WORD_MAX * 4 + 3];
    if (code_points(word, len) > WORD_MAX)
        return ids_add(out, w->unk);
    for (size_t at = 0; at < len;) {
        size_t pre = at ? 2 : 0, end = len;
        int64_t id = -1;
        memcpy(buf, "##", 2);
        for (; end > at; end--) {
            if (end < len && ((unsigned char)word[end] & 0xC0) == 0x80)
                continue;
            memcpy(buf + pre, word + at, end - at);
            id = strmap_get_n(w->id, buf, pre + end - at, -1);
            if (id >= 0)
                break;
        }
        if (id < 0) {
            out->n = keep;
            return ids_add(out, w->unk);
        }
        TRY(ids_add(out, (int32_t)id));
        at = end;
    }
    return OK;
}

static Err add_plain(const WordPiece *w, const char *text, size_t len, Ids *out)
{
    Str s = {0};
    utf8proc_uint8_t *nfc = NULL; /* letters that keep their accents are looked up composed */
    utf8proc_ssize_t n_nfc =
        !w->strip && !w->fast ? utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len,
                                             &nfc, UTF8PROC_STABLE | UTF8PROC_COMPOSE)
                              : -1;
    if (n_nfc >= 0)
        basic_tokens(w, (const char *)nfc, (size_t)n_nfc, true, &s);
    else
        basic_tokens(w, text, len, true, &s);
    free(nfc);
    Err err = OK;
    for (const char *p = str_text(&s); err == OK && *p;) {
        size_t n = strcspn(p, " ");
        if (n)
            err = add_word(w, p, n, out);
        p += n + (p[n] == ' ');
    }
    str_free(&s);
    return err;
}

static const char *const SPECIALS[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[DEC]"};
enum { N_SPECIALS = sizeof SPECIALS / sizeof *SPECIALS };

static int32_t special_at(const WordPiece *w, const char *p, size_t *len)
{
    for (int i = 0; i < N_SPECIALS; i++)
        if (str_starts(p, SPECIALS[i])) {
            *len = strlen(SPECIALS[i]);
            return wordpiece_id(w, SPECIALS[i]);
        }
    return -1;
}

static Err add_text(const WordPiece *w, const char *text, Ids *out)
{
    const char *from = text;
    for (const char *p = strchr(text, '['); p; p = strchr(p, '[')) {
        size_t len;
        int32_t id = special_at(w, p, &len);
        if (id < 0) {
            p++;
            continue;
        }
        TRY(add_plain(w, from, (size_t)(p - from), out));
        TRY(ids_add(out, id));
        from = p += len;
    }
    return add_plain(w, from, strlen(from), out);
}

Err wordpiece_encode(const WordPiece *w, const char *text, size_t max, int specials, int32_t **ids,
                     size_t *n)
{
    Ids a = {0};
    Err err = OK;
    if (specials)
        TRY_GOTO(ids_add(&a, w->cls));
    TRY_GOTO(add_text(w, text, &a));
    if (max && a.n + (specials != 0) > max)
        a.n = max - (specials != 0);
    if (specials)
        TRY_GOTO(ids_add(&a, w->sep));
    if (!a.v)
        TRY_GOTO(NEW(a.v, 1));
    *ids = a.v;
    *n = a.n;
    return OK;
done:
    free(a.v);
    return err;
}

Err wordpiece_encode_rows(const WordPiece *w, const char *const *texts, size_t n, size_t max,
                          int32_t **ids, int32_t **len, size_t *width)
{
    int32_t **row = NULL, *all = NULL, *used = NULL;
    size_t longest = 1;
    Err err = OK;
    TRY_GOTO(NEW0(row, n));
    TRY_GOTO(NEW0(used, n));
    for (size_t i = 0; i < n; i++) {
        size_t m;
        TRY_GOTO(wordpiece_encode(w, texts[i], max, 1, &row[i], &m));
        used[i] = (int32_t)m;
        longest = m > longest ? m : longest;
    }
    TRY_GOTO(NEW(all, n * longest));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < longest; k++)
            all[i * longest + k] = k < (size_t)used[i] ? row[i][k] : w->pad;
    *ids = all;
    *len = used;
    *width = longest;
    used = NULL;
done:
    for (size_t i = 0; row && i < n; i++)
        free(row[i]);
    free(row);
    free(used);
    return err;
}

char *wordpiece_decode(const WordPiece *w, const int32_t *ids, size_t n)
{
    Str s = {0};
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= w->n || ids[i] == w->cls || ids[i] == w->sep ||
            ids[i] == w->pad)
            continue;
        const char *t = w->token[ids[i]];
        if (str_starts(t, "##")) {
            str_add(&s, t + 2);
            continue;
        }
        if (s.len)
            str_add_char(&s, ' ');
        str_add(&s, t);
    }
    return str_take(&s);
}
