/* core/data: writing h5ad files, tables and provenance; nothing half-written stays behind. */
#include "tests/util.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif
#include "tests/util_folder.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/h5ad_write.h"
#include "core/data/provenance.h"

static int files_in(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static const char *const genes[] = {"A", "B", "C"};
static const char *const cells[] = {"c1", "c2"};

/* Two cells, three genes, every kind of column. */
static Err write_small(const char *path, bool force)
{
    int64_t indptr[] = {0, 2, 3};
    int32_t indices[] = {0, 2, 1};
    float values[] = {1, 2, 300};
    Csr x = {2, 3, indptr, indices, values};
    Column *columns[] = {
        column_categorical("type", (int32_t[]){1, -1}, 2, (const char *[]){"x", "y", "unused"}, 3),
        column_numbers("score", (double[]){0.25, NAN}, 2),
        column_strings("note", (const char *[]){"tab\there", "\xc3\xa9"}, 2),
        column_strings("gap", (const char *[]){"one", NULL}, 2),
        column_numbers("flag", (double[]){1, 0}, 2),
    };
    Column *flag = columns[4];
    flag->kind = COLUMN_BOOL;
    flag->codes = calloc(2, sizeof *flag->codes);
    flag->codes[0] = 1;
    flag->codes[1] = -1;
    flag->missing = 1;
    free(flag->numbers);
    flag->numbers = NULL;
    float map[] = {1, 2, 3, 4};
    Tree *uns = tree_new();
    provenance_to_tree(&(Provenance){.command = "scmmgpt test",
                                     .version = "1",
                                     .seed = 7,
                                     .prompt = "B cells",
                                     .genes_matched = "3"},
                       uns);
    tree_set_numbers(tree_dict(uns, "pca"), "variance", (double[]){2.5, 1.5}, 2, 0, false);
    tree_set_texts(uns, "type_colors", (const char *[]){"#ff0000", "#00ff00", "#0000ff"}, 3);
    H5adContent c = {
        .cells = 2,
        .genes = 3,
        .x = &x,
        .x_integer = true,
        .cell_names = cells,
        .gene_names = genes,
        .obs = (const Column *const *)columns,
        .n_obs = 5,
        .obsm = &(H5adArray){"X_umap", 2, map},
        .n_obsm = 1,
        .obsp = &(H5adMatrix){"connectivities",
                              &(Csr){2, 2, (int64_t[]){0, 1, 1}, (int32_t[]){1}, (float[]){0.5f}},
                              false},
        .n_obsp = 1,
        .uns = uns};
    Err err = h5ad_write(path, &c, force, NULL);
    for (int i = 0; i < 5; i++)
        column_free(columns[i]);
    tree_free(uns);
    return err;
}

static void check_small(const char *path)
{
    Dataset *d;
    assert_ok(dataset_open(path, NULL, NULL, &d));
    assert_string_equal(dataset_encoding(d), "anndata 0.8+");
    assert_int_equal(dataset_n_warnings(d), 0);
    assert_string_equal(dataset_matrix(d, 0)->dtype, "int32");
    float v[2];
    assert_ok(dataset_read_gene(d, 0, 1, NULL, v));
    assert_true(v[0] == 0 && v[1] == 300);
    const Column *c;
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "type"), &c));
    assert_true(c->codes[0] == 1 && c->codes[1] == -1 && c->n_categories == 3);
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "score"), &c));
    assert_true(c->numbers[0] == 0.25 && c->missing == 1);
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "note"), &c));
    assert_string_equal(c->strings[0], "tab\there");
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "gap"), &c));
    assert_int_equal(c->missing, 1);
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "flag"), &c));
    assert_true(c->kind == COLUMN_BOOL && c->codes[0] == 1 && c->codes[1] == -1);
    Tree *uns;
    assert_ok(dataset_uns(d, &uns));
    assert_string_equal(tree_get(uns, "scmmgpt/prompt")->text, "B cells");
    assert_int_equal(tree_get(uns, "scmmgpt/seed")->integer, 7);
    assert_int_equal(tree_get(uns, "scmmgpt/genes_matched")->integer, 3);
    assert_true(tree_get(uns, "pca/variance")->numbers[1] == 1.5);
    assert_null(tree_get(uns, "pca/nothing"));
    tree_free(uns);
    Csr g;
    assert_ok(dataset_obsp(d, "connectivities", NULL, &g));
    assert_true(g.values[0] == 0.5f);
    csr_done(&g);
    dataset_close(d);
}

static void what_is_written_is_read_back(void **state)
{
    char *path = in_folder("small.h5ad");
    assert_ok(write_small(path, false));
    check_small(path);
    free(path);
}

static void an_existing_file_needs_force(void **state)
{
    char *path = in_folder("again.h5ad");
    int before = files_in(folder_path());
    assert_ok(write_small(path, false));
    assert_err(write_small(path, false), ERR_GENERAL);
    assert_non_null(strstr(err_message(), "--force"));
    assert_ok(write_small(path, true));
    check_small(path);
    assert_int_equal(files_in(folder_path()), before + 1);
    struct stat st;
    stat(path, &st);
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
    free(path);
}

static void copies_keep_what_is_readable_and_add(void **state)
{
    char *path = in_folder("small.h5ad"), *to = in_folder("copy.h5ad"),
         *again = in_folder("copy2.h5ad");
    Dataset *d;
    assert_ok(dataset_open(path, NULL, NULL, &d));
    Column *leiden =
        column_categorical("leiden", (int32_t[]){0, 1}, 2, (const char *[]){"0", "1"}, 2);
    Column *score = column_numbers("score", (double[]){9, 8}, 2);
    float pca[] = {5, 6};
    Tree *uns = tree_new();
    tree_set_float(tree_dict(tree_dict(uns, "leiden"), "params"), "resolution", 1.0);
    H5adContent add = {.obs = (const Column *[]){leiden, score},
                       .n_obs = 2,
                       .obsm = &(H5adArray){"X_pca", 1, pca},
                       .n_obsm = 1,
                       .uns = uns};
    assert_ok(h5ad_write_copy(d, to, H5AD_AS_IT_IS, &add, false, NULL));
    assert_ok(h5ad_write_copy(d, again, H5AD_MODEL_IN_X, NULL, false, NULL));
    dataset_close(d);
    check_small(again);
    assert_ok(dataset_open(to, NULL, NULL, &d));
    const Column *c;
    assert_int_equal(dataset_n_obs(d), 6);
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "score"), &c));
    assert_true(c->numbers[0] == 9);
    assert_int_equal(dataset_n_obsm(d), 2);
    uint32_t *rgb;
    size_t n;
    assert_ok(dataset_colors(d, "type", &rgb, &n));
    assert_int_equal(n, 3);
    free(rgb);
    Tree *back;
    assert_ok(dataset_uns(d, &back));
    assert_true(tree_get(back, "leiden/params/resolution")->number == 1.0);
    assert_non_null(tree_get(back, "scmmgpt/command"));
    tree_free(back);
    dataset_close(d);
    column_free(leiden);
    column_free(score);
    tree_free(uns);
    free(path);
    free(to);
    free(again);
}

static void every_fixture_survives_conversion(void **state)
{
    const char *files[] = {
        "csc.h5ad",          "dense.h5ad", "unsorted.h5ad", "v0_6.h5ad",           "v0_7.h5ad",
        "raw_scaled.h5ad",   "tenx_v2.h5", "layers.h5ad",   "obsm.h5ad",           "no_x.h5ad",
        "strings_0_13.h5ad", "f16.h5ad",   "no_cells.h5ad", "duplicate_genes.h5ad"};
    char *to = in_folder("converted.h5ad");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        Dataset *a, *b;
        char *from = str_format("tests/golden/h5ad/%s", files[i]);
        assert_ok(dataset_open(from, NULL, NULL, &a));
        assert_ok(h5ad_write_copy(a, to, H5AD_MODEL_IN_X, NULL, true, NULL));
        assert_ok(dataset_open(to, NULL, NULL, &b));
        int m = dataset_model_matrix(a);
        assert_int_equal(dataset_model_matrix(b), m < 0 ? -1
                                                  : strcmp(files[i], "layers.h5ad")
                                                      ? 0
                                                      : dataset_model_matrix(b));
        if (m >= 0) {
            float x[12], y[12];
            assert_int_equal(dataset_matrix(a, (size_t)m)->cols, dataset_genes(b));
            for (size_t g = 0; g < dataset_genes(b); g++) {
                assert_ok(dataset_read_gene(a, m, g, NULL, x));
                assert_ok(dataset_read_gene(b, 0, g, NULL, y));
                assert_memory_equal(x, y, sizeof x);
            }
        }
        assert_int_equal(dataset_n_obs(a), dataset_n_obs(b));
        dataset_close(a);
        dataset_close(b);
        free(from);
    }
    free(to);
}

static void a_damaged_matrix_leaves_no_output(void **state)
{
    char *to = in_folder("never.h5ad");
    int before = files_in(folder_path());
    Dataset *d;
    assert_ok(dataset_open("tests/golden/h5ad/bad_index_large.h5ad", NULL, NULL, &d));
    assert_err(h5ad_write_copy(d, to, H5AD_MODEL_IN_X, NULL, false, NULL), ERR_INPUT);
    dataset_close(d);
    assert_int_equal(files_in(folder_path()), before);
    free(to);
}

/* A full disk, where mounting is permitted (tests may run without that right). */
static void a_full_disk_is_told_and_leaves_nothing(void **state)
{
    char *disk = in_folder("disk"), *path = in_folder("disk/full.h5ad");
    mkdir(disk, 0777);
    if (mount("none", disk, "tmpfs", 0, "size=64k") != 0) {
        free(disk);
        free(path);
        skip();
    }
    Csr x;
    enum { ROWS = 200, COLS = 300 };
    assert_ok(csr_init(&x, ROWS, COLS, ROWS * COLS));
    const char *names[COLS], *rows[ROWS];
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t c = 0; c < COLS; c++) {
            x.indices[r * COLS + c] = (int32_t)c;
            x.values[r * COLS + c] = 1;
        }
        x.indptr[r + 1] = (int64_t)((r + 1) * COLS);
    }
    for (size_t c = 0; c < COLS; c++)
        names[c] = "gene";
    for (size_t r = 0; r < ROWS; r++)
        rows[r] = "cell";
    H5adContent content = {
        .cells = ROWS, .genes = COLS, .x = &x, .cell_names = rows, .gene_names = names};
#ifdef __SANITIZE_ADDRESS__
    __lsan_disable(); /* libhdf5 forgets the chunks that it could not write */
#endif
    Err err = h5ad_write(path, &content, false, NULL);
#ifdef __SANITIZE_ADDRESS__
    __lsan_enable();
#endif
    int left = files_in(disk);
    int unmounted = umount2(disk, MNT_DETACH);
    csr_done(&x);
    free(disk);
    free(path);
    assert_int_equal(unmounted, 0);
    assert_err(err, ERR_GENERAL);
    assert_non_null(strstr(err_message(), "cannot be written"));
    assert_int_equal(left, 0);
}

static void tables_have_comments_header_and_escapes(void **state)
{
    char *path = in_folder("t.tsv"), *text;
    Table *t;
    assert_ok(table_open(path, NULL, false, &t));
    provenance_to_table(&(Provenance){.command = "scmmgpt x", .seed = 3, .prompt = "a\nb"}, t);
    table_row(t, "cell", "score", NULL);
    table_text(t, "c\t1");
    table_number(t, 0.1234567);
    table_end_row(t);
    assert_int_equal(access(path, F_OK), -1); /* not before it is complete */
    assert_ok(table_close(t));
    assert_ok(str_read_file(path, 4096, ERR_GENERAL, &text, NULL));
    assert_string_equal(
        text, "# command: scmmgpt x\n# version: \n# dataset_sha256: \n# model_sha256: \n# seed: 3\n"
              "# prompt: a\\nb\n# genes_matched: \n# device: \ncell\tscore\nc\\t1\t0.123457\n");
    free(text);
    assert_err(table_open(path, NULL, false, &t), ERR_GENERAL);
    free(path);
    assert_ok(table_open("/dev/full", NULL, false, &t));
    table_row(t, "cell", NULL);
    assert_err(table_close(t), ERR_GENERAL);
    cJSON *j = provenance_to_json(&(Provenance){.command = "c", .seed = 3});
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(j, "seed")) == 3);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(j, "model_sha256")));
    cJSON_Delete(j);
}

/* Many rows are read in parts by several threads, one row is not: the same values. */
static void rows_read_together_equal_rows_read_singly(void **state)
{
    enum { ROWS = 1000, COLS = 300, EACH = 200 };
    const char *path = "/tmp/scmmgpt-test-parts.h5ad";
    Csr x, all, one;
    assert_ok(csr_init(&x, ROWS, COLS, ROWS * EACH));
    for (size_t k = 0; k < ROWS * EACH; k++) {
        x.indices[k] = (int32_t)(k % EACH + k / EACH % 100);
        x.values[k] = (float)(k * 7919 % 1013) * 0.25f;
    }
    for (size_t r = 0; r <= ROWS; r++)
        x.indptr[r] = (int64_t)(r * EACH);
    const char *rows[ROWS], *cols[COLS];
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = "cell";
    for (size_t i = 0; i < COLS; i++)
        cols[i] = "gene";
    H5adContent c = {.cells = ROWS, .genes = COLS, .x = &x, .cell_names = rows, .gene_names = cols};
    assert_ok(h5ad_write(path, &c, true, NULL));
    Dataset *d;
    assert_ok(dataset_open(path, NULL, NULL, &d));
    assert_ok(dataset_read_rows(d, 0, 3, ROWS - 3, NULL, &all));
    assert_memory_equal(all.values, x.values + 3 * EACH, (ROWS - 3) * EACH * sizeof *x.values);
    assert_memory_equal(all.indices, x.indices + 3 * EACH, (ROWS - 3) * EACH * sizeof *x.indices);
    for (size_t r = 3; r < ROWS; r += 83) {
        assert_ok(dataset_read_rows(d, 0, r, 1, NULL, &one));
        assert_memory_equal(one.values, x.values + r * EACH, EACH * sizeof *x.values);
        csr_done(&one);
    }
    csr_done(&all);
    dataset_close(d);
    unlink(path);
    csr_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_back),
        TEST(an_existing_file_needs_force),
        TEST(copies_keep_what_is_readable_and_add),
        TEST(every_fixture_survives_conversion),
        TEST(a_damaged_matrix_leaves_no_output),
        TEST(a_full_disk_is_told_and_leaves_nothing),
        TEST(tables_have_comments_header_and_escapes),
        TEST(rows_read_together_equal_rows_read_singly),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
