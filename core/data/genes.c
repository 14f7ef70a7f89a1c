/* Resolving gene names against a file, and a file against a vocabulary. */
#include "core/data/genes.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"

struct GeneIndex {
    const char *const *names;
    const char *const *ids;
    size_t n;
    StrMap *exact; /* name -> first column */
    StrMap
        *folded; /* upper-case name -> first column; -2 - column when several differ only in case */
    StrMap *by_id;   /* id without version -> column */
    StrMap *by_date; /* symbols that are dates in the file -> column */
    uint32_t *next;  /* next column with the same name, or UINT32_MAX */
    size_t duplicated;
};

const char *gene_how_name(GeneHow h)
{
    static const char *const names[] = {"none", "exact", "case", "alias", "ensembl"};
    return names[h];
}

static const char *fold(const char *s, char *buffer, size_t cap)
{
    size_t i = 0;
    for (; s[i] && i + 1 < cap; i++)
        buffer[i] = (char)toupper((unsigned char)s[i]);
    buffer[i] = 0;
    return buffer;
}

/* The id without its version. */
static const char *bare_id(const char *s, char *buffer, size_t cap)
{
    snprintf(buffer, cap, "%s", s);
    char *dot = strchr(buffer, '.');
    if (dot && strncmp(buffer, "ENS", 3) == 0)
        *dot = 0;
    return buffer;
}

enum { NAME = 256 };

/* "GRCh38_CD3E", "hg19_CD3E", "mm10_Cd3e": the part after the genome; NULL when there is none. */
static const char *after_genome(const char *name)
{
    static const char *const prefixes[] = {"GRCh38_", "GRCh37_",      "hg19_",
                                           "hg38_",   "GRCm38_",      "GRCm39_",
                                           "mm10_",   "GRCh38______", "mm10___"};
    for (size_t i = sizeof prefixes / sizeof *prefixes; i-- > 0;)
        if (str_starts(name, prefixes[i])) {
            const char *p = name + strlen(prefixes[i]);
            return p + strspn(p, "_");
        }
    return NULL;
}

static void add_name(GeneIndex *ix, const char *name, size_t i)
{
    char up[NAME];
    fold(name, up, sizeof up);
    if (strmap_put(ix->folded, up, (int64_t)i))
        return;
    int64_t old = strmap_get(ix->folded, up, 0);
    if (old >= 0 && strcmp(ix->names[old], name) != 0) {
        /* Names that differ only in case: no column for the folded form. The map keeps first
         * values, so mark it under a key no name can have. */
        char key[NAME + 1];
        snprintf(key, sizeof key, "\t%s", up);
        strmap_put(ix->folded, key, 1);
    }
}

GeneIndex *gene_index_new(const char *const *names, const char *const *ids, size_t n)
{
    GeneIndex *ix = mem_must(sizeof *ix);
    *ix = (GeneIndex){.names = names, .ids = ids, .n = n};
    ix->exact = strmap_new(n);
    ix->folded = strmap_new(n);
    ix->by_id = strmap_new(n);
    ix->by_date = strmap_new(4);
    ix->next = mem_must(n * sizeof *ix->next);
    char b[NAME];
    uint32_t *last = mem_must(n * sizeof *last);
    for (size_t i = 0; i < n; i++) {
        ix->next[i] = UINT32_MAX;
        last[i] = (uint32_t)i;
        if (!strmap_put(ix->exact, names[i], (int64_t)i)) {
            size_t first = (size_t)strmap_get(ix->exact, names[i], 0);
            ix->duplicated += last[first] == first;
            ix->next[last[first]] = (uint32_t)i;
            last[first] = (uint32_t)i;
        }
        add_name(ix, names[i], i);
        if (gene_from_date(names[i], b))
            strmap_put(ix->by_date, b, (int64_t)i);
        const char *plain = after_genome(names[i]);
        if (plain && *plain)
            add_name(ix, plain, i);
        const char *id = ids && ids[i] && gene_is_ensembl(ids[i]) ? ids[i] : names[i];
        if (gene_is_ensembl(id))
            strmap_put(ix->by_id, bare_id(id, b, sizeof b), (int64_t)i);
    }
    free(last);
    return ix;
}

void gene_index_free(GeneIndex *ix)
{
    if (!ix)
        return;
    strmap_free(ix->exact);
    strmap_free(ix->folded);
    strmap_free(ix->by_id);
    strmap_free(ix->by_date);
    free(ix->next);
    free(ix);
}

size_t gene_index_n_duplicated(const GeneIndex *ix)
{
    return ix->duplicated;
}

size_t gene_index_duplicate(const GeneIndex *ix, size_t column, size_t k)
{
    size_t at = (size_t)strmap_get(ix->exact, ix->names[column], (int64_t)column);
    while (k-- && at != UINT32_MAX)
        at = ix->next[at];
    return at == UINT32_MAX ? SIZE_MAX : at;
}

static int64_t find_exact(const GeneIndex *ix, const char *name)
{
    return strmap_get(ix->exact, name, -1);
}

enum { NOT_THERE = -1, SEVERAL = -2 };

/* Column of the name ignoring case, NOT_THERE, or SEVERAL when names of the file differ only in
 * case. */
static int64_t find_folded(const GeneIndex *ix, const char *name)
{
    char up[NAME], key[NAME + 1];
    fold(name, up, sizeof up);
    snprintf(key, sizeof key, "\t%s", up);
    return strmap_get(ix->folded, key, 0) ? SEVERAL : strmap_get(ix->folded, up, NOT_THERE);
}

static void take(const GeneIndex *ix, GeneHit *hit, GeneHow how, int64_t column)
{
    hit->how = how;
    hit->column = (size_t)column;
    hit->name = ix->names[column];
    hit->duplicates = 0;
    while (gene_index_duplicate(ix, hit->column, hit->duplicates) != SIZE_MAX)
        hit->duplicates++;
}

static void suggest(const GeneIndex *ix, GeneHit *hit, int64_t column)
{
    for (size_t i = 0; i < hit->n_suggestions; i++)
        if (strcmp(hit->suggestions[i], ix->names[column]) == 0)
            return;
    if (hit->n_suggestions < GENE_MAX_SUGGESTIONS)
        hit->suggestions[hit->n_suggestions++] = ix->names[column];
}

/* Columns of the file that other names of the same gene lead to. */
static Err resolve_alias(const GeneIndex *ix, const char *query, GeneHit *hit)
{
    enum { MOST = 32 };
    const GeneTable *t;
    const char *symbols[MOST];
    int64_t found[64];
    size_t n_found = 0;
    TRY(gene_table(&t));
    size_t n = gene_table_symbols_of_alias(t, query, symbols, MOST - 1);
    if (n > MOST - 1)
        n = MOST - 1;
    char up[NAME];
    const char *own = gene_table_aliases(t, query) ? query : fold(query, up, sizeof up);
    /* The query as a current symbol comes first: if it is one, its own older names are meant,
     * nobody else's. */
    bool current = gene_table_aliases(t, own) != NULL;
    if (current) {
        symbols[0] = own;
        n = 1;
    }
    for (size_t i = 0; i < n; i++) {
        int64_t c = find_exact(ix, symbols[i]);
        if (c < 0)
            c = strmap_get(ix->by_date, symbols[i], -1);
        if (c >= 0 && ix->next[c] != UINT32_MAX && strcmp(ix->names[c], symbols[i]) != 0)
            c = -1; /* two columns with one date: which is which cannot be known */
        const char *const *a = c < 0 ? gene_table_aliases(t, symbols[i]) : NULL;
        for (; c < 0 && a && *a && n_found < 63; a++) {
            int64_t old = find_exact(ix, *a);
            /* a name that is another gene's current symbol means that gene */
            if (old >= 0 && !gene_table_aliases(t, *a))
                found[n_found++] = old;
        }
        if (c >= 0 && n_found < 64)
            found[n_found++] = c;
    }
    bool one = n_found > 0;
    for (size_t i = 1; i < n_found; i++)
        one &= strcmp(ix->names[found[i]], ix->names[found[0]]) == 0;
    if (one) {
        take(ix, hit, GENE_ALIAS, found[0]);
        return OK;
    }
    hit->ambiguous = n_found > 1;
    for (size_t i = 0; i < n_found; i++)
        suggest(ix, hit, found[i]);
    return OK;
}

static Err resolve_ensembl(const GeneIndex *ix, const char *query, GeneHit *hit)
{
    char b[NAME];
    int64_t c = strmap_get(ix->by_id, bare_id(query, b, sizeof b), -1);
    if (c >= 0) {
        take(ix, hit, GENE_ENSEMBL, c);
        return OK;
    }
    const GeneTable *t;
    TRY(gene_table(&t));
    const char *symbol = gene_table_symbol_of_id(t, query);
    if (!symbol)
        return OK;
    c = find_exact(ix, symbol);
    if (c >= 0) {
        take(ix, hit, GENE_ENSEMBL, c);
        return OK;
    }
    TRY(resolve_alias(ix, symbol, hit));
    if (hit->how == GENE_ALIAS)
        hit->how = GENE_ENSEMBL;
    return OK;
}

/* A symbol asked of a file that is named by Ensembl ids. */
static Err resolve_symbol_to_id(const GeneIndex *ix, const char *query, GeneHit *hit)
{
    const GeneTable *t;
    if (!strmap_count(ix->by_id))
        return OK;
    TRY(gene_table(&t));
    char up[NAME];
    const char *symbol = gene_table_aliases(t, query) ? query : fold(query, up, sizeof up);
    const char *one[2];
    if (!gene_table_aliases(t, symbol) && gene_table_symbols_of_alias(t, query, one, 2) == 1)
        symbol = one[0];
    for (size_t i = 0; i < ix->n; i++) {
        const char *id =
            ix->ids && ix->ids[i] && gene_is_ensembl(ix->ids[i]) ? ix->ids[i] : ix->names[i];
        const char *s = gene_table_symbol_of_id(t, id);
        if (s && strcmp(s, symbol) == 0) {
            take(ix, hit, GENE_ALIAS, (int64_t)i);
            return OK;
        }
    }
    return OK;
}

/* Optimal string alignment distance, ASCII case ignored; stops counting above `limit`. */
static size_t distance(const char *a, const char *b, size_t limit)
{
    enum { MAX = 40 };
    size_t la = strlen(a), lb = strlen(b), d[3][MAX + 1];
    if (la > MAX || lb > MAX || la > lb + limit || lb > la + limit)
        return limit + 1;
    for (size_t j = 0; j <= lb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3], best = row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            int x = toupper((unsigned char)a[i - 1]), y = toupper((unsigned char)b[j - 1]);
            size_t v = up[j - 1] + (x != y);
            v = up[j] + 1 < v ? up[j] + 1 : v;
            v = row[j - 1] + 1 < v ? row[j - 1] + 1 : v;
            if (i > 1 && j > 1 && x == toupper((unsigned char)b[j - 2]) &&
                toupper((unsigned char)a[i - 2]) == y && up2[j - 2] + 1 < v)
                v = up2[j - 2] + 1;
            row[j] = v;
            best = v < best ? v : best;
        }
        if (best > limit)
            return limit + 1;
    }
    return d[la % 3][lb];
}

static void did_you_mean(const GeneIndex *ix, const char *query, GeneHit *hit)
{
    size_t len = strlen(query), limit = len < 4 ? 1 : 2;
    if (len < 2)
        return;
    for (size_t want = 0; want <= limit; want++)
        for (size_t i = 0; i < ix->n && hit->n_suggestions < GENE_MAX_SUGGESTIONS; i++)
            if (distance(query, ix->names[i], limit) == want)
                suggest(ix, hit, (int64_t)i);
    for (size_t i = 0; i < ix->n && len >= 3 && hit->n_suggestions < GENE_MAX_SUGGESTIONS; i++)
        if (strncasecmp(ix->names[i], query, len) == 0)
            suggest(ix, hit, (int64_t)i);
}

Err gene_find(const GeneIndex *ix, const char *query, GeneHit *out)
{
    GeneHit hit = {.how = GENE_NONE, .column = SIZE_MAX};
    int64_t c = find_exact(ix, query);
    const char *hash = strrchr(query, '#');
    if (c >= 0) {
        take(ix, &hit, GENE_EXACT, c);
    } else if (hash && hash > query && hash[1] &&
               strspn(hash + 1, "0123456789") == strlen(hash + 1)) {
        char *name = mem_strndup(query, (size_t)(hash - query));
        long k = strtol(hash + 1, NULL, 10);
        Err err = gene_find(ix, name, &hit);
        free(name);
        TRY(err);
        size_t at = hit.how != GENE_NONE && k >= 1
                        ? gene_index_duplicate(ix, hit.column, (size_t)k - 1)
                        : SIZE_MAX;
        if (at == SIZE_MAX && hit.how != GENE_NONE)
            hit = (GeneHit){.how = GENE_NONE, .column = SIZE_MAX};
        else if (at != SIZE_MAX)
            hit.column = at;
        *out = hit;
        return OK;
    } else if (gene_is_ensembl(query)) {
        TRY(resolve_ensembl(ix, query, &hit));
    } else {
        c = find_folded(ix, query);
        if (c >= 0)
            take(ix, &hit, GENE_CASE, c);
        hit.ambiguous = c == SEVERAL;
        for (size_t i = 0; hit.ambiguous && i < ix->n; i++)
            if (str_equal_nocase(ix->names[i], query))
                suggest(ix, &hit, (int64_t)i);
        if (hit.how == GENE_NONE && !hit.ambiguous)
            TRY(resolve_alias(ix, query, &hit));
        if (hit.how == GENE_NONE && !hit.ambiguous)
            TRY(resolve_symbol_to_id(ix, query, &hit));
    }
    *out = hit;
    return OK;
}

Err gene_resolve(const GeneIndex *ix, const char *query, GeneHit *out)
{
    GeneHit hit;
    TRY(gene_find(ix, query, &hit));
    if (hit.how == GENE_NONE && !hit.n_suggestions)
        did_you_mean(ix, query, &hit);
    *out = hit;
    return OK;
}
