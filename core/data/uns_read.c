/* uns and obsp: read for copying into outputs, and for results that a file already has (a neighbour
 * graph). */
#include "core/data/dataset_impl.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/tree.h"

enum { DEPTH = 16, MOST_VALUES = 1 << 22, MOST_NODES = 20000 };

static Err read_texts(Array *a, const char *name, Tree *into)
{
    size_t n = (size_t)a->info.count;
    char **texts;
    TRY(NEW0(texts, n));
    Err err = array_read_text(a, 0, n, texts);
    if (!err && a->info.rank == 0)
        tree_set_text(into, name, texts[0]);
    else if (!err)
        tree_set_texts(into, name, (const char *const *)texts, n);
    strings_free(texts, n);
    return err;
}

static Err read_leaf(Dataset *d, const char *path, const char *name, Tree *into)
{
    Array *a;
    double *v = NULL;
    TRY(store_open_array(d->store, path, &a));
    Err err = OK;
    const ArrayInfo *i = &a->info;
    if (i->rank > 2 || i->count > MOST_VALUES)
        FAIL_GOTO(ERR_INPUT, "%s: is too large to copy (%llu values)", path,
                  (unsigned long long)i->count);
    if (i->rank == 2 && !i->shape[1])
        goto done; /* no columns: nothing to copy */
    if (i->cls == ELEM_STRING && i->rank <= 1 && i->count) {
        TRY_GOTO(read_texts(a, name, into));
    } else if (i->cls == ELEM_INT || i->cls == ELEM_FLOAT || i->cls == ELEM_BOOL) {
        TRY_GOTO(array_read_all(a, SIZE_MAX, MEM_F64, &v));
        if (i->rank)
            tree_set_numbers(into, name, v, (size_t)i->shape[0],
                             i->rank == 2 ? (size_t)i->shape[1] : 0, i->cls != ELEM_FLOAT);
        else if (i->count && i->cls == ELEM_BOOL)
            tree_set_bool(into, name, v[0] != 0);
        else if (i->count && i->cls == ELEM_INT)
            tree_set_int(into, name, (int64_t)v[0]);
        else if (i->count)
            tree_set_float(into, name, v[0]);
    } else if (i->cls != ELEM_STRING) {
        FAIL_GOTO(ERR_INPUT, "%s: values of the type %s are not copied", path, i->dtype);
    }
done:
    free(v);
    array_close(a);
    return err;
}

static void read_group(Dataset *d, const char *path, Tree *into, int depth, size_t *nodes);

/* One member of a group, when it has a place in a tree. */
static void read_item(Dataset *d, const char *p, const char *name, Tree *into, int depth,
                      size_t *nodes)
{
    NodeKind kind = store_kind(d->store, p);
    char *type = kind == NODE_GROUP ? store_attr_text(d->store, p, "encoding-type") : NULL;
    if (kind == NODE_GROUP && type && strcmp(type, "dict") != 0)
        dataset_warn(d, "%s: %s elements are not read here; left out", p, type);
    else if (kind == NODE_GROUP)
        read_group(d, p, tree_dict(into, name), depth + 1, nodes);
    else if (kind == NODE_OUTSIDE)
        dataset_warn(d,
                     "%s: is a link to another file, which is not followed, or to nothing; left "
                     "out",
                     p);
    else if (kind == NODE_ARRAY && read_leaf(d, p, name, into))
        dataset_warn_error(d, p);
    free(type);
}

/* Hard links may run in circles: depth and the number of nodes are bounded. */
static void read_group(Dataset *d, const char *path, Tree *into, int depth, size_t *nodes)
{
    char **names = NULL;
    size_t n = 0;
    if (depth > DEPTH || store_list(d->store, path, &names, &n)) {
        dataset_warn(d, "%s: cannot be read; left out", path);
        return;
    }
    for (size_t i = 0; i < n && ++*nodes < MOST_NODES; i++) {
        char *p = path_join(path, names[i]);
        read_item(d, p, names[i], into, depth, nodes);
        free(p);
    }
    strings_free(names, n);
}

void uns_read_item(Dataset *d, const char *name, Tree *into)
{
    size_t nodes = 0;
    char *p = path_join("uns", name);
    read_item(d, p, name, into, 0, &nodes);
    free(p);
}

Err dataset_uns(Dataset *d, Tree **out)
{
    Tree *t = tree_new();
    if (d->store && store_kind(d->store, "uns") == NODE_GROUP) {
        size_t nodes = 0;
        read_group(d, "uns", t, 0, &nodes);
    }
    *out = t;
    return OK;
}

static const char *obsp_group(const Dataset *d)
{
    return strcmp(d->format, "loom") == 0 ? "col_graphs" : "obsp";
}

Err dataset_obsp(Dataset *d, const char *name, JobCtl *ctl, Csr *out)
{
    char *path = path_join(obsp_group(d), name);
    NodeKind kind = d->store ? store_kind(d->store, path) : NODE_NONE;
    Frame cells = {.n = d->obs.n};
    Matrix m = {.info = {.name = path}, .var = &cells};
    bool loom = strcmp(d->format, "loom") == 0;
    Err err = kind == NODE_NONE ? err_set(ERR_NOT_FOUND, "%s: is not in the file", path)
              : loom            ? loom_graph(d, path, ctl, out)
                                : matrix_describe(d, path, &m);
    if (!err && !loom)
        err = matrix_read_rows(d, &m, 0, d->obs.n, ctl, out);
    matrix_done(&m); /* frees path */
    return err;
}
