/* Growable byte strings. */
#include "core/base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/base/mem.h"

#include <assert.h>

static void reserve(Str *s, size_t extra)
{
    size_t need = s->len + extra + 1;
    if (need <= s->cap)
        return;
    size_t cap = s->cap ? s->cap : 32;
    while (cap < need)
        cap *= 2;
    char *p = realloc(s->data, cap);
    assert(p);
    s->data = p;
    s->cap = cap;
}

void str_free(Str *s)
{
    free(s->data);
    *s = (Str){0};
}

void str_clear(Str *s)
{
    s->len = 0;
    if (s->data)
        s->data[0] = 0;
}

void str_add_n(Str *s, const char *bytes, size_t n)
{
    reserve(s, n);
    memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = 0;
}

void str_add(Str *s, const char *text)
{
    str_add_n(s, text, strlen(text));
}

void str_add_char(Str *s, char c)
{
    str_add_n(s, &c, 1);
}

static void add_va(Str *s, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    assert(n >= 0);
    reserve(s, (size_t)n);
    vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
    va_end(again);
    s->len += (size_t)n;
}

void str_addf(Str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_va(s, fmt, ap);
    va_end(ap);
}

const char *str_text(const Str *s)
{
    return s->data ? s->data : "";
}

char *str_take(Str *s)
{
    char *p = s->data ? s->data : mem_strdup("");
    *s = (Str){0};
    return p;
}

char *str_format(const char *fmt, ...)
{
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    add_va(&s, fmt, ap);
    va_end(ap);
    return str_take(&s);
}

void str_add_tsv(Str *s, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        size_t plain = 0;
        while (p[plain] >= 0x20 && p[plain] != 0x7f && p[plain] != '\\')
            plain++;
        str_add_n(s, (const char *)p, plain);
        p += plain;
        if (!*p)
            return;
        if (*p == '\t')
            str_add(s, "\\t");
        else if (*p == '\n')
            str_add(s, "\\n");
        else if (*p == '\\')
            str_add(s, "\\\\");
        else
            str_addf(s, "\\x%02x", *p);
    }
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

bool str_ends_nocase(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcasecmp(s + n - m, suffix) == 0;
}

bool str_equal_nocase(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

char *str_utf8(const char *text)
{
    Str s = {0};
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int n = *p < 0x80 ? 1 : *p >= 0xC2 && *p < 0xE0 ? 2 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xF0 && *p < 0xF5 ? 4 : 0;
        uint32_t code = n == 1 ? *p : n ? *p & (0xFFu >> (n + 1)) : 0;
        for (int i = 1; i < n; i++) {
            code = code << 6 | (p[i] & 63u);
            n = (p[i] & 0xC0) == 0x80 ? n : 0;
        }
        bool good = n && code >= 0x20 && code != 0x7F && !(n == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) &&
                    !(n == 4 && (code < 0x10000 || code > 0x10FFFF)) && code != 0xFFFE && code != 0xFFFF;
        if (good)
            str_add_n(&s, (const char *)p, (size_t)n);
        else
            str_add_char(&s, code >= '\t' && code <= '\r' ? ' ' : '?');
        p += good ? n : 1;
    }
    return str_take(&s);
}

Err str_read_file(const char *path, size_t max_bytes, Err code, char **out, size_t *len)
{
    Err err = OK;
    char *data = NULL;
    *out = NULL;
    FILE *f = fopen(path, "rb");
    if (!f)
        FAIL(code, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode))
        FAIL_GOTO(code, "%s: not a regular file", path);
    if ((unsigned long long)st.st_size > max_bytes)
        FAIL_GOTO(code, "%s: %lld bytes, more than the %zu expected at most", path,
                  (long long)st.st_size, max_bytes);
    size_t n = (size_t)st.st_size;
    TRY_GOTO(NEW(data, n + 1));
    if (fread(data, 1, n, f) != n)
        FAIL_GOTO(code, "%s: cannot be read: %s", path, strerror(errno));
    data[n] = 0;
    *out = data;
    data = NULL;
    if (len)
        *len = n;
done:
    free(data);
    fclose(f);
    return err;
}
