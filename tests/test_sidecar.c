/* core/data: genes of large matrices, by a pass over the file and by the cached copy. */
#include "tests/util.h"
#include "tests/util_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/str.h"
#include "core/data/cache.h"
#include "core/data/dataset_impl.h"
#include "core/data/sidecar.h"

enum { CELLS = 12, GENES = 8 };

static int make_cache(void **state)
{
    if (folder_make(state))
        return -1;
    char *copy =
        str_format("cp tests/golden/h5ad/csr.h5ad tests/golden/h5ad/tenx_v3.h5 %s", folder_path());
    int status = system(copy);
    free(copy);
    return status ? status : setenv("XDG_CACHE_HOME", folder_path(), 1);
}

static float expected(size_t i, size_t j)
{
    return (i + 2 * j) % 3 != 0 ? (float)((7 * i + 3 * j) % 5) : 0.0f;
}

static Dataset *open_copy(const char *name)
{
    Dataset *d;
    char *path = in_folder(name);
    assert_ok(dataset_open(path, NULL, NULL, &d));
    free(path);
    return d;
}

static void a_pass_finds_the_same_values(void **state)
{
    const char *files[] = {"csr.h5ad",     "unsorted.h5ad", "csr_lzf.h5ad",
                           "csr_i64.h5ad", "tenx_v3.h5",    "filter_zstd.h5ad"};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        Dataset *d;
        char *path = str_format("tests/golden/h5ad/%s", files[f]);
        assert_ok(dataset_open(path, NULL, NULL, &d));
        free(path);
        for (size_t g = 0; g < d->matrices[0].info.cols; g++) {
            float v[CELLS] = {0};
            assert_ok(matrix_scan_gene(&d->matrices[0], g, NULL, v));
            for (size_t i = 0; i < CELLS; i++)
                assert_true(v[i] == expected(i, g));
        }
        dataset_close(d);
    }
}

static void the_copy_has_the_same_values(void **state)
{
    const char *files[] = {"csr.h5ad", "tenx_v3.h5"};
    for (int f = 0; f < 2; f++) {
        Dataset *d = open_copy(files[f]);
        Matrix *m = &d->matrices[0];
        assert_null(sidecar_open(d, m));
        assert_ok(sidecar_build(d, m, NULL));
        Sidecar *s = sidecar_open(d, m);
        assert_non_null(s);
        for (size_t g = 0; g < m->info.cols; g++) {
            float v[CELLS] = {0};
            assert_ok(sidecar_read_gene(s, g, v));
            for (size_t i = 0; i < CELLS; i++)
                assert_true(v[i] == expected(i, g));
        }
        double sums[CELLS], direct[CELLS];
        assert_true(sidecar_read_sums(s, sums));
        if (matrix_can_sum(m)) {
            assert_ok(matrix_sum_rows(m, NULL, direct));
            for (size_t i = 0; i < CELLS; i++)
                assert_true(sums[i] == direct[i]);
        }
        for (size_t i = 0; i < CELLS; i++) {
            double sum = 0;
            for (size_t g = 0; g < m->info.cols; g++)
                sum += expected(i, g);
            assert_true(sums[i] == sum);
        }
        sidecar_close(s);
        dataset_close(d);
    }
    CacheEntry *e;
    size_t n;
    assert_ok(cache_list(&e, &n));
    assert_int_equal(n, 2);
    assert_non_null(strstr(e[0].what, folder_path()));
    cache_entries_free(e, n);
}

static void a_changed_or_damaged_file_has_no_copy(void **state)
{
    Dataset *d = open_copy("csr.h5ad");
    Sidecar *s = sidecar_open(d, &d->matrices[0]);
    assert_non_null(s); /* made by the test before */
    sidecar_close(s);
    char *path = in_folder("csr.h5ad");
    const struct timespec later[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, later, 0), 0);
    assert_null(sidecar_open(d, &d->matrices[0]));
    assert_ok(sidecar_build(d, &d->matrices[0], NULL));
    CacheEntry *e;
    size_t n;
    assert_ok(cache_list(&e, &n));
    for (size_t i = 0; i < n; i++) {
        char *file = str_format("%s/scmmgpt/%s", folder_path(), e[i].name);
        assert_int_equal(truncate(file, (off_t)e[i].bytes - 4), 0);
        free(file);
    }
    cache_entries_free(e, n);
    assert_null(sidecar_open(d, &d->matrices[0]));
    free(path);
    dataset_close(d);
}

static void clearing_leaves_other_files(void **state)
{
    char *other = in_folder("scmmgpt/notes.txt");
    close(open(other, O_CREAT | O_WRONLY, 0600));
    uint64_t bytes;
    assert_ok(cache_clear(&bytes));
    assert_true(bytes > 0);
    CacheEntry *e;
    size_t n;
    assert_ok(cache_list(&e, &n));
    assert_int_equal(n, 0);
    cache_entries_free(e, n);
    assert_int_equal(access(other, F_OK), 0);
    free(other);
}

static void the_cap_is_kept(void **state)
{
    Dataset *d = open_copy("csr.h5ad");
    assert_ok(sidecar_build(d, &d->matrices[0], NULL));
    setenv("SCMMGPT_CACHE_MAX", "100", 1);
    assert_err(sidecar_build(d, &d->matrices[0], NULL), ERR_GENERAL);
    unsetenv("SCMMGPT_CACHE_MAX");
    setenv("SCMMGPT_CACHE_MAX", "2500", 1); /* one copy has about 1.7 kB: the old one must go */
    assert_ok(cache_make_room(2000));
    unsetenv("SCMMGPT_CACHE_MAX");
    assert_null(sidecar_open(d, &d->matrices[0]));
    dataset_close(d);
}

static size_t files_in_cache(void)
{
    char *path = in_folder("scmmgpt");
    DIR *d = opendir(path);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, SIDECAR_SUFFIX) != NULL; /* temporary ones too */
    if (d)
        closedir(d);
    free(path);
    return n;
}

static void a_stopped_or_failed_build_leaves_nothing(void **state)
{
    uint64_t bytes;
    JobCtl ctl = {0};
    Dataset *d = open_copy("csr.h5ad");
    assert_ok(cache_clear(&bytes));
    atomic_store(&ctl.cancel, ERR_CANCELLED);
    assert_err(sidecar_build(d, &d->matrices[0], &ctl), ERR_CANCELLED);
    assert_int_equal(files_in_cache(), 0);
    struct rlimit old, small = {200, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &old); /* stands for a full disk */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    Err err = sidecar_build(d, &d->matrices[0], NULL);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(err, ERR_GENERAL);
    assert_int_equal(files_in_cache(), 0);
    float v[CELLS];
    assert_ok(dataset_read_gene(d, 0, 1, NULL, v)); /* goes on without */
    for (size_t i = 0; i < CELLS; i++)
        assert_true(v[i] == expected(i, 1));
    dataset_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pass_finds_the_same_values),
        TEST(the_copy_has_the_same_values),
        TEST(a_changed_or_damaged_file_has_no_copy),
        TEST(clearing_leaves_other_files),
        TEST(the_cap_is_kept),
        TEST(a_stopped_or_failed_build_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make_cache, folder_remove);
}
