/* config.json of a Llama checkpoint. What the program does not compute is refused by name. */
#include "core/model/json_read.h"
#include "core/model/lm.h"
#include <string.h>

static Err read_int(const cJSON *o, const char *key, long long lo, long long hi,
                    long long otherwise, int64_t *out)
{
    long long v;
    if (otherwise < 0 && !cJSON_GetObjectItemCaseSensitive(o, key))
        FAIL(ERR_MODEL, "\"%s\" is missing", key);
    TRY(json_int(o, key, lo, hi, otherwise < 0 ? lo : otherwise, &v));
    *out = v;
    return OK;
}

static Err read_scaling(const cJSON *o, LmConfig *c)
{
    const cJSON *s = cJSON_GetObjectItemCaseSensitive(o, "rope_parameters");
    RopeScaling *r = &c->scaling;
    if (cJSON_IsObject(s)) {
        TRY(json_number(s, "rope_theta", c->theta, &c->theta));
        double part;
        TRY(json_number(s, "partial_rotary_factor", 1, &part));
        if (part != 1)
            FAIL(ERR_MODEL, "\"partial_rotary_factor\" is not supported");
    } else {
        s = cJSON_GetObjectItemCaseSensitive(o, "rope_scaling");
    }
    if (!s || cJSON_IsNull(s))
        return OK;
    if (!cJSON_IsObject(s))
        FAIL(ERR_MODEL, "\"rope_scaling\" is not an object");
    const char *type = json_text(s, "rope_type");
    type = type ? type : json_text(s, "type");
    if (!type || strcmp(type, "default") == 0)
        return OK;
    if (strcmp(type, "linear") == 0)
        r->kind = ROPE_LINEAR;
    else if (strcmp(type, "dynamic") == 0)
        r->kind = ROPE_DYNAMIC;
    else if (strcmp(type, "llama3") == 0)
        r->kind = ROPE_LLAMA3;
    else
        FAIL(ERR_MODEL, "rope scaling \"%s\" is not supported (linear, dynamic and llama3 are)",
             type);
    long long original;
    TRY(json_number(s, "factor", 0, &r->factor));
    TRY(json_number(s, "low_freq_factor", 1, &r->low_freq_factor));
    TRY(json_number(s, "high_freq_factor", 4, &r->high_freq_factor));
    TRY(json_int(s, "original_max_position_embeddings", 1, 1 << 30, c->positions, &original));
    r->original_max = original;
    if (!(r->factor >= 1) || !(r->low_freq_factor > 0) ||
        !(r->high_freq_factor > r->low_freq_factor))
        FAIL(ERR_MODEL, "rope scaling: a factor is missing or out of range");
    return OK;
}

static Err add_eos(const cJSON *x, LmConfig *c)
{
    if (!cJSON_IsNumber(x) || !(x->valuedouble >= 0 && x->valuedouble < 1 << 24) || c->n_eos == LM_EOS_MAX)
        FAIL(ERR_MODEL, "\"eos_token_id\" is not a word number or a short list of them");
    c->eos[c->n_eos++] = (int32_t)x->valuedouble;
    return OK;
}

static Err read_eos(const cJSON *o, LmConfig *c)
{
    const cJSON *e = cJSON_GetObjectItemCaseSensitive(o, "eos_token_id"), *x;
    c->n_eos = 0;
    if (!cJSON_IsArray(e))
        return e && !cJSON_IsNull(e) ? add_eos(e, c) : OK;
    cJSON_ArrayForEach(x, e) TRY(add_eos(x, c));
    return OK;
}

Err lm_config_read(const cJSON *o, LmConfig *c)
{
    *c = (LmConfig){.theta = 10000};
    const char *type = json_text(o, "model_type"), *act = json_text(o, "hidden_act");
    if (type && strcmp(type, "llama") != 0)
        FAIL(ERR_MODEL, "model_type \"%s\" is not supported (llama is)", type);
    if (act && strcmp(act, "silu") != 0)
        FAIL(ERR_MODEL, "hidden_act \"%s\" is not supported (silu is)", act);
    int64_t bos;
    TRY(read_int(o, "vocab_size", 1, 1 << 24, -1, &c->vocab));
    TRY(read_int(o, "hidden_size", 1, 1 << 16, -1, &c->width));
    TRY(read_int(o, "intermediate_size", 1, 1 << 20, -1, &c->ffn));
    TRY(read_int(o, "num_hidden_layers", 1, 1024, -1, &c->layers));
    TRY(read_int(o, "num_attention_heads", 1, 1024, -1, &c->heads));
    TRY(read_int(o, "num_key_value_heads", 1, 1024, c->heads, &c->kv_heads));
    TRY(read_int(o, "head_dim", 2, 4096, c->width / c->heads, &c->head_dim));
    TRY(read_int(o, "max_position_embeddings", 1, 1 << 30, 2048, &c->positions));
    TRY(json_number(o, "rms_norm_eps", 1e-6, &c->eps));
    TRY(json_number(o, "rope_theta", 10000, &c->theta));
    if (!(c->theta > 0))
        FAIL(ERR_MODEL, "\"rope_theta\" is out of range");
    TRY(json_bool(o, "tie_word_embeddings", false, &c->tied));
    TRY(json_bool(o, "attention_bias", false, &c->attention_bias));
    TRY(json_bool(o, "mlp_bias", false, &c->mlp_bias));
    TRY(read_int(o, "bos_token_id", 0, 1 << 24, 1, &bos));
    c->bos = (int32_t)bos;
    TRY(read_scaling(o, c));
    c->scaling.max_positions = c->positions;
    if (!(c->theta > 0) || !(c->eps >= 0 && c->eps <= 1))
        FAIL(ERR_MODEL, "\"rope_theta\" or \"rms_norm_eps\" is out of range");
    if (c->heads % c->kv_heads)
        FAIL(ERR_MODEL, "num_attention_heads is no multiple of num_key_value_heads");
    if (c->head_dim < 2 || c->head_dim % 2)
        FAIL(ERR_MODEL, "head_dim (or hidden_size / num_attention_heads) is odd or nothing");
    return read_eos(o, c);
}
