/* Text to cell: anchors, the projector that chooses among them, drawing counts. */
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/model/celldecoder.h"
#include "core/model/model_impl.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 64 };
/* The projector's constants (measured: assets/model/README.md). */
static const float OWN_TEXTS = 0.75f, ANCHOR_TEXT = 0.25f, SHARPNESS = 0.03f, CELLS = 0.5f,
                   FULL = 2.0f;
static const double SIZE_MEDIAN = 2300, SIZE_SD = 0.4;

struct Generator {
    CellDecoder dec;
    size_t n_anchors;
    Anchor *anchor;
    int32_t *source, *type; /* [n_anchors] */
    int32_t *gene;          /* [dec.c.genes] model gene of each row */
    float *mean, *spread;   /* [n_anchors,d], [n_anchors,d,d] lower triangular */
    float *text;            /* [n_anchors,W] "TYPE of the TISSUE"; NULL until asked for */
};

static Err read_anchors(const Model *m, const cJSON *list, Generator *g)
{
    size_t n = (size_t)cJSON_GetArraySize(list), i = 0;
    TRY(NEW0(g->anchor, n));
    TRY(NEW0(g->source, n));
    TRY(NEW0(g->type, n));
    const cJSON *o;
    cJSON_ArrayForEach(o, list)
    {
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(o, "type"),
                    *tissue = cJSON_GetObjectItemCaseSensitive(o, "tissue"),
                    *source = cJSON_GetObjectItemCaseSensitive(o, "source"),
                    *cells = cJSON_GetObjectItemCaseSensitive(o, "n");
        if (!cJSON_IsString(type) || !cJSON_IsString(tissue) || !cJSON_IsNumber(source) ||
            !cJSON_IsNumber(cells) ||
            !(source->valuedouble >= 0 && source->valuedouble < (double)g->dec.c.sources))
            FAIL(ERR_MODEL, "anchor %zu: something is missing or out of range", i);
        g->type[i] = celltypes_find_id(m->types, type->valuestring);
        g->source[i] = (int32_t)source->valuedouble;
        const char *name = g->type[i] >= 0 ? celltypes_at(m->types, (size_t)g->type[i])->name
                                           : celltypes_ontology_name(m->types, type->valuestring);
        g->anchor[i] =
            (Anchor){mem_strdup(type->valuestring), mem_strdup(name ? name : type->valuestring),
                     mem_strdup(tissue->valuestring), (size_t)cells->valuedouble,
                     cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "full"))};
        i++;
        g->n_anchors = i;
    }
    return OK;
}

static Err read_genes(const Model *m, const StFile *f, Generator *g)
{
    const StTensor *x = st_find(f, "gene");
    size_t n = (size_t)g->dec.c.genes;
    if (!x || x->type != ST_I32 || x->elements != n)
        FAIL(ERR_MODEL, "%s: tensor gene: missing or of another size", st_path(f));
    TRY(NEW(g->gene, n));
    memcpy(g->gene, x->data, n * sizeof *g->gene);
    for (size_t i = 0; i < n; i++)
        if (g->gene[i] < 0 || (size_t)g->gene[i] >= m->genes->n)
            FAIL(ERR_MODEL, "%s: tensor gene: a number is out of range", st_path(f));
    return OK;
}

static Err load_files(Model *m, const char *json, const char *weights, Generator *g)
{
    char *text;
    size_t len;
    TRY(str_read_file(json, 64 << 20, ERR_MODEL, &text, &len));
    cJSON *o = cJSON_ParseWithLength(text, len);
    free(text);
    StFile *f = NULL;
    CellDecoderConfig c;
    Err err = OK;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, "anchors");
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0)
        FAIL_GOTO(ERR_MODEL, "no anchors");
    TRY_GOTO(cell_decoder_config_read(o, &c));
    TRY_GOTO(cell_decoder_init(m->device, &c, 0, &g->dec));
    TRY_GOTO(read_anchors(m, list, g));
    TRY_GOTO(st_open(weights, &f));
    TRY_GOTO(weights_load(g->dec.ps, f, ""));
    TRY_GOTO(read_genes(m, f, g));
    size_t d = (size_t)c.latent;
    TRY_GOTO(weights_read_array(f, "anchor.mean", g->n_anchors * d, &g->mean));
    TRY_GOTO(weights_read_array(f, "anchor.spread", g->n_anchors * d * d, &g->spread));
done:
    st_close(f);
    cJSON_Delete(o);
    return err == OK ? OK : err_context(err, "%s", json);
}

Err generator_load(Model *m, const char *dir)
{
    char *json = bundle_path(dir, "generator.json"),
         *weights = bundle_path(dir, "generator.safetensors"),
         *texts = bundle_path(dir, "anchors.safetensors");
    Err err = OK;
    if (access(json, R_OK) == 0) {
        m->generator = mem_must(sizeof *m->generator);
        err = load_files(m, json, weights, m->generator);
        if (err == OK && access(texts, R_OK) == 0)
            err = textcache_load(m->cache, texts);
        m->desc.has_generator = err == OK;
    }
    free(json);
    free(weights);
    free(texts);
    return err;
}

size_t generator_parameters(const Generator *g)
{
    return g ? (size_t)params_elements(g->dec.ps, false) : 0;
}

void generator_free(Generator *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_anchors; i++) {
        free((char *)g->anchor[i].type_id);
        free((char *)g->anchor[i].type_name);
        free((char *)g->anchor[i].tissue);
    }
    cell_decoder_done(&g->dec);
    free(g->anchor);
    free(g->source);
    free(g->type);
    free(g->gene);
    free(g->mean);
    free(g->spread);
    free(g->text);
    free(g);
}

static Err need_generator(const Model *m)
{
    if (!m->generator)
        FAIL(ERR_MODEL, "%s: the model has no generator", m->desc.dir);
    return OK;
}

const Anchor *model_anchors(const Model *m, size_t *n)
{
    *n = m->generator ? m->generator->n_anchors : 0;
    return m->generator ? m->generator->anchor : NULL;
}

/* ---- the projector ---- */
static Err anchor_keys(Model *m, Generator *g)
{
    if (g->text)
        return OK;
    const char **t;
    float *v = NULL;
    TRY(NEW0(t, g->n_anchors));
    Err err = NEW(v, g->n_anchors * m->desc.text_width);
    for (size_t i = 0; i < g->n_anchors; i++)
        t[i] = str_format("%s of the %s", g->anchor[i].type_name, g->anchor[i].tissue);
    if (err == OK)
        err = textcache_embed(m->cache, m->tower, t, g->n_anchors, NULL, v);
    for (size_t i = 0; i < g->n_anchors; i++)
        free((char *)t[i]);
    free(t);
    if (err == OK)
        g->text = v;
    else
        free(v);
    return err;
}

static float cosine(const float *a, const float *b, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static float best_text(const LibraryVectors *l, int32_t type, const float *raw, size_t w)
{
    float best = -1;
    for (size_t i = l->first_text[type]; type >= 0 && i < l->first_text[type + 1]; i++) {
        float c = cosine(raw, l->text_raw + i * w, w);
        best = c > best ? c : best;
    }
    return best;
}

Err model_anchor_weights(Model *m, const float *raw, float *weights)
{
    TRY(need_generator(m));
    Generator *g = m->generator;
    const LibraryVectors *l;
    size_t w = m->desc.text_width;
    TRY(model_library(m, NULL, &l));
    TRY(anchor_keys(m, g));
    float top = -1e30f;
    double sum = 0;
    for (size_t i = 0; i < g->n_anchors; i++) {
        float own =
            g->type[i] >= 0 ? best_text(l, g->type[i], raw, w) : cosine(raw, g->text + i * w, w);
        float score = OWN_TEXTS * own + ANCHOR_TEXT * cosine(raw, g->text + i * w, w);
        weights[i] = score / SHARPNESS + CELLS * logf((float)g->anchor[i].n + 1) +
                     (g->anchor[i].full ? FULL : 0);
        top = weights[i] > top ? weights[i] : top;
    }
    for (size_t i = 0; i < g->n_anchors; i++)
        sum += weights[i] = expf(weights[i] - top);
    for (size_t i = 0; i < g->n_anchors; i++)
        weights[i] /= (float)sum;
    return OK;
}

/* ---- drawing ---- */
typedef struct Draw {
    const GenerateSpec *s;
    const Generator *g;
    const int32_t *column; /* [genes of the decoder] file column or -1 */
    float *z, *logits;     /* [BATCH,d], [BATCH,genes] */
    int32_t source[BATCH];
    int32_t anchor[BATCH];
    int32_t **cols; /* [BATCH] columns and counts of each new cell */
    float **vals;
    size_t n[BATCH];
} Draw;

static size_t draw_anchor(const Draw *d, Rng *r)
{
    double u = rng_uniform(r), sum = 0;
    size_t last = 0;
    for (size_t i = 0; i < d->g->n_anchors; i++) {
        if (!(d->s->weights[i] > 0))
            continue;
        last = i;
        sum += d->s->weights[i];
        if (u < sum)
            break;
    }
    return last;
}

static void draw_latent(Draw *d, size_t cell, size_t slot)
{
    size_t z = (size_t)d->g->dec.c.latent;
    double eps[4096];
    Rng r = rng_make(d->s->seed, cell * 2);
    size_t a = draw_anchor(d, &r);
    for (size_t k = 0; k < z; k++)
        eps[k] = rng_normal(&r);
    for (size_t k = 0; k < z; k++) {
        double v = d->g->mean[a * z + k];
        for (size_t j = 0; j <= k; j++)
            v += d->g->spread[(a * z + k) * z + j] * eps[j];
        d->z[slot * z + k] = (float)v;
    }
    d->anchor[slot] = (int32_t)a;
    d->source[slot] = d->g->source[a];
}

static void draw_counts(Draw *d, size_t cell, size_t slot, double log_mean, double log_sd)
{
    size_t genes = (size_t)d->g->dec.c.genes, n = 0;
    const float *x = d->logits + slot * genes;
    Rng r = rng_make(d->s->seed, cell * 2 + 1);
    double size = exp(log_mean + log_sd * rng_normal(&r)), top = -1e30, sum = 0;
    for (size_t k = 0; k < genes; k++)
        if (d->column[k] >= 0 && x[k] > top)
            top = x[k];
    for (size_t k = 0; k < genes; k++)
        sum += d->column[k] >= 0 ? exp(x[k] - top) : 0;
    for (size_t k = 0; k < genes; k++) {
        if (d->column[k] < 0)
            continue;
        uint64_t c = rng_poisson(&r, size * exp(x[k] - top) / sum);
        if (c) {
            d->cols[slot][n] = d->column[k];
            d->vals[slot][n++] = (float)c;
        }
    }
    d->n[slot] = n;
}

static Err append(Draw *d, size_t b, Csr *out, size_t *cap)
{
    size_t at = csr_nnz(out), need = at;
    for (size_t i = 0; i < b; i++)
        need += d->n[i];
    if (need > *cap) {
        TRY(mem_realloc(&out->indices, need * 2, sizeof *out->indices));
        TRY(mem_realloc(&out->values, need * 2, sizeof *out->values));
        *cap = need * 2;
    }
    for (size_t i = 0; i < b; i++) {
        memcpy(out->indices + at, d->cols[i], d->n[i] * sizeof(int32_t));
        memcpy(out->values + at, d->vals[i], d->n[i] * sizeof(float));
        at += d->n[i];
        out->indptr[++out->rows] = (int64_t)at;
    }
    return OK;
}

static Err draw_batch(Model *m, Draw *d, size_t at, size_t b, double log_mean, double log_sd)
{
    const CellDecoder *dec = &d->g->dec;
    for (size_t i = 0; i < b; i++)
        draw_latent(d, at + i, i);
    tape_reset(m->tape);
    Tensor *z = tape_input_f32(m->tape, d->z, 2, (int64_t)b, dec->c.latent);
    Tensor *y =
        cell_decoder_forward(m->tape, dec, z, tape_input_i32(m->tape, d->source, 1, (int64_t)b));
    TRY(tensor_read(m->tape, y, d->logits));
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < b; i++)
        draw_counts(d, at + i, i, log_mean, log_sd);
    return OK;
}

/* Columns ascending in every row: a pass over all columns is cheap beside the draws. dense [cols]
 * zeros. */
static void sort_rows(Csr *m, float *dense)
{
    for (size_t i = 0; i < m->rows; i++) {
        size_t n = (size_t)(m->indptr[i + 1] - m->indptr[i]);
        int32_t *c = m->indices + m->indptr[i];
        float *v = m->values + m->indptr[i];
        for (size_t k = 0; k < n; k++)
            dense[c[k]] = v[k];
        size_t w = 0;
        for (size_t k = 0; k < m->cols; k++)
            if (dense[k] > 0) {
                c[w] = (int32_t)k;
                v[w++] = dense[k];
                dense[k] = 0;
            }
    }
}

static void draw_done(Draw *d)
{
    for (int i = 0; i < BATCH; i++) {
        if (d->cols)
            free(d->cols[i]);
        if (d->vals)
            free(d->vals[i]);
    }
    free(d->cols);
    free(d->vals);
    free(d->z);
    free(d->logits);
    free((int32_t *)d->column);
}

static Err draw_init(const Model *m, const GenerateSpec *s, Draw *d)
{
    const Generator *g = m->generator;
    size_t genes = (size_t)g->dec.c.genes, matched = 0;
    int32_t *column, *of_gene;
    *d = (Draw){.s = s, .g = g};
    TRY(NEW(column, genes));
    d->column = column;
    TRY(NEW(of_gene, m->genes->n));
    for (size_t i = 0; i < m->genes->n; i++)
        of_gene[i] = -1;
    for (size_t i = 0; i < s->genes->n_file; i++)
        if (s->genes->gene[i] >= 0)
            of_gene[s->genes->gene[i]] = (int32_t)i;
    for (size_t k = 0; k < genes; k++)
        matched += (column[k] = of_gene[g->gene[k]]) >= 0;
    free(of_gene);
    if (matched < 50)
        FAIL(ERR_FEW_GENES, "genes: %zu of them are known to the generator; at least 50 are needed",
             matched);
    TRY(NEW(d->z, BATCH * (size_t)g->dec.c.latent));
    TRY(NEW(d->logits, BATCH * genes));
    TRY(NEW0(d->cols, BATCH));
    TRY(NEW0(d->vals, BATCH));
    for (int i = 0; i < BATCH; i++) {
        TRY(NEW(d->cols[i], genes));
        TRY(NEW(d->vals[i], genes));
    }
    return OK;
}

Err model_generate(Model *m, const GenerateSpec *s, JobCtl *ctl, Csr *counts, int32_t *anchor)
{
    TRY(need_generator(m));
    Draw d;
    Csr out = {.cols = s->genes->n_file};
    float *dense = NULL;
    size_t cap = 0;
    bool given = s->log_size_mean != 0 || s->log_size_sd != 0;
    double log_mean =
        given ? s->log_size_mean : log(SIZE_MEDIAN * (s->genes->panel > 0 ? s->genes->panel : 1));
    double log_sd = given ? s->log_size_sd : SIZE_SD;
    Err err = OK;
    TRY_GOTO(draw_init(m, s, &d));
    TRY_GOTO(NEW0(out.indptr, s->n + 1));
    job_stage(ctl, "generating cells", s->n);
    for (size_t at = 0; at < s->n; at += BATCH) {
        size_t b = s->n - at < BATCH ? s->n - at : BATCH;
        TRY_GOTO(draw_batch(m, &d, at, b, log_mean, log_sd));
        TRY_GOTO(append(&d, b, &out, &cap));
        if (anchor)
            memcpy(anchor + at, d.anchor, b * sizeof *anchor);
        TRY_GOTO(job_progress(ctl, at + b));
    }
    TRY_GOTO(NEW0(dense, out.cols));
    sort_rows(&out, dense);
done:
    draw_done(&d);
    free(dense);
    if (err != OK)
        csr_done(&out);
    else
        *counts = out;
    return err;
}
