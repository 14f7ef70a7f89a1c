/* What the analysis files of the session share; for session_*.c only. */
#ifndef SCMM_SESSION_ANALYSIS_H
#define SCMM_SESSION_ANALYSIS_H
#include "core/analysis/hvg.h"
#include "core/analysis/markers.h"
#include "core/analysis/rows.h"
#include "core/session/session_internal.h"

/* The log-normalised rows of the working matrix: from memory once a matrix that is small enough was kept. */
CHECKED Err analysis_rows(Session *s, JobCtl *ctl, int *matrix, Rows *rows);
/* The counts behind the working matrix, as stored. ERR_FEW_GENES when it holds none and none can be recovered: "MATRIX:
 * holds no counts; WHAT them". */
CHECKED Err analysis_counts(Session *s, const char *what, JobCtl *ctl, Rows *rows);
/* By p->hvg and p->seurat_v3, of the cells of rows, which are those of analysis_rows or some of them. */
CHECKED Err analysis_variable_genes(Session *s, const Rows *rows, const ClusterParams *p, JobCtl *ctl, Hvg *out);
/* Groups "0", "1", ... of label[n] (-1: in none); key "leiden". */
CHECKED Err analysis_groups(const int32_t *label, size_t n, size_t n_groups, Groups **out);
/* The table of stats[n_groups, genes of the matrix]; groups of fewer than two cells are left out. */
CHECKED Err analysis_marker_table(Session *s, int matrix, const MarkerStat *stats, const size_t *sizes, size_t n_groups,
                                  const char *groupby, const char *method, size_t top, JobCtl *ctl,
                                  MarkerTable **out);
CHECKED Err analysis_check(Session *s, const ClusterParams *p, size_t cells);
/* Spectral start up to this many cells; above it costs more than it gives. */
enum { SPECTRAL_CELLS = 250000 };
#endif
