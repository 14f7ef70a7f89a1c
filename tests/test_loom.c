/* What a loom file has besides its matrix: a map in two attributes, a graph of cells. */
#include "tests/util.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/data/h5_write.h"
#include "core/session/session.h"

enum { CELLS = 6, GENES = 4, EDGES = 12 };
static char path[] = "/tmp/scmmgpt-loom-XXXXXX.loom";

/* Two triangles of cells, each edge both ways; `last` is where the last edge goes. `x`, `y`: names of the map's parts. */
static void write_loom(const char *x, const char *y, int32_t last)
{
    static const char *const cells[CELLS] = {"a", "b", "c", "d", "e", "f"}, *const genes[GENES] = {"G1", "G2", "G3", "G4"};
    int32_t counts[GENES * CELLS], from[EDGES], to[EDGES], n = 0;
    float weight[EDGES], place[CELLS];
    uint64_t shape[2] = {GENES, CELLS}, n_edges = EDGES, n_cells = CELLS;
    char name[64];
    H5Writer *w;
    for (int i = 0; i < GENES * CELLS; i++)
        counts[i] = i % 5;
    for (int32_t i = 0; i < CELLS; i++) {
        place[i] = (float)i;
        for (int32_t j = 0; j < CELLS; j++)
            if (i != j && i / 3 == j / 3) {
                from[n] = i;
                to[n] = j;
                weight[n++] = 0.5f;
            }
    }
    assert_int_equal(n, EDGES);
    to[EDGES - 1] = last;
    assert_ok(h5w_create(path, NULL, &w));
    assert_ok(h5w_attr_text(w, "", "LOOM_SPEC_VERSION", "2.0.1"));
    assert_ok(h5w_array(w, "matrix", NULL, DISK_I32, 2, shape, MEM_I32, counts));
    assert_ok(h5w_texts(w, "col_attrs/CellID", cells, CELLS));
    assert_ok(h5w_texts(w, "row_attrs/Gene", genes, GENES));
    snprintf(name, sizeof name, "col_attrs/%s", x);
    assert_ok(h5w_array(w, name, NULL, DISK_F32, 1, &n_cells, MEM_F32, place));
    snprintf(name, sizeof name, "col_attrs/%s", y);
    assert_ok(h5w_array(w, name, NULL, DISK_F32, 1, &n_cells, MEM_F32, place));
    assert_ok(h5w_array(w, "col_graphs/connectivities/a", NULL, DISK_I64, 1, &n_edges, MEM_I32, from));
    assert_ok(h5w_array(w, "col_graphs/connectivities/b", NULL, DISK_I64, 1, &n_edges, MEM_I32, to));
    assert_ok(h5w_array(w, "col_graphs/connectivities/w", NULL, DISK_F32, 1, &n_edges, MEM_F32, weight));
    assert_ok(h5w_close(w));
}

static void the_map_in_two_attributes_is_shown(void **state)
{
    static const char *const pairs[][2] = {{"X_umap_1", "X_umap_2"}, {"UMAP1", "UMAP2"}, {"_X", "_Y"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        SessionParams p = session_params_default();
        Session *s;
        Map *m;
        write_loom(pairs[i][0], pairs[i][1], 4);
        assert_ok(session_open(&p, path, NULL, &s));
        assert_ok(session_map(s, NULL, NULL, &m));
        assert_int_equal(m->n, CELLS);
        assert_true(m->xy[2 * 5] == 5 && m->xy[2 * 5 + 1] == 5);
        map_free(m);
        session_close(s);
    }
}

static void note(void *user, const char *stage, size_t done, size_t total)
{
    if (stage && strcmp(stage, "neighbours") == 0)
        *(bool *)user = true;
}

static void its_graph_gives_the_clusters(void **state)
{
    SessionParams sp = session_params_default();
    ClusterParams p = cluster_params_default();
    bool searched = false;
    JobCtl ctl = {.on_progress = note, .user = &searched};
    Session *s;
    Clustering *c;
    write_loom("X_umap_1", "X_umap_2", 4);
    assert_ok(session_open(&sp, path, NULL, &s));
    p.umap = false;
    p.stored_graph = true;
    assert_ok(session_cluster(s, &p, &ctl, &c));
    assert_false(searched);
    assert_int_equal(csr_nnz(&c->connectivities), EDGES);
    assert_int_equal(c->groups->n_groups, 2);
    for (int i = 0; i < CELLS; i++)
        assert_int_equal(c->groups->codes[i] == c->groups->codes[0], i < 3);
    clustering_free(c);
    session_close(s);
}

static void an_edge_to_a_cell_that_is_not_there_is_refused(void **state)
{
    Dataset *d;
    Csr g;
    write_loom("X_umap_1", "X_umap_2", CELLS);
    assert_ok(dataset_open(path, NULL, NULL, &d));
    assert_err(dataset_obsp(d, "connectivities", NULL, &g), ERR_INPUT);
    assert_non_null(strstr(err_message(), "col_graphs/connectivities"));
    assert_err(dataset_obsp(d, "distances", NULL, &g), ERR_NOT_FOUND);
    dataset_close(d);
}

static int set_up(void **state)
{
    int fd = mkstemps(path, 5);
    return fd < 0 || close(fd);
}

static int tear_down(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_map_in_two_attributes_is_shown),
        TEST(its_graph_gives_the_clusters),
        TEST(an_edge_to_a_cell_that_is_not_there_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
