/* The real cells that generated ones are measured against: their counts, what each one is, and the
 * space of comparison fitted on them. Made once a session and label column. For session_*.c only. */
#ifndef SCMM_SESSION_REFERENCE_H
#define SCMM_SESSION_REFERENCE_H
#include "core/eval/expr.h"
#include "core/session/model_state.h"

enum { REFERENCE_CELLS = 6000 }; /* larger files are sampled */

typedef struct Reference {
    char *label_key;  /* "" : labels are this program's annotation */
    size_t n;
    size_t *cells;    /* [n] ascending cells of the file */
    Csr counts;       /* [n, genes of the working matrix] */
    bool known_sizes; /* counts are counts, not log values brought back */
    double *totals;   /* [n] */
    ExprSpace space;
    float *x; /* [n, space.pca.k] */
    size_t n_labels;
    char **labels;
    int32_t *label; /* [n] */
    int32_t *type;  /* [n_labels] library type or -1 */
} Reference;

/* Annotation of every cell with the whole library, made once. Borrowed from the session. */
CHECKED Err reference_annotation(Session *s, JobCtl *ctl, const Annotation **out);
/* label_key NULL: annotation with the whole library (embeds all cells the first time). Borrowed;
 * valid until the next call with another key. */
CHECKED Err reference_get(Session *s, const char *label_key, JobCtl *ctl, const Reference **out);
/* hit[n_labels] 1: the label's type is one of types[n], a kind of it, or a more general name for it. */
void reference_hits(const Reference *r, const CellTypes *t, const int32_t *types, size_t n,
                    uint8_t *hit);
#endif
