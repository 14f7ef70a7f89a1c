/* Products of stored weights with many rows of x (prompts), x rounded: STORED_FAST. Rows of x are
 * called tokens here. They are laid out once so that a vector holds the same few numbers of 16
 * tokens; weights are read once, 32 rows at a time, made ready in the cache and broadcast. */
#ifndef SCMM_GPU_CPU_PROMPT_H
#define SCMM_GPU_CPU_PROMPT_H
#include "gpu/cpu/quant.h"

/* PANEL tokens in three vectors are one panel; PART numbers of each are used before the next PART,
 * so that a panel's stay in the first cache. */
enum { LANES = 16, PANEL = 3 * LANES, BLOCK = 32, PART = 512 };

/* x laid out. int8: [panel][k/4][vectors][16 tokens][4], scales and -offset*sums [panel][group]
 * [vectors][16]. Half precision: [panel][k/2][vectors][16][2], one scale a token. vectors is 3 but
 * for the last panel. */
typedef struct PromptTokens {
    int64_t m, k, count;
    void *x;
    float *scale;
    int32_t *start;
} PromptTokens;
static inline int64_t panel_vectors(int64_t m, int64_t panel)
{
    int64_t left = (m - panel * PANEL + LANES - 1) / LANES;
    return left < 3 ? left : 3;
}

static inline int64_t panel_count(int64_t m)
{
    return (m + PANEL - 1) / PANEL;
}

/* One kind of kernel. */
typedef struct PromptKernel {
    const char *name;
    bool (*runs_here)(void);
    int64_t (*bytes)(int64_t m, int64_t k); /* of working memory for the panels */
    void (*places)(PromptTokens *p, void *memory);
    void (*lay_out)(const PromptTokens *p, StoredType type, const float *x, int64_t panel);
    int64_t ready_bytes; /* of a weight that was made ready */
    /* Rows from..from+rows-1 (at most BLOCK) into `ready`; false: these weights are out of range.
     */
    bool (*ready)(const StoredWeight *w, int64_t from, int64_t rows, void *ready);
    /* tile[BLOCK][PANEL] = products of the ready rows with a panel. */
    void (*multiply)(const StoredWeight *w, int64_t from, int64_t rows, const void *ready,
                     const PromptTokens *p, int64_t panel, float *tile);
} PromptKernel;
extern const PromptKernel prompt_int8, prompt_half;

/* y[m,n] = x W^T. False when no kernel of this processor gains by it, and nothing was done. */
bool prompt_linear(Device *d, int64_t m, const float *x, const StoredWeight *w, float *y);
/* The same in bf16 through oneDNN, where the processor has tiles (AMX); prompt_bf16.c. */
bool prompt_bf16(Device *d, int64_t m, const float *x, const StoredWeight *w, float *y);
/* One block exactly, in float32 (quant.c); false: no memory. */
bool stored_exact_rows(const StoredWeight *w, int64_t from, int64_t rows, int64_t m, const float *x,
                       float *y);
#endif
