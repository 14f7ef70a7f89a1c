/* The bundle: every parameter of the architecture is looked for among the sources; what is missing
 * or has another shape is named; what is left over is reported. The folder appears whole or not. */
#include "core/model/import.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/bundle.h"
#include "core/model/import_impl.h"
#include "core/model/quantize.h"
#include "core/model/tokenizer.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef PARAMS_BLANK
#define PARAMS_BLANK 0
#endif

typedef struct Import {
    const ImportSpec *s;
    ImportReport *report;
    Pool pool;
    PartsConfig c;
    cJSON *lm;
    Parts parts;
    Device *d;
    LoraRules *rules;
    OutList main, llm;
    Str drawn; /* names of what was drawn, for the card */
    JobCtl *ctl;
} Import;

void import_report_done(ImportReport *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->row[i].name);
        free(r->row[i].shape);
        free(r->row[i].source);
    }
    free(r->row);
    *r = (ImportReport){0};
}

static Err report(ImportReport *r, const char *status, const char *name, const CkTensor *t,
                  const char *source)
{
    char shape[128] = "";
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 256;
        TRY(mem_realloc(&r->row, cap, sizeof *r->row));
        r->cap = cap;
    }
    r->row[r->n++] = (ImportRow){.status = status,
                                 .name = mem_strdup(name),
                                 .shape = mem_strdup(t ? ckpt_shape(t, shape, sizeof shape) : ""),
                                 .source = mem_strdup(source),
                                 .type = t ? st_type_name(t->type) : ""};
    return OK;
}

static Err check_shape(const CkTensor *t, int ndim, const int64_t *dim)
{
    char have[128], want[128];
    bool same = t->ndim == ndim;
    for (int d = 0; same && d < ndim; d++)
        same = t->dim[d] == dim[d];
    if (same)
        return OK;
    CkTensor w = {.ndim = ndim};
    memcpy(w.dim, dim, (size_t)ndim * sizeof *dim);
    FAIL(ERR_MODEL, "%s: tensor %s: has the shape %s, the settings ask for %s", t->file, t->name,
         ckpt_shape(t, have, sizeof have), ckpt_shape(&w, want, sizeof want));
}

/* Where a source would have had the tensor, for the message. */
static const char *expected_in(const Import *m, const char *name)
{
    if (str_starts(name, "llm."))
        return m->s->llama;
    if (str_starts(name, "cell_encoder.") && m->s->scgpt)
        return m->s->scgpt;
    if (str_starts(name, "bert.") && m->s->bert)
        return m->s->bert;
    return m->s->n_lightning ? m->s->lightning[0] : "the sources";
}

static Err missing(Import *m, const char *name)
{
    TRY(report(m->report, "missing", name, NULL, ""));
    const char *shown = str_starts(name, "llm.") ? name + 4 : name;
    if (str_starts(shown, "cell_encoder.model.") && m->s->scgpt)
        shown += strlen("cell_encoder.model.");
    FAIL(ERR_MODEL, "%s: tensor %s: is missing", expected_in(m, name), shown);
}

/* ---- tensors that are made from others ---- */

static Err read_vector(Import *m, const char *name, int64_t n, float **out)
{
    PoolTensor *t = pool_find(&m->pool, name);
    if (!t)
        return missing(m, name);
    TRY(check_shape(t->t, 1, &n));
    TRY(NEW(*out, (size_t)n));
    ckpt_read_f32(t->t, *out);
    t->used = true;
    return report(m->report, "matched", name, t->t, t->t->file);
}

/* Batch normalisation in evaluation is a scale and a shift. */
static Err fold_batch_norm(Import *m, OutTensor *scale, OutTensor *shift)
{
    static const char *const names[4] = {"weight", "bias", "running_mean", "running_var"};
    float *v[4] = {0};
    int64_t n = m->c.c.width;
    Err err = OK;
    for (int i = 0; i < 4; i++) {
        char *name = str_format("cell_encoder.model.bn.%s", names[i]);
        err = read_vector(m, name, n, &v[i]);
        free(name);
        if (err != OK)
            goto done;
    }
    TRY_GOTO(NEW(scale->own, (size_t)n));
    TRY_GOTO(NEW(shift->own, (size_t)n));
    for (int64_t i = 0; i < n; i++) {
        double s = (double)v[0][i] / sqrt((double)v[3][i] + 6.1e-5);
        scale->own[i] = (float)s;
        shift->own[i] = (float)((double)v[1][i] - (double)v[2][i] * s);
    }
done:
    for (int i = 0; i < 4; i++)
        free(v[i]);
    return err;
}

static Err add_batch_norm(Import *m)
{
    OutTensor scale = {.name = "cell_encoder.model.bn.scale", .ndim = 1, .dim = {m->c.c.width}};
    OutTensor shift = scale;
    shift.name = "cell_encoder.model.bn.shift";
    Err err = fold_batch_norm(m, &scale, &shift);
    if (err == OK)
        err = outlist_add(&m->main, &scale);
    if (err != OK) {
        free(scale.own);
        free(shift.own);
        return err;
    }
    return outlist_add(&m->main, &shift);
}

/* Another name under which a Q-Former's tensor may stand: the tied output table, and for a Q-Former
 * made from a BERT the layer it is copied from. */
static char *other_name(const Import *m, const char *name)
{
    if (strcmp(name, "Qformer.cls.predictions.decoder.weight") == 0)
        return mem_strdup("Qformer.bert.embeddings.word_embeddings.weight");
    if (strcmp(name, "Qformer.cls.predictions.decoder.bias") == 0)
        return mem_strdup("Qformer.cls.predictions.bias");
    if (!m->s->from_parts || !str_starts(name, "Qformer.") || strstr(name, "crossattention"))
        return NULL;
    char *s = mem_strdup(name + strlen("Qformer."));
    char *at = strstr(s, "_query.");
    if (at)
        memmove(at, at + strlen("_query"), strlen(at + strlen("_query")) + 1);
    return s;
}

/* A parameter nobody trained: its drawn value. A word table takes BERT's rows, [DEC] is new. */
static Err draw(Import *m, const Param *p, OutTensor *o)
{
    size_t n = (size_t)tensor_size(&p->t);
    TRY(NEW(o->own, n));
    TRY(param_read(m->parts.ps, p, o->own));
    PoolTensor *words = strcmp(p->name, "Qformer.bert.embeddings.word_embeddings.weight") == 0
                            ? pool_find(&m->pool, "bert.embeddings.word_embeddings.weight")
                            : NULL;
    if (words) {
        TRY(check_shape(words->t, 2, (int64_t[]){p->t.dim[0] - 1, p->t.dim[1]}));
        ckpt_read_f32(words->t, o->own);
        words->used = true;
        str_addf(&m->drawn, "- `%s`: its last row, [DEC]\n", p->name);
        return report(m->report, "matched", p->name, words->t, words->t->file);
    }
    str_addf(&m->drawn, "- `%s`\n", p->name);
    return report(m->report, "drawn", p->name, NULL, "seed");
}

/* Every token has the first type: its row joins each position's. */
static Err add_types(Import *m, const Param *p, OutTensor *o)
{
    PoolTensor *t = pool_find(&m->pool, "bert.embeddings.token_type_embeddings.weight");
    size_t rows = (size_t)p->t.dim[0], w = (size_t)p->t.dim[1];
    float *type;
    if (!t)
        return missing(m, "bert.embeddings.token_type_embeddings.weight");
    if (t->t->ndim != 2 || t->t->dim[0] < 1 || (size_t)t->t->dim[1] != w)
        FAIL(ERR_MODEL, "%s: tensor %s: has another width than the positions", t->t->file,
             t->t->name);
    TRY(NEW(type, t->t->elements));
    Err err = NEW(o->own, rows * w);
    if (err == OK) {
        ckpt_read_f32(t->t, type);
        ckpt_read_f32(o->src, o->own);
        for (size_t i = 0; i < rows * w; i++)
            o->own[i] += type[i % w];
        t->used = true;
        o->src = NULL;
        err = report(m->report, "matched", t->name, t->t, t->t->file);
    }
    free(type);
    return err;
}

static Err add_param(Import *m, const Param *p)
{
    PoolTensor *t = pool_find(&m->pool, p->name);
    OutTensor o = {.name = p->name, .ndim = p->t.ndim};
    memcpy(o.dim, p->t.dim, (size_t)p->t.ndim * sizeof *o.dim);
    bool grows = m->s->from_parts && str_ends(p->name, "word_embeddings.weight");
    if (!t && !grows) {
        char *other = other_name(m, p->name);
        t = other ? pool_find(&m->pool, other) : NULL;
        free(other);
    }
    Err err = OK;
    if (t) {
        TRY(check_shape(t->t, o.ndim, o.dim));
        t->used = true;
        o.src = t->t;
        TRY(report(m->report, "matched", p->name, t->t, t->t->file));
        if (m->s->token_types && strcmp(p->name, "bert.embeddings.position_embeddings.weight") == 0)
            err = add_types(m, p, &o);
    } else if (m->s->from_parts && !str_starts(p->name, "cell_encoder.")) {
        err = draw(m, p, &o);
    } else {
        return missing(m, p->name);
    }
    if (err == OK)
        err = outlist_add(&m->main, &o);
    if (err != OK)
        free(o.own);
    return err;
}

static Err collect_main(Import *m)
{
    uint64_t seed = m->s->from_parts ? m->s->seed : PARAMS_BLANK;
    if (!m->c.cell && !m->c.query && !m->c.text)
        return OK;
    TRY(parts_init(m->d, &m->c, seed, &m->parts));
    for (size_t i = 0; i < params_count(m->parts.ps); i++) {
        const Param *p = params_at(m->parts.ps, i);
        if (!strstr(p->name, "cell_encoder.model.bn."))
            TRY(add_param(m, p));
    }
    return m->c.cell_bn ? add_batch_norm(m) : OK;
}

/* ---- the language model ---- */

static Err report_adapter(Import *m, const Lora *l)
{
    const CkTensor *const part[4] = {l->a, l->b, l->magnitude, l->rows};
    for (int i = 0; i < 4; i++)
        if (part[i])
            TRY(report(m->report, "matched", part[i]->name, part[i], part[i]->file));
    return OK;
}

/* A float32 tensor MODULE.SUFFIX [rows,cols] (cols 0: a vector) beside the weight; takes `own`. */
static Err add_beside(Import *m, const char *weight, const char *suffix, float *own, int64_t rows,
                      int64_t cols)
{
    char *name = str_format("%.*s.%s", (int)(strlen(weight) - strlen(".weight")), weight, suffix);
    OutTensor o = {.name = name, .ndim = cols ? 2 : 1, .dim = {rows, cols}, .own = own};
    Err err = outlist_add(&m->llm, &o);
    free(name);
    if (err != OK)
        free(own);
    return err;
}

/* The adapter of o's weight as tensors of its own, which the program adds while it runs (lm.h). */
static Err add_adapter(Import *m, const OutTensor *o)
{
    const Lora *l = &o->lora;
    int64_t rows = o->dim[0], cols = o->dim[1], rank = l->a->dim[0];
    float *w = NULL, *a, *b, *gain;
    if (l->magnitude) {
        TRY(NEW(w, o->src->elements));
        ckpt_read_f32(o->src, w);
    }
    Err err = lora_factors(l, w, rows, cols, &a, &b, &gain);
    free(w);
    TRY(err);
    err = add_beside(m, o->name, "lora_A", a, rank, cols);
    if (err == OK)
        err = add_beside(m, o->name, "lora_B", b, rows, rank);
    else
        free(b);
    if (err == OK && gain)
        return add_beside(m, o->name, "lora_gain", gain, rows, 0);
    free(gain);
    return err;
}

/* Where the table of logits stands when not under its name. In a model that shared one table until
 * an adapter changed one of its two uses it is the shared one, as it was before the adapter. */
static PoolTensor *find_head(const Import *m, OutTensor *o)
{
    PoolTensor *t = pool_find(&m->pool, "llm.model.lm_head.weight");
    if (t || !m->c.untied)
        return t;
    t = pool_find(&m->pool, "llm.model.embed_tokens.weight");
    if (t && t->before)
        o->src = t->before;
    return t;
}

static Err add_language(void *user, const char *name, int ndim, const int64_t *dim)
{
    Import *m = user;
    char *full = str_format("llm.%s", name);
    PoolTensor *t = pool_find(&m->pool, full);
    OutTensor o = {.name = (char *)name, .ndim = ndim};
    if (!t && strcmp(name, "lm_head.weight") == 0)
        t = find_head(m, &o);
    Err err = t ? OK : missing(m, full);
    free(full);
    TRY(err);
    if (!o.src)
        o.src = t->t;
    TRY(check_shape(o.src, ndim, dim));
    t->used = true;
    memcpy(o.dim, dim, (size_t)ndim * sizeof *dim);
    o.quant = quantize_as(m->s->quantize, name, ndim, dim);
    TRY(report(m->report, "matched", name, o.src, o.src->file));
    TRY(lora_find(m->rules, &m->pool, name, o.src, &o.lora, &o.merge));
    if (o.merge)
        TRY(report_adapter(m, &o.lora));
    if (o.merge && m->s->keep_adapter && !o.lora.table && !o.lora.rows) {
        o.merge = false;
        TRY(add_adapter(m, &o));
    }
    return outlist_add(&m->llm, &o);
}

static Err collect_language(Import *m)
{
    if (!m->c.lm)
        return OK;
    TRY(lora_rules_read(m->s->adapter, &m->rules));
    return lm_each_parameter(&m->c.l, add_language, m);
}

/* Left over; a part of an adapter that changes nothing is an error. */
static Err report_rest(Import *m)
{
    for (size_t i = 0; i < m->pool.n; i++) {
        const PoolTensor *t = &m->pool.v[i];
        if (t->used)
            continue;
        TRY(report(m->report, "unused", t->t->name, t->t, t->t->file));
        if (m->c.lm && str_starts(t->name, "llm.") &&
            (t->adapter || strstr(t->name, ".lora_") || strstr(t->name, ".token_adapter.")))
            FAIL(ERR_MODEL,
                 "%s: tensor %s: an adapter part that fits no weight of the model, or of a "
                 "kind that is not supported; merge it with peft's merge_and_unload and save the "
                 "model",
                 t->t->file, t->t->name);
        if (str_starts(t->name, "cell_encoder.model.bn.") && !m->c.cell_bn)
            FAIL(ERR_MODEL, "%s: tensor %s: batch normalisation without its running mean",
                 t->t->file, t->t->name);
    }
    return OK;
}

/* ---- files ---- */

static const struct {
    int part; /* 0 scgpt, 1 bert, 2 llama */
    const char *from, *to;
} COPIES[] = {
    {0, "vocab.json", "vocab.json"},
    {0, "args.json", "cell_args.json"},
    {1, "config.json", "text_config.json"},
    {1, "vocab.txt", "text_vocab.txt"},
    {1, "tokenizer.json", "text_tokenizer.json"},
    {1, "tokenizer_config.json", "text_tokenizer_config.json"},
    {1, "added_tokens.json", "text_added_tokens.json"},
    {2, "tokenizer.model", "lm_tokenizer.model"},
    {2, "tokenizer.json", "lm_tokenizer.json"},
    {2, "vocab.json", "lm_vocab.json"},
    {2, "merges.txt", "lm_merges.txt"},
    {2, "tokenizer_config.json", "lm_tokenizer_config.json"},
    {2, "added_tokens.json", "lm_added_tokens.json"},
};

static Err copy_files(const Import *m, const char *dir)
{
    const char *const folder[3] = {m->s->scgpt, m->s->bert, m->s->llama};
    Err err = OK;
    for (size_t i = 0; err == OK && i < sizeof COPIES / sizeof *COPIES; i++) {
        if (!folder[COPIES[i].part])
            continue;
        char *from = bundle_path(folder[COPIES[i].part], COPIES[i].from);
        char *to = bundle_path(dir, COPIES[i].to);
        if (access(from, F_OK) == 0)
            err = bundle_copy_file(from, to);
        free(from);
        free(to);
    }
    return err;
}

/* A tokenizer that came along must be readable, and its ids rows of the table of words: better said
 * now than at the first prompt. rows 0: there is no table. */
static Err check_tokenizer(const char *dir, const char *tower, const char *from, int64_t rows)
{
    static const char *const ends[] = {"tokenizer.model", "tokenizer.json", "vocab.txt",
                                       "merges.txt"};
    Tokenizer *t = NULL;
    bool there = false;
    Err err = OK;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *path = str_format("%s/%s_%s", dir, tower, ends[i]);
        there = there || access(path, F_OK) == 0;
        free(path);
    }
    if (!there)
        return OK;
    TRY(tokenizer_open_bundle(dir, tower, &t));
    size_t n = tokenizer_size(t);
    if (rows && n > (size_t)rows)
        err = err_set(ERR_MODEL,
                      "%s: the tokenizer's ids go to %zu (%s), the table of words has %lld rows; "
                      "take what was added out of its files, or import the checkpoint that was "
                      "resized for it",
                      from, n - 1, tokenizer_token(t, (int32_t)n - 1), (long long)rows);
    tokenizer_free(t);
    return err;
}

static Err check_tokenizers(const Import *m, const char *dir)
{
    int64_t words = m->c.q.vocab ? m->c.q.vocab : m->c.text ? m->c.t.vocab : 0;
    if (m->s->bert)
        TRY(check_tokenizer(dir, "text", m->s->bert, words));
    return m->s->llama ? check_tokenizer(dir, "lm", m->s->llama, m->c.lm ? m->c.l.vocab : 0) : OK;
}

static Err write_card(const Import *m, const char *dir)
{
    Str s = {0};
    const struct {
        const char *what, *from;
    } source[] = {
        {"cell encoder (scGPT)", m->s->scgpt},
        {"text (BERT)", m->s->bert},
        {"language model (Llama)", m->s->llama},
        {m->s->keep_adapter ? "adapter (LoRA), kept beside the weights" : "adapter (LoRA), merged",
         m->s->adapter}};
    str_add(&s, "# Imported model\n\nBuilt from published checkpoints; their licences and cards "
                "apply. Numbers are computed in float32.\n\n");
    for (int i = 0; i < 4; i++)
        if (source[i].from)
            str_addf(&s, "- %s: `%s`\n", source[i].what, source[i].from);
    for (int i = 0; i < m->s->n_lightning; i++)
        str_addf(&s, "- Lightning file: `%s`\n", m->s->lightning[i]);
    if (m->s->quantize != STORED_F32)
        str_addf(&s,
                 "\nThe language model's matrices are stored with %d bits a weight and one scale "
                 "for each %d weights of a row (its tables of tokens with 8 bits).\n",
                 m->s->quantize == STORED_Q4 ? 4 : 8, (int)STORED_GROUP);
    if (m->drawn.len)
        str_addf(&s,
                 "\n## Untrained\nThese tensors were drawn from seed %llu and never trained; "
                 "whatever depends on them means nothing yet:\n\n%s",
                 (unsigned long long)m->s->seed, str_text(&m->drawn));
    char *path = bundle_path(dir, "MODEL_CARD.md");
    Err err = bundle_write_text(path, str_text(&s));
    free(path);
    str_free(&s);
    return err;
}

static Err write_files(Import *m, const char *dir)
{
    char *main = bundle_path(dir, "model.safetensors"), *llm = bundle_path(dir, "lm.safetensors");
    cJSON *o = parts_config_write(&m->c);
    Err err = OK;
    cJSON_AddStringToObject(o, "name", "imported");
    if (m->lm)
        cJSON_AddItemToObject(o, "lm", cJSON_Duplicate(m->lm, 1));
    if (m->main.n)
        TRY_GOTO(outlist_save(&m->main, main, m->ctl));
    if (m->llm.n)
        TRY_GOTO(outlist_save(&m->llm, llm, m->ctl));
    TRY_GOTO(copy_files(m, dir));
    TRY_GOTO(bundle_write_config(dir, o));
    TRY_GOTO(check_tokenizers(m, dir));
    TRY_GOTO(write_card(m, dir));
    TRY_GOTO(bundle_write_sums(dir));
done:
    cJSON_Delete(o);
    free(main);
    free(llm);
    return err;
}

static Err replace_folder(const Import *m, const char *tmp)
{
    char *old = str_format("%s.%ld.old", m->s->out, (long)getpid());
    bool had = access(m->s->out, F_OK) == 0;
    Err err = OK;
    if (had && rename(m->s->out, old) != 0)
        err = err_set(ERR_GENERAL, "%s: cannot be replaced: %s", m->s->out, strerror(errno));
    else if (rename(tmp, m->s->out) != 0)
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", m->s->out, strerror(errno));
    if (err == OK && had)
        bundle_remove_folder(old);
    else if (err != OK && had && access(m->s->out, F_OK) != 0 && rename(old, m->s->out) != 0)
        err = err_set(ERR_GENERAL, "%s: the old bundle is now %s", m->s->out, old);
    free(old);
    return err;
}

static Err write_bundle(Import *m)
{
    char *tmp = str_format("%s.%ld.tmp", m->s->out, (long)getpid());
    Err err = OK;
    if (mkdir(tmp, 0777) != 0)
        err = err_set(ERR_GENERAL, "%s: cannot be made: %s", tmp, strerror(errno));
    else
        err = write_files(m, tmp);
    if (err == OK)
        err = replace_folder(m, tmp);
    if (err != OK)
        bundle_remove_folder(tmp);
    free(tmp);
    return err;
}

static Err check_target(const ImportSpec *s)
{
    struct stat st;
    if (lstat(s->out, &st) != 0)
        return OK;
    char *config = bundle_path(s->out, "config.json");
    bool bundle = S_ISDIR(st.st_mode) && access(config, F_OK) == 0;
    free(config);
    if (!s->force || !bundle)
        FAIL(ERR_GENERAL, "%s: exists already; %s", s->out,
             bundle ? "--force replaces it" : "it is no bundle, choose another name");
    return OK;
}

static Err run(Import *m)
{
    TRY(check_target(m->s));
    job_stage(m->ctl, "reading the checkpoints", 0);
    TRY(pool_fill(&m->pool, m->s));
    TRY(import_config(m->s, &m->pool, &m->c, &m->lm));
    TRY(device_open("cpu", &m->d));
    TRY(collect_main(m));
    TRY(collect_language(m));
    TRY(report_rest(m));
    return write_bundle(m);
}

Err import_bundle(const ImportSpec *s, JobCtl *ctl, ImportReport *out)
{
    Import m = {.s = s, .report = out, .ctl = ctl};
    *out = (ImportReport){0};
    pool_init(&m.pool);
    Err err = run(&m);
    outlist_done(&m.main);
    outlist_done(&m.llm);
    if (m.parts.ps)
        parts_done(&m.parts);
    if (m.d)
        device_close(m.d);
    lora_rules_free(m.rules);
    cJSON_Delete(m.lm);
    pool_done(&m.pool);
    str_free(&m.drawn);
    return err;
}
