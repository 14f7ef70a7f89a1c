/* Drawing training cells. Averages become simulated cells: a noisy mixture of the cluster, its
 * tissue and sometimes another cluster of the type, Gamma noise a gene, Poisson counts. */
#include "core/base/mem.h"
#include "core/train/corpus.h"
#include <math.h>
#include <string.h>

static const double OWN = 0.93, MIX_MAX = 0.4, SHAPE_LO = 0.5, SHAPE_HI = 4, DEPTH_LO = 400,
                    DEPTH_HI = 5000;

typedef struct Pool {
    size_t n;
    size_t *row;
    double *cum; /* cumulative weights */
} Pool;

struct Sampler {
    const Corpus *c;
    Pool pool[2];         /* real cells, averages */
    double **tissue_mean; /* [sets * tissues], [G] fractions, NULL unless needed */
    float *dense;         /* [G] scratch */
};

static Err pool_init(const Corpus *c, bool averages, Pool *p)
{
    size_t types = celltypes_count(c->types);
    size_t *count;
    TRY(NEW0(count, c->n_sets * types));
    Err err = OK;
    TRY_GOTO(NEW(p->row, c->n));
    TRY_GOTO(NEW(p->cum, c->n));
    for (size_t i = 0; i < c->n; i++)
        if (!c->cell[i].held)
            count[(size_t)c->cell[i].set * types + (size_t)c->cell[i].type]++;
    double sum = 0;
    for (size_t i = 0; i < c->n; i++) {
        const CorpusCell *x = &c->cell[i];
        if (x->held || c->set[x->set].averages != averages ||
            c->counts.indptr[i] == c->counts.indptr[i + 1])
            continue;
        sum += 1 / sqrt((double)count[(size_t)x->set * types + (size_t)x->type]);
        p->row[p->n] = i;
        p->cum[p->n++] = sum;
    }
done:
    free(count);
    return err;
}

static size_t pool_draw(const Pool *p, Rng *r)
{
    double u = rng_uniform(r) * p->cum[p->n - 1];
    size_t lo = 0, hi = p->n - 1;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (p->cum[mid] > u)
            hi = mid;
        else
            lo = mid + 1;
    }
    return p->row[lo];
}

static void add_fractions(const Corpus *c, size_t row, double weight, double *out, float *outf)
{
    double total = 0;
    for (int64_t k = c->counts.indptr[row]; k < c->counts.indptr[row + 1]; k++)
        total += c->counts.values[k];
    for (int64_t k = c->counts.indptr[row]; total > 0 && k < c->counts.indptr[row + 1]; k++) {
        double v = weight * c->counts.values[k] / total;
        if (out)
            out[c->counts.indices[k]] += v;
        else
            outf[c->counts.indices[k]] += (float)v;
    }
}

static Err tissue_means(Sampler *s)
{
    const Corpus *c = s->c;
    size_t n = c->n_sets * c->n_tissues;
    double *count;
    TRY(NEW0(s->tissue_mean, n));
    TRY(NEW0(count, n));
    Err err = OK;
    for (size_t i = 0; err == OK && i < c->n; i++) {
        const CorpusCell *x = &c->cell[i];
        if (!c->set[x->set].averages)
            continue;
        size_t k = (size_t)x->set * c->n_tissues + (size_t)x->tissue;
        if (!s->tissue_mean[k])
            err = NEW0(s->tissue_mean[k], c->genes->n);
        if (err == OK)
            add_fractions(c, i, 1, s->tissue_mean[k], NULL);
        count[k]++;
    }
    for (size_t k = 0; err == OK && k < n; k++)
        for (size_t g = 0; s->tissue_mean[k] && g < c->genes->n; g++)
            s->tissue_mean[k][g] /= count[k];
    free(count);
    return err;
}

Err sampler_new(const Corpus *c, Sampler **out)
{
    Sampler *s = mem_must(sizeof *s);
    s->c = c;
    Err err = pool_init(c, false, &s->pool[0]);
    if (err == OK)
        err = pool_init(c, true, &s->pool[1]);
    if (err == OK)
        err = tissue_means(s);
    if (err == OK)
        err = NEW0(s->dense, c->genes->n);
    if (err == OK && s->pool[0].n + s->pool[1].n == 0)
        err = err_set(ERR_INPUT, "the training files hold no labelled cells");
    if (err != OK)
        sampler_free(s);
    else
        *out = s;
    return err;
}

void sampler_free(Sampler *s)
{
    if (!s)
        return;
    for (int i = 0; i < 2; i++) {
        free(s->pool[i].row);
        free(s->pool[i].cum);
    }
    for (size_t k = 0; s->tissue_mean && k < s->c->n_sets * s->c->n_tissues; k++)
        free(s->tissue_mean[k]);
    free(s->tissue_mean);
    free(s->dense);
    free(s);
}

void drawn_cell_done(DrawnCell *d)
{
    free(d->gene);
    free(d->count);
    *d = (DrawnCell){0};
}

static Err reserve(DrawnCell *d, size_t n)
{
    if (n <= d->cap)
        return OK;
    TRY(mem_realloc(&d->gene, n, sizeof *d->gene));
    TRY(mem_realloc(&d->count, n, sizeof *d->count));
    d->cap = n;
    return OK;
}

static void describe_row(const Corpus *c, size_t row, DrawnCell *out)
{
    const CorpusCell *x = &c->cell[row];
    out->row = row;
    out->type = x->type;
    out->set = x->set;
    out->tissue = x->tissue;
    out->panel = c->set[x->set].panel;
    out->n = 0;
}

Err corpus_row(const Corpus *c, size_t row, DrawnCell *out)
{
    int64_t at = c->counts.indptr[row];
    size_t n = (size_t)(c->counts.indptr[row + 1] - at);
    TRY(reserve(out, n ? n : 1));
    describe_row(c, row, out);
    out->n = n;
    memcpy(out->gene, c->counts.indices + at, n * sizeof *out->gene);
    memcpy(out->count, c->counts.values + at, n * sizeof *out->count);
    return OK;
}

/* Another average of the same set and type, or the row itself. */
static size_t same_type(const Sampler *s, size_t row, Rng *r)
{
    const Pool *p = &s->pool[1];
    const CorpusCell *x = &s->c->cell[row];
    size_t n = 0, pick = row;
    for (size_t i = 0; i < p->n; i++) { /* reservoir of one */
        const CorpusCell *y = &s->c->cell[p->row[i]];
        if (y->type == x->type && y->set == x->set && rng_below(r, ++n) == 0)
            pick = p->row[i];
    }
    return pick;
}

Err sampler_simulate(Sampler *s, Rng *r, size_t row, DrawnCell *out)
{
    const Corpus *c = s->c;
    size_t g = c->genes->n;
    const CorpusCell *x = &c->cell[row];
    const double *tissue = s->tissue_mean[(size_t)x->set * c->n_tissues + (size_t)x->tissue];
    memset(s->dense, 0, g * sizeof *s->dense);
    double other = rng_uniform(r) < 0.5 ? MIX_MAX * rng_uniform(r) : 0;
    add_fractions(c, row, OWN * (1 - other), NULL, s->dense);
    if (other > 0)
        add_fractions(c, same_type(s, row, r), OWN * other, NULL, s->dense);
    double shape = SHAPE_LO + (SHAPE_HI - SHAPE_LO) * rng_uniform(r);
    double depth = DEPTH_LO * pow(DEPTH_HI / DEPTH_LO, rng_uniform(r));
    describe_row(c, row, out);
    for (size_t k = 0; k < g; k++) {
        double p = s->dense[k] + (1 - OWN) * tissue[k];
        if (!(p * depth > 1e-7))
            continue;
        uint64_t count = rng_poisson(r, depth * p * rng_gamma(r, shape) / shape);
        if (!count)
            continue;
        if (out->n == out->cap)
            TRY(reserve(out, out->cap ? out->cap * 2 : 2048));
        out->gene[out->n] = (int32_t)k;
        out->count[out->n++] = (float)count;
    }
    return OK;
}

Err sampler_draw(Sampler *s, Rng *r, bool simulated, DrawnCell *out)
{
    if (s->pool[simulated].n == 0)
        simulated = !simulated;
    size_t row = pool_draw(&s->pool[simulated], r);
    return simulated ? sampler_simulate(s, r, row, out) : corpus_row(s->c, row, out);
}
