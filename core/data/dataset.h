/* An opened single-cell file, read-only, whatever its format. Opening reads structure, obs/var
 * shapes and a sample of each matrix, never a whole matrix; columns, names and embeddings are read
 * on first use and kept. Threads: one thread at a time (the worker, once jobs run). Borrowed
 * pointers live until dataset_close(). */
#ifndef SCMM_DATA_DATASET_H
#define SCMM_DATA_DATASET_H
#include "core/base/err.h"
#include "core/base/job.h"
#include "core/data/csr.h"
#include <stdbool.h>

typedef struct Dataset Dataset;
struct Tree; /* tree.h */

typedef struct DatasetOptions {
    const char *genome;       /* 10x files with several; NULL: the only one */
    const char *feature_type; /* NULL: "Gene Expression" */
    const char *gene_column;  /* var column with gene names; NULL: found */
    const char *matrix;       /* force the model matrix ("raw/X"); NULL: found */
    bool any_genome;     /* open 10x files with several genomes without a choice (for `info`) */
    bool allow_external; /* links to other files, external storage, virtual datasets are followed */
    bool map_orthologs;  /* mouse gene symbols with one human counterpart take its name */
} DatasetOptions;

typedef enum MatrixState { STATE_COUNTS, STATE_LOGNORM, STATE_SCALED, STATE_UNKNOWN } MatrixState;
const char *matrix_state_name(MatrixState s); /* "counts", "lognorm", "scaled", "unknown" */

typedef struct MatrixInfo {
    char *name;          /* "X", "raw/X", "layers/counts" */
    const char *storage; /* "csr", "csc", "dense" */
    char dtype[16];      /* as numpy writes it: "float32" */
    size_t rows, cols;
    size_t nnz; /* as stored; dense: rows * cols */
    MatrixState state;
    bool usable_for_model; /* its values are counts, or can serve as log-normalised ones */
    bool readable;
} MatrixInfo;

typedef enum ColumnKind {
    COLUMN_CATEGORICAL,
    COLUMN_NUMERIC,
    COLUMN_STRING,
    COLUMN_BOOL
} ColumnKind;
const char *column_kind_name(ColumnKind k); /* "categorical", "numeric", "string", "bool" */

typedef struct Column {
    char *name;
    ColumnKind kind;
    size_t n;
    int32_t *codes;    /* categorical: index into categories; bool: 0/1; -1 missing */
    char **categories; /* stored order, unused ones included */
    size_t n_categories;
    bool ordered;
    double *numbers; /* numeric; NaN missing */
    char dtype[16];  /* numeric: as stored, "int64"; empty: float64 */
    char **strings;  /* string; NULL missing */
    size_t missing;  /* cells without a value */
} Column;

typedef struct ObsmInfo {
    char *name; /* "X_umap" */
    size_t n, d;
} ObsmInfo;

CHECKED Err dataset_open(const char *path, const DatasetOptions *opt /* NULL ok */, JobCtl *ctl,
                         Dataset **out);
void dataset_close(Dataset *d); /* NULL ok */

const char *dataset_path(const Dataset *d); /* as given */
const char *
dataset_format(const Dataset *d); /* "h5ad", "10x-h5", "10x-mtx", "loom", "zarr", "memory" */
const char *dataset_encoding(const Dataset *d); /* "anndata 0.8+", ... */
size_t dataset_cells(const Dataset *d);
size_t dataset_genes(const Dataset *d); /* length of var */

size_t dataset_n_matrices(const Dataset *d);
const MatrixInfo *dataset_matrix(const Dataset *d, size_t i);
/* OK, or why the matrix cannot be read. */
CHECKED Err dataset_check_matrix(const Dataset *d, size_t i);
/* The first matrix with counts, in the order layers/counts, raw/X, X, other layers with "count" in
 * their name; -1 when none. The reason text is for people, in both cases. */
int dataset_model_matrix(const Dataset *d);
const char *dataset_model_matrix_reason(const Dataset *d);
/* What the model and analysis read: the model matrix, else a lognorm one (X first), else -1. */
int dataset_working_matrix(const Dataset *d);
/* Counts behind a log-normalised working matrix, or behind an X of counts per million and the like
 * (then there is no working matrix). Opening looks at a few cells: */
typedef struct RecoveryInfo {
    const char *matrix; /* borrowed */
    const char
        *logarithm;    /* "log1p", "log2(1 + x)", "log10(1 + x)", "none"; NULL: not looked at yet */
    double target_sum; /* of a cell's values before the logarithm; 0: differs between cells */
    size_t cells_checked;
    bool recovered; /* on all cells, by dataset_recover_counts */
} RecoveryInfo;
/* Can they be recovered exactly, as far as is known? */
bool dataset_recoverable(const Dataset *d, RecoveryInfo *out);
/* The same, or why not, as the end of a sentence about the matrix; "" for files with counts. */
const char *dataset_recovery_text(const Dataset *d);
/* Verifies it on all cells (one pass, the first time); *matrix is then the number of a matrix with
 * counts that dataset_n_matrices does not count, or -1 with the reason in dataset_recovery_text. */
CHECKED Err dataset_recover_counts(Dataset *d, JobCtl *ctl, int *matrix);
size_t dataset_n_warnings(const Dataset *d);
const char *dataset_warning(const Dataset *d, size_t i); /* each names the element */

/* Gene names of matrix i (raw/X has its own), [MatrixInfo.cols]; of var for -1; from the column
 * dataset_gene_names_from(). */
CHECKED Err dataset_gene_names(Dataset *d, int matrix, const char *const **names, size_t *n);
const char *dataset_gene_names_from(const Dataset *d); /* "index", "feature_name", ... */
/* 1 for each column of a matrix that is a gene (caller frees), NULL when all are; *others: how many
 * are not (proteins beside genes, by var/feature_types or their names). */
CHECKED Err dataset_rna_columns(Dataset *d, int matrix, uint8_t **mask, size_t *others);
CHECKED Err dataset_cell_names(Dataset *d, const char *const **names); /* [cells] */
/* Names of the cells row0.. row0+n-1, each allocated, without keeping those of all cells. */
CHECKED Err dataset_cell_names_block(Dataset *d, size_t row0, size_t n, char **out);

/* The var index itself, whatever column the gene names came from. */
CHECKED Err dataset_var_index(Dataset *d, int matrix, const char *const **names);
/* Columns of var (of raw/var for raw/X); matrix -1: var. */
size_t dataset_n_var(const Dataset *d, int matrix);
ColumnKind dataset_var_kind(const Dataset *d, int matrix, size_t i);
CHECKED Err dataset_var(Dataset *d, int matrix, size_t i, const Column **out);

size_t dataset_n_obs(const Dataset *d);
/* Name and kind without reading the values. */
const char *dataset_obs_name(const Dataset *d, size_t i);
ColumnKind dataset_obs_kind(const Dataset *d, size_t i);
int dataset_find_obs(const Dataset *d, const char *name); /* -1 */
CHECKED Err dataset_obs(Dataset *d, size_t i, const Column **out);
/* Colours of uns/<key>_colors as 0xRRGGBB for a categorical column; *n = 0 when there are none or
 * they are invalid. */
CHECKED Err dataset_colors(Dataset *d, const char *key, uint32_t **rgb /* caller frees */,
                           size_t *n);

size_t dataset_n_obsm(const Dataset *d);
const ObsmInfo *dataset_obsm_info(const Dataset *d, size_t i);
int dataset_find_obsm(const Dataset *d,
                      const char *name); /* exact, then case-insensitive, then without "X_"; -1 */
CHECKED Err dataset_obsm(Dataset *d, size_t i, float **out /* [n, d] row-major, caller frees */);

/* One that is stored as int8, as it is; ERR_NOT_FOUND for any other kind. */
CHECKED Err dataset_obsm_bytes(Dataset *d, size_t i, int8_t **out /* [n, d], caller frees */);

/* uns as a tree (tree_free); what has no place in one is left out with a warning. */
CHECKED Err dataset_uns(Dataset *d, struct Tree **out);
/* An entry of obsp (cell x cell) as Csr with float32 values (csr_done). ERR_NOT_FOUND without it. */
CHECKED Err dataset_obsp(Dataset *d, const char *name, JobCtl *ctl, Csr *out);

/* Rows row0 .. row0+n-1 of a matrix; *out is initialised on OK (csr_done). CSC matrices cost a pass
 * over the file the first time (a transposed copy is kept while it fits the memory budget). */
CHECKED Err dataset_read_rows(Dataset *d, int matrix, size_t row0, size_t n, JobCtl *ctl, Csr *out);
/* One gene's stored values for all cells, out[cells]. */
CHECKED Err dataset_read_gene(Dataset *d, int matrix, size_t col, JobCtl *ctl, float *out);
/* The same without rounding to float32; slower where the file has float64 or large integers. */
CHECKED Err dataset_read_gene_exact(Dataset *d, int matrix, size_t col, JobCtl *ctl, double *out);
/* A large matrix stored by cells can have a copy by genes in the cache folder, after which
 * dataset_read_gene needs milliseconds: `wanted` says that there is none yet and one would help;
 * `build` makes it (minutes for a million cells; a job). A failed build (full disk) changes
 * nothing. */
bool dataset_sidecar_wanted(Dataset *d, int matrix);
CHECKED Err dataset_sidecar_build(Dataset *d, int matrix, JobCtl *ctl);
/* Sum of each cell's stored values over the matrix's gene columns, out[cells]; kept after the first
 * call. */
CHECKED Err dataset_row_sums(Dataset *d, int matrix, JobCtl *ctl, double *out);
/* 10x files with several genomes: their names; 0 for all others. Such a file opens (for `info`)
 * without matrices until DatasetOptions.genome names one. */
size_t dataset_n_genomes(const Dataset *d);
const char *dataset_genome(const Dataset *d, size_t i);
/* SHA-256 of the file (kept after the first call). */
CHECKED Err dataset_sha256(Dataset *d, JobCtl *ctl, char hex[65]);
/* Begins it beside other work, for a file of at most `most` bytes; dataset_sha256() then waits for it. */
void dataset_sha256_begin(Dataset *d, size_t most);

/* A dataset over arrays in memory: for generated cells, references and tests. Takes *counts
 * (zeroing it); names are copied. State is found as for a file. */
CHECKED Err dataset_from_memory(const char *label, Csr *counts, const char *const *genes,
                                const char *const *cells /* NULL: cell0.. */, Dataset **out);
/* Adds (takes) an obs column / an embedding to a dataset in memory or an opened one (never written
 * to its file). */
CHECKED Err dataset_add_obs(Dataset *d, Column *take);
CHECKED Err dataset_add_obsm(Dataset *d, const char *name, size_t dim, float *take);
#endif
