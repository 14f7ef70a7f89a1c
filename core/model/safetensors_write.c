/* Writing safetensors: entries by alignment, then name; header padded to eight bytes. */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/safetensors.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct Entry {
    char *name;
    StType type;
    int ndim;
    int64_t dim[ST_MAX_DIMS];
    size_t bytes;
    void *data;
} Entry;

struct StWriter {
    Entry *e;
    size_t n, cap;
    cJSON *meta;
};

StWriter *st_writer_new(void)
{
    return mem_must(sizeof(StWriter));
}

void st_writer_free(StWriter *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++) {
        free(w->e[i].name);
        free(w->e[i].data);
    }
    free(w->e);
    cJSON_Delete(w->meta);
    free(w);
}

void st_writer_meta(StWriter *w, const char *key, const char *value)
{
    if (!w->meta)
        w->meta = cJSON_CreateObject();
    cJSON_DeleteItemFromObjectCaseSensitive(w->meta, key);
    cJSON_AddStringToObject(w->meta, key, value);
}

static size_t count(int ndim, const int64_t *dim)
{
    size_t n = 1;
    for (int i = 0; i < ndim; i++)
        n *= (size_t)dim[i];
    return n;
}

Err st_writer_add(StWriter *w, const char *name, StType type, int ndim, const int64_t *dim,
                  const void *data)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 64;
        TRY(mem_realloc(&w->e, cap, sizeof *w->e));
        w->cap = cap;
    }
    Entry e = {.type = type, .ndim = ndim, .bytes = count(ndim, dim) * st_type_size(type)};
    memcpy(e.dim, dim, (size_t)ndim * sizeof *dim);
    TRY(mem_alloc(&e.data, e.bytes, 1));
    if (e.bytes)
        memcpy(e.data, data, e.bytes);
    e.name = mem_strdup(name);
    w->e[w->n++] = e;
    return OK;
}

static const float HALF_NORMAL = 6.2e-5f;

static Err add_rows_int8(StWriter *w, const char *name, int ndim, const int64_t *dim,
                         const float *x)
{
    size_t rows = (size_t)dim[0], cols = rows ? count(ndim, dim) / rows : 0;
    int8_t *q = NULL;
    float *scale = NULL;
    bool halves = true; /* two bytes a scale where they keep their eleven bits */
    char *sname = str_format("%s.scale", name);
    Err err = OK;
    TRY_GOTO(NEW(q, rows * cols));
    TRY_GOTO(NEW(scale, rows));
    for (size_t r = 0; r < rows; r++) {
        float top = 0;
        for (size_t c = 0; c < cols; c++)
            top = fmaxf(top, fabsf(x[r * cols + c]));
        scale[r] = top / 127;
        halves = halves && (scale[r] == 0 || scale[r] >= HALF_NORMAL);
        for (size_t c = 0; c < cols; c++)
            q[r * cols + c] = top > 0 ? (int8_t)lrintf(x[r * cols + c] / scale[r]) : 0;
    }
    TRY_GOTO(st_writer_add(w, name, ST_I8, ndim, dim, q));
    TRY_GOTO(st_writer_add_f32(w, sname, halves ? ST_F16 : ST_F32, 1, dim, scale));
done:
    free(sname);
    free(q);
    free(scale);
    return err;
}

Err st_writer_add_f32(StWriter *w, const char *name, StType as, int ndim, const int64_t *dim,
                      const float *x)
{
    if (as == ST_F32)
        return st_writer_add(w, name, as, ndim, dim, x);
    if (as == ST_I8)
        return add_rows_int8(w, name, ndim, dim, x);
    size_t n = count(ndim, dim);
    uint16_t *h;
    TRY(NEW(h, n));
    for (size_t i = 0; i < n; i++) {
        if (as == ST_F16) {
            h[i] = st_float_to_half(x[i]);
        } else {
            uint32_t b;
            memcpy(&b, &x[i], 4);
            h[i] = (uint16_t)((b + 0x7FFF + (b >> 16 & 1)) >> 16);
        }
    }
    Err err = st_writer_add(w, name, as, ndim, dim, h);
    free(h);
    return err;
}

static int entry_order(const void *a, const void *b)
{
    const Entry *x = *(const Entry *const *)a, *y = *(const Entry *const *)b;
    size_t sx = st_type_size(x->type), sy = st_type_size(y->type);
    if (sx != sy)
        return sx > sy ? -1 : 1;
    return strcmp(x->name, y->name);
}

static char *header_text(const StWriter *w, Entry **order)
{
    cJSON *root = cJSON_CreateObject();
    if (w->meta)
        cJSON_AddItemToObject(root, "__metadata__", cJSON_Duplicate(w->meta, 1));
    size_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        const Entry *e = order[i];
        cJSON *o = cJSON_CreateObject(), *shape = cJSON_CreateArray(), *offs = cJSON_CreateArray();
        cJSON_AddStringToObject(o, "dtype", st_type_name(e->type));
        for (int d = 0; d < e->ndim; d++)
            cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)e->dim[d]));
        cJSON_AddItemToArray(offs, cJSON_CreateNumber((double)at));
        at += e->bytes;
        cJSON_AddItemToArray(offs, cJSON_CreateNumber((double)at));
        cJSON_AddItemToObject(o, "shape", shape);
        cJSON_AddItemToObject(o, "data_offsets", offs);
        cJSON_AddItemToObject(root, e->name, o);
    }
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

static Err write_all(FILE *f, const char *text, Entry **order, size_t n)
{
    size_t len = strlen(text), padded = (len + 7) / 8 * 8;
    unsigned char head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    int ok = fwrite(head, 1, 8, f) == 8 && fwrite(text, 1, len, f) == len;
    for (size_t i = len; ok && i < padded; i++)
        ok = fputc(' ', f) != EOF;
    for (size_t i = 0; ok && i < n; i++)
        ok = fwrite(order[i]->data, 1, order[i]->bytes, f) == order[i]->bytes;
    if (!ok || fflush(f) != 0 || fsync(fileno(f)) != 0)
        FAIL(ERR_GENERAL, "cannot be written: %s", strerror(errno));
    return OK;
}

Err st_writer_save(const StWriter *w, const char *path)
{
    Entry **order;
    TRY(NEW(order, w->n));
    for (size_t i = 0; i < w->n; i++)
        order[i] = &w->e[i];
    qsort(order, w->n, sizeof(Entry *), entry_order);
    char *text = header_text(w, order), *tmp = str_format("%s.%ld.tmp", path, (long)getpid());
    FILE *f = fopen(tmp, "wb");
    Err err = f ? write_all(f, text, order, w->n)
                : err_set(ERR_GENERAL, "cannot be written: %s", strerror(errno));
    if (f && fclose(f) != 0 && err == OK)
        err = err_set(ERR_GENERAL, "cannot be written: %s", strerror(errno));
    if (err == OK && rename(tmp, path) != 0)
        err = err_set(ERR_GENERAL, "cannot be written: %s", strerror(errno));
    if (err != OK)
        unlink(tmp);
    free(order);
    free(text);
    free(tmp);
    return err == OK ? OK : err_context(err, "%s", path);
}
