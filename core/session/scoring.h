/* How well cells fit candidate labels: similarity by the model, evidence by the markers, and both on the scale of the
 * file, so that numbers of different candidate lists and prompts can be compared. */
#ifndef SCMM_SESSION_SCORING_H
#define SCMM_SESSION_SCORING_H
#include "core/session/candidates.h"

/* The whole library as candidates, made once. Borrowed from the state. */
CHECKED Err scoring_library(Session *s, ModelState *m, JobCtl *ctl, const Candidates **out);
/* Spread of similarities and marker scores over a sample of the file's cells and all library types, and whether the file
 * is its own yardstick for the markers (m->scale, m->corpus). Done once. The markers must be there. */
CHECKED Err scoring_prepare(Session *s, ModelState *m, JobCtl *ctl);
/* sim[n, c->n] (mean of label alone and texts) and marker[n, c->n] (NULL: not wanted) of rows[n] (NULL: 0..n-1) of the
 * embedded file. */
CHECKED Err scoring_raw(const ModelState *m, const Candidates *c, const size_t *rows, size_t n, float *sim,
                        float *marker);
/* The same for cells given by query vectors [n, per_cell]; rows: their numbers in the file, for the markers. */
CHECKED Err scoring_raw_of(const ModelState *m, const Candidates *c, const float *query, const size_t *rows, size_t n,
                           float *sim, float *marker);
#endif
