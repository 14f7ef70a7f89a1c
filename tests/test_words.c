/* Words, labels, gene names in text, the lexicon: what prompts and labels are taken for. */
#include "tests/util.h"

#include <stdlib.h>
#include <string.h>

#include "core/session/gene_words.h"
#include "core/session/label.h"
#include "core/session/lexicon.h"
#include "core/session/words.h"

static CellTypes *types;

static int load_library(void **state)
{
    return celltypes_load("assets/celltypes", &types) == OK ? 0 : -1;
}

static int free_library(void **state)
{
    celltypes_free(types);
    return 0;
}

static void expect_words(const char *text, const char *want)
{
    Words w;
    words_split(text, &w);
    char *got = words_join(&w, 0, w.n);
    assert_string_equal(got, want);
    free(got);
    words_done(&w);
}

static void folds_case_accents_and_plurals(void **state)
{
    expect_words("Natürliche Killerzellen", "naturliche killerzellen");
    expect_words("Monocytes, DCs and B-cells", "monocyte dc and b cell");
    expect_words("γδ T cells", "gammadelta t cell");
    expect_words("virus bus glass", "virus bus glass");
    expect_words("antibodies", "antibody");
    expect_words("", "");
    expect_words("  \xFF\xFE ", "\xFF\xFE");
}

static void reads_the_signs_of_markers(void **state)
{
    expect_words("CD14+ CD16- monocytes", "cd14 cd16neg monocyte");
    expect_words("CD14++CD16\xE2\x88\x92", "cd14 cd16neg");
    expect_words("CD3-CD56+", "cd3neg cd56");
    expect_words("CD4 positive T cell", "cd4 t cell");
    expect_words("CD4-positive, alpha-beta", "cd4 alpha beta");
    expect_words("CD16 negative", "cd16neg");
    expect_words("IL-7 and PD-1", "il 7 and pd 1");
    expect_words("non-classical", "non classical");
}

static void keeps_ideographs_apart(void **state)
{
    expect_words("B细胞", "b 细 胞");
}

static void measures_distance_with_swaps(void **state)
{
    assert_int_equal(words_distance("monocite", "monocyte", 2), 1);
    assert_int_equal(words_distance("platlet", "platelet", 2), 1);
    assert_int_equal(words_distance("ab", "ba", 2), 1);
    assert_int_equal(words_distance("same", "same", 2), 0);
    assert_int_equal(words_distance("cat", "dog", 2), 3);
    assert_int_equal(words_distance("", "abc", 5), 3);
}

static void expect_label(const LabelIndex *x, const char *label, const char *id)
{
    int32_t i = label_find(x, label);
    if (i < 0 || strcmp(celltypes_at(types, (size_t)i)->id, id) != 0)
        fail_msg("'%s': %s, not %s", label, i < 0 ? "nothing" : celltypes_at(types, (size_t)i)->name, id);
}

static void finds_the_type_a_label_means(void **state)
{
    LabelIndex *x;
    assert_ok(label_index_new(types, "assets/genes/cd_names.tsv", &x));
    static const char *const pairs[][2] = {
        {"CD4 T cell", "CL:0000624"},        {"Naive CD4 T", "CL:0000895"},       {"Memory CD4 T", "CL:0000897"},
        {"CD19+ B", "CL:0000236"},           {"CD4+/CD25 T Reg", "CL:0000815"},   {"CD4+/CD45RO+ Memory", "CL:0000897"},
        {"CD8+/CD45RA+ Naive Cytotoxic", "CL:0000900"}, {"NK Proliferating", "CL:0000623"}, {"stellate", "CL:0002410"},
        {"FCGR3A+ Mono", "CL:0000875"},      {"CD14+ Mono", "CL:0000860"},        {"CD14+ Monocytes", "CL:0000860"},
        {"DC", "CL:0000451"},                {"NK", "CL:0000623"},                {"NK cells", "CL:0000623"},
        {"B", "CL:0000236"},                 {"B_cells_2", "CL:0000236"},         {"T cells, CD8", "CL:0000625"},
        {"CD8+ T", "CL:0000625"},            {"Platelets", "CL:0000233"},         {"CL:0000236", "CL:0000236"},
        {"non-classical monocyte", "CL:0000875"}, {"Monocytes, CD14", "CL:0000860"},
        {"Plasma cells", "CL:0000786"},      {"beta", "CL:0000169"},              {"Alpha cells", "CL:0000171"},
        {"Dendritic cells", "CL:0000451"},   {"Natural Killer cell", "CL:0000623"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        expect_label(x, pairs[i][0], pairs[i][1]);
    assert_int_equal(label_find(x, "Cluster 7"), -1);
    assert_int_equal(label_find(x, "7"), -1);
    assert_int_equal(label_find(x, ""), -1);
    assert_string_equal(label_protein_genes(x, "cd20")[0], "MS4A1");
    assert_string_equal(label_protein_genes(x, "PD1")[0], "PDCD1");
    assert_null(label_protein_genes(x, "no such protein"));
    label_index_free(x);
}

static bool known(void *user, const char *symbol)
{
    static const char *const genes[] = {"MS4A1", "CD79A", "CD4", "CD14", "FOXP3", "HLA-DRA", "NCAM1", "CAT", "NKG7", "C1orf21"};
    for (size_t i = 0; i < sizeof genes / sizeof genes[0]; i++)
        if (strcmp(genes[i], symbol) == 0)
            return true;
    return false;
}

static void expect_genes(const LabelIndex *x, const char *text, const char *want)
{
    Words w;
    GeneWords g;
    char got[256] = "";
    words_split(text, &w);
    gene_words_find(x, known, NULL, text, &w, &g);
    for (size_t i = 0; i < g.n; i++) {
        strcat(got, g.v[i].negative ? " -" : " ");
        strcat(got, g.v[i].symbol);
    }
    assert_string_equal(got, want);
    gene_words_done(&g);
    words_done(&w);
}

static void finds_genes_in_text(void **state)
{
    LabelIndex *x;
    assert_ok(label_index_new(types, "assets/genes/cd_names.tsv", &x));
    expect_genes(x, "MS4A1 and CD79A", " MS4A1 CD79A");
    expect_genes(x, "CD20 positive foxp3+ cells", " MS4A1 FOXP3");
    expect_genes(x, "CD3-CD56+", " -CD3D -CD3E -CD3G NCAM1");
    expect_genes(x, "granzyme B, HLA-DRA", " GZMB HLA-DRA");
    expect_genes(x, "a cat sat with NK cells", "");
    expect_genes(x, "CD4-negative", " -CD4");
    expect_genes(x, "", "");
    label_index_free(x);
}

static void finds_names_longest_first(void **state)
{
    Lexicon *x = lexicon_new(types);
    const char *text = "show me the non-classical monocytes, platelets and the DC";
    Words w;
    NamedType out[32];
    words_split(text, &w);
    size_t n = lexicon_names(x, text, &w, NULL, out);
    assert_int_equal(n, 3);
    assert_string_equal(celltypes_at(types, (size_t)out[0].type)->id, "CL:0000875");
    assert_string_equal(celltypes_at(types, (size_t)out[1].type)->id, "CL:0000233");
    assert_string_equal(celltypes_at(types, (size_t)out[2].type)->id, "CL:0000451");
    words_done(&w);
    words_split("wait a sec, ec dc", &w);
    assert_int_equal(lexicon_names(x, "wait a sec, ec dc", &w, NULL, out), 0);
    words_done(&w);
    lexicon_free(x);
}

static void ranks_types_by_shared_words(void **state)
{
    Lexicon *x = lexicon_new(types);
    float *score = calloc(celltypes_count(types), sizeof *score);
    Words w;
    words_split("PF4 PPBP clotting", &w);
    float covered = lexicon_rank(x, &w, NULL, score);
    assert_true(covered > 0.9f);
    size_t best = 0;
    for (size_t i = 0; i < celltypes_count(types); i++)
        best = score[i] > score[best] ? i : best;
    assert_string_equal(celltypes_at(types, best)->id, "CL:0000233");
    words_done(&w);
    words_split("qzxv brrt", &w);
    assert_true(lexicon_rank(x, &w, NULL, score) == 0);
    words_done(&w);
    free(score);
    lexicon_free(x);
}

static void corrects_misspelt_names_only(void **state)
{
    Lexicon *x = lexicon_new(types);
    assert_string_equal(lexicon_correct(x, "monocite"), "monocyte");
    assert_string_equal(lexicon_correct(x, "dendritc"), "dendritic");
    assert_string_equal(lexicon_correct(x, "platlet"), "platelet");
    assert_null(lexicon_correct(x, "monocyte"));
    assert_null(lexicon_correct(x, "zzzzzzzz"));
    lexicon_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(folds_case_accents_and_plurals), TEST(reads_the_signs_of_markers), TEST(keeps_ideographs_apart),
        TEST(measures_distance_with_swaps),   TEST(finds_the_type_a_label_means), TEST(finds_genes_in_text),
        TEST(finds_names_longest_first),      TEST(ranks_types_by_shared_words), TEST(corrects_misspelt_names_only),
    };
    return cmocka_run_group_tests(tests, load_library, free_library);
}
