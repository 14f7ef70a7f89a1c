/* Elements of an h5ad file, over h5_write.h: data frames, sparse matrices, trees. Private to
 * core/data. */
#ifndef SCMM_DATA_H5AD_LAYOUT_H
#define SCMM_DATA_H5AD_LAYOUT_H
#include "core/data/csr.h"
#include "core/data/dataset.h"
#include "core/data/h5_write.h"
#include "core/data/tree.h"

/* One column as an element of its own, in a form that every anndata from 0.8 on reads. */
CHECKED Err layout_column(H5Writer *w, const char *path, const Column *c);
/* The group with index and columns. index_name: what the index is called, NULL: "_index". written
 * (NULL: none): columns whose values are there already. */
CHECKED Err layout_frame(H5Writer *w, const char *path, const char *index_name,
                         const char *const *names, size_t n, const Column *const *columns,
                         size_t n_columns, const bool *written);
CHECKED Err layout_csr(H5Writer *w, const char *path, const Csr *m, DiskType values);
CHECKED Err layout_tree(H5Writer *w, const char *path, const Tree *t);
/* The items of t in a group that is there. */
CHECKED Err layout_items(H5Writer *w, const char *path, const Tree *t);
CHECKED Err layout_dict(H5Writer *w, const char *path);

/* A sparse matrix that arrives in blocks of rows. */
typedef struct RowSink RowSink;
CHECKED Err row_sink_open(H5Writer *w, const char *path, size_t rows, size_t cols, size_t nnz_hint,
                          DiskType values, RowSink **out);
/* exact: values as float64 in the order of the block, NULL: its own. */
CHECKED Err row_sink_add(RowSink *s, const Csr *block, const double *exact);
CHECKED Err row_sink_close(RowSink *s); /* writes indptr; frees s */
void row_sink_abort(RowSink *s);        /* NULL ok */
#endif
