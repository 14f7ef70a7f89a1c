/* Reading a prompt: spelling, names (longest first), genes with their signs, and clauses that begin with "not", "no",
 * "without", "lacking"... These turn around what they name; a clause that names nothing ("without having seen them
 * before") stays part of the description. */
#include "core/session/prompt_read.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

void reading_done(Reading *r)
{
    free(r->text);
    free(r->positive);
    words_done(&r->words);
    gene_words_done(&r->genes);
    free(r->names);
    free(r->used);
    free(r->negative);
}

/* "Bcells", "NKcells": how many letters stand before "cell" in a word that is written together; 0. */
static size_t joined_cell(const Lexicon *x, const Word *w)
{
    size_t n = strlen(w->text);
    bool joined = n > 4 && n <= 7 && w->end - w->start >= n && strcmp(w->text + n - 4, "cell") == 0;
    return joined && !lexicon_knows(x, w->text) ? n - 4 : 0;
}

static char *put_right(const Lexicon *x, const char *text)
{
    Words w;
    Str s = {0};
    size_t at = 0;
    words_split(text, &w);
    for (size_t i = 0; i < w.n; i++) {
        size_t letters = joined_cell(x, &w.v[i]);
        if (letters) {
            str_add_n(&s, text + at, w.v[i].start + letters - at);
            str_add(&s, " ");
            at = w.v[i].start + letters;
            continue;
        }
        const char *better = w.v[i].stop || w.v[i].capitals ? NULL : lexicon_correct(x, w.v[i].text);
        if (!better)
            continue;
        str_add_n(&s, text + at, w.v[i].start - at);
        str_add(&s, better);
        at = w.v[i].end;
    }
    str_add(&s, text + at);
    words_done(&w);
    return str_take(&s);
}

static bool is_one_of(const char *w, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(w, *list) == 0)
            return true;
    return false;
}

/* From a negating word to the end of its clause. */
static void mark_negated(Reading *r)
{
    static const char *const starts[] = {"not", "no", "without", "lacking", "lack", "except", "excluding", "neither",
                                         "minus", "absent", "devoid", "nor", NULL};
    static const char *const ends[] = {"but", "with", "which", "that", "who", "expressing", "having", NULL};
    bool on = false;
    for (size_t i = 0; i < r->words.n; i++) {
        const Word *w = &r->words.v[i];
        bool stop_mark = false;
        for (size_t b = i ? r->words.v[i - 1].end : 0; b < w->start; b++)
            stop_mark |= strchr(",;.:()", r->text[b]) != NULL;
        if (on && (stop_mark || is_one_of(w->text, ends)))
            on = false;
        bool joined = i && w->start == r->words.v[i - 1].end + 1 && r->text[w->start - 1] == '-';
        bool starts_here = !joined && is_one_of(w->text, starts);
        on |= starts_here;
        r->negative[i] = on;
    }
}

/* Drops negation from clauses that name nothing: "without having seen them before" stays part of the description. */
static void keep_telling_clauses(Reading *r)
{
    for (size_t i = 0; i < r->words.n;) {
        size_t to = i;
        while (to < r->words.n && r->negative[to])
            to++;
        if (to == i) {
            i++;
            continue;
        }
        bool names = false;
        for (size_t k = i; k < to; k++)
            names |= r->used[k] != 0;
        memset(r->negative + i, names, to - i);
        i = to;
    }
}

static void find_names_and_genes(const Lexicon *x, const LabelIndex *labels, GeneKnown *known, void *user, Reading *r)
{
    size_t n = r->words.n;
    r->names = mem_must((n + 1) * sizeof *r->names);
    r->n_names = lexicon_names(x, r->text, &r->words, NULL, r->names);
    for (size_t i = 0; i < r->n_names; i++)
        memset(r->used + r->names[i].from, 1, r->names[i].to - r->names[i].from);
    GeneWords all;
    gene_words_find(labels, known, user, r->text, &r->words, &all);
    r->genes.v = mem_must((all.n + 1) * sizeof *r->genes.v);
    for (size_t i = 0; i < all.n; i++) { /* "CD4 T cell" is a type, not a gene */
        bool inside = false;
        for (size_t k = 0; k < r->n_names; k++)
            inside |= all.v[i].from < r->names[k].to && r->names[k].from < all.v[i].to;
        if (inside) {
            free(all.v[i].symbol);
            continue;
        }
        r->genes.v[r->genes.n++] = all.v[i];
        memset(r->used + all.v[i].from, 1, all.v[i].to - all.v[i].from);
    }
    free(all.v);
}

static char *without_negated(const Reading *r)
{
    Str s = {0};
    for (size_t i = 0; i < r->words.n; i++)
        if (!r->negative[i]) {
            size_t end = i + 1 < r->words.n && !r->negative[i + 1] ? r->words.v[i + 1].start : r->words.v[i].end;
            str_add_n(&s, r->text + r->words.v[i].start, end - r->words.v[i].start);
            str_add(&s, end == r->words.v[i].end && i + 1 < r->words.n ? " " : "");
        }
    return str_take(&s);
}

/* Do names and genes explain every telling word? "cell" and the like tell nothing. */
static bool explained(const Reading *r)
{
    static const char *const empty[] = {"cell", "positive", "expressing", "express", "high", "low", "bright", "dim",
                                        "marker", "gene", "population", "subset", "cluster", "human", "producing",
                                        "producer", "bearing", "blood", "peripheral", "type", NULL};
    for (size_t i = 0; i < r->words.n; i++)
        if (!r->used[i] && !r->negative[i] && !r->words.v[i].stop && !is_one_of(r->words.v[i].text, empty))
            return false;
    return true;
}

/* The first wanted name, unless a little word stands before it: what comes after "of", "to", "that" is not what the
 * sentence is about. */
static size_t find_subject(const Reading *r)
{
    size_t best = r->n_names;
    for (size_t i = 0; i < r->n_names; i++)
        if (reading_name_wanted(r, i) && (best == r->n_names || r->names[i].from < r->names[best].from))
            best = i;
    if (best == r->n_names)
        return best;
    bool began = false;
    for (size_t k = 0; k < r->names[best].from; k++) {
        if (began && r->words.v[k].stop && strcmp(r->words.v[k].text, "and") != 0)
            return r->n_names;
        began |= !r->words.v[k].stop;
    }
    return best;
}

void prompt_read(const Lexicon *x, const LabelIndex *labels, GeneKnown *known, void *user, const char *text,
                 Reading *out)
{
    *out = (Reading){.text = put_right(x, text)};
    words_split(out->text, &out->words);
    out->used = mem_must(out->words.n + 1);
    out->negative = mem_must(out->words.n + 1);
    find_names_and_genes(x, labels, known, user, out);
    mark_negated(out);
    keep_telling_clauses(out);
    out->positive = without_negated(out);
    out->explained = explained(out);
    out->subject = find_subject(out);
}

bool reading_name_wanted(const Reading *r, size_t i)
{
    return !r->negative[r->names[i].from];
}

bool reading_gene_wanted(const Reading *r, size_t i)
{
    return r->genes.v[i].negative == (r->negative[r->genes.v[i].from] != 0);
}
