/* What the analysis files of the session share; for session_*.c only. */
#ifndef SCMM_SESSION_ANALYSIS_H
#define SCMM_SESSION_ANALYSIS_H
#include "core/analysis/rows.h"
#include "core/session/session_internal.h"

/* The log-normalised rows of the working matrix: from memory once a matrix that is small enough was kept. */
CHECKED Err analysis_rows(Session *s, JobCtl *ctl, int *matrix, Rows *rows);
/* Groups "0", "1", ... of label[n] (-1: in none); key "leiden". */
CHECKED Err analysis_groups(const int32_t *label, size_t n, size_t n_groups, Groups **out);
CHECKED Err analysis_check(Session *s, const ClusterParams *p, size_t cells);
/* Spectral start up to this many cells; above it costs more than it gives. */
enum { SPECTRAL_CELLS = 250000 };
#endif
