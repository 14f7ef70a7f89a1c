/* Annotation and search end to end, with the shipped bundle on a few made-up cells that express marker genes. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/data/h5ad_write.h"
#include "core/session/prompt.h"
#include "core/session/session_internal.h"

/* Three kinds of cells (rows of ten), each high in its genes, a little of everything else; the last cell is empty. */
static const char *const genes[] = {
    "MS4A1", "CD79A", "CD79B", "BANK1", "TCL1A", "LINC00926", "CD74",  "HLA-DRA", /* B cells */
    "CD3D",  "CD3E",  "CD3G",  "IL7R",  "LTB",   "TRAC",      "TCF7",  "LDHB",    /* T cells */
    "LYZ",   "S100A8", "S100A9", "CD14", "FCN1", "VCAN",      "CST3",  "TYROBP",  /* monocytes */
    "ACTB",  "B2M",   "MALAT1", "TMSB4X", "RPL13", "RPS27",   "EEF1A1", "FTH1",
    "ALB",   "APOA1", "INS",   "GCG",   "COL1A1", "VWF",      "KRT5",  "GFAP"};
enum { GENES = sizeof genes / sizeof genes[0], KIND = 10, CELLS = 3 * KIND + 1 };

static Session *open_cells(bool lognorm)
{
    Csr m;
    size_t at = 0;
    Rng r = rng_make(7, 0);
    assert_ok(csr_init(&m, CELLS, GENES, CELLS * GENES));
    for (size_t i = 0; i < CELLS; i++) {
        double total = 0;
        size_t from = at;
        for (size_t g = 0; g < GENES && i < CELLS - 1; g++) {
            double mean = g / 8 == i / KIND ? 6 : g / 8 == 3 ? 15 : g / 8 < 3 ? 0.05 : 0;
            double v = (double)rng_poisson(&r, mean);
            if (v == 0)
                continue;
            m.indices[at] = (int32_t)g;
            m.values[at++] = (float)v;
            total += v;
        }
        for (size_t k = from; lognorm && k < at; k++)
            m.values[k] = (float)log1p(1e4 * m.values[k] / total);
        m.indptr[i + 1] = (int64_t)at;
    }
    SessionParams p = session_params_default();
    Session *s;
    p.device = "cpu";
    p.min_genes = 30;
    assert_ok(session_open_empty(&p, &s));
    assert_ok(dataset_from_memory("cells", &m, genes, NULL, &s->dataset));
    return s;
}

static const char *const three[] = {"B cell", "T cell", "classical monocyte"};

static void expect_kinds(const Annotation *a)
{
    for (size_t i = 0; i < CELLS - 1; i++) {
        assert_string_equal(a->labels[a->label[i]], three[i / KIND]);
        assert_true(a->probability[i] > 0.5 && a->probability[i] <= 1);
        assert_true(a->second_probability[i] <= a->probability[i]);
    }
}

static void labels_cells_by_what_they_express(void **state)
{
    for (int lognorm = 0; lognorm < 2; lognorm++) {
        Session *s = open_cells(lognorm);
        AnnotateParams p = annotate_params_default();
        Annotation *a;
        p.labels = three;
        p.n_labels = 3;
        assert_ok(session_annotate(s, &p, NULL, NULL, &a));
        assert_int_equal(a->n, CELLS);
        assert_int_equal(a->n_labels, 3);
        assert_string_equal(a->label_ids[0], "CL:0000236");
        expect_kinds(a);
        assert_true(a->refine_used == 0); /* too few cells */
        assert_true(a->unknown[CELLS - 1]);
        assert_string_equal(a->evidence[CELLS - 1], "");
        annotation_free(a);
        session_close(s);
    }
}

static bool listed(const char *list, const char *gene)
{
    size_t n = strlen(gene);
    for (const char *p = list; (p = strstr(p, gene)); p++)
        if ((p == list || p[-1] == ',') && (p[n] == ',' || !p[n]))
            return true;
    return false;
}

static void evidence_is_expressed_and_missing_is_not(void **state)
{
    Session *s = open_cells(false);
    AnnotateParams p = annotate_params_default();
    Annotation *a;
    Csr m;
    p.labels = three;
    p.n_labels = 3;
    assert_ok(session_annotate(s, &p, NULL, NULL, &a));
    assert_ok(dataset_read_rows(s->dataset, 0, 0, CELLS, NULL, &m));
    for (size_t i = 0; i < CELLS; i++)
        for (size_t g = 0; g < GENES; g++) {
            bool on = false;
            for (int64_t k = m.indptr[i]; k < m.indptr[i + 1]; k++)
                on |= m.indices[k] == (int32_t)g && m.values[k] > 0;
            assert_false(listed(a->evidence[i], genes[g]) && !on);
            assert_false(listed(a->missing_markers[i], genes[g]) && on);
        }
    assert_true(listed(a->evidence[0], "MS4A1"));
    csr_done(&m);
    annotation_free(a);
    session_close(s);
}

static void groups_get_one_row_each(void **state)
{
    Session *s = open_cells(false);
    AnnotateParams p = annotate_params_default();
    Annotation *a;
    int32_t codes[CELLS];
    char *names[] = {"x", "y", "z", "nobody"};
    size_t sizes[] = {KIND, KIND, KIND, 0};
    for (size_t i = 0; i < CELLS; i++)
        codes[i] = i < CELLS - 1 ? (int32_t)(i / KIND) : -1;
    Groups g = {.key = "kind", .n_cells = CELLS, .n_groups = 4, .codes = codes, .names = names, .sizes = sizes};
    p.labels = three;
    p.n_labels = 3;
    assert_ok(session_annotate(s, &p, &g, NULL, &a));
    assert_int_equal(a->n, 4);
    for (int k = 0; k < 3; k++)
        assert_int_equal(a->label[k], k);
    assert_true(a->unknown[3]); /* a group without cells */
    annotation_free(a);
    session_close(s);
}

static void one_label_repeats_and_unheard_of_labels_are_served(void **state)
{
    static const char *const repeats[] = {"T cell", "T cell", "zorblax MS4A1 CD79A CD79B", "classical monocyte"};
    Session *s = open_cells(false);
    AnnotateParams p = annotate_params_default();
    Annotation *a;
    p.labels = repeats;
    p.n_labels = 1;
    assert_ok(session_annotate(s, &p, NULL, NULL, &a));
    assert_int_equal(a->second[0], -1);
    assert_float_equal(a->probability[0], 1, 1e-6);
    assert_true(a->unknown[0]); /* a B cell */
    assert_false(a->unknown[KIND]);
    annotation_free(a);
    p.n_labels = 4;
    assert_ok(session_annotate(s, &p, NULL, NULL, &a));
    assert_int_equal(a->n_labels, 3);
    assert_string_equal(a->labels[a->label[0]], repeats[2]); /* by the genes it names */
    assert_string_equal(a->label_ids[a->label[0]], "");
    annotation_free(a);
    p.labels = NULL;
    p.labels_from = "no such column";
    assert_err(session_annotate(s, &p, NULL, NULL, &a), ERR_NOT_FOUND);
    session_close(s);
}

static void search_ranks_the_right_cells_first(void **state)
{
    static const struct {
        const char *text;
        size_t kind;
    } prompts[] = {{"B lymphocytes", 0}, {"CD20 positive", 0}, {"monocites", 2}, {"T cells", 1}, {"CD3E", 1}};
    Session *s = open_cells(false);
    for (size_t k = 0; k < sizeof prompts / sizeof prompts[0]; k++) {
        QueryResult *q;
        assert_ok(session_query(s, prompts[k].text, NULL, &q));
        assert_int_equal(q->scores->n, CELLS);
        for (size_t r = 0; r < KIND; r++)
            assert_int_equal(q->order[r] / KIND, prompts[k].kind);
        for (size_t r = 1; r < CELLS; r++)
            assert_true(q->scores->v[q->order[r]] <= q->scores->v[q->order[r - 1]]);
        assert_float_equal(q->percentile[q->order[0]], 100, 1e-4);
        assert_int_equal(q->order[CELLS - 1], CELLS - 1); /* the empty cell */
        assert_true(q->understood[0]);
        query_result_free(q);
    }
    session_close(s);
}

static void search_refuses_nonsense_and_warns_of_absent_types(void **state)
{
    Session *s = open_cells(false);
    QueryResult *q;
    assert_err(session_query(s, "cheap flights to Madrid", NULL, &q), ERR_NOT_FOUND);
    assert_err(session_query(s, "", NULL, &q), ERR_NOT_FOUND);
    assert_err(session_query(s, "\xFF\xFE??", NULL, &q), ERR_NOT_FOUND);
    assert_ok(session_query(s, "hepatocyte", NULL, &q));
    assert_true(q->warning[0]);
    query_result_free(q);
    assert_ok(session_query(s, "B cell", NULL, &q));
    assert_string_equal(q->warning, "");
    query_result_free(q);
    session_close(s);
}

static void matching_needs_no_dataset(void **state)
{
    SessionParams p = session_params_default();
    Session *s;
    PromptMatch *m;
    assert_ok(session_open_empty(&p, &s));
    assert_ok(prompt_match(s, "lymphocytes but not T cells, MS4A1 positive, CD14-", NULL, &m));
    assert_true(m->n_types >= 1 && m->n_absent == 1 && m->n_up == 1 && m->n_down == 1);
    float sum = 0;
    for (size_t i = 0; i < m->n_types; i++)
        sum += m->weight[i];
    assert_float_equal(sum, 1, 1e-5);
    assert_non_null(strstr(m->understood, "not T cell"));
    prompt_match_free(m);
    session_close(s);
}

/* ---- vectors in the file ---- */

/* The cells with vectors as `embed` writes them, in a file of its own. */
static void write_embedded(const char *path, Session *s, const CellEmbedding *e, const char *model)
{
    Csr m;
    Tree *uns = tree_new();
    const char *const *cells;
    tree_set_text(tree_dict(uns, "scmmgpt"), "model_sha256", model);
    assert_ok(dataset_read_rows(s->dataset, 0, 0, CELLS, NULL, &m));
    assert_ok(dataset_cell_names(s->dataset, &cells));
    H5adArray obsm[] = {{"X_scmmgpt", e->d_text, e->x_scmmgpt}, {"X_scgpt", e->d_cls, e->x_scgpt}};
    H5adBytes bytes = {"X_scmmgpt_queries", e->d_queries, e->queries};
    H5adContent c = {.cells = CELLS,
                     .genes = GENES,
                     .x = &m,
                     .x_integer = true,
                     .cell_names = cells,
                     .gene_names = genes,
                     .obsm = obsm,
                     .n_obsm = 2,
                     .obsm_bytes = &bytes,
                     .n_obsm_bytes = 1,
                     .uns = uns};
    assert_ok(h5ad_write(path, &c, true, NULL));
    csr_done(&m);
    tree_free(uns);
}

/* Scores of a prompt on the file, or on the session when path is NULL. */
static void score(Session *s, const char *path, float *out)
{
    SessionParams p = session_params_default();
    QueryResult *q;
    p.device = "cpu";
    p.min_genes = 30;
    if (path)
        assert_ok(session_open(&p, path, NULL, &s));
    assert_ok(session_query(s, "B cell", NULL, &q));
    memcpy(out, q->scores->v, CELLS * sizeof *out);
    query_result_free(q);
    if (path)
        session_close(s);
}

static void vectors_of_a_file_are_used_when_they_fit(void **state)
{
    Session *s = open_cells(false);
    CellEmbedding *e;
    char path[] = "/tmp/scmmgpt_vectors_XXXXXX";
    float own[CELLS], got[CELLS];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(session_cell_embedding(s, NULL, &e));
    assert_int_equal(e->d_queries % e->d_text, 0);
    score(s, NULL, own);
    write_embedded(path, s, e, session_model(s)->sha256);
    score(NULL, path, got);
    assert_memory_equal(got, own, sizeof own);
    /* a cell that is not looked at gets another's vectors: they are what the scores come from */
    memcpy(e->queries + 1 * e->d_queries, e->queries + (KIND + 2) * e->d_queries, e->d_queries);
    write_embedded(path, s, e, session_model(s)->sha256);
    score(NULL, path, got);
    assert_true(got[1] < own[1] - 0.1f);
    /* of another model: embedded again */
    write_embedded(path, s, e, "0000");
    score(NULL, path, got);
    assert_memory_equal(got, own, sizeof own);
    /* in another order: embedded again */
    for (size_t i = 0; i < CELLS / 2; i++)
        for (size_t k = 0; k < e->d_text; k++) {
            float *a = e->x_scmmgpt + i * e->d_text + k, *b = e->x_scmmgpt + (CELLS - 1 - i) * e->d_text + k, t = *a;
            *a = *b;
            *b = t;
        }
    write_embedded(path, s, e, session_model(s)->sha256);
    score(NULL, path, got);
    assert_memory_equal(got, own, sizeof own);
    unlink(path);
    cell_embedding_free(e);
    session_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(labels_cells_by_what_they_express),
        TEST(evidence_is_expressed_and_missing_is_not),
        TEST(groups_get_one_row_each),
        TEST(one_label_repeats_and_unheard_of_labels_are_served),
        TEST(search_ranks_the_right_cells_first),
        TEST(search_refuses_nonsense_and_warns_of_absent_types),
        TEST(matching_needs_no_dataset),
        TEST(vectors_of_a_file_are_used_when_they_fit),
    };
    return RUN(tests);
}
