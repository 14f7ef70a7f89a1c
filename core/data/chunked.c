/* A box from chunks. */
#include "core/data/chunked.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

void chunked_done(Chunked *c)
{
    for (int i = 0; i < CHUNKS_KEPT; i++)
        free(c->kept[i].data);
    memset(c->kept, 0, sizeof c->kept);
}

size_t chunked_bytes(const Chunked *c)
{
    size_t n = c->element;
    for (int i = 0; i < c->rank; i++)
        n *= (size_t)c->chunk[i];
    return n;
}

/* Large chunks are kept fewer at a time: about 64 MB in all. */
static int places(const Chunked *c)
{
    size_t n = ((size_t)1 << 26) / (chunked_bytes(c) + 1);
    return n < 1 ? 1 : n > CHUNKS_KEPT ? CHUNKS_KEPT : (int)n;
}

Err chunked_get(Chunked *c, const uint64_t *at, const Chunk **out)
{
    Chunk *oldest = &c->kept[0];
    size_t bytes = (size_t)c->rank * sizeof *at;
    int n = places(c);
    for (int i = 0; i < n; i++) {
        Chunk *k = &c->kept[i];
        if (k->valid && memcmp(k->at, at, bytes) == 0) {
            k->used = ++c->tick;
            *out = k;
            return OK;
        }
        if (k->used < oldest->used)
            oldest = k;
    }
    free(oldest->data);
    *oldest = (Chunk){0};
    TRY(c->load(c->array, at, &oldest->data, &oldest->n));
    memcpy(oldest->at, at, bytes);
    oldest->valid = true;
    oldest->used = ++c->tick;
    *out = oldest;
    return OK;
}

static double half_to_double(uint16_t h)
{
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double v = exponent == 0    ? ldexp(mantissa, -24)
               : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                : ldexp(mantissa + 1024, exponent - 25);
    return h >> 15 ? -v : v;
}

/* One element to the type asked for; integers go through int64 or uint64, so that none of them is
 * rounded. */
static void convert(const Chunked *a, const unsigned char *p, MemType type, unsigned char *out)
{
    unsigned char b[8] = {0};
    size_t size = a->element;
    for (size_t i = 0; i < size; i++)
        b[i] = a->big_endian ? p[size - 1 - i] : p[i];
    double real;
    int64_t whole;
    uint64_t u = 0;
    if (a->cls == ELEM_FLOAT) {
        float f;
        uint16_t h;
        memcpy(&f, b, 4);
        memcpy(&h, b, 2);
        memcpy(&real, b, 8);
        real = size == 2 ? half_to_double(h) : size == 4 ? (double)f : real;
        whole = real >= -9.2e18 && real <= 9.2e18 ? (int64_t)real : INT64_MIN;
        u = (uint64_t)whole;
    } else {
        memcpy(&u, b, 8);
        int shift = 64 - 8 * (int)size;
        whole = a->is_unsigned || a->cls == ELEM_BOOL ? (int64_t)u : (int64_t)(u << shift) >> shift;
        real = a->is_unsigned ? (double)u : (double)whole;
        if (a->is_unsigned && whole < 0)
            whole = INT64_MAX;
    }
    float single = (float)real;
    int32_t narrow = whole > INT32_MAX ? INT32_MAX : whole < INT32_MIN ? INT32_MIN : (int32_t)whole;
    int8_t byte = (int8_t)(whole > INT8_MAX ? INT8_MAX : whole < INT8_MIN ? INT8_MIN : whole);
    switch (type) {
    case MEM_I8:
        memcpy(out, &byte, 1);
        break;
    case MEM_I32:
        memcpy(out, &narrow, 4);
        break;
    case MEM_I64:
        memcpy(out, &whole, 8);
        break;
    case MEM_U64:
        memcpy(out, &u, 8);
        break;
    case MEM_F32:
        memcpy(out, &single, 4);
        break;
    default:
        memcpy(out, &real, 8);
    }
}

bool chunked_as_stored(const Chunked *a, MemType type)
{
    ElemClass cls = type == MEM_F32 || type == MEM_F64 ? ELEM_FLOAT : ELEM_INT;
    return !a->big_endian && a->cls == cls && a->element == mem_type_size(type) && a->is_unsigned == (type == MEM_U64);
}

void chunked_fill(const Chunked *a, size_t n, MemType type, void *out)
{
    size_t width = mem_type_size(type);
    float f = (float)a->fill;
    int64_t w = isfinite(a->fill) ? (int64_t)a->fill : 0;
    int32_t s = (int32_t)w;
    int8_t b = (int8_t)w;
    const void *v = type == MEM_F32   ? (void *)&f
                    : type == MEM_I64 || type == MEM_U64 ? (void *)&w
                    : type == MEM_I32 ? (void *)&s
                    : type == MEM_I8  ? (void *)&b
                                      : (void *)&a->fill;
    for (size_t i = 0; i < n; i++)
        memcpy((char *)out + i * width, v, width);
}

void chunked_convert(const Chunked *a, const unsigned char *p, size_t n, MemType type, void *out)
{
    size_t width = mem_type_size(type);
    if (chunked_as_stored(a, type)) {
        memcpy(out, p, n * width);
        return;
    }
    for (size_t i = 0; i < n; i++)
        convert(a, p + i * a->element, type, (unsigned char *)out + i * width);
}

/* A run of `n` elements along the last dimension; step: distance of neighbours in the chunk, in
 * elements. */
static void copy_run(const Chunked *a, const Chunk *c, size_t from, size_t step, size_t n,
                     MemType type, unsigned char *out)
{
    if (!c->data) {
        chunked_fill(a, n, type, out);
        return;
    }
    const unsigned char *p = c->data + from * a->element;
    if (step == 1)
        chunked_convert(a, p, n, type, out);
    else
        for (size_t i = 0; i < n; i++)
            convert(a, p + i * step * a->element, type, out + i * mem_type_size(type));
}

typedef struct Box {
    const uint64_t *start, *count;
    MemType type;
    unsigned char *out;
} Box;

/* Copies the part of the box that lies in the unit at these coordinates. */
static void copy_part(const Chunked *a, const Chunk *c, const Box *b)
{
    int rank = a->rank, last = rank - 1;
    uint64_t lo[STORE_MAX_RANK], hi[STORE_MAX_RANK], at[STORE_MAX_RANK];
    const uint64_t *u = a->chunk;
    size_t stride[STORE_MAX_RANK], s = 1;
    for (int k = 0; k < rank; k++) { /* C order: the last dimension is dense; F: the first */
        int i = a->fortran ? k : last - k;
        stride[i] = s;
        s *= (size_t)u[i];
    }
    for (int i = 0; i < rank; i++) {
        uint64_t first = c->at[i] * u[i];
        lo[i] = b->start[i] > first ? b->start[i] : first;
        hi[i] = b->start[i] + b->count[i] < first + u[i] ? b->start[i] + b->count[i] : first + u[i];
        at[i] = lo[i];
    }
    for (;;) {
        size_t from = 0, to = 0;
        for (int i = 0; i < rank; i++) {
            from += (size_t)(at[i] - c->at[i] * u[i]) * stride[i];
            to = to * (size_t)b->count[i] + (size_t)(at[i] - b->start[i]);
        }
        copy_run(a, c, from, stride[last], (size_t)(hi[last] - lo[last]), b->type,
                 b->out + to * mem_type_size(b->type));
        int i = last - 1;
        while (i >= 0 && ++at[i] == hi[i]) {
            at[i] = lo[i];
            i--;
        }
        if (i < 0)
            return;
    }
}

Err chunked_read(Chunked *a, const uint64_t *start, const uint64_t *count, MemType type, void *out)
{
    const Chunk *c;
    int rank = a->rank;
    if (!rank) {
        uint64_t none = 0;
        TRY(chunked_get(a, &none, &c));
        copy_run(a, c, 0, 1, 1, type, out);
        return OK;
    }
    Box box = {start, count, type, out};
    uint64_t first[STORE_MAX_RANK], end[STORE_MAX_RANK], at[STORE_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        at[i] = first[i] = start[i] / a->chunk[i];
        end[i] = (start[i] + count[i] - 1) / a->chunk[i] + 1;
    }
    for (;;) {
        TRY(chunked_get(a, at, &c));
        copy_part(a, c, &box);
        int i = rank - 1;
        while (i >= 0 && ++at[i] == end[i]) {
            at[i] = first[i];
            i--;
        }
        if (i < 0)
            return OK;
    }
}
