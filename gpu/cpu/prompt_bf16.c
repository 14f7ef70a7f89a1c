/* Prompts in bfloat16 through oneDNN, where the processor multiplies bfloat16 in tiles (AMX); there
 * this is several times as fast as anything else. Y^T = W X^T: the weights are the left factor,
 * whose plain rows oneDNN takes as they are (bfloat16 ones straight from the file), and x, the
 * small side, is put into oneDNN's own layout once. SCMMGPT_CPU_BF16=1 takes this way on AVX-512
 * bf16 too (slower there; for tests). */
#include "gpu/cpu/prompt.h"
#include <dnnl.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ROWS = 64, STEP = 64, MOST = 512, CACHE = 24 };

typedef struct Product { /* [ROWS,k] by [k,n] */
    int64_t k, n;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t run;
    dnnl_memory_desc_t w, x, y, scratch;
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
    if (!atomic_load(&known)) {
        const char *force = getenv("SCMMGPT_CPU_BF16");
        dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa(), want = dnnl_cpu_isa_avx512_core_amx;
        if (force && *force == '1')
            want = dnnl_cpu_isa_avx512_core_bf16;
        atomic_store(&known, (isa & want) == want ? 2 : 1);
    }
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
    dnnl_dims_t dw = {ROWS, k}, dx = {k, n}, dy = {ROWS, n};
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    *p = (Product){.k = k, .n = n};
    dnnl_memory_desc_init_by_tag(&p->x, 2, dx, dnnl_bf16, dnnl_format_tag_any);
    bool ok =
        dnnl_memory_desc_init_by_tag(&p->w, 2, dw, dnnl_bf16, dnnl_ab) == dnnl_success &&
        dnnl_memory_desc_init_by_tag(&p->y, 2, dy, dnnl_f32, dnnl_ab) == dnnl_success &&
        dnnl_matmul_desc_init(&desc, &p->w, &p->x, NULL, &p->y) == dnnl_success &&
        dnnl_primitive_attr_create(&attr) == dnnl_success &&
        dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) == dnnl_success &&
        dnnl_primitive_desc_create(&p->desc, &desc, attr, state.engine, NULL) == dnnl_success &&
        dnnl_primitive_create(&p->run, p->desc) == dnnl_success;
    if (ok) {
        p->x = *dnnl_primitive_desc_query_md(p->desc, dnnl_query_weights_md, 0);
        p->scratch = *dnnl_primitive_desc_query_md(p->desc, dnnl_query_scratchpad_md, 0);
    } else {
        forget(p);
    }
    if (attr)
        dnnl_primitive_attr_destroy(attr);
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

static bool reorder(const Product *p, const uint16_t *rows, void *packed)
{
    dnnl_dims_t dim = {p->k, p->n}, stride = {1, p->k};
    dnnl_memory_desc_t plain;
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t run = NULL;
    bool ok = dnnl_memory_desc_init_by_strides(&plain, 2, dim, dnnl_bf16, stride) == dnnl_success &&
              dnnl_memory_create(&from, &plain, state.engine, (void *)rows) == dnnl_success &&
              dnnl_memory_create(&to, &p->x, state.engine, packed) == dnnl_success &&
              dnnl_reorder_primitive_desc_create(&desc, &plain, state.engine, &p->x, state.engine,
                                                 NULL) == dnnl_success &&
              dnnl_primitive_create(&run, desc) == dnnl_success;
    const dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    ok = ok && dnnl_primitive_execute(run, state.stream, 2, arg) == dnnl_success &&
         dnnl_stream_wait(state.stream) == dnnl_success;
    if (run)
        dnnl_primitive_destroy(run);
    if (desc)
        dnnl_primitive_desc_destroy(desc);
    if (from)
        dnnl_memory_destroy(from);
    if (to)
        dnnl_memory_destroy(to);
    return ok;
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

static bool execute(const Product *p, const void *w, void *x, float *y, void *scratch)
{
    dnnl_memory_t mem[4] = {0};
    bool ok = dnnl_memory_create(&mem[0], &p->w, state.engine, (void *)w) == dnnl_success &&
              dnnl_memory_create(&mem[1], &p->x, state.engine, x) == dnnl_success &&
              dnnl_memory_create(&mem[2], &p->y, state.engine, y) == dnnl_success &&
              dnnl_memory_create(&mem[3], &p->scratch, state.engine, scratch) == dnnl_success;
    const dnnl_exec_arg_t arg[] = {{DNNL_ARG_SRC, mem[0]},
                                   {DNNL_ARG_WEIGHTS, mem[1]},
                                   {DNNL_ARG_DST, mem[2]},
                                   {DNNL_ARG_SCRATCHPAD, mem[3]}};
    ok = ok && dnnl_primitive_execute(p->run, state.stream, 4, arg) == dnnl_success;
    for (int i = 0; i < 4; i++)
        if (mem[i])
            dnnl_memory_destroy(mem[i]);
    return ok;
}

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
    size_t half = (size_t)(ROWS * w->k) * 2, pad = dnnl_memory_desc_get_size(&j->p->scratch);
    char *mem = aligned_alloc(64, (tile + row + half + pad + 127) / 64 * 64);
    float *out = (float *)(void *)mem;
    char *at = mem + tile;
    if (!mem ||
        !execute(j->p, rows_of(w, from, (float *)(void *)at, (uint16_t *)(void *)(at + row)), j->x,
                 out, at + row + (half + 63) / 64 * 64)) {
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
        j.x = aligned_alloc(64, (dnnl_memory_desc_get_size(&p->x) + 63) / 64 * 64);
        ok = r.out && j.x;
    }
    if (ok) {
        int threads = omp_get_max_threads();
        cpu_share(n, round_row, &r);
        omp_set_num_threads(1);
        ok = reorder(p, r.out, j.x);
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
