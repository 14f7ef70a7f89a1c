/* Laying out cells with hidden genes. */
#include "core/train/hidden_batch.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include <stdlib.h>
#include <string.h>

static const float CLS_VALUE = -2, HIDDEN_VALUE = -1, PAD_VALUE = -2;

static Err side_init(BatchSide *s, size_t n)
{
    TRY(NEW(s->gene, n));
    TRY(NEW(s->value, n));
    TRY(NEW(s->target, n));
    TRY(NEW(s->weight, n));
    return NEW(s->there, n);
}
static void side_done(BatchSide *s)
{
    free(s->gene);
    free(s->value);
    free(s->target);
    free(s->weight);
    free(s->there);
}

Err hidden_batch_init(size_t cells, size_t tokens, bool apart, HiddenBatch *b)
{
    *b = (HiddenBatch){.most = cells, .tokens = tokens, .apart = apart};
    TRY(side_init(&b->known, cells * tokens));
    TRY(side_init(&b->unknown, cells * tokens));
    TRY(NEW(b->visible, cells * (tokens + 1)));
    return NEW(b->choice, tokens);
}
void hidden_batch_done(HiddenBatch *b)
{
    side_done(&b->known);
    side_done(&b->unknown);
    free(b->visible);
    free(b->choice);
    *b = (HiddenBatch){0};
}

/* k of 0..n-1, ascending; all when k >= n. */
static size_t choose(Rng *r, size_t n, size_t k, int32_t *out)
{
    size_t m = 0;
    for (size_t i = 0; i < n && m < k; i++)
        if (k >= n || rng_below(r, n - i) < k - m)
            out[m++] = (int32_t)i;
    return m;
}

static void put(BatchSide *s, size_t row, size_t at, int32_t gene, float value, float target,
                bool predict)
{
    size_t i = row * s->width + at;
    s->gene[i] = gene;
    s->value[i] = value;
    s->target[i] = target;
    s->weight[i] = predict;
    s->there[i] = 1;
}

static void clear(BatchSide *s, size_t rows)
{
    size_t n = rows * s->width;
    for (size_t i = 0; i < n; i++) {
        s->gene[i] = -1;
        s->value[i] = PAD_VALUE;
    }
    memset(s->target, 0, n * sizeof *s->target);
    memset(s->weight, 0, n * sizeof *s->weight);
    memset(s->there, 0, n);
}

static size_t genes_of(const StreamCells *c, size_t i)
{
    return (size_t)(c->first[i + 1] - c->first[i]);
}

/* Widths that hold the longest cell. */
static void set_widths(HiddenBatch *b, const StreamCells *c, double ratio)
{
    b->known.width = 1;
    b->unknown.width = b->apart;
    for (size_t i = 0; i < b->b; i++) {
        size_t n = genes_of(c, i) < b->tokens - 1 ? genes_of(c, i) : b->tokens - 1,
               h = (size_t)((double)n * ratio), k = b->apart ? n - h : n;
        if (k + 1 > b->known.width)
            b->known.width = k + 1;
        if (b->apart && h > b->unknown.width)
            b->unknown.width = h;
    }
}

static void fill_cell(HiddenBatch *b, const StreamCells *c, size_t i, int32_t cls, double ratio,
                      Rng *r)
{
    size_t n = choose(r, genes_of(c, i), b->tokens - 1, b->choice), h = (size_t)((double)n * ratio);
    size_t at = 1, gone = 0;
    put(&b->known, i, 0, cls, CLS_VALUE, 0, false);
    for (size_t k = 0; k < n; k++) {
        size_t x = (size_t)c->first[i] + (size_t)b->choice[k];
        float v = c->value[x];
        bool hide = rng_below(r, n - k) < h - gone;
        gone += hide;
        if (hide && b->apart)
            put(&b->unknown, i, gone - 1, c->gene[x], 0, v, true);
        else
            put(&b->known, i, at++, c->gene[x], hide ? HIDDEN_VALUE : v, v, hide);
    }
}

void hidden_batch_fill(HiddenBatch *b, const StreamCells *cells, int32_t cls, double ratio,
                       uint64_t key, uint64_t first)
{
    b->b = cells->n;
    set_widths(b, cells, ratio);
    clear(&b->known, b->b);
    clear(&b->unknown, b->b);
    size_t k = b->known.width, u = b->unknown.width;
    for (size_t i = 0; i < b->b; i++) {
        Rng r = rng_make(key, first + i);
        fill_cell(b, cells, i, cls, ratio, &r);
        memcpy(b->visible + i * (k + u), b->known.there + i * k, k);
        memcpy(b->visible + i * (k + u) + k, b->unknown.there + i * u, u);
    }
}

const BatchSide *hidden_batch_side(const HiddenBatch *b)
{
    return b->apart ? &b->unknown : &b->known;
}

double hidden_batch_count(const HiddenBatch *b)
{
    const BatchSide *s = hidden_batch_side(b);
    double n = 0;
    for (size_t i = 0; i < b->b * s->width; i++)
        n += s->weight[i];
    return n;
}
