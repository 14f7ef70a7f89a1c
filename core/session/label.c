/* Finding a label's type. Every name of the library is reduced to its telling words, sorted: the same is done with the
 * label, first as it stands, then with less and less of its decoration. */
#include "core/session/label.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/session/words.h"

typedef struct Protein {
    char *key;
    char **genes; /* NULL-terminated */
} Protein;

struct LabelIndex {
    const CellTypes *types;
    StrMap *by_words;  /* sorted telling words -> type */
    StrMap *by_protein; /* folded protein name -> proteins[] */
    StrMap *cd_of_gene; /* "fcgr3a" -> index into proteins of "CD16" */
    Protein *proteins;
    size_t n_proteins;
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Words that labels carry or leave out as they like. */
static bool is_filler(const char *w)
{
    static const char *const fillers[] = {"cell", "positive", "human", "mouse", "the", "of", "and", "like", "subset",
                                          "population", "cluster", "type"};
    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++)
        if (strcmp(w, fillers[i]) == 0)
            return true;
    return false;
}

/* Longer words for what people abbreviate inside labels. */
static const char *expand(const char *w)
{
    static const char *const pairs[][2] = {
        {"mono", "monocyte"}, {"dc", "dendritic"}, {"nk", "natural killer"}, {"mac", "macrophage"},
        {"macro", "macrophage"}, {"mph", "macrophage"}, {"mk", "megakaryocyte"}, {"mega", "megakaryocyte"},
        {"lymph", "lymphocyte"}, {"endo", "endothelial"}, {"epi", "epithelial"}, {"fib", "fibroblast"},
        {"fibro", "fibroblast"}, {"treg", "regulatory t"}, {"mem", "memory"}, {"eff", "effector"}, {"tcell", "t"},
        {"bcell", "b"}, {"rbc", "erythrocyte"}, {"neutro", "neutrophil"}, {"plt", "platelet"}, {"hep", "hepatocyte"},
        {"oligo", "oligodendrocyte"}, {"astro", "astrocyte"}, {"peri", "pericyte"}, {"cyto", "cytotoxic"},
        {"lymphocyte", "lymphocyte"}, {"nonclassical", "non classical"}, {"prolif", "cycling"},
        {"proliferating", "cycling"}, {"reg", "regulatory"}, {"eryth", "erythroid"}, {"mal", "malignant"},
        {"caf", "fibroblast"}, {"tam", "macrophage"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (strcmp(w, pairs[i][0]) == 0)
            return pairs[i][1];
    return w;
}

/* What a label may carry beside its type; the higher the level, the more is dropped. */
enum { KEEP_NUMBERS, DROP_NUMBERS, DROP_SURFACE, DROP_STATES, DROP_CD4 };

/* Sorting markers of a population: "CD19+ B", "CD4+/CD45RA+/CD25- Naive T". CD4 and CD8 name types: they go last. */
static bool is_surface(const char *w, int level)
{
    static const char *const degrees[] = {"negative", "neg", "high", "hi", "low", "lo", "bright", "dim", "ra", "ro"};
    if (strncmp(w, "cd", 2) == 0 && isdigit((unsigned char)w[2]))
        return level >= DROP_CD4 || (strcmp(w, "cd4") != 0 && strcmp(w, "cd8") != 0);
    for (size_t i = 0; i < sizeof degrees / sizeof degrees[0]; i++)
        if (strcmp(w, degrees[i]) == 0)
            return true;
    return false;
}

static bool is_state(const char *w)
{
    static const char *const states[] = {"cycling", "dividing", "late", "early", "intermediate", "immature", "mature",
                                         "activated", "quiescent", "resting", "stressed", "normal", "other", "adult",
                                         "fetal", "foetal", "circulating", "conventional"};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(w, states[i]) == 0)
            return true;
    return false;
}

static bool all_digits(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

/* "t lymphocyte" and "b lymphocyte" are T and B cells. */
static void drop_lymphocyte(char **w, size_t *n)
{
    bool letter = false;
    for (size_t i = 0; i < *n; i++)
        letter |= strcmp(w[i], "t") == 0 || strcmp(w[i], "b") == 0;
    for (size_t i = 0; letter && i < *n; i++)
        if (strcmp(w[i], "lymphocyte") == 0) {
            free(w[i]);
            w[i] = w[--*n];
            return;
        }
}

static bool is_dropped(const char *w, int level)
{
    return is_filler(w) || (level >= DROP_NUMBERS && all_digits(w)) || (level >= DROP_STATES && is_state(w));
}

/* The telling words of a label, sorted and joined; level: what is left out. */
static char *reduce(const LabelIndex *x, const char *label, int level)
{
    Words words;
    Str s = {0};
    words_split(label, &words);
    char **w = mem_must((2 * words.n + 1) * sizeof *w);
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++) {
        const char *t = words.v[i].text;
        if (is_dropped(t, level))
            continue;
        int64_t cd = x->cd_of_gene ? strmap_get(x->cd_of_gene, t, -1) : -1;
        const char *e = cd >= 0 ? x->proteins[cd].key : expand(t);
        if ((level >= DROP_SURFACE && is_surface(e, level)) || is_dropped(e, level))
            continue;
        const char *blank = strchr(e, ' ');
        w[n++] = mem_strndup(e, blank ? (size_t)(blank - e) : strlen(e));
        if (blank)
            w[n++] = mem_strdup(blank + 1);
    }
    drop_lymphocyte(w, &n);
    if (n)
        qsort(w, n, sizeof *w, compare);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(w[i], w[i - 1]) != 0) {
            str_add(&s, s.len ? " " : "");
            str_add(&s, w[i]);
        }
    }
    for (size_t i = 0; i < n; i++)
        free(w[i]);
    free(w);
    words_done(&words);
    return str_take(&s);
}

static void put(LabelIndex *x, const char *name, size_t type)
{
    char *key = reduce(x, name, KEEP_NUMBERS);
    if (*key)
        strmap_put(x->by_words, key, (int64_t)type);
    free(key);
}

/* Names that published data sets use and no ontology lists. */
static void put_usual_names(LabelIndex *x)
{
    static const char *const names[][2] = {{"CD8 naive cytotoxic", "naive CD8 T cell"},
                                           {"artery", "arterial endothelial cell"},
                                           {"art", "arterial endothelial cell"},
                                           {"vein", "venous endothelial cell"},
                                           {"vascular", "vascular endothelial cell"},
                                           {"stellate", "pancreatic stellate cell"},
                                           {"uterine stromal", "endometrial stromal cell"},
                                           {"class-switched memory B", "memory B cell"},
                                           {"perivascular-like", "pericyte"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int32_t type = celltypes_find(x->types, names[i][1]);
        char *key = reduce(x, names[i][0], KEEP_NUMBERS);
        if (type >= 0 && strmap_get(x->by_words, key, -1) < 0)
            strmap_put(x->by_words, key, type);
        free(key);
    }
}

static char *protein_key(const char *name)
{
    char *f = words_fold(name), *o = f;
    for (const char *p = f; *p; p++)
        if (isalnum((unsigned char)*p) || (*p & 0x80))
            *o++ = *p;
    *o = 0;
    return f;
}

static void add_protein(LabelIndex *x, char *name, char *genes)
{
    Protein *p = &x->proteins[x->n_proteins];
    size_t n = 0;
    p->genes = mem_must((strlen(genes) / 2 + 2) * sizeof *p->genes);
    char *save = NULL;
    for (char *g = strtok_r(genes, ",", &save); g; g = strtok_r(NULL, ",", &save))
        p->genes[n++] = mem_strdup(g);
    p->key = protein_key(name);
    strmap_put(x->by_protein, p->key, (int64_t)x->n_proteins);
    if (n == 1 && strncmp(p->key, "cd", 2) == 0 && isdigit((unsigned char)p->key[2])) {
        char *g = words_fold(p->genes[0]);
        strmap_put(x->cd_of_gene, g, (int64_t)x->n_proteins);
        free(g);
    }
    x->n_proteins++;
}

static Err read_proteins(LabelIndex *x, const char *path)
{
    char *text;
    size_t lines = 1;
    TRY(str_read_file(path, 1 << 20, ERR_GENERAL, &text, NULL));
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    x->proteins = mem_must(lines * sizeof *x->proteins);
    char *save = NULL;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(l, '\t');
        if (*l == '#' || !tab)
            continue;
        *tab = 0;
        add_protein(x, l, tab + 1);
    }
    free(text);
    return OK;
}

Err label_index_new(const CellTypes *types, const char *cd_path, LabelIndex **out)
{
    LabelIndex *x = mem_must(sizeof *x);
    x->types = types;
    x->by_words = strmap_new(8192);
    x->by_protein = strmap_new(1024);
    x->cd_of_gene = strmap_new(512);
    Err err = cd_path ? read_proteins(x, cd_path) : OK;
    if (err) {
        label_index_free(x);
        return err;
    }
    size_t n = celltypes_count(types);
    for (size_t i = 0; i < n; i++)
        put(x, celltypes_at(types, i)->name, i);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < celltypes_at(types, i)->synonyms.n; k++)
            put(x, celltypes_at(types, i)->synonyms.v[k], i);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < celltypes_at(types, i)->other_languages.n; k++)
            put(x, celltypes_at(types, i)->other_languages.v[k], i);
    put_usual_names(x);
    *out = x;
    return OK;
}

void label_index_free(LabelIndex *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n_proteins; i++) {
        free(x->proteins[i].key);
        for (char **g = x->proteins[i].genes; *g; g++)
            free(*g);
        free(x->proteins[i].genes);
    }
    free(x->proteins);
    strmap_free(x->by_words);
    strmap_free(x->by_protein);
    strmap_free(x->cd_of_gene);
    free(x);
}

/* Names built by rule: "CD14_monocyte" -> "CD14 monocyte"; joined words "Tcells" are handled by expand(). */
static char *blanks_for_separators(const char *label)
{
    char *s = mem_strdup(label);
    for (char *p = s; *p; p++)
        if (*p == '_' || *p == '.' || *p == '|' || *p == ':')
            *p = ' ';
    return s;
}

static int32_t find_reduced(const LabelIndex *x, const char *label, int level)
{
    char *key = reduce(x, label, level);
    int32_t i = *key ? (int32_t)strmap_get(x->by_words, key, -1) : -1;
    free(key);
    return i;
}

int32_t label_find(const LabelIndex *x, const char *label)
{
    char *s = blanks_for_separators(label);
    int32_t i = celltypes_find(x->types, label);
    if (i < 0)
        i = celltypes_find(x->types, s);
    for (int level = KEEP_NUMBERS; i < 0 && level <= DROP_NUMBERS; level++)
        i = find_reduced(x, s, level);
    char *open = strchr(s, '(');
    if (i < 0 && open && open > s) { /* "B cells (naive)": the words before the bracket alone */
        *open = 0;
        i = find_reduced(x, s, DROP_NUMBERS);
    }
    for (int level = DROP_SURFACE; i < 0 && level <= DROP_CD4; level++)
        i = find_reduced(x, s, level);
    free(s);
    return i;
}

const char *const *label_protein_genes(const LabelIndex *x, const char *name)
{
    char *key = protein_key(name);
    int64_t i = *key ? strmap_get(x->by_protein, key, -1) : -1;
    free(key);
    return i < 0 ? NULL : (const char *const *)x->proteins[i].genes;
}
