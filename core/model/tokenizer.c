/* What all tokenizers share: the vocabulary, added tokens cut out of the text, and the dispatch. */
#include "core/model/tokenizer.h"
#include "core/base/mem.h"
#include "core/model/tokenizer_impl.h"
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

Err tok_add_id(Ids *a, int32_t id)
{
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 64;
        TRY(mem_realloc(&a->v, cap, sizeof *a->v));
        a->cap = cap;
    }
    a->v[a->n++] = id;
    return OK;
}

Err tok_set_piece(Tokenizer *t, int32_t id, const char *text)
{
    size_t i = (size_t)id;
    if (i >= t->cap) {
        size_t cap = t->cap ? t->cap : 256;
        while (cap <= i)
            cap *= 2;
        TRY(mem_realloc(&t->piece, cap, sizeof *t->piece));
        TRY(mem_realloc(&t->score, cap, sizeof *t->score));
        TRY(mem_realloc(&t->type, cap, 1));
        TRY(mem_realloc(&t->special, cap, sizeof *t->special));
        memset(t->piece + t->cap, 0, (cap - t->cap) * sizeof *t->piece);
        memset(t->score + t->cap, 0, (cap - t->cap) * sizeof *t->score);
        memset(t->type + t->cap, 0, cap - t->cap);
        memset(t->special + t->cap, 0, (cap - t->cap) * sizeof *t->special);
        t->cap = cap;
    }
    t->n = i >= t->n ? i + 1 : t->n;
    free(t->piece[i]);
    t->piece[i] = mem_strdup(text);
    strmap_put(t->id, text, id);
    return OK;
}

static bool flag(const cJSON *o, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, key));
}

Err tok_add_added(Tokenizer *t, const char *text, int32_t id, const cJSON *flags)
{
    Added a = {.len = strlen(text),
               .id = id,
               .special = !flags || flag(flags, "special"),
               .lstrip = flag(flags, "lstrip"),
               .rstrip = flag(flags, "rstrip"),
               .single = flag(flags, "single_word"),
               .normalized = flag(flags, "normalized")};
    if (a.len == 0)
        return OK;
    if ((size_t)id >= t->n || !t->piece[id])
        TRY(tok_set_piece(t, id, text));
    t->special[id] = a.special;
    if (!t->added_at)
        t->added_at = strmap_new(64);
    int64_t at = strmap_get(t->added_at, text, -1);
    if (at >= 0) {
        a.text = t->added[at].text;
        a.match = t->added[at].match;
        t->added[at] = a;
        return OK;
    }
    if (t->n_added == t->cap_added) {
        size_t cap = t->cap_added ? t->cap_added * 2 : 16;
        TRY(mem_realloc(&t->added, cap, sizeof *t->added));
        t->cap_added = cap;
    }
    a.text = mem_strdup(text);
    a.match = mem_strdup(text);
    strmap_put(t->added_at, text, (int64_t)t->n_added);
    t->added[t->n_added++] = a;
    return OK;
}

Err tok_normalize_added(Tokenizer *t)
{
    Err err = OK;
    for (size_t i = 0; err == OK && i < t->n_added; i++) {
        Added *a = &t->added[i];
        Str s = {0};
        if (!a->normalized)
            continue;
        if (t->kind == TOK_JSON_WORDS) {
            wordpiece_normalize(t->words, a->text, &s);
        } else {
            str_add(&s, a->text);
            err = tok_json_normalize(t, &s);
        }
        free(a->match);
        a->len = s.len;
        a->match = str_take(&s);
    }
    return err;
}

void tok_find_bytes(Tokenizer *t)
{
    char name[8];
    for (int i = 0; i < 256; i++) {
        snprintf(name, sizeof name, "<0x%02X>", i);
        t->byte[i] = (int32_t)strmap_get(t->id, name, -1);
    }
}

static void free_steps(Step *s, int n)
{
    for (int i = 0; i < n; i++) {
        free(s[i].a);
        free(s[i].b);
    }
}

void tokenizer_free(Tokenizer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->piece[i]);
    for (size_t i = 0; i < t->n_added; i++) {
        free(t->added[i].text);
        free(t->added[i].match);
    }
    free(t->piece);
    free(t->score);
    free(t->type);
    free(t->special);
    free(t->added);
    strmap_free(t->added_at);
    strmap_free(t->id);
    pairmap_free(t->pairs);
    wordpiece_free(t->words);
    free_steps(t->norm, t->n_norm);
    free_steps(t->pre, t->n_pre);
    free_steps(t->dec, t->n_dec);
    free(t);
}

size_t tokenizer_size(const Tokenizer *t)
{
    return t->n;
}

const char *tokenizer_token(const Tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n && t->piece[id] ? t->piece[id] : "";
}

bool tokenizer_is_special(const Tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n && t->special[id];
}

/* ---- encoding ---- */

static int32_t char_at(const char *p, size_t left)
{
    utf8proc_int32_t c;
    return left && utf8proc_iterate((const utf8proc_uint8_t *)p, (utf8proc_ssize_t)left, &c) > 0
               ? c
               : 0;
}

/* \w of a regular expression: letters (circled ones too), marks, digits, connectors, joiners. */
static bool is_word(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    bool circled = (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
                   (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           c == 0x200C || c == 0x200D || circled;
}

/* The character that ends before p. */
static int32_t char_before(const char *begin, const char *p)
{
    const char *q = p;
    while (q > begin && ((unsigned char)*--q & 0xC0) == 0x80) {
    }
    return q < p ? char_at(q, (size_t)(p - q)) : 0;
}

/* The longest added token that stands at p; NULL. */
static const Added *added_at(const Tokenizer *t, const char *begin, const char *p, const char *end,
                             int normalized)
{
    const Added *best = NULL;
    for (size_t i = 0; i < t->n_added; i++) {
        const Added *a = &t->added[i];
        if ((normalized >= 0 && a->normalized != (normalized == 1)) || a->len > (size_t)(end - p) ||
            a->len == 0 || memcmp(a->match, p, a->len) != 0 || (best && best->len >= a->len))
            continue;
        if (a->single && (is_word(char_before(begin, p)) ||
                          is_word(char_at(p + a->len, (size_t)(end - p) - a->len))))
            continue;
        best = a;
    }
    return best;
}

typedef struct Encoding {
    const Tokenizer *t;
    Ids ids;
    bool first;
} Encoding;

typedef Err Plain(Encoding *e, const char *text, size_t len);

/* Calls plain() for what lies between added tokens. normalized: 0, 1, or -1 for all. */
static Err around_added(Encoding *e, const char *text, size_t len, int normalized, Plain *plain)
{
    const char *end = text + len, *from = text;
    bool starts[256] = {false};
    for (size_t i = 0; i < e->t->n_added; i++)
        starts[(unsigned char)e->t->added[i].match[0]] = true;
    for (const char *p = text; p < end;) {
        const Added *a =
            starts[(unsigned char)*p] ? added_at(e->t, text, p, end, normalized) : NULL;
        if (!a) {
            p++;
            continue;
        }
        const char *stop = p, *next = p + a->len;
        while (a->lstrip && stop > from && tok_is_space(char_before(from, stop)))
            do
                stop--;
            while (((unsigned char)*stop & 0xC0) == 0x80);
        while (a->rstrip && next < end && tok_is_space(char_at(next, (size_t)(end - next))))
            do
                next++;
            while (next < end && ((unsigned char)*next & 0xC0) == 0x80);
        if (stop > from)
            TRY(plain(e, from, (size_t)(stop - from)));
        else if (e->first && !a->special && !e->t->legacy && e->t->dummy_prefix)
            TRY(tok_spm_encode(e->t, "", 0, true, &e->ids)); /* the prefix stands alone */
        e->first = false;
        TRY(tok_add_id(&e->ids, a->id));
        from = p = next;
    }
    return from < end ? plain(e, from, (size_t)(end - from)) : OK;
}

static Err plain_spm(Encoding *e, const char *text, size_t len)
{
    Err err = tok_spm_encode(e->t, text, len, e->first, &e->ids);
    e->first = false;
    return err;
}

/* A C string without the NULs, which BERT deletes. Caller frees. */
static char *without_nul(const char *text, size_t len)
{
    char *s = mem_must(len + 1);
    size_t k = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i])
            s[k++] = text[i];
    return s;
}

static Err plain_words(Encoding *e, const char *text, size_t len)
{
    int32_t *v;
    size_t n;
    char *s = without_nul(text, len);
    Err err = wordpiece_pieces(e->t->words, s, &v, &n);
    free(s);
    TRY(err);
    for (size_t i = 0; err == OK && i < n; i++)
        err = tok_add_id(&e->ids, v[i]);
    free(v);
    return err;
}

static Err plain_json_words(Encoding *e, const char *text, size_t len)
{
    Str s = {0};
    char *clean = without_nul(text, len);
    wordpiece_normalize(e->t->words, clean, &s);
    free(clean);
    Err err = around_added(e, str_text(&s), s.len, 1, plain_words);
    str_free(&s);
    return err;
}

static Err merge_plain(Encoding *e, const char *text, size_t len)
{
    Str s = {0};
    str_add_n(&s, text, len);
    Err err = tok_json_encode(e->t, &s, e->first, &e->ids);
    e->first = false;
    str_free(&s);
    return err;
}

static Err plain_json(Encoding *e, const char *text, size_t len)
{
    Str s = {0};
    str_add_n(&s, text, len);
    Err err = tok_json_normalize(e->t, &s);
    if (err == OK)
        err = around_added(e, str_text(&s), s.len, 1, merge_plain);
    str_free(&s);
    return err;
}

static Err encode(Encoding *e, const char *text, size_t len, bool specials)
{
    const Tokenizer *t = e->t;
    if (specials && t->kind == TOK_SPM && t->bos >= 0)
        TRY(tok_add_id(&e->ids, t->bos));
    for (int i = 0; specials && i < t->n_before; i++)
        TRY(tok_add_id(&e->ids, t->before[i]));
    if (t->kind == TOK_SPM)
        TRY(around_added(e, text, len, -1, plain_spm));
    else if (t->kind == TOK_BPE)
        TRY(around_added(e, text, len, 0, plain_json));
    else if (t->kind == TOK_JSON_WORDS)
        TRY(around_added(e, text, len, 0, plain_json_words));
    else
        TRY(around_added(e, text, len, -1, plain_words));
    for (int i = 0; specials && i < t->n_after; i++)
        TRY(tok_add_id(&e->ids, t->after[i]));
    return OK;
}

Err tokenizer_encode(const Tokenizer *t, const char *text, size_t len, bool specials, int32_t **ids,
                     size_t *n)
{
    Encoding e = {.t = t, .first = true};
    Str clean = {0};
    if (t->kind == TOK_BPE) {
        tok_lossy(&clean, text, len, false);
        text = str_text(&clean);
        len = clean.len;
    }
    Err err = encode(&e, text, len, specials);
    if (err == OK && !e.ids.v)
        err = NEW(e.ids.v, 1);
    str_free(&clean);
    if (err != OK) {
        free(e.ids.v);
        return err;
    }
    *ids = e.ids.v;
    *n = e.ids.n;
    return OK;
}

/* ---- decoding ---- */

static bool has_id(const Tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n && t->piece[id];
}

Err tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t n, bool skip, char **text,
                     size_t *len)
{
    Str s = {0};
    int32_t *known;
    size_t k = 0;
    TRY(NEW(known, n + 1));
    for (size_t i = 0; i < n; i++) {
        if (has_id(t, ids[i]))
            known[k++] = ids[i];
        else if (!skip) {
            free(known);
            FAIL(ERR_USAGE, "id %d is not in the vocabulary", ids[i]);
        }
    }
    Err err = t->kind == TOK_SPM ? tok_decode_spm(t, known, k, skip, &s)
                                 : tok_decode_json(t, known, k, skip, &s);
    free(known);
    if (err == OK && len)
        *len = s.len;
    if (err == OK)
        *text = str_take(&s);
    str_free(&s);
    return err;
}

/* The decoder of a tokenizer.json spells a whole run of bytes as unreadable when its end is. */
static bool is_byte_piece(const Tokenizer *t, int32_t id)
{
    for (int i = 0; t->kind != TOK_SPM && i < t->n_dec; i++)
        if (t->dec[i].kind == STEP_BYTE_FALLBACK && has_id(t, id))
            return str_starts(t->piece[id], "<0x");
    return false;
}

Err tokenizer_decode_certain(const Tokenizer *t, const int32_t *ids, size_t n, bool skip,
                             char **text, size_t *len)
{
    while (n && is_byte_piece(t, ids[n - 1]))
        n--;
    TRY(tokenizer_decode(t, ids, n, skip, text, len));
    while (*len >= 3 && memcmp(*text + *len - 3, "\xEF\xBF\xBD", 3) == 0)
        *len -= 3;
    (*text)[*len] = 0;
    return OK;
}

void tok_lossy(Str *out, const char *p, size_t n, bool each)
{
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t m =
            utf8proc_iterate((const utf8proc_uint8_t *)p + i, (utf8proc_ssize_t)(n - i), &c);
        if (m > 0) {
            str_add_n(out, p + i, (size_t)m);
            i += (size_t)m;
            continue;
        }
        str_add(out, "\xEF\xBF\xBD");
        unsigned char a = (unsigned char)p[i], b = i + 1 < n ? (unsigned char)p[i + 1] : 0;
        size_t want = a >= 0xF0 && a <= 0xF4 ? 4 : a >= 0xE0 ? 3 : 2, used = 1;
        bool lead = a >= 0xC2 && a <= 0xF4;
        unsigned char lo = a == 0xE0   ? 0xA0
                           : a == 0xF0 ? 0x90
                                       : 0x80,
                      hi = a == 0xED   ? 0x9F
                           : a == 0xF4 ? 0x8F
                                       : 0xBF;
        if (!each && lead && b >= lo && b <= hi) /* a sequence that is cut off counts once */
            for (used = 2;
                 used < want && i + used < n && ((unsigned char)p[i + used] & 0xC0) == 0x80;)
                used++;
        i += used;
    }
}
