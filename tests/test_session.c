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

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static Groups *groups_of(const int32_t *codes, size_t n_groups)
{
    static const char *const names[] = {"0", "1", "2"};
    static const uint32_t colors[] = {0xE69F00, 0x56B4E9, 0x009E73};
    Groups *g = mem_must(sizeof *g);
    g->key = mem_strdup("leiden");
    g->n_cells = CELLS;
    g->n_groups = n_groups;
    g->codes = mem_must(CELLS * sizeof *g->codes);
    g->names = mem_must(n_groups * sizeof *g->names);
    g->sizes = mem_must(n_groups * sizeof *g->sizes);
    g->colors = mem_must(n_groups * sizeof *g->colors);
    memcpy(g->codes, codes, CELLS * sizeof *codes);
    for (size_t i = 0; i < n_groups; i++) {
        g->names[i] = mem_strdup(names[i]);
        g->colors[i] = colors[i];
    }
    for (int i = 0; i < CELLS; i++)
        if (codes[i] >= 0)
            g->sizes[codes[i]]++;
    return g;
}

static void sub_clusters_take_the_place_of_what_they_divide(void **state)
{
    static const int32_t codes[CELLS] = {0, 0, 1, 1, 2, -1}, parts[CELLS] = {-1, -1, 0, 1, 0, -1};
    static const int32_t want[CELLS] = {0, 0, 1, 2, 1, -1};
    Groups *g = groups_of(codes, 3), *sub = groups_of(parts, 2), *out;
    assert_ok(groups_split(g, sub, "1", &out));
    assert_int_equal(out->n_groups, 3); /* 1 and 2 are gone */
    assert_memory_equal(out->codes, want, sizeof want);
    assert_string_equal(out->names[0], "0");
    assert_string_equal(out->names[1], "1.0");
    assert_string_equal(out->names[2], "1.1");
    assert_int_equal(out->sizes[0], 2);
    assert_int_equal(out->sizes[1], 2);
    assert_int_equal(out->sizes[2], 1);
    assert_int_equal(out->colors[0], 0xE69F00);
    assert_int_equal(out->colors[1], 0x56B4E9); /* of its first parent, which is gone */
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(out->colors[2], g->colors[i]);
    groups_free(out);
    sub->n_cells--;
    assert_err(groups_split(g, sub, "1", &out), ERR_USAGE);
    groups_free(g);
    groups_free(sub);
}

static void groups_are_written_as_a_table_and_read_again(void **state)
{
    static const int32_t codes[CELLS] = {2, 0, 1, 1, 2, -1};
    static const char *const cells[CELLS] = {"c0", "c1", "c2", "c3", "c4", "c5"};
    char path[] = "/tmp/scmmgpt-groups-XXXXXX";
    Session *s = session();
    Groups *g = groups_of(codes, 3), *back;
    free(g->names[1]);
    g->names[1] = mem_strdup("T\tcell, 1");
    assert_true(mkstemp(path) >= 0);
    assert_ok(groups_write(g, cells, path, true));
    assert_ok(groups_read(s, path, "leiden", &back));
    assert_string_equal(back->key, "leiden");
    assert_int_equal(back->n_groups, 3);
    assert_memory_equal(back->codes, codes, sizeof codes);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(back->names[i], g->names[i]);
        assert_int_equal(back->colors[i], g->colors[i]);
        assert_int_equal(back->sizes[i], g->sizes[i]);
    }
    groups_free(back);
    assert_err(groups_read(s, path, "louvain", &back), ERR_NOT_FOUND);
    write_text(path, "cell\tlabel\nc4\tB\nc0\tA\nnobody\tC\n"); /* any table will do */
    assert_ok(groups_read(s, path, NULL, &back));
    assert_string_equal(back->names[0], "B");
    assert_int_equal(back->codes[0], 1);
    assert_int_equal(back->codes[1], -1);
    groups_free(back);
    write_text(path, "cell\tlabel\nnobody\tC\n");
    assert_err(groups_read(s, path, NULL, &back), ERR_NOT_FOUND);
    write_text(path, "");
    assert_err(groups_read(s, path, NULL, &back), ERR_NOT_FOUND);
    unlink(path);
    groups_free(g);
    session_close(s);
}

static void colours_have_names(void **state)
{
    Session *s = session();
    Values *v;
    assert_ok(session_color_values(s, "qc:genes", NULL, &v));
    assert_string_equal(v->name, "qc:genes");
    assert_int_equal(v->v[3], 1);
    values_free(v);
    assert_ok(session_color_values(s, "n", NULL, &v));
    assert_int_equal(v->v[2], 3);
    values_free(v);
    assert_ok(session_color_values(s, "LYZ", NULL, &v));
    assert_string_equal(v->unit, "log1p CP10k");
    values_free(v);
    assert_err(session_color_values(s, "qc:nothing", NULL, &v), ERR_NOT_FOUND);
    assert_err(session_color_values(s, "score:", NULL, &v), ERR_USAGE);
    assert_err(session_color_values(s, "NOGENE", NULL, &v), ERR_NOT_FOUND);
    session_close(s);
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
        TEST(sub_clusters_take_the_place_of_what_they_divide),
        TEST(groups_are_written_as_a_table_and_read_again),
        TEST(colours_have_names),
    };
    return RUN(tests);
}
