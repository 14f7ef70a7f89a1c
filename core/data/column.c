/* Columns: copies, constructors, text of a value. */
#include "core/data/column.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

void strings_free(char **s, size_t n)
{
    if (!s)
        return;
    for (size_t i = 0; i < n; i++)
        free(s[i]);
    free(s);
}

void column_free(Column *c)
{
    if (!c)
        return;
    free(c->name);
    free(c->codes);
    free(c->numbers);
    strings_free(c->categories, c->n_categories);
    strings_free(c->strings, c->n);
    free(c);
}

static char **strings_copy(const char *const *s, size_t n)
{
    char **out = mem_must(n * sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = s[i] ? mem_strdup(s[i]) : NULL;
    return out;
}

static void *copy(const void *p, size_t bytes)
{
    void *out = mem_must(bytes);
    if (bytes)
        memcpy(out, p, bytes);
    return out;
}

Column *column_copy(const Column *c)
{
    Column *out = copy(c, sizeof *c);
    out->name = mem_strdup(c->name);
    out->codes = c->codes ? copy(c->codes, c->n * sizeof *c->codes) : NULL;
    out->numbers = c->numbers ? copy(c->numbers, c->n * sizeof *c->numbers) : NULL;
    out->categories =
        c->categories ? strings_copy((const char *const *)c->categories, c->n_categories) : NULL;
    out->strings = c->strings ? strings_copy((const char *const *)c->strings, c->n) : NULL;
    return out;
}

void column_count_missing(Column *c)
{
    c->missing = 0;
    for (size_t i = 0; i < c->n; i++)
        c->missing += c->codes     ? c->codes[i] < 0
                      : c->numbers ? isnan(c->numbers[i])
                                   : !c->strings[i];
}

Column *column_strings(const char *name, const char *const *values, size_t n)
{
    Column *c = mem_must(sizeof *c);
    *c = (Column){.name = mem_strdup(name), .kind = COLUMN_STRING, .n = n};
    c->strings = strings_copy(values, n);
    column_count_missing(c);
    return c;
}

Column *column_numbers(const char *name, const double *values, size_t n)
{
    Column *c = mem_must(sizeof *c);
    *c = (Column){.name = mem_strdup(name), .kind = COLUMN_NUMERIC, .n = n};
    c->numbers = copy(values, n * sizeof *values);
    column_count_missing(c);
    return c;
}

Column *column_categorical(const char *name, const int32_t *codes, size_t n,
                           const char *const *categories, size_t n_categories)
{
    Column *c = mem_must(sizeof *c);
    *c = (Column){.name = mem_strdup(name), .kind = COLUMN_CATEGORICAL, .n = n};
    c->codes = copy(codes, n * sizeof *codes);
    for (size_t i = 0; i < n; i++)
        if (c->codes[i] < 0 || (size_t)c->codes[i] >= n_categories)
            c->codes[i] = -1;
    c->categories = strings_copy(categories, n_categories);
    c->n_categories = n_categories;
    column_count_missing(c);
    return c;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

Column *column_categories_of(const char *name, const char *const *values, size_t n)
{
    const char **distinct = mem_must(n * sizeof *distinct);
    size_t count = 0;
    StrMap *seen = strmap_new(64);
    for (size_t i = 0; i < n; i++)
        if (values[i] && strmap_put(seen, values[i], 0))
            distinct[count++] = values[i];
    strmap_free(seen);
    qsort(distinct, count, sizeof *distinct, by_text);
    StrMap *index = strmap_new(count);
    for (size_t i = 0; i < count; i++)
        strmap_put(index, distinct[i], (int64_t)i);
    int32_t *codes = mem_must(n * sizeof *codes);
    for (size_t i = 0; i < n; i++)
        codes[i] = values[i] ? (int32_t)strmap_get(index, values[i], -1) : -1;
    Column *c = column_categorical(name, codes, n, distinct, count);
    strmap_free(index);
    free(codes);
    free(distinct);
    return c;
}

const char *number_text(double v, char buffer[32])
{
    if (isnan(v))
        return "NaN";
    if (isinf(v))
        return v > 0 ? "inf" : "-inf";
    if (v >= 0 && v < 1000 && v == (int)v) { /* nearly all counts: much quicker than by printf */
        int n = (int)v, i = 0;
        if (n > 99)
            buffer[i++] = (char)('0' + n / 100);
        if (n > 9)
            buffer[i++] = (char)('0' + n / 10 % 10);
        buffer[i++] = (char)('0' + n % 10);
        buffer[i] = 0;
    } else if (v == floor(v) && fabs(v) < 1e15)
        snprintf(buffer, 32, "%.0f", v == 0 ? 0.0 : v);
    else
        snprintf(buffer, 32, "%.6g", v);
    return buffer;
}

const char *column_text(const Column *c, size_t i, char buffer[32])
{
    if (c->kind == COLUMN_CATEGORICAL)
        return c->codes[i] < 0 ? "" : c->categories[c->codes[i]];
    if (c->kind == COLUMN_BOOL)
        return c->codes[i] < 0 ? "" : c->codes[i] ? "True" : "False";
    if (c->kind == COLUMN_NUMERIC)
        return isnan(c->numbers[i]) ? "" : number_text(c->numbers[i], buffer);
    return c->strings[i] ? c->strings[i] : "";
}
