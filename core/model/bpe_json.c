/* The decoder's own byte pairs as a tokenizer.json of the tokenizers library: bytes as the characters that stand for
 * them there, words split by a pattern, merges in the order they were learned, <s> before a text. */
#include "core/base/str.h"
#include "core/model/bpe.h"
#include "core/model/tokenizer_impl.h"
#include <utf8proc.h>

static const char *const SPECIAL[BPE_BYTE] = {"<pad>", "<s>", "</s>"};

/* The token as tokenizer.json writes it. */
static void add_token(const Bpe *b, int32_t id, Str *s)
{
    size_t n;
    utf8proc_uint8_t c[4];
    str_clear(s);
    if (id < BPE_BYTE)
        str_add(s, SPECIAL[id]);
    const char *bytes = bpe_bytes(b, id, &n);
    for (size_t i = 0; i < n; i++)
        str_add_n(s, (const char *)c, (size_t)utf8proc_encode_char(tok_char_of_byte((unsigned char)bytes[i]), c));
}

static cJSON *typed(const char *type)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "type", type);
    return o;
}

static cJSON *bytes_step(const char *type)
{
    cJSON *o = typed(type);
    cJSON_AddBoolToObject(o, "add_prefix_space", false);
    cJSON_AddBoolToObject(o, "trim_offsets", true);
    cJSON_AddBoolToObject(o, "use_regex", false);
    return o;
}

static cJSON *split_step(void)
{
    cJSON *o = typed("Sequence"), *list = cJSON_AddArrayToObject(o, "pretokenizers"), *split = typed("Split");
    cJSON_AddStringToObject(cJSON_AddObjectToObject(split, "pattern"), "Regex", TOK_OWN_WORDS);
    cJSON_AddStringToObject(split, "behavior", "Isolated");
    cJSON_AddBoolToObject(split, "invert", false);
    cJSON_AddItemToArray(list, split);
    cJSON_AddItemToArray(list, bytes_step("ByteLevel"));
    return o;
}

static cJSON *model(const Bpe *b)
{
    cJSON *o = typed("BPE"), *vocab = cJSON_AddObjectToObject(o, "vocab"), *merges = cJSON_AddArrayToObject(o, "merges");
    Str x = {0}, y = {0};
    for (int32_t id = 0; id < (int32_t)bpe_size(b); id++) {
        add_token(b, id, &x);
        cJSON_AddNumberToObject(vocab, str_text(&x), id);
        if (id < BPE_MERGED)
            continue;
        cJSON *pair = cJSON_CreateArray();
        for (int part = 0; part < 2; part++) {
            add_token(b, bpe_merge(b, id)[part], &y);
            cJSON_AddItemToArray(pair, cJSON_CreateString(str_text(&y)));
        }
        cJSON_AddItemToArray(merges, pair);
    }
    str_free(&x);
    str_free(&y);
    return o;
}

static cJSON *added(void)
{
    static const char *const no[] = {"single_word", "lstrip", "rstrip", "normalized"};
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < BPE_BYTE; i++) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddNumberToObject(o, "id", i);
        cJSON_AddStringToObject(o, "content", SPECIAL[i]);
        for (int k = 0; k < 4; k++)
            cJSON_AddBoolToObject(o, no[k], false);
        cJSON_AddBoolToObject(o, "special", true);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

/* <s> before the text. */
static cJSON *begin(void)
{
    cJSON *o = typed("TemplateProcessing"), *single = cJSON_AddArrayToObject(o, "single"), *e, *known;
    cJSON_AddArrayToObject(o, "pair");
    for (int i = 0; i < 2; i++) {
        cJSON_AddItemToArray(single, e = cJSON_CreateObject());
        e = cJSON_AddObjectToObject(e, i ? "Sequence" : "SpecialToken");
        cJSON_AddStringToObject(e, "id", i ? "A" : SPECIAL[BPE_BOS]);
        cJSON_AddNumberToObject(e, "type_id", 0);
    }
    known = cJSON_AddObjectToObject(cJSON_AddObjectToObject(o, "special_tokens"), SPECIAL[BPE_BOS]);
    cJSON_AddStringToObject(known, "id", SPECIAL[BPE_BOS]);
    cJSON_AddItemToObject(known, "ids", cJSON_CreateIntArray((const int[]){BPE_BOS}, 1));
    cJSON_AddItemToObject(known, "tokens", cJSON_CreateStringArray(&SPECIAL[BPE_BOS], 1));
    return o;
}

cJSON *bpe_tokenizer_json(const Bpe *b)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "version", "1.0");
    cJSON_AddNullToObject(o, "truncation");
    cJSON_AddNullToObject(o, "padding");
    cJSON_AddItemToObject(o, "added_tokens", added());
    cJSON_AddNullToObject(o, "normalizer");
    cJSON_AddItemToObject(o, "pre_tokenizer", split_step());
    cJSON_AddItemToObject(o, "post_processor", begin());
    cJSON_AddItemToObject(o, "decoder", bytes_step("ByteLevel"));
    cJSON_AddItemToObject(o, "model", model(b));
    return o;
}
