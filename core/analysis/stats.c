/* Normal and Student tails; Benjamini-Hochberg. */
#include "core/analysis/stats.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/sort.h"

double stats_normal_two_sided(double z)
{
    return erfc(fabs(z) / sqrt(2.0));
}

/* One step of a continued fraction: numerators p and denominators q of the last two convergents. */
static inline void next_convergent(double term, double p[2], double q[2])
{
    double new_p = p[1] + term * p[0], new_q = q[1] + term * q[0];
    p[0] = p[1];
    q[0] = q[1];
    p[1] = new_p;
    q[1] = new_q;
}

/* Continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Wallis's recurrence: it
 * divides once a round, where Lentz's method divides at every step. */
static double beta_fraction(double a, double b, double x)
{
    const double large = 0x1p200;
    double p[2] = {1, 1}, q[2] = {1, 1 - (a + b) * x / (a + 1)}, f = p[1] / q[1];
    for (int m = 1; m < 10000; m++) {
        double k = a + 2 * m, scale = x / ((k - 1) * k * (k + 1));
        next_convergent(m * (b - m) * (k + 1) * scale, p, q);
        next_convergent(-(a + m) * (a + b + m) * (k - 1) * scale, p, q);
        double last = f;
        f = p[1] / q[1];
        if (fabs(f - last) <= 1e-14 * fabs(f))
            break;
        double size = fabs(q[1]);
        if (size > large || size < 1 / large)
            for (int i = 0; i < 2; i++) {
                p[i] /= size;
                q[i] /= size;
            }
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

Err stats_adjust_bh(const double *pvals, size_t n, size_t stride, double *adjusted)
{
    Err err = OK;
    uint64_t *keys = NULL;
    uint32_t *order = NULL, *scratch = NULL;
    TRY_GOTO(NEW(keys, n));
    TRY_GOTO(NEW(order, n));
    TRY_GOTO(NEW(scratch, n));
    for (size_t i = 0; i < n; i++)
        keys[i] = sort_key(pvals[i * stride]);
    sort_order(keys, n, order, scratch);
    double least = 1;
    for (size_t i = n; i-- > 0;) {
        double q = pvals[order[i] * stride] * (double)n / (double)(i + 1);
        least = q < least ? q : least;
        adjusted[order[i] * stride] = least;
    }
done:
    free(keys);
    free(order);
    free(scratch);
    return err;
}
