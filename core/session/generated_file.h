/* Writing generated cells; used by the command and the explorer. */
#ifndef SCMM_SESSION_GENERATED_FILE_H
#define SCMM_SESSION_GENERATED_FILE_H
#include "core/data/provenance.h"
#include "core/session/session.h"

/* X = integer counts, obs prompt, generated, seed, nearest_label, obsm X_scmmgpt (and X_umap where
 * they have a place), uns/scmmgpt with the provenance, what was understood, and the quality. */
CHECKED Err generated_write(const Generated *g, const Provenance *from, const char *path, bool force,
                            JobCtl *ctl);

/* The plain figures of a report by name; those of k-NN and the shuffled prompt are apart. */
typedef struct QualityFigure {
    const char *name;
    double v;
} QualityFigure;
enum { QUALITY_FIGURES = 11 };
void quality_figures(const Quality *q, QualityFigure out[QUALITY_FIGURES]);
#endif
