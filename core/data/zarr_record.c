/* Arrays of records in Zarr: one field of all of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/data/zarr_impl.h"

void zarr_record_done(ZarrArray *a)
{
    for (size_t i = 0; i < a->n_fields; i++)
        free(a->fields[i].name);
    free(a->fields);
    a->fields = NULL;
    a->n_fields = 0;
}

Err zarr_fields(Array *base, FieldInfo **out, size_t *n)
{
    const ZarrArray *a = (const ZarrArray *)base;
    FieldInfo *f = mem_must((a->n_fields + 1) * sizeof *f);
    for (size_t i = 0; i < a->n_fields; i++) {
        f[i] = (FieldInfo){.name = mem_strdup(a->fields[i].name),
                           .cls = a->fields[i].info.cls,
                           .width = 1};
        snprintf(f[i].dtype, sizeof f[i].dtype, "%s", a->fields[i].info.dtype);
    }
    *out = f;
    *n = a->n_fields;
    return OK;
}

static const ZarrField *find(const ZarrArray *a, const char *name)
{
    for (size_t i = 0; i < a->n_fields; i++)
        if (strcmp(a->fields[i].name, name) == 0)
            return &a->fields[i];
    return NULL;
}

/* Where record i lies; NULL when its chunk was never stored. */
static Err record_at(ZarrArray *a, uint64_t i, const unsigned char **out)
{
    const Chunk *c;
    uint64_t per = a->sharded ? a->inner[0] : a->base.info.chunk[0], unit = a->base.info.rank ? i / per : 0;
    TRY(chunked_get(&a->chunked, &unit, &c));
    *out = c->data ? c->data + (a->base.info.rank ? i % per : 0) * a->base.info.size : NULL;
    return OK;
}

static Err check(const ZarrArray *a, const ZarrField *f, const char *field, bool text)
{
    if (!f || (f->info.cls == ELEM_STRING) != text || a->base.info.rank > 1)
        FAIL(ERR_INPUT, "%s: field %s is no %s", a->base.path, field, text ? "text" : "number");
    return OK;
}

Err zarr_read_field(Array *base, const char *field, MemType type, void *out)
{
    ZarrArray *a = (ZarrArray *)base;
    const ZarrField *f = find(a, field);
    TRY(check(a, f, field, false));
    size_t width = mem_type_size(type);
    Chunked one = {.element = f->info.size,
                   .cls = f->info.cls,
                   .is_unsigned = f->is_unsigned,
                   .big_endian = f->big_endian};
    for (uint64_t i = 0; i < base->info.count; i++) {
        const unsigned char *p;
        TRY(record_at(a, i, &p));
        if (p)
            chunked_convert(&one, p + f->offset, 1, type, (char *)out + i * width);
        else
            memset((char *)out + i * width, 0, width);
    }
    return OK;
}

Err zarr_read_field_text(Array *base, const char *field, char **out)
{
    ZarrArray *a = (ZarrArray *)base;
    const ZarrField *f = find(a, field);
    Err err = check(a, f, field, true);
    memset(out, 0, base->info.count * sizeof *out);
    for (uint64_t i = 0; i < base->info.count && !err; i++) {
        const unsigned char *p;
        err = record_at(a, i, &p);
        if (!err)
            out[i] = p ? zarr_fixed_text(f->text, f->big_endian, p + f->offset, f->info.size)
                       : mem_strdup("");
    }
    for (uint64_t i = 0; err && i < base->info.count; i++) {
        free(out[i]);
        out[i] = NULL;
    }
    return err;
}
