/* tokenizer.json at work: normalise, cut, map bytes to characters, merge; and back. */
#include "core/base/mem.h"
#include "core/model/tokenizer_impl.h"
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* ---- bytes as characters (GPT-2) ---- */

static bool plain_byte(int b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
}

int32_t tok_char_of_byte(int b)
{
    int32_t extra = 0;
    if (plain_byte(b))
        return b;
    for (int i = 0; i < b; i++)
        extra += !plain_byte(i);
    return 256 + extra;
}

static int byte_of_char(int32_t c)
{
    static int16_t table[0x144]; /* the same values whoever fills it */
    static bool ready;
    if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
        for (int i = 0; i < 0x144; i++)
            __atomic_store_n(&table[i], (int16_t)-1, __ATOMIC_RELAXED);
        for (int b = 0; b < 256; b++)
            __atomic_store_n(&table[tok_char_of_byte(b)], (int16_t)b, __ATOMIC_RELAXED);
        __atomic_store_n(&ready, true, __ATOMIC_RELEASE);
    }
    return c >= 0 && c < 0x144 ? table[c] : -1;
}

static void add_char(Str *s, int32_t c)
{
    utf8proc_uint8_t b[4];
    str_add_n(s, (const char *)b, (size_t)utf8proc_encode_char(c, b));
}

/* ---- normalising ---- */

static void replace_all(Str *s, const char *a, const char *b)
{
    Str out = {0};
    size_t n = strlen(a);
    for (size_t i = 0; i < s->len;) {
        if (s->len - i >= n && memcmp(s->data + i, a, n) == 0) {
            str_add(&out, b);
            i += n;
        } else {
            str_add_char(&out, s->data[i++]);
        }
    }
    str_free(s);
    *s = out;
}

/* a before s, which may hold NULs. */
static void prepend(Str *s, const char *a)
{
    Str out = {0};
    str_add(&out, a);
    str_add_n(&out, s->data, s->len);
    str_free(s);
    *s = out;
}

static void unicode_form(Str *s, int options)
{
    utf8proc_uint8_t *r = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)str_text(s), (utf8proc_ssize_t)s->len, &r,
                     (utf8proc_option_t)(UTF8PROC_STABLE | options));
    if (n >= 0) {
        str_clear(s);
        str_add_n(s, (const char *)r, (size_t)n);
    }
    free(r);
}

static void lower(Str *s)
{
    Str out = {0};
    for (size_t i = 0; i < s->len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s->data + i,
                                              (utf8proc_ssize_t)(s->len - i), &c);
        if (n <= 0)
            break;
        if (c == 0x130)
            str_add(&out, "i\xCC\x87");
        else
            add_char(&out, utf8proc_tolower(c));
        i += (size_t)n;
    }
    str_free(s);
    *s = out;
}

Err tok_json_normalize(const Tokenizer *t, Str *s)
{
    for (int i = 0; i < t->n_norm; i++) {
        const Step *p = &t->norm[i];
        if (p->kind == STEP_PREPEND && s->len) {
            prepend(s, p->a);
        } else if (p->kind == STEP_REPLACE) {
            replace_all(s, p->a, p->b);
        } else if (p->kind == STEP_LOWER) {
            lower(s);
        } else if (p->kind == STEP_NFC || p->kind == STEP_NFKC) {
            unicode_form(s, UTF8PROC_COMPOSE | (p->kind == STEP_NFKC ? UTF8PROC_COMPAT : 0));
        } else if (p->kind == STEP_NFD || p->kind == STEP_NFKD) {
            unicode_form(s, UTF8PROC_DECOMPOSE | (p->kind == STEP_NFKD ? UTF8PROC_COMPAT : 0));
        }
    }
    return OK;
}

/* ---- cutting and merging ---- */

typedef struct Cut {
    const Tokenizer *t;
    int step;
    bool first;
    Ids *out;
} Cut;

static bool pair(const void *user, const Symbol *a, const Symbol *b, double *rank, int32_t *id)
{
    const Tokenizer *t = user;
    uint32_t r;
    if (a->id < 0 || b->id < 0 || !pairmap_get(t->pairs, a->id, b->id, &r, id))
        return false;
    *rank = (double)r;
    return true;
}

static size_t char_len(const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return n < left ? n : left;
}

/* A character that is not in the vocabulary: its bytes, or the unknown token. */
static void add_unknown(const Tokenizer *t, const char *p, size_t n, Symbol *s, size_t *n_s)
{
    bool all = t->byte_fallback;
    for (size_t i = 0; all && i < n; i++)
        all = t->byte[(unsigned char)p[i]] >= 0;
    if (all) {
        for (size_t i = 0; i < n; i++)
            s[(*n_s)++] = (Symbol){p + i, 1, t->byte[(unsigned char)p[i]], false};
    } else if (t->unk >= 0) {
        Symbol *last = *n_s ? &s[*n_s - 1] : NULL;
        if (t->fuse_unk && last && last->id == t->unk && last->text + last->len == p)
            last->len += n;
        else
            s[(*n_s)++] = (Symbol){p, n, t->unk, false};
    }
}

static Err encode_word(const Tokenizer *t, const char *p, size_t len, Ids *out)
{
    int64_t whole = t->ignore_merges ? strmap_get_n(t->id, p, len, -1) : -1;
    Symbol *s;
    size_t n = 0;
    if (whole >= 0)
        return tok_add_id(out, (int32_t)whole);
    TRY(NEW(s, len + 1));
    for (size_t i = 0; i < len;) {
        size_t c = char_len(p + i, len - i);
        int64_t id = strmap_get_n(t->id, p + i, c, -1);
        if (id >= 0)
            s[n++] = (Symbol){p + i, c, (int32_t)id, false};
        else
            add_unknown(t, p + i, c, s, &n);
        i += c;
    }
    Err err = tok_merge(s, &n, pair, t);
    for (size_t i = 0; err == OK && i < n; i++)
        err = tok_add_id(out, s[i].id);
    free(s);
    return err;
}

static Err cut(Cut *c, const char *text, size_t len);

static Err next_step(void *user, const char *text, size_t len)
{
    Cut c = *(Cut *)user;
    c.step++;
    return cut(&c, text, len);
}

/* Characters for the bytes of one part. */
static Err map_bytes(void *user, const char *text, size_t len)
{
    Str s = {0};
    for (size_t i = 0; i < len; i++)
        add_char(&s, tok_char_of_byte((unsigned char)text[i]));
    Err err = next_step(user, str_text(&s), s.len);
    str_free(&s);
    return err;
}

static Err cut_bytes(Cut *c, const Step *p, const char *text, size_t len)
{
    if (!p->prefix_space || len == 0 || text[0] == ' ')
        return tok_split(p->split, text, len, map_bytes, c);
    Str s = {0};
    str_add_char(&s, ' ');
    str_add_n(&s, text, len);
    Err err = tok_split(p->split, s.data, s.len, map_bytes, c);
    str_free(&s);
    return err;
}

static Err cut_metaspace(Cut *c, const Step *p, const char *text, size_t len)
{
    Str s = {0};
    str_add_n(&s, text, len);
    replace_all(&s, " ", p->a);
    if (len && !str_starts(str_text(&s), p->a) &&
        (p->prepend == 2 || (p->prepend == 1 && c->first))) {
        prepend(&s, p->a);
    }
    Err err = OK;
    if (!p->meta_split) {
        err = s.len ? next_step(c, s.data, s.len) : OK;
    } else {
        for (size_t i = 0; err == OK && i < s.len;) {
            const char *e =
                i + 1 < s.len ? memmem(s.data + i + 1, s.len - i - 1, p->a, strlen(p->a)) : NULL;
            size_t n = e ? (size_t)(e - s.data) - i : s.len - i;
            err = next_step(c, s.data + i, n);
            i += n;
        }
    }
    str_free(&s);
    return err;
}

static Err cut(Cut *c, const char *text, size_t len)
{
    if (c->step == c->t->n_pre)
        return len ? encode_word(c->t, text, len, c->out) : OK;
    const Step *p = &c->t->pre[c->step];
    if (p->kind == STEP_BYTES)
        return cut_bytes(c, p, text, len);
    if (p->kind == STEP_METASPACE)
        return cut_metaspace(c, p, text, len);
    return tok_split(p->split, text, len, next_step, c);
}

Err tok_json_encode(const Tokenizer *t, Str *text, bool first, Ids *out)
{
    Cut c = {.t = t, .first = first, .out = out};
    return text->len ? cut(&c, text->data, text->len) : OK;
}

/* ---- decoding ---- */

typedef struct Pieces {
    Str *v;
    size_t n;
} Pieces;

static void bytes_step(Pieces *p)
{
    Str all = {0};
    for (size_t i = 0; i < p->n; i++) {
        const char *s = str_text(&p->v[i]);
        size_t n = p->v[i].len, from = all.len;
        for (size_t k = 0; k < n;) {
            utf8proc_int32_t c;
            utf8proc_ssize_t m =
                utf8proc_iterate((const utf8proc_uint8_t *)s + k, (utf8proc_ssize_t)(n - k), &c);
            int b = m > 0 ? byte_of_char(c) : -1;
            if (b < 0) { /* an added token: as it is */
                all.len = from;
                str_add_n(&all, s, n);
                break;
            }
            str_add_char(&all, (char)b);
            k += (size_t)m;
        }
        str_free(&p->v[i]);
    }
    if (p->n)
        tok_lossy(&p->v[0], str_text(&all), all.len, false);
    p->n = p->n ? 1 : 0;
    str_free(&all);
}

static int fallback_byte(const Str *s)
{
    unsigned v;
    return s->len == 6 && s->data[0] == '<' && s->data[5] == '>' &&
                   sscanf(s->data, "<0x%2X>", &v) == 1
               ? (int)v
               : -1;
}

static void fallback_step(Pieces *p)
{
    size_t kept = 0;
    Str run = {0};
    for (size_t i = 0; i <= p->n; i++) {
        int b = i < p->n ? fallback_byte(&p->v[i]) : -1;
        if (b >= 0) {
            str_add_char(&run, (char)b);
            str_free(&p->v[i]);
            continue;
        }
        if (run.len) { /* wholly valid, or every byte unreadable */
            Str s = {0};
            size_t valid = 0;
            while (valid < run.len) {
                utf8proc_int32_t c;
                utf8proc_ssize_t m = utf8proc_iterate((utf8proc_uint8_t *)run.data + valid,
                                                      (utf8proc_ssize_t)(run.len - valid), &c);
                if (m <= 0)
                    break;
                valid += (size_t)m;
            }
            for (size_t k = 0; valid < run.len && k < run.len; k++)
                str_add(&s, "\xEF\xBF\xBD");
            if (valid == run.len)
                str_add_n(&s, run.data, run.len);
            p->v[kept++] = s;
            str_clear(&run);
        }
        if (i < p->n) {
            Str keep = p->v[i];
            p->v[i] = (Str){0};
            p->v[kept++] = keep;
        }
    }
    p->n = kept;
    str_free(&run);
}

static void strip_step(Str *s, const Step *p)
{
    size_t n = strlen(p->a), from = 0;
    for (int i = 0; i < p->start && n && s->len - from >= n && memcmp(s->data + from, p->a, n) == 0;
         i++)
        from += n;
    for (int i = 0;
         i < p->stop && n && s->len - from >= n && memcmp(s->data + s->len - n, p->a, n) == 0; i++)
        s->len -= n;
    if (!s->data)
        return;
    memmove(s->data, s->data + from, s->len - from);
    s->len -= from;
    s->data[s->len] = 0;
}

static void word_step(Str *s, const Step *p, bool first)
{
    size_t n = strlen(p->a);
    bool glued = n && s->len >= n && memcmp(s->data, p->a, n) == 0;
    if (first)
        return;
    char *old = str_take(s);
    str_add(s, glued ? "" : " ");
    str_add(s, glued ? old + n : old);
    free(old);
}

static void decode_step(Pieces *p, const Step *s)
{
    if (s->kind == STEP_BYTES) {
        bytes_step(p);
    } else if (s->kind == STEP_BYTE_FALLBACK) {
        fallback_step(p);
    } else if (s->kind == STEP_FUSE) {
        for (size_t i = 1; i < p->n; i++) {
            str_add_n(&p->v[0], str_text(&p->v[i]), p->v[i].len);
            str_free(&p->v[i]);
        }
        p->n = p->n ? 1 : 0;
    } else {
        for (size_t i = 0; i < p->n; i++) {
            if (s->kind == STEP_REPLACE)
                replace_all(&p->v[i], s->a, s->b);
            else if (s->kind == STEP_STRIP)
                strip_step(&p->v[i], s);
            else if (s->kind == STEP_WORDPIECE)
                word_step(&p->v[i], s, i == 0);
            else if (s->kind == STEP_METASPACE) {
                if (i == 0 && s->prepend && str_starts(str_text(&p->v[0]), s->a))
                    strip_step(&p->v[0], &(Step){.a = s->a, .start = 1});
                replace_all(&p->v[i], s->a, " ");
            }
        }
    }
}

Err tok_decode_json(const Tokenizer *t, const int32_t *ids, size_t n, bool skip, Str *out)
{
    Pieces p = {0};
    TRY(NEW0(p.v, n + 1));
    for (size_t i = 0; i < n; i++)
        if (!skip || !tokenizer_is_special(t, ids[i]))
            str_add(&p.v[p.n++], tokenizer_token(t, ids[i]));
    for (int i = 0; i < t->n_dec; i++)
        decode_step(&p, &t->dec[i]);
    for (size_t i = 0; i < p.n; i++) {
        str_add(out, !t->n_dec && i ? " " : "");
        str_add_n(out, str_text(&p.v[i]), p.v[i].len);
        str_free(&p.v[i]);
    }
    free(p.v);
    return OK;
}
