/* Which arrays make up each stage, and whether what was read can be one. */
#include "core/session/analysis_kept.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/log.h"
#include "core/base/version.h"
#include "core/data/kept.h"

/* To be raised whenever a stage gives other numbers than before. */
enum { STAGES_VERSION = 7 };

void kept_key(const Session *s, int matrix, Str *out)
{
    const DatasetOptions *o = &s->params.dataset;
    const MatrixInfo *m = dataset_matrix(s->dataset, (size_t)matrix);
    str_addf(out, "analysis %d %s\nmatrix %s %s %zu %zu %zu\ngenome %s\nfeatures %s\nseed %llu\n", STAGES_VERSION,
             SCMMGPT_VERSION, m->name, matrix_state_name(m->state), m->rows, m->cols, m->nnz,
             o->genome ? o->genome : "", o->feature_type ? o->feature_type : "",
             (unsigned long long)s->params.seed);
}

double kept_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Err load(Session *s, const char *stage, const char *key, JobCtl *ctl, KeptPart *parts, size_t n)
{
    Str what = {0};
    str_addf(&what, "%s\n%s", stage, key);
    Err err = kept_load(s->dataset, str_text(&what), ctl, parts, n);
    str_free(&what);
    if (!err)
        log_debug("%s: from an earlier run", stage);
    return err;
}

static Err save(Session *s, const char *stage, const char *key, double since, JobCtl *ctl, const KeptPart *parts,
                size_t n)
{
    if (kept_clock() - since < kept_worth())
        return OK;
    Str what = {0};
    str_addf(&what, "%s\n%s", stage, key);
    Err err = kept_save(s->dataset, str_text(&what), ctl, parts, n);
    str_free(&what);
    return err;
}

/* Frees what was read when it is no such stage. */
static Err refuse(KeptPart *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(parts[i].data);
    return err_set(ERR_NOT_FOUND, "what was kept is of another shape");
}

/* Parts are const for saving only. */
#define PART(ptr, count) ((KeptPart){(void *)(ptr), (count) * sizeof *(ptr)})

Err kept_load_genes(Session *s, const char *key, size_t genes, JobCtl *ctl, Hvg *out)
{
    KeptPart p[3];
    TRY(load(s, "variable genes", key, ctl, p, 3));
    if (p[1].bytes != genes * 8 || p[2].bytes != genes * 8)
        return refuse(p, 3);
    const int32_t *v = p[0].data;
    size_t n = p[0].bytes / sizeof *v;
    for (size_t i = 0; i < n; i++)
        if (v[i] < 0 || (size_t)v[i] >= genes || (i && v[i] <= v[i - 1]))
            return refuse(p, 3);
    *out = (Hvg){genes, n, p[0].data, p[1].data, p[2].data};
    return OK;
}

Err kept_save_genes(Session *s, const char *key, double since, JobCtl *ctl, const Hvg *h)
{
    KeptPart p[] = {PART(h->selected, h->n), PART(h->means, h->genes), PART(h->dispersion, h->genes)};
    return save(s, "variable genes", key, since, ctl, p, 3);
}

Err kept_load_pca(Session *s, const char *key, size_t n, JobCtl *ctl, Pca *out)
{
    KeptPart p[5];
    TRY(load(s, "principal components", key, ctl, p, 5));
    size_t genes = p[2].bytes / 8, k = p[3].bytes / 8;
    if (p[0].bytes != n * k * 4 || p[1].bytes != genes * k * 4 || p[4].bytes != k * 8 || k == 0)
        return refuse(p, 5);
    *out = (Pca){n, genes, k, p[0].data, p[1].data, p[2].data, p[3].data, p[4].data};
    return OK;
}

Err kept_save_pca(Session *s, const char *key, double since, JobCtl *ctl, const Pca *p)
{
    KeptPart parts[] = {PART(p->scores, p->n * p->k), PART(p->loadings, p->genes * p->k), PART(p->mean, p->genes),
                        PART(p->variance, p->k), PART(p->ratio, p->k)};
    return save(s, "principal components", key, since, ctl, parts, 5);
}

static bool good_csr(const KeptPart *p, size_t n, Csr *out)
{
    const int64_t *indptr = p[0].data;
    const int32_t *indices = p[1].data;
    size_t nnz = p[1].bytes / 4;
    if (p[0].bytes != (n + 1) * 8 || p[2].bytes != nnz * 4 || indptr[0] != 0 || indptr[n] != (int64_t)nnz)
        return false;
    for (size_t i = 0; i < n; i++)
        if (indptr[i] > indptr[i + 1])
            return false;
    for (size_t i = 0; i < nnz; i++)
        if (indices[i] < 0 || (size_t)indices[i] >= n)
            return false;
    *out = (Csr){n, n, p[0].data, p[1].data, p[2].data};
    return true;
}

Err kept_load_graph(Session *s, const char *key, size_t n, JobCtl *ctl, Csr *connectivities, Csr *distances,
                    double *recall)
{
    KeptPart p[7];
    Csr c, d;
    TRY(load(s, "neighbours", key, ctl, p, 7));
    if (!good_csr(p, n, &c) || !good_csr(p + 3, n, &d) || p[6].bytes != sizeof *recall)
        return refuse(p, 7);
    *connectivities = c;
    *distances = d;
    memcpy(recall, p[6].data, sizeof *recall);
    free(p[6].data);
    return OK;
}

Err kept_save_graph(Session *s, const char *key, double since, JobCtl *ctl, const Csr *c, const Csr *d, double recall)
{
    KeptPart p[] = {PART(c->indptr, c->rows + 1), PART(c->indices, csr_nnz(c)), PART(c->values, csr_nnz(c)),
                    PART(d->indptr, d->rows + 1), PART(d->indices, csr_nnz(d)), PART(d->values, csr_nnz(d)),
                    PART(&recall, 1)};
    return save(s, "neighbours", key, since, ctl, p, 7);
}

Err kept_load_map(Session *s, const char *key, size_t n, JobCtl *ctl, float **xy)
{
    KeptPart p[1];
    TRY(load(s, "map", key, ctl, p, 1));
    if (p[0].bytes != 2 * n * sizeof **xy)
        return refuse(p, 1);
    *xy = p[0].data;
    return OK;
}

Err kept_save_map(Session *s, const char *key, double since, JobCtl *ctl, const float *xy, size_t n)
{
    KeptPart p[] = {PART(xy, 2 * n)};
    return save(s, "map", key, since, ctl, p, 1);
}

static char *epoch_name(const char *key)
{
    return str_format("map on its way\n%s", key);
}

Err kept_load_epoch(Session *s, const char *key, size_t n, JobCtl *ctl, float *xy, int *epoch)
{
    KeptPart p[2];
    char *name = epoch_name(key);
    Err err = kept_load(s->dataset, name, ctl, p, 2);
    free(name);
    TRY(err);
    int32_t number = 0;
    if (p[1].bytes == sizeof number)
        memcpy(&number, p[1].data, sizeof number);
    if (p[0].bytes != 2 * n * sizeof *xy || number < 1)
        return refuse(p, 2);
    memcpy(xy, p[0].data, p[0].bytes);
    *epoch = number;
    log_debug("map: goes on at epoch %d of an earlier run", (int)number);
    free(p[0].data);
    free(p[1].data);
    return OK;
}

void kept_save_epoch(Session *s, const char *key, const float *xy, size_t n, int epoch)
{
    int32_t number = epoch;
    KeptPart p[] = {PART(xy, 2 * n), PART(&number, 1)};
    char *name = epoch_name(key);
    Err ignored = kept_save(s->dataset, name, NULL, p, 2); /* without a job nothing stops it */
    (void)ignored;
    free(name);
}

void kept_remove_epoch(Session *s, const char *key)
{
    char *name = epoch_name(key);
    kept_remove(s->dataset, name);
    free(name);
}

typedef struct LabelFacts {
    uint64_t n_groups;
    double modularity;
} LabelFacts;

Err kept_load_labels(Session *s, const char *key, size_t n, JobCtl *ctl, int32_t *label, size_t *n_groups,
                     double *modularity)
{
    KeptPart p[2];
    TRY(load(s, "clusters", key, ctl, p, 2));
    const int32_t *v = p[0].data;
    const LabelFacts *f = p[1].data;
    bool good = p[0].bytes == n * sizeof *label && p[1].bytes == sizeof *f;
    for (size_t i = 0; good && i < n; i++)
        good = v[i] >= 0 && (uint64_t)v[i] < f->n_groups;
    if (!good)
        return refuse(p, 2);
    memcpy(label, v, n * sizeof *label);
    *n_groups = (size_t)f->n_groups;
    *modularity = f->modularity;
    free(p[0].data);
    free(p[1].data);
    return OK;
}

Err kept_save_labels(Session *s, const char *key, double since, JobCtl *ctl, const int32_t *label, size_t n,
                     size_t n_groups, double modularity)
{
    LabelFacts f = {n_groups, modularity};
    KeptPart p[] = {PART(label, n), PART(&f, 1)};
    return save(s, "clusters", key, since, ctl, p, 2);
}
