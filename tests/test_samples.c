/* A against B with samples as units, against scanpy on sums of counts (tests/ref/samples.py). */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/session/session.h"

static Err compare(Session *s, const char *rule_a, const char *rule_b, const char *key, MarkerTable **out)
{
    Selection *a, *b;
    assert_ok(session_select(s, rule_a, NULL, &a));
    assert_ok(session_select(s, rule_b, NULL, &b));
    Err err = session_de_samples(s, a, b, key, 0, NULL, out);
    selection_free(a);
    selection_free(b);
    return err;
}

static Session *open_file(void)
{
    SessionParams p = session_params_default();
    Session *s;
    assert_ok(session_open(&p, "tests/golden/samples.h5ad", NULL, &s));
    return s;
}

/* numpy's float32 log1p is not the C library's to the last bit. */
static bool same(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fabs(b) + 2e-6;
}

static void sums_of_samples_are_compared_as_scanpy_compares_them(void **state)
{
    char *text, *save = NULL;
    Session *s = open_file();
    MarkerTable *t;
    size_t i = 0;
    assert_ok(compare(s, "condition=ill", "condition=well", "donor", &t));
    assert_string_equal(t->method, "pseudobulk");
    assert_ok(str_read_file("tests/golden/samples.tsv", 1 << 20, ERR_INPUT, &text, NULL));
    strtok_r(text, "\n", &save);
    for (char *line; (line = strtok_r(NULL, "\n", &save)); i++) {
        char gene[16];
        double v[4];
        assert_int_equal(sscanf(line, "%15[^\t]\t%lf\t%lf\t%lf\t%lf", gene, &v[0], &v[1], &v[2], &v[3]), 5);
        assert_true(i < t->n);
        assert_string_equal(t->rows[i].gene, gene);
        assert_true(same(t->rows[i].score, v[0]) && same(t->rows[i].pval, v[2]) && same(t->rows[i].pval_adj, v[3]));
        assert_true(fabs(t->rows[i].logfoldchange - v[1]) < 1e-5);
    }
    assert_int_equal(i, t->n);
    assert_true(same(t->rows[0].frac_in, 1) && t->rows[0].frac_out > 0.5 && t->rows[0].frac_out < 1); /* of cells */
    free(text);
    marker_table_free(t);
    session_close(s);
}

static void one_sample_a_side_or_shared_cells_are_refused(void **state)
{
    Session *s = open_file();
    MarkerTable *t;
    assert_err(compare(s, "donor=d1", "donor=d2", "donor", &t), ERR_NOT_FOUND);
    assert_err(compare(s, "all", "condition=well", "donor", &t), ERR_USAGE);
    assert_err(compare(s, "condition=ill", "condition=well", "none", &t), ERR_NOT_FOUND);
    session_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sums_of_samples_are_compared_as_scanpy_compares_them),
        TEST(one_sample_a_side_or_shared_cells_are_refused),
    };
    return RUN(tests);
}
