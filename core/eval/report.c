/* Rows in a growing array; the JSON is put together from them at the end. */
#include "core/eval/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"

struct Report {
    ReportRow *row;
    size_t n, cap;
    cJSON *notes;  /* {task: [text]} */
    cJSON *tables; /* {task: {name: ...}} */
};

const char *report_kind_name(ReportKind k)
{
    static const char *const names[] = {"model", "variant", "baseline", "control"};
    return names[k];
}

Report *report_new(void)
{
    Report *r = mem_must(sizeof *r);
    r->notes = cJSON_CreateObject();
    r->tables = cJSON_CreateObject();
    return r;
}

void report_free(Report *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++) {
        free(r->row[i].task);
        free(r->row[i].variant);
        free(r->row[i].measure);
    }
    free(r->row);
    cJSON_Delete(r->notes);
    cJSON_Delete(r->tables);
    free(r);
}

void report_add(Report *r, const char *task, ReportKind kind, const char *variant,
                const char *measure, Estimate e)
{
    if (r->n == r->cap) {
        size_t cap = r->cap * 2 + 64;
        ReportRow *grown = mem_must(cap * sizeof *grown);
        if (r->n)
            memcpy(grown, r->row, r->n * sizeof *grown);
        free(r->row);
        r->row = grown;
        r->cap = cap;
    }
    r->row[r->n++] = (ReportRow){.task = mem_strdup(task),
                                 .variant = mem_strdup(variant),
                                 .measure = mem_strdup(measure),
                                 .kind = kind,
                                 .e = e};
}

void report_add_plain(Report *r, const char *task, ReportKind kind, const char *variant,
                      const char *measure, double value, size_t n)
{
    report_add(r, task, kind, variant, measure, estimate_plain(value, n));
}

/* The member `name` of o, made by `make` when it is not there. */
static cJSON *member(cJSON *o, const char *name, cJSON *(*make)(void))
{
    cJSON *m = cJSON_GetObjectItemCaseSensitive(o, name);
    if (!m) {
        m = make();
        cJSON_AddItemToObject(o, name, m);
    }
    return m;
}

void report_note(Report *r, const char *task, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cJSON_AddItemToArray(member(r->notes, task, cJSON_CreateArray), cJSON_CreateString(text));
}

void report_counts(Report *r, const char *task, const char *name, const char *const *rows,
                   size_t n_rows, const char *const *cols, size_t n_cols, const size_t *count)
{
    cJSON *t = cJSON_CreateObject();
    for (size_t i = 0; i < n_rows; i++) {
        cJSON *row = cJSON_CreateObject();
        for (size_t c = 0; c < n_cols; c++)
            if (count[i * n_cols + c])
                cJSON_AddNumberToObject(row, cols[c], (double)count[i * n_cols + c]);
        cJSON_AddItemToObject(t, rows[i], row);
    }
    cJSON_AddItemToObject(member(r->tables, task, cJSON_CreateObject), name, t);
}

void report_example(Report *r, const char *task, const char *name, const char *const *keys,
                    const char *const *values, size_t n)
{
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < n; i++)
        cJSON_AddStringToObject(o, keys[i], values[i] ? values[i] : "");
    cJSON *list = member(member(r->tables, task, cJSON_CreateObject), name, cJSON_CreateArray);
    cJSON_AddItemToArray(list, o);
}

size_t report_count(const Report *r)
{
    return r->n;
}

const ReportRow *report_find(const Report *r, const char *task, const char *variant,
                             const char *measure)
{
    for (size_t i = 0; i < r->n; i++) {
        const ReportRow *w = &r->row[i];
        bool who = variant ? strcmp(w->variant, variant) == 0 : w->kind == REPORT_MODEL;
        if (who && strcmp(w->task, task) == 0 && strcmp(w->measure, measure) == 0)
            return w;
    }
    return NULL;
}

bool report_larger_is_better(const char *measure)
{
    return strncmp(measure, "ece", 3) != 0 && strncmp(measure, "mmd", 3) != 0 &&
           strncmp(measure, "emd", 3) != 0;
}

/* ---- table ---- */

static void number_or_empty(Table *t, double v)
{
    if (isnan(v))
        table_text(t, "");
    else
        table_number(t, v);
}

void report_to_table(const Report *r, Table *t)
{
    for (const cJSON *task = r->notes->child; task; task = task->next)
        for (const cJSON *note = task->child; note; note = note->next)
            table_comment(t, task->string, note->valuestring);
    table_row(t, "task", "kind", "variant", "measure", "value", "low", "high", "n", NULL);
    for (size_t i = 0; i < r->n; i++) {
        const ReportRow *w = &r->row[i];
        table_text(t, w->task);
        table_text(t, report_kind_name(w->kind));
        table_text(t, w->variant);
        table_text(t, w->measure);
        number_or_empty(t, w->e.value);
        number_or_empty(t, w->e.lo);
        number_or_empty(t, w->e.hi);
        table_int(t, (int64_t)w->e.n);
        table_end_row(t);
    }
}

/* ---- JSON ---- */

static void add_number(cJSON *o, const char *name, double v)
{
    if (isfinite(v))
        cJSON_AddNumberToObject(o, name, v);
    else
        cJSON_AddNullToObject(o, name);
}

static cJSON *estimate_json(const Estimate *e)
{
    cJSON *o = cJSON_CreateObject();
    add_number(o, "value", e->value);
    add_number(o, "low", e->lo);
    add_number(o, "high", e->hi);
    cJSON_AddNumberToObject(o, "n", (double)e->n);
    return o;
}

/* "knn_acc.5" goes to {"knn_acc": {"5": ...}}. */
static void put_measure(cJSON *at, const char *measure, cJSON *value)
{
    const char *dot = strchr(measure, '.');
    if (!dot) {
        cJSON_AddItemToObject(at, measure, value);
        return;
    }
    char *head = mem_strndup(measure, (size_t)(dot - measure));
    cJSON_AddItemToObject(member(at, head, cJSON_CreateObject), dot + 1, value);
    free(head);
}

static const ReportRow *best_baseline(const Report *r, const ReportRow *own)
{
    const ReportRow *best = NULL;
    bool larger = report_larger_is_better(own->measure);
    for (size_t i = 0; i < r->n; i++) {
        const ReportRow *w = &r->row[i];
        if (w->kind != REPORT_BASELINE || strcmp(w->task, own->task) != 0 ||
            strcmp(w->measure, own->measure) != 0 || isnan(w->e.value))
            continue;
        if (!best || (larger ? w->e.value > best->e.value : w->e.value < best->e.value))
            best = w;
    }
    return best;
}

static void put_row(const Report *r, cJSON *task, const ReportRow *w)
{
    static const char *const lists[] = {NULL, "variants", "baselines", "controls"};
    cJSON *value = estimate_json(&w->e);
    if (w->kind != REPORT_MODEL) {
        cJSON *list = member(task, lists[w->kind], cJSON_CreateObject);
        put_measure(member(list, w->variant, cJSON_CreateObject), w->measure, value);
        return;
    }
    const ReportRow *b = best_baseline(r, w);
    if (b) {
        cJSON *baseline = estimate_json(&b->e);
        cJSON_AddStringToObject(baseline, "name", b->variant);
        cJSON_AddItemToObject(value, "baseline", baseline);
    }
    put_measure(task, w->measure, value);
}

cJSON *report_to_json(const Report *r)
{
    cJSON *out = cJSON_CreateObject();
    for (size_t i = 0; i < r->n; i++)
        put_row(r, member(out, r->row[i].task, cJSON_CreateObject), &r->row[i]);
    for (const cJSON *task = r->tables->child; task; task = task->next)
        for (const cJSON *t = task->child; t; t = t->next)
            cJSON_AddItemToObject(member(out, task->string, cJSON_CreateObject), t->string,
                                  cJSON_Duplicate(t, true));
    for (const cJSON *task = r->notes->child; task; task = task->next)
        cJSON_AddItemToObject(member(out, task->string, cJSON_CreateObject), "notes",
                              cJSON_Duplicate(task, true));
    return out;
}
