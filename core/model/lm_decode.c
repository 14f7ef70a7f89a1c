/* Decoding: greedy, sampling, beams. The beams follow transformers 5: a finished hypothesis is
 * scored by its log probability over its length, the end token counted; the search stops when the
 * best open beam could not enter the list any more at its present length. */
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/model/lm.h"
#include <math.h>
#include <string.h>

enum { BEAMS_MAX = 64, STRETCH = 256 }; /* STRETCH: tokens of a prompt at once */

static bool is_eos(const LmConfig *c, int32_t id)
{
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

/* log of the sum of exp. */
static double log_sum(const float *x, int64_t n)
{
    float top = x[0];
    double s = 0;
    for (int64_t i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int64_t i = 0; i < n; i++)
        s += exp((double)x[i] - (double)top);
    return (double)top + log(s);
}

void lm_result_done(LmResult *r)
{
    free(r->ids);
    free(r->logprob);
    free(r->prompt_logprob);
    *r = (LmResult){0};
}

/* ---- choosing a token ---- */

typedef struct Ranked {
    float x;
    int32_t id;
} Ranked;

static int by_rank(const void *a, const void *b)
{
    const Ranked *p = a, *q = b;
    if (p->x != q->x)
        return p->x > q->x ? -1 : 1;
    return p->id < q->id ? -1 : p->id > q->id;
}

static int32_t argmax(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return (int32_t)best;
}

/* The smallest set of tokens whose probability reaches top_p, then one of them. */
static Err draw(const float *logits, int64_t v, const LmDecode *how, Rng *rng, int32_t *out)
{
    Ranked *r;
    TRY(NEW(r, (size_t)v));
    for (int64_t i = 0; i < v; i++)
        r[i] = (Ranked){logits[i] / (float)how->temperature, (int32_t)i};
    qsort(r, (size_t)v, sizeof *r, by_rank);
    double total = 0, kept = 0;
    for (int64_t i = 0; i < v; i++)
        total += exp((double)r[i].x - (double)r[0].x);
    int64_t n = 0;
    while (n < v && (n == 0 || kept < how->top_p * total))
        kept += exp((double)r[n++].x - (double)r[0].x);
    double u = rng_uniform(rng) * kept;
    int64_t i = 0;
    for (; i + 1 < n; i++) {
        u -= exp((double)r[i].x - (double)r[0].x);
        if (u < 0)
            break;
    }
    *out = r[i].id;
    free(r);
    return OK;
}

/* The end cannot be chosen before min_new tokens. */
static void hold_end(const LmConfig *c, const LmDecode *how, size_t written, float *logits)
{
    for (int i = 0; (int)written < how->min_new && i < c->n_eos; i++)
        if (c->eos[i] >= 0 && c->eos[i] < c->vocab)
            logits[c->eos[i]] = -INFINITY;
}

/* ---- one sequence ---- */

static Err start_result(LmResult *r, size_t n_prompt, const LmDecode *how)
{
    *r = (LmResult){0};
    TRY(NEW0(r->ids, (size_t)how->max_new + 1));
    if (how->logprobs) {
        TRY(NEW0(r->logprob, (size_t)how->max_new + 1));
        TRY(NEW0(r->prompt_logprob, n_prompt));
    }
    return OK;
}

/* A stretch of the prompt with the log probability of every token that follows one of it. */
static Err read_scored(Lm *m, const int32_t *prompt, size_t from, size_t n, size_t total,
                       KvCache *cache, float *last, JobCtl *ctl, LmResult *r)
{
    size_t v = (size_t)lm_config(m)->vocab;
    float *all;
    TRY(NEW(all, n * v));
    Err err = lm_step(m, prompt + from, 1, (int64_t)n, cache, true, ctl, all);
    for (size_t i = 0; err == OK && i < n && from + i + 1 < total; i++) {
        const float *row = all + i * v;
        r->prompt_logprob[from + i] = (double)row[prompt[from + i + 1]] - log_sum(row, (int64_t)v);
    }
    if (err == OK)
        memcpy(last, all + (n - 1) * v, v * sizeof *last);
    free(all);
    return err;
}

/* Reads the prompt into the cache, a stretch at a time; last receives the logits behind it. Dynamic
 * rotary scaling depends on the whole length, so such a prompt is read at once. */
static Err read_prompt(Lm *m, const int32_t *prompt, size_t n, KvCache *cache, float *last,
                       JobCtl *ctl, LmResult *r)
{
    size_t most = r->prompt_logprob ? STRETCH / 4 : STRETCH;
    if (lm_config(m)->scaling.kind == ROPE_DYNAMIC)
        most = n;
    for (size_t from = 0, step; from < n; from += step) {
        step = n - from < most ? n - from : most;
        if (r->prompt_logprob)
            TRY(read_scored(m, prompt, from, step, n, cache, last, ctl, r));
        else
            TRY(lm_step(m, prompt + from, 1, (int64_t)step, cache, false, ctl, last));
    }
    return OK;
}

static Err one_sequence(Lm *m, const LmDecode *how, KvCache *cache, float *logits, JobCtl *ctl,
                        LmResult *r)
{
    const LmConfig *c = lm_config(m);
    Rng rng = rng_make(how->seed, 0x6c6d);
    while ((int)r->n < how->max_new) {
        hold_end(c, how, r->n, logits);
        int32_t id = argmax(logits, c->vocab);
        if (how->temperature > 0)
            TRY(draw(logits, c->vocab, how, &rng, &id));
        if (r->logprob)
            r->logprob[r->n] = (double)logits[id] - log_sum(logits, c->vocab);
        r->ids[r->n++] = id;
        if (how->on_token)
            how->on_token(how->user, id);
        TRY(job_progress(ctl, r->n));
        if (is_eos(c, id) || (int)r->n == how->max_new)
            break;
        TRY(lm_step(m, &id, 1, 1, cache, false, ctl, logits));
    }
    return OK;
}

/* ---- beams ---- */

typedef struct Beam {
    double score;
    int32_t *ids; /* [max_new] */
    size_t n;
    bool used; /* of the hypotheses */
} Beam;

typedef struct Candidate {
    double score;
    int32_t beam, id;
} Candidate;

typedef struct Search {
    const LmConfig *c;
    int beams, keep, max_new, min_new;
    Beam open[BEAMS_MAX], next[BEAMS_MAX];
    Beam done[BEAMS_MAX]; /* best first */
    Candidate *top;       /* [keep] */
    int32_t parent[BEAMS_MAX], token[BEAMS_MAX];
} Search;

static void search_done(Search *s)
{
    for (int i = 0; i < s->beams; i++) {
        free(s->open[i].ids);
        free(s->next[i].ids);
        free(s->done[i].ids);
    }
    free(s->top);
}

static Err search_init(Search *s, const LmConfig *c, const LmDecode *how)
{
    *s = (Search){.c = c, .beams = how->beams, .max_new = how->max_new, .min_new = how->min_new};
    s->keep = (c->n_eos > 1 ? 1 + c->n_eos : 2) * how->beams;
    TRY(NEW(s->top, (size_t)s->keep));
    for (int i = 0; i < s->beams; i++) {
        TRY(NEW(s->open[i].ids, (size_t)how->max_new));
        TRY(NEW(s->next[i].ids, (size_t)how->max_new));
        TRY(NEW(s->done[i].ids, (size_t)how->max_new));
        s->open[i].score = i ? -1e9 : 0;
    }
    return OK;
}

static void insert_top(Search *s, int *n, Candidate x)
{
    int i = *n;
    if (i == s->keep && x.score <= s->top[i - 1].score)
        return;
    if (i < s->keep)
        (*n)++;
    else
        i--;
    for (; i > 0 && s->top[i - 1].score < x.score; i--)
        s->top[i] = s->top[i - 1];
    s->top[i] = x;
}

/* The best `keep` continuations of all open beams; returns how many there are. */
static int rank_all(Search *s, const float *logits)
{
    int n = 0;
    int64_t v = s->c->vocab;
    for (int b = 0; b < s->beams; b++) {
        const float *x = logits + b * v;
        double z = log_sum(x, v);
        for (int64_t i = 0; i < v; i++) {
            double score = s->open[b].score + (double)x[i] - z;
            bool held = (int)s->open[b].n < s->min_new && is_eos(s->c, (int32_t)i);
            if (!held && (n < s->keep || score > s->top[n - 1].score))
                insert_top(s, &n, (Candidate){score, (int32_t)b, (int32_t)i});
        }
    }
    return n;
}

static void write_beam(Beam *to, const Beam *from, int32_t last, double score)
{
    memcpy(to->ids, from->ids, from->n * sizeof *to->ids);
    to->n = from->n;
    to->ids[to->n++] = last;
    to->score = score;
    to->used = true;
}

static void insert_done(Search *s, Candidate x)
{
    int i = s->beams - 1;
    const Beam *from = &s->open[x.beam];
    double score = x.score / (double)(from->n + 1);
    if (s->done[i].used && score <= s->done[i].score)
        return;
    Beam b = s->done[i]; /* its room is used again */
    write_beam(&b, from, x.id, score);
    for (; i > 0 && (!s->done[i - 1].used || s->done[i - 1].score < score); i--)
        s->done[i] = s->done[i - 1];
    s->done[i] = b;
}

/* Sorts the candidates into hypotheses and the next open beams; false when none stays open. */
static bool advance(Search *s, int n)
{
    int open = 0;
    for (int k = 0; k < n; k++) {
        Candidate x = s->top[k];
        const Beam *from = &s->open[x.beam];
        bool ends = is_eos(s->c, x.id) || (int)from->n + 1 == s->max_new;
        if (ends && k < s->beams)
            insert_done(s, x);
        if (ends || open == s->beams)
            continue;
        write_beam(&s->next[open], from, x.id, x.score);
        s->parent[open] = x.beam;
        s->token[open++] = x.id;
    }
    if (open < s->beams)
        return false;
    for (int b = 0; b < s->beams; b++) {
        Beam old = s->open[b];
        s->open[b] = s->next[b];
        s->next[b] = old;
    }
    return true;
}

/* Could the best open beam, at its present length, still enter the list? */
static bool can_improve(const Search *s)
{
    for (int i = 0; i < s->beams; i++)
        if (!s->done[i].used)
            return true;
    return s->open[0].score / (double)s->open[0].n > s->done[s->beams - 1].score;
}

static Err beam_search(Lm *m, const LmDecode *how, KvCache *cache, float *logits, JobCtl *ctl,
                       LmResult *r)
{
    Search s;
    Err err = search_init(&s, lm_config(m), how);
    if (err != OK)
        goto done;
    for (int b = 1; b < s.beams; b++)
        memcpy(logits + b * s.c->vocab, logits, (size_t)s.c->vocab * sizeof *logits);
    kvcache_set_batch(cache, s.beams);
    int32_t zero[BEAMS_MAX] = {0};
    TRY_GOTO(kvcache_reorder(cache, zero));
    while (advance(&s, rank_all(&s, logits)) && can_improve(&s)) {
        TRY_GOTO(job_progress(ctl, s.open[0].n));
        TRY_GOTO(kvcache_reorder(cache, s.parent));
        TRY_GOTO(lm_step(m, s.token, s.beams, 1, cache, false, ctl, logits));
    }
    const Beam *best = s.done[0].used ? &s.done[0] : &s.open[0];
    memcpy(r->ids, best->ids, best->n * sizeof *r->ids);
    r->n = best->n;
done:
    search_done(&s);
    return err;
}

/* Log probabilities of tokens chosen by beams: one more pass over the whole. */
static Err score_result(Lm *m, const int32_t *prompt, size_t n, LmResult *r)
{
    size_t v = (size_t)lm_config(m)->vocab, total = n + r->n;
    int32_t *ids = NULL;
    float *all = NULL;
    Err err = OK;
    TRY_GOTO(NEW(ids, total));
    TRY_GOTO(NEW(all, total * v));
    memcpy(ids, prompt, n * sizeof *ids);
    memcpy(ids + n, r->ids, r->n * sizeof *ids);
    TRY_GOTO(lm_logits(m, ids, (int64_t)total, all));
    for (size_t i = 0; i < r->n; i++) {
        const float *row = all + (n - 1 + i) * v;
        r->logprob[i] = (double)row[r->ids[i]] - log_sum(row, (int64_t)v);
    }
done:
    free(ids);
    free(all);
    return err;
}

Err lm_generate(Lm *m, const int32_t *prompt, size_t n, const LmDecode *how, JobCtl *ctl,
                LmResult *out)
{
    const LmConfig *c = lm_config(m);
    int beams = how->beams > 1 ? how->beams : 1;
    KvCache *cache = NULL;
    float *logits = NULL;
    LmResult r = {0};
    Err err = OK;
    if (n == 0)
        FAIL(ERR_USAGE, "the prompt is empty");
    if (beams > BEAMS_MAX)
        FAIL(ERR_USAGE, "more than %d beams", BEAMS_MAX);
    for (size_t i = 0; i < n; i++)
        if (prompt[i] < 0 || prompt[i] >= c->vocab)
            FAIL(ERR_MODEL, "token %d of the prompt is beyond the model's %lld rows", prompt[i],
                 (long long)c->vocab);
    job_stage(ctl, "writing", (size_t)how->max_new);
    TRY_GOTO(start_result(&r, n, how));
    TRY_GOTO(NEW(logits, (size_t)beams * (size_t)c->vocab));
    TRY_GOTO(kvcache_new(lm_device(m), c->layers, beams, (int64_t)n + how->max_new,
                         c->kv_heads * c->head_dim, &cache));
    kvcache_reset(cache, 1);
    TRY_GOTO(read_prompt(m, prompt, n, cache, logits, ctl, &r));
    if (how->max_new > 0 && beams > 1) {
        TRY_GOTO(beam_search(m, how, cache, logits, ctl, &r));
        if (how->logprobs)
            TRY_GOTO(score_result(m, prompt, n, &r));
    } else if (how->max_new > 0) {
        TRY_GOTO(one_sequence(m, how, cache, logits, ctl, &r));
    }
    *out = r;
    r = (LmResult){0};
done:
    kvcache_free(cache);
    free(logits);
    lm_result_done(&r);
    return err;
}
