/* The parts of Store that are the same over every implementation: bounds, shorthands, text. */
#include "core/data/store.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

void store_close(Store *s)
{
    if (s)
        s->ops->close(s);
}

NodeKind store_kind(Store *s, const char *path)
{
    return s->ops->kind(s, path);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

Err store_list(Store *s, const char *path, char ***names, size_t *n)
{
    TRY(s->ops->list(s, path, names, n));
    if (*n)
        qsort(*names, *n, sizeof **names, by_text);
    return OK;
}

Err store_attr_texts(Store *s, const char *path, const char *attr, char ***texts, size_t *n)
{
    return s->ops->attr_texts(s, path, attr, texts, n);
}

char *store_attr_text(Store *s, const char *path, const char *attr)
{
    char **texts = NULL, *text = NULL;
    size_t n = 0;
    if (s->ops->attr_texts(s, path, attr, &texts, &n) == OK && n == 1) {
        text = texts[0];
        texts[0] = NULL;
    }
    strings_free(texts, n);
    return text;
}

Err store_attr_ints(Store *s, const char *path, const char *attr, int64_t *out, size_t cap,
                    size_t *n)
{
    return s->ops->attr_ints(s, path, attr, out, cap, n);
}

char *store_attr_target(Store *s, const char *path, const char *attr)
{
    return s->ops->attr_target(s, path, attr);
}

Err store_open_array(Store *s, const char *path, Array **out)
{
    return s->ops->open(s, path, out);
}

void array_close(Array *a)
{
    if (a)
        a->store->ops->array_close(a);
}

static Err not_numbers(const Array *a)
{
    FAIL(ERR_INPUT, "%s: holds %s where numbers are expected", a->path, a->info.dtype);
}

static bool is_number(ElemClass c)
{
    return c == ELEM_INT || c == ELEM_FLOAT || c == ELEM_BOOL;
}

Err array_read(Array *a, const uint64_t *start, const uint64_t *count, MemType type, void *out)
{
    if (!is_number(a->info.cls))
        return not_numbers(a);
    uint64_t n = 1;
    for (int i = 0; i < a->info.rank; i++) {
        n *= count[i];
        if (start[i] > a->info.shape[i] || count[i] > a->info.shape[i] - start[i])
            FAIL(ERR_INPUT, "%s: is shorter than the rest of the file says; the file is damaged",
                 a->path);
    }
    return n ? a->store->ops->read(a, start, count, type, out) : OK;
}

Err array_read_1d(Array *a, uint64_t start, uint64_t count, MemType type, void *out)
{
    if (a->info.rank == 0 && start == 0 && count == 1)
        return array_read(a, NULL, NULL, type, out);
    if (a->info.rank != 1)
        FAIL(ERR_INPUT, "%s: has %d dimensions where one is expected", a->path, a->info.rank);
    return array_read(a, &start, &count, type, out);
}

Err array_read_all(Array *a, size_t expect, MemType type, void *out)
{
    if (expect != SIZE_MAX && a->info.count != expect)
        FAIL(ERR_INPUT,
             "%s: has %llu values where %zu are expected; the file is damaged or incomplete",
             a->path, (unsigned long long)a->info.count, expect);
    if (!is_number(a->info.cls))
        return not_numbers(a);
    void *values;
    TRY(mem_check_budget(a->info.count * mem_type_size(type), a->path));
    TRY(mem_alloc(&values, (size_t)a->info.count, mem_type_size(type)));
    uint64_t zero[STORE_MAX_RANK] = {0};
    Err err = array_read(a, zero, a->info.shape, type, values);
    if (err) {
        free(values);
        return err;
    }
    memcpy(out, &values, sizeof values);
    return OK;
}

Err array_read_text(Array *a, uint64_t start, uint64_t count, char **out)
{
    if (a->info.cls != ELEM_STRING || a->info.rank > 1)
        FAIL(ERR_INPUT, "%s: holds %s where a list of texts is expected", a->path, a->info.dtype);
    if (start > a->info.count || count > a->info.count - start)
        FAIL(ERR_INPUT, "%s: is shorter than the rest of the file says; the file is damaged",
             a->path);
    return count ? a->store->ops->read_text(a, start, count, out) : OK;
}

Err array_fields(Array *a, FieldInfo **out, size_t *n)
{
    *n = 0;
    *out = NULL;
    return a->store->ops->fields ? a->store->ops->fields(a, out, n) : OK;
}

void fields_free(FieldInfo *f, size_t n)
{
    for (size_t i = 0; f && i < n; i++)
        free(f[i].name);
    free(f);
}

static Err check_records(const Array *a)
{
    if (a->info.rank > 1)
        FAIL(ERR_INPUT, "%s: has %d dimensions where one is expected", a->path, a->info.rank);
    return OK;
}

Err array_read_field(Array *a, const char *field, MemType type, void *out)
{
    TRY(check_records(a));
    return a->info.count ? a->store->ops->read_field(a, field, type, out) : OK;
}

Err array_read_field_text(Array *a, const char *field, char **out)
{
    TRY(check_records(a));
    return a->info.count ? a->store->ops->read_field_text(a, field, out) : OK;
}

bool array_part(Array *a, uint64_t at, ArrayPart *out)
{
    return a->info.rank == 1 && is_number(a->info.cls) && at < a->info.count && a->store->ops->part &&
           a->store->ops->part(a, at, out);
}

bool array_part_read(const Array *a, const ArrayPart *p, uint64_t first, uint64_t n, MemType type,
                     void *out)
{
    return first >= p->first && first - p->first <= p->n && n <= p->n - (first - p->first) &&
           a->store->ops->part_read(a, p, first, n, type, out);
}

char *path_join(const char *path, const char *name)
{
    return *path ? str_format("%s/%s", path, name) : mem_strdup(name);
}

/* Length of the valid UTF-8 character at s, 0 when it is none. */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool surrogate = s[0] == 0xed && s[1] > 0x9f;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    return surrogate || overlong || (s[0] == 0xf4 && s[1] > 0x8f) ? 0 : n;
}

char *text_clean_utf8(char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    while (*p && utf8_length(p))
        p += utf8_length(p);
    if (!*p)
        return s;
    Str out = {0};
    str_add_n(&out, s, (size_t)(p - (const unsigned char *)s));
    while (*p) {
        size_t n = utf8_length(p);
        if (n)
            str_add_n(&out, (const char *)p, n);
        else
            str_add(&out, "\xef\xbf\xbd");
        p += n ? n : 1;
    }
    free(s);
    return str_take(&out);
}
