/* Data frames, sparse matrices and uns trees in anndata's current encodings. */
#include "core/data/h5ad_layout.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"

struct RowSink {
    H5Writer *w;
    char *path;
    H5Stream *data, *indices;
    int64_t *indptr;
    size_t rows, filled;
};

Err layout_dict(H5Writer *w, const char *path)
{
    return h5w_group(w, path, "dict", "0.1.0");
}

/* ---- data frames ---- */

static Err in_group(H5Writer *w, const char *group, const char *name, char **path)
{
    *path = path_join(group, name);
    return OK;
}

static Err write_categorical(H5Writer *w, const char *path, const Column *c)
{
    uint64_t n = c->n;
    char *codes, *categories;
    TRY(h5w_group(w, path, "categorical", "0.2.0"));
    TRY(h5w_attr_bool(w, path, "ordered", c->ordered));
    TRY(in_group(w, path, "codes", &codes));
    TRY(in_group(w, path, "categories", &categories));
    DiskType t = c->n_categories < 128 ? DISK_I8 : c->n_categories < 32768 ? DISK_I16 : DISK_I32;
    Err err = h5w_array(w, codes, "array", t, 1, &n, MEM_I32, c->codes);
    if (!err)
        err = h5w_texts(w, categories, (const char *const *)c->categories, c->n_categories);
    free(codes);
    free(categories);
    return err;
}

/* Values and mask, the form for columns with missing values. */
static Err write_masked(H5Writer *w, const char *path, const char *type, const Column *c)
{
    uint64_t n = c->n;
    Err err = OK;
    int32_t *values = NULL, *mask = NULL;
    const char **texts = NULL;
    char *values_path = path_join(path, "values"), *mask_path = path_join(path, "mask");
    TRY_GOTO(NEW(values, c->n));
    TRY_GOTO(NEW(mask, c->n));
    TRY_GOTO(NEW(texts, c->n));
    for (size_t i = 0; i < c->n; i++) {
        mask[i] = c->strings ? !c->strings[i] : c->codes[i] < 0;
        values[i] = !mask[i] && c->codes && c->codes[i];
        texts[i] = c->strings && c->strings[i] ? c->strings[i] : "";
    }
    TRY_GOTO(h5w_group(w, path, type, "0.1.0"));
    if (c->strings)
        TRY_GOTO(h5w_texts(w, values_path, texts, c->n));
    else
        TRY_GOTO(h5w_array(w, values_path, "array", DISK_BOOL, 1, &n, MEM_I32, values));
    TRY_GOTO(h5w_array(w, mask_path, "array", DISK_BOOL, 1, &n, MEM_I32, mask));
done:
    free(values);
    free(mask);
    free(texts);
    free(values_path);
    free(mask_path);
    return err;
}

/* Strings with missing values: a categorical, which every version of anndata reads. */
static Err write_strings_with_gaps(H5Writer *w, const char *path, const Column *c)
{
    Column *k = column_categories_of(c->name, (const char *const *)c->strings, c->n);
    Err err = write_categorical(w, path, k);
    column_free(k);
    return err;
}

/* In the type of the source; integers with missing values become float64, as pandas does. */
static Err write_numbers(H5Writer *w, const char *path, const Column *c)
{
    uint64_t n = c->n;
    DiskType t = disk_type_of(c->dtype, DISK_F64);
    if (t != DISK_F32 && c->missing)
        t = DISK_F64;
    return h5w_array(w, path, "array", t, 1, &n, MEM_F64, c->numbers);
}

Err layout_column(H5Writer *w, const char *path, const Column *c)
{
    uint64_t n = c->n;
    switch (c->kind) {
    case COLUMN_CATEGORICAL:
        return write_categorical(w, path, c);
    case COLUMN_NUMERIC:
        return write_numbers(w, path, c);
    case COLUMN_BOOL:
        if (c->missing)
            return write_masked(w, path, "nullable-boolean", c);
        return h5w_array(w, path, "array", DISK_BOOL, 1, &n, MEM_I32, c->codes);
    default:
        if (c->missing)
            return write_strings_with_gaps(w, path, c);
        return h5w_texts(w, path, (const char *const *)c->strings, c->n);
    }
}

Err layout_frame(H5Writer *w, const char *path, const char *index_name, const char *const *names,
                 size_t n, const Column *const *columns, size_t n_columns, const bool *written)
{
    const char *index = index_name ? index_name : "_index";
    const char **order;
    Err err = OK;
    for (size_t i = 0; i < n_columns; i++)
        if (strcmp(columns[i]->name, index) == 0)
            index = "_index"; /* a column has the name of the index */
    TRY(NEW(order, n_columns));
    TRY_GOTO(h5w_group(w, path, "dataframe", "0.2.0"));
    TRY_GOTO(h5w_attr_text(w, path, "_index", index));
    for (size_t i = 0; i < n_columns; i++)
        order[i] = columns[i]->name;
    TRY_GOTO(h5w_attr_texts(w, path, "column-order", order, n_columns));
    char *p = path_join(path, index);
    err = h5w_texts(w, p, names, n);
    free(p);
    for (size_t i = 0; i < n_columns && !err; i++) {
        if (written && written[i])
            continue;
        p = path_join(path, columns[i]->name);
        err = layout_column(w, p, columns[i]);
        free(p);
    }
done:
    free(order);
    return err;
}

/* ---- sparse matrices ---- */

Err row_sink_open(H5Writer *w, const char *path, size_t rows, size_t cols, size_t nnz_hint,
                  DiskType values, RowSink **out)
{
    RowSink *s = mem_must(sizeof *s);
    Err err = OK;
    s->w = w;
    s->path = mem_strdup(path);
    s->rows = rows;
    char *data = path_join(path, "data"), *indices = path_join(path, "indices");
    TRY_GOTO(NEW0(s->indptr, rows + 1));
    TRY_GOTO(h5w_group(w, path, "csr_matrix", "0.1.0"));
    int64_t shape[2] = {(int64_t)rows, (int64_t)cols};
    TRY_GOTO(h5w_attr_ints(w, path, "shape", shape, 2));
    TRY_GOTO(h5w_stream_open(w, data, values, nnz_hint, &s->data));
    TRY_GOTO(h5w_stream_open(w, indices, DISK_I32, nnz_hint, &s->indices));
    *out = s;
    s = NULL;
done:
    free(data);
    free(indices);
    row_sink_abort(s);
    return err;
}

Err row_sink_add(RowSink *s, const Csr *block, const double *exact)
{
    size_t nnz = csr_nnz(block);
    for (size_t r = 0; r < block->rows; r++)
        s->indptr[s->filled + r + 1] = s->indptr[s->filled] + block->indptr[r + 1];
    s->filled += block->rows;
    TRY(h5w_stream_add(s->indices, MEM_I32, block->indices, nnz));
    return exact ? h5w_stream_add(s->data, MEM_F64, exact, nnz)
                 : h5w_stream_add(s->data, MEM_F32, block->values, nnz);
}

void row_sink_abort(RowSink *s)
{
    if (!s)
        return;
    Err ignored = h5w_stream_close(s->data);
    ignored = h5w_stream_close(s->indices);
    (void)ignored;
    free(s->indptr);
    free(s->path);
    free(s);
}

Err row_sink_close(RowSink *s)
{
    char *path = path_join(s->path, "indptr");
    uint64_t n = s->rows + 1;
    DiskType t = s->indptr[s->rows] > INT32_MAX ? DISK_I64 : DISK_I32;
    Err err = h5w_stream_close(s->data);
    s->data = NULL;
    if (!err) {
        err = h5w_stream_close(s->indices);
        s->indices = NULL;
    }
    if (!err)
        err = h5w_array(s->w, path, NULL, t, 1, &n, MEM_I64, s->indptr);
    free(path);
    row_sink_abort(s);
    return err;
}

Err layout_csr(H5Writer *w, const char *path, const Csr *m, DiskType values)
{
    RowSink *s;
    TRY(row_sink_open(w, path, m->rows, m->cols, csr_nnz(m), values, &s));
    Err err = row_sink_add(s, m, NULL);
    if (err) {
        row_sink_abort(s);
        return err;
    }
    return row_sink_close(s);
}

/* ---- uns ---- */

static Err write_leaf(H5Writer *w, const char *path, const Tree *t)
{
    uint64_t shape[2] = {t->rows, t->cols};
    int32_t truth = t->number != 0;
    switch (t->kind) {
    case TREE_TEXT:
        return h5w_text(w, path, t->text);
    case TREE_INT:
        return h5w_array(w, path, "numeric-scalar", DISK_I64, 0, NULL, MEM_I64, &t->integer);
    case TREE_FLOAT:
        return h5w_array(w, path, "numeric-scalar", DISK_F64, 0, NULL, MEM_F64, &t->number);
    case TREE_BOOL:
        return h5w_array(w, path, "numeric-scalar", DISK_BOOL, 0, NULL, MEM_I32, &truth);
    case TREE_TEXTS:
        return h5w_texts(w, path, (const char *const *)t->texts, t->n);
    default:
        return h5w_array(w, path, "array", t->kind == TREE_INTS ? DISK_I64 : DISK_F64,
                         t->cols ? 2 : 1, shape, MEM_F64, t->numbers);
    }
}

Err layout_tree(H5Writer *w, const char *path, const Tree *t)
{
    TRY(layout_dict(w, path));
    return layout_items(w, path, t);
}

Err layout_items(H5Writer *w, const char *path, const Tree *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const Tree *item = t->items[i];
        char *p = path_join(path, item->name);
        Err err = item->kind == TREE_DICT ? layout_tree(w, p, item) : write_leaf(w, p, item);
        free(p);
        TRY(err);
    }
    return OK;
}
