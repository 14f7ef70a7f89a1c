/* Training from files to a bundle in a world of three cell types and sixty genes: what is learned,
 * what a stopped run gives, what the bundle does when it is used. */
#include "tests/util.h"
#include "tests/util_folder.h"
#include "tests/util_model.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/base/str.h"
#include "core/data/dataset.h"
#include "core/data/h5ad_write.h"
#include "core/model/bundle.h"
#include "core/model/ckpt.h"
#include "core/model/export.h"
#include "core/model/import.h"
#include "core/model/lm_compare.h"
#include "core/model/model.h"
#include "core/model/parts.h"
#include "core/train/train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GENES = 60, CELLS = 90, TYPES = 3, OWN = 8 };
static char names[GENES][16];
static const char *const TYPE_NAMES[TYPES] = {"alpha cell", "beta cell", "gamma cell"};

/* Type t expresses genes t*OWN .. t*OWN+OWN-1 on top of a common rest. */
static double rate(size_t type, size_t gene)
{
    return gene >= TYPES * OWN ? 1.5 : gene / OWN == type ? 8 : 0.15;
}

static void write_cells(const char *name, bool averages)
{
    Csr x;
    size_t n = averages ? 6 : CELLS, at = 0;
    const char *gene_names[GENES], *cells[CELLS];
    char cell_names[CELLS][16];
    Column type = {.name = "label", .kind = COLUMN_CATEGORICAL, .n = n, .n_categories = TYPES};
    assert_ok(NEW(type.codes, n));
    type.categories = (char *[]){"A", "B", "C"};
    assert_ok(csr_init(&x, n, GENES, n * GENES));
    for (size_t i = 0; i < n; i++) {
        Rng r = rng_make(averages ? 5 : 4, i);
        type.codes[i] = (int32_t)(i % TYPES);
        snprintf(cell_names[i], sizeof cell_names[i], "c%zu", i);
        cells[i] = cell_names[i];
        for (size_t g = 0; g < GENES; g++) {
            double m = rate(i % TYPES, g);
            float v = averages ? (float)(m * 1.37) : (float)rng_poisson(&r, m);
            if (v > 0) {
                x.indices[at] = (int32_t)g;
                x.values[at++] = v;
            }
        }
        x.indptr[i + 1] = (int64_t)at;
    }
    for (size_t g = 0; g < GENES; g++)
        gene_names[g] = names[g];
    const Column *obs[] = {&type};
    H5adContent c = {.cells = n,
                     .genes = GENES,
                     .x = &x,
                     .cell_names = cells,
                     .gene_names = gene_names,
                     .obs = obs,
                     .n_obs = 1};
    char *path = in_folder(name);
    assert_ok(h5ad_write(path, &c, true, NULL));
    free(path);
    free(type.codes);
    csr_done(&x);
}

static void write_tower(void)
{
    static const char *const WORDS[] = {"[PAD]",  "[UNK]", "[CLS]", "[SEP]", "alpha", "beta",
                                        "gamma",  "cell",  "of",    "the",   "makes", "first",
                                        "second", "third", "thing", "##s",   "lab"};
    enum { V = sizeof WORDS / sizeof *WORDS };
    Device *d;
    ParamSet *ps;
    Bert *b;
    Str s = {0};
    for (int i = 0; i < V; i++)
        str_addf(&s, "%s\n", WORDS[i]);
    write_text("tower/vocab.txt", str_text(&s));
    str_free(&s);
    write_text("tower/text.json",
               "{\"hidden_size\":16,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
               "\"intermediate_size\":24,\"max_position_embeddings\":32,\"vocab_size\":17,"
               "\"max_tokens\":32}");
    assert_ok(device_open("cpu", &d));
    assert_ok(params_new(d, &ps));
    BertConfig c = {.width = 16,
                    .layers = 1,
                    .heads = 2,
                    .ffn = 24,
                    .vocab = V,
                    .positions = 32,
                    .eps = 1e-12f};
    assert_ok(bert_new(ps, "text", &c, 3, &b));
    assert_ok(
        param_init_normal(ps, params_find(ps, "text.embeddings.word_embeddings.weight"), 1, 3));
    StWriter *w = st_writer_new();
    assert_ok(weights_save(ps, w, "", true));
    char *path = in_folder("tower/text.safetensors");
    assert_ok(st_writer_save(w, path));
    free(path);
    st_writer_free(w);
    bert_free(b);
    params_free(ps);
    device_close(d);
}

#define SHARED                                                                                     \
    "\"name\":\"tiny\",\"celltypes\":\"%1$s/types\",\"text_tower\":\"%1$s/"                        \
    "tower\",\"vocabulary\":\"vocab.json\","                                                       \
    "\"labels\":\"%1$s/"                                                                           \
    "labels.tsv\",\"sets\":[{\"name\":\"cells\",\"file\":\"cells.h5ad\",\"tissue\":\"lab\"},"      \
    "{\"name\":\"means\",\"file\":\"means.h5ad\",\"averages\":true}],\"held_out\":0.3,\"save_"     \
    "every\":7,"
static void write_config(const char *name, const char *rest)
{
    char *shared = str_format(SHARED, folder_path()), *text = str_format("{%s%s}", shared, rest);
    write_text(name, text);
    free(text);
    free(shared);
}

static int setup(void **state)
{
    Str v = {0}, types = {0};
    if (folder_make(state))
        return -1;
    static const char *const SUB[] = {"types", "tower"};
    for (int i = 0; i < 2; i++) {
        char *p = in_folder(SUB[i]);
        mkdir(p, 0777);
        free(p);
    }
    for (size_t g = 0; g < GENES; g++) {
        snprintf(names[g], sizeof names[g], "QGENE%zu", g);
        str_addf(&v, "%s\"%s\":%zu", g ? "," : "{", names[g], g);
    }
    str_add(&v, "}");
    write_text("vocab.json", str_text(&v));
    str_add(&types, "[");
    for (int t = 0; t < TYPES; t++)
        str_addf(&types,
                 "%s{\"id\":\"CL:%d\",\"name\":\"%s\",\"texts\":[\"makes the %s "
                 "thing\"],\"lineage\":\"lab lineage\","
                 "\"function\":\"makes the %s thing.\",\"high\":[\"QGENE%d\"],\"low\":[]}",
                 t ? "," : "", t, TYPE_NAMES[t],
                 (const char *const[]){"first", "second", "third"}[t],
                 (const char *const[]){"first", "second", "third"}[t], t * OWN);
    str_add(&types, "]");
    write_text("types/t.json", str_text(&types));
    write_text("types/hierarchy.tsv", "id\tname\tparents\nCL:0\ta\t\nCL:1\tb\t\nCL:2\tc\t\n");
    write_text("labels.tsv",
               "set\tcolumn\tvalue\tcl_id\ncells\tlabel\tA\tCL:0\ncells\tlabel\tB\tCL:"
               "1\ncells\tlabel\tC*\tCL:2\n"
               "means\tlabel\tA\tCL:0\nmeans\tlabel\tB\tCL:1\nmeans\tlabel\tC\tCL:2\n");
    write_cells("cells.h5ad", false);
    write_cells("means.h5ad", true);
    write_tower();
    write_config(
        "one.json",
        "\"stage\":\"1\",\"steps\":120,\"batch\":12,\"members\":2,\"weight_match\":0.2,\"warmup\":"
        "5,\"lr\":0.005,"
        "\"shape\":{\"cell_width\":16,\"cell_heads\":2,\"cell_ffn\":16,\"cell_layers\":1,\"query_"
        "width\":16,"
        "\"query_heads\":2,\"query_ffn\":16,\"query_layers\":1,\"queries\":2,\"proj\":8,\"text_"
        "width\":16,"
        "\"tokens\":24,\"train_tokens\":16}");
    write_config("two.json", "\"stage\":\"2\",\"steps\":60,\"batch\":8,\"merges\":60,\"width\":24,"
                             "\"heads\":2,\"layers\":1,"
                             "\"ffn\":32,\"prefix_genes\":4,\"warmup\":5,\"lr\":0.01");
    str_free(&v);
    str_free(&types);
    return 0;
}
static void stop_at_17(void *user, const char *stage, size_t done, size_t total)
{
    (void)total;
    if (stage && strcmp(stage, "training stage 1") == 0 && done == 17)
        atomic_store(&((JobCtl *)user)->cancel, ERR_TERMINATED);
}

static Model *use(const char *bundle)
{
    Model *m;
    char *b = in_folder(bundle), *t = in_folder("types");
    assert_ok(model_load(b, t, "cpu", NULL, &m));
    free(b);
    free(t);
    return m;
}

static void read_tokens(const Model *m, GeneMap *map, CellTokens *t)
{
    char *path = in_folder("cells.h5ad");
    Dataset *d;
    Csr rows;
    const char *const *g;
    size_t n;
    assert_ok(dataset_open(path, NULL, NULL, &d));
    assert_ok(dataset_gene_names(d, dataset_working_matrix(d), &g, &n));
    assert_ok(model_map_genes(m, g, n, 10, map));
    assert_int_equal(map->matched, GENES);
    assert_ok(dataset_read_rows(d, dataset_working_matrix(d), 0, CELLS, NULL, &rows));
    assert_ok(model_tokenize_cells(m, map, &rows, false, t));
    csr_done(&rows);
    dataset_close(d);
    free(path);
}

static void stage_1_learns_to_name_cells_kept_apart(void **state)
{
    (void)state;
    assert_ok(train("one.json", "a", NULL, NULL));
    char *path = in_folder("a/measures.json"), *text;
    assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &text, NULL));
    cJSON *o = cJSON_Parse(text);
    const cJSON *set = cJSON_GetArrayItem(o, 0);
    assert_int_equal(cJSON_GetArraySize(o), 1); /* averages are never measured */
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(set, "cells")) > 10);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(set, "accuracy")) >= 0.95);
    cJSON_Delete(o);
    free(text);
    free(path);
    path = in_folder("a");
    assert_ok(bundle_verify(path));
    free(path);
    path = in_folder("a/checkpoint");
    assert_int_not_equal(access(path, F_OK), 0); /* nothing is left of the checkpoints */
    free(path);
}

/* A column of a log in its first or last line. */
static double log_value(const char *file, const char *column, bool first)
{
    char *path = in_folder(file), *text, *save = NULL, *line, *row = NULL;
    int at = -1, k = 0;
    assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &text, NULL));
    line = strtok_r(text, "\n", &save);
    for (char *p = line; p; p = strchr(p, '\t') ? strchr(p, '\t') + 1 : NULL, k++)
        if (strncmp(p, column, strlen(column)) == 0)
            at = k;
    assert_true(at >= 0);
    while ((line = strtok_r(NULL, "\n", &save)) && !(first && row))
        row = line;
    assert_non_null(row);
    for (k = 0; k < at; k++)
        row = strchr(row, '\t') + 1;
    double v = atof(row);
    free(text);
    free(path);
    return v;
}

static void the_papers_shape_learns_too(void **state)
{
    (void)state;
    /* text through the Q-Former's layers, cross-attention in even layers, no bag */
    write_config(
        "paper.json",
        "\"stage\":\"1\",\"steps\":150,\"batch\":12,\"weight_match\":0.2,\"weight_caption\":0.2,"
        "\"warmup\":5,\"lr\":0.005,"
        "\"shape\":{\"cell_width\":16,\"cell_heads\":2,\"cell_ffn\":16,\"cell_layers\":1,"
        "\"query_width\":16,\"query_heads\":2,\"query_ffn\":16,\"query_layers\":2,\"queries\":2,"
        "\"proj\":8,\"text_vocab\":1,\"cross_every\":2,\"bag\":false,\"tokens\":24,"
        "\"train_tokens\":16}");
    assert_ok(train("paper.json", "p", NULL, NULL));
    double first = log_value("p/log.tsv", "caption", true), last = log_value("p/log.tsv", "caption", false);
    assert_true(first > 2.5); /* 18 words: ln 18 = 2.9 */
    assert_true(last < 0.6 * first);
    Model *m = use("p");
    GeneMap map;
    CellTokens t;
    CellVectors v;
    TextVectors tv;
    read_tokens(m, &map, &t);
    assert_ok(model_embed_cells(m, &t, NULL, &v));
    assert_ok(model_embed_texts(m, TYPE_NAMES, TYPES, NULL, &tv));
    float *s = malloc(CELLS * TYPES * sizeof *s);
    int hits = 0;
    model_similarity(m, v.query, CELLS, tv.vec, TYPES, s);
    for (int i = 0; i < CELLS; i++) {
        int best = 0;
        for (int k = 1; k < TYPES; k++)
            best = s[i * TYPES + k] > s[i * TYPES + best] ? k : best;
        hits += best == i % TYPES;
    }
    assert_true(hits >= 80);
    free(s);
    text_vectors_done(&tv);
    cell_vectors_done(&v);
    cell_tokens_done(&t);
    gene_map_done(&map);
    model_free(m);
}

static void a_stopped_run_ends_as_if_it_had_not_been_stopped(void **state)
{
    (void)state;
    JobCtl ctl = {.on_progress = stop_at_17, .user = &ctl};
    assert_err(train("one.json", "b", NULL, &ctl), ERR_TERMINATED);
    assert_non_null(strstr(err_message(), "after step 17"));
    char *left = in_folder("b/member0.safetensors");
    assert_int_not_equal(access(left, F_OK), 0);
    free(left);
    assert_ok(train("one.json", "b", "b", NULL));
    for (int i = 0; i < 2; i++) {
        char a[65], b[65], fa[40], fb[40];
        snprintf(fa, sizeof fa, "a/member%d.safetensors", i);
        snprintf(fb, sizeof fb, "b/member%d.safetensors", i);
        hash_of(fa, a);
        hash_of(fb, b);
        assert_string_equal(a, b);
    }
}

static void a_checkpoint_of_another_configuration_is_refused(void **state)
{
    (void)state;
    JobCtl ctl = {.on_progress = stop_at_17, .user = &ctl};
    assert_err(train("one.json", "c", NULL, &ctl), ERR_TERMINATED);
    char *one = in_folder("one.json"), *text;
    assert_ok(str_read_file(one, 1 << 20, ERR_GENERAL, &text, NULL));
    char *at = strstr(text, "\"steps\":120");
    assert_non_null(at);
    memcpy(at, "\"steps\":121", 11);
    write_text("other.json", text);
    assert_err(train("other.json", "c", "c", NULL), ERR_MODEL);
    free(text);
    free(one);
}

static void configurations_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    write_text("bad.json", "{\"stage\":\"9\",\"output\":\"/tmp/x\"}");
    assert_err(train("bad.json", "d", NULL, NULL), ERR_USAGE);
    write_text("bad.json", "{not json");
    assert_err(train("bad.json", "d", NULL, NULL), ERR_USAGE);
    write_config("bad.json", "\"stage\":\"1\",\"steps\":-4");
    assert_err(train("bad.json", "d", NULL, NULL), ERR_USAGE);
    assert_non_null(strstr(err_message(), "steps"));
    assert_err(train("nowhere.json", "d", NULL, NULL), ERR_USAGE);
}

static void a_bundle_places_cells_beside_their_texts(void **state)
{
    (void)state;
    Model *m = use("a");
    GeneMap map;
    CellTokens t;
    CellVectors v;
    TextVectors tv;
    const ModelDesc *desc = model_desc(m);
    assert_int_equal(desc->members, 2);
    assert_int_equal(desc->dim, 16);
    read_tokens(m, &map, &t);
    assert_ok(model_embed_cells(m, &t, NULL, &v));
    assert_ok(model_embed_texts(m, TYPE_NAMES, TYPES, NULL, &tv));
    float *s = malloc(CELLS * TYPES * sizeof *s);
    model_similarity(m, v.query, CELLS, tv.vec, TYPES, s);
    int hits = 0;
    for (int i = 0; i < CELLS; i++) {
        int best = 0;
        double norm = 0;
        for (int k = 1; k < TYPES; k++)
            best = s[i * TYPES + k] > s[i * TYPES + best] ? k : best;
        hits += best == i % TYPES;
        for (size_t k = 0; k < v.d; k++)
            norm += (double)v.x[(size_t)i * v.d + k] * v.x[(size_t)i * v.d + k];
        assert_true(fabs(norm - 1) < 1e-4);
        assert_true(s[i * TYPES] <= 1.0001f && s[i * TYPES] >= -1.0001f);
    }
    assert_true(hits >= 86);
    /* the matching head was trained too: own pairs score higher than wrong ones on average */
    size_t cell[CELLS * 2], text[CELLS * 2];
    float p[CELLS * 2], own = 0, wrong = 0;
    for (size_t i = 0; i < CELLS; i++) {
        cell[2 * i] = cell[2 * i + 1] = i;
        text[2 * i] = i % TYPES;
        text[2 * i + 1] = (i + 1) % TYPES;
    }
    assert_true(desc->has_match);
    assert_ok(model_match(m, &t, cell, &(MatchTexts){tv.raw, TYPE_NAMES}, text, CELLS * 2, NULL, p));
    for (size_t i = 0; i < CELLS; i++) {
        own += p[2 * i];
        wrong += p[2 * i + 1];
    }
    assert_true(own > wrong);
    /* a word made of a type's genes lies near its cells */
    int32_t genes[3] = {0, 1, 2};
    float word[16], near = 0, far = 0;
    assert_ok(model_gene_words(m, genes, 3, word));
    model_similarity(m, v.query, CELLS, word, 1, s);
    for (int i = 0; i < CELLS; i++)
        *(i % TYPES ? &far : &near) += s[i] / (i % TYPES ? 60 : 30);
    assert_true(near > far + 0.2f);
    free(s);
    text_vectors_done(&tv);
    cell_vectors_done(&v);
    cell_tokens_done(&t);
    gene_map_done(&map);
    model_free(m);
}

static void a_description_names_only_genes_it_may(void **state)
{
    (void)state;
    assert_ok(train("two.json", "a", NULL, NULL));
    Model *m = use("a");
    GeneMap map;
    CellTokens t;
    assert_true(model_desc(m)->has_decoder);
    read_tokens(m, &map, &t);
    uint8_t allowed[GENES] = {0};
    for (int g = 0; g < GENES; g += 2)
        allowed[g] = 1;
    for (size_t i = 0; i < 6; i++)
        for (int beams = 1; beams <= 3; beams += 2) {
            DescribeSpec s = {
                .cells = &t, .rows = &i, .n_rows = 1, .allowed = allowed, .beams = beams};
            DescribeResult r, again;
            assert_ok(model_describe(m, &s, NULL, &r));
            assert_ok(model_describe(m, &s, NULL, &again));
            assert_string_equal(r.text, again.text);
            assert_true(strlen(r.text) > 0);
            for (size_t k = 0; k < r.n_genes; k++)
                assert_true(r.genes[k] % 2 == 0);
            describe_result_done(&r);
            describe_result_done(&again);
        }
    size_t row = 0;
    DescribeSpec s = {
        .cells = &t, .rows = &row, .n_rows = 1, .beams = 1, .begin = "This is a beta cell"};
    DescribeResult r;
    assert_ok(model_describe(m, &s, NULL, &r));
    assert_true(str_starts(r.text, "This is a beta cell"));
    describe_result_done(&r);
    cell_tokens_done(&t);
    gene_map_done(&map);
    model_free(m);
}

static Err count_outputs(void *user, const char *name, int rank, const uint64_t *shape, const float *v)
{
    size_t n = 1;
    (void)name;
    for (int d = 0; d < rank; d++)
        n *= (size_t)shape[d];
    for (size_t i = 0; i < n; i++)
        assert_true(isfinite(v[i]));
    ++*(int *)user;
    return OK;
}

/* `forward` on a bundle that training wrote: outputs of its first member. */
static int forward_outputs(const Parts *p)
{
    int32_t gene[] = {GENES + 1, 0, 9, GENES, GENES + 1, 17, GENES, GENES}, word[] = {2, 5, 3, 2, 3, 0}, used[] = {1, 1, 1, 1, 1, 0};
    float value[] = {-2, 1, 3, 0, -2, 2, 0, 0};
    PartsInput in = {.b = 2, .l = 4, .tokens = 3, .s = 3, .gene_ids = gene, .values = value, .text_ids = word, .text_mask = used, .lm_ids = word};
    int n = 0;
    assert_ok(parts_forward(p, &in, NULL, count_outputs, &n));
    return n;
}

/* The exported decoder, imported again, is a language model of the same answers. */
static void same_words(const Parts *p, const char *hf, Device *d)
{
    static const int32_t ids[] = {1, 40, 70, 90, 120, 33, 5};
    char *lm = str_format("%s/lm", hf), *again = in_folder("again");
    ImportReport r;
    Parts q;
    LmDifference x;
    assert_ok(import_bundle(&(ImportSpec){.llama = lm, .out = again}, NULL, &r));
    import_report_done(&r);
    assert_ok(parts_open(again, d, false, true, NULL, &q));
    assert_ok(lm_compare(p->lm, q.lm, ids, 7, NULL, &x));
    assert_true(x.logits < 1e-5);
    parts_done(&q);
    free(lm);
    free(again);
}

static void what_was_trained_is_read_as_parts_and_exported(void **state)
{
    static const struct {
        const char *bundle;
        int outputs;
        bool writes;
    } trained[] = {{"a", 11, true}, {"p", 9, false}};
    Device *d;
    (void)state;
    assert_ok(device_open("cpu", &d));
    for (int i = 0; i < 2; i++) {
        char *bundle = in_folder(trained[i].bundle), *pt = str_format("%s.pt", bundle), *hf = str_format("%s.hf", bundle),
             *model = str_format("%s/best_model.pt", pt);
        Parts p;
        Ckpt *c = ckpt_new();
        assert_ok(parts_open(bundle, d, true, true, NULL, &p));
        assert_int_equal(forward_outputs(&p), trained[i].outputs);
        assert_ok(export_bundle(&(ExportSpec){.bundle = bundle, .to_scgpt = true, .out = pt}, NULL));
        assert_ok(ckpt_add_file(c, model));
        assert_int_equal(ckpt_find(c, "encoder.embedding.weight")->dim[0], GENES + 2);
        assert_ok(export_bundle(&(ExportSpec){.bundle = bundle, .out = hf}, NULL));
        if (trained[i].writes)
            same_words(&p, hf, d);
        ckpt_free(c);
        parts_done(&p);
        free(bundle);
        free(pt);
        free(hf);
        free(model);
    }
    device_close(d);
}

static void a_bundle_that_lacks_a_tensor_names_it(void **state)
{
    (void)state;
    char *from = in_folder("a/member1.safetensors"), *types = in_folder("types"), *folder = in_folder("a");
    StFile *f;
    StWriter *w = st_writer_new();
    assert_ok(st_open(from, &f));
    for (size_t i = 0; i < st_count(f); i++) {
        const StTensor *x = st_at(f, i);
        if (strcmp(x->name, "cell_proj.bias") != 0)
            assert_ok(st_writer_add(w, x->name, x->type, x->ndim, x->dim, x->data));
    }
    st_close(f);
    assert_ok(st_writer_save(w, from));
    st_writer_free(w);
    Model *m;
    assert_err(model_load(folder, types, "cpu", NULL, &m), ERR_MODEL);
    assert_non_null(strstr(err_message(), "cell_proj.bias"));
    free(from);
    free(types);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stage_1_learns_to_name_cells_kept_apart),
        TEST(the_papers_shape_learns_too),
        TEST(a_stopped_run_ends_as_if_it_had_not_been_stopped),
        TEST(a_checkpoint_of_another_configuration_is_refused),
        TEST(configurations_that_make_no_sense_are_refused),
        TEST(a_bundle_places_cells_beside_their_texts),
        TEST(a_description_names_only_genes_it_may),
        TEST(what_was_trained_is_read_as_parts_and_exported),
        TEST(a_bundle_that_lacks_a_tensor_names_it),
    };
    return cmocka_run_group_tests(tests, setup, folder_remove);
}
