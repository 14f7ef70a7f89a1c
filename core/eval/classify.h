/* How right named classes and their probabilities are. All measures are Statistics (bootstrap.h),
 * so that they take weights; classes are 0..k-1, truth -1 leaves an item out, a prediction of -1 is
 * always wrong. */
#ifndef SCMM_EVAL_CLASSIFY_H
#define SCMM_EVAL_CLASSIFY_H
#include "core/eval/bootstrap.h"

typedef struct ClassPair { /* all borrowed */
    size_t n, k;
    const int32_t *truth, *prediction; /* [n] */
} ClassPair;
double classify_accuracy(const void *class_pair, const uint32_t *weight);
/* Mean F1 over the classes that occur in truth (scikit-learn: labels=unique(y_true)); a class that
 * is never right has 0. Candidates that no cell has lower it through the cells they steal, not as
 * classes. */
double classify_macro_f1(const void *class_pair, const uint32_t *weight);
/* The same, weighted by the cells of each class. */
double classify_weighted_f1(const void *class_pair, const uint32_t *weight);
/* Mean recall over the classes that occur. */
double classify_balanced_accuracy(const void *class_pair, const uint32_t *weight);
/* count[k, k + 1]: rows truth, columns prediction, the last one for -1. */
void classify_confusion(const ClassPair *p, size_t *count);

/* Expected calibration error (Guo et al. 2017): |accuracy - mean probability| over 15 equal bins of
 * the winner's probability, weighted by cells. */
enum { ECE_BINS = 15 };
typedef struct Calibration {
    size_t n;
    const float *probability; /* [n] of the answer, 0..1; NaN leaves the item out */
    const uint8_t *right;     /* [n] */
} Calibration;
double classify_ece(const void *calibration, const uint32_t *weight);

/* Area under the ROC curve: how often a positive scores above a negative, ties half. */
typedef struct Ranking {
    size_t n;
    float *score;      /* [n] sorted falling */
    uint8_t *positive; /* [n] in that order */
    uint32_t *item;    /* [n] original number: weights are by it */
} Ranking;
/* Sorts; NaN scores are left out. */
CHECKED Err ranking_init(const float *score, const uint8_t *positive, size_t n, Ranking *out);
void ranking_done(Ranking *r);
double classify_auroc(const void *ranking, const uint32_t *weight); /* NaN without both kinds */
/* Mean precision at the positives (area under precision-recall as a step function). */
double classify_average_precision(const void *ranking, const uint32_t *weight);
/* Share of positives among the best `top`; top 0: as many as there are positives (R-precision).
 * Ties at the cut count by their share. NaN without positives. */
double classify_precision_at(const Ranking *r, size_t top);
#endif
