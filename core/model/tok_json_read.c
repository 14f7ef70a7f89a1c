/* tokenizer.json (github.com/huggingface/tokenizers): what it says, as steps. Anything that the
 * program does not do exactly is refused by name. */
#include "core/base/mem.h"
#include "core/model/json_read.h"
#include "core/model/tokenizer_impl.h"
#include <string.h>

enum { FILE_MAX = 96 << 20, ID_MAX = 1 << 22 };

static const char GPT2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char LLAMA3[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,"
                             "3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                             "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char QWEN[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                           "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
                           "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static const cJSON *get(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return v && !cJSON_IsNull(v) ? v : NULL;
}

static bool flag(const cJSON *o, const char *key, bool otherwise)
{
    const cJSON *v = get(o, key);
    return cJSON_IsBool(v) ? cJSON_IsTrue(v) : otherwise;
}

static char *text_of(const cJSON *o, const char *key)
{
    const char *s = json_text(o, key);
    return mem_strdup(s ? s : "");
}

static Err add_step(Step *list, int *n, Step s)
{
    if (*n == TOK_STEPS) {
        free(s.a);
        free(s.b);
        FAIL(ERR_MODEL, "more than %d steps", TOK_STEPS);
    }
    list[(*n)++] = s;
    return OK;
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static Err replace_step(const cJSON *o, Step *list, int *n)
{
    const char *what = json_text(get(o, "pattern"), "String");
    if (!what || !*what)
        FAIL(ERR_MODEL, "Replace by a pattern is not supported");
    return add_step(
        list, n, (Step){.kind = STEP_REPLACE, .a = mem_strdup(what), .b = text_of(o, "content")});
}

static Err read_normalizer(Tokenizer *t, const cJSON *o, int depth)
{
    static const struct {
        const char *name;
        int kind;
    } forms[] = {{"NFC", STEP_NFC},
                 {"NFD", STEP_NFD},
                 {"NFKC", STEP_NFKC},
                 {"NFKD", STEP_NFKD},
                 {"Lowercase", STEP_LOWER}};
    const char *type = o ? json_text(o, "type") : NULL;
    const cJSON *e;
    if (!o)
        return OK;
    if (!type || depth > 8)
        FAIL(ERR_MODEL, "normalizer: no type");
    if (is(type, "Sequence")) {
        cJSON_ArrayForEach(e, get(o, "normalizers")) TRY(read_normalizer(t, e, depth + 1));
        return OK;
    }
    if (is(type, "Prepend"))
        return add_step(t->norm, &t->n_norm,
                        (Step){.kind = STEP_PREPEND, .a = text_of(o, "prepend")});
    if (is(type, "Replace"))
        return replace_step(o, t->norm, &t->n_norm);
    for (int i = 0; i < 5; i++)
        if (is(type, forms[i].name)) {
            Step s = {0};
            memcpy(&s.kind, &forms[i].kind, sizeof s.kind);
            return add_step(t->norm, &t->n_norm, s);
        }
    FAIL(ERR_MODEL, "normalizer %s is not supported", type);
}

static Err split_step(const cJSON *o, Step *s)
{
    const char *regex = json_text(get(o, "pattern"), "Regex"), *how = json_text(o, "behavior");
    if (!regex || !how || !is(how, "Isolated") || flag(o, "invert", false))
        FAIL(ERR_MODEL, "pre_tokenizer Split: only Isolated by a known pattern is supported");
    s->split = is(regex, GPT2)     ? SPLIT_GPT2
               : is(regex, LLAMA3) ? SPLIT_LLAMA3
               : is(regex, QWEN)   ? SPLIT_QWEN
               : is(regex, TOK_OWN_WORDS) ? SPLIT_OWN
                                   : SPLIT_NONE;
    if (s->split == SPLIT_NONE)
        FAIL(ERR_MODEL, "pre_tokenizer Split: the pattern %.60s is not supported", regex);
    return OK;
}

static Err read_pre(Tokenizer *t, const cJSON *o, int depth)
{
    const char *type = o ? json_text(o, "type") : NULL;
    const cJSON *e;
    Step s = {0};
    if (!o)
        return OK;
    if (!type || depth > 8)
        FAIL(ERR_MODEL, "pre_tokenizer: no type");
    if (is(type, "Sequence")) {
        cJSON_ArrayForEach(e, get(o, "pretokenizers")) TRY(read_pre(t, e, depth + 1));
        return OK;
    }
    if (is(type, "Split")) {
        s.kind = STEP_SPLIT;
        TRY(split_step(o, &s));
    } else if (is(type, "ByteLevel")) {
        s.kind = STEP_BYTES;
        s.prefix_space = flag(o, "add_prefix_space", true);
        s.split = flag(o, "use_regex", true) ? SPLIT_GPT2 : SPLIT_NONE;
    } else if (is(type, "Metaspace")) {
        const char *scheme = json_text(o, "prepend_scheme");
        s.kind = STEP_METASPACE;
        s.prepend = scheme ? (is(scheme, "always") ? 2 : is(scheme, "first"))
                    : flag(o, "add_prefix_space", true) ? 2
                                                        : 0;
        s.meta_split = flag(o, "split", true);
        s.a = text_of(o, "replacement");
        if (!*s.a) {
            free(s.a);
            FAIL(ERR_MODEL, "pre_tokenizer Metaspace: no replacement");
        }
    } else {
        FAIL(ERR_MODEL, "pre_tokenizer %s is not supported", type);
    }
    return add_step(t->pre, &t->n_pre, s);
}

static Err read_decoder(Tokenizer *t, const cJSON *o, int depth)
{
    const char *type = o ? json_text(o, "type") : NULL;
    const cJSON *e;
    long long start, stop;
    if (!o)
        return OK;
    if (!type || depth > 8)
        FAIL(ERR_MODEL, "decoder: no type");
    if (is(type, "Sequence")) {
        cJSON_ArrayForEach(e, get(o, "decoders")) TRY(read_decoder(t, e, depth + 1));
        return OK;
    }
    Step s = {0};
    if (is(type, "Replace"))
        return replace_step(o, t->dec, &t->n_dec);
    if (is(type, "ByteFallback")) {
        s.kind = STEP_BYTE_FALLBACK;
    } else if (is(type, "Fuse")) {
        s.kind = STEP_FUSE;
    } else if (is(type, "ByteLevel")) {
        s.kind = STEP_BYTES;
    } else if (is(type, "Strip")) {
        TRY(json_int(o, "start", 0, 1000, 0, &start));
        TRY(json_int(o, "stop", 0, 1000, 0, &stop));
        s = (Step){
            .kind = STEP_STRIP, .a = text_of(o, "content"), .start = (int)start, .stop = (int)stop};
    } else if (is(type, "WordPiece")) {
        s = (Step){.kind = STEP_WORDPIECE, .a = text_of(o, "prefix")};
    } else if (is(type, "Metaspace")) {
        const char *scheme = json_text(o, "prepend_scheme");
        s = (Step){.kind = STEP_METASPACE,
                   .a = text_of(o, "replacement"),
                   .prepend = scheme ? !is(scheme, "never") : flag(o, "add_prefix_space", true)};
    } else {
        FAIL(ERR_MODEL, "decoder %s is not supported", type);
    }
    return add_step(t->dec, &t->n_dec, s);
}

/* ---- post-processor: what stands before and after one text ---- */

static Err add_special(Tokenizer *t, const char *text, bool after)
{
    int64_t id = text ? strmap_get(t->id, text, -1) : -1;
    int *n = after ? &t->n_after : &t->n_before;
    if (id < 0 || *n == 8)
        FAIL(ERR_MODEL, "post_processor: the token %s is not in the vocabulary", text ? text : "");
    (after ? t->after : t->before)[(*n)++] = (int32_t)id;
    return OK;
}

static Err read_template(Tokenizer *t, const cJSON *o)
{
    bool after = false;
    const cJSON *e;
    cJSON_ArrayForEach(e, get(o, "single"))
    {
        const cJSON *special = get(e, "SpecialToken"), *id, *x;
        if (get(e, "Sequence"))
            after = true;
        if (!special)
            continue;
        const char *name = json_text(special, "id");
        const cJSON *known = name ? get(get(o, "special_tokens"), name) : NULL;
        if (!known)
            FAIL(ERR_MODEL, "post_processor: a special token without ids");
        id = get(known, "ids");
        cJSON_ArrayForEach(x, id)
        {
            int *n = after ? &t->n_after : &t->n_before;
            if (*n == 8 || !cJSON_IsNumber(x) ||
                !(x->valuedouble >= 0 && x->valuedouble < (double)t->n))
                FAIL(ERR_MODEL, "post_processor: special id of %s is beyond the vocabulary", name);
            (after ? t->after : t->before)[(*n)++] = (int32_t)x->valuedouble;
        }
    }
    return OK;
}

static Err read_post(Tokenizer *t, const cJSON *o, int depth)
{
    const char *type = o ? json_text(o, "type") : NULL;
    const cJSON *e;
    if (!o || (type && is(type, "ByteLevel")))
        return OK;
    if (!type || depth > 8)
        FAIL(ERR_MODEL, "post_processor: no type");
    if (is(type, "Sequence")) {
        cJSON_ArrayForEach(e, get(o, "processors")) TRY(read_post(t, e, depth + 1));
        return OK;
    }
    if (is(type, "TemplateProcessing"))
        return read_template(t, o);
    if (is(type, "BertProcessing") || is(type, "RobertaProcessing")) {
        const cJSON *cls = cJSON_GetArrayItem(get(o, "cls"), 0),
                    *sep = cJSON_GetArrayItem(get(o, "sep"), 0);
        TRY(add_special(t, cJSON_IsString(cls) ? cls->valuestring : NULL, false));
        return add_special(t, cJSON_IsString(sep) ? sep->valuestring : NULL, true);
    }
    FAIL(ERR_MODEL, "post_processor %s is not supported", type);
}

/* ---- model ---- */

static Err read_vocab(Tokenizer *t, const cJSON *vocab)
{
    const cJSON *e;
    if (!cJSON_IsObject(vocab))
        FAIL(ERR_MODEL, "model: \"vocab\" is missing");
    cJSON_ArrayForEach(e, vocab)
    {
        if (!cJSON_IsNumber(e) || !(e->valuedouble >= 0 && e->valuedouble < ID_MAX))
            FAIL(ERR_MODEL, "model: vocab: %s: not an id", e->string);
        TRY(tok_set_piece(t, (int32_t)e->valuedouble, e->string));
    }
    return OK;
}

static Err add_merge(Tokenizer *t, const char *a, size_t na, const char *b, size_t nb,
                     uint32_t rank)
{
    int64_t x = strmap_get_n(t->id, a, na, -1), y = strmap_get_n(t->id, b, nb, -1);
    char *both = str_format("%.*s%.*s", (int)na, a, (int)nb, b);
    int64_t z = strmap_get(t->id, both, -1);
    free(both);
    if (x < 0 || y < 0 || z < 0)
        FAIL(ERR_MODEL, "model: merge %u: %.*s %.*s: not in the vocabulary", rank,
             na < 40 ? (int)na : 40, a, nb < 40 ? (int)nb : 40, b);
    pairmap_put(t->pairs, (int32_t)x, (int32_t)y, rank, (int32_t)z);
    return OK;
}

static Err read_merges(Tokenizer *t, const cJSON *merges)
{
    const cJSON *e;
    uint32_t rank = 0;
    if (!cJSON_IsArray(merges))
        FAIL(ERR_MODEL, "model: \"merges\" is missing");
    t->pairs = pairmap_new((size_t)cJSON_GetArraySize(merges));
    cJSON_ArrayForEach(e, merges)
    {
        const cJSON *a = e->child, *b = a ? a->next : NULL;
        const char *blank = cJSON_IsString(e) ? strchr(e->valuestring, ' ') : NULL;
        if (blank)
            TRY(add_merge(t, e->valuestring, (size_t)(blank - e->valuestring), blank + 1,
                          strlen(blank + 1), rank));
        else if (cJSON_IsString(a) && cJSON_IsString(b) && !b->next)
            TRY(add_merge(t, a->valuestring, strlen(a->valuestring), b->valuestring,
                          strlen(b->valuestring), rank));
        else
            FAIL(ERR_MODEL, "model: merge %u: not a pair", rank);
        rank++;
    }
    return OK;
}

static Err read_model(Tokenizer *t, const cJSON *o)
{
    const char *type = o ? json_text(o, "type") : NULL, *unk = json_text(o, "unk_token");
    const char *prefix = json_text(o, "continuing_subword_prefix"),
               *suffix = json_text(o, "end_of_word_suffix");
    if (!type && get(o, "merges"))
        type = "BPE";
    if (!type || !is(type, "BPE"))
        FAIL(ERR_MODEL, "model %s is not supported here (BPE and WordPiece are)",
             type ? type : "without type");
    if ((prefix && *prefix) || (suffix && *suffix) ||
        (get(o, "dropout") && get(o, "dropout")->valuedouble != 0))
        FAIL(ERR_MODEL, "model: subword prefix, word suffix and dropout are not supported");
    t->byte_fallback = flag(o, "byte_fallback", false);
    t->fuse_unk = flag(o, "fuse_unk", false);
    t->ignore_merges = flag(o, "ignore_merges", false);
    TRY(read_vocab(t, get(o, "vocab")));
    t->unk = unk ? (int32_t)strmap_get(t->id, unk, -1) : -1;
    tok_find_bytes(t);
    return read_merges(t, get(o, "merges"));
}

static Err read_added(Tokenizer *t, const cJSON *list)
{
    const cJSON *e;
    cJSON_ArrayForEach(e, list)
    {
        const char *text = json_text(e, "content");
        long long id;
        TRY(json_int(e, "id", 0, ID_MAX, -1, &id));
        if (!text || id < 0)
            FAIL(ERR_MODEL, "added_tokens: one without id or content");
        TRY(tok_add_added(t, text, (int32_t)id, e));
    }
    return OK;
}

/* BERT's tokenizer.json does what vocab.txt does. */
static Err read_words(Tokenizer *t, const cJSON *root, const char *path)
{
    const cJSON *m = get(root, "model"), *norm = get(root, "normalizer");
    const char *prefix = json_text(m, "continuing_subword_prefix"), *type = json_text(norm, "type");
    const char *pre = json_text(get(root, "pre_tokenizer"), "type");
    if ((prefix && !is(prefix, "##")) || !type || !is(type, "BertNormalizer") || !pre ||
        !is(pre, "BertPreTokenizer"))
        FAIL(ERR_MODEL, "model WordPiece: only BERT's own steps are supported");
    t->kind = TOK_JSON_WORDS;
    TRY(read_vocab(t, get(m, "vocab")));
    Str s = {0};
    for (size_t i = 0; i < t->n; i++)
        str_addf(&s, "%s\n", t->piece[i] ? t->piece[i] : "");
    Err err = wordpiece_from_text(str_text(&s), &t->words);
    str_free(&s);
    TRY(err);
    if (!flag(norm, "clean_text", true))
        FAIL(ERR_MODEL, "normalizer: clean_text must be true");
    bool lower = flag(norm, "lowercase", true);
    wordpiece_set_style(t->words,
                        (WordPieceStyle){.lower = lower,
                                         .strip = flag(norm, "strip_accents", lower),
                                         .keep_chinese = !flag(norm, "handle_chinese_chars", true),
                                         .fast = true});
    return OK;
}

static Err read_all(Tokenizer *t, const cJSON *root, const char *path)
{
    const char *type = json_text(get(root, "model"), "type");
    if (type && is(type, "WordPiece"))
        TRY(read_words(t, root, path));
    else
        TRY(read_model(t, get(root, "model")));
    TRY(read_added(t, get(root, "added_tokens")));
    if (t->kind == TOK_BPE) {
        TRY(read_normalizer(t, get(root, "normalizer"), 0));
        TRY(read_pre(t, get(root, "pre_tokenizer"), 0));
    }
    TRY(tok_normalize_added(t));
    TRY(read_decoder(t, get(root, "decoder"), 0));
    return read_post(t, get(root, "post_processor"), 0);
}

Err tok_json_open(const cJSON *root, const char *path, Tokenizer **out)
{
    Tokenizer *t = mem_must(sizeof *t);
    t->kind = TOK_BPE;
    t->unk = t->bos = t->eos = -1;
    t->id = strmap_new(1024);
    Err err = read_all(t, root, path);
    if (err != OK) {
        tokenizer_free(t);
        return err_context(err, "%s", path);
    }
    *out = t;
    return OK;
}

Err tokenizer_open_json(const char *path, Tokenizer **out)
{
    cJSON *root;
    TRY(json_read_object(path, FILE_MAX, &root));
    Err err = tok_json_open(root, path, out);
    cJSON_Delete(root);
    return err;
}
