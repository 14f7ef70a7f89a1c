/* What the parts of annotation hand to one another: session_annotate.c scores, annotate_unknown.c looks for types that
 * are not among the candidates, annotate_answer.c writes the answer. */
#ifndef SCMM_SESSION_ANNOTATE_WORK_H
#define SCMM_SESSION_ANNOTATE_WORK_H
#include "core/session/few_shot.h"
#include "core/session/scoring.h"

typedef struct AnnotateWork {
    Session *s;
    ModelState *m;
    const AnnotateParams *p;
    JobCtl *ctl;
    Candidates own;
    const Candidates *c;
    FewShot *few;
    size_t n;
    float *score;   /* [n, c]; becomes probabilities */
    float *absolute; /* [n, c] on the file's scale */
    float *other;   /* [n] on the file's scale: the best library type that is no candidate's kin; with the whole library
                       as candidates, the best type */
    Clustering *graph; /* of the smoothing; NULL: none */
    double weight;  /* of the markers */
    double sharpness, refined;
} AnnotateWork;

/* Fills w->other. */
CHECKED Err annotate_find_others(AnnotateWork *w);
/* From probabilities in w->score to the answer. groups NULL: one row a cell. */
CHECKED Err annotate_fill(const AnnotateWork *w, const Groups *groups, Annotation *a);
#endif
