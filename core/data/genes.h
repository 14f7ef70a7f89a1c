/* Gene names: which column of a file does a person (or a model vocabulary) mean? Exact symbol,
 * other case, old or other symbol, Ensembl id with or without version. What is ambiguous is
 * reported, never guessed. */
#ifndef SCMM_DATA_GENES_H
#define SCMM_DATA_GENES_H
#include "core/base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ENS, species letters, G, 11 digits, optionally a version. */
bool gene_is_ensembl(const char *name);

/* A symbol that a spreadsheet turned into a date ("1-Mar", "Sep-02", "2-Sep"): writes the current
 * symbol (MARCHF1, SEPTIN2, DELEC1) and returns true. 1-Mar may also have been MARC1; the rarer one
 * is not thought of. */
bool gene_from_date(const char *name, char symbol[16]);

/* ---- the shipped table of human genes (assets/genes), read once per process on first use ---- */
typedef struct GeneTable GeneTable;
CHECKED Err gene_table(const GeneTable **out);
/* The current symbol with this Ensembl id (version ignored), NULL when unknown. */
const char *gene_table_symbol_of_id(const GeneTable *t, const char *ensembl);
/* Current symbols that have `alias` among their other names (ASCII case ignored); up to cap into
 * out; returns how many there are. */
size_t gene_table_symbols_of_alias(const GeneTable *t, const char *alias, const char **out,
                                   size_t cap);
/* Other names of a current symbol, NULL-terminated; NULL when the symbol is unknown. */
const char *const *gene_table_aliases(const GeneTable *t, const char *symbol);

/* ---- names of one file ---- */
typedef enum GeneHow { GENE_NONE, GENE_EXACT, GENE_CASE, GENE_ALIAS, GENE_ENSEMBL } GeneHow;
const char *gene_how_name(GeneHow h); /* "none", "exact", "case", "alias", "ensembl" */

typedef struct GeneIndex GeneIndex;
/* Names (symbols) and, where the file has them, ids of its n genes (ids may be NULL). The texts
 * must outlive it. */
GeneIndex *gene_index_new(const char *const *names, const char *const *ids, size_t n);
void gene_index_free(GeneIndex *ix); /* NULL ok */

enum { GENE_MAX_SUGGESTIONS = 5 };
typedef struct GeneHit {
    GeneHow how;
    size_t column;     /* valid unless GENE_NONE; for duplicates the first */
    const char *name;  /* the file's name of that column */
    size_t duplicates; /* columns with this very name, 1 normally */
    bool ambiguous;    /* GENE_NONE because several of the file's genes answer to the name: they are
                          suggested */
    const char *suggestions[GENE_MAX_SUGGESTIONS];
    size_t n_suggestions; /* filled when GENE_NONE */
} GeneHit;
/* "NAME#2" is the second column called NAME. Always OK unless the table cannot be read. */
CHECKED Err gene_resolve(const GeneIndex *ix, const char *query, GeneHit *out);
/* The same without "did you mean", which compares the query with every name: for programs that look up thousands. */
CHECKED Err gene_find(const GeneIndex *ix, const char *query, GeneHit *out);
/* Column of the k-th (from 0) gene with the same name as `column`, or SIZE_MAX. */
size_t gene_index_duplicate(const GeneIndex *ix, size_t column, size_t k);
/* How many distinct names occur more than once. */
size_t gene_index_n_duplicated(const GeneIndex *ix);

/* ---- a file against a vocabulary ---- */
typedef struct GeneMatch {
    size_t n;
    int32_t
        *to; /* [n] index into the vocabulary, -1: not in it; every entry is used at most once */
    unsigned char *how; /* [n] GeneHow */
    size_t matched;
} GeneMatch;
/* names/ids as in gene_index_new; vocab: v names. Exact names first, then Ensembl ids, other case,
 * other names. */
CHECKED Err gene_match(const char *const *names, const char *const *ids, size_t n,
                       const char *const *vocab, size_t v, GeneMatch *out);
void gene_match_done(GeneMatch *m);
/* In words, which naming a list uses: "human gene symbols", "Ensembl ids", "mouse gene symbols",
 * "numbers". */
const char *gene_naming(const char *const *names, size_t n);
#endif
