/* Writing the tensors of a bundle one by one, so that a large model never stands in memory twice.
 */
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/import_impl.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

Err outlist_add(OutList *l, const OutTensor *t)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        TRY(mem_realloc(&l->v, cap, sizeof *l->v));
        l->cap = cap;
    }
    OutTensor *x = &l->v[l->n++];
    *x = *t;
    x->name = mem_strdup(t->name);
    bool kept = t->src && !t->merge && (t->src->type == ST_F16 || t->src->type == ST_BF16);
    x->type = kept ? t->src->type : ST_F32;
    return OK;
}

void outlist_done(OutList *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].name);
        free(l->v[i].own);
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
    while (s.len % 8)
        str_add_char(&s, ' ');
    *len = s.len;
    return str_take(&s);
}

static Err write_one(FILE *f, const OutTensor *t)
{
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
            err = write_one(f, &l->v[i]);
        ok = err != ERR_GENERAL;
    }
    ok = ok && fflush(f) == 0 && fsync(fileno(f)) == 0;
    ok = fclose(f) == 0 && ok;
    if (!ok)
        FAIL(ERR_GENERAL, "%s: cannot be written: %s", path, strerror(errno));
    return err;
}
