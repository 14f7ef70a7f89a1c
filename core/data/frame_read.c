/* Values of data frames: one column into a Column, whatever way it is stored. */
#include "core/data/dataset_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

/* A number as Python's str() writes it, since that is how anndata users see numeric categories. */
static char *python_number(double v, bool integer)
{
    char b[40];
    if (integer)
        return str_format("%.0f", v);
    if (isnan(v))
        return mem_strdup("nan");
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(b, sizeof b, "%.*g", digits, v);
        if (strtod(b, NULL) == v)
            break;
    }
    bool plain = strspn(b, "-0123456789") == strlen(b);
    return str_format("%s%s", b, plain ? ".0" : "");
}

/* A one-dimensional array of any class as text; missing ones (by mask, which may be NULL) are NULL.
 */
static Err read_texts(Array *a, uint64_t start, uint64_t count, char **out)
{
    if (a->info.cls == ELEM_STRING)
        return array_read_text(a, start, count, out);
    double *v;
    TRY(NEW(v, count));
    Err err = array_read_1d(a, start, count, MEM_F64, v);
    for (uint64_t i = 0; i < count && !err; i++)
        out[i] = a->info.cls == ELEM_BOOL ? mem_strdup(v[i] != 0 ? "True" : "False")
                                          : python_number(v[i], a->info.cls == ELEM_INT);
    free(v);
    return err;
}

static Err open_member(Dataset *d, const char *path, const char *member, Array **out)
{
    char *p = path_join(path, member);
    Err err = store_open_array(d->store, p, out);
    free(p);
    return err;
}

/* Opens the array that holds the values of an element: itself, or the `values` of a nullable group
 * (then *mask too). */
static Err open_values(Dataset *d, const char *path, Array **values, Array **mask)
{
    *mask = NULL;
    if (store_kind(d->store, path) != NODE_GROUP)
        return store_open_array(d->store, path, values);
    TRY(open_member(d, path, "values", values));
    Err err = open_member(d, path, "mask", mask);
    if (!err && (*mask)->info.count != (*values)->info.count)
        err = err_set(ERR_INPUT, "%s/mask: has another length than the values", path);
    if (err) {
        array_close(*values);
        array_close(*mask);
        *values = *mask = NULL;
    }
    return err;
}

/* Texts of an element, NULL where masked. count may be less than there are. */
static Err texts_of(Dataset *d, const char *path, uint64_t count, char **out)
{
    Array *values = NULL, *mask = NULL;
    int32_t *m = NULL;
    TRY(open_values(d, path, &values, &mask));
    Err err = OK;
    TRY_GOTO(read_texts(values, 0, count, out));
    if (mask) {
        TRY_GOTO(NEW(m, count));
        TRY_GOTO(array_read_1d(mask, 0, count, MEM_I32, m));
        for (uint64_t i = 0; i < count; i++)
            if (m[i]) {
                free(out[i]);
                out[i] = NULL;
            }
    }
done:
    free(m);
    array_close(values);
    array_close(mask);
    return err;
}

/* All texts of an element; its own length in *n. NULL where masked. */
static Err all_texts(Dataset *d, const char *path, char ***out, size_t *n)
{
    Array *values = NULL, *mask = NULL;
    TRY(open_values(d, path, &values, &mask));
    size_t count = (size_t)values->info.count;
    int rank = values->info.rank;
    array_close(values);
    array_close(mask);
    if (rank > 1)
        FAIL(ERR_INPUT, "%s: has %d dimensions where one is expected", path, rank);
    char **texts;
    TRY(mem_check_budget(count * 24, path));
    TRY(NEW0(texts, count));
    Err err = texts_of(d, path, count, texts);
    if (err) {
        strings_free(texts, count);
        return err;
    }
    *out = texts;
    *n = count;
    return OK;
}

/* Codes to -1.. n-1; the largest value of an unsigned type stands for missing in some writers. */
static Err check_codes(const char *path, int32_t *codes, size_t n, size_t n_categories,
                       const char *dtype)
{
    int32_t top = strcmp(dtype, "uint8") == 0    ? 255
                  : strcmp(dtype, "uint16") == 0 ? 65535
                                                 : INT32_MAX;
    bool is_unsigned = dtype[0] == 'u';
    for (size_t i = 0; i < n; i++) {
        if (codes[i] < 0 || (is_unsigned && codes[i] == top && (size_t)top >= n_categories))
            codes[i] = -1;
        else if ((size_t)codes[i] >= n_categories)
            FAIL(ERR_INPUT,
                 "%s: code %d at row %zu, but there are %zu categories; the file is damaged", path,
                 (int)codes[i], i, n_categories);
    }
    return OK;
}

static Err read_categorical(Dataset *d, Array *codes, const Slot *s, Column *c)
{
    TRY(all_texts(d, s->categories, &c->categories, &c->n_categories));
    for (size_t i = 0; i < c->n_categories; i++)
        if (!c->categories[i])
            c->categories[i] = mem_strdup("");
    if (s->form == SLOT_FIELD) {
        TRY(NEW(c->codes, c->n));
        TRY(array_read_field(codes, s->field, MEM_I32, c->codes));
        return check_codes(s->field, c->codes, c->n, c->n_categories, "int8");
    }
    TRY(array_read_all(codes, c->n, MEM_I32, &c->codes));
    return check_codes(s->path, c->codes, c->n, c->n_categories, codes->info.dtype);
}

static void numbers_to_bool(Column *c)
{
    c->codes = mem_must(c->n * sizeof *c->codes);
    for (size_t i = 0; i < c->n; i++)
        c->codes[i] = isnan(c->numbers[i]) ? -1 : c->numbers[i] != 0;
    free(c->numbers);
    c->numbers = NULL;
}

static Err read_field(Array *a, const Slot *s, Column *c)
{
    if (s->kind == COLUMN_STRING) {
        TRY(NEW0(c->strings, c->n));
        return array_read_field_text(a, s->field, c->strings);
    }
    TRY(NEW(c->numbers, c->n));
    TRY(array_read_field(a, s->field, MEM_F64, c->numbers));
    memcpy(c->dtype, s->dtype, sizeof c->dtype);
    if (s->kind == COLUMN_BOOL)
        numbers_to_bool(c);
    return OK;
}

static Err read_plain(Array *a, Array *mask, const Slot *s, Column *c)
{
    int32_t *m = NULL;
    if (mask)
        TRY(array_read_all(mask, c->n, MEM_I32, &m));
    Err err = OK;
    if (s->kind == COLUMN_STRING) {
        TRY_GOTO(NEW0(c->strings, c->n));
        TRY_GOTO(array_read_text(a, 0, c->n, c->strings));
        for (size_t i = 0; m && i < c->n; i++)
            if (m[i]) {
                free(c->strings[i]);
                c->strings[i] = NULL;
            }
        goto done;
    }
    memcpy(c->dtype, a->info.dtype, sizeof c->dtype);
    TRY_GOTO(array_read_all(a, c->n, MEM_F64, &c->numbers));
    for (size_t i = 0; m && i < c->n; i++)
        if (m[i])
            c->numbers[i] = NAN;
    if (s->kind == COLUMN_BOOL)
        numbers_to_bool(c);
done:
    free(m);
    return err;
}

static Err read_column(Dataset *d, const Frame *f, const Slot *s, Column *c)
{
    Array *a = NULL, *mask = NULL;
    Err err = OK;
    *c = (Column){.name = mem_strdup(s->name), .kind = s->kind, .n = f->n, .ordered = s->ordered};
    TRY(mem_check_budget((uint64_t)f->n * 16, s->name));
    if (s->form == SLOT_NULLABLE)
        TRY(open_values(d, s->path, &a, &mask));
    else
        TRY(store_open_array(d->store, s->path, &a));
    if (s->categories)
        err = read_categorical(d, a, s, c);
    else if (s->form == SLOT_FIELD)
        err = read_field(a, s, c);
    else
        err = read_plain(a, mask, s, c);
    array_close(a);
    array_close(mask);
    return err;
}

Err slot_read(Dataset *d, const Frame *f, Slot *s, const Column **out)
{
    if (!s->column) {
        Column *c = mem_must(sizeof *c);
        Err err = read_column(d, f, s, c);
        if (err) {
            column_free(c);
            return err;
        }
        column_count_missing(c);
        s->column = c;
    }
    *out = s->column;
    return OK;
}

static char **numbered(size_t n)
{
    char **out = mem_must(n * sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = str_format("%zu", i);
    return out;
}

Err frame_names(Dataset *d, Frame *f, char ***names)
{
    if (!f->names) {
        const Slot *s = &f->index;
        char **texts = NULL;
        if (s->form == SLOT_LOADED && !s->column) {
            texts = numbered(f->n);
        } else if (s->form == SLOT_ARRAY || s->form == SLOT_NULLABLE) {
            size_t n = 0;
            TRY(all_texts(d, s->path, &texts, &n));
            if (n != f->n) {
                strings_free(texts, n);
                FAIL(ERR_INPUT, "%s: has %zu names where %zu are expected", s->path, n, f->n);
            }
        } else {
            const Column *c;
            char b[32];
            TRY(slot_read(d, f, &f->index, &c));
            TRY(NEW0(texts, f->n));
            for (size_t i = 0; i < f->n; i++)
                texts[i] = mem_strdup(column_text(c, i, b));
        }
        for (size_t i = 0; i < f->n; i++)
            if (!texts[i])
                texts[i] = mem_strdup("");
        f->names = texts;
    }
    *names = f->names;
    return OK;
}

Err frame_names_block(Dataset *d, Frame *f, size_t row0, size_t n, char **out)
{
    const Slot *s = &f->index;
    Array *a = NULL;
    char **all = f->names;
    if (!all && s->form == SLOT_ARRAY) {
        TRY(store_open_array(d->store, s->path, &a));
        Err err = a->info.cls == ELEM_STRING && a->info.rank == 1
                      ? array_read_text(a, row0, n, out)
                      : ERR_NOT_FOUND;
        array_close(a);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    TRY(frame_names(d, f, &all));
    for (size_t i = 0; i < n; i++)
        out[i] = mem_strdup(all[row0 + i]);
    return OK;
}

Err slot_touch(Dataset *d, const Frame *f, const Slot *s)
{
    enum { SAMPLE = 64 };
    char *texts[SAMPLE] = {0};
    int32_t code;
    Array *a = NULL;
    Err err = OK;
    TRY_GOTO(store_open_array(d->store, s->path, &a));
    if (f->n)
        TRY_GOTO(array_read_1d(a, f->n - 1, 1, MEM_I32, &code));
    array_close(a);
    a = NULL;
    TRY_GOTO(store_open_array(d->store, s->categories, &a));
    if (a->info.cls == ELEM_STRING)
        TRY_GOTO(array_read_text(a, 0, a->info.count < SAMPLE ? a->info.count : SAMPLE, texts));
done:
    array_close(a);
    for (int i = 0; i < SAMPLE; i++)
        free(texts[i]);
    return err;
}

Err slot_sample(Dataset *d, const Frame *f, Slot *s, size_t cap, char **out, size_t *n)
{
    *n = cap < f->n ? cap : f->n;
    if (s->form == SLOT_ARRAY || s->form == SLOT_NULLABLE)
        return texts_of(d, s->path, *n, out);
    if (s->form == SLOT_LOADED && !s->column) { /* an index that the file does not have: numbers */
        for (size_t i = 0; i < *n; i++)
            out[i] = str_format("%zu", i);
        return OK;
    }
    const Column *c;
    char b[32];
    TRY(slot_read(d, f, s, &c));
    for (size_t i = 0; i < *n; i++)
        out[i] = mem_strdup(column_text(c, i, b));
    return OK;
}
