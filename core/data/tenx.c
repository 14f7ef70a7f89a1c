/* 10x Genomics .h5: version 3 (/matrix with /matrix/features) and version 2 (one group per genome).
 * Stored by cell, so it reads like CSR of cells x features. Features of other types and genomes are
 * left out by a column map. */
#include "core/data/dataset_impl.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/features.h"

static Err texts_at(Dataset *d, const char *group, const char *name, size_t expect, char ***out)
{
    Array *a;
    char *path = path_join(group, name);
    Err err = store_open_array(d->store, path, &a);
    free(path);
    TRY(err);
    char **texts = NULL;
    if (a->info.count != expect)
        err = err_set(ERR_INPUT, "%s: has %llu names where %zu are expected; the file is damaged",
                      a->path, (unsigned long long)a->info.count, expect);
    if (!err)
        err = mem_alloc(&texts, expect, sizeof *texts);
    if (!err)
        err = array_read_text(a, 0, expect, texts);
    array_close(a);
    if (err) {
        free(texts);
        return err;
    }
    *out = texts;
    return OK;
}

static Err optional_texts(Dataset *d, const char *group, const char *name, size_t expect,
                          char ***out)
{
    char *path = path_join(group, name);
    bool there = store_kind(d->store, path) == NODE_ARRAY;
    free(path);
    return there ? texts_at(d, group, name, expect, out) : OK;
}

static Err length_of(Dataset *d, const char *path, size_t *n)
{
    Array *a;
    TRY(store_open_array(d->store, path, &a));
    *n = (size_t)a->info.count;
    array_close(a);
    return OK;
}

static Err open_parts(Dataset *d, const char *group, Matrix *m)
{
    const char *names[] = {"data", "indices", "indptr"};
    Array **where[] = {&m->data, &m->indices, &m->indptr_array};
    for (int i = 0; i < 3; i++) {
        char *path = path_join(group, names[i]);
        Err err = store_open_array(d->store, path, where[i]);
        free(path);
        TRY(err);
        if ((*where[i])->info.rank != 1)
            FAIL(ERR_INPUT, "%s/%s: has %d dimensions where one is expected", group, names[i],
                 (*where[i])->info.rank);
    }
    if (m->data->info.count != m->indices->info.count)
        FAIL(ERR_INPUT, "%s: %llu indices but %llu values; the file is damaged or incomplete",
             group, (unsigned long long)m->indices->info.count,
             (unsigned long long)m->data->info.count);
    if (m->indptr_array->info.count != d->obs.n + 1)
        FAIL(ERR_INPUT,
             "%s/indptr: has %llu entries for %zu barcodes; the file is damaged or incomplete",
             group, (unsigned long long)m->indptr_array->info.count, d->obs.n);
    return OK;
}

static Err check_shape(Dataset *d, const char *group, size_t features)
{
    Array *a;
    int64_t *shape = NULL;
    char *path = path_join(group, "shape");
    Err err = store_open_array(d->store, path, &a);
    free(path);
    TRY(err);
    err = array_read_all(a, 2, MEM_I64, &shape);
    array_close(a);
    TRY(err);
    bool fits = shape[0] == (int64_t)features && shape[1] == (int64_t)d->obs.n;
    if (!fits)
        err = err_set(ERR_INPUT,
                      "%s/shape: says %lld x %lld, but there are %zu features and %zu barcodes",
                      group, (long long)shape[0], (long long)shape[1], features, d->obs.n);
    free(shape);
    return err;
}

/* The matrix of one group; names, ids, types, genomes (each may be NULL but names) are taken. */
static Err read_group(Dataset *d, const char *group, Features *f, const DatasetOptions *opt)
{
    size_t features = f->n;
    int32_t *keep = NULL;
    char *barcodes = path_join(group, "barcodes");
    Err err = length_of(d, barcodes, &d->obs.n);
    d->obs.path = mem_strdup("barcodes");
    d->obs.index = (Slot){.name = mem_strdup("barcodes"),
                          .form = SLOT_ARRAY,
                          .kind = COLUMN_STRING,
                          .path = barcodes};
    TRY(err);
    TRY(check_shape(d, group, features));
    TRY(features_settle(d, f, opt, &keep));
    Matrix *m = dataset_new_matrix(d, "X");
    m->kind = MATRIX_SPARSE;
    m->by_cells = true;
    m->keep = keep;
    m->file_genes = features;
    m->info.storage = "csr";
    m->info.rows = d->obs.n;
    m->info.cols = d->var.n;
    TRY(open_parts(d, group, m));
    m->info.nnz = (size_t)m->data->info.count;
    memcpy(m->info.dtype, m->data->info.dtype, sizeof m->info.dtype);
    m->info.readable = true;
    return dataset_settle(d, opt);
}

/* Texts beside the usual ones, as scanpy names them; what cannot be read is left out by name. */
static Err read_more(Dataset *d, const char *group, bool probes, Features *f)
{
    static const char *const usual[] = {"id",           "name",   "gene_id",
                                        "feature_type", "genome", "_all_tag_keys"};
    char **names;
    size_t n;
    TRY(store_list(d->store, group, &names, &n));
    f->more = mem_must((n + 1) * sizeof *f->more);
    for (size_t i = 0; i < n; i++) {
        Array *a = NULL;
        bool known = false, probe = probes && strcmp(names[i], "id") == 0;
        for (size_t k = 0; k < sizeof usual / sizeof *usual; k++)
            known |= !probe && strcmp(names[i], usual[k]) == 0;
        char *path = path_join(group, names[i]);
        bool texts = !known && store_kind(d->store, path) == NODE_ARRAY &&
                     store_open_array(d->store, path, &a) == OK && a->info.cls == ELEM_STRING &&
                     a->info.rank == 1;
        array_close(a);
        FeatureColumn *c = &f->more[f->n_more];
        if (texts && texts_at(d, group, names[i], f->n, &c->texts) == OK) {
            c->name = mem_strdup(probe ? "probe_ids" : names[i]);
            f->n_more++;
        } else if (texts) {
            dataset_warn_error(d, path);
        }
        free(path);
    }
    strings_free(names, n);
    return OK;
}

static Err read_v3(Dataset *d, const DatasetOptions *opt)
{
    const char *g = "matrix/features";
    Features f = {0};
    free(d->encoding);
    d->encoding = mem_strdup("10x v3");
    bool probes = store_kind(d->store, "matrix/features/gene_id") == NODE_ARRAY;
    const char *id = probes ? "gene_id" : "id"; /* of probes, id is the probe's own */
    const char *name = store_kind(d->store, "matrix/features/name") == NODE_ARRAY ? "name" : id;
    char *path = path_join(g, name);
    Err err = length_of(d, path, &f.n);
    free(path);
    f.names_from = name;
    TRY_GOTO(err);
    TRY_GOTO(texts_at(d, g, name, f.n, &f.names));
    TRY_GOTO(optional_texts(d, g, id, f.n, &f.ids));
    TRY_GOTO(optional_texts(d, g, "feature_type", f.n, &f.types));
    TRY_GOTO(optional_texts(d, g, "genome", f.n, &f.genomes));
    TRY_GOTO(read_more(d, g, probes, &f));
    err = read_group(d, "matrix", &f, opt);
done:
    features_done(&f);
    return err;
}

/* Groups that look like a v2 genome. */
static Err v2_genomes(Dataset *d)
{
    char **names;
    size_t n, kept = 0;
    TRY(store_list(d->store, "", &names, &n));
    for (size_t i = 0; i < n; i++) {
        char *barcodes = path_join(names[i], "barcodes"), *genes = path_join(names[i], "genes");
        bool genome = store_kind(d->store, barcodes) == NODE_ARRAY &&
                      store_kind(d->store, genes) == NODE_ARRAY;
        free(barcodes);
        free(genes);
        if (genome)
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    d->genomes = names;
    d->n_genomes = kept;
    return OK;
}

static Err read_v2(Dataset *d, const DatasetOptions *opt)
{
    TRY(v2_genomes(d));
    if (!d->n_genomes)
        FAIL(ERR_INPUT,
             "is an HDF5 file, but no single-cell layout that is known here (anndata, 10x, loom)");
    free(d->encoding);
    d->encoding = mem_strdup("10x v2");
    TRY(features_check_genome(d, opt));
    const char *genome = opt && opt->genome ? opt->genome : d->genomes[0];
    Features f = {.names_from = "gene_names"};
    char *genes = path_join(genome, "genes"), *names = path_join(genome, "gene_names");
    Err err = length_of(d, genes, &f.n);
    bool named = store_kind(d->store, names) == NODE_ARRAY;
    free(genes);
    free(names);
    TRY_GOTO(err);
    if (!named)
        f.names_from = "genes";
    TRY_GOTO(texts_at(d, genome, f.names_from, f.n, &f.names));
    TRY_GOTO(texts_at(d, genome, "genes", f.n, &f.ids));
    err = read_group(d, genome, &f, opt);
done:
    features_done(&f);
    return err;
}

Err tenx_read(Dataset *d, const DatasetOptions *opt)
{
    if (store_kind(d->store, "matrix") == NODE_GROUP) {
        if (store_kind(d->store, "matrix/features") == NODE_GROUP)
            return read_v3(d, opt);
        if (store_kind(d->store, "matrix/barcodes") == NODE_ARRAY &&
            store_kind(d->store, "matrix/genes") == NODE_NONE)
            FAIL(ERR_INPUT, "matrix/features: is missing; the file is damaged or incomplete");
    }
    return read_v2(d, opt);
}
