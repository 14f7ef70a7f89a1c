/* Public checkpoints: files read, bundles imported, numbers compared with those of torch,
 * transformers and peft (tests/ref/ckpt.py), and files that mean harm. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/store.h"
#include "core/model/ckpt.h"
#include "core/model/export.h"
#include "core/model/import.h"
#include "core/model/parts.h"

#define GOLDEN "tests/golden/ckpt/"

/* ---- files ---- */

static void expect(const Ckpt *c, const char *name, StType type, size_t n, const float *want)
{
    float v[32];
    const CkTensor *t = ckpt_find(c, name);
    if (!t)
        fail_msg("%s is missing", name);
    assert_int_equal(t->type, type);
    assert_int_equal(t->elements, n);
    ckpt_read_f32(t, v);
    for (size_t i = 0; i < n; i++)
        if (v[i] != want[i])
            fail_msg("%s[%zu] = %g, not %g", name, i, (double)v[i], (double)want[i]);
}

static void check_views(const char *path)
{
    Ckpt *c = ckpt_new();
    assert_ok(ckpt_add_file(c, path));
    assert_int_equal(ckpt_count(c), 12);
    expect(c, "plain", ST_F32, 12, (float[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
    expect(c, "t", ST_F32, 12, (float[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
    assert_int_equal(ckpt_find(c, "t")->dim[0], 4);
    assert_ptr_equal(ckpt_find(c, "t")->data, ckpt_find(c, "plain")->data);
    expect(c, "part", ST_F32, 3, (float[]){2, 4, 6});
    expect(c, "scalar", ST_F32, 1, (float[]){3.5f});
    assert_int_equal(ckpt_find(c, "scalar")->ndim, 0);
    expect(c, "f64", ST_F64, 2, (float[]){1.5f, -2});
    expect(c, "f16", ST_F16, 3, (float[]){1, 65504, 5.9604645e-8f});
    expect(c, "bf16", ST_BF16, 2, (float[]){1, 3.25f});
    expect(c, "i64", ST_I64, 2, (float[]){-5, 1099511627776.0f});
    expect(c, "u8", ST_U8, 2, (float[]){0, 255});
    expect(c, "bool", ST_BOOL, 2, (float[]){1, 0});
    expect(c, "param", ST_F32, 2, (float[]){1, 1});
    assert_int_equal(ckpt_find(c, "empty")->elements, 0);
    ckpt_free(c);
}

static void torch_files_keep_views_types_and_shared_storages(void **state)
{
    check_views(GOLDEN "views.pt");
    check_views(GOLDEN "views_p4.pt");
    check_views(GOLDEN "views_p5.pt"); /* inside a dictionary, beside numpy's and Python's own */
    check_views(GOLDEN "views_legacy.pt");
}

static void a_pickle_that_calls_is_refused_by_name(void **state)
{
    Ckpt *c = ckpt_new();
    assert_err(ckpt_add_file(c, GOLDEN "evil.pt"), ERR_MODEL);
    assert_non_null(strstr(err_message(), "posix.system"));
    assert_int_not_equal(access("/tmp/scmmgpt_evil", F_OK), 0);
    ckpt_free(c);
}

static char *temp_path(const char *name)
{
    return str_format("/tmp/scmm_ckpt_%ld_%s", (long)getpid(), name);
}

static Err read_bytes(const char *name, const void *data, size_t n)
{
    char *path = temp_path(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
    Ckpt *c = ckpt_new();
    Err err = ckpt_add_file(c, path);
    ckpt_free(c);
    unlink(path);
    free(path);
    return err;
}

/* Every byte changed, every length cut: an answer or ERR_MODEL, never a crash. */
static void damage(const char *path, const char *name, size_t step)
{
    char *data;
    size_t n;
    assert_ok(str_read_file(path, 1 << 20, ERR_GENERAL, &data, &n));
    for (size_t i = 0; i < n; i += step) {
        char keep = data[i];
        data[i] = (char)(keep ^ (1 << (i % 8)));
        Err err = read_bytes(name, data, n);
        if (err != OK)
            assert_err(err, ERR_MODEL);
        data[i] = keep;
        err = read_bytes(name, data, i);
        if (err != OK)
            assert_err(err, ERR_MODEL);
    }
    free(data);
}

static void damaged_files_are_answered_with_one_line(void **state)
{
    damage(GOLDEN "views.pt", "d.pt", 3);
    damage(GOLDEN "views_legacy.pt", "d.pt", 1);
    damage(GOLDEN "adapter/adapter_model.safetensors", "d.safetensors", 3);
}

static void expect_refused(const char *name, const void *data, size_t n, const char *why)
{
    assert_err(read_bytes(name, data, n), ERR_MODEL);
    if (!strstr(err_message(), why))
        fail_msg("'%s' does not say '%s'", err_message(), why);
    assert_null(strchr(err_message(), '\n'));
}

/* The end record of a zip must count what the directory holds, and stand behind it. The file has
 * two, as torch writes. */
static void an_end_record_that_lies_is_refused(void **state)
{
    static const struct {
        size_t back; /* from the file's end */
        const char *why;
    } LIE[] = {{18, "volumes"},         {14, "contradict"},      {12, "contradict"},
               {10, "contradict"},      {6, "contradict"},       {98 - 24, "does not fit"},
               {98 - 32, "contradict"}, {98 - 40, "contradict"}, {98 - 48, "contradict"}};
    char *data;
    size_t n;
    assert_ok(str_read_file(GOLDEN "views.pt", 1 << 20, ERR_GENERAL, &data, &n));
    assert_memory_equal(data + n - 22, "PK\5\6", 4);
    assert_memory_equal(data + n - 98, "PK\6\6", 4);
    for (size_t i = 0; i < sizeof LIE / sizeof *LIE; i++) {
        data[n - LIE[i].back]++;
        expect_refused("z.pt", data, n, LIE[i].why);
        data[n - LIE[i].back]--;
    }
    assert_ok(read_bytes("z.pt", data, n));
    free(data);
}

static void expect_header_refused(const char *json, size_t data, const char *why)
{
    size_t n = strlen(json);
    char *b = mem_must(8 + n + data);
    for (int i = 0; i < 8; i++)
        b[i] = (char)((uint64_t)n >> (8 * i));
    memcpy(b + 8, json, n);
    expect_refused("h.safetensors", b, 8 + n + data, why);
    free(b);
}

#define ENTRY(name, type, shape, begin, end)                                                       \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end  \
    "]}"

static void safetensors_rules_are_kept(void **state)
{
    expect_header_refused("{" ENTRY("a", "F32", "[2]", 0, 4) "}", 4, "tensor a");
    expect_header_refused("{" ENTRY("a", "F32", "[1]", 4, 8) "}", 8, "tensor a");
    expect_header_refused("{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("b", "F32", "[1]", 2, 6) "}",
                          6, "tensor b");
    expect_header_refused("{" ENTRY("a", "F32", "[1]", 0, 4) "," ENTRY("a", "F32", "[1]", 4, 8) "}",
                          8, "twice");
    expect_header_refused("{" ENTRY("a", "F32", "[1]", 0, 4) "}", 8, "4 of 8");
    expect_header_refused("{" ENTRY("a", "F8_E4M3", "[1]", 0, 1) "}", 1, "F8_E4M3");
    expect_header_refused("{" ENTRY("a", "F32", "[-1]", 0, 4) "}", 4, "tensor a");
    expect_header_refused("{" ENTRY("a", "U8", "[4294967296,4294967296,4294967296]", 0, 0) "}", 0,
                          "too large");
    expect_header_refused("{" ENTRY("a", "F32", "[1]", 0, 4) "} x", 4, "follows");
    expect_header_refused("{\"a\":[[[[", 0, "early");
    expect_refused("h.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10, "header");
    char *deep = mem_must(300008);
    for (int i = 0; i < 8; i++)
        deep[i] = (char)((uint64_t)300000 >> (8 * i));
    memset(deep + 8, '[', 300000);
    memcpy(deep + 8, "{\"a\":", 5);
    expect_refused("h.safetensors", deep, 300008, "deep");
    free(deep);
    char ok[8 + 80] = {0};
    const char *json =
        "{\"__metadata__\":{\"format\":\"pt\"}," ENTRY("a", "F32", "[]", 0, 4) "}   ";
    ok[0] = (char)strlen(json);
    char *file = mem_must(8 + strlen(json) + 4);
    memcpy(file, ok, 8);
    memcpy(file + 8, json, strlen(json));
    assert_ok(read_bytes("h.safetensors", file, 8 + strlen(json) + 4));
    free(file);
}

/* The header's length may begin with any byte, that of a pickle's first opcode too. */
static void a_header_of_any_length_is_no_pickle(void **state)
{
    const char *json = "{" ENTRY("a", "F32", "[1]", 0, 4) "}";
    for (size_t n = strlen(json); n < strlen(json) + 700; n++) {
        char *file = mem_must(8 + n + 4);
        memset(file, 0, 8 + n + 4);
        file[0] = (char)n;
        file[1] = (char)(n >> 8);
        memset(file + 8, ' ', n);
        memcpy(file + 8, json, strlen(json));
        assert_ok(read_bytes("n.safetensors", file, 8 + n + 4));
        free(file);
    }
}

/* ---- import and numbers ---- */

static Err import(const ImportSpec *spec, ImportReport *r)
{
    ImportSpec s = *spec;
    s.force = true;
    return import_bundle(&s, NULL, r);
}

static void clean(const char *dir)
{
    char *cmd = str_format("rm -rf '%s'", dir);
    assert_int_equal(system(cmd), 0);
    free(cmd);
}

static int32_t *ids(Store *s, const char *name, int64_t *b, int64_t *n)
{
    Array *x;
    void *v = NULL;
    assert_ok(store_open_array(s, name, &x));
    *b = (int64_t)x->info.shape[0];
    *n = (int64_t)x->info.shape[1];
    assert_ok(array_read_all(x, SIZE_MAX, MEM_I32, &v));
    array_close(x);
    return v;
}

static void read_input(PartsInput *in)
{
    Store *s;
    Array *x;
    void *v = NULL;
    *in = (PartsInput){0};
    assert_ok(store_open_h5(GOLDEN "in.h5", &s));
    in->gene_ids = ids(s, "gene_ids", &in->b, &in->l);
    in->text_ids = ids(s, "text_ids", &in->b, &in->tokens);
    in->text_mask = ids(s, "text_mask", &in->b, &in->tokens);
    in->lm_ids = ids(s, "lm_ids", &in->b, &in->s);
    assert_ok(store_open_array(s, "values", &x));
    assert_ok(array_read_all(x, SIZE_MAX, MEM_F32, &v));
    in->values = v;
    array_close(x);
    store_close(s);
}

static void free_input(PartsInput *in)
{
    free(in->gene_ids);
    free(in->values);
    free(in->text_ids);
    free(in->text_mask);
    free(in->lm_ids);
}

typedef struct Compare {
    Store *expected;
    const PartsInput *in;
    const char *text, *lm; /* names of text_hidden and lm_logits in the golden file */
    int seen;
} Compare;

/* Is row r (of b*n) padding? */
static bool padding(const PartsInput *in, const char *name, size_t r)
{
    if (strcmp(name, "cell_hidden") == 0)
        return in->gene_ids[r] == 40;
    if (strcmp(name, "text_hidden") == 0 || strcmp(name, "caption_logits") == 0)
        return in->text_mask[r] == 0;
    return strcmp(name, "lm_logits") == 0 && in->lm_ids[r] < 0;
}

static Err compare(void *user, const char *name, int rank, const uint64_t *shape, const float *v)
{
    Compare *c = user;
    const char *key = strcmp(name, "text_hidden") == 0 ? c->text
                      : strcmp(name, "lm_logits") == 0 ? c->lm
                                                       : name;
    Array *x;
    void *want = NULL;
    assert_ok(store_open_array(c->expected, key, &x));
    assert_ok(array_read_all(x, SIZE_MAX, MEM_F32, &want));
    assert_int_equal(x->info.rank, rank);
    size_t last = (size_t)shape[rank - 1], n = (size_t)x->info.count;
    for (int d = 0; d < rank; d++)
        assert_int_equal(x->info.shape[d], shape[d]);
    for (size_t i = 0; i < n; i++)
        if (!padding(c->in, name, i / last) && !(fabsf(v[i] - ((float *)want)[i]) < 2e-5f))
            fail_msg("%s[%zu] = %g, not %g", key, i, (double)v[i], (double)((float *)want)[i]);
    free(want);
    array_close(x);
    c->seen++;
    return OK;
}

/* Imports, runs forward, compares; returns how many outputs there were. */
static int check_numbers(const ImportSpec *spec, const char *text, const char *lm)
{
    ImportSpec s = *spec;
    ImportReport r;
    Parts p;
    PartsInput in;
    Device *d;
    char *out = temp_path("bundle");
    s.out = out;
    assert_ok(import(&s, &r));
    for (size_t i = 0; i < r.n; i++)
        assert_string_not_equal(r.row[i].status, "missing");
    import_report_done(&r);
    assert_ok(device_open("cpu", &d));
    assert_ok(parts_open(out, d, true, true, NULL, &p));
    read_input(&in);
    Compare c = {.in = &in, .text = text, .lm = lm};
    assert_ok(store_open_h5(GOLDEN "expected.h5", &c.expected));
    assert_ok(parts_forward(&p, &in, NULL, compare, &c));
    store_close(c.expected);
    parts_done(&p);
    device_close(d);
    free_input(&in);
    clean(out);
    free(out);
    return c.seen;
}

static void both_stages_with_a_lightning_file_agree_with_torch(void **state)
{
    ImportSpec s = {.scgpt = GOLDEN "scgpt", .bert = GOLDEN "bert", .n_lightning = 2};
    s.lightning[0] = GOLDEN "stage1.ckpt";
    s.lightning[1] = GOLDEN "stage2.ckpt";
    assert_int_equal(check_numbers(&s, "text_hidden", ""), 11);
}

static void scgpt_in_every_spelling_agrees_with_torch(void **state)
{
    static const char *const spelling[] = {"in_proj", "impl", "module"};
    for (int i = 0; i < 3; i++) {
        char *dir = temp_path("scgpt");
        char *cmd = str_format("mkdir -p %s && cp " GOLDEN "scgpt/*.json %s && cp " GOLDEN
                               "layouts/%s.pt %s/best_model.pt",
                               dir, dir, spelling[i], dir);
        assert_int_equal(system(cmd), 0);
        ImportSpec s = {.scgpt = dir};
        assert_int_equal(check_numbers(&s, "", ""), 2);
        clean(dir);
        free(cmd);
        free(dir);
    }
}

static void bert_alone_has_no_token_types(void **state)
{
    ImportSpec s = {.bert = GOLDEN "bert"};
    assert_int_equal(check_numbers(&s, "bert_hidden", ""), 1);
}

static void put(const char *dir, const char *file, const char *text)
{
    char *path = str_format("%s/%s", dir, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    free(path);
}

/* Its rows stay those of a BERT alone; its sentence vectors are with the first token type. What follows the pooling
 * and is not computed leaves no sentence vectors. */
static void a_folder_of_sentence_transformers_gives_sentence_vectors(void **state)
{
    char *dir = temp_path("sentence"), *pool = str_format("%s/1_Pooling", dir),
         *cmd = str_format("cp -r " GOLDEN "bert '%s' && mkdir '%s'", dir, pool);
    ImportSpec s = {.bert = dir};
    assert_int_equal(system(cmd), 0);
    put(dir, "modules.json",
        "[{\"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"},"
        " {\"path\": \"1_Pooling\", \"type\": \"sentence_transformers.models.Pooling\"},"
        " {\"path\": \"2_Normalize\", \"type\": \"sentence_transformers.models.Normalize\"}]");
    put(pool, "config.json", "{\"pooling_mode_mean_tokens\": true, \"pooling_mode_cls_token\": false}");
    assert_int_equal(check_numbers(&s, "bert_hidden", ""), 2);
    put(pool, "config.json", "{\"pooling_mode_max_tokens\": true, \"pooling_mode_mean_tokens\": true}");
    assert_int_equal(check_numbers(&s, "bert_hidden", ""), 1);
    put(dir, "modules.json", "[{\"path\": \"2_Dense\", \"type\": \"sentence_transformers.models.Dense\"}]");
    assert_int_equal(check_numbers(&s, "bert_hidden", ""), 1);
    clean(dir);
    free(dir);
    free(pool);
    free(cmd);
}

static void llama_in_all_its_forms_agrees_with_transformers(void **state)
{
    static const char *const form[] = {"llama", "llama_tied", "llama_linear", "llama_dynamic",
                                       "llama_3"};
    for (int i = 0; i < 5; i++) {
        char *dir = str_format(GOLDEN "%s", form[i]), *key = str_format("lm/%s", form[i]);
        ImportSpec s = {.llama = dir};
        assert_int_equal(check_numbers(&s, "", key), 1);
        free(dir);
        free(key);
    }
}

static void adapters_merge_as_peft_does(void **state)
{
    ImportSpec s = {.llama = GOLDEN "llama", .adapter = GOLDEN "adapter"};
    assert_int_equal(check_numbers(&s, "", "lm/adapter"), 1);
    s.adapter = GOLDEN "dora"; /* weights decomposed, rank-stabilised */
    assert_int_equal(check_numbers(&s, "", "lm/dora"), 1);
    s.adapter = GOLDEN "adapter_tokens"; /* three tokens with rows of their own */
    assert_int_equal(check_numbers(&s, "", "lm/adapter_tokens"), 1);
}

/* What the program adds while it runs is merged when it goes out. */
static void an_adapter_beside_its_weights_is_exported_merged(void **state)
{
    static const char *const adapter[] = {GOLDEN "adapter", GOLDEN "dora"};
    static const char *const numbers[] = {"lm/adapter", "lm/dora"};
    for (int i = 0; i < 2; i++) {
        char *bundle = temp_path("kept"), *hf = temp_path("hf");
        ImportSpec s = {.llama = GOLDEN "llama", .adapter = adapter[i], .keep_adapter = true, .out = bundle};
        ImportReport r;
        assert_ok(import(&s, &r));
        import_report_done(&r);
        assert_ok(export_bundle(&(ExportSpec){.bundle = bundle, .out = hf}, NULL));
        assert_int_equal(check_numbers(&(ImportSpec){.llama = hf}, "", numbers[i]), 1);
        clean(bundle);
        clean(hf);
        free(bundle);
        free(hf);
    }
}

static void an_adapter_beside_its_weights_computes_the_same(void **state)
{
    ImportSpec s = {.llama = GOLDEN "llama", .adapter = GOLDEN "adapter", .keep_adapter = true};
    assert_int_equal(check_numbers(&s, "", "lm/adapter"), 1);
    s.adapter = GOLDEN "dora";
    assert_int_equal(check_numbers(&s, "", "lm/dora"), 1);
    s.llama = GOLDEN "llama_tied"; /* both uses of one table, changed apart */
    s.adapter = GOLDEN "adapter_tables";
    assert_int_equal(check_numbers(&s, "", "lm/adapter_tables"), 1);
    s.keep_adapter = false;
    assert_int_equal(check_numbers(&s, "", "lm/adapter_tables"), 1);
}

static void decoding_writes_what_transformers_writes(void **state)
{
    ImportReport r;
    Parts p;
    Device *d;
    Store *expected;
    char *out = temp_path("lm");
    ImportSpec s = {.llama = GOLDEN "llama", .out = out};
    assert_ok(import(&s, &r));
    import_report_done(&r);
    assert_ok(device_open("cpu", &d));
    assert_ok(parts_open(out, d, false, true, NULL, &p));
    assert_ok(store_open_h5(GOLDEN "expected.h5", &expected));
    for (int k = 0; k < 8; k++) {
        Array *x;
        LmResult got;
        LmDecode how = {.max_new = 24, .beams = k < 4 ? 1 : 5, .top_p = 1, .logprobs = true};
        char *key = str_format("gen/%s%d", k < 4 ? "greedy" : "beam5", k % 4);
        assert_ok(store_open_array(expected, key, &x));
        void *want = NULL;
        assert_ok(array_read_all(x, SIZE_MAX, MEM_I32, &want));
        int32_t prompt[4] = {1, 7 + 5 * (k % 4), 23, 11};
        assert_ok(lm_generate(p.lm, prompt, 4, &how, NULL, &got));
        assert_int_equal(got.n, x->info.count);
        assert_memory_equal(got.ids, want, got.n * 4);
        assert_true(got.logprob[0] < 0 && got.prompt_logprob[0] < 0);
        lm_result_done(&got);
        free(want);
        array_close(x);
        free(key);
    }
    store_close(expected);
    parts_done(&p);
    device_close(d);
    clean(out);
    free(out);
}

static void a_missing_tensor_is_named_and_nothing_is_left(void **state)
{
    ImportReport r;
    char *dir = temp_path("half"), *out = temp_path("none");
    char *cmd = str_format("mkdir -p %s && cp " GOLDEN "scgpt/*.json %s && cp " GOLDEN
                           "views.pt %s/best_model.pt",
                           dir, dir, dir);
    assert_int_equal(system(cmd), 0);
    ImportSpec s = {.scgpt = dir, .out = out};
    assert_err(import(&s, &r), ERR_MODEL);
    import_report_done(&r);
    s = (ImportSpec){.scgpt = GOLDEN "scgpt", .bert = GOLDEN "scgpt", .out = out};
    assert_err(import(&s, &r), ERR_MODEL);
    assert_int_not_equal(access(out, F_OK), 0);
    import_report_done(&r);
    clean(dir);
    free(cmd);
    free(dir);
    free(out);
}

static void a_tokenizer_larger_than_the_table_is_refused(void **state)
{
    ImportReport r;
    char *dir = temp_path("large"), *out = temp_path("none");
    char *cmd = str_format("mkdir -p %s && cp " GOLDEN "llama/* %s && "
                           "cp tests/golden/tokens/edges/gpt2/lm_vocab.json %s/vocab.json && "
                           "cp tests/golden/tokens/edges/gpt2/lm_merges.txt %s/merges.txt",
                           dir, dir, dir, dir);
    assert_int_equal(system(cmd), 0);
    ImportSpec s = {.llama = dir, .out = out};
    assert_err(import(&s, &r), ERR_MODEL);
    assert_non_null(strstr(err_message(), "the table of words has 50 rows"));
    assert_int_equal(strncmp(err_message(), dir, strlen(dir)), 0);
    assert_int_not_equal(access(out, F_OK), 0);
    import_report_done(&r);
    clean(dir);
    free(cmd);
    free(dir);
    free(out);
}

static void ids_beyond_the_table_name_their_dataset(void **state)
{
    ImportReport r;
    Parts p;
    PartsInput in;
    Device *d;
    char *out = temp_path("ids");
    ImportSpec s = {.scgpt = GOLDEN "scgpt", .out = out};
    assert_ok(import(&s, &r));
    import_report_done(&r);
    assert_ok(device_open("cpu", &d));
    assert_ok(parts_open(out, d, true, true, NULL, &p));
    read_input(&in);
    in.gene_ids[4] = 43;
    assert_err(parts_forward(&p, &in, NULL, compare, NULL), ERR_INPUT);
    assert_int_equal(strncmp(err_message(), "gene_ids:", 9), 0);
    free(in.values);
    in.values = NULL;
    assert_err(parts_forward(&p, &in, NULL, compare, NULL), ERR_INPUT);
    assert_int_equal(strncmp(err_message(), "values:", 7), 0);
    free_input(&in);
    parts_done(&p);
    device_close(d);
    clean(out);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(torch_files_keep_views_types_and_shared_storages),
        TEST(a_pickle_that_calls_is_refused_by_name),
        TEST(damaged_files_are_answered_with_one_line),
        TEST(an_end_record_that_lies_is_refused),
        TEST(safetensors_rules_are_kept),
        TEST(a_header_of_any_length_is_no_pickle),
        TEST(both_stages_with_a_lightning_file_agree_with_torch),
        TEST(scgpt_in_every_spelling_agrees_with_torch),
        TEST(bert_alone_has_no_token_types),
        TEST(a_folder_of_sentence_transformers_gives_sentence_vectors),
        TEST(llama_in_all_its_forms_agrees_with_transformers),
        TEST(adapters_merge_as_peft_does),
        TEST(an_adapter_beside_its_weights_computes_the_same),
        TEST(an_adapter_beside_its_weights_is_exported_merged),
        TEST(decoding_writes_what_transformers_writes),
        TEST(a_missing_tensor_is_named_and_nothing_is_left),
        TEST(a_tokenizer_larger_than_the_table_is_refused),
        TEST(ids_beyond_the_table_name_their_dataset),
    };
    return RUN(tests);
}
