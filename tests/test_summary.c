/* core/analysis/summary: what dot plots, violins and composition bars show. */
#include "tests/util.h"

#include <math.h>

#include "core/analysis/summary.h"

static void gene_means_count_zeros_and_skip_missing_cells(void **state)
{
    const float v[] = {0, 2, 4, NAN, 1, 5, 9};
    const int32_t codes[] = {0, 0, 0, 0, 1, -1, 1};
    const uint8_t in[] = {1, 1, 1, 1, 1, 1, 0};
    float fraction[3], mean[3];
    summary_gene(v, codes, in, 7, 3, fraction, mean);
    assert_true(fabsf(fraction[0] - 2.0f / 3) < 1e-6f && fabsf(mean[0] - 2) < 1e-6f);
    assert_true(fraction[1] == 1 && mean[1] == 1);
    assert_true(isnan(fraction[2]) && isnan(mean[2]));
}

static void rows_are_scaled_each_to_its_own_range(void **state)
{
    float m[] = {1, 3, 2, 5, NAN, 5};
    summary_scale_rows(m, 2, 3);
    assert_true(m[0] == 0 && m[1] == 1 && m[2] == 0.5f);
    assert_true(m[3] == 0 && isnan(m[4]) && m[5] == 0);
}

static void quartiles_and_density_agree_with_numpy_and_scipy(void **state)
{
    /* numpy 2.4.6 percentile, scipy 1.17.1 gaussian_kde (Scott) at min, the quarter steps and max, over its largest of 100
     * points between min and max; made by hand in an interpreter for these eight numbers. */
    const float v[] = {0, 0, 0.5f, 1, 1.5f, 1.5f, 2, 6};
    Distribution d;
    assert_ok(distribution_of(v, NULL, NULL, 8, 0, &d));
    const Spread *s = &d.groups[0];
    assert_int_equal(s->n, 8);
    assert_true(fabs(s->q1 - 0.375) < 1e-9 && fabs(s->median - 1.25) < 1e-9 && fabs(s->q3 - 1.625) < 1e-9);
    assert_true(s->min == 0 && s->max == 6 && fabs(s->mean - 12.5 / 8) < 1e-9 && s->zeros == 0.25);
    static const double expected[] = {0.82763, 0.97703, 0.93011, 0.38503, 0.13476, 0.16892};
    static const int at[] = {0, 10, 25, 50, 75, 99};
    for (int k = 0; k < 6; k++)
        assert_true(fabs(s->density[at[k]] - expected[k]) < 0.01);
    unsigned cells = 0;
    for (int b = 0; b < HISTOGRAM_BINS; b++)
        cells += s->bins[b];
    assert_int_equal(cells, 8);
    assert_int_equal(s->bins[HISTOGRAM_BINS - 1], 1);
    distribution_done(&d);
}

static void empty_and_constant_groups_have_a_distribution(void **state)
{
    const float v[] = {2, 2, NAN};
    const int32_t codes[] = {1, 1, 0};
    Distribution d;
    assert_ok(distribution_of(v, codes, NULL, 3, 3, &d));
    assert_int_equal(d.n_groups, 3);
    assert_int_equal(d.groups[0].n, 0);
    assert_true(isnan(d.groups[0].median) && isnan(d.groups[2].mean));
    assert_true(d.groups[1].min == 2 && d.groups[1].max == 2 && d.groups[1].density[50] == 1);
    assert_int_equal(d.groups[1].bins[0], 2);
    distribution_done(&d);
    assert_ok(distribution_of(v, codes, NULL, 0, 0, &d));
    assert_true(d.lo == 0 && d.hi == 1);
    distribution_done(&d);
}

static void compositions_leave_out_cells_without_either_value(void **state)
{
    const int32_t rows[] = {0, 0, 1, -1, 1, 1}, parts[] = {1, 1, 0, 0, -1, 2};
    size_t counts[6];
    composition_of(rows, 2, parts, 3, NULL, 6, counts);
    const size_t expected[] = {0, 2, 0, 1, 0, 1};
    assert_memory_equal(counts, expected, sizeof counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gene_means_count_zeros_and_skip_missing_cells),
        TEST(rows_are_scaled_each_to_its_own_range),
        TEST(quartiles_and_density_agree_with_numpy_and_scipy),
        TEST(empty_and_constant_groups_have_a_distribution),
        TEST(compositions_leave_out_cells_without_either_value),
    };
    return RUN(tests);
}
