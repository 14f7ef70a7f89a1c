/* Stage "pretrain": the cell encoder alone, on cells without labels (Cui et al. 2024). A share of a
 * cell's genes is hidden ("masked": among the others; "generative": they see the others and are not
 * seen) and their values are told twice: from the gene's own row, and from the cell's row and the
 * gene's name. In a later second pass the cell is seen through its row alone, which has to hold the
 * cell by then. Writes a folder as scGPT publishes them (best_model.pt, args.json, vocab.json),
 * which `import --scgpt` and stage 1 ("encoder") read. */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/scgpt_heads.h"
#include "core/model/torch_write.h"
#include "core/train/hidden_batch.h"
#include "core/train/run.h"
#include <glob.h>
#include <math.h>
#include <string.h>

enum { TERMS = 3, VALID_CELLS = 512 };
static const char NAME[] = "pretrain";

typedef struct Options {
    double steps, batch, tokens, bins, mask_ratio, held_out, seed, save_every, valid_every,
        recall_after, width, layers, heads, ffn, dropout;
    bool generative;
} Options;

typedef struct Pretrain {
    Run *r;
    Options o;
    glob_t found;
    char *vocabulary;
    CellStream *stream;
    StreamCells cells;
    ParamSet *ps;
    Scgpt enc;
    ScgptHeads heads;
    Tape *tape;
    HiddenBatch batch;
} Pretrain;

/* ---- configuration ---- */
static Err read_options(Pretrain *p)
{
    Run *r = p->r;
    Options *o = &p->o;
    *o = (Options){.steps = 1000,
                   .batch = 32,
                   .tokens = 1200,
                   .bins = 51,
                   .mask_ratio = 0.4,
                   .held_out = 0.03,
                   .save_every = 500,
                   .valid_every = 500,
                   .recall_after = 1000,
                   .width = 512,
                   .layers = 12,
                   .heads = 8,
                   .ffn = 512,
                   .dropout = 0.2};
    const struct {
        const char *key;
        double lo, hi, *v;
    } n[] = {{"steps", 1, 1e9, &o->steps},
             {"batch", 1, 65536, &o->batch},
             {"tokens", 8, 65536, &o->tokens},
             {"n_bins", 4, 4096, &o->bins},
             {"mask_ratio", 0.01, 0.99, &o->mask_ratio},
             {"held_out", 0, 0.9, &o->held_out},
             {"seed", 0, 1e15, &o->seed},
             {"save_every", 1, 1e9, &o->save_every},
             {"valid_every", 1, 1e9, &o->valid_every},
             {"recall_after", 0, 1e9, &o->recall_after},
             {"width", 4, 8192, &o->width},
             {"layers", 1, 200, &o->layers},
             {"heads", 1, 128, &o->heads},
             {"ffn", 4, 65536, &o->ffn},
             {"dropout", 0, 0.9, &o->dropout}};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        TRY(run_number(r, n[i].key, n[i].lo, n[i].hi, n[i].v));
    if (fmod(o->width, o->heads) != 0)
        FAIL(ERR_USAGE, "%s: \"width\" is not a multiple of \"heads\"", r->p->config);
    const char *objective = "generative";
    if (cJSON_HasObjectItem(r->config, "objective"))
        TRY(run_text(r, "objective", &objective));
    o->generative = strcmp(objective, "generative") == 0;
    if (!o->generative && strcmp(objective, "masked") != 0)
        FAIL(ERR_USAGE, "%s: \"objective\" is \"%s\"; it must be \"masked\" or \"generative\"",
             r->p->config, objective);
    return OK;
}

/* A path of the configuration: relative to the data folder. */
static char *data_path(const Run *r, const char *name)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(r->config, "data");
    const char *dir = r->p->data ? r->p->data : cJSON_IsString(data) ? data->valuestring : ".";
    return name[0] == '/' ? mem_strdup(name) : str_format("%s/%s", dir, name);
}

/* "files": names or patterns. */
static Err find_files(Pretrain *p)
{
    Run *r = p->r;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->config, "files"), *e;
    if (!cJSON_IsArray(list) || !cJSON_GetArraySize(list))
        FAIL(ERR_USAGE, "%s: \"files\" must be a list of file names or patterns", r->p->config);
    int flags = GLOB_NOMAGIC;
    cJSON_ArrayForEach(e, list)
    {
        if (!cJSON_IsString(e))
            FAIL(ERR_USAGE, "%s: \"files\": an entry is not a name", r->p->config);
        char *path = data_path(r, e->valuestring);
        int rc = glob(path, flags, NULL, &p->found);
        flags |= GLOB_APPEND;
        Err err = rc ? err_set(ERR_INPUT, "%s: no such file", path) : OK;
        free(path);
        TRY(err);
    }
    return OK;
}

static Err open_stream(Pretrain *p)
{
    Run *r = p->r;
    const char *values = "binned", *vocabulary = NULL;
    if (cJSON_HasObjectItem(r->config, "values"))
        TRY(run_text(r, "values", &values));
    if (cJSON_HasObjectItem(r->config, "vocabulary"))
        TRY(run_text(r, "vocabulary", &vocabulary));
    CellStreamSpec s = {.held_out = p->o.held_out,
                        .seed = (uint64_t)p->o.seed,
                        .values = {.n_bins = (int)p->o.bins}};
    if (!pipeline_kind(values, &s.values.kind) || s.values.kind == VALUES_RANK)
        FAIL(ERR_USAGE, "%s: \"values\" is \"%s\"; it must be \"binned\", \"lognorm\" or \"raw\"",
             r->p->config, values);
    TRY(find_files(p));
    s.file = p->found.gl_pathv;
    s.n_files = p->found.gl_pathc;
    p->vocabulary = vocabulary ? data_path(r, vocabulary) : NULL;
    s.vocabulary = p->vocabulary;
    TRY(cell_stream_open(&s, r->ctl, &p->stream));
    r->data_identity = cell_stream_identity(p->stream);
    return OK;
}

/* ---- the step ---- */
static Tensor *to_f32(Pretrain *p, const BatchSide *s, const float *x)
{
    return tape_input_f32(p->tape, x, 2, (int64_t)p->batch.b, (int64_t)s->width);
}
static Tensor *to_ids(Pretrain *p, const BatchSide *s)
{
    return tape_input_i32(p->tape, s->gene, 2, (int64_t)p->batch.b, (int64_t)s->width);
}

/* Losses of the batch: gene, cell, recall (NULL without); each a mean over what is hidden. */
static void forward(Pretrain *p, bool recall, Tensor *term[TERMS])
{
    Tape *t = p->tape;
    const HiddenBatch *b = &p->batch;
    const BatchSide *u = hidden_batch_side(b);
    Tensor *target = to_f32(p, u, u->target), *weight = to_f32(p, u, u->weight);
    Tensor *gene = to_ids(p, &b->known), *value = to_f32(p, &b->known, b->known.value);
    Tensor *visible = tape_input_u8(t, b->visible, 2, (int64_t)b->b,
                                    (int64_t)(b->known.width + b->unknown.width));
    Tensor *hidden = b->apart ? to_ids(p, u) : gene, *rows, *cell;
    ScgptHidden h;
    if (b->apart) {
        h = scgpt_forward_generative(t, &p->enc, &p->heads, gene, value, hidden, visible, NULL);
        rows = h.unknown;
        cell = op_take(t, h.known, 0);
    } else {
        rows = scgpt_forward_masked(t, &p->enc, gene, value, &(AttnSpec){.key_mask = visible});
        cell = op_take(t, rows, 0);
    }
    Tensor *names = scgpt_gene_rows(t, &p->enc, hidden);
    term[0] = op_mse(t, scgpt_decode_rows(t, &p->heads, rows), target, weight);
    term[1] = op_mse(t, scgpt_decode_cell(t, &p->heads, cell, names), target, weight);
    term[2] = NULL;
    if (recall) {
        h = scgpt_forward_generative(t, &p->enc, &p->heads, gene, value, hidden, visible,
                                     op_detach(t, cell));
        term[2] = op_mse(t, scgpt_decode_rows(t, &p->heads, h.unknown), target, weight);
    }
}

static void fill_batch(Pretrain *p, double ratio, uint64_t key, uint64_t first)
{
    int32_t cls = (int32_t)cell_stream_genes(p->stream)->n + 1;
    hidden_batch_fill(&p->batch, &p->cells, cls, ratio, key, first);
}

static double ratio_of(const Pretrain *p, Rng *r)
{
    static const double RATIOS[] = {0.25, 0.5, 0.75};
    return p->o.generative ? RATIOS[rng_below(r, 3)] : p->o.mask_ratio;
}

static Err one_step(Pretrain *p, const AdamwParams *adam, int64_t step, double *log)
{
    uint64_t seed = (uint64_t)p->o.seed;
    size_t b = (size_t)p->o.batch;
    Rng r = rng_make(seed, (uint64_t)step);
    uint64_t first = (uint64_t)p->r->ranks.rank * b, all_cells = (uint64_t)p->r->ranks.size * b;
    TRY(cell_stream_read(p->stream, (uint64_t)(step - 1) * all_cells + first, b, p->r->ctl,
                         &p->cells));
    fill_batch(p, ratio_of(p, &r), seed * 1000003u + (uint64_t)step, first);
    tape_reset(p->tape);
    tape_set_seed(p->tape, seed * 1000003u + (uint64_t)step + run_own_seed(p->r));
    Tensor *term[TERMS];
    forward(p, p->o.generative && (double)step > p->o.recall_after, term);
    Tensor *loss = op_weighted_sum(p->tape, TERMS, term, (float[TERMS]){1, 1, 1});
    TRY(tape_backward(p->tape, loss));
    Tensor *all[] = {loss, term[0], term[1], term[2]};
    for (int i = 0; i < TERMS + 1; i++) {
        float v = NAN;
        if (all[i])
            TRY(tensor_read(p->tape, all[i], &v));
        log[i] = v;
    }
    return run_update(p->r, p->ps, adam, step, &log[TERMS + 1]);
}

/* Squared error of telling every hidden gene of row i the mean of the cell's known values. */
static double error_of_mean(const HiddenBatch *b, size_t i)
{
    const BatchSide *k = &b->known, *u = hidden_batch_side(b);
    double sum = 0, n = 0, error = 0;
    for (size_t x = i * k->width + 1; x < (i + 1) * k->width; x++)
        if (k->there[x] && k->weight[x] == 0) {
            sum += k->target[x];
            n++;
        }
    double mean = n > 0 ? sum / n : 0;
    for (size_t x = i * u->width; x < (i + 1) * u->width; x++)
        error += u->weight[x] * (u->target[x] - mean) * (u->target[x] - mean);
    return error;
}

typedef struct Validation {
    double error, of_mean, hidden; /* sums; number of hidden values */
} Validation;

static Err validate_batch(Pretrain *p, uint64_t first, Validation *v)
{
    fill_batch(p, p->o.generative ? 0.5 : p->o.mask_ratio, 0, first);
    double hidden = hidden_batch_count(&p->batch);
    Tensor *term[TERMS];
    float loss;
    tape_reset(p->tape);
    forward(p, false, term);
    TRY(tensor_read(p->tape, term[0], &loss));
    v->error += loss * hidden;
    v->hidden += hidden;
    for (size_t i = 0; i < p->cells.n; i++)
        v->of_mean += error_of_mean(&p->batch, i);
    return OK;
}

/* Mean squared error on cells kept apart, and that of the cell's mean: what a model must beat. NaN
 * without cells. */
static Err validate(Pretrain *p, double *loss, double *of_mean)
{
    size_t b = (size_t)p->o.batch;
    Validation v = {0};
    StreamCells all = {0}, batch = p->cells;
    float drop = p->enc.drop;
    Err err = cell_stream_read_held_out(p->stream, VALID_CELLS, p->r->ctl, &all);
    p->enc.drop = 0;
    tape_set_recording(p->tape, false);
    for (size_t at = 0; err == OK && at < all.n; at += b) {
        p->cells = (StreamCells){.n = all.n - at < b ? all.n - at : b,
                                 .first = all.first + at,
                                 .gene = all.gene,
                                 .value = all.value};
        err = validate_batch(p, at, &v);
    }
    tape_set_recording(p->tape, true);
    p->enc.drop = drop;
    p->cells = batch;
    stream_cells_done(&all);
    *loss = v.hidden > 0 ? v.error / v.hidden : NAN;
    *of_mean = v.hidden > 0 ? v.of_mean / v.hidden : NAN;
    return err;
}

/* ---- the folder ---- */
static Err fill_tensor(void *user, size_t i, float *out)
{
    ParamSet *ps = user;
    return param_read(ps, params_at(ps, i), out);
}

static Err write_weights(Pretrain *p)
{
    size_t n = params_count(p->ps);
    TorchTensor *t;
    TRY(NEW(t, n));
    for (size_t i = 0; i < n; i++) {
        const Param *x = params_at(p->ps, i);
        t[i] = (TorchTensor){x->name, x->t.ndim, x->t.dim};
    }
    char *path = run_path(p->r, "best_model.pt");
    Err err = torch_write(path, t, n, fill_tensor, p->ps);
    free(path);
    free(t);
    return err;
}

static Err write_json(Pretrain *p, const char *file, const cJSON *o)
{
    char *path = run_path(p->r, file), *text = cJSON_Print(o);
    Err err = bundle_write_text(path, text);
    free(text);
    free(path);
    return err;
}

static Err write_vocabulary(Pretrain *p)
{
    static const char *const SPECIAL[] = {"<pad>", "<cls>", "<eoc>"};
    char *path = run_path(p->r, "vocab.json");
    Err err = genespace_write_vocab(cell_stream_genes(p->stream), SPECIAL, 3, path);
    free(path);
    return err;
}

/* What scGPT's own programs read, and where the weights come from. */
static Err write_args(Pretrain *p, double loss, double of_mean)
{
    const Options *o = &p->o;
    const cJSON *values = cJSON_GetObjectItemCaseSensitive(p->r->config, "values");
    cJSON *a = cJSON_CreateObject();
    const struct {
        const char *key;
        double v;
    } n[] = {{"embsize", o->width},
             {"nheads", o->heads},
             {"d_hid", o->ffn},
             {"nlayers", o->layers},
             {"n_layers_cls", 3},
             {"dropout", o->dropout},
             {"pad_value", -2},
             {"mask_value", -1},
             {"n_bins", o->bins},
             {"max_seq_len", o->tokens},
             {"mask_ratio", o->mask_ratio},
             {"steps", o->steps},
             {"batch_size", o->batch},
             {"seed", o->seed},
             {"cells", (double)cell_stream_cells(p->stream)}};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        cJSON_AddNumberToObject(a, n[i].key, n[i].v);
    cJSON_AddStringToObject(a, "pad_token", "<pad>");
    const char *style = cJSON_IsString(values) ? values->valuestring : "binned";
    cJSON_AddStringToObject(a, "input_style", strcmp(style, "lognorm") ? style : "log1p");
    cJSON_AddStringToObject(a, "input_emb_style", "continuous");
    cJSON_AddStringToObject(a, "training_tasks", o->generative ? "both" : "pcpt");
    if (isfinite(loss)) {
        cJSON_AddNumberToObject(a, "held_out_mse", loss);
        cJSON_AddNumberToObject(a, "held_out_mse_of_cell_mean", of_mean);
    }
    cJSON_AddStringToObject(a, "license", "GPL-3.0-or-later");
    Err err = write_json(p, "args.json", a);
    cJSON_Delete(a);
    return err;
}

/* ---- the run ---- */
static Err model_init(Pretrain *p)
{
    const Options *o = &p->o;
    ScgptConfig c = {.vocab = (int64_t)cell_stream_genes(p->stream)->n + 3,
                     .width = (int64_t)o->width,
                     .layers = (int64_t)o->layers,
                     .heads = (int64_t)o->heads,
                     .ffn = (int64_t)o->ffn};
    TRY(params_new(p->r->device, &p->ps));
    TRY(scgpt_init(p->ps, "", &c, (uint64_t)o->seed, &p->enc));
    TRY(scgpt_heads_init(p->ps, "", &c, (uint64_t)o->seed, &p->heads));
    p->enc.drop = (float)o->dropout;
    return tape_new(p->r->device, true, &p->tape);
}

static Err save_state(Pretrain *p, int64_t step)
{
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "step", (double)step);
    Err err = run_checkpoint_save(p->r, NAME, p->ps, state);
    cJSON_Delete(state);
    return err;
}

static Err resume(Pretrain *p, int64_t *step)
{
    cJSON *state;
    TRY(run_checkpoint_load(p->r, NAME, p->ps, &state));
    if (!state)
        return OK;
    *step = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(state, "step"));
    cJSON_Delete(state);
    log_info("goes on after step %lld", (long long)*step);
    return OK;
}

/* Steps to the end, or until somebody stops it: then a checkpoint is left. */
static Err run_steps(Pretrain *p, double *loss, double *of_mean)
{
    Run *r = p->r;
    int64_t step = 0, steps = (int64_t)p->o.steps;
    AdamwParams adam = adamw_params_default();
    adam.lr = 1e-4f;
    adam.beta2 = 0.999f;
    adam.decay = 0;
    adam.warmup = steps / 10;
    adam = run_adamw(r, steps, adam);
    TRY(resume(p, &step));
    job_stage(r->ctl, "pre-training", (size_t)steps);
    while (step < steps) {
        double log[TERMS + 4], from = clock_seconds();
        TRY(one_step(p, &adam, ++step, log));
        bool last = step == steps;
        log[TERMS + 2] = log[TERMS + 3] = NAN;
        double speed = p->o.batch * r->ranks.size / (clock_seconds() - from);
        if (run_leads(r) && (last || step % (int64_t)p->o.valid_every == 0)) {
            TRY(validate(p, loss, of_mean));
            log[TERMS + 2] = *loss;
            log[TERMS + 3] = *of_mean;
        }
        run_log(r, 0, step, adamw_rate(&adam, step), speed, log, TERMS + 4);
        Err stop;
        TRY(run_progress(r, step, &stop));
        if (stop != OK || last || step % (int64_t)p->o.save_every == 0)
            TRY(save_state(p, step));
        if (stop != OK)
            return err_set(stop, "stopped after step %lld; go on with --resume %s", (long long)step,
                           r->out);
    }
    return OK;
}

static Err pretrain(Pretrain *p)
{
    static const char *const COLUMNS[] = {
        "loss", "gene", "cell", "recall", "grad_norm", "held_out", "held_out_of_mean"};
    double loss = NAN, of_mean = NAN;
    TRY(read_options(p));
    TRY(open_stream(p));
    TRY(model_init(p));
    TRY(hidden_batch_init((size_t)p->o.batch, (size_t)p->o.tokens, p->o.generative, &p->batch));
    TRY(run_log_open(p->r, "log.tsv", COLUMNS, sizeof COLUMNS / sizeof *COLUMNS,
                     p->r->p->resume != NULL));
    TRY(run_steps(p, &loss, &of_mean));
    if (!run_leads(p->r))
        return OK;
    TRY(write_vocabulary(p));
    TRY(write_args(p, loss, of_mean));
    TRY(write_weights(p));
    run_checkpoint_drop(p->r, NAME);
    return OK;
}

Err train_pretrain(Run *r)
{
    Pretrain p = {.r = r};
    Err err = pretrain(&p);
    r->data_identity = NULL;
    cell_stream_close(p.stream);
    stream_cells_done(&p.cells);
    scgpt_done(&p.enc);
    params_free(p.ps);
    tape_free(p.tape);
    hidden_batch_done(&p.batch);
    globfree(&p.found);
    free(p.vocabulary);
    return err;
}
