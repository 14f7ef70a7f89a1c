/* Shapes of an imported bundle, to and from config.json. */
#include "core/base/mem.h"
#include "core/model/json_read.h"
#include "core/model/parts.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef struct Field {
    const char *name;
    size_t at;
    bool flag;
    long long lo, hi;
} Field;

#define NUM(name, member, lo, hi)                                                                  \
    {                                                                                              \
        name, offsetof(PartsConfig, member), false, lo, hi                                         \
    }
#define BIT(name, member)                                                                          \
    {                                                                                              \
        name, offsetof(PartsConfig, member), true, 0, 1                                            \
    }
static const Field FIELDS[] = {
    BIT("cell", cell),
    BIT("cell_batch_norm", cell_bn),
    BIT("query", query),
    BIT("text", text),
    BIT("heads", heads),
    BIT("match", match),
    BIT("caption", caption),
    BIT("projector", projector),
    BIT("expr", expr),
    BIT("language_model", lm),
    BIT("query_text_ffn", q.text_ffn),
    NUM("gene_rows", c.vocab, 0, 1 << 24),
    NUM("cell_width", c.width, 0, 1 << 16),
    NUM("cell_layers", c.layers, 0, 1024),
    NUM("cell_heads", c.heads, 0, 1024),
    NUM("cell_ffn", c.ffn, 0, 1 << 20),
    NUM("pad_gene", pad, -1, 1 << 24),
    NUM("cls_gene", cls, -1, 1 << 24),
    NUM("query_width", q.width, 0, 1 << 16),
    NUM("query_layers", q.layers, 0, 1024),
    NUM("query_heads", q.heads, 0, 1024),
    NUM("query_ffn", q.ffn, 0, 1 << 20),
    NUM("query_cell_width", q.cell_width, 0, 1 << 16),
    NUM("query_cross_every", q.cross_every, 0, 1024),
    NUM("query_vocab", q.vocab, 0, 1 << 24),
    NUM("query_positions", q.positions, 0, 1 << 24),
    NUM("queries", queries, 0, 4096),
    NUM("proj", proj, 0, 1 << 16),
    NUM("text_width", t.width, 0, 1 << 16),
    NUM("text_layers", t.layers, 0, 1024),
    NUM("text_heads", t.heads, 0, 1024),
    NUM("text_ffn", t.ffn, 0, 1 << 20),
    NUM("text_vocab", t.vocab, 0, 1 << 24),
    NUM("text_positions", t.positions, 0, 1 << 24),
    NUM("text_types", t.types, 0, 1 << 16),
    NUM("text_tokens", text_tokens, 0, 1 << 24),
    BIT("text_unit", text_unit),
    NUM("llm_hidden", llm_hidden, 0, 1 << 16),
    NUM("llm_width", llm_width, 0, 1 << 16),
    NUM("expr_genes", expr_genes, 0, 1 << 24),
    NUM("expr_width", expr_width, 0, 1 << 16),
};
enum { N_FIELDS = sizeof FIELDS / sizeof *FIELDS };

static Err check(const PartsConfig *c)
{
    if (c->cell && (c->c.width < 1 || c->c.heads < 1 || c->c.width % c->c.heads || c->c.vocab < 1))
        FAIL(ERR_MODEL, "cell_width is no multiple of cell_heads, or there are no genes");
    if (c->query && (c->q.width < 1 || c->q.heads < 1 || c->q.width % c->q.heads ||
                     c->q.cross_every < 1 || c->queries < 1))
        FAIL(ERR_MODEL, "query_width is no multiple of query_heads, or there are no queries");
    if (c->text && (c->t.width < 1 || c->t.heads < 1 || c->t.width % c->t.heads))
        FAIL(ERR_MODEL, "text_width is no multiple of text_heads");
    if (c->query && c->cell && c->q.cell_width != c->c.width)
        FAIL(ERR_MODEL, "query_cell_width is not cell_width");
    if (c->expr && (!c->projector || c->expr_width < 4 || c->expr_width % 4))
        FAIL(ERR_MODEL, "the expression decoder's shape makes no sense");
    return OK;
}

Err parts_config_read(const cJSON *o, PartsConfig *c)
{
    *c = (PartsConfig){0};
    const char *kind = json_text(o, "kind"), *values = json_text(o, "cell_values");
    if (!kind || strcmp(kind, "parts") != 0)
        FAIL(ERR_MODEL, "not a bundle made by import (\"kind\" is not \"parts\")");
    for (int i = 0; i < N_FIELDS; i++) {
        const Field *f = &FIELDS[i];
        if (f->flag) {
            TRY(json_bool(o, f->name, false, (bool *)((char *)c + f->at)));
        } else {
            long long v;
            TRY(json_int(o, f->name, f->lo, f->hi, 0, &v));
            *(int64_t *)((char *)c + f->at) = v;
        }
    }
    double q_eps, t_eps;
    long long pool;
    TRY(json_int(o, "text_pool", SENTENCE_NONE, SENTENCE_FIRST, SENTENCE_NONE, &pool));
    c->text_pool = (SentencePool)pool;
    TRY(json_number(o, "query_eps", 1e-12, &q_eps));
    TRY(json_number(o, "text_eps", 1e-12, &t_eps));
    if (!(q_eps >= 0 && q_eps <= 1) || !(t_eps >= 0 && t_eps <= 1))
        FAIL(ERR_MODEL, "\"query_eps\" or \"text_eps\" is not from 0 to 1");
    c->q.eps = (float)q_eps;
    c->t.eps = (float)t_eps;
    snprintf(c->cell_values, sizeof c->cell_values, "%s", values ? values : "raw");
    if (c->lm) {
        const cJSON *l = cJSON_GetObjectItemCaseSensitive(o, "lm");
        if (!cJSON_IsObject(l))
            FAIL(ERR_MODEL, "\"lm\" is missing");
        TRY(lm_config_read(l, &c->l));
    }
    return check(c);
}

cJSON *parts_config_write(const PartsConfig *c)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "format", 1);
    cJSON_AddStringToObject(o, "kind", "parts");
    for (int i = 0; i < N_FIELDS; i++) {
        const Field *f = &FIELDS[i];
        const char *at = (const char *)c + f->at;
        if (f->flag)
            cJSON_AddBoolToObject(o, f->name, *(const bool *)at);
        else
            cJSON_AddNumberToObject(o, f->name, (double)*(const int64_t *)at);
    }
    cJSON_AddNumberToObject(o, "text_pool", (double)c->text_pool);
    cJSON_AddNumberToObject(o, "query_eps", (double)c->q.eps);
    cJSON_AddNumberToObject(o, "text_eps", (double)c->t.eps);
    cJSON_AddStringToObject(o, "cell_values", c->cell_values);
    return o;
}
