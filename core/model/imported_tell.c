/* Cell to text and text to cell through an imported language model, as stage 2 of the paper lays
 * sequences out:
 *   cell to text   <s> <cell> C_0 .. C_31 </cell>, then the words; C = projected queries
 *   text to cell   <s> words <cell> <cell_0> .. <cell_31> </cell> </s>; the rows behind the last
 *                  norm at <cell_0> are what the expression decoder reads
 * The decoder predicts log1p of 100 x / sum of a cell; counts are drawn from it. */
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/model/imported.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEW_MOST = 256,
    NEW_LEAST = 8,
    SEQUENCE = 128,    /* the longest that stage 2 trains on */
    GENES_AT_ONCE = 4096,
};
static const double SIZE_MEAN = 7.740664, SIZE_SD = 0.4; /* log of 2,300 counts */

/* ---- the prompt ---- */

static int32_t find_token(const Tokenizer *t, const char *name)
{
    for (size_t i = tokenizer_size(t); i-- > 0;) /* added ones stand at the end */
        if (strcmp(tokenizer_token(t, (int32_t)i), name) == 0)
            return (int32_t)i;
    return -1;
}

static Err add_token(const Model *m, const char *name, int32_t *ids, size_t *n)
{
    const Imported *x = m->imported;
    int32_t id = find_token(x->lm_words, name);
    if (id < 0 || id >= x->p.c.l.vocab)
        FAIL(ERR_MODEL,
             "%s: the language model has no token %s; import the stage-2 file with --lightning",
             m->desc.dir, name);
    ids[(*n)++] = id;
    return OK;
}

/* <cell> <cell_00000> .. </cell>; *at: where the first query stands. */
static Err add_cell(const Model *m, int32_t *ids, size_t *n, size_t *at)
{
    char name[32];
    TRY(add_token(m, "<cell>", ids, n));
    *at = *n;
    for (int64_t q = 0; q < m->imported->p.c.queries; q++) {
        snprintf(name, sizeof name, "<cell_%05lld>", (long long)q);
        TRY(add_token(m, name, ids, n));
    }
    return add_token(m, "</cell>", ids, n);
}

static Err ready(Model *m, JobCtl *ctl)
{
    Imported *x = m->imported;
    if (!m->desc.has_decoder)
        FAIL(ERR_MODEL,
             "%s: the bundle has no language model with a projector of its width (import --llama "
             "and the stage-2 --lightning file)",
             m->desc.dir);
    TRY(parts_open_lm(m->desc.dir, ctl, &x->p));
    return x->lm_words ? OK : tokenizer_open_bundle(m->desc.dir, "lm", &x->lm_words);
}

/* ---- cell to text ---- */

/* One cell that stands for the set: means of the values, the largest of them. */
static Err mean_cell(const Model *m, const DescribeSpec *s, CellTokens *out)
{
    CellTokens t = {.n = 1, .width = (size_t)m->c.tokens};
    float *mean = NULL, *room = NULL;
    int32_t *gene = NULL;
    size_t n = m->genes->n, k = 0;
    Err err = OK;
    TRY_GOTO(NEW0(mean, n));
    TRY_GOTO(NEW(gene, n));
    TRY_GOTO(NEW(room, 2 * n));
    TRY_GOTO(NEW0(t.len, 1));
    for (size_t i = 0; i < s->n_rows; i++) {
        size_t at = s->rows[i] * s->cells->width;
        for (int32_t j = 0; j < s->cells->len[s->rows[i]]; j++)
            mean[s->cells->gene[at + (size_t)j]] += s->cells->value[at + (size_t)j];
    }
    for (size_t g = 0; g < n; g++)
        if (mean[g] > 0) {
            gene[k] = (int32_t)g;
            mean[k++] = mean[g] / (float)s->n_rows;
        }
    Pipeline raw = {.kind = VALUES_RAW, .most = t.width};
    k = pipeline_apply(&raw, gene, mean, k, 0, false, room);
    t.width = k ? k : 1;
    t.len[0] = (int32_t)k;
    t.gene = gene;
    t.value = mean;
    *out = t;
    gene = NULL;
    mean = NULL;
    t.len = NULL;
done:
    free(mean);
    free(gene);
    free(room);
    free(t.len);
    return err;
}

/* soft[Q,H] of one cell. */
static Err project_cell(Model *m, const CellTokens *cell, size_t row, float **soft)
{
    const Parts *p = &m->imported->p;
    CellInput in = {0};
    Err err = OK;
    TRY(NEW(*soft, (size_t)(p->c.queries * p->c.llm_width)));
    TRY_GOTO(cell_input_init(&in, 1, (int64_t)cell->len[row] + 1));
    imported_batch(m->imported, cell, NULL, row, &in);
    tape_reset(m->tape);
    CellOutput o = stage1_cells(m->tape, &m->member[0], &in);
    TRY_GOTO(tensor_read(m->tape, parts_project(m->tape, p, o.query), *soft));
done:
    cell_input_done(&in);
    return err;
}

typedef struct Stream {
    const Tokenizer *t;
    JobCtl *ctl;
    int32_t ids[NEW_MOST + 1];
    size_t n, shown;
} Stream;

/* Passes on what no later token can change. */
static void on_token(void *user, int32_t id)
{
    Stream *s = user;
    char *text;
    if (s->n == NEW_MOST)
        return;
    s->ids[s->n++] = id;
    size_t n;
    if (tokenizer_decode_certain(s->t, s->ids, s->n, true, &text, &n) != OK)
        return;
    if (n > s->shown) {
        job_text(s->ctl, text + s->shown);
        s->shown = n;
    }
    free(text);
}

static Err write_words(Model *m, const DescribeSpec *s, const float *soft, JobCtl *ctl,
                       DescribeResult *out)
{
    Imported *x = m->imported;
    size_t n = 0, at, room = (size_t)x->p.c.queries + 4;
    int32_t *ids;
    LmResult r = {0};
    Stream stream = {.t = x->lm_words, .ctl = ctl};
    bool sampled = s->temperature > 0;
    LmDecode how = {.max_new = s->max_tokens > 0 && s->max_tokens < NEW_MOST ? s->max_tokens
                                                                            : NEW_MOST,
                    .beams = sampled ? 1 : s->beams,
                    .temperature = sampled ? (double)s->temperature : 0,
                    .top_p = 1,
                    .seed = s->seed,
                    .on_token = on_token,
                    .user = &stream};
    how.min_new = how.max_new < NEW_LEAST ? how.max_new : NEW_LEAST;
    TRY(NEW(ids, room));
    ids[n++] = x->p.c.l.bos;
    Err err = add_cell(m, ids, &n, &at);
    if (err == OK) {
        lm_set_soft(x->p.lm, &(LmSoft){(int64_t)at, x->p.c.queries, soft});
        err = lm_generate(x->p.lm, ids, n, &how, ctl, &r);
        lm_set_soft(x->p.lm, NULL);
    }
    free(ids);
    DescribeResult d = {0};
    bool stopped = err == ERR_CANCELLED && stream.n > 0;
    if (err == OK)
        err = tokenizer_decode(x->lm_words, r.ids, r.n, true, &d.text, NULL);
    else if (stopped)
        err = tokenizer_decode(x->lm_words, stream.ids, stream.n, true, &d.text, NULL);
    d.tokens = stopped ? stream.n : r.n;
    d.cancelled = stopped;
    lm_result_done(&r);
    TRY(err);
    if (strlen(d.text) > stream.shown)
        job_text(ctl, d.text + stream.shown);
    *out = d;
    return OK;
}

Err imported_describe(Model *m, const DescribeSpec *s, JobCtl *ctl, DescribeResult *out)
{
    CellTokens mean = {0};
    float *soft = NULL;
    Err err = OK;
    TRY(ready(m, ctl));
    job_stage(ctl, "describing", 0);
    if (s->n_rows > 1)
        TRY_GOTO(mean_cell(m, s, &mean));
    TRY_GOTO(s->n_rows > 1 ? project_cell(m, &mean, 0, &soft)
                           : project_cell(m, s->cells, s->rows[0], &soft));
    TRY_GOTO(write_words(m, s, soft, ctl, out));
done:
    cell_tokens_done(&mean);
    free(soft);
    return err;
}

/* ---- text to cell ---- */

/* token[H]: the row at <cell_0> behind the prompt. */
static Err read_prompt(Model *m, const char *prompt, JobCtl *ctl, float **token)
{
    Imported *x = m->imported;
    size_t h = (size_t)x->p.c.l.width, extra = (size_t)x->p.c.queries + 4, k, n = 0, at;
    int32_t *words = NULL, *ids = NULL;
    float *hidden = NULL;
    Err err = OK;
    size_t most = SEQUENCE > extra ? SEQUENCE - extra : 1;
    TRY_GOTO(tokenizer_encode(x->lm_words, prompt, strlen(prompt), false, &words, &k));
    k = k < most ? k : most;
    TRY_GOTO(NEW(ids, k + extra));
    ids[n++] = x->p.c.l.bos;
    memcpy(ids + n, words, k * sizeof *ids);
    n += k;
    TRY_GOTO(add_cell(m, ids, &n, &at));
    if (x->p.c.l.n_eos)
        ids[n++] = x->p.c.l.eos[0];
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= x->p.c.l.vocab)
            FAIL_GOTO(ERR_MODEL, "%s: token %d is beyond the language model's %lld rows",
                      m->desc.dir, ids[i], (long long)x->p.c.l.vocab);
    TRY_GOTO(NEW(hidden, n * h));
    TRY_GOTO(lm_hidden(x->p.lm, ids, (int64_t)n, ctl, hidden));
    memmove(hidden, hidden + at * h, h * sizeof *hidden);
    *token = hidden;
    hidden = NULL;
done:
    free(words);
    free(ids);
    free(hidden);
    return err;
}

typedef struct Column {
    int32_t col, row;
    double rate; /* share of the cell's counts, then running sum of them */
} Column;

/* Columns whose gene the decoder knows, with what it predicts for them. */
static Err predict(Model *m, const GenerateSpec *s, const float *token, Column *c, size_t n)
{
    const Parts *p = &m->imported->p;
    int32_t *ids;
    float *y = NULL;
    TRY(NEW(ids, GENES_AT_ONCE));
    Err err = NEW(y, GENES_AT_ONCE);
    for (size_t at = 0; err == OK && at < n; at += GENES_AT_ONCE) {
        size_t k = n - at < GENES_AT_ONCE ? n - at : GENES_AT_ONCE;
        for (size_t i = 0; i < k; i++)
            ids[i] = c[at + i].row;
        tape_reset(m->tape);
        Tensor *t = tape_input_f32(m->tape, token, 2, (int64_t)1, p->c.llm_width);
        err = tensor_read(m->tape, parts_expression(m->tape, p, t, ids, 1, (int64_t)k), y);
        for (size_t i = 0; err == OK && i < k; i++) {
            int32_t g = s->genes->gene[c[at + i].col];
            double e = y[i] > 0 ? expm1((double)y[i]) : 0;
            c[at + i].rate = e * (s->emphasis ? exp((double)s->emphasis[g]) : 1);
        }
    }
    free(ids);
    free(y);
    return err;
}

static Err draw_cells(const GenerateSpec *s, const Column *c, size_t n, JobCtl *ctl, Csr *out)
{
    Csr x = {0};
    size_t cap = 1, used = 0;
    bool own = s->log_size_mean != 0 || s->log_size_sd != 0;
    double mean = own ? s->log_size_mean : SIZE_MEAN, sd = own ? s->log_size_sd : SIZE_SD;
    Err err = csr_init(&x, s->n, s->genes->n_file, 1);
    for (size_t i = 0; err == OK && i < s->n; i++) {
        Rng r = rng_make(s->seed, i);
        double size = exp(mean + sd * rng_normal(&r));
        if (used + n > cap) {
            cap = (used + n) * 2;
            err = mem_realloc(&x.indices, cap, sizeof *x.indices);
            if (err == OK)
                err = mem_realloc(&x.values, cap, sizeof *x.values);
        }
        for (size_t k = 0; err == OK && k < n; k++) {
            uint64_t v = c[k].rate > 0 ? rng_poisson(&r, size * c[k].rate) : 0;
            if (!v)
                continue;
            x.indices[used] = c[k].col;
            x.values[used++] = (float)v;
        }
        x.indptr[i + 1] = (int64_t)used;
        if (err == OK)
            err = job_progress(ctl, i);
    }
    if (err != OK)
        csr_done(&x);
    else
        *out = x;
    return err;
}

Err imported_generate(Model *m, const GenerateSpec *s, JobCtl *ctl, Csr *counts)
{
    const Imported *x = m->imported;
    float *token = NULL;
    Column *c = NULL;
    size_t n = 0;
    double sum = 0;
    Err err = OK;
    if (!m->desc.has_generator)
        FAIL(ERR_MODEL,
             "%s: the bundle has no expression decoder; it cannot write cells (import the stage-2 "
             "--lightning file)",
             m->desc.dir);
    TRY(ready(m, ctl));
    job_stage(ctl, "generating", s->n);
    TRY_GOTO(read_prompt(m, s->prompt, ctl, &token));
    TRY_GOTO(NEW(c, s->genes->n_file));
    for (size_t i = 0; i < s->genes->n_file; i++) {
        int32_t g = s->genes->gene[i];
        if (g >= 0 && x->row[g] < x->p.c.expr_genes)
            c[n++] = (Column){(int32_t)i, x->row[g], 0};
    }
    TRY_GOTO(predict(m, s, token, c, n));
    for (size_t i = 0; i < n; i++)
        sum += c[i].rate;
    if (!(sum > 0) || !isfinite(sum))
        FAIL_GOTO(ERR_MODEL, "%s: the expression decoder predicts no expression for this prompt",
                  m->desc.dir);
    for (size_t i = 0; i < n; i++)
        c[i].rate /= sum;
    TRY_GOTO(draw_cells(s, c, n, ctl, counts));
done:
    free(token);
    free(c);
    return err;
}
