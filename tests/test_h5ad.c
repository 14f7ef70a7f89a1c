/* core/data: reading files of every layout that tests/ref/h5ad_fixtures.py makes from one synthetic
 * dataset. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/column.h"
#include "core/data/mtx.h"

enum { CELLS = 12, GENES = 8 };

static Dataset *open_fixture(const char *name, const DatasetOptions *opt)
{
    char path[256];
    Dataset *d;
    snprintf(path, sizeof path, "tests/golden/h5ad/%s", name);
    assert_ok(dataset_open(path, opt, NULL, &d));
    return d;
}

/* The dataset as the script computes it. */
static float expected(size_t i, size_t j)
{
    return (i + 2 * j) % 3 != 0 ? (float)((7 * i + 3 * j) % 5) : 0.0f;
}

/* Every value by rows and by genes; the matrix has the genes 0..genes-1 times scale. */
static void check_values(Dataset *d, int matrix, size_t genes)
{
    const MatrixInfo *m = dataset_matrix(d, (size_t)matrix);
    assert_int_equal(m->rows, CELLS);
    assert_int_equal(m->cols, genes);
    for (size_t row0 = 0; row0 < CELLS; row0 += 5) { /* blocks of 5, 5, 2 */
        size_t n = CELLS - row0 < 5 ? CELLS - row0 : 5;
        Csr c;
        float dense[5][GENES] = {{0}};
        assert_ok(dataset_read_rows(d, matrix, row0, n, NULL, &c));
        assert_int_equal(c.rows, n);
        for (size_t r = 0; r < n; r++)
            for (int64_t k = c.indptr[r]; k < c.indptr[r + 1]; k++) {
                assert_true(k == c.indptr[r] || c.indices[k] > c.indices[k - 1]);
                dense[r][c.indices[k]] = c.values[k];
            }
        for (size_t r = 0; r < n; r++)
            for (size_t g = 0; g < genes; g++)
                assert_true(dense[r][g] == expected(row0 + r, g));
        csr_done(&c);
    }
    double sums[CELLS], want;
    assert_ok(dataset_row_sums(d, matrix, NULL, sums));
    for (size_t g = 0; g < genes; g++) {
        float v[CELLS];
        assert_ok(dataset_read_gene(d, matrix, g, NULL, v));
        for (size_t i = 0; i < CELLS; i++)
            assert_true(v[i] == expected(i, g));
    }
    for (size_t i = 0; i < CELLS; i++) {
        want = 0;
        for (size_t g = 0; g < genes; g++)
            want += expected(i, g);
        assert_true(sums[i] == want);
    }
}

static void same_values_in_every_storage(void **state)
{
    const struct {
        const char *file, *storage, *dtype;
    } cases[] = {
        {"csr.h5ad", "csr", "float32"},
        {"csc.h5ad", "csc", "float32"},
        {"dense.h5ad", "dense", "float32"},
        {"dense_f64_gzip.h5ad", "dense", "float64"},
        {"csr_i64.h5ad", "csr", "int64"},
        {"csr_lzf.h5ad", "csr", "float32"},
        {"f16.h5ad", "dense", "float16"},
        {"unsorted.h5ad", "csr", "float32"},
        {"v0_7.h5ad", "csr", "float32"},
        {"strings_0_13.h5ad", "csr", "float32"},
        {"filter_zstd.h5ad", "csr", "float32"},
        {"filter_lz4.h5ad", "csr", "float32"},
        {"filter_blosc.h5ad", "csr", "float32"},
        {"filter_bitshuffle.h5ad", "csr", "float32"},
        {"filter_bitshuffle_none.h5ad", "csr", "float32"},
        {"csr_v2.zarr.zip", "csr", "float32"},
        {"csr_v3.zarr.zip", "csr", "float32"},
        {"dense_v2.zarr.zip", "dense", "float32"},
        {"dense_v3.zarr.zip", "dense", "float32"},
        {"sharded.zarr", "dense", "float32"},
        {"loom.loom", "dense", "float32"},
        {"loom_names.loom", "dense", "float32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Dataset *d = open_fixture(cases[i].file, NULL);
        const MatrixInfo *m = dataset_matrix(d, 0);
        assert_string_equal(m->storage, cases[i].storage);
        assert_string_equal(m->dtype, cases[i].dtype);
        assert_int_equal(m->state, STATE_COUNTS);
        assert_int_equal(dataset_model_matrix(d), 0);
        check_values(d, 0, GENES);
        const char *const *cells;
        assert_ok(dataset_cell_names(d, &cells));
        assert_string_equal(cells[11], "cell11");
        dataset_close(d);
    }
}

static const Column *obs(Dataset *d, const char *name)
{
    const Column *c;
    int i = dataset_find_obs(d, name);
    assert_true(i >= 0);
    assert_ok(dataset_obs(d, (size_t)i, &c));
    assert_int_equal(c->n, CELLS);
    return c;
}

static void check_types(Dataset *d)
{
    const int32_t codes[CELLS] = {2, 0, -1, 2, 0, 2, 1, 0, 2, 2, 0, 1};
    const Column *c = obs(d, "type");
    assert_int_equal(c->kind, COLUMN_CATEGORICAL);
    assert_int_equal(c->n_categories, 4);
    assert_string_equal(c->categories[3], "unused");
    assert_memory_equal(c->codes, codes, sizeof codes);
    assert_int_equal(c->missing, 1);
    c = obs(d, "n");
    assert_true(c->numbers[11] == 11000);
    assert_string_equal(c->dtype, "int64");
}

static void obs_columns_of_current_files(void **state)
{
    Dataset *d = open_fixture("csr.h5ad", NULL);
    assert_string_equal(dataset_encoding(d), "anndata 0.8+");
    check_types(d);
    const Column *c = obs(d, "score");
    assert_true(isnan(c->numbers[3]) && c->numbers[4] == 1 && c->missing == 1);
    c = obs(d, "good");
    assert_int_equal(c->kind, COLUMN_BOOL);
    assert_true(c->codes[0] == 1 && c->codes[1] == 0);
    c = obs(d, "note");
    assert_string_equal(c->strings[10], "note 10");
    uint32_t *rgb;
    size_t n;
    assert_ok(dataset_colors(d, "type", &rgb, &n));
    assert_int_equal(n, 4);
    assert_true(rgb[0] == 0xFF0000 && rgb[2] == 0x0000FF && rgb[3] == 0);
    free(rgb);
    dataset_close(d);
}

static void obs_columns_of_old_generations(void **state)
{
    Dataset *d = open_fixture("v0_6.h5ad", NULL);
    assert_string_equal(dataset_encoding(d), "anndata 0.6 or older");
    check_types(d);
    assert_int_equal(obs(d, "score")->missing, 1);
    assert_int_equal(dataset_n_obsm(d), 2);
    float *pca;
    assert_ok(dataset_obsm(d, 0, &pca));
    assert_true(pca[2] == 0.5f && pca[3] == -0.5f);
    free(pca);
    assert_string_equal(dataset_matrix(d, 1)->name, "raw/X");
    assert_int_equal(dataset_model_matrix(d), 1);
    check_values(d, 1, GENES);
    const char *const *genes;
    size_t n;
    assert_ok(dataset_gene_names(d, 1, &genes, &n));
    assert_int_equal(n, GENES);
    assert_string_equal(genes[5], "CD3E-AS");
    dataset_close(d);

    d = open_fixture("v0_7.h5ad", NULL);
    assert_string_equal(dataset_encoding(d), "anndata 0.7");
    check_types(d);
    dataset_close(d);
}

static void nullable_columns_keep_their_gaps(void **state)
{
    Dataset *d = open_fixture("nullable.h5ad", NULL);
    const Column *c = obs(d, "ni");
    assert_true(c->kind == COLUMN_NUMERIC && c->missing == 1 && isnan(c->numbers[2]) &&
                c->numbers[3] == 3);
    c = obs(d, "nb");
    assert_true(c->kind == COLUMN_BOOL && c->codes[5] == -1 && c->codes[6] == 1 &&
                c->codes[7] == 0);
    dataset_close(d);
    d = open_fixture("strings_0_13.h5ad", NULL);
    check_types(d);
    c = obs(d, "note");
    assert_true(c->missing == 1 && !c->strings[1]);
    assert_string_equal(c->strings[2], "note 2");
    assert_int_equal(dataset_find_obs(d, "null"), -1);
    assert_int_equal(dataset_n_warnings(d), 1);
    assert_non_null(strstr(dataset_warning(d, 0), "obs/null"));
    dataset_close(d);
}

static void counts_are_found_by_value_in_order(void **state)
{
    Dataset *d = open_fixture("layers.h5ad", NULL);
    int m = dataset_model_matrix(d);
    assert_string_equal(dataset_matrix(d, (size_t)m)->name, "layers/counts");
    assert_int_equal(dataset_matrix(d, 0)->state, STATE_LOGNORM);
    assert_int_equal(dataset_matrix(d, 2)->state, STATE_SCALED);
    assert_false(dataset_matrix(d, 2)->usable_for_model);
    check_values(d, m, GENES);
    dataset_close(d);

    d = open_fixture("raw_scaled.h5ad", NULL);
    assert_int_equal(dataset_genes(d), 6);
    assert_string_equal(dataset_matrix(d, (size_t)dataset_model_matrix(d))->name, "raw/X");
    check_values(d, dataset_model_matrix(d), GENES);
    dataset_close(d);

    d = open_fixture("lognorm.h5ad", NULL);
    assert_int_equal(dataset_model_matrix(d), -1);
    assert_int_equal(dataset_working_matrix(d), 0);
    assert_non_null(strstr(dataset_model_matrix_reason(d), "log-normalised"));
    dataset_close(d);

    d = open_fixture("layers.h5ad", &(DatasetOptions){.matrix = "X"});
    assert_int_equal(dataset_working_matrix(d), 0);
    dataset_close(d);
}

static void files_without_matrix_or_cells_open(void **state)
{
    Dataset *d = open_fixture("no_x.h5ad", NULL);
    assert_int_equal(dataset_n_matrices(d), 0);
    assert_int_equal(dataset_working_matrix(d), -1);
    const char *const *genes;
    size_t n;
    assert_ok(dataset_gene_names(d, -1, &genes, &n));
    assert_int_equal(n, GENES);
    assert_string_equal(genes[4], "IL8");
    check_types(d);
    dataset_close(d);
    d = open_fixture("no_cells.h5ad", NULL);
    assert_int_equal(dataset_cells(d), 0);
    Csr c;
    assert_ok(dataset_read_rows(d, 0, 0, 0, NULL, &c));
    csr_done(&c);
    dataset_close(d);
}

static void gene_names_come_from_the_readable_column(void **state)
{
    Dataset *d = open_fixture("feature_name.h5ad", NULL);
    const char *const *genes, *const *index;
    size_t n;
    assert_string_equal(dataset_gene_names_from(d), "feature_name");
    assert_ok(dataset_gene_names(d, 0, &genes, &n));
    assert_string_equal(genes[0], "CD3E");
    assert_ok(dataset_var_index(d, 0, &index));
    assert_string_equal(index[1], "ENSG00000000001.1");
    dataset_close(d);
    d = open_fixture("feature_name.h5ad", &(DatasetOptions){.gene_column = "gene_ids"});
    assert_ok(dataset_gene_names(d, 0, &genes, &n));
    assert_string_equal(genes[0], "ENSG00000000000");
    dataset_close(d);
    d = NULL;
    assert_err(dataset_open("tests/golden/h5ad/csr.h5ad", &(DatasetOptions){.gene_column = "nope"},
                            NULL, &d),
               ERR_USAGE);
}

static void obsm_of_every_kind(void **state)
{
    Dataset *d = open_fixture("obsm.h5ad", NULL);
    const struct {
        const char *name;
        size_t at;
        float want;
    } cases[] = {{"X_umap", 3, -0.5f},
                 {"umap", 4, 1.0f},
                 {"frame", 5, 4.0f},
                 {"ints", 23, 23.0f},
                 {"sparse", 3, 2.0f}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int at = dataset_find_obsm(d, cases[i].name);
        float *v;
        assert_true(at >= 0);
        assert_ok(dataset_obsm(d, (size_t)at, &v));
        if (strcmp(cases[i].name, "sparse") == 0)
            for (size_t k = 0; k < 36; k++)
                assert_true(v[k] == expected(k / 3, k % 3));
        else
            assert_true(v[cases[i].at] == cases[i].want);
        free(v);
    }
    assert_int_equal(dataset_find_obsm(d, "cube"), -1);
    Csr graph;
    assert_ok(dataset_obsp(d, "connectivities", NULL, &graph));
    assert_true(csr_nnz(&graph) == 11 && graph.indices[0] == 1 && graph.values[0] == 0.5f);
    csr_done(&graph);
    assert_err(dataset_obsp(d, "nothing", NULL, &graph), ERR_NOT_FOUND);
    dataset_close(d);
}

static void links_out_of_the_file_are_named_and_left(void **state)
{
    Dataset *d = open_fixture("links.h5ad", NULL);
    const char *named[] = {"obs/elsewhere", "obs/loop", "obsm/external", "obsm/outside",
                           "obsm/virtual"};
    assert_int_equal(dataset_n_warnings(d), 5);
    assert_int_equal(dataset_n_obsm(d), 0);
    for (size_t i = 0; i < 5; i++)
        assert_non_null(strstr(dataset_warning(d, i), named[i]));
    check_types(d);
    dataset_close(d);
}

static void tenx_files_of_both_versions(void **state)
{
    Dataset *d = open_fixture("tenx_v2.h5", NULL);
    assert_string_equal(dataset_format(d), "10x-h5");
    assert_string_equal(dataset_encoding(d), "10x v2");
    check_values(d, 0, GENES);
    dataset_close(d);

    d = open_fixture("tenx_v3.h5", NULL);
    assert_int_equal(dataset_genes(d), 6);
    check_values(d, 0, 6);
    assert_non_null(strstr(dataset_warning(d, 0), "Antibody Capture"));
    const char *const *names;
    size_t n;
    assert_ok(dataset_gene_names(d, 0, &names, &n));
    assert_string_equal(names[5], "CD3E-AS");
    dataset_close(d);

    d = open_fixture("tenx_v3.h5", &(DatasetOptions){.feature_type = "Antibody Capture"});
    float v[CELLS];
    assert_int_equal(dataset_genes(d), 2);
    assert_ok(dataset_read_gene(d, 0, 1, NULL, v));
    for (size_t i = 0; i < CELLS; i++)
        assert_true(v[i] == expected(i, 7));
    dataset_close(d);
    assert_err(dataset_open("tests/golden/h5ad/tenx_v3.h5",
                            &(DatasetOptions){.feature_type = "Peaks"}, NULL, &d),
               ERR_USAGE);
}

static void several_genomes_need_a_choice(void **state)
{
    const char *files[] = {"tenx_v2_two_genomes.h5", "tenx_v3_two_genomes.h5"};
    for (int i = 0; i < 2; i++) {
        char path[256];
        Dataset *d;
        snprintf(path, sizeof path, "tests/golden/h5ad/%s", files[i]);
        assert_err(dataset_open(path, NULL, NULL, &d), ERR_USAGE);
        assert_non_null(strstr(err_message(), "mm10"));
        assert_err(dataset_open(path, &(DatasetOptions){.genome = "mm9"}, NULL, &d), ERR_USAGE);
        d = open_fixture(files[i], &(DatasetOptions){.any_genome = true});
        assert_int_equal(dataset_n_genomes(d), 2);
        dataset_close(d);
        d = open_fixture(files[i], &(DatasetOptions){.genome = "mm10"});
        float v[CELLS];
        assert_int_equal(dataset_genes(d), i ? 3 : GENES);
        assert_ok(dataset_read_gene(d, 0, 0, NULL, v));
        assert_true(v[1] == (i ? expected(1, 5) : 2 * expected(1, 0)));
        dataset_close(d);
    }
}

/* Reading everything of a file: the first error. */
static Err read_all(const char *path, const char **what)
{
    Dataset *d;
    *what = "open";
    TRY(dataset_open(path, NULL, NULL, &d));
    Err err = OK;
    for (size_t i = 0; i < dataset_n_matrices(d) && !err; i++) {
        Csr c = {0};
        *what = "matrix";
        err = dataset_read_rows(d, (int)i, 0, dataset_cells(d), NULL, &c);
        csr_done(&c);
        if (!dataset_matrix(d, i)->readable) /* refused before memory is taken for it */
            assert_err(dataset_read_gene_exact(d, (int)i, 0, NULL, NULL), err);
    }
    for (size_t i = 0; i < dataset_n_obs(d) && !err; i++) {
        const Column *c;
        *what = "obs";
        err = dataset_obs(d, i, &c);
    }
    if (!err && dataset_n_warnings(d)) {
        *what = "warning";
        err = err_set(ERR_INPUT, "%s", dataset_warning(d, 0));
    }
    dataset_close(d);
    return err;
}

static void zarr_and_loom_have_their_columns(void **state)
{
    const char *files[] = {"csr_v2.zarr.zip", "csr_v3.zarr.zip", "dense_v3.zarr.zip"};
    for (int i = 0; i < 3; i++) {
        Dataset *d = open_fixture(files[i], NULL);
        assert_string_equal(dataset_format(d), "zarr");
        assert_int_equal(dataset_n_warnings(d), 0);
        check_types(d);
        assert_string_equal(obs(d, "note")->strings[7], "note 7");
        float *map;
        assert_ok(dataset_obsm(d, (size_t)dataset_find_obsm(d, "umap"), &map));
        assert_true(map[3] == -0.5f);
        free(map);
        dataset_close(d);
    }
    Dataset *d = open_fixture("loom.loom", NULL);
    assert_string_equal(dataset_format(d), "loom");
    assert_true(obs(d, "n")->numbers[11] == 11000);
    dataset_close(d);
    d = open_fixture("loom_names.loom", NULL);
    assert_string_equal(dataset_matrix(d, 1)->name, "layers/spliced");
    assert_int_equal(dataset_find_obsm(d, "emb"), 0);
    const char *const *genes;
    size_t n;
    assert_ok(dataset_gene_names(d, 0, &genes, &n));
    assert_string_equal(genes[7], "PPBP");
    dataset_close(d);
}

static void mtx_folders_of_every_writer(void **state)
{
    const char *folders[] = {"mtx_v2", "mtx_v2/hg19", "mtx_v2/hg19/matrix.mtx",
                             "mtx_prefix_transposed"};
    for (int i = 0; i < 4; i++) {
        Dataset *d = open_fixture(folders[i], NULL);
        assert_string_equal(dataset_format(d), "10x-mtx");
        assert_int_equal(dataset_matrix(d, 0)->state, STATE_COUNTS);
        check_values(d, 0, GENES);
        const char *const *cells, *const *genes;
        size_t n;
        assert_ok(dataset_cell_names(d, &cells));
        assert_string_equal(cells[11], "AAAC11-1");
        assert_ok(dataset_gene_names(d, 0, &genes, &n));
        assert_string_equal(genes[7], "PPBP");
        char hex[65];
        if (i < 2)
            assert_ok(dataset_sha256(d, NULL, hex));
        dataset_close(d);
    }
    Dataset *d = open_fixture("mtx_v3", NULL);
    assert_string_equal(dataset_matrix(d, 0)->dtype, "int64");
    check_values(d, 0, 6);
    assert_non_null(strstr(dataset_warning(d, 0), "Antibody Capture"));
    dataset_close(d);
}

/* Sorted by gene and by cell; the rows go through a file in windows of 20 entries. */
static void mtx_larger_than_memory(void **state)
{
    const char *folders[] = {"mtx_v2", "mtx_prefix_transposed"};
    for (int i = 0; i < 2; i++) {
        Dataset *d = open_fixture(folders[i], NULL);
        assert_ok(mtx_spill(&d->matrices[0], 400, NULL));
        assert_int_equal(d->matrices[0].kind, MATRIX_SPILLED);
        check_values(d, 0, GENES);
        dataset_close(d);
    }
    Dataset *d = open_fixture("mtx_short", NULL);
    assert_err(mtx_spill(&d->matrices[0], 400, NULL), ERR_INPUT);
    assert_non_null(strstr(err_message(), "cut short"));
    dataset_close(d);
}

static void damaged_files_name_the_element(void **state)
{
    const struct {
        const char *file, *what, *message;
    } cases[] = {
        {"bad_indptr_decreasing.h5ad", "matrix", "X/indptr: decreasing at row 5"},
        {"bad_indptr_short.h5ad", "matrix", "X/indptr: has 12 entries, 13 are expected"},
        {"bad_rows.h5ad", "matrix", "has 13 entries, 1099511627777 are expected"},
        {"bad_index_large.h5ad", "matrix", "column 99 of 8"},
        {"bad_index_negative.h5ad", "matrix", "column -2 of 8"},
        {"bad_data_short.h5ad", "matrix", "52 indices but 50 values"},
        {"bad_shape.h5ad", "matrix", "X: is 12 x 9"},
        {"bad_huge.h5ad", "matrix", "more than this file"},
        {"bad_codes.h5ad", "obs", "code 77 at row 6"},
        {"bad_obs_length.h5ad", "warning", "obs/n: has 11 values where 12 are expected"},
        {"bad_bomb.h5ad", "warning", "obs/n: 137438953472 values are declared"},
        {"bad_no_obs.h5ad", "open", "obs: is missing"},
        {"bad_truncated.h5ad", "open", "cut short"},
        {"bad_zeroed.h5ad", "open", "damaged"},
        {"empty.h5ad", "open", "is empty"},
        {"not_lfs.h5ad", "open", "git lfs pull"},
        {"not_html.h5ad", "open", "web page"},
        {"molecule_info.h5", "open", "molecule_info"},
        {"mtx_short", "matrix", "declares 52 entries but holds 49"},
        {"mtx_outside", "open", "line 56"},
        {"mtx_lie", "open", "more than a file of"},
        {"mtx_strangers", "open", "do not belong together"},
        {"filter_blosc2.h5ad", "matrix", "blosc2 (id 32026), which is not installed"},
        {"no_such_file.h5ad", "open", "cannot be opened"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[256];
        const char *what;
        snprintf(path, sizeof path, "tests/golden/h5ad/%s", cases[i].file);
        assert_err(read_all(path, &what), ERR_INPUT);
        if (!strstr(err_message(), cases[i].message) || strcmp(what, cases[i].what) != 0)
            fail_msg("%s: %s: %s", cases[i].file, what, err_message());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(same_values_in_every_storage),
        TEST(obs_columns_of_current_files),
        TEST(obs_columns_of_old_generations),
        TEST(nullable_columns_keep_their_gaps),
        TEST(counts_are_found_by_value_in_order),
        TEST(files_without_matrix_or_cells_open),
        TEST(gene_names_come_from_the_readable_column),
        TEST(obsm_of_every_kind),
        TEST(links_out_of_the_file_are_named_and_left),
        TEST(tenx_files_of_both_versions),
        TEST(several_genomes_need_a_choice),
        TEST(zarr_and_loom_have_their_columns),
        TEST(mtx_folders_of_every_writer),
        TEST(mtx_larger_than_memory),
        TEST(damaged_files_name_the_element),
    };
    return RUN(tests);
}
