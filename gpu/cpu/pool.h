/* Threads that share work without fighting: blocks are handed out one at a time, so a thread that
 * the system stops holds up one small block and not a share of the whole; a thread without work
 * spins some tens of microseconds and then sleeps. */
#ifndef SCMM_GPU_CPU_POOL_H
#define SCMM_GPU_CPU_POOL_H
#include <stdint.h>

/* fn(ctx, i) once for each i of 0..n-1, on up to omp_get_max_threads() threads (the caller is one
 * of them), in any order; returns when all are done. Called from inside such a block or an OpenMP
 * region, or while another thread uses the pool: one after another on the calling thread. */
typedef void CpuBlock(void *ctx, int64_t i);
void cpu_share(int64_t n, CpuBlock *fn, void *ctx);
#endif
