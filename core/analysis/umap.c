/* The curve's a and b, and the edges' schedule; the epochs themselves are the device's. */
#include "core/analysis/umap.h"

#include <math.h>
#include <stdlib.h>

#include "core/analysis/linalg.h"
#include "core/analysis/on_device.h"
#include "core/analysis/umap_internal.h"
#include "core/base/mem.h"

UmapParams umap_params_default(void)
{
    return (UmapParams){.min_dist = 0.5, .spread = 1, .negatives = 5};
}

/* ---- a and b ---- */

enum { CURVE_POINTS = 300 };

static double curve_error(const double *x, const double *y, double a, double b)
{
    double sum = 0;
    for (int i = 0; i < CURVE_POINTS; i++) {
        double r = y[i] - 1 / (1 + a * pow(x[i], 2 * b));
        sum += r * r;
    }
    return sum;
}

/* Normal equations of one Gauss-Newton step, the diagonal raised by the factor 1 + damping. */
static Err curve_step(const double *x, const double *y, double a, double b, double damping, double *step)
{
    double h[4] = {0};
    step[0] = step[1] = 0;
    for (int i = 1; i < CURVE_POINTS; i++) { /* x = 0: no slope */
        double p = pow(x[i], 2 * b), f = 1 / (1 + a * p), r = y[i] - f;
        double da = -f * f * p, db = -f * f * a * p * 2 * log(x[i]);
        h[0] += da * da;
        h[1] += da * db;
        h[3] += db * db;
        step[0] += da * r;
        step[1] += db * r;
    }
    h[0] *= 1 + damping;
    h[3] *= 1 + damping;
    h[2] = h[1];
    return linalg_solve_spd(2, h, step);
}

Err umap_fit_ab(double min_dist, double spread, double *a_out, double *b_out)
{
    double x[CURVE_POINTS], y[CURVE_POINTS], a = 1, b = 1, damping = 1e-3;
    if (!(spread > 0) || !(min_dist >= 0) || min_dist > 3 * spread)
        FAIL(ERR_USAGE, "min_dist %g and spread %g: need spread > 0 and 0 <= min_dist <= 3 spread",
             min_dist, spread);
    for (int i = 0; i < CURVE_POINTS; i++) {
        x[i] = 3 * spread * i / (CURVE_POINTS - 1);
        y[i] = x[i] < min_dist ? 1 : exp(-(x[i] - min_dist) / spread);
    }
    double error = curve_error(x, y, a, b);
    for (int i = 0; i < 500; i++) {
        double step[2];
        TRY(curve_step(x, y, a, b, damping, step));
        double next = a + step[0] > 0 && b + step[1] > 0 ? curve_error(x, y, a + step[0], b + step[1])
                                                         : INFINITY;
        if (next > error) {
            damping = damping * 10 + 1e-12;
            continue;
        }
        a += step[0];
        b += step[1];
        damping /= 10;
        error = next;
        if (fabs(step[0]) < 1e-12 * a && fabs(step[1]) < 1e-12 * b)
            break;
    }
    *a_out = a;
    *b_out = b;
    return OK;
}

/* Moving everybody at the same time, each by both pulls of an edge, costs maps of few cells with hubs up to 0.005 of
 * trustworthiness: there the pulls come one by one. Of very few it costs more: there the cells move in turn. */
enum { IN_TURN_CELLS = 250, HALVES_CELLS = 2000 };

static int default_epochs(size_t n)
{
    return n <= 10000 ? 500 : 200;
}

/* Edges that attract, and how often: period = largest weight / weight. */
typedef struct Edges {
    int64_t *indptr; /* [n + 1] */
    int32_t *to;
    float *period;
    float w_max;
} Edges;

static void release(Edges *e)
{
    free(e->indptr);
    free(e->to);
    free(e->period);
}

static Err make_room(Edges *e, size_t n, const float *w, size_t n_edges)
{
    for (size_t i = 0; i < n_edges; i++)
        e->w_max = fmaxf(e->w_max, w[i]);
    TRY(NEW0(e->indptr, n + 1));
    TRY(NEW(e->to, n_edges));
    return NEW(e->period, n_edges);
}

/* Edges that would not fire in `epochs` are left out. */
static void add_edge(Edges *e, size_t cell, int32_t to, float weight, int epochs)
{
    if (!(weight > 0) || !(weight >= e->w_max / (float)epochs))
        return;
    e->to[e->indptr[cell + 1]] = to;
    e->period[e->indptr[cell + 1]++] = e->w_max / weight;
}

typedef struct Edge {
    float weight;
    int32_t to;
} Edge;

static int by_weight(const void *a, const void *b)
{
    const Edge *x = a, *y = b;
    return x->weight != y->weight ? (x->weight > y->weight ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

/* A cell takes its strong edges as they come, then the others, the weakest last. The pull of a far neighbour still stands
 * then when the rest of its cluster look at the cell, and they follow; taken first, it is undone by the near ones unseen,
 * and clusters that hang together by few edges drift apart. (In umap-learn an edge moves both its ends, which comes to the
 * same.) weak: room for the edges of a cell. */
static void add_cell(Edges *e, const Csr *g, size_t i, int epochs, Edge *weak)
{
    const float strong = 0.5f * e->w_max;
    size_t n = 0;
    e->indptr[i + 1] = e->indptr[i];
    for (int64_t j = g->indptr[i]; j < g->indptr[i + 1]; j++)
        if (g->values[j] >= strong)
            add_edge(e, i, g->indices[j], g->values[j], epochs);
        else
            weak[n++] = (Edge){g->values[j], g->indices[j]};
    qsort(weak, n, sizeof *weak, by_weight);
    for (size_t k = 0; k < n; k++)
        add_edge(e, i, weak[k].to, weak[k].weight, epochs);
}

static size_t longest_row(const Csr *g)
{
    int64_t longest = 0;
    for (size_t i = 0; i < g->rows; i++)
        longest = g->indptr[i + 1] - g->indptr[i] > longest ? g->indptr[i + 1] - g->indptr[i] : longest;
    return (size_t)longest;
}

static Err run(Device *d, const UmapParams *p, const Edges *e, bool halves, Layout *l, JobCtl *ctl)
{
    OnDevice on;
    int negatives = p->negatives < 1 ? 1 : p->negatives > 7 ? 7 : p->negatives;
    l->a = p->a;
    l->b = p->b;
    if (l->a == 0 || l->b == 0)
        TRY(umap_fit_ab(p->min_dist, p->spread, &l->a, &l->b));
    l->negatives[0] = halves ? negatives / 2 : negatives;
    l->negatives[1] = negatives - (halves ? negatives / 2 : 0);
    l->seed = p->seed;
    l->indptr = e->indptr;
    l->to = e->to;
    l->period = e->period;
    job_stage(ctl, "map", (size_t)l->epochs);
    if (!l->fixed && l->n <= IN_TURN_CELLS)
        return umap_in_turn(l, ctl);
    on_device(&on, d, ctl);
    l->watch = on_device_watch(&on);
    on.d->ops->layout(on.d, l);
    return on_device_result(&on);
}

/* Each axis to 0..10, as umap-learn does before the epochs. */
static void to_ten(float *xy, size_t n)
{
    for (int d = 0; d < 2; d++) {
        float lo = INFINITY, hi = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            lo = fminf(lo, xy[2 * i + d]);
            hi = fmaxf(hi, xy[2 * i + d]);
        }
        for (size_t i = 0; i < n; i++)
            xy[2 * i + d] = hi > lo ? 10 * (xy[2 * i + d] - lo) / (hi - lo) : 5;
    }
}

Err umap_layout(Device *d, const Csr *g, const UmapParams *p, JobCtl *ctl, float *xy)
{
    Err err = OK;
    size_t n = g->rows;
    int epochs = p->epochs > 0 ? p->epochs : default_epochs(n);
    bool halves = n > IN_TURN_CELLS && n <= HALVES_CELLS;
    Edges e = {0};
    Edge *weak = NULL;
    TRY_GOTO(make_room(&e, n, g->values, csr_nnz(g)));
    TRY_GOTO(NEW(weak, longest_row(g) + 1));
    for (size_t i = 0; i < n; i++) {
        add_cell(&e, g, i, epochs > 10 ? epochs : 500, weak);
        if (i % 100000 == 0)
            TRY_GOTO(job_look(ctl));
    }
    if (p->first == 0)
        to_ten(xy, n);
    TRY_GOTO(job_look(ctl));
    Layout l = {.n = (int64_t)n, .pull = halves ? 1 : 2, .epochs = halves ? 2 * epochs : epochs, .xy = xy,
                .first = p->first, .reached = p->reached, .user = p->user};
    TRY_GOTO(run(d, p, &e, halves, &l, ctl));
done:
    free(weak);
    release(&e);
    return err;
}

Err umap_place(Device *d, const float *fixed, size_t n, const int32_t *neighbours, const float *weights,
               size_t m, size_t k, const UmapParams *p, JobCtl *ctl, float *out)
{
    Err err = OK;
    int epochs = p->epochs ? p->epochs : m <= 10000 ? 100 : 30;
    Edges edges = {0};
    TRY_GOTO(make_room(&edges, m, weights, m * k));
    for (size_t i = 0; i < m; i++) {
        double sum = 0, x = 0, y = 0;
        edges.indptr[i + 1] = edges.indptr[i];
        for (size_t j = 0; j < k; j++) {
            float v = weights[i * k + j];
            size_t at = (size_t)neighbours[i * k + j];
            if (!isfinite(fixed[2 * at]) || !isfinite(fixed[2 * at + 1]))
                continue; /* a reference cell without a place */
            sum += v;
            x += v * fixed[2 * at];
            y += v * fixed[2 * at + 1];
            if (epochs > 0)
                add_edge(&edges, i, (int32_t)at, v, epochs);
        }
        out[2 * i] = sum > 0 ? (float)(x / sum) : NAN;
        out[2 * i + 1] = sum > 0 ? (float)(y / sum) : NAN;
    }
    Layout l = {.n = (int64_t)m, .fixed = fixed, .n_others = (int64_t)n, .pull = 1, .epochs = epochs,
                .xy = out};
    if (epochs > 0)
        TRY_GOTO(run(d, p, &edges, false, &l, ctl));
done:
    release(&edges);
    return err;
}
