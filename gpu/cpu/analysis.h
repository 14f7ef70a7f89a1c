/* The analysis operations of the CPU backend. Apart from cpu.h, whose pragma lets the compiler fuse
 * multiply and add: here sums are the same on every processor (no -ffp-contract under -std=c11). */
#ifndef SCMM_GPU_CPU_ANALYSIS_H
#define SCMM_GPU_CPU_ANALYSIS_H
#include "core/device/device.h"

/* Hot loops for several processors. */
#define KERNEL __attribute__((target_clones("avx512f", "avx2", "default"), noinline))

/* Latches "out of memory". */
void cpu_no_memory(Device *d, const char *where);

void cpu_nearest(Device *d, const Nearest *s);                      /* nearest.c */
HeldRows *cpu_hold_rows(Device *d, const SparseRows *x, const DeviceWatch *watch); /* covariance.c */
void cpu_release_rows(Device *d, HeldRows *h);
void cpu_covariance(Device *d, const HeldRows *h, const double *v, const double *shift, double *w,
                    const DeviceWatch *watch);
void cpu_layout(Device *d, const Layout *l);                        /* layout.c */
#endif
