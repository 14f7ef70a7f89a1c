/* Cell to text: the prefix (projected queries, gene names), then words one by one through the
 * key/value cache: greedy, sampled, or by beam search. Genes come from a given list only. */
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/model/describer.h"
#include "core/model/imported.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TOKENS = 96, MAX_GENES = 256, MAX_BEAMS = 16 };

struct Writer {
    Describer x;
    Bpe *bpe;
};

static Err load_files(Model *m, const char *json, const char *weights, Writer *w)
{
    char *text;
    size_t len;
    TRY(str_read_file(json, 64 << 20, ERR_MODEL, &text, &len));
    cJSON *o = cJSON_ParseWithLength(text, len);
    free(text);
    StFile *f = NULL;
    DescriberConfig c;
    Err err = OK;
    TRY_GOTO(describer_config_read(o, &c));
    TRY_GOTO(bpe_read(cJSON_GetObjectItemCaseSensitive(o, "tokenizer"), &w->bpe));
    if (c.lm.vocab != (int64_t)bpe_size(w->bpe) || c.queries != m->c.queries ||
        c.query_width != m->c.query.width || c.cell_width != m->c.cell.width)
        FAIL_GOTO(ERR_MODEL, "does not fit the tokenizer or stage 1 of this bundle");
    TRY_GOTO(describer_init(m->device, &c, PARAMS_BLANK, &w->x));
    TRY_GOTO(st_open(weights, &f));
    TRY_GOTO(weights_load(w->x.ps, f, ""));
    TRY_GOTO(params_pack(w->x.ps, "llm_model.model.layers", WEIGHT_F32));
done:
    st_close(f);
    cJSON_Delete(o);
    return err == OK ? OK : err_context(err, "%s", json);
}

Err writer_load(Model *m, const char *dir)
{
    char *json = bundle_path(dir, "decoder.json"),
         *weights = bundle_path(dir, "decoder.safetensors");
    Err err = OK;
    if (access(json, R_OK) == 0) {
        m->writer = mem_must(sizeof *m->writer);
        err = load_files(m, json, weights, m->writer);
        m->desc.has_decoder = err == OK;
    }
    free(json);
    free(weights);
    return err;
}

size_t writer_parameters(const Writer *w)
{
    return w ? (size_t)params_elements(w->x.ps, false) : 0;
}

void writer_free(Writer *w)
{
    if (!w)
        return;
    if (w->x.ps)
        describer_done(&w->x);
    bpe_free(w->bpe);
    free(w);
}

/* ---- the cell, or the mean of several ---- */
typedef struct Ranked {
    float score, x;
    int32_t gene;
} Ranked;

static int by_score(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->gene - y->gene;
}

/* Tokens of the mean cell: mean x over the rows (0 where a row lacks the gene), most telling first.
 */
static Err mean_cell(const Model *m, const DescribeSpec *s, int32_t *gene, float *value, size_t *n)
{
    size_t w = s->cells->width, g = m->genes->n, k = 0;
    float *sum;
    Ranked *r = NULL;
    TRY(NEW0(sum, g));
    Err err = NEW(r, g);
    for (size_t i = 0; i < s->n_rows; i++)
        for (int32_t j = 0; j < s->cells->len[s->rows[i]]; j++)
            sum[s->cells->gene[s->rows[i] * w + (size_t)j]] +=
                s->cells->value[s->rows[i] * w + (size_t)j];
    for (size_t i = 0; err == OK && i < g; i++) {
        if (!(sum[i] > 0))
            continue;
        float x = sum[i] / (float)s->n_rows;
        r[k++] = (Ranked){(x - m->genes->mean[i]) * fminf(m->genes->sd[i], 1.5f), x, (int32_t)i};
    }
    if (err == OK) {
        qsort(r, k, sizeof *r, by_score);
        *n = k < w ? k : w;
        for (size_t i = 0; i < *n; i++) {
            gene[i] = r[i].gene;
            value[i] = r[i].x;
        }
    }
    free(sum);
    free(r);
    return err;
}

/* ---- one description ---- */
typedef struct Beam {
    int32_t ids[MAX_TOKENS + 8];
    size_t n;
    double score;
} Beam;

typedef struct Telling {
    Model *m;
    Writer *w;
    const DescribeSpec *s;
    JobCtl *ctl;
    int32_t gene[MAX_GENES]; /* candidates */
    size_t n_gene;
    float *gene_vec; /* [n_gene,H] */
    KvCache *cache;
    float *logits;  /* [beams, V+K] */
    size_t v, room; /* word tokens; tokens that may be written */
    size_t pending; /* bytes already streamed of an unfinished character */
    Str text;
} Telling;

static Err read_cell(Telling *t, float *query)
{
    Model *m = t->m;
    size_t width = t->s->cells->width, n = 0;
    CellInput in = {0};
    int32_t *gene = NULL;
    float *value = NULL;
    Err err = OK;
    TRY_GOTO(NEW(gene, width));
    TRY_GOTO(NEW(value, width));
    TRY_GOTO(cell_input_init(&in, 1, (int64_t)width + 1));
    TRY_GOTO(mean_cell(m, t->s, gene, value, &n));
    if (n == 0)
        FAIL_GOTO(ERR_FEW_GENES, "the cell has no counts in genes that the model knows");
    cell_input_set(&in, 0, gene, value, n, m->genes->mean, m->c.cell.vocab);
    tape_reset(m->tape);
    CellOutput o = stage1_cells(m->tape, &m->member[0], &in);
    TRY_GOTO(tensor_read(m->tape, o.query, query));
    for (size_t i = 0; i < n && t->n_gene < MAX_GENES; i++)
        t->gene[t->n_gene++] = gene[i];
done:
    cell_input_done(&in);
    free(gene);
    free(value);
    return err;
}

/* Logits of the last row of h[B,T,H] into t->logits [B,V+K]. */
static Err read_logits(Telling *t, Tensor *h)
{
    Tape *tape = t->m->tape;
    int64_t b = h->dim[0], width = h->dim[2], k = (int64_t)t->n_gene;
    Tensor *last = op_slice(tape, h, 1, h->dim[1] - 1, 1);
    last = op_reshape(tape, last, TAPE_DIMS(3, 1, b, width));
    Tensor *genes = tape_input_f32(tape, t->gene_vec, 3, 1, k, width);
    TRY(tensor_read(tape, describer_logits(tape, &t->w->x, last, genes), t->logits));
    if (t->s->allowed) /* the prefix may hold genes that must not be named */
        for (int64_t i = 0; i < b; i++)
            for (int64_t j = 0; j < k; j++)
                if (!t->s->allowed[t->gene[j]])
                    t->logits[(size_t)(i * ((int64_t)t->v + k) + (int64_t)t->v + j)] = -INFINITY;
    for (int64_t i = 0; i < b; i++)
        t->logits[(size_t)(i * ((int64_t)t->v + k)) + BPE_PAD] =
            t->logits[(size_t)(i * ((int64_t)t->v + k)) + BPE_BOS] = -INFINITY;
    return OK;
}

/* Vectors of ids (words, or V + gene) as rows [B,1,H] into x. */
static Tensor *embed_ids(Telling *t, const int32_t *ids, int64_t b)
{
    Tape *tape = t->m->tape;
    size_t width = (size_t)t->w->x.c.lm.width;
    int32_t word[MAX_BEAMS + MAX_TOKENS];
    float *named = mem_must((size_t)b * width * sizeof *named);
    for (int64_t i = 0; i < b; i++) {
        bool gene = ids[i] >= (int32_t)t->v;
        word[i] = gene ? -1 : ids[i];
        if (gene)
            memcpy(named + (size_t)i * width,
                   t->gene_vec + (size_t)(ids[i] - (int32_t)t->v) * width, width * sizeof *named);
    }
    Tensor *x = op_gather(tape, &t->w->x.lm.embed->t, tape_input_i32(tape, word, 1, b));
    x = op_add(tape, x, tape_input_f32(tape, named, 2, b, (int64_t)width));
    free(named);
    return x;
}

/* Reads prefix, <s> and the words that it must begin with; leaves the next logits. */
static Err read_prefix(Telling *t, const float *query, const int32_t *begin, size_t n_begin)
{
    Tape *tape = t->m->tape;
    const Describer *x = &t->w->x;
    int64_t q = x->c.queries, pg = x->c.prefix_genes, width = x->c.lm.width;
    const Param *table = t->m->member[0].cell.embedding;
    tape_reset(tape);
    Tensor *g =
        describer_genes(tape, x, table, tape_input_i32(tape, t->gene, 2, 1, (int64_t)t->n_gene));
    TRY(NEW(t->gene_vec, t->n_gene * (size_t)width));
    TRY(tensor_read(tape, g, t->gene_vec));
    tape_reset(tape);
    int32_t first[64], ids[MAX_TOKENS + 1] = {BPE_BOS};
    for (int64_t i = 0; i < pg && i < 64; i++)
        first[i] = i < (int64_t)t->n_gene ? t->gene[i] : -1;
    if (n_begin)
        memcpy(ids + 1, begin, n_begin * sizeof *ids);
    Tensor *part[3];
    part[0] = describer_cell(tape, x, tape_input_f32(tape, query, 3, 1, q, x->c.query_width));
    part[1] = describer_genes(tape, x, table, tape_input_i32(tape, first, 2, 1, pg));
    part[2] = op_reshape(tape, embed_ids(t, ids, (int64_t)n_begin + 1),
                         TAPE_DIMS(3, 1, (int64_t)n_begin + 1, width));
    Tensor *in = op_concat(tape, 1, 3, part);
    int64_t rows = in->dim[1];
    Tensor *h = llama_forward(tape, &x->lm, in, NULL, t->cache);
    kvcache_advance(t->cache, rows);
    return read_logits(t, h);
}

static Err read_next(Telling *t, const int32_t *ids, int64_t b)
{
    Tape *tape = t->m->tape;
    tape_reset(tape);
    Tensor *x = op_reshape(tape, embed_ids(t, ids, b), TAPE_DIMS(3, b, 1, t->w->x.c.lm.width));
    Tensor *h = llama_forward(tape, &t->w->x.lm, x, NULL, t->cache);
    kvcache_advance(t->cache, 1);
    return read_logits(t, h);
}

/* Adds a token's text; returns where it starts. */
static void add_token(const Telling *t, int32_t id, Str *s)
{
    if (id >= (int32_t)t->v) {
        str_addf(s, " %s", t->m->genes->name[t->gene[id - (int32_t)t->v]]);
        return;
    }
    size_t len;
    const char *bytes = bpe_bytes(t->w->bpe, id, &len);
    str_add_n(s, bytes, len);
}

/* Streams whole characters only. */
static void stream(Telling *t)
{
    size_t end = t->text.len;
    while (end > t->pending && ((unsigned char)t->text.data[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > t->pending && (unsigned char)t->text.data[end - 1] >= 0xC0)
        end--; /* a lead byte whose character may be unfinished */
    else
        end = t->text.len;
    if (end > t->pending) {
        char *piece = mem_strndup(t->text.data + t->pending, end - t->pending);
        job_text(t->ctl, piece);
        free(piece);
        t->pending = end;
    }
}

/* A gene is named once. */
static void forbid_named(Telling *t, size_t row, const Beam *b)
{
    float *x = t->logits + row * (t->v + t->n_gene);
    for (size_t i = 0; i < b->n; i++)
        if (b->ids[i] >= (int32_t)t->v)
            x[b->ids[i]] = -INFINITY;
}

static int32_t pick(const Telling *t, Rng *r)
{
    size_t n = t->v + t->n_gene, best = 0;
    for (size_t i = 1; i < n; i++)
        best = t->logits[i] > t->logits[best] ? i : best;
    if (!(t->s->temperature > 0))
        return (int32_t)best;
    double sum = 0, u;
    for (size_t i = 0; i < n; i++)
        sum += exp((t->logits[i] - t->logits[best]) / t->s->temperature);
    u = rng_uniform(r) * sum;
    for (size_t i = 0; i < n; i++) {
        u -= exp((t->logits[i] - t->logits[best]) / t->s->temperature);
        if (u < 0)
            return (int32_t)i;
    }
    return (int32_t)best;
}

static Err write_one(Telling *t, Beam *out)
{
    Rng r = rng_make(t->s->seed, 0x74656c6cu);
    while (out->n < t->room) {
        forbid_named(t, 0, out);
        int32_t id = pick(t, &r);
        if (id == BPE_EOS)
            break;
        out->ids[out->n++] = id;
        add_token(t, id, &t->text);
        stream(t);
        TRY(job_progress(t->ctl, out->n));
        TRY(read_next(t, &id, 1));
    }
    return OK;
}

/* ---- beam search, as transformers does it (length penalty 1, no early stopping) ---- */
typedef struct Option {
    double score;
    int32_t beam, id;
} Option;

static int by_option(const void *a, const void *b)
{
    const Option *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->beam != y->beam ? x->beam - y->beam : x->id - y->id;
}

/* The 2*beams best continuations. */
static size_t continuations(const Telling *t, const Beam *beam, int beams, Option *top)
{
    size_t n = t->v + t->n_gene, cap = 2 * (size_t)beams, m = 0;
    for (int b = 0; b < beams; b++) {
        if (!(beam[b].score > -1e8))
            continue;
        const float *x = t->logits + (size_t)b * n;
        double most = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++)
            most = x[i] > most ? x[i] : most;
        for (size_t i = 0; i < n; i++)
            sum += exp(x[i] - most);
        for (size_t i = 0; i < n; i++) {
            Option o = {beam[b].score + x[i] - most - log(sum), b, (int32_t)i};
            if (m == cap && !(o.score > top[m - 1].score))
                continue;
            size_t at = m < cap ? m++ : m - 1;
            for (; at > 0 && by_option(&o, &top[at - 1]) < 0; at--)
                top[at] = top[at - 1];
            top[at] = o;
        }
    }
    return m;
}

static void keep_best(Beam *done, const Beam *b)
{
    double score = b->score / (double)(b->n + 1); /* </s> counts */
    if (done->n == 0 || score > done->score) {
        *done = *b;
        done->score = score;
    }
}

static Err write_beams(Telling *t, int beams, Beam *out)
{
    Beam *cur, *next, done = {0};
    size_t n_done = 0, row = t->v + t->n_gene;
    TRY(NEW0(cur, 2 * (size_t)beams));
    next = cur + beams;
    Err err = OK;
    for (int b = 0; b < beams; b++)
        cur[b].score = b ? -1e9 : 0;
    for (int b = 1; b < beams; b++)
        memcpy(t->logits + (size_t)b * row, t->logits, row * sizeof *t->logits);
    while (cur[0].n < t->room) {
        Option top[2 * MAX_BEAMS];
        for (int b = 0; b < beams; b++)
            forbid_named(t, (size_t)b, &cur[b]);
        size_t m = continuations(t, cur, beams, top);
        int32_t parent[MAX_BEAMS], ids[MAX_BEAMS];
        int used = 0;
        for (size_t i = 0; i < m && used < beams; i++) {
            Beam b = cur[top[i].beam];
            b.score = top[i].score;
            if (top[i].id == BPE_EOS) {
                if (i < (size_t)beams) {
                    keep_best(&done, &b);
                    n_done++;
                }
                continue;
            }
            b.ids[b.n++] = top[i].id;
            parent[used] = top[i].beam;
            ids[used] = top[i].id;
            next[used++] = b;
        }
        if (used < beams ||
            (n_done >= (size_t)beams && done.score >= next[0].score / (double)(next[0].n + 1)))
            break;
        memcpy(cur, next, (size_t)beams * sizeof *cur);
        TRY_GOTO(job_progress(t->ctl, cur[0].n));
        TRY_GOTO(kvcache_reorder(t->cache, parent));
        TRY_GOTO(read_next(t, ids, beams));
    }
    if (done.n == 0)
        keep_best(&done, &cur[0]);
    *out = done;
done:
    free(cur);
    return err;
}

/* ---- */
static Err start_cache(Telling *t, int beams, const float *query, const int32_t *begin,
                       size_t n_begin)
{
    const LlamaConfig *c = &t->w->x.c.lm;
    int64_t capacity = t->w->x.c.queries + t->w->x.c.prefix_genes + 2 + MAX_TOKENS;
    TRY(kvcache_new(t->m->device, c->layers, beams, capacity, c->width / c->heads * c->kv_heads,
                    &t->cache));
    kvcache_reset(t->cache, 1);
    TRY(NEW(t->logits, (size_t)beams * (t->v + t->n_gene)));
    TRY(read_prefix(t, query, begin, n_begin));
    if (beams > 1) { /* every beam starts from the same prefix */
        int32_t same[MAX_BEAMS] = {0};
        kvcache_set_batch(t->cache, beams);
        TRY(kvcache_reorder(t->cache, same));
    }
    return OK;
}

static Err result(Telling *t, const Beam *b, DescribeResult *out)
{
    const char *text = str_text(&t->text);
    DescribeResult r = {.tokens = b->n};
    TRY(NEW(r.genes, b->n + 1));
    for (size_t i = 0; i < b->n; i++) {
        bool again = b->ids[i] < (int32_t)t->v;
        int32_t g = again ? -1 : t->gene[b->ids[i] - (int32_t)t->v];
        for (size_t k = 0; k < r.n_genes; k++)
            again |= r.genes[k] == g;
        if (!again)
            r.genes[r.n_genes++] = g;
    }
    r.text = mem_strdup(text);
    *out = r;
    return OK;
}

static Err tell(Telling *t, Beam *b)
{
    const DescriberConfig *c = &t->w->x.c;
    int beams = t->s->beams > 1 && !(t->s->temperature > 0) ? t->s->beams : 1;
    int32_t *begin = NULL;
    size_t n_begin = 0, cap = 0;
    float *query;
    if (beams > MAX_BEAMS)
        FAIL(ERR_USAGE, "beams: %d; %d is the most", beams, MAX_BEAMS);
    TRY(NEW(query, (size_t)(c->queries * c->query_width)));
    Err err = read_cell(t, query);
    if (err == OK && t->s->begin)
        err = bpe_encode(t->w->bpe, t->s->begin, strlen(t->s->begin), &begin, &n_begin, &cap);
    if (err == OK && n_begin > MAX_TOKENS / 2)
        err = err_set(ERR_USAGE, "the beginning of the description is too long");
    if (err == OK) {
        str_add(&t->text, t->s->begin ? t->s->begin : "");
        if (t->text.len && beams == 1)
            stream(t);
        err = start_cache(t, beams, query, begin, n_begin);
    }
    if (err == OK)
        err = beams > 1 ? write_beams(t, beams, b) : write_one(t, b);
    if (err == OK && beams > 1) {
        for (size_t i = 0; i < b->n; i++)
            add_token(t, b->ids[i], &t->text);
        job_text(t->ctl, str_text(&t->text));
    }
    free(begin);
    free(query);
    return err;
}

Err model_describe(Model *m, const DescribeSpec *s, JobCtl *ctl, DescribeResult *out)
{
    if (s->n_rows == 0)
        FAIL(ERR_NOT_FOUND, "no cell to describe");
    if (m->imported)
        return imported_describe(m, s, ctl, out);
    if (!m->writer)
        FAIL(ERR_MODEL, "%s: the model has no decoder", m->desc.dir);
    Telling t = {.m = m, .w = m->writer, .s = s, .ctl = ctl, .v = bpe_size(m->writer->bpe)};
    Beam b = {0};
    t.room = s->max_tokens > 0 && s->max_tokens < MAX_TOKENS ? (size_t)s->max_tokens : MAX_TOKENS;
    job_stage(ctl, "describing", 0);
    Err err = tell(&t, &b);
    bool stopped = err == ERR_CANCELLED && t.text.len > 0;
    if (err == OK || stopped) {
        err = result(&t, &b, out);
        if (err == OK)
            out->cancelled = stopped;
    }
    kvcache_free(t.cache);
    free(t.gene_vec);
    free(t.logits);
    str_free(&t.text);
    return err;
}

void describe_result_done(DescribeResult *r)
{
    free(r->text);
    free(r->genes);
    *r = (DescribeResult){0};
}
