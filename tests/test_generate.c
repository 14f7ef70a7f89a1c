/* Words to cells and cells to words, with the shipped model. The "real" file is made of drawn B cells
 * and monocytes, so that the right answers are known. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/h5ad_write.h"
#include "core/session/generated_file.h"
#include "core/session/session.h"

enum { EACH = 30, N = 2 * EACH };
static char path[] = "/tmp/scmmgpt_generate_XXXXXX.h5ad", out[] = "/tmp/scmmgpt_written_XXXXXX.h5ad";
static Session *empty, *real; /* kept over the tests: loading costs more than testing */

static Generated *generate(Session *s, const char *prompt, size_t n, uint64_t seed, const char *key,
                           const Map *map)
{
    GenerateParams p = {.prompt = prompt, .n = n, .seed = seed, .label_key = key};
    Generated *g;
    assert_ok(session_generate(s, &p, map, NULL, &g));
    return g;
}

/* B cells, then monocytes, in one matrix. */
static void write_real(void)
{
    Generated *g[2] = {generate(empty, "B cell", EACH, 11, NULL, NULL),
                       generate(empty, "classical monocyte", EACH, 12, NULL, NULL)};
    Csr x;
    size_t nnz = csr_nnz(&g[0]->counts), all = nnz + csr_nnz(&g[1]->counts);
    assert_ok(csr_init(&x, N, g[0]->n_genes, all));
    for (int k = 0; k < 2; k++) {
        const Csr *c = &g[k]->counts;
        size_t at = k ? nnz : 0;
        memcpy(x.indices + at, c->indices, csr_nnz(c) * sizeof *x.indices);
        memcpy(x.values + at, c->values, csr_nnz(c) * sizeof *x.values);
        for (size_t i = 0; i < EACH; i++)
            x.indptr[(size_t)k * EACH + i + 1] = c->indptr[i + 1] + (int64_t)at;
    }
    const char *label[N], *name[N];
    char names[N][12];
    for (int i = 0; i < N; i++) {
        label[i] = i < EACH ? "B cells" : "CD14+ Mono";
        snprintf(names[i], sizeof names[i], "c%d", i);
        name[i] = names[i];
    }
    Column *obs = column_categories_of("kind", label, N);
    H5adContent c = {.cells = N,
                     .genes = g[0]->n_genes,
                     .x = &x,
                     .x_integer = true,
                     .cell_names = name,
                     .gene_names = (const char *const *)g[0]->genes,
                     .obs = (const Column *const *)&obs,
                     .n_obs = 1};
    assert_ok(h5ad_write(path, &c, true, NULL));
    column_free(obs);
    csr_done(&x);
    generated_free(g[0]);
    generated_free(g[1]);
}

static int open_all(void **state)
{
    SessionParams p = session_params_default();
    p.device = "cpu";
    close(mkstemps(path, 5));
    close(mkstemps(out, 5));
    assert_ok(session_open_empty(&p, &empty));
    write_real();
    assert_ok(session_open(&p, path, NULL, &real));
    return 0;
}

static int close_all(void **state)
{
    session_close(real);
    session_close(empty);
    unlink(path);
    unlink(out);
    return 0;
}

/* ---- words to cells ---- */

static void cells_without_a_file_have_the_models_genes_and_whole_counts(void **state)
{
    Generated *g = generate(empty, "natural killer cells", 12, 3, NULL, NULL);
    assert_int_equal(g->counts.rows, 12);
    assert_true(g->n_genes > 15000);
    assert_null(g->quality);
    assert_null(g->xy);
    for (size_t k = 0; k < csr_nnz(&g->counts); k++)
        assert_true(g->counts.values[k] >= 1 && g->counts.values[k] == floorf(g->counts.values[k]));
    assert_non_null(strstr(g->understood, "natural killer cell"));
    generated_free(g);
}

static void new_cells_are_taken_for_what_was_asked(void **state)
{
    Generated *g = generate(empty, "B cell", 20, 3, NULL, NULL);
    int right = 0;
    for (int i = 0; i < 20; i++)
        right += strstr(g->nearest_label[i], "B cell") || strstr(g->nearest_label[i], "B-lineage");
    assert_true(right >= 12);
    for (size_t i = 0; i < 20; i++) {
        double s = 0;
        for (size_t k = 0; k < g->d; k++)
            s += (double)g->x_scmmgpt[i * g->d + k] * g->x_scmmgpt[i * g->d + k];
        assert_true(fabs(s - 1) < 1e-3);
    }
    generated_free(g);
}

static void seed_decides_the_cells(void **state)
{
    Generated *a = generate(empty, "T cell", 5, 1, NULL, NULL), *b = generate(empty, "T cell", 5, 1, NULL, NULL),
              *c = generate(empty, "T cell", 5, 2, NULL, NULL);
    assert_int_equal(csr_nnz(&a->counts), csr_nnz(&b->counts));
    assert_memory_equal(a->counts.values, b->counts.values, csr_nnz(&a->counts) * sizeof(float));
    assert_true(csr_nnz(&a->counts) != csr_nnz(&c->counts) ||
                memcmp(a->counts.values, c->counts.values, csr_nnz(&a->counts) * sizeof(float)) != 0);
    generated_free(a);
    generated_free(b);
    generated_free(c);
}

static void what_means_nothing_is_refused(void **state)
{
    GenerateParams p = {.prompt = "interest rates and inflation", .n = 5};
    Generated *g;
    assert_int_equal(session_generate(empty, &p, NULL, NULL, &g), ERR_NOT_FOUND);
    p = (GenerateParams){.prompt = "B cell", .n = 0};
    assert_int_equal(session_generate(empty, &p, NULL, NULL, &g), ERR_USAGE);
    p = (GenerateParams){.prompt = "B cell", .n = 5, .genes_from = "/nowhere.h5ad"};
    assert_int_equal(session_generate(empty, &p, NULL, NULL, &g), ERR_INPUT);
}

/* A type no training cell has is written by its markers. */
static void platelets_have_platelet_genes(void **state)
{
    Generated *g = generate(empty, "platelets", 10, 1, NULL, NULL);
    double ppbp = 0, cd79a = 0, all = 0;
    for (size_t k = 0; k < csr_nnz(&g->counts); k++) {
        const char *name = g->genes[g->counts.indices[k]];
        all += g->counts.values[k];
        ppbp += strcmp(name, "PPBP") == 0 ? g->counts.values[k] : 0;
        cd79a += strcmp(name, "CD79A") == 0 ? g->counts.values[k] : 0;
    }
    assert_true(ppbp / all > 0.005);
    assert_true(cd79a / all < 0.0005);
    generated_free(g);
}

static void quality_tells_right_from_wrong(void **state)
{
    Generated *g = generate(real, "B cell", 25, 5, "kind", NULL);
    const Quality *q = g->quality;
    assert_non_null(q);
    assert_true(q->knn_acc[0][1] > 0.8);
    assert_true(q->knn_acc[1][1] < 0.5 || strstr(q->nearest_types[1], "B cells"));
    assert_true(q->mmd[0] < q->mmd[1] && q->emd[0] < q->emd[1]);
    assert_true(q->diversity > 0.35 && q->diversity < 2); /* of 25 cells in as many components as there are */
    assert_true(q->counts_median > 0.6 * q->counts_median_real && q->counts_median < 1.6 * q->counts_median_real);
    assert_true(q->genes_median > 0.6 * q->genes_median_real && q->genes_median < 1.6 * q->genes_median_real);
    assert_non_null(strstr(q->nearest_types[0], "B cells"));
    assert_non_null(strstr(q->high, "CD79A"));
    assert_true(q->shuffled_prompt[0] && strcmp(q->shuffled_prompt, q->prompt) != 0);
    generated_free(g);
}

static void type_that_the_file_lacks_has_no_accuracy(void **state)
{
    Generated *g = generate(real, "pancreatic beta cell", 6, 5, "kind", NULL);
    assert_true(isnan(g->quality->knn_acc[0][0]));
    assert_true(isnan(g->quality->mmd[0]) && isnan(g->quality->genes_median_real));
    assert_true(g->quality->genes_median > 0);
    generated_free(g);
}

static void new_cells_land_beside_their_kind_on_the_map(void **state)
{
    float xy[2 * N];
    Map map = {.name = (char *)"X_umap", .n = N, .xy = xy};
    for (int i = 0; i < N; i++) { /* B cells around (0,0), monocytes around (10,0) */
        xy[2 * i] = (i < EACH ? 0.f : 10.f) + 0.02f * (float)(i % 7);
        xy[2 * i + 1] = 0.02f * (float)(i % 5);
    }
    Generated *g = generate(real, "CD14+ monocytes", 15, 5, "kind", &map);
    int near = 0;
    for (int i = 0; i < 15; i++)
        near += fabsf(g->xy[2 * i] - 10) < 3;
    assert_true(near >= 13);
    generated_free(g);
}

static void written_cells_come_back(void **state)
{
    Generated *g = generate(real, "B cell", 8, 9, "kind", NULL);
    Provenance from = {.command = "test", .version = "0", .seed = 9, .prompt = "B cell"};
    Dataset *d;
    const Column *c;
    Csr x;
    assert_ok(generated_write(g, &from, out, true, NULL));
    assert_ok(dataset_open(out, NULL, NULL, &d));
    assert_int_equal(dataset_cells(d), 8);
    assert_ok(dataset_read_rows(d, dataset_model_matrix(d), 0, 8, NULL, &x));
    assert_int_equal(csr_nnz(&x), csr_nnz(&g->counts));
    assert_memory_equal(x.values, g->counts.values, csr_nnz(&x) * sizeof *x.values);
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "seed"), &c));
    assert_true(c->numbers[7] == 9);
    assert_ok(dataset_obs(d, (size_t)dataset_find_obs(d, "generated"), &c));
    assert_int_equal(c->codes[0], 1);
    assert_true(dataset_find_obs(d, "prompt") >= 0 && dataset_find_obs(d, "nearest_label") >= 0);
    assert_true(dataset_find_obsm(d, "X_scmmgpt") >= 0);
    csr_done(&x);
    dataset_close(d);
    generated_free(g);
}

/* ---- cells to words ---- */

static void check_description(const Description *d)
{
    assert_true(d->text[0] && d->text[strlen(d->text) - 1] == '.');
    assert_non_null(strstr(d->text, d->label));
    assert_true(strstr(d->text, "This is") == d->text || strstr(d->text, "Most likely") == d->text);
    assert_true(d->n_markers > 0);
    for (size_t i = 0; i < d->n_markers; i++) {
        assert_non_null(strstr(d->text, d->markers_named[i]));
        assert_int_equal(d->markers_expressed[i], 1);
    }
}

static void genes_named_have_counts_in_the_cell(void **state)
{
    DescribeParams p = describe_params_default();
    Dataset *data = session_dataset(real);
    for (size_t cell = 0; cell < N; cell += 20) {
        Description *d;
        Csr x;
        const char *const *genes;
        size_t n;
        int m = dataset_model_matrix(data);
        assert_ok(session_describe_cell(real, cell, &p, NULL, &d));
        check_description(d);
        assert_ok(dataset_gene_names(data, m, &genes, &n));
        assert_ok(dataset_read_rows(data, m, cell, 1, NULL, &x));
        for (size_t i = 0; i < d->n_markers; i++) {
            bool found = false;
            for (size_t k = 0; k < csr_nnz(&x); k++)
                found |= strcmp(genes[x.indices[k]], d->markers_named[i]) == 0;
            assert_true(found);
        }
        csr_done(&x);
        description_free(d);
    }
}

static void count_text(void *user, const char *utf8)
{
    str_add(user, utf8);
}

static void set_is_described_and_streamed(void **state)
{
    DescribeParams p = describe_params_default();
    Selection *s;
    Description *d;
    Str seen = {0};
    JobCtl ctl = {.on_text = count_text, .user = &seen};
    assert_ok(session_select(real, "kind=\"CD14+ Mono\"", NULL, &s));
    assert_int_equal(s->n, EACH);
    assert_ok(session_describe_set(real, s, "monocytes", &p, &ctl, &d));
    check_description(d);
    assert_non_null(strstr(d->label, "monocyte"));
    assert_string_equal(d->subject, "monocytes");
    assert_string_equal(str_text(&seen), d->text); /* nothing twice, nothing missing */
    str_free(&seen);
    description_free(d);
    selection_free(s);
}

static void decodings_are_named_and_seeded(void **state)
{
    DescribeParams p = describe_params_default();
    Description *a, *b;
    p.decoding = DECODE_SAMPLE;
    p.temperature = 0.7;
    p.seed = 4;
    assert_ok(session_describe_cell(real, 2, &p, NULL, &a));
    assert_ok(session_describe_cell(real, 2, &p, NULL, &b));
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->decoding, "temperature 0.7");
    assert_int_equal(a->seed, 4);
    check_description(a);
    description_free(a);
    description_free(b);
    p.decoding = DECODE_BEAM;
    p.beams = 3;
    assert_ok(session_describe_cell(real, 2, &p, NULL, &a));
    assert_string_equal(a->decoding, "beams 3");
    check_description(a);
    description_free(a);
}

static void what_is_not_there_is_not_described(void **state)
{
    DescribeParams p = describe_params_default();
    Description *d;
    Selection *s;
    assert_int_equal(session_describe_cell(real, N, &p, NULL, &d), ERR_NOT_FOUND);
    assert_int_equal(session_describe_cell(empty, 0, &p, NULL, &d), ERR_NOT_FOUND);
    assert_ok(session_select(real, "MS4A1>100000", NULL, &s));
    assert_int_equal(session_describe_set(real, s, "none", &p, NULL, &d), ERR_NOT_FOUND);
    selection_free(s);
}

static void cancel(void *user, const char *utf8)
{
    atomic_store(&((JobCtl *)user)->cancel, ERR_CANCELLED);
}

static void stopped_description_keeps_what_was_written(void **state)
{
    DescribeParams p = describe_params_default();
    Description *d;
    JobCtl ctl = {.on_text = cancel};
    ctl.user = &ctl;
    assert_ok(session_describe_cell(real, 1, &p, &ctl, &d));
    assert_true(d->cancelled);
    assert_true(d->text[0] && strlen(d->text) < 60);
    description_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cells_without_a_file_have_the_models_genes_and_whole_counts),
        TEST(new_cells_are_taken_for_what_was_asked),
        TEST(seed_decides_the_cells),
        TEST(what_means_nothing_is_refused),
        TEST(platelets_have_platelet_genes),
        TEST(quality_tells_right_from_wrong),
        TEST(type_that_the_file_lacks_has_no_accuracy),
        TEST(new_cells_land_beside_their_kind_on_the_map),
        TEST(written_cells_come_back),
        TEST(genes_named_have_counts_in_the_cell),
        TEST(set_is_described_and_streamed),
        TEST(decodings_are_named_and_seeded),
        TEST(what_is_not_there_is_not_described),
        TEST(stopped_description_keeps_what_was_written),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
