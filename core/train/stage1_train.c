/* Stage 1: cells and texts into one space. Every step draws a batch of cells and one random
 * paraphrase of every type of the library (the bank). Loss terms: cell -> own text over the bank;
 * relatives of the type and types without training cells are left out of the softmax (a type
 * without cells must never be a negative: it would be pushed away from cells that may be it); cell
 * -> text of one ancestor over types unrelated to it; text -> cells of the batch; cell <-> gene
 * words of its telling genes, both ways; matching head on true and hard wrong pairs; the text told
 * from the cell word by word (text inside the Q-Former only). */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/train/measure.h"
#include "core/train/stage1_batch.h"
#include "core/train/start_encoder.h"
#include <math.h>
#include <string.h>

static Err read_options(Stage1Trainer *t)
{
    Run *r = t->r;
    Stage1Options *o = &t->o;
    *o = (Stage1Options){.steps = 500,
                         .batch = 40,
                         .members = 1,
                         .tau = 0.07,
                         .simulated = 0.4,
                         .w_cell = 1,
                         .w_ancestor = 0.5,
                         .w_text = 0.5,
                         .w_gene = 0.15,
                         .name_share = 0.25,
                         .synonym_share = 0.15,
                         .save_every = 100};
    TRY(run_number(r, "steps", 1, 1e8, &o->steps));
    TRY(run_number(r, "batch", 2, 65536, &o->batch));
    TRY(run_number(r, "members", 1, 64, &o->members));
    TRY(run_number(r, "seed", 0, 9e15, &o->seed));
    TRY(run_number(r, "tau", 1e-3, 10, &o->tau));
    TRY(run_number(r, "simulated", 0, 1, &o->simulated));
    TRY(run_number(r, "weight_cell", 0, 100, &o->w_cell));
    TRY(run_number(r, "weight_ancestor", 0, 100, &o->w_ancestor));
    TRY(run_number(r, "weight_text", 0, 100, &o->w_text));
    TRY(run_number(r, "weight_gene_words", 0, 100, &o->w_gene));
    TRY(run_number(r, "weight_match", 0, 100, &o->w_match));
    TRY(run_number(r, "weight_caption", 0, 100, &o->w_caption));
    TRY(run_number(r, "name_share", 0, 1, &o->name_share));
    TRY(run_number(r, "synonym_share", 0, 1, &o->synonym_share));
    TRY(run_number(r, "save_every", 1, 1e8, &o->save_every));
    t->w = r->library->w;
    t->c = stage1_config_default((int64_t)r->corpus->genes->n, (int64_t)t->w);
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(r->config, "shape");
    if (shape)
        TRY(stage1_config_read(shape, &t->c));
    t->c.cell.vocab = (int64_t)r->corpus->genes->n + 2;
    if (stage1_inside(t)) { /* the words of the text tower's tokenizer */
        t->c.query.vocab = (int64_t)wordpiece_size(text_tower_words(r->tower));
        t->c.query.positions = t->c.query.positions ? t->c.query.positions : TEXT_TOKENS;
        t->c.text_width = 0;
        t->c.caption = o->w_caption > 0;
        t->c.query.vocab += t->c.caption; /* [DEC] */
    } else if (o->w_caption > 0) {
        FAIL(ERR_USAGE, "%s: \"weight_caption\" needs text inside the Q-Former (\"text_vocab\")",
             r->p->config);
    }
    return OK;
}

static Err find_relations(Stage1Trainer *t)
{
    const CellTypes *ct = t->r->types;
    size_t n = t->n_types = celltypes_count(ct);
    TRY(NEW0(t->trained, n));
    TRY(NEW0(t->related, n * n));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            t->related[i * n + j] = celltypes_related(ct, (int32_t)i, (int32_t)j);
            if (t->r->corpus->type_cells[j] && celltypes_is_a(ct, (int32_t)j, (int32_t)i))
                t->trained[i] = true;
        }
    return OK;
}

static void fill_int(int32_t *v, size_t n, int32_t x)
{
    for (size_t i = 0; i < n; i++)
        v[i] = x;
}

/* Word numbers of the texts of type[i]: ids [b, bank_width], len [b] (caller frees). */
static Err texts_of(const Stage1Trainer *t, const int32_t *type, int32_t **ids, int32_t **len)
{
    const Stage1Step *s = &t->s;
    size_t b = (size_t)t->o.batch, w = s->bank_width;
    TRY(NEW(*ids, b * w));
    Err err = NEW(*len, b);
    for (size_t i = 0; err == OK && i < b; i++) {
        size_t k = (size_t)type[i];
        memcpy(*ids + i * w, s->bank_ids + k * w, w * sizeof **ids);
        (*len)[i] = s->bank_len[k];
    }
    return err;
}

/* Matching logits of every cell with the text of type[i]. */
static Err match_logits(Stage1Trainer *t, const Stage1 *m, const CellOutput *cells,
                        const int32_t *type, Tensor **out)
{
    Stage1Step *s = &t->s;
    size_t b = (size_t)t->o.batch;
    if (!stage1_inside(t)) {
        for (size_t i = 0; i < b; i++)
            memcpy(s->wrong + i * t->w, s->bank + (size_t)type[i] * t->w, t->w * sizeof(float));
        *out = stage1_match(t->tape, m, cells,
                            tape_input_f32(t->tape, s->wrong, 2, (int64_t)b, (int64_t)t->w));
        return OK;
    }
    int32_t *ids = NULL, *len = NULL;
    Err err = texts_of(t, type, &ids, &len);
    if (err == OK)
        *out = stage1_match_inside(t->tape, m, cells, ids, len, (int64_t)s->bank_width);
    free(ids);
    free(len);
    return err;
}

static Err match_loss(Stage1Trainer *t, const Stage1 *m, const CellOutput *cells, Tensor *sim,
                      Rng *r, Tensor **loss)
{
    Stage1Step *s = &t->s;
    int64_t b = (int64_t)t->o.batch;
    Tensor *yes, *no;
    TRY(match_logits(t, m, cells, s->type, &yes));
    TRY(stage1_draw_wrong(t, sim, r));
    TRY(match_logits(t, m, cells, s->wrong_type, &no));
    fill_int(s->match_label, (size_t)b, 1);
    Tensor *a = op_cross_entropy(t->tape, yes, tape_input_i32(t->tape, s->match_label, 1, b), NULL);
    fill_int(s->match_label, (size_t)b, 0);
    Tensor *c = op_cross_entropy(t->tape, no, tape_input_i32(t->tape, s->match_label, 1, b), NULL);
    *loss = op_weighted_sum(t->tape, 2, (Tensor *[]){a, c}, (float[]){0.5f, 0.5f});
    return OK;
}

/* Telling the text of its type from the cell, word by word (label smoothing 0.1). */
static Err caption_loss(Stage1Trainer *t, const Stage1 *m, const CellOutput *cells, Tensor **loss)
{
    int64_t b = (int64_t)t->o.batch, w = (int64_t)t->s.bank_width;
    int32_t *ids = NULL, *len = NULL, *next = NULL;
    Err err = OK;
    TRY_GOTO(texts_of(t, t->s.type, &ids, &len));
    TRY_GOTO(NEW(next, (size_t)(b * w)));
    for (int64_t i = 0; i < b; i++) {
        for (int64_t k = 0; k < w; k++)
            next[i * w + k] = k + 1 < len[i] ? ids[i * w + k + 1] : -100;
        ids[i * w] = (int32_t)m->c.query.vocab - 1; /* [DEC] stands where [CLS] was */
    }
    Tensor *logits = stage1_caption(t->tape, m, cells, ids, len, w);
    *loss = op_cross_entropy(t->tape, logits, tape_input_i32(t->tape, next, 2, b, w),
                             &(CeSpec){.smoothing = 0.1f});
done:
    free(ids);
    free(len);
    free(next);
    return err;
}

/* Records one step; terms: cell, ancestor, text, gene words, match, caption. */
static Err forward(Stage1Trainer *t, const Stage1 *m, Rng *r, Tensor **total, Tensor *term[TERMS])
{
    Stage1Step *s = &t->s;
    Tape *tp = t->tape;
    int64_t b = (int64_t)t->o.batch, n = (int64_t)t->n_types, w = (int64_t)t->w;
    float inv_tau = (float)(1 / t->o.tau);
    CellOutput cells = stage1_cells(tp, m, &s->in);
    Tensor *texts = stage1_inside(t) ? stage1_texts_inside(tp, m, s->bank_ids, s->bank_len, n,
                                                           (int64_t)s->bank_width)
                                     : stage1_texts(tp, m, tape_input_f32(tp, s->bank, 2, n, w));
    Tensor *sim = op_scale(tp, op_max_similarity(tp, cells.feat, texts), inv_tau);
    CeSpec spec = {.mask = tape_input_u8(tp, s->mask, 2, b, n)};
    const Tensor *target = tape_input_i32(tp, s->target, 1, b);
    term[0] = op_cross_entropy(tp, sim, target, &spec);
    CeSpec anc = {.mask = tape_input_u8(tp, s->anc_mask, 2, b, n)};
    term[1] = op_cross_entropy(tp, sim, tape_input_i32(tp, s->anc_target, 1, b), &anc);
    Tensor *eye = tape_input_f32(tp, s->identity, 2, b, b);
    Tensor *own = op_gather(tp, texts, target);
    Tensor *cell_text = op_scale(tp, op_max_similarity(tp, cells.feat, own), inv_tau);
    CeSpec back = {.mask = tape_input_u8(tp, s->text_mask, 2, b, b)};
    term[2] = op_cross_entropy_soft(tp, op_matmul(tp, cell_text, true, eye, false, 1),
                                    tape_input_f32(tp, s->text_soft, 2, b, b), &back);
    Tensor *words = stage1_gene_words(tp, m, s->gene_word, b, GENE_WORD);
    Tensor *gs = op_scale(tp, op_max_similarity(tp, cells.feat, words), inv_tau);
    const Tensor *diag = tape_input_i32(tp, s->diag, 1, b);
    Tensor *g1 = op_cross_entropy(tp, gs, diag, NULL);
    Tensor *g2 = op_cross_entropy(tp, op_matmul(tp, gs, true, eye, false, 1), diag, NULL);
    term[3] = op_add(tp, g1, g2);
    term[4] = NULL;
    if (m->c.match && t->o.w_match > 0)
        TRY(match_loss(t, m, &cells, sim, r, &term[4]));
    term[5] = NULL;
    if (m->c.caption)
        TRY(caption_loss(t, m, &cells, &term[5]));
    float weight[TERMS] = {(float)t->o.w_cell, (float)t->o.w_ancestor, (float)t->o.w_text,
                           (float)t->o.w_gene, (float)t->o.w_match,    (float)t->o.w_caption};
    *total = op_weighted_sum(tp, TERMS, term, weight);
    return OK;
}

static Err one_step(Stage1Trainer *t, Stage1 *m, const AdamwParams *adam, int64_t member,
                    int64_t step)
{
    double from = clock_seconds(), log[TERMS + 2] = {0};
    uint64_t seed = (uint64_t)t->o.seed + (uint64_t)member + run_own_seed(t->r);
    Rng r = rng_make(seed, (uint64_t)step);
    TRY(stage1_draw_batch(t, &r));
    tape_reset(t->tape);
    tape_set_seed(t->tape, seed * 1000003u + (uint64_t)step);
    Tensor *loss, *term[TERMS];
    TRY(forward(t, m, &r, &loss, term));
    TRY(tape_backward(t->tape, loss));
    float v;
    TRY(tensor_read(t->tape, loss, &v));
    log[0] = v;
    for (int i = 0; i < TERMS; i++) {
        v = 0;
        if (term[i])
            TRY(tensor_read(t->tape, term[i], &v));
        log[1 + i] = v;
    }
    TRY(run_update(t->r, m->ps, adam, step, &log[TERMS + 1]));
    double cells = t->o.batch * t->r->ranks.size;
    run_log(t->r, member, step, adamw_rate(adam, step), cells / (clock_seconds() - from), log,
            TERMS + 2);
    return OK;
}

static Err save_state(Stage1Trainer *t, Stage1 *m, int64_t member, int64_t step)
{
    char name[32];
    snprintf(name, sizeof name, "member%d", (int)member);
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "member", (double)member);
    cJSON_AddNumberToObject(state, "step", (double)step);
    Err err = run_checkpoint_save(t->r, name, m->ps, state);
    cJSON_Delete(state);
    return err;
}

/* The gene table from the data, the rest drawn; "encoder": a pre-trained one. */
static Err start_weights(Stage1Trainer *t, Stage1 *m, uint64_t seed)
{
    size_t g = t->r->corpus->genes->n, w = (size_t)t->c.cell.width;
    float *table;
    TRY(NEW0(table, (g + 2) * w));
    Err err = corpus_gene_table(t->r->corpus, w, 0.3, 0.02, seed, table);
    Rng r = rng_make(seed, 0x636c73);
    for (size_t i = g * w; i < (g + 2) * w; i++)
        table[i] = (float)(0.3 * rng_normal(&r));
    if (err == OK)
        err = param_write(m->ps, m->cell.embedding, table);
    free(table);
    const char *encoder = NULL;
    if (err == OK && cJSON_HasObjectItem(t->r->config, "encoder")) {
        TRY(run_text(t->r, "encoder", &encoder));
        err = start_from_encoder(m->ps, "cell_encoder.model.", &m->cell, t->r->corpus->genes,
                                 encoder);
    }
    return err;
}

/* "continue": true starts from the members that the output folder has. */
static bool continues(const Run *r)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(r->config, "continue"));
}

static Err load_weights(Stage1Trainer *t, Stage1 *m, int64_t member)
{
    char name[40];
    snprintf(name, sizeof name, "member%d.safetensors", (int)member);
    char *path = run_path(t->r, name);
    StFile *f = NULL;
    Err err = st_open(path, &f);
    if (err == OK)
        err = weights_load(m->ps, f, "");
    st_close(f);
    free(path);
    return err;
}

/* Trains one member, from its checkpoint when there is one. */
static Err train_member(Stage1Trainer *t, int64_t member, Stage1 *m)
{
    char name[32];
    snprintf(name, sizeof name, "member%d", (int)member);
    cJSON *state;
    int64_t step = 0, steps = (int64_t)t->o.steps;
    TRY(run_checkpoint_load(t->r, name, m->ps, &state));
    if (state) {
        step = (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(state, "step"));
        cJSON_Delete(state);
        log_info("member %d: goes on after step %d", (int)member, (int)step);
    } else {
        TRY(continues(t->r) ? load_weights(t, m, member)
                            : start_weights(t, m, (uint64_t)t->o.seed + (uint64_t)member));
    }
    AdamwParams adam = adamw_params_default();
    adam.warmup = 40;
    adam = run_adamw(t->r, steps, adam);
    job_stage(t->r->ctl, "training stage 1", (size_t)steps);
    while (step < steps) {
        TRY(one_step(t, m, &adam, member, ++step));
        Err stop;
        TRY(run_progress(t->r, step, &stop));
        if (stop != OK || step % (int64_t)t->o.save_every == 0 || step == steps) {
            TRY(save_state(t, m, member, step));
            if (stop != OK)
                return err_set(stop, "stopped after step %d; go on with --resume %s", (int)step,
                               t->r->out);
        }
    }
    return OK;
}

static Err save_member(Stage1Trainer *t, int64_t member, Stage1 *m)
{
    char name[40];
    snprintf(name, sizeof name, "member%d.safetensors", (int)member);
    char *path = run_path(t->r, name);
    StWriter *w = st_writer_new();
    Err err = weights_save(m->ps, w, "", false);
    if (err == OK)
        err = st_writer_save(w, path);
    st_writer_free(w);
    free(path);
    return err;
}

static void add_trained(const Stage1Trainer *t, cJSON *config)
{
    cJSON *a = cJSON_CreateArray();
    for (size_t i = 0; i < t->n_types; i++)
        if (t->trained[i])
            cJSON_AddItemToArray(a, cJSON_CreateString(celltypes_at(t->r->types, i)->id));
    cJSON_DeleteItemFromObjectCaseSensitive(config, "trained");
    cJSON_AddItemToObject(config, "trained", a);
}

static void set_number(cJSON *o, const char *key, double v)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    cJSON_AddNumberToObject(o, key, v);
}

static void add_sources(const Stage1Trainer *t, cJSON *config)
{
    cJSON *a = cJSON_CreateArray();
    for (size_t i = 0; i < t->r->corpus->n_sets; i++) {
        const CorpusSet *s = &t->r->corpus->set[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", s->name);
        cJSON_AddStringToObject(o, "sha256", s->sha256);
        cJSON_AddNumberToObject(o, "rows", (double)s->n);
        cJSON_AddBoolToObject(o, "averages", s->averages);
        cJSON_AddItemToArray(a, o);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(config, "data");
    cJSON_AddItemToObject(config, "data", a);
}

/* Copies the text tower's files unless the output is where they are. */
static Err copy_file(const char *from_dir, const char *to_dir, const char *name)
{
    char *from = bundle_path(from_dir, name), *to = bundle_path(to_dir, name), *data = NULL;
    size_t len;
    Err err = OK;
    if (strcmp(from, to) != 0)
        err = str_read_file(from, (size_t)1 << 31, ERR_MODEL, &data, &len);
    if (err == OK && data) {
        FILE *f = fopen(to, "wb");
        bool ok = f && fwrite(data, 1, len, f) == len;
        if (f && fclose(f) != 0)
            ok = false;
        if (!ok)
            err = err_set(ERR_GENERAL, "%s: cannot be written", to);
    }
    free(data);
    free(from);
    free(to);
    return err;
}

static Err write_bundle(Stage1Trainer *t)
{
    Run *r = t->r;
    const char *name = "model", *tower;
    (void)!run_text(r, "name", &name);
    TRY(run_text(r, "text_tower", &tower));
    const char *const files[] = {"text.json", "text.safetensors", "vocab.txt"};
    for (int i = 0; i < 3; i++)
        TRY(copy_file(tower, r->out, files[i]));
    TRY(bundle_write_genes(r->out, r->corpus->genes));
    cJSON *config;
    TRY(bundle_read_config(r->out, true, &config));
    cJSON_DeleteItemFromObjectCaseSensitive(config, "name");
    cJSON_AddStringToObject(config, "name", name);
    set_number(config, "format", 1);
    set_number(config, "members", t->o.members);
    set_number(config, "temperature", 0.10);
    set_number(config, "unknown_margin", 0.05);
    cJSON_DeleteItemFromObjectCaseSensitive(config, "stage1");
    cJSON_AddItemToObject(config, "stage1", stage1_config_write(&t->c));
    cJSON_DeleteItemFromObjectCaseSensitive(config, "match_trained");
    cJSON_AddBoolToObject(config, "match_trained", t->c.match && t->o.w_match > 0);
    cJSON_DeleteItemFromObjectCaseSensitive(config, "license");
    cJSON_AddStringToObject(
        config, "license",
        "weights: GPL-3.0-or-later; text tower: as its source (all-MiniLM-L6-v2: Apache-2.0)");
    add_trained(t, config);
    add_sources(t, config);
    Err err = bundle_write_config(r->out, config);
    cJSON_Delete(config);
    if (err == OK)
        err = bundle_write_sums(r->out);
    return err;
}

static Err train_all(Stage1Trainer *t)
{
    static const char *const COLUMNS[] = {"loss",       "cell",  "ancestor", "text",
                                          "gene_words", "match", "caption",  "grad_norm"};
    TRY(read_options(t));
    TRY(find_relations(t));
    TRY(stage1_step_init(t));
    TRY(sampler_new(t->r->corpus, &t->sampler));
    TRY(tape_new(t->r->device, true, &t->tape));
    TRY(run_log_open(t->r, continues(t->r) ? "match.log.tsv" : "log.tsv", COLUMNS,
                     sizeof COLUMNS / sizeof *COLUMNS, t->r->p->resume != NULL));
    Measure *measure;
    TRY(measure_new(t->r, &measure));
    Err err = OK;
    for (int64_t i = 0; err == OK && i < (int64_t)t->o.members; i++) {
        Stage1 m;
        err = stage1_init(t->r->device, &t->c, (uint64_t)t->o.seed + (uint64_t)i, &m);
        if (err != OK)
            break;
        err = train_member(t, i, &m);
        if (err == OK && run_leads(t->r))
            err = save_member(t, i, &m);
        if (err == OK && run_leads(t->r))
            err = measure_member(measure, &m, t->o.tau);
        stage1_done(&m);
    }
    if (err == OK && run_leads(t->r))
        err = measure_write(measure);
    measure_free(measure);
    if (err != OK || !run_leads(t->r))
        return err;
    for (int64_t i = 0; i < (int64_t)t->o.members; i++) {
        char name[32];
        snprintf(name, sizeof name, "member%d", (int)i);
        run_checkpoint_drop(t->r, name);
    }
    return write_bundle(t);
}

Err train_stage1(Run *r)
{
    Stage1Trainer t = {.r = r};
    Err err = train_all(&t);
    sampler_free(t.sampler);
    tape_free(t.tape);
    free(t.trained);
    free(t.related);
    stage1_step_done(&t.s);
    return err;
}
