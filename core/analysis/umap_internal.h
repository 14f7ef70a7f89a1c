/* For umap*.c only. */
#ifndef SCMM_ANALYSIS_UMAP_INTERNAL_H
#define SCMM_ANALYSIS_UMAP_INTERNAL_H
#include "core/base/job.h"
#include "core/device/device.h"

/* The epochs of l among its own cells (fixed, pull and watch are not looked at; negatives[0] samples a firing). Places are
 * half moved when it fails. */
CHECKED Err umap_in_turn(const Layout *l, JobCtl *ctl);
#endif
