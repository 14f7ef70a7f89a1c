/* The shipped table of human gene names, held as one block of text with three hash maps over it. */
#include "core/data/genes.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "core/base/assets.h"
#include "core/base/hash.h"
#include "core/base/mem.h"

typedef struct Gene {
    const char *symbol;
    const char **aliases; /* NULL-terminated, into the pool */
} Gene;

/* One (alias, gene) pair; pairs are sorted by folded alias. */
typedef struct AliasPair {
    const char *alias;
    uint32_t gene;
} AliasPair;

struct GeneTable {
    char *text;
    Gene *genes;
    size_t n;
    const char **pool;
    AliasPair *pairs;
    size_t n_pairs;
    StrMap *by_symbol;
    struct IdPair {
        uint64_t id;
        uint32_t gene;
    } * ids; /* sorted */
    size_t n_ids;
};

bool gene_is_ensembl(const char *name)
{
    if (strncmp(name, "ENS", 3) != 0)
        return false;
    const char *p = name + 3;
    while (isupper((unsigned char)*p) && p - name < 8)
        p++;
    if (p[-1] != 'G' || p == name + 3)
        return false;
    size_t digits = strspn(p, "0123456789");
    if (digits != 11)
        return false;
    p += digits;
    return !*p || (*p == '.' && p[1] && strspn(p + 1, "0123456789") == strlen(p + 1));
}

bool gene_from_date(const char *name, char symbol[16])
{
    static const struct {
        const char *month, *family;
        int most;
    } known[] = {{"Mar", "MARCHF", 11}, {"Sep", "SEPTIN", 14}, {"Dec", "DELEC", 1}};
    const char *dash = strchr(name, '-');
    if (!dash || strlen(name) > 6)
        return false;
    bool month_first = isalpha((unsigned char)name[0]);
    const char *digits = month_first ? dash + 1 : name, *month = month_first ? name : dash + 1;
    char *end;
    long n = strtol(digits, &end, 10);
    if (!isdigit((unsigned char)*digits) || *end != (month_first ? 0 : '-'))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncasecmp(month, known[i].month, 3) == 0 && month[3] == (month_first ? '-' : 0) &&
            n >= 1 && n <= known[i].most) {
            snprintf(symbol, 16, "%s%ld", known[i].family, n);
            return true;
        }
    return false;
}

static int by_alias(const void *a, const void *b)
{
    const AliasPair *x = a, *y = b;
    int c = strcasecmp(x->alias, y->alias);
    return c ? c : x->gene < y->gene ? -1 : x->gene > y->gene;
}

static int by_id(const void *a, const void *b)
{
    const struct IdPair *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static size_t count_char(const char *s, char c)
{
    size_t n = 0;
    for (; *s; s++)
        n += *s == c;
    return n;
}

/* Cuts the line's fields out of the text in place. */
static void parse_line(GeneTable *t, char *line, size_t *pool_used)
{
    char *ids = strchr(line, '\t');
    if (!ids)
        return;
    *ids++ = 0;
    char *aliases = strchr(ids, '\t');
    if (aliases)
        *aliases++ = 0;
    uint32_t gene = (uint32_t)t->n++;
    t->genes[gene].symbol = line;
    t->genes[gene].aliases = t->pool + *pool_used;
    strmap_put(t->by_symbol, line, gene);
    for (char *end = ids; *ids; ids = *end ? end + 1 : end) {
        uint64_t id = strtoull(ids, &end, 10);
        if (end == ids)
            break;
        t->ids[t->n_ids++] = (struct IdPair){id, gene};
    }
    while (aliases && *aliases) {
        char *next = strchr(aliases, '|');
        if (next)
            *next++ = 0;
        t->pool[(*pool_used)++] = aliases;
        t->pairs[t->n_pairs++] = (AliasPair){aliases, gene};
        aliases = next;
    }
    t->pool[(*pool_used)++] = NULL;
}

static void parse(GeneTable *t)
{
    size_t lines = count_char(t->text, '\n') + 1, bars = count_char(t->text, '|'),
           commas = count_char(t->text, ',');
    size_t used = 0;
    t->genes = mem_must(lines * sizeof *t->genes);
    t->pool = mem_must((lines * 2 + bars) * sizeof *t->pool);
    t->pairs = mem_must((lines + bars) * sizeof *t->pairs);
    t->ids = mem_must((lines + commas) * sizeof *t->ids);
    t->by_symbol = strmap_new(lines);
    for (char *line = t->text; line && *line;) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        parse_line(t, line, &used);
        line = next;
    }
    qsort(t->pairs, t->n_pairs, sizeof *t->pairs, by_alias);
    qsort(t->ids, t->n_ids, sizeof *t->ids, by_id);
}

static Err read_gz(const char *path, char **out)
{
    gzFile f = gzopen(path, "rb");
    if (!f)
        FAIL(ERR_GENERAL, "%s: cannot be opened", path);
    size_t cap = 1 << 21, used = 0;
    char *text = mem_must(cap);
    int n;
    while ((n = gzread(f, text + used, (unsigned)(cap - used - 1))) > 0) {
        used += (size_t)n;
        if (used + 1 == cap) {
            char *more = mem_must(cap * 2);
            memcpy(more, text, used);
            free(text);
            text = more;
            cap *= 2;
        }
    }
    gzclose(f);
    text[used] = 0;
    if (n < 0) {
        free(text);
        FAIL(ERR_GENERAL, "%s: is damaged; install the program again", path);
    }
    *out = text;
    return OK;
}

static GeneTable the_table;
static Err table_error;
static char table_message[512];

static void load_table(void)
{
    Str path = {0};
    table_error = assets_path("genes/human_genes.tsv.gz", &path);
    if (!table_error)
        table_error = read_gz(str_text(&path), &the_table.text);
    if (!table_error)
        parse(&the_table);
    else
        snprintf(table_message, sizeof table_message, "%s", err_message());
    str_free(&path);
}

Err gene_table(const GeneTable **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_table);
    if (table_error)
        FAIL(table_error, "%s", table_message);
    *out = &the_table;
    return OK;
}

const char *gene_table_symbol_of_id(const GeneTable *t, const char *ensembl)
{
    if (!gene_is_ensembl(ensembl) || strncmp(ensembl, "ENSG", 4) != 0)
        return NULL;
    struct IdPair key = {strtoull(ensembl + 4, NULL, 10), 0};
    const struct IdPair *hit = bsearch(&key, t->ids, t->n_ids, sizeof key, by_id);
    return hit ? t->genes[hit->gene].symbol : NULL;
}

size_t gene_table_symbols_of_alias(const GeneTable *t, const char *alias, const char **out,
                                   size_t cap)
{
    size_t lo = 0, hi = t->n_pairs, n = 0;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcasecmp(t->pairs[mid].alias, alias) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    uint32_t last = UINT32_MAX;
    for (; lo < t->n_pairs && strcasecmp(t->pairs[lo].alias, alias) == 0; lo++) {
        if (t->pairs[lo].gene == last)
            continue;
        last = t->pairs[lo].gene;
        if (n < cap)
            out[n] = t->genes[last].symbol;
        n++;
    }
    return n;
}

const char *const *gene_table_aliases(const GeneTable *t, const char *symbol)
{
    int64_t g = strmap_get(t->by_symbol, symbol, -1);
    return g < 0 ? NULL : t->genes[g].aliases;
}
