/* From similarities and marker scores to labels: scaling, probabilities, smoothing over the neighbour graph. Pure
 * functions on row-major [n, c] arrays. */
#ifndef SCMM_SESSION_SCORES_H
#define SCMM_SESSION_SCORES_H
#include "core/base/job.h"
#include "core/data/csr.h"
#include <stdbool.h>

/* Mean and standard deviation over all finite entries; sd 1 when there is no spread. */
void scores_spread(const float *v, size_t n, float *mean, float *sd);
typedef struct ScoreScale {
    float sim_mean, sim_sd, marker_mean, marker_sd;
} ScoreScale;
/* Over all entries of sim[n] and marker[n] (NULL: none). */
ScoreScale scores_scale(const float *sim, const float *marker, size_t n);
/* A general label beside its own kinds ("T cell", "CD8 T cell") gets no more marker evidence than its most special kind that fits best:
 * markers of a kind are rarer, so that the general list would win by its size alone, and the similarity must decide
 * between the two. is_kind[j * c + k]: k is a kind of j. NaN: no evidence, never the best. */
CHECKED Err scores_cap_general(float *marker, size_t n, size_t c, const uint8_t *is_kind);
/* sim -> (sim - mean) / sd + weight * (marker - mean) / sd, in place in sim. Columns whose marker score is NaN (no gene
 * in the file) take the row's mean of the others; marker NULL or weight 0: the similarity alone. */
void scores_combine(float *sim, const float *marker, size_t n, size_t c, double weight, ScoreScale scale);
/* Each row: p = softmax(score * sharpness). p may be score. */
void scores_softmax(const float *score, size_t n, size_t c, double sharpness, float *p);
/* Best and second best column of a row; second -1 when c is 1. Ties go to the first. */
void scores_top(const float *row, size_t c, int32_t *first, int32_t *second);
/* Smoothing over a symmetric graph (core/analysis/refine.h), rows summing to one again. A cell keeps its own answer when its label has fewer than
 * `small` cells in p and is at least `sure` for it, so that rare types are not wiped out. */
CHECKED Err scores_smooth(const Csr *g, double lambda, size_t small, double sure, size_t n, size_t c, JobCtl *ctl,
                          float *p);
/* The same for one number a cell; a constant stays one. */
CHECKED Err scores_smooth_values(const Csr *g, double lambda, size_t n, JobCtl *ctl, float *v);
#endif
