/* Distances between two sets of points: kernel discrepancy, sliced earth mover's distance, spread.
 */
#include <math.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/expr.h"

static double squared_distance(const float *a, const float *b, size_t d)
{
    double s = 0;
    for (size_t f = 0; f < d; f++) {
        double t = (double)a[f] - (double)b[f];
        s += t * t;
    }
    return s;
}

Err expr_median_distance(const float *x, size_t n, size_t d, uint64_t seed, double *out)
{
    enum { MOST = 1000 };
    Err err = OK;
    size_t *order = NULL, m = n < MOST ? n : MOST, at = 0;
    double *v = NULL;
    if (n < 2)
        FAIL(ERR_INPUT, "median distance: two cells are needed, there are %zu", n);
    TRY_GOTO(NEW(order, n));
    TRY_GOTO(NEW(v, m * (m - 1) / 2));
    Rng r = rng_make(seed, 0);
    rng_permutation(&r, n, order);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < i; j++)
            v[at++] = sqrt(squared_distance(x + order[i] * d, x + order[j] * d, d));
    *out = median_of(v, at);
done:
    free(order);
    free(v);
    return err;
}

/* Sum of the kernel over all pairs of a row of a and a row of b; same: pairs of a row with itself
 * left out. */
static double kernel_sum(const float *a, size_t n, const float *b, size_t m, size_t d, double scale,
                         bool same)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++)
            if (!same || i != j)
                sum += exp(-squared_distance(a + i * d, b + j * d, d) * scale);
    return sum;
}

double expr_mmd(const float *a, size_t n, const float *b, size_t m, size_t d, double bandwidth)
{
    if (n < 2 || m < 2 || !(bandwidth > 0))
        return NAN;
    double scale = 1 / (2 * bandwidth * bandwidth), na = (double)n, nb = (double)m;
    return kernel_sum(a, n, a, n, d, scale, true) / (na * (na - 1)) +
           kernel_sum(b, m, b, m, d, scale, true) / (nb * (nb - 1)) -
           2 * kernel_sum(a, n, b, m, d, scale, false) / (na * nb);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Area between the two quantile functions; both sorted. */
static double wasserstein(const double *a, size_t n, const double *b, size_t m)
{
    double area = 0, at = 0;
    for (size_t i = 0, j = 0; i < n && j < m;) {
        double ea = (double)(i + 1) / (double)n, eb = (double)(j + 1) / (double)m;
        double end = ea < eb ? ea : eb;
        area += (end - at) * fabs(a[i] - b[j]);
        at = end;
        bool step_a = (i + 1) * m <= (j + 1) * n, step_b = (i + 1) * m >= (j + 1) * n;
        i += step_a;
        j += step_b;
    }
    return area;
}

static void project(const float *x, size_t n, size_t d, const double *direction, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double s = 0;
        for (size_t f = 0; f < d; f++)
            s += direction[f] * (double)x[i * d + f];
        out[i] = s;
    }
    qsort(out, n, sizeof *out, by_value);
}

Err expr_emd(const float *a, size_t n, const float *b, size_t m, size_t d, size_t directions,
             uint64_t seed, double *out)
{
    Err err = OK;
    double *direction = NULL, *pa = NULL, *pb = NULL, sum = 0;
    TRY_GOTO(NEW(direction, d));
    TRY_GOTO(NEW(pa, n));
    TRY_GOTO(NEW(pb, m));
    for (size_t k = 0; k < directions; k++) {
        Rng r = rng_make(seed, k);
        double length = 0;
        for (size_t f = 0; f < d; f++) {
            direction[f] = rng_normal(&r);
            length += direction[f] * direction[f];
        }
        for (size_t f = 0; f < d; f++)
            direction[f] /= sqrt(length);
        project(a, n, d, direction, pa);
        project(b, m, d, direction, pb);
        sum += wasserstein(pa, n, pb, m);
    }
    *out = n && m && directions ? sum / (double)directions : NAN;
done:
    free(direction);
    free(pa);
    free(pb);
    return err;
}

double expr_spread(const float *x, size_t n, size_t d)
{
    if (n < 2)
        return NAN;
    double sum = 0;
    for (size_t f = 0; f < d; f++) {
        double mean = 0;
        for (size_t i = 0; i < n; i++)
            mean += x[i * d + f] / (double)n;
        for (size_t i = 0; i < n; i++)
            sum += (x[i * d + f] - mean) * (x[i * d + f] - mean);
    }
    return sqrt(sum / (double)(n - 1));
}
