/* Products with stored weights in plain C: what every processor can do, and what the others are
 * compared with. Sums of whole numbers are exact, so the tiers differ only in the order of their
 * float32 sums. */
#include "gpu/cpu/quant.h"

static void plain_f32(const Dots *d)
{
    for (int64_t r = 0; r < d->rows; r++)
        for (int64_t i = 0; i < d->x.m; i++) {
            const char *w = (const char *)d->w + r * d->k * 4;
            const float *x = d->x.x + i * d->k;
            float s = 0;
            for (int64_t c = 0; c < d->k; c++) {
                float v;
                memcpy(&v, w + c * 4, 4);
                s += v * x[c];
            }
            d->y[i * d->ldy + r] = s;
        }
}

#define PLAIN_TWO_BYTES(name, widen)                                                               \
    static void name(const Dots *d)                                                                \
    {                                                                                              \
        for (int64_t r = 0; r < d->rows; r++)                                                      \
            for (int64_t i = 0; i < d->x.m; i++) {                                                 \
                const char *w = (const char *)d->w + r * d->k * 2;                                 \
                const float *x = d->x.x + i * d->k;                                                \
                float s = 0;                                                                       \
                for (int64_t c = 0; c < d->k; c++) {                                               \
                    uint16_t h;                                                                    \
                    memcpy(&h, w + c * 2, 2);                                                      \
                    s += widen(h) * x[c];                                                          \
                }                                                                                  \
                d->y[i * d->ldy + r] = s;                                                          \
            }                                                                                      \
    }
PLAIN_TWO_BYTES(plain_f16, half_to_float)
PLAIN_TWO_BYTES(plain_bf16, bf16_to_float)

static int32_t group_q8(const int8_t *w, const int8_t *x)
{
    int32_t s = 0;
    for (int j = 0; j < GROUP; j++)
        s += w[j] * x[j];
    return s;
}
static int32_t group_q4(const uint8_t *w, const int8_t *x)
{
    int32_t s = 0;
    for (int j = 0; j < GROUP / 2; j++)
        s += ((w[j] & 15) - 8) * x[j] + ((w[j] >> 4) - 8) * x[j + GROUP / 2];
    return s;
}

static void plain_q8(const Dots *d)
{
    int64_t groups = d->k / GROUP;
    for (int64_t r = 0; r < d->rows; r++)
        for (int64_t i = 0; i < d->x.m; i++) {
            float s = 0;
            for (int64_t g = 0; g < groups; g++)
                s += dot_scale(d->scale + r * groups + g) * d->x.scale[i * groups + g] *
                     (float)group_q8((const int8_t *)d->w + r * d->k + g * GROUP,
                                     d->x.q + i * d->k + g * GROUP);
            d->y[i * d->ldy + r] = s;
        }
}
static void plain_q4(const Dots *d)
{
    int64_t groups = d->k / GROUP;
    for (int64_t r = 0; r < d->rows; r++)
        for (int64_t i = 0; i < d->x.m; i++) {
            float s = 0;
            for (int64_t g = 0; g < groups; g++)
                s += dot_scale(d->scale + r * groups + g) * d->x.scale[i * groups + g] *
                     (float)group_q4((const uint8_t *)d->w + (r * groups + g) * (GROUP / 2),
                                     d->x.q + i * d->k + g * GROUP);
            d->y[i * d->ldy + r] = s;
        }
}

const QuantTier quant_plain = {
    .name = "plain",
    .dots = {plain_f32, plain_f16, plain_bf16, plain_q8, plain_q4},
};
