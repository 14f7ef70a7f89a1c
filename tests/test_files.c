/* core/data: files of eight versions of anndata and foreign ones (tests/ref/file_set.py) have the
 * same values, and copies of them lose nothing. */
#include "tests/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset.h"
#include "core/data/h5ad_write.h"
#include "core/data/store.h"
#include "tests/util_folder.h"

#define GOLDEN "tests/golden/files/"
enum { CELLS = 30, GENES = 20 };
static char *out; /* a copy of a file */

static float count_at(size_t i, size_t j)
{
    return (i + 2 * j) % 3 ? (float)((7 * i + 3 * j) % 6) : 0;
}

static void check_counts(Dataset *d, int matrix)
{
    float v[CELLS];
    assert_true(matrix >= 0);
    assert_int_equal(dataset_matrix(d, (size_t)matrix)->cols, GENES);
    for (size_t j = 0; j < GENES; j++) {
        assert_ok(dataset_read_gene(d, matrix, j, NULL, v));
        for (size_t i = 0; i < CELLS; i++)
            assert_true(v[i] == count_at(i, j));
    }
}

static const char *const files[] = {
    "ann_05_raw.h5ad", "ann_06_csr.h5ad", "ann_07_raw.h5ad",        "ann_013_raw.h5ad",
    "extras.h5ad",     "cite.h5ad",       "unknown_encodings.h5ad", "tenx_probe.h5",
};
enum { N_FILES = sizeof files / sizeof *files };

static void every_generation_has_the_same_counts(void **state)
{
    for (size_t k = 0; k < N_FILES; k++) {
        char path[128];
        Dataset *d, *back;
        snprintf(path, sizeof path, GOLDEN "%s", files[k]);
        assert_ok(dataset_open(path, NULL, NULL, &d));
        check_counts(d, dataset_model_matrix(d));
        assert_ok(h5ad_write_copy(d, out, H5AD_MODEL_IN_X, NULL, true, NULL));
        assert_ok(dataset_open(out, NULL, NULL, &back));
        check_counts(back, 0);
        assert_int_equal(dataset_n_obs(back), dataset_n_obs(d));
        dataset_close(back);
        dataset_close(d);
    }
}

static size_t compared;

/* The same array in both stores: type, shape, values. */
static void same_array(Store *a, Store *b, const char *path)
{
    Array *x, *y;
    double *v, *w;
    assert_ok(store_open_array(a, path, &x));
    assert_ok(store_open_array(b, path, &y));
    assert_string_equal(x->info.dtype, y->info.dtype);
    assert_int_equal(x->info.rank, y->info.rank);
    assert_int_equal(x->info.count, y->info.count);
    size_t bytes = (size_t)x->info.count * sizeof *v;
    if (x->info.cls == ELEM_INT || x->info.cls == ELEM_FLOAT || x->info.cls == ELEM_BOOL) {
        assert_ok(array_read_all(x, SIZE_MAX, MEM_F64, &v));
        assert_ok(array_read_all(y, SIZE_MAX, MEM_F64, &w));
        assert_memory_equal(v, w, bytes);
        free(v);
        free(w);
    }
    char *s = store_attr_text(a, path, "encoding-type"),
         *t = store_attr_text(b, path, "encoding-type");
    if (s)
        assert_string_equal(s, t);
    free(s);
    free(t);
    array_close(x);
    array_close(y);
    compared++;
}

static void same_tree(Store *a, Store *b, const char *path)
{
    char **names;
    size_t n;
    NodeKind kind = store_kind(a, path);
    assert_int_equal(kind, store_kind(b, path));
    if (kind == NODE_ARRAY) {
        same_array(a, b, path);
        return;
    }
    assert_ok(store_list(a, path, &names, &n));
    for (size_t i = 0; i < n; i++) {
        char *p = path_join(path, names[i]);
        same_tree(a, b, p);
        free(p);
    }
    strings_free(names, n);
}

static void copies_lose_no_element(void **state)
{
    static const char *const parts[] = {"obsm", "varm", "obsp", "varp", "uns"},
                             *const sources[] = {GOLDEN "extras.h5ad", GOLDEN "extras_lzf.h5ad"};
    for (int k = 0; k < 2; k++) { /* in one piece, and in packed chunks */
        Dataset *d;
        Store *a, *b;
        assert_ok(dataset_open(sources[k], NULL, NULL, &d));
        assert_ok(h5ad_write_copy(d, out, H5AD_MODEL_IN_X, NULL, true, NULL));
        dataset_close(d);
        assert_ok(store_open_h5(sources[k], &a));
        assert_ok(store_open_h5(out, &b));
        compared = 0;
        for (int i = 0; i < 5; i++)
            same_tree(a, b, parts[i]);
        assert_true(compared > 40);
        store_close(a);
        store_close(b);
    }
}

static bool warned(Dataset *d, const char *element)
{
    for (size_t i = 0; i < dataset_n_warnings(d); i++)
        if (strstr(dataset_warning(d, i), element))
            return true;
    return false;
}

static void what_is_left_out_is_named(void **state)
{
    Dataset *d;
    Store *s;
    assert_ok(dataset_open(GOLDEN "unknown_encodings.h5ad", NULL, NULL, &d));
    assert_ok(h5ad_write_copy(d, out, H5AD_MODEL_IN_X, NULL, true, NULL));
    const char *named[] = {"obsm/strange", "obs/strange", "layers/strange", "uns/strange",
                           "uns/nothing"};
    for (int i = 0; i < 5; i++)
        assert_true(warned(d, named[i]));
    dataset_close(d);
    assert_ok(store_open_h5(out, &s));
    assert_int_equal(store_kind(s, "uns/strange"), NODE_NONE);
    assert_int_equal(store_kind(s, "varm/complex"), NODE_ARRAY);
    assert_int_equal(store_kind(s, "uns/rank_genes_groups/scores"), NODE_ARRAY);
    store_close(s);
}

static void links_are_followed_when_allowed(void **state)
{
    DatasetOptions opt = {.allow_external = true};
    Dataset *d;
    const Column *c;
    float *xy;
    assert_ok(dataset_open("tests/golden/h5ad/links.h5ad", &opt, NULL, &d));
    int i = dataset_find_obs(d, "elsewhere"), map = dataset_find_obsm(d, "virtual");
    assert_true(i >= 0 && map >= 0);
    assert_ok(dataset_obs(d, (size_t)i, &c));
    assert_true(c->numbers[11] == 11000);
    assert_ok(dataset_obsm(d, (size_t)map, &xy));
    assert_true(xy[22] == 5.5f && xy[23] == -5.5f);
    free(xy);
    assert_true(warned(d, "obsm/outside")); /* a link to what is no HDF5 file */
    dataset_close(d);
}

static void proteins_are_no_genes(void **state)
{
    Dataset *d;
    uint8_t *mask;
    size_t others;
    assert_ok(dataset_open(GOLDEN "cite.h5ad", NULL, NULL, &d));
    assert_true(warned(d, "Antibody Capture"));
    assert_ok(dataset_rna_columns(d, 0, &mask, &others));
    assert_int_equal(others, 5);
    assert_true(mask[14] && !mask[15]);
    free(mask);
    dataset_close(d);
    assert_ok(dataset_open(GOLDEN "extras.h5ad", NULL, NULL, &d));
    assert_ok(dataset_rna_columns(d, 0, &mask, &others));
    assert_null(mask);
    assert_int_equal(others, 0);
    dataset_close(d);
}

static int make_folder(void **state)
{
    if (folder_make(state))
        return -1;
    out = in_folder("copy.h5ad");
    return 0;
}

static int remove_folder(void **state)
{
    free(out);
    return folder_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_generation_has_the_same_counts),
        cmocka_unit_test(copies_lose_no_element),
        cmocka_unit_test(what_is_left_out_is_named),
        cmocka_unit_test(links_are_followed_when_allowed),
        cmocka_unit_test(proteins_are_no_genes),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
