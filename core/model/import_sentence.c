/* A folder of sentence-transformers: modules.json lists what follows the BERT. A mean or the first row, perhaps to unit
 * length, is what the program computes; with anything else there are no sentence vectors. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/import_impl.h"
#include "core/model/json_read.h"
#include <string.h>
#include <unistd.h>

enum { SETTINGS_MAX = 4 << 20 };

/* DIR/FILE whatever kind of value it holds; NULL when there is no such file. */
static Err read_any(const char *dir, const char *file, cJSON **out)
{
    char *path = str_format("%s/%s", dir, file), *text = NULL;
    size_t len;
    *out = NULL;
    Err err = OK;
    if (access(path, F_OK) == 0) {
        err = str_read_file(path, SETTINGS_MAX, ERR_MODEL, &text, &len);
        if (err == OK && (err = json_parse(text, len, out)) != OK)
            err = err_context(err, "%s", path);
    }
    free(text);
    free(path);
    return err;
}

static bool says(const cJSON *o, const char *key)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, key));
}

/* Of the ways to pool exactly one is set. */
static SentencePool pool_of(const cJSON *o)
{
    static const char *const others[] = {"pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
                                         "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"};
    const char *mode = json_text(o, "pooling_mode");
    bool mean = mode ? strcmp(mode, "mean") == 0 : says(o, "pooling_mode_mean_tokens");
    bool first = mode ? strcmp(mode, "cls") == 0 : says(o, "pooling_mode_cls_token");
    for (int i = 0; i < 4; i++)
        if (says(o, others[i]))
            return SENTENCE_NONE;
    return mean == first ? SENTENCE_NONE : mean ? SENTENCE_MEAN : SENTENCE_FIRST;
}

static Err read_pool(const char *dir, const cJSON *module, SentencePool *pool)
{
    cJSON *o;
    const char *folder = json_text(module, "path");
    char *file = str_format("%s/config.json", folder ? folder : "1_Pooling");
    Err err = read_any(dir, file, &o);
    free(file);
    if (err == OK)
        *pool = pool_of(o);
    cJSON_Delete(o);
    return err;
}

static Err read_length(const char *dir, PartsConfig *c)
{
    cJSON *o;
    long long most;
    TRY(read_any(dir, "sentence_bert_config.json", &o));
    Err err = json_int(o, "max_seq_length", 1, 1 << 24, c->t.positions, &most);
    c->text_tokens = most < c->t.positions ? most : c->t.positions;
    cJSON_Delete(o);
    return err == OK ? OK : err_context(err, "%s/sentence_bert_config.json", dir);
}

Err import_sentence(const char *dir, PartsConfig *c)
{
    cJSON *list;
    const cJSON *m;
    bool other = false;
    TRY(read_any(dir, "modules.json", &list));
    Err err = OK;
    cJSON_ArrayForEach(m, list)
    {
        const char *type = json_text(m, "type");
        if (type && str_ends(type, ".Pooling") && err == OK)
            err = read_pool(dir, m, &c->text_pool);
        else if (type && str_ends(type, ".Normalize"))
            c->text_unit = true;
        else
            other |= !type || !str_ends(type, ".Transformer");
    }
    cJSON_Delete(list);
    if (other)
        c->text_pool = SENTENCE_NONE;
    return err == OK && c->text_pool != SENTENCE_NONE ? read_length(dir, c) : err;
}
