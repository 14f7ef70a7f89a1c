/* Files and small parts of the model: safetensors and its damaged forms, the cell-type library,
 * gene tokens, byte pairs, sums of a bundle. */
#include "tests/util.h"
#include "tests/util_folder.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/bpe.h"
#include "core/model/bundle.h"
#include "core/model/celltypes.h"
#include "core/model/safetensors.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder_path(), name);
    return path;
}
static void write_bytes(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}
/* ---- safetensors ---- */
static void tensors_come_back_as_they_were_written(void **state)
{
    (void)state;
    const float x[6] = {1, -2, 0.5f, 3e-7f, 65504, -1e-3f};
    const int64_t dim[2] = {2, 3};
    StWriter *w = st_writer_new();
    st_writer_meta(w, "note", "a \"quoted\" text");
    assert_ok(st_writer_add_f32(w, "exact", ST_F32, 2, dim, x));
    assert_ok(st_writer_add_f32(w, "half", ST_F16, 2, dim, x));
    assert_ok(st_writer_add_f32(w, "brain", ST_BF16, 2, dim, x));
    assert_ok(st_writer_add_f32(w, "rows", ST_I8, 2, dim, x));
    assert_ok(st_writer_add(w, "none", ST_I32, 1, (int64_t[]){0}, NULL));
    assert_ok(st_writer_save(w, in_dir("t.safetensors")));
    st_writer_free(w);
    StFile *f;
    float y[6];
    assert_ok(st_open(in_dir("t.safetensors"), &f));
    assert_int_equal(st_count(f), 6); /* the scales of "rows" are one */
    assert_string_equal(st_meta(f, "note"), "a \"quoted\" text");
    assert_ok(st_read_f32(f, st_find(f, "exact"), y));
    assert_memory_equal(x, y, sizeof x);
    assert_ok(st_read_f32(f, st_find(f, "half"), y));
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(x[i] - y[i]) <= fabsf(x[i]) / 2048 + 3e-8f);
    assert_ok(st_read_f32(f, st_find(f, "brain"), y));
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(x[i] - y[i]) <= fabsf(x[i]) / 256);
    assert_ok(st_read_f32(f, st_find(f, "rows"), y));
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(x[i] - y[i]) <= (i < 3 ? 2.0f : 65504.0f) / 127 / 2 * 1.001f);
    assert_int_equal(st_find(f, "none")->elements, 0);
    assert_null(st_find(f, "nothing"));
    st_close(f);
}

static void halves_convert_exactly_both_ways(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7C00; h++) {
        assert_int_equal(st_float_to_half(st_half_to_float((uint16_t)h)), h);
        assert_int_equal(st_float_to_half(st_half_to_float((uint16_t)(h | 0x8000))), h | 0x8000);
    }
    assert_int_equal(st_float_to_half(1e6f), 0x7C00);
    assert_int_equal(st_float_to_half(2049.0f), st_float_to_half(2048.0f)); /* tie to even */
    assert_true(isnan(st_half_to_float(0x7E00)));
}

static void damaged_tensor_files_are_refused(void **state)
{
    (void)state;
    static const char *const HEADERS[] = {
        "[]",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",  /* shape and place
                                                                                disagree */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", /* past the end */
        "{\"a\":{\"dtype\":\"F9\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":["
        "0,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", /* a hole */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",  /* overlap */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", /* data left over */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]",
    };
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++) {
        unsigned char buf[1024] = {0};
        size_t n = strlen(HEADERS[i]);
        buf[0] = (unsigned char)n;
        buf[1] = (unsigned char)(n >> 8);
        memcpy(buf + 8, HEADERS[i], n);
        write_bytes("bad", buf, 8 + n + 8);
        StFile *f = NULL;
        assert_err(st_open(in_dir("bad"), &f), ERR_MODEL);
        assert_null(f);
    }
    StFile *f;
    const unsigned char huge[16] = {255, 255, 255, 255, 255, 255, 255, 127, '{', '}'};
    write_bytes("bad", huge, sizeof huge);
    assert_err(st_open(in_dir("bad"), &f), ERR_MODEL);
    write_bytes("bad", "abc", 3);
    assert_err(st_open(in_dir("bad"), &f), ERR_MODEL);
    assert_err(st_open(in_dir("missing"), &f), ERR_MODEL);
}

/* ---- cell types ---- */
static void make_library(void)
{
    mkdir(in_dir("types"), 0777);
    write_text(
        "types/a.json",
        "[{\"id\":\"CL:1\",\"name\":\"T cell\",\"synonyms\":[\"T lymphocyte\"],\"texts\":[\"x\"],"
        "\"high\":[\"CD3E\"],\"low\":[\"LYZ\"],\"lineage\":\"lymphoid "
        "lineage\",\"function\":\"helps.\"},"
        "{\"id\":\"CL:2\",\"name\":\"CD4 T cell\",\"synonyms\":[\"T helper\",\"CD4+ T\"]}]");
    write_text("types/b.json", "[{\"id\":\"CL:3\",\"name\":\"monocyte\",\"synonyms\":[\"T cell\"]},"
                               "{\"id\":\"CL:1\",\"name\":\"second entry of CL:1\"}]");
    write_text("types/hierarchy.tsv",
               "id\tname\tparents\nCL:0\tlymphocyte\t\nCL:1\tT cell proper\tCL:0\n"
               "CL:9\talpha-beta T cell\tCL:1\nCL:2\tCD4-positive T\tCL:9\nCL:3\tmono\tCL:0\n");
}

static void types_are_found_by_any_of_their_names(void **state)
{
    (void)state;
    CellTypes *c;
    make_library();
    assert_ok(celltypes_load(in_dir("types"), &c));
    assert_int_equal(celltypes_count(c), 3);
    assert_int_equal(celltypes_find(c, "t-cells"),
                     0); /* a plain name wins over the monocyte's synonym */
    assert_int_equal(celltypes_find(c, " CD4+  T "), 1);
    assert_int_equal(celltypes_find(c, "T helpers"), 1);
    assert_int_equal(celltypes_find(c, "Monocytes"), 2);
    assert_int_equal(celltypes_find(c, "CD4-positive T"), 1); /* the ontology's own name */
    assert_int_equal(celltypes_find(c, "CL:3"), 2);
    assert_int_equal(celltypes_find(c, "neuron"), -1);
    assert_string_equal(celltypes_at(c, 0)->name, "T cell");
    celltypes_free(c);
}

static void ancestors_reach_over_types_outside_the_library(void **state)
{
    (void)state;
    CellTypes *c;
    make_library();
    assert_ok(celltypes_load(in_dir("types"), &c));
    assert_true(celltypes_is_a(c, 1, 0)); /* through CL:9 */
    assert_false(celltypes_is_a(c, 0, 1));
    assert_true(celltypes_related(c, 0, 1));
    assert_false(celltypes_related(c, 0, 2));
    assert_true(celltypes_id_is_a(c, "CL:2", "CL:0"));
    assert_false(celltypes_id_is_a(c, "CL:2", "CL:3"));
    assert_string_equal(celltypes_ontology_name(c, "CL:9"), "alpha-beta T cell");
    celltypes_free(c);
}

static void damaged_libraries_are_refused_by_name(void **state)
{
    (void)state;
    CellTypes *c;
    make_library();
    write_text("types/c.json", "[{\"id\":\"CL:7\",\"name\":7}]");
    assert_err(celltypes_load(in_dir("types"), &c), ERR_MODEL);
    assert_non_null(strstr(err_message(), "c.json: entry 1: \"name\""));
    write_text("types/c.json", "[{\"id\":");
    assert_err(celltypes_load(in_dir("types"), &c), ERR_MODEL);
    unlink(in_dir("types/c.json"));
    write_text("types/hierarchy.tsv", "id\tname\tparents\nCL:0 no columns\n");
    assert_err(celltypes_load(in_dir("types"), &c), ERR_MODEL);
    assert_err(celltypes_load(in_dir("nowhere"), &c), ERR_MODEL);
}

/* ---- genes ---- */
static void tokens_are_the_most_telling_genes_on_the_panels_scale(void **state)
{
    (void)state;
    GeneSpace *s;
    assert_ok(genespace_new((const char *const[]){"A", "B", "C", "D"}, 4, &s));
    float mean[] = {1, 0, 3, 0}, sd[] = {1, 2, 1, 0.1f}, *copy;
    assert_ok(NEW(copy, 4));
    s->mean = memcpy(copy, mean, sizeof mean);
    assert_ok(NEW(copy, 4));
    s->sd = memcpy(copy, sd, sizeof sd);
    int32_t gene[] = {0, 1, 2, -1, 3}, out[3];
    float count[] = {4, 2, 2, 100, 0},
          x[3]; /* the unknown gene's counts are no part of the total */
    assert_int_equal(genespace_tokens(s, gene, count, 5, 0.5, 3, out, x), 3);
    assert_int_equal(out[0], 1); /* 7.13 * 1.5 */
    assert_int_equal(out[1], 0); /* (7.82 - 1) * 1 */
    assert_int_equal(out[2], 2); /* (7.13 - 3) * 1 */
    assert_true(fabsf(x[0] - log1pf(1e4f * 0.5f * 2 / 8)) < 1e-5f);
    assert_int_equal(genespace_tokens(s, gene, count, 5, 0.5, 1, out, x), 1);
    assert_int_equal(out[0], 1);
    assert_int_equal(genespace_tokens(s, gene + 3, count + 3, 2, 0.5, 3, out, x), 0);
    genespace_free(s);
}

static void a_vocabulary_is_read_as_it_was_written(void **state)
{
    (void)state;
    GeneSpace *s, *r;
    assert_ok(genespace_new((const char *const[]){"TP53", "CD3E", "HLA-DRA"}, 3, &s));
    assert_ok(genespace_write_vocab(s, (const char *const[]){"<pad>", "<cls>"}, 2, in_dir("vocab.json")));
    assert_ok(genespace_read_vocab(in_dir("vocab.json"), &r));
    assert_int_equal(r->n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(r->name[i], s->name[i]);
    assert_int_equal(genespace_find(r, "HLA-DRA"), 2);
    genespace_free(s);
    genespace_free(r);
    write_text("vocab.json", "{\"A\":0,\"B\":0}");
    assert_err(genespace_read_vocab(in_dir("vocab.json"), &r), ERR_MODEL);
    write_text("vocab.json", "{\"A\":0,\"B\":5}");
    assert_err(genespace_read_vocab(in_dir("vocab.json"), &r), ERR_MODEL);
    write_text("vocab.json", "[1]");
    assert_err(genespace_read_vocab(in_dir("vocab.json"), &r), ERR_MODEL);
}

/* ---- byte pairs ---- */
static void byte_pairs_decode_to_the_text_and_survive_a_file(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"This is a T cell, a cell of the lymphoid lineage.",
                                        "This is a B cell."};
    Bpe *b, *r;
    assert_ok(bpe_learn(TEXTS, 2, 40, &b));
    cJSON *o = bpe_write(b);
    assert_ok(bpe_read(o, &r));
    cJSON_Delete(o);
    assert_int_equal(bpe_size(b), bpe_size(r));
    static const char *const TRY_TEXTS[] = {"This is a T cell", " \xce\xb2-cell (naïve); 12 cells.",
                                            "  two  blanks ", ""};
    for (size_t i = 0; i < 4; i++) {
        int32_t *ids = NULL, *again = NULL;
        size_t n = 0, cap = 0, m = 0, cap2 = 0, len;
        Str s = {0};
        assert_ok(bpe_encode(b, TRY_TEXTS[i], strlen(TRY_TEXTS[i]), &ids, &n, &cap));
        assert_ok(bpe_encode(r, TRY_TEXTS[i], strlen(TRY_TEXTS[i]), &again, &m, &cap2));
        assert_int_equal(n, m);
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(ids[k], again[k]);
            const char *bytes = bpe_bytes(b, ids[k], &len);
            str_add_n(&s, bytes, len);
        }
        assert_string_equal(str_text(&s), TRY_TEXTS[i]);
        if (i == 0)
            assert_true(n < 8); /* "This", " is", " a" are tokens by now */
        str_free(&s);
        free(ids);
        free(again);
    }
    bpe_free(b);
    bpe_free(r);
    cJSON *bad = cJSON_Parse("{\"merges\":[[3,900]]}");
    assert_err(bpe_read(bad, &r), ERR_MODEL);
    cJSON_Delete(bad);
}

/* ---- bundles ---- */
static void a_changed_file_of_a_bundle_is_named(void **state)
{
    (void)state;
    mkdir(in_dir("bundle"), 0777);
    write_text("bundle/config.json", "{}");
    write_text("bundle/part.safetensors", "weights");
    char *folder = mem_strdup(in_dir("bundle"));
    assert_ok(bundle_write_sums(folder));
    assert_ok(bundle_verify(folder));
    write_text("bundle/part.safetensors", "weightz");
    assert_err(bundle_verify(folder), ERR_MODEL);
    assert_non_null(strstr(err_message(), "part.safetensors"));
    unlink(in_dir("bundle/part.safetensors"));
    assert_err(bundle_verify(folder), ERR_MODEL);
    free(folder);
    assert_err(bundle_verify(folder_path()), ERR_MODEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tensors_come_back_as_they_were_written),
        TEST(halves_convert_exactly_both_ways),
        TEST(damaged_tensor_files_are_refused),
        TEST(types_are_found_by_any_of_their_names),
        TEST(ancestors_reach_over_types_outside_the_library),
        TEST(damaged_libraries_are_refused_by_name),
        TEST(tokens_are_the_most_telling_genes_on_the_panels_scale),
        TEST(a_vocabulary_is_read_as_it_was_written),
        TEST(byte_pairs_decode_to_the_text_and_survive_a_file),
        TEST(a_changed_file_of_a_bundle_is_named),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
