/* Copies of elements without understanding them: groups with anndata's attributes, arrays of
 * numbers and texts through the store (so from HDF5 and Zarr alike), anything else (compound types,
 * complex numbers) byte for byte by HDF5 itself. */
#include "core/data/h5ad_copy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/data/column.h"
#include "core/data/h5ad_layout.h"

enum { DEPTH = 16, MOST_NODES = 20000 };

typedef struct Copying {
    Dataset *d;
    H5Writer *w;
    JobCtl *ctl;
    size_t nodes;
} Copying;

static Err copy_node(Copying *c, const char *from, const char *to, int depth);

/* ---- encodings ---- */

/* What anndata reads; "null" and "awkward-array" are left out on purpose: 0.8, and with null all up
 * to 0.11, would refuse the whole file. */
static bool known_encoding(const char *type)
{
    static const char *const known[] = {"",
                                        "array",
                                        "string",
                                        "string-array",
                                        "csr_matrix",
                                        "csc_matrix",
                                        "dataframe",
                                        "categorical",
                                        "nullable-integer",
                                        "nullable-boolean",
                                        "nullable-string-array",
                                        "numeric-scalar",
                                        "dict",
                                        "rec-array",
                                        "anndata",
                                        "raw"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], type) == 0)
            return true;
    return false;
}

/* encoding-type ("" when there is none) and encoding-version; the caller frees both. */
static Err encoding_of(Copying *c, const char *path, char **type, char **version)
{
    *type = store_attr_text(c->d->store, path, "encoding-type");
    *version = store_attr_text(c->d->store, path, "encoding-version");
    if (!*type)
        *type = mem_strdup("");
    if (known_encoding(*type))
        return OK;
    err_set(ERR_INPUT, "%s: the encoding \"%s\" is not known to every anndata from 0.8 on", path,
            *type);
    free(*type);
    free(*version);
    return ERR_INPUT;
}

/* ---- arrays ---- */

static Err copy_texts(Copying *c, Array *a, const char *to)
{
    size_t n = (size_t)a->info.count;
    char **texts;
    TRY(mem_check_budget((uint64_t)n * 32, a->path));
    TRY(NEW0(texts, n));
    Err err = array_read_text(a, 0, n, texts);
    if (!err && a->info.rank == 0)
        err = h5w_text(c->w, to, n ? texts[0] : "");
    else if (!err)
        err = h5w_texts(c->w, to, (const char *const *)texts, n);
    strings_free(texts, n);
    return err;
}

static Err copy_array(Copying *c, const char *from, const char *to)
{
    Array *a = NULL;
    char *type = NULL, *version = NULL;
    Err err = OK;
    TRY(encoding_of(c, from, &type, &version));
    TRY_GOTO(store_open_array(c->d->store, from, &a));
    const ArrayInfo *i = &a->info;
    bool number = i->cls == ELEM_INT || i->cls == ELEM_FLOAT || i->cls == ELEM_BOOL;
    DiskType disk = disk_type_of(i->dtype, DISK_BOOL);
    if (i->cls == ELEM_STRING && i->rank <= 1)
        err = copy_texts(c, a, to);
    else if (number && (disk != DISK_BOOL || i->cls == ELEM_BOOL))
        err = h5w_array_from(c->w, to, i->rank ? "array" : "numeric-scalar", disk, a, c->ctl);
    else
        err = h5w_copy_raw(c->w, c->d->store, from, to, c->ctl);
done:
    array_close(a);
    free(type);
    free(version);
    return err;
}

/* ---- groups ---- */

/* The attributes that anndata's encodings have beside type and version. */
static Err copy_attrs(Copying *c, const char *from, const char *to)
{
    static const char *const texts[] = {"_index", "na-value"};
    Store *s = c->d->store;
    int64_t v;
    size_t n;
    TRY(store_attr_ints(s, from, "ordered", &v, 1, &n));
    if (n)
        TRY(h5w_attr_bool(c->w, to, "ordered", v != 0));
    for (int i = 0; i < 2; i++) {
        char *t = store_attr_text(s, from, texts[i]);
        Err err = t ? h5w_attr_text(c->w, to, texts[i], t) : OK;
        free(t);
        TRY(err);
    }
    return OK;
}

static Err copy_columns_order(Copying *c, const char *from, const char *to)
{
    char **names;
    size_t n;
    TRY(store_attr_texts(c->d->store, from, "column-order", &names, &n));
    Err err = h5w_attr_texts(c->w, to, "column-order", (const char *const *)names, n);
    strings_free(names, n);
    return err;
}

/* Attributes that only sparse matrices have; before 0.7 under other names. */
static Err sparse_shape(Copying *c, const char *from, const char *to)
{
    int64_t shape[2];
    size_t n;
    TRY(store_attr_ints(c->d->store, from, "shape", shape, 2, &n));
    if (n != 2)
        TRY(store_attr_ints(c->d->store, from, "h5sparse_shape", shape, 2, &n));
    if (n != 2)
        FAIL(ERR_INPUT, "%s: has no shape; the file is damaged", from);
    return h5w_attr_ints(c->w, to, "shape", shape, 2);
}

static Err copy_members(Copying *c, const char *from, const char *to, bool whole, int depth)
{
    char **names = NULL;
    size_t n = 0;
    Err err = OK;
    TRY(store_list(c->d->store, from, &names, &n));
    for (size_t i = 0; i < n && !err; i++) {
        char *p = path_join(from, names[i]), *q = path_join(to, names[i]);
        err = copy_node(c, p, q, depth + 1);
        if (!whole && (err == ERR_INPUT || err == ERR_NOMEM)) { /* the rest of a dict is not hurt */
            dataset_warn(c->d, "%s; left out", err_message());
            err = h5w_remove(c->w, q);
        }
        free(p);
        free(q);
    }
    strings_free(names, n);
    return err;
}

static bool is_masked_text(Store *s, const char *path)
{
    char *type = store_attr_text(s, path, "encoding-type");
    bool masked = type && strcmp(type, "nullable-string-array") == 0;
    free(type);
    return masked;
}

/* Frames of 0.7 (categories by reference), and with columns that only newer versions read. */
static bool is_foreign_frame(Copying *c, const char *path, const char *version)
{
    char **names = NULL;
    size_t n = 0;
    bool foreign = !version || strcmp(version, "0.1.0") == 0;
    if (foreign || store_list(c->d->store, path, &names, &n))
        return foreign;
    for (size_t i = 0; i < n; i++) {
        char *member = path_join(path, names[i]), *categories = path_join(member, "categories");
        foreign |= is_masked_text(c->d->store, member) || is_masked_text(c->d->store, categories);
        free(member);
        free(categories);
    }
    strings_free(names, n);
    return foreign;
}

/* Column by column, in forms that every anndata reads. */
static Err copy_frame(Copying *c, const char *from, const char *to)
{
    Frame f;
    TRY(frame_open(c->d, from, &f));
    Err err = frame_copy(c->d, c->w, &f, to, NULL, c->ctl);
    frame_done(&f);
    return err;
}

/* A list of texts with a mask, which anndata reads since 0.11. */
static Err copy_masked_texts(Copying *c, const char *from, const char *to)
{
    Array *a;
    char *values = path_join(from, "values");
    Err err = store_open_array(c->d->store, values, &a);
    free(values);
    TRY(err);
    Frame f = {.n = (size_t)a->info.count};
    Slot s = {.name = "", .kind = COLUMN_STRING, .form = SLOT_NULLABLE, .path = (char *)from};
    const Column *k;
    bool texts = a->info.cls == ELEM_STRING && a->info.rank == 1;
    array_close(a);
    if (!texts)
        FAIL(ERR_INPUT, "%s: holds no list of texts", from);
    err = slot_read(c->d, &f, &s, &k);
    if (!err)
        err = layout_column(c->w, to, k);
    column_free(s.column);
    return err;
}

static Err copy_group(Copying *c, const char *from, const char *to, int depth)
{
    char *type, *version, *old = NULL, sparse[16] = "";
    Err err = OK;
    TRY(encoding_of(c, from, &type, &version));
    old = store_attr_text(c->d->store, from, "h5sparse_format");
    if (!*type && old && (strcmp(old, "csr") == 0 || strcmp(old, "csc") == 0))
        snprintf(sparse, sizeof sparse, "%.3s_matrix", old);
    else if (str_starts(type, "csr") || str_starts(type, "csc"))
        snprintf(sparse, sizeof sparse, "%.10s", type);
    bool frame = strcmp(type, "dataframe") == 0;
    if (frame && is_foreign_frame(c, from, version)) {
        err = copy_frame(c, from, to);
        goto done;
    }
    if (strcmp(type, "nullable-string-array") == 0) {
        err = copy_masked_texts(c, from, to);
        goto done;
    }
    bool dict = !*sparse && (!*type || strcmp(type, "dict") == 0);
    if (dict)
        TRY_GOTO(h5w_group(c->w, to, "dict", "0.1.0"));
    else
        TRY_GOTO(h5w_group(c->w, to, *sparse ? sparse : type, version ? version : "0.1.0"));
    if (*sparse)
        TRY_GOTO(sparse_shape(c, from, to));
    if (frame)
        TRY_GOTO(copy_columns_order(c, from, to));
    if (!dict)
        TRY_GOTO(copy_attrs(c, from, to));
    err = copy_members(c, from, to, !dict, depth);
done:
    free(type);
    free(version);
    free(old);
    return err;
}

static Err copy_node(Copying *c, const char *from, const char *to, int depth)
{
    if (depth > DEPTH || ++c->nodes > MOST_NODES)
        FAIL(ERR_INPUT, "%s: holds too many elements, or runs in circles", from);
    TRY(job_progress(c->ctl, c->ctl ? atomic_load(&c->ctl->done) : 0));
    switch (store_kind(c->d->store, from)) {
    case NODE_GROUP:
        return copy_group(c, from, to, depth);
    case NODE_ARRAY:
        return copy_array(c, from, to);
    case NODE_OUTSIDE:
        FAIL(ERR_INPUT,
             "%s: is a link to another file, which is not followed without --allow-external, or to "
             "nothing",
             from);
    default:
        FAIL(ERR_INPUT, "%s: is missing or unreadable", from);
    }
}

Err element_copy(Dataset *d, H5Writer *w, const char *from, const char *to, JobCtl *ctl,
                 bool *copied)
{
    Copying c = {d, w, ctl, 0};
    Err err = copy_node(&c, from, to, 0);
    if (copied)
        *copied = err == OK;
    if (err != ERR_INPUT && err != ERR_NOMEM)
        return err;
    dataset_warn_error(d, from);
    return h5w_remove(w, to);
}

/* ---- members along an axis ---- */

/* Lengths of the first and second axis of an element. */
static Err axes_of(Dataset *d, const char *path, uint64_t axes[2])
{
    axes[0] = axes[1] = 0;
    NodeKind kind = store_kind(d->store, path);
    if (kind == NODE_ARRAY) {
        Array *a;
        TRY(store_open_array(d->store, path, &a));
        for (int i = 0; i < 2 && i < a->info.rank; i++)
            axes[i] = a->info.shape[i];
        array_close(a);
        return OK;
    }
    if (kind != NODE_GROUP)
        FAIL(ERR_INPUT, "%s: is a link to another file, which is not followed, or to nothing",
             path);
    char *type = store_attr_text(d->store, path, "encoding-type");
    Err err = OK;
    int64_t shape[2] = {0, 0};
    size_t n = 0;
    if (type && strcmp(type, "dataframe") == 0) {
        Frame f;
        err = frame_open(d, path, &f);
        if (!err)
            shape[0] = (int64_t)f.n;
        if (!err)
            frame_done(&f);
    } else {
        err = store_attr_ints(d->store, path, "shape", shape, 2, &n);
        if (!err && n != 2)
            err = store_attr_ints(d->store, path, "h5sparse_shape", shape, 2, &n);
        if (!err && n != 2)
            err = err_set(ERR_INPUT, "%s: the encoding \"%s\" is not known here", path,
                          type ? type : "none");
    }
    free(type);
    axes[0] = (uint64_t)shape[0];
    axes[1] = (uint64_t)shape[1];
    return err;
}

Err elements_copy(Dataset *d, H5Writer *w, const char *from, const char *to, size_t rows,
                  bool square, bool (*skip)(void *, const char *), void *user, JobCtl *ctl)
{
    char **names = NULL;
    size_t n = 0;
    Err err = OK;
    if (!d->store || store_kind(d->store, from) != NODE_GROUP)
        return OK;
    if (store_list(d->store, from, &names, &n)) {
        dataset_warn_error(d, from);
        return OK;
    }
    for (size_t i = 0; i < n && !err; i++) {
        uint64_t axes[2];
        if (skip && skip(user, names[i]))
            continue;
        char *p = path_join(from, names[i]), *q = path_join(to, names[i]);
        if (axes_of(d, p, axes))
            dataset_warn_error(d, p);
        else if (axes[0] != rows || (square && axes[1] != rows))
            dataset_warn(d, "%s: has %llu rows where %zu are expected; left out", p,
                         (unsigned long long)axes[0], rows);
        else
            err = element_copy(d, w, p, q, ctl, NULL);
        free(p);
        free(q);
    }
    strings_free(names, n);
    return err;
}

/* ---- data frames ---- */

/* Columns that a Column would change: categories that are numbers, masked numbers, large integers.
 * Returns the path of the element to copy as it is, NULL for the others. */
static char *kept_element(Dataset *d, const Slot *s, const Column *k)
{
    Array *a;
    if (!d->store)
        return NULL;
    if (s->form == SLOT_NULLABLE && s->kind != COLUMN_STRING)
        return mem_strdup(s->path);
    if (s->form == SLOT_ARRAY && strstr(k->dtype, "int64")) {
        bool large = false;
        for (size_t i = 0; k->numbers && i < k->n; i++)
            large |= k->numbers[i] >= 9007199254740992.0 || k->numbers[i] <= -9007199254740992.0;
        return large ? mem_strdup(s->path) : NULL;
    }
    if (s->form != SLOT_CATEGORIES || !str_ends(s->path, "/codes") ||
        store_open_array(d->store, s->categories, &a)) /* a group: texts with a mask */
        return NULL;
    bool numbers = a->info.cls != ELEM_STRING;
    array_close(a);
    return numbers ? mem_strndup(s->path, strlen(s->path) - strlen("/codes")) : NULL;
}

/* Categories of files before 0.8 that are numbers, once the column is written with them as texts:
 * the numbers take their place. (Newer ones are whole elements: kept_element.) */
static Err number_categories(Dataset *d, H5Writer *w, const Slot *s, const char *column,
                             JobCtl *ctl)
{
    Array *a;
    if (!d->store || !s->categories || store_open_array(d->store, s->categories, &a))
        return OK;
    bool numbers = a->info.cls != ELEM_STRING && a->info.rank == 1;
    array_close(a);
    if (!numbers)
        return OK;
    char *to = path_join(column, "categories");
    Err err = h5w_remove(w, to);
    if (!err)
        err = element_copy(d, w, s->categories, to, ctl, NULL);
    free(to);
    return err;
}

static const Column *replaced(const H5adContent *add, const char *name)
{
    for (size_t i = 0; add && i < add->n_obs; i++)
        if (strcmp(add->obs[i]->name, name) == 0)
            return add->obs[i];
    return NULL;
}

static bool writable_name(Dataset *d, const char *frame, const char *name)
{
    bool good = *name && *name != '/' && strcmp(name, ".") != 0 && !str_ends(name, "/");
    if (!good)
        dataset_warn(d, "%s/%s: such a name cannot be written; left out", frame, name);
    return good;
}

Err frame_copy(Dataset *d, H5Writer *w, Frame *f, const char *to, const H5adContent *add,
               JobCtl *ctl)
{
    char **names;
    size_t n = 0, room = f->n_slots + (add ? add->n_obs : 0) + 1;
    TRY(frame_names(d, f, &names));
    const Column **columns = mem_must(room * sizeof *columns);
    bool *written = mem_must(room * sizeof *written);
    Err err = OK;
    for (size_t i = 0; i < f->n_slots && !err; i++) {
        Slot *s = &f->slots[i];
        const Column *k = replaced(add, s->name);
        if (k || !writable_name(d, to, s->name))
            continue;
        if (slot_read(d, f, s, &k)) {
            dataset_warn(d, "%s; left out", err_message());
            continue;
        }
        char *element = kept_element(d, s, k), *p = path_join(to, s->name);
        if (element)
            err = element_copy(d, w, element, p, ctl, &written[n]);
        if (!element || written[n])
            columns[n++] = k;
        free(element);
        free(p);
    }
    for (size_t i = 0; add && i < add->n_obs; i++)
        columns[n++] = add->obs[i];
    if (!err)
        err = layout_frame(w, to, f->index.name, (const char *const *)names, f->n, columns, n,
                           written);
    for (size_t i = 0, k = 0; i < f->n_slots && k < n && !err; i++) {
        const Slot *s = &f->slots[i]; /* columns: of these slots, in their order */
        if (columns[k] != s->column)
            continue;
        if (!written[k++]) {
            char *p = path_join(to, s->name);
            err = number_categories(d, w, s, p, ctl);
            free(p);
        }
    }
    free(columns);
    free(written);
    return err;
}
