/* Marker genes that a file already has, against scanpy's own reader (tests/ref/stored_ranks.py). */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/data/stored_ranks.h"
#include "core/session/session.h"

static const char FILE_NAME[] = "tests/golden/stored_ranks.h5ad";

static Session *open_file(const char *path)
{
    SessionParams p = session_params_default();
    Session *s;
    assert_ok(session_open(&p, path, NULL, &s));
    return s;
}

static MarkerTable *stored(Session *s, const char *key, size_t top, Groups **g)
{
    MarkerTable *t;
    assert_ok(session_groups(s, key, NULL, g));
    assert_ok(session_stored_markers(s, *g, top, NULL, &t));
    assert_true(t->precomputed);
    assert_string_equal(t->groupby, key);
    return t;
}

static bool same(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fabs(b);
}

static void a_stored_ranking_is_what_scanpy_reads(void **state)
{
    char *text, *save = NULL;
    Groups *g;
    Session *s = open_file(FILE_NAME);
    MarkerTable *t = stored(s, "type", 0, &g);
    size_t i = 0;
    assert_string_equal(t->method, "wilcoxon");
    assert_string_equal(t->stored->reference, "rest");
    assert_ok(str_read_file("tests/golden/stored_ranks.tsv", 1 << 20, ERR_INPUT, &text, NULL));
    strtok_r(text, "\n", &save); /* the header */
    for (char *line; (line = strtok_r(NULL, "\n", &save)); i++) {
        char group[64], gene[16];
        double v[6];
        assert_int_equal(sscanf(line, "%63[^\t]\t%15[^\t]\t%lf\t%lf\t%lf\t%lf\t%lf\t%lf", group, gene, &v[0], &v[1],
                                &v[2], &v[3], &v[4], &v[5]), 8);
        const Marker *m = &t->rows[i];
        assert_true(i < t->n);
        assert_string_equal(g->names[m->group], group);
        assert_string_equal(m->gene, gene);
        assert_int_equal(m->col, atoi(gene + 1));
        assert_true(same(m->score, v[0]) && same(m->logfoldchange, v[1]) && same(m->pval, v[2]) &&
                    same(m->pval_adj, v[3]) && same(m->frac_in, v[4]) && same(m->frac_out, v[5]));
    }
    assert_int_equal(i, t->n);
    assert_int_equal(t->n, 15);
    free(text);
    marker_table_free(t);
    groups_free(g);
    t = stored(s, "type", 2, &g);
    assert_int_equal(t->n, 6);
    marker_table_free(t);
    groups_free(g);
    session_close(s);
}

static void older_layouts_are_read_and_what_they_lack_is_missing(void **state)
{
    Groups *g;
    Session *s = open_file(FILE_NAME);
    MarkerTable *t = stored(s, "batch", 0, &g); /* fixed-length text, no shares */
    assert_int_equal(t->n, 6);
    assert_string_equal(t->method, "t-test");
    assert_string_equal(t->stored->key, "older");
    assert_true(isfinite(t->rows[0].pval_adj) && isnan(t->rows[0].frac_in));
    marker_table_free(t);
    groups_free(g);
    t = stored(s, "side", 0, &g); /* an array a group; one gene filtered out, one not in the matrix */
    assert_int_equal(t->n, 5);
    assert_string_equal(t->rows[1].gene, "G5");
    assert_true(t->rows[1].score == 1 && isnan(t->rows[1].pval) && isnan(t->rows[1].logfoldchange));
    assert_string_equal(t->rows[3].gene, "G99");
    assert_int_equal(t->rows[3].col, -1);
    marker_table_free(t);
    groups_free(g);
    session_close(s);
}

static void a_ranking_of_other_groups_is_not_shown(void **state)
{
    Groups *g;
    MarkerTable *t;
    Session *s = open_file(FILE_NAME);
    assert_ok(session_groups(s, "type", NULL, &g));
    g->computed = true; /* clusters made by this program under the same name */
    assert_err(session_stored_markers(s, g, 0, NULL, &t), ERR_NOT_FOUND);
    g->computed = false;
    free(g->key);
    g->key = strdup("cell_type");
    assert_err(session_stored_markers(s, g, 0, NULL, &t), ERR_NOT_FOUND);
    groups_free(g);
    session_close(s);
    s = open_file("tests/golden/h5ad/csr.h5ad");
    StoredRanks *r;
    assert_err(dataset_stored_ranks(session_dataset(s), NULL, NULL, &r), ERR_NOT_FOUND);
    session_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stored_ranking_is_what_scanpy_reads),
        TEST(older_layouts_are_read_and_what_they_lack_is_missing),
        TEST(a_ranking_of_other_groups_is_not_shown),
    };
    return RUN(tests);
}
