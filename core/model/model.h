/* The model as the rest of the program uses it: a bundle loaded on a device, cells in, vectors,
 * probabilities, words and new cells out. Training builds on the parts below it (scgpt.h,
 * qformer.h, bert.h, llama.h, celldecoder.h).
 *
 * Vectors. A bundle may hold several members (the same model trained from other seeds); their
 * answers are averaged. With M members, Q queries and width P a cell is query[M,Q,P] (each row of
 * unit length) and a text is a row of D = M*P numbers, unit length as a whole (each member's part
 * has length 1/sqrt(M)). The similarity of a cell and a text is the mean over members of the
 * largest query's cosine: model_similarity(), -1..1.
 *
 * Threads: one at a time. Gene numbers are indices into the bundle's genes (model_gene_name). */
#ifndef SCMM_MODEL_MODEL_H
#define SCMM_MODEL_MODEL_H
#include "core/base/err.h"
#include "core/base/job.h"
#include "core/data/csr.h"
#include "core/model/celltypes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Model Model;

typedef struct ModelDesc {
    char name[64];    /* "mini-1" */
    char device[128]; /* "CPU (...)" */
    char dir[1024];
    char sha256[65];                /* of the bundle's hash list: changes with any file */
    size_t parameters;              /* of all parts and members */
    size_t genes;                   /* G */
    size_t members, queries, width; /* M, Q, P */
    size_t dim;                     /* D = M*P */
    size_t cls_width;               /* C, of all members together */
    size_t text_width;              /* W, of the text tower (384) */
    bool has_match, has_decoder, has_generator;
    bool own_words;    /* the decoder writes from the cell alone, the generator from the prompt's
                          words: it takes no beginning, and there are no anchors */
    float temperature; /* softmax(similarity / temperature) is calibrated */
    float unknown_margin;
} ModelDesc;

/* Loads DIR/config.json and the parts it names; device as device_open() ("auto", "cpu", "cuda").
 * Checks every tensor's name and shape; ERR_MODEL names the file and tensor. The cell-type library
 * is read from `celltypes_dir`. */
CHECKED Err model_load(const char *dir, const char *celltypes_dir, const char *device, JobCtl *ctl,
                       Model **out);
void model_free(Model *m); /* NULL ok */
const ModelDesc *model_desc(const Model *m);
const CellTypes *model_celltypes(const Model *m);
/* Compares each file of the bundle with its hash list; ERR_MODEL naming the first that differs or
 * is missing. */
CHECKED Err model_verify(const char *dir);

/* ---- genes ---- */
const char *model_gene_name(const Model *m, size_t gene);
/* By symbol: exact, then alias (old symbols, Ensembl ids), then ignoring case; -1. */
int32_t model_find_gene(const Model *m, const char *name);
/* Per gene [G]: mean and standard deviation of x over cell types. */
const float *model_gene_mean(const Model *m);
const float *model_gene_sd(const Model *m);

typedef struct GeneMap {
    size_t n_file; /* columns of the file */
    int32_t
        *gene; /* [n_file] model gene or -1; of several columns with one gene the first has it */
    size_t matched; /* columns with a gene */
    double panel;   /* F: share of an average cell's counts that the file's genes make up */
} GeneMap;
/* ERR_FEW_GENES ("3 of 900 genes ...") when fewer than min_matched match. */
CHECKED Err model_map_genes(const Model *m, const char *const *names, size_t n, size_t min_matched,
                            GeneMap *out);
void gene_map_done(GeneMap *g);

/* ---- cells ---- */
/* x of one gene of a cell, panel-aware: log1p(1e4 * F * count / total), total over the mapped
 * genes. */
float model_x(const GeneMap *g, double count, double total);
typedef struct CellTokens { /* what the encoder reads */
    size_t n, width;        /* cells, tokens per cell (without <cls>) */
    int32_t *gene;          /* [n,width], most telling first; unused entries -1 */
    float *value;           /* [n,width] x */
    int32_t *len;           /* [n] tokens used */
} CellTokens;
/* Rows of a file in g's columns; lognorm: values are log1p, brought back first. Rows without counts
 * get len 0. */
CHECKED Err model_tokenize_cells(const Model *m, const GeneMap *g, const Csr *rows, bool lognorm,
                                 CellTokens *out);
void cell_tokens_done(CellTokens *t);

typedef struct CellVectors {
    size_t n, m, q, p, d, c;
    float *query; /* [n,M,Q,P] unit rows */
    float *x;     /* [n,D] obsm/X_scmmgpt: mean of the normalised queries, normalised */
    float *cls;   /* [n,C] obsm/X_scgpt: encoder <cls>, normalised */
} CellVectors;
CHECKED Err model_embed_cells(Model *m, const CellTokens *cells, JobCtl *ctl, CellVectors *out);
void cell_vectors_done(CellVectors *v);

/* ---- texts ---- */
typedef struct TextVectors {
    size_t n, d, w;
    float *vec; /* [n,D] in the space shared with cells */
    float *raw; /* [n,W] the text tower's sentence vector, unit length: text against text */
} TextVectors;
CHECKED Err model_embed_texts(Model *m, const char *const *texts, size_t n, JobCtl *ctl,
                              TextVectors *out);
void text_vectors_done(TextVectors *v);
/* raw[n,W] -> vec[n,D] (the projection alone). */
CHECKED Err model_project_texts(Model *m, const float *raw, size_t n, float *vec);

/* S[n,m] = similarity of n cells (query vectors) and m texts (rows of D). Texts may be mixtures:
 * they are normalised per member first. */
void model_similarity(const Model *m, const float *query, size_t n, const float *text,
                      size_t n_text, float *s);

/* Texts for the matching head: their vectors, and the words for models that read them inside. */
typedef struct MatchTexts {
    const float *raw; /* [.,W] text tower vectors */
    const char *const *words;
} MatchTexts;
/* Probability that cell and text belong together, by the matching head: p[i] for cells[cell[i]] and
 * text[i] of texts. ERR_MODEL when the bundle has no matching head. */
CHECKED Err model_match(Model *m, const CellTokens *cells, const size_t *cell,
                        const MatchTexts *texts, const size_t *text, size_t n_pairs, JobCtl *ctl,
                        float *p);

/* A gene word: the meaning of a set of genes as a text-like row of D ("CCR7 SELL LEF1"); unit
 * length. */
CHECKED Err model_gene_words(Model *m, const int32_t *genes, size_t n, float *vec);

/* ---- library ---- */
typedef struct LibraryVectors { /* borrowed from the model */
    size_t n_types;             /* = celltypes_count */
    size_t n_texts;
    const float *label;             /* [n_types,D] vector of the plain name */
    const float *mean_texts;        /* [n_types,D] of name and all own-words texts */
    const float *text;              /* [n_texts,D] every name, synonym and own-words text */
    const float *text_raw;          /* [n_texts,W] */
    const int32_t *text_type;       /* [n_texts] library type */
    const uint8_t *text_kind;       /* [n_texts] 0 name, 1 synonym, 2 own words */
    const char *const *text_string; /* [n_texts] */
    const size_t *first_text; /* [n_types+1] texts of type i are first_text[i] .. first_text[i+1]-1,
                                 name first */
    const uint8_t *trained;   /* [n_types] 1: training cells of this type or of a descendant */
} LibraryVectors;
/* Vectors that the bundle stores, or that were kept in the cache folder at an earlier start, are
 * taken from there; other texts are embedded now. */
CHECKED Err model_library(Model *m, JobCtl *ctl, const LibraryVectors **out);

/* ---- cell to text ---- */
typedef struct DescribeSpec {
    const CellTokens *cells; /* one cell, or a set described together */
    const size_t *rows;      /* [n_rows] which cells; a set is their mean expression */
    size_t n_rows;
    const uint8_t *allowed; /* [G] genes that may be named; NULL: the tokens' genes */
    const char *begin;      /* text it must begin with; NULL none */
    int beams;              /* 1 greedy */
    float temperature;      /* > 0: sampling */
    uint64_t seed;
    int max_tokens; /* 0: 96 */
} DescribeSpec;
typedef struct DescribeResult {
    char *text;
    size_t tokens;
    int32_t *genes; /* [n_genes] named, in order, without repeats */
    size_t n_genes;
    bool cancelled; /* text is what was written until then */
} DescribeResult;
/* Streams through job_text (greedy and sampling; beams at the end). */
CHECKED Err model_describe(Model *m, const DescribeSpec *s, JobCtl *ctl, DescribeResult *out);
void describe_result_done(DescribeResult *r);

/* ---- text to cell ---- */
typedef struct Anchor {
    const char *type_id, *type_name, *tissue; /* tissue "" unknown */
    size_t n;                                 /* training cells behind it */
    bool full;                                /* from cells of a full transcriptome */
    bool measured;                            /* from cells; else simulated from averages */
} Anchor;
const Anchor *model_anchors(const Model *m, size_t *n); /* NULL, 0 without generator */
/* The cross-attention projector: weights [anchors], sum 1, of a prompt's text tower vector raw[W].
 */
CHECKED Err model_anchor_weights(Model *m, const float *raw, float *weights);
/* x of n genes at the middle of every anchor, out[anchors,n]: where would markers be high? */
CHECKED Err model_anchor_expression(Model *m, const int32_t *genes, size_t n, float *out);
typedef struct GenerateSpec {
    const float *weights; /* [anchors] */
    const GeneMap *genes; /* columns of the result */
    const char *prompt; /* for generators that read the words themselves (own_words) */
    size_t n;
    uint64_t seed;
    double log_size_mean,
        log_size_sd;       /* of a cell's total count; both 0: the model's (median 2300, sd .4) */
    const float *emphasis; /* [G] added to the log expression of each gene; NULL */
} GenerateSpec;
/* counts[n, n_file] integers; anchor[n] (NULL ok) the anchor each cell was drawn from. */
CHECKED Err model_generate(Model *m, const GenerateSpec *s, JobCtl *ctl, Csr *counts,
                           int32_t *anchor);
#endif
