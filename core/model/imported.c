/* Loading imported parts as a model. Marker scores need the corpus' statistics of genes, which no
 * public checkpoint has: those of the shipped model serve, by name. */
#include "core/model/imported.h"
#include "core/base/assets.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/json_read.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { VOCAB_MAX = 64 << 20, RAW_MOST = 2047, TEXT_MOST = 128 };

bool imported_kind(const cJSON *config)
{
    const char *kind = json_text(config, "kind");
    return kind && strcmp(kind, "parts") == 0;
}

/* ---- genes ---- */

typedef struct Row {
    const char *name;
    int32_t row;
} Row;

static int by_row(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

/* Names in the order of their rows; what begins with '<' is no gene. */
static Err genes_of(const cJSON *o, int64_t rows, GeneSpace **genes, int32_t **row)
{
    size_t n = 0;
    Row *r = NULL;
    const char **names = NULL;
    const cJSON *e;
    Err err = OK;
    TRY_GOTO(NEW(r, (size_t)cJSON_GetArraySize(o)));
    cJSON_ArrayForEach(e, o)
    {
        if (!cJSON_IsNumber(e) || !(e->valuedouble >= 0 && e->valuedouble < (double)rows))
            FAIL_GOTO(ERR_MODEL, "%s: not a row of the gene table", e->string);
        if (e->string[0] != '<')
            r[n++] = (Row){e->string, (int32_t)e->valuedouble};
    }
    if (n)
        qsort(r, n, sizeof *r, by_row);
    TRY_GOTO(NEW(names, n));
    TRY_GOTO(NEW(*row, n));
    for (size_t i = 0; i < n; i++) {
        names[i] = r[i].name;
        (*row)[i] = r[i].row;
    }
    err = genespace_new(names, n, genes);
done:
    free(r);
    free(names);
    return err;
}

/* fraction, mean, sd by name from the shipped model; what it does not know has none. */
static void take_statistics(GeneSpace *g)
{
    Str dir = {0};
    GeneSpace *from = NULL;
    double known = 0;
    Err err = assets_path("model/mini-1", &dir);
    if (err == OK)
        err = bundle_read_genes(str_text(&dir), &from);
    for (size_t i = 0; err == OK && i < g->n; i++) {
        int32_t j = genespace_find(from, g->name[i]);
        if (j < 0)
            continue;
        g->fraction[i] = from->fraction[j];
        g->mean[i] = from->mean[j];
        g->sd[i] = from->sd[j];
        known += (double)from->fraction[j];
    }
    for (size_t i = 0; !(known > 0) && i < g->n; i++)
        g->fraction[i] = 1.0f / (float)g->n;
    genespace_free(from);
    str_free(&dir);
}

static Err read_genes(Model *m, const char *dir)
{
    Imported *x = m->imported;
    cJSON *o = NULL;
    char *path = bundle_path(dir, "vocab.json");
    Err err = json_read_object(path, VOCAB_MAX, &o);
    if (err == OK) {
        err = genes_of(o, x->p.c.c.vocab, &m->genes, &x->row);
        if (err != OK)
            err = err_context(err, "%s", path);
    }
    cJSON_Delete(o);
    free(path);
    TRY(err);
    TRY(NEW0(m->genes->fraction, m->genes->n));
    TRY(NEW0(m->genes->mean, m->genes->n));
    TRY(NEW0(m->genes->sd, m->genes->n));
    take_statistics(m->genes);
    return OK;
}

/* ---- values ---- */

static Err read_pipeline(Imported *x, const char *dir)
{
    cJSON *o = NULL;
    long long most = 1200, bins = 51;
    char *path = bundle_path(dir, "cell_args.json");
    Err err = OK;
    if (!pipeline_kind(x->p.c.cell_values, &x->pipe.kind))
        err = err_set(ERR_MODEL, "%s/config.json: cell_values \"%s\" is unknown", dir,
                      x->p.c.cell_values);
    if (err == OK && access(path, F_OK) == 0)
        err = json_read_object(path, VOCAB_MAX, &o);
    if (err == OK && o)
        err = json_int(o, "max_seq_len", 2, 1 << 16, most, &most);
    if (err == OK && o)
        err = json_int(o, "n_bins", 3, 4096, bins, &bins);
    cJSON_Delete(o);
    free(path);
    bool counts = x->pipe.kind == VALUES_RAW || x->pipe.kind == VALUES_RANK;
    x->pipe.most = counts ? RAW_MOST : (size_t)most - 1;
    x->pipe.n_bins = (int)bins;
    return err;
}

/* ---- parts ---- */

static Err need_parts(const PartsConfig *c, const char *dir)
{
    if (c->cell && !c->query) /* embeds cells and no more */
        return OK;
    const char *lacks = !c->cell    ? "cell encoder (import --scgpt)"
                        : !c->query ? "Q-Former (import --lightning, or --from-parts)"
                        : !c->heads ? "projections to the shared space (import --lightning)"
                        : !c->q.vocab || !c->q.text_ffn
                            ? "text side of the Q-Former (import the stage-1 --lightning file)"
                            : NULL;
    if (lacks)
        FAIL(ERR_MODEL, "%s: the bundle has no %s; cells and texts cannot be compared without it",
             dir, lacks);
    return OK;
}

/* The parts under the names that stage 1 gives them; nothing is owned twice. */
static void view_member(Model *m)
{
    const Parts *p = &m->imported->p;
    m->c = (Stage1Config){.cell = p->c.c,
                          .query = p->c.q,
                          .queries = p->c.queries,
                          .proj = p->c.proj,
                          .match = p->c.match,
                          .tokens = (int64_t)m->imported->pipe.most};
    m->member[0] = (Stage1){.c = m->c,
                            .ps = p->ps,
                            .cell = p->cell,
                            .qf = p->qf,
                            .query_tokens = p->query_tokens,
                            .ln_gene = p->ln_gene,
                            .cell_proj = p->cell_proj,
                            .text_proj = p->text_proj,
                            .match_head = p->gtm_head};
}

Err imported_load(Model *m, const char *dir, JobCtl *ctl)
{
    Imported *x = m->imported = mem_must(sizeof *x);
    TRY(parts_open(dir, m->device, true, false, ctl, &x->p));
    TRY(need_parts(&x->p.c, dir));
    TRY(params_pack(x->p.ps, "cell_encoder.model.transformer_encoder", WEIGHT_F32));
    TRY(params_pack(x->p.ps, "cell_encoder.model.value_encoder.linear2", WEIGHT_F32));
    TRY(params_pack(x->p.ps, "Qformer.bert.encoder", WEIGHT_F32));
    if (x->p.c.query)
        TRY(tokenizer_open_bundle(dir, "text", &x->words));
    if (x->words && (int64_t)tokenizer_size(x->words) > x->p.c.q.vocab)
        FAIL(ERR_MODEL, "%s: the text tokenizer has %zu tokens, the Q-Former %lld rows", dir,
             tokenizer_size(x->words), (long long)x->p.c.q.vocab);
    TRY(read_pipeline(x, dir));
    TRY(read_genes(m, dir));
    TRY(NEW0(m->member, 1));
    m->desc.members = 1;
    view_member(m);
    return OK;
}

void imported_free(Imported *x)
{
    if (!x)
        return;
    if (x->p.d)
        parts_done(&x->p);
    tokenizer_free(x->words);
    tokenizer_free(x->lm_words);
    free(x->row);
    free(x);
}

size_t imported_parameters(const Imported *x)
{
    size_t n = (size_t)params_elements(x->p.ps, false);
    return n; /* the language model is opened when it is needed */
}

/* ---- inputs ---- */

Err imported_need_texts(const Model *m)
{
    if (m->imported && !m->imported->p.c.query)
        FAIL(ERR_MODEL,
             "%s: the bundle has no Q-Former (import --lightning, or --from-parts); cells and texts "
             "cannot be compared without it",
             m->desc.dir);
    return OK;
}

Err imported_words(const Imported *x, const char *const *texts, size_t n, size_t most,
                   int32_t **ids, int32_t **len, size_t *width)
{
    int32_t **row = NULL;
    int64_t places = x->p.c.q.positions;
    Err err = OK;
    *ids = *len = NULL;
    *width = 1;
    most = most ? most : TEXT_MOST;
    most = (int64_t)most > places ? (size_t)places : most;
    TRY_GOTO(NEW0(row, n));
    TRY_GOTO(NEW0(*len, n));
    for (size_t i = 0; i < n; i++) {
        size_t k;
        TRY_GOTO(tokenizer_encode(x->words, texts[i], strlen(texts[i]), true, &row[i], &k));
        if (k > most) { /* the end token stays */
            row[i][most - 1] = row[i][k - 1];
            k = most;
        }
        (*len)[i] = (int32_t)(k ? k : 1);
        *width = k > *width ? k : *width;
        if (!k)
            row[i][0] = 0;
    }
    TRY_GOTO(NEW0(*ids, n * *width));
    for (size_t i = 0; i < n; i++)
        memcpy(*ids + i * *width, row[i], (size_t)(*len)[i] * sizeof **ids);
done:
    for (size_t i = 0; row && i < n; i++)
        free(row[i]);
    free(row);
    if (err != OK) {
        free(*ids);
        free(*len);
        *ids = *len = NULL;
    }
    return err;
}

void imported_batch(const Imported *x, const CellTokens *cells, const size_t *pick, size_t at,
                    CellInput *in)
{
    for (int64_t b = 0; b < in->b; b++) {
        size_t c = pick ? pick[at + (size_t)b] : at + (size_t)b;
        int32_t *g = in->gene + b * in->t, n = cells->len[c];
        float *v = in->value + b * in->t;
        const int32_t *gene = cells->gene + c * cells->width;
        const float *value = cells->value + c * cells->width;
        g[0] = (int32_t)x->p.c.cls;
        v[0] = pipeline_cls(&x->pipe, (size_t)n);
        for (int64_t k = 1; k < in->t; k++) {
            bool used = k <= n;
            g[k] = used ? x->row[gene[k - 1]] : -1;
            v[k] = !used ? 0 : value[k - 1] > 512 ? 512 : value[k - 1];
        }
        in->len[b] = n + 1;
    }
}
