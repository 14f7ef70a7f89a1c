/* Texts and gene words in, vectors out; similarities; the library. */
#include "core/base/mem.h"
#include "core/model/model_impl.h"
#include <math.h>
#include <string.h>

enum { BATCH = 1024, INSIDE = 64 };

/* Texts through the Q-Former's own layers. */
static Err embed_inside(Model *m, const char *const *texts, size_t n, float *vec)
{
    size_t p = m->desc.width, d = m->desc.dim;
    float *buf;
    TRY(NEW(buf, INSIDE * p));
    Err err = OK;
    for (size_t at = 0; err == OK && at < n; at += INSIDE) {
        size_t b = n - at < INSIDE ? n - at : INSIDE, width;
        int32_t *ids = NULL, *len = NULL;
        err = wordpiece_encode_rows(text_tower_words(m->tower), texts + at, b,
                                    (size_t)m->c.query.positions, &ids, &len, &width);
        for (size_t k = 0; err == OK && k < m->desc.members; k++) {
            tape_reset(m->tape);
            err = tensor_read(
                m->tape,
                stage1_texts_inside(m->tape, &m->member[k], ids, len, (int64_t)b, (int64_t)width),
                buf);
            for (size_t i = 0; err == OK && i < b; i++)
                memcpy(vec + (at + i) * d + k * p, buf + i * p, p * sizeof *buf);
        }
        free(ids);
        free(len);
    }
    free(buf);
    model_normalise(m, vec, err == OK ? n : 0);
    return err;
}

Err model_project_texts(Model *m, const float *raw, size_t n, float *vec)
{
    if (!m->c.text_width)
        FAIL(ERR_MODEL, "%s: this model reads texts itself, not vectors of the text tower",
             m->desc.dir);
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
    TRY_GOTO(text_tower_embed(m->tower, texts, n, ctl, v.raw));
    TRY_GOTO(m->c.text_width ? model_project_texts(m, v.raw, n, v.vec)
                             : embed_inside(m, texts, n, v.vec));
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

Err model_gene_words(Model *m, const int32_t *genes, size_t n, float *vec)
{
    size_t p = m->desc.width;
    if (n == 0)
        FAIL(ERR_NOT_FOUND, "no gene was named");
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
    cJSON_ArrayForEach(x, list)
    {
        int32_t i = cJSON_IsString(x) ? celltypes_find_id(m->types, x->valuestring) : -1;
        if (i >= 0)
            m->lib_trained[i] = 1;
    }
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
    TRY(m->c.text_width ? model_project_texts(m, l->raw, l->n, m->lib_text)
                        : embed_inside(m, l->text, l->n, m->lib_text));
    for (size_t i = 0; i < l->n_types; i++) {
        memcpy(m->lib_label + i * d, m->lib_text + l->first[i] * d, d * sizeof(float));
        mean_of_type(m, i, m->lib_mean + i * d);
    }
    model_normalise(m, m->lib_mean, l->n_types);
    mark_trained(m);
    m->lib = (LibraryVectors){l->n_types, l->n,    m->lib_label, m->lib_mean, m->lib_text,   l->raw,
                              l->type,    l->kind, l->text,      l->first,    m->lib_trained};
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
