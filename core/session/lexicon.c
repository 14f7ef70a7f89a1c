/* An inverted index: for every word the types whose texts have it, with a weight by where it stands. */
#include "core/session/lexicon.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"

static const double K1 = 1.2, B = 0.3;
static const float NAME = 3, SYNONYM = 2, LANGUAGE = 2, FUNCTION = 1.5f, TEXT = 1, GENE = 2, TISSUE = 0.5f;
enum { LONGEST_NAME = 9, SHORT_NAME = 4 };

typedef struct Posting {
    int32_t type;
    float tf;
} Posting;

typedef struct Entry { /* a word */
    char *word;
    Posting *p;
    size_t n, cap;
    bool in_name;
} Entry;

struct Lexicon {
    const CellTypes *types;
    StrMap *ids;   /* word -> entry */
    Entry *e;
    size_t n, cap;
    float *length; /* [types] */
    double mean_length;
    StrMap *names;   /* joined words of a name -> type */
    StrMap *written; /* short names as the library writes them -> type */
    StrMap *dictionary;
};

/* ---- building ---- */

static size_t entry_of(Lexicon *x, const char *word)
{
    int64_t i = strmap_get(x->ids, word, -1);
    if (i >= 0)
        return (size_t)i;
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 4096;
        Entry *e = mem_must(cap * sizeof *e);
        if (x->n)
            memcpy(e, x->e, x->n * sizeof *e);
        free(x->e);
        x->e = e;
        x->cap = cap;
    }
    x->e[x->n] = (Entry){.word = mem_strdup(word)};
    strmap_put(x->ids, word, (int64_t)x->n);
    return x->n++;
}

/* Types are added in order, so that the last posting is the one of this type if there is any. */
static void count_word(Lexicon *x, const char *word, int32_t type, float weight, bool in_name)
{
    size_t id = entry_of(x, word); /* may move x->e */
    Entry *e = &x->e[id];
    e->in_name |= in_name;
    if (!e->n || e->p[e->n - 1].type != type) {
        if (e->n == e->cap) {
            size_t cap = e->cap ? 2 * e->cap : 2;
            Posting *p = mem_must(cap * sizeof *p);
            if (e->n)
                memcpy(p, e->p, e->n * sizeof *p);
            free(e->p);
            e->p = p;
            e->cap = cap;
        }
        e->p[e->n++] = (Posting){type, 0};
    }
    e->p[e->n - 1].tf += weight;
    x->length[type] += weight;
}

static void add_text(Lexicon *x, const char *text, int32_t type, float weight, bool in_name)
{
    Words w;
    words_split(text, &w);
    for (size_t i = 0; i < w.n; i++)
        if (!w.v[i].stop || in_name)
            count_word(x, w.v[i].text, type, weight, in_name && !w.v[i].capitals);
    words_done(&w);
}

static void add_list(Lexicon *x, const StrList *l, int32_t type, float weight, bool in_name)
{
    for (size_t i = 0; i < l->n; i++)
        add_text(x, l->v[i], type, weight, in_name);
}

static void add_name(Lexicon *x, const char *name, int32_t type)
{
    Words w;
    words_split(name, &w);
    char *key = words_join(&w, 0, w.n);
    if (*key && strlen(name) <= SHORT_NAME)
        strmap_put(x->written, name, type);
    else if (*key)
        strmap_put(x->names, key, type);
    if (w.n >= 3 && strcmp(w.v[w.n - 1].text, "cell") == 0) { /* "memory B" */
        char *shorter = words_join(&w, 0, w.n - 1);
        strmap_put(x->names, shorter, type);
        free(shorter);
    }
    free(key);
    words_done(&w);
}

Lexicon *lexicon_new(const CellTypes *types)
{
    Lexicon *x = mem_must(sizeof *x);
    size_t n = celltypes_count(types);
    x->types = types;
    x->ids = strmap_new(16384);
    x->names = strmap_new(8192);
    x->written = strmap_new(1024);
    x->length = mem_must((n + 1) * sizeof *x->length);
    for (size_t i = 0; i < n; i++) {
        const CellType *t = celltypes_at(types, i);
        int32_t k = (int32_t)i;
        add_text(x, t->name, k, NAME, true);
        add_list(x, &t->synonyms, k, SYNONYM, true);
        add_list(x, &t->other_languages, k, LANGUAGE, true);
        add_text(x, t->function, k, FUNCTION, false);
        add_list(x, &t->texts, k, TEXT, false);
        add_list(x, &t->high, k, GENE, false);
        add_list(x, &t->tissues, k, TISSUE, false);
        x->mean_length += (double)x->length[i] / (double)(n ? n : 1);
    }
    for (size_t i = 0; i < n; i++)
        add_name(x, celltypes_at(types, i)->name, (int32_t)i);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < celltypes_at(types, i)->synonyms.n; k++)
            add_name(x, celltypes_at(types, i)->synonyms.v[k], (int32_t)i);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < celltypes_at(types, i)->other_languages.n; k++)
            add_name(x, celltypes_at(types, i)->other_languages.v[k], (int32_t)i);
    return x;
}

void lexicon_free(Lexicon *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n; i++) {
        free(x->e[i].word);
        free(x->e[i].p);
    }
    free(x->e);
    free(x->length);
    strmap_free(x->ids);
    strmap_free(x->names);
    strmap_free(x->written);
    strmap_free(x->dictionary);
    free(x);
}

Err lexicon_add_dictionary(Lexicon *x, const char *path)
{
    char *text;
    TRY(str_read_file(path, 16 << 20, ERR_MODEL, &text, NULL));
    strmap_free(x->dictionary);
    x->dictionary = strmap_new(30000);
    char *save = NULL;
    for (char *l = strtok_r(text, "\r\n", &save); l; l = strtok_r(NULL, "\r\n", &save)) {
        Words w;
        words_split(l, &w);
        if (!str_starts(l, "##") && w.n == 1)
            strmap_put(x->dictionary, w.v[0].text, 1);
        words_done(&w);
    }
    free(text);
    return OK;
}

/* ---- names ---- */

static int32_t name_of(const Lexicon *x, const char *text, const Words *w, size_t from, size_t to)
{
    char *as_typed = mem_strndup(text + w->v[from].start, w->v[to - 1].end - w->v[from].start);
    int64_t type = strmap_get(x->written, as_typed, -1);
    free(as_typed);
    if (type >= 0)
        return (int32_t)type;
    char *key = words_join(w, from, to);
    type = strmap_get(x->names, key, -1);
    if (type < 0 && to - from == w->n) /* all there is: "nk" */
        type = celltypes_find(x->types, key);
    free(key);
    return (int32_t)type;
}

static bool is_free(const uint8_t *used, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (used[i])
            return false;
    return true;
}

size_t lexicon_names(const Lexicon *x, const char *text, const Words *words, const uint8_t *skip, NamedType *out)
{
    size_t n = 0;
    uint8_t *used = mem_must(words->n + 1);
    if (skip && words->n)
        memcpy(used, skip, words->n);
    size_t longest = words->n < LONGEST_NAME ? words->n : LONGEST_NAME;
    for (size_t len = longest; len >= 1; len--)
        for (size_t i = 0; i + len <= words->n; i++) {
            if (!is_free(used, i, i + len))
                continue;
            int32_t type = name_of(x, text, words, i, i + len);
            if (type < 0)
                continue;
            memset(used + i, 1, len);
            out[n++] = (NamedType){type, i, i + len};
        }
    free(used);
    return n;
}

/* ---- ranking ---- */

static double idf(const Lexicon *x, size_t df)
{
    double n = (double)celltypes_count(x->types);
    return log(1 + (n - (double)df + 0.5) / ((double)df + 0.5));
}

static bool seen_before(const Words *w, const uint8_t *skip, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (!(skip && skip[j]) && strcmp(w->v[j].text, w->v[i].text) == 0)
            return true;
    return false;
}

float lexicon_rank(const Lexicon *x, const Words *words, const uint8_t *skip, float *score)
{
    size_t types = celltypes_count(x->types);
    double all = 0, known = 0;
    memset(score, 0, types * sizeof *score);
    for (size_t i = 0; i < words->n; i++) {
        const Word *w = &words->v[i];
        if ((skip && skip[i]) || w->stop || seen_before(words, skip, i))
            continue;
        int64_t id = strmap_get(x->ids, w->text, -1);
        double weight = idf(x, id < 0 ? 0 : x->e[id].n);
        all += weight;
        if (id < 0)
            continue;
        known += weight;
        for (size_t k = 0; k < x->e[id].n; k++) {
            Posting p = x->e[id].p[k];
            double norm = K1 * (1 - B + B * x->length[p.type] / x->mean_length);
            score[p.type] += (float)(weight * p.tf / (p.tf + norm));
        }
    }
    for (size_t t = 0; t < types; t++)
        score[t] = all > 0 ? (float)(score[t] / all) : 0;
    return all > 0 ? (float)(known / all) : 0;
}

/* ---- spelling ---- */

bool lexicon_knows(const Lexicon *x, const char *word)
{
    return strmap_get(x->ids, word, -1) >= 0;
}

static bool has_digit(const char *s)
{
    return strpbrk(s, "0123456789") != NULL;
}

const char *lexicon_correct(const Lexicon *x, const char *word)
{
    size_t n = strlen(word);
    if (n < 4 || has_digit(word) || strmap_get(x->ids, word, -1) >= 0 ||
        (x->dictionary && strmap_get(x->dictionary, word, -1) >= 0))
        return NULL;
    size_t best = n >= 7 ? 3 : 2; /* distances below this are taken */
    const Entry *hit = NULL;
    for (size_t i = 0; i < x->n; i++) {
        const Entry *e = &x->e[i];
        size_t m = strlen(e->word);
        if (!e->in_name || m < 4 || e->word[0] != word[0] || has_digit(e->word))
            continue;
        size_t d = words_distance(word, e->word, best);
        if (d < best || (d == best && hit && e->n > hit->n)) { /* of equally near words the commoner one */
            best = d;
            hit = e;
        }
    }
    return hit ? hit->word : NULL;
}
