/* The text tower: WordPiece, BERT encoder, mean over tokens, unit length. Sentences are embedded in
 * batches of similar length. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/bert.h"
#include "core/model/weights.h"
#include <cjson/cJSON.h>
#include <string.h>

enum { BATCH = 32 };

struct TextTower {
    Device *d;
    ParamSet *ps;
    Bert *bert;
    BertConfig c;
    WordPiece *words;
    Tape *tape;
    size_t max_tokens;
};

static Err take_int(const cJSON *o, const char *key, int64_t lo, int64_t hi, int64_t *out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!cJSON_IsNumber(v) || v->valuedouble < (double)lo || v->valuedouble > (double)hi)
        FAIL(ERR_MODEL, "\"%s\" is missing or out of range", key);
    *out = (int64_t)v->valuedouble;
    return OK;
}

static Err read_config(const char *path, TextTower *t)
{
    char *text;
    size_t len;
    TRY(str_read_file(path, 1 << 20, ERR_MODEL, &text, &len));
    cJSON *o = cJSON_ParseWithLength(text, len);
    free(text);
    BertConfig *c = &t->c;
    int64_t max_tokens = 0;
    Err err = o ? OK : err_set(ERR_MODEL, "not valid JSON");
    if (err == OK)
        err = take_int(o, "hidden_size", 1, 65536, &c->width);
    if (err == OK)
        err = take_int(o, "num_hidden_layers", 1, 256, &c->layers);
    if (err == OK)
        err = take_int(o, "num_attention_heads", 1, 1024, &c->heads);
    if (err == OK)
        err = take_int(o, "intermediate_size", 1, 1 << 20, &c->ffn);
    if (err == OK)
        err = take_int(o, "max_position_embeddings", 2, 1 << 20, &c->positions);
    if (err == OK)
        err = take_int(o, "vocab_size", 1, 1 << 24, &c->vocab);
    if (err == OK)
        err = take_int(o, "max_tokens", 2, c->positions, &max_tokens);
    if (err == OK && c->width % c->heads)
        err = err_set(ERR_MODEL, "hidden_size is no multiple of num_attention_heads");
    if (err == OK) {
        const cJSON *e = cJSON_GetObjectItemCaseSensitive(o, "layer_norm_eps");
        c->eps = cJSON_IsNumber(e) ? (float)e->valuedouble : 1e-12f;
        t->max_tokens = (size_t)max_tokens;
    }
    cJSON_Delete(o);
    return err == OK ? OK : err_context(err, "%s", path);
}

static Err load(const char *dir, TextTower *t)
{
    char *path = str_format("%s/text.json", dir);
    Err err = read_config(path, t);
    free(path);
    TRY(err);
    path = str_format("%s/vocab.txt", dir);
    err = wordpiece_open(path, &t->words);
    free(path);
    TRY(err);
    if (wordpiece_size(t->words) != (size_t)t->c.vocab)
        FAIL(ERR_MODEL, "%s/vocab.txt: %zu tokens, text.json says %lld", dir,
             wordpiece_size(t->words), (long long)t->c.vocab);
    TRY(params_new(t->d, &t->ps));
    params_blank(t->ps);
    TRY(bert_new(t->ps, "text", &t->c, PARAMS_BLANK, &t->bert));
    path = str_format("%s/text.safetensors", dir);
    StFile *f = NULL;
    err = st_open(path, &f);
    free(path);
    TRY(err);
    err = weights_load(t->ps, f, "");
    st_close(f);
    TRY(err);
    TRY(params_pack(t->ps, "text.encoder", WEIGHT_F32));
    return tape_new(t->d, false, &t->tape);
}

Err text_tower_open(const char *dir, Device *d, TextTower **out)
{
    TextTower *t = mem_must(sizeof *t);
    t->d = d;
    Err err = load(dir, t);
    if (err != OK)
        text_tower_free(t);
    else
        *out = t;
    return err;
}

void text_tower_free(TextTower *t)
{
    if (!t)
        return;
    tape_free(t->tape);
    bert_free(t->bert);
    params_free(t->ps);
    wordpiece_free(t->words);
    free(t);
}

const BertConfig *text_tower_config(const TextTower *t)
{
    return &t->c;
}

const WordPiece *text_tower_words(const TextTower *t)
{
    return t->words;
}

Bert *text_tower_bert(const TextTower *t)
{
    return t->bert;
}

size_t text_tower_parameters(const TextTower *t)
{
    return (size_t)params_elements(t->ps, false);
}

typedef struct Sentence {
    int32_t *ids;
    size_t n, at; /* tokens; place in the caller's list */
} Sentence;

static int by_length(const void *a, const void *b)
{
    const Sentence *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Sentences s[0..n), n <= BATCH, sorted by length. */
static Err embed_batch(TextTower *t, const Sentence *s, size_t n, float *out)
{
    size_t width = s[n - 1].n, w = (size_t)t->c.width;
    int32_t *ids, len[BATCH];
    float *vec = NULL;
    TRY(NEW(ids, n * width));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < width; k++)
            ids[i * width + k] = k < s[i].n ? s[i].ids[k] : wordpiece_pad(t->words);
        len[i] = (int32_t)s[i].n;
    }
    tape_reset(t->tape);
    Tensor *h = bert_forward(t->tape, t->bert, ids, len, (int64_t)n, (int64_t)width);
    h = op_l2norm(t->tape, op_token_mean(t->tape, h, len));
    free(ids);
    TRY(NEW(vec, n * w));
    Err err = tensor_read(t->tape, h, vec);
    for (size_t i = 0; err == OK && i < n; i++)
        memcpy(out + s[i].at * w, vec + i * w, w * sizeof *vec);
    free(vec);
    return err;
}

Err text_tower_embed(TextTower *t, const char *const *texts, size_t n, JobCtl *ctl, float *out)
{
    Sentence *s;
    Err err = OK;
    TRY(NEW0(s, n));
    for (size_t i = 0; err == OK && i < n; i++) {
        err = wordpiece_encode(t->words, texts[i], t->max_tokens, 1, &s[i].ids, &s[i].n);
        s[i].at = i;
    }
    if (err == OK)
        qsort(s, n, sizeof *s, by_length);
    if (err == OK && n > BATCH)
        job_stage(ctl, "reading texts", n);
    for (size_t i = 0; err == OK && i < n; i += BATCH) {
        if (n > BATCH)
            err = job_progress(ctl, i);
        if (err == OK)
            err = embed_batch(t, s + i, n - i < BATCH ? n - i : BATCH, out);
    }
    for (size_t i = 0; i < n; i++)
        free(s[i].ids);
    free(s);
    return err;
}
