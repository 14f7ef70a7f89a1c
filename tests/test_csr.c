/* core/data: sparse rows, columns, datasets in memory. */
#include "tests/util.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/column.h"
#include "core/data/csr.h"
#include "core/data/dataset.h"

/* [[1 0 2] [0 0 0] [0 3 4]] */
static Csr small(void)
{
    Csr m;
    assert_ok(csr_init(&m, 3, 3, 4));
    memcpy(m.indptr, (int64_t[]){0, 2, 2, 4}, sizeof(int64_t[4]));
    memcpy(m.indices, (int32_t[]){0, 2, 1, 2}, sizeof(int32_t[4]));
    memcpy(m.values, (float[]){1, 2, 3, 4}, sizeof(float[4]));
    return m;
}

static void transpose_of_a_small_matrix(void **state)
{
    Csr m = small(), t;
    assert_ok(csr_transpose(&m, &t));
    assert_memory_equal(t.indptr, ((int64_t[]){0, 1, 2, 4}), sizeof(int64_t[4]));
    assert_memory_equal(t.indices, ((int32_t[]){0, 2, 0, 2}), sizeof(int32_t[4]));
    assert_memory_equal(t.values, ((float[]){1, 3, 2, 4}), sizeof(float[4]));
    csr_done(&m);
    csr_done(&t);
}

static void rows_are_picked_in_the_order_asked(void **state)
{
    Csr m = small(), t;
    double sums[3];
    assert_ok(csr_take_rows(&m, (size_t[]){2, 1, 2}, 3, &t));
    csr_row_sums(&t, sums);
    assert_true(sums[0] == 7 && sums[1] == 0 && sums[2] == 7);
    csr_done(&m);
    csr_done(&t);
}

static void tidy_sorts_rows_and_sums_duplicates(void **state)
{
    Csr m;
    assert_ok(csr_init(&m, 3, 4, 7));
    memcpy(m.indptr, (int64_t[]){0, 2, 5, 7}, sizeof(int64_t[4]));
    memcpy(m.indices, (int32_t[]){0, 3, 2, 1, 2, 1, 3}, sizeof(int32_t[7]));
    memcpy(m.values, (float[]){1, 2, 3, 4, 5, 6, 7}, sizeof(float[7]));
    assert_ok(csr_tidy(&m));
    assert_memory_equal(m.indptr, ((int64_t[]){0, 2, 4, 6}), sizeof(int64_t[4]));
    assert_memory_equal(m.indices, ((int32_t[]){0, 3, 1, 2, 1, 3}), sizeof(int32_t[6]));
    assert_memory_equal(m.values, ((float[]){1, 2, 4, 8, 6, 7}), sizeof(float[6]));
    csr_done(&m);
}

static void numbers_print_whole_or_with_six_digits(void **state)
{
    char b[32];
    assert_string_equal(number_text(12345678, b), "12345678");
    assert_string_equal(number_text(-0.0, b), "0");
    assert_string_equal(number_text(0.123456789, b), "0.123457");
    assert_string_equal(number_text(NAN, b), "NaN");
}

static void categories_of_texts_are_sorted_and_missing_stays(void **state)
{
    const char *v[] = {"b", NULL, "a", "b"};
    Column *c = column_categories_of("k", v, 4);
    assert_int_equal(c->n_categories, 2);
    assert_string_equal(c->categories[0], "a");
    assert_memory_equal(c->codes, ((int32_t[]){1, -1, 0, 1}), sizeof(int32_t[4]));
    assert_int_equal(c->missing, 1);
    Column *d = column_copy(c);
    column_free(c);
    char b[32];
    assert_string_equal(column_text(d, 3, b), "b");
    assert_string_equal(column_text(d, 1, b), "");
    column_free(d);
}

static void memory_dataset_finds_counts_and_answers(void **state)
{
    Csr m = small();
    const char *genes[] = {"CD3E", "MS4A1", "LYZ"};
    Dataset *d;
    assert_ok(dataset_from_memory("made", &m, genes, NULL, &d));
    assert_null(m.indptr);
    assert_int_equal(dataset_model_matrix(d), 0);
    assert_int_equal(dataset_cells(d), 3);
    assert_string_equal(dataset_gene_names_from(d), "index");
    float g[3];
    double sums[3];
    assert_ok(dataset_read_gene(d, 0, 2, NULL, g));
    assert_true(g[0] == 2 && g[1] == 0 && g[2] == 4);
    assert_ok(dataset_row_sums(d, 0, NULL, sums));
    assert_true(sums[2] == 7);
    const char *const *cells;
    assert_ok(dataset_cell_names(d, &cells));
    assert_string_equal(cells[1], "cell1");
    Csr part;
    assert_ok(dataset_read_rows(d, 0, 2, 1, NULL, &part));
    assert_int_equal(part.indices[0], 1);
    csr_done(&part);

    assert_ok(dataset_add_obs(d, column_numbers("n", (double[]){1, NAN, 3}, 3)));
    assert_err(dataset_add_obs(d, column_numbers("short", (double[]){1}, 1)), ERR_GENERAL);
    const Column *c;
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "n"), &c));
    assert_int_equal(c->missing, 1);
    float *map = calloc(6, sizeof *map), *back;
    map[5] = 9;
    assert_ok(dataset_add_obsm(d, "X_umap", 2, map));
    assert_int_equal(dataset_find_obsm(d, "UMAP"), 0);
    assert_ok(dataset_obsm(d, 0, &back));
    assert_true(back[5] == 9);
    free(back);
    dataset_close(d);
}

static void states_follow_the_values(void **state)
{
    const struct {
        float v[2];
        MatrixState want;
    } cases[] = {{{1, 7}, STATE_COUNTS},     {{0.5f, 3}, STATE_LOGNORM},
                 {{-0.5f, 3}, STATE_SCALED}, {{0.5f, 900}, STATE_UNKNOWN},
                 {{0, 0}, STATE_UNKNOWN},    {{NAN, 1}, STATE_UNKNOWN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Csr m;
        Dataset *d;
        assert_ok(csr_init(&m, 1, 2, 2));
        m.indptr[1] = 2;
        m.indices[0] = 0, m.indices[1] = 1;
        memcpy(m.values, cases[i].v, sizeof cases[i].v);
        assert_ok(dataset_from_memory("made", &m, (const char *[]){"a", "b"}, NULL, &d));
        assert_int_equal(dataset_matrix(d, 0)->state, cases[i].want);
        assert_int_equal(dataset_working_matrix(d), cases[i].want <= STATE_LOGNORM ? 0 : -1);
        dataset_close(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(transpose_of_a_small_matrix),
        TEST(rows_are_picked_in_the_order_asked),
        TEST(tidy_sorts_rows_and_sums_duplicates),
        TEST(numbers_print_whole_or_with_six_digits),
        TEST(categories_of_texts_are_sorted_and_missing_stays),
        TEST(memory_dataset_finds_counts_and_answers),
        TEST(states_follow_the_values),
    };
    return RUN(tests);
}
