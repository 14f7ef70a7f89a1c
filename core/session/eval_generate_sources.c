/* Cells drawn without the model, in the form in which generated ones are measured. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/session/eval_generate.h"

void gen_batch_done(Batch *b)
{
    csr_done(&b->counts);
    free(b->class);
    free(b->there);
}

Err gen_batch_new(const Gen *g, size_t per, size_t cols, Batch *b)
{
    *b = (Batch){.n = g->n, .per = per};
    TRY(csr_init(&b->counts, g->n * per, cols, 0));
    TRY(NEW(b->class, g->n));
    TRY(NEW0(b->there, g->n));
    for (size_t i = 0; i < g->n; i++)
        b->class[i] = g->prompt[i].class;
    return OK;
}

Err gen_batch_add(Batch *b, size_t i, const Csr *cells)
{
    size_t at = i * b->per, have = (size_t)b->counts.indptr[at], more = cells ? csr_nnz(cells) : 0;
    TRY(mem_realloc(&b->counts.indices, have + more + 1, sizeof *b->counts.indices));
    TRY(mem_realloc(&b->counts.values, have + more + 1, sizeof *b->counts.values));
    if (more) {
        memcpy(b->counts.indices + have, cells->indices, more * sizeof *cells->indices);
        memcpy(b->counts.values + have, cells->values, more * sizeof *cells->values);
    }
    for (size_t j = 0; j < b->per; j++)
        b->counts.indptr[at + j + 1] = (int64_t)have + (cells ? cells->indptr[j + 1] : 0);
    b->there[i] = cells != NULL;
    return OK;
}

static Err append_poisson(Csr *out, size_t row, const double *mean, Rng *r, size_t *nnz,
                          size_t *cap)
{
    for (size_t g = 0; g < out->cols; g++) {
        uint64_t v = mean[g] > 0 ? rng_poisson(r, mean[g]) : 0;
        if (!v)
            continue;
        if (*nnz == *cap) {
            *cap = *cap * 2 + 4096;
            TRY(mem_realloc(&out->indices, *cap, sizeof *out->indices));
            TRY(mem_realloc(&out->values, *cap, sizeof *out->values));
        }
        out->indices[*nnz] = (int32_t)g;
        out->values[(*nnz)++] = (float)v;
    }
    out->indptr[row + 1] = (int64_t)*nnz;
    return OK;
}

Err gen_mean_profile(EvalWork *w, const Gen *g, Batch *b)
{
    double *mean;
    size_t nnz, cap;
    Err err = OK;
    TRY(NEW0(mean, w->counts.cols));
    for (size_t e = 0; e < csr_nnz(&w->counts); e++)
        mean[w->counts.indices[e]] += w->counts.values[e] / (double)w->n;
    for (size_t i = 0; i < g->n; i++) {
        Csr cells = {0};
        Rng r = rng_make(w->p->seed, 7000 + i);
        TRY_GOTO(csr_init(&cells, b->per, w->counts.cols, 0));
        nnz = cap = 0;
        for (size_t j = 0; j < b->per && err == OK; j++)
            err = append_poisson(&cells, j, mean, &r, &nnz, &cap);
        if (err == OK)
            err = gen_batch_add(b, i, &cells);
        csr_done(&cells);
        TRY_GOTO(err);
    }
done:
    free(mean);
    return err;
}

typedef struct Pool { /* reference cells of one class */
    size_t n, *set, *row;
} Pool;

/* Cells of the class; of files with at least half of the test's genes where there are any, for a
 * small panel leaves most genes at zero. */
static Err pool_of(EvalWork *w, const GeneMatch *match, int32_t class, Pool *p)
{
    size_t total = 0;
    for (size_t s = 0; s < w->n_references; s++)
        total += w->reference[s].counts.rows;
    TRY(NEW(p->set, total));
    TRY(NEW(p->row, total));
    for (int any = 0; any < 2 && p->n == 0; any++)
        for (size_t s = 0; s < w->n_references; s++)
            for (size_t i = 0; i < w->reference[s].counts.rows; i++)
                if (w->reference[s].label[i] == class &&
                    (any || 2 * match[s].matched >= w->counts.cols)) {
                    p->set[p->n] = s;
                    p->row[p->n++] = i;
                }
    return OK;
}

/* A random reference cell of the class, thinned or blown up by Poisson to the file's median total.
 */
static Err draw_reference(EvalWork *w, const Gen *g, const GeneMatch *match, Batch *b, size_t i,
                          double *mean)
{
    Pool p = {0};
    Csr cells = {0};
    size_t nnz = 0, cap = 0;
    Err err = OK;
    Rng r = rng_make(w->p->seed, 9000 + i);
    TRY_GOTO(pool_of(w, match, b->class[i], &p));
    TRY_GOTO(csr_init(&cells, b->per, w->counts.cols, 0));
    for (size_t j = 0; p.n && j < b->per; j++) {
        size_t at = (size_t)rng_below(&r, p.n);
        const EvalReference *ref = &w->reference[p.set[at]];
        double total = 0;
        memset(mean, 0, w->counts.cols * sizeof *mean);
        for (int64_t e = ref->counts.indptr[p.row[at]]; e < ref->counts.indptr[p.row[at] + 1];
             e++) {
            int32_t to = match[p.set[at]].to[ref->counts.indices[e]];
            double v = ref->lognorm ? expm1(ref->counts.values[e]) : ref->counts.values[e];
            if (to >= 0) {
                mean[to] += v;
                total += v;
            }
        }
        for (size_t c = 0; total > 0 && c < w->counts.cols; c++)
            mean[c] *= g->real.all.counts_median / total;
        TRY_GOTO(append_poisson(&cells, j, mean, &r, &nnz, &cap));
    }
    TRY_GOTO(gen_batch_add(b, i, p.n ? &cells : NULL));
done:
    free(p.set);
    free(p.row);
    csr_done(&cells);
    return err;
}

Err gen_resample(EvalWork *w, const Gen *g, const GeneMatch *match, Batch *b)
{
    double *mean;
    TRY(NEW(mean, w->counts.cols));
    Err err = OK;
    for (size_t i = 0; i < g->n && err == OK; i++)
        err = draw_reference(w, g, match, b, i, mean);
    free(mean);
    return err;
}
