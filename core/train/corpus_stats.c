/* Gene statistics of the corpus, and the start of the gene table. Everything is computed from the
 * mean profiles of (set, type) pairs, so that a type with many cells does not dominate. */
#include "core/base/mem.h"
#include "core/train/corpus_impl.h"
#include <lapacke.h>
#include <math.h>
#include <string.h>

/* Profiles p[n,G] (fractions of the set's genes) of all (set, type) pairs with training rows. */
static Err mean_profiles(const Corpus *c, size_t *n_out, int32_t **set_out, int32_t **type_out,
                         float **p_out)
{
    size_t types = celltypes_count(c->types), g = c->genes->n, n = 0;
    int32_t *slot = NULL, *set = NULL, *type = NULL;
    float *p = NULL;
    Err err = OK;
    TRY_GOTO(NEW(slot, c->n_sets * types));
    for (size_t i = 0; i < c->n_sets * types; i++)
        slot[i] = -1;
    TRY_GOTO(NEW(set, c->n_sets * types));
    TRY_GOTO(NEW(type, c->n_sets * types));
    for (size_t i = 0; i < c->n; i++) {
        const CorpusCell *cell = &c->cell[i];
        int32_t *s = &slot[(size_t)cell->set * types + (size_t)cell->type];
        if (cell->held || *s >= 0)
            continue;
        set[n] = cell->set;
        type[n] = cell->type;
        *s = (int32_t)n++;
    }
    TRY_GOTO(NEW0(p, n * g));
    for (size_t i = 0; i < c->n; i++) {
        const CorpusCell *cell = &c->cell[i];
        if (cell->held)
            continue;
        float *row = p + (size_t)slot[(size_t)cell->set * types + (size_t)cell->type] * g;
        double total = 0;
        for (int64_t k = c->counts.indptr[i]; k < c->counts.indptr[i + 1]; k++)
            total += c->counts.values[k];
        for (int64_t k = c->counts.indptr[i]; total > 0 && k < c->counts.indptr[i + 1]; k++)
            row[c->counts.indices[k]] += (float)(c->counts.values[k] / total);
    }
    for (size_t r = 0; r < n; r++) {
        double total = 0;
        for (size_t k = 0; k < g; k++)
            total += p[r * g + k];
        for (size_t k = 0; total > 0 && k < g; k++)
            p[r * g + k] = (float)(p[r * g + k] / total);
    }
    *n_out = n;
    *set_out = set;
    *type_out = type;
    *p_out = p;
    free(slot);
    return OK;
done:
    free(slot);
    free(set);
    free(type);
    free(p);
    return err;
}

/* Mean fraction over profiles of the sets chosen; a small panel's profile counts for its share F
 * only. */
static void mean_fraction(const Corpus *c, size_t n, const int32_t *set, const float *p,
                          bool full_only, double *f)
{
    size_t g = c->genes->n;
    for (size_t k = 0; k < g; k++) {
        double sum = 0, m = 0;
        for (size_t r = 0; r < n; r++) {
            const CorpusSet *s = &c->set[set[r]];
            if (!s->has[k] || (full_only && !s->full))
                continue;
            sum += (full_only ? 1 : s->panel) * (double)p[r * g + k];
            m++;
        }
        f[k] = m > 0 ? sum / m : 0;
    }
    double total = 0;
    for (size_t k = 0; k < g; k++)
        total += f[k];
    for (size_t k = 0; total > 0 && k < g; k++)
        f[k] /= total;
}

static void set_panels(Corpus *c, const double *f)
{
    for (size_t s = 0; s < c->n_sets; s++) {
        c->set[s].panel = 0;
        for (size_t k = 0; k < c->genes->n; k++)
            c->set[s].panel += c->set[s].has[k] ? f[k] : 0;
    }
}

static Err mean_and_sd(Corpus *c)
{
    TypeMeans m;
    TRY(corpus_type_means(c, &m));
    size_t g = c->genes->n;
    for (size_t k = 0; k < g; k++) {
        double sum = 0, sq = 0, cnt = 0;
        for (size_t r = 0; r < m.n; r++) {
            float x = m.x[r * g + k];
            if (isnan(x))
                continue;
            sum += x;
            sq += (double)x * x;
            cnt++;
        }
        double mean = cnt > 0 ? sum / cnt : 0, var = cnt > 0 ? sq / cnt - mean * mean : 0;
        c->genes->mean[k] = (float)mean;
        c->genes->sd[k] = (float)sqrt(var > 0 ? var : 0);
    }
    type_means_done(&m);
    return OK;
}

Err corpus_statistics(Corpus *c)
{
    size_t n, g = c->genes->n;
    int32_t *set = NULL, *type = NULL;
    float *p = NULL;
    double *f = NULL;
    Err err = OK;
    bool any_full = false;
    for (size_t s = 0; s < c->n_sets; s++) {
        any_full |= c->set[s].full;
        c->set[s].panel = 1;
    }
    TRY_GOTO(NEW0(f, g));
    TRY_GOTO(NEW0(c->genes->fraction, g));
    TRY_GOTO(NEW0(c->genes->mean, g));
    TRY_GOTO(NEW0(c->genes->sd, g));
    TRY_GOTO(mean_profiles(c, &n, &set, &type, &p));
    if (any_full) { /* the whole transcriptome first, then what share of it the panels are */
        mean_fraction(c, n, set, p, true, f);
        set_panels(c, f);
    }
    mean_fraction(c, n, set, p, false, f);
    set_panels(c, f);
    for (size_t k = 0; k < g; k++)
        c->genes->fraction[k] = (float)f[k];
    err = mean_and_sd(c);
done:
    free(set);
    free(type);
    free(p);
    free(f);
    return err;
}

Err corpus_type_means(const Corpus *c, TypeMeans *out)
{
    TypeMeans m = {0};
    TRY(mean_profiles(c, &m.n, &m.set, &m.type, &m.x));
    size_t g = c->genes->n;
    for (size_t r = 0; r < m.n; r++) {
        const CorpusSet *s = &c->set[m.set[r]];
        for (size_t k = 0; k < g; k++) {
            float *x = &m.x[r * g + k];
            *x = s->has[k] ? log1pf((float)(1e4 * s->panel) * *x) : NAN;
        }
    }
    *out = m;
    return OK;
}

void type_means_done(TypeMeans *m)
{
    free(m->set);
    free(m->type);
    free(m->x);
    *m = (TypeMeans){0};
}

/* Eigenvectors of the small Gram matrix give the right singular vectors: V = X^T U / S. */
static Err gram_eigen(const float *x, size_t n, size_t g, double *a, double *w)
{
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double s = 0;
            for (size_t k = 0; k < g; k++)
                s += (double)x[i * g + k] * x[j * g + k];
            a[i * n + j] = a[j * n + i] = s;
        }
    if (LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'V', 'U', (lapack_int)n, a, (lapack_int)n, w) != 0)
        FAIL(ERR_GENERAL, "gene table: the eigenvalues did not converge");
    return OK;
}

static void fill_table(const float *x, size_t n, size_t g, const double *u, const double *w,
                       size_t width, float *table)
{
    for (size_t c = 0; c < width && c < n; c++) {
        size_t col = n - 1 - c; /* ascending eigenvalues */
        double s = sqrt(w[col] > 0 ? w[col] : 0);
        if (s < 1e-9)
            continue;
        size_t top = 0; /* fixed sign: the largest entry of u is positive */
        for (size_t r = 1; r < n; r++)
            top = fabs(u[r * n + col]) > fabs(u[top * n + col]) ? r : top;
        double scale = (u[top * n + col] < 0 ? -1 : 1) / sqrt(s);
        for (size_t r = 0; r < n; r++)
            for (size_t k = 0; k < g; k++)
                table[k * width + c] += (float)(scale * u[r * n + col] * x[r * g + k]);
    }
}

Err corpus_gene_table(const Corpus *c, size_t width, double sd, double noise, uint64_t seed,
                      float *table)
{
    TypeMeans m;
    TRY(corpus_type_means(c, &m));
    size_t g = c->genes->n;
    double *a = NULL, *w = NULL;
    Err err = OK;
    for (size_t r = 0; r < m.n; r++)
        for (size_t k = 0; k < g; k++) {
            float *x = &m.x[r * g + k];
            *x = isnan(*x) ? 0 : *x - c->genes->mean[k];
        }
    TRY_GOTO(NEW(a, m.n * m.n));
    TRY_GOTO(NEW(w, m.n));
    TRY_GOTO(gram_eigen(m.x, m.n, g, a, w));
    memset(table, 0, g * width * sizeof *table);
    fill_table(m.x, m.n, g, a, w, width, table);
    double sq = 0;
    for (size_t i = 0; i < g * width; i++)
        sq += (double)table[i] * table[i];
    double scale = sq > 0 ? sd / sqrt(sq / (double)(g * width)) : 0;
    for (size_t k = 0; k < g; k++) {
        Rng r = rng_make(seed, 0x67656e6500000000u | k);
        for (size_t j = 0; j < width; j++)
            table[k * width + j] = (float)(table[k * width + j] * scale + noise * rng_normal(&r));
    }
done:
    free(a);
    free(w);
    type_means_done(&m);
    return err;
}
