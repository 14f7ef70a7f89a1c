/* Replays the corpora of the fuzz targets (tests/fuzz): nothing in them may crash, hang or write.
 */
#include "tests/util.h"

#include <dirent.h>

#define LLVMFuzzerTestOneInput fuzz_mtx
#include "tests/fuzz/fuzz_mtx.c"
#undef LLVMFuzzerTestOneInput
#undef SCMM_FUZZ_HARNESS_H
#define LLVMFuzzerTestOneInput fuzz_zarr
int fuzz_zarr(const uint8_t *data, size_t size);
#define SCMM_FUZZ_HARNESS_H
#include "tests/fuzz/fuzz_zarr.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_h5ad
int fuzz_h5ad(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_h5ad.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_filters
int fuzz_filters(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_filters.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_h5_raw
int fuzz_h5_raw(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_h5_raw.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_genes
int fuzz_genes(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_genes.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_ckpt
int fuzz_ckpt(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_ckpt.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_tokens
int fuzz_tokens(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_tokens.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_text
int fuzz_text(const uint8_t *data, size_t size);
#include "tests/fuzz/fuzz_text.c"
#undef LLVMFuzzerTestOneInput

static void replay(const char *name, int (*target)(const uint8_t *, size_t))
{
    char *folder = str_format("tests/fuzz/corpus/%s", name);
    DIR *d = opendir(folder);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char *path = str_format("%s/%s", folder, e->d_name), *data;
        size_t size;
        if (e->d_name[0] != '.' && str_read_file(path, 1 << 24, ERR_GENERAL, &data, &size) == OK) {
            target((const uint8_t *)data, size);
            free(data);
            n++;
        }
        free(path);
    }
    closedir(d);
    free(folder);
    assert_true(n > 0);
}

static void mtx_corpus(void **state)
{
    replay("mtx", fuzz_mtx);
}

static void zarr_corpus(void **state)
{
    replay("zarr", fuzz_zarr);
}

static void h5ad_corpus(void **state)
{
    replay("h5ad", fuzz_h5ad);
}

static void filter_corpus(void **state)
{
    replay("filters", fuzz_filters);
}

static void raw_corpus(void **state)
{
    replay("h5_raw", fuzz_h5_raw);
}

static void gene_corpus(void **state)
{
    replay("genes", fuzz_genes);
}

static void checkpoint_corpus(void **state)
{
    replay("ckpt", fuzz_ckpt);
}

static void token_corpus(void **state)
{
    replay("tokens", fuzz_tokens);
}

static void text_corpus(void **state)
{
    replay("text", fuzz_text);
}

static int remove_scratch(void **state)
{
    char *command = str_format("rm -rf %s", fuzz_folder());
    int status = system(command);
    free(command);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(mtx_corpus), TEST(zarr_corpus), TEST(h5ad_corpus),
                                       TEST(filter_corpus), TEST(raw_corpus), TEST(gene_corpus),
                                       TEST(checkpoint_corpus), TEST(token_corpus),
                                       TEST(text_corpus)};
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
