/* The training corpus in memory: labelled files read through core/data, their genes joined to one
 * gene list, statistics of every gene, cells kept apart for measuring. Averages (files of cluster
 * means, not cells) are kept as such and turned into simulated cells when a batch is drawn. */
#ifndef SCMM_TRAIN_CORPUS_H
#define SCMM_TRAIN_CORPUS_H
#include "core/base/job.h"
#include "core/base/rng.h"
#include "core/model/celltypes.h"
#include "core/model/genespace.h"
#include <cjson/cJSON.h>

typedef struct CorpusSet {
    char *name, *path;
    char sha256[65];
    bool averages;   /* rows are means over cells */
    bool full;       /* a full transcriptome (10,000 known genes and more) */
    double panel;    /* F of its genes */
    uint8_t *has;    /* [G] */
    size_t first, n; /* rows first .. first+n-1 of the corpus */
} CorpusSet;

typedef struct CorpusCell {
    int32_t set, type, tissue; /* type: library index; tissue: index into Corpus.tissue */
    bool held;                 /* kept apart for measuring */
} CorpusCell;

typedef struct Corpus {
    GeneSpace *genes;
    const CellTypes *types;
    size_t n_sets, n, n_tissues;
    CorpusSet *set;
    CorpusCell *cell;   /* [n] */
    Csr counts;         /* [n, G], rows with a known label only */
    char **tissue;      /* tissue[0] = "" unknown */
    size_t *type_cells; /* [types] training rows of each type (not held out) */
    size_t unlabelled;  /* rows left out */
} Corpus;

/* The object's members: "data" (folder that other paths are relative to), "vocabulary", "labels",
 * "tissues", "sets"
 * [{name, file, tissue or tissue_column, averages}], "held_out", "split_seed". data_dir overrides
 * "data". ERR_INPUT names the file. */
CHECKED Err corpus_open(const cJSON *config, const char *data_dir, const CellTypes *types,
                        JobCtl *ctl, Corpus **out);
void corpus_free(Corpus *c); /* NULL ok */

/* Means over rows of one (set, type): x of the mean profile. For the start of the gene table. */
typedef struct TypeMeans {
    size_t n;
    int32_t *set, *type; /* [n] */
    float *x;            /* [n, G], NaN where the set lacks the gene */
} TypeMeans;
CHECKED Err corpus_type_means(const Corpus *c, TypeMeans *out);
void type_means_done(TypeMeans *m);
/* table[G,width]: V sqrt(S) of the SVD of (means - mu), scaled to the standard deviation sd, plus
 * N(0, noise). */
CHECKED Err corpus_gene_table(const Corpus *c, size_t width, double sd, double noise, uint64_t seed,
                              float *table);

/* Drawing. A sampler draws training rows: real cells with weight 1/sqrt(cells of their type in
 * their set). */
typedef struct Sampler Sampler;
CHECKED Err sampler_new(const Corpus *c, Sampler **out);
void sampler_free(Sampler *s); /* NULL ok */
typedef struct DrawnCell {     /* counts of model genes; buffers are reused */
    int32_t type, set, tissue;
    size_t row; /* of the corpus; for a simulated cell its average */
    double panel;
    size_t n, cap;
    int32_t *gene;
    float *count;
} DrawnCell;
void drawn_cell_done(DrawnCell *d);
/* One training cell; simulated: from an average (Poisson of a noisy mixture), else a real cell. */
CHECKED Err sampler_draw(Sampler *s, Rng *r, bool simulated, DrawnCell *out);
/* A simulated cell from one average. */
CHECKED Err sampler_simulate(Sampler *s, Rng *r, size_t row, DrawnCell *out);
/* Any row as it is. */
CHECKED Err corpus_row(const Corpus *c, size_t row, DrawnCell *out);
#endif
