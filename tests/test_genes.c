/* core/data: gene names against a file and against a vocabulary. */
#include "tests/util.h"

#include <string.h>

#include "core/data/dataset_impl.h"
#include "core/data/genes.h"
#include "core/data/orthologs.h"

static const char *const names[] = {"CD3E",        "IL8",    "LYZ",    "CD3E", "lyz",
                                    "GRCh38_CD19", "MARCH1", "NAP1L1", "cd8a"};
enum { N = sizeof names / sizeof *names };

static void check(const char *query, GeneHow how, size_t column)
{
    GeneIndex *ix = gene_index_new(names, NULL, N);
    GeneHit hit;
    assert_ok(gene_resolve(ix, query, &hit));
    if (hit.how != how || (how != GENE_NONE && hit.column != column))
        fail_msg("%s: %s, column %zu", query, gene_how_name(hit.how), hit.column);
    gene_index_free(ix);
}

static void exact_names_win_then_case(void **state)
{
    check("LYZ", GENE_EXACT, 2);
    check("lyz", GENE_EXACT, 4);
    check("Lyz", GENE_NONE, 0); /* LYZ or lyz? */
    check("cd3e", GENE_CASE, 0);
    check("CD8A", GENE_CASE, 8);
    check("CD19", GENE_CASE, 5);
    check("GRCh38_CD19", GENE_EXACT, 5);
}

static void old_and_new_symbols_meet(void **state)
{
    check("CXCL8", GENE_ALIAS, 1);
    check("MARCHF1", GENE_ALIAS, 6);
    const char *new_names[] = {"CXCL8", "MARCHF1", "CD3E"};
    GeneIndex *ix = gene_index_new(new_names, NULL, 3);
    GeneHit hit;
    assert_ok(gene_resolve(ix, "IL8", &hit));
    assert_true(hit.how == GENE_ALIAS && hit.column == 0);
    assert_ok(gene_resolve(ix, "il8", &hit));
    assert_true(hit.how == GENE_ALIAS && hit.column == 0);
    gene_index_free(ix);
}

static void ensembl_ids_with_and_without_version(void **state)
{
    assert_true(gene_is_ensembl("ENSG00000198851"));
    assert_true(gene_is_ensembl("ENSG00000198851.12"));
    assert_true(gene_is_ensembl("ENSMUSG00000032093"));
    assert_false(gene_is_ensembl("ENSG0000019885"));
    assert_false(gene_is_ensembl("ENST00000361763"));
    assert_false(gene_is_ensembl("ENSG00000198851.x"));
    check("ENSG00000198851", GENE_ENSEMBL, 0);
    check("ENSG00000198851.9", GENE_ENSEMBL, 0);
    check("ENSG00000169429", GENE_ENSEMBL, 1); /* CXCL8, here by its old name */
    const char *ids[] = {"ENSG00000198851.4", "ENSG00000169429.1"};
    GeneIndex *ix = gene_index_new(ids, NULL, 2);
    GeneHit hit;
    assert_ok(gene_resolve(ix, "IL8", &hit));
    assert_true(hit.how == GENE_ALIAS && hit.column == 1);
    assert_ok(gene_resolve(ix, "ENSG00000198851", &hit));
    assert_true(hit.how == GENE_ENSEMBL && hit.column == 0);
    gene_index_free(ix);
}

static void duplicates_are_counted_and_reachable(void **state)
{
    GeneIndex *ix = gene_index_new(names, NULL, N);
    GeneHit hit;
    assert_ok(gene_resolve(ix, "CD3E", &hit));
    assert_true(hit.duplicates == 2 && hit.column == 0);
    assert_ok(gene_resolve(ix, "CD3E#2", &hit));
    assert_true(hit.how == GENE_EXACT && hit.column == 3);
    assert_ok(gene_resolve(ix, "CD3E#3", &hit));
    assert_int_equal(hit.how, GENE_NONE);
    assert_int_equal(gene_index_n_duplicated(ix), 1);
    gene_index_free(ix);
}

static void dates_of_spreadsheets_are_understood(void **state)
{
    char s[16];
    assert_true(gene_from_date("1-Mar", s));
    assert_string_equal(s, "MARCHF1");
    assert_true(gene_from_date("Sep-02", s));
    assert_string_equal(s, "SEPTIN2");
    assert_false(gene_from_date("HLA-A", s));
    assert_false(gene_from_date("40-Mar", s));
    assert_false(gene_from_date("Mar-", s));
    const char *file[] = {"1-Mar", "Sep-02", "CD3E", "2-Mar", "2-Mar"};
    GeneIndex *ix = gene_index_new(file, NULL, 5);
    GeneHit hit;
    assert_ok(gene_resolve(ix, "MARCH1", &hit));
    assert_true(hit.how == GENE_ALIAS && hit.column == 0);
    assert_ok(gene_resolve(ix, "SEPTIN2", &hit));
    assert_true(hit.how == GENE_ALIAS && hit.column == 1);
    assert_ok(gene_resolve(ix, "MARCHF2", &hit)); /* two columns have this date */
    assert_int_equal(hit.how, GENE_NONE);
    gene_index_free(ix);
}

static void an_ambiguous_alias_is_reported_not_guessed(void **state)
{
    /* NAP1 is another name of CXCL8, NAP1L1 and more genes. */
    const char *both[] = {"CXCL8", "NAP1L1"};
    GeneIndex *ix = gene_index_new(both, NULL, 2);
    GeneHit hit;
    assert_ok(gene_resolve(ix, "NAP1", &hit));
    assert_true(hit.how == GENE_NONE && hit.ambiguous);
    assert_int_equal(hit.n_suggestions, 2);
    gene_index_free(ix);
    ix = gene_index_new(both, NULL, 1); /* only one of them is in the file */
    assert_ok(gene_resolve(ix, "NAP1", &hit));
    assert_true(hit.how == GENE_ALIAS && hit.column == 0);
    gene_index_free(ix);
}

static void misspelt_names_get_suggestions(void **state)
{
    GeneIndex *ix = gene_index_new(names, NULL, N);
    GeneHit hit;
    assert_ok(gene_resolve(ix, "CD3EE", &hit));
    assert_int_equal(hit.how, GENE_NONE);
    assert_true(hit.n_suggestions >= 1);
    assert_string_equal(hit.suggestions[0], "CD3E");
    assert_ok(gene_resolve(ix, "XYZXYZXYZ", &hit));
    assert_int_equal(hit.n_suggestions, 0);
    assert_ok(gene_resolve(ix, "", &hit));
    assert_int_equal(hit.how, GENE_NONE);
    gene_index_free(ix);
}

static void matching_uses_each_vocabulary_entry_once(void **state)
{
    const char *vocab[] = {"CD3E", "CXCL8", "LYZ", "CD19", "MARCHF1", "CD8A", "INS", "C1orf56"};
    const char *file[] = {
        "IL8",     "CD3E",    "CD3E",  "GRCh38_CD19", "cd8a", "Ins", "ENSG00000090382.7",
        "nothing", "C1ORF56", "MARCH1"};
    GeneMatch m;
    assert_ok(gene_match(file, NULL, 10, vocab, 8, &m));
    const int32_t want[] = {1, 0, -1, 3, 5, -1, 2, -1, 7, 4};
    for (int i = 0; i < 10; i++)
        if (m.to[i] != want[i])
            fail_msg("%s -> %d, not %d", file[i], m.to[i], want[i]);
    assert_int_equal(m.matched, 7);
    assert_int_equal(m.how[0], GENE_ALIAS);
    assert_int_equal(m.how[6], GENE_ENSEMBL);
    gene_match_done(&m);
}

static void mouse_symbols_have_one_human_counterpart(void **state)
{
    const char *human;
    assert_ok(ortholog_human("Cd3e", &human));
    assert_string_equal(human, "CD3E");
    assert_ok(ortholog_human("NOT-A-GENE", &human));
    assert_null(human);
    Csr x;
    Dataset *d;
    const char *const *got;
    size_t n;
    assert_ok(csr_init(&x, 1, 3, 0));
    assert_ok(
        dataset_from_memory("mouse", &x, (const char *[]){"Cd3e", "Ms4a1", "Gm1234567"}, NULL, &d));
    d->map_orthologs = true;
    assert_ok(dataset_gene_names(d, 0, &got, &n));
    assert_string_equal(got[1], "MS4A1");
    assert_string_equal(got[2], "Gm1234567");
    dataset_close(d);
}

static void naming_is_told_in_words(void **state)
{
    assert_string_equal(gene_naming((const char *[]){"Cd3e", "Ms4a1", "Lyz2"}, 3),
                        "mouse-style gene symbols");
    assert_string_equal(gene_naming((const char *[]){"ENSG00000090382.7", "ENSG00000090383"}, 2),
                        "human Ensembl ids");
    assert_string_equal(gene_naming((const char *[]){"12", "13", "CD3E"}, 3), "numbers");
    assert_string_equal(gene_naming((const char *[]){"CD3E", "MS4A1"}, 2),
                        "upper-case gene symbols");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exact_names_win_then_case),
        TEST(old_and_new_symbols_meet),
        TEST(ensembl_ids_with_and_without_version),
        TEST(duplicates_are_counted_and_reachable),
        TEST(dates_of_spreadsheets_are_understood),
        TEST(an_ambiguous_alias_is_reported_not_guessed),
        TEST(misspelt_names_get_suggestions),
        TEST(matching_uses_each_vocabulary_entry_once),
        TEST(mouse_symbols_have_one_human_counterpart),
        TEST(naming_is_told_in_words),
    };
    return RUN(tests);
}
