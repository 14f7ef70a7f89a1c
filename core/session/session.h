/* The one door: everything the explorer and the command line do to data goes through these functions, so that a pane
 * and a subcommand give the same answer. Implemented in session_*.c, one file a topic.
 *
 * Threads: a Session belongs to one thread at a time (the worker once the explorer runs). Results are new objects
 * owned by the caller, immutable, freed by their x_free; they stay valid whatever the session does later.
 * Everything long takes a JobCtl (NULL ok). Cells are numbered as in the file, 0-based. */
#ifndef SCMM_SESSION_SESSION_H
#define SCMM_SESSION_SESSION_H
#include "core/base/err.h"
#include "core/base/job.h"
#include "core/data/dataset.h"
#include "core/eval/report.h"
#include <string.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Session Session;

typedef struct SessionParams {
    DatasetOptions dataset;
    const char *device;    /* "auto", "cpu", "cuda", "cuda:1" */
    const char *model_dir; /* NULL: $SCMMGPT_MODEL, else the shipped bundle */
    size_t min_genes;      /* of the model's vocabulary that a file must have; 0: 100, and more where names match by chance */
    uint64_t seed;
    const char *command;   /* the command line, for provenance; NULL ok */
} SessionParams;
SessionParams session_params_default(void);

CHECKED Err session_open(const SessionParams *p, const char *path, JobCtl *ctl, Session **out);
/* A session without data (generate, model). */
CHECKED Err session_open_empty(const SessionParams *p, Session **out);
void session_close(Session *s); /* NULL ok */
Dataset *session_dataset(Session *s); /* borrowed; NULL for an empty session */
const SessionParams *session_params(const Session *s);
/* Where the analysis computes: "cpu", or the GPU's name; opens it. Borrowed. Errors as --device has them: ERR_USAGE,
 * ERR_GENERAL. */
CHECKED Err session_device_name(Session *s, const char **out);

/* ---- what a file has: session_view.c ---- */
typedef struct Values { /* one number a cell */
    char *name;  /* "CD3E", "n_counts", "query: ..." */
    char *unit;  /* "log1p CP10k", "counts", "" */
    size_t n;
    float *v;    /* NaN missing */
} Values;
void values_free(Values *v);

typedef struct Groups { /* a partition of the cells */
    char *key;          /* "leiden", "cell_type" */
    size_t n_cells, n_groups;
    int32_t *codes;     /* [n_cells], -1 missing; not to be changed when they are the dataset's */
    bool borrowed;      /* codes are those of a column of the dataset, which outlives the groups' use */
    char **names;       /* [n_groups] */
    size_t *sizes;      /* [n_groups] */
    uint32_t *colors;   /* [n_groups] 0xRRGGBB */
    bool computed;      /* by this program, not stored in the file */
    char *model_sha256; /* of a model that named groups in a table; NULL */
} Groups;
void groups_free(Groups *g);
static inline bool groups_are_annotation(const Groups *g) /* of annotation_groups() */
{
    return g->computed && strcmp(g->key, "annotation") == 0;
}
CHECKED Err groups_copy(const Groups *g, Groups **out);

typedef struct Map { /* two coordinates a cell */
    char *name;      /* "X_umap" */
    size_t n;
    float *xy;       /* [n, 2], NaN missing */
    bool computed;
} Map;
void map_free(Map *m);

typedef struct Selection {
    char *rule;        /* text that gives it again */
    size_t n_cells, n; /* cells in the file; selected */
    uint8_t *in;       /* [n_cells] 0/1 */
} Selection;
void selection_free(Selection *s);

/* The stored 2-D map: `basis` ("umap", "X_umap"), NULL: the best there is (umap, tsne, ..., X_pca, two obs columns
 * such as UMAP_1/UMAP_2). ERR_NOT_FOUND when there is none. */
CHECKED Err session_map(Session *s, const char *basis, JobCtl *ctl, Map **out);
/* A partition by obs column; NULL: the best there is (cell types, then leiden/louvain/clusters). ERR_NOT_FOUND. */
CHECKED Err session_groups(Session *s, const char *key, JobCtl *ctl, Groups **out);
/* Any numeric or bool obs column. */
CHECKED Err session_obs_values(Session *s, const char *key, JobCtl *ctl, Values **out);
/* A gene by any of its names; lognorm: log1p of counts per 10,000, else as stored. ERR_NOT_FOUND with suggestions. */
CHECKED Err session_gene(Session *s, const char *name, bool lognorm, JobCtl *ctl, Values **out);
/* cli.md's rules: leiden=3, cell_type="B cell", CD3E>0, and/or/not, parentheses, all, @FILE. */
CHECKED Err session_select(Session *s, const char *rule, JobCtl *ctl, Selection **out);

/* ---- analysis: session_analysis.c, session_markers.c, session_samples.c, session_groups.c, session_scores.c ---- */
typedef struct ClusterParams {
    double resolution; /* 1 */
    int neighbors;     /* 15 */
    int pcs;           /* 50 */
    int hvg;           /* 2000 */
    bool seurat_v3;    /* variable genes by counts (ERR_FEW_GENES without) instead of dispersions; false */
    const char *use_rep; /* obsm key instead of PCA; NULL */
    bool umap;         /* true */
    double min_dist, spread; /* 0.5, 1 as scanpy */
    bool stored_graph;   /* without umap: use obsp/connectivities where the file has it; false */
} ClusterParams;
ClusterParams cluster_params_default(void);
typedef struct Clustering {
    Groups *groups; /* "leiden", categories "0", "1", ... by falling size */
    Map *map;       /* NULL when umap is off */
    float *pca;     /* [n, pcs] */
    double *pca_variance, *pca_ratio; /* [pcs] explained, and its share of the total; NULL without pca */
    size_t n, pcs;
    size_t n_genes;   /* of var; 0 without pca, or when the matrix has other genes than var */
    uint8_t *variable; /* [n_genes] 1: chosen for pca */
    double *gene_mean, *gene_dispersion; /* [n_genes] log1p of the mean; normalised dispersion (NaN: none); seurat_v3: mean
                                            count; variance of standardised counts */
    Csr connectivities, distances; /* [n, n] */
    double modularity;
    double recall; /* share of the true neighbours that were found: 1 exact, else measured on a sample; 0 not known */
    ClusterParams params;
} Clustering;
void clustering_free(Clustering *c);
/* Normalise, variable genes, PCA, neighbours, UMAP, Leiden. Stages already done with the same parameters are reused
 * from the session (a new resolution only reruns Leiden). */
CHECKED Err session_cluster(Session *s, const ClusterParams *p, JobCtl *ctl, Clustering **out);

/* Clusters the selected cells alone, from variable genes on. groups and map cover all cells (-1, NaN outside); pca and
 * the graphs the selected ones, in file order. Not kept in the session. */
CHECKED Err session_subcluster(Session *s, const Selection *cells, const ClusterParams *p, JobCtl *ctl,
                               Clustering **out);
/* A copy of g where the groups which[n] are one, called `name` (NULL: the first one's name), in the first one's place. */
CHECKED Err groups_merge(const Groups *g, const int32_t *which, size_t n, const char *name, Groups **out);
/* A copy of g where the cells that `sub` has in groups are groups of their own, "NAME.0", "NAME.1", ...; groups of g that
 * no cell is left in go. The first part of such a one keeps its colour. */
CHECKED Err groups_split(const Groups *g, const Groups *sub, const char *name, Groups **out);
/* A partition as TSV: the cell's name and its group, order and colours of the groups in comments. */
CHECKED Err groups_write(const Groups *g, const char *const *cells, const char *path, bool force);
/* Any TSV whose first column is the cell's name; column NULL: its second. Cells it does not name have no group.
 * ERR_NOT_FOUND: no such column, or no such cell. */
CHECKED Err groups_read(Session *s, const char *path, const char *column, Groups **out);
/* Each group of `after` takes the colour of the group of `before` that it overlaps most with, each colour once; the rest
 * get colours that are not taken. */
CHECKED Err groups_keep_colors(const Groups *before, Groups *after);

/* The mean of some genes less the mean of 50 genes of like expression for each (Tirosh et al. 2016; scanpy's
 * score_genes), log-normalised. Genes that are not in the file are left out; ERR_NOT_FOUND when none is. */
CHECKED Err session_score_genes(Session *s, const char *const *genes, size_t n, const char *name, JobCtl *ctl,
                                Values **out);
typedef struct Qc { /* of the working matrix, as stored */
    Values *counts;     /* sum of the values */
    Values *genes;      /* genes above 0 */
    Values *mito, *ribo; /* per cent of the sum in MT- and RPS/RPL genes; NaN for an empty cell */
    size_t n_mito, n_ribo; /* such genes in the file */
} Qc;
void qc_free(Qc *q);
CHECKED Err session_qc(Session *s, JobCtl *ctl, Qc **out);
/* What colours cells by number, under the name it was asked by: "qc:counts", "qc:genes", "qc:mito", "qc:ribo",
 * "score:CD79A,MS4A1", an obs column, else a gene (log-normalised). */
CHECKED Err session_color_values(Session *s, const char *name, JobCtl *ctl, Values **out);
bool color_is_computed(const char *name); /* "qc:..." or "score:..." */

typedef enum MarkerMethod { MARKERS_WILCOXON, MARKERS_TTEST, MARKERS_OVERESTIMATED } MarkerMethod;
/* "wilcoxon", "t-test", "t-test_overestim_var" */
const char *marker_method_name(MarkerMethod m);
typedef struct Marker {
    int32_t group; /* index into Groups; 0 for A versus B */
    int32_t col;   /* gene column of the working matrix; -1: a stored marker that is not in it */
    const char *gene; /* borrowed from the dataset (valid until session_close), or with col -1 from the table */
    float score, logfoldchange, frac_in, frac_out;
    double pval, pval_adj;
} Marker;
typedef struct MarkerTable {
    char *groupby, *method;
    size_t n;
    Marker *rows; /* by group, best score first */
    bool precomputed; /* taken from the file's rank_genes_groups: numbers it lacks are NaN */
    struct StoredRanks *stored; /* then: where they are from (core/data/stored_ranks.h) */
} MarkerTable;
void marker_table_free(MarkerTable *t);
/* One group against the rest, for every group; top 0 = all genes. */
CHECKED Err session_markers(Session *s, const Groups *g, MarkerMethod m, size_t top, JobCtl *ctl, MarkerTable **out);
/* The file's own ranking of these groups, in its order. ERR_NOT_FOUND when it has none, or the groups are not its own. */
CHECKED Err session_stored_markers(Session *s, const Groups *g, size_t top, JobCtl *ctl, MarkerTable **out);
CHECKED Err session_de(Session *s, const Selection *a, const Selection *b, MarkerMethod m, size_t top, JobCtl *ctl,
                       MarkerTable **out);
/* A against B with the samples of obs column `sample_key` as units: counts summed over each sample's cells of each side,
 * log-normalised, Welch's t between the sums. Shares are those of cells. ERR_NOT_FOUND with fewer than two samples a side,
 * ERR_FEW_GENES without counts. */
CHECKED Err session_de_samples(Session *s, const Selection *a, const Selection *b, const char *sample_key, size_t top,
                               JobCtl *ctl, MarkerTable **out);

/* ---- model: session_model.c, session_annotate.c, session_query.c, session_describe.c, session_generate.c ---- */
typedef struct ModelInfo { /* borrowed from the session */
    char name[64];        /* "mini-1" */
    char device[64];      /* "cpu", "cuda:0 NVIDIA H100" */
    char dir[512];
    char sha256[65];
    size_t parameters, vocab_genes;
    char matrix[160];        /* what it reads and why: "X: the first matrix whose values are counts (...)" */
    size_t genes_matched, genes_in_file; /* of the session's dataset */
} ModelInfo;
/* Loads the bundle (once). The explorer runs without it; every model function loads it when needed. */
CHECKED Err session_load_model(Session *s, JobCtl *ctl);
const ModelInfo *session_model(const Session *s); /* NULL before it is loaded */
/* Embeds all cells (once; kept). Others call it when needed. `first` cells may be asked for before the rest. */
CHECKED Err session_embed(Session *s, JobCtl *ctl);
bool session_is_embedded(const Session *s);
typedef struct CellEmbedding {
    size_t n, d_text, d_cls;
    float *x_scmmgpt; /* [n, d_text] unit length, shared with text */
    float *x_scgpt;   /* [n, d_cls] encoder <cls>, unit length */
    size_t d_queries;
    int8_t *queries;  /* [n, d_queries] the query vectors that scores come from, as bytes */
} CellEmbedding;
void cell_embedding_free(CellEmbedding *e);
CHECKED Err session_cell_embedding(Session *s, JobCtl *ctl, CellEmbedding **out);

typedef struct AnnotateParams {
    const char *labels_file; /* one label a line, optional TAB description; NULL: all types of the library */
    const char *labels_from; /* obs key whose categories are the candidates; NULL */
    const char *const *labels; /* candidates given in memory (n_labels of them); NULL */
    size_t n_labels;
    double evidence;  /* weight of the library's markers beside the model's similarity: 1 */
    double refine;    /* lambda of the graph smoothing; < 0: automatic (on for files large enough); 0: off */
    int rerank;       /* candidates re-scored by the matching head; 0 */
    const char *few_shot, *few_shot_key; /* reference h5ad and its label column; NULL */
} AnnotateParams;
AnnotateParams annotate_params_default(void);
typedef struct Annotation {
    size_t n;          /* rows: cells, or groups */
    size_t n_labels;
    char **labels;     /* [n_labels] as given */
    char **label_ids;  /* [n_labels] CL id or "" */
    int32_t *label, *second;             /* [n] index into labels; second -1 if only one label */
    float *probability, *second_probability; /* [n] */
    uint8_t *unknown;  /* [n] */
    float *unknown_score; /* [n] larger = less like anything known */
    char **evidence, **missing_markers; /* [n] comma-separated gene names, "" */
    double refine_used; /* lambda that was applied, 0 if none */
} Annotation;
void annotation_free(Annotation *a);
/* One row a cell (groups NULL) or a group. */
CHECKED Err session_annotate(Session *s, const AnnotateParams *p, const Groups *groups, JobCtl *ctl, Annotation **out);
/* The labels of an annotation of cells (no groups) as a partition, key "annotation". Types with fewer than 5 cells or 0.5 %
 * share one group: they say more about the model's doubt than about the tissue, and would hide the rest. */
Groups *annotation_groups(const Annotation *an);

typedef enum Decoding { DECODE_GREEDY, DECODE_BEAM, DECODE_SAMPLE } Decoding;
typedef struct DescribeParams {
    Decoding decoding;  /* greedy */
    int beams;          /* 5 */
    double temperature; /* 1 */
    uint64_t seed;
} DescribeParams;
DescribeParams describe_params_default(void);
typedef struct Description {
    char *subject;   /* cell or group name */
    char *text;
    char *label, *label_id;
    float probability;
    char *second;    /* next best label, "" */
    float second_probability;
    bool unknown;
    char **markers_named;    /* every gene symbol in text */
    uint8_t *markers_expressed; /* [n_markers] 1: expressed in the cell / in 25 % of the group */
    size_t n_markers;
    char *evidence, *missing_markers; /* as Annotation */
    char decoding[32]; /* "greedy", "beams 5", "temperature 0.8" */
    size_t tokens;
    uint64_t seed;
    bool cancelled;  /* text is what was written until then */
    bool corrected;  /* the decoder went on about another type than the label: it was led back to the library's facts */
} Description;
void description_free(Description *d);
/* Of one cell, or of a set of cells taken together; streams the text through job_text(ctl). */
CHECKED Err session_describe_cell(Session *s, size_t cell, const DescribeParams *p, JobCtl *ctl, Description **out);
CHECKED Err session_describe_set(Session *s, const Selection *cells, const char *name, const DescribeParams *p,
                                 JobCtl *ctl, Description **out);

typedef struct QueryResult {
    char *text;
    Values *scores;    /* comparable between prompts on one file */
    float *percentile; /* [n] 0..100 */
    size_t *order;     /* [n] cells, best first */
    char *understood;  /* what the prompt was taken for: "plasma cell; plasmablast; genes SDC1" */
    char *warning;     /* "", or "no cell of this file scores high: ..." */
} QueryResult;
void query_result_free(QueryResult *q);
/* ERR_NOT_FOUND for a prompt that names nothing biological. */
CHECKED Err session_query(Session *s, const char *text, JobCtl *ctl, QueryResult **out);

typedef struct GenerateParams {
    const char *prompt;
    size_t n;
    uint64_t seed;
    const char *genes_from; /* file whose genes (names only) are used; NULL: the session's dataset, else the model's */
    const char *label_key;  /* obs column with the real cells' types, for the quality report; NULL: annotation */
    bool place_only;        /* counts and places on the map alone: no labels, vectors and quality of the new cells */
} GenerateParams;
typedef struct Quality { /* generated against real cells; [1] is the shuffled prompt */
    char *prompt, *shuffled_prompt;
    size_t n;
    double knn_acc[2][4];     /* k = 3, 5, 10, 25 */
    double mmd[2], emd[2], mmd_real, emd_real; /* real: two halves of the real cells */
    double sparsity, sparsity_real;            /* share of zeros */
    double counts_median, counts_median_real, genes_median, genes_median_real;
    double diversity;         /* within-type spread relative to the real one */
    char *nearest_types[2];   /* "plasma cell 93%, B cell 6%" */
    char *high, *low;         /* marker check: expressed as they should be / absent as they should */
} Quality;
typedef struct Generated {
    char *prompt;
    uint64_t seed;
    char *understood;
    Csr counts;           /* [n, n_genes] integers */
    size_t n_genes;
    char **genes;         /* [n_genes] */
    char **nearest_label; /* [n] */
    float *x_scmmgpt;     /* [n, d] */
    size_t d;
    float *xy;            /* [n, 2] on the session's map, NULL without one */
    Quality *quality;     /* NULL without real cells */
} Generated;
void generated_free(Generated *g);
void quality_free(Quality *q);
/* ERR_NOT_FOUND when no type is matched with confidence. `map` NULL: no projection. */
CHECKED Err session_generate(Session *s, const GenerateParams *p, const Map *map, JobCtl *ctl, Generated **out);

/* ---- figures: session_figure.c; the description is core/figure/scatter.h ---- */
typedef struct PlotParams {
    const char *const *colors; /* obs keys or genes, one panel each */
    size_t n_colors;
    const char *basis, *split_by, *highlight;
    const char *size;     /* "85mm", "170mm", "slide", "square" */
    double dpi;           /* 300 */
    const char *output;   /* .png, .svg, .pdf */
    const char *legend;   /* "right", "data", "both", "none" */
    const char *cmap;     /* colour map of numbers: "viridis", ... */
    const char *vmin, *vmax; /* "0.5" or a percentile "p99"; NULL: the values' */
    const char *vector_points; /* "auto", "always", "never" */
    int columns;          /* panels side by side; 0: up to 4 */
    double point_scale;   /* 0: 1 */
    bool sidecar, force, transparent, strip_metadata;
    const char *style;    /* "paper", "meeting", "poster": text and marks 1, 1.7, 2.5 times as large; NULL: meeting for slides */
    const char *simulate; /* "deuteranopia", ...: as such a viewer sees it; NULL */
    const char *frame;    /* "arrows", "full", "none" */
    const char *vcenter;  /* a number in the middle of the scale, equally far from both ends; NULL */
    bool letters, glyphs, zero_grey, free_scales; /* glyphs: groups differ in shape too; free_scales: each panel of numbers its own limits */
    const Map *map;             /* NULL: the session's */
    const Groups *groups;       /* a panel coloured by these, before colors; NULL */
    const Values *values;       /* the same of numbers; NULL */
    const char *query;          /* the question whose scores `values` are, for provenance; NULL */
    const Generated *generated; /* drawn hollow; NULL */
    double view[4];             /* x0 y0 x1 y1, all 0: everything */
    const char *rule;           /* map: only these cells in colour, the others grey beneath; NULL: all */
    const char *command;        /* for provenance, instead of the session's; NULL */
} PlotParams;
PlotParams plot_params_default(void);
/* Begins what session_plot and session_chart need of the file beside other work. */
void session_plot_begin(Session *s, const PlotParams *p);
CHECKED Err session_plot(Session *s, const PlotParams *p, JobCtl *ctl);

/* Plots of groups: session_chart.c; the descriptions are core/figure/chart.h. */
typedef enum FigureKind { FIGURE_MAP, FIGURE_DOTS, FIGURE_MATRIX, FIGURE_CELLS, FIGURE_VIOLIN, FIGURE_COMPOSITION, FIGURE_HISTOGRAM } FigureKind;
/* "map", "dotplot", "matrix", "heatmap", "violin", "composition", "histogram"; ERR_USAGE lists them. */
CHECKED Err figure_kind_find(const char *name, FigureKind *out);
typedef struct ChartParams {
    FigureKind kind;
    const char *groupby;   /* obs key of the groups (composition: of the bars; without parts: bars of their sizes);
                            * NULL: the best there is (histogram: all cells) */
    const Groups *groups;  /* instead of groupby (composition with groupby: the parts, instead of a color); NULL */
    size_t markers;        /* without colors in plot: this many marker genes of each group; 0: 3 */
    bool scale_genes;      /* means of each gene from 0 to 1 */
    bool absolute;         /* composition: cells instead of shares */
    const char *rule;      /* only these cells; NULL: all */
} ChartParams;
/* plot: genes in colors (violin, histogram: obs columns too; composition: one key, the parts) or values (these two, in
 * their place), highlight (histogram: these groups alone), size, colours, output. */
CHECKED Err session_chart(Session *s, const ChartParams *c, const PlotParams *plot, JobCtl *ctl);

/* ---- measuring: session_eval.c and eval_*.c; the report is core/eval/report.h ---- */
enum { EVAL_ANNOTATE = 1, EVAL_DESCRIBE = 2, EVAL_GENERATE = 4, EVAL_RETRIEVE = 8, EVAL_CLUSTER = 16, EVAL_ALL = 31 };
typedef struct EvalParams {
    const char *label_key;   /* obs column with the truth */
    const char *labels;      /* file "stored label TAB plain name"; labels not in it are left out; NULL: as stored */
    unsigned tasks;          /* EVAL_* */
    const char *const *references; /* [n_references] labelled files "FILE" or "FILE:key", for the baselines */
    size_t n_references;
    const char *reference_labels;  /* TSV set, column, value, cl_id, read after assets/train/labels.tsv; NULL */
    const char *absent;      /* file of labels that no cell has, one a line; NULL */
    const char *prompts;     /* file "prompt TAB CL ids", to retrieve by; NULL: names and synonyms of the labels */
    const char *generate_prompts; /* file "plain name TAB prompt"; NULL: the names */
    size_t generate_cells;   /* a prompt: 40 */
    size_t describe_cells;   /* drawn by seed: 100 */
    uint64_t seed;
} EvalParams;
EvalParams eval_params_default(void);
/* Measures the tasks; a task whose part of the model is missing leaves a note and no figures. */
CHECKED Err session_eval(Session *s, const EvalParams *p, JobCtl *ctl, Report **out);
#endif
