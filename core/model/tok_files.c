/* Tokenizers that are several files: BERT's vocab.txt, GPT-2's vocab.json and merges.txt, each with
 * tokenizer_config.json beside it; and which of all forms a bundle holds. */
#include "core/base/mem.h"
#include "core/model/bpe.h"
#include "core/model/json_read.h"
#include "core/model/tokenizer_impl.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SETTINGS_MAX = 64 << 20, ID_MAX = 1 << 22 };

static bool exists(const char *path)
{
    return path && access(path, F_OK) == 0;
}

static Err read_settings(const char *path, cJSON **out)
{
    *out = NULL;
    return exists(path) ? json_read_object(path, SETTINGS_MAX, out) : OK;
}

static bool is_special_name(const cJSON *settings, const char *text)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    const cJSON *e;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *name = tok_special(settings, keys[i], NULL);
        if (name && strcmp(name, text) == 0)
            return true;
    }
    cJSON_ArrayForEach(e, cJSON_GetObjectItemCaseSensitive(settings, "additional_special_tokens"))
    {
        const char *name = cJSON_IsString(e) ? e->valuestring : json_text(e, "content");
        if (name && strcmp(name, text) == 0)
            return true;
    }
    return false;
}

/* added_tokens.json, the older form: {"<tok>": id}. */
static Err read_old_added(Tokenizer *t, const char *path, const cJSON *settings)
{
    cJSON *o;
    const cJSON *e;
    TRY(read_settings(path, &o));
    Err err = OK;
    cJSON_ArrayForEach(e, o)
    {
        if (!cJSON_IsNumber(e) || !(e->valuedouble >= 0 && e->valuedouble < ID_MAX))
            err = err_set(ERR_MODEL, "%s: %s: not an id", path, e->string);
        else
            err = tok_add_added(t, e->string, (int32_t)e->valuedouble,
                                is_special_name(settings, e->string) ? NULL : e);
        if (err != OK)
            break;
    }
    cJSON_Delete(o);
    return err;
}

Err tok_read_added(Tokenizer *t, const char *path, const cJSON *settings)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(settings, "added_tokens_decoder"), *e;
    cJSON_ArrayForEach(e, list)
    {
        const char *text = json_text(e, "content");
        char *end;
        long id = strtol(e->string, &end, 10);
        if (*end || !*e->string || !text || id < 0 || id >= ID_MAX)
            FAIL(ERR_MODEL, "%s: an added token without number or content", path);
        TRY(tok_add_added(t, text, (int32_t)id, e));
    }
    if (list || !path || !str_ends(path, "tokenizer_config.json"))
        return OK;
    char *old = str_format("%.*sadded_tokens.json",
                           (int)(strlen(path) - strlen("tokenizer_config.json")), path);
    Err err = read_old_added(t, old, settings);
    free(old);
    return err;
}

const char *tok_special(const cJSON *settings, const char *key, const char *otherwise)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(settings, key);
    const char *text = cJSON_IsString(v) ? v->valuestring : json_text(v, "content");
    return text ? text : otherwise;
}

/* ---- vocab.txt ---- */

static Err word_style(Tokenizer *t, const char *path, const cJSON *settings)
{
    WordPieceStyle s = {0};
    bool chinese, basic;
    const char *mark = json_text(settings, "unk_token");
    if (mark && strcmp(mark, "[UNK]") != 0)
        FAIL(ERR_MODEL, "%s: unk_token \"%s\" is not supported ([UNK] is)", path, mark);
    TRY(json_bool(settings, "do_basic_tokenize", true, &basic));
    if (!basic)
        FAIL(ERR_MODEL, "%s: do_basic_tokenize false is not supported", path);
    TRY(json_bool(settings, "do_lower_case", true, &s.lower));
    TRY(json_bool(settings, "strip_accents", s.lower, &s.strip));
    TRY(json_bool(settings, "tokenize_chinese_chars", true, &chinese));
    s.keep_chinese = !chinese;
    wordpiece_set_style(t->words, s);
    return OK;
}

static Err read_words(Tokenizer *t, const char *path, const char *settings_path, const cJSON *o,
                      size_t rows)
{
    static const char *const specials[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[DEC]"};
    TRY(wordpiece_open(path, &t->words));
    for (size_t i = 0; i < wordpiece_size(t->words); i++)
        TRY(tok_set_piece(t, (int32_t)i, wordpiece_token(t->words, (int32_t)i)));
    for (int i = 0; i < 6; i++) {
        int32_t id = (int32_t)strmap_get(t->id, specials[i], -1);
        if (i == 5 && id < 0 && rows == t->n + 1)
            id = (int32_t)t->n; /* a Q-Former's table has one row behind the file's words */
        if (id >= 0)
            TRY(tok_add_added(t, specials[i], id, NULL));
    }
    t->unk = wordpiece_id(t->words, "[UNK]");
    t->before[t->n_before++] = wordpiece_id(t->words, "[CLS]");
    t->after[t->n_after++] = wordpiece_id(t->words, "[SEP]");
    t->dec[t->n_dec++] = (Step){.kind = STEP_WORDPIECE, .a = mem_strdup("##")};
    TRY(tok_read_added(t, settings_path, o));
    return word_style(t, settings_path, o);
}

Err tokenizer_open_vocab(const char *path, const char *settings, size_t rows, Tokenizer **out)
{
    cJSON *o;
    TRY(read_settings(settings, &o));
    Tokenizer *t = mem_must(sizeof *t);
    t->kind = TOK_VOCAB;
    t->id = strmap_new(1024);
    Err err = read_words(t, path, settings, o, rows);
    cJSON_Delete(o);
    if (err != OK)
        tokenizer_free(t);
    else
        *out = t;
    return err;
}

/* ---- vocab.json and merges.txt ---- */

/* The lines of merges.txt behind the version as a list; empty ones are left out. */
static Err read_merges(const char *path, cJSON **out)
{
    char *text, *rest;
    TRY(str_read_file(path, SETTINGS_MAX, ERR_MODEL, &text, NULL));
    *out = cJSON_CreateArray();
    bool first = true;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        line[strcspn(line, "\r")] = 0;
        bool version = first && str_starts(line, "#version");
        first = false;
        if (*line && !version)
            cJSON_AddItemToArray(*out, cJSON_CreateString(line));
    }
    free(text);
    return OK;
}

static void add_type(cJSON *root, const char *key, const char *type, bool prefix)
{
    cJSON *o = cJSON_AddObjectToObject(root, key);
    cJSON_AddStringToObject(o, "type", type);
    cJSON_AddBoolToObject(o, "add_prefix_space", prefix);
}

/* The tokens that stand around a text: GPT-2 has none unless told, RoBERTa <s> and </s>. */
static void add_ends(Tokenizer *t, const cJSON *settings)
{
    const char *class = json_text(settings, "tokenizer_class");
    bool roberta = class && str_starts(class, "Roberta"), before = roberta, after = roberta;
    const char *bos = tok_special(settings, "bos_token", roberta ? "<s>" : "<|endoftext|>");
    const char *eos = tok_special(settings, "eos_token", roberta ? "</s>" : "<|endoftext|>");
    before |= cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(settings, "add_bos_token"));
    after |= cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(settings, "add_eos_token"));
    int64_t first = strmap_get(t->id, bos, -1), last = strmap_get(t->id, eos, -1);
    if (before && first >= 0)
        t->before[t->n_before++] = (int32_t)first;
    if (after && last >= 0)
        t->after[t->n_after++] = (int32_t)last;
}

/* The special tokens of the settings that the vocabulary has. */
static Err add_specials(Tokenizer *t, const cJSON *settings)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text = tok_special(settings, keys[i], i < 3 ? "<|endoftext|>" : NULL);
        int64_t id = text ? strmap_get(t->id, text, -1) : -1;
        if (id >= 0)
            TRY(tok_add_added(t, text, (int32_t)id, NULL));
    }
    return OK;
}

/* What a tokenizer.json of the same pieces would say. */
static Err merges_root(const char *vocab, const char *merges, const cJSON *settings, cJSON *root)
{
    const char *class = json_text(settings, "tokenizer_class");
    cJSON *model = cJSON_AddObjectToObject(root, "model"), *words, *list;
    bool prefix;
    if (class && !str_starts(class, "GPT2") && !str_starts(class, "Roberta"))
        FAIL(ERR_MODEL,
             "%s: tokenizer_class %s is not supported without tokenizer.json; save it with "
             "save_pretrained of the fast tokenizer",
             vocab, class);
    TRY(json_bool(settings, "add_prefix_space", false, &prefix));
    TRY(json_read_object(vocab, SETTINGS_MAX, &words));
    cJSON_AddStringToObject(model, "type", "BPE");
    cJSON_AddItemToObject(model, "vocab", words);
    TRY(read_merges(merges, &list));
    cJSON_AddItemToObject(model, "merges", list);
    add_type(root, "pre_tokenizer", "ByteLevel", prefix);
    add_type(root, "decoder", "ByteLevel", prefix);
    return OK;
}

Err tokenizer_open_merges(const char *vocab, const char *merges, const char *settings,
                          Tokenizer **out)
{
    cJSON *o, *root = cJSON_CreateObject();
    Tokenizer *t = NULL;
    Err err = read_settings(settings, &o);
    if (err == OK)
        err = merges_root(vocab, merges, o, root);
    if (err == OK)
        err = tok_json_open(root, merges, &t);
    if (err == OK)
        err = add_specials(t, o);
    if (err == OK)
        err = tok_read_added(t, settings, o);
    if (err == OK)
        add_ends(t, o);
    cJSON_Delete(root);
    cJSON_Delete(o);
    if (err != OK)
        tokenizer_free(t);
    else
        *out = t;
    return err;
}

/* ---- bundles ---- */

/* Stage 2 adds [PAD], <cell>, one token a query and </cell> to the language model's vocabulary;
 * they are in no tokenizer file, but their rows are in the checkpoint. */
static Err add_cell_tokens(const cJSON *config, Tokenizer *t)
{
    char name[32];
    long long queries, vocab;
    TRY(json_int(config, "queries", 0, 99999, 0, &queries));
    TRY(json_int(cJSON_GetObjectItemCaseSensitive(config, "lm"), "vocab_size", 0, 1 << 24, 0,
                 &vocab));
    int32_t id = (int32_t)t->n;
    bool grown = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(config, "projector")) &&
                 vocab == (long long)t->n + queries + 3;
    for (long long i = -2; grown && i <= queries; i++) {
        snprintf(name, sizeof name, "<cell_%05lld>", i);
        const char *text = i == -2 ? "[PAD]" : i == -1 ? "<cell>" : i == queries ? "</cell>" : name;
        TRY(tok_add_added(t, text, id++, NULL));
    }
    return OK;
}

/* The decoder of this project carries its byte pairs. */
static Err open_own(const char *path, Tokenizer **out)
{
    cJSON *o, *json;
    Bpe *bpe;
    TRY(json_read_object(path, SETTINGS_MAX, &o));
    Err err = bpe_read(cJSON_GetObjectItemCaseSensitive(o, "tokenizer"), &bpe);
    cJSON_Delete(o);
    if (err != OK)
        return err_context(err, "%s", path);
    json = bpe_tokenizer_json(bpe);
    bpe_free(bpe);
    err = tok_json_open(json, path, out);
    cJSON_Delete(json);
    return err;
}

static Err open_any(const char *dir, const char *tower, const cJSON *config, Tokenizer **out)
{
    enum { SPM, VOCAB, JSON, PIECES, MERGES, PLAIN, SETTINGS, OWN, N };
    static const char *const ends[N] = {"_tokenizer.model",      "_vocab.txt",  "_tokenizer.json",
                                        "_vocab.json",           "_merges.txt", NULL,
                                        "_tokenizer_config.json", NULL};
    bool text = strcmp(tower, "text") == 0;
    char *path[N];
    for (int i = 0; i < N; i++)
        path[i] =
            ends[i] ? str_format("%s/%s%s", dir, tower, ends[i])
                    : str_format("%s/%s", dir, i == OWN ? "decoder.json" : "vocab.txt");
    long long rows;
    Err err = json_int(config, "query_vocab", 0, 1 << 24, 0, &rows);
    if (err != OK)
        err = err_context(err, "%s/config.json", dir);
    else if (exists(path[SPM]))
        err = tokenizer_open_spm(path[SPM], path[SETTINGS], out);
    else if (exists(path[VOCAB]))
        err = tokenizer_open_vocab(path[VOCAB], path[SETTINGS], (size_t)rows, out);
    else if (exists(path[JSON]))
        err = tokenizer_open_json(path[JSON], out);
    else if (exists(path[PIECES]) && exists(path[MERGES]))
        err = tokenizer_open_merges(path[PIECES], path[MERGES], path[SETTINGS], out);
    else if (text && exists(path[PLAIN]))
        err = tokenizer_open_vocab(path[PLAIN], path[SETTINGS], (size_t)rows, out);
    else if (!text && exists(path[OWN]))
        err = open_own(path[OWN], out);
    else
        err = err_set(ERR_MODEL, "%s: has no tokenizer for the tower %s", dir, tower);
    for (int i = 0; i < N; i++)
        free(path[i]);
    return err;
}

Err tokenizer_open_bundle(const char *dir, const char *tower, Tokenizer **out)
{
    cJSON *config = NULL;
    char *path = str_format("%s/config.json", dir);
    *out = NULL;
    Err err = read_settings(path, &config);
    if (err == OK)
        err = open_any(dir, tower, config, out);
    if (err == OK && config && strcmp(tower, "lm") == 0 &&
        (err = add_cell_tokens(config, *out)) != OK)
        tokenizer_free(*out);
    cJSON_Delete(config);
    free(path);
    return err;
}
