/* What a session keeps of the model: the bundle, the file's genes as the model sees them, the marker values and the
 * vectors of its cells. For session_*.c only; see session_model.c. */
#ifndef SCMM_SESSION_MODEL_STATE_H
#define SCMM_SESSION_MODEL_STATE_H
#include "core/model/model.h"
#include "core/session/evidence.h"
#include "core/session/label.h"
#include "core/session/scores.h"
#include "core/session/session_internal.h"

struct StrMap;
typedef struct ModelState {
    Model *model;
    bool borrowed; /* the model belongs to another session */
    ModelInfo info;
    LabelIndex *labels;
    /* the file's genes */
    bool mapped, lognorm;
    int matrix;
    GeneMap map;
    const char *const *names; /* [map.n_file], the file's */
    int32_t *column_of;       /* [model genes] file column or -1 */
    struct StrMap *by_name;   /* the file's names -> column */
    /* marker values of all cells */
    Evidence *evidence;
    MarkerSet *type_markers; /* [library types] */
    /* vectors of all cells */
    bool embedded;
    size_t n, per_cell;   /* per_cell: numbers of a cell's query vectors, M*Q*P */
    int8_t *query;        /* [n, per_cell] bytes in the direction of the unit vectors, P at a time */
    float *x, *cls;       /* [n, D], [n, C] unit rows */
    uint8_t *empty;       /* [n] 1: no gene of the model is expressed */
    /* scales of this file: spread of similarities and marker scores over cells and library types */
    bool scaled;
    bool corpus; /* marker scores against the corpus: too few cells, or all of a kind */
    ScoreScale scale;
    struct Candidates *library; /* every type as a candidate; made by scoring_library */
} ModelState;

/* The loaded model. */
CHECKED Err model_state(Session *s, JobCtl *ctl, ModelState **out);
/* ... with the file's genes mapped. ERR_FEW_GENES. */
CHECKED Err model_state_genes(Session *s, JobCtl *ctl, ModelState **out);
/* ... with the marker values of all cells. */
CHECKED Err model_state_evidence(Session *s, JobCtl *ctl, ModelState **out);
/* ... with all cells embedded (and the marker values). */
CHECKED Err model_state_embedded(Session *s, JobCtl *ctl, ModelState **out);
/* Lets `to` use the model of `from`, which must outlive it. */
void model_state_share(Session *from, Session *to);

/* Vectors that `embed` wrote into the file, into m's (which are allocated); *found false: none, or of another model, or
 * of other values, which is said. session_vectors.c. */
CHECKED Err model_state_stored_vectors(Session *s, ModelState *m, JobCtl *ctl, bool *found);

/* sim[n, n_text] of rows[n] (NULL: 0..n-1) with texts [n_text, D]. */
CHECKED Err model_state_similarity(const ModelState *m, const size_t *rows, size_t n, const float *text, size_t n_text,
                                   float *sim);
/* File column of a gene symbol, by the model's names and then the file's; -1. */
int32_t model_state_column(const ModelState *m, const char *symbol);
/* Markers of a library type, or of given symbols, among the file's genes. */
CHECKED Err model_state_markers(const ModelState *m, const char *const *high, size_t n_high, const char *const *low,
                                size_t n_low, MarkerSet *out);
/* x of any column for all cells, out[n]. */
CHECKED Err model_state_gene(Session *s, const ModelState *m, int32_t column, JobCtl *ctl, float *out);
/* Tokens of some cells of the file. */
CHECKED Err model_state_tokens(Session *s, const ModelState *m, const size_t *rows, size_t n, JobCtl *ctl, CellTokens *out);
#endif
