/* Wordings of descriptions. */
#include "core/train/describe_text.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <ctype.h>
#include <string.h>

typedef struct Wording {
    const char *begin, *middle, *end, *genes; /* begin NAME middle LINEAGE end FUNCTION genes ... */
} Wording;

static const Wording WORDINGS[DESCRIBE_WORDINGS] = {
    {"This is", ", a cell of", ". It ", " It expresses"},
    {"The profile is that of", ", which belongs to", ". It ", " Genes that stand out are"},
    {"Most likely", " of", ". It ", " Telling genes here are"},
};

static const char *article(const char *name)
{
    static const char *const AN_LETTERS[] = {"NK",  "M1",   "M2",  "AT",
                                             "ILC", "LMPP", "MAIT"}; /* read letter by letter */
    for (size_t i = 0; i < sizeof AN_LETTERS / sizeof *AN_LETTERS; i++)
        if (str_starts(name, AN_LETTERS[i]) && !str_starts(name, "MAIT"))
            return "an";
    if (str_starts(name, "uni") || str_starts(name, "ure") || str_starts(name, "uro"))
        return "a";
    return strchr("aeiouAEIOU", name[0]) ? "an" : "a";
}

static char *lineage_phrase(const CellType *t)
{
    if (!*t->lineage)
        return mem_strdup(" the body");
    bool has = str_ends(t->lineage, "lineage") || str_ends(t->lineage, "line");
    return str_format(" the %s%s", t->lineage, has ? "" : " lineage");
}

static void add_name(Str *s, const CellType *t)
{
    str_addf(s, " %s %s", article(t->name), t->name);
}

char *describe_begin(const CellType *t, int wording)
{
    Str s = {0};
    str_add(&s, WORDINGS[wording].begin);
    add_name(&s, t);
    return str_take(&s);
}

char *describe_facts(const CellType *t, int wording)
{
    const Wording *u = &WORDINGS[wording];
    char *begin = describe_begin(t, wording), *lineage = lineage_phrase(t),
         *all = str_format("%s%s%s%s%s", begin, u->middle, lineage, u->end, t->function);
    free(begin);
    free(lineage);
    return all;
}

Err describe_corpus(const CellTypes *c, char ***texts, size_t *n)
{
    size_t types = celltypes_count(c);
    TRY(NEW0(*texts, types * DESCRIBE_WORDINGS));
    *n = 0;
    for (size_t i = 0; i < types; i++)
        for (int w = 0; w < DESCRIBE_WORDINGS; w++) {
            const CellType *t = celltypes_at(c, i);
            const Wording *u = &WORDINGS[w];
            Str s = {0};
            char *lineage = lineage_phrase(t);
            str_add(&s, u->begin);
            add_name(&s, t);
            str_addf(&s, "%s%s%s%s%s, , and.", u->middle, lineage, u->end, t->function, u->genes);
            free(lineage);
            (*texts)[(*n)++] = str_take(&s);
        }
    return OK;
}

static Err add_text(const Bpe *b, Target *t, const char *text)
{
    return bpe_encode(b, text, strlen(text), &t->ids, &t->n, &t->cap);
}

static Err add_id(Target *t, int32_t id)
{
    if (t->n == t->cap) {
        TRY(mem_realloc(&t->ids, t->cap * 2 + 16, sizeof *t->ids));
        t->cap = t->cap * 2 + 16;
    }
    t->ids[t->n++] = id;
    return OK;
}

static Err add_genes(const Bpe *b, Target *t, const int32_t *gene, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            TRY(add_text(b, t, i + 1 == n ? " and" : ","));
        TRY(add_id(t, (int32_t)bpe_size(b) + gene[i]));
    }
    return add_text(b, t, ".");
}

Err describe_target(const Bpe *b, const CellType *t, int wording, const int32_t *gene, size_t n,
                    Target *out)
{
    const Wording *u = &WORDINGS[wording];
    Str s = {0};
    out->n = 0;
    char *begin = describe_begin(t, wording);
    Err err = add_text(b, out, begin);
    free(begin);
    out->name_end = out->n;
    char *lineage = lineage_phrase(t);
    str_addf(&s, "%s%s%s%s", u->middle, lineage, u->end, t->function);
    free(lineage);
    if (err == OK)
        err = add_text(b, out, str_text(&s));
    str_free(&s);
    if (err == OK && n) {
        err = add_text(b, out, u->genes);
        if (err == OK)
            err = add_genes(b, out, gene, n);
    }
    return err == OK ? add_id(out, BPE_EOS) : err;
}

int describe_dull_gene(const char *g)
{
    static const char *const START[] = {"MT-",  "RPL",  "RPS",   "RPLP", "MRPL", "MRPS", "HSP",
                                        "DNAJ", "EEF",  "MTRNR", "LINC", "AC0",  "AL0",  "AP0",
                                        "RP11", "HIST", "NDUF",  "ATP5", "COX"};
    static const char *const SAME[] = {
        "MALAT1", "NEAT1", "XIST", "TMSB4X", "TMSB10", "ACTB",  "B2M",  "FTL",  "FTH1",  "JUN",
        "JUNB",   "JUND",  "FOS",  "FOSB",   "EGR1",   "UBC",   "UBB",  "TPT1", "GAPDH", "FAU",
        "PTMA",   "DUSP1", "IER2", "ZFP36",  "H3F3B",  "ACTG1", "BTG1", "BTG2", "UBA52", "NACA"};
    for (size_t i = 0; i < sizeof START / sizeof *START; i++)
        if (str_starts(g, START[i]))
            return 1;
    for (size_t i = 0; i < sizeof SAME / sizeof *SAME; i++)
        if (strcmp(g, SAME[i]) == 0)
            return 1;
    return 0;
}
