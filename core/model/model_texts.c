/* Texts and gene words in, vectors out; similarities; the library. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/imported.h"
#include "core/model/library_kept.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 1024, INSIDE = 64 };

static Err words_of(const Model *m, const char *const *texts, size_t n, int32_t **ids,
                    int32_t **len, size_t *width)
{
    if (m->imported)
        return imported_words(m->imported, texts, n, 0, ids, len, width);
    return wordpiece_encode_rows(text_tower_words(m->tower), texts, n, (size_t)m->c.query.positions,
                                 ids, len, width);
}

typedef struct Known {
    size_t bytes, at;
} Known;

static int by_bytes(const void *a, const void *b)
{
    const Known *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Texts k[0..b) through the Q-Former's own layers. */
static Err embed_some(Model *m, const char *const *texts, const Known *k, size_t b, float *buf,
                      float *vec)
{
    size_t p = m->desc.width, width;
    int32_t *ids = NULL, *len = NULL;
    const char *batch[INSIDE];
    for (size_t i = 0; i < b; i++)
        batch[i] = texts[k[i].at];
    TRY(words_of(m, batch, b, &ids, &len, &width));
    Err err = OK;
    for (size_t j = 0; err == OK && j < m->desc.members; j++) {
        tape_reset(m->tape);
        err = tensor_read(
            m->tape,
            stage1_texts_inside(m->tape, &m->member[j], ids, len, (int64_t)b, (int64_t)width), buf);
        for (size_t i = 0; err == OK && i < b; i++)
            memcpy(vec + k[i].at * m->desc.dim + j * p, buf + i * p, p * sizeof *buf);
    }
    free(ids);
    free(len);
    return err;
}

static Err embed_inside(Model *m, const char *const *texts, size_t n, JobCtl *ctl, float *vec)
{
    float *buf;
    Known *k = NULL;
    TRY(imported_need_texts(m));
    TRY(NEW(buf, INSIDE * m->desc.width));
    Err err = NEW(k, n);
    for (size_t i = 0; err == OK && i < n; i++)
        k[i] = (Known){strlen(texts[i]), i};
    if (err == OK && n)
        qsort(k, n, sizeof *k, by_bytes); /* batches of similar length */
    if (err == OK && n > INSIDE)
        job_stage(ctl, "reading texts", n);
    for (size_t at = 0; err == OK && at < n; at += INSIDE) {
        err = n > INSIDE ? job_progress(ctl, at) : OK;
        if (err == OK)
            err = embed_some(m, texts, k + at, n - at < INSIDE ? n - at : INSIDE, buf, vec);
    }
    free(buf);
    free(k);
    model_normalise(m, vec, err == OK ? n : 0);
    return err;
}

Err model_project_texts(Model *m, const float *raw, size_t n, float *vec)
{
    if (!m->c.text_width) { /* a text read inside has no other vector */
        memcpy(vec, raw, n * m->desc.dim * sizeof *vec);
        return OK;
    }
    size_t w = m->desc.text_width, p = m->desc.width, d = m->desc.dim;
    float *buf;
    TRY(NEW(buf, BATCH * p));
    Err err = OK;
    for (size_t k = 0; k < m->desc.members; k++)
        for (size_t at = 0; err == OK && at < n; at += BATCH) {
            size_t b = n - at < BATCH ? n - at : BATCH;
            tape_reset(m->tape);
            Tensor *r = tape_input_f32(m->tape, raw + at * w, 2, (int64_t)b, (int64_t)w);
            err = tensor_read(m->tape, stage1_texts(m->tape, &m->member[k], r), buf);
            for (size_t i = 0; err == OK && i < b; i++)
                memcpy(vec + (at + i) * d + k * p, buf + i * p, p * sizeof *buf);
        }
    free(buf);
    model_normalise(m, vec, err == OK ? n : 0);
    return err;
}

Err model_embed_texts(Model *m, const char *const *texts, size_t n, JobCtl *ctl, TextVectors *out)
{
    TextVectors v = {n, m->desc.dim, m->desc.text_width, NULL, NULL};
    Err err = OK;
    TRY_GOTO(NEW(v.vec, n * v.d));
    TRY_GOTO(NEW(v.raw, n * v.w));
    if (m->tower)
        TRY_GOTO(text_tower_embed(m->tower, texts, n, ctl, v.raw));
    TRY_GOTO(m->c.text_width ? model_project_texts(m, v.raw, n, v.vec)
                             : embed_inside(m, texts, n, ctl, v.vec));
    if (!m->tower)
        memcpy(v.raw, v.vec, n * v.d * sizeof *v.raw);
    *out = v;
    return OK;
done:
    text_vectors_done(&v);
    return err;
}

void text_vectors_done(TextVectors *v)
{
    free(v->vec);
    free(v->raw);
    *v = (TextVectors){0};
}

/* A model without projected genes reads their names. */
static Err gene_names(Model *m, const int32_t *genes, size_t n, float *vec)
{
    Str s = {0};
    for (size_t i = 0; i < n; i++)
        str_addf(&s, "%s%s", i ? " " : "", m->genes->name[genes[i]]);
    const char *text = str_text(&s);
    Err err = embed_inside(m, &text, 1, NULL, vec);
    str_free(&s);
    return err;
}

Err model_gene_words(Model *m, const int32_t *genes, size_t n, float *vec)
{
    size_t p = m->desc.width;
    if (n == 0)
        FAIL(ERR_NOT_FOUND, "no gene was named");
    if (m->imported)
        return gene_names(m, genes, n, vec);
    for (size_t k = 0; k < m->desc.members; k++) {
        tape_reset(m->tape);
        Tensor *x = stage1_gene_words(m->tape, &m->member[k], genes, 1, (int64_t)n);
        TRY(tensor_read(m->tape, x, vec + k * p));
    }
    model_normalise(m, vec, 1);
    return OK;
}

enum { LANE = 16 };

/* best[LANE] = largest over q rows of <row, column of t>; t is [p,LANE]. Vectors run along texts,
 * so that every processor adds in the same order. */
__attribute__((target_clones("default", "avx2,fma", "avx512f"))) static void
best_of_queries(const float *rows, size_t q, size_t p, const float *t, float *best)
{
    for (int l = 0; l < LANE; l++)
        best[l] = -2;
    for (size_t j = 0; j < q; j++) {
        float dot[LANE] = {0};
        for (size_t d = 0; d < p; d++) {
            float x = rows[j * p + d];
#pragma omp simd
            for (int l = 0; l < LANE; l++)
                dot[l] += x * t[d * LANE + l];
        }
#pragma omp simd
        for (int l = 0; l < LANE; l++)
            best[l] = dot[l] > best[l] ? dot[l] : best[l];
    }
}

/* One member's part of the texts, unit length, in blocks [n_text/LANE][p][LANE], the last padded
 * with zeros. */
static void arrange_texts(const Model *m, size_t member, const float *text, size_t n_text,
                          float *out)
{
    size_t p = m->desc.width, d = m->desc.dim, blocks = (n_text + LANE - 1) / LANE;
    memset(out, 0, blocks * p * LANE * sizeof *out);
    for (size_t t = 0; t < n_text; t++) {
        const float *v = text + t * d + member * p;
        double sum = 0;
        for (size_t i = 0; i < p; i++)
            sum += (double)v[i] * v[i];
        float f = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
        for (size_t i = 0; i < p; i++)
            out[(t / LANE * p + i) * LANE + t % LANE] = v[i] * f;
    }
}

/* S of one member, added to s[n,n_text] with weight 1/members. */
static void add_member(const Model *m, size_t member, const float *query, size_t n,
                       const float *texts, size_t n_text, float *s)
{
    size_t q = m->desc.queries, p = m->desc.width, all = m->desc.members;
    float share = 1.0f / (float)all;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        const float *rows = query + (i * all + member) * q * p;
        float best[LANE];
        for (size_t t = 0; t < n_text; t += LANE) {
            best_of_queries(rows, q, p, texts + t * p, best);
            for (size_t l = 0; l < LANE && t + l < n_text; l++)
                s[i * n_text + t + l] += share * best[l];
        }
    }
}

void model_similarity(const Model *m, const float *query, size_t n, const float *text,
                      size_t n_text, float *s)
{
    size_t blocks = (n_text + LANE - 1) / LANE;
    float *texts = mem_must((blocks ? blocks : 1) * LANE * m->desc.width * sizeof *texts);
    memset(s, 0, n * n_text * sizeof *s);
    for (size_t k = 0; k < m->desc.members; k++) {
        arrange_texts(m, k, text, n_text, texts);
        add_member(m, k, query, n, texts, n_text, s);
    }
    free(texts);
}

/* ---- library ---- */
static void mean_of_type(const Model *m, size_t type, float *row)
{
    const Library *l = m->library;
    size_t d = m->desc.dim;
    memset(row, 0, d * sizeof *row);
    for (size_t i = l->first[type]; i < l->first[type + 1]; i++)
        if (l->kind[i] == TEXT_NAME || l->kind[i] == TEXT_OWN)
            for (size_t k = 0; k < d; k++)
                row[k] += m->lib_text[i * d + k];
}

static void mark_trained(Model *m)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(m->config, "trained"), *x;
    if (m->imported) /* nobody says on what; every type may be among it */
        memset(m->lib_trained, 1, m->library->n_types);
    cJSON_ArrayForEach(x, list)
    {
        int32_t i = cJSON_IsString(x) ? celltypes_find_id(m->types, x->valuestring) : -1;
        if (i >= 0)
            m->lib_trained[i] = 1;
    }
}

/* The library's texts through the model's own layers: read once, then kept. */
static Err read_library(Model *m, JobCtl *ctl)
{
    const Library *l = m->library;
    char *key = library_kept_key(m->desc.sha256, m->desc.device, l->text, l->n);
    bool known = *m->desc.sha256 != 0;
    Err err = OK;
    if (!known || !library_kept_read(key, l->n, m->desc.dim, m->lib_text)) {
        err = embed_inside(m, l->text, l->n, ctl, m->lib_text);
        if (err == OK && known)
            library_kept_write(key, l->n, m->desc.dim, m->lib_text);
    }
    free(key);
    return err;
}

static Err make_library(Model *m, JobCtl *ctl)
{
    TRY(library_new(m->types, m->tower, m->cache, ctl, &m->library));
    const Library *l = m->library;
    size_t d = m->desc.dim;
    TRY(NEW(m->lib_text, l->n * d));
    TRY(NEW(m->lib_label, l->n_types * d));
    TRY(NEW(m->lib_mean, l->n_types * d));
    TRY(NEW0(m->lib_trained, l->n_types));
    TRY(m->c.text_width ? model_project_texts(m, l->raw, l->n, m->lib_text) : read_library(m, ctl));
    for (size_t i = 0; i < l->n_types; i++) {
        memcpy(m->lib_label + i * d, m->lib_text + l->first[i] * d, d * sizeof(float));
        mean_of_type(m, i, m->lib_mean + i * d);
    }
    model_normalise(m, m->lib_mean, l->n_types);
    mark_trained(m);
    m->lib = (LibraryVectors){l->n_types,  l->n,          m->lib_label,
                              m->lib_mean, m->lib_text,   l->raw ? l->raw : m->lib_text,
                              l->type,     l->kind,       l->text,
                              l->first,    m->lib_trained};
    return OK;
}

Err model_library(Model *m, JobCtl *ctl, const LibraryVectors **out)
{
    if (!m->lib.n_types) {
        library_free(m->library);
        free(m->lib_text);
        free(m->lib_label);
        free(m->lib_mean);
        free(m->lib_trained);
        m->library = NULL;
        m->lib_text = m->lib_label = m->lib_mean = NULL;
        m->lib_trained = NULL;
        TRY(make_library(m, ctl));
    }
    *out = &m->lib;
    return OK;
}
