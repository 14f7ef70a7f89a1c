/* Stages in the cache folder: work that was stopped goes on where it was, and gives what it would have given. */
#include "tests/util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/data/cache.h"
#include "core/data/dataset_impl.h"
#include "core/data/kept.h"
#include "core/session/session.h"

static char folder[] = "/tmp/scmmgpt-kept-XXXXXX";

static int set_up(void **state)
{
    assert_non_null(mkdtemp(folder));
    setenv("XDG_CACHE_HOME", folder, 1);
    setenv("SCMMGPT_CACHE_AFTER", "0", 1);
    return 0;
}

static void empty_cache(void)
{
    uint64_t bytes;
    assert_ok(cache_clear(&bytes));
}

static int tear_down(void **state)
{
    char inner[64];
    empty_cache();
    snprintf(inner, sizeof inner, "%s/scmmgpt", folder);
    rmdir(inner);
    rmdir(folder);
    return 0;
}

static const char few_cells[] = "tests/golden/stored_ranks.h5ad";
static const char *file = few_cells; /* what is clustered */

static size_t kept_files(void)
{
    CacheEntry *e;
    size_t n;
    assert_ok(cache_list(&e, &n));
    for (size_t i = 0; i < n; i++)
        assert_non_null(strstr(e[i].what, file));
    cache_entries_free(e, n);
    return n;
}

/* ---- a clustering that notes its stages and stops before one of them ---- */

typedef struct Watch {
    JobCtl ctl;
    char stages[512];
    const char *stop; /* stage */
    size_t at;        /* from this progress of it on */
} Watch;

static bool ran(const Watch *w, const char *stage)
{
    char name[64];
    snprintf(name, sizeof name, ";%s;", stage);
    return strstr(w->stages, name) != NULL;
}

static void note(void *user, const char *stage, size_t done, size_t total)
{
    Watch *w = user;
    if (stage && strcmp(stage, "starting") != 0 && !ran(w, stage)) /* that is no stage */
        snprintf(w->stages + strlen(w->stages), sizeof w->stages - strlen(w->stages), ";%s;", stage);
    if (stage && w->stop && strcmp(stage, w->stop) == 0 && done >= w->at)
        atomic_store(&w->ctl.cancel, ERR_CANCELLED);
}

static Err run(Watch *w, uint64_t seed, double resolution, Clustering **out)
{
    SessionParams sp = session_params_default();
    ClusterParams p = cluster_params_default();
    Session *s;
    sp.seed = seed;
    p.hvg = 6;
    p.pcs = 3;
    p.neighbors = 6;
    p.resolution = resolution;
    w->stages[0] = 0;
    w->ctl = (JobCtl){.on_progress = note, .user = w};
    assert_ok(session_open(&sp, file, NULL, &s));
    Err err = session_cluster(s, &p, &w->ctl, out);
    session_close(s);
    return err;
}

static void assert_same(const Clustering *a, const Clustering *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->pcs, b->pcs);
    assert_memory_equal(a->pca, b->pca, a->n * a->pcs * sizeof *a->pca);
    assert_memory_equal(a->map->xy, b->map->xy, 2 * a->n * sizeof(float));
    assert_memory_equal(a->groups->codes, b->groups->codes, a->n * sizeof(int32_t));
    assert_int_equal(csr_nnz(&a->connectivities), csr_nnz(&b->connectivities));
    assert_memory_equal(a->connectivities.values, b->connectivities.values, csr_nnz(&a->connectivities) * 4);
    assert_memory_equal(a->distances.indices, b->distances.indices, csr_nnz(&a->distances) * 4);
    assert_true(a->modularity == b->modularity && a->recall == b->recall);
}

static void the_next_run_takes_every_stage_from_the_cache(void **state)
{
    Watch w = {0};
    Clustering *a, *b, *c;
    empty_cache();
    assert_ok(run(&w, 0, 1, &a));
    assert_non_null(strstr(w.stages, ";principal components;;neighbours;;neighbour graph;;start of the map;;map;;clusters;"));
    assert_int_equal(kept_files(), 5); /* genes, components, neighbours, map, clusters */
    assert_ok(run(&w, 0, 1, &b));
    assert_string_equal(w.stages, "");
    assert_same(a, b);
    assert_ok(run(&w, 0, 0.5, &c)); /* another resolution: the clusters alone */
    assert_string_equal(w.stages, ";clusters;");
    clustering_free(c);
    assert_ok(run(&w, 1, 1, &c)); /* another seed: nothing of it serves */
    assert_true(ran(&w, "variable genes"));
    clustering_free(a);
    clustering_free(b);
    clustering_free(c);
}

static void stopped_in_any_stage_it_goes_on_there(void **state)
{
    static const char *const stages[] = {"principal components", "neighbours", "start of the map", "map", "clusters"};
    Watch w = {0};
    Clustering *want, *c;
    empty_cache();
    assert_ok(run(&w, 0, 1, &want));
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        empty_cache();
        w.stop = stages[i];
        assert_err(run(&w, 0, 1, &c), ERR_CANCELLED);
        w.stop = NULL;
        assert_ok(run(&w, 0, 1, &c));
        assert_false(ran(&w, "variable genes"));
        assert_true(ran(&w, "principal components") == (i < 1));
        assert_true(ran(&w, "neighbours") == (i < 2));
        assert_true(ran(&w, "map") == (i < 4));
        assert_same(want, c);
        clustering_free(c);
    }
    clustering_free(want);
}

static void stopped_among_its_epochs_the_map_goes_on_there(void **state)
{
    Watch w = {0};
    Clustering *want, *c;
    empty_cache();
    file = "assets/demo/immune_559.h5ad"; /* layouts of few cells are too short to be kept on their way */
    assert_ok(run(&w, 0, 1, &want));
    empty_cache();
    w.stop = "map";
    w.at = 433;
    assert_err(run(&w, 0, 1, &c), ERR_CANCELLED);
    assert_int_equal(kept_files(), 4); /* genes, components, neighbours, the map on its way */
    w.stop = NULL;
    assert_ok(run(&w, 0, 1, &c));
    assert_false(ran(&w, "start of the map"));
    assert_true(ran(&w, "map"));
    assert_same(want, c);
    assert_int_equal(kept_files(), 5);
    clustering_free(c);
    clustering_free(want);
    file = few_cells;
}

/* Flips one byte near the end of every kept file. */
static void damage_all(bool cut)
{
    char path[400];
    CacheEntry *e;
    size_t n;
    assert_ok(cache_list(&e, &n));
    for (size_t i = 0; i < n; i++) {
        char byte;
        snprintf(path, sizeof path, "%s/scmmgpt/%s", folder, e[i].name);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        off_t at = lseek(fd, -3, SEEK_END);
        if (cut) {
            assert_int_equal(ftruncate(fd, at), 0);
        } else {
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            byte ^= 4;
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
    }
    cache_entries_free(e, n);
}

/* Makes an empty file in the cache, written to so many hours ago. */
static void leave(const char *name, int hours)
{
    char path[400];
    struct timespec then[2];
    snprintf(path, sizeof path, "%s/scmmgpt/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    clock_gettime(CLOCK_REALTIME, &then[0]);
    then[0].tv_sec -= 3600 * hours;
    then[1] = then[0];
    assert_int_equal(futimens(fd, then), 0);
    close(fd);
}

static bool is_left(const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/scmmgpt/%s", folder, name);
    return access(path, F_OK) == 0;
}

static void an_unfinished_file_of_a_killed_run_is_removed(void **state)
{
    Str s = {0};
    uint64_t bytes;
    assert_ok(cache_folder(true, &s));
    str_free(&s);
    leave("0123.stage.aB3dEf", 3);
    leave("4567.stage.aB3dEf", 0); /* somebody may be writing it */
    leave("notes.txt", 3);
    assert_ok(cache_make_room(1000));
    assert_false(is_left("0123.stage.aB3dEf"));
    assert_true(is_left("4567.stage.aB3dEf"));
    leave("4567.stage.aB3dEf", 3);
    assert_ok(cache_clear(&bytes));
    assert_false(is_left("4567.stage.aB3dEf"));
    assert_true(is_left("notes.txt"));
    char path[400];
    snprintf(path, sizeof path, "%s/scmmgpt/notes.txt", folder);
    assert_int_equal(unlink(path), 0);
}

static void write_text(const char *name, const char *text)
{
    char path[400];
    snprintf(path, sizeof path, "%s/cells/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *identity_of(const char *path)
{
    Str s = {0};
    char real[1024];
    Dataset *d;
    assert_ok(dataset_open(path, NULL, NULL, &d));
    assert_ok(dataset_identity(d, &s, real));
    dataset_close(d);
    return str_take(&s);
}

/* Outputs may be written beside the matrix: they are none of its files. */
static void a_folder_of_text_is_another_when_one_of_its_three_files_is(void **state)
{
    char path[400];
    snprintf(path, sizeof path, "%s/cells", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_text("features.tsv", "E1\tCD3E\nE2\tMS4A1\n");
    write_text("barcodes.tsv", "A\nB\nC\n");
    write_text("matrix.mtx", "%%MatrixMarket matrix coordinate integer general\n2 3 2\n1 1 4\n2 3 1\n");
    char *first = identity_of(path);
    write_text("out.tsv", "cell\n");
    char *same = identity_of(path);
    write_text("features.tsv", "E1\tCD3E\nE2\tMS4A1-X\n");
    char *other = identity_of(path);
    assert_string_equal(first, same);
    assert_string_not_equal(first, other);
    free(first);
    free(same);
    free(other);
    static const char *const names[] = {"out.tsv", "features.tsv", "barcodes.tsv", "matrix.mtx"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/cells/%s", folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    snprintf(path, sizeof path, "%s/cells", folder);
    assert_int_equal(rmdir(path), 0);
}

static void damaged_stages_are_made_again(void **state)
{
    Watch w = {0};
    Clustering *want, *c;
    empty_cache();
    assert_ok(run(&w, 0, 1, &want));
    for (int cut = 0; cut < 2; cut++) {
        damage_all(cut);
        assert_ok(run(&w, 0, 1, &c));
        assert_true(ran(&w, "variable genes"));
        assert_true(ran(&w, "clusters"));
        assert_same(want, c);
        clustering_free(c);
        assert_int_equal(kept_files(), 5);
    }
    clustering_free(want);
}

static void short_work_and_a_folder_that_cannot_be_written_leave_nothing(void **state)
{
    Watch w = {0};
    Clustering *c;
    empty_cache();
    setenv("SCMMGPT_CACHE_AFTER", "100", 1);
    assert_ok(run(&w, 0, 1, &c));
    assert_int_equal(kept_files(), 0);
    clustering_free(c);
    setenv("SCMMGPT_CACHE_AFTER", "0", 1);
    setenv("SCMMGPT_CACHE_MAX", "10", 1);
    assert_ok(run(&w, 0, 1, &c));
    clustering_free(c);
    assert_int_equal(kept_files(), 0);
    unsetenv("SCMMGPT_CACHE_MAX");
    setenv("XDG_CACHE_HOME", "/proc/none", 1);
    assert_ok(run(&w, 0, 1, &c));
    clustering_free(c);
    setenv("XDG_CACHE_HOME", folder, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_next_run_takes_every_stage_from_the_cache),
        TEST(stopped_in_any_stage_it_goes_on_there),
        TEST(stopped_among_its_epochs_the_map_goes_on_there),
        TEST(an_unfinished_file_of_a_killed_run_is_removed),
        TEST(a_folder_of_text_is_another_when_one_of_its_three_files_is),
        TEST(damaged_stages_are_made_again),
        TEST(short_work_and_a_folder_that_cannot_be_written_leave_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
