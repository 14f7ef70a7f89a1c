/* Export: tensors are widened to float32 and renamed; settings are written as the public programs
 * read them. */
#include "core/model/export.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/bundle.h"
#include "core/model/describer.h"
#include "core/model/export_impl.h"
#include "core/model/json_read.h"
#include "core/model/torch_write.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char CELL[] = "cell_encoder.model.";

typedef struct Export {
    const ExportSpec *s;
    JobCtl *ctl;
    cJSON *config;
    bool imported;
    char *dir; /* where it is written, renamed at the end */
    bool any;
} Export;

/* One tensor of f as float32 under another name. */
static Err add(StWriter *w, const StFile *f, const StTensor *t, const char *name)
{
    float *v;
    TRY(NEW(v, t->elements));
    Err err = st_read_f32(f, t, v);
    if (err == OK)
        err = st_writer_add_f32(w, name, ST_F32, t->ndim, t->dim, v);
    free(v);
    return err;
}

/* Every tensor behind `prefix` (which goes), with `other` in its place. */
static Err add_all(StWriter *w, const StFile *f, const char *prefix, const char *other, size_t *n)
{
    for (size_t i = 0; i < st_count(f); i++) {
        const StTensor *t = st_at(f, i);
        if (!str_starts(t->name, prefix) || export_is_scale(f, t))
            continue;
        char *name = str_format("%s%s", other, t->name + strlen(prefix));
        Err err = add(w, f, t, name);
        free(name);
        TRY(err);
        ++*n;
    }
    return OK;
}

static Err save(Export *x, StWriter *w, const char *file)
{
    char *path = bundle_path(x->dir, file);
    st_writer_meta(w, "format", "pt");
    Err err = st_writer_save(w, path);
    free(path);
    x->any |= err == OK;
    return err;
}

static Err write_json(const Export *x, const char *file, cJSON *o)
{
    char *path = bundle_path(x->dir, file), *text = cJSON_Print(o);
    Err err = bundle_write_text(path, text);
    free(text);
    free(path);
    cJSON_Delete(o);
    return err;
}

/* A file of the bundle under another name, when it is there. */
static Err copy(const Export *x, const char *from, const char *to)
{
    char *a = bundle_path(x->s->bundle, from), *b = bundle_path(x->dir, to);
    Err err = access(a, R_OK) == 0 ? bundle_copy_file(a, b) : OK;
    free(a);
    free(b);
    return err;
}

static double number(const cJSON *o, const char *key, double otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

static void copy_number(cJSON *to, const char *name, const cJSON *from, const char *key,
                        double otherwise)
{
    cJSON_AddNumberToObject(to, name, number(from, key, otherwise));
}

static Err open_file(const Export *x, const char *file, StFile **f)
{
    char *path = bundle_path(x->s->bundle, file);
    Err err = st_open(path, f);
    free(path);
    return err;
}

static bool has_file(const Export *x, const char *file)
{
    char *path = bundle_path(x->s->bundle, file);
    bool there = access(path, R_OK) == 0;
    free(path);
    return there;
}

/* The file of stage 1. */
static Err open_stage1(const Export *x, StFile **f)
{
    char name[40];
    snprintf(name, sizeof name, "member%d.safetensors", x->s->member);
    if (x->imported && x->s->member == 0)
        return open_file(x, "model.safetensors", f);
    if (x->imported || !has_file(x, name))
        FAIL(ERR_MODEL, "%s: has no member %d", x->s->bundle, x->s->member);
    return open_file(x, name, f);
}

/* ---- scGPT ---- */

typedef struct Source {
    const StFile *f;
    const StTensor **t; /* [own] */
    size_t own;
    double value[2]; /* of the elements of two more */
    int64_t width;
} Source;

static Err fill(void *user, size_t i, float *out)
{
    const Source *s = user;
    if (i < s->own)
        return st_read_f32(s->f, s->t[i], out);
    for (int64_t k = 0; k < s->width; k++)
        out[k] = (float)s->value[i - s->own];
    return OK;
}

/* Batch normalisation is kept as a scale and a shift: the same with mean 0 and variance 1. */
static const char *public_name(const char *name)
{
    return strcmp(name, "bn.scale") == 0 ? "bn.weight" : strcmp(name, "bn.shift") == 0 ? "bn.bias" : name;
}

static Err write_cells(Export *x, const StFile *f)
{
    size_t n = 0, all = st_count(f);
    Source s = {.f = f, .value = {0, 1 - 6.1e-5}};
    const StTensor *shift = NULL;
    TorchTensor *t = NULL;
    char *path = bundle_path(x->dir, "best_model.pt");
    Err err = OK;
    TRY_GOTO(NEW(s.t, all));
    TRY_GOTO(NEW(t, all + 2));
    for (size_t i = 0; i < all; i++) {
        const StTensor *p = st_at(f, i);
        if (!str_starts(p->name, CELL) || export_is_scale(f, p))
            continue;
        if (str_ends(p->name, ".bn.shift"))
            shift = p;
        t[n] = (TorchTensor){public_name(p->name + strlen(CELL)), p->ndim, p->dim};
        s.t[n++] = p;
    }
    if (!n)
        FAIL_GOTO(ERR_MODEL, "%s: has no cell encoder", x->s->bundle);
    s.own = n;
    s.width = shift ? shift->dim[0] : 0;
    if (shift) {
        t[n++] = (TorchTensor){"bn.running_mean", 1, shift->dim};
        t[n++] = (TorchTensor){"bn.running_var", 1, shift->dim};
    }
    TRY_GOTO(torch_write(path, t, n, fill, &s));
    x->any = true;
done:
    free(s.t);
    free(t);
    free(path);
    return err;
}

static Err write_args(const Export *x)
{
    const cJSON *c =
        x->imported ? x->config : cJSON_GetObjectItemCaseSensitive(x->config, "stage1");
    cJSON *o = cJSON_CreateObject();
    copy_number(o, "embsize", c, "cell_width", 0);
    copy_number(o, "nheads", c, "cell_heads", 0);
    copy_number(o, "d_hid", c, "cell_ffn", 0);
    copy_number(o, "nlayers", c, "cell_layers", 0);
    cJSON_AddNumberToObject(o, "n_layers_cls", 3);
    cJSON_AddNumberToObject(o, "dropout", 0.2);
    cJSON_AddStringToObject(o, "pad_token", "<pad>");
    cJSON_AddNumberToObject(o, "pad_value", -2);
    cJSON_AddNumberToObject(o, "mask_value", -1);
    cJSON_AddNumberToObject(o, "n_bins", 51);
    cJSON_AddStringToObject(o, "input_style", "log1p"); /* what our own trainer feeds */
    cJSON_AddStringToObject(o, "input_emb_style", "continuous");
    cJSON_AddNumberToObject(o, "max_seq_len", number(c, "tokens", 1199) + 1);
    return write_json(x, "args.json", o);
}

static Err export_scgpt(Export *x)
{
    StFile *f = NULL;
    TRY(open_stage1(x, &f));
    Err err = write_cells(x, f);
    st_close(f);
    if (err == OK)
        err = copy(x, "vocab.json", "vocab.json");
    if (err == OK)
        err =
            has_file(x, "cell_args.json") ? copy(x, "cell_args.json", "args.json") : write_args(x);
    return err;
}

/* ---- transformers ---- */

/* What BertModel wants and the bundle has not. */
static Err add_token_types(StWriter *w, int64_t width)
{
    float *zero;
    TRY(NEW0(zero, (size_t)(2 * width)));
    Err err = st_writer_add_f32(w, "embeddings.token_type_embeddings.weight", ST_F32, 2,
                                (int64_t[]){2, width}, zero);
    free(zero);
    return err;
}

static void add_bert_names(cJSON *o, double types)
{
    cJSON_AddStringToObject(o, "model_type", "bert");
    cJSON *list = cJSON_AddArrayToObject(o, "architectures");
    cJSON_AddItemToArray(list, cJSON_CreateString("BertModel"));
    cJSON_AddStringToObject(o, "hidden_act", "gelu");
    cJSON_AddNumberToObject(o, "type_vocab_size", types);
    cJSON_AddNumberToObject(o, "pad_token_id", 0);
}

/* The text tower of a bundle of this project. */
static Err own_bert_config(const Export *x, cJSON **out)
{
    static const char *const same[] = {"hidden_size",         "num_hidden_layers",
                                       "num_attention_heads", "intermediate_size",
                                       "vocab_size",          "max_position_embeddings"};
    char *path = bundle_path(x->s->bundle, "text.json");
    cJSON *from;
    Err err = json_read_object(path, 1 << 20, &from);
    free(path);
    TRY(err);
    cJSON *o = cJSON_CreateObject();
    add_bert_names(o, 2);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        copy_number(o, same[i], from, same[i], 0);
    copy_number(o, "layer_norm_eps", from, "layer_norm_eps", 1e-12);
    cJSON_Delete(from);
    *out = o;
    return OK;
}

static Err imported_bert_config(const Export *x, cJSON **out)
{
    static const char *const pairs[][2] = {
        {"hidden_size", "text_width"},         {"num_hidden_layers", "text_layers"},
        {"num_attention_heads", "text_heads"}, {"intermediate_size", "text_ffn"},
        {"vocab_size", "text_vocab"},          {"max_position_embeddings", "text_positions"}};
    cJSON *o = cJSON_CreateObject();
    double types = number(x->config, "text_types", 0);
    add_bert_names(o, types > 0 ? types : 2);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        copy_number(o, pairs[i][0], x->config, pairs[i][1], 0);
    copy_number(o, "layer_norm_eps", x->config, "text_eps", 1e-12);
    *out = o;
    return OK;
}

static Err write_bert(Export *x, const char *file, const char *prefix, cJSON *config)
{
    StFile *f = NULL;
    StWriter *w = st_writer_new();
    size_t n = 0;
    int64_t width = (int64_t)number(config, "hidden_size", 0);
    Err err = write_json(x, "config.json", config);
    if (err == OK)
        err = open_file(x, file, &f);
    if (err == OK)
        err = add_all(w, f, prefix, "", &n);
    if (err == OK && !st_find(f, "bert.embeddings.token_type_embeddings.weight"))
        err = add_token_types(w, width);
    if (err == OK)
        err = save(x, w, "model.safetensors");
    st_close(f);
    st_writer_free(w);
    return err;
}

static Err export_bert(Export *x)
{
    cJSON *config;
    if (x->imported) {
        TRY(imported_bert_config(x, &config));
        TRY(write_bert(x, "model.safetensors", "bert.", config));
        TRY(copy(x, "text_vocab.txt", "vocab.txt"));
        TRY(copy(x, "text_tokenizer.json", "tokenizer.json"));
        return copy(x, "text_tokenizer_config.json", "tokenizer_config.json");
    }
    TRY(own_bert_config(x, &config));
    TRY(write_bert(x, "text.safetensors", "text.", config));
    TRY(copy(x, "vocab.txt", "vocab.txt"));
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "tokenizer_class", "BertTokenizer");
    cJSON_AddBoolToObject(o, "do_lower_case", true);
    return write_json(x, "tokenizer_config.json", o);
}

static Err make_folder(const Export *x, const char *name)
{
    char *path = bundle_path(x->dir, name);
    int rc = mkdir(path, 0777);
    free(path);
    if (rc != 0)
        FAIL(ERR_GENERAL, "%s: cannot be made: %s", name, strerror(errno));
    return OK;
}

static Err export_imported_lm(Export *x, const char *at)
{
    static const char *const files[] = {"tokenizer.model",       "tokenizer.json", "vocab.json", "merges.txt",
                                        "tokenizer_config.json", "added_tokens.json"};
    char *to = str_format("%s/%smodel.safetensors", x->dir, at), *config = str_format("%sconfig.json", at);
    cJSON *o = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(x->config, "lm"), 1);
    Err err = export_lm_weights(x->s->bundle, to, o);
    if (err == OK)
        err = write_json(x, config, o);
    else
        cJSON_Delete(o);
    for (size_t i = 0; err == OK && i < sizeof files / sizeof *files; i++) {
        char *a = str_format("lm_%s", files[i]), *b = str_format("%s%s", at, files[i]);
        err = copy(x, a, b);
        free(a);
        free(b);
    }
    x->any = true;
    free(to);
    free(config);
    return err;
}

static cJSON *own_tokenizer_config(void)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "tokenizer_class", "PreTrainedTokenizerFast");
    cJSON_AddStringToObject(o, "bos_token", "<s>");
    cJSON_AddStringToObject(o, "eos_token", "</s>");
    cJSON_AddStringToObject(o, "pad_token", "<pad>");
    cJSON_AddBoolToObject(o, "clean_up_tokenization_spaces", false);
    return o;
}

/* The decoder of this project: its Llama; what leads from cells to it goes to stage2.safetensors.
 */
static Err export_own_lm(Export *x)
{
    StFile *f = NULL;
    StWriter *lm = st_writer_new(), *rest = st_writer_new();
    cJSON *from = NULL;
    Bpe *bpe = NULL;
    size_t n = 0;
    char *path = bundle_path(x->s->bundle, "decoder.json");
    Err err = OK;
    DescriberConfig d;
    TRY_GOTO(json_read_object(path, 64 << 20, &from));
    TRY_GOTO(describer_config_read(from, &d));
    TRY_GOTO(open_file(x, "decoder.safetensors", &f));
    TRY_GOTO(make_folder(x, "lm"));
    TRY_GOTO(add_all(lm, f, "llm_model.", "", &n));
    TRY_GOTO(save(x, lm, "lm/model.safetensors"));
    TRY_GOTO(write_json(x, "lm/config.json", describer_lm_config(&d)));
    TRY_GOTO(bpe_read(cJSON_GetObjectItemCaseSensitive(from, "tokenizer"), &bpe));
    TRY_GOTO(write_json(x, "lm/tokenizer.json", bpe_tokenizer_json(bpe)));
    TRY_GOTO(write_json(x, "lm/tokenizer_config.json", own_tokenizer_config()));
    TRY_GOTO(add_all(rest, f, "llm_proj.", "blip2lm.llm_proj.", &n));
    TRY_GOTO(add_all(rest, f, "gene_tokens.", "gene_tokens.", &n));
    TRY_GOTO(save(x, rest, "stage2.safetensors"));
done:
    bpe_free(bpe);
    cJSON_Delete(from);
    st_close(f);
    st_writer_free(lm);
    st_writer_free(rest);
    free(path);
    return err;
}

/* All of stage 1 under the names of a Lightning file. */
static Err export_stage1(Export *x)
{
    StFile *f = NULL;
    StWriter *w = st_writer_new();
    size_t n = 0;
    Err err = open_stage1(x, &f);
    for (size_t i = 0; err == OK && i < st_count(f); i++) {
        const StTensor *t = st_at(f, i);
        if (export_is_scale(f, t) || str_starts(t->name, "bert."))
            continue;
        bool second = str_starts(t->name, "llm_proj.") || str_starts(t->name, "expr_decoder.");
        char *name = str_format("%s%s", second ? "blip2lm." : "blip2qformer.", t->name);
        err = add(w, f, t, name);
        free(name);
        n++;
    }
    if (err == OK && n)
        err = save(x, w, "stage1.safetensors");
    st_close(f);
    st_writer_free(w);
    return err;
}

static bool flag(const cJSON *o, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, key));
}

static Err export_hf(Export *x)
{
    bool bert = x->imported ? flag(x->config, "text") : has_file(x, "text.safetensors");
    if (bert)
        TRY(export_bert(x));
    if (x->imported && has_file(x, "lm.safetensors")) {
        if (bert)
            TRY(make_folder(x, "lm"));
        TRY(export_imported_lm(x, bert ? "lm/" : ""));
    } else if (has_file(x, "decoder.safetensors")) {
        TRY(export_own_lm(x));
    }
    if (!x->imported || flag(x->config, "query") || flag(x->config, "cell"))
        TRY(export_stage1(x));
    if (!x->any)
        FAIL(ERR_MODEL, "%s: has nothing that transformers could load", x->s->bundle);
    return OK;
}

/* ---- the whole ---- */

static Err finish(const Export *x, Err err)
{
    if (err == OK && rename(x->dir, x->s->out) != 0)
        err = err_set(ERR_GENERAL, "%s: %s; name a folder that does not exist", x->s->out,
                      strerror(errno));
    if (err != OK) {
        char *lm = bundle_path(x->dir, "lm");
        bundle_remove_folder(lm);
        bundle_remove_folder(x->dir);
        free(lm);
    }
    return err;
}

Err export_bundle(const ExportSpec *s, JobCtl *ctl)
{
    Export x = {.s = s, .ctl = ctl};
    TRY(bundle_read_config(s->bundle, false, &x.config));
    const char *kind = json_text(x.config, "kind");
    x.imported = kind && strcmp(kind, "parts") == 0;
    x.dir = str_format("%s.%ld.tmp", s->out, (long)getpid());
    job_stage(ctl, "exporting", 0);
    Err err = OK;
    if (mkdir(x.dir, 0777) != 0)
        err = err_set(ERR_GENERAL, "%s: cannot be made: %s", x.dir, strerror(errno));
    else
        err = finish(&x, s->to_scgpt ? export_scgpt(&x) : export_hf(&x));
    free(x.dir);
    cJSON_Delete(x.config);
    return err;
}
