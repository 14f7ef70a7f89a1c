/* Evidence: how strongly the cells express the marker genes of types, beside the model. A cell's score for a list of
 * high and low genes is mean z(high) - 0.5 mean z(low), where z is the gene's panel-aware log value standardised over
 * the cells of the file (clipped at +-3), or against the averages of the training corpus where the file is too small
 * or too uniform to be its own yardstick. */
#ifndef SCMM_SESSION_EVIDENCE_H
#define SCMM_SESSION_EVIDENCE_H
#include "core/base/err.h"
#include "core/data/csr.h"
#include <stdbool.h>

typedef struct EvidenceGene {
    int32_t col;               /* column of the file */
    float ref_mean, ref_scale; /* corpus: mean and sd + 0.3 of the log value; ref_scale 0: unknown to the model */
    float mean, sd;            /* over the cells of the file; sd 0: constant */
} EvidenceGene;

typedef struct Evidence {
    size_t n_cells, n_genes;
    EvidenceGene *genes; /* [n_genes] */
    int32_t *of_col;     /* [n_cols] -> gene, -1 */
    size_t n_cols;
    Csr x;               /* [n_cells, n_genes] log values of expressed genes (value > 0 in the file) */
    size_t filled;       /* rows of x that were added */
    size_t cap;          /* entries that x has room for */
    double *sum, *sum2;  /* [n_genes] while rows are added */
    double *totals;      /* [n_cells] counts over the columns known to the model, on a linear scale */
} Evidence;

/* A gene list: indices into Evidence.genes. */
typedef struct MarkerSet {
    int32_t *high, *low;
    size_t n_high, n_low;
} MarkerSet;
void marker_set_done(MarkerSet *m);

/* cols[n]: the columns to keep, without repeats; ref_mean, ref_scale [n] as above. */
CHECKED Err evidence_new(size_t n_cells, size_t n_cols, const int32_t *cols, const float *ref_mean, const float *ref_scale,
                         size_t n, Evidence **out);
void evidence_free(Evidence *e); /* NULL ok */
/* The next rows of the file, in its columns. used[n_cols] tells which columns count towards a cell's total; panel as
 * GeneMap.panel; lognorm: values are log1p and brought back first. After the last row the statistics are there. */
CHECKED Err evidence_add_rows(Evidence *e, const Csr *rows, const int32_t *used, double panel, bool lognorm);

/* scores[n, n_sets] of rows[n] (NULL: 0..n-1); a set without genes in the file gets NaN. corpus: z against the corpus. */
CHECKED Err evidence_scores(const Evidence *e, const MarkerSet *sets, size_t n_sets, const size_t *rows, size_t n,
                            bool corpus, float *scores);
/* Value of a gene in a cell (0: not expressed). */
float evidence_value(const Evidence *e, size_t cell, int32_t gene);
/* Share of rows[n] (NULL: all) that express each gene, [n_genes]. */
void evidence_fraction(const Evidence *e, const size_t *rows, size_t n, float *fraction);
#endif
