/* A report: figures in the order they were measured, each of a task, a variant (the model as
 * shipped, one of its parts, a baseline without a model, a control) and a measure; written as a
 * table or as JSON. */
#ifndef SCMM_EVAL_REPORT_H
#define SCMM_EVAL_REPORT_H
#include "core/data/table.h"
#include "core/eval/bootstrap.h"
#include <cjson/cJSON.h>

typedef enum ReportKind {
    REPORT_MODEL,   /* what the program answers: its measures stand directly in the task's object */
    REPORT_VARIANT, /* the same with a part left out or added */
    REPORT_BASELINE, /* without the model */
    REPORT_CONTROL,  /* what chance, or real against real, gives */
} ReportKind;
const char *report_kind_name(ReportKind k); /* "model", "variant", "baseline", "control" */

typedef struct ReportRow {
    char *task, *variant, *measure;
    ReportKind kind;
    Estimate e;
} ReportRow;

typedef struct Report Report;
Report *report_new(void);
void report_free(Report *r); /* NULL ok */
/* `measure` may name a part after a dot: "knn_acc.5". Texts are copied. */
void report_add(Report *r, const char *task, ReportKind kind, const char *variant,
                const char *measure, Estimate e);
void report_add_plain(Report *r, const char *task, ReportKind kind, const char *variant,
                      const char *measure, double value, size_t n);
/* How something was measured, or what is missing; belongs to a task. */
void report_note(Report *r, const char *task, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A table of counts (confusion) for the JSON: names[rows] x columns[cols]. */
void report_counts(Report *r, const char *task, const char *name, const char *const *rows,
                   size_t n_rows, const char *const *cols, size_t n_cols, const size_t *count);
/* A table of texts (examples, single prompts) for the JSON: one object of column: text a row. */
void report_example(Report *r, const char *task, const char *name, const char *const *keys,
                    const char *const *values, size_t n);

size_t report_count(const Report *r);
/* First row that fits; NULL variant: the model's. NULL when there is none. */
const ReportRow *report_find(const Report *r, const char *task, const char *variant,
                             const char *measure);

/* Columns task, kind, variant, measure, value, low, high, n; notes first as comments. */
void report_to_table(const Report *r, Table *t);
/* {task: {measure: {value, low, high, n, baseline: {name, value, low, high, n}}, variants: {name:
 * {measure:
 * {...}}}, baselines: {...}, controls: {...}, notes: [...]}}. Beside each measure stands the best
 * baseline that has it. Undefined numbers are null. The caller deletes. */
cJSON *report_to_json(const Report *r);
/* Is a larger value of the measure better? (Not for ece, mmd, emd.) */
bool report_larger_is_better(const char *measure);
#endif
