/* torch.save's zip: local headers padded so that data lies at multiples of 64, then the central
 * directory. The pickle uses the opcodes of protocol 2 that torch itself writes. */
#include "core/model/torch_write.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ALIGN = 64 };
static const char TOP[] = "archive";

/* ---- pickle ---- */

static void add_int(Str *s, int64_t v)
{
    unsigned char b[10] = {0x8a, 8}; /* LONG1 */
    bool small = v >= 0 && v <= INT32_MAX;
    for (int i = 0; i < 8; i++)
        b[2 + i] = (unsigned char)((uint64_t)v >> (8 * i));
    if (small) {
        b[1] = 'J';
        str_add_n(s, (char *)b + 1, 5);
    } else {
        str_add_n(s, (char *)b, 10);
    }
}

static void add_text(Str *s, const char *text)
{
    size_t n = strlen(text);
    char b[5] = {'X', (char)n, (char)(n >> 8), (char)(n >> 16), (char)(n >> 24)};
    str_add_n(s, b, 5);
    str_add_n(s, text, n);
}

static void add_tuple(Str *s, int n, const int64_t *v)
{
    str_add_char(s, '(');
    for (int i = 0; i < n; i++)
        add_int(s, v[i]);
    str_add_char(s, 't');
}

static int64_t elements(const TorchTensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->ndim; d++)
        n *= t->dim[d];
    return n;
}

static void add_tensor(Str *s, const TorchTensor *t, size_t key)
{
    int64_t stride[16], step = 1;
    char name[24];
    for (int d = t->ndim; d-- > 0; step *= t->dim[d])
        stride[d] = step;
    snprintf(name, sizeof name, "%zu", key);
    add_text(s, t->name);
    str_add(s, "ctorch._utils\n_rebuild_tensor_v2\n((");
    add_text(s, "storage");
    str_add(s, "ctorch\nFloatStorage\n");
    add_text(s, name);
    add_text(s, "cpu");
    add_int(s, elements(t));
    str_add(s, "tQ");
    add_int(s, 0);
    add_tuple(s, t->ndim, t->dim);
    add_tuple(s, t->ndim, stride);
    str_add(s, "\x89" "ccollections\nOrderedDict\n)RtR");
}

static void pickle(Str *s, const TorchTensor *t, size_t n)
{
    str_add(s, "\x80\x02" "ccollections\nOrderedDict\n)R(");
    for (size_t i = 0; i < n; i++)
        add_tensor(s, &t[i], i);
    str_add(s, "u.");
}

/* ---- zip ---- */

static uint32_t crc32_of(const void *data, size_t n)
{
    uint32_t table[256], c = 0xFFFFFFFFu;
    const unsigned char *p = data;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t x = i;
        for (int k = 0; k < 8; k++)
            x = x & 1 ? 0xEDB88320u ^ (x >> 1) : x >> 1;
        table[i] = x;
    }
    for (size_t i = 0; i < n; i++)
        c = table[(c ^ p[i]) & 0xFF] ^ (c >> 8);
    return c ^ 0xFFFFFFFFu;
}

typedef struct Zip {
    FILE *f;
    uint64_t at;
    Str directory;
    uint32_t entries;
    bool ok;
} Zip;

static void put(Str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        str_add_char(s, i < 8 ? (char)(v >> (8 * i)) : 0);
}

static void zip_write(Zip *z, const void *data, size_t n)
{
    z->ok = z->ok && fwrite(data, 1, n, z->f) == n;
    z->at += n;
}

/* What both headers share: version, flags, method, time, date, crc, sizes. */
static void common(Str *s, uint32_t crc, uint64_t n)
{
    put(s, 20, 2);
    put(s, 0, 8);
    put(s, crc, 4);
    put(s, n, 4);
    put(s, n, 4);
}

static void zip_add(Zip *z, const char *record, const void *data, size_t n)
{
    Str name = {0}, head = {0};
    str_addf(&name, "%s/%s", TOP, record);
    uint32_t crc = crc32_of(data, n);
    uint64_t start = z->at, data_at = start + 30 + name.len + 4;
    size_t pad = (size_t)((ALIGN - data_at % ALIGN) % ALIGN);
    put(&head, 0x04034b50, 4);
    common(&head, crc, n);
    put(&head, name.len, 2);
    put(&head, pad + 4, 2);
    str_add_n(&head, str_text(&name), name.len);
    str_add(&head, "FB"); /* torch's own padding field */
    put(&head, pad, 2);
    for (size_t i = 0; i < pad; i++)
        str_add_char(&head, 'Z');
    zip_write(z, str_text(&head), head.len);
    zip_write(z, data, n);
    put(&z->directory, 0x02014b50, 4);
    put(&z->directory, 20, 2);
    common(&z->directory, crc, n);
    put(&z->directory, name.len, 2);
    put(&z->directory, 0, 12); /* no extra field, comment, disk, attributes */
    put(&z->directory, start, 4);
    str_add_n(&z->directory, str_text(&name), name.len);
    z->entries++;
    str_free(&name);
    str_free(&head);
}

static void zip_end(Zip *z)
{
    Str end = {0};
    put(&end, 0x06054b50, 4);
    put(&end, 0, 4);
    put(&end, z->entries, 2);
    put(&end, z->entries, 2);
    put(&end, z->directory.len, 4);
    put(&end, z->at, 4);
    put(&end, 0, 2);
    zip_write(z, str_text(&z->directory), z->directory.len);
    zip_write(z, str_text(&end), end.len);
    str_free(&end);
    str_free(&z->directory);
}

static Err write_all(Zip *z, const TorchTensor *t, size_t n, TorchFill *fill, void *user)
{
    Str s = {0};
    pickle(&s, t, n);
    zip_add(z, "data.pkl", str_text(&s), s.len);
    str_free(&s);
    zip_add(z, "byteorder", "little", 6);
    for (size_t i = 0; z->ok && i < n; i++) {
        char record[40];
        float *v;
        size_t k = (size_t)elements(&t[i]);
        snprintf(record, sizeof record, "data/%zu", i);
        TRY(NEW(v, k));
        Err err = fill(user, i, v);
        if (err == OK)
            zip_add(z, record, v, k * sizeof *v);
        free(v);
        TRY(err);
    }
    zip_add(z, "version", "3\n", 2);
    zip_end(z);
    return OK;
}

Err torch_write(const char *path, const TorchTensor *t, size_t n, TorchFill *fill, void *user)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += (uint64_t)elements(&t[i]) * 4 + 512;
    if (bytes > 0xF0000000u || n > 60000)
        FAIL(ERR_GENERAL, "%s: more than 4 GiB of weights do not fit this kind of file", path);
    char *tmp = str_format("%s.%ld.tmp", path, (long)getpid());
    Zip z = {.f = fopen(tmp, "wb"), .ok = true};
    Err err = OK;
    if (z.f) {
        err = write_all(&z, t, n, fill, user);
        z.ok = fflush(z.f) == 0 && fsync(fileno(z.f)) == 0 && z.ok;
        z.ok = fclose(z.f) == 0 && z.ok;
        str_free(&z.directory);
    }
    if (err == OK && (!z.f || !z.ok || rename(tmp, path) != 0))
        err = err_set(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    if (err != OK)
        unlink(tmp);
    free(tmp);
    return err;
}
