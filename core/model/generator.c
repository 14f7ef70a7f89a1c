/* Decoding and drawing. Cells are independent: cell i uses random stream i of the seed. */
#include "core/model/generator.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"

enum { BLOCK = 32, MIN_GENES = 50 };

/* y[out] = w[out,in] x + b; gelu in place when asked. */
static void dense(const float *w, const float *b, const float *x, size_t out, size_t in, bool gelu,
                  float *y)
{
    for (size_t i = 0; i < out; i++) {
        double s = b[i];
        for (size_t j = 0; j < in; j++)
            s += (double)w[i * in + j] * x[j];
        y[i] = (float)(gelu ? s * 0.5 * (1 + erf(s * 0.70710678118654752)) : s);
    }
}

void generator_decode(const Generator *g, const float *z, size_t n, float *out)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float h[2][1024];
        float *y = out + i * g->genes;
        dense(g->w1, g->b1, z + i * g->latent, g->hidden, g->latent, true, h[0]);
        dense(g->w2, g->b2, h[0], g->hidden, g->hidden, true, h[1]);
        dense(g->w3, g->b3, h[1], g->embed, g->hidden, false, h[0]);
        memcpy(y, g->bias, g->genes * sizeof *y);
        for (size_t e = 0; e < g->embed; e++) {
            const float *row = g->table + e * g->genes;
            float a = h[0][e];
            for (size_t k = 0; k < g->genes; k++)
                y[k] += a * row[k];
        }
    }
}

void generator_point(const Generator *g, size_t anchor, Rng *r, float *z)
{
    size_t d = g->latent;
    const float *l = g->spread + anchor * (d * (d + 1) / 2);
    double e[1024];
    for (size_t i = 0; i < d; i++)
        e[i] = rng_normal(r);
    for (size_t i = 0; i < d; l += ++i) {
        double s = 0;
        for (size_t j = 0; j <= i; j++)
            s += (double)l[j] * e[j];
        z[i] = (float)(g->mean[anchor * d + i] + g->widen * s);
    }
}

/* ---- attention ---- */

static double dot(const float *a, const float *b, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)a[i] * b[i];
    return s;
}

void generator_attend(const Generator *g, const float *raw, const float *text,
                      const int32_t *text_type, size_t n_texts, float *weights)
{
    size_t w = g->text_width;
    for (size_t a = 0; a < g->n_anchors; a++)
        weights[a] = -1;
    for (size_t i = 0; i < n_texts; i++) {
        float c = (float)dot(raw, text + i * w, w);
        for (size_t a = 0; a < g->n_anchors; a++)
            if (g->type[a] == text_type[i] && c > weights[a])
                weights[a] = c;
    }
    double top = -1e30, sum = 0;
    for (size_t a = 0; a < g->n_anchors; a++) {
        double score = 0.75 * weights[a] + 0.25 * dot(raw, g->text + a * w, w);
        double s = score / 0.03 + 0.5 * log((double)g->anchor[a].n) + 2.0 * g->anchor[a].measured;
        weights[a] = (float)s;
        top = s > top ? s : top;
    }
    for (size_t a = 0; a < g->n_anchors; a++)
        sum += weights[a] = (float)exp(weights[a] - top);
    for (size_t a = 0; a < g->n_anchors; a++)
        weights[a] /= (float)sum;
}

static void add_shift(const Generator *g, size_t anchor, float *log_x)
{
    for (size_t k = g->first_shift[anchor]; k < g->first_shift[anchor + 1]; k++)
        log_x[g->shift_gene[k]] += g->shift[k];
}

static int32_t own_gene(const Generator *g, int32_t gene)
{
    size_t lo = 0, hi = g->genes;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (g->gene[mid] < gene)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < g->genes && g->gene[lo] == gene ? (int32_t)lo : -1;
}

Err generator_expression(const Generator *g, const int32_t *genes, size_t n, float *out)
{
    float *y;
    TRY(NEW(y, BLOCK * g->genes));
    for (size_t a = 0; a < g->n_anchors; a += BLOCK) {
        size_t b = g->n_anchors - a < BLOCK ? g->n_anchors - a : BLOCK;
        generator_decode(g, g->mean + a * g->latent, b, y);
        for (size_t i = 0; i < b; i++) {
            float *row = y + i * g->genes;
            double top = -1e30, sum = 0;
            add_shift(g, a + i, row);
            for (size_t k = 0; k < g->genes; k++)
                top = row[k] > top ? row[k] : top;
            for (size_t k = 0; k < g->genes; k++)
                sum += exp(row[k] - top);
            for (size_t k = 0; k < n; k++) {
                int32_t at = own_gene(g, genes[k]);
                out[(a + i) * n + k] = at < 0 ? 0 : (float)log1p(1e4 * exp(row[at] - top) / sum);
            }
        }
    }
    free(y);
    return OK;
}

/* ---- drawing ---- */

typedef struct Draw {
    const Generator *g;
    const GenerateSpec *s;
    size_t n_cols;
    int32_t *col;    /* [n_cols] columns of the result that the generator can fill, ascending */
    int32_t *own;    /* [n_cols] their generator genes */
    float *emphasis; /* [n_cols] */
    double *cum;     /* [A] cumulative weights */
    float *log;      /* [BLOCK, N] */
    double *p;       /* [BLOCK, n_cols] */
    int32_t *count;  /* [BLOCK, n_cols] */
    int32_t at[BLOCK];
    Rng rng[BLOCK];
} Draw;

static Err draw_init(Draw *d)
{
    const Generator *g = d->g;
    const GeneMap *map = d->s->genes;
    int32_t *of = NULL, top = g->genes ? g->gene[g->genes - 1] : -1;
    Err err = OK;
    TRY(NEW(of, (size_t)top + 1));
    for (int32_t i = 0; i <= top; i++)
        of[i] = -1;
    for (size_t k = 0; k < g->genes; k++)
        of[g->gene[k]] = (int32_t)k;
    TRY_GOTO(NEW(d->col, map->n_file));
    TRY_GOTO(NEW(d->own, map->n_file));
    TRY_GOTO(NEW0(d->emphasis, map->n_file));
    for (size_t c = 0; c < map->n_file; c++) {
        int32_t m = map->gene[c];
        if (m < 0 || m > top || of[m] < 0)
            continue;
        d->emphasis[d->n_cols] = d->s->emphasis ? d->s->emphasis[m] : 0;
        d->col[d->n_cols] = (int32_t)c;
        d->own[d->n_cols++] = of[m];
    }
    if (d->n_cols < MIN_GENES)
        FAIL_GOTO(ERR_FEW_GENES,
                  "genes: the generator can express %zu of these %zu genes, too few for a cell; "
                  "give a file with human gene symbols",
                  d->n_cols, map->n_file);
    TRY_GOTO(NEW(d->cum, g->n_anchors));
    double sum = 0;
    for (size_t a = 0; a < g->n_anchors; a++)
        d->cum[a] = sum += d->s->weights[a] > 0 ? (double)d->s->weights[a] : 0;
    if (!(sum > 0))
        FAIL_GOTO(ERR_NOT_FOUND, "prompt: no cell type the generator knows");
    TRY_GOTO(NEW(d->log, BLOCK * g->genes));
    TRY_GOTO(NEW(d->p, BLOCK * d->n_cols));
    TRY_GOTO(NEW(d->count, BLOCK * d->n_cols));
done:
    free(of);
    return err;
}

static void draw_done(Draw *d)
{
    void *all[] = {d->col, d->own, d->emphasis, d->cum, d->log, d->p, d->count};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static size_t pick_anchor(const Draw *d, Rng *r)
{
    size_t n = d->g->n_anchors;
    double u = rng_uniform(r) * d->cum[n - 1];
    for (size_t a = 0; a + 1 < n; a++)
        if (d->cum[a] > u)
            return a;
    return n - 1;
}

/* The counts of one cell from its log expression. */
static void draw_counts(const Draw *d, size_t slot)
{
    const Generator *g = d->g;
    Rng *r = (Rng *)&d->rng[slot];
    float *log_x = d->log + slot * g->genes;
    double *p = d->p + slot * d->n_cols, top = -1e30, sum = 0;
    size_t a = (size_t)d->at[slot];
    add_shift(g, a, log_x);
    for (size_t c = 0; c < d->n_cols; c++) {
        p[c] = (double)log_x[d->own[c]] + d->emphasis[c];
        top = p[c] > top ? p[c] : top;
    }
    bool own_size = d->s->log_size_mean != 0 || d->s->log_size_sd != 0;
    double mean = own_size ? d->s->log_size_mean : g->size_mean,
           sd = own_size ? d->s->log_size_sd : g->size_sd, size = exp(mean + sd * rng_normal(r));
    for (size_t c = 0; c < d->n_cols; c++) {
        p[c] = exp(p[c] - top);
        if (g->dispersion > 0)
            p[c] *= rng_gamma(r, g->dispersion) / g->dispersion;
        sum += p[c];
    }
    for (size_t c = 0; c < d->n_cols; c++)
        d->count[slot * d->n_cols + c] = (int32_t)rng_poisson(r, size * p[c] / sum);
}

static Err append(const Draw *d, size_t row, size_t slot, size_t *cap, Csr *out)
{
    int64_t n = out->indptr[row];
    if ((size_t)n + d->n_cols > *cap) {
        *cap = ((size_t)n + d->n_cols) * 2;
        TRY(mem_realloc(&out->indices, *cap, sizeof *out->indices));
        TRY(mem_realloc(&out->values, *cap, sizeof *out->values));
    }
    for (size_t c = 0; c < d->n_cols; c++) {
        int32_t v = d->count[slot * d->n_cols + c];
        if (!v)
            continue;
        out->indices[n] = d->col[c];
        out->values[n++] = (float)v;
    }
    out->indptr[row + 1] = n;
    return OK;
}

static Err draw_block(Draw *d, size_t row, size_t n, int32_t *anchor)
{
    float *z;
    TRY(NEW(z, BLOCK * d->g->latent));
    for (size_t i = 0; i < n; i++) {
        d->rng[i] = rng_make(d->s->seed, row + i);
        d->at[i] = (int32_t)pick_anchor(d, &d->rng[i]);
        generator_point(d->g, (size_t)d->at[i], &d->rng[i], z + i * d->g->latent);
        if (anchor)
            anchor[row + i] = d->at[i];
    }
    generator_decode(d->g, z, n, d->log);
    free(z);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++)
        draw_counts(d, i);
    return OK;
}

Err generator_draw(const Generator *g, const GenerateSpec *s, JobCtl *ctl, Csr *counts,
                   int32_t *anchor)
{
    Draw d = {.g = g, .s = s};
    Csr x = {0};
    Err err = OK;
    size_t cap = 1;
    TRY_GOTO(draw_init(&d));
    TRY_GOTO(csr_init(&x, s->n, s->genes->n_file, 1));
    job_stage(ctl, "generating", s->n);
    for (size_t row = 0; row < s->n; row += BLOCK) {
        size_t n = s->n - row < BLOCK ? s->n - row : BLOCK;
        TRY_GOTO(job_progress(ctl, row));
        TRY_GOTO(draw_block(&d, row, n, anchor));
        for (size_t i = 0; i < n; i++)
            TRY_GOTO(append(&d, row + i, i, &cap, &x));
    }
    *counts = x;
    x = (Csr){0};
done:
    csr_done(&x);
    draw_done(&d);
    return err;
}
