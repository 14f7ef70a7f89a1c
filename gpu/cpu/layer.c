/* A whole transformer layer of inference in one pass over memory. Products, attention and norms of
 * some rows follow one another while the rows are in the processor's cache, and rows at padding are
 * left out. Small layers (a cell of the shipped model) go sequence by sequence, one to a thread.
 * Large ones go in three sweeps that all threads share: q, k, v; attention; the rest. Either way
 * every number is the sum of the same terms in the same order. */
#include "gpu/cpu/cpu.h"
#include "core/device/encoder.h"
#include <omp.h>
#include <stdlib.h>

enum {
    CHUNK = 16,                  /* strips that pass through the feed-forward part together */
    CHUNK_ROWS = CHUNK * TILE_ROWS,
    SMALL_WEIGHTS = 1 << 18,     /* floats: a layer that stays in a core's own cache ... */
    SMALL_SEQUENCE = 1 << 17,    /* ... with q, k, v and the rest of one sequence */
};

/* Where the values of some sequences lie; rows are counted from the first of them. */
typedef struct Sweep {
    const EncoderLayer *e;
    const Panels *q, *k, *v, *out, *ff1, *ff2;
    const float *x;
    float *y, *qkv, *attn;
} Sweep;

static int64_t used(const EncoderLayer *e, int64_t b)
{
    int64_t n = e->len ? e->len[b] : e->tokens;
    return n < 0 ? 0 : n < e->tokens ? n : e->tokens;
}

/* The strips of sequence b, whose first row is number `from`; returns how many. */
static int64_t list_strips(const EncoderLayer *e, int64_t b, int64_t from, Strip *s)
{
    int64_t n = used(e, b), count = 0;
    for (int64_t i = 0; i < n; i += TILE_ROWS)
        s[count++] = (Strip){from + i, (int)(n - i < TILE_ROWS ? n - i : TILE_ROWS)};
    return count;
}

static void project(const Sweep *s, const Strip *strip, int64_t strips)
{
    const EncoderLayer *e = s->e;
    int64_t w = e->width;
    PanelRun r = {.strip = strip, .strips = strips, .x = s->x, .ldx = w, .ldy = 3 * w};
    r.y = s->qkv;
    r.bias = e->q.bias;
    panels_run(s->q, &r);
    if (!s->k)
        return;
    r.y = s->qkv + w;
    r.bias = e->k.bias;
    panels_run(s->k, &r);
    r.y = s->qkv + 2 * w;
    r.bias = e->v.bias;
    panels_run(s->v, &r);
}

/* Sequence b, whose first row is number `from`, as an attention of its own. */
static Attention attention_of(const Sweep *s, int64_t b, int64_t from)
{
    const EncoderLayer *e = s->e;
    int64_t w = e->width, n = used(e, b);
    const float *q = s->qkv + from * 3 * w;
    return (Attention){.batch = 1,
                       .heads = e->heads,
                       .kv_heads = e->heads,
                       .tq = n,
                       .tk = n,
                       .dim = w / e->heads,
                       .q = q,
                       .k = q + w,
                       .v = q + 2 * w,
                       .ldq = 3 * w,
                       .ldk = 3 * w,
                       .ldv = 3 * w,
                       .out = s->attn + from * w,
                       .ldo = w,
                       .scale = e->scale,
                       .key_mask = e->key_mask ? e->key_mask + b * e->tokens : NULL};
}

/* Floats that finish() works in. */
static int64_t finish_floats(const EncoderLayer *e)
{
    return CHUNK_ROWS * (2 * e->width + e->ffn);
}
/* From attention to the layer's result, for up to CHUNK strips. */
static void finish(const Sweep *s, const Strip *strip, int64_t strips, float *work)
{
    const EncoderLayer *e = s->e;
    int64_t w = e->width;
    float *sum = work, *h = sum + CHUNK_ROWS * w, *f = h + CHUNK_ROWS * w;
    PanelRun r = {.strip = strip, .strips = strips, .packed_y = true};
    r.x = s->attn, r.ldx = w, r.y = sum, r.ldy = w, r.bias = e->out.bias;
    panels_run(s->out, &r);
    for (int64_t i = 0; i < strips; i++)
        for (int64_t j = 0, at = i * TILE_ROWS; j < strip[i].rows; j++, at++)
            cpu_add_norm_row(w, e->eps, s->x + (strip[i].row + j) * w, sum + at * w, e->gamma1,
                             e->beta1, h + at * w);
    r.packed_x = true;
    r.x = h, r.y = f, r.ldy = e->ffn, r.bias = e->ff1.bias, r.act = e->act;
    panels_run(s->ff1, &r);
    r.x = f, r.ldx = e->ffn, r.y = sum, r.ldy = w, r.bias = e->ff2.bias, r.act = ACT_NONE;
    panels_run(s->ff2, &r);
    for (int64_t i = 0; i < strips; i++)
        for (int64_t j = 0, at = i * TILE_ROWS; j < strip[i].rows; j++, at++)
            cpu_add_norm_row(w, e->eps, h + at * w, sum + at * w, e->gamma2, e->beta2,
                             s->y + (strip[i].row + j) * w);
}

/* ---- one sequence at a time ---- */
static void run_sequence(Sweep s, int64_t b, Strip *strip, float *work)
{
    const EncoderLayer *e = s.e;
    int64_t n = e->tokens * e->width;
    s.qkv = work;
    s.attn = work + 3 * n;
    s.x = e->x + b * n;
    s.y = e->y + b * n;
    int64_t strips = list_strips(e, b, 0, strip);
    project(&s, strip, strips);
    Attention a = attention_of(&s, b, 0);
    for (int64_t i = 0, units = cpu_attention_units(&a); i < units; i++)
        cpu_attention_unit(&a, i);
    for (int64_t i = 0; i < strips; i += CHUNK)
        finish(&s, strip + i, strips - i < CHUNK ? strips - i : CHUNK, work + 4 * n);
}
static void run_small(Device *d, const Sweep *s, int threads)
{
    const EncoderLayer *e = s->e;
    int64_t strips = (e->tokens + TILE_ROWS - 1) / TILE_ROWS;
    int64_t each = 4 * e->tokens * e->width + finish_floats(e);
    size_t bytes = (size_t)each * sizeof(float) + (size_t)strips * sizeof(Strip);
    bytes = (bytes + 63) / 64 * 64;
    char *work = cpu_scratch(d, (size_t)threads * bytes);
    if (!work)
        return;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t b = 0; b < e->batch; b++) {
        char *own = work + (size_t)omp_get_thread_num() * bytes;
        run_sequence(*s, b, (Strip *)(void *)(own + (size_t)each * sizeof(float)),
                     (float *)(void *)own);
    }
}

/* ---- all sequences together ---- */
static void run_large(Device *d, Sweep *s, int threads)
{
    const EncoderLayer *e = s->e;
    int64_t per = (e->tokens + TILE_ROWS - 1) / TILE_ROWS, strips = 0;
    size_t list = ((size_t)(e->batch * per) * sizeof(Strip) + 63) / 64 * 64;
    size_t bytes = (size_t)finish_floats(e) * sizeof(float);
    char *work = cpu_scratch(d, list + (size_t)threads * bytes);
    if (!work)
        return;
    Strip *strip = (Strip *)(void *)work;
    for (int64_t b = 0; b < e->batch; b++)
        strips += list_strips(e, b, b * e->tokens, strip + strips);
    s->qkv = e->work;
    s->attn = e->work + 3 * e->batch * e->tokens * e->width;
    s->x = e->x;
    s->y = e->y;
    int64_t chunks = (strips + CHUNK - 1) / CHUNK;
    Attention whole = {.batch = 1, .heads = e->heads, .tq = e->tokens};
    int64_t units = cpu_attention_units(&whole);
#pragma omp parallel num_threads(threads)
    {
        float *own = (float *)(void *)(work + list + (size_t)omp_get_thread_num() * bytes);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < chunks; i++)
            project(s, strip + i * CHUNK, strips - i * CHUNK < CHUNK ? strips - i * CHUNK : CHUNK);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < e->batch * units; i++) {
            Attention a = attention_of(s, i / units, i / units * e->tokens);
            if (i % units < cpu_attention_units(&a))
                cpu_attention_unit(&a, i % units);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < chunks; i++)
            finish(s, strip + i * CHUNK, strips - i * CHUNK < CHUNK ? strips - i * CHUNK : CHUNK,
                   own);
    }
}

void cpu_encoder_layer(Device *d, const EncoderLayer *e)
{
    Sweep s = {.e = e,
               .q = cpu_packed_panels(e->q.w),
               .out = cpu_packed_panels(e->out.w),
               .ff1 = cpu_packed_panels(e->ff1.w),
               .ff2 = cpu_packed_panels(e->ff2.w)};
    if (e->k.w) {
        s.k = cpu_packed_panels(e->k.w);
        s.v = cpu_packed_panels(e->v.w);
    }
    if (!s.q || !s.out || !s.ff1 || !s.ff2 || (e->k.w && (!s.k || !s.v))) {
        encoder_layer_by_parts(d, e);
        return;
    }
    int64_t w = e->width, n = e->tokens * w;
    for (int64_t b = 0; b < e->batch; b++)
        memset(e->y + b * n + used(e, b) * w, 0, (size_t)(n - used(e, b) * w) * sizeof *e->y);
    int threads = omp_get_max_threads();
    bool tiny = e->batch * n * (4 * w + 2 * e->ffn) < 1000000;
    if (4 * w * w + 2 * w * e->ffn <= SMALL_WEIGHTS && 4 * n <= SMALL_SEQUENCE &&
        (e->batch >= threads || tiny))
        run_small(d, &s, tiny ? 1 : threads);
    else
        run_large(d, &s, tiny ? 1 : threads);
}
