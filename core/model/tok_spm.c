/* SentencePiece models of the BPE type (github.com/google/sentencepiece,
 * sentencepiece_model.proto): reading the protobuf, encoding, decoding. */
#include "core/base/mem.h"
#include "core/model/json_read.h"
#include "core/model/tokenizer_impl.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

enum { FILE_MAX = 64 << 20, PIECES_MAX = 1 << 22 };
static const char MARK[] = "\xE2\x96\x81"; /* U+2581 */

/* ---- protobuf ---- */

typedef struct Bytes {
    const uint8_t *p, *end;
} Bytes;

static Err varint(Bytes *b, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (b->p == b->end)
            FAIL(ERR_MODEL, "not a SentencePiece model: it is cut off");
        uint8_t c = *b->p++;
        if (shift == 63 && c > 1)
            break;
        *out |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            return OK;
    }
    FAIL(ERR_MODEL, "not a SentencePiece model: a number is too long");
}

typedef struct Field {
    uint64_t number, value; /* value: of a varint, or the bits of a fixed number */
    Bytes data;             /* of a string or message */
} Field;

static Err next_field(Bytes *b, Field *f)
{
    uint64_t key, n;
    TRY(varint(b, &key));
    *f = (Field){.number = key >> 3};
    switch (key & 7) {
    case 0:
        return varint(b, &f->value);
    case 1:
    case 5:
        n = (key & 7) == 1 ? 8 : 4;
        if ((uint64_t)(b->end - b->p) < n)
            break;
        for (uint64_t i = n; i-- > 0;)
            f->value = f->value << 8 | b->p[i];
        b->p += n;
        return OK;
    case 2:
        TRY(varint(b, &n));
        if ((uint64_t)(b->end - b->p) < n)
            break;
        f->data = (Bytes){b->p, b->p + n};
        b->p += n;
        return OK;
    default:
        FAIL(ERR_MODEL, "not a SentencePiece model: wire type %d", (int)(key & 7));
    }
    FAIL(ERR_MODEL, "not a SentencePiece model: it is cut off");
}

static Err read_piece(Tokenizer *t, Bytes b)
{
    char *text = NULL;
    float score = 0;
    uint8_t type = 1;
    Err err = OK;
    int32_t id = (int32_t)t->n;
    if (id >= PIECES_MAX)
        FAIL(ERR_MODEL, "more than %d pieces", PIECES_MAX);
    while (b.p < b.end) {
        Field f;
        TRY_GOTO(next_field(&b, &f));
        if (f.number == 1 && f.data.p) {
            free(text);
            text = mem_strndup((const char *)f.data.p, (size_t)(f.data.end - f.data.p));
        } else if (f.number == 2) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&score, &bits, 4);
        } else if (f.number == 3) {
            type = (uint8_t)f.value;
        }
    }
    TRY_GOTO(tok_set_piece(t, id, text ? text : ""));
    if (type == 5)
        FAIL_GOTO(ERR_MODEL, "piece %d: unused pieces are not supported", id);
    t->score[id] = score;
    t->type[id] = type;
    t->has_user |= type == 4;
done:
    free(text);
    return err;
}

static Err read_trainer(Tokenizer *t, Bytes b)
{
    uint64_t model = 1;
    while (b.p < b.end) {
        Field f;
        TRY(next_field(&b, &f));
        if (f.number == 3)
            model = f.value;
        else if (f.number == 24 && f.value)
            FAIL(ERR_MODEL, "treat_whitespace_as_suffix is not supported");
        else if (f.number == 35)
            t->byte_fallback = f.value != 0;
        else if (f.number == 40)
            t->unk = (int32_t)f.value;
        else if (f.number == 41)
            t->bos = (int32_t)f.value;
        else if (f.number == 42)
            t->eos = (int32_t)f.value;
    }
    if (model != 2)
        FAIL(ERR_MODEL, "a SentencePiece model of type %d is not supported (BPE is)", (int)model);
    return OK;
}

static Err read_normalizer(Tokenizer *t, Bytes b)
{
    while (b.p < b.end) {
        Field f;
        TRY(next_field(&b, &f));
        if (f.number == 2 && f.data.end > f.data.p)
            FAIL(ERR_MODEL, "a normalisation table (precompiled_charsmap) is not supported");
        if (f.number == 3)
            t->dummy_prefix = f.value != 0;
        if (f.number == 4)
            t->remove_extra = f.value != 0;
        if (f.number == 5 && !f.value)
            FAIL(ERR_MODEL, "escape_whitespaces off is not supported");
    }
    return OK;
}

static Err read_model(Tokenizer *t, Bytes b)
{
    t->dummy_prefix = t->remove_extra = t->legacy = true;
    t->unk = 0;
    t->bos = 1;
    t->eos = 2;
    while (b.p < b.end) {
        Field f;
        TRY(next_field(&b, &f));
        if (f.number == 1 && f.data.p)
            TRY(read_piece(t, f.data));
        else if (f.number == 2 && f.data.p)
            TRY(read_trainer(t, f.data));
        else if (f.number == 3 && f.data.p)
            TRY(read_normalizer(t, f.data));
    }
    if (t->n == 0)
        FAIL(ERR_MODEL, "not a SentencePiece model: no pieces");
    int32_t *special[3] = {&t->unk, &t->bos, &t->eos};
    for (int i = 0; i < 3; i++) {
        if (*special[i] >= (int32_t)t->n)
            FAIL(ERR_MODEL, "a special id is beyond the %zu pieces", t->n);
        if (*special[i] >= 0)
            TRY(tok_add_added(t, t->piece[*special[i]], *special[i], NULL));
    }
    if (t->unk < 0)
        FAIL(ERR_MODEL, "no unknown piece");
    tok_find_bytes(t);
    return OK;
}

/* tokenizer_config.json: added tokens, "legacy". */
static Err read_settings(Tokenizer *t, const char *path)
{
    cJSON *o;
    TRY(json_read_object(path, FILE_MAX, &o));
    const cJSON *legacy = cJSON_GetObjectItemCaseSensitive(o, "legacy");
    if (cJSON_IsBool(legacy))
        t->legacy = cJSON_IsTrue(legacy);
    if (!t->legacy && cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "add_prefix_space")))
        t->dummy_prefix = false;
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "add_bos_token")))
        t->bos = -1;
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "add_eos_token")) && t->eos >= 0)
        t->after[t->n_after++] = t->eos;
    Err err = tok_read_added(t, path, o);
    cJSON_Delete(o);
    return err;
}

Err tokenizer_open_spm(const char *path, const char *settings, Tokenizer **out)
{
    char *data;
    size_t n;
    TRY(str_read_file(path, FILE_MAX, ERR_MODEL, &data, &n));
    Tokenizer *t = mem_must(sizeof *t);
    t->kind = TOK_SPM;
    t->id = strmap_new(1024);
    Err err = read_model(t, (Bytes){(uint8_t *)data, (uint8_t *)data + n});
    free(data);
    if (err != OK)
        err = err_context(err, "%s", path);
    else if (settings && access(settings, F_OK) == 0)
        err = read_settings(t, settings);
    if (err != OK)
        tokenizer_free(t);
    else
        *out = t;
    return err;
}

/* ---- encoding ---- */

static bool pair(const void *user, const Symbol *a, const Symbol *b, double *rank, int32_t *id)
{
    const Tokenizer *t = user;
    int64_t i = strmap_get_n(t->id, a->text, a->len + b->len, -1);
    if (i < 0 || (t->type[i] != 1 && t->type[i] != 4))
        return false;
    *rank = -(double)t->score[i];
    *id = (int32_t)i;
    return true;
}

static bool ends_with_mark(const char *p, size_t n)
{
    return n >= strlen(MARK) && memcmp(p + n - strlen(MARK), MARK, strlen(MARK)) == 0;
}

/* Blanks to U+2581, the dummy prefix, extra blanks. */
static void normalize(const Tokenizer *t, const char *text, size_t len, bool prefix, Str *out)
{
    Str clean = {0};
    tok_lossy(&clean, text, len, true);
    const char *p = str_text(&clean);
    size_t n = clean.len, i = 0;
    if (t->remove_extra) {
        while (i < n && p[i] == ' ')
            i++;
        while (n > i && (p[n - 1] == ' ' || ends_with_mark(p + i, n - i)))
            n -= p[n - 1] == ' ' ? 1 : strlen(MARK);
    }
    if (prefix && (n > i || !t->legacy))
        str_add(out, MARK);
    for (; i < n; i++) {
        if (p[i] != ' ')
            str_add_char(out, p[i]);
        else if (!t->remove_extra || p[i - 1] != ' ')
            str_add(out, MARK);
    }
    str_free(&clean);
}

/* The longest user-defined piece at p. */
static int32_t user_piece(const Tokenizer *t, const char *p, size_t len, size_t *used)
{
    int32_t best = -1;
    for (size_t n = 1; t->has_user && n <= len && n <= 256; n++) {
        int64_t id = strmap_get_n(t->id, p, n, -1);
        if (id >= 0 && t->type[id] == 4) {
            best = (int32_t)id;
            *used = n;
        }
    }
    return best;
}

static size_t char_len(const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return n < left ? n : left;
}

static Err emit_unknown(const Tokenizer *t, const Symbol *s, Ids *out)
{
    for (size_t i = 0; t->byte_fallback && i < s->len; i++) {
        int32_t id = t->byte[(unsigned char)s->text[i]];
        TRY(tok_add_id(out, id < 0 ? t->unk : id));
    }
    if (t->byte_fallback || (out->n && out->v[out->n - 1] == t->unk))
        return OK;
    return tok_add_id(out, t->unk);
}

Err tok_spm_encode(const Tokenizer *t, const char *text, size_t len, bool first, Ids *out)
{
    Str s = {0};
    Symbol *sym = NULL;
    Err err = OK;
    if (len == 0 && t->legacy)
        return OK;
    normalize(t, text, len, t->dummy_prefix && (t->legacy || first), &s);
    size_t n = 0, at = 0;
    TRY_GOTO(NEW(sym, s.len + 1));
    while (at < s.len) {
        size_t used = 0;
        int32_t user = user_piece(t, s.data + at, s.len - at, &used);
        if (user < 0)
            used = char_len(s.data + at, s.len - at);
        int64_t id = user < 0 ? strmap_get_n(t->id, s.data + at, used, -1) : user;
        if (id >= 0 && t->type[id] != 1 && t->type[id] != 4)
            id = -1;
        sym[n++] = (Symbol){s.data + at, used, (int32_t)id, user >= 0};
        at += used;
    }
    TRY_GOTO(tok_merge(sym, &n, pair, t));
    for (size_t i = 0; i < n; i++) {
        if (sym[i].id >= 0)
            TRY_GOTO(tok_add_id(out, sym[i].id));
        else
            TRY_GOTO(emit_unknown(t, &sym[i], out));
    }
done:
    free(sym);
    str_free(&s);
    return err;
}

/* ---- decoding ---- */

static int byte_of(const Tokenizer *t, int32_t id)
{
    const char *p = t->piece[id];
    unsigned v;
    bool byte = t->type[id] == 6;
    return byte && strlen(p) == 6 && sscanf(p, "<0x%2X>", &v) == 1 ? (int)v : -1;
}

Err tok_decode_spm(const Tokenizer *t, const int32_t *ids, size_t n, bool skip, Str *out)
{
    Str bytes = {0};
    bool blank = t->dummy_prefix || t->remove_extra; /* one at the start is not the text's */
    for (size_t i = 0; i <= n; i++) {
        int b = i < n ? byte_of(t, ids[i]) : -1;
        if (b >= 0) {
            str_add_char(&bytes, (char)b);
            continue;
        }
        tok_lossy(out, str_text(&bytes), bytes.len, true);
        str_clear(&bytes);
        if (i == n)
            break;
        if (t->type[ids[i]] == 3 || (skip && tokenizer_is_special(t, ids[i])))
            continue;
        if (ids[i] == t->unk) {
            str_add(out, " \xE2\x81\x87 ");
            continue;
        }
        const char *p = t->piece[ids[i]];
        if (blank && out->len == 0 && str_starts(p, MARK)) {
            p += strlen(MARK);
            blank = t->remove_extra;
        }
        while (*p) {
            bool mark = strncmp(p, MARK, 3) == 0;
            str_add_char(out, mark ? ' ' : *p);
            p += mark ? 3 : 1;
        }
    }
    str_free(&bytes);
    return OK;
}
