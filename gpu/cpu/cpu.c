/* The CPU backend: the table, memory, and how work is shared among threads. */
#include "gpu/cpu/cpu.h"
#include "gpu/cpu/analysis.h"
#include "core/base/mem.h"
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void cpu_fail(Device *d, Err code, const char *fmt, ...)
{
    if (d->err != OK)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(d->message, sizeof d->message, fmt, ap);
    va_end(ap);
    d->err = code;
}

void cpu_no_memory(Device *d, const char *where)
{
    cpu_fail(d, ERR_NOMEM, "out of memory in %s; give it fewer cells or a machine with more", where);
}

typedef struct Ranges {
    int64_t n, grain;
    CpuRange *fn;
    void *ctx;
} Ranges;

static void one_range(void *ctx, int64_t i)
{
    const Ranges *r = ctx;
    r->fn(r->ctx, i * r->grain, (i + 1) * r->grain < r->n ? (i + 1) * r->grain : r->n);
}

void cpu_ranges(int64_t n, int64_t grain, CpuRange *fn, void *ctx)
{
    cpu_share((n + grain - 1) / grain, one_range,
              &(Ranges){.n = n, .grain = grain, .fn = fn, .ctx = ctx});
}

int64_t cpu_grain(int64_t cols)
{
    int64_t g = 16384 / (cols > 0 ? cols : 1);
    return g > 0 ? g : 1;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

void *cpu_scratch(Device *d, size_t bytes)
{
    CpuState *s = d->impl;
    if (bytes <= s->scratch_size)
        return s->scratch;
    free(s->scratch);
    s->scratch_size = round_up(bytes);
    s->scratch = aligned_alloc(64, s->scratch_size);
    if (!s->scratch) {
        s->scratch_size = 0;
        cpu_fail(d, ERR_NOMEM, "no memory for %zu bytes of working space", bytes);
    }
    return s->scratch;
}

static bool cpu_open(Device *d, int index)
{
    (void)index;
    const char *isa = __builtin_cpu_supports("avx512f") ? "AVX-512"
                      : __builtin_cpu_supports("avx2")  ? "AVX2"
                                                        : "SSE4.2";
    snprintf(d->name, sizeof d->name, "CPU (%d threads, %s)", omp_get_max_threads(), isa);
    d->memory = mem_available();
    d->impl = mem_must(sizeof(CpuState));
    return true;
}

static void cpu_close(Device *d)
{
    CpuState *s = d->impl;
    free(s->scratch);
    bands_cache_free(s->matmul);
    free(s);
    d->impl = NULL;
}

/* Large requests are held against the memory budget first: Linux would promise them and kill later.
 */
static void *cpu_alloc(Device *d, size_t bytes)
{
    if (bytes >= (size_t)64 << 20 && mem_check_budget(bytes, "a tensor") != OK) {
        cpu_fail(d, ERR_NOMEM, "%s", err_message());
        return NULL;
    }
    void *p = aligned_alloc(64, round_up(bytes ? bytes : 1));
    if (!p)
        cpu_fail(d, ERR_NOMEM, "no memory for a tensor of %zu bytes; use smaller batches", bytes);
    return p;
}

static void cpu_free(Device *d, void *p)
{
    (void)d;
    free(p);
}

static void cpu_upload(Device *d, void *dst, const void *src, size_t bytes)
{
    (void)d;
    if (bytes)
        memcpy(dst, src, bytes);
}

typedef struct ZeroCtx {
    char *p;
} ZeroCtx;

static void zero_range(void *ctx, int64_t lo, int64_t hi)
{
    memset(((ZeroCtx *)ctx)->p + lo, 0, (size_t)(hi - lo));
}

static void cpu_zero(Device *d, void *p, size_t bytes)
{
    (void)d;
    cpu_ranges((int64_t)bytes, 1 << 18, zero_range, &(ZeroCtx){p});
}

static void cpu_sync(Device *d)
{
    (void)d;
}

static const DeviceOps ops = {
    .abi = DEVICE_ABI,
    .size = sizeof(DeviceOps),
    .kind = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_upload,
    .download = cpu_upload,
    .copy = cpu_upload,
    .zero = cpu_zero,
    .sync = cpu_sync,
    .fill = cpu_fill,
    .axpy = cpu_axpy,
    .scale = cpu_scale,
    .act = cpu_act,
    .act_backward = cpu_act_backward,
    .add = cpu_add,
    .mul = cpu_mul,
    .mul_backward = cpu_mul_backward,
    .reduce_period = cpu_reduce_period,
    .mul_rows = cpu_mul_rows,
    .mul_rows_backward = cpu_mul_rows_backward,
    .bias_act = cpu_bias_act,
    .swiglu = cpu_swiglu,
    .swiglu_backward = cpu_swiglu_backward,
    .dropout = cpu_dropout,
    .fill_normal = cpu_fill_normal,
    .layernorm = cpu_layernorm,
    .layernorm_backward = cpu_layernorm_backward,
    .rmsnorm = cpu_rmsnorm,
    .rmsnorm_backward = cpu_rmsnorm_backward,
    .l2norm = cpu_l2norm,
    .l2norm_backward = cpu_l2norm_backward,
    .softmax = cpu_softmax,
    .softmax_backward = cpu_softmax_backward,
    .gather = cpu_gather,
    .gather_backward = cpu_gather_backward,
    .copy_block = cpu_copy_block,
    .max_middle = cpu_max_middle,
    .max_middle_backward = cpu_max_middle_backward,
    .argmax = cpu_argmax,
    .rope = cpu_rope,
    .gemm = cpu_gemm,
    .attention = cpu_attention,
    .attention_backward = cpu_attention_backward,
    .pack = cpu_pack,
    .pack_free = cpu_pack_free,
    .linear_packed = cpu_linear_packed,
    .encoder_layer = cpu_encoder_layer,
    .borrow = cpu_borrow,
    .linear_stored = cpu_linear_stored,
    .gather_stored = cpu_gather_stored,
    .attention_paged = cpu_attention_paged,
    .sum = cpu_sum,
    .add_scalar = cpu_add_scalar,
    .sumsq = cpu_sumsq,
    .cross_entropy = cpu_cross_entropy,
    .cross_entropy_backward = cpu_cross_entropy_backward,
    .mse = cpu_mse,
    .mse_backward = cpu_mse_backward,
    .reparam = cpu_reparam,
    .reparam_backward = cpu_reparam_backward,
    .kl = cpu_kl,
    .kl_backward = cpu_kl_backward,
    .adamw = cpu_adamw,
    .nearest = cpu_nearest,
    .hold_rows = cpu_hold_rows,
    .release_rows = cpu_release_rows,
    .covariance = cpu_covariance,
    .layout = cpu_layout,
};

const DeviceOps *device_cpu_ops(void)
{
    return &ops;
}
