/* PEFT adapters: which rank and scale belong to a weight, and the merge in float32. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/import_impl.h"
#include "core/model/json_read.h"
#include <math.h>
#include <regex.h>
#include <string.h>

enum { CONFIG_MAX = 4 << 20 };

struct LoraRules {
    cJSON *o; /* NULL: of the training script, alpha 32, rank 8 */
    char *path;
    double r, alpha;
    bool rs;
};

static Err check_config(LoraRules *l)
{
    const char *type = json_text(l->o, "peft_type");
    bool bias;
    if (type && strcmp(type, "LORA") != 0)
        FAIL(ERR_MODEL,
             "peft_type %s is not supported (LORA is); merge it with peft's merge_and_unload and "
             "save the model",
             type);
    TRY(json_bool(l->o, "lora_bias", false, &bias));
    if (bias)
        FAIL(ERR_MODEL, "lora_bias is not supported; merge it with peft's merge_and_unload and "
                        "save the model");
    /* fan_in_fan_out speaks of layers that store [in,out]; a Llama has none, and peft ignores it */
    TRY(json_bool(l->o, "use_rslora", false, &l->rs));
    TRY(json_number(l->o, "r", 8, &l->r));
    TRY(json_number(l->o, "lora_alpha", 8, &l->alpha));
    if (!(l->r >= 1))
        FAIL(ERR_MODEL, "\"r\" is not positive");
    return OK;
}

Err lora_rules_read(const char *adapter, LoraRules **out)
{
    LoraRules *l = mem_must(sizeof *l);
    *l = (LoraRules){.r = 8, .alpha = 32};
    Err err = OK;
    if (adapter) {
        l->path = str_format("%s/adapter_config.json", adapter);
        err = json_read_object(l->path, CONFIG_MAX, &l->o);
        if (err == OK && (err = check_config(l)) != OK)
            err = err_context(err, "%s", l->path);
    }
    if (err != OK)
        lora_rules_free(l);
    else
        *out = l;
    return err;
}

void lora_rules_free(LoraRules *l)
{
    if (!l)
        return;
    cJSON_Delete(l->o);
    free(l->path);
    free(l);
}

/* Python's spelling of a pattern in POSIX's: \d, (?: ... ). Counted repeats are refused: a few of
 * them nested would take any amount of memory. Caller frees; NULL. */
static char *posix_pattern(const char *s)
{
    Str out = {0};
    str_add(&out, "^(.*\\.)?(");
    for (; *s; s++) {
        if (*s == '{' || (*s == '\\' && s[1] >= '1' && s[1] <= '9') || out.len > 1000) {
            str_free(&out);
            return NULL;
        }
        if (s[0] == '\\' && s[1] == 'd') {
            str_add(&out, "[0-9]");
            s++;
        } else if (s[0] == '\\' && s[1]) {
            str_add_n(&out, s++, 2);
        } else if (s[0] == '(' && s[1] == '?' && s[2] == ':') {
            str_add_char(&out, '(');
            s += 2;
        } else {
            str_add_char(&out, *s);
        }
    }
    str_add(&out, ")$");
    return str_take(&out);
}

/* The first pattern of o's member `key` that fits the module: (.*\.)?(PATTERN)$ */
static Err by_pattern(const LoraRules *l, const char *key, const char *module, double *value)
{
    const cJSON *o = l->o ? cJSON_GetObjectItemCaseSensitive(l->o, key) : NULL, *e;
    cJSON_ArrayForEach(e, o)
    {
        regex_t re;
        char *text = posix_pattern(e->string);
        if (!text || !cJSON_IsNumber(e) || regcomp(&re, text, REG_EXTENDED | REG_NOSUB) != 0) {
            free(text);
            FAIL(ERR_MODEL, "%s: %s: pattern %s is not usable", l->path, key, e->string);
        }
        free(text);
        bool fits = regexec(&re, module, 0, NULL, 0) == 0;
        regfree(&re);
        if (fits) {
            *value = e->valuedouble;
            return OK;
        }
    }
    return OK;
}

static const CkTensor *take(Pool *p, const char *module, const char *what)
{
    char *name = str_format("llm.%s.%s", module, what);
    PoolTensor *t = pool_find(p, name);
    free(name);
    if (t)
        t->used = true;
    return t ? t->t : NULL;
}

/* The tokens of `module` that have rows of their own: a list, or a list for each table. */
static const cJSON *token_list(const LoraRules *r, const char *module)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(r->o, "trainable_token_indices"), *e;
    if (cJSON_IsArray(o))
        return o;
    cJSON_ArrayForEach(e, o) if (str_ends(module, e->string)) return e;
    return NULL;
}

static Err find_rows(const LoraRules *r, Pool *p, const char *module, const CkTensor *base,
                     Lora *out)
{
    const CkTensor *t = take(p, module, "token_adapter.trainable_tokens_delta");
    const cJSON *list = t ? token_list(r, module) : NULL, *e;
    if (!t)
        return OK;
    if (out->a || out->b || t->ndim != 2 || t->dim[1] != base->dim[1] || !cJSON_IsArray(list) ||
        t->dim[0] != cJSON_GetArraySize(list))
        FAIL(ERR_MODEL, "%s: tensor %s: does not fit trainable_token_indices", t->file, t->name);
    cJSON_ArrayForEach(e, list) if (!cJSON_IsNumber(e) ||
                                    !(e->valuedouble >= 0 && e->valuedouble < (double)base->dim[0]))
        FAIL(ERR_MODEL, "%s: trainable_token_indices: a token beyond the table", r->path);
    out->rows = t;
    out->row_ids = list;
    return OK;
}

static bool fits(const Lora *l, const CkTensor *base)
{
    const CkTensor *a = l->a, *b = l->b;
    if (a->ndim != 2 || b->ndim != 2)
        return false;
    int out = l->table; /* which of A's and B's sides is the rank */
    const CkTensor *in_side = l->table ? b : a, *out_side = l->table ? a : b;
    return in_side->dim[!out] == base->dim[1] && out_side->dim[out] == base->dim[0] &&
           a->dim[0] == b->dim[1];
}

Err lora_find(const LoraRules *r, Pool *p, const char *name, const CkTensor *base, Lora *out,
              bool *found)
{
    *found = false;
    if (!str_ends(name, ".weight") || base->ndim != 2)
        return OK;
    char *module = mem_strndup(name, strlen(name) - strlen(".weight"));
    Err err = OK;
    double rank = r->r, alpha = r->alpha;
    *out = (Lora){.a = take(p, module, "lora_A.weight"), .b = take(p, module, "lora_B.weight")};
    if (!out->a && !out->b)
        *out = (Lora){.a = take(p, module, "lora_embedding_A"),
                      .b = take(p, module, "lora_embedding_B"),
                      .table = true};
    TRY_GOTO(find_rows(r, p, module, base, out));
    *found = out->rows != NULL;
    if (!out->a && !out->b)
        goto done;
    if (!out->a || !out->b)
        FAIL_GOTO(ERR_MODEL, "%s: tensor %s: only one of lora_A and lora_B is there",
                  out->a ? out->a->file : out->b->file, module);
    out->magnitude = out->table ? NULL : take(p, module, "lora_magnitude_vector");
    TRY_GOTO(by_pattern(r, "rank_pattern", module, &rank));
    TRY_GOTO(by_pattern(r, "alpha_pattern", module, &alpha));
    if (!fits(out, base) || (r->o && (double)out->a->dim[0] != rank))
        FAIL_GOTO(ERR_MODEL, "%s: tensor %s: its shape does not fit rank %g and the weight",
                  out->a->file, out->a->name, rank);
    if (out->magnitude && (out->magnitude->elements != (size_t)base->dim[0]))
        FAIL_GOTO(ERR_MODEL, "%s: tensor %s: not one number a row", out->magnitude->file,
                  out->magnitude->name);
    /* the training script's scale is 4 (alpha 32, rank 8), whatever its settings say */
    out->scale = r->rs ? alpha / sqrt(rank) : alpha / rank;
    *found = true;
done:
    free(module);
    return err;
}

/* A matrix as it is or turned over, in float32. */
static Err read_turned(const CkTensor *t, bool turned, float **out)
{
    CkTensor x = *t;
    if (turned) {
        x.dim[0] = t->dim[1];
        x.dim[1] = t->dim[0];
        x.stride[0] = t->stride[1];
        x.stride[1] = t->stride[0];
        x.contiguous = false;
    }
    TRY(NEW(*out, t->elements));
    ckpt_read_f32(&x, *out);
    return OK;
}

/* to[j] = row i of w + B A. */
static double add_row(const float *w, const float *a, const float *b, int64_t rank, int64_t cols,
                      float *to)
{
    double norm = 0;
    for (int64_t j = 0; j < cols; j++) {
        double s = 0;
        for (int64_t k = 0; k < rank; k++)
            s += (double)b[k] * (double)a[k * cols + j];
        to[j] = (float)((double)w[j] + s);
        norm += (double)to[j] * (double)to[j];
    }
    return norm;
}

/* The magnitudes become factors of the rows of w + B A. */
static Err row_gains(const float *w, const float *a, const float *b, int64_t rank, int64_t rows,
                     int64_t cols, float *gain)
{
    float *row;
    TRY(NEW(row, (size_t)cols));
    for (int64_t i = 0; i < rows; i++)
        gain[i] = (float)((double)gain[i] /
                          sqrt(add_row(w + i * cols, a, b + i * rank, rank, cols, row)));
    free(row);
    return OK;
}

Err lora_factors(const Lora *l, const float *w, int64_t rows, int64_t cols, float **a, float **b,
                 float **gain)
{
    int64_t rank = l->a->dim[0];
    *a = *b = *gain = NULL;
    Err err = read_turned(l->table ? l->b : l->a, l->table, a);
    if (err == OK)
        err = read_turned(l->table ? l->a : l->b, l->table, b);
    for (int64_t i = 0; err == OK && i < rows * rank; i++)
        (*b)[i] = (float)((double)(*b)[i] * l->scale);
    if (err == OK && l->magnitude)
        err = NEW(*gain, l->magnitude->elements);
    if (err == OK && l->magnitude) {
        ckpt_read_f32(l->magnitude, *gain);
        err = row_gains(w, *a, *b, rank, rows, cols, *gain);
    }
    if (err == OK)
        return OK;
    free(*a);
    free(*b);
    free(*gain);
    return err;
}

static Err replace_rows(const Lora *l, float *w, int64_t cols)
{
    const cJSON *e;
    float *row, *v;
    TRY(NEW(v, l->rows->elements));
    ckpt_read_f32(l->rows, v);
    row = v;
    cJSON_ArrayForEach(e, l->row_ids)
    {
        memcpy(w + (int64_t)e->valuedouble * cols, row, (size_t)cols * sizeof *w);
        row += cols;
    }
    free(v);
    return OK;
}

Err lora_merge(const Lora *l, float *w, int64_t rows, int64_t cols)
{
    if (l->rows)
        return replace_rows(l, w, cols);
    int64_t rank = l->a->dim[0];
    float *a, *b, *gain;
    TRY(lora_factors(l, w, rows, cols, &a, &b, &gain));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; i++) {
        float *row = w + i * cols;
        add_row(row, a, b + i * rank, rank, cols, row);
        for (int64_t j = 0; gain && j < cols; j++)
            row[j] *= gain[i];
    }
    free(a);
    free(b);
    free(gain);
    return OK;
}
