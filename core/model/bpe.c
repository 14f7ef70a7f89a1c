/* Byte-pair encoding (Sennrich et al. 2016) over bytes, words split before blanks. */
#include "core/model/bpe.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include <stdbool.h>
#include <string.h>

typedef struct Token {
    char *bytes;
    size_t len;
} Token;

struct Bpe {
    Token *t;            /* [n] */
    int32_t (*merge)[2]; /* [n - BPE_MERGED] */
    size_t n;
    uint64_t *key; /* pair -> merged id, open addressing */
    int32_t *value;
    size_t slots;
};

static uint64_t pair_key(int32_t a, int32_t b)
{
    return ((uint64_t)(uint32_t)a << 32 | (uint32_t)b) + 1;
}

static size_t slot_of(const Bpe *b, uint64_t key)
{
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (b->slots - 1);
    while (b->key[i] && b->key[i] != key)
        i = (i + 1) & (b->slots - 1);
    return i;
}

static int32_t find_merge(const Bpe *b, int32_t x, int32_t y)
{
    size_t i = slot_of(b, pair_key(x, y));
    return b->key[i] ? b->value[i] : -1;
}

static Err new_bpe(size_t merges, Bpe **out)
{
    Bpe *b = mem_must(sizeof *b);
    b->slots = 1024;
    while (b->slots < 4 * (merges + 1))
        b->slots *= 2;
    Err err = NEW0(b->t, BPE_MERGED + merges);
    if (err == OK)
        err = NEW0(b->merge, merges ? merges : 1);
    if (err == OK)
        err = NEW0(b->key, b->slots);
    if (err == OK)
        err = NEW0(b->value, b->slots);
    if (err != OK) {
        bpe_free(b);
        return err;
    }
    for (int i = 0; i < BPE_MERGED; i++) {
        char c = (char)(i - BPE_BYTE);
        b->t[i].bytes = mem_must(2);
        b->t[i].len = i >= BPE_BYTE;
        if (i >= BPE_BYTE)
            b->t[i].bytes[0] = c;
    }
    b->n = BPE_MERGED;
    *out = b;
    return OK;
}

static void add_merge(Bpe *b, int32_t x, int32_t y)
{
    Token *t = &b->t[b->n];
    t->len = b->t[x].len + b->t[y].len;
    t->bytes = mem_must(t->len + 1);
    memcpy(t->bytes, b->t[x].bytes, b->t[x].len);
    memcpy(t->bytes + b->t[x].len, b->t[y].bytes, b->t[y].len);
    b->merge[b->n - BPE_MERGED][0] = x;
    b->merge[b->n - BPE_MERGED][1] = y;
    size_t i = slot_of(b, pair_key(x, y));
    b->key[i] = pair_key(x, y);
    b->value[i] = (int32_t)b->n++;
}

void bpe_free(Bpe *b)
{
    if (!b)
        return;
    for (size_t i = 0; b->t && i < b->n; i++)
        free(b->t[i].bytes);
    free(b->t);
    free(b->merge);
    free(b->key);
    free(b->value);
    free(b);
}

size_t bpe_size(const Bpe *b)
{
    return b->n;
}

const int32_t *bpe_merge(const Bpe *b, int32_t id)
{
    return b->merge[id - BPE_MERGED];
}

/* Length of the next word: a blank and what follows up to the next blank; punctuation stands alone.
 */
static size_t word_length(const char *s, size_t n)
{
    size_t i = s[0] == ' ' && n > 1;
    if (strchr(".,;:()", s[i]) && s[i])
        return i + 1;
    while (i < n && s[i] != ' ' && !(strchr(".,;:()", s[i]) && s[i]))
        i++;
    return i ? i : 1;
}

/* ---- learning ---- */
typedef struct Word {
    int32_t *id;
    size_t n, count;
} Word;

typedef struct PairCount {
    uint64_t key;
    size_t count;
} PairCount;

static Err collect_words(const char *const *texts, size_t n, Word **words, size_t *n_words)
{
    StrMap *at = strmap_new(4096);
    size_t cap = 0;
    Err err = OK;
    for (size_t i = 0; err == OK && i < n; i++) {
        const char *s = texts[i];
        for (size_t left = strlen(s), len; err == OK && left; s += len, left -= len) {
            len = word_length(s, left);
            int64_t k = strmap_get_n(at, s, len, -1);
            if (k < 0) {
                if (*n_words == cap)
                    err = mem_realloc(words, cap = cap ? 2 * cap : 1024, sizeof **words);
                if (err != OK)
                    break;
                char *key = mem_strndup(s, len);
                k = (int64_t)(*n_words)++;
                strmap_put(at, key, k);
                free(key);
                Word w = {NULL, len, 0};
                err = NEW(w.id, len);
                for (size_t j = 0; err == OK && j < len; j++)
                    w.id[j] = BPE_BYTE + (unsigned char)s[j];
                (*words)[k] = w;
            }
            (*words)[k].count++;
        }
    }
    strmap_free(at);
    return err;
}

static int by_key(const void *a, const void *b)
{
    const PairCount *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* The most frequent pair of all words; false when none is seen twice. */
static bool best_pair(const Word *w, size_t n, PairCount *buf, int32_t *x, int32_t *y)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 1; k < w[i].n; k++)
            buf[m++] = (PairCount){pair_key(w[i].id[k - 1], w[i].id[k]), w[i].count};
    qsort(buf, m, sizeof *buf, by_key);
    PairCount best = {0, 1};
    for (size_t i = 0; i < m;) {
        PairCount p = {buf[i].key, 0};
        for (; i < m && buf[i].key == p.key; i++)
            p.count += buf[i].count;
        if (p.count > best.count)
            best = p;
    }
    if (!best.key)
        return false;
    *x = (int32_t)((best.key - 1) >> 32);
    *y = (int32_t)((best.key - 1) & 0xFFFFFFFF);
    return true;
}

static void merge_word(int32_t *id, size_t *n, int32_t x, int32_t y, int32_t to)
{
    size_t w = 0;
    for (size_t k = 0; k < *n; k++) {
        bool hit = k + 1 < *n && id[k] == x && id[k + 1] == y;
        id[w++] = hit ? to : id[k];
        k += hit;
    }
    *n = w;
}

Err bpe_learn(const char *const *texts, size_t n, size_t merges, Bpe **out)
{
    Word *w = NULL;
    PairCount *buf = NULL;
    size_t n_words = 0, pairs = 0;
    Bpe *b = NULL;
    Err err = OK;
    TRY_GOTO(collect_words(texts, n, &w, &n_words));
    for (size_t i = 0; i < n_words; i++)
        pairs += w[i].n;
    TRY_GOTO(NEW(buf, pairs));
    TRY_GOTO(new_bpe(merges, &b));
    for (size_t k = 0; k < merges; k++) {
        int32_t x, y;
        if (!best_pair(w, n_words, buf, &x, &y))
            break;
        add_merge(b, x, y);
        for (size_t i = 0; i < n_words; i++)
            merge_word(w[i].id, &w[i].n, x, y, (int32_t)b->n - 1);
    }
    *out = b;
done:
    for (size_t i = 0; i < n_words; i++)
        free(w[i].id);
    free(w);
    free(buf);
    return err;
}

/* ---- files ---- */
Err bpe_read(const cJSON *o, Bpe **out)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "merges"), *p;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > 1000000)
        FAIL(ERR_MODEL, "\"merges\" is missing");
    Bpe *b;
    TRY(new_bpe((size_t)cJSON_GetArraySize(list), &b));
    cJSON_ArrayForEach(p, list)
    {
        const cJSON *x = cJSON_GetArrayItem(p, 0), *y = cJSON_GetArrayItem(p, 1);
        if (!cJSON_IsNumber(x) || !cJSON_IsNumber(y) ||
            !(x->valuedouble >= BPE_BYTE && x->valuedouble < (double)b->n) ||
            !(y->valuedouble >= BPE_BYTE && y->valuedouble < (double)b->n) ||
            find_merge(b, (int32_t)x->valuedouble, (int32_t)y->valuedouble) >= 0) {
            bpe_free(b);
            FAIL(ERR_MODEL, "\"merges\": an entry is no pair of earlier tokens");
        }
        add_merge(b, (int32_t)x->valuedouble, (int32_t)y->valuedouble);
    }
    *out = b;
    return OK;
}

cJSON *bpe_write(const Bpe *b)
{
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "merges");
    for (size_t i = BPE_MERGED; i < b->n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateIntArray(b->merge[i - BPE_MERGED], 2));
    return o;
}

/* ---- use ---- */
static void encode_word(const Bpe *b, int32_t *id, size_t *n)
{
    for (;;) { /* the earliest learned merge that applies */
        int32_t best = -1, x = 0, y = 0;
        for (size_t k = 1; k < *n; k++) {
            int32_t m = find_merge(b, id[k - 1], id[k]);
            if (m >= 0 && (best < 0 || m < best)) {
                best = m;
                x = id[k - 1];
                y = id[k];
            }
        }
        if (best < 0)
            return;
        merge_word(id, n, x, y, best);
    }
}

Err bpe_encode(const Bpe *b, const char *text, size_t len, int32_t **ids, size_t *n, size_t *cap)
{
    if (*n + len > *cap) {
        TRY(mem_realloc(ids, 2 * (*n + len), sizeof **ids));
        *cap = 2 * (*n + len);
    }
    for (size_t left = len, w; left; text += w, left -= w) {
        w = word_length(text, left);
        size_t m = w;
        for (size_t k = 0; k < w; k++)
            (*ids)[*n + k] = BPE_BYTE + (unsigned char)text[k];
        encode_word(b, *ids + *n, &m);
        *n += m;
    }
    return OK;
}

const char *bpe_bytes(const Bpe *b, int32_t id, size_t *len)
{
    *len = id >= 0 && (size_t)id < b->n ? b->t[id].len : 0;
    return *len ? b->t[id].bytes : "";
}
