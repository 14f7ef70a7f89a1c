/* The model of a session: loaded once, the file's genes mapped once, marker values read in one pass and kept. */
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
    MIN_GENES = 100,      /* --min-genes: a panel of 300 genes is served */
    ENOUGH_GENES = 500,   /* below this, at least a twentieth of the file's genes must be known: others match by chance */
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
    if (!dir || !*dir) {
        Err err = assets_path("model/mini-1", out);
        if (err == ERR_NOT_FOUND)
            FAIL(ERR_MODEL, "model: the shipped one is not beside the program; name another with --model, or the "
                            "folder of the program's assets in SCMMGPT_ASSETS");
        return err;
    }
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
static size_t genes_needed(const Session *s, const char *const *names, size_t n)
{
    if (s->params.min_genes)
        return s->params.min_genes;
    if (strncmp(gene_naming(names, n), "mouse", 5) == 0)
        return n / 4 > MIN_GENES ? n / 4 : MIN_GENES;
    size_t share = n / 20 < ENOUGH_GENES ? n / 20 : ENOUGH_GENES;
    return share > MIN_GENES ? share : MIN_GENES;
}

/* The working matrix; the counts behind it when it is log-normalised and they can be had exactly. */
static Err choose_matrix(Session *s, JobCtl *ctl, ModelState *m)
{
    Dataset *d = s->dataset;
    TRY(session_working_matrix(s, &m->matrix));
    const MatrixInfo *info = dataset_matrix(d, (size_t)m->matrix);
    m->lognorm = info->state != STATE_COUNTS;
    if (!m->lognorm) { /* "X (counts recovered)" when there was no other */
        const char *reason = dataset_model_matrix_reason(d), *why = dataset_recovery_text(d);
        size_t named = strlen(info->name);
        if (strncmp(reason, info->name, named) == 0 && reason[named] == ':')
            snprintf(m->info.matrix, sizeof m->info.matrix, "%s", reason);
        else
            snprintf(m->info.matrix, sizeof m->info.matrix, "%.60s: %s", info->name,
                     *why ? why : reason);
        return OK;
    }
    int counts = -1;
    if (info->state == STATE_LOGNORM)
        TRY(dataset_recover_counts(d, ctl, &counts));
    const char *why = dataset_recovery_text(d);
    snprintf(m->info.matrix, sizeof m->info.matrix, "%.80s, %s", info->name,
             counts >= 0 ? "counts recovered from log-normalised values" : "log-normalised values");
    if (counts >= 0)
        log_warn("%s: %s holds no counts; %s", dataset_path(d), info->name, why);
    else
        log_warn("%s: %s holds no counts; its values are used as log-normalised ones%s%s", dataset_path(d), info->name,
                 *why ? "; " : "", why);
    m->matrix = counts >= 0 ? counts : m->matrix;
    m->lognorm = counts < 0;
    return OK;
}

/* The names with "" for columns that are no genes. */
static Err names_of_genes(Dataset *d, const ModelState *m, size_t n, const char ***out)
{
    uint8_t *mask;
    size_t others;
    const char **names;
    TRY(dataset_rna_columns(d, m->matrix, &mask, &others));
    Err err = NEW(names, n);
    for (size_t i = 0; !err && i < n; i++)
        names[i] = !mask || mask[i] ? m->names[i] : "";
    free(mask);
    if (!err)
        *out = names;
    return err;
}

static Err map_genes(Session *s, JobCtl *ctl, ModelState *m)
{
    size_t n, genes = model_desc(m->model)->genes;
    TRY(choose_matrix(s, ctl, m));
    TRY(dataset_gene_names(s->dataset, m->matrix, &m->names, &n));
    const char **genes_only;
    TRY(names_of_genes(s->dataset, m, n, &genes_only));
    Err err = model_map_genes(m->model, genes_only, n, genes_needed(s, genes_only, n), &m->map);
    if (err) {
        free(genes_only);
        return err;
    }
    TRY(NEW(m->column_of, genes));
    for (size_t g = 0; g < genes; g++)
        m->column_of[g] = -1;
    m->by_name = strmap_new(n);
    for (size_t c = 0; c < n; c++) {
        if (*genes_only[c])
            strmap_put(m->by_name, genes_only[c], (int64_t)c);
        if (m->map.gene[c] >= 0 && m->column_of[m->map.gene[c]] < 0)
            m->column_of[m->map.gene[c]] = (int32_t)c;
    }
    free(genes_only);
    m->info.genes_matched = m->map.matched;
    m->info.genes_in_file = n;
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
        TRY(map_genes(s, ctl, m));
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
