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
    WordPieceStyle style;
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
    w->style = (WordPieceStyle){.lower = true, .strip = true};
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
    w->style = (WordPieceStyle){.lower = true, .strip = true};
    char *text = mem_strdup(vocab);
    Err err = split_vocab(w, text);
    free(text);
    if (err != OK)
        wordpiece_free(w);
    else
        *out = w;
    return err;
}

void wordpiece_set_style(WordPiece *w, WordPieceStyle style)
{
    w->style = style;
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

static bool is_cjk(const WordPiece *w, int32_t c)
{
    if (c >= 0x2B820 && c <= 0x2CEAF)
        return !(w->style.fast && c < 0x2B920);
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
}

/* Marks, punctuation and format characters that came after Unicode 8: to the fast tokenizer they
 * are letters like any other. What else lies in these ranges has none of the three properties. */
static bool is_later(int32_t c)
{
    static const int32_t range[][2] = {
        {0x5C8, 0x5C9},     {0x61D, 0x61D},     {0x7FD, 0x7FD},     {0x890, 0x8E2},
        {0x9FD, 0x9FE},     {0xA76, 0xA76},     {0xAFA, 0xAFF},     {0xB53, 0xB55},
        {0xC04, 0xC3C},     {0xC77, 0xC77},     {0xC84, 0xC84},     {0xD00, 0xD00},
        {0xD3B, 0xD3C},     {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},
        {0x180F, 0x1886},   {0x1ABF, 0x1AF0},   {0x1B4E, 0x1B4F},   {0x1B7D, 0x1B7F},
        {0x1DF6, 0x1DFB},   {0x2E43, 0x2E63},   {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},
        {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},   {0x10D24, 0x10F89}, {0x11070, 0x11074},
        {0x110C2, 0x110CD}, {0x111CF, 0x111CF}, {0x1123E, 0x11241}, {0x1133B, 0x1133B},
        {0x113BB, 0x1145E}, {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1182F, 0x11FFF},
        {0x12FF1, 0x1612F}, {0x16D6D, 0x16F4F}, {0x16FE2, 0x16FE4}, {0x1CF00, 0x1D128},
        {0x1D25B, 0x1D25C}, {0x1E000, 0x1E6F5}, {0x1E944, 0x1E95F},
    };
    for (size_t i = 0; i < sizeof range / sizeof *range && c >= range[i][0]; i++)
        if (c <= range[i][1])
            return true;
    return false;
}

/* The category as the tokenizer's tables have it. */
static utf8proc_category_t category(const WordPiece *w, int32_t c)
{
    if (w->style.fast && c > 0x7F) {
        if (c == 0x166D || c == 0x111C9)
            return UTF8PROC_CATEGORY_PO;
        if (c == 0x1734 || c == 0x1171E)
            return UTF8PROC_CATEGORY_MN;
        if (is_later(c) || utf8proc_category(c) == UTF8PROC_CATEGORY_CN)
            return UTF8PROC_CATEGORY_LO;
    }
    return utf8proc_category(c);
}

static bool is_punctuation(const WordPiece *w, int32_t c)
{
    if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
        (c >= 123 && c <= 126))
        return true;
    utf8proc_category_t k = category(w, c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

static bool is_blank(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || k == UTF8PROC_CATEGORY_ZS ||
           k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool is_dropped(const WordPiece *w, int32_t c)
{
    if (c == 0 || c == 0xFFFD)
        return true;
    utf8proc_category_t k = category(w, c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CN ||
           k == UTF8PROC_CATEGORY_CS || k == UTF8PROC_CATEGORY_CO;
}

static void add_code_point(Str *s, int32_t c)
{
    utf8proc_uint8_t b[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, b);
    str_add_n(s, (const char *)b, (size_t)n);
}

/* A character of a word; with `cut` punctuation stands between blanks. */
static void add_part(const WordPiece *w, Str *s, int32_t c, bool cut)
{
    bool alone = cut && is_punctuation(w, c);
    str_add(s, alone ? " " : "");
    add_code_point(s, c);
    str_add(s, alone ? " " : "");
}

/* Adds the decomposition of a character without accents; its parts may be punctuation. */
static void add_folded(const WordPiece *w, Str *s, int32_t c, bool cut)
{
    utf8proc_int32_t parts[32];
    int cls = UTF8PROC_BOUNDCLASS_START;
    utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, 32, UTF8PROC_DECOMPOSE, &cls);
    for (utf8proc_ssize_t i = 0; i < n && i < 32; i++)
        if (category(w, parts[i]) != UTF8PROC_CATEGORY_MN)
            add_part(w, s, parts[i], cut);
}

static void add_letter(const WordPiece *w, Str *s, int32_t c, bool cut)
{
    bool dotted = w->style.lower && c == 0x130; /* the one letter whose small form is two */
    c = w->style.lower ? utf8proc_tolower(c) : c;
    if (w->style.strip) {
        add_folded(w, s, c, cut);
        return;
    }
    add_part(w, s, dotted ? 'i' : c, cut);
    if (dotted)
        add_code_point(s, 0x307);
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
        } else if (is_dropped(w, c)) {
            continue;
        } else if (is_cjk(w, c) && !w->style.keep_chinese) {
            str_add_char(out, ' ');
            add_letter(w, out, c, false);
            str_add_char(out, ' ');
        } else {
            add_letter(w, out, c, cut);
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
        !w->style.strip && !w->style.fast
            ? utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &nfc,
                           UTF8PROC_STABLE | UTF8PROC_COMPOSE)
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

Err wordpiece_pieces(const WordPiece *w, const char *text, int32_t **ids, size_t *n)
{
    Ids a = {0};
    Err err = add_plain(w, text, strlen(text), &a);
    if (err == OK && !a.v)
        err = NEW(a.v, 1);
    if (err != OK) {
        free(a.v);
        return err;
    }
    *ids = a.v;
    *n = a.n;
    return OK;
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
