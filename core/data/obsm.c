/* Embeddings and other per-cell matrices: values on first use, as float32 row-major. */
#include "core/data/dataset_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/mem.h"
#include "core/base/str.h"

size_t dataset_n_obsm(const Dataset *d)
{
    return d->n_obsm;
}

const ObsmInfo *dataset_obsm_info(const Dataset *d, size_t i)
{
    return &d->obsm[i].info;
}

static const char *bare(const char *name)
{
    return strncasecmp(name, "X_", 2) == 0 ? name + 2 : name;
}

int dataset_find_obsm(const Dataset *d, const char *name)
{
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < d->n_obsm; i++) {
            const char *have = d->obsm[i].info.name;
            bool same = pass == 0   ? strcmp(have, name) == 0
                        : pass == 1 ? strcasecmp(have, name) == 0
                                    : strcasecmp(bare(have), bare(name)) == 0;
            if (same)
                return (int)i;
        }
    return -1;
}

static Err read_dense(Dataset *d, const Obsm *o, float *out)
{
    Array *a;
    TRY(store_open_array(d->store, o->path, &a));
    uint64_t zero[STORE_MAX_RANK] = {0};
    Err err = OK;
    if (a->info.count != o->info.n * o->info.d)
        err = err_set(ERR_INPUT, "%s: has changed its size", o->path);
    else if (!o->transposed)
        err = array_read(a, zero, a->info.shape, MEM_F32, out);
    array_close(a);
    return err;
}

static Err read_field(Dataset *d, const Obsm *o, float *out)
{
    Array *a;
    TRY(store_open_array(d->store, o->path, &a));
    Err err = array_read_field(a, o->field, MEM_F32, out);
    array_close(a);
    return err;
}

static Err read_frame(Dataset *d, const Obsm *o, float *out)
{
    Frame f;
    TRY(frame_open(d, o->path, &f));
    Err err = OK;
    for (size_t j = 0; j < f.n_slots && j < o->info.d && !err; j++) {
        const Column *c;
        err = slot_read(d, &f, &f.slots[j], &c);
        for (size_t i = 0; i < o->info.n && !err; i++)
            out[i * o->info.d + j] = c->numbers ? (float)c->numbers[i]
                                     : c->codes ? (float)c->codes[i]
                                                : NAN;
    }
    frame_done(&f);
    return err;
}

/* Through a Matrix that lives for this call only. */
static Err read_sparse(Dataset *d, const Obsm *o, float *out)
{
    Frame columns = {.n = o->info.d};
    Matrix m = {.info = {.name = mem_strdup(o->info.name)}, .var = &columns};
    Csr c = {0};
    Err err = matrix_describe(d, o->path, &m);
    if (!err)
        err = matrix_read_rows(d, &m, 0, o->info.n, NULL, &c);
    memset(out, 0, o->info.n * o->info.d * sizeof *out);
    for (size_t r = 0; !err && r < c.rows; r++)
        for (int64_t k = c.indptr[r]; k < c.indptr[r + 1]; k++)
            out[r * o->info.d + (size_t)c.indices[k]] = c.values[k];
    csr_done(&c);
    matrix_done(&m);
    return err;
}

Err dataset_obsm(Dataset *d, size_t i, float **out)
{
    const Obsm *o = &d->obsm[i];
    size_t count = o->info.n * o->info.d;
    float *values;
    TRY(mem_check_budget((uint64_t)count * sizeof *values, o->info.name));
    TRY(NEW(values, count));
    Err err = OK;
    switch (o->kind) {
    case OBSM_MEMORY:
        memcpy(values, o->mem, count * sizeof *values);
        break;
    case OBSM_DENSE:
        err = read_dense(d, o, values);
        break;
    case OBSM_SPARSE:
        err = read_sparse(d, o, values);
        break;
    case OBSM_FRAME:
        err = read_frame(d, o, values);
        break;
    case OBSM_FIELD:
        err = read_field(d, o, values);
        break;
    }
    if (err) {
        free(values);
        return err;
    }
    *out = values;
    return OK;
}

Err dataset_obsm_bytes(Dataset *d, size_t i, int8_t **out)
{
    const Obsm *o = &d->obsm[i];
    Array *a = NULL;
    int8_t *values = NULL;
    uint64_t zero[STORE_MAX_RANK] = {0};
    Err err = OK;
    if (o->kind != OBSM_DENSE || o->transposed)
        FAIL(ERR_NOT_FOUND, "%s: is not stored as bytes", o->info.name);
    TRY(store_open_array(d->store, o->path, &a));
    if (strcmp(a->info.dtype, "int8") != 0 || a->info.count != o->info.n * o->info.d)
        FAIL_GOTO(ERR_NOT_FOUND, "%s: is not stored as bytes", o->path);
    TRY_GOTO(mem_check_budget(a->info.count, o->info.name));
    TRY_GOTO(NEW(values, a->info.count));
    TRY_GOTO(array_read(a, zero, a->info.shape, MEM_I8, values));
    *out = values;
    values = NULL;
done:
    free(values);
    array_close(a);
    return err;
}
