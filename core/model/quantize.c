/* Quantising rows, and finding stored matrices in a file. */
#include "core/model/quantize.h"
#include "core/base/half.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

bool quantize_parse(const char *word, StoredType *out)
{
    *out = strcmp(word, "q4") == 0 ? STORED_Q4 : STORED_Q8;
    return strcmp(word, "q8") == 0 || strcmp(word, "q4") == 0;
}

bool quantize_takes(int ndim, const int64_t *dim)
{
    return ndim == 2 && dim[1] > 0 && dim[1] % STORED_GROUP == 0;
}

static int code(float x, float inverse, int lo, int hi)
{
    float v = x * inverse;
    int q = (int)lrintf(v < -1000 ? -1000 : v > 1000 ? 1000 : v);
    return q < lo ? lo : q > hi ? hi : q;
}

/* Squared error of a group of Q4 with this scale (as stored). */
static double q4_error(const float *w, float scale)
{
    double e = 0;
    for (int i = 0; i < STORED_GROUP; i++) {
        double d = (double)w[i] - (double)scale * code(w[i], 1 / scale, -8, 7);
        e += d * d;
    }
    return e;
}

/* The code -8 reaches one step further than 7, so the largest weight may take either end. */
static uint16_t q4_scale(const float *w)
{
    float top = 0;
    for (int i = 0; i < STORED_GROUP; i++)
        top = fabsf(w[i]) > fabsf(top) ? w[i] : top;
    if (!(fabsf(top) > 0) || !isfinite(top))
        return 0;
    uint16_t best = 0;
    double least = INFINITY;
    for (int side = -1; side <= 1; side += 2)
        for (int i = 0; i < 12; i++) {
            uint16_t h = st_float_to_half((float)side * top / (6.2f + 0.2f * (float)i));
            float s = half_to_float(h);
            double e = s != 0 ? q4_error(w, s) : INFINITY;
            if (e < least) {
                least = e;
                best = h;
            }
        }
    return best;
}

static void quantize_q4(int64_t k, const float *w, uint8_t *q, uint16_t *scale)
{
    for (int64_t g = 0; g < k / STORED_GROUP; g++, w += STORED_GROUP, q += STORED_GROUP / 2) {
        scale[g] = q4_scale(w);
        float s = half_to_float(scale[g]), inverse = s != 0 ? 1 / s : 0;
        for (int i = 0; i < STORED_GROUP / 2; i++) {
            int low = code(w[i], inverse, -8, 7) + 8;
            int high = code(w[i + STORED_GROUP / 2], inverse, -8, 7) + 8;
            q[i] = (uint8_t)(low | high << 4);
        }
    }
}

static void quantize_q8(int64_t k, const float *w, int8_t *q, uint16_t *scale)
{
    for (int64_t g = 0; g < k / STORED_GROUP; g++, w += STORED_GROUP, q += STORED_GROUP) {
        float top = 0;
        for (int i = 0; i < STORED_GROUP; i++)
            top = fmaxf(top, fabsf(w[i]));
        scale[g] = isfinite(top) ? st_float_to_half(top / 127) : 0;
        float s = half_to_float(scale[g]), inverse = s > 0 ? 1 / s : 0;
        for (int i = 0; i < STORED_GROUP; i++)
            q[i] = (int8_t)code(w[i], inverse, -127, 127);
    }
}

void quantize_row(StoredType type, int64_t k, const float *w, void *q, uint16_t *scale)
{
    if (type == STORED_Q4)
        quantize_q4(k, w, q, scale);
    else
        quantize_q8(k, w, q, scale);
}

void dequantize_row(StoredType type, int64_t k, const void *q, const uint16_t *scale, float *w)
{
    const uint8_t *b = q;
    for (int64_t i = 0; i < k; i++) {
        int64_t g = i / STORED_GROUP, j = i % STORED_GROUP, half = STORED_GROUP / 2;
        int v = (int8_t)b[i];
        uint16_t s;
        if (type == STORED_Q4)
            v = (b[g * half + j % half] >> (j < half ? 0 : 4) & 15) - 8;
        memcpy(&s, scale + g, 2);
        w[i] = (float)v * half_to_float(s);
    }
}

/* ---- in files ---- */

static const StTensor *scales_of(const StFile *f, const StTensor *t)
{
    char name[512];
    snprintf(name, sizeof name, "%s.scale", t->name);
    return st_find(f, name);
}

/* The kind of quantisation of t for a matrix of this shape. */
static bool quantized(const StFile *f, const StTensor *t, const int64_t *dim, StoredWeight *out)
{
    StoredType type = t->type == ST_U8 ? STORED_Q4 : STORED_Q8;
    if ((t->type != ST_U8 && t->type != ST_I8) || t->ndim != 2 || !quantize_takes(2, dim))
        return false;
    const StTensor *s = scales_of(f, t);
    if (!s || s->type != ST_F16 || s->ndim != 2 || s->dim[0] != dim[0] ||
        s->dim[1] != dim[1] / STORED_GROUP)
        return false;
    if (t->dim[0] != dim[0] || t->dim[1] != (type == STORED_Q4 ? dim[1] / 2 : dim[1]))
        return false;
    *out =
        (StoredWeight){.type = type, .n = dim[0], .k = dim[1], .data = t->data, .scale = s->data};
    return true;
}

bool stored_fits(const StFile *f, const StTensor *t, int ndim, const int64_t *dim)
{
    StoredWeight w;
    if (ndim == 2 && quantized(f, t, dim, &w))
        return true;
    bool same = t->ndim == ndim;
    for (int d = 0; same && d < ndim; d++)
        same = t->dim[d] == dim[d];
    return same;
}

bool stored_from_file(const StFile *f, const StTensor *t, const int64_t *dim, StoredWeight *out)
{
    if (quantized(f, t, dim, out))
        return true;
    StoredType type = t->type == ST_F32    ? STORED_F32
                      : t->type == ST_F16  ? STORED_F16
                      : t->type == ST_BF16 ? STORED_BF16
                                           : STORED_TYPES;
    *out = (StoredWeight){.type = type, .n = dim[0], .k = dim[1], .data = t->data};
    return type != STORED_TYPES;
}
