/* Stages of the clustering in the cache folder (core/data/kept.h); for session_*.c only. */
#ifndef SCMM_SESSION_ANALYSIS_KEPT_H
#define SCMM_SESSION_ANALYSIS_KEPT_H
#include "core/analysis/hvg.h"
#include "core/analysis/pca.h"
#include "core/base/str.h"
#include "core/session/session_internal.h"

/* What every stage depends on but the file: version, matrix, what was asked of the reader, seed. */
void kept_key(const Session *s, int matrix, Str *out);
/* The clock of a stage, to be given to kept_* below: a result is kept when its stage took long enough. */
double kept_clock(void);

/* Each load gives ERR_NOT_FOUND when nothing is kept; each save fails only when it is cancelled. */
CHECKED Err kept_load_genes(Session *s, const char *key, size_t genes, JobCtl *ctl, Hvg *out); /* selected alone */
CHECKED Err kept_save_genes(Session *s, const char *key, double since, JobCtl *ctl, const Hvg *h);
CHECKED Err kept_load_pca(Session *s, const char *key, size_t n, JobCtl *ctl, Pca *out);
CHECKED Err kept_save_pca(Session *s, const char *key, double since, JobCtl *ctl, const Pca *p);
CHECKED Err kept_load_graph(Session *s, const char *key, size_t n, JobCtl *ctl, Csr *connectivities, Csr *distances,
                            double *recall);
CHECKED Err kept_save_graph(Session *s, const char *key, double since, JobCtl *ctl, const Csr *connectivities,
                            const Csr *distances, double recall);
CHECKED Err kept_load_map(Session *s, const char *key, size_t n, JobCtl *ctl, float **xy);
CHECKED Err kept_save_map(Session *s, const char *key, double since, JobCtl *ctl, const float *xy, size_t n);
/* A map on its way, at the beginning of an epoch from 1 on. */
CHECKED Err kept_load_epoch(Session *s, const char *key, size_t n, JobCtl *ctl, float *xy, int *epoch);
void kept_save_epoch(Session *s, const char *key, const float *xy, size_t n, int epoch);
void kept_remove_epoch(Session *s, const char *key);
CHECKED Err kept_load_labels(Session *s, const char *key, size_t n, JobCtl *ctl, int32_t *label, size_t *n_groups,
                             double *modularity);
CHECKED Err kept_save_labels(Session *s, const char *key, double since, JobCtl *ctl, const int32_t *label, size_t n,
                             size_t n_groups, double modularity);
#endif
