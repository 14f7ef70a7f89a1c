/* What closed-set classifiers without a model reach: refitted on labelled reference cells for the
 * very classes of a test, on the genes that reference and test share. Logistic regression, nearest
 * standardised centroid, k nearest neighbours. */
#ifndef SCMM_EVAL_BASELINES_H
#define SCMM_EVAL_BASELINES_H
#include "core/base/job.h"
#include "core/data/csr.h"

typedef struct ReferenceSet { /* one file's cells, borrowed */
    const Csr *counts;
    const char *const *genes; /* [counts->cols] */
    const int32_t *label;     /* [counts->rows] class, -1: not used */
    bool lognorm;             /* values are log1p: brought back first */
} ReferenceSet;

/* Dense standardised features of reference and test cells: log1p of counts per 10,000 over the
 * shared genes, the `most` with the largest variance in the reference, each minus the reference's
 * mean and over its standard deviation (clipped at +-10). */
typedef struct RefFeatures {
    size_t shared; /* genes common to all sets with a used cell, and the test */
    size_t d, n, m;
    float *ref, *test; /* [n, d], [m, d] */
    int32_t *label;    /* [n] */
    int32_t *set;      /* [n] which set, */
    size_t *row;       /* [n] and which of its rows */
} RefFeatures;
enum { REFERENCE_GENES = 2000 };
/* ERR_FEW_GENES when fewer than 50 genes are shared, ERR_NOT_FOUND when no reference cell has a
 * class. */
CHECKED Err reference_join(const ReferenceSet *sets, size_t n_sets, const ReferenceSet *test,
                           size_t most, JobCtl *ctl, RefFeatures *out);
void reference_done(RefFeatures *f); /* zeroed ok */

/* Each predicts a class of 0..classes-1 for test[m, d]; classes without reference cells are never
 * predicted. */
typedef struct LogReg {
    size_t d, classes;
    double *w; /* [classes, d + 1], the last of a row is the intercept */
} LogReg;
/* Multinomial, minimises sum of cross-entropies + |w|^2 / (2 C), intercepts free; L-BFGS to a
 * gradient of `tol` (largest absolute part) or `steps` iterations. */
CHECKED Err logreg_fit(const float *x, const int32_t *label, size_t n, size_t d, size_t classes,
                       double c, double tol, int steps, JobCtl *ctl, LogReg *out);
void logreg_done(LogReg *l);
/* p[m, classes]; classes without training cells get 0. */
CHECKED Err logreg_predict(const LogReg *l, const float *x, size_t m, double *p);

/* The class whose mean has the largest cosine with the cell. */
CHECKED Err centroid_predict(const float *ref, const int32_t *label, size_t n, size_t classes,
                             const float *x, size_t m, size_t d, int32_t *prediction);
#endif
