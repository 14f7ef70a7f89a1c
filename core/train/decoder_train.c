/* Stage 2, cell to text: the describer learns sentences made of facts (describe_text.h) from cells
 * that the frozen cell encoder and Q-Former of the bundle's first member have read. A share of the
 * rows asks for the rest of a sentence about a type that is given (its own cell or another's), so
 * that types without training cells can be described too and a description can be made to begin
 * with a given name. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/describer.h"
#include "core/train/describe_text.h"
#include "core/train/run.h"
#include <math.h>
#include <string.h>

enum { TERMS = 2 };

typedef struct Dec {
    Run *r;
    double steps, batch, seed, simulated, given, merges, save_every;
    Stage1Config c1;
    Stage1 stage1;
    Bpe *bpe;
    Describer x;
    Sampler *sampler;
    Tape *frozen, *tape;
    CellInput in;
    DrawnCell cell;
    Target *target; /* [batch] */
    int32_t *list;  /* [batch, K] genes of each cell, best first */
    float *value;
    float *query; /* [batch, Q, Dq] */
    int64_t k;    /* genes in a list */
} Dec;

static Err read_options(Dec *d)
{
    d->steps = 400;
    d->batch = 32;
    d->simulated = 0.4;
    d->given = 0.3;
    d->merges = 1500;
    d->save_every = 100;
    double width = 192, layers = 3, heads = 6, ffn = 512, prefix = 12;
    TRY(run_number(d->r, "steps", 1, 1e8, &d->steps));
    TRY(run_number(d->r, "batch", 1, 65536, &d->batch));
    TRY(run_number(d->r, "seed", 0, 9e15, &d->seed));
    TRY(run_number(d->r, "simulated", 0, 1, &d->simulated));
    TRY(run_number(d->r, "given", 0, 1, &d->given));
    TRY(run_number(d->r, "merges", 0, 60000, &d->merges));
    TRY(run_number(d->r, "save_every", 1, 1e8, &d->save_every));
    TRY(run_number(d->r, "width", 8, 8192, &width));
    TRY(run_number(d->r, "layers", 1, 128, &layers));
    TRY(run_number(d->r, "heads", 1, 128, &heads));
    TRY(run_number(d->r, "ffn", 8, 65536, &ffn));
    TRY(run_number(d->r, "prefix_genes", 1, 96, &prefix));
    d->x.c = (DescriberConfig){.lm = {(int64_t)width, (int64_t)layers, (int64_t)heads,
                                      (int64_t)heads, (int64_t)ffn, 0, 1e-5f, 10000},
                               .project = 256,
                               .prefix_genes = (int64_t)prefix};
    return OK;
}

/* The bundle's first member, as inference reads it. */
static Err load_stage1(Dec *d)
{
    cJSON *config;
    TRY(bundle_read_config(d->r->out, false, &config));
    d->c1 = stage1_config_default((int64_t)d->r->corpus->genes->n, (int64_t)d->r->library->w);
    Err err = stage1_config_read(cJSON_GetObjectItemCaseSensitive(config, "stage1"), &d->c1);
    cJSON_Delete(config);
    TRY(err);
    if (d->c1.cell.vocab != (int64_t)d->r->corpus->genes->n + 2)
        FAIL(ERR_MODEL, "%s: was trained on other genes than this configuration's files have",
             d->r->out);
    TRY(stage1_init(d->r->device, &d->c1, PARAMS_BLANK, &d->stage1));
    char *path = run_path(d->r, "member0.safetensors");
    StFile *f = NULL;
    err = st_open(path, &f);
    if (err == OK)
        err = weights_load(d->stage1.ps, f, "");
    st_close(f);
    free(path);
    return err;
}

static Err learn_tokens(Dec *d)
{
    char **texts;
    size_t n;
    TRY(describe_corpus(d->r->types, &texts, &n));
    Err err = bpe_learn((const char *const *)texts, n, (size_t)d->merges, &d->bpe);
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
    return err;
}

/* Places in the cell's list that a description names: at most two markers of the type, then the
 * most telling. */
static size_t choose_genes(const Dec *d, const int32_t *list, size_t n, const CellType *t, Rng *r,
                           int32_t *out)
{
    const GeneSpace *g = d->r->corpus->genes;
    size_t m = 0;
    for (size_t i = 0; i < t->high.n && m < 2; i++) {
        int64_t want = strmap_get(g->by_name, t->high.v[i], -1);
        for (size_t k = 0; k < n; k++)
            if (list[k] == want && (m == 0 || out[0] != (int32_t)k) && rng_uniform(r) < 0.8) {
                out[m++] = (int32_t)k;
                break;
            }
    }
    for (size_t k = 0; k < n && m < DESCRIBE_GENES; k++) {
        bool taken = describe_dull_gene(g->name[list[k]]);
        for (size_t j = 0; j < m; j++)
            taken |= out[j] == (int32_t)k;
        if (!taken)
            out[m++] = (int32_t)k;
    }
    return m;
}

/* Row i: a cell, its gene list, its text. given: the text is about `type`, whose name is not asked
 * for. */
static Err draw_row(Dec *d, size_t i, Rng *r, bool *given)
{
    const GeneSpace *g = d->r->corpus->genes;
    int32_t *list = d->list + i * (size_t)d->k;
    size_t n = 0;
    do {
        TRY(sampler_draw(d->sampler, r, (double)i < d->simulated * d->batch, &d->cell));
        n = genespace_tokens(g, d->cell.gene, d->cell.count, d->cell.n, d->cell.panel, (size_t)d->k,
                             list, d->value + i * (size_t)d->k);
    } while (n == 0);
    cell_input_set(&d->in, (int64_t)i, list, d->value + i * (size_t)d->k, n, g->mean,
                   d->c1.cell.vocab);
    for (size_t k = n; k < (size_t)d->k; k++)
        list[k] = -1;
    *given = rng_uniform(r) < d->given;
    size_t type = *given ? rng_below(r, celltypes_count(d->r->types)) : (size_t)d->cell.type;
    int32_t gene[DESCRIBE_GENES];
    const CellType *t = celltypes_at(d->r->types, type);
    size_t m = choose_genes(d, list, n, t, r, gene);
    return describe_target(d->bpe, t, (int)rng_below(r, DESCRIBE_WORDINGS), gene, m, &d->target[i]);
}

/* Queries of the frozen model, to the host: the recording tape sees them as inputs. */
static Err read_cells(Dec *d)
{
    tape_reset(d->frozen);
    CellOutput o = stage1_cells(d->frozen, &d->stage1, &d->in);
    return tensor_read(d->frozen, o.query, d->query);
}

typedef struct Rows {             /* word positions of a batch */
    int64_t t;                    /* words per row, <s> included */
    int32_t *word, *gene, *label; /* [B,t] */
    int32_t *len;                 /* [B] with the prefix */
} Rows;

static Err fill_rows(const Dec *d, const bool *given, int64_t prefix, Rows *w)
{
    size_t b = (size_t)d->batch, most = 0;
    int32_t vocab = (int32_t)bpe_size(d->bpe);
    for (size_t i = 0; i < b; i++)
        most = d->target[i].n > most ? d->target[i].n : most;
    w->t = (int64_t)most;
    TRY(NEW(w->word, b * most));
    TRY(NEW(w->gene, b * most));
    TRY(NEW(w->label, b * most));
    TRY(NEW(w->len, b));
    for (size_t i = 0; i < b; i++) {
        const Target *t = &d->target[i];
        w->len[i] = (int32_t)(prefix + (int64_t)t->n);
        for (size_t k = 0; k < most; k++) {
            int32_t in = k == 0 ? BPE_BOS : k <= t->n ? t->ids[k - 1] : BPE_PAD;
            bool gene = in >= vocab;
            w->word[i * most + k] = gene ? -1 : in;
            w->gene[i * most + k] = gene ? d->list[i * (size_t)d->k + (size_t)(in - vocab)] : -1;
            w->label[i * most + k] = k < t->n && !(given[i] && k < t->name_end) ? t->ids[k] : -100;
        }
    }
    return OK;
}

static void rows_done(Rows *w)
{
    free(w->word);
    free(w->gene);
    free(w->label);
    free(w->len);
}

static Tensor *loss_of(Dec *d, const Rows *w)
{
    Tape *t = d->tape;
    int64_t b = (int64_t)d->batch, q = d->c1.queries, pg = d->x.c.prefix_genes;
    const Param *table = d->stage1.cell.embedding;
    Tensor *cell =
        describer_cell(t, &d->x, tape_input_f32(t, d->query, 3, b, q, d->c1.query.width));
    Tensor *genes = describer_genes(t, &d->x, table, tape_input_i32(t, d->list, 2, b, d->k));
    Tensor *words = op_gather(t, &d->x.lm.embed->t, tape_input_i32(t, w->word, 2, b, w->t));
    /* a gene word's vector; rows without one get the bias of the projection, which the mask takes
     * off */
    Tensor *named = describer_genes(t, &d->x, table, tape_input_i32(t, w->gene, 2, b, w->t));
    float *mask = mem_must((size_t)(b * w->t) * sizeof *mask);
    for (int64_t i = 0; i < b * w->t; i++)
        mask[i] = w->gene[i] >= 0;
    named = op_mul_rows(t, named, tape_input_f32(t, mask, 2, b, w->t));
    free(mask);
    Tensor *x[3] = {cell, op_slice(t, genes, 1, 0, pg), op_add(t, words, named)};
    Tensor *h = llama_forward(t, &d->x.lm, op_concat(t, 1, 3, x), w->len, NULL);
    h = op_slice(t, h, 1, q + pg, w->t);
    Tensor *logits = describer_logits(t, &d->x, h, genes);
    return op_cross_entropy(t, logits, tape_input_i32(t, w->label, 2, b, w->t), NULL);
}

static Err one_step(Dec *d, const AdamwParams *adam, int64_t step, bool *given)
{
    double from = clock_seconds(), log[TERMS];
    Rng r = rng_make((uint64_t)d->seed + run_own_seed(d->r), (uint64_t)step);
    Rows w = {0};
    Err err = OK;
    for (size_t i = 0; i < (size_t)d->batch; i++)
        TRY(draw_row(d, i, &r, &given[i]));
    TRY(read_cells(d));
    TRY_GOTO(fill_rows(d, given, d->c1.queries + d->x.c.prefix_genes, &w));
    tape_reset(d->tape);
    tape_set_seed(d->tape, (uint64_t)d->seed * 1000003u + (uint64_t)step + run_own_seed(d->r));
    Tensor *loss = loss_of(d, &w);
    TRY_GOTO(tape_backward(d->tape, loss));
    float v;
    TRY_GOTO(tensor_read(d->tape, loss, &v));
    log[0] = v;
    TRY_GOTO(run_update(d->r, d->x.ps, adam, step, &log[1]));
    double cells = d->batch * d->r->ranks.size;
    run_log(d->r, 0, step, adamw_rate(adam, step), cells / (clock_seconds() - from), log, TERMS);
done:
    rows_done(&w);
    return err;
}

static Err save_state(Dec *d, int64_t step)
{
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "step", (double)step);
    Err err = run_checkpoint_save(d->r, "decoder", d->x.ps, state);
    cJSON_Delete(state);
    return err;
}

static Err train_steps(Dec *d, bool *given)
{
    int64_t step = 0, steps = (int64_t)d->steps;
    cJSON *state;
    TRY(run_checkpoint_load(d->r, "decoder", d->x.ps, &state));
    if (state)
        step = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(state, "step"));
    cJSON_Delete(state);
    AdamwParams adam = adamw_params_default();
    adam.lr = 2e-3f;
    adam.warmup = 40;
    adam = run_adamw(d->r, steps, adam);
    job_stage(d->r->ctl, "training the decoder", (size_t)steps);
    while (step < steps) {
        TRY(one_step(d, &adam, ++step, given));
        Err stop;
        TRY(run_progress(d->r, step, &stop));
        if (stop != OK || step % (int64_t)d->save_every == 0 || step == steps) {
            TRY(save_state(d, step));
            if (stop != OK)
                return err_set(stop, "stopped after step %d; go on with --resume %s", (int)step,
                               d->r->out);
        }
    }
    return OK;
}

static Err write_part(Dec *d)
{
    cJSON *o = describer_config_write(&d->x.c);
    cJSON_AddItemToObject(o, "tokenizer", bpe_write(d->bpe));
    char *text = cJSON_PrintUnformatted(o), *json = run_path(d->r, "decoder.json"),
         *path = run_path(d->r, "decoder.safetensors");
    StWriter *w = st_writer_new();
    Err err = weights_save(d->x.ps, w, "", false);
    if (err == OK)
        err = st_writer_save(w, path);
    if (err == OK)
        err = bundle_write_text(json, text);
    st_writer_free(w);
    cJSON_Delete(o);
    free(text);
    free(json);
    free(path);
    return err;
}

static Err prepare(Dec *d)
{
    DescriberConfig c = d->x.c;
    size_t b = (size_t)d->batch;
    d->k = d->c1.train_tokens;
    c.lm.vocab = (int64_t)bpe_size(d->bpe);
    c.queries = d->c1.queries;
    c.query_width = d->c1.query.width;
    c.cell_width = d->c1.cell.width;
    TRY(describer_init(d->r->device, &c, (uint64_t)d->seed, &d->x));
    TRY(cell_input_init(&d->in, (int64_t)b, d->k + 1));
    TRY(NEW0(d->target, b));
    TRY(NEW(d->list, b * (size_t)d->k));
    TRY(NEW(d->value, b * (size_t)d->k));
    TRY(NEW(d->query, b * (size_t)(c.queries * c.query_width)));
    TRY(sampler_new(d->r->corpus, &d->sampler));
    TRY(tape_new(d->r->device, false, &d->frozen));
    return tape_new(d->r->device, true, &d->tape);
}

static Err run(Dec *d)
{
    static const char *const COLUMNS[] = {"lm", "grad_norm"};
    TRY(read_options(d));
    TRY(load_stage1(d));
    TRY(learn_tokens(d));
    TRY(prepare(d));
    TRY(run_log_open(d->r, "decoder.log.tsv", COLUMNS, TERMS, d->r->p->resume != NULL));
    bool *given;
    TRY(NEW0(given, (size_t)d->batch));
    Err err = train_steps(d, given);
    free(given);
    if (err != OK || !run_leads(d->r))
        return err;
    TRY(write_part(d));
    run_checkpoint_drop(d->r, "decoder");
    return bundle_write_sums(d->r->out);
}

Err train_decoder(Run *r)
{
    Dec d = {.r = r};
    Err err = run(&d);
    for (size_t i = 0; d.target && i < (size_t)d.batch; i++)
        free(d.target[i].ids);
    free(d.target);
    free(d.list);
    free(d.value);
    free(d.query);
    cell_input_done(&d.in);
    drawn_cell_done(&d.cell);
    sampler_free(d.sampler);
    tape_free(d.tape);
    tape_free(d.frozen);
    if (d.x.ps)
        describer_done(&d.x);
    if (d.stage1.ps)
        stage1_done(&d.stage1);
    bpe_free(d.bpe);
    return err;
}
