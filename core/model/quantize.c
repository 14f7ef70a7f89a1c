/* Quantising rows, and finding stored matrices in a file. */
#pragma GCC optimize("O3,no-math-errno")
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

static bool in_groups(const int64_t *dim)
{
    return dim[1] > 0 && dim[1] % STORED_GROUP == 0;
}

StoredType quantize_as(StoredType asked, const char *name, int ndim, const int64_t *dim)
{
    if (asked < STORED_Q8 || ndim != 2 || !in_groups(dim))
        return STORED_F32;
    bool table =
        strcmp(name, "model.embed_tokens.weight") == 0 || strcmp(name, "lm_head.weight") == 0;
    return table ? STORED_Q8 : asked;
}

/* Nearest whole number within [lo,hi]; the sum with 1.5 * 2^23 rounds as the processor does. */
static inline float nearest(float x, float lo, float hi)
{
    x = x < lo ? lo : x > hi ? hi : x;
    return (x + 12582912.0f) - 12582912.0f;
}

/* Squared error of a group of Q4 with this scale (as stored). */
static float q4_error(const float *w, float scale)
{
    float e = 0, inverse = 1 / scale;
    for (int i = 0; i < STORED_GROUP; i++) {
        float d = w[i] - scale * nearest(w[i] * inverse, -8, 7);
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
    float least = INFINITY;
    for (int side = -1; side <= 1; side += 2)
        for (int i = 0; i < 12; i++) {
            uint16_t h = st_float_to_half((float)side * top / (6.2f + 0.2f * (float)i));
            float s = half_to_float(h), e = s != 0 ? q4_error(w, s) : INFINITY;
            if (e < least) {
                least = e;
                best = h;
            }
        }
    return best;
}

void quantize_scales(StoredType type, int64_t k, const float *w, uint16_t *scale)
{
    for (int64_t g = 0; g < k / STORED_GROUP; g++, w += STORED_GROUP) {
        float top = 0;
        for (int i = 0; i < STORED_GROUP; i++)
            top = fmaxf(top, fabsf(w[i]));
        scale[g] = type == STORED_Q4 ? q4_scale(w)
                   : isfinite(top)   ? st_float_to_half(top / 127)
                                     : 0;
    }
}

void quantize_codes(StoredType type, int64_t k, const float *w, const uint16_t *scale, void *q)
{
    uint8_t *out = q;
    for (int64_t g = 0; g < k / STORED_GROUP; g++, w += STORED_GROUP) {
        float s = half_to_float(scale[g]), inverse = s != 0 ? 1 / s : 0;
        for (int i = 0; i < STORED_GROUP / 2; i++) {
            if (type == STORED_Q4) {
                int low = (int)nearest(w[i] * inverse, -8, 7) + 8;
                int high = (int)nearest(w[i + STORED_GROUP / 2] * inverse, -8, 7) + 8;
                *out++ = (uint8_t)(low | high << 4);
            } else {
                *out++ = (uint8_t)(int8_t)nearest(w[2 * i] * inverse, -127, 127);
                *out++ = (uint8_t)(int8_t)nearest(w[2 * i + 1] * inverse, -127, 127);
            }
        }
    }
}

void dequantize_row(StoredType type, int64_t k, const void *q, const void *scale, float *w)
{
    const uint8_t *b = q;
    for (int64_t i = 0; i < k; i++) {
        int64_t g = i / STORED_GROUP, j = i % STORED_GROUP, half = STORED_GROUP / 2;
        uint16_t s;
        int v = type == STORED_Q4 ? (b[g * half + j % half] >> (j < half ? 0 : 4) & 15) - 8
                                  : (int8_t)b[i];
        memcpy(&s, (const char *)scale + 2 * g, 2);
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
    if ((t->type != ST_U8 && t->type != ST_I8) || t->ndim != 2 || !in_groups(dim))
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

bool dequantize_tensor(const StFile *f, const StTensor *t, float *out)
{
    StoredWeight w;
    if (t->ndim != 2)
        return false;
    int64_t dim[2] = {t->dim[0], t->type == ST_U8 ? 2 * t->dim[1] : t->dim[1]};
    if (!quantized(f, t, dim, &w))
        return false;
    size_t row = t->bytes / (size_t)(w.n > 0 ? w.n : 1);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < w.n; r++)
        dequantize_row(w.type, w.k, (const char *)w.data + (size_t)r * row,
                       (const char *)w.scale + (size_t)(r * (w.k / STORED_GROUP)) * 2,
                       out + r * w.k);
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
