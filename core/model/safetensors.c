/* The safetensors format (github.com/huggingface/safetensors): u64 length, JSON header, data. The
 * header's offsets are sorted and must tile the data without holes, so a damaged size is found
 * before it is used. */
#include "core/model/safetensors.h"
#include "core/base/half.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/model/json_read.h"
#include "core/model/quantize.h"
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_MAX = 100000000 };

struct StFile {
    char *path;
    void *map;
    size_t size;
    size_t n;
    StTensor *t;
    StrMap *by_name;
    cJSON *meta;
};

static const struct {
    const char *name;
    size_t size;
} TYPES[ST_TYPES] = {
    [ST_BOOL] = {"BOOL", 1}, [ST_U8] = {"U8", 1},   [ST_I8] = {"I8", 1},     [ST_I16] = {"I16", 2},
    [ST_U16] = {"U16", 2},   [ST_F16] = {"F16", 2}, [ST_BF16] = {"BF16", 2}, [ST_I32] = {"I32", 4},
    [ST_U32] = {"U32", 4},   [ST_F32] = {"F32", 4}, [ST_F64] = {"F64", 8},   [ST_I64] = {"I64", 8},
    [ST_U64] = {"U64", 8},
};

const char *st_type_name(StType t)
{
    return TYPES[t].name;
}

size_t st_type_size(StType t)
{
    return TYPES[t].size;
}

static int find_type(const char *name)
{
    for (int i = 0; i < ST_TYPES; i++)
        if (strcmp(TYPES[i].name, name) == 0)
            return i;
    return -1;
}

/* A number of the header as a size: whole, not negative, below 2^53. */
static Err header_size(const cJSON *x, const char *name, uint64_t *out)
{
    if (!cJSON_IsNumber(x) || !(x->valuedouble >= 0) || x->valuedouble > 9007199254740992.0 ||
        x->valuedouble != floor(x->valuedouble))
        FAIL(ERR_MODEL, "tensor %s: a size in the header is not a whole number", name);
    *out = (uint64_t)x->valuedouble;
    return OK;
}

static Err parse_entry(const cJSON *e, const char *data, uint64_t data_size, uint64_t *begin,
                       uint64_t *end, StTensor *t)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(e, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(e, "shape");
    const cJSON *offs = cJSON_GetObjectItemCaseSensitive(e, "data_offsets");
    if (!cJSON_IsString(type) || !cJSON_IsArray(shape) || !cJSON_IsArray(offs) ||
        cJSON_GetArraySize(offs) != 2)
        FAIL(ERR_MODEL, "tensor %s: dtype, shape or data_offsets is missing", e->string);
    int ty = find_type(type->valuestring);
    if (ty < 0)
        FAIL(ERR_MODEL, "tensor %s: type %s is not supported", e->string, type->valuestring);
    t->type = (StType)ty;
    if (cJSON_GetArraySize(shape) > ST_MAX_DIMS)
        FAIL(ERR_MODEL, "tensor %s: more than %d dimensions", e->string, ST_MAX_DIMS);
    uint64_t elements = 1;
    const cJSON *d;
    cJSON_ArrayForEach(d, shape)
    {
        uint64_t v;
        TRY(header_size(d, e->string, &v));
        if (v && elements > UINT64_MAX / 16 / v)
            FAIL(ERR_MODEL, "tensor %s: the shape is too large", e->string);
        elements *= v;
        t->dim[t->ndim++] = (int64_t)v;
    }
    TRY(header_size(cJSON_GetArrayItem(offs, 0), e->string, begin));
    TRY(header_size(cJSON_GetArrayItem(offs, 1), e->string, end));
    if (*begin > *end || *end > data_size || *end - *begin != elements * TYPES[ty].size)
        FAIL(ERR_MODEL, "tensor %s: its place does not fit its shape or the file", e->string);
    t->elements = (size_t)elements;
    t->bytes = (size_t)(*end - *begin);
    t->data = data + *begin;
    t->name = mem_strdup(e->string);
    return OK;
}

typedef struct Span {
    uint64_t begin, end;
    size_t i;
} Span;

static int span_order(const void *a, const void *b)
{
    const Span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static Err parse_header(StFile *f, const cJSON *root, const char *data, uint64_t data_size)
{
    size_t cap = (size_t)cJSON_GetArraySize(root);
    Span *span = NULL;
    Err err = OK;
    TRY(NEW0(f->t, cap ? cap : 1));
    TRY(NEW0(span, cap ? cap : 1));
    f->by_name = strmap_new(cap);
    const cJSON *e;
    cJSON_ArrayForEach(e, root)
    {
        if (strcmp(e->string, "__metadata__") == 0) {
            const cJSON *text;
            cJSON_ArrayForEach(text, e) if (!cJSON_IsString(text))
                FAIL_GOTO(ERR_MODEL, "__metadata__: %s is not a text", text->string);
            if (!cJSON_IsObject(e))
                FAIL_GOTO(ERR_MODEL, "__metadata__: is no object");
            f->meta = cJSON_Duplicate(e, 1);
            continue;
        }
        Span *s = &span[f->n];
        StTensor *t = &f->t[f->n];
        TRY_GOTO(parse_entry(e, data, data_size, &s->begin, &s->end, t));
        s->i = f->n++;
        if (!strmap_put(f->by_name, t->name, (int64_t)s->i))
            FAIL_GOTO(ERR_MODEL, "tensor %s: comes twice", t->name);
    }
    qsort(span, f->n, sizeof *span, span_order);
    uint64_t at = 0;
    for (size_t i = 0; i < f->n; at = span[i].end, i++)
        if (span[i].begin != at)
            FAIL_GOTO(ERR_MODEL, "tensor %s: overlaps or leaves a hole", f->t[span[i].i].name);
    if (at != data_size)
        FAIL_GOTO(ERR_MODEL, "the tensors cover %llu of %llu data bytes", (unsigned long long)at,
                  (unsigned long long)data_size);
done:
    free(span);
    return err;
}

static Err parse_file(StFile *f)
{
    if (f->size < 8)
        FAIL(ERR_MODEL, "too short for a safetensors file");
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | ((const unsigned char *)f->map)[i];
    if (n > HEADER_MAX || n + 8 > f->size)
        FAIL(ERR_MODEL, "the header does not fit the file");
    const char *text = (const char *)f->map + 8;
    if (n == 0 || text[0] != '{')
        FAIL(ERR_MODEL, "not a safetensors file");
    cJSON *root;
    TRY(json_parse(text, (size_t)n, &root));
    Err err = parse_header(f, root, text + n, f->size - 8 - n);
    cJSON_Delete(root);
    return err;
}

Err st_open(const char *path, StFile **out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        FAIL(ERR_MODEL, "%s: cannot be opened", path);
    }
    StFile *f = mem_must(sizeof *f);
    f->path = mem_strdup(path);
    f->size = (size_t)st.st_size;
    f->map = f->size ? mmap(NULL, f->size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    Err err;
    if (f->map == MAP_FAILED) {
        f->map = NULL;
        err = err_set(ERR_MODEL, "cannot be mapped");
    } else {
        err = parse_file(f);
    }
    if (err != OK) {
        st_close(f);
        return err_context(err, "%s", path);
    }
    *out = f;
    return OK;
}

void st_close(StFile *f)
{
    if (!f)
        return;
    for (size_t i = 0; f->t && i < f->n; i++)
        free(f->t[i].name);
    free(f->t);
    strmap_free(f->by_name);
    cJSON_Delete(f->meta);
    if (f->map)
        munmap(f->map, f->size);
    free(f->path);
    free(f);
}

size_t st_count(const StFile *f)
{
    return f->n;
}

const StTensor *st_at(const StFile *f, size_t i)
{
    return &f->t[i];
}

const StTensor *st_find(const StFile *f, const char *name)
{
    int64_t i = strmap_get(f->by_name, name, -1);
    return i < 0 ? NULL : &f->t[i];
}

const char *st_meta(const StFile *f, const char *key)
{
    const cJSON *v = f->meta ? cJSON_GetObjectItemCaseSensitive(f->meta, key) : NULL;
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

const char *st_path(const StFile *f)
{
    return f->path;
}

float st_half_to_float(uint16_t h)
{
    return half_to_float(h);
}

uint16_t st_float_to_half(float x)
{
    uint32_t b;
    memcpy(&b, &x, 4);
    uint16_t sign = (uint16_t)(b >> 16 & 0x8000);
    uint32_t a = b & 0x7FFFFFFF;
    if (a > 0x7F800000)
        return sign | 0x7E00;
    if (a >= 0x477FF000)
        return sign | 0x7C00;
    if (a < 0x38800000) { /* subnormal: units of 2^-24, nearest even by the FPU */
        float v;
        memcpy(&v, &a, 4);
        return sign | (uint16_t)nearbyintf(ldexpf(v, 24));
    }
    uint32_t r = a - 0x38000000 + 0xFFF + (a >> 13 & 1);
    return sign | (uint16_t)(r >> 13);
}

/* memcpy: data of a foreign file may be unaligned. */
#define CONVERT(ctype, expr)                                                                       \
    for (size_t i = 0; i < t->elements; i++) {                                                     \
        ctype v;                                                                                   \
        memcpy(&v, p + i * sizeof v, sizeof v);                                                    \
        out[i] = (float)(expr);                                                                    \
    }                                                                                              \
    break

static void convert(const StTensor *t, float *out)
{
    const char *p = t->data;
    switch (t->type) {
    case ST_BOOL:
    case ST_U8:
        CONVERT(uint8_t, v);
    case ST_I8:
        CONVERT(int8_t, v);
    case ST_I16:
        CONVERT(int16_t, v);
    case ST_U16:
        CONVERT(uint16_t, v);
    case ST_F16:
        CONVERT(uint16_t, st_half_to_float(v));
    case ST_BF16:
        CONVERT(uint16_t, bf16_to_float(v));
    case ST_I32:
        CONVERT(int32_t, v);
    case ST_U32:
        CONVERT(uint32_t, v);
    case ST_F32:
        if (t->bytes)
            memcpy(out, p, t->bytes);
        break;
    case ST_F64:
        CONVERT(double, v);
    case ST_I64:
        CONVERT(int64_t, v);
    case ST_U64:
        CONVERT(uint64_t, v);
    case ST_TYPES:
        break;
    }
}

/* int8 rows times their scale; the bulk of a bundle, so it is one pass on all threads. */
static void scale_rows(const int8_t *q, const float *scale, size_t rows, size_t cols, float *out)
{
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            out[r * cols + c] = (float)q[r * cols + c] * scale[r];
}

Err st_read_f32(const StFile *f, const StTensor *t, float *out)
{
    char name[512];
    if (t->type == ST_I8 && dequantize_tensor(f, t, out))
        return OK;
    snprintf(name, sizeof name, "%s.scale", t->name);
    const StTensor *s = t->type == ST_I8 ? st_find(f, name) : NULL;
    if (!s) {
        convert(t, out);
        return OK;
    }
    size_t rows = t->ndim ? (size_t)t->dim[0] : 1, cols = rows ? t->elements / rows : 0;
    if (s->elements != rows || (s->type != ST_F32 && s->type != ST_F16))
        FAIL(ERR_MODEL, "%s: tensor %s: not one float per row", f->path, name);
    float *scale;
    TRY(NEW(scale, rows));
    convert(s, scale);
    scale_rows(t->data, scale, rows, cols, out);
    free(scale);
    return OK;
}
