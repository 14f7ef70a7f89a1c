/* A reference with labelled cells beside the texts: each label's cells in the embedding. */
#ifndef SCMM_SESSION_FEW_SHOT_H
#define SCMM_SESSION_FEW_SHOT_H
#include "core/session/candidates.h"

typedef struct FewShot FewShot;
/* Opens and embeds the reference with the model of `s`. */
CHECKED Err few_shot_open(Session *s, const char *path, const char *key, JobCtl *ctl, FewShot **out);
void few_shot_close(FewShot *f); /* NULL ok; before the session whose model it uses */
/* The reference's labels, borrowed. */
const Groups *few_shot_labels(const FewShot *f);
/* out[n, c->n]: closeness of the session's cells to each label's reference cells: half the cosine with their mean, half
 * the mean of the 5 best cosines; NaN for labels without reference cells. Labels meet by name, then by library type. */
CHECKED Err few_shot_scores(const FewShot *f, const ModelState *m, const Candidates *c, JobCtl *ctl, float *out);
#endif
