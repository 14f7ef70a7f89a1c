/* Matching a prompt with the library, by words and by vectors together (see prompt.h).
 *
 * 1. Words: names of types (longest first), genes and proteins, their signs; a clause that begins with "not", "no",
 *    "without", "lacking"... and names something turns it around. Misspelt names are put right.
 * 2. Types named outright are what is meant when they explain all telling words; else every type is scored by its nearest
 *    text (cosine of sentence vectors), the words it shares (BM25), the agreement of its markers with the genes named, and
 *    whether it is a kind of what the sentence is about.
 * 3. The vector that cells are compared with: 0.3 prompt + 0.7 mean of the types, and the genes' own vector. */
#include "core/session/prompt.h"
#include "core/model/library.h"
#include "core/session/prompt_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

/* Set on prompts of our own (tests/eval), not on any file of cells. */
static const float LEXICAL = 0.35f, MARKERS = 0.35f, UNTRAINED = 0.03f, SHARPNESS = 20;
static const float SUBJECT = 0.2f, OBJECT = 0.1f; /* kinds of what the sentence is about; things it only mentions */
static const float PROMPT_SHARE = 0.3f, GENE_SHARE = 0.5f;
static const float NEAR = 0.70f, FAR = 0.20f; /* signs that are sure; that say nothing */
static const float NAMED = 0.08f;             /* a name or gene among other words */
static const float REFUSE = 0.6f;
static const float UNJUDGED = 0.4f; /* what the vectors of an imported model say: words must decide */
enum { MAX_TYPES = 3 };

typedef struct PromptState { /* kept by the session: TOPIC_QUERY */
    Lexicon *lexicon;
} PromptState;

static void release(void *state)
{
    lexicon_free(((PromptState *)state)->lexicon);
}

static Err lexicon_of(Session *s, const ModelState *m, const Lexicon **out)
{
    PromptState *p = session_state(s, TOPIC_QUERY, sizeof *p, release);
    if (!p->lexicon) {
        p->lexicon = lexicon_new(model_celltypes(m->model));
        bool imported = model_desc(m->model)->own_words;
        char *words = str_format("%s/%s", m->info.dir, imported ? "text_vocab.txt" : "vocab.txt");
        Err err = lexicon_add_dictionary(p->lexicon, words); /* without it, spelling is only a little bolder */
        free(words);
        (void)err;
    }
    *out = p->lexicon;
    return OK;
}

void prompt_match_free(PromptMatch *p)
{
    if (!p)
        return;
    free(p->text);
    free(p->type);
    free(p->weight);
    free(p->absent);
    free(p->up);
    free(p->down);
    free(p->vec);
    free(p->raw);
    free(p->understood);
    free(p);
}

static bool model_knows(void *user, const char *symbol)
{
    int32_t g = model_find_gene(user, symbol);
    return g >= 0 && strcmp(model_gene_name(user, (size_t)g), symbol) == 0;
}

typedef struct Match {
    const ModelState *m;
    const LibraryVectors *lib;
    Reading r;
    float *near, *words, *score; /* [types] nearest text; shared words; both */
    float known;                 /* share of the words' weight that the library knows */
    size_t wanted_names, wanted_genes;
    float own; /* cosine of the prompt as typed with its nearest name or sentence */
} Match;

static void match_done(Match *x)
{
    reading_done(&x->r);
    free(x->near);
    free(x->words);
    free(x->score);
}

/* ---- scoring the types ---- */

static void nearest_texts(const LibraryVectors *lib, const float *raw, size_t w, float *near)
{
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < lib->n_types; t++) {
        near[t] = -1;
        for (size_t i = lib->first_text[t]; i < lib->first_text[t + 1]; i++) {
            float dot = 0;
            for (size_t k = 0; k < w; k++)
                dot += raw[k] * lib->text_raw[i * w + k];
            near[t] = dot > near[t] ? dot : near[t];
        }
    }
}

static float in_list(const StrList *l, const char *symbol)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], symbol) == 0)
            return i < 5 ? 1 : 0.8f;
    return 0;
}

/* -1..1: are the genes that are named among the type's markers? */
static float marker_agreement(const Match *x, size_t type)
{
    const CellType *t = celltypes_at(model_celltypes(x->m->model), type);
    const GeneWords *g = &x->r.genes;
    float sum = 0;
    for (size_t i = 0; i < g->n; i++) {
        float high = in_list(&t->high, g->v[i].symbol), low = in_list(&t->low, g->v[i].symbol);
        sum += reading_gene_wanted(&x->r, i) ? high - low : 0.5f * low - high;
    }
    return g->n ? sum / (float)g->n : 0;
}

static void score_types(Match *x)
{
    const CellTypes *types = model_celltypes(x->m->model);
    const Reading *r = &x->r;
    for (size_t t = 0; t < x->lib->n_types; t++) {
        x->score[t] = x->near[t] + LEXICAL * x->words[t] + MARKERS * marker_agreement(x, t) -
                      (x->lib->trained[t] ? 0 : UNTRAINED);
        if (r->subject < r->n_names && celltypes_is_a(types, (int32_t)t, r->names[r->subject].type))
            x->score[t] += SUBJECT;
    }
    for (size_t i = 0; i < r->n_names; i++)
        if (i != r->subject)
            x->score[r->names[i].type] -= reading_name_wanted(r, i) ? OBJECT : 1;
}

static void add_type(PromptMatch *p, int32_t type, float weight)
{
    for (size_t k = 0; k < p->n_types; k++)
        if (p->type[k] == type)
            return;
    p->type[p->n_types] = type;
    p->weight[p->n_types++] = weight;
}

/* The named types alone when nothing else is said; else the best few by score. */
static Err choose_types(Match *x, PromptMatch *p)
{
    bool trained = true; /* a type without training cells is helped by its nearest kin */
    for (size_t i = 0; i < x->r.n_names; i++)
        trained &= x->lib->trained[x->r.names[i].type] || !reading_name_wanted(&x->r, i);
    size_t n = x->lib->n_types;
    float best = 0, sum = 0;
    TRY(NEW(p->type, x->r.n_names + MAX_TYPES));
    TRY(NEW(p->weight, x->r.n_names + MAX_TYPES));
    if (x->r.explained && x->wanted_names && !x->r.genes.n && (trained || x->wanted_names > 1)) {
        for (size_t i = 0; i < x->r.n_names; i++)
            if (reading_name_wanted(&x->r, i))
                add_type(p, x->r.names[i].type, 1);
    } else {
        for (size_t k = 0; k < MAX_TYPES && k < n; k++) {
            int32_t first, second;
            scores_top(x->score, n, &first, &second);
            best = k ? best : x->score[first];
            float w = expf(SHARPNESS * (x->score[first] - best));
            if (w < 0.05f)
                break;
            add_type(p, first, w);
            x->score[first] = -1e9f;
        }
    }
    for (size_t k = 0; k < p->n_types; k++)
        sum += p->weight[k];
    for (size_t k = 0; k < p->n_types; k++)
        p->weight[k] /= sum;
    return OK;
}

static Err choose_genes(const Match *x, PromptMatch *p)
{
    const Reading *r = &x->r;
    TRY(NEW(p->up, r->genes.n));
    TRY(NEW(p->down, r->genes.n));
    TRY(NEW(p->absent, r->n_names));
    for (size_t i = 0; i < r->genes.n; i++) {
        int32_t g = model_find_gene(x->m->model, r->genes.v[i].symbol);
        if (g < 0)
            continue;
        if (reading_gene_wanted(r, i))
            p->up[p->n_up++] = g;
        else
            p->down[p->n_down++] = g;
    }
    for (size_t i = 0; i < r->n_names; i++)
        if (!reading_name_wanted(r, i))
            p->absent[p->n_absent++] = r->names[i].type;
    return OK;
}

/* ---- the vector ---- */

static void add_unit(float *sum, const float *v, size_t d, float weight)
{
    double n = 0;
    for (size_t i = 0; i < d; i++)
        n += (double)v[i] * v[i];
    float f = n > 0 ? weight / (float)sqrt(n) : 0;
    for (size_t i = 0; i < d; i++)
        sum[i] += f * v[i];
}

static Err make_vector(const Match *x, PromptMatch *p)
{
    size_t d = model_desc(x->m->model)->dim;
    float *own = NULL, *types = NULL;
    Err err = OK;
    TRY_GOTO(NEW0(p->vec, d));
    TRY_GOTO(NEW(own, d));
    TRY_GOTO(NEW0(types, d));
    TRY_GOTO(model_project_texts(x->m->model, p->raw, 1, own));
    add_unit(p->vec, own, d, PROMPT_SHARE);
    for (size_t k = 0; k < p->n_types; k++) {
        add_unit(types, x->lib->label + (size_t)p->type[k] * d, d, p->weight[k]);
        add_unit(types, x->lib->mean_texts + (size_t)p->type[k] * d, d, p->weight[k]);
    }
    add_unit(p->vec, types, d, 1 - PROMPT_SHARE);
    if (p->n_up) {
        TRY_GOTO(model_gene_words(x->m->model, p->up, p->n_up, own));
        add_unit(p->vec, own, d, GENE_SHARE);
    }
    memcpy(own, p->vec, d * sizeof *own);
    memset(p->vec, 0, d * sizeof *own);
    add_unit(p->vec, own, d, 1);
done:
    free(own);
    free(types);
    return err;
}

/* ---- in words ---- */

static void add_item(Str *s, const char *before, const char *text)
{
    str_add(s, s->len ? "; " : "");
    str_add(s, before);
    str_add(s, text);
}

static char *genes_text(const ModelState *m, const int32_t *g, size_t n)
{
    Str s = {0};
    for (size_t i = 0; i < n; i++) {
        str_add(&s, i ? " " : "");
        str_add(&s, model_gene_name(m->model, (size_t)g[i]));
    }
    return str_take(&s);
}

static char *in_words(const Match *x, const PromptMatch *p)
{
    const CellTypes *t = model_celltypes(x->m->model);
    Str s = {0};
    for (size_t k = 0; k < p->n_types; k++)
        add_item(&s, "", celltypes_at(t, (size_t)p->type[k])->name);
    for (size_t k = 0; k < p->n_absent; k++)
        add_item(&s, "not ", celltypes_at(t, (size_t)p->absent[k])->name);
    char *up = genes_text(x->m, p->up, p->n_up), *down = genes_text(x->m, p->down, p->n_down);
    if (p->n_up)
        add_item(&s, "genes ", up);
    if (p->n_down)
        add_item(&s, "without ", down);
    free(up);
    free(down);
    return str_take(&s);
}

/* ---- is it biology at all? ---- */

static float clamp01(float v)
{
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* The nearest name or sentence of the library (short synonyms and other languages are near to gibberish too), and the
 * words it shares. Prompts that names and genes explain are sure. */
static float confidence_of(const Match *x)
{
    float words = 0;
    for (size_t t = 0; t < x->lib->n_types; t++)
        words = x->words[t] > words ? x->words[t] : words;
    if (x->r.explained && (x->wanted_names || x->wanted_genes))
        return 1;
    float sign = x->own + 0.2f * words + (x->wanted_names + x->wanted_genes > 0 ? NAMED : 0);
    return clamp01((sign - FAR) / (NEAR - FAR));
}

/* Spelling that was put right must not make sense of nonsense: unless names explain the prompt, it is judged as typed. */
static Err judge(Match *x, const char *text, JobCtl *ctl, const float *raw)
{
    size_t w = model_desc(x->m->model)->text_width;
    TextVectors v = {0};
    if (model_desc(x->m->model)->own_words) {
        x->own = UNJUDGED;
        return OK;
    }
    if (strcmp(text, x->r.text) != 0) {
        TRY(model_embed_texts(x->m->model, &text, 1, ctl, &v));
        raw = v.raw;
    }
    x->own = -1;
    for (size_t i = 0; i < x->lib->n_texts; i++) {
        if (x->lib->text_kind[i] != TEXT_NAME && x->lib->text_kind[i] != TEXT_OWN)
            continue;
        float dot = 0;
        for (size_t k = 0; k < w; k++)
            dot += raw[k] * x->lib->text_raw[i * w + k];
        x->own = dot > x->own ? dot : x->own;
    }
    text_vectors_done(&v);
    return OK;
}

static Err match_text(Match *x, const Lexicon *lexicon, const char *text, JobCtl *ctl, PromptMatch *p)
{
    size_t w = model_desc(x->m->model)->text_width, n;
    TRY(model_library(x->m->model, ctl, &x->lib));
    n = x->lib->n_types;
    prompt_read(lexicon, x->m->labels, model_knows, x->m->model, text, &x->r);
    for (size_t i = 0; i < x->r.n_names; i++)
        x->wanted_names += reading_name_wanted(&x->r, i);
    for (size_t i = 0; i < x->r.genes.n; i++)
        x->wanted_genes += reading_gene_wanted(&x->r, i);
    TRY(NEW(x->near, n));
    TRY(NEW(x->words, n));
    TRY(NEW(x->score, n));
    x->known = lexicon_rank(lexicon, &x->r.words, x->r.negative, x->words);
    TextVectors v;
    const char *positive = x->r.positive[0] ? x->r.positive : x->r.text;
    TRY(model_embed_texts(x->m->model, &positive, 1, ctl, &v));
    p->raw = v.raw;
    v.raw = NULL;
    text_vectors_done(&v);
    nearest_texts(x->lib, p->raw, w, x->near);
    TRY(judge(x, text, ctl, p->raw));
    p->confidence = confidence_of(x);
    if (p->confidence < REFUSE)
        FAIL(ERR_NOT_FOUND, "\"%.80s\": names no kind of cell, gene or function that the model knows; describe the "
                            "cells in other words", text);
    score_types(x);
    TRY(choose_types(x, p));
    TRY(choose_genes(x, p));
    TRY(make_vector(x, p));
    p->understood = in_words(x, p);
    return OK;
}

Err prompt_match(Session *s, const char *text, JobCtl *ctl, PromptMatch **out)
{
    Match x = {0};
    const Lexicon *lexicon;
    ModelState *m;
    TRY(model_state(s, ctl, &m));
    TRY(lexicon_of(s, m, &lexicon));
    x.m = m;
    PromptMatch *p = mem_must(sizeof *p);
    p->text = mem_strdup(text);
    Err err = match_text(&x, lexicon, text, ctl, p);
    match_done(&x);
    if (err != OK) {
        prompt_match_free(p);
        return err;
    }
    *out = p;
    return OK;
}
