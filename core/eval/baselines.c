/* Logistic regression by L-BFGS (Liu and Nocedal 1989) and centroids. Sums over cells are cut into
 * fixed lanes, so that the answer does not depend on the number of threads. */
#include "core/eval/baselines.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"

enum { LANES = 16, HISTORY = 10 };

typedef struct Fit {
    const float *x;
    const int32_t *label;
    size_t n, d, k; /* k classes, row of w: d + 1 */
    double c;
    double *lane_grad; /* [LANES, k * (d + 1)] */
} Fit;

/* Class probabilities of one cell into p[k]; returns log of the sum. */
static double softmax_of(const double *w, size_t k, size_t d, const float *x, double *p)
{
    double top = -INFINITY, sum = 0;
    for (size_t c = 0; c < k; c++) {
        const double *row = w + c * (d + 1);
        double s = row[d];
        for (size_t f = 0; f < d; f++)
            s += row[f] * (double)x[f];
        p[c] = s;
        top = s > top ? s : top;
    }
    for (size_t c = 0; c < k; c++)
        sum += exp(p[c] - top);
    double log_sum = top + log(sum);
    for (size_t c = 0; c < k; c++)
        p[c] = exp(p[c] - log_sum);
    return log_sum;
}

static double lane_loss(const Fit *f, const double *w, size_t lane, double *p)
{
    size_t size = f->k * (f->d + 1);
    double *grad = f->lane_grad + lane * size, loss = 0;
    memset(grad, 0, size * sizeof *grad);
    for (size_t i = lane; i < f->n; i += LANES) {
        const float *x = f->x + i * f->d;
        softmax_of(w, f->k, f->d, x, p);
        loss -= log(fmax(p[f->label[i]], 1e-300));
        p[f->label[i]] -= 1;
        for (size_t c = 0; c < f->k; c++) {
            double *row = grad + c * (f->d + 1), r = p[c];
            for (size_t j = 0; j < f->d; j++)
                row[j] += r * (double)x[j];
            row[f->d] += r;
        }
    }
    return loss;
}

/* Loss and gradient; p: [LANES, k] scratch. */
static double loss_and_gradient(const Fit *f, const double *w, double *grad, double *p)
{
    size_t size = f->k * (f->d + 1);
    double part[LANES], loss = 0;
#pragma omp parallel for schedule(static, 1) if (f->n * size > 100000)
    for (size_t lane = 0; lane < LANES; lane++)
        part[lane] = lane_loss(f, w, lane, p + lane * f->k);
    for (size_t lane = 0; lane < LANES; lane++)
        loss += part[lane];
#pragma omp parallel for if (size > 20000)
    for (size_t i = 0; i < size; i++) {
        bool penalised = i % (f->d + 1) != f->d;
        double g = penalised ? w[i] / f->c : 0;
        for (size_t lane = 0; lane < LANES; lane++)
            g += f->lane_grad[lane * size + i];
        grad[i] = g;
    }
    for (size_t i = 0; i < size; i++)
        if (i % (f->d + 1) != f->d)
            loss += w[i] * w[i] / (2 * f->c);
    return loss;
}

static double dot(const double *a, const double *b, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static double largest(const double *v, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++)
        m = fabs(v[i]) > m ? fabs(v[i]) : m;
    return m;
}

typedef struct Lbfgs {
    size_t n;
    double *step[HISTORY], *change[HISTORY], rho[HISTORY]; /* of w and of the gradient */
    size_t count;
} Lbfgs;

/* direction = -H grad by the two-loop recursion. */
static void lbfgs_direction(const Lbfgs *h, const double *grad, double *direction)
{
    double alpha[HISTORY];
    size_t kept = h->count < HISTORY ? h->count : HISTORY;
    for (size_t i = 0; i < h->n; i++)
        direction[i] = -grad[i];
    for (size_t j = 0; j < kept; j++) {
        size_t s = (h->count - 1 - j) % HISTORY;
        alpha[s] = h->rho[s] * dot(h->step[s], direction, h->n);
        for (size_t i = 0; i < h->n; i++)
            direction[i] -= alpha[s] * h->change[s][i];
    }
    if (kept) {
        size_t s = (h->count - 1) % HISTORY;
        double scale = 1 / (h->rho[s] * dot(h->change[s], h->change[s], h->n));
        for (size_t i = 0; i < h->n; i++)
            direction[i] *= scale;
    }
    for (size_t j = kept; j-- > 0;) {
        size_t s = (h->count - 1 - j) % HISTORY;
        double beta = h->rho[s] * dot(h->change[s], direction, h->n);
        for (size_t i = 0; i < h->n; i++)
            direction[i] += (alpha[s] - beta) * h->step[s][i];
    }
}

static void lbfgs_remember(Lbfgs *h, const double *w, const double *w_new, const double *g,
                           const double *g_new)
{
    size_t s = h->count % HISTORY;
    for (size_t i = 0; i < h->n; i++) {
        h->step[s][i] = w_new[i] - w[i];
        h->change[s][i] = g_new[i] - g[i];
    }
    double sy = dot(h->step[s], h->change[s], h->n);
    if (sy > 1e-300) { /* else the curvature says nothing: forget the pair */
        h->rho[s] = 1 / sy;
        h->count++;
    }
}

/* The loss is convex: backtracking from the full step is enough. Returns the new loss, NaN without
 * progress. */
static double line_search(const Fit *f, const double *w, const double *direction, double loss,
                          double slope, double first, double *w_new, double *g_new, double *p)
{
    size_t n = f->k * (f->d + 1);
    double t = first;
    for (int tries = 0; tries < 40; tries++, t /= 2) {
        for (size_t i = 0; i < n; i++)
            w_new[i] = w[i] + t * direction[i];
        double v = loss_and_gradient(f, w_new, g_new, p);
        if (v <= loss + 1e-4 * t * slope)
            return v;
    }
    return NAN;
}

static Err minimise(const Fit *f, double tol, int steps, JobCtl *ctl, double *w)
{
    Err err = OK;
    size_t n = f->k * (f->d + 1);
    double *block = NULL, *p = NULL;
    TRY_GOTO(NEW0(block, n * (4 + 2 * HISTORY)));
    TRY_GOTO(NEW(p, LANES * f->k));
    double *grad = block, *g_new = block + n, *w_new = block + 2 * n, *direction = block + 3 * n;
    Lbfgs h = {.n = n};
    for (size_t s = 0; s < HISTORY; s++) {
        h.step[s] = block + (4 + 2 * s) * n;
        h.change[s] = block + (5 + 2 * s) * n;
    }
    double loss = loss_and_gradient(f, w, grad, p);
    job_stage(ctl, "logistic regression", (size_t)steps);
    for (int i = 0; i < steps && largest(grad, n) > tol; i++) {
        TRY_GOTO(job_progress(ctl, (size_t)i));
        lbfgs_direction(&h, grad, direction);
        double slope = dot(grad, direction, n);
        if (slope >= 0)
            break;
        double first = h.count ? 1 : 1 / fmax(1, sqrt(dot(grad, grad, n)));
        double v = line_search(f, w, direction, loss, slope, first, w_new, g_new, p);
        if (isnan(v)) /* as low as rounding allows */
            break;
        loss = v;
        lbfgs_remember(&h, w, w_new, grad, g_new);
        memcpy(w, w_new, n * sizeof *w);
        memcpy(grad, g_new, n * sizeof *grad);
    }
done:
    free(block);
    free(p);
    return err;
}

/* Classes without cells would only get an ever smaller intercept: they are left out of the fit. */
Err logreg_fit(const float *x, const int32_t *label, size_t n, size_t d, size_t classes, double c,
               double tol, int steps, JobCtl *ctl, LogReg *out)
{
    Err err = OK;
    int32_t *dense = NULL, *y = NULL;
    double *w = NULL;
    Fit f = {.x = x, .n = n, .d = d, .c = c};
    LogReg l = {.d = d, .classes = classes};
    TRY_GOTO(NEW(dense, classes));
    TRY_GOTO(NEW(y, n));
    for (size_t k = 0; k < classes; k++)
        dense[k] = -1;
    for (size_t i = 0; i < n; i++)
        dense[label[i]] = 0;
    for (size_t k = 0; k < classes; k++)
        if (dense[k] == 0)
            dense[k] = (int32_t)f.k++;
    for (size_t i = 0; i < n; i++)
        y[i] = dense[label[i]];
    f.label = y;
    TRY_GOTO(NEW0(w, f.k * (d + 1)));
    TRY_GOTO(NEW(f.lane_grad, LANES * f.k * (d + 1)));
    TRY_GOTO(minimise(&f, tol, steps, ctl, w));
    TRY_GOTO(NEW0(l.w, classes * (d + 1)));
    for (size_t k = 0; k < classes; k++)
        if (dense[k] >= 0)
            memcpy(l.w + k * (d + 1), w + (size_t)dense[k] * (d + 1), (d + 1) * sizeof *w);
        else
            l.w[k * (d + 1) + d] = -INFINITY;
    *out = l;
    l.w = NULL;
done:
    free(dense);
    free(y);
    free(w);
    free(f.lane_grad);
    logreg_done(&l);
    return err;
}

void logreg_done(LogReg *l)
{
    free(l->w);
    *l = (LogReg){0};
}

Err logreg_predict(const LogReg *l, const float *x, size_t m, double *p)
{
#pragma omp parallel for
    for (size_t i = 0; i < m; i++)
        softmax_of(l->w, l->classes, l->d, x + i * l->d, p + i * l->classes);
    return OK;
}

Err centroid_predict(const float *ref, const int32_t *label, size_t n, size_t classes,
                     const float *x, size_t m, size_t d, int32_t *prediction)
{
    Err err = OK;
    double *mean = NULL, *size = NULL;
    TRY_GOTO(NEW0(mean, classes * d));
    TRY_GOTO(NEW0(size, classes));
    for (size_t i = 0; i < n; i++) {
        size[label[i]]++;
        for (size_t f = 0; f < d; f++)
            mean[(size_t)label[i] * d + f] += ref[i * d + f];
    }
    for (size_t c = 0; c < classes; c++) { /* unit length: the cell's own length does not matter */
        double length = sqrt(dot(mean + c * d, mean + c * d, d));
        for (size_t f = 0; length > 0 && f < d; f++)
            mean[c * d + f] /= length;
    }
#pragma omp parallel for
    for (size_t i = 0; i < m; i++) {
        double best = -INFINITY;
        prediction[i] = -1;
        for (size_t c = 0; c < classes; c++) {
            double s = 0;
            for (size_t f = 0; f < d; f++)
                s += mean[c * d + f] * (double)x[i * d + f];
            if (size[c] > 0 && s > best) {
                best = s;
                prediction[i] = (int32_t)c;
            }
        }
    }
done:
    free(mean);
    free(size);
    return err;
}
