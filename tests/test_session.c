/* core/session: what a file shows without computing: maps, groups, genes, rules. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/session/session_internal.h"

enum { CELLS = 6, GENES = 4 };

static Column *column(const char *name, ColumnKind kind)
{
    Column *c = mem_must(sizeof *c);
    c->name = mem_strdup(name);
    c->kind = kind;
    c->n = CELLS;
    return c;
}

/* Six cells, four genes (row sums 10), obs cell_type, n, batch, UMAP_1, UMAP_2. */
static Session *session(void)
{
    static const char *const genes[GENES] = {"CD3E", "MS4A1", "LYZ", "IL8"};
    static const char *const cells[CELLS] = {"c0", "c1", "c2", "c3", "c4", "c5"};
    static const float dense[CELLS][GENES] = {{5, 0, 5, 0}, {4, 0, 6, 0}, {0, 7, 3, 0}, {0, 10, 0, 0}, {0, 0, 8, 2}, {0, 0, 10, 0}};
    static const int32_t types[CELLS] = {0, 0, 1, 1, 2, -1};
    static const char *const type_names[] = {"T cell", "B cell", "CD14+ Mono", "unused"};
    SessionParams p = session_params_default();
    Session *s;
    Csr m;
    size_t at = 0;
    assert_ok(csr_init(&m, CELLS, GENES, CELLS * GENES));
    for (int i = 0; i < CELLS; i++) {
        for (int g = 0; g < GENES; g++)
            if (dense[i][g] > 0) {
                m.indices[at] = g;
                m.values[at++] = dense[i][g];
            }
        m.indptr[i + 1] = (int64_t)at;
    }
    assert_ok(session_open_empty(&p, &s));
    assert_ok(dataset_from_memory("memory", &m, genes, cells, &s->dataset));
    Column *type = column("cell_type", COLUMN_CATEGORICAL);
    type->codes = mem_must(sizeof types);
    memcpy(type->codes, types, sizeof types);
    type->n_categories = 4;
    type->missing = 1;
    type->categories = mem_must(4 * sizeof *type->categories);
    for (int i = 0; i < 4; i++)
        type->categories[i] = mem_strdup(type_names[i]);
    assert_ok(dataset_add_obs(s->dataset, type));
    const char *const numeric[] = {"n", "batch", "UMAP_1", "UMAP_2"};
    for (int k = 0; k < 4; k++) {
        Column *c = column(numeric[k], COLUMN_NUMERIC);
        c->numbers = mem_must(CELLS * sizeof *c->numbers);
        for (int i = 0; i < CELLS; i++)
            c->numbers[i] = k == 0 ? i * 1.5 : k == 1 ? i % 2 : i * (k == 2 ? 1 : -1);
        assert_ok(dataset_add_obs(s->dataset, c));
    }
    return s;
}

static void cell_types_are_the_first_groups(void **state)
{
    Session *s = session();
    Groups *g;
    assert_ok(session_groups(s, NULL, NULL, &g));
    assert_string_equal(g->key, "cell_type");
    assert_int_equal(g->n_groups, 4);
    assert_int_equal(g->sizes[1], 2);
    assert_int_equal(g->sizes[3], 0);
    assert_int_equal(g->codes[5], -1);
    groups_free(g);
    session_close(s);
}

static void whole_numbers_can_be_groups_and_others_not(void **state)
{
    Session *s = session();
    Groups *g;
    assert_ok(session_groups(s, "batch", NULL, &g));
    assert_int_equal(g->n_groups, 2);
    assert_string_equal(g->names[1], "1");
    groups_free(g);
    assert_err(session_groups(s, "n", NULL, &g), ERR_INPUT);
    assert_err(session_groups(s, "nothing", NULL, &g), ERR_NOT_FOUND);
    session_close(s);
}

static void two_obs_columns_make_a_map(void **state)
{
    Session *s = session();
    Map *m;
    assert_ok(session_map(s, NULL, NULL, &m));
    assert_string_equal(m->name, "UMAP");
    assert_true(m->xy[2 * 3] == 3 && m->xy[2 * 3 + 1] == -3);
    map_free(m);
    assert_err(session_map(s, "tsne", NULL, &m), ERR_NOT_FOUND);
    session_close(s);
}

static void gene_is_log_normalised_per_ten_thousand(void **state)
{
    Session *s = session();
    Values *v;
    assert_ok(session_gene(s, "cd3e", true, NULL, &v));
    assert_string_equal(v->name, "CD3E");
    assert_true(fabs(v->v[0] - log1p(5000)) < 1e-5);
    assert_true(v->v[2] == 0);
    values_free(v);
    assert_ok(session_gene(s, "CXCL8", false, NULL, &v)); /* the file has the old name */
    assert_string_equal(v->name, "IL8");
    assert_true(v->v[4] == 2);
    values_free(v);
    assert_err(session_gene(s, "CD3", true, NULL, &v), ERR_NOT_FOUND);
    assert_non_null(strstr(err_message(), "CD3E"));
    session_close(s);
}

static void selects(const char *rule, const char *want)
{
    Session *s = session();
    Selection *sel;
    assert_ok(session_select(s, rule, NULL, &sel));
    char got[CELLS + 1] = {0};
    for (int i = 0; i < CELLS; i++)
        got[i] = sel->in[i] ? '1' : '0';
    assert_string_equal(got, want);
    selection_free(sel);
    session_close(s);
}

static void refuses(const char *rule, Err code)
{
    Session *s = session();
    Selection *sel;
    assert_err(session_select(s, rule, NULL, &sel), code);
    session_close(s);
}

static void rules_select_cells(void **state)
{
    selects("all", "111111");
    selects("cell_type=\"B cell\"", "001100");
    selects("cell_type='b cell'", "001100");
}

static void rules_join_with_and_or_not(void **state)
{
    selects("CD3E>0 and n>0", "010000");
    selects("CD3E>4 or LYZ>=8", "100011");
    selects("not (CD3E>0 or MS4A1>0)", "000011");
    selects("not CD3E>0 and not MS4A1>0", "000011");
    selects("n<=3", "111000");
    selects("cell_type!=\"T cell\"", "001111");
    selects("batch=1", "010101");
    selects("  ( CD3E > 0 )  ", "110000");
}

static void wrong_rules_are_refused_with_a_reason(void **state)
{
    refuses("", ERR_USAGE);
    refuses("CD3E", ERR_USAGE);
    refuses("CD3E>", ERR_USAGE);
    refuses("CD3E>many", ERR_USAGE);
    refuses("(CD3E>0", ERR_USAGE);
    refuses("CD3E>0)", ERR_USAGE);
    refuses("cell_type<3", ERR_USAGE);
    refuses("cell_type=\"no such\"", ERR_NOT_FOUND);
    refuses("cell_type=\"B cell", ERR_USAGE);
    refuses("NOSUCHGENE>0", ERR_NOT_FOUND);
    refuses("@/no/such/file", ERR_USAGE);
    char deep[300];
    memset(deep, '(', 200);
    strcpy(deep + 200, "all");
    refuses(deep, ERR_USAGE);
}

static void rule_can_name_a_file_of_cells(void **state)
{
    char path[] = "/tmp/scmm_cells_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "c1\r\nc4\nnobody\n", 14) == 14);
    close(fd);
    char *rule = str_format("@%s and LYZ>0", path);
    selects(rule, "010010");
    free(rule);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cell_types_are_the_first_groups),
        TEST(whole_numbers_can_be_groups_and_others_not),
        TEST(two_obs_columns_make_a_map),
        TEST(gene_is_log_normalised_per_ten_thousand),
        TEST(rules_select_cells),
        TEST(rules_join_with_and_or_not),
        TEST(wrong_rules_are_refused_with_a_reason),
        TEST(rule_can_name_a_file_of_cells),
    };
    return RUN(tests);
}
