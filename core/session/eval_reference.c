/* Labelled reference files for the baselines of `eval`: their values, and which type and which
 * class of the test each cell has. The label rules are a table (set, column, value, cl_id), as
 * assets/train/labels.tsv: a set is the beginning of a file's name, "*" ends a value that matches
 * any rest, later lines override earlier ones. */
#include <stdio.h>
#include <string.h>

#include "core/base/assets.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/session/eval_internal.h"

static const char DEFAULT_KEY[] = "cell_type_label";

void eval_references_done(EvalWork *w)
{
    for (size_t i = 0; i < w->n_references; i++) {
        EvalReference *r = &w->reference[i];
        free(r->path);
        free(r->type);
        free(r->label);
        csr_done(&r->counts);
        dataset_close(r->data);
    }
    free(w->reference);
    w->reference = NULL;
    w->n_references = 0;
}

static bool value_fits(const char *pattern, const char *value)
{
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*')
        return strncmp(pattern, value, n - 1) == 0;
    return strcmp(pattern, value) == 0;
}

static const char *column_value(const Column *c, size_t i)
{
    if (c->kind == COLUMN_CATEGORICAL)
        return c->codes[i] < 0 ? NULL : c->categories[c->codes[i]];
    return c->kind == COLUMN_STRING ? c->strings[i] : NULL;
}

static Err column_of(Dataset *d, const char *key, const Column **out)
{
    int at = dataset_find_obs(d, key);
    *out = NULL;
    return at < 0 ? OK : dataset_obs(d, (size_t)at, out);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* One rule on one file; *used counts rules that concern it. */
static Err apply_rule(EvalWork *w, EvalReference *r, char *const field[4], size_t *used)
{
    const Column *c;
    if (!str_starts(base_name(r->path), field[0]))
        return OK;
    TRY(column_of(r->data, field[1], &c));
    if (!c)
        return OK;
    ++*used;
    int32_t type = celltypes_find_id(w->types, field[3]);
    for (size_t i = 0; i < c->n && i < r->counts.rows; i++) {
        const char *v = column_value(c, i);
        if (v && value_fits(field[2], v))
            r->type[i] = type;
    }
    return OK;
}

static Err apply_rules(EvalWork *w, EvalReference *r, const char *rules, size_t *used)
{
    char *text, *save = NULL;
    Err err = OK;
    TRY(str_read_file(rules, 16 << 20, ERR_INPUT, &text, NULL));
    for (char *l = strtok_r(text, "\r\n", &save); l && err == OK;
         l = strtok_r(NULL, "\r\n", &save)) {
        char *field[4], *p = l;
        int n = 0;
        while (n < 4 && p) {
            field[n++] = p;
            p = strchr(p, '\t');
            if (p)
                *p++ = 0;
        }
        if (l[0] != '#' && n == 4)
            err = apply_rule(w, r, field, used);
    }
    free(text);
    return err;
}

/* Without rules: the key's values are read as a person's labels. */
static Err read_labels(EvalWork *w, EvalReference *r, const char *key)
{
    const Column *c;
    TRY(column_of(r->data, key, &c));
    if (!c)
        FAIL(ERR_USAGE, "%s: obs has no '%s'; give the label column as FILE:KEY", r->path, key);
    for (size_t i = 0; i < c->n && i < r->counts.rows; i++) {
        const char *v = column_value(c, i);
        r->type[i] = v ? label_find(w->m->labels, v) : -1;
    }
    return OK;
}

/* The class a type belongs to: itself or the nearest one it is a kind of. */
static int32_t class_of_type(const EvalWork *w, int32_t type)
{
    int32_t best = -1;
    for (size_t c = 0; type >= 0 && c < w->k; c++)
        if (w->type[c] >= 0 && celltypes_is_a(w->types, type, w->type[c]) &&
            (best < 0 || celltypes_is_a(w->types, w->type[c], w->type[best])))
            best = (int32_t)c;
    return best;
}

/* "FILE:key"; a colon in the folder's name is no key. */
static char *split_key(const char *given, const char **key)
{
    const char *colon = strrchr(given, ':');
    *key = NULL;
    if (!colon || strchr(colon, '/') || !colon[1])
        return mem_strdup(given);
    *key = colon + 1;
    return mem_strndup(given, (size_t)(colon - given));
}

static Err open_reference(EvalWork *w, const char *given, EvalReference *r)
{
    const char *key;
    size_t genes, used = 0;
    Str rules = {0};
    r->path = split_key(given, &key);
    TRY(err_context(dataset_open(r->path, NULL, w->ctl, &r->data), "%s", r->path));
    int matrix = dataset_working_matrix(r->data);
    if (matrix < 0)
        FAIL(ERR_FEW_GENES, "%s: %s", r->path, dataset_model_matrix_reason(r->data));
    const MatrixInfo *info = dataset_matrix(r->data, (size_t)matrix);
    r->lognorm = info->state != STATE_COUNTS;
    TRY(mem_check_budget((uint64_t)info->nnz * 16, "a reference file"));
    TRY(dataset_gene_names(r->data, matrix, &r->genes, &genes));
    TRY(dataset_read_rows(r->data, matrix, 0, info->rows, w->ctl, &r->counts));
    TRY(NEW(r->type, info->rows));
    TRY(NEW(r->label, info->rows));
    for (size_t i = 0; i < info->rows; i++)
        r->type[i] = -1;
    if (!key) { /* the shipped table, then the person's, which overrides it */
        Err err = assets_path("train/labels.tsv", &rules);
        if (err == OK)
            err = apply_rules(w, r, str_text(&rules), &used);
        str_free(&rules);
        if (err != OK && err != ERR_NOT_FOUND)
            return err;
        if (w->p->reference_labels)
            TRY(apply_rules(w, r, w->p->reference_labels, &used));
    }
    if (!used)
        TRY(read_labels(w, r, key ? key : DEFAULT_KEY));
    size_t typed = 0, classed = 0;
    for (size_t i = 0; i < info->rows; i++) {
        r->label[i] = class_of_type(w, r->type[i]);
        typed += r->type[i] >= 0;
        classed += r->label[i] >= 0;
    }
    report_note(w->r, "reference",
                "%s: %zu cells, %zu with a type of the library, %zu of a class of the test",
                base_name(r->path), info->rows, typed, classed);
    return OK;
}

Err eval_references(EvalWork *w)
{
    if (w->has_references)
        return OK;
    TRY(NEW0(w->reference, w->p->n_references));
    for (size_t i = 0; i < w->p->n_references; i++) {
        w->n_references = i + 1;
        TRY(open_reference(w, w->p->references[i], &w->reference[i]));
    }
    w->has_references = true;
    return OK;
}

Err eval_features(EvalWork *w, bool by_type, RefFeatures *out)
{
    ReferenceSet *sets;
    TRY(eval_counts(w));
    TRY(eval_references(w));
    if (w->n_references == 0)
        FAIL(ERR_NOT_FOUND, "no reference file was given (--reference)");
    TRY(NEW(sets, w->n_references));
    for (size_t i = 0; i < w->n_references; i++) {
        EvalReference *r = &w->reference[i];
        sets[i] = (ReferenceSet){&r->counts, r->genes, by_type ? r->type : r->label, r->lognorm};
    }
    ReferenceSet test = {&w->counts, w->genes, NULL, w->lognorm};
    Err err = reference_join(sets, w->n_references, &test, REFERENCE_GENES, w->ctl, out);
    free(sets);
    return err;
}
