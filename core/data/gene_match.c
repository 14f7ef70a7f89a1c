/* A file's genes against a model's vocabulary. */
#include "core/data/genes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

typedef struct Matching {
    const char *const *names;
    const char *const *ids;
    StrMap *vocab;
    bool *used;
    GeneMatch *m;
} Matching;

static void assign(Matching *x, size_t i, const char *symbol, GeneHow how)
{
    int64_t v = symbol ? strmap_get(x->vocab, symbol, -1) : -1;
    if (v < 0 || x->used[v] || x->m->to[i] >= 0)
        return;
    x->used[v] = true;
    x->m->to[i] = (int32_t)v;
    x->m->how[i] = (unsigned char)how;
    x->m->matched++;
}

static void match_ids(Matching *x, const GeneTable *t, size_t i)
{
    const char *id = x->ids && x->ids[i] && gene_is_ensembl(x->ids[i]) ? x->ids[i] : x->names[i];
    if (gene_is_ensembl(id))
        assign(x, i, gene_table_symbol_of_id(t, id), GENE_ENSEMBL);
}

/* Only a name whose letters are all upper-case in the vocabulary's way differs in case by accident:
 * "Cd3e" is a mouse gene, "cd3e" or "C1ORF21" is not. */
static void match_case(Matching *x, size_t i)
{
    const char *name = x->names[i];
    bool mouse = isupper((unsigned char)name[0]) && islower((unsigned char)name[1]);
    char up[128];
    size_t n = 0;
    if (mouse || strlen(name) >= sizeof up)
        return;
    for (; name[n]; n++)
        up[n] = (char)toupper((unsigned char)name[n]);
    up[n] = 0;
    assign(x, i, up, GENE_CASE);
    char *orf = strstr(up, "ORF"); /* C1orf21 */
    if (orf && up[0] == 'C') {
        memcpy(orf, "orf", 3);
        assign(x, i, up, GENE_CASE);
    }
}

/* An old name with one current symbol that is in the vocabulary; or a current symbol of which the
 * vocabulary has an older name. */
static void match_alias(Matching *x, const GeneTable *t, size_t i)
{
    const char *symbols[8], *only = NULL, *name = x->names[i];
    size_t n_in = 0;
    char date[16];
    if (gene_from_date(name, date)) {
        assign(x, i, date, GENE_ALIAS);
        name = date;
    }
    const char *const *own = gene_table_aliases(t, name);
    if (own) {
        for (; *own; own++)
            if (strmap_get(x->vocab, *own, -1) >= 0 && !gene_table_aliases(t, *own)) {
                only = *own;
                n_in++;
            }
    } else {
        size_t n = gene_table_symbols_of_alias(t, name, symbols, 8);
        for (size_t k = 0; k < n && k < 8; k++)
            if (strmap_get(x->vocab, symbols[k], -1) >= 0) {
                only = symbols[k];
                n_in++;
            }
    }
    if (n_in == 1)
        assign(x, i, only, GENE_ALIAS);
}

/* Without the genome that files of several genomes put before their names; NULL: there is none. */
static const char *plain_name(const char *name)
{
    static const char *const genomes[] = {"GRCh38_", "GRCh37_", "hg38_", "hg19_"};
    for (size_t i = 0; i < sizeof genomes / sizeof *genomes; i++) {
        size_t n = strlen(genomes[i]);
        if (strncmp(name, genomes[i], n) == 0)
            return name + n + strspn(name + n, "_");
    }
    return NULL;
}

Err gene_match(const char *const *names, const char *const *ids, size_t n, const char *const *vocab,
               size_t v, GeneMatch *out)
{
    const GeneTable *t;
    GeneMatch m = {.n = n};
    Matching x = {.names = names, .ids = ids, .m = &m};
    Err err = OK;
    TRY(gene_table(&t));
    x.vocab = strmap_new(v);
    for (size_t i = 0; i < v; i++)
        strmap_put(x.vocab, vocab[i], (int64_t)i);
    TRY_GOTO(NEW(m.to, n));
    TRY_GOTO(NEW0(m.how, n));
    TRY_GOTO(NEW0(x.used, v));
    for (size_t i = 0; i < n; i++)
        m.to[i] = -1;
    for (size_t i = 0; i < n; i++)
        assign(&x, i, names[i], GENE_EXACT);
    for (size_t i = 0; i < n; i++)
        assign(&x, i, plain_name(names[i]), GENE_EXACT);
    for (size_t i = 0; i < n; i++)
        if (m.to[i] < 0)
            match_ids(&x, t, i);
    for (size_t i = 0; i < n; i++)
        if (m.to[i] < 0)
            match_case(&x, i);
    for (size_t i = 0; i < n; i++)
        if (m.to[i] < 0)
            match_alias(&x, t, i);
    *out = m;
    m = (GeneMatch){0};
done:
    strmap_free(x.vocab);
    free(x.used);
    gene_match_done(&m);
    return err;
}

void gene_match_done(GeneMatch *m)
{
    free(m->to);
    free(m->how);
    *m = (GeneMatch){0};
}

const char *gene_naming(const char *const *names, size_t n)
{
    size_t human_ids = 0, other_ids = 0, numbers = 0, mouse = 0, upper = 0, sample = 0;
    for (size_t i = 0; i < n; i += 1 + n / 512, sample++) {
        const char *s = names[i];
        if (gene_is_ensembl(s))
            strncmp(s, "ENSG", 4) == 0 ? human_ids++ : other_ids++;
        else if (strspn(s, "0123456789") == strlen(s))
            numbers++;
        else if (isupper((unsigned char)s[0]) && islower((unsigned char)s[1]))
            mouse++;
        else
            upper++;
    }
    if (human_ids * 2 > sample)
        return "human Ensembl ids";
    if (other_ids * 2 > sample)
        return "Ensembl ids of another species";
    if (numbers * 2 > sample)
        return "numbers";
    return mouse > upper ? "mouse-style gene symbols" : "upper-case gene symbols";
}
