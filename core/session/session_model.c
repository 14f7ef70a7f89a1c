/* The model of a session: loaded once, the file's genes mapped once, marker values and cell vectors read in one pass
 * each and kept. Query vectors of large files are kept as bytes: a quarter of the memory, the same answers to three
 * digits. */
#include "core/session/model_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assets.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/genes.h"
#include "core/session/candidates.h"

enum {
    MIN_GENES = 30,       /* fewer say nothing; a panel of 200 genes is served */
    ENOUGH_GENES = 500,   /* below this, at least a twentieth of the file's genes must be known: others match by chance */
    BYTES_ABOVE = 20000,  /* cells: query vectors are kept as bytes above this */
    EMBED_BLOCK = 64,     /* about a tenth of a second on two cores */
    EMBED_BLOCK_GPU = 512,
    READ_BLOCK = 1024,
};

static void release(void *state)
{
    ModelState *m = state;
    for (size_t i = 0; m->type_markers && i < celltypes_count(model_celltypes(m->model)); i++)
        marker_set_done(&m->type_markers[i]);
    free(m->type_markers);
    evidence_free(m->evidence);
    gene_map_done(&m->map);
    free(m->column_of);
    strmap_free(m->by_name);
    free(m->query);
    free(m->query8);
    free(m->scale8);
    free(m->x);
    free(m->cls);
    free(m->empty);
    if (m->library)
        candidates_done(m->library);
    free(m->library);
    if (!m->borrowed) {
        label_index_free(m->labels);
        model_free(m->model);
    }
}

static ModelState *peek_state(const Session *s)
{
    return s->state[TOPIC_MODEL];
}

/* ---- loading ---- */

static Err model_folder(const Session *s, Str *out)
{
    const char *dir = s->params.model_dir ? s->params.model_dir : getenv("SCMMGPT_MODEL");
    if (!dir || !*dir)
        return assets_path("model/mini-1", out);
    str_clear(out);
    str_add(out, dir);
    return OK;
}

static void fill_info(ModelState *m)
{
    const ModelDesc *d = model_desc(m->model);
    snprintf(m->info.name, sizeof m->info.name, "%s", d->name);
    snprintf(m->info.device, sizeof m->info.device, "%.63s", d->device);
    snprintf(m->info.dir, sizeof m->info.dir, "%.511s", d->dir);
    snprintf(m->info.sha256, sizeof m->info.sha256, "%s", d->sha256);
    m->info.parameters = d->parameters;
    m->info.vocab_genes = d->genes;
}

static Err load(Session *s, JobCtl *ctl, ModelState *m)
{
    Str dir = {0}, types = {0}, cd = {0};
    Err err = OK;
    Model *model = NULL;
    job_stage(ctl, "loading the model", 0);
    TRY_GOTO(model_folder(s, &dir));
    TRY_GOTO(assets_path("celltypes", &types));
    TRY_GOTO(assets_path("genes/cd_names.tsv", &cd));
    TRY_GOTO(model_load(str_text(&dir), str_text(&types), s->params.device, ctl, &model));
    TRY_GOTO(label_index_new(model_celltypes(model), str_text(&cd), &m->labels));
    m->model = model;
    model = NULL;
    fill_info(m);
done:
    model_free(model);
    str_free(&dir);
    str_free(&types);
    str_free(&cd);
    return err;
}

Err model_state(Session *s, JobCtl *ctl, ModelState **out)
{
    ModelState *m = peek_state(s);
    if (!m || !m->model) {
        m = session_state(s, TOPIC_MODEL, sizeof *m, release);
        TRY(load(s, ctl, m));
    }
    *out = m;
    return OK;
}

void model_state_share(Session *from, Session *to)
{
    const ModelState *a = peek_state(from);
    ModelState *b = session_state(to, TOPIC_MODEL, sizeof *b, release);
    b->model = a->model;
    b->labels = a->labels;
    b->borrowed = true;
    fill_info(b);
}

Err session_load_model(Session *s, JobCtl *ctl)
{
    ModelState *m;
    TRY(model_state(s, ctl, &m));
    return OK;
}

const ModelInfo *session_model(const Session *s)
{
    const ModelState *m = peek_state(s);
    return m && m->model ? &m->info : NULL;
}

/* ---- genes ---- */

/* Few genes of a large file match by chance; names in the style of mouse genes do it by the hundred (clones, antisense). */
static size_t genes_needed(const char *const *names, size_t n)
{
    if (strncmp(gene_naming(names, n), "mouse", 5) == 0)
        return n / 4 > MIN_GENES ? n / 4 : MIN_GENES;
    size_t share = n / 20 < ENOUGH_GENES ? n / 20 : ENOUGH_GENES;
    return share > MIN_GENES ? share : MIN_GENES;
}

static Err map_genes(Session *s, ModelState *m)
{
    size_t n, genes = model_desc(m->model)->genes;
    TRY(session_working_matrix(s, &m->matrix));
    const MatrixInfo *info = dataset_matrix(s->dataset, (size_t)m->matrix);
    m->lognorm = info->state != STATE_COUNTS;
    TRY(dataset_gene_names(s->dataset, m->matrix, &m->names, &n));
    TRY(model_map_genes(m->model, m->names, n, genes_needed(m->names, n), &m->map));
    TRY(NEW(m->column_of, genes));
    for (size_t g = 0; g < genes; g++)
        m->column_of[g] = -1;
    m->by_name = strmap_new(n);
    for (size_t c = 0; c < n; c++) {
        strmap_put(m->by_name, m->names[c], (int64_t)c);
        if (m->map.gene[c] >= 0 && m->column_of[m->map.gene[c]] < 0)
            m->column_of[m->map.gene[c]] = (int32_t)c;
    }
    m->info.genes_matched = m->map.matched;
    m->info.genes_in_file = n;
    if (m->lognorm)
        log_warn("%s: %s holds no counts; its values are used as log-normalised ones", dataset_path(s->dataset),
                 info->name);
    m->mapped = true;
    return OK;
}

Err model_state_genes(Session *s, JobCtl *ctl, ModelState **out)
{
    ModelState *m;
    if (!s->dataset)
        FAIL(ERR_USAGE, "no dataset is open");
    TRY(model_state(s, ctl, &m));
    if (!m->mapped)
        TRY(map_genes(s, m));
    *out = m;
    return OK;
}

int32_t model_state_column(const ModelState *m, const char *symbol)
{
    int64_t c = strmap_get(m->by_name, symbol, -1);
    int32_t g = c < 0 ? model_find_gene(m->model, symbol) : -1;
    return c >= 0 ? (int32_t)c : g >= 0 ? m->column_of[g] : -1;
}

/* ---- marker values ---- */

typedef struct ColumnList {
    int32_t *v;
    uint8_t *seen;
    size_t n;
} ColumnList;

static void add_columns(const ModelState *m, const StrList *symbols, ColumnList *l)
{
    for (size_t i = 0; i < symbols->n; i++) {
        int32_t c = model_state_column(m, symbols->v[i]);
        if (c >= 0 && !l->seen[c]) {
            l->seen[c] = 1;
            l->v[l->n++] = c;
        }
    }
}

static Err library_columns(const ModelState *m, ColumnList *l)
{
    const CellTypes *t = model_celltypes(m->model);
    TRY(NEW(l->v, m->map.n_file));
    TRY(NEW0(l->seen, m->map.n_file));
    for (size_t i = 0; i < celltypes_count(t); i++) {
        add_columns(m, &celltypes_at(t, i)->high, l);
        add_columns(m, &celltypes_at(t, i)->low, l);
    }
    return OK;
}

static Err make_evidence(Session *s, ModelState *m)
{
    Err err = OK;
    ColumnList l = {0};
    float *mean = NULL, *scale = NULL;
    TRY_GOTO(library_columns(m, &l));
    TRY_GOTO(NEW0(mean, l.n));
    TRY_GOTO(NEW0(scale, l.n));
    for (size_t i = 0; i < l.n; i++) {
        int32_t g = m->map.gene[l.v[i]];
        if (g >= 0) {
            mean[i] = model_gene_mean(m->model)[g];
            scale[i] = model_gene_sd(m->model)[g] + 0.3f;
        }
    }
    TRY_GOTO(evidence_new(dataset_cells(s->dataset), m->map.n_file, l.v, mean, scale, l.n, &m->evidence));
done:
    free(l.v);
    free(l.seen);
    free(mean);
    free(scale);
    return err;
}

static Err read_evidence(Session *s, ModelState *m, JobCtl *ctl)
{
    size_t n = dataset_cells(s->dataset);
    job_stage(ctl, "marker genes", n);
    for (size_t at = 0; at < n; at += READ_BLOCK) {
        size_t k = n - at < READ_BLOCK ? n - at : READ_BLOCK;
        Csr rows;
        TRY(dataset_read_rows(s->dataset, m->matrix, at, k, ctl, &rows));
        Err err = evidence_add_rows(m->evidence, &rows, m->map.gene, m->map.panel, m->lognorm);
        csr_done(&rows);
        TRY(err);
        TRY(job_progress(ctl, at + k));
    }
    return OK;
}

static Err marker_list(const ModelState *m, const char *const *symbols, size_t n, int32_t **out, size_t *n_out)
{
    TRY(NEW(*out, n));
    *n_out = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t c = model_state_column(m, symbols[i]), g = c < 0 ? -1 : m->evidence->of_col[c];
        bool seen = false;
        for (size_t j = 0; j < *n_out; j++)
            seen |= (*out)[j] == g;
        if (g >= 0 && !seen)
            (*out)[(*n_out)++] = g;
    }
    return OK;
}

Err model_state_markers(const ModelState *m, const char *const *high, size_t n_high, const char *const *low,
                        size_t n_low, MarkerSet *out)
{
    *out = (MarkerSet){0};
    Err err = marker_list(m, high, n_high, &out->high, &out->n_high);
    if (err == OK)
        err = marker_list(m, low, n_low, &out->low, &out->n_low);
    if (err != OK)
        marker_set_done(out);
    return err;
}

static Err mark_types(ModelState *m)
{
    const CellTypes *t = model_celltypes(m->model);
    TRY(NEW0(m->type_markers, celltypes_count(t)));
    for (size_t i = 0; i < celltypes_count(t); i++) {
        const CellType *c = celltypes_at(t, i);
        TRY(model_state_markers(m, (const char *const *)c->high.v, c->high.n, (const char *const *)c->low.v, c->low.n,
                                &m->type_markers[i]));
    }
    return OK;
}

static void drop_evidence(ModelState *m)
{
    for (size_t i = 0; m->type_markers && i < celltypes_count(model_celltypes(m->model)); i++)
        marker_set_done(&m->type_markers[i]);
    free(m->type_markers);
    m->type_markers = NULL;
    evidence_free(m->evidence);
    m->evidence = NULL;
}

Err model_state_evidence(Session *s, JobCtl *ctl, ModelState **out)
{
    ModelState *m;
    TRY(model_state_genes(s, ctl, &m));
    if (!m->type_markers) { /* the last thing that is made: a cancelled pass starts again */
        drop_evidence(m);
        Err err = make_evidence(s, m);
        if (err == OK)
            err = read_evidence(s, m, ctl);
        if (err == OK)
            err = mark_types(m);
        if (err != OK) {
            drop_evidence(m);
            return err;
        }
    }
    *out = m;
    return OK;
}

Err model_state_gene(Session *s, const ModelState *m, int32_t column, JobCtl *ctl, float *out)
{
    const Evidence *e = m->evidence;
    int32_t g = e->of_col[column];
    if (g >= 0) {
        for (size_t i = 0; i < e->n_cells; i++)
            out[i] = evidence_value(e, i, g);
        return OK;
    }
    TRY(dataset_read_gene(s->dataset, m->matrix, (size_t)column, ctl, out));
    for (size_t i = 0; i < e->n_cells; i++) {
        double v = m->lognorm ? expm1(out[i]) : out[i];
        out[i] = e->totals[i] > 0 && v > 0 ? model_x(&m->map, v, e->totals[i]) : 0;
    }
    return OK;
}

/* ---- cell vectors ---- */

static void drop_vectors(ModelState *m)
{
    free(m->query);
    free(m->query8);
    free(m->scale8);
    free(m->x);
    free(m->cls);
    free(m->empty);
    m->query = m->scale8 = m->x = m->cls = NULL;
    m->query8 = NULL;
    m->empty = NULL;
    m->embedded = false;
}

static Err make_vectors(ModelState *m, size_t n)
{
    const ModelDesc *d = model_desc(m->model);
    m->n = n;
    m->per_cell = d->members * d->queries * d->width;
    bool bytes = n > BYTES_ABOVE;
    TRY(mem_check_budget((uint64_t)n * (m->per_cell * (bytes ? 1 : 4) + 4 * (d->dim + d->cls_width)), "cell vectors"));
    if (bytes) {
        TRY(NEW(m->query8, n * m->per_cell));
        TRY(NEW(m->scale8, n));
    } else {
        TRY(NEW(m->query, n * m->per_cell));
    }
    TRY(NEW(m->x, n * d->dim));
    TRY(NEW(m->cls, n * d->cls_width));
    return NEW0(m->empty, n);
}

static void store_bytes(const float *v, size_t n, int8_t *out, float *scale)
{
    float max = 1e-12f;
    for (size_t i = 0; i < n; i++)
        max = fabsf(v[i]) > max ? fabsf(v[i]) : max;
    *scale = max / 127;
    for (size_t i = 0; i < n; i++)
        out[i] = (int8_t)lrintf(v[i] / *scale);
}

static void store_vectors(ModelState *m, size_t at, const CellVectors *v, const CellTokens *t)
{
    for (size_t i = 0; i < v->n; i++) {
        const float *q = v->query + i * m->per_cell;
        if (m->query)
            memcpy(m->query + (at + i) * m->per_cell, q, m->per_cell * sizeof *q);
        else
            store_bytes(q, m->per_cell, m->query8 + (at + i) * m->per_cell, &m->scale8[at + i]);
        m->empty[at + i] = t->len[i] == 0;
    }
    memcpy(m->x + at * v->d, v->x, v->n * v->d * sizeof *v->x);
    memcpy(m->cls + at * v->c, v->cls, v->n * v->c * sizeof *v->cls);
}

static Err embed_block(Session *s, ModelState *m, size_t at, size_t n, JobCtl *ctl)
{
    Csr rows = {0};
    CellTokens t = {0};
    CellVectors v = {0};
    Err err = OK;
    TRY_GOTO(dataset_read_rows(s->dataset, m->matrix, at, n, ctl, &rows));
    TRY_GOTO(model_tokenize_cells(m->model, &m->map, &rows, m->lognorm, &t));
    TRY_GOTO(model_embed_cells(m->model, &t, NULL, &v));
    store_vectors(m, at, &v, &t);
done:
    csr_done(&rows);
    cell_tokens_done(&t);
    cell_vectors_done(&v);
    return err;
}

static Err embed_all(Session *s, ModelState *m, JobCtl *ctl)
{
    size_t n = dataset_cells(s->dataset);
    TRY(make_vectors(m, n));
    job_stage(ctl, "embedding cells", n);
    size_t block = strncasecmp(m->info.device, "cuda", 4) == 0 ? EMBED_BLOCK_GPU : EMBED_BLOCK;
    for (size_t at = 0; at < n; at += block) {
        size_t k = n - at < block ? n - at : block;
        TRY(embed_block(s, m, at, k, ctl));
        TRY(job_progress(ctl, at + k));
    }
    m->embedded = true;
    return OK;
}

Err model_state_embedded(Session *s, JobCtl *ctl, ModelState **out)
{
    ModelState *m;
    TRY(model_state_evidence(s, ctl, &m));
    if (!m->embedded) {
        drop_vectors(m);
        Err err = embed_all(s, m, ctl);
        if (err != OK) {
            drop_vectors(m);
            return err;
        }
    }
    *out = m;
    return OK;
}

Err session_embed(Session *s, JobCtl *ctl)
{
    ModelState *m;
    return model_state_embedded(s, ctl, &m);
}

bool session_is_embedded(const Session *s)
{
    const ModelState *m = peek_state(s);
    return m && m->embedded;
}

Err session_cell_embedding(Session *s, JobCtl *ctl, CellEmbedding **out)
{
    ModelState *m;
    TRY(model_state_embedded(s, ctl, &m));
    const ModelDesc *d = model_desc(m->model);
    CellEmbedding *e = mem_must(sizeof *e);
    *e = (CellEmbedding){.n = m->n, .d_text = d->dim, .d_cls = d->cls_width};
    Err err = NEW(e->x_scmmgpt, m->n * d->dim);
    if (err == OK)
        err = NEW(e->x_scgpt, m->n * d->cls_width);
    if (err != OK) {
        cell_embedding_free(e);
        return err;
    }
    memcpy(e->x_scmmgpt, m->x, m->n * d->dim * sizeof *m->x);
    memcpy(e->x_scgpt, m->cls, m->n * d->cls_width * sizeof *m->cls);
    *out = e;
    return OK;
}

void cell_embedding_free(CellEmbedding *e)
{
    if (!e)
        return;
    free(e->x_scmmgpt);
    free(e->x_scgpt);
    free(e);
}

/* Query vectors of rows at .. at+n-1 of the selection as floats in buf, or in place. */
static const float *query_rows(const ModelState *m, const size_t *rows, size_t at, size_t n, float *buf)
{
    if (m->query && !rows)
        return m->query + at * m->per_cell;
    for (size_t i = 0; i < n; i++) {
        size_t r = rows ? rows[at + i] : at + i;
        float *o = buf + i * m->per_cell;
        if (m->query) {
            memcpy(o, m->query + r * m->per_cell, m->per_cell * sizeof *o);
        } else {
            for (size_t j = 0; j < m->per_cell; j++)
                o[j] = m->scale8[r] * (float)m->query8[r * m->per_cell + j];
        }
    }
    return buf;
}

Err model_state_similarity(const ModelState *m, const size_t *rows, size_t n, const float *text, size_t n_text,
                           float *sim)
{
    enum { BLOCK = 512 };
    float *buf = NULL;
    if (rows || !m->query)
        TRY(NEW(buf, BLOCK * m->per_cell));
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t k = n - at < BLOCK ? n - at : BLOCK;
        model_similarity(m->model, query_rows(m, rows, at, k, buf), k, text, n_text, sim + at * n_text);
    }
    free(buf);
    return OK;
}

/* ---- some cells ---- */

Err model_state_tokens(Session *s, const ModelState *m, const size_t *rows, size_t n, JobCtl *ctl, CellTokens *out)
{
    Csr all = {0};
    Err err = OK;
    size_t nnz = 0, cap = 0;
    TRY_GOTO(csr_init(&all, n, m->map.n_file, 0));
    for (size_t i = 0; i < n;) {
        size_t run = 1; /* neighbouring rows are read together */
        while (i + run < n && rows[i + run] == rows[i] + run && run < READ_BLOCK)
            run++;
        Csr part;
        TRY_GOTO(dataset_read_rows(s->dataset, m->matrix, rows[i], run, ctl, &part));
        size_t more = csr_nnz(&part);
        if (nnz + more > cap) {
            cap = 2 * (nnz + more);
            err = mem_realloc(&all.indices, cap, sizeof *all.indices);
            if (err == OK)
                err = mem_realloc(&all.values, cap, sizeof *all.values);
        }
        if (err == OK) {
            memcpy(all.indices + nnz, part.indices, more * sizeof *all.indices);
            memcpy(all.values + nnz, part.values, more * sizeof *all.values);
            for (size_t r = 0; r < run; r++)
                all.indptr[i + r + 1] = (int64_t)nnz + part.indptr[r + 1];
        }
        csr_done(&part);
        TRY_GOTO(err);
        nnz += more;
        i += run;
        TRY_GOTO(job_progress(ctl, i));
    }
    TRY_GOTO(model_tokenize_cells(m->model, &m->map, &all, m->lognorm, out));
done:
    csr_done(&all);
    return err;
}
