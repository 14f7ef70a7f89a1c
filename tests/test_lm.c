/* The published-style language model on stored weights: the shipped decoder, which is a trained
 * Llama, written in every width and read back where it lies. */
#include "tests/util.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/describer.h"
#include "core/model/export.h"
#include "core/model/import.h"
#include "core/model/json_read.h"
#include "core/model/lm_compare.h"
#include "core/model/parts.h"
#include "core/model/quantize.h"
#include "gpu/cpu/onednn.h"

#define BUNDLE "assets/model/mini-1/"
static const char TEXT[] =
    "This is a T cell, a cell of the lymphoid lineage. It recognises processed antigen through its"
    " T-cell receptor and kills infected cells or steers other immune cells.";

static Device *dev;
static StFile *decoder;
static LmConfig config;
static int32_t *ids;
static size_t n_ids;

/* ---- the decoder as a file ---- */
typedef struct Writing {
    StWriter *w;
    StoredType type;
    const char *leave_out; /* a tensor that is not written */
} Writing;

static Err add(Writing *w, const char *name, StType type, int ndim, const int64_t *dim,
               const void *data)
{
    return w->leave_out && strcmp(w->leave_out, name) == 0
               ? OK
               : st_writer_add(w->w, name, type, ndim, dim, data);
}

static Err write_one(void *user, const char *name, int ndim, const int64_t *dim)
{
    static const StType plain[] = {ST_F32, ST_F16, ST_BF16};
    Writing *w = user;
    char *from = str_format("llm_model.%s", name), *scale_name = str_format("%s.scale", name);
    const StTensor *t = st_find(decoder, from);
    assert_non_null(t);
    float *v = malloc(t->elements * 4);
    Err err = st_read_f32(decoder, t, v);
    StoredType type = quantize_as(w->type, name, ndim, dim);
    if (type == STORED_F32) {
        err = st_writer_add_f32(w->w, name, w->type <= STORED_BF16 ? plain[w->type] : ST_F32, ndim,
                                dim, v);
    } else {
        bool four = type == STORED_Q4;
        int64_t k = dim[1], groups = k / STORED_GROUP, row = four ? k / 2 : k;
        uint16_t *scale = malloc((size_t)(dim[0] * groups) * 2);
        char *q = malloc((size_t)(dim[0] * row));
        for (int64_t r = 0; r < dim[0]; r++) {
            quantize_scales(type, k, v + r * k, scale + r * groups);
            quantize_codes(type, k, v + r * k, scale + r * groups, q + r * row);
        }
        err = add(w, name, four ? ST_U8 : ST_I8, 2, (int64_t[]){dim[0], row}, q);
        if (err == OK)
            err = add(w, scale_name, ST_F16, 2, (int64_t[]){dim[0], groups}, scale);
        free(scale);
        free(q);
    }
    free(v);
    free(from);
    free(scale_name);
    return err;
}

static char *temp_file(void)
{
    static int count;
    return str_format("/tmp/scmmgpt_test_lm.%ld.%d", (long)getpid(), count++);
}

static Err open_as(StoredType type, const char *leave_out, Lm **out)
{
    Writing w = {.w = st_writer_new(), .type = type, .leave_out = leave_out};
    char *path = temp_file();
    StFile *f;
    assert_ok(lm_each_parameter(&config, write_one, &w));
    assert_ok(st_writer_save(w.w, path));
    st_writer_free(w.w);
    assert_ok(st_open(path, &f));
    unlink(path);
    free(path);
    return lm_open(&config, f, dev, NULL, out);
}

static int setup(void **state)
{
    cJSON *o;
    DescriberConfig d;
    Bpe *bpe;
    size_t cap = 0;
    (void)state;
    assert_ok(device_open("cpu", &dev));
    assert_ok(st_open(BUNDLE "decoder.safetensors", &decoder));
    assert_ok(json_read_object(BUNDLE "decoder.json", 1 << 20, &o));
    assert_ok(describer_config_read(o, &d));
    assert_ok(bpe_read(cJSON_GetObjectItemCaseSensitive(o, "tokenizer"), &bpe));
    cJSON_Delete(o);
    config = (LmConfig){.width = d.lm.width,
                        .layers = d.lm.layers,
                        .heads = d.lm.heads,
                        .kv_heads = d.lm.kv_heads,
                        .head_dim = d.lm.width / d.lm.heads,
                        .ffn = d.lm.ffn,
                        .vocab = d.lm.vocab,
                        .positions = 2048,
                        .eps = (double)d.lm.eps,
                        .theta = d.lm.theta,
                        .tied = true,
                        .eos = {BPE_EOS},
                        .n_eos = 1};
    ids = malloc(64 * sizeof *ids);
    cap = 64;
    ids[n_ids++] = BPE_BOS;
    assert_ok(bpe_encode(bpe, TEXT, strlen(TEXT), &ids, &n_ids, &cap));
    bpe_free(bpe);
    printf("%zu tokens\n", n_ids);
    assert_true(n_ids > 25);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    free(ids);
    st_close(decoder);
    device_close(dev);
    return 0;
}

/* ---- ---- */
static void rounding_costs_what_is_stated(void **state)
{
    static const struct {
        const char *name;
        double logits, perplexity; /* relative to float32 */
    } bound[STORED_TYPES] = {{"f32", 1e-5, 1e-5},
                             {"f16", 2e-3, 2e-3},
                             {"bf16", 1.5e-2, 1e-2},
                             {"q8", 3e-2, 2e-2},
                             {"q4", 2e-1, 2e-1}};
    Lm *ref, *m;
    (void)state;
    assert_ok(open_as(STORED_F32, NULL, &ref));
    for (StoredType t = 0; t < STORED_TYPES; t++) {
        LmDifference d;
        assert_ok(open_as(t, NULL, &m));
        (void)lm_set_exact(m, false); /* as large models decode */
        assert_ok(lm_compare(m, ref, ids, (int64_t)n_ids, NULL, &d));
        /* AMX multiplies halves as bfloat16. */
        StoredType as = t == STORED_F16 && onednn_pays() ? STORED_BF16 : t;
        printf("%-4s %8zu bytes  logits %.2e (worst %.2e)  KL %.2e  same %.3f  perplexity %.3f "
               "(float32 %.3f)\n",
               bound[t].name, lm_bytes(m), d.logits, d.worst, d.divergence, d.agreement,
               d.perplexity, d.exact);
        assert_true(d.logits < bound[as].logits);
        assert_true(fabs(d.perplexity / d.exact - 1) < bound[as].perplexity);
        assert_true(d.divergence > -1e-9 && d.agreement > 0.8);
        lm_free(m);
    }
    lm_free(ref);
}

static void tokens_at_once_and_one_by_one_agree(void **state)
{
    (void)state;
    for (StoredType t = 0; t < STORED_TYPES; t++) {
        Lm *m;
        KvCache *c;
        float *all = malloc(n_ids * (size_t)config.vocab * 4),
              *one = malloc((size_t)config.vocab * 4);
        assert_ok(open_as(t, NULL, &m));
        assert_ok(kvcache_new(dev, config.layers, 1, 8, config.kv_heads * config.head_dim, &c));
        assert_ok(lm_logits(m, ids, (int64_t)n_ids, all));
        for (size_t i = 0; i < n_ids; i++) {
            assert_ok(lm_step(m, &ids[i], 1, 1, c, false, NULL, one));
            for (int64_t v = 0; v < config.vocab; v++)
                assert_true(fabsf(one[v] - all[i * (size_t)config.vocab + (size_t)v]) < 2e-3f);
        }
        kvcache_free(c);
        lm_free(m);
        free(all);
        free(one);
    }
}

static void beams_and_sampling_repeat_themselves(void **state)
{
    static const LmDecode ways[] = {
        {.max_new = 12, .beams = 1, .top_p = 1, .logprobs = true},
        {.max_new = 12, .beams = 5, .top_p = 1, .logprobs = true},
        {.max_new = 12, .beams = 1, .temperature = 1, .top_p = 0.9, .seed = 3, .logprobs = true}};
    Lm *m;
    (void)state;
    assert_ok(open_as(STORED_Q8, NULL, &m));
    for (int i = 0; i < 3; i++)
        for (int exact = 0; exact < 2; exact++) {
            LmResult a, b;
            (void)lm_set_exact(m, exact);
            assert_ok(lm_generate(m, ids, 20, &ways[i], NULL, &a));
            assert_ok(lm_generate(m, ids, 20, &ways[i], NULL, &b));
            assert_int_equal(a.n, b.n);
            assert_memory_equal(a.ids, b.ids, a.n * sizeof *a.ids);
            assert_memory_equal(a.logprob, b.logprob, a.n * sizeof *a.logprob);
            for (size_t k = 0; k < 19; k++)
                assert_true(a.prompt_logprob[k] < 0 && isfinite(a.prompt_logprob[k]));
            lm_result_done(&a);
            lm_result_done(&b);
        }
    lm_free(m);
}

static void missing_scales_are_named(void **state)
{
    static const char *const leave[] = {"model.layers.1.mlp.up_proj.weight.scale",
                                        "model.layers.2.self_attn.k_proj.weight"};
    Lm *m = NULL;
    (void)state;
    assert_err(open_as(STORED_Q4, leave[0], &m), ERR_MODEL);
    assert_non_null(strstr(err_message(), "model.layers.1.mlp.up_proj.weight"));
    assert_err(open_as(STORED_Q8, leave[1], &m), ERR_MODEL);
    assert_non_null(strstr(err_message(), "model.layers.2.self_attn.k_proj.weight: is missing"));
}

/* ---- import --quantize ---- */
static void write_config(const char *dir)
{
    char *path = str_format("%s/config.json", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "{\"model_type\":\"llama\",\"vocab_size\":%d,\"hidden_size\":%d,"
            "\"intermediate_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%d,"
            "\"rms_norm_eps\":%g,\"rope_theta\":%g,\"tie_word_embeddings\":true,"
            "\"bos_token_id\":1,\"eos_token_id\":2}",
            (int)config.vocab, (int)config.width, (int)config.ffn, (int)config.layers,
            (int)config.heads, config.eps, config.theta);
    fclose(f);
    free(path);
}
static void remove_all(const char *dir)
{
    char *cmd = str_format("rm -r '%s'", dir);
    assert_int_equal(system(cmd), 0);
    free(cmd);
}

/* The codes go out as the float32 numbers they stand for. */
static void exported_computes_the_same(const char *bundle, Parts *p)
{
    char *hf = temp_file(), *again = temp_file();
    ImportReport r;
    Parts plain;
    LmDifference d;
    assert_ok(export_bundle(&(ExportSpec){.bundle = bundle, .out = hf}, NULL));
    assert_ok(import_bundle(&(ImportSpec){.llama = hf, .out = again}, NULL, &r));
    import_report_done(&r);
    assert_ok(parts_open(again, dev, false, true, NULL, &plain));
    (void)lm_set_exact(p->lm, true);
    assert_ok(lm_compare(p->lm, plain.lm, ids, (int64_t)n_ids, NULL, &d));
    assert_true(d.logits < 1e-5);
    parts_done(&plain);
    remove_all(hf);
    remove_all(again);
    free(hf);
    free(again);
}

static void import_stores_what_was_asked_for(void **state)
{
    char *hf = temp_file(), *file = str_format("%s/model.safetensors", hf);
    Writing w = {.w = st_writer_new(), .type = STORED_F32};
    LmDifference d;
    Lm *ref;
    (void)state;
    assert_int_equal(mkdir(hf, 0700), 0);
    write_config(hf);
    assert_ok(lm_each_parameter(&config, write_one, &w));
    assert_ok(st_writer_save(w.w, file));
    st_writer_free(w.w);
    assert_ok(open_as(STORED_F32, NULL, &ref));
    for (StoredType type = STORED_Q8; type <= STORED_Q4; type++) {
        char *out = temp_file(), *lm = str_format("%s/lm.safetensors", out);
        ImportReport r;
        Parts p;
        StFile *f;
        ImportSpec spec = {.llama = hf, .out = out, .quantize = type};
        assert_ok(import_bundle(&spec, NULL, &r));
        import_report_done(&r);
        assert_ok(st_open(lm, &f));
        const StTensor *up = st_find(f, "model.layers.1.mlp.up_proj.weight");
        assert_int_equal(up->type, type == STORED_Q4 ? ST_U8 : ST_I8);
        assert_int_equal(st_find(f, "model.embed_tokens.weight")->type, ST_I8);
        assert_int_equal(st_find(f, "model.embed_tokens.weight.scale")->type, ST_F16);
        float *v = malloc((size_t)(config.ffn * config.width) * 4);
        assert_true(dequantize_tensor(f, up, v));
        if (type == STORED_Q8) { /* who knows nothing of groups reads numbers of the same count */
            float *w8 = malloc(up->elements * 4);
            assert_ok(st_read_f32(f, up, w8));
            assert_memory_equal(v, w8, up->elements * 4);
            free(w8);
        }
        free(v);
        st_close(f);
        assert_ok(parts_open(out, dev, false, true, NULL, &p));
        assert_ok(lm_compare(p.lm, ref, ids, (int64_t)n_ids, NULL, &d));
        assert_true(d.logits < (type == STORED_Q4 ? 0.2 : 0.03) && d.logits > 1e-4);
        exported_computes_the_same(out, &p);
        parts_done(&p);
        remove_all(out);
        free(out);
        free(lm);
    }
    lm_free(ref);
    remove_all(hf);
    free(hf);
    free(file);
}

/* ---- memory ---- */
static long private_kb(void)
{
    char line[128];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %ld", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

typedef struct Header {
    Str s;
    uint64_t at;
} Header;
static Err describe_one(void *user, const char *name, int ndim, const int64_t *dim)
{
    Header *h = user;
    uint64_t bytes = (uint64_t)(dim[0] * (ndim > 1 ? dim[1] : 1)) * 2;
    str_addf(&h->s, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%lld", h->at ? "," : "{", name,
             (long long)dim[0]);
    if (ndim > 1)
        str_addf(&h->s, ",%lld", (long long)dim[1]);
    str_addf(&h->s, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)h->at,
             (unsigned long long)(h->at + bytes));
    h->at += bytes;
    return OK;
}

/* Six layers of TinyLlama's shape, 400 million parameters, as a file with holes. */
static void weights_need_no_memory_of_their_own(void **state)
{
    LmConfig big = {.width = 2048,
                    .layers = 6,
                    .heads = 32,
                    .kv_heads = 4,
                    .head_dim = 64,
                    .ffn = 5632,
                    .vocab = 32000,
                    .positions = 2048,
                    .eps = 1e-5,
                    .theta = 10000,
                    .n_eos = 0};
    Header h = {0};
    char *path = temp_file();
    StFile *f;
    Lm *m;
    (void)state;
    assert_ok(lm_each_parameter(&big, describe_one, &h));
    str_add(&h.s, "}");
    while (h.s.len % 8)
        str_add_char(&h.s, ' ');
    uint64_t n = h.s.len;
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
    assert_true(fd >= 0);
    bool ok = write(fd, &n, 8) == 8 && write(fd, str_text(&h.s), n) == (ssize_t)n &&
              ftruncate(fd, (off_t)(8 + n + h.at)) == 0;
    close(fd);
    str_free(&h.s);
    assert_true(ok);
    assert_ok(st_open(path, &f));
    unlink(path);
    free(path);
    long before = private_kb();
    assert_ok(lm_open(&big, f, dev, NULL, &m));
    assert_true(lm_bytes(m) > (size_t)700 << 20);
    int32_t id = 5;
    float *logits = malloc((size_t)big.vocab * 4);
    KvCache *c;
    assert_ok(kvcache_new(dev, big.layers, 1, 8, 256, &c));
    assert_ok(lm_step(m, &id, 1, 1, c, false, NULL, logits));
    long after = private_kb();
    printf("weights %zu MB, private memory %ld kB before, %ld kB after one token\n",
           lm_bytes(m) >> 20, before, after);
    if (before > 0)
        assert_true(after - before < 48 << 10);
    kvcache_free(c);
    free(logits);
    lm_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rounding_costs_what_is_stated),        TEST(tokens_at_once_and_one_by_one_agree),
        TEST(beams_and_sampling_repeat_themselves), TEST(missing_scales_are_named),
        TEST(import_stores_what_was_asked_for),     TEST(weights_need_no_memory_of_their_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
