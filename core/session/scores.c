/* See scores.h. */
#include "core/session/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/analysis/refine.h"
#include "core/base/mem.h"

void scores_spread(const float *v, size_t n, float *mean, float *sd)
{
    double sum = 0, sum2 = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i])) {
            sum += v[i];
            k++;
        }
    double m = k ? sum / (double)k : 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i]))
            sum2 += (v[i] - m) * (v[i] - m);
    *mean = (float)m;
    *sd = k > 1 && sum2 > 1e-12 * (double)k ? (float)sqrt(sum2 / (double)k) : 1;
}

/* Entries of a column without genes get the row's mean. */
static float row_mean(const float *row, size_t c, float otherwise)
{
    double sum = 0;
    size_t k = 0;
    for (size_t j = 0; j < c; j++)
        if (isfinite(row[j])) {
            sum += row[j];
            k++;
        }
    return k ? (float)(sum / (double)k) : otherwise;
}

ScoreScale scores_scale(const float *sim, const float *marker, size_t n)
{
    ScoreScale s = {.marker_sd = 1};
    scores_spread(sim, n, &s.sim_mean, &s.sim_sd);
    if (marker)
        scores_spread(marker, n, &s.marker_mean, &s.marker_sd);
    return s;
}

/* The columns that cap column j: its kinds that have no kinds themselves. */
static size_t special_kinds(const uint8_t *is_kind, size_t c, size_t j, int32_t *out)
{
    size_t n = 0;
    for (size_t k = 0; k < c; k++)
        if (is_kind[j * c + k] && !memchr(is_kind + k * c, 1, c))
            out[n++] = (int32_t)k;
    return n;
}

Err scores_cap_general(float *marker, size_t n, size_t c, const uint8_t *is_kind)
{
    int32_t *kinds;
    TRY(NEW(kinds, c));
    for (size_t j = 0; j < c; j++) {
        size_t n_kinds = special_kinds(is_kind, c, j, kinds);
        for (size_t i = 0; n_kinds && i < n; i++) {
            float best = -INFINITY, *row = marker + i * c;
            for (size_t k = 0; k < n_kinds; k++)
                best = row[kinds[k]] > best ? row[kinds[k]] : best;
            if (isfinite(best) && row[j] > best)
                row[j] = best;
        }
    }
    free(kinds);
    return OK;
}

void scores_combine(float *sim, const float *marker, size_t n, size_t c, double weight, ScoreScale scale)
{
    bool markers = marker && weight > 0;
    for (size_t i = 0; i < n; i++) {
        float fill = markers ? row_mean(marker + i * c, c, scale.marker_mean) : 0;
        for (size_t j = 0; j < c; j++) {
            float *s = &sim[i * c + j];
            *s = isfinite(*s) ? (*s - scale.sim_mean) / scale.sim_sd : 0;
            if (markers) {
                float m = marker[i * c + j];
                *s += (float)weight * ((isfinite(m) ? m : fill) - scale.marker_mean) / scale.marker_sd;
            }
        }
    }
}

void scores_softmax(const float *score, size_t n, size_t c, double sharpness, float *p)
{
    for (size_t i = 0; i < n; i++) {
        const float *s = score + i * c;
        float max = s[0];
        double sum = 0;
        for (size_t j = 1; j < c; j++)
            max = s[j] > max ? s[j] : max;
        for (size_t j = 0; j < c; j++) {
            double e = exp(sharpness * (double)(s[j] - max));
            p[i * c + j] = (float)e;
            sum += e;
        }
        for (size_t j = 0; j < c; j++)
            p[i * c + j] = (float)(p[i * c + j] / sum);
    }
}

void scores_top(const float *row, size_t c, int32_t *first, int32_t *second)
{
    int32_t a = 0, b = -1;
    for (size_t j = 1; j < c; j++) {
        if (row[j] > row[a]) {
            b = a;
            a = (int32_t)j;
        } else if (b < 0 || row[j] > row[b]) {
            b = (int32_t)j;
        }
    }
    *first = a;
    *second = b;
}

/* Rows that stay as they are. */
static Err mark_kept(const float *p, size_t small, double sure, size_t n, size_t c, uint8_t *keep)
{
    size_t *count;
    TRY(NEW0(count, c));
    for (size_t i = 0; i < n; i++) {
        int32_t a, b;
        scores_top(p + i * c, c, &a, &b);
        count[a]++;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t a, b;
        scores_top(p + i * c, c, &a, &b);
        keep[i] = count[a] < small && p[i * c + (size_t)a] >= sure;
    }
    free(count);
    return OK;
}

static void normalise_row(float *row, size_t c)
{
    double sum = 0;
    for (size_t j = 0; j < c; j++)
        sum += row[j] > 0 ? row[j] : 0;
    for (size_t j = 0; j < c; j++)
        row[j] = row[j] > 0 && sum > 0 ? (float)(row[j] / sum) : 0;
}

Err scores_smooth(const Csr *g, double lambda, size_t small, double sure, size_t n, size_t c, JobCtl *ctl, float *p)
{
    float *before = NULL;
    uint8_t *keep = NULL;
    Err err = OK;
    TRY_GOTO(mem_check_budget((uint64_t)n * c * 4, "smoothing over the graph"));
    TRY_GOTO(NEW(before, n * c));
    TRY_GOTO(NEW(keep, n));
    TRY_GOTO(mark_kept(p, small, sure, n, c, keep));
    memcpy(before, p, n * c * sizeof *p);
    TRY_GOTO(graph_smooth(g, lambda, c, ctl, p));
    for (size_t i = 0; i < n; i++) {
        if (keep[i])
            memcpy(p + i * c, before + i * c, c * sizeof *p);
        normalise_row(p + i * c, c);
    }
done:
    free(before);
    free(keep);
    return err;
}

/* Smoothing with the random-walk Laplacian, D^-1/2 (symmetric smoothing) D^1/2, under which a constant is a fixed point. */
Err scores_smooth_values(const Csr *g, double lambda, size_t n, JobCtl *ctl, float *v)
{
    float *root;
    TRY(NEW(root, n));
    for (size_t i = 0; i < n; i++) {
        double d = 0;
        for (int64_t k = g->indptr[i]; k < g->indptr[i + 1]; k++)
            d += g->values[k];
        root[i] = d > 0 ? (float)sqrt(d) : 1;
        v[i] *= root[i];
    }
    Err err = graph_smooth(g, lambda, 1, ctl, v);
    for (size_t i = 0; i < n; i++)
        v[i] /= root[i];
    free(root);
    return err;
}
