/* A model imported from tiny public parts behind everything that the program does with a model: vectors,
 * similarity, match probability, words, new cells, compared with torch and transformers
 * (tests/ref/imported.py), and the session's own commands on top. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/dataset.h"
#include "core/data/store.h"
#include "core/model/ckpt.h"
#include "core/model/export.h"
#include "core/model/import.h"
#include "core/model/imported.h"
#include "core/model/library_kept.h"
#include "core/session/session.h"

#define GOLDEN "tests/golden/imported/"
enum { CELLS = 24, TEXTS = 3, EMPTY = 5 };
static const char *const TEXT[TEXTS] = {"cell type: blood cell.", "CD4+ T cell with CD19",
                                        "lymphocyte"};
static const char PROMPT[] = "B cell with CD19 and MS4A1";
static char bundle[64];
static Store *expected;

static int set_up(void **state)
{
    ImportReport r;
    ImportSpec s = {.scgpt = GOLDEN "scgpt",
                    .bert = GOLDEN "bert",
                    .llama = GOLDEN "llama",
                    .lightning = {GOLDEN "stage1.ckpt", GOLDEN "stage2.ckpt"},
                    .n_lightning = 2,
                    .out = bundle};
    snprintf(bundle, sizeof bundle, "/tmp/scmm_imported_%ld", (long)getpid());
    char *cache = str_format("%s.cache", bundle);
    assert_int_equal(setenv("XDG_CACHE_HOME", cache, 1), 0);
    free(cache);
    assert_ok(import_bundle(&s, NULL, &r));
    import_report_done(&r);
    assert_ok(store_open_h5(GOLDEN "expected.h5", &expected));
    return 0;
}

static int tear_down(void **state)
{
    char *cmd = str_format("rm -rf '%s' '%s.cache'", bundle, bundle);
    store_close(expected);
    int rc = system(cmd);
    free(cmd);
    return rc;
}

static void *golden(const char *name, MemType type, size_t *n)
{
    Array *x;
    void *v = NULL;
    assert_ok(store_open_array(expected, name, &x));
    assert_ok(array_read_all(x, SIZE_MAX, type, &v));
    if (n)
        *n = (size_t)x->info.count;
    array_close(x);
    return v;
}

static void near(const char *name, const float *got, size_t n, double tolerance)
{
    size_t have;
    float *want = golden(name, MEM_F32, &have);
    assert_int_equal(have, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) < tolerance))
            fail_msg("%s[%zu] = %g, not %g", name, i, (double)got[i], (double)want[i]);
    free(want);
}

typedef struct Opened {
    Model *m;
    Dataset *d;
    GeneMap map;
    CellTokens tokens;
} Opened;

static void open_all(Opened *o)
{
    const char *const *names;
    size_t n;
    Csr rows;
    assert_ok(model_load(bundle, "assets/celltypes", "cpu", NULL, &o->m));
    assert_ok(dataset_open(GOLDEN "cells.h5ad", NULL, NULL, &o->d));
    int matrix = dataset_working_matrix(o->d);
    assert_ok(dataset_gene_names(o->d, matrix, &names, &n));
    assert_ok(model_map_genes(o->m, names, n, 30, &o->map));
    assert_int_equal(o->map.matched, 160);
    assert_ok(dataset_read_rows(o->d, matrix, 0, CELLS, NULL, &rows));
    assert_ok(model_tokenize_cells(o->m, &o->map, &rows, false, &o->tokens));
    csr_done(&rows);
}

static void close_all(Opened *o)
{
    cell_tokens_done(&o->tokens);
    gene_map_done(&o->map);
    dataset_close(o->d);
    model_free(o->m);
}

static void cells_and_texts_agree_with_torch(void **state)
{
    Opened o;
    CellVectors v;
    TextVectors t;
    float s[CELLS * TEXTS], p[CELLS * TEXTS];
    size_t cell[CELLS * TEXTS], text[CELLS * TEXTS];
    open_all(&o);
    const ModelDesc *d = model_desc(o.m);
    assert_true(d->has_match && d->has_decoder && d->has_generator);
    assert_int_equal(d->queries, 4);
    assert_ok(model_embed_cells(o.m, &o.tokens, NULL, &v));
    near("X_scgpt", v.cls, CELLS * v.c, 5e-6);
    near("X_scmmgpt", v.x, CELLS * v.d, 5e-6);
    assert_ok(model_embed_texts(o.m, TEXT, TEXTS, NULL, &t));
    near("texts", t.vec, TEXTS * t.d, 5e-6);
    model_similarity(o.m, v.query, CELLS, t.vec, TEXTS, s);
    near("sim", s, CELLS * TEXTS, 5e-6);
    for (size_t i = 0; i < CELLS * TEXTS; i++) {
        cell[i] = i / TEXTS;
        text[i] = i % TEXTS;
    }
    assert_ok(model_match(o.m, &o.tokens, cell, &(MatchTexts){t.raw, TEXT}, text, CELLS * TEXTS,
                          NULL, p));
    near("match", p, CELLS * TEXTS, 5e-6);
    text_vectors_done(&t);
    cell_vectors_done(&v);
    close_all(&o);
}

static void keep_text(void *user, const char *utf8)
{
    str_add(user, utf8);
}

static void words_about_a_cell_are_those_of_transformers(void **state)
{
    Opened o;
    open_all(&o);
    for (int k = 0; k < 6; k++) {
        size_t row = (size_t)k % 3, n;
        char *key = str_format("tell/%s%zu", k < 3 ? "greedy" : "beam5", row), *text;
        int32_t *ids = golden(key, MEM_I32, &n);
        Str streamed = {0};
        JobCtl job = {.on_text = keep_text, .user = &streamed};
        DescribeSpec s = {.cells = &o.tokens,
                          .rows = &row,
                          .n_rows = 1,
                          .beams = k < 3 ? 1 : 5,
                          .max_tokens = 24};
        DescribeResult r;
        assert_ok(model_describe(o.m, &s, &job, &r));
        assert_int_equal(r.tokens, n);
        assert_ok(tokenizer_decode(((struct Model *)o.m)->imported->lm_words, ids, n, true, &text, NULL));
        assert_string_equal(r.text, text);
        assert_string_equal(str_text(&streamed), text);
        describe_result_done(&r);
        str_free(&streamed);
        free(text);
        free(ids);
        free(key);
    }
    close_all(&o);
}

/* Cells of a size so large that shares show through the counting noise. */
static void new_cells_follow_the_expression_decoder(void **state)
{
    Opened o;
    Csr x, again;
    size_t n;
    open_all(&o);
    float *share = golden("share", MEM_F32, &n);
    assert_int_equal(n, o.map.n_file);
    GenerateSpec s = {.genes = &o.map, .prompt = PROMPT, .n = 2, .seed = 3, .log_size_mean = 20};
    assert_ok(model_generate(o.m, &s, NULL, &x, NULL));
    double size = exp(20.0), *count = mem_must(n * sizeof *count);
    for (int64_t k = 0; k < x.indptr[1]; k++)
        count[x.indices[k]] = (double)x.values[k];
    for (size_t i = 0; i < n; i++) {
        double want = size * (double)share[i];
        if (!(fabs(count[i] - want) < 6 * sqrt(want) + 3e-6 * size))
            fail_msg("column %zu: %g, not about %g", i, count[i], want);
    }
    assert_ok(model_generate(o.m, &s, NULL, &again, NULL));
    assert_int_equal(csr_nnz(&x), csr_nnz(&again));
    assert_memory_equal(x.values, again.values, csr_nnz(&x) * sizeof *x.values);
    csr_done(&x);
    csr_done(&again);
    free(count);
    free(share);
    close_all(&o);
}

static void bins_are_those_of_numpy(void **state)
{
    size_t n;
    float *x = golden("bin_x", MEM_F32, &n);
    float *room = mem_must(n * sizeof *room), *code = mem_must(n * sizeof *code);
    double *r = mem_must(n * sizeof *r);
    pipeline_bin(x, n, 51, NULL, room, code);
    near("bin_left", code, n, 0.5);
    for (size_t i = 0; i < n; i++)
        r[i] = 1; /* beyond what is drawn: the lower end itself */
    pipeline_bin(x, n, 51, r, room, code);
    near("bin_right", code, n, 0.5);
    free(x);
    free(room);
    free(code);
    free(r);
    /* by hand, model specification section 10 */
    const float y[15] = {1, 1, 1, 2, 2, 3, 5, 8, 13, 1, 1, 4, 7, 7, 2};
    float s[15], c[15];
    pipeline_bin(y, 15, 51, NULL, s, c);
    assert_true(c[8] == 50);
    for (int i = 0; i < 15; i++)
        assert_true(c[i] >= 1 && c[i] <= 50);
}

static void values_of_a_cell_are_what_its_encoder_was_trained_on(void **state)
{
    int32_t gene[5];
    float value[5], room[10];
    const int32_t genes[5] = {4, -1, 2, 9, 7};
    const float counts[5] = {3, 8, 1, 600, 3};
    Pipeline p = {.kind = VALUES_RAW, .most = 3, .n_bins = 51};
    memcpy(gene, genes, sizeof gene);
    memcpy(value, counts, sizeof value);
    assert_int_equal(pipeline_apply(&p, gene, value, 5, 615, false, room), 3);
    assert_true(gene[0] == 4 && gene[1] == 9 && gene[2] == 7 && value[1] == 600);
    p.kind = VALUES_RANK;
    p.most = 9;
    memcpy(gene, genes, sizeof gene);
    memcpy(value, counts, sizeof value);
    assert_int_equal(pipeline_apply(&p, gene, value, 5, 615, false, room), 4);
    assert_true(fabs((double)value[2] - 2.03445) < 1e-5); /* 600 is the largest */
    assert_true(fabs((double)value[0] - 1.91547) < 1e-5); /* the first of two equal ones */
    assert_true(fabs((double)value[3] - 1.83105) < 1e-5);
    assert_true(pipeline_cls(&p, 4) < value[1]);
    p.kind = VALUES_LOGNORM;
    memcpy(gene, genes, sizeof gene);
    memcpy(value, counts, sizeof value);
    assert_int_equal(pipeline_apply(&p, gene, value, 5, 615, false, room), 4);
    assert_true(fabs((double)value[0] - log1p(1e4 * 3 / 615)) < 1e-5);
    p.kind = VALUES_BINNED;
    p.most = 2;
    memcpy(gene, genes, sizeof gene);
    memcpy(value, counts, sizeof value);
    assert_int_equal(pipeline_apply(&p, gene, value, 5, 615, false, room), 2);
    int32_t first = gene[0];
    memcpy(gene, genes, sizeof gene);
    memcpy(value, counts, sizeof value);
    assert_int_equal(pipeline_apply(&p, gene, value, 5, 615, false, room), 2);
    assert_int_equal(gene[0], first); /* the same cell, the same choice */
}

static void every_command_works_on_an_imported_bundle(void **state)
{
    SessionParams p = session_params_default();
    Session *s;
    Annotation *a;
    QueryResult *q;
    Description *d;
    Generated *g;
    p.model_dir = bundle;
    p.device = "cpu";
    assert_ok(session_open(&p, GOLDEN "cells.h5ad", NULL, &s));
    AnnotateParams ap = annotate_params_default();
    ap.rerank = 2;
    assert_ok(session_annotate(s, &ap, NULL, NULL, &a));
    for (size_t i = 0; i < CELLS; i++)
        assert_true(a->label[i] >= 0 && a->probability[i] > 0 && a->probability[i] <= 1);
    annotation_free(a);
    assert_ok(session_query(s, "B cells", NULL, &q));
    query_result_free(q);
    assert_err(session_query(s, "qwertyuiop asdf", NULL, &q), ERR_NOT_FOUND);
    DescribeParams dp = describe_params_default();
    assert_ok(session_describe_cell(s, 0, &dp, NULL, &d));
    assert_true(d->tokens >= 8 && d->text[0] && !d->corrected);
    description_free(d);
    GenerateParams gp = {.prompt = PROMPT, .n = 3, .seed = 1};
    assert_ok(session_generate(s, &gp, NULL, NULL, &g));
    assert_int_equal(g->counts.rows, 3);
    assert_true(csr_nnz(&g->counts) > 0 && g->nearest_label[0][0] && g->quality);
    generated_free(g);
    session_close(s);
}

/* Copy of the vectors that a model started anew gives to the library's texts; *n numbers. */
static float *library_texts(size_t *n, size_t *d, char **key)
{
    Model *m;
    const LibraryVectors *l;
    assert_ok(model_load(bundle, "assets/celltypes", "cpu", NULL, &m));
    assert_ok(model_library(m, NULL, &l));
    const ModelDesc *about = model_desc(m);
    *d = about->dim;
    *n = l->n_texts * *d;
    *key = library_kept_key(about->sha256, about->device, l->text_string, l->n_texts);
    float *v = mem_must(*n * sizeof *v);
    memcpy(v, l->text, *n * sizeof *v);
    model_free(m);
    return v;
}

static void texts_of_the_library_are_read_once(void **state)
{
    size_t n, d;
    char *key, *again;
    float *v = library_texts(&n, &d, &key), *w = mem_must(n * sizeof *w), *x;
    assert_true(library_kept_read(key, n, 1, w) == false); /* another width */
    x = library_texts(&n, &d, &again);
    assert_string_equal(key, again);
    assert_memory_equal(v, x, n * sizeof *v);
    free(x);
    free(again);
    assert_true(library_kept_read(key, n / d, d, w));
    assert_memory_equal(v, w, n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        w[i] = -v[i];
    library_kept_write(key, n / d, d, w); /* what is kept is what is used */
    x = library_texts(&n, &d, &again);
    assert_memory_equal(w, x, n * sizeof *x);
    free(x);
    free(again);
    char *damage = str_format("truncate -s 100 %s.cache/scmmgpt/%s", bundle, key);
    assert_int_equal(system(damage), 0);
    x = library_texts(&n, &d, &again);
    assert_memory_equal(v, x, n * sizeof *x);
    free(damage);
    free(x);
    free(again);
    free(key);
    free(v);
    free(w);
}

/* Every tensor of a checkpoint under `prefix` in a file of the exported folder, number for number. */
static size_t same_tensors(const char *file, const char *prefix, StFile *f, const char *other)
{
    Ckpt *c = ckpt_new();
    size_t n = 0;
    assert_ok(ckpt_add_file(c, file));
    for (size_t i = 0; i < ckpt_count(c); i++) {
        const CkTensor *t = ckpt_at(c, i);
        char *name = str_format("%s%s", other, t->name + strlen(prefix));
        const StTensor *s = st_find(f, name);
        if (!s)
            fail_msg("%s: %s is nowhere in the bundle", file, t->name);
        assert_int_equal(t->elements, s->elements);
        float *a = mem_must(t->elements * 4 + 1), *b = mem_must(t->elements * 4 + 1);
        ckpt_read_f32(t, a);
        assert_ok(st_read_f32(f, s, b));
        assert_memory_equal(a, b, t->elements * 4);
        n++;
        free(a);
        free(b);
        free(name);
    }
    ckpt_free(c);
    return n;
}

static void what_is_exported_is_what_was_imported(void **state)
{
    char *out = str_format("%s.out", bundle), *cmd = str_format("rm -rf '%s'", out);
    char *main = str_format("%s/model.safetensors", bundle),
         *lm = str_format("%s/lm.safetensors", bundle),
         *pt = str_format("%s/best_model.pt", out),
         *hf = str_format("%s/model.safetensors", out);
    StFile *f, *l;
    assert_ok(st_open(main, &f));
    assert_ok(st_open(lm, &l));
    ExportSpec s = {.bundle = bundle, .to_scgpt = true, .out = out};
    assert_ok(export_bundle(&s, NULL));
    assert_int_equal(same_tensors(pt, "", f, "cell_encoder.model."), 33);
    assert_err(export_bundle(&s, NULL), ERR_GENERAL); /* nothing is overwritten */
    assert_int_equal(system(cmd), 0);
    s.to_scgpt = false;
    assert_ok(export_bundle(&s, NULL));
    assert_true(same_tensors(hf, "", l, "") > 10);
    assert_int_equal(system(cmd), 0);
    s.member = 1;
    assert_err(export_bundle(&s, NULL), ERR_MODEL);
    assert_int_not_equal(access(out, F_OK), 0);
    st_close(f);
    st_close(l);
    free(main);
    free(lm);
    free(pt);
    free(hf);
    free(cmd);
    free(out);
}

/* A cell encoder alone embeds cells; what needs texts says which part is missing. */
static void a_cell_encoder_alone_embeds(void **state)
{
    ImportReport r;
    Opened o;
    CellVectors v;
    TextVectors t;
    char whole[sizeof bundle], *dir = str_format("%s.c", bundle), *cmd = str_format("rm -rf '%s'", dir);
    ImportSpec s = {.scgpt = GOLDEN "scgpt", .cell_values = "raw", .out = dir};
    assert_ok(import_bundle(&s, NULL, &r));
    import_report_done(&r);
    memcpy(whole, bundle, sizeof whole);
    snprintf(bundle, sizeof bundle, "%s", dir);
    open_all(&o);
    assert_ok(model_embed_cells(o.m, &o.tokens, NULL, &v));
    near("X_scgpt", v.cls, CELLS * v.c, 5e-6);
    assert_int_equal(v.d, 0);
    assert_err(model_embed_texts(o.m, TEXT, TEXTS, NULL, &t), ERR_MODEL);
    assert_non_null(strstr(err_message(), "Q-Former"));
    cell_vectors_done(&v);
    close_all(&o);
    memcpy(bundle, whole, sizeof bundle);
    assert_int_equal(system(cmd), 0);
    free(dir);
    free(cmd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cells_and_texts_agree_with_torch),
        TEST(words_about_a_cell_are_those_of_transformers),
        TEST(new_cells_follow_the_expression_decoder),
        TEST(bins_are_those_of_numpy),
        TEST(values_of_a_cell_are_what_its_encoder_was_trained_on),
        TEST(every_command_works_on_an_imported_bundle),
        TEST(texts_of_the_library_are_read_once),
        TEST(what_is_exported_is_what_was_imported),
        TEST(a_cell_encoder_alone_embeds),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
