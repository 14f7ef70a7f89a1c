/* Disc stamps: coverage masks for 4 x 4 sub-pixel phases, blended over the image. */
#include "core/figure/points.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/mem.h"

enum { PHASES = 4, SAMPLES = 4 };

struct Stamps {
    int size, origin; /* masks are size x size, the centre pixel is (origin, origin) */
    uint8_t *mask;    /* [PHASES * PHASES, size, size] */
};

Err point_image_init(PointImage *p, int w, int h)
{
    *p = (PointImage){.w = w, .h = h, .stride = (size_t)w};
    return mem_calloc(&p->argb, (size_t)w * (size_t)h, sizeof *p->argb);
}

void point_image_done(PointImage *p)
{
    free(p->argb);
    *p = (PointImage){0};
}

/* Is the point (dx, dy) from the centre inside the glyph of radius r? */
static bool in_glyph(int glyph, double dx, double dy, double inner, double r)
{
    double ax = fabs(dx), ay = fabs(dy), r2 = dx * dx + dy * dy;
    switch (glyph) {
    case 2:
        return ax <= r * 0.89 && ay <= r * 0.89; /* the area of the disc */
    case 3:
        return ax + ay <= r * 1.25;
    case 4:
        return dy <= r * 0.9 && dy >= -r * 1.1 && ax <= (dy + r * 1.1) * 0.6;
    case 5:
        return fmax(ax, ay) <= r && fabs(ax - ay) <= fmax(0.6, r * 0.4);
    case 6:
        return in_glyph(4, dx, -dy, inner, r);
    case 7:
        return fmax(ax, ay) <= r * 1.15 && fmin(ax, ay) <= fmax(0.4, r * 0.3);
    default:
        return r2 <= r * r && r2 >= inner * inner;
    }
}

/* Share of pixel (px, py) that the glyph around (cx, cy) covers. */
static uint8_t coverage(int glyph, int px, int py, double cx, double cy, double inner, double r)
{
    int hits = 0;
    for (int j = 0; j < SAMPLES; j++)
        for (int i = 0; i < SAMPLES; i++)
            hits += in_glyph(glyph, px + (i + 0.5) / SAMPLES - cx, py + (j + 0.5) / SAMPLES - cy, inner, r);
    return (uint8_t)(hits * 255 / (SAMPLES * SAMPLES));
}

Err stamps_new(int glyph, double diameter, double stroke, Stamps **out)
{
    Err err = OK;
    Stamps *s = mem_must(sizeof *s);
    double r = fmax(diameter / 2, 0.36), inner = stroke > 0 ? fmax(0, r - fmax(0.7, stroke)) : 0;
    s->origin = (int)ceil(r * 1.25) + 1;
    s->size = 2 * s->origin + 1;
    TRY_GOTO(NEW(s->mask, (size_t)(PHASES * PHASES * s->size * s->size)));
    uint8_t *m = s->mask;
    for (int phase = 0; phase < PHASES * PHASES; phase++)
        for (int y = 0; y < s->size; y++)
            for (int x = 0; x < s->size; x++)
                *m++ = coverage(glyph, x, y, s->origin + (phase % PHASES + 0.5) / PHASES,
                                s->origin + (phase / PHASES + 0.5) / PHASES, inner, r);
    *out = s;
    s = NULL;
done:
    stamps_free(s);
    return err;
}

void stamps_free(Stamps *s)
{
    if (!s)
        return;
    free(s->mask);
    free(s);
}

static uint32_t over(uint32_t rgb, uint32_t a, uint32_t below)
{
    uint32_t out = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        uint32_t top = shift == 24 ? 255 : rgb >> shift & 255;
        out |= ((top * a + (below >> shift & 255) * (255 - a) + 127) / 255) << shift;
    }
    return out;
}

void point_image_stamp(PointImage *p, const Stamps *s, double x, double y, uint32_t rgb)
{
    if (!(x > -1e6 && x < 1e6 && y > -1e6 && y < 1e6))
        return;
    int px = (int)floor(x), py = (int)floor(y);
    int phase = (int)((y - py) * PHASES) * PHASES + (int)((x - px) * PHASES);
    const uint8_t *m = s->mask + (size_t)phase * (size_t)(s->size * s->size);
    for (int j = 0; j < s->size; j++) {
        int at_y = py - s->origin + j;
        if (at_y < 0 || at_y >= p->h)
            continue;
        uint32_t *row = p->argb + (size_t)at_y * p->stride;
        for (int i = 0; i < s->size; i++) {
            int at_x = px - s->origin + i;
            uint32_t a = m[j * s->size + i];
            if (a && at_x >= 0 && at_x < p->w)
                row[at_x] = a == 255 ? 0xFF000000u | rgb : over(rgb, a, row[at_x]);
        }
    }
}
