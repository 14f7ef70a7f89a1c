/* The inside of a Dataset, shared by the readers of core/data and by nobody else. A reader fills
 * obs, var, matrices and obsm with descriptions of where things are; dataset.c, frame.c and
 * matrix.c read them on first use. */
#ifndef SCMM_DATA_DATASET_IMPL_H
#define SCMM_DATA_DATASET_IMPL_H
#include <pthread.h>

#include "core/base/str.h"
#include "core/data/dataset.h"
#include "core/data/store.h"

typedef enum SlotForm {
    SLOT_LOADED,     /* column is set */
    SLOT_ARRAY,      /* plain array at path */
    SLOT_CATEGORIES, /* codes at path, categories at categories */
    SLOT_NULLABLE,   /* group with values and mask */
    SLOT_FIELD       /* field of the compound array at path; categories may name an array */
} SlotForm;

/* One column of a frame. */
typedef struct Slot {
    char *name;
    ColumnKind kind;
    SlotForm form;
    char *path;
    char *categories;
    char *field;
    bool ordered;
    char dtype[16]; /* SLOT_FIELD */
    Column *column; /* once read */
} Slot;

/* obs, var or raw/var. */
typedef struct Frame {
    size_t n;
    char *path;
    Slot *slots;
    size_t n_slots;
    Slot index;
    char **names; /* the index as text, once read */
} Frame;

typedef enum MatrixKind {
    MATRIX_MEMORY, /* mem is filled */
    MATRIX_SPARSE, /* data, indices, indptr arrays */
    MATRIX_DENSE,
    MATRIX_MTX,      /* text file, parsed into mem on first use */
    MATRIX_SPILLED,  /* a text file too large for memory, sorted into a file: mtx_spill.c */
    MATRIX_RECOVERED /* counts behind another matrix: recover.c */
} MatrixKind;

typedef struct Matrix {
    MatrixInfo info;
    MatrixKind kind;
    bool by_cells; /* sparse: indptr runs over cells; dense: rows are cells */
    Array *data, *indices;
    Array *indptr_array;
    int64_t *indptr;   /* of the stored axis, once read */
    size_t file_genes; /* genes as stored, before the feature filter */
    int32_t *keep;     /* [file_genes] -> column or -1; NULL: all */
    char *mtx_path;
    int spill_fd; /* MATRIX_SPILLED */
    bool mtx_transposed; /* cells x genes in the file */
    Csr mem;
    Frame *var;
    int name_slot; /* slot of var with the gene names, -1: its index */
    const char **gene_names;
    double *row_sums;
    Csr window; /* rows window0.. of a matrix stored by genes */
    size_t window0;
    Csr by_gene;             /* the transpose of a small matrix, for gene columns */
    struct Sidecar *sidecar; /* sidecar.h */
    bool sidecar_tried;
    bool gene_was_read; /* the next one is worth a transpose, where the matrix is small */
    char *error; /* why it is unreadable */
} Matrix;

typedef enum ObsmKind { OBSM_MEMORY, OBSM_DENSE, OBSM_SPARSE, OBSM_FRAME, OBSM_FIELD } ObsmKind;

typedef struct Obsm {
    ObsmInfo info;
    ObsmKind kind;
    char *path, *field;
    bool transposed; /* stored [d, n] */
    float *mem;      /* OBSM_MEMORY */
} Obsm;

/* Counts behind the log-normalised working matrix: recover.h. */
typedef struct Recovery {
    int source, hidden; /* matrices; -1: none */
    int log;            /* which logarithm */
    bool possible;
    size_t checked; /* cells looked at when opening */
    double target;
    double *unit; /* [cells] once verified */
    char *text;
} Recovery;

struct Dataset {
    char *path;
    const char *format;
    char *encoding;
    Store *store;
    Frame obs, var, raw_var;
    Matrix *matrices;
    size_t n_matrices, n_hidden; /* the last n_hidden are shown to nobody */
    Recovery recovery;
    Obsm *obsm;
    size_t n_obsm;
    char **warnings;
    size_t n_warnings;
    int model_matrix, working_matrix;
    char *reason;
    char *gene_names_from;
    bool map_orthologs;
    int var_name_slot;           /* of var; -1: its index */
    const char **var_gene_names; /* of var, for files without a matrix */
    char **genomes;              /* 10x files with several */
    size_t n_genomes;
    char sha256[65];
    char **parts;                /* the files it is read from, where that is not `path` itself or all below it */
    size_t n_parts;
    char *identity;              /* of parts or of the folder, once it was asked for */
    pthread_t hasher; /* writes sha256 while `hashing` */
    bool hashing;
};

/* ---- open.c ---- */
/* dataset_open without the rehearsal in a child: for fuzzing. */
CHECKED Err dataset_open_unwatched(const char *path, const DatasetOptions *opt, Dataset **out);

/* ---- loom.c ---- */
/* A graph of cells (members a, b, w: from, to, weight) as a matrix. */
CHECKED Err loom_graph(Dataset *d, const char *path, JobCtl *ctl, Csr *out);

/* ---- sha.c ---- */
/* Adds a text that changes when a file of the dataset does (path, size, time, inode; of a folder as it was when this was
 * first asked); real as in cache_file_identity. ERR_GENERAL when there is no file. */
CHECKED Err dataset_identity(Dataset *d, Str *out, char real[1024]);

/* ---- refuse.c: what is not read here, and the way out; each fails with ERR_INPUT ---- */
/* A file by its name and its first n bytes, which a 0 ends. */
CHECKED Err refuse_file(const char *path, const char *head, size_t n);
/* OK for layouts that may be read here. */
CHECKED Err refuse_layout(Store *s);
/* A folder that holds no data itself: says what lies below it. */
CHECKED Err refuse_folder(const char *path);

/* ---- dataset.c ---- */
Dataset *dataset_make(const char *path, const char *format, const char *encoding);
/* A warning that names its element. */
void dataset_warn(Dataset *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same with the current error message behind it. */
void dataset_warn_error(Dataset *d, const char *element);
/* The new, zeroed matrix (the array may move). */
Matrix *dataset_new_matrix(Dataset *d, const char *name);
Obsm *dataset_new_obsm(Dataset *d, const char *name, ObsmKind kind, size_t n, size_t dim);
/* States, the model matrix and gene names: called once by each reader when everything is described.
 */
CHECKED Err dataset_settle(Dataset *d, const DatasetOptions *opt);

/* ---- rna_columns.c ---- */
CHECKED Err rna_columns(Dataset *d, Frame *var, uint8_t **mask, size_t *others, const char **what);
/* A warning when var has a column of types that names others than genes. */
void warn_of_proteins(Dataset *d);

/* ---- uns_read.c ---- */
/* The member `name` of uns into the dict, with a warning for what has no place there. */
void uns_read_item(Dataset *d, const char *name, struct Tree *into);

/* ---- frame.c ---- */
/* A group or compound array in any generation of the format; unreadable columns become warnings. */
CHECKED Err frame_open(Dataset *d, const char *path, Frame *out);
Slot *frame_add_slot(Frame *f, const char *name, ColumnKind kind, SlotForm form, const char *path);
/* A loaded slot; takes the column (its n must be f->n). */
void frame_add_column(Frame *f, Column *take);
CHECKED Err slot_read(Dataset *d, const Frame *f, Slot *s, const Column **out);
CHECKED Err frame_names(Dataset *d, Frame *f, char ***names);
CHECKED Err frame_names_block(Dataset *d, Frame *f, size_t row0, size_t n, char **out);
/* Up to cap values of a slot without reading all of it; *n says how many. */
CHECKED Err slot_sample(Dataset *d, const Frame *f, Slot *s, size_t cap, char **out, size_t *n);
/* A look at codes and categories without reading all. */
CHECKED Err slot_touch(Dataset *d, const Frame *f, const Slot *s);
void frame_done(Frame *f);

/* ---- matrix.c, matrix_columns.c ---- */
/* Fails with the reason when the matrix cannot be read. */
CHECKED Err matrix_check(const Matrix *m);
CHECKED Err matrix_sample_state(Dataset *d, Matrix *m);
CHECKED Err matrix_read_rows(Dataset *d, Matrix *m, size_t row0, size_t n, JobCtl *ctl, Csr *out);
CHECKED Err matrix_read_gene(Dataset *d, Matrix *m, size_t col, JobCtl *ctl, float *out);
/* indptr into memory, checked. */
CHECKED Err matrix_load_indptr(Matrix *m);
/* The column in the file of a column that the feature filter left. */
size_t matrix_file_column(const Matrix *m, size_t col);
/* Sums of the cells from the sidecar, out[rows]; false: there is none. */
bool matrix_cached_sums(Dataset *d, Matrix *m, double *out);
/* ---- scan.c ---- */
/* A gene (column of the file) of a matrix stored by cells, by a pass over the indices; adds to out.
 */
CHECKED Err matrix_scan_gene(Matrix *m, size_t file_column, JobCtl *ctl, float *out);
/* Sums of all rows by a pass over the values, out[rows], for matrices that say they can. */
bool matrix_can_sum(const Matrix *m);
CHECKED Err matrix_sum_rows(Matrix *m, JobCtl *ctl, double *out);
/* ---- matrix.c again ---- */
/* The values of rows row0.. (as read into block) as float64 into *out, when float32 has rounded
 * them and they can be had in the block's order; else *out = NULL, and *rounded says that they are
 * rounded. */
CHECKED Err matrix_exact_values(Matrix *m, size_t row0, const Csr *block, double **out,
                                bool *rounded);
void matrix_done(Matrix *m);
/* From a finite set of values; `any` false when there were none but zeros. */
typedef struct StateSample {
    size_t n, nonzero;
    double max;
    bool negative, fractional, bad; /* bad: NaN or infinite */
} StateSample;
void state_sample_add(StateSample *s, const float *values, size_t n);
MatrixState state_of_sample(const StateSample *s);
/* Rows to take at a time so that a block stays near 16 MB. */
size_t matrix_block_rows(const Matrix *m);

/* ---- readers, each given an opened store; on OK they own it ---- */
CHECKED Err h5ad_read(Dataset *d, const DatasetOptions *opt);
CHECKED Err tenx_read(Dataset *d, const DatasetOptions *opt);
CHECKED Err loom_read(Dataset *d, const DatasetOptions *opt);
CHECKED Err mtx_read(Dataset *d, const DatasetOptions *opt);
CHECKED Err mtx_load(Dataset *d, Matrix *m, JobCtl *ctl);
/* Describes the matrix element at path (sparse group or dense array) in *m. */
CHECKED Err matrix_describe(Dataset *d, const char *path, Matrix *m);
/* Ends what dataset_sha256_begin() began. */
void dataset_sha256_wait(Dataset *d);
#endif
