/* float32 weights packed once: W [n,k] becomes strips of as many columns as a tile has (64 with
 * AVX-512, 16 with AVX2), each k rows of contiguous numbers. A product goes strip by strip and, so
 * that a piece of a strip stays in the first cache, in pieces of k; sums over k are in one order
 * always. */
#include "gpu/cpu/panels.h"
#include <omp.h>
#include <stdlib.h>

enum { PIECE = 8192, GROUP = 512, BLOCK = 16 };

/* BLOCK rows of a strip; columns past the last are zero. */
static void pack_block(const Panels *p, int64_t strip, int64_t from, const float *w)
{
    int64_t cols = p->kernel->cols, to = from + BLOCK < p->k ? from + BLOCK : p->k;
    float *out = p->w + strip * p->k * cols;
    for (int64_t j = 0; j < cols; j++) {
        const float *row = strip * cols + j < p->n ? w + (strip * cols + j) * p->k : NULL;
        for (int64_t i = from; i < to; i++)
            out[i * cols + j] = row ? row[i] : 0.0f;
    }
}
Panels *panels_pack(int64_t n, int64_t k, const float *w)
{
    const TileKernel *kernel = cpu_tile_kernel();
    int64_t cols = kernel->cols, strips = (n + cols - 1) / cols;
    Panels *p = malloc(sizeof *p);
    if (!p)
        return NULL;
    *p = (Panels){.kernel = kernel, .n = n, .k = k, .piece = PIECE / cols};
    size_t bytes = (size_t)(strips * k * cols) * sizeof *p->w;
    p->w = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!p->w) {
        free(p);
        return NULL;
    }
    for (int64_t s = 0; s < strips; s++)
        for (int64_t i = 0; i < k; i += BLOCK)
            pack_block(p, s, i, w);
    return p;
}
void panels_free(Panels *p)
{
    if (p) {
        free(p->w);
        free(p->half);
    }
    free(p);
}

static void float_columns(const Panels *p, const PanelRun *r, int64_t from, int64_t to)
{
    bool relu = r->act == ACT_RELU;
    int64_t cols = p->kernel->cols;
    Tile t = {.lda = r->ldx, .ldb = cols, .ldc = r->ldy};
    for (int64_t j = from; j < to; j += cols) {
        t.cols = (int)(p->n - j < cols ? p->n - j : cols);
        t.bias = r->bias ? r->bias + j : NULL;
        for (int64_t k = 0; k < p->k || k == 0; k += p->piece) {
            t.k = p->k - k < p->piece ? p->k - k : p->piece;
            t.add = k > 0;
            t.relu = relu && k + t.k == p->k;
            t.b = p->w + j * p->k + k * cols;
            for (int64_t s = 0; s < r->strips; s++) {
                t.rows = r->strip[s].rows;
                t.a = r->x + strip_row(r, r->packed_x, s) * r->ldx + k;
                t.c = r->y + strip_row(r, r->packed_y, s) * r->ldy + j;
                p->kernel->run(&t);
            }
        }
    }
}
/* Columns [from, to) of the result, from at the beginning of a strip. */
static void run_columns(const Panels *p, const PanelRun *r, int64_t from, int64_t to)
{
    if (p->half)
        halves_columns(p, r, from, to);
    else
        float_columns(p, r, from, to);
    if (r->act == ACT_NONE || r->act == ACT_RELU)
        return;
    for (int64_t s = 0; s < r->strips; s++)
        for (int i = 0; i < r->strip[s].rows; i++) {
            float *y = r->y + (strip_row(r, r->packed_y, s) + i) * r->ldy + from;
            cpu_bias_act_row(to - from, NULL, r->act, y, y);
        }
}
void panels_run(const Panels *p, const PanelRun *r)
{
    run_columns(p, r, 0, p->n);
}

/* ---- many rows on all threads ---- */
typedef struct Job {
    const Panels *p;
    PanelRun run;
    int64_t m;
} Job;

static void run_piece(const Job *j, int64_t chunk, int64_t group)
{
    Strip strip[STRIPS];
    PanelRun r = j->run;
    r.strip = strip;
    for (int64_t row = chunk * STRIP_ROWS; row < j->m && r.strips < STRIPS; row += TILE_ROWS)
        strip[r.strips++] = (Strip){row, (int)(j->m - row < TILE_ROWS ? j->m - row : TILE_ROWS)};
    int64_t to = (group + 1) * GROUP;
    run_columns(j->p, &r, group * GROUP, to < j->p->n ? to : j->p->n);
}

void panels_linear(Device *d, int64_t m, const float *x, const Panels *p, const float *bias,
                   Act act, float *y)
{
    (void)d;
    Job j = {.p = p, .m = m};
    j.run = (PanelRun){.x = x, .bias = bias, .y = y, .ldx = p->k, .ldy = p->n, .act = act};
    int64_t groups = (p->n + GROUP - 1) / GROUP;
    int64_t n = (m + STRIP_ROWS - 1) / (STRIP_ROWS) * groups;
    bool alone = n == 1 || omp_get_max_threads() == 1 || m * p->n * p->k < 100000;
#pragma omp parallel for schedule(dynamic, 1) if (!alone)
    for (int64_t i = 0; i < n; i++)
        run_piece(&j, i / groups, i % groups);
}
