/* What the two releases do differently stands in the first part; the rest is the same in both. */
#include "gpu/cpu/onednn.h"
#include "gpu/cpu/cpu.h"
#include <stdlib.h>

#if DNNL_VERSION_MAJOR < 3
typedef dnnl_memory_desc_t OwnLayout;

static MatrixLayout seen(const OwnLayout *l)
{
    return l;
}

static void forget(OwnLayout *l)
{
    (void)l;
}

static bool plain(OwnLayout *l, int64_t rows, int64_t columns, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_dims_t d = {rows, columns};
    return dnnl_memory_desc_init_by_tag(l, 2, d, type, tag) == dnnl_success;
}

static bool strided(OwnLayout *l, int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    dnnl_dims_t d = {rows, columns}, stride = {row, column};
    return dnnl_memory_desc_init_by_strides(l, 2, d, dnnl_bf16, stride) == dnnl_success;
}

static bool compile(dnnl_engine_t engine, MatrixLayout a, MatrixLayout b, MatrixLayout y, dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    dnnl_matmul_desc_t desc;
    return dnnl_matmul_desc_init(&desc, a, b, NULL, y) == dnnl_success &&
           dnnl_primitive_desc_create(out, &desc, attr, engine, NULL) == dnnl_success;
}
#else
typedef dnnl_memory_desc_t OwnLayout;

static MatrixLayout seen(const OwnLayout *l)
{
    return *l;
}

static void forget(OwnLayout *l)
{
    if (*l)
        dnnl_memory_desc_destroy(*l);
}

static bool plain(OwnLayout *l, int64_t rows, int64_t columns, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_dims_t d = {rows, columns};
    return dnnl_memory_desc_create_with_tag(l, 2, d, type, tag) == dnnl_success;
}

static bool strided(OwnLayout *l, int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    dnnl_dims_t d = {rows, columns}, stride = {row, column};
    return dnnl_memory_desc_create_with_strides(l, 2, d, dnnl_bf16, stride) == dnnl_success;
}

static bool compile(dnnl_engine_t engine, MatrixLayout a, MatrixLayout b, MatrixLayout y, dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *out)
{
    return dnnl_matmul_primitive_desc_create(out, engine, a, b, NULL, y, attr) == dnnl_success;
}
#endif

bool onednn_pays(void)
{
    const char *force = getenv("SCMMGPT_CPU_BF16");
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa(), want = dnnl_cpu_isa_avx512_core_amx;
    if (force && *force == '1')
        want = dnnl_cpu_isa_avx512_core_bf16;
    return (isa & want) == want && cpu_tier() >= 3;
}

bool onednn_product(dnnl_engine_t engine, int64_t m, int64_t n, int64_t k, MatrixLayout b, dnnl_primitive_desc_t *out)
{
    OwnLayout a = {0}, any = {0}, y = {0};
    dnnl_primitive_attr_t attr = NULL;
    bool ok = plain(&a, m, k, dnnl_bf16, dnnl_ab) && plain(&any, k, n, dnnl_bf16, dnnl_format_tag_any) &&
              plain(&y, m, n, dnnl_f32, dnnl_ab) && dnnl_primitive_attr_create(&attr) == dnnl_success &&
              dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) == dnnl_success &&
              compile(engine, seen(&a), b ? b : seen(&any), seen(&y), attr, out);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    forget(&a);
    forget(&any);
    forget(&y);
    return ok;
}

MatrixLayout onednn_layout(dnnl_primitive_desc_t p, int part)
{
    return dnnl_primitive_desc_query_md(p, dnnl_query_exec_arg_md, part);
}

size_t onednn_bytes(dnnl_primitive_desc_t p, int part)
{
    return dnnl_memory_desc_get_size(onednn_layout(p, part));
}

static void drop_memory(dnnl_memory_t *mem, int n)
{
    for (int i = 0; i < n; i++)
        if (mem[i])
            dnnl_memory_destroy(mem[i]);
}

bool onednn_pack(dnnl_engine_t engine, dnnl_stream_t stream, dnnl_primitive_desc_t p, int64_t n, int64_t k, const void *columns,
                 void *packed)
{
    OwnLayout from = {0};
    MatrixLayout to = onednn_layout(p, DNNL_ARG_WEIGHTS);
    dnnl_memory_t mem[2] = {0};
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t run = NULL;
    bool ok = strided(&from, k, n, 1, k) && dnnl_memory_create(&mem[0], seen(&from), engine, (void *)columns) == dnnl_success &&
              dnnl_memory_create(&mem[1], to, engine, packed) == dnnl_success &&
              dnnl_reorder_primitive_desc_create(&desc, seen(&from), engine, to, engine, NULL) == dnnl_success &&
              dnnl_primitive_create(&run, desc) == dnnl_success;
    const dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, mem[0]}, {DNNL_ARG_TO, mem[1]}};
    ok = ok && dnnl_primitive_execute(run, stream, 2, arg) == dnnl_success && dnnl_stream_wait(stream) == dnnl_success;
    if (run)
        dnnl_primitive_destroy(run);
    if (desc)
        dnnl_primitive_desc_destroy(desc);
    drop_memory(mem, 2);
    forget(&from);
    return ok;
}

bool onednn_run(dnnl_engine_t engine, dnnl_stream_t stream, dnnl_primitive_desc_t p, dnnl_primitive_t run, const void *a, void *b,
                float *y, void *scratch)
{
    const int part[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    void *const at[4] = {(void *)a, b, y, scratch};
    dnnl_memory_t mem[4] = {0};
    dnnl_exec_arg_t arg[4];
    bool ok = true;
    for (int i = 0; i < 4 && ok; i++) {
        ok = dnnl_memory_create(&mem[i], onednn_layout(p, part[i]), engine, at[i]) == dnnl_success;
        arg[i] = (dnnl_exec_arg_t){part[i], mem[i]};
    }
    ok = ok && dnnl_primitive_execute(run, stream, 4, arg) == dnnl_success;
    drop_memory(mem, 4);
    return ok;
}
