/* Normal and Student tails; Benjamini-Hochberg. */
#include "core/analysis/stats.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"

double stats_normal_two_sided(double z)
{
    return erfc(fabs(z) / sqrt(2.0));
}

/* Continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m < 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            c = fabs(c) < tiny ? tiny : c;
            step = c * d;
            f *= step;
        }
        if (fabs(step - 1) < 1e-15)
            break;
    }
    return f;
}

/* log of Gamma(a + 1/2) / (Gamma(a) Gamma(1/2)). For large a by Stirling's series of the ratio, because
 * the difference of two large lgammas would lose digits. */
static double log_beta_factor(double a)
{
    const double log_sqrt_pi = 0.57236494292470008707;
    if (a < 20)
        return lgamma(a + 0.5) - lgamma(a) - log_sqrt_pi;
    double r = 1 / a;
    return 0.5 * log(a) - log_sqrt_pi +
           r * (-1.0 / 8 + r * r * (1.0 / 192 + r * r * (-1.0 / 640 + r * r * (17.0 / 14336))));
}

double stats_student_two_sided(double t, double df)
{
    if (isnan(t) || isnan(df))
        return NAN;
    if (isinf(t))
        return 0;
    /* I_x(a, 1/2) with x = df / (df + t^2); 1 - x is known without cancellation. */
    double a = df / 2, t2 = t * t, x = df / (df + t2), y = t2 / (df + t2);
    if (t2 == 0)
        return 1;
    double log_front = log_beta_factor(a) + a * log1p(-y) + 0.5 * log(y);
    if (x < 0.5) /* log1p(-y) would lose digits when y is close to 1 */
        log_front = log_beta_factor(a) + a * log(x) + 0.5 * log(y);
    if (x < (a + 1) / (a + 2.5))
        return exp(log_front) * beta_fraction(a, 0.5, x) / a;
    return 1 - exp(log_front) * beta_fraction(0.5, a, y) / 0.5;
}

typedef struct Ranked {
    double p;
    size_t at;
} Ranked;

static int by_p(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->p != y->p)
        return x->p < y->p ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

Err stats_adjust_bh(const double *pvals, size_t n, size_t stride, double *adjusted)
{
    Ranked *r;
    TRY(NEW(r, n));
    for (size_t i = 0; i < n; i++)
        r[i] = (Ranked){pvals[i * stride], i};
    qsort(r, n, sizeof *r, by_p);
    double least = 1;
    for (size_t i = n; i-- > 0;) {
        double q = r[i].p * (double)n / (double)(i + 1);
        least = q < least ? q : least;
        adjusted[r[i].at * stride] = least;
    }
    free(r);
    return OK;
}
