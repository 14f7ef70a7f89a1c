/* From a trained autoencoder to a generator: weights to the host, every training cell to its latent
 * place, one anchor for each (set, type, tissue). */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/train/generator_vae.h"

enum { CHUNK = 64, PER_AVERAGE = 32, PROBES = 128 };

typedef struct Place { /* a group of training rows */
    int32_t set, type, tissue;
    size_t n;
} Place;

typedef struct Gather {   /* sums over the cells of one place */
    size_t n;             /* cells encoded */
    double counts;        /* of all of them */
    double *z, *zz, *var; /* [Z] [Z,Z] [Z] */
    double *share;        /* [N] sums of the cells' shares */
} Gather;

typedef struct Work {
    Run *r;
    Vae *v;
    Sampler *sampler;
    Tape *tape;
    Place *place;
    size_t n_places;
    Gather sum;
    DrawnCell cell;
    float *x, *target, *mu, *logvar;
    size_t pending;
} Work;

/* ---- weights ---- */

static Err copy_weights(const Vae *v, Generator *g)
{
    const struct {
        const Param *p;
        float *to;
    } all[] = {{v->dec[0].w, g->w1}, {v->dec[0].b, g->b1}, {v->dec[1].w, g->w2},
               {v->dec[1].b, g->b2}, {v->dec[2].w, g->w3}, {v->dec[2].b, g->b3},
               {v->bias, g->bias}};
    float *table;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        TRY(param_read(v->ps, all[i].p, all[i].to));
    TRY(NEW(table, g->genes * g->embed));
    Err err = param_read(v->ps, v->table, table);
    for (size_t k = 0; err == OK && k < g->genes; k++)
        for (size_t e = 0; e < g->embed; e++)
            g->table[e * g->genes + k] = table[k * g->embed + e];
    free(table);
    memcpy(g->gene, v->gene, g->genes * sizeof *g->gene);
    g->dispersion = v->o.dispersion;
    g->widen = v->o.widen;
    g->size_mean = v->o.size_mean;
    g->size_sd = v->o.size_sd;
    return err;
}

/* ---- places ---- */

static Err find_places(Work *w)
{
    const Corpus *c = w->r->corpus;
    TRY(NEW(w->place, c->n));
    for (size_t i = 0; i < c->n; i++) {
        const CorpusCell *x = &c->cell[i];
        size_t p = 0;
        if (x->held || c->counts.indptr[i] == c->counts.indptr[i + 1])
            continue;
        while (p < w->n_places && (w->place[p].set != x->set || w->place[p].type != x->type ||
                                   w->place[p].tissue != x->tissue))
            p++;
        if (p == w->n_places)
            w->place[w->n_places++] = (Place){x->set, x->type, x->tissue, 0};
        w->place[p].n++;
    }
    return OK;
}

static Err flush(Work *w)
{
    size_t z = (size_t)w->v->o.latent, n = w->v->n, b = w->pending;
    Gather *s = &w->sum;
    Tensor *mu, *logvar;
    if (!b)
        return OK;
    tape_reset(w->tape);
    vae_encode(w->tape, w->v, tape_input_f32(w->tape, w->x, 2, (int64_t)b, (int64_t)n), &mu,
               &logvar);
    TRY(tensor_read(w->tape, mu, w->mu));
    TRY(tensor_read(w->tape, logvar, w->logvar));
    for (size_t i = 0; i < b; i++) {
        const float *m = w->mu + i * z, *t = w->target + i * n;
        for (size_t j = 0; j < z; j++) {
            s->z[j] += m[j];
            s->var[j] += exp(w->logvar[i * z + j]);
            for (size_t k = 0; k < z; k++)
                s->zz[j * z + k] += (double)m[j] * m[k];
        }
        for (size_t k = 0; k < n; k++)
            s->share[k] += t[k];
    }
    s->n += b;
    w->pending = 0;
    return OK;
}

static Err add_cell(Work *w)
{
    double counts =
        vae_fill(w->v, &w->cell, -1, w->x + w->pending * w->v->n, w->target + w->pending * w->v->n);
    if (counts <= 0)
        return OK;
    w->sum.counts += counts;
    w->pending++;
    return w->pending == CHUNK ? flush(w) : OK;
}

static Err gather(Work *w, size_t p)
{
    const Corpus *c = w->r->corpus;
    const Place *place = &w->place[p];
    size_t z = (size_t)w->v->o.latent, each = 1;
    bool averages = c->set[place->set].averages;
    Gather *s = &w->sum;
    s->n = 0;
    s->counts = 0;
    memset(s->z, 0, z * sizeof *s->z);
    memset(s->var, 0, z * sizeof *s->var);
    memset(s->zz, 0, z * z * sizeof *s->zz);
    memset(s->share, 0, w->v->n * sizeof *s->share);
    if (averages && place->n < PER_AVERAGE)
        each = (PER_AVERAGE + place->n - 1) / place->n;
    for (size_t i = 0; i < c->n; i++) {
        const CorpusCell *x = &c->cell[i];
        if (x->held || x->set != place->set || x->type != place->type || x->tissue != place->tissue)
            continue;
        for (size_t k = 0; k < each; k++) {
            Rng r = rng_make((uint64_t)w->v->o.seed, ((uint64_t)i << 8) + k + (1ull << 40));
            TRY(averages ? sampler_simulate(w->sampler, &r, i, &w->cell)
                         : corpus_row(c, i, &w->cell));
            TRY(add_cell(w));
        }
    }
    return flush(w);
}

/* ---- an anchor ---- */

/* Lower Cholesky factor of a[n,n] (positive definite), packed by rows. */
static void cholesky(const double *a, size_t n, double *l, float *packed)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double s = a[i * n + j];
            for (size_t k = 0; k < j; k++)
                s -= l[i * n + k] * l[j * n + k];
            l[i * n + j] = i == j ? sqrt(s > 1e-8 ? s : 1e-8) : s / l[j * n + j];
            *packed++ = (float)l[i * n + j];
        }
}

/* Covariance of the posterior: that of the means, shrunk towards its diagonal where cells are few,
 * plus the mean posterior variance. */
static Err fill_cloud(const Work *w, Generator *g, size_t a)
{
    const Gather *s = &w->sum;
    size_t z = g->latent;
    double n = (double)s->n, keep = n / (n + (double)z), *cov, *l;
    TRY(NEW(cov, z * z));
    Err err = NEW0(l, z * z);
    for (size_t i = 0; err == OK && i < z; i++) {
        g->mean[a * z + i] = (float)(s->z[i] / n);
        for (size_t j = 0; j < z; j++) {
            double c = n > 1 ? (s->zz[i * z + j] - s->z[i] * s->z[j] / n) / (n - 1) : 0;
            cov[i * z + j] = i == j ? c + s->var[i] / n : c * keep;
        }
    }
    if (err == OK)
        cholesky(cov, z, l, g->spread + a * (z * (z + 1) / 2));
    free(cov);
    free(l);
    return err;
}

typedef struct Correction {
    double weight;
    float value;
    int32_t gene;
} Correction;

static int by_weight(const void *a, const void *b)
{
    const Correction *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight) - (x->weight > y->weight)
                                  : (x->gene > y->gene) - (x->gene < y->gene);
}

static int by_correction_gene(const void *a, const void *b)
{
    const Correction *x = a, *y = b;
    return (x->gene > y->gene) - (x->gene < y->gene);
}

/* Mean share of each gene of the panel over cells drawn around the anchor. */
static Err decoded_mean(const Generator *g, size_t a, const uint8_t *has, double *mean)
{
    float *z, *y;
    TRY(NEW(z, PROBES * g->latent));
    Err err = NEW(y, PROBES * g->genes);
    double widen = 1 / g->widen;
    for (size_t i = 0; err == OK && i < PROBES; i++) {
        Rng r = rng_make(a, i);
        generator_point(g, a, &r, z + i * g->latent);
        for (size_t j = 0; j < g->latent; j++) { /* the cloud as it was, not widened */
            float m = g->mean[a * g->latent + j];
            z[i * g->latent + j] = (float)(m + widen * (z[i * g->latent + j] - m));
        }
    }
    if (err == OK)
        generator_decode(g, z, PROBES, y);
    memset(mean, 0, g->genes * sizeof *mean);
    for (size_t i = 0; err == OK && i < PROBES; i++) {
        double top = -1e30, sum = 0;
        const float *row = y + i * g->genes;
        for (size_t k = 0; k < g->genes; k++)
            if (has[g->gene[k]] && row[k] > top)
                top = row[k];
        for (size_t k = 0; k < g->genes; k++)
            sum += has[g->gene[k]] ? exp(row[k] - top) : 0;
        for (size_t k = 0; k < g->genes; k++)
            mean[k] += has[g->gene[k]] ? exp(row[k] - top) / sum / PROBES : 0;
    }
    free(z);
    free(y);
    return err;
}

/* log(observed mean / decoded mean) of the genes where it matters most. The decoded mean counts as
 * `shrink * sqrt(cells)` molecules of prior evidence. */
static Err fill_shift(const Work *w, Generator *g, size_t a, size_t *n_shift)
{
    const Gather *s = &w->sum;
    const uint8_t *has = w->r->corpus->set[w->place[a].set].has;
    double *mean, prior = w->v->o.shrink * sqrt((double)s->n);
    Correction *c = NULL;
    size_t n = 0, keep = (size_t)w->v->o.shifts;
    TRY(NEW(mean, g->genes));
    Err err = NEW(c, g->genes);
    if (err == OK)
        err = decoded_mean(g, a, has, mean);
    for (size_t k = 0; err == OK && k < g->genes; k++) {
        if (!has[g->gene[k]])
            continue;
        double real = s->share[k] / (double)s->n,
               v = log((real * s->counts + mean[k] * prior + 1e-9) /
                       (mean[k] * (s->counts + prior) + 1e-9));
        v = v > 3 ? 3 : v < -3 ? -3 : v;
        c[n++] =
            (Correction){fabs(v) * sqrt(real > mean[k] ? real : mean[k]), (float)v, (int32_t)k};
    }
    if (err == OK) {
        qsort(c, n, sizeof *c, by_weight);
        n = n < keep ? n : keep;
        qsort(c, n, sizeof *c, by_correction_gene);
        for (size_t i = 0; i < n; i++) {
            g->shift_gene[*n_shift] = c[i].gene;
            g->shift[(*n_shift)++] = c[i].value;
        }
        g->first_shift[a + 1] = *n_shift;
    }
    free(mean);
    free(c);
    return err;
}

static Err name_anchors(const Work *w, Generator *g)
{
    const Corpus *c = w->r->corpus;
    char **text;
    TRY(NEW0(text, g->n_anchors));
    for (size_t a = 0; a < g->n_anchors; a++) {
        const Place *p = &w->place[a];
        const CellType *t = celltypes_at(w->r->types, (size_t)p->type);
        const CorpusSet *s = &c->set[p->set];
        const char *tissue = c->tissue[p->tissue];
        g->anchor[a] = (Anchor){mem_strdup(t->id), mem_strdup(t->name), mem_strdup(tissue), p->n,
                                s->full,           !s->averages};
        g->type[a] = p->type;
        text[a] = tissue[0] ? str_format("%s of the %s", t->name, tissue) : mem_strdup(t->name);
    }
    Err err = textcache_embed(w->r->cache, w->r->tower, (const char *const *)text, g->n_anchors,
                              w->r->ctl, g->text);
    for (size_t a = 0; a < g->n_anchors; a++)
        free(text[a]);
    free(text);
    return err;
}

static Err make(Work *w, Generator **out)
{
    const VaeOptions *o = &w->v->o;
    size_t z = (size_t)o->latent, n = w->v->n, shifts = 0;
    Generator *g = NULL;
    Err err = OK;
    TRY(find_places(w));
    TRY(NEW(w->sum.z, z));
    TRY(NEW(w->sum.zz, z * z));
    TRY(NEW(w->sum.var, z));
    TRY(NEW(w->sum.share, n));
    TRY(NEW(w->x, CHUNK * n));
    TRY(NEW(w->target, CHUNK * n));
    TRY(NEW(w->mu, CHUNK * z));
    TRY(NEW(w->logvar, CHUNK * z));
    TRY(generator_new(n, z, (size_t)o->hidden, (size_t)o->embed, w->n_places, w->r->library->w,
                      w->n_places * (size_t)o->shifts, &g));
    TRY_GOTO(copy_weights(w->v, g));
    TRY_GOTO(name_anchors(w, g));
    job_stage(w->r->ctl, "anchors", w->n_places);
    for (size_t a = 0; a < w->n_places; a++) {
        TRY_GOTO(job_progress(w->r->ctl, a));
        TRY_GOTO(gather(w, a));
        if (!w->sum.n)
            FAIL_GOTO(ERR_INPUT, "%s: its cells express none of the generator's genes",
                      g->anchor[a].type_name);
        TRY_GOTO(fill_cloud(w, g, a));
        TRY_GOTO(fill_shift(w, g, a, &shifts));
    }
    *out = g;
    return OK;
done:
    generator_free(g);
    return err;
}

Err vae_anchors(Run *r, Vae *v, Sampler *sampler, Tape *tape, Generator **out)
{
    Work w = {.r = r, .v = v, .sampler = sampler, .tape = tape};
    bool recording = tape_recording(tape);
    tape_set_recording(tape, false);
    Err err = make(&w, out);
    tape_set_recording(tape, recording);
    drawn_cell_done(&w.cell);
    void *all[] = {w.place, w.sum.z,  w.sum.zz, w.sum.var, w.sum.share,
                   w.x,     w.target, w.mu,     w.logvar};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return err;
}
