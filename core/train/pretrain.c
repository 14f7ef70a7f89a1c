/* Stage "pretrain": the cell encoder alone, on cells without labels (Cui et al. 2024). A share of a cell's genes is hidden
 * and their values are predicted twice: from the gene's own row, and from the cell's row and the gene's name.
 *   masked      hidden genes stay among the others with the value -1
 *   generative  hidden genes have no value and see the known ones only; later a second pass sees the cell through its
 *               vector, which has to hold the cell by then
 * Writes a folder as scGPT publishes them (best_model.pt, args.json, vocab.json), which `import --scgpt` and stage 1
 * ("encoder") read. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/scgpt_heads.h"
#include "core/model/torch_write.h"
#include "core/train/cell_stream.h"
#include "core/train/run.h"
#include <glob.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { TERMS = 3, VALID_BATCHES = 8 };
static const float CLS_VALUE = -2, HIDDEN_VALUE = -1, PAD_VALUE = -2;
static const char NAME[] = "pretrain";

typedef struct Options {
    double steps, batch, tokens, bins, mask_ratio, held_out, seed, save_every, valid_every, recall_after,
        width, layers, heads, ffn, dropout;
    bool generative;
} Options;

/* One batch on the host. Rows are padded to the longest. Masked: everything is in `known`. */
typedef struct Side {
    size_t width;
    int32_t *gene;  /* [b,width] -1 padding */
    float *value;   /* [b,width] what the encoder sees */
    float *target;  /* [b,width] */
    float *weight;  /* [b,width] 1 where the value is predicted */
    uint8_t *there; /* [b,width] */
} Side;

typedef struct Pretrain {
    Run *r;
    Options o;
    glob_t found;
    CellStream *stream;
    StreamCells cells;
    ParamSet *ps;
    Scgpt enc;
    ScgptHeads heads;
    Tape *tape;
    Side known, unknown;
    uint8_t *visible; /* [b, known + unknown] */
    int32_t *token;   /* scratch: numbers of a cell's chosen genes */
} Pretrain;

static double seconds(void)
{
    struct timespec x;
    clock_gettime(CLOCK_MONOTONIC, &x);
    return (double)x.tv_sec + 1e-9 * (double)x.tv_nsec;
}

/* ---- configuration ---- */
static Err read_options(Pretrain *p)
{
    Run *r = p->r;
    Options *o = &p->o;
    *o = (Options){.steps = 1000, .batch = 32, .tokens = 1200, .bins = 51, .mask_ratio = 0.4,
                   .held_out = 0.03, .save_every = 500, .valid_every = 500, .recall_after = 1000,
                   .width = 512, .layers = 12, .heads = 8, .ffn = 512, .dropout = 0.2};
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

/* "files": names or patterns, relative to the data folder. */
static Err find_files(Pretrain *p)
{
    Run *r = p->r;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->config, "files"), *e,
                *data = cJSON_GetObjectItemCaseSensitive(r->config, "data");
    const char *dir = r->p->data ? r->p->data : cJSON_IsString(data) ? data->valuestring : ".";
    if (!cJSON_IsArray(list) || !cJSON_GetArraySize(list))
        FAIL(ERR_USAGE, "%s: \"files\" must be a list of file names or patterns", r->p->config);
    int flags = GLOB_NOMAGIC;
    cJSON_ArrayForEach(e, list)
    {
        if (!cJSON_IsString(e))
            FAIL(ERR_USAGE, "%s: \"files\": an entry is not a name", r->p->config);
        char *path = e->valuestring[0] == '/' ? mem_strdup(e->valuestring)
                                              : str_format("%s/%s", dir, e->valuestring);
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
    CellStreamSpec s = {.vocabulary = vocabulary,
                        .held_out = p->o.held_out,
                        .seed = (uint64_t)p->o.seed,
                        .values = {.n_bins = (int)p->o.bins}};
    if (!pipeline_kind(values, &s.values.kind) || s.values.kind == VALUES_RANK)
        FAIL(ERR_USAGE, "%s: \"values\" is \"%s\"; it must be \"binned\", \"lognorm\" or \"raw\"",
             r->p->config, values);
    TRY(find_files(p));
    s.file = p->found.gl_pathv;
    s.n_files = p->found.gl_pathc;
    TRY(cell_stream_open(&s, r->ctl, &p->stream));
    r->data_identity = cell_stream_identity(p->stream);
    return OK;
}

/* ---- the batch ---- */
static Err side_init(Side *s, size_t n)
{
    TRY(NEW(s->gene, n));
    TRY(NEW(s->value, n));
    TRY(NEW(s->target, n));
    TRY(NEW(s->weight, n));
    return NEW(s->there, n);
}
static void side_done(Side *s)
{
    free(s->gene);
    free(s->value);
    free(s->target);
    free(s->weight);
    free(s->there);
}

static Err batch_init(Pretrain *p)
{
    size_t n = (size_t)p->o.batch * (size_t)p->o.tokens;
    TRY(side_init(&p->known, n));
    TRY(side_init(&p->unknown, n));
    TRY(NEW(p->visible, n + (size_t)p->o.batch));
    return NEW(p->token, (size_t)p->o.tokens);
}

/* k of 0..n-1, ascending; all when k >= n. */
static size_t choose(Rng *r, size_t n, size_t k, int32_t *out)
{
    size_t m = 0;
    for (size_t i = 0; i < n && m < k; i++)
        if (k >= n || rng_below(r, n - i) < k - m)
            out[m++] = (int32_t)i;
    return m;
}

static void put(Side *s, size_t b, size_t at, int32_t gene, float value, float target, bool predict)
{
    size_t i = b * s->width + at;
    s->gene[i] = gene;
    s->value[i] = value;
    s->target[i] = target;
    s->weight[i] = predict;
    s->there[i] = 1;
}

static void clear(Side *s, size_t b)
{
    size_t n = b * s->width;
    for (size_t i = 0; i < n; i++) {
        s->gene[i] = -1;
        s->value[i] = PAD_VALUE;
    }
    memset(s->target, 0, n * sizeof *s->target);
    memset(s->weight, 0, n * sizeof *s->weight);
    memset(s->there, 0, n);
}

static size_t tokens_of(const Pretrain *p, size_t cell)
{
    size_t n = (size_t)(p->cells.first[cell + 1] - p->cells.first[cell]),
           most = (size_t)p->o.tokens - 1;
    return n < most ? n : most;
}

/* Lays out p->cells; `ratio` of each cell's genes is hidden. key: random numbers. */
static void fill_batch(Pretrain *p, double ratio, uint64_t key)
{
    size_t b = p->cells.n, known = 1, unknown = 1;
    int32_t cls = (int32_t)cell_stream_genes(p->stream)->n + 1;
    for (size_t i = 0; i < b; i++) {
        size_t n = tokens_of(p, i), h = (size_t)((double)n * ratio), k = p->o.generative ? n - h : n;
        known = k + 1 > known ? k + 1 : known;
        unknown = h > unknown ? h : unknown;
    }
    p->known.width = known;
    p->unknown.width = p->o.generative ? unknown : 0;
    clear(&p->known, b);
    clear(&p->unknown, b);
    for (size_t i = 0; i < b; i++) {
        Rng r = rng_make(key, i);
        size_t all = (size_t)(p->cells.first[i + 1] - p->cells.first[i]), at = 1, gone = 0;
        size_t n = choose(&r, all, tokens_of(p, i), p->token), h = (size_t)((double)n * ratio);
        const int32_t *gene = p->cells.gene + p->cells.first[i];
        const float *value = p->cells.value + p->cells.first[i];
        put(&p->known, i, 0, cls, CLS_VALUE, 0, false);
        for (size_t k = 0; k < n; k++) {
            int32_t g = gene[p->token[k]];
            float v = value[p->token[k]];
            bool hide = rng_below(&r, n - k) < h - gone;
            gone += hide;
            if (hide && p->o.generative)
                put(&p->unknown, i, gone - 1, g, 0, v, true);
            else
                put(&p->known, i, at++, g, hide ? HIDDEN_VALUE : v, v, hide);
        }
    }
    size_t w = p->known.width + p->unknown.width;
    for (size_t i = 0; i < b; i++) {
        memcpy(p->visible + i * w, p->known.there + i * p->known.width, p->known.width);
        memcpy(p->visible + i * w + p->known.width, p->unknown.there + i * p->unknown.width,
               p->unknown.width);
    }
}

static double sum_of(const float *x, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += x[i];
    return s;
}

/* ---- the step ---- */
static Tensor *to_f32(Tape *t, const Side *s, const float *x, size_t from, int64_t b)
{
    return tape_input_f32(t, x + from * s->width, 2, b, (int64_t)s->width);
}
static Tensor *to_ids(Tape *t, const Side *s, size_t from, int64_t b)
{
    return tape_input_i32(t, s->gene + from * s->width, 2, b, (int64_t)s->width);
}

/* Losses of rows from .. from+b-1 of the batch: gene, cell, recall (NULL without). Each is a mean over what is hidden
 * in these rows. */
static void forward(Pretrain *p, size_t from, int64_t b, bool recall, Tensor *term[TERMS])
{
    Tape *t = p->tape;
    const Side *k = &p->known, *u = p->o.generative ? &p->unknown : k;
    Tensor *target = to_f32(t, u, u->target, from, b), *weight = to_f32(t, u, u->weight, from, b);
    Tensor *known_gene = to_ids(t, k, from, b), *value = to_f32(t, k, k->value, from, b);
    size_t w = k->width + p->unknown.width;
    Tensor *visible = tape_input_u8(t, p->visible + from * w, 2, b, (int64_t)w);
    Tensor *hidden_gene = p->o.generative ? to_ids(t, u, from, b) : known_gene, *rows, *cell;
    if (p->o.generative) {
        ScgptHidden h = scgpt_forward_generative(t, &p->enc, &p->heads, known_gene, value,
                                                 hidden_gene, visible, NULL);
        rows = h.unknown;
        cell = op_take(t, h.known, 0);
    } else {
        rows = scgpt_forward_masked(t, &p->enc, known_gene, value, &(AttnSpec){.key_mask = visible});
        cell = op_take(t, rows, 0);
    }
    Tensor *names = scgpt_gene_rows(t, &p->enc, hidden_gene);
    term[0] = op_mse(t, scgpt_decode_rows(t, &p->heads, rows), target, weight);
    term[1] = op_mse(t, scgpt_decode_cell(t, &p->heads, cell, names), target, weight);
    term[2] = NULL;
    if (recall) {
        ScgptHidden h =
            scgpt_forward_generative(t, &p->enc, &p->heads, known_gene, value, hidden_gene, visible,
                                     op_detach(t, cell));
        term[2] = op_mse(t, scgpt_decode_rows(t, &p->heads, h.unknown), target, weight);
    }
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
    TRY(cell_stream_read(p->stream, (uint64_t)(step - 1) * b, b, p->r->ctl, &p->cells));
    fill_batch(p, ratio_of(p, &r), seed * 1000003u + (uint64_t)step);
    tape_reset(p->tape);
    tape_set_seed(p->tape, seed * 1000003u + (uint64_t)step);
    Tensor *term[TERMS];
    forward(p, 0, (int64_t)b, p->o.generative && (double)step > p->o.recall_after, term);
    Tensor *loss = op_weighted_sum(p->tape, TERMS, term, (float[TERMS]){1, 1, 1});
    TRY(tape_backward(p->tape, loss));
    Tensor *all[] = {loss, term[0], term[1], term[2]};
    for (int i = 0; i < TERMS + 1; i++) {
        float v = NAN;
        if (all[i])
            TRY(tensor_read(p->tape, all[i], &v));
        log[i] = v;
    }
    return adamw_step(p->ps, adam, step, &log[TERMS + 1]);
}

/* Squared error of telling every hidden gene of row i the mean of the cell's known values. */
static double error_of_mean(const Pretrain *p, const Side *u, size_t i)
{
    const Side *k = &p->known;
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

static Err validate_batch(Pretrain *p, uint64_t key, Validation *v)
{
    fill_batch(p, p->o.generative ? 0.5 : p->o.mask_ratio, key);
    const Side *u = p->o.generative ? &p->unknown : &p->known;
    double hidden = sum_of(u->weight, p->cells.n * u->width);
    Tensor *term[TERMS];
    float loss;
    tape_reset(p->tape);
    forward(p, 0, (int64_t)p->cells.n, false, term);
    TRY(tensor_read(p->tape, term[0], &loss));
    v->error += loss * hidden;
    v->hidden += hidden;
    for (size_t i = 0; i < p->cells.n; i++)
        v->of_mean += error_of_mean(p, u, i);
    return OK;
}

/* Mean squared error on cells kept apart, and that of the cell's mean: what a model must beat. NaN without cells. */
static Err validate(Pretrain *p, double *loss, double *of_mean)
{
    size_t b = (size_t)p->o.batch;
    Validation v = {0};
    StreamCells all = {0}, batch = p->cells;
    float drop = p->enc.drop;
    Err err = cell_stream_read_held_out(p->stream, b * VALID_BATCHES, p->r->ctl, &all);
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
    } n[] = {{"embsize", o->width},     {"nheads", o->heads},
             {"d_hid", o->ffn},         {"nlayers", o->layers},
             {"n_layers_cls", 3},       {"dropout", o->dropout},
             {"pad_value", PAD_VALUE},  {"mask_value", HIDDEN_VALUE},
             {"n_bins", o->bins},       {"max_seq_len", o->tokens},
             {"mask_ratio", o->mask_ratio}, {"steps", o->steps},
             {"batch_size", o->batch},  {"seed", o->seed},
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
        double log[TERMS + 4], from = seconds();
        TRY(one_step(p, &adam, ++step, log));
        bool last = step == steps;
        log[TERMS + 2] = log[TERMS + 3] = NAN;
        double speed = p->o.batch / (seconds() - from);
        if (last || step % (int64_t)p->o.valid_every == 0) {
            TRY(validate(p, loss, of_mean));
            log[TERMS + 2] = *loss;
            log[TERMS + 3] = *of_mean;
        }
        run_log(r, 0, step, adamw_rate(&adam, step), speed, log, TERMS + 4);
        Err stop = job_progress(r->ctl, (size_t)step);
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
    static const char *const COLUMNS[] = {"loss",      "gene",     "cell",        "recall",
                                          "grad_norm", "held_out", "held_out_of_mean"};
    double loss = NAN, of_mean = NAN;
    TRY(read_options(p));
    TRY(open_stream(p));
    TRY(model_init(p));
    TRY(batch_init(p));
    TRY(run_log_open(p->r, "log.tsv", COLUMNS, sizeof COLUMNS / sizeof *COLUMNS,
                     p->r->p->resume != NULL));
    TRY(run_steps(p, &loss, &of_mean));
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
    side_done(&p.known);
    side_done(&p.unknown);
    free(p.visible);
    free(p.token);
    globfree(&p.found);
    return err;
}
