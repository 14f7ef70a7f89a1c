/* Products of bfloat16 matrices compiled by oneDNN, releases 2 and 3 of which describe the layout of a matrix in
 * different types. For bands.c and prompt_bf16.c. */
#ifndef SCMM_GPU_CPU_ONEDNN_H
#define SCMM_GPU_CPU_ONEDNN_H
#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if DNNL_VERSION_MAJOR < 3
typedef const dnnl_memory_desc_t *MatrixLayout;
#else
typedef const_dnnl_memory_desc_t MatrixLayout;
#endif

/* Is the processor one on which these products pay: AMX, or with SCMMGPT_CPU_BF16=1 AVX-512 bf16 (slower; for tests and
 * measuring). */
bool onednn_pays(void);
/* y [m, n] float32 = a [m, k] b [k, n], a and y in plain rows, b in the layout given, or where NULL in the one that
 * oneDNN likes best. */
bool onednn_product(dnnl_engine_t engine, int64_t m, int64_t n, int64_t k, MatrixLayout b, dnnl_primitive_desc_t *out);
/* MatrixLayout of a part (DNNL_ARG_WEIGHTS: b; DNNL_ARG_SCRATCHPAD), valid as long as p, and its bytes. */
MatrixLayout onednn_layout(dnnl_primitive_desc_t p, int part);
size_t onednn_bytes(dnnl_primitive_desc_t p, int part);
/* The columns of b, one after the other (n of k numbers), into the layout that p wants. */
bool onednn_pack(dnnl_engine_t engine, dnnl_stream_t stream, dnnl_primitive_desc_t p, int64_t n, int64_t k, const void *columns,
                 void *packed);
/* run is the primitive of p. scratch: onednn_bytes(p, DNNL_ARG_SCRATCHPAD), 64-aligned like all of them. */
bool onednn_run(dnnl_engine_t engine, dnnl_stream_t stream, dnnl_primitive_desc_t p, dnnl_primitive_t run, const void *a, void *b,
                float *y, void *scratch);
#endif
