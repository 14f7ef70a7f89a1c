/* Marker evidence, combining scores, smoothing, candidate lists: small cases by hand. */
#include "tests/util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/session/candidates.h"
#include "core/session/evidence.h"
#include "core/session/prompt_read.h"
#include "core/session/scores.h"

/* Dense rows to Csr. */
static void make_csr(const float *v, size_t n, size_t c, Csr *out)
{
    assert_ok(csr_init(out, n, c, n * c));
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < c; j++)
            if (v[i * c + j] != 0) {
                out->indices[at] = (int32_t)j;
                out->values[at++] = v[i * c + j];
            }
        out->indptr[i + 1] = (int64_t)at;
    }
}

/* Four cells, three columns; columns 0 and 2 are kept; panel 1e-4 makes x = log1p(count / total). */
static Evidence *small_evidence(void)
{
    static const float counts[] = {3, 1, 0, 0, 4, 0, 0, 2, 2, 0, 0, 0};
    static const int32_t cols[] = {0, 2}, used[] = {0, 1, 2};
    static const float mean[] = {0.1f, 0.2f}, scale[] = {0.5f, 0};
    Csr rows;
    Evidence *e;
    make_csr(counts, 4, 3, &rows);
    assert_ok(evidence_new(4, 3, cols, mean, scale, 2, &e));
    assert_ok(evidence_add_rows(e, &rows, used, 1e-4, false));
    csr_done(&rows);
    return e;
}

static void computes_panel_aware_values_and_statistics(void **state)
{
    Evidence *e = small_evidence();
    float a = log1pf(0.75f), b = log1pf(0.5f), fraction[2];
    assert_float_equal(evidence_value(e, 0, 0), a, 1e-6);
    assert_float_equal(evidence_value(e, 2, 1), b, 1e-6);
    assert_float_equal(evidence_value(e, 3, 0), 0, 0);
    assert_float_equal(e->genes[0].mean, a / 4, 1e-6);
    assert_float_equal(e->genes[0].sd, sqrt(3.0 / 16) * a, 1e-6);
    assert_float_equal(e->totals[1], 4, 0);
    evidence_fraction(e, NULL, 4, fraction);
    assert_float_equal(fraction[1], 0.25, 1e-7);
    evidence_free(e);
}

static void scores_high_minus_half_low(void **state)
{
    Evidence *e = small_evidence();
    int32_t high[] = {0}, low[] = {1};
    MarkerSet sets[2] = {{high, low, 1, 1}, {NULL, NULL, 0, 0}};
    float s[8], one[2];
    assert_ok(evidence_scores(e, sets, 2, NULL, 4, false, s));
    float z0 = (log1pf(0.75f) - e->genes[0].mean) / (e->genes[0].sd + 0.3f);
    float z1 = (0 - e->genes[1].mean) / (e->genes[1].sd + 0.3f);
    assert_float_equal(s[0], z0 - 0.5f * z1, 1e-5);
    assert_true(isnan(s[1])); /* no gene of the list is in the file */
    size_t pick = 0;
    assert_ok(evidence_scores(e, sets, 2, &pick, 1, true, one));
    assert_float_equal(one[0], (log1pf(0.75f) - 0.1f) / 0.5f, 1e-5); /* the second gene is unknown to the corpus */
    evidence_free(e);
}

static void lognorm_rows_give_the_same_as_counts(void **state)
{
    Evidence *e = small_evidence(), *l;
    static const int32_t cols[] = {0, 2}, used[] = {0, 1, 2};
    static const float mean[] = {0, 0}, scale[] = {1, 1};
    float logs[] = {log1pf(7500), log1pf(2500), 0, 0, log1pf(10000), 0, 0, log1pf(5000), log1pf(5000), 0, 0, 0};
    Csr rows;
    make_csr(logs, 4, 3, &rows);
    assert_ok(evidence_new(4, 3, cols, mean, scale, 2, &l));
    assert_ok(evidence_add_rows(l, &rows, used, 1e-4, true));
    csr_done(&rows);
    assert_float_equal(evidence_value(l, 0, 0), evidence_value(e, 0, 0), 1e-5);
    evidence_free(e);
    evidence_free(l);
}

static void combines_on_one_scale(void **state)
{
    float sim[] = {1, 3, 5, 7}, marker[] = {0, 2, NAN, 2};
    ScoreScale k = scores_scale(sim, marker, 4);
    assert_float_equal(k.sim_mean, 4, 1e-6);
    assert_float_equal(k.sim_sd, sqrt(5), 1e-6);
    assert_float_equal(k.marker_mean, 4.0 / 3, 1e-6);
    float only[] = {1, 3, 5, 7};
    scores_combine(only, NULL, 2, 2, 1, k);
    assert_float_equal(only[3], 3 / sqrt(5), 1e-6);
    scores_combine(sim, marker, 2, 2, 1, k);
    /* a label without genes takes the row's mean of the others */
    assert_float_equal(sim[2] - 1 / sqrt(5), sim[3] - 3 / sqrt(5), 1e-6);
    float flat[] = {2, 2};
    k = scores_scale(flat, NULL, 2);
    assert_float_equal(k.sim_sd, 1, 0);
}

static void softmax_rows_sum_to_one(void **state)
{
    float v[] = {0, logf(3), 1000, 1000}, p[4];
    scores_softmax(v, 2, 2, 1, p);
    assert_float_equal(p[1], 0.75, 1e-6);
    assert_float_equal(p[2], 0.5, 1e-6);
    int32_t a, b;
    scores_top(p, 2, &a, &b);
    assert_int_equal(a, 1);
    assert_int_equal(b, 0);
    scores_top(p + 2, 2, &a, &b);
    assert_int_equal(a, 0); /* ties go to the first */
    scores_top(p, 1, &a, &b);
    assert_int_equal(b, -1);
}

/* A ring of 6 cells. */
static void make_ring(Csr *g)
{
    float w[36] = {0};
    for (int i = 0; i < 6; i++)
        w[i * 6 + (i + 1) % 6] = w[((i + 1) % 6) * 6 + i] = 1;
    make_csr(w, 6, 6, g);
}

static void smoothing_turns_a_lone_doubtful_cell_and_keeps_a_sure_rare_one(void **state)
{
    Csr g;
    make_ring(&g);
    float doubtful[12], sure[18] = {0};
    for (int i = 0; i < 6; i++) {
        doubtful[2 * i] = i == 2 ? 0.45f : 0.9f;
        doubtful[2 * i + 1] = 1 - doubtful[2 * i];
        sure[3 * i] = i == 2 ? 0.1f : 0.9f;
        sure[3 * i + 1] = i == 2 ? 0 : 0.1f;
        sure[3 * i + 2] = i == 2 ? 0.9f : 0;
    }
    assert_ok(scores_smooth(&g, 2, 2, 0.6, 6, 2, NULL, doubtful));
    assert_true(doubtful[4] > doubtful[5]);
    assert_float_equal(doubtful[4] + doubtful[5], 1, 1e-5);
    assert_ok(scores_smooth(&g, 2, 2, 0.6, 6, 3, NULL, sure));
    assert_float_equal(sure[8], 0.9, 1e-5);
    float constant[] = {1, 1, 1, 1, 1, 1};
    assert_ok(scores_smooth_values(&g, 3, 6, NULL, constant));
    assert_float_equal(constant[4], 1, 1e-4);
    csr_done(&g);
}

static void reads_label_files(void **state)
{
    char path[] = "/tmp/labels_XXXXXX";
    int fd = mkstemp(path);
    const char text[] = "\xEF\xBB\xBF" "B cell\tmakes antibodies\r\n\n  T cell \nB cell\n\tno label\nC\n";
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    Candidates c;
    assert_ok(candidates_read_labels(path, &c));
    assert_int_equal(c.n, 3);
    assert_string_equal(c.labels[0], "B cell");
    assert_string_equal(c.texts[0], "makes antibodies");
    assert_string_equal(c.labels[1], "T cell");
    assert_string_equal(c.labels[2], "C");
    candidates_done(&c);
    assert_int_equal(truncate(path, 0), 0);
    assert_err(candidates_read_labels(path, &c), ERR_USAGE);
    unlink(path);
    assert_err(candidates_read_labels(path, &c), ERR_INPUT);
}

static bool knows(void *user, const char *symbol)
{
    return strcmp(symbol, "CD3E") == 0 || strcmp(symbol, "NCAM1") == 0;
}

static void reads_what_prompts_want_and_do_not_want(void **state)
{
    CellTypes *types;
    LabelIndex *labels;
    Reading r;
    assert_ok(celltypes_load("assets/celltypes", &types));
    assert_ok(label_index_new(types, "assets/genes/cd_names.tsv", &labels));
    Lexicon *x = lexicon_new(types);
    prompt_read(x, labels, knows, NULL, "lymphocytes but not T cells", &r);
    assert_int_equal(r.n_names, 2);
    assert_true(reading_name_wanted(&r, r.subject));
    assert_true(r.explained);
    for (size_t i = 0; i < r.n_names; i++)
        assert_int_equal(reading_name_wanted(&r, i), i == r.subject);
    reading_done(&r);
    prompt_read(x, labels, knows, NULL, "killers lacking CD3E, NCAM1 positive", &r);
    assert_int_equal(r.genes.n, 2);
    assert_false(reading_gene_wanted(&r, 0));
    assert_true(reading_gene_wanted(&r, 1));
    reading_done(&r);
    prompt_read(x, labels, knows, NULL, "kill without having seen them before", &r);
    assert_string_equal(r.positive, "kill without having seen them before");
    reading_done(&r);
    prompt_read(x, labels, knows, NULL, "tiny fragments shed from megakaryocytes", &r);
    assert_int_equal(r.n_names, 1);
    assert_int_equal(r.subject, r.n_names); /* mentioned, not what it is about */
    reading_done(&r);
    prompt_read(x, labels, knows, NULL, "Bcells", &r);
    assert_string_equal(r.text, "B cells");
    assert_true(r.explained && r.n_names == 1);
    reading_done(&r);
    prompt_read(x, labels, knows, NULL, "", &r);
    assert_false(r.n_names);
    reading_done(&r);
    lexicon_free(x);
    label_index_free(labels);
    celltypes_free(types);
}

static void a_general_label_has_no_more_evidence_than_its_best_special_kind(void **state)
{
    /* T cell > CD4 > naive CD4, T cell > CD8; B cell is nobody's kind */
    enum { T, CD4, NAIVE, CD8, B, N };
    uint8_t is_kind[N * N] = {0};
    is_kind[T * N + CD4] = is_kind[T * N + NAIVE] = is_kind[T * N + CD8] = is_kind[CD4 * N + NAIVE] = 1;
    float m[2 * N] = {3, 2, 1, -1, 5, 0.5f, 2, NAN, 1, -2};
    static const float want[2 * N] = {1, 1, 1, -1, 5, 0.5f, 2, NAN, 1, -2};
    assert_ok(scores_cap_general(m, 2, N, is_kind));
    for (size_t i = 0; i < 2 * N; i++)
        assert_true(m[i] == want[i] || (isnan(m[i]) && isnan(want[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(computes_panel_aware_values_and_statistics),
        TEST(scores_high_minus_half_low),
        TEST(lognorm_rows_give_the_same_as_counts),
        TEST(combines_on_one_scale),
        TEST(a_general_label_has_no_more_evidence_than_its_best_special_kind),
        TEST(softmax_rows_sum_to_one),
        TEST(smoothing_turns_a_lone_doubtful_cell_and_keeps_a_sure_rare_one),
        TEST(reads_label_files),
        TEST(reads_what_prompts_want_and_do_not_want),
    };
    return RUN(tests);
}
