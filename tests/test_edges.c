/* core/data: what is rare in files and once went wrong (tests/ref/file_edges.py): values that float32 rounds,
 * uint64, records in Zarr, null matrices, elements that anndata 0.8 does not read, kinds of matrix.mtx, refusals. */
#include "tests/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/dataset.h"
#include "core/data/genes.h"
#include "core/data/h5ad_write.h"
#include "core/data/store.h"
#include "tests/util_folder.h"

#define GOLDEN "tests/golden/files/"
enum { CELLS = 10, GENES = 5 };
static char *out, *data; /* a copy of a file, a folder of files */

static float count_at(size_t i, size_t j)
{
    return (float)((3 * i + 5 * j) % 4);
}

static double wide_at(size_t i, size_t j)
{
    return count_at(i, j) / 3.0 + (count_at(i, j) > 0 ? 1e-12 : 0);
}

static void copy_of(const char *path)
{
    Dataset *d;
    assert_ok(dataset_open(path, NULL, NULL, &d));
    assert_ok(h5ad_write_copy(d, out, H5AD_MODEL_IN_X, NULL, true, NULL));
    dataset_close(d);
}

static void float64_by_genes_is_not_rounded(void **state)
{
    const char *files[] = {GOLDEN "wide.h5ad", out};
    copy_of(files[0]);
    for (int f = 0; f < 2; f++) {
        Dataset *d;
        double v[CELLS];
        assert_ok(dataset_open(files[f], NULL, NULL, &d));
        for (size_t j = 0; j < GENES; j++) {
            assert_ok(dataset_read_gene_exact(d, 0, j, NULL, v));
            for (size_t i = 0; i < CELLS; i++)
                assert_true(v[i] == wide_at(i, j));
        }
        dataset_close(d);
    }
}

static void a_copy_holds_nothing_that_anndata_0_8_refuses(void **state)
{
    Store *s;
    copy_of(GOLDEN "wide.h5ad");
    assert_ok(store_open_h5(out, &s));
    assert_int_equal(store_kind(s, "obsm/ragged"), NODE_NONE);
    assert_int_equal(store_kind(s, "uns/ragged"), NODE_NONE);
    const char *texts[] = {"uns/texts", "uns/frame/t"};
    for (int i = 0; i < 2; i++) {
        char *type = store_attr_text(s, texts[i], "encoding-type");
        assert_string_equal(type, "categorical");
        free(type);
    }
    assert_int_equal(store_kind(s, "uns/frame/n"), NODE_ARRAY);
    store_close(s);
}

static void uint64_above_int64_and_records_come_out_of_zarr(void **state)
{
    Store *s;
    Array *a;
    uint64_t large[CELLS];
    int64_t i[2];
    double f[2];
    char *t[2];
    copy_of(GOLDEN "records.zarr.zip");
    assert_ok(store_open_h5(out, &s));
    assert_ok(store_open_array(s, "obs/large", &a));
    assert_string_equal(a->info.dtype, "uint64");
    assert_ok(array_read_1d(a, 0, CELLS, MEM_U64, large));
    for (uint64_t k = 0; k < CELLS; k++)
        assert_true(large[k] == ((uint64_t)1 << 63) + 2048 + k);
    array_close(a);
    assert_ok(store_open_array(s, "uns/records", &a));
    assert_ok(array_read_field(a, "i", MEM_I64, i));
    assert_ok(array_read_field(a, "f", MEM_F64, f));
    assert_ok(array_read_field_text(a, "s", t));
    assert_true(i[0] == 1 && i[1] == -2 && f[0] == 2.5 && f[1] == 3.5);
    assert_string_equal(t[0], "a");
    assert_string_equal(t[1], "b\xc3\xa9ta");
    free(t[0]);
    free(t[1]);
    array_close(a);
    store_close(s);
}

static void a_null_x_is_no_matrix_and_raw_keeps_what_belongs_to_its_genes(void **state)
{
    Dataset *d;
    Store *s;
    assert_ok(dataset_open(GOLDEN "null_x.h5ad", NULL, NULL, &d));
    assert_int_equal(dataset_n_matrices(d), 2); /* raw/X, layers/half */
    assert_string_equal(dataset_matrix(d, (size_t)dataset_model_matrix(d))->name, "raw/X");
    dataset_close(d);
    copy_of(GOLDEN "null_x.h5ad");
    assert_ok(store_open_h5(out, &s));
    const char *kept[] = {"layers/half/data", "varm/PCs", "var/own", "var/id"};
    for (int k = 0; k < 4; k++)
        assert_int_equal(store_kind(s, kept[k]), NODE_ARRAY);
    store_close(s);
    assert_ok(dataset_open(GOLDEN "wide.h5ad", NULL, NULL, &d));
    assert_int_equal(dataset_n_matrices(d), 1); /* a layer that is null */
    assert_int_equal(dataset_n_warnings(d), 1); /* obsm/ragged */
    dataset_close(d);
}

static void categories_of_old_files_stay_numbers(void **state)
{
    Store *s;
    Array *a;
    int32_t v[3];
    copy_of(GOLDEN "old_numbers.h5ad");
    assert_ok(store_open_h5(out, &s));
    assert_ok(store_open_array(s, "obs/code/categories", &a));
    assert_string_equal(a->info.dtype, "int64");
    assert_ok(array_read_1d(a, 0, 3, MEM_I32, v));
    assert_true(v[0] == 7 && v[1] == 30 && v[2] == 400);
    array_close(a);
    store_close(s);
}

static void names_with_a_genome_or_a_date_are_in_the_vocabulary(void **state)
{
    const char *names[] = {"GRCh38_CD8A", "hg38_CD4", "2-Sep", "Cd14"},
               *vocab[] = {"CD4", "CD8A", "SEPTIN2", "CD14"};
    GeneMatch m;
    assert_ok(gene_match(names, NULL, 4, vocab, 4, &m));
    assert_true(m.to[0] == 1 && m.to[1] == 0 && m.to[2] == 2);
    assert_int_equal(m.to[3], -1); /* the mouse's */
    gene_match_done(&m);
}

/* ---- matrix.mtx ---- */

static void put(const char *name, const char *text)
{
    char *path = path_join("data", name);
    write_text(path, text);
    free(path);
}

static void in_data(const char *what)
{
    char *command = str_format("cd '%s' && %s", data, what);
    assert_int_equal(system(command), 0);
    free(command);
}

static void clear(void)
{
    in_data("rm -rf *");
}

static void refused(const char *path, const char *why)
{
    Dataset *d;
    assert_int_equal(dataset_open(path, NULL, NULL, &d), ERR_INPUT);
    if (!strstr(err_message(), why))
        fail_msg("%s: %s", path, err_message());
}

/* 2 x 2: rows of the table are cells. */
static void check_folder(float a, float b, float c, float d)
{
    Dataset *x;
    Csr rows;
    float want[4] = {a, b, c, d}, got[4] = {0};
    assert_ok(dataset_open(data, NULL, NULL, &x));
    assert_ok(dataset_read_rows(x, 0, 0, 2, NULL, &rows));
    for (size_t r = 0; r < 2; r++)
        for (int64_t k = rows.indptr[r]; k < rows.indptr[r + 1]; k++)
            got[r * 2 + (size_t)rows.indices[k]] = rows.values[k];
    assert_memory_equal(got, want, sizeof want);
    csr_done(&rows);
    dataset_close(x);
}

static void array_and_symmetric_mtx_files_are_read(void **state)
{
    clear();
    put("genes.tsv", "g1\tA\ng2\tB\n");
    put("barcodes.tsv", "c1\nc2\n");
    put("matrix.mtx", "%%MatrixMarket matrix array integer general\n% by columns\n2 2\n1\n0\n3\n4\n");
    check_folder(1, 0, 3, 4);
    put("matrix.mtx", "%%MatrixMarket matrix coordinate real symmetric\n2 2 2\n1 1 2\n2 1 5e0\n");
    check_folder(2, 5, 5, 0);
    put("matrix.mtx", "%%MatrixMarket matrix coordinate real skew-symmetric\n2 2 1\n2 1 5\n");
    check_folder(0, 5, -5, 0);
    put("old_matrix.mtx", "not this one\n"); /* the plain name goes first */
    check_folder(0, 5, -5, 0);
}

static void sizes_of_mtx_files_that_cannot_be_are_refused(void **state)
{
    clear();
    put("genes.tsv", "g1\tA\ng2\tB\n");
    put("barcodes.tsv", "c1\nc2\nc3\n");
    put("matrix.mtx", "%%MatrixMarket matrix coordinate integer general\n18446744073709551618 3 1\n1 1 1\n");
    refused(data, "no sizes"); /* 2, where a sum of digits runs over */
    put("matrix.mtx", "%%MatrixMarket matrix coordinate integer symmetric\n2 3 1\n1 3 5\n");
    refused(data, "not square");
}

static void folders_of_kallisto_and_alevin_are_read(void **state)
{
    const char *text = "%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 2 7\n";
    clear();
    put("cells_x_genes.mtx", text);
    put("cells_x_genes.genes.txt", "A\nB\n");
    put("cells_x_genes.barcodes.txt", "c1\nc2\n");
    check_folder(0, 0, 7, 0); /* 2 x 2: nothing tells cells from genes, so genes are the rows */
    clear();
    put("quants_mat.mtx", text);
    put("quants_mat_cols.txt", "A\nB\n");
    put("quants_mat_rows.txt", "c1\nc2\n");
    check_folder(0, 0, 7, 0);
}

/* ---- refusals ---- */

static void refused_here(const char *name, const char *why)
{
    char *path = path_join(data, name);
    refused(path, why);
    free(path);
}

static void refusals_name_the_way_out(void **state)
{
    clear();
    refused(GOLDEN "multi.h5mu", "mod[\"rna\"]");
    put("t.csv", "cell,A\nx,1\n");
    put("r", "X\n12");
    in_data("gzip -k t.csv && gzip -c t.csv > renamed.h5ad && gzip -c r > r_packed && "
            "tar czf a.tgz t.csv && tar cf a.tar t.csv");
    refused_here("t.csv", "read_csv");
    refused_here("t.csv.gz", "read_csv");
    refused_here("renamed.h5ad", "gunzip -c");
    refused_here("r", "writeH5AD");
    refused_here("r_packed", "writeH5AD");
    refused_here("a.tgz", "tar xzf");
    refused_here("a.tar", "tar xf");
    clear();
    refused(data, "nothing below it");
    in_data("mkdir outs");
    put("outs/filtered.h5", "");
    refused(data, "outs/filtered.h5");
}

static int make_folders(void **state)
{
    if (folder_make(state))
        return -1;
    out = in_folder("copy.h5ad");
    data = in_folder("data");
    return mkdir(data, 0700);
}

static int remove_folders(void **state)
{
    free(out);
    free(data);
    return folder_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float64_by_genes_is_not_rounded),
        cmocka_unit_test(a_copy_holds_nothing_that_anndata_0_8_refuses),
        cmocka_unit_test(uint64_above_int64_and_records_come_out_of_zarr),
        cmocka_unit_test(a_null_x_is_no_matrix_and_raw_keeps_what_belongs_to_its_genes),
        cmocka_unit_test(categories_of_old_files_stay_numbers),
        cmocka_unit_test(names_with_a_genome_or_a_date_are_in_the_vocabulary),
        cmocka_unit_test(array_and_symmetric_mtx_files_are_read),
        cmocka_unit_test(sizes_of_mtx_files_that_cannot_be_are_refused),
        cmocka_unit_test(folders_of_kallisto_and_alevin_are_read),
        cmocka_unit_test(refusals_name_the_way_out),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
