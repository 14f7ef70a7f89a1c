/* Writing the tensors of a bundle one by one, so that a large model never stands in memory twice.
 */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/import_impl.h"
#include "core/model/quantize.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static Err add_one(OutList *l, const OutTensor *t)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        TRY(mem_realloc(&l->v, cap, sizeof *l->v));
        l->cap = cap;
    }
    l->v[l->n] = *t;
    l->v[l->n++].name = mem_strdup(t->name);
    return OK;
}

/* The scales come first in the file (two bytes before one), so they are known when the codes are
 * written. */
static Err add_quantized(OutList *l, const OutTensor *t)
{
    OutTensor codes = *t, scale = *t;
    TRY(NEW(scale.scale, (size_t)(t->dim[0] * (t->dim[1] / STORED_GROUP))));
    codes.scale = scale.scale;
    codes.type = t->quant == STORED_Q4 ? ST_U8 : ST_I8;
    codes.dim[1] = t->quant == STORED_Q4 ? t->dim[1] / 2 : t->dim[1];
    scale.type = ST_F16;
    scale.dim[1] = t->dim[1] / STORED_GROUP;
    scale.name = str_format("%s.scale", t->name);
    Err err = add_one(l, &scale);
    free(scale.name);
    if (err != OK) {
        free(scale.scale);
        return err;
    }
    return add_one(l, &codes);
}

Err outlist_add(OutList *l, const OutTensor *t)
{
    if (t->quant)
        return add_quantized(l, t);
    OutTensor x = *t;
    bool kept = t->src && !t->merge && (t->src->type == ST_F16 || t->src->type == ST_BF16);
    x.type = kept ? t->src->type : ST_F32;
    return add_one(l, &x);
}

void outlist_done(OutList *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].name);
        free(l->v[i].own);
        if (l->v[i].type == ST_F16 && l->v[i].scale)
            free(l->v[i].scale);
    }
    free(l->v);
    *l = (OutList){0};
}

static int order(const void *a, const void *b)
{
    const OutTensor *x = a, *y = b;
    size_t p = st_type_size(x->type), q = st_type_size(y->type);
    return p != q ? (p > q ? -1 : 1) : strcmp(x->name, y->name);
}

static size_t elements(const OutTensor *t)
{
    size_t n = 1;
    for (int d = 0; d < t->ndim; d++)
        n *= (size_t)t->dim[d];
    return n;
}

static void add_name(Str *s, const char *name)
{
    str_add_char(s, '"');
    for (const char *p = name; *p; p++)
        if (*p == '"' || *p == '\\')
            str_addf(s, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            str_addf(s, "\\u%04x", *p);
        else
            str_add_char(s, *p);
    str_add_char(s, '"');
}

static char *header(const OutList *l, size_t *len)
{
    Str s = {0};
    uint64_t at = 0;
    str_add(&s, "{");
    for (size_t i = 0; i < l->n; i++) {
        const OutTensor *t = &l->v[i];
        str_add(&s, i ? "," : "");
        add_name(&s, t->name);
        str_addf(&s, ":{\"dtype\":\"%s\",\"shape\":[", st_type_name(t->type));
        for (int d = 0; d < t->ndim; d++)
            str_addf(&s, d ? ",%lld" : "%lld", (long long)t->dim[d]);
        uint64_t end = at + elements(t) * st_type_size(t->type);
        str_addf(&s, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                 (unsigned long long)end);
        at = end;
    }
    str_add(&s, "}");
    while ((s.len + 8) % 64) /* rows that begin with a cache line are read faster */
        str_add_char(&s, ' ');
    *len = s.len;
    return str_take(&s);
}

enum { CHUNK_ROWS = 256 };

/* Rows from..from+rows-1 of the source as float32. */
static void read_rows(const CkTensor *t, int64_t from, int64_t rows, float *out)
{
    CkTensor part = *t;
    part.data = (const char *)t->data + from * t->stride[0] * (int64_t)st_type_size(t->type);
    part.dim[0] = rows;
    part.elements = (size_t)(rows * t->dim[1]);
    ckpt_read_f32(&part, out);
}

/* A chunk of rows in float32 as its scales or its codes; false when the disk is full. */
static bool write_chunk(FILE *f, const OutTensor *t, int64_t from, int64_t rows, const float *w,
                        char *out)
{
    int64_t k = t->src->dim[1], groups = k / STORED_GROUP, bytes = t->dim[1];
    uint16_t *scale = t->scale + from * groups;
    bool scales = t->type == ST_F16;
#pragma omp parallel for schedule(dynamic, 8)
    for (int64_t r = 0; r < rows; r++)
        if (scales)
            quantize_scales(t->quant, k, w + r * k, scale + r * groups);
        else
            quantize_codes(t->quant, k, w + r * k, scale + r * groups, out + r * bytes);
    size_t n = (size_t)(rows * bytes);
    return scales ? fwrite(scale, 2, n, f) == n : fwrite(out, 1, n, f) == n;
}

static Err write_quantized(FILE *f, const OutTensor *t, JobCtl *ctl, size_t at)
{
    int64_t n = t->src->dim[0], k = t->src->dim[1], step = t->merge ? n : CHUNK_ROWS;
    float *w = NULL;
    char *out = NULL;
    Err err = OK;
    TRY_GOTO(NEW(w, (size_t)(step * k)));
    TRY_GOTO(NEW(out, (size_t)(CHUNK_ROWS * k)));
    if (t->merge) {
        ckpt_read_f32(t->src, w);
        TRY_GOTO(lora_merge(&t->lora, w, n, k));
    }
    for (int64_t from = 0; from < n; from += CHUNK_ROWS) {
        int64_t rows = n - from < CHUNK_ROWS ? n - from : CHUNK_ROWS;
        if (!t->merge)
            read_rows(t->src, from, rows, w);
        TRY_GOTO(job_progress(ctl, at));
        if (!write_chunk(f, t, from, rows, t->merge ? w + from * k : w, out)) {
            err = ERR_GENERAL;
            goto done;
        }
    }
done:
    free(w);
    free(out);
    return err;
}

static Err write_one(FILE *f, const OutTensor *t, JobCtl *ctl, size_t at)
{
    if (t->quant)
        return write_quantized(f, t, ctl, at);
    size_t n = elements(t), bytes = n * st_type_size(t->type);
    if (t->src && t->src->type == t->type && t->src->contiguous && !t->merge)
        return fwrite(t->src->data, 1, bytes, f) == bytes ? OK : ERR_GENERAL;
    if (t->own)
        return fwrite(t->own, 1, bytes, f) == bytes ? OK : ERR_GENERAL;
    void *buf = NULL;
    TRY(mem_alloc(&buf, n ? n : 1, st_type_size(t->type)));
    Err err = OK;
    if (t->type == t->src->type)
        ckpt_read_raw(t->src, buf);
    else
        ckpt_read_f32(t->src, buf);
    if (t->merge)
        err = lora_merge(&t->lora, buf, t->dim[0], t->dim[1]);
    if (err == OK && fwrite(buf, 1, bytes, f) != bytes)
        err = ERR_GENERAL;
    free(buf);
    return err;
}

Err outlist_save(OutList *l, const char *path, JobCtl *ctl)
{
    size_t len;
    Err err = OK;
    qsort(l->v, l->n, sizeof *l->v, order);
    FILE *f = fopen(path, "wb");
    if (!f)
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    char *head = header(l, &len);
    unsigned char size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)((uint64_t)len >> (8 * i));
    bool ok = fwrite(size, 1, 8, f) == 8 && fwrite(head, 1, len, f) == len;
    free(head);
    job_stage(ctl, "writing the bundle", l->n);
    for (size_t i = 0; ok && err == OK && i < l->n; i++) {
        err = job_progress(ctl, i);
        if (err == OK)
            err = write_one(f, &l->v[i], ctl, i);
        ok = err != ERR_GENERAL;
    }
    ok = ok && fflush(f) == 0 && fsync(fileno(f)) == 0;
    ok = fclose(f) == 0 && ok;
    if (!ok)
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    return err;
}
