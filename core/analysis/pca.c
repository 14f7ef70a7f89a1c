/* PCA by block Lanczos on the centred covariance. */
#include "core/analysis/pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/eigs.h"
#include "core/analysis/on_device.h"
#include "core/base/mem.h"

enum { WIDTH = EIGS_WIDTH };
_Static_assert((int)EIGS_WIDTH == (int)COVARIANCE_WIDTH, "one width of blocks");

typedef struct Covariance {
    OnDevice on;
    HeldRows *held;
    size_t genes;
    const double *mean;
} Covariance;

void pca_done(Pca *p)
{
    free(p->scores);
    free(p->loadings);
    free(p->mean);
    free(p->variance);
    free(p->ratio);
    *p = (Pca){0};
}

/* y = (X - 1 mean')' (X - 1 mean') x. The rows of X x - shift sum to zero, so that the mean's own
 * term on the left vanishes. */
static Err apply_covariance(void *user, const double *x, double *y, JobCtl *ctl)
{
    Covariance *c = user;
    double shift[WIDTH] = {0};
    DeviceWatch watch = on_device_watch(&c->on);
    (void)ctl; /* the watch's */
    for (size_t g = 0; g < c->genes; g++)
        for (size_t j = 0; j < WIDTH; j++)
            shift[j] += c->mean[g] * x[g * WIDTH + j];
    c->on.d->ops->covariance(c->on.d, c->held, x, shift, y, &watch);
    return on_device_result(&c->on);
}

/* Means and the total variance (n - 1). */
static Err find_means(const Csr *x, JobCtl *ctl, double *mean, double *total)
{
    Err err = OK;
    double *s2, n = (double)x->rows;
    TRY(NEW0(s2, x->cols));
    memset(mean, 0, x->cols * sizeof *mean);
    for (size_t j = 0; j < csr_nnz(x); j++) {
        double v = x->values[j];
        mean[x->indices[j]] += v;
        s2[x->indices[j]] += v * v;
        if (j % (4 << 20) == 0)
            TRY_GOTO(job_look(ctl));
    }
    *total = 0;
    for (size_t g = 0; g < x->cols; g++) {
        mean[g] /= n;
        *total += (s2[g] - n * mean[g] * mean[g]) / (n - 1);
    }
done:
    free(s2);
    return err;
}

/* Flips each vector so that its entry of largest magnitude is positive; stores loadings row-major. */
static void store_loadings(const double *vectors, Pca *p)
{
    for (size_t j = 0; j < p->k; j++) {
        const double *v = vectors + j * p->genes;
        size_t best = 0;
        for (size_t g = 1; g < p->genes; g++)
            if (fabs(v[g]) > fabs(v[best]))
                best = g;
        double sign = v[best] < 0 ? -1 : 1;
        for (size_t g = 0; g < p->genes; g++)
            p->loadings[g * p->k + j] = (float)(sign * v[g]);
    }
}

Err pca_transform(const Pca *p, const Csr *x, JobCtl *ctl, float *out)
{
    Err err = OK;
    size_t k = p->k, chunk = 16384;
    double *shift = NULL;
    TRY_GOTO(NEW0(shift, k));
    for (size_t g = 0; g < p->genes; g++)
        for (size_t j = 0; j < k; j++)
            shift[j] += p->mean[g] * (double)p->loadings[g * k + j];
    for (size_t row = 0; row < x->rows; row += chunk) {
        size_t stop = row + chunk < x->rows ? row + chunk : x->rows;
#pragma omp parallel for schedule(dynamic, 64)
        for (size_t r = row; r < stop; r++) {
            float *y = out + r * k;
            for (size_t j = 0; j < k; j++)
                y[j] = (float)-shift[j];
            for (int64_t i = x->indptr[r]; i < x->indptr[r + 1]; i++) {
                float value = x->values[i];
                const float *v = p->loadings + (size_t)x->indices[i] * k;
                for (size_t j = 0; j < k; j++)
                    y[j] += value * v[j];
            }
        }
        TRY_GOTO(job_progress(ctl, stop));
    }
done:
    free(shift);
    return err;
}

Err pca_fit(Device *d, const Csr *x, size_t k, uint64_t seed, JobCtl *ctl, Pca *out)
{
    Err err = OK;
    size_t n = x->rows, genes = x->cols, most = (n < genes ? n : genes) - 1;
    if (n < 2 || genes < 2)
        FAIL(ERR_FEW_GENES, "%zu cells and %zu genes are too few for principal components", n, genes);
    Pca p = {.n = n, .genes = genes, .k = k < most ? k : most};
    double *vectors = NULL, total;
    Covariance c = {.genes = genes};
    on_device(&c.on, d, ctl);
    job_stage(ctl, "principal components", 0);
    TRY_GOTO(NEW(p.scores, n * p.k));
    TRY_GOTO(NEW(p.loadings, genes * p.k));
    TRY_GOTO(NEW(p.mean, genes));
    TRY_GOTO(NEW(p.variance, p.k));
    TRY_GOTO(NEW(p.ratio, p.k));
    TRY_GOTO(NEW(vectors, genes * p.k));
    TRY_GOTO(find_means(x, ctl, p.mean, &total));
    c.mean = p.mean;
    DeviceWatch watch = on_device_watch(&c.on);
    SparseRows rows = {(int64_t)n, (int64_t)genes, x->indptr, x->indices, x->values};
    c.held = c.on.d->ops->hold_rows(c.on.d, &rows, &watch);
    TRY_GOTO(on_device_result(&c.on));
    EigsParams e = {.n = genes, .k = p.k, .max_dim = 8 * p.k + 64, .tol = 2e-6, .max_applies = 400,
                    .seed = seed};
    TRY_GOTO(eigs_largest(&e, apply_covariance, &c, ctl, p.variance, vectors));
    store_loadings(vectors, &p);
    for (size_t j = 0; j < p.k; j++) {
        p.variance[j] = p.variance[j] > 0 ? p.variance[j] / (double)(n - 1) : 0;
        p.ratio[j] = total > 0 ? p.variance[j] / total : 0;
    }
    TRY_GOTO(pca_transform(&p, x, ctl, p.scores));
    *out = p;
    p = (Pca){0};
done:
    pca_done(&p);
    free(vectors);
    c.on.d->ops->release_rows(c.on.d, c.held);
    return err;
}
