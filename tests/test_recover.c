/* Counts behind log-normalised values: exact where every cell has its factor, refused with the
 * reason elsewhere. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/dataset.h"
#include "core/data/recover.h"

enum { CELLS = 90, GENES = 40 };

static int count_at(size_t i, size_t j)
{
    if (j < 2)
        return (int)j + 1;
    return (i * 7 + j * 3) % 4 ? 0 : (int)((i * i + j * 5 + i * j) % 23) * (j == 9 ? 90 : 1);
}

/* base e, 2 or 10; factor 0: 10,000 a cell, else one for each cell. */
static float value_at(size_t i, size_t j, double ln_base, double factor)
{
    double total = 0;
    for (size_t k = 0; k < GENES; k++)
        total += count_at(i, k);
    double f = factor > 0 ? factor * (1 + (double)i / 7) : 1e4 / total;
    return (float)(log1p(count_at(i, j) * f) / ln_base);
}

static Dataset *dataset_of(double ln_base, double factor, float (*change)(size_t, size_t, float))
{
    Csr m;
    Dataset *d;
    char *names[GENES];
    assert_ok(csr_init(&m, CELLS, GENES, CELLS * GENES));
    int64_t at = 0;
    for (size_t i = 0; i < CELLS; i++) {
        for (size_t j = 0; j < GENES; j++) {
            float v = value_at(i, j, ln_base, factor);
            if (v == 0)
                continue;
            m.indices[at] = (int32_t)j;
            m.values[at++] = change ? change(i, j, v) : v;
        }
        m.indptr[i + 1] = at;
    }
    for (size_t j = 0; j < GENES; j++)
        names[j] = str_format("G%zu", j);
    assert_ok(dataset_from_memory("test", &m, (const char *const *)names, NULL, &d));
    for (size_t j = 0; j < GENES; j++)
        free(names[j]);
    return d;
}

static void check_counts(Dataset *d, int matrix)
{
    Csr c;
    float gene[CELLS];
    double sums[CELLS];
    assert_ok(dataset_read_rows(d, matrix, 0, CELLS, NULL, &c));
    assert_ok(dataset_row_sums(d, matrix, NULL, sums));
    for (size_t i = 0; i < CELLS; i++) {
        double total = 0;
        for (int64_t k = c.indptr[i]; k < c.indptr[i + 1]; k++) {
            assert_true(c.values[k] == (float)count_at(i, (size_t)c.indices[k]));
            total += c.values[k];
        }
        assert_true(sums[i] == total);
    }
    for (size_t j = 0; j < GENES; j++) {
        assert_ok(dataset_read_gene(d, matrix, j, NULL, gene));
        for (size_t i = 0; i < CELLS; i++)
            assert_true(gene[i] == (float)count_at(i, j));
    }
    csr_done(&c);
}

static void counts_come_back_exactly(void **state)
{
    const struct {
        double ln_base, factor;
        const char *logarithm;
    } cases[] = {{1, 0, "log1p"},
                 {1, 0.37, "log1p"},
                 {0.69314718055994531, 3.1, "log2(1 + x)"},
                 {2.30258509299404568, 0, "log10(1 + x)"}};
    for (size_t k = 0; k < 4; k++) {
        Dataset *d = dataset_of(cases[k].ln_base, cases[k].factor, NULL);
        RecoveryInfo info;
        int matrix;
        assert_int_equal(dataset_n_matrices(d), 1);
        assert_int_equal(dataset_model_matrix(d), -1);
        assert_true(dataset_recoverable(d, &info));
        assert_string_equal(info.logarithm, cases[k].logarithm);
        assert_true(info.target_sum == (cases[k].factor > 0 ? 0 : 10000));
        assert_false(info.recovered);
        assert_ok(dataset_recover_counts(d, NULL, &matrix));
        assert_true(matrix > 0);
        assert_int_equal(dataset_n_matrices(d), 1); /* nobody sees it in the list */
        assert_int_equal(dataset_matrix(d, (size_t)matrix)->state, STATE_COUNTS);
        check_counts(d, matrix);
        assert_true(dataset_recoverable(d, &info) && info.recovered);
        dataset_close(d);
    }
}

static float noisy(size_t i, size_t j, float v)
{
    return v * (1 + 0.01f * (float)((i + j) % 5));
}

static float one_wrong(size_t i, size_t j, float v)
{
    return i == 88 && j == 0 ? v * 1.003f : v; /* a cell that opening does not look at */
}

static float all_the_same(size_t i, size_t j, float v)
{
    return 1.5f;
}

/* Two cells that say nothing of their factor, one of them among those that opening looks at. */
static float some_single(size_t i, size_t j, float v)
{
    return i == 0 || i == 88 ? (j == 1 ? 4.5f : 0) : v;
}

/* A third of the cells, none of which opening looks at; half of those that it looks at. */
static float third_single(size_t i, size_t j, float v)
{
    return i % 3 == 1 ? (j == 1 ? 4.5f : 0) : v;
}

static float sixth_single(size_t i, size_t j, float v)
{
    return i % 6 == 0 ? (j == 1 ? 4.5f : 0) : v;
}

static void many_cells_with_a_single_value_are_not_guessed(void **state)
{
    int matrix;
    RecoveryInfo info;
    Dataset *d = dataset_of(1, 0, third_single);
    assert_true(dataset_recoverable(d, &info));
    assert_ok(dataset_recover_counts(d, NULL, &matrix));
    assert_int_equal(matrix, -1);
    assert_non_null(strstr(dataset_recovery_text(d), "cell 2 "));
    dataset_close(d);
    d = dataset_of(1, 0, sixth_single);
    assert_false(dataset_recoverable(d, &info));
    dataset_close(d);
}

static void counts_beyond_the_precision_of_their_values_are_not_guessed(void **state)
{
    const float x[] = {(float)log1p(1), (float)log1p(1000)};
    const char *why = "";
    assert_true(fabs(recovery_unit(x, 2, 1, 6e-8, &why) - 1) < 1e-6); /* float32 */
    assert_true(recovery_unit(x, 2, 1, 4.9e-4, &why) == 0);           /* float16 */
    assert_non_null(strstr(why, "too large"));
}

static void cells_with_a_single_value_are_taken_as_ones(void **state)
{
    int matrix;
    float v[CELLS];
    Dataset *d = dataset_of(1, 0, some_single);
    assert_true(dataset_matrix(d, 0)->usable_for_model);
    assert_ok(dataset_recover_counts(d, NULL, &matrix));
    assert_true(matrix > 0);
    assert_non_null(strstr(dataset_recovery_text(d), "2 with a single value"));
    assert_ok(dataset_read_gene(d, matrix, 1, NULL, v));
    assert_true(v[0] == 1 && v[88] == 1);
    dataset_close(d);
}

static void what_is_not_exact_is_refused_with_the_cell(void **state)
{
    int matrix;
    RecoveryInfo info;
    Dataset *d = dataset_of(1, 0, noisy);
    assert_false(dataset_recoverable(d, &info));
    assert_non_null(strstr(dataset_recovery_text(d), "cell 1 "));
    assert_non_null(strstr(dataset_model_matrix_reason(d), "cannot be recovered"));
    dataset_close(d);
    d = dataset_of(1, 0, one_wrong);
    assert_true(dataset_recoverable(d, &info));
    assert_ok(dataset_recover_counts(d, NULL, &matrix));
    assert_int_equal(matrix, -1);
    assert_non_null(strstr(dataset_recovery_text(d), "cell 89 "));
    assert_false(dataset_recoverable(d, &info));
    dataset_close(d);
    d = dataset_of(1, 0, all_the_same);
    assert_false(dataset_recoverable(d, &info));
    assert_non_null(strstr(dataset_recovery_text(d), "single value"));
    dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_come_back_exactly),
        cmocka_unit_test(cells_with_a_single_value_are_taken_as_ones),
        cmocka_unit_test(many_cells_with_a_single_value_are_not_guessed),
        cmocka_unit_test(counts_beyond_the_precision_of_their_values_are_not_guessed),
        cmocka_unit_test(what_is_not_exact_is_refused_with_the_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
