/* Prompts: the choice of a kernel, and the division into blocks of weights. */
#include "gpu/cpu/prompt.h"
#include <stdatomic.h>
#include <stdlib.h>

typedef struct Job {
    const PromptKernel *kernel;
    const StoredWeight *w;
    const float *x;
    float *y;
    PromptTokens p;
    atomic_bool failed;
} Job;

static void lay_out(void *ctx, int64_t panel)
{
    Job *j = ctx;
    j->kernel->lay_out(&j->p, j->w->type, j->x, panel);
}

/* tile[row][token] to y[token][row]. */
static void put(const float *tile, int64_t rows, int64_t tokens, float *y, int64_t n)
{
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t r = 0; r < rows; r++)
            y[t * n + r] = tile[r * PANEL + t];
}

static void one_block(void *ctx, int64_t block)
{
    _Alignas(64) float tile[BLOCK * PANEL];
    Job *j = ctx;
    const StoredWeight *w = j->w;
    int64_t from = block * BLOCK, rows = w->n - from < BLOCK ? w->n - from : BLOCK;
    void *ready = aligned_alloc(64, (size_t)(BLOCK * w->k * j->kernel->ready_bytes + 63) & ~63ul);
    bool ok = ready != NULL;
    if (ok && j->kernel->ready(w, from, rows, ready)) {
        for (int64_t p = 0; p < j->p.count; p++) {
            int64_t tokens = j->p.m - p * PANEL < PANEL ? j->p.m - p * PANEL : PANEL;
            j->kernel->multiply(w, from, rows, ready, &j->p, p, tile);
            put(tile, rows, tokens, j->y + p * PANEL * w->n + from, w->n);
        }
    } else if (ok) {
        ok = stored_exact_rows(w, from, rows, j->p.m, j->x, j->y + from);
    }
    if (!ok)
        atomic_store(&j->failed, true);
    free(ready);
}

static const PromptKernel *choose(const StoredWeight *w)
{
    bool whole = w->type == STORED_Q8 || w->type == STORED_Q4;
    if (w->k % STORED_GROUP || w->type == STORED_F32)
        return NULL;
    if (whole)
        return quant_tier() == &quant_vnni ? &prompt_int8 : NULL;
    return quant_tier() == &quant_vnni && prompt_half.runs_here() ? &prompt_half : NULL;
}

bool prompt_linear(Device *d, int64_t m, const float *x, const StoredWeight *w, float *y)
{
    if (w->type != STORED_F32 && prompt_bf16(d, m, x, w, y))
        return true;
    Job j = {.kernel = choose(w), .w = w, .x = x, .y = y};
    if (!j.kernel)
        return false;
    j.p = (PromptTokens){.m = m, .k = w->k, .count = panel_count(m)};
    void *memory = cpu_scratch(d, (size_t)j.kernel->bytes(m, w->k));
    if (!memory)
        return true; /* the failure is latched */
    j.kernel->places(&j.p, memory);
    cpu_share(j.p.count, lay_out, &j);
    cpu_share((w->n + BLOCK - 1) / BLOCK, one_block, &j);
    if (atomic_load(&j.failed))
        cpu_fail(d, ERR_NOMEM, "no memory for a block of weights");
    return true;
}
