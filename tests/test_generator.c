/* The generator on a small one made by hand: two anchors far apart, each with its own high gene. */
#include "core/model/generator.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/util.h"
#include "tests/util_folder.h"

enum { GENES = 80, W = 4 };

/* z = +1: gene 3 is 20 times higher; z = -1: gene 5. Anchor 0 lies at +1, anchor 1 at -1. Gene k of
 * the generator is gene 2k of the model. */
static Generator *small(void)
{
    Generator *g;
    assert_ok(generator_new(GENES, 1, 2, 2, 2, W, 3, &g));
    for (int k = 0; k < GENES; k++)
        g->gene[k] = 2 * k;
    g->w1[0] = 4; /* h = gelu(4z), gelu(-4z) */
    g->w1[1] = -4;
    g->w2[0] = g->w2[3] = 1;
    g->w3[0] = g->w3[3] = 1;
    g->table[0 * GENES + 3] = 0.75f; /* [E,N] */
    g->table[1 * GENES + 5] = 0.75f;
    g->mean[0] = 1;
    g->mean[1] = -1;
    g->spread[0] = g->spread[1] = 0.1f;
    const char *const id[] = {"CL:0000236", "CL:0000576"}, *const name[] = {"B cell", "monocyte"},
                      *const tissue[] = {"blood", "liver"};
    for (int a = 0; a < 2; a++) {
        g->anchor[a] = (Anchor){mem_strdup(id[a]), mem_strdup(name[a]), mem_strdup(tissue[a]), 50,
                                true, true};
        g->text[a * W + a] = 1;
        g->type[a] = a;
    }
    g->first_shift[1] = 2;
    g->first_shift[2] = 3;
    g->shift_gene[0] = 7;
    g->shift[0] = 1;
    g->shift_gene[1] = 8;
    g->shift[1] = -1;
    g->shift_gene[2] = 9;
    g->shift[2] = 2;
    g->dispersion = 3;
    g->size_mean = log(2000);
    g->size_sd = 0.2;
    return g;
}

typedef struct File { /* a file with the model's genes 0..2*GENES-1 in reverse order */
    int32_t gene[2 * GENES];
    GeneMap map;
} File;

static void file_init(File *f)
{
    for (int i = 0; i < 2 * GENES; i++)
        f->gene[i] = 2 * GENES - 1 - i;
    f->map = (GeneMap){.n_file = 2 * GENES, .gene = f->gene, .matched = 2 * GENES, .panel = 1};
}

static int column_of(int k)
{
    return 2 * GENES - 1 - 2 * k;
}

static Csr draw(const Generator *g, const float *weights, uint64_t seed, size_t n, const float *emphasis,
                int32_t *anchor)
{
    File f;
    file_init(&f);
    Csr x;
    GenerateSpec s = {.weights = weights, .genes = &f.map, .n = n, .seed = seed, .emphasis = emphasis};
    assert_ok(generator_draw(g, &s, NULL, &x, anchor));
    return x;
}

static double column_sum(const Csr *x, int col)
{
    double s = 0;
    for (size_t k = 0; k < csr_nnz(x); k++)
        s += x->indices[k] == col ? x->values[k] : 0;
    return s;
}

static void same_seed_gives_the_same_cells_at_any_thread_count(void **state)
{
    Generator *g = small();
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    Csr a = draw(g, (float[]){1, 1}, 7, 70, NULL, NULL);
    omp_set_num_threads(3);
    Csr b = draw(g, (float[]){1, 1}, 7, 70, NULL, NULL);
    Csr c = draw(g, (float[]){1, 1}, 8, 70, NULL, NULL);
    omp_set_num_threads(threads);
    assert_int_equal(csr_nnz(&a), csr_nnz(&b));
    assert_memory_equal(a.values, b.values, csr_nnz(&a) * sizeof *a.values);
    assert_memory_equal(a.indices, b.indices, csr_nnz(&a) * sizeof *a.indices);
    assert_true(csr_nnz(&a) != csr_nnz(&c) ||
                memcmp(a.values, c.values, csr_nnz(&a) * sizeof *a.values) != 0);
    csr_done(&a);
    csr_done(&b);
    csr_done(&c);
    generator_free(g);
}

/* A longer run begins with the cells of a shorter one: cells depend on their number alone. */
static void first_cells_do_not_depend_on_how_many_follow(void **state)
{
    Generator *g = small();
    Csr a = draw(g, (float[]){1, 1}, 7, 5, NULL, NULL), b = draw(g, (float[]){1, 1}, 7, 90, NULL, NULL);
    assert_memory_equal(a.indptr, b.indptr, 6 * sizeof *a.indptr);
    assert_memory_equal(a.values, b.values, csr_nnz(&a) * sizeof *a.values);
    csr_done(&a);
    csr_done(&b);
    generator_free(g);
}

static void counts_are_whole_and_columns_ascend(void **state)
{
    Generator *g = small();
    Csr x = draw(g, (float[]){1, 3}, 1, 40, NULL, NULL);
    for (size_t i = 0; i < x.rows; i++)
        for (int64_t k = x.indptr[i]; k < x.indptr[i + 1]; k++) {
            assert_true(x.values[k] >= 1 && x.values[k] == floorf(x.values[k]));
            assert_true(k == x.indptr[i] || x.indices[k] > x.indices[k - 1]);
            assert_true(x.indices[k] % 2 == 1); /* even columns hold genes the generator lacks */
        }
    csr_done(&x);
    generator_free(g);
}

static void weights_choose_the_anchor_and_its_genes(void **state)
{
    Generator *g = small();
    int32_t anchor[60];
    Csr x = draw(g, (float[]){1, 0}, 3, 60, NULL, anchor);
    for (int i = 0; i < 60; i++)
        assert_int_equal(anchor[i], 0);
    assert_true(column_sum(&x, column_of(3)) > 8 * column_sum(&x, column_of(5)));
    /* corrections of anchor 0: gene 7 e times up, gene 8 e times down; gene 9 belongs to anchor 1 */
    double one = column_sum(&x, column_of(20));
    assert_in_range((long)(100 * column_sum(&x, column_of(7)) / one), 200, 360);
    assert_in_range((long)(100 * column_sum(&x, column_of(8)) / one), 25, 50);
    assert_in_range((long)(100 * column_sum(&x, column_of(9)) / one), 70, 140);
    csr_done(&x);
    x = draw(g, (float[]){1, 3}, 3, 4000, NULL, NULL);
    int32_t *many = mem_must(4000 * sizeof *many);
    csr_done(&x);
    x = draw(g, (float[]){1, 3}, 3, 4000, NULL, many);
    int second = 0;
    for (int i = 0; i < 4000; i++)
        second += many[i];
    assert_in_range(second, 2850, 3150);
    free(many);
    csr_done(&x);
    generator_free(g);
}

static void emphasis_raises_a_gene_by_its_exponential(void **state)
{
    Generator *g = small();
    float emphasis[2 * GENES] = {0};
    emphasis[2 * 30] = logf(4);
    Csr x = draw(g, (float[]){1, 0}, 3, 200, NULL, NULL), y = draw(g, (float[]){1, 0}, 3, 200, emphasis, NULL);
    double ratio = column_sum(&y, column_of(30)) / column_sum(&x, column_of(30));
    assert_true(ratio > 3.4 && ratio < 4.2);
    csr_done(&x);
    csr_done(&y);
    generator_free(g);
}

static void size_of_cells_is_as_asked(void **state)
{
    Generator *g = small();
    File f;
    file_init(&f);
    Csr x;
    GenerateSpec s = {.weights = (float[]){1, 1}, .genes = &f.map, .n = 400, .seed = 1,
                      .log_size_mean = log(500), .log_size_sd = 0.1};
    assert_ok(generator_draw(g, &s, NULL, &x, NULL));
    double *sums = mem_must(400 * sizeof *sums), mean = 0;
    csr_row_sums(&x, sums);
    for (int i = 0; i < 400; i++)
        mean += sums[i] / 400;
    assert_true(mean > 490 && mean < 515);
    free(sums);
    csr_done(&x);
    generator_free(g);
}

static void refuses_too_few_genes_and_no_weight(void **state)
{
    Generator *g = small();
    File f;
    file_init(&f);
    Csr x;
    GenerateSpec s = {.weights = (float[]){0, 0}, .genes = &f.map, .n = 4, .seed = 1};
    assert_int_equal(generator_draw(g, &s, NULL, &x, NULL), ERR_NOT_FOUND);
    s.weights = (float[]){1, 0};
    f.map.n_file = 20;
    assert_int_equal(generator_draw(g, &s, NULL, &x, NULL), ERR_FEW_GENES);
    assert_non_null(strstr(err_message(), "of these 20 genes"));
    generator_free(g);
}

static void attention_goes_to_the_type_whose_text_is_near(void **state)
{
    Generator *g = small();
    const float text[3 * W] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}; /* types 0, 1, 1 */
    float w[2];
    generator_attend(g, (float[]){0, 0, 1, 0}, text, (int32_t[]){0, 1, 1}, 3, w);
    assert_true(w[1] > 0.99f && fabsf(w[0] + w[1] - 1) < 1e-5f);
    generator_attend(g, (float[]){0.6f, 0.58f, 0, 0.55f}, text, (int32_t[]){0, 1, 1}, 3, w);
    assert_true(w[0] > w[1] && w[1] > 0.1f);
    generator_free(g);
}

static void expression_at_the_anchors_is_a_share(void **state)
{
    Generator *g = small();
    float x[2 * 3];
    assert_ok(generator_expression(g, (int32_t[]){6, 10, 7}, 3, x)); /* genes 3 and 5; one it lacks */
    assert_true(x[0] > x[1] + 2 && x[3 + 1] > x[3 + 0] + 2);
    assert_true(x[2] == 0 && x[3 + 2] == 0);
    float *all = mem_must(2 * GENES * sizeof *all);
    assert_ok(generator_expression(g, g->gene, GENES, all));
    double sum = 0;
    for (int k = 0; k < GENES; k++)
        sum += expm1((double)all[k]);
    assert_true(fabs(sum - 1e4) < 10);
    free(all);
    generator_free(g);
}

/* ---- files ---- */

static CellTypes *types(void)
{
    CellTypes *t;
    char *path = in_folder("types"), *file = str_format("%s/a.json", path),
         *tree = str_format("%s/hierarchy.tsv", path);
    mkdir(path, 0777);
    FILE *f = fopen(file, "w");
    fputs("[{\"id\":\"CL:0000236\",\"name\":\"B cell\",\"synonyms\":[],\"other_languages\":[],"
          "\"lineage\":\"lymphoid lineage\",\"tissues\":[\"blood\"],\"function\":\"makes antibodies.\","
          "\"texts\":[\"a\"],\"high\":[\"A\"],\"low\":[\"B\"]}]",
          f);
    fclose(f);
    f = fopen(tree, "w");
    fputs("id\tname\tancestors\nCL:0000236\tB cell\t\n", f);
    fclose(f);
    assert_ok(celltypes_load(path, &t));
    unlink(file);
    unlink(tree);
    rmdir(path);
    free(path);
    free(file);
    free(tree);
    return t;
}

static void save_and_load_give_the_same_cells(void **state)
{
    Generator *g = small(), *h;
    CellTypes *t = types();
    assert_ok(generator_save(g, folder_path()));
    assert_ok(generator_load(folder_path(), t, 2 * GENES, W, &h));
    assert_int_equal(h->type[0], celltypes_find_id(t, "CL:0000236"));
    assert_int_equal(h->type[1], -1); /* not in this library */
    assert_string_equal(h->anchor[1].type_name, "monocyte");
    assert_string_equal(h->anchor[1].tissue, "liver");
    assert_true(h->anchor[0].measured && h->anchor[0].n == 50);
    Csr a = draw(g, (float[]){1, 1}, 5, 30, NULL, NULL), b = draw(h, (float[]){1, 1}, 5, 30, NULL, NULL);
    size_t differ = 0;
    assert_true(labs((long)csr_nnz(&a) - (long)csr_nnz(&b)) < 30); /* stored as int8 rows: about 1 % */
    for (size_t i = 0; i < 2 * GENES; i++) {
        double before = column_sum(&a, (int)i), after = column_sum(&b, (int)i);
        differ += fabs(before - after) > 20 + 0.05 * before;
    }
    assert_int_equal(differ, 0);
    csr_done(&a);
    csr_done(&b);
    generator_free(g);
    generator_free(h);
    celltypes_free(t);
}

static void replace_in(const char *file, const char *from, const char *to)
{
    char *path = in_folder(file), *data, *at;
    assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &data, NULL));
    at = strstr(data, from);
    assert_non_null(at);
    FILE *f = fopen(path, "w");
    fprintf(f, "%.*s%s%s", (int)(at - data), data, to, at + strlen(from));
    fclose(f);
    free(data);
    free(path);
}

static void damaged_files_are_named(void **state)
{
    const struct {
        const char *from, *to, *says;
    } bad[] = {{"\"latent\":\t1", "\"latent\":\t2", "decoder.0.weight"},
               {"\"genes\":\t80", "\"genes\":\t81", "decoder.table"},
               {"\"genes\":\t80", "\"genes\":\t1e99", "genes"},
               {"\"embed\":\t2", "\"embed\":\t-1", "embed"},
               {"\"shifts\":\t3", "\"shifts\":\t4", "shift.value"},
               {"\"tissue\":\t\"liver\"", "\"tissue\":\t3", "tissue"},
               {"\"text_width\":\t4", "\"text_width\":\t5", "text_width"},
               {"\"dispersion\":\t3", "\"dispersion\":\t-3", "dispersion"},
               {"{", "[", "not a JSON object"}};
    CellTypes *t = types();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Generator *g = small(), *h = NULL;
        assert_ok(generator_save(g, folder_path()));
        generator_free(g);
        replace_in("generator.json", bad[i].from, bad[i].to);
        assert_int_equal(generator_load(folder_path(), t, 2 * GENES, W, &h), ERR_MODEL);
        assert_non_null(strstr(err_message(), "generator."));
        assert_non_null(strstr(err_message(), bad[i].says));
    }
    Generator *g = small(), *h = NULL; /* genes beyond the model's */
    assert_ok(generator_save(g, folder_path()));
    generator_free(g);
    assert_int_equal(generator_load(folder_path(), t, GENES, W, &h), ERR_MODEL);
    assert_non_null(strstr(err_message(), "tensor gene"));
    celltypes_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_gives_the_same_cells_at_any_thread_count),
        cmocka_unit_test(first_cells_do_not_depend_on_how_many_follow),
        cmocka_unit_test(counts_are_whole_and_columns_ascend),
        cmocka_unit_test(weights_choose_the_anchor_and_its_genes),
        cmocka_unit_test(emphasis_raises_a_gene_by_its_exponential),
        cmocka_unit_test(size_of_cells_is_as_asked),
        cmocka_unit_test(refuses_too_few_genes_and_no_weight),
        cmocka_unit_test(attention_goes_to_the_type_whose_text_is_near),
        cmocka_unit_test(expression_at_the_anchors_is_a_share),
        cmocka_unit_test(save_and_load_give_the_same_cells),
        cmocka_unit_test(damaged_files_are_named),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
