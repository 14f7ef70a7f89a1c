/* Prompts against the truth: of n cells that a prompt means, how many are among the best n
 * (R-precision). Beside it chance, and a search without the model: the library type whose texts
 * share the most telling words with the prompt, ranked by that type's marker genes. */
#include "core/eval/retrieval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/eval/classify.h"
#include "core/eval/text.h"
#include "core/session/eval_internal.h"

static const char TASK[] = "retrieve", OWN[] = "query", WORDS[] = "shared words + markers",
                  CHANCE[] = "chance";

/* Without a prompt file: every label's name and the synonyms of its type. */
static Err default_prompts(EvalWork *w, EvalPrompts *out)
{
    size_t n = 0;
    for (size_t c = 0; c < w->k; c++)
        if (w->type[c] >= 0)
            n += 1 + celltypes_at(w->types, (size_t)w->type[c])->synonyms.n;
    TRY(NEW0(out->v, n));
    for (size_t c = 0; c < w->k; c++) {
        if (w->type[c] < 0)
            continue;
        const CellType *t = celltypes_at(w->types, (size_t)w->type[c]);
        for (size_t i = 0; i <= t->synonyms.n; i++) {
            EvalPrompt *p = &out->v[out->n++];
            p->text = mem_strdup(i ? t->synonyms.v[i - 1] : w->name[c]);
            TRY(NEW0(p->ids, 1));
            p->ids[p->n_ids++] = mem_strdup(t->id);
        }
    }
    report_note(w->r, TASK, "no prompt file: names and synonyms of the labels were asked for");
    return OK;
}

/* ---- search by words ---- */

typedef struct WordSearch {
    const LibraryVectors *library;
    TextTokens *tokens; /* [n_texts] */
    StrMap *word;       /* -> index of idf */
    double *idf;
    size_t n_words;
} WordSearch;

static void words_done(WordSearch *s)
{
    for (size_t i = 0; s->tokens && i < s->library->n_texts; i++)
        text_tokens_done(&s->tokens[i]);
    free(s->tokens);
    strmap_free(s->word);
    free(s->idf);
}

static Err words_init(EvalWork *w, WordSearch *s)
{
    size_t total = 0;
    TRY(model_library(w->m->model, w->ctl, &s->library));
    TRY(NEW0(s->tokens, s->library->n_texts));
    for (size_t i = 0; i < s->library->n_texts; i++) {
        TRY(text_words(NULL, s->library->text_string[i], &s->tokens[i]));
        total += s->tokens[i].n;
    }
    s->word = strmap_new(total);
    TRY(NEW0(s->idf, total + 1));
    int32_t *last;
    TRY(NEW(last, total + 1));
    for (size_t i = 0; i < s->library->n_texts; i++)
        for (size_t t = 0; t < s->tokens[i].n; t++) {
            if (strmap_put(s->word, s->tokens[i].v[t], (int64_t)s->n_words))
                last[s->n_words++] = -1;
            int64_t at = strmap_get(s->word, s->tokens[i].v[t], 0);
            s->idf[at] += last[at] != (int32_t)i;
            last[at] = (int32_t)i;
        }
    free(last);
    for (size_t i = 0; i < s->n_words; i++)
        s->idf[i] = log((double)s->library->n_texts / s->idf[i]);
    return OK;
}

/* The type of the text with the largest cosine of idf-weighted words; -1 when no word is shared. */
static Err words_best_type(const WordSearch *s, const char *prompt, int32_t *type)
{
    TextTokens p;
    uint8_t *asked;
    double best = 0;
    *type = -1;
    TRY(NEW0(asked, s->n_words + 1));
    Err err = text_words(NULL, prompt, &p);
    for (size_t t = 0; err == OK && t < p.n; t++) {
        int64_t at = strmap_get(s->word, p.v[t], -1);
        if (at >= 0)
            asked[at] = 1;
    }
    for (size_t i = 0; err == OK && i < s->library->n_texts; i++) {
        double shared = 0, length = 0;
        for (size_t t = 0; t < s->tokens[i].n; t++) {
            int64_t at = strmap_get(s->word, s->tokens[i].v[t], 0);
            length += s->idf[at] * s->idf[at];
            shared += asked[at] ? s->idf[at] * s->idf[at] : 0;
        }
        double cosine = length > 0 ? shared / sqrt(length) : 0;
        if (cosine > best) {
            best = cosine;
            *type = s->library->text_type[i];
        }
    }
    if (err == OK)
        text_tokens_done(&p);
    free(asked);
    return err;
}

/* ---- one prompt ---- */

typedef struct Results {
    size_t n, refused, absent;
    double *own, *auroc, *words, *chance; /* [n] */
} Results;

static Err rank_by(const EvalWork *w, const float *score, const uint8_t *relevant,
                   double *precision, double *auroc)
{
    float *v;
    uint8_t *positive = NULL;
    Ranking r = {0};
    Err err = OK;
    TRY(NEW(v, w->n));
    TRY_GOTO(NEW(positive, w->n));
    for (size_t i = 0; i < w->n; i++) {
        v[i] = w->truth[i] < 0 ? NAN : score[i];
        positive[i] = w->truth[i] >= 0 && relevant[w->truth[i]];
    }
    TRY_GOTO(ranking_init(v, positive, w->n, &r));
    *precision = classify_precision_at(&r, 0);
    if (auroc)
        *auroc = classify_auroc(&r, NULL);
done:
    ranking_done(&r);
    free(v);
    free(positive);
    return err;
}

static Err by_words(EvalWork *w, const WordSearch *s, const char *prompt, const uint8_t *relevant,
                    double chance, double *precision)
{
    int32_t type;
    float *v;
    *precision = chance;
    TRY(words_best_type(s, prompt, &type));
    if (type < 0 || (!w->m->type_markers[type].n_high && !w->m->type_markers[type].n_low))
        return OK;
    TRY(NEW(v, w->n));
    Err err =
        evidence_scores(w->m->evidence, &w->m->type_markers[type], 1, NULL, w->n, w->m->corpus, v);
    if (err == OK)
        err = rank_by(w, v, relevant, precision, NULL);
    free(v);
    if (isnan(*precision))
        *precision = chance;
    return err;
}

static void add_example(EvalWork *w, const EvalPrompt *p, const uint8_t *relevant,
                        const QueryResult *q, double precision)
{
    static const char *const keys[] = {"prompt", "relevant", "understood", "precision"};
    Str classes = {0};
    char number[32];
    for (size_t c = 0; c < w->k; c++)
        if (relevant[c])
            str_addf(&classes, "%s%s", classes.len ? "; " : "", w->name[c]);
    snprintf(number, sizeof number, "%.3f", precision);
    const char *values[] = {p->text, str_text(&classes), q ? q->understood : "refused", number};
    report_example(w->r, TASK, "prompts", keys, values, 4);
    str_free(&classes);
}

static Err ask_prompt(EvalWork *w, const WordSearch *s, const EvalPrompt *p, uint8_t *relevant,
                      Results *r)
{
    QueryResult *q = NULL;
    size_t meant = 0, at = r->n;
    if (eval_relevant(w->types, p, w->id, w->k, relevant) == 0) {
        r->absent++;
        return OK;
    }
    for (size_t i = 0; i < w->n; i++)
        meant += w->truth[i] >= 0 && relevant[w->truth[i]];
    r->chance[at] = (double)meant / (double)w->labelled;
    r->own[at] = 0;
    r->auroc[at] = 0.5;
    Err err = session_query(w->s, p->text, w->ctl, &q);
    if (err == ERR_NOT_FOUND) /* an answer too, and a wrong one */
        r->refused++;
    else
        TRY(err);
    if (q)
        err = rank_by(w, q->scores->v, relevant, &r->own[at], &r->auroc[at]);
    else
        err = OK;
    add_example(w, p, relevant, q, r->own[at]);
    query_result_free(q);
    TRY(err);
    TRY(by_words(w, s, p->text, relevant, r->chance[at], &r->words[at]));
    r->n++;
    return OK;
}

static Err add_results(EvalWork *w, const Results *r, size_t asked)
{
    const struct {
        ReportKind kind;
        const char *variant, *measure;
        const double *v;
    } rows[] = {{REPORT_MODEL, OWN, "precision_at_n", r->own},
                {REPORT_MODEL, OWN, "auroc", r->auroc},
                {REPORT_BASELINE, WORDS, "precision_at_n", r->words},
                {REPORT_CONTROL, CHANCE, "precision_at_n", r->chance}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Estimate e;
        TRY(bootstrap_mean(rows[i].v, r->n, NULL, 0, w->p->seed, &e));
        report_add(w->r, TASK, rows[i].kind, rows[i].variant, rows[i].measure, e);
    }
    report_add_plain(w->r, TASK, REPORT_MODEL, OWN, "refused",
                     r->n ? (double)r->refused / (double)r->n : NAN, r->n);
    report_note(w->r, TASK,
                "%zu prompts; %zu ask for types that no label has and are left out; %zu of the "
                "rest were refused "
                "and count as 0",
                asked, r->absent, r->refused);
    report_note(w->r, TASK,
                "a prompt means the cells whose label is an expected type or a kind of it; when no "
                "label is, "
                "those whose label an expected type is a kind of; n = the number of such cells");
    return OK;
}

Err eval_retrieve(EvalWork *w)
{
    EvalPrompts p = {0};
    WordSearch s = {0};
    Results r = {0};
    uint8_t *relevant = NULL;
    double *block = NULL;
    Err err = OK;
    TRY_GOTO(w->p->prompts ? eval_prompts_read(w->p->prompts, &p) : default_prompts(w, &p));
    TRY_GOTO(words_init(w, &s));
    TRY_GOTO(NEW(relevant, w->k));
    TRY_GOTO(NEW(block, 4 * p.n));
    r.own = block;
    r.auroc = block + p.n;
    r.words = block + 2 * p.n;
    r.chance = block + 3 * p.n;
    for (size_t i = 0; i < p.n; i++)
        TRY_GOTO(ask_prompt(w, &s, &p.v[i], relevant, &r));
    TRY_GOTO(add_results(w, &r, p.n));
done:
    eval_prompts_done(&p);
    words_done(&s);
    free(relevant);
    free(block);
    return err;
}
