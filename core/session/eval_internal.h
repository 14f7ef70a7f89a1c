/* What the tasks of `eval` share: the truth, the file's counts, labelled reference files. For
 * session_eval.c and eval_*.c only. */
#ifndef SCMM_SESSION_EVAL_INTERNAL_H
#define SCMM_SESSION_EVAL_INTERNAL_H
#include "core/eval/baselines.h"
#include "core/session/model_state.h"

typedef struct EvalReference { /* one labelled file */
    char *path;
    Dataset *data;
    Csr counts;
    const char *const *genes;
    bool lognorm;
    int32_t *type;  /* [rows] library type, -1 */
    int32_t *label; /* [rows] class of the test, -1 */
} EvalReference;

typedef struct EvalWork {
    Session *s;
    const EvalParams *p;
    JobCtl *ctl;
    Report *r;
    ModelState *m; /* embedded */
    const CellTypes *types;
    size_t n;        /* cells of the file */
    size_t k;        /* classes: plain names that occur */
    char **name;     /* [k] */
    int32_t *type;   /* [k] library type, -1 */
    const char **id; /* [k] CL id or "" */
    int32_t *truth;  /* [n] class, -1 */
    size_t labelled;
    Err missed; /* why the last unmeasured task was not */
    /* the file's values, made by eval_counts */
    bool has_counts, lognorm;
    Csr counts;
    const char *const *genes;
    /* made by eval_references */
    bool has_references;
    size_t n_references;
    EvalReference *reference;
} EvalWork;

/* Reads the file's working matrix whole. */
CHECKED Err eval_counts(EvalWork *w);
/* Opens the reference files and finds the class of every cell (eval_reference.c). */
CHECKED Err eval_references(EvalWork *w);
void eval_references_done(EvalWork *w);
/* The reference cells beside the file's as features; by_type: labels are library types, else
 * classes. Without reference files ERR_NOT_FOUND. */
CHECKED Err eval_features(EvalWork *w, bool by_type, RefFeatures *out);

CHECKED Err eval_annotate(EvalWork *w);
CHECKED Err eval_retrieve(EvalWork *w);
CHECKED Err eval_generate(EvalWork *w);
CHECKED Err eval_describe(EvalWork *w);
CHECKED Err eval_cluster(EvalWork *w);
#endif
