/* Descriptions against the truth: does the text name the right type or lineage, does the cell
 * express every gene it names, how like a reference text is it; beside the reference text of the
 * nearest and of a random labelled cell.
 *
 * The reference text of a cell is put together from the library entry of its true type (name,
 * lineage, what it does) and five genes that the cell expresses: up to two markers of the type,
 * then the genes most telling in this cell; in the three wordings that the program's texts have. A
 * text is held against the wording it is most like. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/analysis/knn.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/eval/text.h"
#include "core/session/eval_internal.h"

static const char TASK[] = "describe", OWN[] = "describe",
                  NEAREST[] = "copy of the nearest cell's text",
                  RANDOM[] = "copy of a random cell's text";
enum { WORDINGS = 3, GENES = 5, OF_TYPE = 2, CLAIMS = 10 };

/* ---- reference texts ---- */

static const char *article(const char *name)
{
    return strchr("aeiouAEIOU", name[0]) || str_starts(name, "NK") ? "an" : "a";
}

static char *reference_text(const CellType *t, int wording, const char *const *gene, size_t n)
{
    static const char *const parts[WORDINGS][3] = {
        {"This is", ", a cell of the", "It expresses"},
        {"The profile is that of", ", which belongs to the", "Genes that stand out are"},
        {"Most likely", " of the", "Telling genes here are"},
    };
    bool line = str_ends(t->lineage, "lineage") || str_ends(t->lineage, "line");
    Str s = {0};
    str_addf(&s, "%s %s %s%s %s%s. It %s", parts[wording][0], article(t->name), t->name,
             parts[wording][1], t->lineage[0] ? t->lineage : "body",
             line || !t->lineage[0] ? "" : " lineage", t->function);
    if (n)
        str_addf(&s, " %s", parts[wording][2]);
    for (size_t i = 0; i < n; i++)
        str_addf(&s, "%s %s", i == 0 ? "" : i + 1 == n ? " and" : ",", gene[i]);
    str_add(&s, n ? "." : "");
    return str_take(&s);
}

/* Genes every cell has a lot of: they tell nothing. */
static bool is_dull(const char *g)
{
    static const char *const start[] = {"MT-", "RPL", "RPS", "MRPL", "MRPS", "HSP", "EEF", "RP11"};
    static const char *const same[] = {"MALAT1", "NEAT1", "XIST", "TMSB4X", "TMSB10", "ACTB",
                                       "B2M",    "FTL",   "FTH1", "TPT1",   "GAPDH",  "UBC",
                                       "FAU",    "PTMA",  "JUN",  "FOS",    "EEF1A1"};
    for (size_t i = 0; i < sizeof start / sizeof *start; i++)
        if (str_starts(g, start[i]))
            return true;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (strcmp(g, same[i]) == 0)
            return true;
    return false;
}

/* gene[GENES] of a cell given by its telling genes tokens[n] (model genes, most telling first). */
static size_t choose_genes(const EvalWork *w, const CellType *t, const int32_t *tokens, size_t n,
                           const char **gene)
{
    size_t m = 0;
    for (size_t i = 0; i < t->high.n && m < OF_TYPE; i++) {
        int32_t want = model_find_gene(w->m->model, t->high.v[i]);
        for (size_t k = 0; k < n; k++)
            if (want >= 0 && tokens[k] == want) {
                gene[m++] = model_gene_name(w->m->model, (size_t)want);
                break;
            }
    }
    for (size_t k = 0; k < n && tokens[k] >= 0 && m < GENES; k++) {
        const char *g = model_gene_name(w->m->model, (size_t)tokens[k]);
        bool taken = is_dull(g);
        for (size_t j = 0; j < m; j++)
            taken |= strcmp(gene[j], g) == 0;
        if (!taken)
            gene[m++] = g;
    }
    return m;
}

/* Texts of one cell in all wordings; freed by the caller one by one. */
static void texts_of(const EvalWork *w, int32_t type, const CellTokens *t, size_t row,
                     char *out[WORDINGS])
{
    const char *gene[GENES];
    const CellType *ct = celltypes_at(w->types, (size_t)type);
    size_t n = choose_genes(w, ct, t->gene + row * t->width, (size_t)t->len[row], gene);
    for (int k = 0; k < WORDINGS; k++)
        out[k] = reference_text(ct, k, gene, n);
}

/* The comparison with the wording that the text is most like. */
static Err compare_best(const char *text, char *const reference[WORDINGS], TextPair *out)
{
    double best = -1;
    for (int k = 0; k < WORDINGS; k++) {
        TextPair p;
        TRY(text_compare(text, reference[k], text_words, NULL, &p));
        if (p.rougeL > best) {
            best = p.rougeL;
            *out = p;
        }
    }
    return OK;
}

/* ---- what a text says ---- */

static bool word_at(const char *text, size_t at, const char *name)
{
    size_t n = strlen(name);
    if (at && isalnum((unsigned char)text[at - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!text[at + i] ||
            tolower((unsigned char)text[at + i]) != tolower((unsigned char)name[i]))
            return false;
    const char *end = text + at + n;
    return !isalnum((unsigned char)end[*end == 's']);
}

/* The library type named first in a text (the longest of those that begin there); -1. */
static int32_t type_named(const CellTypes *c, const char *text)
{
    for (size_t at = 0; text[at]; at++) {
        size_t longest = 0;
        int32_t found = -1;
        for (size_t i = 0; i < celltypes_count(c); i++) {
            const CellType *t = celltypes_at(c, i);
            for (size_t k = 0; k <= t->synonyms.n; k++) {
                const char *name = k ? t->synonyms.v[k - 1] : t->name;
                if (strlen(name) > longest && strlen(name) > 2 && word_at(text, at, name)) {
                    longest = strlen(name);
                    found = (int32_t)i;
                }
            }
        }
        if (found >= 0)
            return found;
    }
    return -1;
}

typedef struct Judged {
    size_t n;
    TextPair *own, *nearest, *random;           /* [n] */
    double *exact, *related, *lineage, *either; /* [n] 0/1 */
    double *genes_true;  /* [n] share of the genes named that are expressed; NaN without genes */
    double *all_true;    /* [n] 1: every gene named is expressed */
    double *genes_named; /* [n] */
    double *repeats;     /* [n] 1: a gene is named twice */
    double
        *unlisted;  /* [n] genes in the last sentence that the description does not list as named */
    double *agrees; /* [n] 1: what it says the cell does is what the library says of the type it
                       names */
} Judged;

static bool is_expressed(const EvalWork *w, size_t cell, const char *gene)
{
    int32_t col = model_state_column(w->m, gene);
    for (int64_t e = w->counts.indptr[cell]; col >= 0 && e < w->counts.indptr[cell + 1]; e++)
        if (w->counts.indices[e] == col)
            return w->counts.values[e] > 0;
    return false;
}

/* Genes of the file among the words of the last sentence: how often one comes again, how many are
 * not in the description's own list. */
static void judge_last_sentence(const EvalWork *w, const Description *d, double *repeats,
                                double *unlisted)
{
    const char *start = d->text;
    for (const char *p = d->text; (p = strstr(p, ". ")) != NULL; p += 2)
        start = p + 2;
    StrMap *seen = strmap_new(16);
    char *copy = mem_strdup(start), *save = NULL;
    *repeats = *unlisted = 0;
    for (char *word = strtok_r(copy, " ,;:()", &save); word;
         word = strtok_r(NULL, " ,;:()", &save)) {
        size_t n = strlen(word);
        if (n && word[n - 1] == '.')
            word[--n] = 0;
        if (n < 2 || !isupper((unsigned char)word[0]) || islower((unsigned char)word[1]) ||
            model_state_column(w->m, word) < 0)
            continue;
        *repeats = strmap_put(seen, word, 1) ? *repeats : 1;
        bool listed = false;
        for (size_t i = 0; i < d->n_markers && !listed; i++)
            listed = strcmp(d->markers_named[i], word) == 0;
        *unlisted += !listed;
    }
    free(copy);
    strmap_free(seen);
}

static void judge_claims(const EvalWork *w, size_t cell, const Description *d, size_t at, Judged *j)
{
    int32_t truth = w->type[w->truth[cell]], said = type_named(w->types, d->text);
    const char *lineage = celltypes_at(w->types, (size_t)truth)->lineage;
    size_t right = 0;
    j->exact[at] = said >= 0 && celltypes_is_a(w->types, said, truth);
    j->related[at] = said >= 0 && celltypes_related(w->types, said, truth);
    j->lineage[at] = said >= 0 && lineage[0] &&
                     strcmp(celltypes_at(w->types, (size_t)said)->lineage, lineage) == 0;
    j->either[at] = j->related[at] > 0 || j->lineage[at] > 0;
    for (size_t i = 0; i < d->n_markers; i++)
        right += is_expressed(w, cell, d->markers_named[i]);
    j->genes_named[at] = (double)d->n_markers;
    j->genes_true[at] = d->n_markers ? (double)right / (double)d->n_markers : NAN;
    j->all_true[at] = right == d->n_markers;
    j->agrees[at] = said >= 0 && strstr(d->text, celltypes_at(w->types, (size_t)said)->function);
    judge_last_sentence(w, d, &j->repeats[at], &j->unlisted[at]);
}

/* ---- whose text is copied ---- */

typedef struct Copies {
    size_t n;
    int32_t *type;    /* [n] cells whose texts may be copied */
    int32_t *set;     /* [n] reference file, -1: the file itself */
    size_t *row;      /* [n] */
    int32_t *nearest; /* [described] index of the nearest */
    char from[96];
} Copies;

static void copies_done(Copies *c)
{
    free(c->type);
    free(c->set);
    free(c->row);
    free(c->nearest);
}

/* The nearest of ref[n, d] to each described cell of test; own: the cell itself is skipped. */
static Err nearest_of(EvalWork *w, const float *ref, size_t n, const float *test, size_t d,
                      const size_t *cells, size_t m, const size_t *own, int32_t *out)
{
    float *x;
    Knn nn = {0};
    Err err = OK;
    TRY(NEW(x, m * d));
    for (size_t i = 0; i < m; i++)
        memcpy(x + i * d, test + cells[i] * d, d * sizeof *x);
    TRY_GOTO(knn_query(NULL, ref, n, x, m, d, own ? 2 : 1, w->ctl, &nn));
    for (size_t i = 0; i < m; i++) {
        out[i] = nn.indices[i * nn.k];
        if (own && own[out[i]] == cells[i] && nn.k > 1)
            out[i] = nn.indices[i * nn.k + 1];
    }
done:
    free(x);
    knn_done(&nn);
    return err;
}

static Err find_copies(EvalWork *w, const size_t *cells, size_t m, Copies *c)
{
    RefFeatures f = {0};
    int32_t *type = NULL;
    bool own = w->p->n_references == 0;
    Err err = OK;
    if (own) { /* no reference file: the other cells of this file, whose labels are then given away
                */
        TRY_GOTO(NEW(type, w->n));
        for (size_t i = 0; i < w->n; i++)
            type[i] = w->truth[i] < 0 ? -1 : w->type[w->truth[i]];
        ReferenceSet set = {&w->counts, w->genes, type, w->lognorm};
        TRY_GOTO(reference_join(&set, 1, &set, REFERENCE_GENES, w->ctl, &f));
    } else {
        TRY_GOTO(eval_features(w, true, &f));
    }
    c->n = f.n;
    TRY_GOTO(NEW(c->nearest, m));
    TRY_GOTO(nearest_of(w, f.ref, f.n, f.test, f.d, cells, m, own ? f.row : NULL, c->nearest));
    c->type = f.label;
    c->set = f.set;
    c->row = f.row;
    f.label = f.set = NULL;
    f.row = NULL;
    for (size_t i = 0; own && i < c->n; i++)
        c->set[i] = -1;
    snprintf(c->from, sizeof c->from,
             own ? "the other cells of the file (their true labels given away)"
                 : "%zu labelled training cells",
             c->n);
done:
    free(type);
    reference_done(&f);
    return err;
}

/* One text of a cell that may be copied, in the wording `wording`. */
static Err copied_text(EvalWork *w, const Copies *c, size_t at, int wording, char **out)
{
    CellTokens t = {0};
    char *texts[WORDINGS];
    if (c->set[at] < 0) {
        TRY(model_state_tokens(w->s, w->m, &c->row[at], 1, NULL, &t));
    } else {
        const EvalReference *r = &w->reference[c->set[at]];
        GeneMap map;
        Csr row = {0};
        TRY(model_map_genes(w->m->model, r->genes, r->counts.cols, 1, &map));
        Err err = csr_take_rows(&r->counts, &c->row[at], 1, &row);
        if (err == OK)
            err = model_tokenize_cells(w->m->model, &map, &row, r->lognorm, &t);
        gene_map_done(&map);
        csr_done(&row);
        TRY(err);
    }
    texts_of(w, c->type[at], &t, 0, texts);
    for (int k = 0; k < WORDINGS; k++)
        if (k == wording)
            *out = texts[k];
        else
            free(texts[k]);
    cell_tokens_done(&t);
    return OK;
}

/* ---- one cell ---- */

static void add_example(EvalWork *w, size_t cell, const Description *d, const char *reference)
{
    static const char *const keys[] = {"cell", "truth", "text", "reference"};
    const char *values[] = {d->subject, w->name[w->truth[cell]], d->text, reference};
    report_example(w->r, TASK, "texts", keys, values, 4);
}

static Err judge_cell(EvalWork *w, const Copies *c, size_t cell, size_t at, Judged *j)
{
    DescribeParams dp = describe_params_default();
    Description *d = NULL;
    CellTokens t = {0};
    char *reference[WORDINGS] = {0}, *near = NULL, *far = NULL;
    Rng r = rng_make(w->p->seed, 31000 + cell);
    Err err = OK;
    TRY_GOTO(session_describe_cell(w->s, cell, &dp, NULL, &d));
    TRY_GOTO(model_state_tokens(w->s, w->m, &cell, 1, NULL, &t));
    texts_of(w, w->type[w->truth[cell]], &t, 0, reference);
    judge_claims(w, cell, d, at, j);
    TRY_GOTO(compare_best(d->text, reference, &j->own[at]));
    TRY_GOTO(copied_text(w, c, (size_t)c->nearest[at], (int)rng_below(&r, WORDINGS), &near));
    TRY_GOTO(compare_best(near, reference, &j->nearest[at]));
    TRY_GOTO(copied_text(w, c, (size_t)rng_below(&r, c->n), (int)rng_below(&r, WORDINGS), &far));
    TRY_GOTO(compare_best(far, reference, &j->random[at]));
    if (at < 24)
        add_example(w, cell, d, reference[0]);
done:
    description_free(d);
    cell_tokens_done(&t);
    for (int k = 0; k < WORDINGS; k++)
        free(reference[k]);
    free(near);
    free(far);
    return err;
}

/* ---- all ---- */

static Err add_texts(EvalWork *w, ReportKind kind, const char *name, const TextPair *pairs,
                     size_t n)
{
    TextScores s;
    TRY(text_scores(pairs, n, w->p->seed, &s));
    report_add(w->r, TASK, kind, name, "bleu2", s.bleu2);
    report_add(w->r, TASK, kind, name, "bleu4", s.bleu4);
    report_add(w->r, TASK, kind, name, "rouge1", s.rouge1);
    report_add(w->r, TASK, kind, name, "rouge2", s.rouge2);
    report_add(w->r, TASK, kind, name, "rougeL", s.rougeL);
    report_add(w->r, TASK, kind, name, "meteor", s.meteor);
    report_add(w->r, TASK, kind, name, "levenshtein", s.levenshtein);
    return OK;
}

static Err add_claims(EvalWork *w, const Judged *j)
{
    const struct {
        const char *name;
        const double *v;
    } rows[] = {{"type_right", j->exact},           {"type_or_relative_right", j->related},
                {"lineage_right", j->lineage},      {"type_or_lineage_right", j->either},
                {"genes_expressed", j->genes_true}, {"all_genes_expressed", j->all_true},
                {"genes_named", j->genes_named},    {"repeats_a_gene", j->repeats},
                {"genes_not_listed", j->unlisted},  {"function_fits_the_type", j->agrees}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Estimate e;
        TRY(bootstrap_mean(rows[i].v, j->n, NULL, 0, w->p->seed, &e));
        report_add(w->r, TASK, REPORT_MODEL, OWN, rows[i].name, e);
    }
    return OK;
}

/* Described cells: drawn at random among those whose label is a type of the library. */
static Err draw_cells(EvalWork *w, size_t *cells, size_t *m)
{
    size_t *order, n = 0;
    Rng r = rng_make(w->p->seed, 30000);
    TRY(NEW(order, w->n));
    rng_permutation(&r, w->n, order);
    for (size_t i = 0; i < w->n && n < w->p->describe_cells; i++)
        if (w->truth[order[i]] >= 0 && w->type[w->truth[order[i]]] >= 0)
            cells[n++] = order[i];
    free(order);
    *m = n;
    if (n == 0)
        FAIL(ERR_NOT_FOUND, "no cell has a label that is a type of the library");
    return OK;
}

static Err judged_init(size_t m, Judged *j, double **block)
{
    TRY(NEW0(j->own, m));
    TRY(NEW0(j->nearest, m));
    TRY(NEW0(j->random, m));
    TRY(NEW0(*block, CLAIMS * m));
    double **fields[] = {&j->exact,    &j->related,     &j->lineage, &j->either,   &j->genes_true,
                         &j->all_true, &j->genes_named, &j->repeats, &j->unlisted, &j->agrees};
    for (size_t i = 0; i < CLAIMS; i++)
        *fields[i] = *block + i * m;
    j->n = m;
    return OK;
}

Err eval_describe(EvalWork *w)
{
    size_t *cells, m;
    Copies c = {0};
    Judged j = {0};
    double *block = NULL;
    Err err = OK;
    TRY(NEW(cells, w->n));
    TRY_GOTO(eval_counts(w));
    TRY_GOTO(draw_cells(w, cells, &m));
    TRY_GOTO(find_copies(w, cells, m, &c));
    TRY_GOTO(judged_init(m, &j, &block));
    for (size_t i = 0; i < m; i++) {
        job_stage(w->ctl, "describing", m);
        TRY_GOTO(job_progress(w->ctl, i));
        TRY_GOTO(judge_cell(w, &c, cells[i], i, &j));
    }
    TRY_GOTO(add_texts(w, REPORT_MODEL, OWN, j.own, m));
    TRY_GOTO(add_claims(w, &j));
    TRY_GOTO(add_texts(w, REPORT_BASELINE, NEAREST, j.nearest, m));
    TRY_GOTO(add_texts(w, REPORT_BASELINE, RANDOM, j.random, m));
    report_note(w->r, TASK, "%zu cells, greedy; copies are of %s", m, c.from);
    report_note(w->r, TASK,
                "reference text: library entry of the true type (name, lineage, function) and five "
                "genes of the cell "
                "(up to two markers of the type, then the most telling); three wordings, the "
                "likest by ROUGE-L counts");
    report_note(
        w->r, TASK,
        "tokenizer of bleu and meteor: words; meteor: exact and stem stages only (no WordNet)");
    report_note(w->r, TASK,
                "type_right: the first type named in the text is the true one or a kind of it; "
                "relative: or the true "
                "one is a kind of it; lineage: its lineage in the library is the same");
done:
    free(cells);
    copies_done(&c);
    free(j.own);
    free(j.nearest);
    free(j.random);
    free(block);
    return err;
}
