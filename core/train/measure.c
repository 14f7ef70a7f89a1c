/* Accuracy of cell names: each cell's candidates are the plain names of the types of its set (or
 * the texts that the configuration gives), the answer is the most similar one. */
#include "core/train/measure.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/dataset.h"
#include <math.h>
#include <string.h>

enum { BATCH = 64, MAX_MEMBERS = 64 };

typedef struct Test {
    char *name;
    size_t n, k;   /* cells, candidates */
    int32_t *gene; /* [n,T] */
    float *value;
    int32_t *len;
    int32_t *truth;                                   /* [n] candidate */
    float *raw;                                       /* [k,W] */
    char **text;                                      /* [k] */
    float *sum;                                       /* [n,k] similarities over members */
    double acc[MAX_MEMBERS + 1], f1[MAX_MEMBERS + 1]; /* [0] the mean of members */
} Test;

struct Measure {
    Run *r;
    size_t width; /* tokens */
    Test *t;
    size_t n, members;
};

static Err test_alloc(Measure *m, Test *t, const char *name, size_t n, size_t k)
{
    size_t w = m->r->library->w;
    t->name = mem_strdup(name);
    t->n = n;
    t->k = k;
    TRY(NEW0(t->gene, n * m->width));
    TRY(NEW0(t->value, n * m->width));
    TRY(NEW0(t->len, n));
    TRY(NEW0(t->truth, n));
    TRY(NEW0(t->raw, k * w));
    TRY(NEW0(t->text, k));
    return NEW0(t->sum, n * k);
}

static Err add_held_out(Measure *m, size_t set)
{
    const Corpus *c = m->r->corpus;
    const Library *l = m->r->library;
    size_t n = 0, k = 0;
    int32_t *cand;
    TRY(NEW(cand, l->n_types));
    for (size_t i = 0; i < l->n_types; i++)
        cand[i] = -1;
    for (size_t i = c->set[set].first; i < c->set[set].first + c->set[set].n; i++) {
        n += c->cell[i].held;
        if (cand[c->cell[i].type] < 0)
            cand[c->cell[i].type] = (int32_t)k++;
    }
    Err err = OK;
    DrawnCell d = {0};
    if (n == 0 || k < 2)
        goto done;
    TRY_GOTO(mem_realloc(&m->t, m->n + 1, sizeof *m->t));
    Test *t = &m->t[m->n++];
    *t = (Test){0};
    TRY_GOTO(test_alloc(m, t, c->set[set].name, n, k));
    size_t at = 0;
    for (size_t i = c->set[set].first; i < c->set[set].first + c->set[set].n; i++) {
        if (!c->cell[i].held)
            continue;
        TRY_GOTO(corpus_row(c, i, &d));
        t->len[at] = (int32_t)genespace_tokens(c->genes, d.gene, d.count, d.n, d.panel, m->width,
                                               t->gene + at * m->width, t->value + at * m->width);
        t->truth[at++] = cand[c->cell[i].type];
    }
    for (size_t i = 0; i < l->n_types; i++)
        if (cand[i] >= 0)
            t->text[cand[i]] = mem_strdup(l->text[l->first[i]]);
    for (size_t i = 0; i < l->n_types; i++)
        if (cand[i] >= 0)
            memcpy(t->raw + (size_t)cand[i] * l->w, l->raw + l->first[i] * l->w,
                   l->w * sizeof(float));
done:
    drawn_cell_done(&d);
    free(cand);
    return err;
}

/* ---- files named under "report" ---- */
static Err report_texts(Measure *m, const cJSON *labels, StrMap *index, Test *t)
{
    size_t k = 0;
    const char **text;
    TRY(NEW(text, (size_t)cJSON_GetArraySize(labels)));
    const cJSON *e;
    cJSON_ArrayForEach(e, labels)
    {
        size_t at = 0;
        while (at < k && strcmp(text[at], e->valuestring) != 0)
            at++;
        if (at == k)
            text[k++] = e->valuestring;
        strmap_put(index, e->string, (int64_t)at);
    }
    t->k = k;
    size_t w = m->r->library->w;
    float *raw;
    Err err = NEW(raw, k * w);
    if (err == OK)
        err = textcache_embed(m->r->cache, m->r->tower, text, k, m->r->ctl, raw);
    for (size_t i = 0; err == OK && i < k; i++) /* takes copies: the configuration may go */
        text[i] = mem_strdup(text[i]);
    if (err == OK)
        t->text = (char **)text;
    else
        free(text);
    t->raw = raw;
    return err;
}

static Err report_cells(Measure *m, Dataset *d, const Column *col, const StrMap *index, Test *t)
{
    int mat = dataset_working_matrix(d);
    const char *const *names;
    size_t n_genes;
    GeneMap map;
    Csr rows = {0};
    TRY(dataset_gene_names(d, mat, &names, &n_genes));
    TRY(genespace_map(m->r->corpus->genes, names, n_genes, 100, &map));
    Err err = dataset_read_rows(d, mat, 0, dataset_cells(d), m->r->ctl, &rows);
    int32_t *gene = NULL;
    if (err == OK)
        err = NEW(gene, n_genes);
    size_t at = 0;
    for (size_t i = 0; err == OK && i < rows.rows; i++) {
        const char *label = col->codes[i] < 0 ? NULL : col->categories[col->codes[i]];
        int64_t truth = label ? strmap_get(index, label, -1) : -1;
        if (truth < 0)
            continue;
        size_t n = (size_t)(rows.indptr[i + 1] - rows.indptr[i]);
        for (size_t k = 0; k < n; k++)
            gene[k] = map.gene[rows.indices[rows.indptr[i] + (int64_t)k]];
        t->len[at] = (int32_t)genespace_tokens(m->r->corpus->genes, gene,
                                               rows.values + rows.indptr[i], n, map.panel, m->width,
                                               t->gene + at * m->width, t->value + at * m->width);
        t->truth[at++] = (int32_t)truth;
    }
    t->n = at;
    free(gene);
    csr_done(&rows);
    gene_map_done(&map);
    return err;
}

static Err add_report(Measure *m, const cJSON *o, const char *data)
{
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(o, "name"),
                *file = cJSON_GetObjectItemCaseSensitive(o, "file"),
                *key = cJSON_GetObjectItemCaseSensitive(o, "key"),
                *labels = cJSON_GetObjectItemCaseSensitive(o, "labels");
    if (!cJSON_IsString(name) || !cJSON_IsString(file) || !cJSON_IsString(key) ||
        !cJSON_IsObject(labels))
        FAIL(ERR_USAGE, "configuration: an entry of \"report\" needs name, file, key and labels");
    char *path =
        data ? str_format("%s/%s", data, file->valuestring) : mem_strdup(file->valuestring);
    Dataset *d = NULL;
    StrMap *index = strmap_new(64);
    Err err = OK;
    TRY_GOTO(dataset_open(path, NULL, m->r->ctl, &d));
    int i = dataset_find_obs(d, key->valuestring);
    const Column *col;
    if (i < 0)
        FAIL_GOTO(ERR_INPUT, "obs/%s: there is no such column", key->valuestring);
    TRY_GOTO(dataset_obs(d, (size_t)i, &col));
    if (col->kind != COLUMN_CATEGORICAL)
        FAIL_GOTO(ERR_INPUT, "obs/%s: is not categorical", key->valuestring);
    TRY_GOTO(mem_realloc(&m->t, m->n + 1, sizeof *m->t));
    Test *t = &m->t[m->n++];
    *t = (Test){0};
    TRY_GOTO(test_alloc(m, t, name->valuestring, dataset_cells(d), 1));
    free(t->raw);
    free(t->sum);
    free(t->text);
    t->raw = t->sum = NULL;
    t->text = NULL;
    TRY_GOTO(report_texts(m, labels, index, t));
    TRY_GOTO(report_cells(m, d, col, index, t));
    err = NEW0(t->sum, t->n * t->k);
done:
    if (err != OK)
        err = err_context(err, "%s", path);
    strmap_free(index);
    dataset_close(d);
    free(path);
    return err;
}

Err measure_new(Run *r, Measure **out)
{
    Measure *m = mem_must(sizeof *m);
    m->r = r;
    m->width = (size_t)stage1_config_default(2, 2).tokens;
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(r->config, "shape");
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(shape, "tokens");
    if (cJSON_IsNumber(tokens))
        m->width = (size_t)tokens->valuedouble;
    Err err = OK;
    for (size_t s = 0; err == OK && s < r->corpus->n_sets; s++)
        err = add_held_out(m, s);
    const cJSON *report = cJSON_GetObjectItemCaseSensitive(r->config, "report"), *o;
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(r->config, "data");
    const char *data = r->p->data ? r->p->data : cJSON_IsString(base) ? base->valuestring : NULL;
    cJSON_ArrayForEach(o, report)
    {
        if (err == OK)
            err = add_report(m, o, data);
    }
    if (err != OK)
        measure_free(m);
    else
        *out = m;
    return err;
}

void measure_free(Measure *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++) {
        Test *t = &m->t[i];
        for (size_t k = 0; t->text && k < t->k; k++)
            free(t->text[k]);
        free(t->text);
        void *all[] = {t->name, t->gene, t->value, t->len, t->truth, t->raw, t->sum};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            free(all[k]);
    }
    free(m->t);
    free(m);
}

static Err score(const Test *t, const float *sim, double *acc, double *f1)
{
    double *tp;
    TRY(NEW0(tp, t->k * 3));
    double hit = 0, sum = 0, seen = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t best = 0, truth = (size_t)t->truth[i];
        for (size_t k = 1; k < t->k; k++)
            best = sim[i * t->k + k] > sim[i * t->k + best] ? k : best;
        hit += best == truth;
        tp[truth * 3] += best == truth;
        tp[best * 3 + 1]++;  /* said */
        tp[truth * 3 + 2]++; /* true */
    }
    for (size_t k = 0; k < t->k; k++) {
        double all = tp[k * 3 + 1] + tp[k * 3 + 2];
        if (all > 0) {
            sum += 2 * tp[k * 3] / all;
            seen++;
        }
    }
    free(tp);
    *acc = t->n ? hit / (double)t->n : NAN;
    *f1 = seen > 0 ? sum / seen : NAN;
    return OK;
}

static Err candidate_texts(const Measure *m, const Stage1 *s, const Test *t, Tape *tape,
                           Tensor **out)
{
    if (!s->c.query.vocab) {
        *out = stage1_texts(
            tape, s, tape_input_f32(tape, t->raw, 2, (int64_t)t->k, (int64_t)m->r->library->w));
        return OK;
    }
    int32_t *ids, *len;
    size_t width;
    TRY(wordpiece_encode_rows(text_tower_words(m->r->tower), (const char *const *)t->text, t->k,
                              (size_t)s->c.query.positions, &ids, &len, &width));
    *out = stage1_texts_inside(tape, s, ids, len, (int64_t)t->k, (int64_t)width);
    free(ids);
    free(len);
    return OK;
}

static Err similarities(Measure *m, const Stage1 *s, const Test *t, float *sim)
{
    Tape *tape = NULL;
    CellInput in = {0};
    Err err = OK;
    TRY_GOTO(tape_new(m->r->device, false, &tape));
    TRY_GOTO(cell_input_init(&in, BATCH, (int64_t)m->width + 1));
    for (size_t at = 0; at < t->n; at += BATCH) {
        size_t n = t->n - at < BATCH ? t->n - at : BATCH;
        in.b = (int64_t)n;
        for (size_t i = 0; i < n; i++)
            cell_input_set(&in, (int64_t)i, t->gene + (at + i) * m->width,
                           t->value + (at + i) * m->width, (size_t)t->len[at + i],
                           m->r->corpus->genes->mean, s->c.cell.vocab);
        tape_reset(tape);
        CellOutput o = stage1_cells(tape, s, &in);
        Tensor *texts = NULL;
        TRY_GOTO(candidate_texts(m, s, t, tape, &texts));
        Tensor *x = op_max_similarity(tape, o.feat, texts);
        TRY_GOTO(tensor_read(tape, x, sim + at * t->k));
        TRY_GOTO(job_progress(m->r->ctl, at));
    }
done:
    cell_input_done(&in);
    tape_free(tape);
    return err;
}

Err measure_member(Measure *m, const Stage1 *s, double tau)
{
    (void)tau;
    m->members++;
    for (size_t i = 0; i < m->n; i++) {
        Test *t = &m->t[i];
        float *sim;
        TRY(NEW(sim, t->n * t->k));
        job_stage(m->r->ctl, "measuring", t->n);
        Err err = similarities(m, s, t, sim);
        for (size_t k = 0; err == OK && k < t->n * t->k; k++)
            t->sum[k] += sim[k];
        if (err == OK)
            err = score(t, sim, &t->acc[m->members], &t->f1[m->members]);
        free(sim);
        TRY(err);
        TRY(score(t, t->sum, &t->acc[0], &t->f1[0]));
        log_info("member %zu, %s: %zu cells, %zu names, accuracy %.3f macro-F1 %.3f; mean of "
                 "members %.3f %.3f",
                 m->members - 1, t->name, t->n, t->k, t->acc[m->members], t->f1[m->members],
                 t->acc[0], t->f1[0]);
    }
    return OK;
}

Err measure_write(const Measure *m)
{
    cJSON *root = cJSON_CreateArray();
    for (size_t i = 0; i < m->n; i++) {
        const Test *t = &m->t[i];
        cJSON *o = cJSON_CreateObject(), *acc = cJSON_CreateArray(), *f1 = cJSON_CreateArray();
        cJSON_AddStringToObject(o, "set", t->name);
        cJSON_AddNumberToObject(o, "cells", (double)t->n);
        cJSON_AddNumberToObject(o, "candidates", (double)t->k);
        cJSON_AddNumberToObject(o, "accuracy", t->acc[0]);
        cJSON_AddNumberToObject(o, "macro_f1", t->f1[0]);
        for (size_t k = 1; k <= m->members; k++) {
            cJSON_AddItemToArray(acc, cJSON_CreateNumber(t->acc[k]));
            cJSON_AddItemToArray(f1, cJSON_CreateNumber(t->f1[k]));
        }
        cJSON_AddItemToObject(o, "member_accuracy", acc);
        cJSON_AddItemToObject(o, "member_macro_f1", f1);
        cJSON_AddItemToArray(root, o);
    }
    char *text = cJSON_Print(root), *path = run_path(m->r, "measures.json");
    cJSON_Delete(root);
    Err err = bundle_write_text(path, text);
    free(text);
    free(path);
    return err;
}
