/* Sizes come from the central directory (local headers hold zeros), places from the local header's
 * name and extra lengths. */
#include "core/model/ckpt_zip.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <string.h>

enum { EOCD = 22, CENTRAL = 46, LOCAL = 30, LOCATOR = 20, END64 = 56, RECORDS_MAX = 1000000 };

static uint64_t le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

typedef struct Directory {
    uint64_t offset, size, count;
} Directory;

static Err find_end(const uint8_t *f, size_t size, size_t *at)
{
    if (size < EOCD)
        FAIL(ERR_MODEL, "zip: too short");
    size_t stop = size > EOCD + 65535 ? size - EOCD - 65535 : 0;
    for (*at = size - EOCD;; (*at)--) {
        if (memcmp(f + *at, "PK\5\6", 4) == 0 && *at + EOCD + le(f + *at + 20, 2) == size)
            return OK;
        if (*at == stop)
            FAIL(ERR_MODEL, "zip: no end record; the file is cut off or damaged");
    }
}

/* A field of the old end record: the new one's value, or all ones. */
static bool same_or_ones(uint64_t old, uint64_t value, uint64_t ones)
{
    return old == value || old == ones;
}

static Err read_directory(const uint8_t *f, size_t size, Directory *d)
{
    size_t at = 0;
    TRY(find_end(f, size, &at));
    *d = (Directory){
        .count = le(f + at + 10, 2), .size = le(f + at + 12, 4), .offset = le(f + at + 16, 4)};
    uint64_t here = le(f + at + 8, 2);
    if (le(f + at + 4, 2) || le(f + at + 6, 2))
        FAIL(ERR_MODEL, "zip: one of several volumes");
    if (at >= LOCATOR && memcmp(f + at - LOCATOR, "PK\6\7", 4) == 0) {
        uint64_t end64 = le(f + at - LOCATOR + 8, 8);
        if (end64 > at - LOCATOR || at - LOCATOR - end64 < END64 || memcmp(f + end64, "PK\6\6", 4))
            FAIL(ERR_MODEL, "zip: the zip64 end record is not where it should be");
        *d = (Directory){.count = le(f + end64 + 32, 8),
                         .size = le(f + end64 + 40, 8),
                         .offset = le(f + end64 + 48, 8)};
        if (!same_or_ones(here, d->count, 0xFFFF) ||
            !same_or_ones(le(f + at + 10, 2), d->count, 0xFFFF) ||
            !same_or_ones(le(f + at + 12, 4), d->size, 0xFFFFFFFF) ||
            !same_or_ones(le(f + at + 16, 4), d->offset, 0xFFFFFFFF))
            FAIL(ERR_MODEL, "zip: its two end records contradict each other");
        here = le(f + end64 + 24, 8);
        at = end64;
    }
    if (d->offset > at || d->size > at - d->offset)
        FAIL(ERR_MODEL, "zip: the directory lies outside the file");
    if (here != d->count || d->size != at - d->offset)
        FAIL(ERR_MODEL, "zip: the end record does not fit the directory before it");
    if (d->count > RECORDS_MAX || d->count > d->size / CENTRAL)
        FAIL(ERR_MODEL, "zip: %llu records", (unsigned long long)d->count);
    return OK;
}

/* The zip64 extra field: 8 bytes for each of size, packed size, offset that is all ones. */
static Err read_extra(const uint8_t *p, size_t n, uint64_t *size, uint64_t *packed,
                      uint64_t *offset)
{
    uint64_t *field[3] = {size, packed, offset};
    while (n >= 4) {
        size_t len = le(p + 2, 2);
        if (len > n - 4)
            FAIL(ERR_MODEL, "zip: an extra field is too long");
        if (le(p, 2) == 1) {
            const uint8_t *q = p + 4;
            for (int i = 0; i < 3; i++) {
                if (*field[i] != 0xFFFFFFFF)
                    continue;
                if (q + 8 > p + 4 + len)
                    FAIL(ERR_MODEL, "zip: a zip64 field is too short");
                *field[i] = le(q, 8);
                q += 8;
            }
        }
        p += 4 + len;
        n -= 4 + len;
    }
    return OK;
}

static Err read_record(const uint8_t *f, uint64_t limit, const uint8_t *c, ZipRecord *r,
                       uint64_t *begin)
{
    uint64_t flags = le(c + 8, 2), method = le(c + 10, 2);
    uint64_t packed = le(c + 20, 4), size = le(c + 24, 4), offset = le(c + 42, 4);
    size_t name = le(c + 28, 2), extra = le(c + 30, 2);
    r->name = (const char *)c + CENTRAL;
    r->name_len = name;
    int shown = name < 80 ? (int)name : 80;
    if (flags & 0x2041)
        FAIL(ERR_MODEL, "zip: record %.*s: is encrypted", shown, r->name);
    if (method != 0 && memmem(r->name, name, "/code/", 6))
        FAIL(ERR_MODEL, "a TorchScript archive; save the state_dict instead");
    if (method != 0)
        FAIL(ERR_MODEL, "zip: record %.*s: is compressed; torch stores records as they are", shown,
             r->name);
    TRY(read_extra(c + CENTRAL + name, extra, &size, &packed, &offset));
    if (size != packed || offset > limit || limit - offset < LOCAL ||
        memcmp(f + offset, "PK\3\4", 4))
        FAIL(ERR_MODEL, "zip: record %.*s: lies outside the file", shown, r->name);
    uint64_t head = LOCAL + le(f + offset + 26, 2) + le(f + offset + 28, 2);
    if (head > limit - offset || size > limit - offset - head)
        FAIL(ERR_MODEL, "zip: record %.*s: lies outside the file", shown, r->name);
    if (le(f + offset + 26, 2) != name || memcmp(f + offset + LOCAL, r->name, name) != 0)
        FAIL(ERR_MODEL, "zip: record %.*s: has another name at its place", shown, r->name);
    r->data = f + offset + head;
    r->size = size;
    *begin = offset;
    return OK;
}

typedef struct Span {
    uint64_t begin, end;
} Span;

static int span_order(const void *a, const void *b)
{
    const Span *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static Err read_all(const uint8_t *f, const Directory *d, ZipRecord *r, Span *span)
{
    const uint8_t *c = f + d->offset, *end = c + d->size;
    StrMap *names = strmap_new(d->count);
    Err err = OK;
    for (uint64_t i = 0; i < d->count; i++) {
        if (end - c < CENTRAL || memcmp(c, "PK\1\2", 4) != 0)
            FAIL_GOTO(ERR_MODEL, "zip: the directory is damaged");
        uint64_t len = CENTRAL + le(c + 28, 2) + le(c + 30, 2) + le(c + 32, 2);
        if (len > (uint64_t)(end - c))
            FAIL_GOTO(ERR_MODEL, "zip: the directory is damaged");
        TRY_GOTO(read_record(f, d->offset, c, &r[i], &span[i].begin));
        span[i].end = (uint64_t)(r[i].data - f) + r[i].size;
        char *name = mem_strndup(r[i].name, r[i].name_len);
        int added = strlen(name) == r[i].name_len && strmap_put(names, name, 1);
        free(name);
        if (!added)
            FAIL_GOTO(ERR_MODEL, "zip: record %.*s: comes twice, or holds a zero byte",
                      r[i].name_len < 80 ? (int)r[i].name_len : 80, r[i].name);
        c += len;
    }
    if (c != end)
        FAIL_GOTO(ERR_MODEL, "zip: the directory holds more than the end record counts");
    qsort(span, d->count, sizeof *span, span_order);
    for (uint64_t i = 1; i < d->count; i++)
        if (span[i].begin < span[i - 1].end)
            FAIL_GOTO(ERR_MODEL, "zip: records overlap");
done:
    strmap_free(names);
    return err;
}

Err zip_records(const uint8_t *file, size_t size, ZipRecord **out, size_t *n)
{
    Directory d;
    ZipRecord *r = NULL;
    Span *span = NULL;
    Err err = OK;
    TRY(read_directory(file, size, &d));
    TRY_GOTO(NEW0(r, d.count));
    TRY_GOTO(NEW0(span, d.count));
    TRY_GOTO(read_all(file, &d, r, span));
    *out = r;
    *n = d.count;
    r = NULL;
done:
    free(r);
    free(span);
    return err;
}
