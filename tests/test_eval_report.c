/* Reports, prompt lists and what they mean. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/assets.h"
#include "core/eval/report.h"
#include "core/eval/retrieval.h"
#include "tests/util.h"
#include "tests/util_golden.h"

static Report *small_report(void)
{
    Report *r = report_new();
    report_add(r, "annotate", REPORT_MODEL, "ours", "accuracy", (Estimate){0.9, 0.8, 0.95, 10});
    report_add(r, "annotate", REPORT_BASELINE, "weak", "accuracy", (Estimate){0.5, NAN, NAN, 10});
    report_add(r, "annotate", REPORT_BASELINE, "strong", "accuracy", (Estimate){0.7, NAN, NAN, 10});
    report_add_plain(r, "annotate", REPORT_MODEL, "ours", "ece", 0.1, 10);
    report_add_plain(r, "annotate", REPORT_BASELINE, "weak", "ece", 0.3, 10);
    report_add_plain(r, "annotate", REPORT_BASELINE, "strong", "ece", 0.2, 10);
    report_add_plain(r, "generate", REPORT_MODEL, "ours", "knn_acc.5", NAN, 3);
    report_add_plain(r, "generate", REPORT_CONTROL, "shuffled", "knn_acc.5", 0.1, 3);
    report_note(r, "generate", "%d prompts", 3);
    return r;
}

static const cJSON *at(const cJSON *j, const char *a, const char *b)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(j, a), b);
    if (!o)
        fail_msg("no %s in %s", b, a);
    return o;
}

static void json_puts_the_best_baseline_beside_each_measure(void **state)
{
    Report *r = small_report();
    cJSON *j = report_to_json(r);
    const cJSON *accuracy = at(j, "annotate", "accuracy"), *ece = at(j, "annotate", "ece");
    assert_near(cJSON_GetObjectItem(accuracy, "value")->valuedouble, 0.9, 0);
    assert_near(cJSON_GetObjectItem(accuracy, "low")->valuedouble, 0.8, 0);
    assert_int_equal(cJSON_GetObjectItem(accuracy, "n")->valueint, 10);
    assert_string_equal(at(accuracy, "baseline", "name")->valuestring, "strong");
    assert_string_equal(at(ece, "baseline", "name")->valuestring, "strong"); /* the smaller one */
    const cJSON *weak = at(at(j, "annotate", "baselines"), "weak", "ece");
    assert_near(cJSON_GetObjectItem(weak, "value")->valuedouble, 0.3, 0);
    cJSON_Delete(j);
    report_free(r);
}

static void undefined_numbers_are_null_and_parts_are_objects(void **state)
{
    Report *r = small_report();
    cJSON *j = report_to_json(r);
    const cJSON *knn = at(j, "generate", "knn_acc");
    assert_true(cJSON_IsNull(at(knn, "5", "value")));
    const cJSON *control = at(at(j, "generate", "controls"), "shuffled", "knn_acc");
    assert_near(at(control, "5", "value")->valuedouble, 0.1, 0);
    assert_string_equal(at(j, "generate", "notes")->child->valuestring, "3 prompts");
    cJSON_Delete(j);
    report_free(r);
}

static void a_table_has_one_row_a_figure(void **state)
{
    Report *r = small_report();
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    Table *t;
    assert_ok(table_open(NULL, f, false, &t));
    report_to_table(r, t);
    assert_ok(table_close(t));
    fclose(f);
    assert_non_null(strstr(text, "task\tkind\tvariant\tmeasure\tvalue\tlow\thigh\tn\n"));
    assert_non_null(strstr(text, "annotate\tmodel\tours\taccuracy\t0.9\t0.8\t0.95\t10\n"));
    assert_non_null(strstr(text, "generate\tmodel\tours\tknn_acc.5\t\t\t\t3\n"));
    free(text);
    report_free(r);
}

static void finds_rows_by_variant_or_the_models_own(void **state)
{
    Report *r = small_report();
    assert_near(report_find(r, "annotate", NULL, "accuracy")->e.value, 0.9, 0);
    assert_near(report_find(r, "annotate", "weak", "accuracy")->e.value, 0.5, 0);
    assert_null(report_find(r, "cluster", NULL, "accuracy"));
    report_free(r);
}

/* ---- prompts ---- */

static Err read_text(const char *text, EvalPrompts *p)
{
    char path[] = "/tmp/scmmgpt_prompts_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    Err err = eval_prompts_read(path, p);
    unlink(path);
    return err;
}

static void reads_prompts_with_several_ids_and_further_columns(void **state)
{
    EvalPrompts p;
    assert_ok(read_text("# remark\nantibody makers\tCL:0000236,CL_0000786\tslang\r\n\nNK\tCL:0000623", &p));
    assert_int_equal(p.n, 2);
    assert_string_equal(p.v[0].text, "antibody makers");
    assert_int_equal(p.v[0].n_ids, 2);
    assert_string_equal(p.v[0].ids[1], "CL:0000786");
    assert_string_equal(p.v[1].ids[0], "CL:0000623");
    eval_prompts_done(&p);
}

static void refuses_prompts_without_ids(void **state)
{
    EvalPrompts p;
    assert_err(read_text("no tab here\n", &p), ERR_INPUT);
    assert_non_null(strstr(err_message(), "line 1"));
    assert_err(read_text("a\tB cell\n", &p), ERR_INPUT);
    assert_err(read_text("a\t\n", &p), ERR_INPUT);
    assert_err(read_text("# nothing\n", &p), ERR_INPUT);
}

static void a_prompt_means_kinds_of_its_type_else_the_coarser_label(void **state)
{
    Str dir = {0};
    CellTypes *c;
    assert_ok(assets_path("celltypes", &dir));
    assert_ok(celltypes_load(str_text(&dir), &c));
    /* T cell, CD4-positive T cell, B cell, an unknown label. */
    const char *ids[] = {"CL:0000084", "CL:0000624", "CL:0000236", ""};
    char *t_cell[] = {"CL:0000084"}, *naive_b[] = {"CL:0000788"}, *neuron[] = {"CL:0000540"};
    uint8_t relevant[4];
    assert_int_equal(eval_relevant(c, &(EvalPrompt){"t", t_cell, 1}, ids, 4, relevant), 2);
    assert_true(relevant[0] && relevant[1] && !relevant[2] && !relevant[3]);
    /* No label is a naive B cell: the B cells are the nearest there is. */
    assert_int_equal(eval_relevant(c, &(EvalPrompt){"n", naive_b, 1}, ids, 4, relevant), 1);
    assert_true(relevant[2]);
    assert_int_equal(eval_relevant(c, &(EvalPrompt){"x", neuron, 1}, ids, 4, relevant), 0);
    celltypes_free(c);
    str_free(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(json_puts_the_best_baseline_beside_each_measure),
        TEST(undefined_numbers_are_null_and_parts_are_objects),
        TEST(a_table_has_one_row_a_figure),
        TEST(finds_rows_by_variant_or_the_models_own),
        TEST(reads_prompts_with_several_ids_and_further_columns),
        TEST(refuses_prompts_without_ids),
        TEST(a_prompt_means_kinds_of_its_type_else_the_coarser_label),
    };
    return RUN(tests);
}
