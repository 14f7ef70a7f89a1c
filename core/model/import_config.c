/* What the sources hold, and in which shape. Sizes come from the tensors; what tensors cannot tell
 * (numbers of heads, epsilons) comes from the folders' settings. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/import_impl.h"
#include "core/model/json_read.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_MAX = 4 << 20, VOCAB_MAX = 64 << 20, LAYERS_MAX = 1024 };

static const CkTensor *find(const Pool *p, const char *name)
{
    const PoolTensor *t = pool_find(p, name);
    return t ? t->t : NULL;
}

/* Dimension d of a tensor, `otherwise` when it is not there. */
static int64_t dim(const Pool *p, const char *name, int d, int64_t otherwise)
{
    const CkTensor *t = find(p, name);
    return t && d < t->ndim ? t->dim[d] : otherwise;
}

static int64_t count_layers(const Pool *p, const char *format)
{
    char name[256];
    int64_t n = 0;
    for (int i = 0; i < LAYERS_MAX; i++) { /* a gap is found later, as a missing tensor */
        snprintf(name, sizeof name, format, i);
        if (find(p, name))
            n = i + 1;
    }
    return n;
}

/* DIR/FILE as an object; NULL when dir is NULL or there is none and it may be missing. */
static Err settings(const char *dir, const char *file, bool needed, cJSON **out)
{
    *out = NULL;
    if (!dir)
        return OK;
    char *path = str_format("%s/%s", dir, file);
    Err err = OK;
    if (needed || access(path, F_OK) == 0)
        err = json_read_object(path, CONFIG_MAX, out);
    free(path);
    return err;
}

/* Ids of the special genes; a missing one is appended in the order <pad>, <cls>, <eoc>. */
static Err read_genes(const char *dir, const char *pad, PartsConfig *c)
{
    cJSON *o = NULL;
    char *path = str_format("%s/vocab.json", dir);
    Err err = json_read_object(path, VOCAB_MAX, &o);
    const char *const special[3] = {pad, "<cls>", "<eoc>"};
    int64_t id[3] = {-1, -1, -1}, n = 0;
    const cJSON *e;
    if (err != OK)
        goto done;
    cJSON_ArrayForEach(e, o)
    {
        if (!cJSON_IsNumber(e) || !(e->valuedouble >= 0) ||
            e->valuedouble != (double)(int64_t)e->valuedouble)
            FAIL_GOTO(ERR_MODEL, "%s: %s: not a row number", path, e->string);
        if (e->valuedouble >= (double)c->c.vocab)
            FAIL_GOTO(ERR_MODEL,
                      "%s: %s: row %.0f is beyond the %lld rows of encoder.embedding.weight", path,
                      e->string, e->valuedouble, (long long)c->c.vocab);
        for (int i = 0; i < 3; i++)
            if (strcmp(e->string, special[i]) == 0)
                id[i] = (int64_t)e->valuedouble;
        n++;
    }
    if (n <= (id[0] >= 0) + (id[1] >= 0) + (id[2] >= 0))
        FAIL_GOTO(ERR_MODEL, "%s: holds no genes", path);
    for (int i = 0; i < 3; i++)
        if (id[i] < 0)
            id[i] = n++;
    if (id[0] >= c->c.vocab || id[1] >= c->c.vocab)
        FAIL_GOTO(ERR_MODEL, "%s: has no %s or <cls>, and encoder.embedding.weight no row for it",
                  path, pad);
    c->pad = id[0];
    c->cls = id[1];
done:
    cJSON_Delete(o);
    free(path);
    return err;
}

static Err cell_config(const ImportSpec *s, const Pool *p, PartsConfig *c)
{
    const char *base = "cell_encoder.model.encoder.embedding.weight";
    c->cell = s->scgpt || find(p, base);
    if (!c->cell)
        return OK;
    cJSON *o;
    long long width, heads, hid, layers;
    if (!s->scgpt)
        FAIL(ERR_MODEL,
             "the Lightning file has a cell encoder but no gene names; add --scgpt DIR for "
             "vocab.json and args.json");
    if (!find(p, base))
        FAIL(ERR_MODEL, "%s: tensor encoder.embedding.weight: is missing", s->scgpt);
    TRY(settings(s->scgpt, "args.json", true, &o));
    int64_t found =
        count_layers(p, "cell_encoder.model.transformer_encoder.layers.%d.norm1.weight");
    Err err = json_int(o, "embsize", 1, 1 << 16, dim(p, base, 1, 512), &width);
    if (err == OK)
        err = json_int(o, "nheads", 1, 1024, 8, &heads);
    if (err == OK)
        err = json_int(o, "d_hid", 1, 1 << 20, width, &hid);
    if (err == OK)
        err = json_int(o, "nlayers", 0, LAYERS_MAX, found ? found : 12, &layers);
    if (err != OK) {
        cJSON_Delete(o);
        return err_context(err, "%s/args.json", s->scgpt);
    }
    c->c = (ScgptConfig){dim(p, base, 0, 1), width, layers, heads, hid};
    c->cell_bn = find(p, "cell_encoder.model.bn.running_mean") != NULL;
    const char *style = json_text(o, "input_style"), *pad = json_text(o, "pad_token");
    const char *values = s->cell_values                          ? s->cell_values
                         : s->n_lightning                        ? "raw"
                         : style && strcmp(style, "binned") == 0 ? "binned"
                         : style && str_starts(style, "log")     ? "lognorm"
                         : style                                 ? "raw"
                                                                 : "binned";
    snprintf(c->cell_values, sizeof c->cell_values, "%s", values);
    const char *embedded = json_text(o, "input_emb_style");
    if (embedded && strcmp(embedded, "continuous") != 0)
        err = err_set(ERR_MODEL,
                      "%s/args.json: input_emb_style \"%s\" is not supported "
                      "(continuous is)",
                      s->scgpt, embedded);
    if (err == OK && width % heads)
        err = err_set(ERR_MODEL, "%s/args.json: embsize is no multiple of nheads", s->scgpt);
    if (err == OK)
        err = read_genes(s->scgpt, pad ? pad : "<pad>", c);
    cJSON_Delete(o);
    return err;
}

static Err bert_settings(const ImportSpec *s, BertConfig *b, bool needed)
{
    cJSON *o;
    long long v[6] = {768, 12, 12, 3072, 30522, 512};
    static const char *const keys[6] = {"hidden_size",         "num_hidden_layers",
                                        "num_attention_heads", "intermediate_size",
                                        "vocab_size",          "max_position_embeddings"};
    double eps = 1e-12;
    TRY(settings(s->bert, "config.json", needed, &o));
    Err err = OK;
    const char *act = o ? json_text(o, "hidden_act") : NULL,
               *type = o ? json_text(o, "model_type") : NULL;
    if (act && strcmp(act, "gelu") != 0)
        err = err_set(ERR_MODEL, "hidden_act \"%s\" is not supported (gelu is)", act);
    else if (type && strcmp(type, "bert") != 0)
        err = err_set(ERR_MODEL, "model_type \"%s\" is not supported (bert is)", type);
    for (int i = 0; o && err == OK && i < 6; i++)
        err = json_int(o, keys[i], 1, 1 << 24, v[i], &v[i]);
    if (o && err == OK)
        err = json_number(o, "layer_norm_eps", eps, &eps);
    *b = (BertConfig){v[0], v[1], v[2], v[3], v[4], v[5], 0, (float)eps};
    if (o && err == OK && v[0] % v[2])
        err = err_set(ERR_MODEL, "hidden_size is no multiple of num_attention_heads");
    if (o && err == OK && !(eps >= 0 && eps <= 1))
        err = err_set(ERR_MODEL, "\"layer_norm_eps\" is not from 0 to 1");
    cJSON_Delete(o);
    return err == OK ? OK : err_context(err, "%s/config.json", s->bert);
}

#define LAYER "Qformer.bert.encoder.layer."
static Err query_config(const ImportSpec *s, const Pool *p, PartsConfig *c)
{
    const char *words = "Qformer.bert.embeddings.word_embeddings.weight";
    const char *places = "Qformer.bert.embeddings.position_embeddings.weight";
    BertConfig b;
    TRY(bert_settings(s, &b, s->bert != NULL));
    c->query = s->from_parts || find(p, "query_tokens");
    c->t = b;
    if (!c->query) {
        c->text = s->bert != NULL;
        return OK;
    }
    bool lit = find(p, "query_tokens") != NULL;
    if (s->from_parts && (!s->bert || !c->cell))
        FAIL(ERR_USAGE, "--from-parts: needs --scgpt and --bert");
    c->queries = dim(p, "query_tokens", 1, 32);
    int64_t width = dim(p, "query_tokens", 2, b.width);
    c->q = (QformerConfig){
        .width = width,
        .layers = lit ? count_layers(p, LAYER "%d.attention.output.dense.weight") : b.layers,
        .heads = b.heads,
        .ffn = dim(p, LAYER "0.intermediate_query.dense.weight", 0, b.ffn),
        .cell_width = dim(p, LAYER "0.crossattention.self.key.weight", 1, c->c.width),
        .cross_every = find(p, LAYER "1.crossattention.self.key.weight") ? 1 : 2,
        .vocab = dim(p, words, 0, s->from_parts ? b.vocab + 1 : 0),
        .positions = dim(p, places, 0, s->from_parts ? b.positions : 0),
        .text_ffn = s->from_parts || find(p, LAYER "0.intermediate.dense.weight"),
        .eps = b.eps,
    };
    c->heads = s->from_parts || find(p, "cell_proj.weight") || find(p, "text_proj.weight");
    c->proj = dim(p, "cell_proj.weight", 0, dim(p, "text_proj.weight", 0, 256));
    c->match = s->from_parts || find(p, "gtm_head.weight");
    c->caption = c->q.vocab && find(p, "Qformer.cls.predictions.transform.dense.weight") &&
                 (dim(p, "Qformer.cls.predictions.decoder.bias", 0, 0) == c->q.vocab ||
                  dim(p, "Qformer.cls.predictions.bias", 0, 0) == c->q.vocab);
    c->text = s->bert && c->q.vocab == 0;
    if (width % b.heads)
        FAIL(ERR_MODEL,
             "query_tokens: width %lld is no multiple of %lld heads; add --bert DIR for their "
             "number",
             (long long)width, (long long)b.heads);
    c->projector = find(p, "llm_proj.fc1.weight") != NULL;
    c->llm_hidden = dim(p, "llm_proj.fc1.weight", 0, 0);
    c->llm_width = dim(p, "llm_proj.fc2.weight", 0, 0);
    c->expr = c->projector && find(p, "expr_decoder.gene_embed.weight");
    c->expr_genes = dim(p, "expr_decoder.gene_embed.weight", 0, 0);
    c->expr_width = dim(p, "expr_decoder.gene_embed.weight", 1, 0);
    return OK;
}

/* An adapter of one of the two uses of a shared table parts them. */
static Err untie(const Pool *p, cJSON *o, PartsConfig *c)
{
    static const char *const only_one[] = {"llm.lm_head.lora_A.weight",
                                           "llm.model.embed_tokens.lora_embedding_A"};
    const PoolTensor *words = pool_find(p, "llm.model.embed_tokens.weight"),
                     *head = pool_find(p, "llm.lm_head.weight");
    bool tied;
    TRY(json_bool(o, "tie_word_embeddings", false, &tied));
    if (!tied || !words)
        return OK;
    for (int i = 0; i < 2; i++)
        c->untied |= pool_find(p, only_one[i]) != NULL;
    c->untied |= (head && head->adapter) || (words->adapter && words->before);
    if (c->untied)
        cJSON_ReplaceItemInObjectCaseSensitive(o, "tie_word_embeddings", cJSON_CreateFalse());
    return OK;
}

static Err language_config(const ImportSpec *s, const Pool *p, PartsConfig *c, cJSON **out)
{
    const PoolTensor *e = pool_find(p, "llm.model.embed_tokens.weight");
    c->lm = s->llama != NULL;
    if (!c->lm)
        return OK;
    cJSON *o;
    TRY(settings(s->llama, "config.json", true, &o));
    if (e && e->late && e->t->ndim == 2) { /* a vocabulary that grew in training */
        cJSON_DeleteItemFromObjectCaseSensitive(o, "vocab_size");
        cJSON_AddNumberToObject(o, "vocab_size", (double)e->t->dim[0]);
    }
    Err err = untie(p, o, c);
    if (err == OK)
        err = lm_config_read(o, &c->l);
    if (err != OK) {
        cJSON_Delete(o);
        return err_context(err, "%s/config.json", s->llama);
    }
    *out = o;
    return OK;
}

/* A BERT that stands for itself may be a sentence model, run with the first of its token types. */
static Err sentence_config(const ImportSpec *s, const Pool *p, PartsConfig *c)
{
    if (!c->text)
        return OK;
    TRY(import_sentence(s->bert, c));
    if (c->text_pool != SENTENCE_NONE && !s->token_types)
        c->t.types = dim(p, "bert.embeddings.token_type_embeddings.weight", 0, 0);
    return OK;
}

Err import_config(const ImportSpec *s, const Pool *p, PartsConfig *c, cJSON **lm)
{
    *c = (PartsConfig){.pad = -1, .cls = -1};
    TRY(cell_config(s, p, c));
    TRY(query_config(s, p, c));
    TRY(sentence_config(s, p, c));
    TRY(language_config(s, p, c, lm));
    if (!c->cell && !c->query && !c->text && !c->lm)
        FAIL(ERR_USAGE, "nothing to import: give --scgpt, --bert, --llama or --lightning");
    return OK;
}
