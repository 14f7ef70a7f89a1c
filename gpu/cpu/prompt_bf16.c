/* Prompts in bfloat16 through oneDNN, where the processor multiplies bfloat16 in tiles (AMX); there
 * this is several times as fast as anything else. Y^T = W X^T: the weights are the left factor,
 * whose plain rows oneDNN takes as they are (bfloat16 ones straight from the file), and x, the
 * small side, is put into oneDNN's own layout once. SCMMGPT_CPU_BF16=1 takes this way on AVX-512
 * bf16 too (slower there; for tests). */
#include "gpu/cpu/prompt.h"
#include "gpu/cpu/onednn.h"
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ROWS = 64, STEP = 64, MOST = 512, CACHE = 24 };

typedef struct Product { /* [ROWS,k] by [k,n] */
    int64_t k, n;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t run;
} Product;

static struct {
    pthread_mutex_t busy;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    Product product[CACHE];
    int count, next;
} state = {.busy = PTHREAD_MUTEX_INITIALIZER};

static bool wanted(void)
{
    static atomic_int known; /* 0: not looked yet, 1 no, 2 yes */
    if (!atomic_load(&known))
        atomic_store(&known, onednn_pays() ? 2 : 1);
    return atomic_load(&known) == 2 && quant_tier() == &quant_vnni;
}

static void forget(Product *p)
{
    if (p->run)
        dnnl_primitive_destroy(p->run);
    if (p->desc)
        dnnl_primitive_desc_destroy(p->desc);
    *p = (Product){0};
}

static bool compile(Product *p, int64_t k, int64_t n)
{
    *p = (Product){.k = k, .n = n};
    bool ok = onednn_product(state.engine, ROWS, n, k, NULL, &p->desc) && dnnl_primitive_create(&p->run, p->desc) == dnnl_success;
    if (!ok)
        forget(p);
    return ok;
}

static const Product *find(int64_t k, int64_t n)
{
    if (!state.stream && (dnnl_engine_create(&state.engine, dnnl_cpu, 0) != dnnl_success ||
                          dnnl_stream_create(&state.stream, state.engine,
                                             dnnl_stream_default_flags) != dnnl_success))
        return NULL;
    for (int i = 0; i < state.count; i++)
        if (state.product[i].k == k && state.product[i].n == n)
            return &state.product[i];
    Product *p = &state.product[state.next];
    forget(p);
    if (!compile(p, k, n))
        return NULL;
    state.next = (state.next + 1) % CACHE;
    state.count = state.count < CACHE ? state.count + 1 : CACHE;
    return p;
}

/* ---- x ---- */
typedef struct Round {
    int64_t m, k;
    const float *x;
    uint16_t *out;
} Round;
static void round_row(void *ctx, int64_t i)
{
    const Round *r = ctx;
    if (i < r->m)
        cpu_to_bf16(r->k, r->x + i * r->k, r->out + i * r->k);
    else
        memset(r->out + i * r->k, 0, (size_t)r->k * sizeof *r->out);
}

/* ---- blocks of weights ---- */
typedef struct Job {
    const Product *p;
    const StoredWeight *w;
    void *x; /* packed */
    int64_t m;
    float *y;
    atomic_bool failed;
} Job;

/* Rows from..from+ROWS-1 as bfloat16; the file's own where they are that. */
static const void *rows_of(const StoredWeight *w, int64_t from, float *wide, uint16_t *half)
{
    const char *p = (const char *)w->data + from * stored_row_bytes(w->type, w->k);
    if (w->type == STORED_BF16 && (uintptr_t)p % 2 == 0)
        return p;
    for (int64_t r = 0; r < ROWS; r++) {
        stored_widen(w, from + r, 1, wide);
        cpu_to_bf16(w->k, wide, half + r * w->k);
    }
    return half;
}

/* The last block begins earlier than its number says, so that all have ROWS rows. */
static void one_block(void *ctx, int64_t block)
{
    Job *j = ctx;
    const StoredWeight *w = j->w;
    int64_t first = block * ROWS, from = first + ROWS <= w->n ? first : w->n - ROWS;
    size_t tile = (size_t)(ROWS * j->p->n) * 4, row = (size_t)((w->k * 4 + 63) / 64 * 64);
    size_t half = (size_t)(ROWS * w->k) * 2, pad = onednn_bytes(j->p->desc, DNNL_ARG_SCRATCHPAD);
    char *mem = aligned_alloc(64, (tile + row + half + pad + 127) / 64 * 64);
    float *out = (float *)(void *)mem;
    char *at = mem + tile;
    if (!mem ||
        !onednn_run(state.engine, state.stream, j->p->desc, j->p->run,
                    rows_of(w, from, (float *)(void *)at, (uint16_t *)(void *)(at + row)), j->x, out,
                    at + row + (half + 63) / 64 * 64)) {
        atomic_store(&j->failed, true);
    } else {
        for (int64_t t = 0; t < j->m; t++)
            for (int64_t r = first; r < from + ROWS; r++)
                j->y[t * w->n + r] = out[(r - from) * j->p->n + t];
    }
    free(mem);
}

/* Up to MOST rows of x. */
static bool stretch(int64_t m, const float *x, const StoredWeight *w, float *y)
{
    int64_t n = (m + STEP - 1) / STEP * STEP;
    const Product *p = find(w->k, n);
    Round r = {.m = m, .k = w->k, .x = x};
    Job j = {.p = p, .w = w, .m = m, .y = y};
    bool ok = p != NULL;
    if (ok) {
        r.out = malloc((size_t)(n * w->k) * sizeof *r.out);
        j.x = aligned_alloc(64, (onednn_bytes(p->desc, DNNL_ARG_WEIGHTS) + 63) / 64 * 64);
        ok = r.out && j.x;
    }
    if (ok) {
        int threads = omp_get_max_threads();
        cpu_share(n, round_row, &r);
        omp_set_num_threads(1);
        ok = onednn_pack(state.engine, state.stream, p->desc, p->n, p->k, r.out, j.x);
        omp_set_num_threads(threads);
    }
    if (ok) {
        cpu_share((w->n + ROWS - 1) / ROWS, one_block, &j);
        ok = !atomic_load(&j.failed);
    }
    free(r.out);
    free(j.x);
    return ok;
}

bool prompt_bf16(Device *d, int64_t m, const float *x, const StoredWeight *w, float *y)
{
    (void)d;
    if (!wanted() || w->n < ROWS || w->k % 32 || pthread_mutex_trylock(&state.busy) != 0)
        return false;
    bool ok = true;
    for (int64_t i = 0; ok && i < m; i += MOST)
        ok = stretch(m - i < MOST ? m - i : MOST, x + i * w->k, w, y + i * w->n);
    pthread_mutex_unlock(&state.busy);
    return ok;
}
